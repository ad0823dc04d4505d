"""Background settings derived from the data: number of polynomials, positions of points, heights of peaks (host).

The number of polynomials minimises the Bayesian information criterion (Schwarz, Ann. Stat. 6, 461 (1978)) on the points
between peaks,

    BIC(k) = chi²(k)/(tau s²) + k ln(n/tau)

where ``s²`` is the variance of a point, in units of its stated variance, left by the richest background, and ``n/tau``
is the number of independent data among the ``n`` points. Neighbouring residuals share wings of peaks that no background
describes: a run of them is one datum, and both misfit and number of data are too large by this factor.
``tau = 1 + 2 sum_k rho_k`` with the correlations ``rho_k`` of residuals ``k`` points apart, up to the first that is not
positive (Bayley & Hammersley, Suppl. J. R. Stat. Soc. 8, 184 (1946); the cut after Geyer, Stat. Sci. 7, 473 (1992)).
The residuals are those of the richest background, so that waves described by polynomials do not count as noise.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from . import background_parts as parts
from .background import Background
from .baseline import baseline, scatter

# largest number of polynomials considered
MOST_TERMS = 24
# the estimate follows no wave shorter than this fraction of the range, about the shortest of the richest polynomial
_WAVES = 12.0
# points between peaks deviate from the estimate by at most this multiple of their noise, smoothed over some neighbours
_QUIET, _NEIGHBOURS = 2.0, 5


class Between(NamedTuple):
    """The pattern between its peaks.

    Attributes:
        curve: an estimate of the background at every point.
        noise: noise of every point.
        quiet: points with background only.
    """

    curve: Float[np.ndarray, " points"]
    noise: Float[np.ndarray, " points"]
    quiet: Bool[np.ndarray, " points"]


def between_peaks(
    x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"], sigma: Float[np.ndarray, " points"]
) -> Between:
    """Estimate the background from the data alone."""
    from scipy.ndimage import uniform_filter1d

    everywhere = np.ones(len(x), bool)
    noise = sigma * max(scatter(y, sigma, everywhere, (1,), 0.2), 1e-3)
    curve = baseline(y, noise, everywhere, max(len(x) / _WAVES, 10.0))
    quiet = np.abs(uniform_filter1d(y - curve, _NEIGHBOURS)) < _QUIET * noise
    return Between(curve, noise, quiet)


def for_data(
    background: Background,
    x: Float[np.ndarray, " points"],
    y: Float[np.ndarray, " points"],
    sigma: Float[np.ndarray, " points"],
    wavelength: float,
) -> Background:
    """Return the background with all open settings derived from the data.

    Args:
        background: may have ``"auto"`` terms, points to be picked, or heights to be estimated.
        x, y, sigma: the fitted points.
        wavelength: the first one, Å.

    Raises:
        ConventionError: a point or peak outside the range.
        DataError: a measured background that does not cover the range.
    """
    low, high = float(x[0]), float(x[-1])
    background.require_inside(low, high)
    if background.resolved:
        return background
    curve = background.curve(x)
    net = np.asarray(y, dtype=float) - background.measured_scale * curve.sum(axis=1)
    found = between_peaks(x, net, np.asarray(sigma, dtype=float))
    shapes = _shapes(background, x, wavelength)
    if background.kind == "points":
        background = _through_points(background, x, found)
    if background.terms == "auto":
        background = replace(background, terms=chosen_terms(x, net, found, shapes), chosen=True)
    return _with_heights(background, x, net, found, shapes)


def chosen_terms(
    x: Float[np.ndarray, " points"],
    y: Float[np.ndarray, " points"],
    between: Between,
    also: Float[np.ndarray, "points n"],
) -> int:
    """Return the number of Chebyshev polynomials with the lowest BIC.

    Args:
        also: shapes fitted together with the polynomials, one per column.
    """
    quiet, noise = between.quiet, between.noise
    most = int(np.clip(quiet.sum() // 4 - also.shape[1], 1, MOST_TERMS))
    polynomials = Background.chebyshev(most).basis(x[quiet], float(x[0]), float(x[-1]))
    columns = np.concatenate([also[quiet], polynomials], axis=1) / noise[quiet, None]
    q, _ = np.linalg.qr(columns)
    data = y[quiet] / noise[quiet]
    along = q.T @ data
    residual = data - q @ along
    n, fixed = len(data), also.shape[1]
    left = float(residual @ residual)
    variance = left / max(n - columns.shape[1], 1)
    if not variance > 0:
        return 1
    tau = correlation_time(residual, np.flatnonzero(quiet))
    chi2 = left + np.array([np.sum(along[fixed + k :] ** 2) for k in range(1, most + 1)])
    bic = chi2 / (tau * variance) + (fixed + np.arange(1, most + 1)) * np.log(max(n / tau, 2.0))
    return 1 + int(np.argmin(bic))


def correlation_time(residual: Float[np.ndarray, " n"], place: Int[np.ndarray, " n"]) -> float:
    """Return the number of points equivalent to one independent datum, ``1 + 2 sum rho``, at least 1.

    Args:
        residual: in units of its noise.
        place: index of each point; missing points in between are ignored.
    """
    whole = np.zeros(int(place[-1]) + 1)
    there = np.zeros_like(whole)
    whole[place], there[place] = residual, 1.0
    variance, tau = float(residual @ residual) / len(residual), 1.0
    for lag in range(1, len(whole) // 4):
        pairs = float(there[lag:] @ there[:-lag])
        rho = float(whole[lag:] @ whole[:-lag]) / pairs / variance if pairs else 0.0
        if rho <= 0.0:
            break
        tau += 2.0 * rho
    return tau


def _shapes(background: Background, x: np.ndarray, wavelength: float) -> Float[np.ndarray, "points n"]:
    """Evaluate the additional peaks and humps with unit height."""
    column = lambda of, name: np.array([getattr(part, name) for part in of], dtype=float)
    peaks, humps = background.peaks, background.humps
    of_peaks = parts.peak_shapes(x, column(peaks, "position"), column(peaks, "fwhm"), column(peaks, "mixing"))
    of_humps = parts.hump_shapes(x, np.array(wavelength), column(humps, "radius"), column(humps, "u"))
    return np.concatenate([np.asarray(of_peaks), np.asarray(of_humps)], axis=1).astype(float)


def _through_points(background: Background, x: np.ndarray, between: Between) -> Background:
    if not background.knots:
        knots = _picked(x, between, int(background.terms))
        background = replace(background, knots=knots, terms=len(knots), chosen=True)
    if background.heights:
        return background
    return replace(background, heights=tuple(np.interp(background.knots, x, between.curve).tolist()))


def _picked(x: np.ndarray, between: Between, n: int) -> tuple[float, ...]:
    """Pick positions of points: denser where the curve bends, each at a quiet place."""
    bend = np.abs(np.gradient(np.gradient(between.curve)))
    # straight lines between points deviate by curvature times distance squared
    density = np.sqrt(bend)
    density = density + max(float(density.mean()), 1e-12)
    along = np.cumsum(density)
    along = (along - along[0]) / (along[-1] - along[0])
    wanted = np.interp(np.linspace(0.0, 1.0, n), along, x)
    quiet = x[between.quiet] if between.quiet.sum() > n else x
    inner = []
    for k in range(1, n - 1):
        reach = 0.4 * min(wanted[k] - wanted[k - 1], wanted[k + 1] - wanted[k])
        nearest = quiet[np.argmin(np.abs(quiet - wanted[k]))]
        inner.append(float(nearest if abs(nearest - wanted[k]) < reach else wanted[k]))
    return tuple(sorted({float(x[0]), *inner, float(x[-1])}))


def _with_heights(
    background: Background, x: np.ndarray, net: np.ndarray, between: Between, shapes: np.ndarray
) -> Background:
    """Estimate missing heights of peaks and humps by least squares between the Bragg peaks."""
    quiet, noise = between.quiet, between.noise
    given = [p.height for p in background.peaks] + [h.amplitude for h in background.humps]
    unknown = np.array([of is None for of in given], dtype=bool)
    if not unknown.any():
        return background
    basis = background.basis(x, float(x[0]), float(x[-1]))
    known = shapes[:, ~unknown] @ np.array([of for of in given if of is not None], dtype=float)
    columns = np.concatenate([shapes[:, unknown], basis], axis=1)[quiet] / noise[quiet, None]
    found = np.linalg.lstsq(columns, (net - known)[quiet] / noise[quiet], rcond=1e-6)[0]
    # at zero height nothing depends on the position of a peak
    least = float(np.median(noise))
    values = np.array([0.0 if of is None else of for of in given])
    values[unknown] = found[: unknown.sum()]
    n = len(background.peaks)
    values[:n] = np.where(unknown[:n], np.maximum(values[:n], least), values[:n])
    return replace(
        background,
        peaks=tuple(replace(p, height=float(v)) for p, v in zip(background.peaks, values[:n], strict=True)),
        humps=tuple(replace(h, amplitude=float(v)) for h, v in zip(background.humps, values[n:], strict=True)),
    )
