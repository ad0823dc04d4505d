"""Peak profiles and the sum of peaks over the tiles of a pattern, with closed-form partial derivatives.

The Jacobian of a pattern is ``sum over peaks of (d profile / d q) (d q / d parameter)`` with q the area, width,
Lorentzian fraction and line positions of each peak. The first factor is computed here in one pass over the
tiles; the second is a small table; their product is a batched matrix product.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..typing import Array
from .tiles import POINTS, Tiles

_4LN2 = 4.0 * np.log(2.0)
_GAUSS = 2.0 * np.sqrt(np.log(2.0) / np.pi)
_LORENTZ = 2.0 / np.pi


class Peaks(NamedTuple):
    """What the profile sum needs to know of each peak; one more (dummy, zero area) row than there are peaks.

    Attributes:
        position: ``(lines, peaks)`` 2theta of each line.
        area: ``(peaks,)`` integrated intensity (first line), counts·degree.
        fwhm: ``(peaks,)`` degrees.
        eta: ``(peaks,)`` Lorentzian fraction.
        ratio: ``(lines,)`` intensity of each line relative to the first.
        shl: axial divergence, a number.
    """

    position: Array
    area: Array
    fwhm: Array
    eta: Array
    ratio: Array
    shl: Array


class AxialNodes(NamedTuple):
    """Apparent positions and shares of a line's axial nodes ``(peaks, nodes)``, and their derivatives."""

    position: Array
    share: Array
    position_by_angle: Array
    share_by_angle: Array
    position_by_shl: Array
    share_by_shl: Array


def pseudo_voigt(x, fwhm, eta):
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


def _sum_tiles(per_tile, tiles: Tiles, n_blocks: int):
    return jax.ops.segment_sum(per_tile, tiles.block, num_segments=n_blocks, indices_are_sorted=True)


def profile_sum(x_blocks, peaks: Peaks, nodes: list[AxialNodes], core: Tiles, tail: Tiles):
    """Sum of all peaks at all points, ``(blocks, 32)``."""
    n_blocks = x_blocks.shape[0]
    near = _sum_tiles(_core_value(x_blocks, peaks, nodes, core), core, n_blocks)
    return near + _sum_tiles(_tail_value(x_blocks, peaks, nodes, tail), tail, n_blocks)


def _core_value(x_blocks, peaks, nodes, tiles):
    ids = tiles.peaks
    x = x_blocks[tiles.block][:, :, None]
    inverse = (1.0 / peaks.fwhm)[ids][:, None, :]
    lorentz = (peaks.area * peaks.eta * _LORENTZ / peaks.fwhm)[ids][:, None, :]
    gauss = (peaks.area * (1.0 - peaks.eta) * _GAUSS / peaks.fwhm)[ids][:, None, :]
    total = 0.0
    for line, node in enumerate(nodes):
        for k in range(node.position.shape[1]):
            t2 = ((x - node.position[:, k][ids][:, None, :]) * inverse) ** 2
            share = (peaks.ratio[line] * node.share[:, k])[ids][:, None, :]
            total = total + share * (lorentz / (1.0 + 4.0 * t2) + gauss * jnp.exp(-_4LN2 * t2))
    return jnp.sum(total, axis=2)


def _centroid(node: AxialNodes):
    return jnp.sum(node.position * node.share, axis=1)


def _tail_value(x_blocks, peaks, nodes, tiles):
    ids = tiles.peaks
    x = x_blocks[tiles.block][:, :, None]
    quarter = (0.25 * peaks.fwhm**2)[ids][:, None, :]
    strength = (peaks.area * peaks.eta * _LORENTZ * 0.25 * peaks.fwhm)[ids][:, None, :]
    total = 0.0
    for line, node in enumerate(nodes):
        total = total + peaks.ratio[line] / (quarter + (x - _centroid(node)[ids][:, None, :]) ** 2)
    return jnp.sum(strength * total, axis=2)


class Partials(NamedTuple):
    """Derivatives of a set of tiles: by peak ``(tiles, 32, columns, 16)`` and by shl and ratio ``(tiles, 32, 1 + lines)``.

    Columns: area, fwhm, eta, then the position of each line.
    """

    by_peak: Array
    by_pattern: Array


