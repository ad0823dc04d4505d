"""Downhill from a moment of a simulation to the nearest minimum, for cells of thousands of atoms (host).

The search directions are those of D. C. Liu and J. Nocedal, *Math. Program.* **45**, 503 (1989): gradients of the last steps stand
for the curvature, so that memory grows with the number of atoms. `jn.relax` knows more of small cells, and of symmetry.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from .._struct import compiled
from ..crystal import Crystal
from ..errors import DynamicsError, ParameterError
from .state import crystal_at, forces_at

# Å²/eV of a bond, until gradients have said more
_FIRST = 1.0 / 70.0
_LONGEST = 0.15
_MEMORY = 12
# eV per atom: energies that differ by less are equal to rounding
_LEVEL = 1e-9


@dataclass(frozen=True, repr=False)
class Descent:
    """Where a descent is.

    Attributes:
        step: how many energies were asked for since the start.
        crystal: in P1.
        energy_ev: of the cell.
        forces: ``(atoms, 3)`` eV/Å.
    """

    step: int
    crystal: Crystal
    energy_ev: float
    forces: Float[np.ndarray, "atoms 3"]

    @property
    def largest_force(self) -> float:
        """On any atom, eV/Å."""
        return float(np.sqrt((self.forces**2).sum(axis=1).max()))

    def __repr__(self) -> str:
        return f"Descent(step {self.step}, {self.energy_ev:.4f} eV, forces up to {self.largest_force:.3g} eV/Å)"


def settle(
    potential: Any, crystal: Crystal, *, force: float = 0.05, max_steps: int = 200, skin: float = 0.8
) -> Iterator[Descent]:
    """Go downhill in a fixed cell, and yield every structure that lies lower than the one before (host).

    Args:
        potential: an `EnergyModel` or a potential.
        crystal: in P1.
        force: largest force on an atom at rest, eV/Å.
        max_steps: at most.
        skin: Å beyond the cutoff of the potential, up to which neighbours are listed.

    Raises:
        ParameterError: a force that is not positive, or no steps.
        ConventionError: a crystal that the potential cannot describe.
        DynamicsError: an energy that is not finite.
    """
    if not (np.isfinite(force) and force > 0):
        raise ParameterError(f"force is {force}; expected the largest force at rest in eV/Å, such as 0.05")
    if max_steps < 1:
        raise ParameterError(f"max_steps is {max_steps}; expected at least 1")
    vectors = np.asarray(crystal.lattice(), dtype=float)
    points = np.asarray(crystal.xyz, dtype=float) @ vectors
    plan, here = potential.plan(crystal, skin=skin), points
    history: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=_MEMORY)
    at: Descent | None = None
    for step in range(max_steps + 1):
        now = crystal_at(crystal, points, vectors)
        if float(plan.margin(now)) <= 0:
            plan = plan.renewed(now)
        acting = _acting(potential, plan, crystal, points, vectors)
        found = Descent(step, now, float(acting.energy), np.asarray(acting.forces, dtype=float))
        if not (np.isfinite(found.energy_ev) and np.isfinite(found.forces).all()):
            raise DynamicsError(
                f"after {step} steps downhill the energy is {found.energy_ev:.4g} eV: atoms are too close to begin with"
            )
        if at is not None:
            if found.energy_ev > at.energy_ev + _LEVEL * len(points):
                # too far, or a direction that led up: half of it, and nothing that was learned holds
                history.clear()
                points = 0.5 * (points + here)
                continue
            moved, gained = points - here, at.forces - found.forces
            # curvature that is not positive tells nothing of the way to the minimum
            if np.vdot(moved, gained) > 1e-10:
                history.append((moved, gained))
        yield found
        if found.largest_force <= force:
            return
        at, here = found, points
        points = points + _step(found.forces, history)


def _step(forces: np.ndarray, history: deque[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Forces times the inverse curvature, no atom farther than `_LONGEST`."""
    way, shares = forces.copy(), []
    for moved, gained in reversed(history):
        share = np.vdot(moved, way) / np.vdot(moved, gained)
        shares.append(share)
        way -= share * gained
    scale = _FIRST
    if history:
        moved, gained = history[-1]
        scale = float(np.vdot(moved, gained) / np.vdot(gained, gained))
    way *= scale
    for (moved, gained), share in zip(history, reversed(shares), strict=True):
        way += moved * (share - np.vdot(gained, way) / np.vdot(moved, gained))
    return way * min(1.0, _LONGEST / max(float(np.sqrt((way**2).sum(axis=1).max())), 1e-12))


@compiled
def _acting(potential, plan, crystal: Crystal, points, vectors):
    return forces_at(potential, plan, crystal, points, vectors)
