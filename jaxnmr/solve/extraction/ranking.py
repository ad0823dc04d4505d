"""`rank_by_lebail`: candidate cells ranked by the whole pattern (host).

Every cell is fitted to the same part of the pattern: areas and background by linear least squares, and cell, shift and widths by Gauss-Newton
steps on what these leave, damped to small changes of a cell that peaks have refined already. A cell with more lines has more areas, each a parameter: the
information criterion of G. Schwarz, Ann. Stat. 6, 461 (1978), weighs that against a better fit.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float, Int

from ..._arguments import checked
from ...crystal.cell import reciprocal_metric
from ...crystal.sites import cell_basis
from ...diffraction import Background, Instrument, Pattern, PowderDiffraction
from ...diffraction.records import Fixed
from ...diffraction.reflections import plan_reflections
from ...errors import DataError, ParameterError, require_kind
from ..records import CellCandidate, Peaks
from .columns import profile_columns
from .pawley import fitted_areas, groups_of
from .starts import width_of

# the part of the pattern in which the typical candidate has so many reflections, but no candidate more than the most
_TYPICAL, _MOST = 80, 350
_ROUNDS = 12
# usual changes of a cell (relative), of a shift (degrees), of the logarithm of a width and of its growth by tan(theta): the damping
_CELL, _SHIFT, _WIDTH, _GROWTH = 1e-3, 0.03, 0.3, 0.5
_ETA = 0.6


@dataclass(frozen=True)
class _Data:
    """What all cells are fitted to."""

    x: Float[np.ndarray, " points"]
    y: Float[np.ndarray, " points"]
    sigma: Float[np.ndarray, " points"]
    basis: Float[np.ndarray, "points terms"]
    instrument: Instrument
    fwhm: float

    @property
    def fixed(self) -> Fixed:
        return self.instrument.fixed

    @property
    def ratio(self) -> Float[np.ndarray, " lines"]:
        return np.ones(1) if self.fixed.lines == 1 else np.array([1.0, self.instrument.ratio])


class _Line(NamedTuple):
    """Reflections of a cell at given parameters."""

    position: Float[np.ndarray, "lines n"]
    fwhm: Float[np.ndarray, " n"]


@checked
def rank_by_lebail(
    pattern: Pattern,
    candidates: tuple[CellCandidate, ...] | list[CellCandidate],
    n: int = 10,
    *,
    instrument: Instrument | None = None,
    peaks: Peaks | None = None,
) -> tuple[CellCandidate, ...]:
    """Candidate cells with the agreement of a short fit of the whole pattern, the most probable first.

    Args:
        pattern: measured.
        candidates: of an indexing, the most probable first.
        n: how many of them are fitted; the others follow with the probability they had, made small.
        instrument: by default that of the pattern.
        peaks: found before, for their width.

    Returns:
        The candidates with refined cells, ``rwp`` (per cent) and probabilities of the fits.

    Raises:
        ConventionError: no wavelength.
        DataError: nothing stands out of the noise, or no candidate has a reflection in the pattern.
        ParameterError: fewer than one candidate to fit.
    """
    require_kind(pattern, Pattern, "what was measured", "as of read_pattern")
    if n < 1 or not candidates:
        raise ParameterError(f"{n} of {len(candidates)} cells are to be fitted; expected at least one")
    first, rest = list(candidates)[:n], list(candidates)[n:]
    data = _data(pattern, instrument, peaks, first)
    fits = [_short_fit(data, candidate) for candidate in first]
    if not any(np.isfinite(criterion) for _, criterion in fits):
        raise DataError(
            f"{pattern.name}: none of the {len(first)} cells has a reflection in the pattern; check the wavelength"
        )
    criteria = np.array([criterion for _, criterion in fits])
    share = np.exp(-0.5 * (criteria - criteria.min()))
    left = sum(c.probability for c in rest) * 1e-3
    share = share / share.sum() * (1.0 - left)
    ranked = [replace(cell, probability=float(p)) for (cell, _), p in zip(fits, share, strict=True)]
    ranked.sort(key=lambda c: -c.probability)
    return (*ranked, *(replace(c, probability=1e-3 * c.probability) for c in rest))


def _data(
    pattern: Pattern, instrument: Instrument | None, peaks: Peaks | None, candidates: list[CellCandidate]
) -> _Data:
    """The part of the pattern that all cells are fitted to."""
    background = Background.chebyshev(12)
    device, x, y = PowderDiffraction(instrument=instrument, background=background).measured(pattern)
    sigma = np.asarray(pattern.sigma)[pattern.included()]
    fwhm = width_of(peaks, x, y, sigma)
    ends = []
    for candidate in candidates:
        two_theta = np.sort(_bragg(candidate.cell, _listed(candidate, x, device), device.wavelengths[0]))
        two_theta = two_theta[two_theta > x[0]]
        ends.append([two_theta[min(k, len(two_theta)) - 1] if len(two_theta) else x[-1] for k in (_TYPICAL, _MOST)])
    typical, most = np.median(np.array(ends)[:, 0]), np.array(ends)[:, 1].min()
    keep = x <= max(min(typical, most), x[0] + 40.0 * fwhm)
    x, y, sigma = x[keep], y[keep], sigma[keep]
    return _Data(x, y, sigma, background.basis(x, float(x[0]), float(x[-1])), device, fwhm)


def _listed(
    candidate: CellCandidate, x: Float[np.ndarray, " points"], instrument: Instrument
) -> Int[np.ndarray, "n 3"]:
    d_min = min(instrument.wavelengths) / (2.0 * np.sin(np.radians(min(float(x[-1]) + 0.2, 179.0) / 2.0)))
    try:
        return plan_reflections(candidate.group, candidate.cell, d_min)[0]
    except DataError:
        return np.zeros((0, 3), dtype=int)


def _bragg(cell: Float[np.ndarray, "6"], hkl: Int[np.ndarray, "n 3"], wavelength: float) -> Float[np.ndarray, " n"]:
    d_star = np.sqrt(np.einsum("ni,ij,nj->n", hkl, reciprocal_metric(cell), hkl))
    return 2.0 * np.degrees(np.arcsin(np.minimum(0.5 * wavelength * d_star, 1.0 - 1e-9)))


def _short_fit(data: _Data, candidate: CellCandidate) -> tuple[CellCandidate, float]:
    """A candidate with its fit, and its information criterion; infinite without reflections."""
    hkl = _listed(candidate, data.x, data.instrument)
    if len(hkl) == 0:
        return candidate, np.inf
    basis = cell_basis(candidate.group, candidate.cell)
    free = basis.shape[1]
    # lengths in Å, angles in degrees: both as relative changes
    size = np.array([float(np.abs(column) @ np.where(np.arange(6) < 3, candidate.cell, 57.3)) for column in basis.T])
    usual = np.concatenate([_CELL * size, [_SHIFT, _WIDTH, _GROWTH]])
    middle = np.tan(np.radians(0.25 * (data.x[0] + data.x[-1])))

    def cell_of(p: Float[np.ndarray, " p"]) -> Float[np.ndarray, "6"]:
        return np.asarray(candidate.cell + basis @ p[:free])

    def lines(p: Float[np.ndarray, " p"]) -> _Line:
        position = []
        for wavelength in data.instrument.wavelengths:
            angle = _bragg(cell_of(p), hkl, wavelength)
            shift = candidate.zero + (candidate.displacement + p[free]) * np.cos(np.radians(angle / 2.0))
            position.append(angle + shift)
        growth = np.tan(np.radians(position[0] / 2.0)) - middle
        return _Line(np.array(position), data.fwhm * np.exp(np.clip(p[free + 1] + p[free + 2] * growth, -1.5, 1.5)))

    def columns(at: _Line) -> Float[np.ndarray, "points n"]:
        return profile_columns(
            data.x, at.position, data.ratio, at.fwhm, np.full(len(hkl), _ETA), data.instrument.shl, data.fixed
        )

    p = np.zeros(len(usual))
    best: tuple[float, Float[np.ndarray, " p"], int] | None = None
    step, trust = np.zeros(len(usual)), 1.0
    for _ in range(_ROUNDS):
        at = lines(p)
        matrix = columns(at)
        near = np.abs(at.position[0][:, None] - at.position[0]) < np.maximum(at.fwhm[:, None], at.fwhm)
        expected = _shared(matrix, data, at)
        found = fitted_areas(matrix, data.basis, data.y, data.sigma, expected, near)
        residual = (data.y - matrix @ found.positive - data.basis @ found.background) / data.sigma
        chi2 = float(residual @ residual)
        order = np.argsort(at.position[0])
        inside = matrix.max(axis=0)[order] > 0
        groups = len(np.unique(groups_of(at.position[0][order], at.fwhm[order])[inside]))
        if best is not None and chi2 >= best[0]:
            trust *= 0.3
            p = best[1] + trust * step
            continue
        if best is not None and chi2 > 0.998 * best[0]:
            best = (chi2, p, groups)
            break
        best = (chi2, p, groups)
        step = _step(data, p, usual, lines, columns, matrix, found.positive, at, residual)
        p = p + trust * step
    assert best is not None
    chi2, p, groups = best
    rwp = 100.0 * float(np.sqrt(chi2 / np.sum((data.y / data.sigma) ** 2)))
    # neighbouring residuals are not independent: about two points count for each width of a peak
    width = data.fwhm / float(np.median(np.diff(data.x)))
    independent = len(data.y) / max(0.5 * width, 1.0)
    criterion = independent * np.log(chi2 / len(data.y)) + (groups + free) * np.log(independent)
    fitted = replace(candidate, cell=cell_of(p), displacement=float(candidate.displacement + p[free]), rwp=rwp)
    return fitted, float(criterion)


def _shared(matrix: Float[np.ndarray, "points n"], data: _Data, at: _Line) -> Float[np.ndarray, " n"]:
    """Areas that a few rounds of sharing out above a low background find: the start of the linear fit."""
    low = np.quantile(data.y, 0.1)
    above = np.maximum(data.y - low, 0.0)
    total = matrix.sum(axis=0) + 1e-12
    area = np.full(matrix.shape[1], max(float(above.sum()), 1e-12) / total.sum())
    for _ in range(6):
        area = area * (matrix.T @ (above / np.maximum(matrix @ area, 1e-12 + 1e-6 * above.max()))) / total
    return np.asarray(area)


def _step(data, p, usual, lines, columns, matrix, area, at, residual) -> Float[np.ndarray, " p"]:
    """A Gauss-Newton step of the parameters that are not linear, with all areas and the background following."""
    small = 1e-3 * at.fwhm
    moved = (columns(at._replace(position=at.position + small)) - matrix) / small * area
    wider = (columns(at._replace(fwhm=at.fwhm + small)) - matrix) / small * area
    rows = []
    for k, h in enumerate(1e-3 * usual):
        other = lines(p + h * (np.arange(len(p)) == k))
        rows.append(moved @ ((other.position[0] - at.position[0]) / h) + wider @ ((other.fwhm - at.fwhm) / h))
    weight = 1.0 / data.sigma[:, None]
    j = np.stack(rows, axis=1) * weight
    linear = np.concatenate([matrix, data.basis], axis=1) * weight
    normal = linear.T @ linear
    ridge = 1e-6 * np.diag(np.diag(normal)) + 1e-12 * np.eye(len(normal)) * np.diag(normal).max()
    factor = scipy.linalg.cho_factor(normal + ridge)
    j = j - linear @ scipy.linalg.cho_solve(factor, linear.T @ j)
    # changes beyond the usual ones cost as much as a misfit of the goodness of fit that there is
    misfit = float(residual @ residual) / len(residual)
    damping = np.diag(misfit / usual**2)
    return np.asarray(scipy.linalg.solve(j.T @ j + damping, j.T @ residual - damping @ p, assume_a="pos"))
