"""Spinning sidebands of one crystallite, averaged over the start of rotation.

``|FFT_j exp(i phase_j)/N|^2``, where the phase is that accumulated from a rotor-periodic modulation after ``j`` N-ths
of a turn (Eden & Levitt, J. Magn. Reson. 132, 220 (1998)). The modulation has few harmonics, so that a derivative of
the amplitudes is a short convolution of the amplitudes with themselves, without further exponentials or Fourier
transforms. Crystallites are processed in batches whose size depends on the type of device.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ...typing import Array


def _amplitudes(
    modulation: Float[Array, "*n harmonics 2"], count: int, first: int
) -> tuple[Float[jax.Array, "*n count"], Float[jax.Array, "*n count"]]:
    """Return real and imaginary parts of all ``count`` amplitudes, cyclically from the band ``first`` upwards."""
    harmonics, points = modulation.shape[-2], np.arange(count)
    angle = 2 * np.pi * np.outer(np.arange(1, harmonics + 1), points) / count
    table = np.stack([np.sin(angle), np.cos(angle)], axis=1).reshape(2 * harmonics, count)
    flat = modulation.reshape(*modulation.shape[:-2], 2 * harmonics)
    turned = 2 * np.pi * (points * first % count) / count
    sin, cos = sincos(flat @ (2.0 * table).astype(modulation.dtype) - turned.astype(modulation.dtype))
    amplitudes = jnp.fft.fft(jax.lax.complex(cos, sin)) / count
    return amplitudes.real, amplitudes.imag


@partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3))
def intensities(
    modulation: Float[Array, "crystallites harmonics 2"], count: int, orders: tuple[int, ...], at_once: int
) -> Float[jax.Array, "crystallites orders"]:
    """Return the intensities of spinning sidebands.

    Args:
        modulation: real and imaginary part of ``r_m d_m0/(m nu_r)``, m = 1, 2, ...: the
            components of the frequency in the rotor frame over the harmonic's frequency, dimensionless.
        count: points per rotor period; all intensities sum to 1, and orders are taken modulo ``count``.
        orders: the bands requested, 0 the centre band.
        at_once: crystallites in a batch, see `Tuning`.
    """

    def of(modulation: jax.Array) -> jax.Array:
        real, imag = (_pick(part, orders, orders[0]) for part in _amplitudes(modulation, count, orders[0]))
        return real**2 + imag**2

    return _joined(_in_parcels(at_once, of, modulation), len(modulation))


@intensities.defjvp
def _intensities_jvp(
    count: int, orders: tuple[int, ...], at_once: int, primals: Any, tangents: Any
) -> tuple[jax.Array, jax.Array]:
    harmonics = primals[0].shape[-2]
    first = orders[0] - harmonics

    def of(modulation: jax.Array, tangent: jax.Array) -> tuple[jax.Array, jax.Array | float]:
        parts = _amplitudes(modulation, count, first)
        at = lambda shift: [_pick(part, [order + shift for order in orders], first) for part in parts]
        here = at(0)
        out: jax.Array | float = 0.0
        for k in range(harmonics):
            below, above = at(-k - 1), at(k + 1)
            # conj(A_k) A_{k-m} for this band and m bands further up
            now, then = _product(here, below), _product(above, here)
            real, imag = tangent[..., k, 0, None], tangent[..., k, 1, None]
            out = out + 2.0 * (real * (now[0] - then[0]) - imag * (now[1] - then[1]))
        return here[0] ** 2 + here[1] ** 2, out

    value, change = _in_parcels(at_once, of, *primals, *tangents)
    return _joined(value, len(primals[0])), _joined(change, len(primals[0]))


@partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4))
def summed_intensities(
    modulation: Float[Array, "crystallites harmonics 2"],
    weights: Float[Array, " crystallites"],
    count: int,
    orders: tuple[int, ...],
    at_once: int,
) -> Float[jax.Array, " orders"]:
    """Sum `intensities` over crystallites with weights."""

    def of(modulation: jax.Array, weights: jax.Array) -> jax.Array:
        real, imag = _amplitudes(modulation, count, orders[0])
        return weights @ (real**2 + imag**2)

    return _pick(_in_parcels(at_once, of, modulation, weights).sum(axis=0), orders, orders[0])


@summed_intensities.defjvp
def _summed_intensities_jvp(
    count: int, orders: tuple[int, ...], at_once: int, primals: Any, tangents: Any
) -> tuple[jax.Array, jax.Array]:
    (modulation, weights), (tangent, _) = primals, tangents

    def of(modulation: jax.Array, weights: jax.Array, tangent: jax.Array) -> tuple[jax.Array, jax.Array | float]:
        parts = _amplitudes(modulation, count, orders[0])
        out: jax.Array | float = 0.0
        for k in range(modulation.shape[-2]):
            m = k + 1
            # the sum over crystallites is a matrix product, shared by all tangents
            product = _product(parts, [jnp.roll(part, m, axis=-1) for part in parts])
            real, imag = (tangent[..., k, j] * weights for j in range(2))
            change = real @ product[0] - imag @ product[1]
            out = out + 2.0 * (change - jnp.roll(change, -m, axis=-1))
        return weights @ (parts[0] ** 2 + parts[1] ** 2), out

    value, change = (part.sum(axis=0) for part in _in_parcels(at_once, of, modulation, weights, tangent))
    return _pick(value, orders, orders[0]), _pick(change, orders, orders[0])


def _product(a: Sequence[jax.Array], b: Sequence[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Return ``conj(a) b`` in real and imaginary parts, because the compiler does not vectorise complex numbers."""
    return a[0] * b[0] + a[1] * b[1], a[0] * b[1] - a[1] * b[0]


