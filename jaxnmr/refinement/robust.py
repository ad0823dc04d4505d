"""Uncertainties with robust losses, from observations with bounded influence (host)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..objective import Loss, Objective

# residuals with a weight below this are counted as discounted
_HALF = 0.5
# lower limit of the mean curvature, which is meaningless if hardly any observation counts
_LEAST_CURVATURE = 0.05


@dataclass(frozen=True)
class RobustRows:
    """Residuals of one term with a robust loss.

    With the influence ``psi`` of the loss an estimate has the covariance ``A^-1 B A^-1``, to which a term contributes
    ``mean(psi') J^T J`` to A and ``K² n/(n - p) mean(psi²) J^T J`` to B, ``K = 1 + p/n var(psi')/mean(psi')²``, where
    the term determines p parameters (P. J. Huber, Robust Statistics, 1981, section 7.6).

    Attributes:
        plain: ``(n,)`` residuals without the loss.
        loss: the loss.
    """

    plain: np.ndarray
    loss: Loss

    @property
    def curvature(self) -> float:
        """Mean of ``psi'``, at most that for normal errors of the stated size."""
        mean = float(np.mean(self.loss.curvature(self.plain)))
        return min(max(mean, _LEAST_CURVATURE), self.loss.normal_moments()[0])

    def scatter(self, determined: float, *, at_least_claimed: bool) -> float:
        """Return the ratio of the scatter of the residuals to that implied by their rows of :func:`effective_rows`.

        Args:
            determined: number of parameters that this term determines.
            at_least_claimed: whether the result is at least that for normal errors of the stated size.
        """
        count = len(self.plain)
        correction = 1.0 + determined / count * float(np.var(self.loss.curvature(self.plain))) / self.curvature**2
        influence = float(np.sum(self.loss.influence(self.plain) ** 2)) / max(count - determined, 1.0) * correction**2
        least = self.loss.normal_moments()[1] if at_least_claimed else 0.0
        return float(np.sqrt(max(influence, least) / self.curvature))

    def discounted(self) -> int:
        """Count the residuals weighted by less than half."""
        return int((self.loss.weights(self.plain) < _HALF).sum())


def effective_rows(
    objective: Objective, residuals: np.ndarray, jacobian: np.ndarray, slices: Mapping[str, slice]
) -> tuple[np.ndarray, dict[str, RobustRows]]:
    """Return a Jacobian whose rows carry the information of observations with robust losses, and details of these terms.

    Args:
        objective: objective with its losses.
        residuals: ``(m,)`` with losses and weights.
        jacobian: ``(m, n)`` Jacobian of these residuals.
        slices: rows of each term.

    Returns:
        ``(m, n)``, and `RobustRows` by name of the terms with a loss.
    """
    found: dict[str, RobustRows] = {}
    for term, loss, weight in zip(objective.terms, objective.losses, np.asarray(objective.weights), strict=True):
        rows = slices[term.name]
        if loss is None or weight == 0:
            continue
        if not found:
            jacobian = jacobian.copy()
        found[term.name] = of = RobustRows(np.asarray(loss.undone(residuals[rows] / np.sqrt(weight))), loss)
        slope = np.asarray(loss.residuals_and_slopes(of.plain)[1])
        jacobian[rows] *= (np.sqrt(of.curvature) / slope)[:, None]
    return jacobian, found
