"""Gauss-Newton with a standard normal prior, for fewer residuals than unknowns (host)."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

# the search ends when nothing changes by more than this
_LEAST_GAIN = 1e-4


class MostProbable(NamedTuple):
    """Where a search ended.

    Attributes:
        z: unknowns, in standard deviations of the prior.
        first, residual: whitened residuals where it began and where it ended.
        covariance: ``(n, n)`` of the unknowns, of a linear problem exactly.
        log_evidence: how probable the observations are with this prior, up to a constant; of a linear problem exactly.
        steps: taken.
    """

    z: Float[np.ndarray, " n"]
    first: Float[np.ndarray, " m"]
    residual: Float[np.ndarray, " m"]
    covariance: Float[np.ndarray, "n n"]
    log_evidence: float
    steps: int


def most_probable(
    at: Callable[[np.ndarray], tuple[Float[np.ndarray, " m"], Float[np.ndarray, "m n"]]], size: int, steps: int
) -> MostProbable:
    """Minimise ``|residual(z)|² + |z|²``, from ``z = 0``; a step that makes it worse is shortened.

    Args:
        at: whitened residuals and their derivatives.
        size: number of unknowns.
        steps: at most.
    """
    z = np.zeros(size)
    residual, jacobian = at(z)
    first, cost, damping, taken = residual, residual @ residual, 1e-3, 0
    for _ in range(steps):
        # residuals are fewer than unknowns: their matrix is the smaller one
        inner = jacobian @ jacobian.T + (1.0 + damping) * np.eye(len(residual))
        target = -jacobian.T @ np.linalg.solve(inner, residual - jacobian @ z)
        trial = z + (target - z) / (1.0 + damping)
        tried, slope = at(trial)
        new = tried @ tried + trial @ trial
        if new < cost:
            gain = cost - new
            z, residual, jacobian, cost = trial, tried, slope, new
            damping, taken = damping * 0.1, taken + 1
            if gain < _LEAST_GAIN * (1.0 + cost):
                break
        else:
            damping = max(damping, 1e-2) * 10.0
            if damping > 1e6:
                break
    inner = np.eye(len(residual)) + jacobian @ jacobian.T
    covariance = np.eye(size) - jacobian.T @ np.linalg.solve(inner, jacobian)
    evidence = float(-0.5 * (cost + np.linalg.slogdet(inner)[1]))
    return MostProbable(z, first, residual, 0.5 * (covariance + covariance.T), evidence, taken)
