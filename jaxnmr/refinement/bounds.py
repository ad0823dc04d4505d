"""Refined parameters that end close to a bound and are undetermined there (host).

Close to a bound there may be a point of symmetry, such as an asymmetry of 1, where the tensor with the opposite sign
begins. A minimum there has no slope along some direction, a refinement creeps up to it without arriving, and
uncertainties diverge.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .linearised import Linearised

# largest distance from the bound, in typical changes of the parameter
_BESIDE = 0.5
# with a single bound: an uncertainty of this many typical changes carries no information
_LOST = 100.0
# negligible increase of chi², in units of GoF²
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
    """Return the point with parameters moved to a nearby bound if their uncertainty exceeds their whole range.

    Args:
        linearise: returns residuals and Jacobian at another ``theta``.
        theta, lower, upper: ``(n,)`` refined parameters, in typical changes, and their bounds.
        active: ``(n,)`` which of them are moving.
        found: residuals and Jacobian at ``theta``.

    Returns:
        Refined parameters, residuals and Jacobian; unchanged if none is to be held, or chi² would rise.
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
    # the remaining parameters go to their own minimum
    moved = Linearised.create(r + jacobian @ (trial - theta), jacobian).subset(rest).minimum()
    trial[rest] = np.clip(trial[rest] + moved, lower[rest], upper[rest])
    there = linearise(trial)
    chi2_there = float(there[0] @ there[0])
    if not chi2_there <= chi2 * (1.0 + _NOTHING / freedom):
        return theta, found
    return trial, there
