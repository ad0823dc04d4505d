"""Peak profiles and the sum of peaks over the tiles of a pattern, with closed-form partial derivatives.

The Jacobian of a pattern is ``sum over peaks of (d profile / d q) (d q / d parameter)``, where q are the area, width,
Lorentzian fraction and line positions of each peak. The first factor is computed here in one pass over the
tiles; the second is a small table; their product is a batched matrix product. Areas depend on every parameter, the
other q only on a few numbers: these have columns of their own, which the parameters share.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .._arrays import namespace
from ..typing import Array, Values
from .tiles import PEAKS, POINTS, Tiles

_4LN2 = 4.0 * np.log(2.0)
_GAUSS = 2.0 * np.sqrt(np.log(2.0) / np.pi)
_LORENTZ = 2.0 / np.pi


class Peaks(NamedTuple):
    """Peak properties needed by the profile sum, with one additional (dummy, zero area) row.

    Attributes:
        position: 2theta of each line.
        area: integrated intensity (first line), counts·degree.
        fwhm: degrees.
        eta: Lorentzian fraction.
        ratio: intensity of each line relative to the first.
        shl: axial divergence.
    """

    position: Float[Array, "lines peaks"]
    area: Float[Array, " peaks"]
    fwhm: Float[Array, " peaks"]
    eta: Float[Array, " peaks"]
    ratio: Float[Array, " lines"]
    shl: Float[Array, ""]


class AxialNodes(NamedTuple):
    """Apparent positions and shares of a line's axial nodes, and their derivatives."""

    position: Float[jax.Array, "peaks nodes"]
    share: Float[jax.Array, "peaks nodes"]
    position_by_angle: Float[jax.Array, "peaks nodes"]
    share_by_angle: Float[jax.Array, "peaks nodes"]
    position_by_shl: Float[jax.Array, "peaks nodes"]
    share_by_shl: Float[jax.Array, "peaks nodes"]


Total = TypeVar("Total")
# from a total, the index of the first point and the columns at the points from there, compute the new total
Visit = Callable[[Any, jax.Array, jax.Array], Total]
# for one tile: its block (a number) and its 16 peaks
PerTile = Callable[[jax.Array, jax.Array], jax.Array]
# for one tile: derivatives by area, fwhm, eta and each line's position, and by shl and ratios
Partials = tuple[list[Float[jax.Array, "32 16"]], Float[jax.Array, "32 patterns"]]


def pseudo_voigt(x: Values, fwhm: Values, eta: Values) -> Float[Array, "*n"]:
    """Evaluate the area-normalised pseudo-Voigt, ``eta L + (1 - eta) G``.

    Args:
        x: offset from the peak in degrees, any shape.
        fwhm: full width at half maximum in degrees, positive.
        eta: Lorentzian fraction in [0, 1].

    Returns:
        Density in 1/degree, with shape and dtype of ``x``.

    Source: Thompson, Cox & Hastings, J. Appl. Cryst. 20, 79 (1987), eq. 3.
    """
    xp = namespace(x)
    t2 = (x / fwhm) ** 2
    return xp.asarray((eta * _LORENTZ / (1.0 + 4.0 * t2) + (1.0 - eta) * _GAUSS * xp.exp(-_4LN2 * t2)) / fwhm)


