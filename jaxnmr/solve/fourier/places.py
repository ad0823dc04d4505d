"""Wyckoff positions on or near a point of the cell (host)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ...crystal import lattice
from ..direct.wyckoff import Positions


class Place(NamedTuple):
    """A position near a point.

    Attributes:
        number: index of the Wyckoff position.
        u: ``(dof,)`` coordinates in Å, as in assignments.
        distance: distance from the point in Å.
    """

    number: int
    u: Float[np.ndarray, " dof"]
    distance: float


class Places:
    """Finder of positions.

    Args:
        positions: Wyckoff positions of the group.
        cell: ``(6,)``.
    """

    def __init__(self, positions: Positions, cell: Float[np.ndarray, "6"]):
        self._positions = positions
        self._vectors = np.asarray(lattice(np.asarray(cell, dtype=float)))
        self._cells = np.indices((3, 3, 3)).reshape(3, -1).T - 1
        self._known = []
        for position in positions.every:
            along = np.einsum("ia,mip->map", self._vectors, position.matrices.astype(float))
            self._known.append((along, np.linalg.pinv(along) if position.dof else np.zeros((len(along), 0, 3))))

    def near(self, point: Float[np.ndarray, "3"], within: float) -> list[Place]:
        """Return the nearest coordinates on every position within a distance in Å; the general position last."""
        found = []
        for position, (along, inverse) in zip(self._positions.every, self._known, strict=True):
            delta = point - position.shifts
            delta = ((delta - np.round(delta))[:, None] + self._cells) @ self._vectors
            numbers = np.einsum("mpa,mca->mcp", inverse, delta)
            off = np.linalg.norm(delta - np.einsum("map,mcp->mca", along, numbers), axis=-1)
            image, cell = np.unravel_index(int(off.argmin()), off.shape)
            if off[image, cell] <= within:
                lengths = np.linalg.norm(along[0], axis=0)
                found.append(Place(position.number, numbers[image, cell] * lengths, float(off[image, cell])))
        return found

    def atoms(self, number: int, u: Float[np.ndarray, " dof"]) -> Float[np.ndarray, "multiplicity 3"]:
        """Return fractional coordinates of all atoms of a site; ``u`` in Å."""
        position = self._positions[number]
        lengths = np.linalg.norm(self._known[number][0][0], axis=0)
        return position.matrices @ (u / lengths) + position.shifts

    def distances(self, first: Float[np.ndarray, "3"], others: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Return the distances of nearest images, Å."""
        delta = others - first
        delta = ((delta - np.round(delta))[:, None] + self._cells) @ self._vectors
        return np.sqrt((delta**2).sum(axis=-1)).min(axis=1)
