"""How probable areas are when some of them are zero and the others positive (host).

Under a hypothesis an area is exactly zero or has the exponential prior of acentric intensities (A. J. C. Wilson, Acta Cryst. 2, 318
(1949)); measured areas are normal with the covariance of their overlap, and with a wide tail where they should be zero, so that one spoiled area outvotes no thirty others. The integral over positive areas is taken one after the other, each
time with the normal distribution of the same mean and variance for what is left: exact where reflections do not overlap.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import log_ndtr

_LOG_ROOT = 0.5 * np.log(2.0 * np.pi)
# of absent reflections so many have areas that a wrong profile or a neighbour spoiled, with a standard deviation larger by this
_SPOILED, _WIDER = 0.05, 4.0


class _Normal:
    """A normal distribution that is conditioned and multiplied one variable at a time."""

    def __init__(self, mean: Float[np.ndarray, " n"], covariance: Float[np.ndarray, "n n"]):
        self.mean, self.covariance = mean.copy(), covariance.copy()
        self.floor = 1e-9 * np.diag(covariance)

    def zero(self, k: int) -> float:
        """Fix a variable at zero; the logarithm of its density there."""
        v = max(self.covariance[k, k], self.floor[k])
        z2 = self.mean[k] ** 2 / v
        usual, spoiled = np.log(1.0 - _SPOILED) - 0.5 * z2, np.log(_SPOILED / _WIDER) - 0.5 * z2 / _WIDER**2
        # what is spoiled tells its neighbours less
        gain = 1.0 if usual > spoiled else 1.0 / _WIDER**2
        self._moved(k, self.mean[k] * (1.0 - gain), v * (1.0 - gain), v)
        return float(np.logaddexp(usual, spoiled) - 0.5 * np.log(v) - _LOG_ROOT)

    def positive(self, k: int, expected: float) -> float:
        """Multiply by the exponential of mean ``expected``; the logarithm of the integral."""
        v = max(self.covariance[k, k], self.floor[k])
        m, s = self.mean[k] - v / expected, np.sqrt(v)
        z = m / s
        log_share = float(log_ndtr(z))
        out = -np.log(expected) - self.mean[k] / expected + 0.5 * v / expected**2 + log_share
        ratio = np.exp(-0.5 * z * z - _LOG_ROOT - log_share)
        # the mean and variance of what is left above zero; their difference from zero is lost to rounding far below it
        self._moved(
            k, max(m + s * ratio, 1e-3 * s / max(-z, 1.0)), v * min(max(1.0 - z * ratio - ratio**2, 1e-6), 1.0), v
        )
        return float(out)

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
    """Logarithm of the evidence of every hypothesis, relative to that of all areas being positive.

    Args:
        area, covariance: measured.
        expected: mean of the exponential prior of each.
        absent: which are zero.
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
    """Mean area by the falling mean of |F|² in shells of resolution, from reflections in the order of their angles.

    Args:
        area, variance, weight: measured area, its variance, multiplicity times angular factors.
        around: reflections that a mean is taken over.
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
