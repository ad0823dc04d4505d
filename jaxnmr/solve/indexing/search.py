"""Parallel trial cells: lines assigned to low indices, solved, screened, refined (JAX, single precision).

A. A. Coelho, J. Appl. Cryst. 36, 86 (2003): trial cells from few lines, then lines are assigned to the nearest
reflection and the quadratic form follows by linear least squares, until nothing changes. All lattices have the same
array shapes, so that two compiled programs serve all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations, permutations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .lattices import BravaisLattice, determinant, squares, table
from .lines import SLOTS, Lines
from .zones import cells_of_zones

BATCH = 4096
KEPT = 128
ROWS = 512
LONGEST = 45.0
_STEP = 8
# tolerances in uncertainties of a line, for screening and for ranking
_WIDE, _NARROW = 4.0, 1.5
_SPURIOUS = 0.05
# a search ends if its best cell was found this many times; sooner if that explains all lines and has few others
_ENOUGH, _ENOUGH_PERFECT, _FEW = 60, 8, 1.8
# trial cells per lattice
_TRIALS = {"c": BATCH, "t": 80_000, "h": 80_000, "o": 160_000, "m": 480_000, "a": 300_000}


@dataclass(frozen=True)
class Trials:
    """Trial cells of one lattice, the best first.

    Attributes:
        x: ``(n, p)`` free parameters of the form.
        shift: ``(n,)`` degrees.
        score: ``(n,)`` log likelihood relative to chance.
    """

    x: np.ndarray
    shift: np.ndarray
    score: np.ndarray


def search(
    lattice: BravaisLattice, lines: Lines, largest_volume: float, effort: float, rng: np.random.Generator
) -> Trials:
    """Find trial cells that explain the lines better than chance.

    Args:
        lattice: the Bravais lattice.
        lines: at most 32.
        largest_volume: largest volume of the primitive cell, Å³.
        effort: factor on the number of trials, usually 1.
        rng: random number generator.
    """
    padded = _padded(lines)
    rows = _rows(lattice)
    p = len(lattice.free)
    basis = np.zeros((6, 6), np.float32)
    basis[:p] = lattice.free
    columns = np.zeros((ROWS, 6), np.float32)
    known = table(lattice, ROWS)[1]
    columns[: len(known), :p] = known
    kept_x, kept_shift, kept_score = [], [], []
    best, hits = -np.inf, 0
    for x, shift, real in _batches(lattice, lines, largest_volume, effort, rng):
        form = (x @ lattice.free).astype(np.float32)
        at = screen(form, shift.astype(np.float32), rows, *padded)
        at = np.asarray(at)
        at = at[at < real]
        few = np.resize(at, KEPT)
        start = np.zeros((KEPT, 6), np.float32)
        start[:, :p] = x[few]
        found = refine(
            start, shift[few].astype(np.float32), rows, columns, basis, *padded, np.float32(lines.shift_sigma)
        )
        better, moved, score, perfect = (np.asarray(a)[: len(at)] for a in found)
        fine = np.isfinite(score)
        kept_x.append(better[fine, :p].astype(float))
        kept_shift.append(moved[fine].astype(float))
        kept_score.append(score[fine].astype(float))
        if fine.any():
            top = int(np.argmax(np.where(fine, score, -np.inf)))
            if score[top] > best + 0.5:
                best, hits = float(score[top]), 0
            hits += int((score[fine] > best - 0.5).sum())
            if hits >= (_ENOUGH_PERFECT if perfect[top] and score[top] > best - 0.5 else _ENOUGH):
                break
    if not kept_x:
        return Trials(np.zeros((0, p)), np.zeros(0), np.zeros(0))
    x, shift, score = np.concatenate(kept_x), np.concatenate(kept_shift), np.concatenate(kept_score)
    x = reduced(lattice, x)
    good = _sensible(lattice, x, largest_volume * 1.05)
    order = np.argsort(-np.where(good, score, -np.inf), kind="stable")[: int(good.sum())]
    return Trials(x[order], shift[order], score[order])


def _rows(lattice: BravaisLattice) -> Int[np.ndarray, "rows 6"]:
    """Return the squares of the table, padded with rows far out of range."""
    hkl = table(lattice, ROWS)[0]
    found = np.zeros((ROWS, 6), np.float32)
    found[:, :3] = 1e6
    found[: len(hkl)] = squares(hkl)
    return found


def _padded(lines: Lines) -> tuple[np.ndarray | np.float32, ...]:
    def pad(values: np.ndarray, filled: float) -> np.ndarray:
        return np.concatenate([values, np.full(SLOTS - len(values), filled)]).astype(np.float32)

    seen = pad(np.ones(len(lines)), 0.0)
    return pad(lines.q, 0.0), pad(lines.sigma, 1.0), pad(lines.slope, 0.0), seen, np.float32(lines.last)


def _lines_of(form: jax.Array, shift: jax.Array, rows: jax.Array, q: jax.Array, slope: jax.Array, last: jax.Array):
    """Return distances of the lines to the nearest of each cell ``(lines, cells)``, their indices, and line counts."""
    goal = q[:, None] - slope[:, None] * shift[None]

    def step(carry, block):
        near, which, count = carry
        number, some = block
        for k in range(_STEP):
            line = some[k] @ form
            away = jnp.abs(goal - line[None])
            which = jnp.where(away < near, number * _STEP + k, which)
            near = jnp.minimum(near, away)
            count = count + (line <= last)
        return (near, which, count), None

    start = (
        jnp.full(goal.shape, 1e9, goal.dtype), jnp.zeros(goal.shape, jnp.int32), jnp.zeros(form.shape[1], jnp.float32),
    )  # fmt: skip
    blocks = jnp.arange(ROWS // _STEP, dtype=jnp.int32), rows.reshape(ROWS // _STEP, _STEP, 6)
    return jax.lax.scan(step, start, blocks)[0]


def _score(near: jax.Array, count: jax.Array, tolerance: jax.Array, seen: jax.Array, last: jax.Array) -> jax.Array:
    """Return log likelihoods relative to chance: the more lines a cell has, the better a line fits by chance."""
    chance = (count / last)[None] * tolerance[:, None] * float(np.sqrt(2.0 * np.pi))
    fits = -0.5 * (near / tolerance[:, None]) ** 2 - jnp.log(jnp.maximum(chance, 1e-9))
    enough = count >= 0.75 * seen.sum()
    each = jnp.logaddexp(fits + float(np.log(1.0 - _SPURIOUS)), float(np.log(_SPURIOUS)))
    return jnp.where(enough, (each * seen[:, None]).sum(0), -jnp.inf)


@jax.jit
def screen(form, shift, rows, q, sigma, slope, seen, last):
    """Return the indices of the best trial cells ``(cells, 6)``."""
    near, _, count = _lines_of(form.T, shift, rows, q, slope, last)
    return jax.lax.top_k(_score(near, count, _WIDE * sigma, seen, last), KEPT)[1]


@jax.jit
def refine(x, shift, rows, columns, basis, q, sigma, slope, seen, last, shift_sigma):
    """Reassign and solve by robust least squares, six times; return free parameters, shifts and scores."""
    used = jnp.concatenate([jnp.abs(basis).sum(1) > 0, jnp.ones(1, bool)])

    def improve(i, carry):
        x, shift, loose = carry
        near, which, _ = _lines_of((x @ basis).T, shift, rows, q, slope, last)
        # the tolerances of the lines shrink
        weight = (seen / sigma**2)[:, None] / (1.0 + (near / (loose * sigma[:, None])) ** 2)
        design = jnp.concatenate(
            [columns[which.T], jnp.broadcast_to(slope[None, :, None], (*which.T.shape, 1))], axis=2
        )
        matrix = jnp.einsum("lb,bli,blj->bij", weight, design, design, precision="highest")
        right = jnp.einsum("lb,bli,l->bi", weight, design, q, precision="highest")
        matrix = matrix.at[:, 6, 6].add(1.0 / shift_sigma**2)
        diagonal = jnp.diagonal(matrix, axis1=1, axis2=2)
        scale = jnp.where(used, jnp.sqrt(jnp.maximum(diagonal, 1e-20)), 1.0)
        matrix = matrix / (scale[:, :, None] * scale[:, None, :]) + jnp.where(used, 1e-6, 1.0).astype(
            x.dtype
        ) * jnp.eye(7, dtype=x.dtype)
        found = jnp.linalg.solve(matrix, (right / scale)[..., None])[..., 0] / scale
        return found[:, :6], found[:, 6], jnp.maximum(0.6 * loose, 1.0)

    x, shift, _ = jax.lax.fori_loop(0, 6, improve, (x, shift, jnp.asarray(4.0, x.dtype)))
    near, _, count = _lines_of((x @ basis).T, shift, rows, q, slope, last)
    score = _score(near, count, _NARROW * sigma, seen, last) - 0.5 * (shift / shift_sigma) ** 2
    left = ((near > 3.0 * sigma[:, None]) * seen[:, None]).sum(0)
    return x, shift, score, (left == 0) & (count < _FEW * seen.sum())


def _batches(
    lattice: BravaisLattice, lines: Lines, largest_volume: float, effort: float, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Iterate over plausible trial cells in padded batches of ``BATCH``, with the number of real ones."""
    draws = {"c": _all_of_one, "t": _all_pairs, "h": _all_pairs, "a": _triclinic}.get(lattice.system, _drawn)
    xs, shifts, there, left = [], [], 0, int(_TRIALS[lattice.system] * effort)
    for x, shift in draws(lattice, lines, rng):
        x = reduced(lattice, x)
        good = _sensible(lattice, x, largest_volume)
        xs.append(x[good])
        shifts.append(shift[good])
        there += int(good.sum())
        while there >= BATCH and left > 0:
            x, shift = np.concatenate(xs), np.concatenate(shifts)
            yield x[:BATCH], shift[:BATCH], BATCH
            xs, shifts, there, left = [x[BATCH:]], [shift[BATCH:]], there - BATCH, left - BATCH
        if left <= 0:
            return
    if there:
        x, shift = np.concatenate(xs), np.concatenate(shifts)
        yield np.resize(x, (BATCH, x.shape[1])), np.resize(shift, BATCH), there


