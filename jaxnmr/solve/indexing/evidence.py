"""Log evidence of a cell for a list of lines (host, double precision).

Peaks come from lines of the cell, of which any subset is observed with equal odds, or are spurious, at any position. A
cell is penalised for possible lines that are not observed, for unexplained lines, and for its free parameters
(Laplace's approximation).
"""

from dataclasses import dataclass
from math import lgamma, log, pi

import numpy as np
from jaxtyping import Float

from .lattices import BravaisLattice, determinant, lines_within
from .lines import Lines

# common factors by which uncertainties may be too small, with their prior probabilities
SCALES = {1.0: 0.6, 1.8: 0.25, 3.2: 0.15}
# expected number of spurious lines in a list
EXPECTED_SPURIOUS = 0.5
MOST_LINES = 600
# log of the plausible range of 1/a², for 2 to 45 Å
_RANGE = 2.0 * log(45.0 / 2.0)
# approximate frequencies of the lattices among inorganic crystals; a factor of two is 0.7 in the logarithm, less than
# the evidence of one line
_SHARE = {
    "cF": 0.09, "cI": 0.03, "cP": 0.04, "hR": 0.06, "hP": 0.10, "tI": 0.08, "tP": 0.07, "oF": 0.02, "oI": 0.02, "oC": 0.06, "oP": 0.16,
    "mC": 0.10, "mP": 0.16, "aP": 0.06,
}  # fmt: skip
# a primitive cubic cell smaller than those of the CsCl type, Å³, would contain one atom: only polonium is like that, 38
# Å³. Body-centred metals have exactly its first six lines
_TWO_ATOMS, _ONE_ATOM = 16.0, 0.01


@dataclass(frozen=True)
class Assessed:
    """A cell refined against the lines.

    Attributes:
        lattice: its Bravais lattice.
        x: free parameters of its form; ``x_sigma`` their uncertainties.
        shift: coefficient of the shift in degrees.
        hkl: ``(lines, 3)`` reflection nearest to each line.
        indexed: ``(lines,)`` whether it explains the line.
        possible: number of resolved lines up to the last peak.
        m20: de Wolff's figure of merit M20.
        log_evidence: log evidence.
        scale: factor by which the uncertainties seem too small.
    """

    lattice: BravaisLattice
    x: np.ndarray
    x_sigma: np.ndarray
    shift: float
    hkl: np.ndarray
    indexed: np.ndarray
    possible: int
    m20: float
    log_evidence: float
    scale: float


def assess(lattice: BravaisLattice, x: Float[np.ndarray, " p"], shift: float, lines: Lines) -> Assessed | None:
    """Refine a cell by robust least squares and calculate its evidence; ``None`` if it becomes invalid."""
    prior = 0.0 if lines.shift == "none" else lines.shift_sigma**-2
    for turn in range(3):
        hkl = _hkl(lattice, x, lines)
        if hkl is None or len(hkl) == 0:
            return None
        columns = lattice.columns(hkl)
        for k in range(4):
            q = columns @ x
            nearest = _nearest(q, lines.q - lines.slope * shift)
            away = (lines.q - lines.slope * shift - q[nearest]) / lines.sigma
            # lines of other origin lose all their weight (S. Geman & D. McClure, Bull. Int. Stat. Inst. 52, 5 (1987))
            loose = max(2.0, 8.0 * 0.75 ** (4 * turn + k))
            solved = _solve(columns[nearest], lines, 1.0 / (1.0 + (away / loose) ** 2) ** 2, prior)
            if solved is None:
                return None
            x, shift = solved[0], solved[1]
        if not _positive(lattice, x):
            return None
    hkl = _hkl(lattice, x, lines)
    if hkl is None or len(hkl) == 0:
        return None
    results = [_evidence(lattice, x, shift, lines, hkl, scale, prior) for scale in SCALES]
    found = [result for result in results if result is not None]
    if not found:
        return None
    best = max(found, key=lambda result: result.log_evidence)
    values = np.array([result.log_evidence for result in found])
    total = float(np.logaddexp.reduce(values))
    return Assessed(**{**vars(best), "log_evidence": total})


def chance(lines: Lines) -> float:
    """Return the log evidence of lines at random positions."""
    return len(lines) * (log(len(lines) / _spread(lines)) - 1.0)


def _spread(lines: Lines) -> float:
    return float(lines.q[-1] - lines.q[0] * 0.5)


