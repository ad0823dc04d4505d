"""Gauss-Newton minimisation with a standard normal prior, for fewer residuals than unknowns (host)."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

# the search ends when the gain of a step is below this
_LEAST_GAIN = 1e-4


class MostProbable(NamedTuple):
    """Result of a search.

    Attributes:
        z: unknowns, in standard deviations of the prior.
        first, residual: whitened residuals at the start and at the end.
        covariance: ``(n, n)`` covariance of the unknowns; exact for a linear problem.
        log_evidence: log evidence of the observations with this prior, up to a constant; exact for a linear problem.
        steps: number of steps taken.
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
    """Minimise ``|residual(z)|² + |z|²``, starting from ``z = 0``; a step that increases it is shortened.

    Args:
        at: returns whitened residuals and their derivatives.
        size: number of unknowns.
        steps: largest number of steps.
    """
    z = np.zeros(size)
    residual, jacobian = at(z)
    first, cost, damping, taken = residual, residual @ residual, 1e-3, 0
    for _ in range(steps):
        # fewer residuals than unknowns: their matrix is the smaller one
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