def core_partials(x_blocks, peaks: Peaks, nodes: list[AxialNodes], tiles: Tiles) -> Partials:
    """Closed-form derivatives of the full pseudo-Voigt summed over axial nodes."""
    ids = tiles.peaks
    pick = lambda column: column[ids][:, None, :]
    x = x_blocks[tiles.block][:, :, None]
    inverse, eta, area = pick(1.0 / peaks.fwhm), pick(peaks.eta), pick(peaks.area)
    by_area = by_fwhm = by_eta = by_shl = 0.0
    by_position, by_ratio = [], []
    for line, node in enumerate(nodes):
        value = by_line = 0.0
        for k in range(node.position.shape[1]):
            t = (x - pick(node.position[:, k])) * inverse
            t2 = t * t
            r = 1.0 / (1.0 + 4.0 * t2)
            lorentz = _LORENTZ * r * inverse
            gauss = _GAUSS * jnp.exp(-_4LN2 * t2) * inverse
            profile = eta * lorentz + (1.0 - eta) * gauss
            slope_l, slope_g = 8.0 * r * eta * lorentz, 2.0 * _4LN2 * (1.0 - eta) * gauss
            slope = -t * inverse * (slope_l + slope_g)
            share = pick(node.share[:, k])
            value = value + share * profile
            by_eta = by_eta + peaks.ratio[line] * share * (lorentz - gauss)
            by_fwhm = by_fwhm + peaks.ratio[line] * share * ((slope_l + slope_g) * t2 - profile)
            by_line = by_line + pick(node.share_by_angle[:, k]) * profile
            by_line = by_line - pick(node.share[:, k] * node.position_by_angle[:, k]) * slope
            by_shl = by_shl + peaks.ratio[line] * (
                pick(node.share_by_shl[:, k]) * profile - pick(node.share[:, k] * node.position_by_shl[:, k]) * slope
            )
        by_area = by_area + peaks.ratio[line] * value
        by_position.append(peaks.ratio[line] * area * by_line)
        by_ratio.append(jnp.sum(area * value, axis=2))
    by_peak = jnp.stack([by_area, area * inverse * by_fwhm, area * by_eta, *by_position], axis=2)
    by_pattern = jnp.stack([jnp.sum(area * by_shl, axis=2), *by_ratio], axis=2)
    return Partials(by_peak, by_pattern)


def tail_partials(x_blocks, peaks: Peaks, nodes: list[AxialNodes], tiles: Tiles) -> Partials:
    """Closed-form derivatives of the Lorentzian tail at the nodes' centroid."""
    ids = tiles.peaks
    pick = lambda column: column[ids][:, None, :]
    x = x_blocks[tiles.block][:, :, None]
    fwhm, eta, area = pick(peaks.fwhm), pick(peaks.eta), pick(peaks.area)
    quarter = 0.25 * fwhm * fwhm
    scale = _LORENTZ * 0.25 * fwhm
    by_area = by_fwhm = by_shl = 0.0
    by_position, by_ratio = [], []
    for line, node in enumerate(nodes):
        centre = pick(_centroid(node))
        by_angle = jnp.sum(node.position_by_angle * node.share + node.position * node.share_by_angle, axis=1)
        shift_by_shl = jnp.sum(node.position_by_shl * node.share + node.position * node.share_by_shl, axis=1)
        u = x - centre
        r = 1.0 / (quarter + u * u)
        lorentz = scale * r
        slope = 2.0 * u * r * lorentz  # minus the derivative by x
        ratio = peaks.ratio[line]
        by_area = by_area + ratio * lorentz
        by_fwhm = by_fwhm + ratio * lorentz * (1.0 / fwhm - 0.5 * fwhm * r)
        by_position.append(ratio * eta * area * slope * pick(by_angle))
        by_shl = by_shl + ratio * slope * pick(shift_by_shl)
        by_ratio.append(jnp.sum(area * eta * lorentz, axis=2))
    by_peak = jnp.stack([eta * by_area, area * eta * by_fwhm, area * by_area, *by_position], axis=2)
    by_pattern = jnp.stack([jnp.sum(area * eta * by_shl, axis=2), *by_ratio], axis=2)
    return Partials(by_peak, by_pattern)


def assemble_jacobian(partials: Partials, tiles: Tiles, by_parameter, pattern_by_parameter, n_blocks: int):
    """Contract profile partials with the derivatives of the peak table.

    Args:
        partials: of ``tiles``.
        by_parameter: ``(peaks, columns, parameters)`` derivatives of area, fwhm, eta and line positions.
        pattern_by_parameter: ``(1 + lines, parameters)`` derivatives of shl and ratio.
        n_blocks: number of blocks.

    Returns:
        ``(blocks, 32, parameters)``.
    """
    # without the barrier XLA recomputes the profiles inside the matrix product
    by_peak, by_pattern = jax.lax.optimization_barrier(partials)
    t, points, columns, width = by_peak.shape
    table = jnp.swapaxes(by_parameter[tiles.peaks], 1, 2).reshape(t, columns * width, -1)
    product = jnp.matmul(by_peak.reshape(t, points, columns * width), table)
    product = product + jnp.einsum("tpc,cq->tpq", by_pattern, pattern_by_parameter)
    return _sum_tiles(product, tiles, n_blocks)


def block_points(x: np.ndarray) -> np.ndarray:
    """Cut points into blocks of 32, ``(blocks, 32)``; the last is filled up with its last point (host)."""
    padded = np.concatenate([x, np.full(-len(x) % POINTS, x[-1])])
    return padded.reshape(-1, POINTS)
