"""The minimum of an energy that a crystal is closest to, in its own space group (host)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._struct import compiled
from .._words import counted
from ..crystal import Crystal, cell_from_metric, metric
from ..energy.potential import Potential
from ..energy.prediction import GPA
from ..errors import ConventionError, ParameterError, PrecisionError, require_kind
from .free_space import FreeSpace
from .trust_region import TrustRegion

# Å per atom, the longest step to begin with and at all
_FIRST, _LONGEST = 0.08, 0.3
# Å of displacement that a plan has room for before it is made anew
_SKIN = 0.4
# energies are known to this fraction
_ROUNDING = 1e-13
_CELLS = ("fixed", "free")


@dataclass(frozen=True)
class RelaxStep:
    """One step, for callbacks: its number, 0 for the start; energy in eV per cell; largest force in eV/Å; largest deviation of
    the stress from the pressure in GPa; largest displacement in the step in Å; whether it was accepted; seconds since the start.
    """

    number: int
    energy: float
    force: float
    stress: float
    moved: float
    accepted: bool
    seconds: float


@dataclass(frozen=True, repr=False)
class RelaxResult:
    """What :func:`relax` found.

    Attributes:
        crystal: relaxed, of the same space group and sites.
        start: as it was given.
        model: name of the energy.
        energy_start, energy: eV per conventional cell; with a pressure, enthalpies.
        forces: ``(sites, 3)``, on one atom of every site, eV/Å along Cartesian axes (a along x, b in the xy plane).
        stress: ``(3, 3)`` GPa, positive where the crystal wants to contract; minus the pressure at rest.
        pressure_gpa: that was asked for.
        moved: per site, how far its atoms moved within the cell, Å.
        atoms: in the conventional cell.
        steps, evaluations: accepted steps, and how often the energy was calculated.
        converged: whether forces (and stress, where the cell is free) are within what was asked for.
        message: the outcome in one sentence.
        notes: what else there is to say, in sentences.
        seconds: wall time.
    """

    crystal: Crystal
    start: Crystal
    model: str
    energy_start: float
    energy: float
    forces: np.ndarray
    stress: np.ndarray
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
        """eV/Å."""
        return float(np.linalg.norm(self.forces, axis=1).max())

    def __repr__(self) -> str:
        return f"RelaxResult({self.crystal.name!r}, {self.model}: {self.message})"


def relax(
    crystal: Crystal,
    model: Potential,
    *,
    cell: str = "fixed",
    pressure_gpa: float = 0.0,
    force: float = 1e-3,
    stress: float = 0.01,
    max_steps: int = 200,
    callback: Callable[[RelaxStep], None] | None = None,
) -> RelaxResult:
    """Move atoms, and cell if it is free, downhill to rest, within the space group of the crystal.

    Steps are taken in the coordinates and strains that symmetry leaves free, with curvature learned on the way from springs
    between neighbours, and never longer than the energy has proved predictable. Neighbours are listed again as atoms move.

    Args:
        crystal: fully occupied, of elements that the model knows.
        model: an energy, such as ``EnergyModel.load("chgnet-r2scan")``, or a potential of your own.
        cell: ``"fixed"``, or ``"free"`` to relax it, too.
        pressure_gpa: hydrostatic pressure on a free cell, GPa.
        force: largest force on an atom at rest, eV/Å.
        stress: largest deviation of the stress of a free cell from the pressure, GPa.
        max_steps: accepted or not.
        callback: receives a `RelaxStep` for the start and after every step.

    Returns:
        The outcome; not converged is said, not raised.

    Raises:
        ParameterError: arguments that make no sense.
        PrecisionError: single precision.
        ConventionError: a crystal that the model cannot describe: an element, partial occupancy, atoms on top of each other.
    """
    require_kind(crystal, Crystal, "the crystal to relax", "of jn.read_crystal(path)")
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
    return _Relaxation(crystal, model, cell == "free", pressure_gpa / GPA, force, stress / GPA, callback).run(max_steps)


@dataclass(frozen=True)
class _Point:
    """An evaluated place: enthalpy, its gradient by ``w``, forces and deviation of the stress from the pressure (eV/Å³)."""

    w: np.ndarray
    value: float
    gradient: np.ndarray
    forces: np.ndarray
    deviation: np.ndarray
    plan: Any

    @property
    def force(self) -> float:
        return float(np.linalg.norm(self.forces, axis=1).max())

    @property
    def stress(self) -> float:
        return float(np.abs(self.deviation).max(initial=0.0))


class _Relaxation:
    """State of one call."""

    def __init__(self, crystal, model, free, pressure, force, stress, callback):
        self.began = time.perf_counter()
        self.crystal, self.model, self.pressure, self.callback = crystal, model, pressure, callback
        self.tolerances = force, stress
        self.evaluations = 0
        self.history: list[RelaxStep] = []
        # the model says first what is wrong with the crystal
        self.plan = model.plan(crystal, skin=_SKIN)
        self.space = FreeSpace(crystal, cell=free)
        # weights of models are data of a program, not part of it
        opaque = jax.tree_util.all_leaves([model])
        self.slopes = jax.jit(partial(_energy_and_slopes, model)) if opaque else partial(_slopes, model)

    def run(self, max_steps: int) -> RelaxResult:
        space = self.space
        start = self._evaluate(np.zeros(space.size), self.plan)
        if start is None:
            raise ConventionError(
                f"{self.model.name} gives no finite energy for {self.crystal.name}: look at its shortest distances"
            )
        here = start
        self._tell(0, here, 0.0, True)
        if not space.size:
            return self._result(
                start, here, 0, True, "Symmetry leaves nothing to relax: no coordinate and no strain is free."
            )
        root = np.sqrt(space.atoms)
        region = TrustRegion(space.springs(), space.metric(), _FIRST * root, _LONGEST * root)
        tried = accepted = 0
        while tried < max_steps and not self._at_rest(here):
            w, promised, held = region.step(here.gradient)
            if promised < _ROUNDING * max(1.0, abs(here.value)) or region.radius < 1e-7 * root:
                return self._result(
                    start, here, accepted, False, f"Stopped after {counted(accepted, 'step')}: the energy does not go down any "
                    f"further, though {self._rest(here)}; its derivatives do not fit it, or it has a kink here.", region.downward,
                )  # fmt: skip
            tried += 1
            there = self._evaluate(here.w + w, here.plan)
            good = region.judge(np.nan if there is None else here.value - there.value, promised, held)
            if there is not None:
                region.learn(w, there.gradient - here.gradient)
                # differences in the last digits say nothing of a step; its gradient does
                flat = abs(here.value - there.value) < 1e2 * _ROUNDING * max(1.0, abs(here.value))
                good = good or (flat and np.linalg.norm(there.gradient) < np.linalg.norm(here.gradient))
            moved = self._farthest(here.w, here.w + w)
            if good and there is not None:
                here, accepted = there, accepted + 1
            self._tell(tried, here, moved, good)
        if self._at_rest(here):
            return self._result(
                start,
                here,
                accepted,
                True,
                f"Converged after {counted(accepted, 'step')}: {self._rest(here)}.",
                region.downward,
            )
        return self._result(
            start, here, accepted, False, f"Not converged after {counted(tried, 'step')}: {self._rest(here)}; allow more steps, or "
            "look at the structure.", region.downward,
        )  # fmt: skip

    def _evaluate(self, w: np.ndarray, plan: Any) -> _Point | None:
        """Energy and slopes at a place; ``None`` where there are none, such as for atoms on top of each other."""
        space = self.space
        crystal = space.at(w)
        if not float(plan.margin(crystal)) > 0.0:
            try:
                plan = plan.renewed(crystal)
            except ConventionError:
                return None
        self.evaluations += 1
        value, by_amounts, by_xyz = (
            np.asarray(x, dtype=float)
            for x in self.slopes(crystal, plan, space.lattice, space.strains, space.amounts(w), space.coordinates(w))
        )
        volume, by_volume = space.volume(w)
        by_amounts = by_amounts + self.pressure * by_volume
        if not (np.isfinite(value) and np.isfinite(by_xyz).all() and np.isfinite(by_amounts).all()):
            return None
        return _Point(
            w=w,
            value=float(value) + self.pressure * volume,
            gradient=space.reduced(by_xyz, by_amounts),
            forces=space.forces(w, by_xyz),
            deviation=np.tensordot(by_amounts, space.strains, 1) / volume,
            plan=plan,
        )

    def _at_rest(self, point: _Point) -> bool:
        force, stress = self.tolerances
        return point.force < force and (not self.space.strained or point.stress < stress)

    def _rest(self, point: _Point) -> str:
        label = self.crystal.labels[int(np.argmax(np.linalg.norm(point.forces, axis=1)))]
        words = f"the largest force is {point.force:.2g} eV/Å on {label}"
        if self.space.strained:
            words += f", the stress is within {point.stress * GPA:.2g} GPa of the pressure"
        return words

    def _farthest(self, first: np.ndarray, second: np.ndarray) -> float:
        vectors = self.space.lattice @ self.space.deformation(second)
        between = (self.space.coordinates(second) - self.space.coordinates(first)) @ vectors
        return float(np.linalg.norm(between, axis=1).max())

    def _tell(self, number: int, point: _Point, moved: float, accepted: bool) -> None:
        step = RelaxStep(
            number, point.value, point.force, point.stress * GPA, moved, accepted, time.perf_counter() - self.began
        )
        self.history.append(step)
        if self.callback is not None:
            self.callback(step)

    def _result(
        self, start: _Point, end: _Point, steps: int, converged: bool, message: str, downward: int = 0
    ) -> RelaxResult:
        space = self.space
        crystal = space.at(end.w) if steps else self.crystal
        # from where it is now, so that the strain is that of what has become of the cell
        now = FreeSpace(crystal, cell=True)
        _, by_amounts, _ = self.slopes(
            crystal,
            end.plan,
            now.lattice,
            now.strains,
            np.zeros(len(now.strains)),
            np.asarray(crystal.xyz, dtype=float),
        )
        stress = (
            np.tensordot(np.asarray(by_amounts, dtype=float), now.strains, 1) / abs(np.linalg.det(now.lattice)) * GPA
        )
        between = np.asarray(crystal.xyz, dtype=float) - np.asarray(self.crystal.xyz, dtype=float)
        g = metric(np.asarray(crystal.cell, dtype=float))
        moved = np.sqrt(np.maximum(np.einsum("si,ij,sj->s", between, g, between), 0.0))
        notes = []
        if start.force > 20.0:
            label = self.crystal.labels[int(np.argmax(np.linalg.norm(start.forces, axis=1)))]
            notes.append(f"At the start {label} was pushed with {start.force:.3g} eV/Å: atoms were far too close.")
        if downward:
            notes.append(
                f"The energy curved downwards along {counted(downward, 'step')}: the start was not in the basin of one minimum, and "
                "which one was reached may depend on small changes of it."
            )
        return RelaxResult(
            crystal=crystal, start=self.crystal, model=str(self.model.name), energy_start=start.value, energy=end.value,
            forces=end.forces, stress=stress, pressure_gpa=self.pressure * GPA, moved=moved, atoms=space.atoms,
            rms_moved=float(np.sqrt(space.multiplicity @ moved**2 / space.atoms)), steps=steps, evaluations=self.evaluations,
            converged=converged, message=message, notes=tuple(notes), history=tuple(self.history),
            seconds=time.perf_counter() - self.began,
        )  # fmt: skip


def _energy_and_slopes(model, crystal, plan, vectors, strains, amounts, xyz):
    """Energy in eV, and its derivatives by amounts of strain and by fractional coordinates."""

    def energy(amounts, xyz):
        f = vectors @ (jnp.eye(3) + jnp.tensordot(amounts, strains, 1))
        return model.energy(crystal.replace(cell=cell_from_metric(f @ f.T), xyz=xyz), plan)

    value, (by_amounts, by_xyz) = jax.value_and_grad(energy, argnums=(0, 1))(amounts, xyz)
    return value, by_amounts, by_xyz


_slopes = compiled(_energy_and_slopes)
