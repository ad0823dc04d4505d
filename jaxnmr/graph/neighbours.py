"""Neighbours in a periodic structure, including every image of every atom (host)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import ConventionError, ShapeError

# No two nuclei are this close (Å) in matter under ordinary pressure; H2 has 0.74
OVERLAP_DISTANCE = 0.4
# Å^3 per Å^3 of edge lengths below which three vectors span no cell
_FLAT = 1e-6


class Neighbours(NamedTuple):
    """Directed pairs, sorted by receiver.

    Attributes:
        senders, receivers: ``(edges,)`` atom numbers; the vector of an edge points from receiver to sender.
        shifts: ``(edges, 3)`` integers; the sender's image is at ``positions[sender] + shift @ lattice``.
    """

    senders: np.ndarray
    receivers: np.ndarray
    shifts: np.ndarray

    def vectors(self, lattice: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Edge vectors ``(edges, 3)`` in Å."""
        return positions[self.senders] - positions[self.receivers] + self.shifts @ lattice


def plan_neighbours(
    lattice,
    positions,
    cutoff: float,
    centres=None,
    *,
    names: Sequence[str] | None = None,
    closest: float = OVERLAP_DISTANCE,
) -> Neighbours:
    """Find all pairs of atoms closer than a cutoff, across as many cells as necessary.

    Images within reach of the cell are sorted into boxes as wide as the cutoff; candidates are the atoms of 27 boxes, so
    that the cost per atom does not grow with the cell.

    Args:
        lattice: ``(3, 3)`` cell vectors in rows, Å; any shape and handedness.
        positions: ``(atoms, 3)`` in Å, inside the cell or not.
        cutoff: Å; pairs at exactly this distance are excluded.
        centres: atoms that receive edges; all by default.
        names: of the atoms, for errors; their indices by default.
        closest: Å; atoms closer than this are considered to coincide.

    Returns:
        Pairs sorted by receiver, sender and shift. An atom is a neighbour of its own images, never of itself.

    Raises:
        ShapeError: arrays of the wrong shape.
        ConventionError: a cell without volume, numbers that are not finite, a cutoff that is not positive, or
            coinciding atoms.
    """
    lattice, positions = _checked(lattice, positions, cutoff)
    n = len(positions)
    centres = np.arange(n) if centres is None else np.unique(np.asarray(centres, dtype=int))
    fractional = np.linalg.solve(lattice.T, positions.T).T
    wrapped = np.floor(fractional)
    fractional = fractional - wrapped

    # reciprocal of the distance between opposite faces in units of the cutoff: reach of the cutoff in fractional
    # coordinates
    reach = cutoff * np.linalg.norm(np.linalg.inv(lattice), axis=0) + 1e-9
    cells = np.stack(np.meshgrid(*(np.arange(-np.ceil(r), np.ceil(r) + 1) for r in reach), indexing="ij"), -1)
    cells = cells.reshape(-1, 3)
    images = fractional[None] + cells[:, None]
    cell, atom = np.nonzero(((images >= -reach) & (images < 1.0 + reach)).all(axis=-1))
    points = images[cell, atom] @ lattice

    corner = points.min(axis=0) - cutoff
    box = np.floor((points - corner) / cutoff).astype(int)
    size = box.max(axis=0) + 2
    key = (box[:, 0] * size[1] + box[:, 1]) * size[2] + box[:, 2]
    order = np.argsort(key, kind="stable")
    key = key[order]

    # boxes that differ only in z are consecutive: nine ranges per centre
    here = fractional[centres] @ lattice
    at = np.floor((here - corner) / cutoff).astype(int)
    dx, dy = (d.ravel()[:, None] for d in np.meshgrid((-1, 0, 1), (-1, 0, 1)))
    column = ((at[:, 0] + dx) * size[1] + at[:, 1] + dy) * size[2] + at[:, 2]
    first, last = np.searchsorted(key, column - 1, "left").ravel(), np.searchsorted(key, column + 1, "right").ravel()
    counts = last - first
    centre = np.repeat(np.tile(np.arange(len(centres)), 9), counts)
    starts = np.repeat(first - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
    candidate = order[starts + np.arange(counts.sum())]

    squared = ((points[candidate] - here[centre]) ** 2).sum(axis=-1)
    receivers, senders = centres[centre], atom[candidate]
    shifts = cells[cell[candidate]]
    itself = (senders == receivers) & ~shifts.any(axis=-1)
    close = (squared < cutoff**2) & ~itself
    receivers, senders, squared = receivers[close], senders[close], squared[close]
    shifts = (shifts[close] + wrapped[receivers] - wrapped[senders]).astype(np.int32)
    if squared.size and squared.min() < closest**2:
        worst = int(np.argmin(squared))
        first, second = (str(k) if names is None else names[k] for k in (receivers[worst], senders[worst]))
        raise ConventionError(
            f"atoms {first} and {second} are {np.sqrt(squared[worst]):.3f} Å apart (cell "
            f"{shifts[worst].tolist()}): remove duplicates, or choose one of the alternatives of a disordered site"
        )
    sort = np.lexsort((shifts[:, 2], shifts[:, 1], shifts[:, 0], senders, receivers))
    return Neighbours(senders[sort].astype(np.int32), receivers[sort].astype(np.int32), shifts[sort])


def _checked(lattice, positions, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    lattice, positions = np.asarray(lattice, dtype=float), np.asarray(positions, dtype=float)
    if lattice.shape != (3, 3):
        raise ShapeError(f"the lattice has the shape {lattice.shape}; expected (3, 3), cell vectors in rows")
    if positions.ndim != 2 or positions.shape[1] != 3 or not len(positions):
        raise ShapeError(f"positions have the shape {positions.shape}; expected (atoms, 3)")
    for name, values in (("lattice", lattice), ("positions", positions)):
        if not np.isfinite(values).all():
            raise ConventionError(f"{name}: row {int(np.argwhere(~np.isfinite(values))[0, 0])} is not finite")
    edges = np.linalg.norm(lattice, axis=1)
    if not abs(np.linalg.det(lattice)) > _FLAT * max(edges.prod(), _FLAT):
        raise ConventionError(f"the cell {lattice.tolist()} has no volume: its three vectors must span a space")
    if not (np.isfinite(cutoff) and cutoff > 0):
        raise ConventionError(f"the cutoff is {cutoff}; expected a positive distance in Å")
    return lattice, positions
