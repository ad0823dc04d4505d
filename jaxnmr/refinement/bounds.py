"""Refined numbers that end beside a bound and are lost there (host).

Beside a bound may lie a point of symmetry: an asymmetry of 1, for one, where the tensor with the opposite sign begins. A
minimum there has no slope along some direction, a refinement creeps up to it without arriving, and uncertainties explode.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .linearised import Linearised

# how close to its bound a number must be, in typical changes of it
_BESIDE = 0.5
# with a single bound: an uncertainty so many typical changes large says nothing any more
_LOST = 100.0
# by how much chi² may rise in units of GoF²: nothing that matters
_NOTHING = 1e-2

Linearise = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def settled_at_bounds(
    linearise: Linearise,
    theta: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    active: np.ndarray,
    found: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """The point with numbers at a bound that lie beside it and whose uncertainty is larger than all values they may have.

    Args:
        linearise: residuals and Jacobian at other refined numbers.
        theta, lower, upper: ``(n,)`` the refined numbers, in typical changes, and their bounds.
        active: ``(n,)`` which of them moved.
        found: residuals and Jacobian at ``theta``.

    Returns:
        Refined numbers, residuals and Jacobian; those given where nothing is to be held, or chi² would rise.
    """
    r, jacobian = found
    inside = active & (theta > lower) & (theta < upper)
    problem = Linearised.create(r, jacobian)
    chi2, freedom = float(r @ r), max(r.size - int(inside.sum()), 1)
    esd = np.zeros(theta.size)
    esd[inside] = np.sqrt(np.maximum(np.diag(problem.subset(inside).covariance()), 0.0) * chi2 / freedom)
    nearest = np.where(theta - lower < upper - theta, lower, upper)
    width = upper - lower
    lost = inside & (np.abs(theta - nearest) < _BESIDE) & (esd > np.where(np.isfinite(width), width, _LOST))
    if not lost.any():
        return theta, found
    trial = np.where(lost, nearest, theta)
    rest = inside & ~lost
    # what is left follows to its own minimum
    moved = Linearised.create(r + jacobian @ (trial - theta), jacobian).subset(rest).minimum()
    trial[rest] = np.clip(trial[rest] + moved, lower[rest], upper[rest])
    there = linearise(trial)
    chi2_there = float(there[0] @ there[0])
    if not chi2_there <= chi2 * (1.0 + _NOTHING / freedom):
        return theta, found
    return trial, there
