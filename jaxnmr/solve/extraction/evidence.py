"""Probability of measured areas if some are zero and the others positive (host).

Under a hypothesis an area is either exactly zero, or has the exponential prior of acentric intensities (A. J. C.
Wilson, Acta Cryst. 2, 318 (1949)), with one of three means. Measured areas are normal with the covariance of their
overlap; those that should be zero have a wide tail, so that one corrupted area does not outvote thirty others. The
integral over positive areas is taken variable by variable, each time with the normal distribution of the same mean and
variance for the remainder: exact for reflections that do not overlap.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import log_ndtr

_LOG_ROOT = 0.5 * np.log(2.0 * np.pi)
# fraction of absent reflections whose area is corrupted by a wrong profile or a neighbour, and the factor on their
# error
_SPOILED, _WIDER = 0.05, 4.0
# relative means of the prior's exponentials, and their shares: simple structures have whole classes of weak reflections
_MEANS, _SHARES = np.array([1.0, 0.1, 0.01]), np.array([0.6, 0.25, 0.15])


class _Normal:
    """A normal distribution that is conditioned and multiplied one variable at a time."""

    def __init__(self, mean: Float[np.ndarray, " n"], covariance: Float[np.ndarray, "n n"]):
        self.mean, self.covariance = mean.copy(), covariance.copy()
        self.floor = 1e-9 * np.diag(covariance)

    def zero(self, k: int) -> float:
        """Fix a variable at zero; return the log density there."""
        v = max(self.covariance[k, k], self.floor[k])
        z2 = self.mean[k] ** 2 / v
        usual, spoiled = np.log(1.0 - _SPOILED) - 0.5 * z2, np.log(_SPOILED / _WIDER) - 0.5 * z2 / _WIDER**2
        # a corrupted area carries less information about its neighbours
        gain = 1.0 if usual > spoiled else 1.0 / _WIDER**2
        self._moved(k, self.mean[k] * (1.0 - gain), v * (1.0 - gain), v)
        return float(np.logaddexp(usual, spoiled) - 0.5 * np.log(v) - _LOG_ROOT)

    def positive(self, k: int, expected: float) -> float:
        """Multiply by the prior of positive areas of mean ``expected``; return the log integral."""
        v, m = max(self.covariance[k, k], self.floor[k]), self.mean[k]
        mu = expected * _MEANS / (_SHARES @ _MEANS)
        s = np.sqrt(v)
        z = (m - v / mu) / s
        log_share = log_ndtr(z)
        logs = np.log(_SHARES / mu) - m / mu + 0.5 * v / mu**2 + log_share
        ratio = np.exp(-0.5 * z * z - _LOG_ROOT - log_share)
        # mean and variance above zero; far below zero their difference from zero would be lost to rounding
        mean = np.maximum(s * (z + ratio), 1e-3 * s / np.maximum(-z, 1.0))
        variance = v * np.clip(1.0 - z * ratio - ratio**2, 1e-6, 1.0)
        top = logs.max()
        share = np.exp(logs - top)
        total = share.sum()
        first = share @ mean / total
        second = share @ (variance + mean**2) / total
        self._moved(k, float(first), float(min(second - first**2, v)), v)
        return float(top + np.log(total))

    def _moved(self, k: int, mean: float, variance: float, v: float) -> None:
        column = self.covariance[:, k].copy()
        self.mean += column * ((mean - self.mean[k]) / v)
        self.covariance += np.outer(column, column * ((variance - v) / v**2))


def log_evidence(
    area: Float[np.ndarray, " n"],
    covariance: Float[np.ndarray, "n n"],
    expected: Float[np.ndarray, " n"],
    absent: Bool[np.ndarray, "hypotheses n"],
) -> Float[np.ndarray, " hypotheses"]:
    """Return the log evidence of every hypothesis, relative to that of all areas being positive.

    Args:
        area, covariance: measured areas.
        expected: mean of the exponential prior of each area.
        absent: whether each area is zero under each hypothesis.
    """
    tested = absent.any(axis=0)
    start = _Normal(area, covariance)
    for k in np.flatnonzero(~tested):
        start.positive(int(k), expected[k])
    chosen: Int[np.ndarray, " k"] = np.flatnonzero(tested)
    out = []
    for hypothesis in (np.zeros(len(area), dtype=bool), *absent):
        these = _Normal(start.mean[chosen], start.covariance[np.ix_(chosen, chosen)])
        total = sum(these.zero(i) for i, k in enumerate(chosen) if hypothesis[k])
        total += sum(these.positive(i, expected[k]) for i, k in enumerate(chosen) if not hypothesis[k])
        out.append(total)
    return np.array(out[1:]) - out[0]


def expected_areas(
    area: Float[np.ndarray, " n"],
    variance: Float[np.ndarray, " n"],
    weight: Float[np.ndarray, " n"],
    *,
    around: int = 40,
) -> Float[np.ndarray, " n"]:
    """Estimate mean areas from the falling mean |F|² in resolution shells, for reflections sorted by angle.

    Args:
        area, variance, weight: measured area, its variance, multiplicity times angular factors.
        around: number of reflections that a mean is taken over.
    """
    n = len(area)
    half = max(min(around, n) // 2, 1)
    total = np.concatenate([[0.0], np.cumsum(np.maximum(area, 0.0))])
    weights = np.concatenate([[0.0], np.cumsum(weight)])
    low = np.clip(np.arange(n) - half, 0, max(n - 2 * half, 0))
    high = np.minimum(low + 2 * half, n)
    squared = (total[high] - total[low]) / (weights[high] - weights[low])
    floor = np.sqrt(float(np.median(variance / weight**2)))
    return weight * np.maximum(squared, 1e-3 * max(float(squared.max()), floor))
