"""Short fit of a cell to a part of a pattern, without compiled programs (host).

Areas and background follow by linear least squares; cell, shift of the angles and widths by Gauss-Newton steps on the
remaining residuals, damped to the usual changes of a cell already refined against peaks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float, Int

from ...crystal import SpaceGroup
from ...crystal.cell import reciprocal_metric
from ...crystal.sites import cell_basis
from ...diffraction import Instrument
from ...diffraction.reflections import plan_reflections
from ...errors import DataError
from .columns import profile_columns
from .pawley import fitted_areas, groups_of

_ROUNDS, _ENOUGH = 12, 2e-3
# usual changes of a cell (relative), of a shift (degrees), of the logarithm of a width and of its growth with
# tan(theta)
_CELL, _SHIFT, _WIDTH, _GROWTH = 1e-3, 0.03, 0.3, 0.5
_ETA = 0.6


@dataclass(frozen=True)
class Part:
    """Fitted part of a pattern: points, intensities, uncertainties, background functions, instrument, typical width."""

    x: Float[np.ndarray, " points"]
    y: Float[np.ndarray, " points"]
    sigma: Float[np.ndarray, " points"]
    basis: Float[np.ndarray, "points terms"]
    instrument: Instrument
    fwhm: float


class Lines(NamedTuple):
    """Positions of every line of every reflection, and widths, in degrees."""

    position: Float[np.ndarray, "lines n"]
    fwhm: Float[np.ndarray, " n"]


class ShortFit(NamedTuple):
    """Result of a short fit.

    Attributes:
        cell: ``(6,)``.
        shift: degrees; of a flat specimen times cos(theta).
        fwhm: width of the typical reflection, degrees.
        chi2: sum of squared residuals; ``rwp`` per cent.
        groups: number of resolved groups of reflections; ``parameters`` of the cell.
    """

    cell: Float[np.ndarray, "6"]
    shift: float
    fwhm: float
    chi2: float
    rwp: float
    groups: int
    parameters: int


def listed(
    group: SpaceGroup, cell: Float[np.ndarray, "6"], last: float, instrument: Instrument
) -> Int[np.ndarray, "n 3"]:
    """List reflections up to an angle; empty if there are none."""
    d_min = min(instrument.wavelengths) / (2.0 * np.sin(np.radians(min(last + 0.2, 179.0) / 2.0)))
    try:
        return plan_reflections(group, cell, d_min)[0]
    except DataError:
        return np.zeros((0, 3), dtype=int)


def bragg(cell: Float[np.ndarray, "6"], hkl: Int[np.ndarray, "n 3"], wavelength: float) -> Float[np.ndarray, " n"]:
    """Return 2theta in degrees, just below 180 beyond the limiting sphere."""
    d_star = np.sqrt(np.einsum("ni,ij,nj->n", hkl, reciprocal_metric(cell), hkl))
    return np.asarray(2.0 * np.degrees(np.arcsin(np.minimum(0.5 * wavelength * d_star, 1.0 - 1e-9))))


def part_of(
    x: Float[np.ndarray, " points"],
    y: Float[np.ndarray, " points"],
    sigma: Float[np.ndarray, " points"],
    last: float,
    instrument: Instrument,
    fwhm: float,
    terms: int = 12,
) -> Part:
    """Return the points up to an angle, but at least as many as a few peaks need."""
    keep = x <= max(last, x[0] + 40.0 * fwhm)
    x = x[keep]
    span = max(float(x[-1] - x[0]), 1e-9)
    basis = np.polynomial.chebyshev.chebvander(2.0 * (x - x[0]) / span - 1.0, min(terms, max(len(x) // 10, 2)) - 1)
    return Part(x, y[keep], sigma[keep], basis, instrument, fwhm)


def short_fit(
    part: Part, group: SpaceGroup, cell: Float[np.ndarray, "6"], *, zero: float = 0.0, shift: float = 0.0
) -> ShortFit | None:
    """Fit a cell; return ``None`` without a reflection in the part.

    Args:
        part: part of the pattern.
        group: space group of the reflections.
        cell: starting cell.
        zero: fixed offset of all angles in degrees.
        shift: starting shift.
    """
    cell = np.asarray(cell, dtype=float)
    hkl = listed(group, cell, float(part.x[-1]), part.instrument)
    if len(hkl) == 0:
        return None
    basis = cell_basis(group, cell)
    free = basis.shape[1]
    # lengths in Å, angles in degrees: both as relative changes
    size = np.abs(basis.T) @ np.where(np.arange(6) < 3, cell, 57.3)
    usual = np.concatenate([_CELL * size, [_SHIFT, _WIDTH, _GROWTH]])
    middle = np.tan(np.radians(0.25 * (part.x[0] + part.x[-1])))
    flat = part.instrument.geometry == "bragg-brentano"
    ratio = np.array([1.0, part.instrument.ratio])[: part.instrument.fixed.lines]

    def lines(p: Float[np.ndarray, " p"]) -> Lines:
        position = []
        for wavelength in part.instrument.wavelengths:
            angle = bragg(cell + basis @ p[:free], hkl, wavelength)
            position.append(angle + zero + (shift + p[free]) * (np.cos(np.radians(angle / 2.0)) if flat else 1.0))
        growth = np.tan(np.radians(position[0] / 2.0)) - middle
        return Lines(np.array(position), part.fwhm * np.exp(np.clip(p[free + 1] + p[free + 2] * growth, -1.5, 1.5)))

    def columns(at: Lines) -> Float[np.ndarray, "points n"]:
        eta = np.full(len(hkl), _ETA)
        return profile_columns(part.x, at.position, ratio, at.fwhm, eta, part.instrument.shl, part.instrument.fixed)

    p, step, trust = np.zeros(len(usual)), np.zeros(len(usual)), 1.0
    chi2, best, at = np.inf, p, lines(p)
    for _ in range(_ROUNDS):
        now = lines(p)
        matrix = columns(now)
        near = np.abs(now.position[0][:, None] - now.position[0]) < np.maximum(now.fwhm[:, None], now.fwhm)
        found = fitted_areas(matrix, part.basis, part.y, part.sigma, _shared(matrix, part), near)
        residual = (part.y - matrix @ found.positive - part.basis @ found.background) / part.sigma
        new = float(residual @ residual)
        if new >= chi2:
            trust *= 0.3
            p = best + trust * step
            continue
        done = new > (1.0 - _ENOUGH) * chi2
        chi2, best, at = new, p, now
        if done:
            break
        step = _step(part, p, usual, lines, columns, matrix, found.positive, now, residual)
        p = p + trust * step
    order = np.argsort(at.position[0])
    inside = (at.position[0][order] > part.x[0]) & (at.position[0][order] < part.x[-1])
    groups = len(np.unique(groups_of(at.position[0][order], at.fwhm[order])[inside]))
    return ShortFit(
        cell=cell + basis @ best[:free],
        shift=float(shift + best[free]),
        fwhm=float(np.median(at.fwhm)),
        chi2=chi2,
        rwp=100.0 * float(np.sqrt(chi2 / np.sum((part.y / part.sigma) ** 2))),
        groups=groups,
        parameters=free,
    )


def _shared(matrix: Float[np.ndarray, "points n"], part: Part) -> Float[np.ndarray, " n"]:
    """Estimate areas by a few rounds of intensity partitioning above a low background, as a start of the linear fit."""
    above = np.maximum(part.y - np.quantile(part.y, 0.1), 0.0)
    total = matrix.sum(axis=0) + 1e-12
    area = np.full(matrix.shape[1], max(float(above.sum()), 1e-12) / total.sum())
    for _ in range(6):
        area = area * (matrix.T @ (above / np.maximum(matrix @ area, 1e-12 + 1e-6 * above.max()))) / total
    return np.asarray(area)


def _step(
    part: Part,
    p: Float[np.ndarray, " p"],
    usual: Float[np.ndarray, " p"],
    lines: Callable[[Float[np.ndarray, " p"]], Lines],
    columns: Callable[[Lines], Float[np.ndarray, "points n"]],
    matrix: Float[np.ndarray, "points n"],
    area: Float[np.ndarray, " n"],
    at: Lines,
    residual: Float[np.ndarray, " points"],
) -> Float[np.ndarray, " p"]:
    """Calculate a Gauss-Newton step of the nonlinear parameters, with all areas and the background eliminated."""
    small = 1e-3 * at.fwhm
    moved = (columns(at._replace(position=at.position + small)) - matrix) / small * area
    wider = (columns(at._replace(fwhm=at.fwhm + small)) - matrix) / small * area
    rows = []
    for k, h in enumerate(1e-3 * usual):
        other = lines(p + h * (np.arange(len(p)) == k))
        rows.append(moved @ ((other.position[0] - at.position[0]) / h) + wider @ ((other.fwhm - at.fwhm) / h))
    weight = 1.0 / part.sigma[:, None]
    j = np.stack(rows, axis=1) * weight
    linear = np.concatenate([matrix, part.basis], axis=1) * weight
    normal = linear.T @ linear
    ridge = np.diag(1e-6 * np.diag(normal) + 1e-12 * np.diag(normal).max())
    j = j - linear @ scipy.linalg.cho_solve(scipy.linalg.cho_factor(normal + ridge), linear.T @ j)
    # changes beyond the usual ones cost as much as the current misfit
    damping = np.diag(float(residual @ residual) / len(residual) / usual**2)
    return np.asarray(scipy.linalg.solve(j.T @ j + damping, j.T @ residual - damping @ p, assume_a="pos"))
