"""Uncertainties of intensities without counting statistics, from the scatter of neighbouring points (host)."""

from math import comb

import numpy as np
from jaxtyping import Float

from .._arguments import checked
from ..errors import DataError

# differences of this order no longer contain peaks wider than a few points
_ORDER = 6
_FEWEST = 50
# median of the square of a standard normal variable
_MEDIAN = 0.4549
_BINS = 12


@checked
def scatter_sigma(x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
    """Estimate uncertainties from the scatter of successive points, for intensities that are not counts (net, scaled).

    The variance is modelled as ``a + b max(y, 0)``, a constant noise and one proportional to intensity. Both follow
    from differences of order 6 of neighbouring points: their squares over ``sum c²`` equal the variance where the curve
    is smooth, and medians over points of similar intensity exclude those affected by sharp peaks.

    Args:
        x: ``(points,)`` 2theta, increasing.
        y: intensities of any scale, possibly negative.

    Returns:
        Positive uncertainties, one per point.

    Raises:
        DataError: there are fewer than 50 points, or a curve without any scatter.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 1 or x.size < _FEWEST or x.shape != y.shape:
        raise DataError(
            f"the scatter of {y.size} intensities at {x.size} points tells no uncertainty; expected as many of both, and at least {_FEWEST}"
        )
    c = np.array([(-1.0) ** k * comb(_ORDER, k) for k in range(_ORDER + 1)])
    squares = np.convolve(y, c, "valid") ** 2 / np.sum(c * c)
    level = np.convolve(y, np.ones(_ORDER + 1) / (_ORDER + 1), "valid")
    # bins of equal size at the background, and of equal ratio above it
    order = np.argsort(level)
    edges = np.unique(np.round(len(order) * (1.0 - 0.5 ** np.arange(_BINS))).astype(int))
    chosen = [part for part in np.split(order, edges[1:]) if len(part) >= 8]
    at = np.array([np.median(np.maximum(level[part], 0.0)) for part in chosen])
    variance = np.array([np.median(squares[part]) for part in chosen]) / _MEDIAN
    floor = variance[0]
    # growth with intensity of the bins above background; of these the lower ones, since sharp peaks only add
    out = at > at[0] + 3.0 * np.sqrt(floor)
    slope = float(np.quantile((variance[out] - floor) / (at[out] - at[0]), 0.35)) if out.any() else 0.0
    slope = max(slope, 0.0)
    found = np.maximum(floor + slope * (np.maximum(y, 0.0) - at[0]), 0.25 * floor)
    if not np.all(found > 0.0):
        raise DataError(
            "these intensities do not scatter at all, as those of a calculated pattern: give uncertainties, or add noise to them"
        )
    return np.sqrt(found)
