"""Powder patterns from frequencies on a triangulated sphere.

Over one triangle the frequency varies linearly, so that its intensity is spread over frequency as a triangle, from the
smallest to the largest corner with the apex at the middle one (Alderman, Solum & Grant 1986). Such a tent is the second
divided difference of a ramp: three kinks of weight ``h/(b-a)``, ``-h/(b-a) - h/(c-b)`` and ``h/(c-b)``, with ``h`` twice
the area over ``c - a``. The kinks of all triangles around a vertex lie at its frequency, so they are summed there
first. Scattering these sums with B-spline weights and summing twice gives the bins exactly, at a cost that grows with
vertices + bins and without a window per triangle.
"""

from collections.abc import Sequence
from functools import partial
from math import comb
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Bool, Float, Int

from ...typing import Array, Scalar

# order of the B-spline by which a bin weights its neighbourhood: a box one bin wide, a hat two bins wide with which
# neighbours share a line linearly, or a smooth bell four bins wide
BOX, HAT, BELL = 1, 2, 4
# smallest side of a triangle, in bins
_LEAST = {BOX: 1e-3, HAT: 1e-2, BELL: 0.1}
SLICES = 64
Pair = tuple[jax.Array, jax.Array]


class Sides(NamedTuple):
    """Sides of the six triangles around every vertex.

    Attributes:
        rise, fall: distances from the lowest to the middle corner and on to the highest one.
        bound, slope: the minimum of such a side, and its derivative with respect to their sum.
        inverse: one over the product of both sides and their sum, after applying the bound; 0 without a triangle.
        role: whether the vertex is the lowest (-1) or highest (1) corner.
        ordered: whether the next neighbour is above this one.
    """

    rise: Float[jax.Array, "6 vertices"]
    fall: Float[jax.Array, "6 vertices"]
    bound: Float[jax.Array, "6 vertices"]
    slope: Float[jax.Array, "6 vertices"]
    inverse: Float[jax.Array, "6 vertices"]
    role: Float[jax.Array, "6 vertices"]
    ordered: Bool[jax.Array, "6 vertices"]


def bin_tents(
    frequencies: Float[Array, " vertices"],
    intensities: Float[Array, "#vertices bands"],
    triangles: Int[Array, "triangles 3"],
    rings: Int[Array, "6 vertices"],
    bins: int,
    *,
    collect: int,
    pushed: bool = False,
) -> Float[jax.Array, "bins bands"]:
    """Sum the tents of all triangles.

    Args:
        frequencies: in bins; bin k is centred at k.
        intensities: a triangle has the sum of its corners' intensities, in several bands at once.
        triangles: corners of the triangles.
        rings: neighbours, see `Orientations`.
        bins: number of bins; intensity outside is dropped.
        collect: `BOX` for the integral over every bin, `HAT` to preserve the position of patterns narrower than a bin
            (as :func:`bin_lines` does, pattern by pattern), `BELL` to weight the neighbourhood of a bin smoothly: that
            preserves positions and gives a smooth gradient, and can be removed again in a Fourier transform
            (:func:`collected`).
        pushed: in double precision, calculate derivatives along several directions in sequence, which takes a
            third of the time; only for forward mode.

    Returns:
        Intensities per bin, in the dtype of ``frequencies``.
    """
    if frequencies.dtype != jnp.float64:
        areas = jnp.sum(intensities[triangles], axis=1)
        return _bin_slices(frequencies[triangles], areas, bins, collect=collect)
    frequencies, intensities, around = jnp.asarray(frequencies), jnp.asarray(intensities), jnp.asarray(rings)
    pieces, shift = collect + 2, 1.0 - collect / 2
    corners = _looked_up(frequencies + (pieces + shift), around)
    position = corners[0]
    start = jnp.floor(position)
    # left of the guard a kink is a straight line over the whole grid, and all of these are summed in a separate row;
    # NaN positions go there too, so as not to be lost
    last, before = bins + pieces, ~(start >= 0)
    index = jnp.where(before, last, jnp.where(start < last, start, last + 1)).astype(jnp.int32)
    place = position - jnp.where(before, 0.0, start)
    powers = (_pushed_powers if pushed else _powers)(
        position, corners, place, intensities, index, None, around, collect, last + 1
    )
    return _integrated(powers, shift)[pieces:]


