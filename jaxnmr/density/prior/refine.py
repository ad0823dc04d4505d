"""Refinement of coefficients against a pattern: Gauss-Newton on its lines with a normal prior (host)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..agreement import SCALE_SPREAD, best_scale, r_factor, root_mean_square
from ..descent import most_probable
from .basis import Basis
from .data import LineSet


class LineModel(NamedTuple):
    """Areas of lines as a function of coefficients: ``sum over a line of v²`` with ``v = first + second @ c``.

    Attributes:
        first: ``(m,)`` real and imaginary parts of the waves of the mean.
        second: ``(m, K)`` those of the functions.
        summing: ``(lines, m)`` assignment of waves to lines.
    """

    first: Float[np.ndarray, " m"]
    second: Float[np.ndarray, "m k"]
    summing: Float[np.ndarray, "lines m"]

    @classmethod
    def plan(cls, basis: Basis, lines: LineSet) -> "LineModel":
        """Make the model, which is common to all crystals."""
        inside, line = lines.rows(basis.waves)
        rows = np.concatenate([inside, inside + len(basis.waves.hkl)])
        summing = np.zeros((len(lines.squares), len(rows)))
        summing[np.tile(line, 2), np.arange(len(rows))] = 1.0
        return cls(basis.mean[rows], basis.vectors[rows], summing)

    def areas(self, c: Float[np.ndarray, " k"]) -> Float[np.ndarray, " lines"]:
        """Return areas, e²/Å⁶."""
        return self.summing @ (self.first + self.second @ c) ** 2

    def areas_and_derivatives(self, c: Float[np.ndarray, " k"]) -> tuple[np.ndarray, Float[np.ndarray, "lines k"]]:
        """Return areas and their derivatives by the coefficients."""
        v = self.first + self.second @ c
        return self.summing @ v**2, 2.0 * (self.summing @ (v[:, None] * self.second))


class Refined(NamedTuple):
    """Result of a refinement.

    Attributes:
        c: coefficients.
        covariance: posterior covariance; exact for a linear problem.
        scale: observed areas over calculated ones.
        misfit_before, misfit: root mean square of line residuals in standard deviations; the first at its best scale.
        r_before, r: ``sum |sqrt(I_o) - sqrt(I_c)| / sum sqrt(I_o)``.
        steps: number of steps taken.
        log_evidence: log evidence of the lines with this prior, up to a constant of the lines; exact for a linear
            problem.
        width: factor on the standard deviations of the prior.
    """

    c: np.ndarray
    covariance: np.ndarray
    scale: float
    misfit_before: float
    misfit: float
    r_before: float
    r: float
    steps: int
    log_evidence: float
    width: float = 1.0


def refine_coefficients(
    model: LineModel,
    areas: Float[np.ndarray, " lines"],
    sigma: Float[np.ndarray, " lines"],
    mean: Float[np.ndarray, " k"],
    covariance: Float[np.ndarray, "k k"],
    *,
    scale: float | None = None,
    steps: int = 20,
) -> Refined:
    """Find the most probable coefficients given a pattern of unknown scale and a normal prior.

    Residuals are differences of square roots of areas, which are nearly linear in the coefficients, divided by their
    standard deviations ``sigma/(2 sqrt(I))``; noise keeps those of absent lines finite.

    Args:
        model: model of the lines.
        areas, sigma: observed areas and their deviations.
        mean, covariance: mean and covariance of the prior.
        scale: observed areas over calculated ones; refined if not given.
        steps: largest number of steps.
    """
    factor = np.linalg.cholesky(covariance)
    # bounds the slope of the square roots of absent lines to what the noise warrants
    lift = sigma.min()
    observed = np.sqrt(areas + lift)
    deviation = sigma / (2.0 * observed)
    size, free = len(mean), scale is None
    if scale is None:
        scale = best_scale(areas, model.areas(mean))
    begin = float(scale)

    def at(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        calculated, slope = model.areas_and_derivatives(mean + factor @ z[:size])
        grown = begin * np.exp(z[size] * SCALE_SPREAD)
        root = np.sqrt(grown * calculated + lift)
        jacobian = np.empty((len(areas), size + 1))
        jacobian[:, :size] = (grown * slope) @ factor
        jacobian[:, size] = grown * calculated * SCALE_SPREAD * free
        return (root - observed) / deviation, jacobian / (2.0 * root * deviation)[:, None]

    ended = most_probable(at, size + 1, steps)
    posterior = factor @ ended.covariance[:size, :size] @ factor.T
    c = mean + factor @ ended.z[:size]
    found = begin * float(np.exp(ended.z[size] * SCALE_SPREAD))
    return Refined(
        c, 0.5 * (posterior + posterior.T), found, root_mean_square(ended.first), root_mean_square(ended.residual),
        r_factor(areas, begin * model.areas(mean)), r_factor(areas, found * model.areas(c)), ended.steps, ended.log_evidence,
    )  # fmt: skip
