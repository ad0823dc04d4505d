"""Noise and background of a pattern, estimated before its peaks are known (host)."""

import numpy as np
from jaxtyping import Bool, Float

# for a normal distribution: standard deviation over the median of absolute values
_ROBUST = 1.4826
_ROUNDS = 40


def scatter(
    y: Float[np.ndarray, " points"],
    sigma: Float[np.ndarray, " points"],
    keep: Bool[np.ndarray, " points"],
    lags: tuple[int, ...] = (1, 2, 3),
    quantile: float = 0.5,
) -> float:
    """Return the scatter of the points about their neighbours, over their uncertainties.

    It uses second differences of points some steps apart: in a smoothed pattern, adjacent points agree better than
    their uncertainties suggest.

    Args:
        keep: the points to use, preferably without peaks, which are curved, too.
        quantile: of the medians of several stretches; low if there are peaks.
    """
    found = [0.0]
    for lag in lags:
        difference = (y[: -2 * lag] - 2.0 * y[lag:-lag] + y[2 * lag :]) / np.sqrt(6.0) / sigma[lag:-lag]
        usable = keep[: -2 * lag] & keep[lag:-lag] & keep[2 * lag :]
        stretches = np.array_split(np.abs(difference[usable]), max(1, min(60, int(usable.sum()) // 40)))
        medians = [float(np.median(part)) for part in stretches if len(part) >= 10]
        if medians:
            found.append(_ROBUST * float(np.quantile(medians, quantile)))
    return max(found)


def smooth(
    y: Float[np.ndarray, " points"], weight: Float[np.ndarray, " points"], stiffness: float
) -> Float[np.ndarray, " points"]:
    """Return the curve that minimises ``sum weight (y - z)² + stiffness sum (second differences of z)²``.

    Source: Eilers, Anal. Chem. 75, 3631 (2003).
    """
    from scipy.linalg import solveh_banded

    n = len(y)
    bands = np.zeros((3, n))
    bands[2] = 6.0
    bands[2, [0, -1]], bands[2, [1, -2]] = 1.0, 5.0
    bands[1, 1:] = -4.0
    bands[1, [1, -1]] = -2.0
    bands[0, 2:] = 1.0
    bands *= stiffness
    bands[2] += weight + 1e-12
    return solveh_banded(bands, weight * y, check_finite=False)


def stiffness_of(points: float) -> float:
    """Return the stiffness at which waves of this length in points keep half of their height for unit weights."""
    return (points / (2.0 * np.pi)) ** 4


def baseline(
    y: Float[np.ndarray, " points"],
    noise: Float[np.ndarray, " points"],
    keep: Bool[np.ndarray, " points"],
    points: float,
    trust: Float[np.ndarray, " points"] | float = 1.0,
) -> Float[np.ndarray, " points"]:
    """Fit a smooth curve below the peaks, whatever fraction of the pattern they occupy; intensities may be negative.

    Points above the curve by more than the noise gradually lose their weight; points within the noise keep it. Waves
    shorter than ``points`` are not followed; ``trust`` is the initial weight of each point. Source: Baek et al.,
    Analyst 140, 250 (2015), with the noise of every point.
    """
    from scipy.ndimage import grey_opening, uniform_filter1d

    stiffness = stiffness_of(points)
    full = keep * trust
    # a first curve that strong peaks do not lift: features narrower than a third of the shortest wave are cut off
    index = np.arange(len(y))
    whole = np.interp(index, index[keep], y[keep])
    cut = grey_opening(uniform_filter1d(whole, 5), size=max(int(points / 3.0), 9), mode="nearest")
    weight = full * (np.abs(whole - cut) < 4.0 * noise) + 1e-6
    z = y
    for _ in range(_ROUNDS):
        z = smooth(y, weight, stiffness)
        apart = (y - z) / noise
        below = apart[keep & (apart < 0.0)]
        if len(below) < 3:
            break
        mean, spread = float(below.mean()), max(float(below.std()), 1e-9)
        new = full / (1.0 + np.exp(np.clip(2.0 * (apart - (2.0 * spread - mean)) / spread, -50.0, 50.0)))
        changed = float(np.linalg.norm(new - weight)) / max(float(np.linalg.norm(weight)), 1e-12)
        weight = new
        if changed < 1e-3:
            break
    return z
