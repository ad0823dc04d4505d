"""Meaning of an unnamed third column beside angles and intensities, and plausibility of uncertainties.

Uncertainties grow with the intensity, as its square root or less, and match the scatter of neighbouring points. Weights
and relative errors fall where the intensity rises; temperatures, backgrounds and monitor counts are unrelated to peaks;
a calculated curve grows in proportion to the intensity.
"""

from typing import NamedTuple

import numpy as np

from ...errors import DataError
from .uncertainty import scatter_over

# window length in points for comparing the highest and lowest point; windows count if the intensity rises by this
# fraction of the largest rise, and to this multiple of its foot
_WINDOW, _STRONG, _RISE = 40, 0.1, 1.5
_FEWEST = 20
# variance of the noise over the square of the column: within the first factor it may contain uncertainties even if it
# does not follow the intensities; outside the second range a note is made for any uncertainties
_AGREES, _ODD = 3.0, (0.05, 5.0)


class ThirdColumn(NamedTuple):
    """Meaning of an unnamed third column: uncertainties, or factors that multiply the intensities."""

    sigma: np.ndarray | None = None
    factor: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def third_column(y: np.ndarray, third: np.ndarray) -> ThirdColumn:
    """Determine the meaning of an unnamed column, given the intensities ``(points,)``.

    It holds uncertainties, unless it is constant, which is uninformative, or contains the factors of a beam attenuator:
    1 where the beam is not attenuated and a few larger numbers where it is.

    Raises:
        DataError: it cannot be uncertainties.
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
    return ThirdColumn(sigma=third, notes=_judged(y, third))


def _judged(y: np.ndarray, third: np.ndarray) -> tuple[str, ...]:
    """Return notes on a column that may contain uncertainties.

    Raises:
        DataError: it cannot; states what it looks like.
    """
    if len(y) < _FEWEST or not (third >= 0).all():
        return ()
    steps = np.diff(third)
    if (steps > 0).all() or (steps < 0).all():
        raise _refusal(
            f"{'rises' if steps[0] > 0 else 'falls'} from point to point ({third[0]:g}, {third[1]:g} ... {third[-1]:g}), as a "
            "clock, a temperature or another axis does"
        )
    if not (third > 0).all():
        return ()
    jump, expected = (float(np.median(np.abs(np.diff(np.log(v))))) for v in (third, np.maximum(y, 0.0) + 1.0))
    if jump > 0.3 and jump > 3.0 * expected:
        raise _refusal(f"changes by {np.expm1(jump):.0%} from point to point, as residuals do")
    growth = _growth(y, third)
    scatter = scatter_over(y, third**2)
    agrees = scatter is not None and 1.0 / _AGREES < scatter < _AGREES
    said = "" if scatter is None else f"; neighbouring points scatter by {np.sqrt(scatter):.2g} times what it holds"
    if growth is None:
        return ()
    rise, power = growth
    if rise < -0.1:
        raise _refusal("falls where the intensity rises, as weights (1/sigma²) and relative errors do" + said)
    if not agrees:
        if power < 0.1:
            raise _refusal("does not follow the intensity, as a temperature, a background or a monitor does not" + said)
        if power > 0.8 and scatter is not None:
            raise _refusal("grows as the intensity itself, as a calculated curve or a variance does" + said)
    return (_LIKE_INTENSITY,) if agrees and power > 0.8 else ()


def _growth(y: np.ndarray, third: np.ndarray) -> tuple[float, float] | None:
    """Return the logarithmic growth of the column from the foot to the top of peaks, and its exponent of the intensity.

    ``None`` if no peak rises from the noise.
    """
    noise = scatter_over(y, np.ones(len(y)))
    found = []
    for part in np.array_split(np.arange(len(y)), max(len(y) // _WINDOW, 1)):
        top, foot = part[np.argmax(y[part])], part[np.argmin(y[part])]
        found.append((y[top] - y[foot], y[top], y[foot], np.log(third[top] / third[foot])))
    largest = max(rise for rise, *_ in found)
    strong = [
        (grown, np.log(top / max(foot, 1e-3 * top)))
        for rise, top, foot, grown in found
        if rise >= _STRONG * largest > 0 and top > max(_RISE * foot, 0.0) and rise > 12.0 * np.sqrt(noise or 0.0)
    ]
    if not strong:
        return None
    return float(np.median([grown for grown, _ in strong])), float(np.median([grown / of for grown, of in strong]))


def _refusal(why: str) -> DataError:
    return DataError(
        f"the third column {why}, so that it is no uncertainty: name the columns in a header (2theta, intensity, and "
        "sigma, weight, calculated ...), or leave it out"
    )


def doubtful_sigma(y: np.ndarray, sigma: np.ndarray) -> tuple[str, ...]:
    """Return notes on uncertainties ``(points,)`` given in a file.

    They are noted if all are equal although intensities are not, or if neighbouring points scatter by far more or less.
    """
    if len(sigma) >= 10 and np.all(sigma == sigma[0]) and np.max(y) > 4.0 * max(float(np.median(y)), 0.0):
        return (_ONE.format(f"{sigma[0]:g}"),)
    scatter = scatter_over(y, sigma**2) if np.isfinite(sigma).all() and (sigma > 0).all() else None
    if scatter is None or _ODD[0] < scatter < _ODD[1]:
        return ()
    return (_SCATTER.format(f"{np.sqrt(scatter):.2g}"),)


_ONE = (
    "The uncertainty of every point is {}, of peaks and background alike, which that of counts never is: leave the column out to "
    "have it estimated."
)
_CONSTANT = "The third column is {} at every point, which is no uncertainty; it was left out, and the uncertainties are those of counts."
_SCATTER = (
    "Neighbouring points scatter by {} times their uncertainties: leave these out to have them estimated, if they are not those of "
    "the intensities as they stand here. Where data were smoothed, the goodness of fit says nothing."
)
_LIKE_INTENSITY = (
    "The third column grows as the intensity itself, and was read as uncertainties: if it is another intensity, name the columns in a "
    "header."
)
_ATTENUATED = "The third column (1 to {}) was read as the factors of a beam attenuator, which multiply intensities and uncertainties."
