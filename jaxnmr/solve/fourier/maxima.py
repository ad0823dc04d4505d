"""Maxima of a density, one of those that symmetry makes equal (host)."""

from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ...crystal import lattice
from .density import Density

# Å, maxima that are closer are one; a Newton step goes no further
_ONE, _FURTHEST = 0.3, 0.25
_STEPS = 3


class Maxima(NamedTuple):
    """Fractional coordinates ``(n, 3)`` and heights ``(n,)``, the highest first."""

    points: Float[np.ndarray, "n 3"]
    heights: Float[np.ndarray, " n"]


def local_maxima(density: Density, most: int) -> Maxima:
    """Points of the grid above all their neighbours, brought to the maxima of the exact density.

    Args:
        density: where.
        most: how many.
    """
    grid, shape = density.grid, np.array(density.grid.shape)
    top = grid > 0.0
    for shift in product((-1, 0, 1), repeat=3):
        if shift > (0, 0, 0):
            top &= (grid >= np.roll(grid, shift, (0, 1, 2))) & (
                grid >= np.roll(grid, tuple(-s for s in shift), (0, 1, 2))
            )
    where = np.argwhere(top)
    order = np.argsort(-grid[tuple(where.T)], kind="stable")
    vectors = np.asarray(lattice(density.cell))
    points = _different(where[order] / shape, density, vectors, 2 * most)
    points = _climbed(points, density, vectors)
    heights = density.at(points)
    points = _different(points[np.argsort(-heights, kind="stable")], density, vectors, most)
    return Maxima(points % 1.0, density.at(points))


def _different(points: np.ndarray, density: Density, vectors: np.ndarray, most: int) -> np.ndarray:
    """The first points, those left out that symmetry takes to an earlier one."""
    rotations, translations = density.group.rotations, density.group.translations
    kept: list[np.ndarray] = []
    images = np.zeros((0, 3))
    for point in points:
        if len(kept) >= most:
            break
        delta = images - point
        delta = (delta - np.round(delta)) @ vectors
        if len(images) and (delta**2).sum(axis=1).min() < _ONE**2:
            continue
        kept.append(point)
        images = np.concatenate([images, np.einsum("kij,j->ki", rotations, point) + translations])
    return np.array(kept).reshape(-1, 3)


def _climbed(points: np.ndarray, density: Density, vectors: np.ndarray) -> np.ndarray:
    """Newton steps to the maxima of the exact density, as long as it curves downwards."""
    inverse = np.linalg.inv(vectors)
    for _ in range(_STEPS if len(points) else 0):
        first, second = density.slopes(points)
        gradient = first @ inverse.T
        curvature = np.einsum("ai,nij,bj->nab", inverse, second, inverse)
        values, axes = np.linalg.eigh(curvature)
        # an axis along which it does not curve downwards is followed a little
        along = np.einsum("nij,ni->nj", axes, gradient) / np.maximum(np.abs(values), 1e-9 + 1e-3 * np.abs(values).max())
        step = np.einsum("nij,nj->ni", axes, along)
        length = np.linalg.norm(step, axis=1, keepdims=True)
        points = points + (step * np.minimum(1.0, _FURTHEST / np.maximum(length, 1e-12))) @ inverse
    return points
