"""Whether intervals hold what they say: simulation-based calibration (S. Talts et al., arXiv:1804.06788)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ShapeError
from .inferred import Inferred

LEVELS = (0.68, 0.95)


@dataclass(frozen=True)
class Coverage:
    """How often central intervals hold the truth.

    Attributes:
        names: of the k parameters.
        levels: that the intervals claim.
        observed: ``(levels, k)``.
        by_third: ``(levels, 3, k)`` for truths in each third of the prior.
        histogram: ``(20, k)`` of ranks, 1 where they are uniform.
        count: observations.
    """

    names: tuple[str, ...]
    levels: tuple[float, ...]
    observed: np.ndarray
    by_third: np.ndarray
    histogram: np.ndarray
    count: int

    def __str__(self) -> str:
        lines = [f"coverage over {self.count} simulations; by thirds of the prior in brackets"]
        for k, name in enumerate(self.names):
            parts = []
            for i, level in enumerate(self.levels):
                thirds = " ".join(f"{100.0 * v:.1f}" for v in self.by_third[i, :, k])
                parts.append(f"{100.0 * level:.0f} %: {100.0 * self.observed[i, k]:.1f} ({thirds})")
            lines.append(f"  {name}  " + ",  ".join(parts))
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "names": list(self.names), "levels": list(self.levels), "observed": self.observed.tolist(),
            "by_third": self.by_third.tolist(), "histogram": self.histogram.tolist(), "count": self.count,
        }  # fmt: skip


def coverage(inferred: Inferred, truth: np.ndarray, levels: tuple[float, ...] = LEVELS) -> Coverage:
    """Ranks of the truth in posteriors of simulations that the posterior was not trained with.

    Args:
        inferred: n posteriors.
        truth: ``(n, k)`` determined parameters, or ``(n, all)``.
        levels: of central intervals.

    Raises:
        ShapeError: another number of truths.
    """
    if len(truth) != len(inferred):
        raise ShapeError(f"{len(truth)} truths for {len(inferred)} posteriors")
    ranks = inferred.rank(truth)
    prior = inferred.prior.determined
    theta = truth if truth.shape[1] == len(prior.parameters) else truth[:, list(inferred.prior.indices)]
    third = np.minimum((3.0 * (theta - prior.low) / prior.width).astype(int), 2)
    held = np.stack([np.abs(ranks - 0.5) <= 0.5 * level for level in levels])
    by_third = np.stack([_means(held, third == part) for part in range(3)], axis=1)
    histogram = np.stack([np.histogram(r, bins=20, range=(0.0, 1.0))[0] for r in ranks.T], axis=1) * 20.0 / len(ranks)
    return Coverage(prior.names, tuple(levels), held.mean(axis=1), by_third, histogram, len(ranks))


def _means(held: np.ndarray, where: np.ndarray) -> np.ndarray:
    return (held * where).sum(axis=1) / np.maximum(where.sum(axis=0), 1)


def score(inferred: Inferred, truth: np.ndarray, *, per: int = 500) -> tuple[np.ndarray, float]:
    """R² of each determined parameter by prior variances, and the summed square error in units of the widths of the priors.

    A parameter that is not determined counts as the variance of its prior, its expectation for whoever answers with the middle.

    Args:
        inferred: n posteriors.
        truth: ``(n, all)`` parameters.
        per: observations the error is summed over.
    """
    prior = inferred.prior
    theta = truth[:, list(prior.indices)]
    square = ((inferred.mean - theta) ** 2).mean(axis=0) / (prior.determined.width**2 / 12.0)
    return 1.0 - square, float(per / 12.0 * (len(prior.undetermined) + square.sum()))
