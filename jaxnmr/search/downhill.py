"""Minimisation of the energy of a crystal until it is at rest (host)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._words import counted
from ..crystal import Crystal
from ..energy.potential import SKIN, Potential
from ..energy.prediction import GPA, slopes_of_energy
from ..errors import ConventionError
from .curvature import lowest_curvature
from .free_space import FreeSpace
from .trust_region import TrustRegion

# first and longest step, Å per atom
_FIRST, _LONGEST = 0.08, 0.3
# relative precision of energies
_ROUNDING = 1e-13
# curvature relative to the springs below rounding; displacements in Å to probe curvature, and to leave a saddle
_DOWNWARD, _PROBE, _OFF = -0.01, 2e-3, 0.05
_SADDLES = 3


@dataclass(frozen=True)
class RelaxStep:
    """One step, for callbacks.

    Number, 0 for the start; energy in eV per cell; largest force in eV/Å; largest deviation of the stress from the
    pressure in GPa; largest displacement in the step in Å; whether it was accepted; seconds since the start.
    """

    number: int
    energy: float
    force: float
    stress: float
    moved: float
    accepted: bool
    seconds: float


@dataclass(frozen=True)
class Point:
    """An evaluated point: enthalpy, gradient by ``w``, forces, and deviation of the stress from the pressure (eV/Å³)."""

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


class Downhill:
    """A minimisation, from its start to its end.

    Args:
        crystal: starting structure.
        model: the energy.
        free: whether the cell is free.
        pressure: hydrostatic pressure, eV/Å³.
        force, stress: convergence limits, eV/Å and eV/Å³.

    Attributes:
        start, here: first and best points.
        accepted: number of accepted steps.
        saddles: numbers of the steps after which forces vanished on a saddle.
        downward: whether the energy had negative curvature along a step.
        converged, message: outcome.

    Raises:
        ConventionError: the model cannot describe the crystal.
    """

    def __init__(self, crystal: Crystal, model: Potential, *, free: bool, pressure: float, force: float, stress: float):
        self.began = time.perf_counter()
        self.crystal, self.pressure, self.tolerances = crystal, pressure, (force, stress)
        self.evaluations = self.accepted = 0
        self.history: list[RelaxStep] = []
        self.saddles: list[int] = []
        self.downward = self.converged = False
        self.message = ""
        # planning first: the model reports what is wrong with the crystal
        plan = model.plan(crystal, skin=SKIN)
        self.space = FreeSpace(crystal, cell=free)
        # the program shared with other users of the model
        self.potential = getattr(model, "potential", model)
        start = self._evaluate(np.zeros(self.space.size), plan)
        if start is None:
            raise ConventionError(
                f"{model.name} gives no finite energy for {crystal.name}: look at its shortest distances"
            )
        self.start = self.here = start

    def go(self, max_steps: int, callback: Callable[[RelaxStep], None] | None) -> None:
        """Minimise, for at most ``max_steps`` steps."""
        tell = self._teller(callback)
        tell(0, 0.0, True)
        if not self.space.size:
            self._end(True, "Symmetry leaves nothing to relax: no coordinate and no strain is free.")
            return
        root = np.sqrt(self.space.atoms)
        springs = self.space.springs()
        region = TrustRegion(springs, self.space.metric(), _FIRST * root, _LONGEST * root)
        tried = 0
        while True:
            if self._at_rest(self.here):
                off = self._off_saddle(springs)
                if off is None or len(self.saddles) == _SADDLES:
                    word = "Converged" if off is None else "On a saddle again"
                    self._end(off is None, f"{word} after {counted(self.accepted, 'step')}: {self._rest()}.")
                    break
                self.saddles.append(tried)
                self.here, region.radius = off, _FIRST * root
            if tried >= max_steps:
                self._end(
                    False, f"Not converged after {counted(tried, 'step')}: {self._rest()}; allow more steps, or look at the "
                    "structure.",
                )  # fmt: skip
                break
            w, promised, held = region.step(self.here.gradient)
            if promised < _ROUNDING * max(1.0, abs(self.here.value)) or region.radius < 1e-7 * root:
                self._end(
                    False, f"Stopped after {counted(self.accepted, 'step')}: the energy does not go down any further, though "
                    f"{self._rest()}; its derivatives do not fit it, or it has a kink here.",
                )  # fmt: skip
                break
            tried += 1
            there = self._evaluate(self.here.w + w, self.here.plan)
            moved = self._farthest(self.here.w, self.here.w + w)
            good = region.judge(np.nan if there is None else self.here.value - there.value, promised, held)
            if there is not None:
                region.learn(w, there.gradient - self.here.gradient)
                # differences in the last digits do not qualify a step; its gradient does
                flat = abs(self.here.value - there.value) < 1e2 * _ROUNDING * max(1.0, abs(self.here.value))
                good = good or (flat and np.linalg.norm(there.gradient) < np.linalg.norm(self.here.gradient))
            if good and there is not None:
                self.here, self.accepted = there, self.accepted + 1
            tell(tried, moved, good)
        self.downward = region.downward > 0

    def stress_of(self, crystal: Crystal) -> np.ndarray:
        """Return the stress ``(3, 3)`` in eV/Å³ of the crystal at the end of the minimisation."""
        # strain relative to the current cell
        now = FreeSpace(crystal, cell=True)
        _, by_cell, _ = self._slopes(crystal, self.here.plan)
        none = np.zeros(now.size)
        return np.tensordot(now.by_amounts(none, by_cell), now.strains, 1) / now.volume(none)[0]

    def worst(self, point: Point) -> str:
        """Return the label of the site with the largest force."""
        return self.crystal.labels[int(np.argmax(np.linalg.norm(point.forces, axis=1)))]

    def _off_saddle(self, springs: np.ndarray) -> Point | None:
        """Return a lower point beside a saddle; ``None`` if the curvature is positive in all directions."""
        here = self.here

        def product(direction: np.ndarray) -> np.ndarray | None:
            step = _PROBE / self._reach(direction)
            there = self._evaluate(here.w + step * direction, here.plan)
            return None if there is None else (there.gradient - here.gradient) / step

        curvature, direction = lowest_curvature(product, springs)
        if curvature > _DOWNWARD:
            return None
        step = _OFF / self._reach(direction)
        sides = (self._evaluate(here.w + sign * step * direction, here.plan) for sign in (1.0, -1.0))
        lower = [side for side in sides if side is not None and side.value < here.value]
        return min(lower, key=lambda side: side.value, default=None)

    def _reach(self, direction: np.ndarray) -> float:
        """How far a direction moves atoms, Å per unit; what only strains moves none within the cell, but neighbours apart."""
        farthest = self._farthest(self.here.w, self.here.w + 1e-3 * direction) * 1e3
        return max(farthest, float(np.sqrt(direction @ self.space.metric() @ direction / self.space.atoms)))

    def _evaluate(self, w: np.ndarray, plan: Any) -> Point | None:
        """Evaluate energy and gradient; ``None`` if impossible, as for overlapping atoms."""
        space = self.space
        crystal = space.at(w)
        if not float(plan.margin(crystal)) > 0.0:
            try:
                plan = plan.renewed(crystal)
            except ConventionError:
                return None
        self.evaluations += 1
        value, by_cell, by_xyz = self._slopes(crystal, plan)
        volume, by_volume = space.volume(w)
        by_amounts = space.by_amounts(w, by_cell) + self.pressure * by_volume
        if not (np.isfinite(value) and np.isfinite(by_xyz).all() and np.isfinite(by_amounts).all()):
            return None
        return Point(
            w=w,
            value=value + self.pressure * volume,
            gradient=space.reduced(by_xyz, by_amounts),
            forces=space.forces(w, by_xyz),
            deviation=np.tensordot(by_amounts, space.strains, 1) / volume,
            plan=plan,
        )

    def _slopes(self, crystal: Crystal, plan: Any) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the energy in eV, and its derivatives by cell and coordinates."""
        value, slopes = slopes_of_energy(self.potential, crystal, plan)
        slopes = np.asarray(slopes, dtype=float)
        return float(value), slopes[:6], slopes[6:].reshape(-1, 3)

    def _at_rest(self, point: Point) -> bool:
        force, stress = self.tolerances
        return point.force < force and (not self.space.strained or point.stress < stress)

    def _rest(self) -> str:
        words = f"the largest force is {self.here.force:.2g} eV/Å on {self.worst(self.here)}"
        if self.space.strained:
            words += f", the stress is within {self.here.stress * GPA:.2g} GPa of the pressure"
        return words

    def _farthest(self, first: np.ndarray, second: np.ndarray) -> float:
        vectors = self.space.lattice @ self.space.deformation(second)
        between = (self.space.coordinates(second) - self.space.coordinates(first)) @ vectors
        return float(np.linalg.norm(between, axis=1).max())

    def _teller(self, callback: Callable[[RelaxStep], None] | None) -> Callable[[int, float, bool], None]:
        def tell(number: int, moved: float, accepted: bool) -> None:
            here, seconds = self.here, time.perf_counter() - self.began
            self.history.append(RelaxStep(number, here.value, here.force, here.stress * GPA, moved, accepted, seconds))
            if callback is not None:
                callback(self.history[-1])

        return tell

    def _end(self, converged: bool, message: str) -> None:
        self.converged, self.message = converged, message
