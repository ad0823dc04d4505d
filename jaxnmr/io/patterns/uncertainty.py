"""Uncertainties for intensities given without: counts, counts times a factor, and other numbers.

Counts ``n`` have the variance ``n``. Rates, normalised and attenuated intensities are ``y = q n`` with one factor ``q``, so
that their variance is ``q y``. The factor can be found in two ways: values are integer multiples of it, unless rounding
has obscured this, and neighbouring points scatter by ``sqrt(q y)``.
"""

import re
from itertools import pairwise
from typing import NamedTuple

import numpy as np

# words that indicate counts per second, and those before the counting time of one point in seconds
_RATE = re.compile(
    r"\bcps\b|\bc/s\b|\bcts?/s|counts?\s*(/|per)\s*s|counts?\s*s\^?-1\b|[(\[]\s*s\^?-1\s*[)\]]", re.IGNORECASE
)
_SECONDS = re.compile(
    r"(?:time\s*(?:per|/)\s*(?:step|point)|(?:step|count(?:ing)?|exposure|scan\s*step|dwell|integration|acquisition)[\s_-]*time"
    r"|seconds?\s*(?:per|/)\s*(?:step|point)|steptime)"
    r"[\s_]*(?:[(\[]?\s*(?:s|sec|seconds?)\s*[)\]]?)?\s*[:=,]?\s*"
    r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*(ms|min|s|sec|seconds?)?(?![\w.])",
    re.IGNORECASE,
)
_IN_SECONDS = {"ms": 1e-3, "min": 60.0}
# differences of these orders are compared until smooth contributions have vanished
_ORDERS = (4, 6, 8, 10)
# number of points whose squared differences are averaged before taking the median over such blocks
_BLOCK = 24
# a factor between the variance implied by scatter and that of counts is accepted beyond this
_BELIEVED = 2.5
# integers are counts; if their scatter is off by this factor in variance, a note is made, as if the factor at peaks is
# smaller than at the background by this; with few points only a larger one
_ODD, _ODD_OF_FEW, _FEW = 3.0, 10.0, 500
_FEWEST_POINTS = 100
_FEWEST_VALUES = 15


class Estimate(NamedTuple):
    """Intensities, their uncertainties ``(points,)``, and notes on these for the reader of a result."""

    y: np.ndarray
    sigma: np.ndarray
    notes: tuple[str, ...] = ()


def counting_sigma(y: np.ndarray) -> np.ndarray:
    """Return ``sqrt(y)``, and 1 where nothing was counted; ``(points,)``."""
    return np.sqrt(np.maximum(y, 1.0))


def is_rate(header: str) -> bool:
    """Return whether a header says that intensities are counts per second."""
    return _RATE.search(header) is not None


def stated_seconds(header: str) -> float | None:
    """Return the counting time of one point in seconds, if stated in a header."""
    found = _SECONDS.search(header)
    if found is None or not float(found[1]) > 0:
        return None
    return float(found[1]) * _IN_SECONDS.get((found[2] or "s").lower(), 1.0)


def estimate_sigma(y: np.ndarray, *, rate: bool = False, seconds: float | np.ndarray | None = None) -> Estimate:
    """Estimate uncertainties of intensities ``(points,)`` given without.

    Integers are counts and have their square roots, unless all have a common divisor. Other numbers are taken as counts
    times a factor, which is, in this order: the inverse of the counting time, if they are known to be rates and scatter
    accordingly; their common divisor, if their scatter agrees; the factor implied by their scatter, if that is noise
    and clearly not that of counts. If none of these applies, the square roots are kept.

    Args:
        y: intensities; negative values and NaN get the uncertainty of zero counts.
        rate: whether they are known to be counts per second.
        seconds: counting time of a point, or of each.
    """
    y = np.nan_to_num(np.asarray(y, dtype=float), posinf=0.0, neginf=0.0)
    level = np.maximum(y, 0.0)
    scatter = scatter_of_counts(level)
    found = _factor(y, level, scatter, rate=rate, seconds=seconds)
    return found._replace(notes=(*found.notes, *_subtracted(level, scatter)))


