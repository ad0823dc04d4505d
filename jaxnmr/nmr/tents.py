"""Powder patterns from frequencies on a triangulated sphere.

Over one triangle the frequency varies linearly, so its intensity is spread as a triangle over frequency, from the
smallest to the largest corner with the apex at the middle one (Alderman, Solum & Grant 1986). Such a tent is the second
divided difference of a ramp: three kinks of weight ``h/(b-a)``, ``-h/(b-a) - h/(c-b)`` and ``h/(c-b)``, with ``h`` twice
the area over ``c - a``. Scattering the kinks with B-spline weights and summing twice gives the bins exactly, at a cost
that grows with triangles + bins and with no window per triangle.
"""

import jax.numpy as jnp
import numpy as np

from ..typing import Array

# order of the B-spline that a bin weighs its neighbourhood with: a box one bin wide, or a smooth bell four bins wide
BOX, BELL = 1, 4
SLICES = 64


def bin_tents(corners: Array, areas: Array, bins: int, *, collect: int) -> Array:
    """Sum of the tents of all triangles.

    Args:
        corners: ``(triangles, 3)`` frequencies of the corners in bins; bin k is centred at k.
        areas: ``(triangles, bands)`` intensity of every triangle, in several bands at once.
        bins: number of bins; what lies outside is dropped.
        collect: `BOX` for the integral over every bin, `BELL` to weigh the neighbourhood of a bin smoothly: that keeps
            the position of patterns narrower than a bin and its gradient, and a Fourier transform can take it off again
            (:func:`collected`).

    Returns:
        ``(bins, bands)``, dtype of ``corners``.
    """
    if corners.dtype != jnp.float64:
        return _bin_slices(corners, areas, bins, collect=collect)
    # weights grow as one over the square of the least distance, and their rounding with them
    a, rise, fall = _sides(corners, 1e-2 if collect == BOX else 0.1)
    pieces, shift = collect + 2, 1.0 - collect / 2
    first = a + (pieces + shift)
    base = jnp.floor(first)
    # counted from the bin of the first corner: rounding stays small against the distances that weights divide by
    position = jnp.stack([jnp.zeros_like(a), rise, rise + fall]) + (first - base)  # (kinks, triangles)
    # a triangle that ends left of the grid leaves nothing: its kinks cancel, better exactly than by rounding
    h = jnp.where(base + position[2] > 0, 2.0 / (rise + fall), 0.0)
    left, right = h / rise, h / fall
    weight = jnp.stack([left, -left - right, right])
    start = jnp.floor(position)
    before = base + start < 0
    index = jnp.where(before, bins + 2 * pieces, base + start).astype(jnp.int32)
    kinks = jnp.zeros((bins + pieces, areas.shape[1]), corners.dtype)
    for k, part in enumerate(_spline(position - start, pieces)):
        kinks = kinks.at[index + k].add((weight * part)[..., None] * areas, mode="drop")
    # a kink left of the guard is a straight line over the whole grid
    outside = jnp.where(before, weight, 0.0)
    slope = jnp.sum(outside, axis=0) @ areas
    level = jnp.sum(outside * (shift - base - position), axis=0) @ areas
    line = level + slope * jnp.arange(bins + pieces, dtype=corners.dtype)[:, None]
    return (jnp.cumsum(jnp.cumsum(kinks, axis=0), axis=0) + line)[pieces:]


def collected(bins: int, dtype) -> Array:
    """Fourier transform of the bell of :func:`bin_tents`, ``(bins//2 + 1,)``; divide by it to take it off."""
    return jnp.asarray(np.sinc(np.arange(bins // 2 + 1) / bins) ** BELL, dtype)


def bin_lines(positions: Array, intensities: Array, bins: int) -> Array:
    """Sharp lines, each shared by its two nearest bins so that its position is kept.

    Args:
        positions: ``(lines,)`` in bins.
        intensities: ``(lines,)``.
        bins: number of bins; what lies outside is dropped.

    Returns:
        ``(bins,)``, dtype of ``positions``.
    """
    start = jnp.floor(positions)
    part = positions - start
    start = start.astype(jnp.int32)
    index = jnp.stack([start, start + 1])
    index = jnp.where(index < 0, bins, index)
    return jnp.zeros(bins, positions.dtype).at[index].add(intensities * jnp.stack([1.0 - part, part]), mode="drop")


def _sides(corners: Array, least: float) -> tuple[Array, Array, Array]:
    """Lowest corner, and the distances to the middle and from there to the highest one.

    They are divided by, so they are made larger round the same centre where a kink would weigh more than ``1/least^2``:
    ``least`` bins where a triangle collapses, much less for a steep side of a wide tent.
    """
    low, high = jnp.min(corners, axis=1), jnp.max(corners, axis=1)
    total = jnp.sum(corners, axis=1)
    middle = total - low - high
    bound = 2.0 * least**2 / jnp.maximum(high - low, 2.0 * least)
    rise, fall = jnp.maximum(middle - low, bound), jnp.maximum(high - middle, bound)
    return (total - 2.0 * rise - fall) / 3.0, rise, fall


def _bin_slices(corners: Array, areas: Array, bins: int, *, collect: int) -> Array:
    """`bin_tents` for single precision, where sums of kinks lose the digits: every tent is cut into even slices of which
    each falls into one or two bins. Exact up to the slope within a slice, for tents of up to ``SLICES`` bins.
    """
    a, rise, fall = _sides(corners, 2e-2)
    width = (rise + fall) / SLICES
    edges = jnp.arange(SLICES + 1, dtype=corners.dtype)[:, None] * width  # (slices + 1, triangles), from a
    rising = edges**2 / ((rise + fall) * rise)
    falling = 1.0 - (rise + fall - edges) ** 2 / ((rise + fall) * fall)
    share = jnp.diff(jnp.where(edges < rise, rising, falling), axis=0)
    centre = a + edges[:-1] + width / 2
    if collect == BOX:
        # the part of a slice, at most a bin wide, that lies beyond the edge of the bin its lower end is in
        reach = jnp.minimum(width, 1.0)
        start = jnp.floor(centre - reach / 2 + 0.5)
        beyond = jnp.clip((centre + reach / 2 - start - 0.5) / reach, 0.0, 1.0)
        parts = (1.0 - beyond, beyond)
    else:
        start = jnp.floor(centre + 1.0 - collect / 2)
        parts = _spline(centre + 1.0 - collect / 2 - start, collect)
    guard = len(parts)
    start = jnp.where((start < -guard) | (start > bins), bins, start).astype(jnp.int32)
    pattern = jnp.zeros((bins + guard, areas.shape[1]), corners.dtype)
    for k, part in enumerate(parts):
        pattern = pattern.at[start + guard + k].add((share * part)[..., None] * areas, mode="drop")
    return pattern[guard:]


def _spline(u: Array, order: int) -> list[Array]:
    """The pieces ``M(1 - u), M(2 - u) ...`` of a cardinal B-spline of this order on [0, order], u in [0, 1)."""
    pieces = [jnp.ones_like(u)]
    for n in range(2, order + 1):
        below = lambda p, pieces=pieces, n=n: pieces[p] if 0 <= p < n - 1 else 0.0
        pieces = [((p + 1 - u) * below(p) + (n - 1 - p + u) * below(p - 1)) / (n - 1) for p in range(n)]
    return pieces