def reduced(lattice: BravaisLattice, x: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "n p"]:
    """Return monoclinic forms with the smallest non-negative cross term that a choice of axes allows."""
    if lattice.system != "m":
        return x
    a, b, c, e = x.T.copy()
    whole = 2 if lattice.centring == "C" else 1
    with np.errstate(all="ignore"):
        for _ in range(3):
            # l -> l + m h, then h -> h + (1 or 2) m l, which keep the centring
            m = -np.round(e / (2.0 * c))
            m = np.where(np.isfinite(m), m, 0.0)
            a, e = a + m * e + m * m * c, e + 2.0 * m * c
            m = -np.round(e / (2.0 * whole * a))
            m = np.where(np.isfinite(m), m, 0.0) * whole
            c, e = c + m * e + m * m * a, e + 2.0 * m * a
    return np.stack([a, b, c, np.abs(e)], axis=1)


def _sensible(lattice: BravaisLattice, x: np.ndarray, largest_volume: float) -> np.ndarray:
    """Return whether forms are positive, with plausible axes and volumes."""
    form = x @ lattice.free.astype(float)
    a, b, c, d, e, f = form.T
    inverse = determinant(form)
    minors = (
        (np.minimum(np.minimum(a, b), c) > LONGEST**-2)
        & (4 * a * b > f * f)
        & (4 * b * c > d * d)
        & (4 * a * c > e * e)
    )
    smallest = 10.0 * lattice.points
    with np.errstate(all="ignore"):
        volume = inverse**-0.5
        longest = np.max([(b * c - d * d / 4), (a * c - e * e / 4), (a * b - f * f / 4)], axis=0) / inverse
    return (
        np.isfinite(volume) & minors & (inverse > 0) & (volume < largest_volume * lattice.points) & (volume > smallest)
        & (longest < LONGEST**2)
    )  # fmt: skip


