"""From peaks to unit cells: `jaxnmr.solve.index` (host)."""

from collections.abc import Iterable
from math import lgamma, log

import numpy as np
from jaxtyping import Float, Int

from ..._arguments import checked
from ...crystal.cell import cell_from_metric, metric
from ...errors import DataError, ParameterError
from ..records import CellCandidate, Peaks
from .cell_table import CellTable
from .evidence import Assessed, assess, chance
from .lattices import LATTICES, BravaisLattice, determinant
from .lines import FEWEST, SLOTS, Lines, lines_of, too_few
from .reduction import distinct, fingerprint, lattices_of, niggli, smaller_cell, usual_axes
from .search import search

# number of cells refined per lattice, and in the table
_REFINED = 12
_LISTED = 30
# smallest cost of an additional parameter, and gain of an additional explained line
_A_NUMBER = _A_LINE = 8.0
# lattices this close to a more symmetric one are also tried as such
_PSEUDO = 0.03
_SMALLEST = 20.0
# fraction of the search of less symmetric lattices made if a cell leaves at most this fraction of lines, with this M20
_DOUBT, _FEW, _GOOD = 0.3, 0.1, 20.0
# divisors of log evidence differences, between cells and relative to random lines: fitted on development crystals,
# since superlattice lines may all be weak and a search may miss the cell
_LESS, _LESS_BEYOND_CHANCE = 1.5, 6.0
# log ratio by which a cell must exceed random lines if not all lattices can be compared
_BEYOND_CHANCE = 4.0


@checked
def index(
    peaks: Peaks,
    *,
    lattices: str | Iterable[str] | None = None,
    largest_volume: float | None = None,
    lines: int = 24,
    tolerance: float | None = None,
    shift: str = "zero",
    shift_sigma: float = 0.04,
    effort: float = 1.0,
    seed: int = 0,
) -> CellTable:
    """Find unit cells that explain the positions of peaks, the most probable first.

    Lattices are searched from cubic to triclinic, until no less symmetric one could be more probable. Some lines may be
    from an impurity; a second phase is searched for in :meth:`CellTable.left_over`.

    Args:
        peaks: result of :func:`jaxnmr.solve.find_peaks`, with at least eight peaks. For five only cubic lattices are
            tried, for six or seven also tetragonal and hexagonal ones, and a cell must be far more probable than random
            lines; :attr:`CellTable.notes` reports this.
        lattices: Pearson's letters (``"mP"``, or several) or systems (``"o"``) to search; all by default.
        largest_volume: largest volume of the primitive cell in Å³; by default that of a cell with up to six lines per
            observed one.
        lines: number of peaks used, from the first, 5 to 32.
        tolerance: added in quadrature to the uncertainties of the positions, degrees; by default a twentieth of the
            width of a peak, the displacement that a slightly wrong profile may cause.
        shift: ``"zero"`` of the goniometer, ``"displacement"`` of the specimen, or ``"none"``.
        shift_sigma: standard deviation of the shift in degrees.
        effort: factor on the number of trials.
        seed: random seed.

    Raises:
        DataError: there are too few peaks for the lattices, there is no wavelength, or no cell is found.
        ParameterError: a lattice is unknown, or a number is invalid.
    """
    _check(lines, tolerance, shift_sigma, effort)
    asked = _wanted(lattices)
    used = lines_of(peaks, lines, tolerance, shift, shift_sigma)
    wanted = [lattice for lattice in asked if len(used) >= FEWEST[lattice.system]]
    if not wanted:
        raise DataError(too_few(peaks))
    rng = np.random.default_rng(seed)
    pool: list[Assessed] = []
    for lattice in wanted:
        best = max(pool, key=_value, default=None)
        if best is not None and _settled(best, lattice, len(used)):
            continue
        # checking a good cell takes a shorter search than finding one; triclinic cells cost little
        doubt = best is not None and (~best.indexed).mean() <= _FEW and best.m20 > _GOOD and lattice.system != "a"
        part = _DOUBT if doubt else 1.0
        pool += _cells(lattice, used, _limit(lattice, used, largest_volume), effort * part, rng)
    pool = _improved(pool, used, {lattice.name for lattice in wanted})
    if largest_volume is not None:
        pool = [one for one in pool if _primitive_volume(one) <= 1.02 * largest_volume]
    anywhere = chance(used)
    if len(used) < max(FEWEST.values()):
        _require_more_than_chance(pool, anywhere + _BEYOND_CHANCE, peaks, wanted)
    if not pool:
        volume = f"up to {largest_volume:g} Å³ " if largest_volume is not None else ""
        raise DataError(
            f"no cell {volume}explains half of the first {len(used)} peaks of {peaks.name}: look at the peaks (humps, Kα2 and an "
            "impurity make lines that no cell has), give a larger largest_volume, more lattices, tolerance=0.02 or effort=4"
        )
    return _table(pool, peaks, used, anywhere, tuple(lattice.name for lattice in asked if lattice not in wanted))


