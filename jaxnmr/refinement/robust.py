"""Uncertainties with robust losses: what observations with a bounded influence determine (host)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..objective import Loss, Objective

# residuals that count less than half are named as discounted
_HALF = 0.5
# of observations of which hardly any counts, the curvature says nothing
_LEAST_CURVATURE = 0.05


@dataclass(frozen=True)
class RobustRows:
    """Residuals of one term with a robust loss.

    With the influence ``psi`` of the loss an estimate has the covariance ``A^-1 B A^-1``, where a term adds ``mean(psi') J^T J``
    to A and ``K² n/(n - p) mean(psi²) J^T J`` to B, ``K = 1 + p/n var(psi')/mean(psi')²`` with p the numbers it determines (P.
    J. Huber, Robust Statistics, 1981, section 7.6).

    Attributes:
        plain: ``(n,)`` residuals without the loss.
        loss: their loss.
    """

    plain: np.ndarray
    loss: Loss

    @property
    def curvature(self) -> float:
        """Mean of ``psi'``, no larger than for normal errors of the size that is claimed."""
        mean = float(np.mean(self.loss.curvature(self.plain)))
        return min(max(mean, _LEAST_CURVATURE), self.loss.normal_moments()[0])

    def scatter(self, determined: float, *, at_least_claimed: bool) -> float:
        """How much more the residuals scatter than their rows of :func:`effective_rows` say.

        Args:
            determined: the numbers that this term determines.
            at_least_claimed: no less than normal errors of the size that is claimed would.
        """
        count = len(self.plain)
        correction = 1.0 + determined / count * float(np.var(self.loss.curvature(self.plain))) / self.curvature**2
        influence = float(np.sum(self.loss.influence(self.plain) ** 2)) / max(count - determined, 1.0) * correction**2
        least = self.loss.normal_moments()[1] if at_least_claimed else 0.0
        return float(np.sqrt(max(influence, least) / self.curvature))

    def discounted(self) -> int:
        """How many residuals count less than half."""
        return int((self.loss.weights(self.plain) < _HALF).sum())


def effective_rows(
    objective: Objective, residuals: np.ndarray, jacobian: np.ndarray, slices: Mapping[str, slice]
) -> tuple[np.ndarray, dict[str, RobustRows]]:
    """A Jacobian whose rows stand for the information of observations with robust losses, and what is known of those.

    Args:
        objective: with its losses.
        residuals: ``(m,)`` with losses and weights.
        jacobian: ``(m, n)`` of these residuals.
        slices: by term, its rows.

    Returns:
        ``(m, n)``, and by name of the terms with a loss.
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
