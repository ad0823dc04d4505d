"""Rotations of many vectors about individual axes, with derivatives with respect to the axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Float

from ...typing import Array

Vector = tuple[Float[Array, "*n"], Float[Array, "*n"], Float[Array, "*n"]]
# half of the largest angle of the polynomials, squared; the angle is slightly above half a turn
_MOST = float((0.5 * 1.02 * np.pi) ** 2)
LARGEST_ANGLE = 2.0 * float(np.sqrt(_MOST))


def _fitted(function: Callable, degree: int) -> tuple[float, ...]:
    """Return coefficients, the constant first, of a polynomial in u = x² through Chebyshev points of ``[0, _MOST]``."""
    fit = np.polynomial.Chebyshev.interpolate(lambda u: function(np.sqrt(u)), degree, domain=[0.0, _MOST])
    return tuple(map(float, fit.convert(kind=np.polynomial.Polynomial).coef))


# errors are below the rounding of the respective precision
_SINC = {4: _fitted(lambda x: np.sinc(x / np.pi), 5), 8: _fitted(lambda x: np.sinc(x / np.pi), 9)}
_COSINE = {4: _fitted(np.cos, 6), 8: _fitted(np.cos, 10)}


def _polynomial(u: Array, coefficients: tuple[float, ...]) -> Array:
    found: Any = u * coefficients[-1] + coefficients[-2]
    for c in coefficients[-3::-1]:
        found = found * u + c
    return found


def _factors(square: Array, wide: bool) -> tuple[Array, Array]:
    """Return ``sin θ/θ`` and ``(1 - cos θ)/θ²`` from θ²."""
    quarter = 0.25 * square
    sinc: Array
    cosine: Array
    if wide:
        half = jnp.sqrt(jnp.where(quarter > 0.0, quarter, 1.0))
        sinc = jnp.where(quarter > 0.0, jnp.sin(half) / half, 1.0)
        cosine = jnp.where(quarter > 0.0, jnp.cos(half), 1.0)
    else:
        size = quarter.dtype.itemsize
        sinc = jnp.where(quarter > _MOST, jnp.nan, _polynomial(quarter, _SINC[size]))
        cosine = _polynomial(quarter, _COSINE[size])
    return sinc * cosine, 0.5 * sinc * sinc


def _cross(a: Vector, b: Vector) -> Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _with_factors(v: Vector, angle: Vector, s: Array, k: Array) -> Vector:
    """Return ``v + s φ×v + k φ×(φ×v)``."""
    first = _cross(angle, v)
    other = _cross(angle, (s * v[0] + k * first[0], s * v[1] + k * first[1], s * v[2] + k * first[2]))
    return v[0] + other[0], v[1] + other[1], v[2] + other[2]


def _square(angle: Vector) -> Array:
    return angle[0] * angle[0] + angle[1] * angle[1] + angle[2] * angle[2]


def _rotate(v: Vector, angle: Vector, wide: bool) -> Vector:
    return _with_factors(v, angle, *_factors(_square(angle), wide))


def rotate(v: Vector, angle: Vector, wide: bool = False) -> Vector:
    """Rotate vectors ``v`` about ``angle`` by its length, in radians.

    This is Rodrigues' formula with factors that are polynomials of θ²: there is no division, so an angle of 0 is not
    special.

    Args:
        v: components.
        angle: components, of at most ``LARGEST_ANGLE``; beyond it the result is NaN, unless ``wide``.
        wide: allow angles of any length, using sines and cosines at three times the cost.
    """
    return (_WIDE if wide else _NARROW)(v, angle)


def _filled(tangent: tuple[Any, ...], of: Vector) -> Vector:
    x, y, z = (jnp.zeros_like(a) if isinstance(d, SymbolicZero) else d for d, a in zip(tangent, of, strict=True))
    return x, y, z


def _make(wide: bool) -> Callable[[Vector, Vector], Vector]:
    @jax.custom_jvp
    def turn(v: Vector, angle: Vector) -> Vector:
        return _rotate(v, angle, wide)

    def tangent(primals: tuple[Vector, Vector], tangents: tuple[Any, Any]) -> tuple[Vector, Vector]:
        """``R δv + (J δφ) × R v`` with the left Jacobian ``J = 1 + k [φ]× + q [φ]×²`` of the rotation group."""
        (v, angle), (dv, d_angle) = primals, tangents
        square = _square(angle)
        s, k = _factors(square, wide)
        # XLA does not repeat this division for every tangent and component, as it would for the quotients below
        one = 1.0 + 0.0 * square
        s, k = s / one, k / one
        turned = _with_factors(v, angle, s, k)
        turned = turned[0] / one, turned[1] / one, turned[2] / one
        # the rounding error of 1 - s is later multiplied by θ²
        q = (1.0 - s) / jnp.maximum(square, jnp.finfo(square.dtype).tiny)
        dx, dy, dz = d_angle
        if isinstance(dz, SymbolicZero):
            # frequencies without tangents
            dx, dy = (jnp.zeros_like(angle[0]) if isinstance(d, SymbolicZero) else d for d in (dx, dy))
            first = -angle[2] * dy, angle[2] * dx, angle[0] * dy - angle[1] * dx
            x, y, z = _cross(angle, (k * dx + q * first[0], k * dy + q * first[1], q * first[2]))
            moved = dx + x, dy + y, z
        else:
            moved = _with_factors(_filled(d_angle, angle), angle, k, q)
        changed, other = _with_factors(_filled(dv, v), angle, s, k), _cross(moved, turned)
        return turned, (changed[0] + other[0], changed[1] + other[1], changed[2] + other[2])

    turn.defjvp(tangent, symbolic_zeros=True)
    return turn


_NARROW, _WIDE = _make(False), _make(True)