def _require_more_than_chance(pool: list[Assessed], least: float, peaks: Peaks, tried: list[BravaisLattice]) -> None:
    if not any(one.log_evidence >= least for one in pool):
        raise DataError(
            f"no {' '.join(lattice.name for lattice in tried)} cell explains the {len(peaks)} peaks of {peaks.name} better than chance; "
            f"other lattices need {FEWEST['a']} peaks: measure longer or to higher angles, or give the cell where it is known"
        )


def _check(lines: int, tolerance: float | None, shift_sigma: float, effort: float) -> None:
    least = min(FEWEST.values())
    if not least <= lines <= SLOTS:
        raise ParameterError(f"lines is {lines}; expected {least} to {SLOTS} peaks, counted from the first")
    for name, number in (("tolerance", tolerance), ("shift_sigma", shift_sigma)):
        if number is not None and not 0.0 < number < 1.0:
            raise ParameterError(f"{name} is {number:g}; expected degrees, more than 0 and less than 1")
    if not effort > 0.0:
        raise ParameterError(f"effort is {effort:g}; expected a positive number, 1 is usual")


def _wanted(lattices: str | Iterable[str] | None) -> list[BravaisLattice]:
    if lattices is None:
        return list(LATTICES)
    names = [lattices] if isinstance(lattices, str) else list(lattices)
    known = [lattice.name for lattice in LATTICES]
    for name in names:
        if name not in known and name not in "cthoma":
            raise ParameterError(
                f"lattices names {name!r}; expected some of {' '.join(known)}, or of the systems c h t o m a"
            )
    found = [lattice for lattice in LATTICES if lattice.name in names or lattice.system in names]
    if not found:
        raise ParameterError("lattices is empty; leave it out to search all")
    return found


def _limit(lattice: BravaisLattice, lines: Lines, largest_volume: float | None) -> float:
    """Return the largest primitive volume: N lines up to Q are ``2 pi/3 V Q^1.5`` Friedel pairs over equivalents."""
    together = {"c": 24, "t": 8, "h": 12 if lattice.centring == "P" else 6, "o": 4, "m": 2, "a": 1}[lattice.system]
    own = 6.0 * len(lines) * together / (2.0 * np.pi / 3.0 * lines.last**1.5)
    if largest_volume is None:
        return own
    if not largest_volume > _SMALLEST:
        raise ParameterError(
            f"largest_volume is {largest_volume:g} Å³; expected more than {_SMALLEST:g}, the primitive cell of a metal"
        )
    return min(own, largest_volume)


def _value(one: Assessed) -> float:
    return one.log_evidence


def _settled(best: Assessed, lattice: BravaisLattice, lines: int) -> bool:
    """Return whether not even a perfect cell of this lattice could be more probable."""
    n, possible = int(best.indexed.sum()), best.possible
    unseen = lgamma(possible + 1) - lgamma(n + 1) - lgamma(possible - n + 1) + log((possible + 1) / (n + 1))
    left = unseen + _A_LINE * (lines - n) + lines * log(best.scale)
    return left < _A_NUMBER * (len(lattice.free) - len(best.x))


def _cells(
    lattice: BravaisLattice, lines: Lines, largest: float, effort: float, rng: np.random.Generator
) -> list[Assessed]:
    """Return the best cells of one lattice, refined."""
    trials = search(lattice, lines, largest, effort, rng)
    found: list[Assessed] = []
    prints: list[np.ndarray] = []
    x, shift = trials.x[:4000], trials.shift[:4000]
    while len(x) and len(prints) < 4 * _REFINED and len(found) < _REFINED:
        cell, at = lattice.cell(x[0]), float(shift[0])
        mark = fingerprint(niggli(cell, lattice.centring))
        if distinct(np.array([*prints, mark]))[-1]:
            prints.append(mark)
            one = assess(lattice, x[0], at, lines)
            if one is not None:
                found.append(one)
        near = np.all(np.abs(x - x[0]) <= 1e-3 * np.abs(x[0]).max(), axis=1)
        x, shift = x[~near], shift[~near]
    return found


