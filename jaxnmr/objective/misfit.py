"""What the residuals of a curve look like where it is not described: lines missing or in excess, a stiff baseline (host).

Everything is judged against the noise: the stated uncertainty, or the scatter of neighbouring residuals where that is larger, so
that uncertainties that are too small do not turn noise into lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# a line stands out when it is so many standard uncertainties high (smoothed over its width) ...
_SIGNIFICANT = 10.0
# ... of the highest line so much ...
_HIGH, _HIGH_IF_STIFF = 0.01, 0.05
# ... and this part of it is missing on the other side
_MISSING = 0.6
# part of its height by which it has to rise above what lies beside it, within so many widths
_RISES, _BESIDE = 0.5, 2.5
# windows along the curve in which the baseline is looked for, and the part of their points that is furthest from lines
_WINDOWS, _FURTHEST = 24, 0.3
# part of chi² that a better baseline has to remove to be worth saying
_STIFF = 0.1
# and by how many of its standard uncertainties it has to be off in most windows: waves, not scatter
_WAVES = 3.0
_MOST_LISTED = 8
# median of the absolute value of the difference of two normal deviates
_MEDIAN_STEP = 0.6744897501960817 * np.sqrt(2.0)


class Line(NamedTuple):
    """A line that one of two curves lacks.

    Attributes:
        position: of its top, in units of the axis.
        height: above the baseline, as a part of the highest line of the curve that has it.
        significance: its height over its noise.
    """

    position: float
    height: float
    significance: float


class Misfit(NamedTuple):
    """What :func:`misfit` finds.

    Attributes:
        unexplained: observed lines where hardly anything is calculated, by position.
        absent: calculated lines where hardly anything is observed, by position.
        stiff: part of chi² (0 to 1) that a smooth curve through the points between the lines would remove; 0 when too little.
    """

    unexplained: tuple[Line, ...]
    absent: tuple[Line, ...]
    stiff: float


def misfit(x, observed, sigma, calculated, baseline, *, widths: Sequence[float]) -> Misfit:
    """Look at the residuals of a curve.

    Args:
        x: ``(points,)`` increasing.
        observed, sigma, calculated, baseline: ``(points,)``; the baseline is part of ``calculated``.
        widths: of the lines to look for (full width at half maximum), in points.
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
        # lines are looked for above where the baseline should be, as far as that can be told
        residual, baseline = residual - smooth, baseline + smooth
    least = _HIGH_IF_STIFF if stiff else _HIGH
    return Misfit(
        _lacking(x, observed - baseline, residual, noise, widths, least),
        _lacking(x, lines, -residual, noise, widths, least),
        gain if stiff else 0.0,
    )


def _noise_ratio(r: np.ndarray) -> float:
    """How many times larger the scatter of neighbours is than stated, at least 1."""
    return max(float(np.median(np.abs(np.diff(r)))) / _MEDIAN_STEP, 1.0)


def _lacking(x, curve, lacking, noise, widths, least) -> tuple[Line, ...]:
    """Lines of a curve above its baseline, most of whose height is lacking in the other one."""
    found: list[tuple[float, int, int, float]] = []
    every = sorted({int(np.clip(round(w), 2, x.size // 10)) for w in widths})
    # heights that are told are those of the narrowest look
    sharp = _smoothed(curve, _gaussian(every[0]))
    for width in every:
        kernel = _gaussian(width)
        smooth, missing = _smoothed(curve, kernel), _smoothed(lacking, kernel)
        # heights are compared with those of lines as smooth
        highest = float(smooth.max())
        spread = np.sqrt(_smoothed(noise**2, kernel) * np.sum(kernel**2))
        top = (smooth[1:-1] >= smooth[:-2]) & (smooth[1:-1] > smooth[2:])
        high = (missing > _SIGNIFICANT * spread) & (missing > _MISSING * smooth) & (smooth > least * highest)
        reach = int(np.ceil(_BESIDE * width))
        for k in 1 + np.flatnonzero(top & high[1:-1]):
            # at an end of the data it cannot be told whether it is a line
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
    """A Gaussian of this full width at half maximum in points, with the sum 1."""
    place = np.arange(-width, width + 1) / width
    kernel = np.exp(-4.0 * np.log(2.0) * place**2)
    return kernel / kernel.sum()


def _smoothed(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return np.convolve(np.pad(values, len(kernel) // 2, mode="edge"), kernel, mode="valid")


def _between(residual, noise, sigma, lines) -> tuple[np.ndarray, float]:
    """A smooth curve through the residuals furthest from lines, and the part of chi² that it removes; 0 for mere scatter."""
    places = np.arange(residual.size)
    if residual.size < 4 * _WINDOWS:
        return 0.0 * residual, 0.0
    centre, off, sure = [], [], []
    for part in np.array_split(places, _WINDOWS):
        chosen = part[np.argsort(lines[part], kind="stable")[: max(int(_FURTHEST * part.size), 3)]]
        centre.append(part.mean())
        off.append(np.median(residual[chosen]))
        # a median is less certain than a mean
        sure.append(1.25 * np.median(noise[chosen]) / np.sqrt(chosen.size))
    smooth = np.interp(places, centre, off)
    if np.median(np.abs(off) / np.array(sure)) < _WAVES:
        return smooth, 0.0
    chi2 = lambda r: float(np.sum((r / sigma) ** 2))
    return smooth, 1.0 - chi2(residual - smooth) / chi2(residual)


def listed(lines: Sequence[Line], unit: str, digits: int = 5) -> str:
    """Positions of the highest lines with their heights in per cent, in ascending order."""
    chosen = sorted(sorted(lines, key=lambda line: -line.height)[:_MOST_LISTED])
    text = ", ".join(f"{line.position:.{digits}g}{unit} ({100 * line.height:.2g} %)" for line in chosen)
    more = len(lines) - len(chosen)
    return text + (f" and {more} lower" if more else "")
