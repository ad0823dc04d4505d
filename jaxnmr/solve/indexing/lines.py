"""Peaks as input of indexing: the first lines, in 1/d² (host)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ...errors import DataError, ParameterError, require_kind
from ..records import Peaks

# peaks required per crystal system: more for more free parameters; and the largest number used
FEWEST, SLOTS = {"c": 5, "t": 6, "h": 6, "o": 8, "m": 8, "a": 8}, 32
# lines closer than this fraction of a width are one peak
RESOLVED = 0.5
# fraction of a width by which a slightly wrong profile shifts a peak, and its minimum in degrees
MISPLACED, LEAST = 0.05, 3e-4


@dataclass(frozen=True)
class Lines:
    """Positions of lines, ordered by angle.

    Attributes:
        q: ``(lines,)`` 1/d² in Å⁻².
        sigma: ``(lines,)`` their uncertainties.
        slope: ``(lines,)`` derivatives by the coefficient of the shift, Å⁻² per degree.
        width: ``(lines,)`` lines of a cell closer than this are one peak.
        shift: ``"zero"``, ``"displacement"`` or ``"none"``; ``shift_sigma`` its prior uncertainty in degrees.
        tolerance: added in quadrature to the uncertainties of positions, degrees.
    """

    q: Float[np.ndarray, " lines"]
    sigma: Float[np.ndarray, " lines"]
    slope: Float[np.ndarray, " lines"]
    width: Float[np.ndarray, " lines"]
    shift: str
    shift_sigma: float
    tolerance: float

    def __len__(self) -> int:
        return len(self.q)

    @property
    def last(self) -> float:
        """Limit up to which lines of a cell count as possible: the last observed one."""
        return float(self.q[-1] + 3.0 * self.sigma[-1])


def lines_of(peaks: Peaks, most: int, floor: float | None, shift: str, shift_sigma: float) -> Lines:
    """Return the first lines of a list of peaks in any order.

    Args:
        peaks: positions in degrees of the first wavelength.
        most: largest number of lines.
        floor: added in quadrature to the uncertainties of positions, degrees; by default a fraction of the widths.
        shift: ``"zero"``, ``"displacement"`` or ``"none"``.
        shift_sigma: prior uncertainty of its coefficient in degrees.

    Raises:
        DataError: there are fewer than five peaks, invalid positions or uncertainties, or the same position twice.
    """
    require_kind(peaks, Peaks, "what is to be indexed", "as jn.solve.find_peaks makes them")
    if len(peaks) < min(FEWEST.values()):
        raise DataError(too_few(peaks))
    if not peaks.instrument.wavelengths:
        raise DataError(
            f"the instrument of {peaks.name} has no wavelength; give jn.Instrument(wavelengths=(1.540593,)), in Å"
        )
    order = np.argsort(peaks.two_theta, kind="stable")
    angle, sigma = np.asarray(peaks.two_theta, dtype=float)[order], np.asarray(peaks.sigma, dtype=float)[order]
    if not (np.all(np.isfinite(angle)) and np.all(angle > 0.0) and np.all(angle < 180.0)):
        raise DataError(
            f"{peaks.name} has peaks at {angle[0]:g} to {angle[-1]:g} degrees; expected 2theta between 0 and 180"
        )
    if not (np.all(np.isfinite(sigma)) and np.all(sigma > 0.0)):
        raise DataError(f"uncertainties of positions of {peaks.name} are not all positive; expected degrees")
    if np.any(np.diff(angle) <= 0.0):
        at = angle[:-1][np.diff(angle) <= 0.0][0]
        raise DataError(f"{peaks.name} has two peaks at {at:g} degrees; take one of them out")
    angle, sigma = angle[:most], sigma[:most]
    width = np.asarray(peaks.fwhm, dtype=float)[order][:most]
    width = np.where(np.isfinite(width) & (width > 0.0), width, 0.0)
    middle = float(np.median(width))
    if floor is None:
        floor = max(MISPLACED * middle, LEAST)
    half, square = np.radians(angle) / 2.0, peaks.wavelength**2
    by_angle = 2.0 * np.sin(2.0 * half) / square * np.pi / 180.0
    by_shift = {"zero": 1.0, "displacement": np.cos(half), "none": 0.0}
    if shift not in by_shift:
        raise ParameterError(f"shift is {shift!r}; expected one of {', '.join(map(repr, by_shift))}")
    return Lines(
        q=4.0 * np.sin(half) ** 2 / square,
        sigma=by_angle * np.hypot(sigma, floor),
        slope=by_angle * by_shift[shift],
        width=by_angle * max(RESOLVED * middle, 3.0 * floor),
        shift=shift,
        shift_sigma=shift_sigma,
        tolerance=floor,
    )


def too_few(peaks: Peaks) -> str:
    """Return the message about a list that is too short for the requested lattices."""
    return (
        f"{peaks.name} has {len(peaks)} peaks; a cubic cell needs at least {FEWEST['c']}, a tetragonal or hexagonal one {FEWEST['t']}, "
        f"others {FEWEST['a']}, and twenty make it reliable: measure longer or to higher angles, or ask jn.solve.find_peaks for weaker "
        "peaks, or give the cell where it is known"
    )