def _improved(pool: list[Assessed], lines: Lines, allowed: set[str]) -> list[Assessed]:
    """Return the most probable cell per lattice, including equally good sublattices and more symmetric lattices."""
    pool = _merged(pool)[: 2 * _LISTED]
    more: list[Assessed] = []
    tried = [(one.lattice, one.x) for one in pool]
    for one in pool[:_LISTED]:
        cell = one.lattice.cell(one.x)
        reduced = [niggli(cell, one.lattice.centring)]
        smaller = smaller_cell(one.lattice, cell, one.hkl[one.indexed])
        if smaller is not None:
            reduced.append(smaller)
        for each in reduced:
            for lattice, nearly in lattices_of(each, _PSEUDO):
                x = lattice.numbers(nearly)
                if lattice.name not in allowed or _tried(lattice, x, tried):
                    continue
                tried.append((lattice, x))
                found = assess(lattice, x, one.shift, lines)
                if found is not None:
                    more.append(found)
    return _merged(pool + more)


def _tried(lattice: BravaisLattice, x: np.ndarray, tried: list[tuple[BravaisLattice, np.ndarray]]) -> bool:
    return any(other == lattice and np.allclose(x, known, rtol=1e-3, atol=1e-6) for other, known in tried)


def _merged(pool: list[Assessed]) -> list[Assessed]:
    pool = sorted(pool, key=_value, reverse=True)
    if not pool:
        return pool
    keep = distinct(np.array([fingerprint(niggli(one.lattice.cell(one.x), one.lattice.centring)) for one in pool]))
    return [one for one, is_first in zip(pool, keep, strict=True) if is_first]


def _primitive_volume(one: Assessed) -> float:
    return float(determinant(one.x @ one.lattice.free) ** -0.5) / one.lattice.points


def _table(pool: list[Assessed], peaks: Peaks, lines: Lines, anywhere: float, untried: tuple[str, ...]) -> CellTable:
    odds = probabilities(np.array([one.log_evidence for one in pool]), anywhere)
    best = pool[:_LISTED]
    return CellTable(
        candidates=tuple(_candidate(one, float(p), lines) for one, p in zip(best, odds, strict=False)),
        peaks=peaks,
        lines=len(lines),
        scales=tuple(one.scale for one in best),
        tolerance=lines.tolerance,
        sigmas=tuple(_cell_sigma(one) for one in best),
        untried=untried,
    )


def probabilities(log_evidence: Float[np.ndarray, " n"], anywhere: float) -> Float[np.ndarray, " n"]:
    """Return probabilities of cells from log evidences of cells and of random lines; the remainder is that of none."""
    odds = np.exp((log_evidence - log_evidence.max()) / _LESS)
    some = 1.0 / (1.0 + np.exp((anywhere - log_evidence.max()) / _LESS_BEYOND_CHANCE))
    return some * odds / odds.sum()


def _candidate(one: Assessed, probability: float, lines: Lines) -> CellCandidate:
    cell = _usual(one.lattice, one.x, usual_axes(one.lattice, one.lattice.cell(one.x)))
    n = int(one.indexed.sum())
    return CellCandidate(
        cell=cell,
        niggli=niggli(cell, one.lattice.centring),
        lattice=one.lattice.name,
        group=one.lattice.group,
        zero=one.shift if lines.shift == "zero" else 0.0,
        displacement=one.shift if lines.shift == "displacement" else 0.0,
        indexed=n,
        unindexed=len(lines) - n,
        possible=one.possible,
        m20=one.m20,
        log_evidence=one.log_evidence,
        probability=probability,
    )


def _usual(lattice: BravaisLattice, x: Float[np.ndarray, " p"], axes: Int[np.ndarray, "3 3"]) -> Float[np.ndarray, "6"]:
    return cell_from_metric(axes @ metric(lattice.cell(x)) @ axes.T)


def _cell_sigma(one: Assessed) -> Float[np.ndarray, "6"]:
    """Return the uncertainties of the cell from those of its form, without correlations."""
    axes = usual_axes(one.lattice, one.lattice.cell(one.x))
    base = _usual(one.lattice, one.x, axes)
    total = np.zeros(6)
    for k, sigma in enumerate(one.x_sigma):
        step = np.zeros(len(one.x))
        step[k] = sigma
        total += (_usual(one.lattice, one.x + step, axes) - base) ** 2
    return one.scale * np.sqrt(total)
