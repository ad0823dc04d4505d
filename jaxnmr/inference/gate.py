"""First guess: parameters as a quadratic function of the largest principal components (host)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._ridge import ridge

# smaller noise is below that of single precision
LEAST_SIGMA = 1e-8


@dataclass(frozen=True)
class Gate:
    """Quadratic regression of the parameters on principal components.

    Attributes:
        centre: ``(numbers,)`` mean observation.
        axes: ``(numbers, components)`` principal axes, divided by the spread along them.
        spread: ``(components,)`` that spread.
        weights: ``(features, k)`` weights of the first components and of products of the first of these.
        offset: ``(k,)`` constant terms.
        seen: number of components used; the others are left to the experts.
    """

    centre: np.ndarray
    axes: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    offset: np.ndarray
    seen: int

    def components(self, curves: np.ndarray) -> np.ndarray:
        """Return ``(n, components)`` principal components of unit variance."""
        return (curves.astype(np.float64) - self.centre) @ self.axes

    def guess(self, components: np.ndarray) -> np.ndarray:
        """Return ``(n, k)`` summaries of the parameters."""
        return _quadratic(components[:, : self.seen], self.weights.shape[0]) @ self.weights + self.offset


def fit_gate(
    curves: np.ndarray, noise: np.ndarray, summaries: np.ndarray, *, components: int, seen: int, squared: int
) -> tuple[Gate, np.ndarray]:
    """Fit the gate; also return its leave-one-out estimates for each simulation.

    Args:
        curves: ``(n, numbers)`` without noise, from which principal axes are calculated.
        noise: ``(n, numbers)`` noise added for the guess.
        summaries: ``(n, k)``.
        components: number of principal components.
        seen: number of them used for the guess.
        squared: number of these whose products are used.
    """
    x = curves.astype(np.float64)
    centre, scaled, spread = principal(x, components)
    most = len(spread)
    seen, squared = min(seen, most), min(squared, seen, most)
    z = (x - centre + noise) @ scaled[:, :seen]
    fit = ridge(
        _quadratic(z, seen + squared * (squared + 1) // 2), summaries, np.ones(len(z)), ridges=(1e-4, 1e-3, 1e-2)
    )
    return Gate(centre, scaled, spread, fit.weights, fit.offset, seen), fit.left_out


def principal(x: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean, ``(numbers, components)`` principal axes divided by the spread along them, and that spread."""
    centre = x.mean(axis=0)
    variance, axes = np.linalg.eigh(np.cov((x - centre).T))
    most = min(components, len(variance))
    spread = np.sqrt(np.maximum(variance[::-1][:most], 1e-24))
    return centre, axes[:, ::-1][:, :most] / spread, spread


def shrunk(components: np.ndarray, spread: np.ndarray, sigma: np.ndarray) -> list[np.ndarray]:
    """Return network input: components of unit variance, attenuated according to the noise ``(n,)``, and the noise."""
    noise = (np.log10(np.maximum(sigma, LEAST_SIGMA)) + 5.0) / 2.0
    return [np.clip(components / (1.0 + (sigma[:, None] / spread) ** 2), -5.0, 5.0), noise[:, None]]


def _quadratic(z: np.ndarray, features: int) -> np.ndarray:
    squared = round((np.sqrt(8.0 * (features - z.shape[1]) + 1.0) - 1.0) / 2.0)
    i, j = np.triu_indices(squared)
    return np.concatenate([z, z[:, i] * z[:, j]], axis=1)
