"""Uncertainties of intensities that come without: of counts, of counts times a factor, and of numbers that are neither.

Counts ``n`` have the variance ``n``. Rates, normalised and attenuated intensities are ``y = q n`` with one factor ``q``, so
that their variance is ``q y``. The factor shows twice: values are whole multiples of it, as long as rounding has not wiped
that out, and neighbouring points scatter by ``sqrt(q y)``.
"""

import re
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ...errors import DataError

# words that make numbers counts per second, and what comes before the seconds that one point was counted
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
# differences of these orders are compared until what is smooth has gone from them
_ORDERS = (4, 6, 8, 10)
# points whose squared differences are averaged before the median over such blocks is taken
_BLOCK = 24
# a factor between the variance that scatter shows and that of counts is believed beyond this
_BELIEVED = 2.5
# whole numbers are counts; where their scatter is off by this factor in variance, that is said
_ODD = 10.0
_FEWEST_POINTS = 100
_FEWEST_VALUES = 15


class Estimate(NamedTuple):
    """Intensities, their uncertainties ``(points,)``, and what the reader of a result must know of these."""

    y: np.ndarray
    sigma: np.ndarray
    notes: tuple[str, ...] = ()


def counting_sigma(y: np.ndarray) -> np.ndarray:
    """``sqrt(y)``, and 1 where nothing was counted; ``(points,)``."""
    return np.sqrt(np.maximum(y, 1.0))


def is_rate(header: str) -> bool:
    """Whether a header says that intensities are counts per second."""
    return _RATE.search(header) is not None


def stated_seconds(header: str) -> float | None:
    """Seconds that one point was counted, where a header says so."""
    found = _SECONDS.search(header)
    if found is None or not float(found[1]) > 0:
        return None
    return float(found[1]) * _IN_SECONDS.get((found[2] or "s").lower(), 1.0)


def estimate_sigma(y: np.ndarray, *, rate: bool = False, seconds: float | np.ndarray | None = None) -> Estimate:
    """Uncertainties of intensities ``(points,)`` that came without.

    Whole numbers are counts and have their square roots, unless all have a common divisor. Other numbers are taken as counts
    times a factor, which is, in this order: one over the counting time, where they are known to be rates and scatter as such;
    what all of them are multiples of, where their scatter agrees; what their scatter shows, when it is noise and clearly not
    that of counts. What can be told by none of these keeps the square roots.

    Args:
        y: intensities; what is negative or not a number has the uncertainty of nothing counted.
        rate: whether they are known to be counts per second.
        seconds: counting time of a point, or of each.
    """
    y = np.nan_to_num(np.asarray(y, dtype=float), posinf=0.0, neginf=0.0)
    level = np.maximum(y, 0.0)
    scatter = scatter_of_counts(level)
    if rate and seconds is not None and (scatter is None or 0.25 < scatter * float(np.median(seconds)) < 4.0):
        return Estimate(y, np.sqrt(np.maximum(level, 1.0 / np.asarray(seconds)) / np.asarray(seconds)))
    whole = bool(np.all(y == np.round(y)))
    unit = 1.0 if whole else _rounding(y)
    quantum = _quantum(level, 0.0 if whole else unit)
    rounding = unit**2 / 12.0
    if scatter is not None and scatter * _typical(level) < 2.5 * rounding:
        scatter = None  # all that is seen is the rounding
    if whole and quantum == 1.0 and not rate:
        return Estimate(y, counting_sigma(level), _odd_counts(scatter))
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
    # nearby factors are as good as one: means over channels are still counts for all that matters
    if not rate and factor != quantum and 1.0 / _BELIEVED < factor < _BELIEVED:
        return Estimate(y, counting_sigma(level))
    sigma = np.sqrt(factor * np.maximum(level, factor) + (0.0 if whole else rounding))
    return Estimate(y, sigma, () if abs(factor - 1.0) < 1e-9 else (_scaled(factor, how),))


def scatter_of_counts(y: np.ndarray) -> float | None:
    """Variance of the noise over the intensity, 1 of counts; ``None`` where no noise can be told from the curve.

    High differences of neighbouring points hold no peaks any more that are wider than a few points, so that what is left has
    the variance ``sum c² q y``. Blocks of points are averaged, and the median over blocks leaves out those on sharp
    peaks. Noise gives the same factor at every order; a curve without noise gives less and less.
    """
    if len(y) < _FEWEST_POINTS:
        return None
    found = [_by_differences(y, order) for order in _ORDERS]
    for lower, higher in pairwise(found):
        if higher > 0.7 * lower > 0:
            return higher
    return None


