"""The common profile of a pattern, learnt from its strong single peaks (host)."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from ..diffraction import Instrument
from .peak_groups import Group, Window, fitted
from .peak_profile import Shape

# strong peaks that the shape is learnt from
_MOST = 30
_DIVERGENCES = (0.0, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.055, 0.07)
_FINE = (0.0, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.006)


def first_shape(instrument: Instrument, fwhm: float) -> Shape:
    """One width for all angles."""
    return Shape(
        widths=(fwhm**2, 0.0, 0.0),
        mixing=(0.5, 0.0),
        wavelengths=instrument.wavelengths,
        ratio=instrument.ratio if len(instrument.wavelengths) == 2 else 0.0,
        imbalance=instrument.axial_imbalance,
        narrowest=fwhm,
        widest=fwhm,
    )


def learnt(
    windows: Callable[[float, float], Window | None],
    position: Float[np.ndarray, " n"],
    height: Float[np.ndarray, " n"],
    shape: Shape,
    instrument: Instrument,
) -> Shape:
    """Width, mixing and axial divergence of these single peaks.

    Args:
        windows: the points around a position, so many degrees to each side.
        position, height: of peaks without neighbours, the strongest first.
    """
    starts = []
    for at, top in zip(position[:_MOST], height[:_MOST], strict=True):
        fwhm = float(shape.fwhm(np.array([at]))[0])
        window = windows(float(at), 6.0 * fwhm)
        if window is not None:
            starts.append((replace(Group.start([at], [top * fwhm * 1.3]), own=np.ones(1, bool)), window))
    if not starts:
        return shape
    fit = lambda shape, steps: [fitted(group, window, shape, steps=steps) for group, window in starts]
    fits = fit(shape, 25)
    sound = [k for k, f in enumerate(fits) if _sound(f, starts[k][1], shape)]
    if not sound:
        return shape
    starts, fits = [starts[k] for k in sound], [fits[k] for k in sound]
    shape = _curves(fits, shape)
    # axial divergence shows at low angles, or not at all
    angles = np.array([float(f.position[0]) for f in fits])
    low = [k for k in np.argsort(angles) if angles[k] < 60.0][:8]
    if low:
        fits_low = [fits[k] for k in low]
        windows_low = [starts[k][1] for k in low]

        def chi2(shl: float) -> float:
            with_it = shape.with_(shl=shl)
            return sum(
                min(fitted(f, w, with_it, steps=12).chi2, 4.0 * f.chi2 + 100.0)
                for f, w in zip(fits_low, windows_low, strict=True)
            )

        grid = sorted({*_DIVERGENCES, *(_FINE if instrument.geometry == "debye-scherrer" else ()), instrument.shl})
        values = [chi2(s) for s in grid]
        k = int(np.argmin(values))
        if k and values[0] - values[k] > 12.0:
            shape = shape.with_(shl=_refined(chi2, grid, values, k))
            starts = [(f, w) for f, (_, w) in zip(fits, starts, strict=True)]
            fits = fit(shape, 25)
            shape = _curves(fits, shape)
    return shape.with_(misfit=_misfit(fits, [w for _, w in starts], shape))


def _sound(group: Group, window: Window, shape: Shape) -> bool:
    width = float(group.fwhm(shape)[0])
    step = float(np.median(np.diff(window.x)))
    return bool(group.area[0] > 0.0 and width > 1.5 * step and abs(group.stretch[0]) < 1.6)


def _refined(chi2: Callable[[float], float], grid: list[float], values: list[float], k: int) -> float:
    """The minimum between the neighbours of the best of a grid, by thirds."""
    best, low, high = grid[k], grid[k - 1], grid[min(k + 1, len(grid) - 1)]
    value = values[k]
    for _ in range(3):
        for trial in (0.5 * (low + best), 0.5 * (best + high)):
            if trial == best:
                continue
            new = chi2(trial)
            if new < value:
                (low, high) = (low, best) if trial < best else (best, high)
                best, value = trial, new
                break
            if trial < best:
                low = trial
            else:
                high = trial
    return best


def _curves(fits: list[Group], shape: Shape) -> Shape:
    """Robust curves of the angle through widths and mixings."""
    angle = np.array([float(f.position[0]) for f in fits])
    width = np.array([float(f.fwhm(shape)[0]) for f in fits])
    eta = np.array([float(f.eta(shape)[0]) for f in fits])
    tan = np.tan(0.5 * np.radians(angle))
    span = np.ptp(tan)
    terms = 3 if len(fits) >= 10 and span > 0.15 else 2 if len(fits) >= 4 and span > 0.05 else 1
    powers = np.stack([np.ones_like(tan), tan, tan**2], axis=1)[:, [0, 2, 1][:terms]]
    square = _robust(powers, width**2, width**2)
    widths = [square[0], square[2] if terms == 3 else 0.0, square[1] if terms > 1 else 0.0]
    two = 2 if terms > 1 else 1
    mixing = _robust(powers[:, [0]] if two == 1 else np.stack([np.ones_like(tan), tan], axis=1), eta, np.ones_like(eta))
    return shape.with_(
        widths=tuple(float(v) for v in widths),
        mixing=(float(mixing[0]), float(mixing[1]) if two > 1 else 0.0),
        narrowest=float(np.quantile(width, 0.1)),
        widest=float(np.quantile(width, 0.9)),
    )


def _robust(columns: np.ndarray, values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Least squares of the relative deviations, those of strays with less weight each round."""
    weight = np.ones(len(values))
    found = np.zeros(columns.shape[1])
    for _ in range(20):
        rows = (weight / scale)[:, None]
        found = np.linalg.lstsq(columns * rows, values * weight / scale, rcond=1e-10)[0]
        away = np.abs(columns @ found - values) / scale
        spread = max(1.4826 * float(np.median(away)), 1e-3)
        weight = 1.0 / np.maximum(away / (1.5 * spread), 1.0)
    return found


def _misfit(fits: list[Group], windows: list[Window], shape: Shape) -> float:
    """How far the profile is from strong peaks, beyond the noise, as a fraction of their height; the middle one of all."""
    found = []
    for group, window in zip(fits, windows, strict=True):
        curve = group.curve(window.x, shape)
        near = np.abs(window.x - group.position[0]) < 1.5 * group.fwhm(shape)[0]
        if curve.max() < 20.0 * np.median(window.noise) or near.sum() < 5:
            continue
        half = max(0.5 * (window.x[-1] - window.x[0]), 1e-9)
        level = group.level[0] + group.level[1] * (window.x - 0.5 * (window.x[0] + window.x[-1])) / half
        square = (window.y - curve - level)[near] ** 2 - window.noise[near] ** 2
        found.append(max(float(square.mean()), 0.0) / float(curve.max()) ** 2)
    return float(np.sqrt(np.median(found))) if found else 0.02
