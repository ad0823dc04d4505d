"""Linear experts: within a cell of parameters, each summary is a linear function of the raw numbers (host).

Random variables of the observable (the frequencies that the spins happen to have) change it along some directions by a
thousandth and hardly at all along others; parameters are read along the quiet directions, which differ from cell to
cell. Principal components, smoothing or a network with standardised input discard them; least squares on raw numbers
finds them. Neighbouring cells overlap, and estimates change continuously from one to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._ridge import ridge
from ..errors import DataError

Knots = tuple[tuple[float, ...], ...]
_AT_ONCE = 4096
# fewest simulations for an expert
_FEWEST = 60
_UNKNOWN = 1e6
_FEW_DIGITS = 3e-5


@dataclass(frozen=True)
class Experts:
    """Linear experts for one noise level.

    Attributes:
        sigma: noise for which they were made.
        rank: number of principal components they read; 0 for the raw numbers.
        knots: centres of the cells along each parameter; a single knot means no division.
        weights: ``(cells, numbers, k)``; for components, ``(cells, rank, k)``.
        offsets: ``(cells, k)``.
        variances: ``(cells, k)`` variances of errors without noise.
    """

    sigma: float
    rank: int
    knots: Knots
    weights: np.ndarray
    offsets: np.ndarray
    variances: np.ndarray

    def estimate(self, curves: np.ndarray, guess: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return summaries and their variances.

        Args:
            curves: ``(n, numbers)``, or their components.
            guess: ``(n, k)`` parameters that determine the cells of a curve.
            sigma: ``(n,)`` noise of the curves.
        """
        cells, numbers, k = self.weights.shape
        flat = self.weights.transpose(1, 0, 2).reshape(numbers, cells * k).astype(np.float64)
        shares = shares_of(guess, self.knots)
        # cells without training data leave their share to the others
        shares = shares * (self.variances[:, 0] < _UNKNOWN)
        shares = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-9)
        value = np.empty((len(curves), k))
        for first in range(0, len(curves), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            all_of = (curves[some].astype(np.float64) @ flat).reshape(-1, cells, k) + self.offsets
            value[some] = np.einsum("nc,nck->nk", shares[some], all_of)
        noise = (self.weights.astype(np.float64) ** 2).sum(axis=1)
        return value, shares @ self.variances + sigma[:, None] ** 2 * (shares @ noise)


def shares_of(guess: np.ndarray, knots: Knots, wide: float = 1.0) -> np.ndarray:
    """Return the weights ``(n, cells)`` of points in cells: products of triangles around knots, which sum to 1.

    Args:
        guess: ``(n, k)``.
        knots: centres of cells along each parameter.
        wide: factor by which triangles are wider; they are then not normalised.
    """
    found = np.ones((len(guess), 1))
    for along, centres in zip(guess.T, knots, strict=True):
        place = np.interp(along, centres, np.arange(len(centres)))
        near = np.maximum(0.0, 1.0 - np.abs(place[:, None] - np.arange(len(centres))) / wide)
        found = (found[:, :, None] * near[:, None, :]).reshape(len(guess), -1)
    return found


def fit_experts(
    curves: np.ndarray,
    summaries: np.ndarray,
    guess: np.ndarray,
    *,
    knots: Knots,
    sigma: float,
    rank: int,
    wide: float,
    ridges: Sequence[float],
) -> tuple[Experts, np.ndarray]:
    """Fit experts; also return their leave-one-out estimates, without noise, for each simulation.

    Args:
        curves: ``(n, numbers)`` without noise, or their components.
        summaries: ``(n, k)``.
        guess: ``(n, k)`` parameters by the previous stage, from curves with noise: cells are fitted to what they will
            be applied to.
        knots, sigma, rank, wide: see `Experts` and `shares_of`.
        ridges: candidates for the ridge.

    Raises:
        DataError: there are too few simulations for any expert.
    """
    near, theirs = shares_of(guess, knots, wide), shares_of(guess, knots)
    cells, k = near.shape[1], summaries.shape[1]
    # with noise, three digits are enough
    kept = np.float16 if rank and sigma > _FEW_DIGITS else np.float32
    weights = np.zeros((cells, curves.shape[1], k), kept)
    offsets, variances = np.zeros((cells, k)), np.full((cells, k), 2.0 * _UNKNOWN)
    left_out, filled = np.zeros_like(summaries), np.zeros((len(curves), 1))
    for cell in range(cells):
        members = np.flatnonzero(near[:, cell] > 1e-6)
        if len(members) < _FEWEST:
            continue
        fit = ridge(
            curves[members].astype(np.float64),
            summaries[members],
            near[members, cell],
            ridges=ridges,
            sigma=sigma,
            kept=kept,
        )
        weights[cell], offsets[cell], variances[cell] = fit.weights, fit.offset, fit.variance
        left_out[members] += theirs[members, cell, None] * fit.left_out
        filled[members] += theirs[members, cell, None]
    if not filled.any():
        raise DataError(f"{len(curves)} simulations are too few: no cell has {_FEWEST} of them")
    return Experts(sigma, rank, knots, weights, offsets, variances), left_out / np.maximum(filled, 1e-9)
