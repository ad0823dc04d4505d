"""Triclinic trial cells from zones: three lines as axes, and angles between them suggested by other lines (host).

Planes of the reciprocal lattice are recognised one by one, from all of their lines: P. M. de Wolff, Acta Cryst. 10, 590
(1957); J. W. Visser, J. Appl. Cryst. 2, 89 (1969). Any of the low lines may be missing: a line suggesting an angle may
be (1 1), (1 2) or (2 1), and an axis may be observed in its second order only.
"""

from itertools import combinations

import numpy as np
from jaxtyping import Float

# lines that may be axes, those of them combined with later ones, and those that may be of second order
_AXES, _TOGETHER, _SECOND = 10, 5, 6
# angles kept per plane, and trial cells per three axes
_ANGLES, _CELLS = 12, 600
# probabilities that a line of a plane is observed, and that an axis is observed in second order only
_SEEN, _ONLY_SECOND = 0.5, 0.1
# tolerance of the lines of a plane, in uncertainties
_WINDOW = 4.0
# lines hk of a plane that score an angle, and those that suggest it
_JUDGED = np.array([(1, 1), (1, -1), (1, 2), (1, -2), (2, 1), (2, -1), (1, 3), (1, -3), (3, 1), (3, -1)])
_ASKED = np.array([(1, 1), (1, 2), (2, 1)])


def cells_of_zones(q: Float[np.ndarray, " lines"], sigma: Float[np.ndarray, " lines"]) -> Float[np.ndarray, "n 6"]:
    """Return triclinic forms whose planes contain many lines of a list, the most likely first.

    Args:
        q: 1/d² in Å⁻², increasing.
        sigma: uncertainties.
    """
    axes, planes = _axes(len(q))
    value = np.concatenate([q, 0.25 * q[:_SECOND]])
    price = np.concatenate([np.zeros(len(q)), np.full(min(_SECOND, len(q)), np.log(_ONLY_SECOND))])
    found = {(i, k): _angles(value[i], value[k], q, sigma) for i, k in planes}
    forms, scores = [], []
    for i, j, k in axes:
        (d, of_d), (e, of_e), (f, of_f) = found[j, k], found[i, k], found[i, j]
        if not (len(d) and len(e) and len(f)):
            continue
        score = of_d[:, None, None] + of_e[:, None] + of_f + price[[i, j, k]].sum()
        best = np.argsort(-score, axis=None, kind="stable")[:_CELLS]
        at = np.unravel_index(best, score.shape)
        d, e, f = d[at[0]], e[at[1]], f[at[2]]
        ones = np.ones(len(d))
        for sign in (1.0, -1.0):
            forms.append(np.stack([value[i] * ones, value[j] * ones, value[k] * ones, d, e, sign * f], axis=1))
            scores.append(score[at])
    if not forms:
        return np.zeros((0, 6))
    return np.concatenate(forms)[np.argsort(-np.concatenate(scores), kind="stable")]


def _axes(lines: int) -> tuple[list[tuple[int, int, int]], set[tuple[int, int]]]:
    """List sets of three axes, and all pairs of them; indices beyond the lines denote lines of second order."""
    near = min(_AXES, lines)
    sets = list(combinations(range(near), 3))
    # the first lines may all be in one plane
    first = list(combinations(range(min(_TOGETHER, near)), 2))
    sets += [(*two, k) for two in first for k in range(near, lines)]
    second = range(lines, lines + min(_SECOND, lines))
    sets += [(*two, k) for two in combinations(range(min(_SECOND, near)), 2) for k in second if k - lines not in two]
    return sets, {(one[i], one[k]) for one in sets for i, k in ((0, 1), (0, 2), (1, 2))}


def _angles(
    a: float, b: float, q: Float[np.ndarray, " lines"], sigma: Float[np.ndarray, " lines"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return cross terms of a plane suggested by lines, none negative, and the log odds of each."""
    h, k = _ASKED.T[:, :, None]
    terms = np.abs((q - h * h * a - k * k * b) / (h * k)).ravel()
    terms = terms[terms < 1.9 * np.sqrt(a * b)]
    if len(terms) == 0:
        return terms, terms
    h, k = _JUDGED.T
    lines = h * h * a + k * k * b + np.outer(terms, h * k)
    inside = (lines > 0.5 * q[0]) & (lines <= q[-1])
    right = np.clip(np.searchsorted(q, lines), 1, len(q) - 1)
    near = np.minimum(np.abs(lines - q[right]), np.abs(lines - q[right - 1]))
    window = _WINDOW * sigma[right]
    chance = np.minimum(2.0 * window * len(q) / q[-1], 0.5)
    there = np.where(near <= window, np.log(_SEEN / chance + 1.0 - _SEEN), np.log(1.0 - _SEEN))
    score = np.where(inside, there, 0.0).sum(axis=1)
    order = np.argsort(-score, kind="stable")
    terms, score = terms[order], score[order]
    # the same angle, suggested by two lines
    step = 2.0 * float(np.median(sigma))
    first = np.sort(np.unique(np.round(terms / step), return_index=True)[1])[:_ANGLES]
    return terms[first], score[first]
