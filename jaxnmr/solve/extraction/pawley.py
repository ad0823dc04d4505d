"""Areas of reflections with their covariance: at given positions and profiles a pattern is linear in them (host).

Source: G. S. Pawley, J. Appl. Cryst. 14, 357 (1981). Differences within completely overlapping reflections are not
determined by the data; a weak prior holds them at equal shares, so that no pair oscillates as +a and -a.
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float, Int

# standard deviation of the prior of an area, relative to neighbouring areas, and to its uncertainty without overlap
_WIDE, _WEAK = 1.0, 10.0
_ROUNDS = 60


class Areas(NamedTuple):
    """Result of a linear fit of areas and a background.

    Attributes:
        area: ``(n,)`` least-squares areas, possibly negative; ``covariance`` ``(n, n)`` including the background.
        positive: ``(n,)`` best non-negative areas.
        background: ``(terms,)`` coefficients that belong to ``positive``.
    """

    area: Float[np.ndarray, " n"]
    covariance: Float[np.ndarray, "n n"]
    positive: Float[np.ndarray, " n"]
    background: Float[np.ndarray, " terms"]


def fitted_areas(
    columns: Float[np.ndarray, "points n"],
    basis: Float[np.ndarray, "points terms"],
    observed: Float[np.ndarray, " points"],
    sigma: Float[np.ndarray, " points"],
    expected: Float[np.ndarray, " n"],
    near: Bool[np.ndarray, "n n"],
) -> Areas:
    """Fit all areas and the background by weighted linear least squares.

    Args:
        columns: result of :func:`profile_columns`.
        basis: background functions.
        observed, sigma: intensities and their uncertainties.
        expected: areas from a Le Bail fit: mean of the weak prior.
        near: whether reflections overlap.
    """
    n, weight = columns.shape[1], 1.0 / sigma
    a = columns * weight[:, None]
    b = basis * weight[:, None]
    y = observed * weight
    normal, mixed, side = a.T @ a, a.T @ b, a.T @ y
    ground = b.T @ b
    # eliminate the background first; the small diagonal stabilises terms that the data do not determine
    factor = scipy.linalg.cho_factor(ground + 1e-10 * np.diag(np.diag(ground)))
    seen = scipy.linalg.cho_solve(factor, mixed.T)
    along = scipy.linalg.cho_solve(factor, b.T @ y)
    alone = np.diag(normal).copy()
    normal = normal - mixed @ seen
    side = side - mixed @ along
    tiny = 1e-12 * max(float(alone.max()), 1e-300)
    mean = np.maximum(expected, 0.0)
    together = near @ mean
    width = np.maximum((_WIDE * together) ** 2, _WEAK**2 / np.maximum(alone, tiny))
    normal = normal + np.diag(1.0 / width)
    side = side + mean / width
    scale = 1.0 / np.sqrt(np.diag(normal))
    scaled = normal * scale * scale[:, None]
    lower = scipy.linalg.cho_factor(scaled, lower=True)
    covariance = scipy.linalg.cho_solve(lower, np.eye(n)) * scale * scale[:, None]
    area = covariance @ side
    positive = not_negative(scaled, side * scale, area / scale) * scale
    return Areas(area, 0.5 * (covariance + covariance.T), positive, along - seen @ positive)


def not_negative(
    normal: Float[np.ndarray, "n n"], side: Float[np.ndarray, " n"], start: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Minimise ``x normal x / 2 - side x`` over ``x >= 0`` by exchanging sets of variables at zero.

    Source: L. F. Portugal, J. J. Judice & L. N. Vicente, Math. Comput. 63, 625 (1994), block principal pivoting.
    """
    free = start > 0.0
    fewest, spare = len(start) + 1, 3
    x = np.zeros(len(start))
    for _ in range(_ROUNDS):
        x = np.zeros(len(start))
        if free.any():
            inside = np.ix_(free, free)
            x[free] = scipy.linalg.solve(normal[inside], side[free], assume_a="pos")
        slope = normal @ x - side
        wrong = (free & (x < -1e-12)) | (~free & (slope < -1e-9 * np.abs(side).max()))
        count = int(wrong.sum())
        if count == 0:
            return x
        if count < fewest:
            fewest, spare = count, 3
        elif spare > 0:
            spare -= 1
        else:
            # one at a time, which cannot cycle
            wrong = np.arange(len(x)) == np.flatnonzero(wrong)[-1]
        free = free ^ wrong
    return np.maximum(x, 0.0)


def local_misfit(
    columns: Float[np.ndarray, "points n"],
    residual: Float[np.ndarray, " points"],
    x: Float[np.ndarray, " points"],
    fwhm: Float[np.ndarray, " n"],
) -> Float[np.ndarray, " n"]:
    """Return the factor by which the variance of every area exceeds that of counting statistics, at least 1.

    It is the larger of two mean squares under the reflection: of the residuals, and of their sums over the width of a
    peak, which are large if neighbouring residuals have one sign, as with a wrong profile.

    Args:
        columns: result of :func:`profile_columns`.
        residual: residuals over the uncertainties of the points.
        x, fwhm: points and widths in degrees.
    """
    total = columns.sum(axis=0)
    step, width = float(np.median(np.diff(x))), float(np.median(fwhm))
    offset = np.arange(-np.ceil(2.0 * width / step), np.ceil(2.0 * width / step) + 1.0) * step
    kernel = np.exp(-4.0 * np.log(2.0) * (offset / width) ** 2)
    summed = np.convolve(residual, kernel / np.sqrt(kernel @ kernel), "same")[: len(residual)]
    mean = columns.T @ np.stack([residual**2, summed**2], axis=1) / np.where(total > 0.0, total, 1.0)[:, None]
    return np.maximum(mean.max(axis=1), 1.0)


def groups_of(
    position: Float[np.ndarray, " n"], fwhm: Float[np.ndarray, " n"], *, closer: float = 0.5, longest: float = 1.5
) -> Int[np.ndarray, " n"]:
    """Return group indices of sorted reflections: neighbours closer than a fraction of their width form a group.

    Args:
        position, fwhm: degrees.
        closer: distance in widths.
        longest: largest span of a group in widths.
    """
    out = np.zeros(len(position), dtype=int)
    first = 0
    for k in range(1, len(position)):
        alone = position[k] - position[k - 1] > closer * fwhm[k]
        long = position[k] - position[first] > longest * fwhm[k]
        if alone or long:
            first = k
        out[k] = out[k - 1] + (alone or long)
    return out