def _looked_up(position: Float[jax.Array, " vertices"], rings: Int[jax.Array, "6 vertices"]) -> jax.Array:
    """Return the positions of every vertex and its neighbours, ``(7, vertices)``.

    The vertex itself is gathered like its neighbours: a compiler may recompute positions wherever they are used, with
    different rounding, but all corners of a triangle must agree on their order, including ties.
    """
    itself = jnp.arange(len(position), dtype=rings.dtype)
    return position[jnp.concatenate([itself[None], rings])]


def _powers(
    position: Float[jax.Array, " vertices"],
    corners: Float[jax.Array, "7 vertices"],
    place: Float[jax.Array, " vertices"],
    intensities: Float[jax.Array, "#vertices bands"],
    index: Int[jax.Array, " vertices"],
    beyond: Bool[jax.Array, "vertices bands"] | None,
    rings: Int[jax.Array, "6 vertices"],
    collect: int,
    rows: int,
) -> Float[jax.Array, "powers rows channels"]:
    """Sum kinks of the triangles around every vertex times powers of their place in a bin, by bin.

    Args:
        position: in bins.
        corners: the same numbers, from `_looked_up`.
        place: in the bin of the vertex. A kink may leave that bin by the minimum distance; it keeps the bin's
            polynomial.
        intensities: see `bin_tents`.
        index: of the vertex's row; beyond the last one it is ignored.
        beyond: bands that have the vertex in the next row; they are summed separately, as further channels.
        rings: neighbours.
        collect, rows: order of the spline, number of rows.
    """
    kinks, moved = _kinks(position, corners, rings, _LEAST[collect])
    return _summed(kinks, place + moved, intensities, index, beyond, rings, collect, rows)


def _summed(
    kinks: jax.Array, place: jax.Array, intensities: jax.Array, index: jax.Array, beyond: Any, rings: jax.Array, collect: int,
    rows: int,
) -> jax.Array:  # fmt: skip
    """Compute `_powers` from the kinks and their places in the bins of their vertices."""
    one = lambda kinks, rings: (kinks * place, _round(rings, (kinks, intensities)))
    return _each_power(one, kinks, index, beyond, rings, collect, rows)


def _each_power(
    weigh: Any, start: Any, index: jax.Array, beyond: Any, rings: Int[jax.Array, "6 vertices"], collect: int, rows: int
) -> Float[jax.Array, "powers rows channels"]:
    """Return the weights of vertices for every power, summed by row."""
    # the neighbours are made to look variable, so that the compiler does not store the intensities of all of them
    turns = jnp.broadcast_to(rings, (collect + 2, *rings.shape))
    if beyond is None:

        def one(so_far: Any, rings: jax.Array) -> tuple[Any, jax.Array]:
            so_far, weights = weigh(so_far, rings)
            return so_far, jnp.zeros((rows, weights.shape[1]), weights.dtype).at[index].add(weights, mode="drop")

        return jax.lax.scan(one, start, turns)[1]
    # sums of stored weights: within one loop they would be calculated number by number
    bands = beyond.shape[1]
    place = ((2 * index[:, None] + beyond) * bands + np.arange(bands, dtype=index.dtype)).ravel()
    add = lambda weights: jnp.zeros(rows * 2 * bands, weights.dtype).at[place].add(weights.ravel(), mode="drop")
    return jax.lax.map(add, jax.lax.scan(weigh, start, turns)[1]).reshape(len(turns), rows, 2 * bands)


def _round(rings: Int[jax.Array, "6 vertices"], *pairs: Pair) -> Float[jax.Array, "vertices bands"]:
    """Sum kinks times the intensity of their triangle over the triangles around every vertex, for pairs of both."""
    total = sum(jnp.sum(kinks, axis=0)[:, None] * intensities for kinks, intensities in pairs)
    for k, ring in enumerate(rings):
        for kinks, intensities in pairs:
            total = total + (kinks[k] + kinks[k - 1])[:, None] * intensities.at[ring].get(mode="promise_in_bounds")
    return jnp.asarray(total)