def _in_parcels(at_once: int, function: Callable[..., Any], *arrays: Array) -> Any:
    """Apply a function to batches of crystallites (the leading axis) in sequence; results have a leading axis of batches.

    The last batch is padded with zeros.
    """
    count = len(arrays[0])
    size = min(at_once, count)
    parcels = -(-count // size)
    filled = [jnp.pad(a, [(0, parcels * size - count), *[(0, 0)] * (a.ndim - 1)]) for a in arrays]
    return jax.lax.map(lambda items: function(*items), [a.reshape(parcels, size, *a.shape[1:]) for a in filled])


def _joined(parcels: jax.Array, count: int) -> jax.Array:
    return parcels.reshape(-1, *parcels.shape[2:])[:count]


def _pick(values: Float[jax.Array, "*n bands"], orders: Sequence[int], first: int) -> Float[jax.Array, "*n picked"]:
    """Select the columns of the bands ``orders``, modulo the number of bands; the first column is the band ``first``."""
    count = values.shape[-1]
    columns = (np.array(orders) - first) % count
    if (np.diff(columns) % count == 1).all() and len(columns) <= count:
        return jnp.roll(values, -int(columns[0]), axis=-1)[..., : len(columns)]
    return values[..., columns]


def sincos(x: Float[Array, "*n"]) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
    """Return sine and cosine; in double precision about ten times faster than the library's on a CPU.

    The library calls a scalar function per number. This is arithmetic that the compiler vectorises: reduction to
    [-pi/4, pi/4] and Taylor series, accurate to 3e-16 (1 + |x|).
    """
    if x.dtype != jnp.float64:
        return jnp.sin(x), jnp.cos(x)
    k = jnp.round(x * (2.0 / np.pi))
    r = (x - k * _HALF_PI) - k * _HALF_PI_REST
    r2 = r * r
    sin = r * _horner(_SIN, r2)
    cos = _horner(_COS, r2)
    quadrant = k.astype(jnp.int32) & 3
    swap = (quadrant & 1) == 1
    s, c = jnp.where(swap, cos, sin), jnp.where(swap, sin, cos)
    return jnp.where(quadrant >= 2, -s, s), jnp.where((quadrant == 1) | (quadrant == 2), -c, c)


def _horner(coefficients: tuple[float, ...], x: Array) -> Array:
    out: Any = coefficients[-1]
    for value in coefficients[-2::-1]:
        out = out * x + value
    return out


_HALF_PI, _HALF_PI_REST = 1.5707963267948966, 6.123233995736766e-17
_FACTORIALS = np.cumprod([1.0, *range(1, 18)])
_SIN = tuple((-1.0) ** k / _FACTORIALS[2 * k + 1] for k in range(9))
_COS = tuple((-1.0) ** k / _FACTORIALS[2 * k] for k in range(9))