def _factor(
    y: np.ndarray, level: np.ndarray, scatter: float | None, *, rate: bool, seconds: float | np.ndarray | None
) -> Estimate:
    """Return uncertainties from the intensity of one count."""
    if rate and seconds is not None and (scatter is None or 0.25 < scatter * float(np.median(seconds)) < 4.0):
        return Estimate(y, np.sqrt(np.maximum(level, 1.0 / np.asarray(seconds)) / np.asarray(seconds)))
    whole = bool(np.all(y == np.round(y)))
    unit = 1.0 if whole else _rounding(y)
    quantum = _quantum(level, 0.0 if whole else unit)
    rounding = unit**2 / 12.0
    if scatter is not None and scatter * _typical(level) < 2.5 * rounding:
        scatter = None  # the scatter is only due to rounding
    if whole and quantum == 1.0 and not rate:
        return Estimate(y, counting_sigma(level), _odd_counts(scatter, len(y)))
    if quantum is not None and (scatter is None or 0.5 < scatter / quantum < 2.0):
        factor, how = quantum, "all are multiples of {}, which was taken for one count"
    elif scatter is None:
        if rate or _typical(level) < 1.0:
            return Estimate(y, counting_sigma(level), (_UNKNOWN,))
        return Estimate(y, counting_sigma(level))
    else:
        factor, how = scatter, "by their scatter one count is {}"
        if not whole:
            factor = scatter - rounding / _typical(level)
    # factors close to one are treated as one: means over channels are still counts for practical purposes
    if not rate and factor != quantum and 1.0 / _BELIEVED < factor < _BELIEVED:
        return Estimate(y, counting_sigma(level))
    sigma = np.sqrt(factor * np.maximum(level, factor) + (0.0 if whole else rounding))
    return Estimate(y, sigma, () if abs(factor - 1.0) < 1e-9 else (_scaled(factor, how),))


def scatter_of_counts(y: np.ndarray) -> float | None:
    """Return the variance of the noise over the intensity, 1 for counts; ``None`` if noise and curve cannot be separated.

    High differences of neighbouring points contain no peaks wider than a few points, so that the remainder has
    the variance ``sum c² q y``. Blocks of points are averaged, and the median over blocks suppresses those at sharp
    peaks. Noise gives the same factor at every order; a curve without noise gives smaller and smaller ones.
    """
    return scatter_over(y, y)


def scatter_over(y: np.ndarray, variance: np.ndarray) -> float | None:
    """Return the variance of the noise of ``y`` over a stated one, both ``(points,)``; see `scatter_of_counts`."""
    if len(y) < _FEWEST_POINTS:
        return None
    found = [_by_differences(y, variance, order) for order in _ORDERS]
    for lower, higher in pairwise(found):
        if higher > 0.7 * lower > 0:
            return higher
    return None


def _subtracted(y: np.ndarray, scatter: float | None) -> tuple[str, ...]:
    """Note if noise over intensity is smaller at peaks than at the background, as after a subtraction.

    Residues of the peak shape in the differences can only increase it there.
    """
    if scatter is None or len(y) < _FEW:
        return ()
    noise, level = _sums(y, y, _ORDERS[-1])
    peaks = level > 4.0 * max(float(np.median(level)), 1e-9 * float(level.max()))
    if peaks.sum() < 3 or not float(np.median(noise[peaks] / level[peaks])) < scatter / _ODD:
        return ()
    return (_SUBTRACTED,)


def _by_differences(y: np.ndarray, variance: np.ndarray, order: int) -> float:
    noise, expected = _sums(y, variance, order)
    counted = expected > 0
    if not counted.any():
        return 0.0
    # the median of a mean of squares lies below its expectation, the more so as neighbouring differences are correlated
    weights = np.diff(np.eye(order + 1), n=order, axis=0)[0]
    overlap = np.correlate(weights, weights, mode="full") / np.sum(weights**2)
    independent = _BLOCK / np.sum(overlap**2)
    return float(np.median(noise[counted] / expected[counted])) / (1.0 - 2.0 / (9.0 * independent)) ** 3


