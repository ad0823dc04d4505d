"""Isometries of a lattice, and the Wyckoff positions they exchange: indistinguishable in a powder pattern (host).

An origin shift, an inversion or an exchange of axes that preserves cell and space group describes the same crystal
differently. The Euclidean normaliser of a group contains all of them (International Tables A, part 15).
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Int

from ...crystal import SpaceGroup, metric
from ...typing import Numbers
from .wyckoff import GRID, wyckoff_positions

# relative difference up to which axes count as equal, angles accordingly
METRIC_TOLERANCE = 2e-3


def lattice_isometries(
    cell: Numbers, tolerance: float = METRIC_TOLERANCE, *, of: Numbers | None = None
) -> Int[np.ndarray, "n 3 3"]:
    """Return integer matrices, acting on columns, that map a lattice to that of a cell within a tolerance.

    Args:
        cell: ``(6,)`` Å and degrees.
        tolerance: relative tolerance of lengths.
        of: cell of the lattice that is mapped, both reduced if they are not in the same setting; ``cell`` itself by
            default, with the identity as the first matrix.
    """
    g = metric(np.asarray(cell, dtype=float))
    flat = lambda m: tuple(np.round(m / np.trace(g), 9).ravel().tolist())
    return _isometries(flat(g if of is None else metric(np.asarray(of, dtype=float))), flat(g), tolerance)


@lru_cache(maxsize=256)
def _isometries(start: tuple[float, ...], end: tuple[float, ...], tolerance: float) -> Int[np.ndarray, "n 3 3"]:
    wanted, g = np.array(start).reshape(3, 3), np.array(end).reshape(3, 3)
    reach = np.arange(-1, 2)
    vectors = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), axis=-1).reshape(-1, 3)[
        np.any(np.indices((3, 3, 3)).reshape(3, -1).T != 1, axis=1)
    ]
    squared = np.einsum("ni,ij,nj->n", vectors, g, vectors)
    length = np.sqrt(np.diag(wanted))
    columns = [vectors[np.abs(np.sqrt(squared) / length[k] - 1.0) < tolerance] for k in range(3)]
    found = []
    for a in columns[0]:
        for b in columns[1]:
            if abs(a @ g @ b - wanted[0, 1]) > tolerance * length[0] * length[1]:
                continue
            for c in columns[2]:
                matrix = np.array([a, b, c]).T
                off = np.abs(matrix.T @ g @ matrix - wanted) / np.outer(length, length)
                if off.max() < 2.0 * tolerance and abs(round(np.linalg.det(matrix))) == 1:
                    found.append(matrix)
    first = np.eye(3, dtype=int)
    found.sort(key=lambda m: bool((m != first).any()))
    return np.array(found, dtype=int).reshape(-1, 3, 3)


def normaliser(group: SpaceGroup, cell: Numbers) -> list[tuple[Int[np.ndarray, "3 3"], Int[np.ndarray, "shifts 3"]]]:
    """Return the isometries that preserve a group in its cell: matrices, each with its shifts (in 1/24).

    One matrix represents all that differ from it by a rotation of the group. Shifts along a polar axis are included
    only at multiples of 1/24 or more.
    """
    listed = _listed(group)
    found = []
    seen: set[bytes] = set()
    for matrix in lattice_isometries(cell):
        if matrix.tobytes() in seen:
            continue
        seen |= {product.tobytes() for product in np.einsum("ij,njk->nik", matrix, group.rotations)}
        shifts = _shifts(group, listed, matrix)
        if len(shifts):
            found.append((matrix, shifts))
    return found


@lru_cache(maxsize=1)
def _grid() -> Int[np.ndarray, "points 3"]:
    """Return multiples of 1/12 and of 1/8, in 1/24."""
    points = [
        np.stack(np.meshgrid(*[np.arange(0, GRID, step)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) for step in (2, 3)
    ]
    return np.unique(np.concatenate(points), axis=0)


def _keys(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Encode an operation modulo the lattice as one integer."""
    digits = np.concatenate([rotation.reshape(*rotation.shape[:-2], 9) + 4, translation % GRID], axis=-1)
    return digits @ (GRID ** np.arange(12, dtype=np.int64))


def _listed(group: SpaceGroup) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    translations = np.rint(group.translations * GRID).astype(np.int64)
    return group.rotations, translations, np.sort(_keys(group.rotations, translations))


def _shifts(group: SpaceGroup, listed: tuple[np.ndarray, np.ndarray, np.ndarray], matrix: np.ndarray) -> np.ndarray:
    """Return all ``w`` for which ``(W, w)`` maps the group to itself."""
    rotations, translations, keys = listed
    inverse = np.rint(np.linalg.inv(matrix)).astype(int)
    turned = np.einsum("ij,njk,kl->nil", matrix, rotations, inverse)
    known = {tuple(r.ravel()) for r in rotations}
    if not all(tuple(r.ravel()) in known for r in turned):
        return np.zeros((0, 3), dtype=int)
    left = _grid()
    for rotation, translation in zip(turned, translations @ matrix.T, strict=True):
        moved = translation + left @ (np.eye(3, dtype=int) - rotation).T
        left = left[np.isin(_keys(np.broadcast_to(rotation, (len(left), 3, 3)), moved), keys)]
        if len(left) == 0:
            break
    return left


def exchanges(group: SpaceGroup, cell: Numbers) -> Int[np.ndarray, "n positions"]:
    """Return the distinct permutations of Wyckoff positions by isometries of the group, the identity first."""
    positions = wyckoff_positions(group)
    points = positions.generic
    found = {tuple(range(len(positions))): None}
    for matrix, shifts in normaliser(group, cell):
        images = (points @ matrix.T + shifts[:, None]) % GRID
        for row in np.unique(positions.label[images[..., 0], images[..., 1], images[..., 2]], axis=0):
            found.setdefault(tuple(row.tolist()))
    return np.array(list(found))