def _by_differences(y: np.ndarray, order: int) -> float:
    weights = np.diff(np.eye(order + 1), n=order, axis=0)[0]
    squared, expected = np.diff(y, n=order) ** 2, np.convolve(y, weights**2, mode="valid")
    blocks = len(squared) // _BLOCK
    sums = [np.sum(a[: blocks * _BLOCK].reshape(blocks, _BLOCK), axis=1) for a in (squared, expected)]
    counted = sums[1] > 0
    if not counted.any():
        return 0.0
    # the median of a mean of squares lies below its expectation, the more so as neighbouring differences are correlated
    overlap = np.correlate(weights, weights, mode="full") / np.sum(weights**2)
    independent = _BLOCK / np.sum(overlap**2)
    return float(np.median(sums[0][counted] / sums[1][counted])) / (1.0 - 2.0 / (9.0 * independent)) ** 3


def _typical(y: np.ndarray) -> float:
    positive = y[y > 0]
    return float(np.median(positive)) if positive.size else 0.0


def _rounding(y: np.ndarray) -> float:
    """The unit of the last decimal that the numbers have, 0 where they have all that doubles have."""
    for decimals in range(1, 10):
        if np.allclose(y, np.round(y, decimals), rtol=1e-13, atol=1e-13 * float(np.abs(y).max(initial=0.0))):
            return 10.0**-decimals
    return 0.0


def _quantum(y: np.ndarray, unit: float) -> float | None:
    """What all intensities are whole multiples of, apart from rounding to ``unit``; ``None`` if there is no such number."""
    values = np.unique(y[y > 0])
    if unit == 0.0 and np.all(values == np.round(values)):
        # a few whole numbers have a common divisor by chance
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
        # the factor sharpens as larger multiples of it are counted out
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


class ThirdColumn(NamedTuple):
    """What an unnamed third column holds: uncertainties, or factors that multiply the intensities."""

    sigma: np.ndarray | None = None
    factor: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def third_column(y: np.ndarray, third: np.ndarray) -> ThirdColumn:
    """Tell what a column without a name is, beside the intensities ``(points,)``.

    Uncertainties, unless all of it is one number, which says nothing, or it holds the factors of a beam attenuator: 1 where
    the beam is not attenuated and a few larger numbers where it is.

    Raises:
        DataError: it follows the intensity, as a calculated curve does.
    """
    third = np.asarray(third, dtype=float)
    if not np.isfinite(third).all():
        return ThirdColumn(sigma=third)
    if np.all(third == third[0]):
        return ThirdColumn(notes=(_CONSTANT.format(f"{third[0]:g}"),))
    bare = third == 1.0
    if bare.any() and len(np.unique(third)) <= 8 and third.min() == 1.0 and np.median(y[bare]) > 20.0:
        return ThirdColumn(factor=third, notes=(_ATTENUATED.format(f"{third.max():g}"),))
    clear = y > 16.0
    if clear.sum() > 10 and np.mean(np.abs(third[clear] / y[clear] - 1.0) < 0.5) > 0.8:
        k = int(np.argmax(clear))
        raise DataError(
            f"the third column follows the intensity ({third[k]:g} beside {y[k]:g} at point {k + 1}), so that it is no "
            "uncertainty: name the columns in a header (2theta, observed, calculated), or leave it out"
        )
    return ThirdColumn(sigma=third)


def doubtful_sigma(y: np.ndarray, sigma: np.ndarray) -> tuple[str, ...]:
    """What is to be said of uncertainties ``(points,)`` that a file gives: whether all are one number though intensities are not."""
    if len(sigma) < 10 or not np.all(sigma == sigma[0]) or not np.max(y) > 4.0 * max(float(np.median(y)), 0.0):
        return ()
    return (
        f"The uncertainty of every point is {sigma[0]:g}, of peaks and background alike, which that of counts never is: leave "
        "the column out to have it estimated.",
    )


_CONSTANT = "The third column is {} at every point, which is no uncertainty; it was left out, and the uncertainties are those of counts."
_ATTENUATED = "The third column (1 to {}) was read as the factors of a beam attenuator, which multiply intensities and uncertainties."
_UNKNOWN = (
    "The intensities are no counts, and neither their scatter nor their steps show what one count is: the uncertainties "
    "sqrt(max(I, 1)) are arbitrary, and so is the goodness of fit. Give a third column with uncertainties, or the counts."
)


def _scaled(factor: float, how: str) -> str:
    return (
        f"The intensities are no counts: {how.format(f'{factor:.3g}')}, so that their uncertainties are sqrt({factor:.3g} I). "
        "Give the counts, or a third column with uncertainties, to have others."
    )


def _odd_counts(scatter: float | None) -> tuple[str, ...]:
    if scatter is None or 1.0 / _ODD < scatter < _ODD:
        return ()
    return (
        f"The intensities are whole numbers and were taken as counts, but they scatter by {np.sqrt(scatter):.2g} times their "
        "square roots: if they were scaled, smoothed or averaged, give a third column with their uncertainties.",
    )