def _sums(y: np.ndarray, variance: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Return squared differences and their expectation for a variance, summed over blocks of points."""
    weights = np.diff(np.eye(order + 1), n=order, axis=0)[0]
    squared, expected = np.diff(y, n=order) ** 2, np.convolve(variance, weights**2, mode="valid")
    blocks = len(squared) // _BLOCK
    noise, level = (np.sum(a[: blocks * _BLOCK].reshape(blocks, _BLOCK), axis=1) for a in (squared, expected))
    return noise, level


def _typical(y: np.ndarray) -> float:
    positive = y[y > 0]
    return float(np.median(positive)) if positive.size else 0.0


def _rounding(y: np.ndarray) -> float:
    """Return the unit of the last decimal of the numbers, 0 if they have full double precision."""
    for decimals in range(1, 10):
        if np.allclose(y, np.round(y, decimals), rtol=1e-13, atol=1e-13 * float(np.abs(y).max(initial=0.0))):
            return 10.0**-decimals
    return 0.0


def _quantum(y: np.ndarray, unit: float) -> float | None:
    """Return the common divisor of all intensities, up to rounding to ``unit``; ``None`` without one."""
    values = np.unique(y[y > 0])
    if unit == 0.0 and np.all(values == np.round(values)):
        # a few integers have a common divisor by chance
        known = _FEWEST_VALUES <= len(values) and values[-1] < 2**53
        return float(np.gcd.reduce(values.astype(np.int64))) if known else 1.0
    if len(values) < _FEWEST_VALUES // 3:
        return None
    steps = np.diff(np.concatenate([[0.0], values]))
    steps = steps[steps > max(2.0 * unit, 1e-9 * values[-1])]
    if not steps.size:
        return None
    for divisor in (1, 2, 3, 4, 5):
        q, reach = float(steps.min()) / divisor, 0.0
        if q < 5.0 * unit:
            return None
        # the factor becomes more precise with larger multiples of it
        while reach < values[-1]:
            reach = max(3.0 * reach, 4.0 * q, float(values[0]))
            used = values[values <= reach]
            n = np.round(used / q)
            if not np.all(n > 0):
                break
            q = float(n @ used / (n @ n))
        off = np.abs(values - np.round(values / q) * q)
        if np.mean(off <= 0.6 * unit + 2e-6 * values) > 0.99 and np.max(off) < 0.25 * q:
            return q
    return None


_SUBTRACTED = (
    "The intensities scatter less at peaks than at the background, compared with their square roots, as those do that a background "
    "was subtracted from, or that were rounded: give the counts and refine the background, or a third column with uncertainties."
)
_UNKNOWN = (
    "The intensities are no counts, and neither their scatter nor their steps show what one count is: the uncertainties "
    "sqrt(max(I, 1)) are arbitrary, and so is the goodness of fit. Give a third column with uncertainties, or the counts."
)


def _scaled(factor: float, how: str) -> str:
    return (
        f"The intensities are no counts: {how.format(f'{factor:.3g}')}, so that their uncertainties are sqrt({factor:.3g} I). "
        "Give the counts, or a third column with uncertainties, to have others."
    )


def _odd_counts(scatter: float | None, points: int) -> tuple[str, ...]:
    odd = _ODD if points >= _FEW else _ODD_OF_FEW
    if scatter is None or 1.0 / odd < scatter < odd:
        return ()
    return (
        f"The intensities are whole numbers and were taken as counts, but they scatter by {np.sqrt(scatter):.2g} times their "
        "square roots: if they are rates, or were scaled, smoothed, averaged or freed of a background, give a third column with their uncertainties.",
    )
