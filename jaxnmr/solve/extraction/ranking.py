"""`rank_by_lebail`: candidate cells ranked by the whole pattern (host).

Every cell is fitted to the same part of the pattern. A cell with more lines has more areas, each a parameter, which the
information criterion of G. Schwarz, Ann. Stat. 6, 461 (1978), weighs against a better fit.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..._arguments import checked
from ...crystal.sites import cell_basis
from ...diffraction import Instrument, Pattern, PowderDiffraction
from ...errors import DataError, ParameterError, require_kind
from ..records import CellCandidate, Peaks
from .short import Part, bragg, listed, part_of, short_fit
from .starts import width_of

# number of reflections of the typical candidate in the fitted part of the pattern, and the largest number of any
# candidate
_TYPICAL, _MOST = 80, 350
# Two lattices can have exactly the same lines, for example a hexagonal one and an orthorhombic one of half its volume
# (A. D. Mighell & A. Santoro, J. Appl. Cryst. 8, 372 (1975)): if axes agree with the more symmetric one by chance to
# 1e-4, each number costs ln 1e4, twice.
_A_NUMBER = 18.0
# factor on the probability of candidates that were not fitted
_REST = 1e-3


@checked
def rank_by_lebail(
    pattern: Pattern,
    candidates: Sequence[CellCandidate],
    n: int = 10,
    *,
    instrument: Instrument | None = None,
    peaks: Peaks | None = None,
) -> tuple[CellCandidate, ...]:
    """Rank candidate cells by a short fit of the pattern, the most probable first.

    Args:
        pattern: measured pattern.
        candidates: cells from indexing, the most probable first.
        n: number of candidates fitted; the others follow with a thousandth of their previous probability.
        instrument: by default that of the pattern.
        peaks: known peaks, for their width.

    Returns:
        The candidates with refined cells and shifts, ``rwp`` (per cent, for the common part of the pattern) and
        probabilities from the fits.

    Raises:
        ConventionError: there is no wavelength.
        DataError: there is no signal above the noise, or no candidate has a reflection in the pattern.
        ParameterError: there is no candidate to fit.
    """
    require_kind(pattern, Pattern, "what was measured", "as of read_pattern")
    if n < 1 or not candidates:
        raise ParameterError(f"{n} of {len(candidates)} cells are to be fitted; expected at least one")
    first, rest = list(candidates[:n]), list(candidates[n:])
    part = _part(pattern, instrument, peaks, first)
    fits = [_fitted(part, candidate) for candidate in first]
    criteria = np.array([criterion for _, criterion in fits])
    if not np.isfinite(criteria).any():
        raise DataError(
            f"{pattern.name}: none of the {len(first)} cells has a reflection between {part.x[0]:g} and {part.x[-1]:g} degrees; check the "
            "wavelength"
        )
    share = np.exp(-0.5 * (criteria - criteria.min()))
    share *= (1.0 - _REST * sum(c.probability for c in rest)) / share.sum()
    ranked = [replace(cell, probability=float(p)) for (cell, _), p in zip(fits, share, strict=True)]
    ranked.sort(key=lambda c: -c.probability)
    return (*ranked, *(replace(c, probability=_REST * c.probability) for c in rest))


def _part(
    pattern: Pattern, instrument: Instrument | None, peaks: Peaks | None, candidates: list[CellCandidate]
) -> Part:
    """Return the part of the pattern that all cells are fitted to."""
    device, x, y = PowderDiffraction(instrument=instrument).measured(pattern)
    sigma = np.asarray(pattern.sigma)[pattern.included()]
    ends = []
    for candidate in candidates:
        hkl = listed(candidate.group, candidate.cell, float(x[-1]), device)
        two_theta = np.sort(bragg(candidate.cell, hkl, device.wavelengths[0]))
        two_theta = two_theta[two_theta > x[0]]
        ends.append([two_theta[min(k, len(two_theta)) - 1] if len(two_theta) else x[-1] for k in (_TYPICAL, _MOST)])
    typical, most = np.median(np.array(ends)[:, 0]), np.array(ends)[:, 1].min()
    return part_of(x, y, sigma, float(min(typical, most)), device, width_of(peaks, x, y, sigma))


def _fitted(part: Part, candidate: CellCandidate) -> tuple[CellCandidate, float]:
    """Return a candidate with its fit, and its information criterion; infinite without reflections."""
    flat = part.instrument.geometry == "bragg-brentano"
    found = short_fit(
        part,
        candidate.group,
        candidate.cell,
        zero=candidate.zero if flat else 0.0,
        shift=candidate.displacement if flat else candidate.zero + candidate.displacement,
    )
    if found is None:
        return candidate, np.inf
    # neighbouring residuals are correlated: about two points count per width of a peak
    per_width = part.fwhm / float(np.median(np.diff(part.x)))
    independent = len(part.y) / max(0.5 * per_width, 1.0)
    criterion = independent * np.log(found.chi2 / len(part.y))
    criterion += (found.groups + found.parameters) * np.log(independent)
    criterion += _A_NUMBER * cell_basis(candidate.group, candidate.cell).shape[1]
    zero, displacement = (candidate.zero, found.shift) if flat else (found.shift, 0.0)
    fitted = replace(candidate, cell=found.cell, rwp=found.rwp, zero=zero, displacement=displacement)
    return fitted, float(criterion)
