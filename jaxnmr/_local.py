"""Parameters of one observation by regression on simulations around them, with errors of what was left out."""

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
# simulations for each coefficient of a quadratic function; fewer leave no errors
_FEWEST = 8
_STEPS = 20
# in half widths of the box: beyond it a quadratic function says nothing
_OUTSIDE = 2.0


class LocalRegression(Struct):
    """Summaries that are linear in an observation, one for each parameter, and what to expect of them within a box.

    An observable may be random itself, so that it is moved a lot along some directions and hardly along others, which change with
    the parameters. A linear function fitted to simulations all over the box finds the directions that are quiet in all of it, and its
    errors for simulations that were left out hold all that happens: the randomness, how it changes in the box, and the number of
    simulations. What is expected of a summary is a quadratic function of the parameters; deviations from it are as large as those of
    the simulations. A covariance of curves at one place, inverted, promises what it does not hold: along its quiet directions a
    neighbouring place is noisy.

    Attributes:
        centre, half: ``(k,)`` of the box.
        weights, offset: ``(numbers, k)`` and ``(k,)``: summaries of an observation.
        coefficients: ``(1 + k + k (k + 1)/2, k)`` what is expected, in units of the box.
        whitening: ``(k, k)`` the inverse root of the covariance of deviations.
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
        """From simulations (host).

        Args:
            observations: without noise of measurement.
            parameters: all over the box.
            low, high: of the box.
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
        """Of observations (host)."""
        return np.asarray(observations, float) @ np.asarray(self.weights) + np.asarray(self.offset)

    def units(self, parameters: Float[Array, "*n k"]) -> Float[Array, "*n k"]:
        """Where parameters are in the box, -1 to 1. Traceable."""
        return (parameters - self.centre) / self.half

    def residuals(self, parameters: Float[Array, "*n k"], summaries: Float[Array, " k"]) -> Float[Array, "*n k"]:
        """Whitened deviations of summaries from what these parameters let expect. Traceable."""
        return (_quadratic(self.units(parameters)) @ self.coefficients - summaries) @ self.whitening.T

    def chi2(self, parameters: Float[np.ndarray, "n k"], summaries: Float[np.ndarray, " k"]) -> Float[np.ndarray, " n"]:
        """Sums of the squares of the residuals (host)."""
        expected = _quadratic((parameters - np.asarray(self.centre)) / np.asarray(self.half), np)
        off = (expected @ np.asarray(self.coefficients) - summaries) @ np.asarray(self.whitening).T
        return np.sum(off**2, axis=1)

    def deviations(self, parameters: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """Standard deviations of parameters, by what summaries say of them there; infinite where that is nothing (host)."""
        slopes = self._slopes((np.asarray(parameters) - np.asarray(self.centre)) / np.asarray(self.half))
        try:
            inverse = np.linalg.inv(slopes)
        except np.linalg.LinAlgError:
            return np.full(len(slopes), np.inf)
        return np.linalg.norm(inverse, axis=1) * np.asarray(self.half)

    def solved(self, summaries: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """Parameters that let expect these summaries; at most somewhat beyond the box (host)."""
        u = np.zeros(len(self.half))
        for _ in range(_STEPS):
            slopes = self._slopes(u)
            off = np.asarray(self.whitening) @ (summaries - _quadratic(u, np) @ np.asarray(self.coefficients))
            u = np.clip(u + np.linalg.lstsq(slopes, off, rcond=None)[0], -_OUTSIDE, _OUTSIDE)
        return np.asarray(self.centre) + np.asarray(self.half) * u

    def _slopes(self, u: np.ndarray) -> np.ndarray:
        """Of whitened summaries by units of the box, ``(k, k)``."""
        k = len(u)
        rows = np.zeros((k, len(self.coefficients)))
        for i in range(k):
            rows[i, 1 + i] = 1.0
            for column, (a, b) in enumerate(zip(*np.triu_indices(k), strict=True)):
                rows[i, 1 + k + column] = (a == i) * u[b] + (b == i) * u[a]
        return np.asarray(self.whitening) @ (rows @ np.asarray(self.coefficients)).T


def _quadratic(u: Any, of: Any = jnp) -> Any:
    """1, the numbers, and their products, ``(*n, terms)``; by NumPy where nothing is traced."""
    a, b = np.triu_indices(u.shape[-1])
    return of.concatenate([of.ones_like(u[..., :1]), u, u[..., a] * u[..., b]], axis=-1)
