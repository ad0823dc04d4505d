"""NMR tensors averaged over the motion of a harmonic solid (host)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence

import numpy as np

from .._arguments import checked
from ..errors import ParameterError
from ..models.tensors.tensor_model import TensorModel
from ..nmr import ShiftReference
from .average import ThermalAverage, average_of
from .course import Course
from .harmonic_solid import HarmonicSolid
from .pooling import MeanStructure
from .readings import BLOCKS
from .schedule import Schedule
from .simulation import start
from .tensors import FrameTensors

_FEWEST = 20


@checked
def harmonic_average(
    model: TensorModel | Sequence[TensorModel],
    solid: HarmonicSolid,
    *,
    temperature: float,
    frames: int = 200,
    quantum: bool = True,
    seed: int = 0,
    references: Mapping[str, ShiftReference] | None = None,
) -> ThermalAverage:
    """Average NMR tensors over independent configurations of a harmonic solid (host).

    The cheap way: no trajectory, no correlation between frames, and zero-point motion if wanted, which dynamics do not have. Cell and mean
    positions are those at rest: thermal expansion and everything anharmonic are missing.

    Args:
        model: one tensor model, or several that predict different things.
        solid: modes of a supercell, from `jaxnmr.dynamics.harmonic`.
        temperature: K.
        frames: number of configurations; every second one is the mirror image of that before (displacements with the opposite
            sign), so that linear terms cancel.
        quantum: whether amplitudes are those of quantum oscillators.
        seed: of the random numbers.
        references: by element, of chemical shifts.

    Raises:
        ParameterError: too few frames, or a temperature that makes no sense.
        ConventionError: elements that no model knows.
    """
    began = time.perf_counter()
    if frames < _FEWEST:
        raise ParameterError(f"frames is {frames}; expected at least {_FEWEST}, so that their error can be told")
    cell = solid.supercell
    models = [model] if isinstance(model, TensorModel) else list(model)
    reader, mean = FrameTensors(models, cell, references or {}), MeanStructure(cell, 2 * ((frames + 1) // 2), BLOCKS)
    rest = np.asarray(cell.crystal.xyz, dtype=float) @ cell.vectors
    course = Course(state=start(cell.crystal, cell.masses, max(temperature, 1.0), seed=seed), begun=0)
    for positions in solid.sample(temperature, (frames + 1) // 2, quantum=quantum, seed=seed):
        pair = [reader.at(solid.placed(at), cell.vectors) for at in (positions, 2.0 * rest - positions)]
        both = {name: 0.5 * (pair[0][name] + pair[1][name]) for name in pair[0]}
        same = {"time_fs": np.zeros(()), "temperature_k": np.array(temperature), "pressure_gpa": np.array(np.nan)}
        novelty = np.fmax(pair[0]["novelty"], pair[1]["novelty"])
        course.add_columns(both | same | {"novelty": novelty, "vectors": cell.vectors})
        for at in (positions, 2.0 * rest - positions):
            mean.add(at, cell.vectors)
    found = average_of(course, mean, reader, temperature, Schedule(cell="fixed"), time.perf_counter() - began)
    return dataclasses.replace(found, tau_ps=0.0, measured_k=float(temperature))
