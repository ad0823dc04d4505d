"""Diagnosis of a misfitting curve: lines missing or in excess, a stiff baseline (host).

Everything is judged against the noise: the stated uncertainty, or the scatter of neighbouring residuals if that is
larger, so that underestimated uncertainties do not turn noise into lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# a line is significant if its height, smoothed over its width, is this many standard uncertainties ...
_SIGNIFICANT = 10.0
# ... and this fraction of the highest line ...
_HIGH, _HIGH_IF_STIFF = 0.01, 0.05
# ... and this fraction of it is missing in the other curve
_MISSING = 0.6
# fraction of its height by which it must rise above its surroundings, within this many widths
_RISES, _BESIDE = 0.5, 2.5
# windows along the curve for estimating the baseline, and the fraction of their points, furthest from lines, that is used
_WINDOWS, _FURTHEST = 24, 0.3
# fraction of chi² that a better baseline must remove to be reported
_STIFF = 0.1
# and number of standard uncertainties by which it must be off in most windows: systematic deviation, not scatter
_WAVES = 3.0
_MOST_LISTED = 8
# median of the absolute value of the difference of two normal deviates
_MEDIAN_STEP = 0.6744897501960817 * np.sqrt(2.0)


class Line(NamedTuple):
    """A line present in only one of two curves.

    Attributes:
        position: position of its top, in units of the axis.
        height: height above the baseline, as a fraction of the highest line of the curve that contains it.
        significance: height divided by its noise.
    """

    position: float
    height: float
    significance: float


class Misfit(NamedTuple):
    """Result of :func:`misfit`.

    Attributes:
        unexplained: observed lines where hardly anything is calculated, ordered by position.
        absent: calculated lines where hardly anything is observed, ordered by position.
        stiff: fraction of chi² (0 to 1) that a smooth curve through the points between the lines would remove; 0 if
            negligible.
    """

    unexplained: tuple[Line, ...]
    absent: tuple[Line, ...]
    stiff: float


def misfit(x, observed, sigma, calculated, baseline, *, widths: Sequence[float]) -> Misfit:
    """Diagnose the residuals of a curve.

    Args:
        x: ``(points,)`` increasing.
        observed, sigma, calculated, baseline: ``(points,)``; the baseline is part of ``calculated``.
        widths: widths of the lines to look for (full width at half maximum), in points.
    """
    x, observed, sigma, calculated, baseline = (
        np.asarray(a, dtype=float) for a in (x, observed, sigma, calculated, baseline)
    )
    if x.size < 20:
        return Misfit((), (), 0.0)
    lines, residual = calculated - baseline, observed - calculated
    noise = sigma * _noise_ratio(residual / sigma)
    smooth, gain = _between(residual, noise, sigma, lines)
    stiff = gain > _STIFF
    if stiff:
        # lines are searched above the corrected baseline, as far as it can be estimated
        residual, baseline = residual - smooth, baseline + smooth
    least = _HIGH_IF_STIFF if stiff else _HIGH
    return Misfit(
        _lacking(x, observed - baseline, residual, noise, widths, least),
        _lacking(x, lines, -residual, noise, widths, least),
        gain if stiff else 0.0,
    )


def _noise_ratio(r: np.ndarray) -> float:
    """Return the ratio of the scatter of neighbouring residuals to the stated uncertainty, at least 1."""
    return max(float(np.median(np.abs(np.diff(r)))) / _MEDIAN_STEP, 1.0)


def _lacking(x, curve, lacking, noise, widths, least) -> tuple[Line, ...]:
    """Find lines of a curve above its baseline most of whose height is missing in the other curve."""
    found: list[tuple[float, int, int, float]] = []
    every = sorted({int(np.clip(round(w), 2, x.size // 10)) for w in widths})
    # heights are reported from the narrowest smoothing
    sharp = _smoothed(curve, _gaussian(every[0]))
    for width in every:
        kernel = _gaussian(width)
        smooth, missing = _smoothed(curve, kernel), _smoothed(lacking, kernel)
        # heights are compared with those of equally smoothed lines
        highest = float(smooth.max())
        spread = np.sqrt(_smoothed(noise**2, kernel) * np.sum(kernel**2))
        top = (smooth[1:-1] >= smooth[:-2]) & (smooth[1:-1] > smooth[2:])
        high = (missing > _SIGNIFICANT * spread) & (missing > _MISSING * smooth) & (smooth > least * highest)
        reach = int(np.ceil(_BESIDE * width))
        for k in 1 + np.flatnonzero(top & high[1:-1]):
            # at the ends of the data a line cannot be recognised
            if width <= k < x.size - width:
                beside = max(smooth[max(k - reach, 0) : k].min(), smooth[k + 1 : k + 1 + reach].min())
                if smooth[k] - beside > _RISES * missing[k]:
                    found.append((float(missing[k] / spread[k]), int(k), width, float(sharp[k] / sharp.max())))
    kept: list[tuple[float, int, int, float]] = []
    for line in sorted(found, reverse=True):
        if all(abs(line[1] - other[1]) > max(line[2], other[2]) for other in kept):
            kept.append(line)
    return tuple(Line(float(x[k]), height, s) for s, k, _, height in sorted(kept, key=lambda line: line[1]))


def _gaussian(width: int) -> np.ndarray:
    """Return a normalised Gaussian kernel with this full width at half maximum in points."""
    place = np.arange(-width, width + 1) / width
    kernel = np.exp(-4.0 * np.log(2.0) * place**2)
    return kernel / kernel.sum()


def _smoothed(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return np.convolve(np.pad(values, len(kernel) // 2, mode="edge"), kernel, mode="valid")


def _between(residual, noise, sigma, lines) -> tuple[np.ndarray, float]:
    """Fit a smooth curve to the residuals furthest from lines; also return the fraction of chi² it removes, 0 for scatter."""
    places = np.arange(residual.size)
    if residual.size < 4 * _WINDOWS:
        return 0.0 * residual, 0.0
    centre, off, sure = [], [], []
    for part in np.array_split(places, _WINDOWS):
        chosen = part[np.argsort(lines[part], kind="stable")[: max(int(_FURTHEST * part.size), 3)]]
        centre.append(part.mean())
        off.append(np.median(residual[chosen]))
        # a median is less precise than a mean
        sure.append(1.25 * np.median(noise[chosen]) / np.sqrt(chosen.size))
    smooth = np.interp(places, centre, off)
    if np.median(np.abs(off) / np.array(sure)) < _WAVES:
        return smooth, 0.0
    chi2 = lambda r: float(np.sum((r / sigma) ** 2))
    return smooth, 1.0 - chi2(residual - smooth) / chi2(residual)


def listed(lines: Sequence[Line], unit: str, digits: int = 5) -> str:
    """List positions of the highest lines with their heights in per cent, in ascending order."""
    chosen = sorted(sorted(lines, key=lambda line: -line.height)[:_MOST_LISTED])
    text = ", ".join(f"{line.position:.{digits}g}{unit} ({100 * line.height:.2g} %)" for line in chosen)
    more = len(lines) - len(chosen)
    return text + (f" and {more} lower" if more else "")
