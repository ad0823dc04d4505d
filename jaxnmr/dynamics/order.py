"""Order parameters along a trajectory: what tells a phase from the one it turns into (host).

An observer is called with the crystal of every frame and returns columns of numbers by name; afterwards :meth:`summary` makes
numbers with standard errors of them. Hand it to `thermal_average(..., observe=...)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float

from ..crystal import Crystal
from ..errors import ConventionError, ParameterError, require_kind
from ..graph import plan_neighbours
from .readings import BLOCKS
from .statistics import mean_error
from .supercells import Supercell

# names of columns of frames begin with this
OBSERVED = "observe/"
# Å: a bond, and nothing that is none, before anything moves
_BOND = 2.2


@dataclass(frozen=True)
class Observed:
    """A number that was followed along a trajectory.

    Attributes:
        name: what it is.
        unit: of it.
        mean: over the trajectory.
        error: its standard error.
    """

    name: str
    unit: str
    mean: float
    error: float


class Observer(Protocol):
    """What looks at every frame."""

    def __call__(self, crystal: Crystal) -> Mapping[str, np.ndarray | float]:
        """Columns of numbers of one frame; the crystal is that of the supercell, in P1."""
        ...

    def summary(self, frames: Mapping[str, np.ndarray]) -> tuple[Observed, ...]:
        """Numbers of all frames, whose columns have `OBSERVED` before their names."""
        ...


class Bridges:
    """How far bridging atoms are off the middle between their two neighbours, and the angle at them.

    With d the way from the middle of its neighbours to a bridging atom, the order parameter is the root mean square over atoms of the
    mean of d over time, divided by the root of the mean of d². It is 1 for bridges that stand bent on one side without moving, and
    0 where they move around the middle; the mean angle is nearly the same in both. Any domain of the bent form has the same value. Of
    a finite run it does not fall below about the root of autocorrelation time over length. d is measured in the undeformed cell.

    Args:
        cell: the supercell, whose bonds are those of the crystal as it was given.
        elements: at the end, in the middle and at the other end, such as ``("Si", "O", "Si")``.

    Raises:
        ConventionError: no such bridges, or an atom in the middle that has not two neighbours.
    """

    def __init__(self, cell: Supercell, elements: Sequence[str] = ("Si", "O", "Si")):
        require_kind(cell, Supercell, "the cell", "such as jn.dynamics.supercell(crystal)")
        if len(elements) != 3:
            raise ParameterError(f"elements are {list(elements)}; expected three, such as ('Si', 'O', 'Si')")
        first, middle, last = elements
        crystal, self.vectors = cell.crystal, cell.vectors
        self.name = "-".join(elements)
        kinds, xyz = np.array(crystal.elements), np.asarray(crystal.xyz, dtype=float)
        pairs = plan_neighbours(self.vectors, xyz @ self.vectors, _BOND)
        bonds = (kinds[pairs.receivers] == middle) & np.isin(kinds[pairs.senders], (first, last))
        at, count = np.unique(pairs.receivers[bonds], return_counts=True)
        if not len(at):
            raise ConventionError(
                f"{crystal.name} has no bonds of {middle} to {first} or {last} shorter than {_BOND:g} Å, so there are no bridges {self.name}"
            )
        if (count != 2).any():
            raise ConventionError(
                f"an atom of {middle} in {crystal.name} has {count[count != 2][0]} neighbours; expected two, as in bridges {self.name}"
            )
        order = np.argsort(pairs.receivers[bonds], kind="stable")
        self.middle = at
        self.ends = np.asarray(pairs.senders)[bonds][order].reshape(-1, 2)
        self.shifts = np.asarray(pairs.shifts)[bonds][order].reshape(-1, 2, 3)

    def __call__(self, crystal: Crystal) -> dict[str, np.ndarray | float]:
        """``offset``, ``(bridges, 3)`` Å, and ``angle``, the mean in degrees."""
        xyz, vectors = np.asarray(crystal.xyz, dtype=float), np.asarray(crystal.lattice(), dtype=float)
        ways = xyz[self.ends] + self.shifts - xyz[self.middle][:, None]
        arms = ways @ vectors
        cosine = (arms[:, 0] * arms[:, 1]).sum(-1) / np.linalg.norm(arms, axis=-1).prod(-1)
        return {
            "offset": -ways.mean(axis=1) @ self.vectors,
            "angle": float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))).mean()),
        }

    def summary(self, frames: Mapping[str, np.ndarray]) -> tuple[Observed, ...]:
        """The order parameter, with an error from blocks of the trajectory, and the mean angle."""
        offset, angle = frames[f"{OBSERVED}offset"], frames[f"{OBSERVED}angle"]
        count = min(BLOCKS, len(offset))
        others = [
            np.concatenate([offset[: part[0]], offset[part[-1] + 1 :]])
            for part in np.array_split(np.arange(len(offset)), count)
        ]
        values = np.array([_order(part) for part in others])
        error = float(np.sqrt((count - 1) / count * ((values - values.mean()) ** 2).sum()))
        return (
            Observed("order", "", _order(offset), error),
            Observed(self.name, "°", float(angle.mean()), float(mean_error(angle).error)),
        )


def _order(offset: Float[np.ndarray, "frames bridges 3"]) -> float:
    mean, square = (offset.mean(axis=0) ** 2).sum(-1).mean(), (offset**2).sum(-1).mean()
    return float(np.sqrt(mean / square)) if square > 0 else 0.0


class Distortion:
    """How much of a distortion there is: the projection of displacements on the way between two forms of a crystal.

    With d the displacements that take the form of higher symmetry to the crystal as it was given, and u those that take it to a
    frame, the amplitude is ``u·d / d·d``: 1 in the crystal as it was given, 0 in the other form, -1 where all is distorted the
    opposite way. Both are measured in the undeformed cell, without a drift of the whole. It is of this one domain: where a crystal
    may go over to others on cooling, look at `Bridges`, too.

    Args:
        cell: the supercell of the distorted crystal.
        sites: by label, fractional coordinates that the sites have in the other form, in the cell and the space group of the
            distorted one; sites that are left out stay where they are.

    Raises:
        ConventionError: labels that the crystal does not have, or no distortion at all.
    """

    def __init__(self, cell: Supercell, sites: Mapping[str, Sequence[float]]):
        require_kind(cell, Supercell, "the cell", "such as jn.dynamics.supercell(crystal)")
        parent = cell.parent
        unknown = sorted(sites.keys() - set(parent.labels))
        if unknown:
            raise ConventionError(f"{parent.name} has no site {unknown[0]!r}; its sites are {', '.join(parent.labels)}")
        axes = np.asarray(parent.lattice(), dtype=float)
        low = np.asarray(parent.xyz, dtype=float)
        way = np.zeros_like(low)
        for k, label in enumerate(parent.labels):
            if label in sites:
                place = np.asarray(sites[label], dtype=float)
                if place.shape != (3,) or not np.isfinite(place).all():
                    raise ConventionError(f"the coordinates of {label} are {sites[label]}; expected three numbers")
                step = place - low[k]
                # an equivalent by a lattice translation may have been given
                way[k] = step - np.round(step)
        moved = np.einsum("nij,nj->ni", cell.turn, (way @ axes)[cell.site])
        self.vectors = cell.vectors
        self.high = np.asarray(cell.crystal.xyz, dtype=float) + moved @ np.linalg.inv(self.vectors)
        self.pattern = -(moved - moved.mean(axis=0))
        size = np.sqrt((self.pattern**2).sum(axis=1).mean())
        if size < 1e-3:
            raise ConventionError(
                f"the sites of the other form are where those of {parent.name} are, within {size:.1g} Å: there is no distortion to follow"
            )

    def __call__(self, crystal: Crystal) -> dict[str, np.ndarray | float]:
        """``amplitude``."""
        u = (np.asarray(crystal.xyz, dtype=float) - self.high) @ self.vectors
        u = u - u.mean(axis=0)
        return {"amplitude": float((u * self.pattern).sum() / (self.pattern**2).sum())}

    def summary(self, frames: Mapping[str, np.ndarray]) -> tuple[Observed, ...]:
        """The mean amplitude."""
        amplitude = frames[f"{OBSERVED}amplitude"]
        return (Observed("amplitude", "", float(amplitude.mean()), float(mean_error(amplitude).error)),)


class Observers:
    """Several observers as one.

    Args:
        members: each with columns of its own.
    """

    def __init__(self, members: Sequence[Observer]):
        self.members = tuple(members)

    def __call__(self, crystal: Crystal) -> dict[str, np.ndarray | float]:
        """The columns of all."""
        return {name: value for member in self.members for name, value in member(crystal).items()}

    def summary(self, frames: Mapping[str, np.ndarray]) -> tuple[Observed, ...]:
        """The numbers of all."""
        return tuple(observed for member in self.members for observed in member.summary(frames))