def _low(lattice: BravaisLattice, most: int) -> np.ndarray:
    hkl, columns = table(lattice, ROWS)
    return columns[np.argsort((hkl**2).sum(axis=1), kind="stable")[:most]].astype(float)


def _shifts(lines: Lines, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw trial shifts: none for half of the cells."""
    if lines.shift == "none":
        return np.zeros(n)
    return np.where(rng.random(n) < 0.5, 0.0, rng.normal(0.0, lines.shift_sigma, n))


def _all_of_one(
    lattice: BravaisLattice, lines: Lines, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    columns = _low(lattice, 40)[:, 0]
    for shift in np.linspace(-1.5, 1.5, 7) * (lines.shift_sigma if lines.shift != "none" else 0.0):
        q = (lines.q - lines.slope * shift)[:8]
        x = (q[:, None] / columns[None]).reshape(-1, 1)
        yield x, np.full(len(x), shift)


def _all_pairs(
    lattice: BravaisLattice, lines: Lines, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    columns = _low(lattice, 50)
    i, j = (a.ravel() for a in np.meshgrid(np.arange(len(columns)), np.arange(len(columns)), indexing="ij"))
    cross = columns[i, 0] * columns[j, 1] - columns[i, 1] * columns[j, 0]
    i, j, cross = i[cross != 0], j[cross != 0], cross[cross != 0]
    pairs = sorted(combinations(range(min(10, len(lines))), 2), key=sum)
    for one, two in pairs[:24]:
        shift = _shifts(lines, len(i), rng)
        q1, q2 = (lines.q[k] - lines.slope[k] * shift for k in (one, two))
        x = np.stack([q1 * columns[j, 1] - q2 * columns[i, 1], q2 * columns[i, 0] - q1 * columns[j, 0]], axis=1)
        yield x / cross[:, None], shift


@cache
def _designs(lattice: BravaisLattice, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inverse matrices for all regular sets of low indices, and their cumulative sampling probabilities."""
    n = len(lattice.free)
    columns = _low(lattice, most)
    sets = np.array(list(combinations(range(len(columns)), n)))
    design = columns[sets]
    regular = np.abs(np.linalg.det(design)) > 0.5
    odds = np.prod(1.0 / (sets[regular] + 2.0) ** 0.7, axis=1)
    return np.linalg.inv(design[regular]), np.cumsum(odds) / odds.sum()


def _drawn(lattice: BravaisLattice, lines: Lines, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw lines and low indices at random, the first ones most often."""
    n = len(lattice.free)
    inverse, until = _designs(lattice, 24 if n == 3 else 30)
    first = min(n + 3, len(lines))
    # sometimes include further lines: the first ones may all be in one zone
    far = min(3 * n + 2, len(lines))
    near, spread = (np.array(list(permutations(range(k), n))) for k in (first, far))
    while True:
        size = 4 * BATCH
        which = np.concatenate(
            [near[rng.integers(len(near), size=3 * BATCH)], spread[rng.integers(len(spread), size=BATCH)]]
        )
        shift = _shifts(lines, size, rng)
        q = lines.q[which] - lines.slope[which] * shift[:, None]
        at = np.minimum(np.searchsorted(until, rng.random(size)), len(until) - 1)
        yield np.einsum("bij,bj->bi", inverse[at], q), shift


def _triclinic(
    lattice: BravaisLattice, lines: Lines, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Generate cells from likely planes, first without a shift."""
    for round_ in range(4):
        shift = float(_shifts(lines, 1, rng)[0]) if round_ else 0.0
        x = cells_of_zones(lines.q - lines.slope * shift, lines.sigma)
        for start in range(0, len(x), 4 * BATCH):
            yield x[start : start + 4 * BATCH], np.full(len(x[start : start + 4 * BATCH]), shift)
