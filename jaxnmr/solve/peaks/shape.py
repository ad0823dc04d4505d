"""Common profile of a pattern, fitted to its strong isolated peaks (host)."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from ...diffraction import Instrument
from .groups import Group, Window, fitted
from .profile import Shape

# number of strong peaks that the profile is fitted to
_MOST = 30
# degrees, below which peaks determine the axial divergence; their number, and the chi² gain required
_LOW, _FEW, _SHOWS = 60.0, 8, 12.0
_DIVERGENCES = (0.0, 0.01, 0.02, 0.03, 0.045, 0.065, 0.09)
_FINE = (0.001, 0.002, 0.004)


def first_shape(instrument: Instrument, fwhm: float) -> Shape:
    """Return a shape with one width for all angles."""
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
    reach: Float[np.ndarray, " n"],
    shape: Shape,
    instrument: Instrument | None,
) -> Shape:
    """Fit width, mixing and axial divergence to these isolated peaks.

    Args:
        windows: returns the points around a position, within a range in degrees.
        position, height: isolated peaks, the strongest first; ``reach`` the free range around each, degrees.
        instrument: provides the axial divergence if the peaks do not determine it; ``None`` keeps it unchanged.
    """
    fits, around = [], []
    for at, top, far in zip(position[:_MOST], height[:_MOST], reach[:_MOST], strict=True):
        fwhm = float(shape.fwhm(np.array([at]))[0])
        window = windows(float(at), float(far))
        if window is not None:
            group = fitted(replace(Group.start([at], [top * fwhm * 1.3]), own=np.ones(1, bool)), window, shape)
            if _sound(group, window, shape):
                fits.append(group)
                around.append(window)
    if not fits:
        return shape
    shape = _curves(fits, shape)
    fits = _again(fits, around, shape)
    shl = _divergence(fits, around, shape, instrument) if instrument else shape.shl
    if shl != shape.shl:
        shape = shape.with_(shl=shl)
        shape = _curves(_again(fits, around, shape), shape)
        fits = _again(fits, around, shape)
    return shape.with_(misfit=_misfit(fits, around, shape))


def _again(fits: list[Group], windows: list[Window], shape: Shape) -> list[Group]:
    """Fit the same peaks with another shape; stretches are relative to its widths."""
    usual = [replace(f, stretch=np.zeros(1), mixing=0.0) for f in fits]
    return [fitted(f, window, shape) for f, window in zip(usual, windows, strict=True)]


def _divergence(fits: list[Group], windows: list[Window], shape: Shape, instrument: Instrument) -> float:
    """Fit the axial divergence to peaks at low angles; keep that of the instrument unless they contradict it."""
    angle = np.array([float(f.position[0]) for f in fits])
    low = [k for k in np.argsort(angle) if angle[k] < _LOW][:_FEW]
    if not low:
        return 0.0

    def chi2(shl: float) -> float:
        with_it = shape.with_(shl=shl)
        return sum(fitted(fits[k], windows[k], with_it, enough=3e-3).chi2 for k in low)

    said = chi2(instrument.shl)
    grid = [*_DIVERGENCES, *(_FINE if instrument.geometry == "debye-scherrer" else ())]
    grid = sorted({*grid, instrument.shl})
    values = [said if s == instrument.shl else chi2(s) for s in grid]
    if said - min(values) < _SHOWS:
        return instrument.shl
    best = int(np.argmin(values))
    return _refined(chi2, grid, values, best) if best else 0.0


def _sound(group: Group, window: Window, shape: Shape) -> bool:
    width = float(group.fwhm(shape)[0])
    step = float(np.median(np.diff(window.x)))
    return bool(group.area[0] > 0.0 and width > 1.5 * step and abs(group.stretch[0]) < 1.6)


def _refined(chi2: Callable[[float], float], grid: list[float], values: list[float], k: int) -> float:
    """Return the minimum between the neighbours of the best grid point, by trisection."""
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
    """Fit robust curves of the angle to widths and mixings."""
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
    """Fit by least squares on relative deviations, with the weight of outliers reduced each round."""
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
    """Return the median deviation of the profile from strong peaks beyond the noise, as a fraction of their height."""
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
