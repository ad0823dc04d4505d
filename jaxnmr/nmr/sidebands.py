"""Spinning sidebands of one crystallite, averaged over the start of rotation.

``|FFT_j exp(i phase_j)/N|^2`` with the phase a rotor-periodic modulation has gathered after ``j`` N-ths of a turn (Eden &
Levitt, J. Magn. Reson. 132, 220 (1998)). The modulation has few harmonics, so a derivative of the amplitudes is a short
convolution of the amplitudes with themselves and needs neither exponentials nor Fourier transforms of its own.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ..typing import Array


def _amplitudes(modulation: Array, count: int) -> Array:
    """Complex amplitudes ``(..., count)`` of all bands from the modulation ``(..., harmonics, 2)``."""
    harmonics = modulation.shape[-2]
    angle = 2 * np.pi * np.outer(np.arange(1, harmonics + 1), np.arange(count)) / count
    table = np.stack([np.sin(angle), np.cos(angle)], axis=1).reshape(2 * harmonics, count)
    flat = modulation.reshape(*modulation.shape[:-2], 2 * harmonics)
    sin, cos = sincos(flat @ (2.0 * table).astype(modulation.dtype))
    return jnp.fft.fft(jax.lax.complex(cos, sin)) / count


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def intensities(modulation: Array, count: int, orders: tuple[int, ...]) -> Array:
    """Intensity of spinning sidebands.

    Args:
        modulation: ``(..., harmonics, 2)`` real and imaginary part of ``r_m d_m0/(m nu_r)``, m = 1, 2, ...: the
            components of the frequency in the rotor frame over the harmonic's frequency, dimensionless.
        count: points per rotor period; all intensities sum to 1, and orders are meant modulo ``count``.
        orders: the bands wanted, 0 the centre band.

    Returns:
        ``(..., orders)``.
    """
    amplitudes = _pick(_amplitudes(modulation, count), orders, 0)
    return amplitudes.real**2 + amplitudes.imag**2


@intensities.defjvp
def _intensities_jvp(count, orders, primals, tangents):
    (modulation,), (tangent,) = primals, tangents
    amplitudes = _amplitudes(modulation, count)
    here = _pick(amplitudes, orders, 0)
    out = 0.0
    for k in range(modulation.shape[-2]):
        m = k + 1
        below, above = _pick(amplitudes, orders, -m), _pick(amplitudes, orders, m)
        # conj(A_k) A_{k-m} now and m bands further up
        now, then = jnp.conj(here) * below, jnp.conj(above) * here
        real, imag = tangent[..., k, 0, None], tangent[..., k, 1, None]
        out = out - 2.0 * (imag * (now.imag - then.imag) - real * (now.real - then.real))
    return here.real**2 + here.imag**2, out


@partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def summed_intensities(modulation: Array, weights: Array, count: int, orders: tuple[int, ...]) -> Array:
    """`intensities` summed over crystallites with ``weights`` ``(crystallites,)``; returns ``(orders,)``."""
    return weights @ intensities(modulation, count, orders)


@summed_intensities.defjvp
def _summed_intensities_jvp(count, orders, primals, tangents):
    (modulation, weights), (tangent, _) = primals, tangents
    amplitudes = _amplitudes(modulation, count)
    out = 0.0
    for k in range(modulation.shape[-2]):
        m = k + 1
        # the sum over crystallites is a matrix product, shared by all tangents
        product = jnp.conj(amplitudes) * jnp.roll(amplitudes, m, axis=-1)
        real, imag = (tangent[..., k, j] * weights for j in range(2))
        change = imag @ product.imag - real @ product.real
        out = out - 2.0 * (change - jnp.roll(change, -m, axis=-1))
    return _pick(weights @ (amplitudes.real**2 + amplitudes.imag**2), orders, 0), _pick(out, orders, 0)


def _pick(amplitudes: Array, orders: tuple[int, ...], shift: int) -> Array:
    """Columns of the bands ``orders + shift``, modulo the number of bands."""
    count = amplitudes.shape[-1]
    columns = (np.array(orders) + shift) % count
    steps = np.diff(columns)
    if len(columns) == count and (np.isin(steps, (1, 1 - count))).all():
        return jnp.roll(amplitudes, -int(columns[0]), axis=-1)
    return amplitudes[..., columns]


def sincos(x: Array) -> tuple[Array, Array]:
    """Sine and cosine; in double precision about ten times faster than the library's on a CPU.

    The library calls a scalar function per number. This is arithmetic that the compiler vectorises: reduction to
    [-pi/4, pi/4] and Taylor series, within 3e-16 (1 + |x|) of the truth.
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
    out = coefficients[-1]
    for value in coefficients[-2::-1]:
        out = out * x + value
    return out


_HALF_PI, _HALF_PI_REST = 1.5707963267948966, 6.123233995736766e-17
_FACTORIALS = np.cumprod([1.0, *range(1, 18)])
_SIN = tuple((-1.0) ** k / _FACTORIALS[2 * k + 1] for k in range(9))
_COS = tuple((-1.0) ** k / _FACTORIALS[2 * k] for k in range(9))
