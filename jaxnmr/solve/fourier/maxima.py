"""Symmetry-independent maxima of a density (host)."""

from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ...crystal import lattice
from .density import Density

# Å, maxima closer than this are merged; largest Newton step
_ONE, _FURTHEST = 0.3, 0.25
_STEPS = 3


class Maxima(NamedTuple):
    """Fractional coordinates ``(n, 3)`` and heights ``(n,)``, the highest first."""

    points: Float[np.ndarray, "n 3"]
    heights: Float[np.ndarray, " n"]


def local_maxima(density: Density, most: int, *, exact: bool = True) -> Maxima:
    """Find grid points above all their neighbours, and refine them to maxima of the density.

    Args:
        density: density to search.
        most: largest number of maxima.
        exact: refine on the sum over reflections, instead of a parabola through neighbours.
    """
    grid, shape = density.grid, np.array(density.grid.shape)
    top = grid > 0.0
    for shift in product((-1, 0, 1), repeat=3):
        if shift > (0, 0, 0):
            top &= (grid >= np.roll(grid, shift, (0, 1, 2))) & (
                grid >= np.roll(grid, tuple(-s for s in shift), (0, 1, 2))
            )
    where = np.argwhere(top)
    where = where[np.argsort(-grid[tuple(where.T)], kind="stable")[: 2 * most * density.group.order]]
    heights = grid[tuple(where.T)]
    vectors = np.asarray(lattice(density.cell))
    if not exact:
        points, heights = _different((where + _parabola(grid, where, heights)) / shape, heights, density, vectors, most)
        return Maxima(points % 1.0, heights)
    points, _ = _different(where / shape, heights, density, vectors, 2 * most)
    points = _climbed(points, density, vectors)
    heights = density.at(points)
    order = np.argsort(-heights, kind="stable")
    points, heights = _different(points[order], heights[order], density, vectors, most)
    return Maxima(points % 1.0, heights)


def _parabola(grid: np.ndarray, where: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Return the offset of the maximum along each axis, in steps."""
    shift = np.zeros((len(where), 3))
    for axis in range(3):
        step = np.eye(3, dtype=int)[axis]
        before, after = (grid[tuple(((where + s * step) % grid.shape).T)] for s in (-1, 1))
        shift[:, axis] = (
            0.5 * (before - after) / np.minimum(before + after - 2.0 * heights, -1e-12 * np.abs(heights) - 1e-300)
        )
    return np.clip(shift, -0.5, 0.5)


def _different(
    points: np.ndarray, heights: np.ndarray, density: Density, vectors: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first points, without those equivalent by symmetry to an earlier one."""
    rotations, translations = density.group.rotations, density.group.translations
    kept: list[int] = []
    left = np.ones(len(points), dtype=bool)
    while left.any() and len(kept) < most:
        first = int(left.argmax())
        kept.append(first)
        delta = (rotations @ points[first] + translations)[:, None] - points[left]
        delta = (delta - np.round(delta)) @ vectors
        left[left] = (delta**2).sum(axis=-1).min(axis=0) >= _ONE**2
        left[first] = False
    return points[kept].reshape(-1, 3), heights[kept]


def _climbed(points: np.ndarray, density: Density, vectors: np.ndarray) -> np.ndarray:
    """Take Newton steps to the maxima of the exact density, as long as it curves downwards."""
    inverse = np.linalg.inv(vectors)
    for _ in range(_STEPS if len(points) else 0):
        first, second = density.slopes(points)
        gradient = first @ inverse.T
        curvature = np.einsum("ai,nij,bj->nab", inverse, second, inverse)
        values, axes = np.linalg.eigh(curvature)
        # along axes where the curvature is not negative, take a short step along the gradient
        along = np.einsum("nij,ni->nj", axes, gradient) / np.maximum(np.abs(values), 1e-9 + 1e-3 * np.abs(values).max())
        step = np.einsum("nij,nj->ni", axes, along)
        length = np.linalg.norm(step, axis=1, keepdims=True)
        points = points + (step * np.minimum(1.0, _FURTHEST / np.maximum(length, 1e-12))) @ inverse
    return points