def _over_tiles(per_tile: PerTile, tiles: Tiles, shape: tuple[int, ...], at_once: int) -> jax.Array:
    """Sum ``per_tile(block, peak ids)`` into an array of ``shape`` (blocks first), a few tiles at a time.

    Batches beyond the last tile in use are skipped.
    """
    # a pattern without tails has no tail tiles
    batch = max(1, min(at_once, tiles.capacity))
    blocks, peaks = (jnp.asarray(tiles.block).reshape(-1, batch), jnp.asarray(tiles.peaks).reshape(-1, batch, PEAKS))
    live = jnp.arange(blocks.shape[0]) * batch < tiles.used

    def add(total: jax.Array, columns: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        block, ids, is_live = columns
        compute = lambda: jax.vmap(per_tile)(block, ids)
        nothing = lambda: jnp.zeros((batch, *shape[1:]), dtype=total.dtype)
        return total.at[block].add(jax.lax.cond(is_live, compute, nothing)), None

    return jax.lax.scan(add, jnp.zeros(shape), (blocks, peaks, live))[0]


@jax.custom_batching.custom_vmap
def _most(used: jax.Array) -> jax.Array:
    """Return a number of batches of tiles; for several lanes the largest, so that they process their tiles together."""
    return used


@_most.def_vmap
def _most_of_lanes(size: int, batched: Any, used: jax.Array) -> tuple[jax.Array, bool]:
    return _most(jnp.max(used)), False


def _over_nodes(step: Callable[[Any], Total], start: Total, node_columns: Any) -> Total:
    """Accumulate ``step(columns of one node)`` over all nodes; compiled once, whatever their number."""
    add = lambda total, columns: (jax.tree.map(jnp.add, total, step(columns)), None)
    return jax.lax.scan(add, start, jax.tree.map(lambda c: jnp.moveaxis(c, -1, 0), node_columns))[0]


def profile_sum(
    x_blocks: Float[Array, "blocks 32"],
    peaks: Peaks,
    nodes: Sequence[AxialNodes],
    core: Tiles,
    tail: Tiles,
    at_once: int,
) -> Float[jax.Array, "blocks 32"]:
    """Sum all peaks at all points, ``at_once`` tiles at a time (see `Tuning`)."""
    x_blocks = jnp.asarray(x_blocks)
    lines = [(node.position, node.share * ratio) for node, ratio in zip(nodes, peaks.ratio, strict=True)]
    centroids = [_centroid(node) for node in nodes]
    lorentz = peaks.area * peaks.eta * _LORENTZ / peaks.fwhm
    gauss = peaks.area * (1.0 - peaks.eta) * _GAUSS / peaks.fwhm
    inverse = 1.0 / peaks.fwhm

    def core_value(block: jax.Array, ids: jax.Array) -> jax.Array:
        x, l, g, i = x_blocks[block][:, None], lorentz[ids], gauss[ids], inverse[ids]

        def step(columns: list[tuple[jax.Array, jax.Array]]) -> jax.Array:
            return jnp.sum(_pseudo_voigts(columns, x, l, g, i), axis=1)

        return _over_nodes(step, jnp.zeros_like(x[:, 0]), [(p[ids], s[ids]) for p, s in lines])

    def tail_value(block: jax.Array, ids: jax.Array) -> jax.Array:
        x, quarter = x_blocks[block][:, None], 0.25 * peaks.fwhm[ids] ** 2
        total = sum(r / (quarter + (x - c[ids]) ** 2) for c, r in zip(centroids, peaks.ratio, strict=True))
        return total @ (lorentz[ids] * quarter)

    shape = x_blocks.shape
    return _over_tiles(core_value, core, shape, at_once) + _over_tiles(tail_value, tail, shape, at_once)


def _pseudo_voigts(
    columns: list[tuple[jax.Array, jax.Array]], x: jax.Array, lorentz: jax.Array, gauss: jax.Array, inverse: jax.Array
) -> jax.Array:
    """Evaluate profiles of peaks at points ``x``, summed over axial nodes with their shares."""
    total: jax.Array | float = 0.0
    for position, share in columns:
        t2 = ((x - position) * inverse) ** 2
        total = total + share * (lorentz / (1.0 + 4.0 * t2) + gauss * jnp.exp(-_4LN2 * t2))
    return jnp.asarray(total)


def profile_pull(
    x_blocks: Float[Array, "blocks 32"],
    along: Float[Array, "k blocks 32"],
    peaks: Peaks,
    nodes: Sequence[AxialNodes],
    core: Tiles,
    tail: Tiles,
    at_once: int,
) -> Float[jax.Array, "k peaks"]:
    """Sum every peak's unit-area profile times ``along`` over all points: the transpose of :func:`profile_sum` by areas.

    It costs as much as the sum itself, less than half the cost of its reverse mode.
    """
    x_blocks, along = jnp.asarray(x_blocks), jnp.asarray(along)
    lines = [(node.position, node.share * ratio) for node, ratio in zip(nodes, peaks.ratio, strict=True)]
    centroids = [_centroid(node) for node in nodes]
    lorentz, gauss = peaks.eta * _LORENTZ / peaks.fwhm, (1.0 - peaks.eta) * _GAUSS / peaks.fwhm
    inverse = 1.0 / peaks.fwhm

    def core_value(block: jax.Array, ids: jax.Array) -> jax.Array:
        x, l, g, i = x_blocks[block][:, None], lorentz[ids], gauss[ids], inverse[ids]

        def step(columns: list[tuple[jax.Array, jax.Array]]) -> jax.Array:
            return _pseudo_voigts(columns, x, l, g, i)

        return _over_nodes(step, jnp.zeros((x.shape[0], ids.shape[0])), [(p[ids], s[ids]) for p, s in lines])

    def tail_value(block: jax.Array, ids: jax.Array) -> jax.Array:
        x, quarter = x_blocks[block][:, None], 0.25 * peaks.fwhm[ids] ** 2
        total = sum(r / (quarter + (x - c[ids]) ** 2) for c, r in zip(centroids, peaks.ratio, strict=True))
        return total * (lorentz[ids] * quarter)

    def pulled(tiles: Tiles, value: PerTile) -> jax.Array:
        batch = max(1, min(at_once, tiles.capacity))
        columns = jnp.asarray(tiles.block).reshape(-1, batch), jnp.asarray(tiles.peaks).reshape(-1, batch, PEAKS)
        live = jnp.arange(columns[0].shape[0]) * batch < tiles.used

        def add(total: jax.Array, rows: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            block, ids, is_live = rows
            here = lambda: jnp.einsum("ktx,txp->ktp", along[:, block], jax.vmap(value)(block, ids))
            found = jax.lax.cond(is_live, here, lambda: jnp.zeros((along.shape[0], *ids.shape), total.dtype))
            return total.at[:, ids].add(found), None

        return jax.lax.scan(add, jnp.zeros((along.shape[0], peaks.fwhm.shape[0])), (*columns, live))[0]

    return pulled(core, core_value) + pulled(tail, tail_value)


def _centroid(node: AxialNodes) -> Float[jax.Array, " peaks"]:
    return jnp.sum(node.position * node.share, axis=1)


class ProfileColumns(NamedTuple):
    """Derivatives of the sum of peaks, side by side: along area directions, by numbers, by shl and by each line's ratio.

    Attributes:
        by_area: derivatives of areas along any number of directions. (Along the areas themselves, the pattern is its
            own derivative.)
        by_line: derivatives of fwhm, eta and the position of each line by a few numbers.
    """

    x_blocks: Float[Array, "blocks 32"]
    peaks: Peaks
    nodes: Sequence[AxialNodes]
    by_area: Float[Array, "peaks directions"]
    by_line: Float[Array, "quantities peaks numbers"]

    def fold(self, core: Tiles, tail: Tiles, at_once: int, visit: Visit[Total], start: Total) -> Total:
        """Fold ``visit(total, first, columns)`` over stretches of points from ``first``; columns are ``(rows, columns)``.

        Stretches are short enough for their columns to stay in a core's cache, so that they are never written to
        memory. There is no reverse mode. Rows beyond the last point are padding.

        Args:
            at_once: number of tiles at a time, and of blocks in a stretch.
        """
        blocks = self.x_blocks.shape[0]
        length = blocks if at_once >= core.capacity + tail.capacity else min(at_once, blocks)
        width = self.by_area.shape[1] + self.by_line.shape[2] + 1 + len(self.peaks.ratio)
        edges = jnp.arange(-(-blocks // length) + 1) * length
        kinds = [
            (t, _first_tiles(t, edges), partials)
            for t, partials in ((core, _core_partials), (tail, _tail_partials))
            if t.capacity
        ]

        def stretch(k: jax.Array, total: Total) -> Total:
            columns = jnp.zeros((length, POINTS, width))
            for tiles, first, partials in kinds:
                columns = self._added(columns, tiles, first[k], first[k + 1], edges[k], partials, at_once)
            return visit(total, edges[k] * POINTS, columns.reshape(length * POINTS, width))

        return jax.lax.fori_loop(0, len(edges) - 1, stretch, start)

    def _added(
        self,
        columns: Float[jax.Array, "length 32 all"],
        tiles: Tiles,
        first: jax.Array,
        stop: jax.Array,
        offset: jax.Array,
        partials: Callable[..., Partials],
        at_once: int,
    ) -> Float[jax.Array, "length 32 all"]:
        """Add the tiles from ``first`` to ``stop`` to the columns; ``offset`` is the first block."""
        batch = min(at_once, tiles.capacity)
        blocks, peaks = jnp.asarray(tiles.block), jnp.asarray(tiles.peaks)

        def add(k: jax.Array, columns: jax.Array) -> jax.Array:
            place = first + k * batch + jnp.arange(batch)
            here = jnp.minimum(place, tiles.capacity - 1)
            row = jnp.where(place < stop, blocks[here] - offset, columns.shape[0])
            found = jax.vmap(lambda block, ids: self._of_tile(block, ids, partials))(blocks[here], peaks[here])
            return columns.at[row].add(found, mode="drop")

        return jax.lax.fori_loop(0, _most((stop - first + batch - 1) // batch), add, columns)

    def _of_tile(self, block: jax.Array, ids: jax.Array, partials: Callable[..., Partials]) -> jax.Array:
        x = jnp.asarray(self.x_blocks)[block][:, None]
        (area, *line), of_pattern = partials(x, ids, self.peaks, self.nodes)
        # without the barrier XLA recomputes the profiles inside the matrix products
        area, lines, of_pattern = jax.lax.optimization_barrier((area, jnp.concatenate(line, axis=1), of_pattern))
        of_lines = lines @ self.by_line[:, ids].reshape(lines.shape[1], -1)
        return jnp.concatenate([area @ self.by_area[ids], of_lines, of_pattern], axis=1)


def _first_tiles(tiles: Tiles, edges: jax.Array) -> jax.Array:
    """Return the first tile of the blocks from each edge on; tiles are sorted by block."""
    used = jnp.arange(tiles.capacity) < tiles.used
    return jnp.sum((jnp.asarray(tiles.block) < edges[:, None]) & used, axis=1)


def _core_partials(
    x: Float[jax.Array, "32 1"], ids: Int[jax.Array, "16"], peaks: Peaks, nodes: Sequence[AxialNodes]
) -> Partials:
    """Return closed-form derivatives of the pseudo-Voigts of one tile, summed over axial nodes."""
    inverse, eta, area = 1.0 / peaks.fwhm[ids], peaks.eta[ids], peaks.area[ids]
    zero = jnp.zeros((x.shape[0], ids.shape[0]), dtype=x.dtype)

    def step(columns: list[AxialNodes]) -> tuple[Any, Any, Any, list[jax.Array], list[jax.Array]]:
        by_fwhm = by_eta = by_shl = 0.0
        values, by_line = [], []
        for node, ratio in zip(columns, peaks.ratio, strict=True):
            t = (x - node.position) * inverse
            t2 = t * t
            r = 1.0 / (1.0 + 4.0 * t2)
            lorentz = _LORENTZ * r * inverse
            gauss = _GAUSS * jnp.exp(-_4LN2 * t2) * inverse
            profile = eta * lorentz + (1.0 - eta) * gauss
            steepness = 8.0 * r * eta * lorentz + 2.0 * _4LN2 * (1.0 - eta) * gauss
            slope = -t * inverse * steepness
            values.append(node.share * profile)
            by_eta = by_eta + ratio * node.share * (lorentz - gauss)
            by_fwhm = by_fwhm + ratio * node.share * (steepness * t2 - profile)
            by_line.append(node.share_by_angle * profile - node.share * node.position_by_angle * slope)
            by_shl = by_shl + ratio * (node.share_by_shl * profile - node.share * node.position_by_shl * slope)
        return by_fwhm, by_eta, by_shl, values, by_line

    start = (zero, zero, zero, [zero] * len(nodes), [zero] * len(nodes))
    columns = [jax.tree.map(lambda c: c[ids], node) for node in nodes]
    by_fwhm, by_eta, by_shl, values, by_line = _over_nodes(step, start, columns)
    by_area = sum(r * v for r, v in zip(peaks.ratio, values, strict=True))
    by_position = [r * area * b for r, b in zip(peaks.ratio, by_line, strict=True)]
    by_pattern = jnp.stack([by_shl @ area, *(v @ area for v in values)], axis=1)
    return [by_area, area * inverse * by_fwhm, area * by_eta, *by_position], by_pattern


def _tail_partials(
    x: Float[jax.Array, "32 1"], ids: Int[jax.Array, "16"], peaks: Peaks, nodes: Sequence[AxialNodes]
) -> Partials:
    """Return the same for the Lorentzian tails, with each line's nodes replaced by their centroid."""
    fwhm, eta, area = peaks.fwhm[ids], peaks.eta[ids], peaks.area[ids]
    quarter = 0.25 * fwhm * fwhm
    by_area = by_fwhm = by_shl = 0.0
    by_position, values = [], []
    for node, ratio in zip(nodes, peaks.ratio, strict=True):
        by_angle = jnp.sum(node.position_by_angle * node.share + node.position * node.share_by_angle, axis=1)
        shift_by_shl = jnp.sum(node.position_by_shl * node.share + node.position * node.share_by_shl, axis=1)
        u = x - _centroid(node)[ids]
        r = 1.0 / (quarter + u * u)
        lorentz = _LORENTZ * 0.25 * fwhm * r
        slope = 2.0 * u * r * lorentz  # derivative by the centre
        by_area = by_area + ratio * lorentz
        by_fwhm = by_fwhm + ratio * lorentz * (1.0 / fwhm - 0.5 * fwhm * r)
        by_position.append(ratio * eta * area * slope * by_angle[ids])
        by_shl = by_shl + ratio * slope * shift_by_shl[ids]
        values.append(lorentz)
    by_pattern = jnp.stack([by_shl @ (area * eta), *(v @ (area * eta) for v in values)], axis=1)
    return [eta * by_area, area * eta * by_fwhm, area * by_area, *by_position], by_pattern


def block_points(x: Float[np.ndarray, " points"]) -> Float[np.ndarray, "blocks 32"]:
    """Divide points into blocks of 32; the last is padded with its last point (host)."""
    padded = np.concatenate([x, np.full(-len(x) % POINTS, x[-1])])
    return padded.reshape(-1, POINTS)
