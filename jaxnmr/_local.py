"""Estimation of the parameters of one observation by local regression on simulations, with held-out errors."""

from __future__ import annotations

from typing import Any, Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ._ridge import ridge
from ._struct import Struct
from .errors import DataError
from .typing import Array

_RIDGES = tuple(10.0 ** np.arange(-12.0, -1.0))
# simulations per coefficient of the quadratic function; with fewer there are no held-out errors
_FEWEST = 8
_STEPS = 20
# in half widths of the box; further out the quadratic function is not valid
_OUTSIDE = 2.0


class LocalRegression(Struct):
    """Summaries linear in an observation, one per parameter, with their expectations within a box of parameters.

    An observable may itself be random: it fluctuates strongly along some directions and hardly along others, and these
    directions vary with the parameters. A linear function fitted to simulations from the whole box finds the directions
    that are quiet throughout. Its errors on held-out simulations include the randomness, its variation within the box
    and the finite number of simulations. The expected summary is a quadratic function of the parameters; the covariance
    of the deviations is that of the simulations. Inverting the covariance of curves at one point would be
    overconfident: directions that are quiet there are noisy at neighbouring points.

    Attributes:
        centre, half: ``(k,)`` centre and half widths of the box.
        weights, offset: ``(numbers, k)`` and ``(k,)``: linear map from an observation to its summaries.
        coefficients: ``(1 + k + k (k + 1)/2, k)`` of the expected summaries, in units of the box.
        whitening: ``(k, k)`` inverse square root of the covariance of the deviations.
    """

    centre: Array
    half: Array
    weights: Array
    offset: Array
    coefficients: Array
    whitening: Array

    @classmethod
    def fit(
        cls,
        observations: Float[np.ndarray, "n numbers"],
        parameters: Float[np.ndarray, "n k"],
        low: Float[np.ndarray, " k"],
        high: Float[np.ndarray, " k"],
        *,
        sigma: float,
    ) -> Self:
        """Fit to simulations (host).

        Args:
            observations: simulated, without measurement noise.
            parameters: spread over the whole box.
            low, high: bounds of the box.
            sigma: standard deviation of white noise on each number.

        Raises:
            DataError: too few simulations.
        """
        n, k = parameters.shape
        terms = 1 + k + k * (k + 1) // 2
        if n < _FEWEST * terms:
            raise DataError(f"{n} simulations around {k} parameters; expected {_FEWEST * terms} or more")
        centre, half = 0.5 * (low + high), 0.5 * (high - low)
        u = (parameters - centre) / half
        found = ridge(np.asarray(observations, float), u, np.ones(n), ridges=_RIDGES, sigma=sigma, kept=np.float64)
        basis = _quadratic(u, np)
        coefficients = np.linalg.lstsq(basis, found.left_out, rcond=None)[0]
        left = found.left_out - basis @ coefficients
        covariance = left.T @ left / (n - terms) + sigma**2 * found.weights.T @ found.weights
        whitening = np.linalg.inv(np.linalg.cholesky(covariance))
        return cls(centre=centre, half=half, weights=found.weights, offset=found.offset, coefficients=coefficients,
                   whitening=whitening)  # fmt: skip

    def summaries(self, observations: Float[np.ndarray, "*n numbers"]) -> Float[np.ndarray, "*n k"]:
        """Return the summaries of observations (host)."""
        return np.asarray(observations, float) @ np.asarray(self.weights) + np.asarray(self.offset)

    def units(self, parameters: Float[Array, "*n k"]) -> Float[Array, "*n k"]:
        """Convert parameters to units of the box, -1 to 1. Traceable."""
        return (parameters - self.centre) / self.half

    def residuals(self, parameters: Float[Array, "*n k"], summaries: Float[Array, " k"]) -> Float[Array, "*n k"]:
        """Return the whitened deviations of the expected summaries from observed ones. Traceable."""
        return (_quadratic(self.units(parameters)) @ self.coefficients - summaries) @ self.whitening.T

    def chi2(self, parameters: Float[np.ndarray, "n k"], summaries: Float[np.ndarray, " k"]) -> Float[np.ndarray, " n"]:
        """Return the sums of squared residuals (host)."""
        expected = _quadratic((parameters - np.asarray(self.centre)) / np.asarray(self.half), np)
        off = (expected @ np.asarray(self.coefficients) - summaries) @ np.asarray(self.whitening).T
        return np.sum(off**2, axis=1)

    def deviations(self, parameters: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """Standard deviations of the parameters given their summaries; infinite if these are uninformative (host)."""
        slopes = self._slopes((np.asarray(parameters) - np.asarray(self.centre)) / np.asarray(self.half))
        try:
            inverse = np.linalg.inv(slopes)
        except np.linalg.LinAlgError:
            return np.full(len(slopes), np.inf)
        return np.linalg.norm(inverse, axis=1) * np.asarray(self.half)

    def solved(self, summaries: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """Solve for the parameters whose expected summaries equal these; limited to twice the box (host)."""
        u = np.zeros(len(self.half))
        for _ in range(_STEPS):
            slopes = self._slopes(u)
            off = np.asarray(self.whitening) @ (summaries - _quadratic(u, np) @ np.asarray(self.coefficients))
            u = np.clip(u + np.linalg.lstsq(slopes, off, rcond=None)[0], -_OUTSIDE, _OUTSIDE)
        return np.asarray(self.centre) + np.asarray(self.half) * u

    def _slopes(self, u: np.ndarray) -> np.ndarray:
        """Slopes of the whitened summaries with respect to parameters in units of the box, ``(k, k)``."""
        k = len(u)
        rows = np.zeros((k, len(self.coefficients)))
        for i in range(k):
            rows[i, 1 + i] = 1.0
            for column, (a, b) in enumerate(zip(*np.triu_indices(k), strict=True)):
                rows[i, 1 + k + column] = (a == i) * u[b] + (b == i) * u[a]
        return np.asarray(self.whitening) @ (rows @ np.asarray(self.coefficients)).T


def _quadratic(u: Any, of: Any = jnp) -> Any:
    """Return 1, the numbers and their products, ``(*n, terms)``; with NumPy where nothing is traced."""
    a, b = np.triu_indices(u.shape[-1])
    return of.concatenate([of.ones_like(u[..., :1]), u, u[..., a] * u[..., b]], axis=-1)