def _hkl(lattice: BravaisLattice, x: np.ndarray, lines: Lines) -> np.ndarray | None:
    return lines_within(lattice, x, lines.last * 1.02, MOST_LINES) if _positive(lattice, x) else None


def _positive(lattice: BravaisLattice, x: np.ndarray) -> bool:
    form = x @ lattice.free
    a, b, c, d, e, f = form
    return bool(
        min(a, b, c) > 50.0**-2
        and determinant(form) > 1e-9
        and 4 * a * b > f * f
        and 4 * b * c > d * d
        and 4 * a * c > e * e
    )


def _nearest(q: np.ndarray, goal: np.ndarray) -> np.ndarray:
    right = np.clip(np.searchsorted(q, goal), 1, max(len(q) - 1, 1))
    if len(q) == 1:
        return np.zeros(len(goal), dtype=int)
    return np.where(goal - q[right - 1] < q[right] - goal, right - 1, right)


def _solve(
    columns: np.ndarray, lines: Lines, weight: np.ndarray, prior: float
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """Return free parameters, shift, and the normal matrix of both."""
    design = np.column_stack([columns, lines.slope]) if prior else columns.astype(float)
    w = weight / lines.sigma**2
    matrix = design.T @ (w[:, None] * design)
    if prior:
        matrix[-1, -1] += prior
    scale = np.sqrt(np.diag(matrix))
    if not np.all(scale > 0.0):
        return None
    try:
        found = np.linalg.solve(matrix / np.outer(scale, scale), design.T @ (w * lines.q) / scale) / scale
    except np.linalg.LinAlgError:
        return None
    p = columns.shape[1]
    return found[:p], float(found[p]) if prior else 0.0, matrix


def _evidence(
    lattice: BravaisLattice, x: np.ndarray, shift: float, lines: Lines, hkl: np.ndarray, scale: float, prior: float
) -> Assessed | None:
    columns = lattice.columns(hkl)
    sigma = scale * lines.sigma
    for _ in range(2):
        q = columns @ x
        order = np.argsort(q, kind="stable")
        hkl, columns, q = hkl[order], columns[order], q[order]
        goal = lines.q - lines.slope * shift
        start = _clusters(q, np.interp(q, lines.q, lines.width))
        number = np.diff(np.append(start, len(q)))
        inside = q[start] <= lines.last
        possible = int(inside.sum())
        if possible < 4:
            return None
        each = -0.5 * ((goal[:, None] - q[None]) / sigma[:, None]) ** 2
        fits = (
            np.logaddexp.reduceat(each, start, axis=1) - np.log(number)[None] - np.log(sigma * np.sqrt(2 * pi))[:, None]
        )
        cluster = np.argmax(fits, axis=1)
        fit = fits[np.arange(len(goal)), cluster]
        spurious = log(EXPECTED_SPURIOUS / _spread(lines))
        indexed = fit - log(max(possible / len(lines), 1.05)) > spurious
        # one line makes one peak
        for of in np.unique(cluster[indexed]):
            same = np.flatnonzero((cluster == of) & indexed)
            indexed[same[np.argsort(-fit[same])[1:]]] = False
        nearest = _nearest(q, goal)
        if indexed.sum() < max(len(x) + 1, 0.5 * len(lines)):
            return None
        solved = _solve(columns[nearest], lines, indexed / scale**2, prior)
        if solved is None or not _positive(lattice, solved[0]):
            return None
        x, shift, matrix = solved
    n = int(indexed.sum())
    inside[cluster[indexed]] = True
    possible = int(inside.sum())
    value = fit[indexed].sum() + spurious * (len(lines) - n)
    value += _seen(lattice, hkl, start[inside], number[inside], np.isin(np.flatnonzero(inside), cluster[indexed]))
    value += _occam(lattice, x, shift, lines, matrix, prior) + log(SCALES[scale])
    errors = np.sqrt(np.maximum(np.diag(np.linalg.pinv(matrix)), 0.0))[: len(x)]
    away = np.abs(goal - q[nearest])
    return Assessed(
        lattice, x, errors, shift, hkl[nearest], indexed, possible, _m20(lines, q, away, indexed), float(value), scale
    )


# additional lines of a superlattice may all be weak: those for which these are not zero
_MODULI = {
    "halved": lambda h, k, l: (h % 2) + (k % 2) + (l % 2), "h/2": lambda h, k, l: h % 2, "k/2": lambda h, k, l: k % 2,
    "l/2": lambda h, k, l: l % 2, "A": lambda h, k, l: (k + l) % 2, "B": lambda h, k, l: (h + l) % 2, "C": lambda h, k, l: (h + k) % 2,
    "I": lambda h, k, l: (h + k + l) % 2, "F": lambda h, k, l: (h + k) % 2 + (k + l) % 2, "hk/2": lambda h, k, l: h % 2 + k % 2,
    "l/3": lambda h, k, l: l % 3, "R": lambda h, k, l: (k + l - h) % 3, "H": lambda h, k, l: (h - k) % 3,
}  # fmt: skip
_OF_SYSTEM = {
    "c": ("halved", "I", "F"), "t": ("halved", "l/2", "C", "I", "F", "hk/2", "l/3"), "h": ("halved", "l/2", "hk/2", "l/3", "R", "H"),
    "o": ("halved", "h/2", "k/2", "l/2", "A", "B", "C", "I", "F"), "m": ("halved", "h/2", "k/2", "l/2", "A", "B", "C", "I", "F"),
    "a": ("halved", "h/2", "k/2", "l/2", "A", "B", "C", "I", "F"),
}  # fmt: skip


def _seen(lattice: BravaisLattice, hkl: np.ndarray, start: np.ndarray, number: np.ndarray, seen: np.ndarray) -> float:
    """Return the log probability of the observed subset of lines: with equal odds, or others for superlattice lines."""
    plain = _any_subset(int(seen.sum()), len(seen))
    names = _OF_SYSTEM[lattice.system]
    values = [plain - log(2.0)]
    h, k, l = hkl[: start[-1] + number[-1]].T
    for name in names:
        # a peak belongs to the smaller cell if any of its lines does
        basic = np.minimum.reduceat(_MODULI[name](h, k, l), start) == 0
        if basic.all() or not basic.any():
            continue
        parts = (_any_subset(int(seen[of].sum()), int(of.sum())) for of in (basic, ~basic))
        values.append(sum(parts) - log(2.0 * len(names)))
    return float(np.logaddexp.reduce(values))


def _any_subset(n: int, of: int) -> float:
    """Return the log probability of a subset if all numbers of lines, and all subsets of one, are equally likely."""
    return -(lgamma(of + 1) - lgamma(n + 1) - lgamma(of - n + 1) + log(of + 1))


def _clusters(q: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Return the first of every set of lines within a width."""
    starts, first = [0], q[0]
    for k in range(1, len(q)):
        if q[k] - first > width[k]:
            starts.append(k)
            first = q[k]
    return np.array(starts)


def _occam(
    lattice: BravaisLattice, x: np.ndarray, shift: float, lines: Lines, matrix: np.ndarray, prior: float
) -> float:
    """Return the log prior density times the volume of the posterior."""
    form = x @ lattice.free
    # of two cells that explain the same, prefer the smaller one
    value = log(_SHARE[lattice.name]) + 0.5 * log(determinant(form)) + log(lattice.points)
    if lattice.name == "cP" and determinant(form) > _TWO_ATOMS**-2:
        value += log(_ONE_ATOM)
    for row, number in zip(lattice.free, x, strict=True):
        if row[:3].any():
            value -= log(abs(number) * _RANGE)
        else:
            one, two = ((1, 2), (0, 2), (0, 1))[int(np.flatnonzero(row)[0]) - 3]
            value -= log(2.0 * np.sqrt(form[one] * form[two]))
    if prior:
        value += 0.5 * log(prior / (2 * pi)) - 0.5 * prior * shift**2
    return value + 0.5 * len(matrix) * log(2 * pi) - 0.5 * float(np.linalg.slogdet(matrix)[1])


def _m20(lines: Lines, q: np.ndarray, away: np.ndarray, indexed: np.ndarray) -> float:
    """Return M20 (P. M. de Wolff, J. Appl. Cryst. 1, 108 (1968)) of the first twenty explained lines."""
    first = np.flatnonzero(indexed)[:20]
    last = lines.q[first[-1]]
    possible = max(int((q <= last + 2.0 * lines.sigma[first[-1]]).sum()), 1)
    return float(last / (2.0 * max(away[first].mean(), 1e-3 * lines.sigma[first].mean()) * possible))