@partial(jax.custom_jvp, nondiff_argnums=(7, 8))
def _pushed_powers(
    position: Any,
    corners: Any,
    place: Any,
    intensities: Any,
    index: Any,
    beyond: Any,
    rings: Any,
    collect: int,
    rows: int,
) -> jax.Array:
    """`_powers` for forward mode along several directions."""
    return _powers(position, corners, place, intensities, index, beyond, rings, collect, rows)


@_pushed_powers.defjvp
def _pushed_powers_jvp(collect: int, rows: int, primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    _, corners, place, intensities, index, beyond, rings = primals
    sides = _sides_round(corners, rings, _LEAST[collect])
    kinks, moved = _kinks_of(sides)
    place = place + moved
    here = kinks, place, intensities, index, beyond, rings, _kink_slopes(sides)

    @jax.custom_batching.custom_vmap
    def push(here: Any, along: Any) -> jax.Array:
        kinks, place, intensities, index, beyond, rings, slopes = here
        by_position, by_place, by_intensities = along
        by_kinks, by_moved = _changed(slopes, rings, by_position)
        by_place = by_place + by_moved

        def one(both: Pair, rings: jax.Array) -> tuple[Pair, jax.Array]:
            kinks, change = both
            weights = _round(rings, (change, intensities), (kinks, by_intensities))
            return (kinks * place, change * place + kinks * by_place), weights

        return _each_power(one, (kinks, by_kinks), index, beyond, rings, collect, rows)

    @push.def_vmap
    def one_by_one(count: int, batched: Any, here: Any, along: Any) -> tuple[jax.Array, bool]:
        # if calculated at once, rows to be added would not be contiguous: several times slower
        if any(jax.tree.leaves(batched[0])):
            axes = jax.tree.map(lambda yes: 0 if yes else None, batched)
            return jax.vmap(push.fun, in_axes=axes, axis_size=count)(here, along), True
        along = [a if yes else jnp.broadcast_to(a, (count, *a.shape)) for a, yes in zip(along, batched[1], strict=True)]
        return jax.lax.map(lambda along: push.fun(here, along), along), True

    return _summed(*here[:-1], collect, rows), push(here, [tangents[k] for k in (0, 2, 3)])


def bin_bands(
    frequencies: Float[Array, " vertices"],
    intensities: Float[Array, "vertices bands"],
    rings: Int[Array, "6 vertices"],
    bins: int,
    *,
    centre: Scalar,
    distances: Float[Array, " bands"],
    room: int,
    collect: int,
    pushed: bool = False,
) -> Float[jax.Array, " bins"]:
    """Sum bands that differ in place and intensity and hardly in shape, in double precision: `bin_tents` of each.

    The expensive parts, the kinks and the sums around vertices, are calculated once for all bands. A band whose bins
    begin at another fraction of a bin has its kinks in the same bins or in the next ones: both sums are kept, and the
    powers of the place in a bin follow from those of the place in the bins of the frequencies (a binomial).

    Args:
        frequencies: from the centre of a band, in bins.
        intensities: a triangle has the sum of its corners' intensities.
        rings: neighbours, see `Orientations`.
        bins: number of bins; intensity outside is dropped.
        centre: of the band at a distance of 0, in bins.
        distances: of the bands, in bins.
        room: bins for the pattern of a band around its centre; the result is NaN if it does not fit.
        collect, pushed: see `bin_tents`.
    """
    frequencies, intensities, around = jnp.asarray(frequencies), jnp.asarray(intensities), jnp.asarray(rings)
    pieces, shift, half = collect + 2, 1.0 - collect / 2, room // 2
    corners = _looked_up(frequencies + half, around)
    position = corners[0]
    start = jnp.floor(position)
    place = position - start
    fits = jnp.all((position > 0) & (position < room))
    index = jnp.where(fits, start, 0.0).astype(jnp.int32)
    # start of the bins of every band, relative to those of the frequencies
    begin = centre + distances + (pieces + shift) - half
    whole = jnp.floor(begin)
    part = begin - whole
    beyond = place[:, None] + part >= 1.0
    powers = (_pushed_powers if pushed else _powers)(
        position, corners, place, intensities, index, beyond, around, collect, room
    )
    powers = powers.reshape(pieces, room, 2, len(distances))
    offset = jnp.stack([part, part - 1.0])
    powers = jnp.stack([sum(comb(n, k) * offset ** (n - k) * powers[k] for k in range(n + 1)) for n in range(pieces)])
    row = jnp.arange(room)[:, None, None] + jnp.stack([whole, whole + 1.0])
    # left of the bins a kink is a straight line over all of them
    last = bins + pieces
    left = row < 0
    lines = jnp.sum(jnp.where(left, powers[0], 0.0)), jnp.sum(jnp.where(left, powers[1] + row * powers[0], 0.0))
    inside = jnp.where(~left & (row < last), row, last + 1).astype(jnp.int32).ravel()
    rows = jnp.zeros((last + 1, pieces), powers.dtype).at[inside].add(powers.reshape(pieces, -1).T, mode="drop")
    rows = rows.at[last, :2].set(jnp.stack(lines))
    return jnp.where(fits, _integrated(rows.T, shift)[pieces:], jnp.nan)


def _integrated(powers: Float[jax.Array, " powers rows *n"], shift: float) -> Float[jax.Array, " bins *n"]:
    """Integrate kinks twice from their sums by bin; the last row contains straight lines."""
    pieces, bins = powers.shape[0], powers.shape[1] - 1
    parts = jnp.tensordot(_spline(pieces).T, powers, 1)
    none = [(0, 0)] * (powers.ndim - 2)
    spread = sum(jnp.pad(part[: bins - k], [(k, 0), *none]) for k, part in enumerate(parts))
    x = (jnp.arange(bins) + shift).reshape(-1, *[1] * len(none))
    return jnp.cumsum(jnp.cumsum(spread, axis=0), axis=0) + x * powers[0, -1] - powers[1, -1]


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def _kinks(
    position: Float[jax.Array, " vertices"],
    corners: Float[jax.Array, "7 vertices"],
    rings: Int[jax.Array, "6 vertices"],
    least: float,
) -> tuple[Float[jax.Array, "6 vertices"], Float[jax.Array, "6 vertices"]]:
    """Return the kinks of the six triangles around every vertex, for unit area, and their offsets from the vertex.

    Sides of a triangle appear in denominators, so they are enlarged about the same centre where a kink would have a
    weight above ``1/least^2``: to ``least`` bins if a triangle collapses, much less for a steep side of a wide tent.
    This moves kinks.
    """
    return _kinks_of(_sides_round(corners, rings, least))


@_kinks.defjvp
def _kinks_jvp(least: float, primals: Any, tangents: Any) -> tuple[Pair, Pair]:
    """Differentiate by hand, from few stored numbers, as the compiler would repeat the divisions for each of them."""
    _, corners, rings = primals
    sides = _sides_round(corners, rings, least)
    return _kinks_of(sides), _changed(_kink_slopes(sides), rings, tangents[0])


def _changed(slopes: Sequence[Pair], rings: Int[jax.Array, "6 vertices"], change: jax.Array) -> Pair:
    """Return the changes of kinks and of their offsets with the positions of vertices."""
    first = change[rings] - change
    second = jnp.roll(first, -1, axis=0)
    weight, move = (by_first * first + by_second * second for by_first, by_second in slopes)
    return weight, move


def _kink_slopes(sides: Sides) -> list[Pair]:
    """Return derivatives of kinks and of their offsets by the distances of the first and the second neighbour."""
    rise, fall, bound, slope, inverse, role, ordered = sides
    ones, none = jnp.ones_like(rise), jnp.zeros_like(rise)
    wide, far = jnp.maximum(rise, bound), jnp.maximum(fall, bound)
    # derivatives of the bounded sides with respect to the true ones
    by_rise = jnp.where(rise >= bound, ones, slope), jnp.where(fall >= bound, none, slope)
    by_fall = jnp.where(rise >= bound, none, slope), jnp.where(fall >= bound, ones, slope)
    both = 2.0 * inverse**2

    def weights(change: Pair) -> jax.Array:
        left = -both * far**2 * ((2.0 * wide + far) * change[0] + wide * change[1])
        right = -both * wide**2 * ((2.0 * far + wide) * change[1] + far * change[0])
        return _by_role(role, left, -left - right, right)

    def moves(change: Pair, rise: float, fall: float) -> jax.Array:
        return _moves(role, change[0] - rise, change[1] - fall)

    out = []
    for a, b in ((weights(by_rise), weights(by_fall)), (moves(by_rise, 1.0, 0.0), moves(by_fall, 0.0, 1.0))):
        # the lower and the higher of the other two corners end the rise, the fall, or both
        lower, higher = _by_role(role, a - b, -a, -a), _by_role(role, b, b, a - b)
        out.append((jnp.where(ordered, lower, higher), jnp.where(ordered, higher, lower)))
    return out


def _kinks_of(sides: Sides) -> Pair:
    rise, fall, bound, _, inverse, role, _ = sides
    wide, far = jnp.maximum(rise, bound), jnp.maximum(fall, bound)
    left, right = 2.0 * far * inverse, 2.0 * wide * inverse
    return _by_role(role, left, -left - right, right), _moves(role, wide - rise, far - fall)


def _moves(role: jax.Array, longer: jax.Array, further: jax.Array) -> jax.Array:
    """Return the displacement of corners whose sides have been lengthened."""
    return _by_role(role, -2.0 * longer - further, longer - further, longer + 2.0 * further) / 3.0


def _by_role(role: jax.Array, lowest: jax.Array, middle: jax.Array, highest: jax.Array) -> jax.Array:
    return jnp.where(role < 0, lowest, jnp.where(role > 0, highest, middle))


def _sides_round(corners: Float[jax.Array, "7 vertices"], rings: Int[jax.Array, "6 vertices"], least: float) -> Sides:
    position, first = corners[0], corners[1:]
    numbers, first_number = np.arange(len(position)), rings
    second_number, second = jnp.roll(rings, -1, axis=0), jnp.roll(first, -1, axis=0)
    small, large = jnp.minimum(first, second), jnp.maximum(first, second)
    low, high = jnp.minimum(small, position), jnp.maximum(large, position)
    middle = jnp.maximum(small, jnp.minimum(large, position))
    above_first = jnp.where(first_number > numbers, first >= position, first > position)
    above_second = jnp.where(second_number > numbers, second >= position, second > position)
    role = 1.0 - above_first - above_second
    rise, fall = middle - low, high - middle
    bound = 2.0 * least**2 / jnp.maximum(rise + fall, 2.0 * least)
    slope = jnp.where(rise + fall > 2.0 * least, -(bound**2) / (2.0 * least**2), 0.0)
    wide, far = jnp.maximum(rise, bound), jnp.maximum(fall, bound)
    # no triangle, or one that ends left of the grid and contributes nothing: exact rather than to rounding
    there = (first_number != numbers) & (second_number != numbers) & ~(high < 0)
    inverse = jnp.where(there, 1.0 / (wide * far * (wide + far)), 0.0)
    return Sides(rise, fall, bound, slope, inverse, role, first <= second)


def collected(bins: int, dtype: DTypeLike) -> Float[jax.Array, " half"]:
    """Return the Fourier transform of the bell of :func:`bin_tents`, ``bins//2 + 1`` points, by which to divide it out."""
    return jnp.asarray(np.sinc(np.arange(bins // 2 + 1) / bins) ** BELL, dtype)


def bin_lines(
    positions: Float[Array, " lines"], intensities: Float[Array, " lines"], bins: int
) -> Float[jax.Array, " bins"]:
    """Bin sharp lines, each shared by its two nearest bins so that its position is preserved.

    Args:
        positions: in bins.
        intensities: of the lines.
        bins: number of bins; intensity outside is dropped.

    Returns:
        Intensities per bin, in the dtype of ``positions``.
    """
    start = jnp.floor(positions)
    part = positions - start
    start = start.astype(jnp.int32)
    index = jnp.stack([start, start + 1])
    index = jnp.where(index < 0, bins, index)
    return jnp.zeros(bins, positions.dtype).at[index].add(intensities * jnp.stack([1.0 - part, part]), mode="drop")


def _sides(corners: Float[Array, "triangles 3"], least: float) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the lowest corner and the distances to the middle and on to the highest one, enlarged as in `_kinks`."""
    low, high = jnp.min(corners, axis=1), jnp.max(corners, axis=1)
    total = jnp.sum(corners, axis=1)
    middle = total - low - high
    bound = 2.0 * least**2 / jnp.maximum(high - low, 2.0 * least)
    rise, fall = jnp.maximum(middle - low, bound), jnp.maximum(high - middle, bound)
    return (total - 2.0 * rise - fall) / 3.0, rise, fall


def _bin_slices(
    corners: Float[Array, "triangles 3"], areas: Float[Array, "#triangles bands"], bins: int, *, collect: int
) -> Float[jax.Array, "bins bands"]:
    """`bin_tents` for single precision, where sums of kinks lose digits.

    Every tent is cut into equal slices, each of which falls into one or two bins. Exact up to the slope within a slice,
    for tents of up to ``SLICES`` bins.
    """
    a, rise, fall = _sides(corners, 2e-2)
    width = (rise + fall) / SLICES
    edges = jnp.arange(SLICES + 1, dtype=corners.dtype)[:, None] * width  # (slices + 1, triangles), from a
    rising = edges**2 / ((rise + fall) * rise)
    falling = 1.0 - (rise + fall - edges) ** 2 / ((rise + fall) * fall)
    share = jnp.diff(jnp.where(edges < rise, rising, falling), axis=0)
    centre = a + edges[:-1] + width / 2
    if collect == BOX:
        # the part of a slice, at most a bin wide, that extends beyond the edge of the bin containing its lower end
        reach = jnp.minimum(width, 1.0)
        start = jnp.floor(centre - reach / 2 + 0.5)
        beyond = jnp.clip((centre + reach / 2 - start - 0.5) / reach, 0.0, 1.0)
        parts = (1.0 - beyond, beyond)
    else:
        start = jnp.floor(centre + 1.0 - collect / 2)
        part = centre + 1.0 - collect / 2 - start
        parts = sum(c * part**k for k, c in enumerate(_spline(collect).astype(part.dtype)[..., None, None]))
    guard = len(parts)
    start = jnp.where((start < -guard) | (start > bins), bins, start).astype(jnp.int32)
    pattern = jnp.zeros((bins + guard, areas.shape[1]), corners.dtype)
    for k, part in enumerate(parts):
        pattern = pattern.at[start + guard + k].add((share * part)[..., None] * areas, mode="drop")
    return pattern[guard:]


def _spline(order: int) -> Float[np.ndarray, "order order"]:
    """Return the pieces ``M(1 - u), M(2 - u) ...`` of a cardinal B-spline on [0, order].

    They are coefficients of powers of u (rows), for u in [0, 1).
    """
    pieces = np.ones((1, 1))
    for n in range(2, order + 1):
        wider = np.zeros((n, n))
        for p in range(n):
            # ((p + 1 - u) M'_p + (n - 1 - p + u) M'_(p-1))/(n - 1) with the pieces M' of the order below
            if p < n - 1:
                wider[:-1, p] += (p + 1) * pieces[:, p]
                wider[1:, p] -= pieces[:, p]
            if p > 0:
                wider[:-1, p] += (n - 1 - p) * pieces[:, p - 1]
                wider[1:, p] += pieces[:, p - 1]
        pieces = wider / (n - 1)
    return pieces
