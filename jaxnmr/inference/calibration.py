"""Calibration of posteriors and probabilities: simulation-based calibration (S. Talts et al., arXiv:1804.06788)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ShapeError
from .inferred import Inferred

LEVELS = (0.68, 0.95)


@dataclass(frozen=True)
class Coverage:
    """Coverage of central intervals of posteriors.

    Attributes:
        names: names of the k parameters.
        levels: nominal levels of the intervals.
        observed: ``(levels, k)`` observed coverage.
        by_third: ``(levels, 3, k)`` coverage for true values in each third of the prior.
        histogram: ``(20, k)`` histogram of ranks, 1 if uniform.
        count: number of observations.
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
        """Return plain values."""
        return {
            "names": list(self.names), "levels": list(self.levels), "observed": self.observed.tolist(),
            "by_third": self.by_third.tolist(), "histogram": self.histogram.tolist(), "count": self.count,
        }  # fmt: skip


def coverage(inferred: Inferred, truth: np.ndarray, levels: tuple[float, ...] = LEVELS) -> Coverage:
    """Determine the ranks of true values in posteriors of held-out simulations.

    Args:
        inferred: n posteriors.
        truth: ``(n, k)`` determined parameters, or ``(n, all)``.
        levels: levels of central intervals.

    Raises:
        ShapeError: the numbers of true values and posteriors differ.
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
    """Return R² of determined parameters by prior variances, and the summed square error in units of prior widths.

    An undetermined parameter contributes the variance of its prior, the expected square error if the estimate is its
    centre.

    Args:
        inferred: n posteriors.
        truth: ``(n, all)`` parameters.
        per: number of observations over which the error is summed.
    """
    prior = inferred.prior
    theta = truth[:, list(prior.indices)]
    square = ((inferred.mean - theta) ** 2).mean(axis=0) / (prior.determined.width**2 / 12.0)
    return 1.0 - square, float(per / 12.0 * (len(prior.undetermined) + square.sum()))


@dataclass(frozen=True)
class ToldApart:
    """Classification of families: confusion, and calibration of the probabilities.

    Attributes:
        names: names of the f families.
        confusion: ``(f, f)`` observations by true family and by most probable family.
        given: ``(f, f)`` mean probability of each family for observations of each.
        said: ``(10,)`` mean of the probabilities between 0 and 0.1, 0.1 and 0.2, and so on; NaN for empty bins.
        right: ``(10,)`` fraction of these for which the family was the true one.
        counts: ``(10,)`` number of probabilities.
        log_loss: mean of -ln of the probability of the true family; ln f without information.
    """

    names: tuple[str, ...]
    confusion: np.ndarray
    given: np.ndarray
    said: np.ndarray
    right: np.ndarray
    counts: np.ndarray
    log_loss: float

    @property
    def accuracy(self) -> float:
        """Fraction of the observations whose true family was most probable."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    def __str__(self) -> str:
        wide = max(12, *(len(name) for name in self.names))
        lines = [f"{100.0 * self.accuracy:.1f} % right, log loss {self.log_loss:.3f} of {np.log(len(self.names)):.3f}"]
        lines.append(f"{'most probable':>{wide}} " + " ".join(f"{name:>{wide}}" for name in self.names))
        lines += [
            f"{name:>{wide}} " + " ".join(f"{n:{wide}d}" for n in row)
            for name, row in zip(self.names, self.confusion, strict=True)
        ]
        lines.append("said " + " ".join(f"{100.0 * v:6.1f}" for v in self.said) + " %")
        lines.append("true " + " ".join(f"{100.0 * v:6.1f}" for v in self.right) + " %")
        lines.append("of   " + " ".join(f"{n:6d}" for n in self.counts))
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "names": list(self.names), "confusion": self.confusion.tolist(), "given": self.given.tolist(),
            "said": np.nan_to_num(self.said).tolist(), "right": np.nan_to_num(self.right).tolist(),
            "counts": self.counts.tolist(), "log_loss": self.log_loss, "accuracy": self.accuracy,
        }  # fmt: skip


def told_apart(names: Sequence[str], probabilities: Sequence[np.ndarray]) -> ToldApart:
    """Compare probabilities of families with the true ones.

    Args:
        names: names of the f families.
        probabilities: ``(n, f)`` for observations of each family in turn; their numbers should be similar, or the
            calibration is biased.

    Raises:
        ShapeError: the numbers of families differ.
    """
    if len(probabilities) != len(names) or any(p.ndim != 2 or p.shape[1] != len(names) for p in probabilities):
        raise ShapeError(
            f"probabilities have the shapes {[p.shape for p in probabilities]}; expected (n, {len(names)}) of {len(names)} families"
        )
    families = range(len(names))
    confusion = np.stack([np.bincount(p.argmax(axis=1), minlength=len(names)) for p in probabilities])
    true = np.repeat(families, [len(p) for p in probabilities])
    said = np.concatenate(probabilities)
    hit = (true[:, None] == np.array(families)).ravel()
    flat = said.ravel()
    which = np.minimum((10.0 * flat).astype(int), 9)
    counts = np.bincount(which, minlength=10)
    with np.errstate(invalid="ignore"):
        mean, right = (np.bincount(which, weights=w, minlength=10) / counts for w in (flat, hit.astype(float)))
    loss = -np.log(np.maximum(said[np.arange(len(true)), true], 1e-300)).mean()
    given = np.stack([p.mean(axis=0) for p in probabilities])
    return ToldApart(tuple(names), confusion, given, mean, right, counts, float(loss))
