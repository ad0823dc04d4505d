"""Neighbours in a periodic structure, including every image of every atom (host)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import ConventionError, ShapeError

# No two nuclei are this close (Å) in matter under ordinary pressure; H2 has 0.74
OVERLAP_DISTANCE = 0.4
# Å^3 per Å^3 of edge lengths below which three vectors span no cell
_FLAT = 1e-6
# boxes per cutoff: more have fewer candidates, and more columns to look through
_PARTS = 2


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

    Images within reach of the cell are sorted into boxes half as wide as the cutoff; candidates are the atoms of the boxes
    around, so that the cost per atom does not grow with the cell.

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

    width = cutoff / _PARTS
    corner = points.min(axis=0) - cutoff
    box = np.floor((points - corner) / width).astype(int)
    size = box.max(axis=0) + 1 + _PARTS
    key = (box[:, 0] * size[1] + box[:, 1]) * size[2] + box[:, 2]
    order = np.argsort(key, kind="stable")
    key = key[order]

    # boxes that differ only in z are consecutive: one range for every column of boxes within reach
    here = fractional[centres] @ lattice
    at = np.floor((here - corner) / width).astype(int)
    dx, dy = (d.ravel() for d in np.meshgrid(*2 * [np.arange(-_PARTS, _PARTS + 1)]))
    near = np.maximum(np.abs(dx) - 1, 0) ** 2 + np.maximum(np.abs(dy) - 1, 0) ** 2 < _PARTS**2
    column = ((at[:, :1] + dx[near]) * size[1] + at[:, 1:2] + dy[near]) * size[2] + at[:, 2:]
    first = np.searchsorted(key, (column - _PARTS).ravel(), "left")
    last = np.searchsorted(key, (column + _PARTS).ravel(), "right")
    counts = last - first
    ends = np.cumsum(counts)
    centre = np.repeat(np.repeat(np.arange(len(centres)), np.count_nonzero(near)), counts)
    candidate = np.arange(counts.sum()) + np.repeat(first - (ends - counts), counts)

    # one axis after the other: rows of three are slow to gather
    squared = np.zeros(len(candidate))
    for mine, other in zip(here.T.copy(), points[order].T.copy(), strict=True):
        squared += (other[candidate] - mine[centre]) ** 2
    close = np.flatnonzero(squared < cutoff**2)
    chosen = order[candidate[close]]
    receivers, senders, shifts, squared = centres[centre[close]], atom[chosen], cells[cell[chosen]], squared[close]
    others = np.flatnonzero((senders != receivers) | shifts.any(axis=-1))
    receivers, senders, squared = receivers[others], senders[others], squared[others]
    shifts = (shifts[others] + wrapped[receivers] - wrapped[senders]).astype(np.int32)
    if squared.size and squared.min() < closest**2:
        worst = int(np.argmin(squared))
        first, second = (str(k) if names is None else names[k] for k in (receivers[worst], senders[worst]))
        raise ConventionError(
            f"atoms {first} and {second} are {np.sqrt(squared[worst]):.3f} Å apart (cell "
            f"{shifts[worst].tolist()}): remove duplicates, or choose one of the alternatives of a disordered site"
        )
    sort = np.argsort(_order(receivers, senders, shifts, n))
    return Neighbours(senders[sort].astype(np.int32), receivers[sort].astype(np.int32), shifts[sort])


def _order(receivers: np.ndarray, senders: np.ndarray, shifts: np.ndarray, atoms: int) -> np.ndarray:
    """One number per pair, in the order of receiver, sender and shift."""
    number = receivers.astype(np.int64) * atoms + senders
    for shift in shifts.T.astype(np.int64):
        low = shift.min(initial=0)
        number = number * (shift.max(initial=0) - low + 1) + shift - low
    return number


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
