"""Weighted ridge regression with leave-one-out choice of the ridge and white noise on the inputs (host)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class RidgeFit(NamedTuple):
    """Result of a ridge regression.

    Attributes:
        weights: ``(numbers, k)``.
        offset: ``(k,)``.
        variance: ``(k,)`` leave-one-out mean square error, without the noise.
        left_out: ``(n, k)`` leave-one-out predictions, without the noise.
    """

    weights: np.ndarray
    offset: np.ndarray
    variance: np.ndarray
    left_out: np.ndarray


def ridge(
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    *,
    ridges: Sequence[float],
    sigma: float = 0.0,
    kept: type[np.floating] = np.float32,
) -> RidgeFit:
    """Estimate ``y`` linearly from ``x`` plus white noise, each column with its own best ridge.

    The mean over the noise is exact: ``σ²`` on the diagonal. Leave-one-out predictions follow from the diagonal of the
    hat matrix (D. M. Allen, Technometrics 16, 125 (1974)).

    Args:
        x: ``(n, numbers)`` without noise.
        y: ``(n, k)``.
        weight: ``(n,)`` of the points.
        ridges: values to try, in units of x².
        sigma: standard deviation of the noise.
        kept: precision in which the weights will be stored.
    """
    total = weight.sum()
    mean_x, mean_y = weight @ x / total, weight @ y / total
    a, b = x - mean_x, y - mean_y
    weighted = a * (weight / total)[:, None]
    values, vectors = np.linalg.eigh(weighted.T @ a)
    values = np.maximum(values, 0.0)
    moments = vectors.T @ (weighted.T @ b)
    turned = a @ vectors
    squares = turned**2
    best: list[tuple | None] = [None] * y.shape[1]
    for r in ridges:
        denominator = values + r + sigma**2
        coefficients = moments / denominator[:, None]
        leverage = np.minimum(weight / total * (squares @ (1.0 / denominator) + 1.0), 1.0 - 1e-9)
        error = (b - turned @ coefficients) / (1.0 - leverage)[:, None]
        variance = weight @ error**2 / total
        score = variance + sigma**2 * (coefficients**2).sum(axis=0)
        for k in range(y.shape[1]):
            found = best[k]
            if found is None or score[k] < found[0]:
                best[k] = (score[k], coefficients[:, k], variance[k], error[:, k])
    chosen = [found for found in best if found is not None]
    # rounded as they will be stored; the offset belongs to the rounded weights
    weights = (vectors @ np.stack([c[1] for c in chosen], axis=1)).astype(kept).astype(np.float64)
    return RidgeFit(
        weights,
        mean_y - mean_x @ weights,
        np.array([c[2] for c in chosen]),
        y - np.stack([c[3] for c in chosen], axis=1),
    )
