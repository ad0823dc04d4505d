"""`relax`: the nearest minimum of an energy for a crystal, in its own space group (host)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from ..crystal import Crystal, metric, too_close
from ..energy.model import EnergyModel
from ..energy.potential import Potential
from ..energy.prediction import GPA
from ..errors import ParameterError, PrecisionError, require_kind
from .downhill import Downhill, RelaxStep

# eV/Å, beyond any force in a nearly correct structure
_FAR_TOO_CLOSE = 20.0
_CELLS = ("fixed", "free")


@dataclass(frozen=True, repr=False)
class RelaxResult:
    """Result of :func:`relax`.

    Attributes:
        crystal: relaxed crystal, with the same space group and sites.
        start: crystal before relaxation.
        model: name of the energy.
        energy_start, energy: eV per conventional cell; enthalpies if there is a pressure.
        forces: ``(sites, 3)`` force on one atom of every site, eV/Å along Cartesian axes (a along x, b in the xy plane).
        stress: ``(3, 3)`` GPa, positive if the crystal tends to contract; minus the pressure at rest.
        cell_free, pressure_gpa: as requested.
        moved: displacement of the atoms of each site within the cell, Å.
        atoms: number of atoms in the conventional cell.
        rms_moved: root mean square displacement of all of them, Å.
        steps, evaluations: number of accepted steps and of energy evaluations.
        converged: whether forces (and stress, if the cell is free) are within the requested limits.
        message: the outcome in one sentence.
        notes: further remarks, in sentences.
        seconds: wall time.
    """

    crystal: Crystal
    start: Crystal
    model: str
    energy_start: float
    energy: float
    forces: np.ndarray
    stress: np.ndarray
    cell_free: bool
    pressure_gpa: float
    moved: np.ndarray
    atoms: int
    rms_moved: float
    steps: int
    evaluations: int
    converged: bool
    message: str
    notes: tuple[str, ...] = ()
    history: tuple[RelaxStep, ...] = field(default=())
    seconds: float = 0.0

    @property
    def max_force(self) -> float:
        """Largest force, eV/Å."""
        return float(np.linalg.norm(self.forces, axis=1).max())

    def __repr__(self) -> str:
        return f"RelaxResult({self.crystal.name!r}, {self.model}: {self.message})"


def relax(
    crystal: Crystal,
    model: Potential | str | Path,
    *,
    cell: str = "fixed",
    pressure_gpa: float = 0.0,
    force: float = 1e-3,
    stress: float = 0.01,
    max_steps: int = 200,
    callback: Callable[[RelaxStep], None] | None = None,
) -> RelaxResult:
    """Relax atoms, and the cell if it is free, within the space group of the crystal.

    Steps are taken in the coordinates and strains that symmetry leaves free, with a Hessian updated from a guess of
    springs between neighbours, and within a trust region. Neighbours are listed again as atoms move.

    Args:
        crystal: fully occupied, with elements that the model supports.
        model: an energy, such as ``EnergyModel.load("chgnet-r2scan")``, an argument of that, or a user-defined potential.
        cell: ``"fixed"``, or ``"free"`` to relax it as well.
        pressure_gpa: hydrostatic pressure on a free cell, GPa.
        force: largest force on an atom at rest, eV/Å.
        stress: largest deviation of the stress of a free cell from the pressure, GPa.
        max_steps: maximum number of steps, accepted or not.
        callback: called with a `RelaxStep` for the start and after every step.

    Returns:
        The outcome; a failure to converge is reported in it, not raised.

    Raises:
        ParameterError: an argument is invalid.
        PrecisionError: single precision.
        ConventionError: the model cannot describe the crystal: unsupported element, partial occupancy, overlapping atoms.

    Example:
        >>> relaxed = jn.relax(quartz, "bks")
        >>> relaxed.converged
        True
    """
    require_kind(crystal, Crystal, "the crystal to relax", "of jn.read_crystal(path)")
    if isinstance(model, str | Path):
        model = EnergyModel.load(model)
    if not (hasattr(model, "plan") and hasattr(model, "energy")):
        raise ParameterError(
            f'the model is a {type(model).__name__}, which gives no energy; expected EnergyModel.load("chgnet-r2scan"), say'
        )
    if cell not in _CELLS:
        raise ParameterError(f"cell is {cell!r}; expected one of {', '.join(map(repr, _CELLS))}")
    if pressure_gpa and cell == "fixed":
        raise ParameterError(f"a pressure of {pressure_gpa:g} GPa does nothing to a fixed cell: give cell='free', too")
    for name, value in (("force", force), ("stress", stress), ("max_steps", max_steps)):
        if not (np.isfinite(value) and value > 0):
            raise ParameterError(f"{name} is {value}; expected a positive number")
    if not np.isfinite(pressure_gpa):
        raise ParameterError(f"pressure_gpa is {pressure_gpa}; expected a number of GPa, 0 for none")
    if jnp.zeros(1).dtype != np.float64:
        raise PrecisionError("relaxation needs double precision: call jaxnmr.enable_x64() before anything else")
    began = time.perf_counter()
    way = Downhill(crystal, model, free=cell == "free", pressure=pressure_gpa / GPA, force=force, stress=stress / GPA)
    way.go(max_steps, callback)
    space, end = way.space, way.here
    relaxed = space.at(end.w) if way.accepted else crystal
    between = np.asarray(relaxed.xyz, dtype=float) - np.asarray(crystal.xyz, dtype=float)
    g = metric(np.asarray(relaxed.cell, dtype=float))
    moved = np.sqrt(np.maximum(np.einsum("si,ij,sj->s", between, g, between), 0.0))
    return RelaxResult(
        crystal=relaxed,
        start=crystal,
        model=str(model.name),
        energy_start=way.start.value,
        energy=end.value,
        forces=end.forces,
        stress=way.stress_of(relaxed) * GPA,
        cell_free=space.strained,
        pressure_gpa=float(pressure_gpa),
        moved=moved,
        atoms=space.atoms,
        rms_moved=float(np.sqrt(space.multiplicity @ moved**2 / space.atoms)),
        steps=way.accepted,
        evaluations=way.evaluations,
        converged=way.converged,
        message=way.message,
        notes=_notes(way, relaxed),
        history=tuple(way.history),
        seconds=time.perf_counter() - began,
    )


def _notes(way: Downhill, relaxed: Crystal) -> tuple[str, ...]:
    doubt = too_close(relaxed)
    notes = [f"At its end {doubt}."] if doubt else []
    if way.start.force > _FAR_TOO_CLOSE:
        notes.append(
            f"At the start {way.worst(way.start)} was pushed with {way.start.force:.3g} eV/Å: atoms were far too close."
        )
    for number in way.saddles:
        notes.append(
            f"After step {number} forces had vanished on a saddle, from where the energy falls to two sides: the lower one was taken."
        )
    if way.downward:
        notes.append(
            "On the way the energy curved downwards: the start was not in the basin of one minimum, and which one was reached may "
            "depend on small changes of it."
        )
    return tuple(notes)
