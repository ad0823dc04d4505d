"""Widths of intervals with correct coverage, calibrated on held-out crystals (host)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.stats import t as student

from ..errors import ParameterError

ONE = 0.682689
# degrees of freedom: the smallest gives tails of a Cauchy distribution, the largest those of a normal distribution
_LEAST, _MOST = 1.0, 1e4


class Intervals(NamedTuple):
    """Half widths of intervals in standard deviations of a covariance, from Student's t distribution.

    A covariance is less accurate for some crystals than for others, so deviations have longer tails than a normal
    distribution, and no single factor makes both the 68 and the 95 % intervals right.

    Attributes:
        one: half width of the 68.27 % interval.
        degrees: degrees of freedom.
    """

    one: float = 1.0
    degrees: float = _MOST

    @classmethod
    def of(cls, distances: Float[np.ndarray, "*n"]) -> Intervals:
        """Fit intervals that hold 68.27 and 95 % of these, as nearly as Student's t distribution can.

        Args:
            distances: deviations from true values, in standard deviations.
        """
        one, two = np.quantile(np.abs(distances), [ONE, 0.95])
        ratio = two / max(one, 1e-12)
        longer = lambda log: Intervals(1.0, float(np.exp(log))).width(0.95) - ratio
        low, high = np.log(_LEAST), np.log(_MOST)
        if longer(high) >= 0.0:
            log = high
        elif longer(low) <= 0.0:
            log = low
        else:
            log = brentq(longer, low, high)
        return cls(float(one), float(np.exp(log)))

    def width(self, probability: float) -> float:
        """Return the half width of an interval.

        Raises:
            ParameterError: the probability is not between 0 and 1.
        """
        if not 0.0 < probability < 1.0:
            raise ParameterError(f"the probability of an interval is {probability}; expected a number between 0 and 1")
        at = student.ppf([(1.0 + probability) / 2.0, (1.0 + ONE) / 2.0], self.degrees)
        return self.one * float(at[0] / at[1])


NORMAL = Intervals()
