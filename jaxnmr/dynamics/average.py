"""NMR tensors averaged over thermal motion (host).

Motion in a solid takes picoseconds, spectra are microseconds long: what they show are tensors averaged over the motion, the
fast limit. Tensors are averaged as they are, component by component in the frame of the crystal; principal values, anisotropies
and couplings are those of the average. The average of a coupling over snapshots is another number, and no spectrum shows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from .._arguments import checked
from ..crystal import Crystal
from ..energy.model import EnergyModel
from ..errors import ConventionError, require_kind
from ..models.tensors.prediction import Prediction
from ..models.tensors.tensor_model import TensorModel
from ..nmr import ShiftReference
from .course import Course, load_course, save_course
from .domain import STRANGE, EnergyDomain
from .order import OBSERVED, Observed, Observer
from .pooling import MeanStructure, cell_lengths
from .readings import BLOCKS, Reading, readings_of
from .schedule import Schedule
from .simulation import Frame, require_potential, simulate, start
from .state import State
from .statistics import mean_error
from .supercells import Supercell, supercell_of
from .tensors import FrameTensors

_SAVED_EVERY_S = 30.0
# above 1 an atom is unlike those that a model was trained on; a few per cent of snapshots are so at any temperature
_NOVEL_SHARE = 0.05


@dataclass(frozen=True, repr=False)
class ThermalAverage:
    """What :func:`thermal_average` found.

    Attributes:
        prediction: averaged tensors of the sites, on the mean structure: shifts, couplings, sites for spectra follow from it
            as from any prediction.
        static: the tensors of the crystal as it was given, without motion.
        crystal: mean cell, mean positions and isotropic mean-square displacements, in the space group that was given.
        esds: standard errors of its ``cell``, ``xyz`` and ``u_iso``.
        readings: per site and quantity: without motion, averaged, its standard error, and the mean over snapshots.
        cell, cell_error: ``(6,)`` mean a, b, c (Å) and angles (degrees) of the cell, without symmetry, and standard errors.
        temperature_k: asked for, and :attr:`measured_k` found.
        pressure_gpa: asked for; ``None`` where the cell was fixed. :attr:`measured_gpa` was found.
        frames: by name, one row per frame: ``time_fs``, ``temperature_k``, ``potential_ev``, ``pressure_gpa``, ``vectors``, tensors by head
            ``(frames, sites, 3, 3)``, and ``observe/...`` where there was an observer.
        tau_ps: the longest autocorrelation time of a tensor component, ps.
        novel_share: share of atoms and frames unlike those of the training of the tensor models.
        strange_share: the same for the training of the energy; NaN for energies that cannot tell.
        supercell: what moved.
        observed: what the observer made of all frames, such as an order parameter.
        state: the last one, from which a simulation goes on.
        notes: what else there is to say, in sentences.
        seconds: wall time.
    """

    prediction: Prediction
    static: Prediction
    crystal: Crystal
    esds: Mapping[str, np.ndarray]
    readings: tuple[Reading, ...]
    cell: Float[np.ndarray, 6]
    cell_error: Float[np.ndarray, 6]
    temperature_k: float
    measured_k: float
    pressure_gpa: float | None
    measured_gpa: float
    frames: Mapping[str, np.ndarray]
    tau_ps: float
    novel_share: float
    strange_share: float
    supercell: Supercell
    state: State
    observed: tuple[Observed, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    def __str__(self) -> str:
        lines = [f"{'site':<8}{'quantity':<16}{'static':>11}{'averaged':>11}{'±':>9}{'snapshots':>11}"]
        for r in self.readings:
            lines.append(
                f"{r.site:<8}{r.quantity + (f' / {r.unit}' if r.unit else ''):<16}{r.static:11.3f}{r.mean:11.3f}"
                f"{r.error:9.3f}{r.snapshots:11.3f}"
            )
        lines += [f"{o.name}{f' / {o.unit}' if o.unit else ''}: {o.mean:.4g} ± {o.error:.2g}" for o in self.observed]
        return "\n".join(lines + list(self.notes))

    def __repr__(self) -> str:
        return (
            f"ThermalAverage({self.crystal.name!r}, {self.measured_k:.0f} K, {len(self.frames['time_fs'])} frames of "
            f"{self.supercell.crystal.n_sites} atoms)"
        )


@checked
def thermal_average(
    model: TensorModel | Sequence[TensorModel],
    energy: Any,
    crystal: Crystal | Supercell,
    *,
    temperature: float,
    schedule: Schedule | None = None,
    repeats: Sequence[int] | None = None,
    references: Mapping[str, ShiftReference] | None = None,
    state: State | None = None,
    file: str | Path | None = None,
    observe: Observer | None = None,
    callback: Callable[[Frame, int, int], None] | None = None,
) -> ThermalAverage:
    """NMR tensors of a crystal, averaged over its thermal motion (host).

    A supercell without symmetry moves by molecular dynamics under the energy; tensors are predicted for every frame, turned back to
    the sites of the crystal, and averaged over images and time.

    Args:
        model: one tensor model, or several that predict different things.
        energy: an `EnergyModel`, the name of one, or a potential of your own.
        crystal: the crystal, whose space group says which atoms are averaged together; or its supercell.
        temperature: K.
        schedule: how long, and how; 2 ps to settle and 10 ps at constant atmospheric pressure by default.
        repeats: cells along a, b, c; by default as many as make the supercell 10 Å wide.
        references: by element, of chemical shifts; those of the models by default, and shieldings where there is none.
        state: where to go on, such as that of an average at another temperature.
        file: the course is kept here every half a minute and when something ends it early; where the file exists, it goes on from
            there.
        observe: looks at the crystal of every frame, see `jaxnmr.dynamics.order`.
        callback: receives every frame, its number from 1 (those of settling included) and how many there will be.

    Raises:
        ConventionError: elements that a model does not know, partial occupancy, a cell too narrow; a file of something else.
        ParameterError: arguments that make no sense.
        PrecisionError: single precision.
        DynamicsError: atoms that fly apart.

    Example:
        >>> average = jn.dynamics.thermal_average(model, "chik", crystal, temperature=300)  # doctest: +SKIP
        >>> print(average)  # doctest: +SKIP
    """
    began = time.perf_counter()
    models = [model] if isinstance(model, TensorModel) else list(model)
    for each in models:
        require_kind(each, TensorModel, "the model", 'such as jn.TensorModel.load("silica-efg")')
    potential = EnergyModel.load(energy).for_dynamics() if isinstance(energy, str | Path) else energy
    require_potential(potential)
    schedule = Schedule() if schedule is None else schedule
    cell = supercell_of(crystal, repeats)
    reader, mean = FrameTensors(models, cell, references or {}), MeanStructure(cell, schedule.frames, BLOCKS)
    asked = {
        "energy": str(potential.name), "models": [each.card.name for each in models], "crystal": cell.parent.name,
        "repeats": list(cell.repeats), "atoms": cell.crystal.n_sites, "structure": cell.fingerprint, "temperature": float(temperature), **vars(schedule),
    }  # fmt: skip
    if file is not None and Path(file).exists():
        course = load_course(file, asked)
        _same_observer(file, course, {} if observe is None else observe(cell.crystal), schedule)
        if course.structure:
            mean.restore(course.structure)
    else:
        begin = start(cell.crystal, cell.masses, temperature, seed=schedule.seed) if state is None else state
        course = Course(state=begin, begun=int(begin.step))
    keep = (lambda: None) if file is None else (lambda: save_course(file, course, asked))
    seen = (lambda at: {}) if observe is None else (lambda at: {f"{OBSERVED}{k}": v for k, v in observe(at).items()})
    domain = EnergyDomain(potential)
    look = lambda at: {STRANGE: domain(at), **seen(at)}
    try:
        _go_on(course, mean, reader, potential, temperature, schedule, look, keep, callback)
    except BaseException:
        # interrupted, or atoms that fly apart: what was reached is kept, unless it stopped in the middle of a frame
        if course.frames == mean.frames == max(0, course.steps // schedule.every - schedule.settling):
            keep()
        raise
    notes = _outside(potential, temperature)
    found = average_of(course, mean, reader, temperature, schedule, time.perf_counter() - began)
    observed = () if observe is None else observe.summary(found.frames)
    return replace(found, observed=observed, notes=(*notes, *found.notes))


def _same_observer(file: str | Path, course: Course, follows: Mapping[str, Any], schedule: Schedule) -> None:
    """Raise where frames that are there lack what the observer follows, or frames to come would."""
    if not course.frames:
        return
    had = {name for name in course.columns if name.startswith(OBSERVED)}
    wanted = {f"{OBSERVED}{name}" for name in follows}
    lacking = sorted(wanted - had) or sorted(had - wanted if course.frames < schedule.frames else ())
    if lacking:
        where = "Its frames lack" if wanted - had else "Frames to come would lack"
        raise ConventionError(
            f"{file} was begun with another observer. {where} {', '.join(lacking)}: observe the same, use another folder, or start again"
        )


def _go_on(
    course: Course,
    mean: MeanStructure,
    reader: FrameTensors,
    potential: Any,
    temperature: float,
    schedule: Schedule,
    look: Callable[[Crystal], dict[str, Any]],
    keep: Callable[[], Any],
    callback: Callable[[Frame, int, int], None] | None,
) -> None:
    """Simulate what is missing, and gather it."""
    cell, total = reader.cell, schedule.settling + schedule.frames
    number, saved = course.steps // schedule.every, time.monotonic()
    if number >= total:
        return
    settled_fs = (course.begun + schedule.settling * schedule.every) * schedule.timestep_fs
    ensemble = lambda time_fs: schedule.ensemble(temperature, settling=time_fs < settled_fs - 1e-6)
    frames = simulate(
        potential, cell.crystal, cell.masses, course.state, ensemble, steps=(total - number) * schedule.every,
        every=schedule.every,
    )  # fmt: skip
    for frame in frames:
        number += 1
        if number > schedule.settling:
            vectors, positions = np.asarray(frame.state.vectors), np.asarray(frame.state.positions)
            more = reader.at(frame.crystal, vectors) | look(frame.crystal)
            course.add(frame, more)
            mean.add(positions, vectors)
            course.structure = mean.state()
        course.state = frame.state
        if callback is not None:
            callback(frame, number, total)
        if time.monotonic() - saved > _SAVED_EVERY_S or number == total:
            keep()
            saved = time.monotonic()


def average_of(
    course: Course, mean: MeanStructure, reader: FrameTensors, temperature: float, schedule: Schedule, seconds: float
) -> ThermalAverage:
    cell, frames = reader.cell, course.arrays()
    crystal = mean.crystal()
    static, moving = reader.prediction(cell.parent), reader.prediction(crystal)
    averaged = moving.replace(tensors={head: frames[head].mean(axis=0) for head in reader.heads})
    lengths = cell_lengths(cell, frames["vectors"])
    tau = max(_longest(frames[head]) for head in reader.heads) * schedule.every_fs / 1000.0
    novel = frames.pop("novelty")
    share, strange = _share(novel), _share(frames.pop(STRANGE, np.full(1, np.nan)))
    return ThermalAverage(
        prediction=averaged,
        static=static,
        crystal=crystal,
        esds=mean.errors(),
        readings=readings_of(static, frames),
        cell=lengths.mean(axis=0),
        cell_error=np.asarray(mean_error(lengths).error),
        temperature_k=float(temperature),
        measured_k=float(frames["temperature_k"].mean()),
        pressure_gpa=None if schedule.cell == "fixed" else schedule.pressure_gpa,
        measured_gpa=float(frames["pressure_gpa"].mean()),
        frames=frames,
        tau_ps=tau,
        novel_share=share,
        strange_share=strange,
        supercell=cell,
        state=course.state,
        notes=_notes(tau, share, strange, schedule, frames, temperature),
        seconds=seconds,
    )


def _outside(potential: Any, temperature: float) -> tuple[str, ...]:
    """What the card of a potential says of temperatures: its ``temperatures_k`` are the lowest and the highest of its training."""
    card = getattr(potential, "card", None)
    known = card.get("temperatures_k") if isinstance(card, Mapping) else None
    if known is None or len(known) < 2 or min(known) <= temperature <= max(known):
        return ()
    return (
        f"{potential.name} was trained on {min(known):g} to {max(known):g} K, not at {temperature:g} K: what it says there is "
        "extrapolated.",
    )


def _share(novelty: np.ndarray) -> float:
    """Share of known novelties above 1."""
    known = novelty[np.isfinite(novelty)]
    return float(np.mean(known > 1.0)) if known.size else float("nan")


def _longest(series: np.ndarray) -> float:
    """The longest autocorrelation time of a component, frames."""
    flat = series.reshape(len(series), -1)
    flat = flat[:, np.isfinite(flat).all(axis=0)]
    return float(np.max(mean_error(flat).tau)) if flat.size else 0.0


def _notes(
    tau_ps: float,
    share: float,
    strange: float,
    schedule: Schedule,
    frames: Mapping[str, np.ndarray],
    temperature: float,
) -> tuple[str, ...]:
    notes = []
    block = schedule.run_ps / BLOCKS
    if tau_ps > block / 2.0:
        notes.append(
            f"Tensors stay correlated for {tau_ps:.2g} ps, blocks for errors are {block:.2g} ps long: errors are too small; simulate "
            "longer."
        )
    if share > _NOVEL_SHARE:
        notes.append(
            f"{share:.0%} of atoms and frames are unlike those that the tensor models were trained on: averages may be far off."
        )
    if strange > _NOVEL_SHARE:
        notes.append(
            f"{strange:.0%} of atoms and frames are unlike those that the energy was trained on: it extrapolates."
        )
    found, expected = frames["temperature_k"].mean(), temperature
    if abs(found - expected) > 0.1 * expected:
        notes.append(f"The mean temperature is {found:.0f} K, not {expected:g} K: settle longer.")
    return tuple(notes)
