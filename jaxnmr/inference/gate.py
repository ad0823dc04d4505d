"""A first guess: parameters as a quadratic function of the largest principal components (host)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._ridge import ridge

# below this, noise is that of single precision
LEAST_SIGMA = 1e-8


@dataclass(frozen=True)
class Gate:
    """Attributes:
    centre: ``(numbers,)`` mean observation.
    axes: ``(numbers, components)`` principal axes, divided by the spread along them.
    spread: ``(components,)`` that spread.
    weights: ``(features, k)`` of the first components and of products of the first of these.
    offset: ``(k,)``.
    seen: how many components it looks at; the rest is for the experts.
    """

    centre: np.ndarray
    axes: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    offset: np.ndarray
    seen: int

    def components(self, curves: np.ndarray) -> np.ndarray:
        """``(n, components)`` principal components of unit variance."""
        return (curves.astype(np.float64) - self.centre) @ self.axes

    def guess(self, components: np.ndarray) -> np.ndarray:
        """``(n, k)`` summaries of the parameters."""
        return _quadratic(components[:, : self.seen], self.weights.shape[0]) @ self.weights + self.offset


def fit_gate(
    curves: np.ndarray, noise: np.ndarray, summaries: np.ndarray, *, components: int, seen: int, squared: int
) -> tuple[Gate, np.ndarray]:
    """The gate, and what it would have said of each simulation had it not been fitted to it.

    Args:
        curves: ``(n, numbers)`` without noise: principal axes are theirs.
        noise: ``(n, numbers)`` that is added for the guess.
        summaries: ``(n, k)``.
        components: how many principal components.
        seen: how many of them the guess is made from.
        squared: of how many of these the products are used.
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
    """Mean of observations, ``(numbers, components)`` principal axes divided by the spread along them, and that spread."""
    centre = x.mean(axis=0)
    variance, axes = np.linalg.eigh(np.cov((x - centre).T))
    most = min(components, len(variance))
    spread = np.sqrt(np.maximum(variance[::-1][:most], 1e-24))
    return centre, axes[:, ::-1][:, :most] / spread, spread


def shrunk(components: np.ndarray, spread: np.ndarray, sigma: np.ndarray) -> list[np.ndarray]:
    """What a network sees of components of unit variance: as much as noise ``(n,)`` leaves of each, and the noise itself."""
    noise = (np.log10(np.maximum(sigma, LEAST_SIGMA)) + 5.0) / 2.0
    return [np.clip(components / (1.0 + (sigma[:, None] / spread) ** 2), -5.0, 5.0), noise[:, None]]


def _quadratic(z: np.ndarray, features: int) -> np.ndarray:
    squared = round((np.sqrt(8.0 * (features - z.shape[1]) + 1.0) - 1.0) / 2.0)
    i, j = np.triu_indices(squared)
    return np.concatenate([z, z[:, i] * z[:, j]], axis=1)
