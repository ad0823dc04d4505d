"""Peak profiles and the sum of peaks over the tiles of a pattern, with closed-form partial derivatives.

The Jacobian of a pattern is ``sum over peaks of (d profile / d q) (d q / d parameter)`` with q the area, width,
Lorentzian fraction and line positions of each peak. The first factor is computed here in one pass over the
tiles; the second is a small table; their product is a batched matrix product.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from ..typing import Array, Values
from .tiles import PEAKS, POINTS, Tiles

_4LN2 = 4.0 * np.log(2.0)
_GAUSS = 2.0 * np.sqrt(np.log(2.0) / np.pi)
_LORENTZ = 2.0 / np.pi


class Peaks(NamedTuple):
    """What the profile sum needs to know of each peak; one more (dummy, zero area) row than there are peaks.

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
# of one tile: its block, a number, and its 16 peaks
PerTile = Callable[[jax.Array, jax.Array], jax.Array]
# of one tile: by area, fwhm, eta and each line's position, and by shl and ratios
Partials = tuple[list[Float[jax.Array, "32 16"]], Float[jax.Array, "32 patterns"]]


def pseudo_voigt(x: Values, fwhm: Values, eta: Values) -> Float[Array, "*n"]:
    """Area-normalised pseudo-Voigt, ``eta L + (1 - eta) G``.

    Args:
        x: offset from the peak in degrees, any shape.
        fwhm: full width at half maximum in degrees, positive.
        eta: Lorentzian fraction in [0, 1].

    Returns:
        Density in 1/degree, shape and dtype of ``x``.

    Source: Thompson, Cox & Hastings, J. Appl. Cryst. 20, 79 (1987), eq. 3.
    """
    t2 = (x / fwhm) ** 2
    return (eta * _LORENTZ / (1.0 + 4.0 * t2) + (1.0 - eta) * _GAUSS * jnp.exp(-_4LN2 * t2)) / fwhm


def _over_tiles(per_tile: PerTile, tiles: Tiles, shape: tuple[int, ...], at_once: int) -> jax.Array:
    """Sum ``per_tile(block, peak ids)`` into an array of ``shape`` (blocks first), a few tiles at a time.

    Batches behind the last tile in use are skipped.
    """
    # a pattern without tails has no tiles of them
    batch = max(1, min(at_once, tiles.capacity))
    blocks, peaks = (jnp.asarray(tiles.block).reshape(-1, batch), jnp.asarray(tiles.peaks).reshape(-1, batch, PEAKS))
    live = jnp.arange(blocks.shape[0]) * batch < tiles.used

    def add(total: jax.Array, columns: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        block, ids, is_live = columns
        compute = lambda: jax.vmap(per_tile)(block, ids)
        nothing = lambda: jnp.zeros((batch, *shape[1:]), dtype=total.dtype)
        return total.at[block].add(jax.lax.cond(is_live, compute, nothing)), None

    return jax.lax.scan(add, jnp.zeros(shape), (blocks, peaks, live))[0]


def _over_nodes(step: Callable[[Any], Total], start: Total, node_columns: Any) -> Total:
    """Accumulate ``step(columns of one node)`` over all nodes; compiled once however many there are."""
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
    """Sum of all peaks at all points, ``at_once`` tiles at a time (see `Tuning`)."""
    x_blocks = jnp.asarray(x_blocks)
    lines = [(node.position, node.share * ratio) for node, ratio in zip(nodes, peaks.ratio, strict=True)]
    centroids = [_centroid(node) for node in nodes]
    lorentz = peaks.area * peaks.eta * _LORENTZ / peaks.fwhm
    gauss = peaks.area * (1.0 - peaks.eta) * _GAUSS / peaks.fwhm
    inverse = 1.0 / peaks.fwhm

    def core_value(block: jax.Array, ids: jax.Array) -> jax.Array:
        x, l, g, i = x_blocks[block][:, None], lorentz[ids], gauss[ids], inverse[ids]

        def step(columns: list[tuple[jax.Array, jax.Array]]) -> jax.Array:
            total: jax.Array | float = 0.0
            for position, share in columns:
                t2 = ((x - position) * i) ** 2
                total = total + share * (l / (1.0 + 4.0 * t2) + g * jnp.exp(-_4LN2 * t2))
            return jnp.sum(total, axis=1)

        return _over_nodes(step, jnp.zeros_like(x[:, 0]), [(p[ids], s[ids]) for p, s in lines])

    def tail_value(block: jax.Array, ids: jax.Array) -> jax.Array:
        x, quarter = x_blocks[block][:, None], 0.25 * peaks.fwhm[ids] ** 2
        total = sum(r / (quarter + (x - c[ids]) ** 2) for c, r in zip(centroids, peaks.ratio, strict=True))
        return total @ (lorentz[ids] * quarter)

    shape = x_blocks.shape
    return _over_tiles(core_value, core, shape, at_once) + _over_tiles(tail_value, tail, shape, at_once)


def _centroid(node: AxialNodes) -> Float[jax.Array, " peaks"]:
    return jnp.sum(node.position * node.share, axis=1)


def profile_jacobian(
    x_blocks: Float[Array, "blocks 32"],
    peaks: Peaks,
    nodes: Sequence[AxialNodes],
    core: Tiles,
    tail: Tiles,
    at_once: int,
    by_peak: Float[Array, "columns peaks parameters"],
    by_pattern: Float[Array, "rows parameters"],
) -> Float[jax.Array, "blocks 32 parameters"]:
    """Derivatives of the sum of peaks.

    Args:
        at_once: tiles at a time.
        by_peak: derivatives of area, fwhm, eta and the position of each line.
        by_pattern: derivatives of shl and of each line's ratio.
    """
    x_blocks = jnp.asarray(x_blocks)

    def contracted(partials: Callable[[jax.Array, jax.Array], Partials]) -> PerTile:
        def per_tile(block: jax.Array, ids: jax.Array) -> jax.Array:
            columns, of_pattern = partials(x_blocks[block][:, None], ids)
            # without the barrier XLA recomputes the profiles inside the matrix product
            of_peak, of_pattern = jax.lax.optimization_barrier((jnp.concatenate(columns, axis=1), of_pattern))
            return of_peak @ by_peak[:, ids].reshape(of_peak.shape[1], -1) + of_pattern @ by_pattern

        return per_tile

    near = contracted(lambda x, ids: _core_partials(x, ids, peaks, nodes))
    far = contracted(lambda x, ids: _tail_partials(x, ids, peaks, nodes))
    shape = (*x_blocks.shape, by_peak.shape[2])
    return _over_tiles(near, core, shape, at_once) + _over_tiles(far, tail, shape, at_once)


def _core_partials(
    x: Float[jax.Array, "32 1"], ids: Int[jax.Array, "16"], peaks: Peaks, nodes: Sequence[AxialNodes]
) -> Partials:
    """Closed-form derivatives of the pseudo-Voigts of one tile, summed over axial nodes."""
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
    """The same for the Lorentzian tails, with each line's nodes replaced by their centroid."""
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
    """Cut points into blocks of 32; the last is filled up with its last point (host)."""
    padded = np.concatenate([x, np.full(-len(x) % POINTS, x[-1])])
    return padded.reshape(-1, POINTS)
