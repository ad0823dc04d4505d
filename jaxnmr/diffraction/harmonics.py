"""Symmetrised spherical harmonics: general preferred orientation in a specimen with a fibre axis.

The axis is the normal of a flat specimen, or the rotation axis of a capillary. A powder pattern then depends on the
texture only through the density of poles ``h`` along the fibre axis, the inverse pole figure ``R(h)``, a function on
the sphere with mean 1. By Friedel's law only even orders are observable, and the Laue class leaves few functions of
each order ``l``.
"""

from functools import lru_cache
from math import factorial
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._arrays import namespace
from ..crystal import SpaceGroup
from ..crystal.cell import lattice
from ..typing import Array
from .reflections import laue_rotations

ORDERS = (2, 4, 6, 8)
# threshold for an eigenvalue that is 0 or 1, the fraction of a harmonic that survives symmetrisation
_SOME = 1e-6


def real_harmonics(direction: Float[Array, "*n 3"], order: int) -> list[Float[Array, "*n _"]]:
    """Real spherical harmonics of all even orders from 2 to ``order``, orthonormal on the sphere (NumPy, or traceable).

    Args:
        direction: unit vectors.
        order: the highest, even.

    Returns:
        For every order ``l`` the functions ``m = 0, 1, -1, 2, -2 ... l, -l`` in columns, ``(..., 2 l + 1)``; positive
        ``m`` denote ``cos(m phi)``, negative ones ``sin(|m| phi)``, without the phase (-1)^m.

    Source: recurrences of associated Legendre functions, Abramowitz & Stegun (1964), 8.5.3, with ``sin(theta)^m``
    included in the azimuthal part.
    """
    xp = namespace(direction)
    x, y, z = (direction[..., k] for k in range(3))
    by_order: dict[int, list[Array]] = {l: [] for l in range(2, order + 1, 2)}
    cosine, sine = xp.ones_like(x), xp.zeros_like(x)
    double = 1.0
    for m in range(order + 1):
        below, here = xp.zeros_like(z), xp.full_like(z, double)
        for l in range(m, order + 1):
            if l in by_order:
                norm = np.sqrt((2 * l + 1) / (4.0 * np.pi) * factorial(l - m) / factorial(l + m) * (2.0 if m else 1.0))
                by_order[l] += [norm * here * part for part in ((cosine, sine) if m else (cosine,))]
            below, here = here, ((2 * l + 1) * z * here - (l + m) * below) / (l + 1 - m)
        cosine, sine = x * cosine - y * sine, x * sine + y * cosine
        double *= 2 * m + 1
    return [xp.stack(columns, axis=-1) for columns in by_order.values()]


def numbers_of(order: int) -> tuple[int, ...]:
    """Return ``m`` of the columns of :func:`real_harmonics`."""
    return (0, *(s * m for m in range(1, order + 1) for s in (1, -1)))


def texture_basis(
    group: SpaceGroup, cell: Float[np.ndarray, "6"], order: int
) -> tuple[Float[np.ndarray, "harmonics k"], tuple[str, ...]]:
    """Return the harmonics allowed by the Laue class, orthonormal on the sphere (host).

    Every harmonic is averaged over the rotations of the class. Averages that are linearly independent of earlier ones
    are orthogonalised and form the basis, named after the original harmonics: ``"C4.0"``, ``"C6.6"``, ``"C2.-1"``.

    Args:
        group: the space group.
        cell: Å and degrees; harmonics refer to the frame of :func:`~jaxnmr.crystal.lattice`, a along x, c* along z.
        order: the highest, 2, 4, 6 or 8.

    Returns:
        Coefficients of :func:`real_harmonics` of all orders in sequence, and names.

    Source: H.-J. Bunge, Texture Analysis in Materials Science (1982), which derives these for each class.
    """
    return _texture_basis(group, tuple(np.asarray(cell, dtype=float).tolist()), order)


@lru_cache(maxsize=64)
def _texture_basis(
    group: SpaceGroup, cell: tuple[float, ...], order: int
) -> tuple[Float[np.ndarray, "harmonics k"], tuple[str, ...]]:
    vectors = lattice(np.array(cell))
    # rows of the lattice: x_cart = x @ vectors, and x' = R x
    turns = np.einsum("ji,njk,kl->nil", vectors, laue_rotations(group), np.linalg.inv(vectors).T)
    points, weight = _sphere(order)
    plain = real_harmonics(points, order)
    turned = real_harmonics(np.einsum("nij,pj->npi", turns, points), order)
    size = order * (order + 3) // 2
    columns, names, first = [], [], 0
    for l, own, images in zip(range(2, order + 1, 2), plain, turned, strict=True):
        average = own.T @ (weight[:, None] * images.mean(axis=0))
        found: list[np.ndarray] = []
        for m, column in zip(numbers_of(l), average.T, strict=True):
            rest = column.copy()
            for _ in range(2):
                for other in found:
                    rest -= other * (other @ rest)
            length = np.linalg.norm(rest)
            if length < _SOME:
                continue
            found.append(rest / length)
            wide = np.zeros(size)
            wide[first : first + 2 * l + 1] = np.where(np.abs(found[-1]) < 1e-14, 0.0, found[-1])
            columns.append(wide)
            names.append(f"C{l}.{m}")
        first += 2 * l + 1
    return (np.stack(columns, axis=1) if columns else np.zeros((size, 0))), tuple(names)


def order_of(name: str) -> int:
    """Return ``l`` from the name of a coefficient."""
    return int(name[1:].split(".")[0])


def texture_terms(
    basis: Float[np.ndarray, "harmonics k"],
    names: tuple[str, ...],
    geometry: Literal["bragg-brentano", "debye-scherrer"],
) -> Float[np.ndarray, "harmonics k"]:
    """Return the basis with the factors of ``1 + sum_l sqrt(4 pi/(2 l + 1)) P_l(cos psi) C_l k_l(h)`` (host).

    ``psi`` is the angle between scattering vector and fibre axis: 0 for a flat specimen, 90 degrees for a capillary. In
    the latter case every pole contributes the mean density on the circle perpendicular to the axis, and such an average
    multiplies functions of order ``l`` by ``P_l(0)`` (Funk's theorem).

    Source: R. B. Von Dreele, J. Appl. Cryst. 30, 517 (1997), and M. Järvinen, ibid. 26, 525 (1993), for cylindrical
    sample symmetry.
    """
    at_right_angles = {2: -1.0 / 2.0, 4: 3.0 / 8.0, 6: -5.0 / 16.0, 8: 35.0 / 128.0}
    orders = [order_of(name) for name in names]
    seen = [1.0 if geometry == "bragg-brentano" else at_right_angles[l] for l in orders]
    return basis * np.sqrt(4.0 * np.pi / (2.0 * np.array(orders) + 1.0)) * np.array(seen)


def harmonic_texture(
    equivalents: Float[Array, "n k 3"],
    terms: Float[Array, "harmonics c"],
    cell: Float[Array, "6"],
    coefficients: Float[Array, " c"],
) -> Float[Array, " n"]:
    """Preferred-orientation factor in symmetrised harmonics, averaged over symmetry equivalents (traceable).

    Args:
        equivalents: Laue-equivalent hkl of each reflection.
        terms: as returned by :func:`texture_terms`.
        cell: Å and degrees.
        coefficients: of the harmonics, all 0 for no texture.
    """
    # direction of a reciprocal-lattice vector in the frame of the lattice
    h = jnp.einsum("nki,ji->nkj", equivalents, jnp.linalg.inv(lattice(cell)))
    direction = h / jnp.linalg.norm(h, axis=-1, keepdims=True)
    order = highest_order(terms.shape[0])
    mean = jnp.concatenate([of.mean(axis=1) for of in real_harmonics(direction, order)], axis=-1)
    return 1.0 + mean @ (terms @ coefficients)


def texture_index(
    names: tuple[str, ...], coefficients: Float[np.ndarray, " c"]
) -> tuple[float, Float[np.ndarray, " c"]]:
    """Return ``J = 1 + sum C²/(2 l + 1)``, the mean squared density, 1 without texture, and its derivatives (host).

    Source: Bunge (1982).
    """
    by_order = 2.0 * np.array([order_of(name) for name in names]) + 1.0
    c = np.asarray(coefficients, dtype=float)
    return float(1.0 + np.sum(c * c / by_order)), 2.0 * c / by_order


def least_density(
    basis: Float[np.ndarray, "harmonics k"], names: tuple[str, ...], coefficients: Float[np.ndarray, " k"]
) -> tuple[float, Float[np.ndarray, "3"]]:
    """Return the lowest pole density along the fibre axis and its direction, on a grid of 3 degrees (host)."""
    points, _ = _sphere(60)
    points = np.concatenate([np.eye(3)[::-1], points[points[:, 2] > 0.0]])
    terms = texture_terms(basis, names, "bragg-brentano")
    wave = np.concatenate(real_harmonics(points, highest_order(basis.shape[0])), axis=-1)
    density = 1.0 + wave @ (terms @ np.asarray(coefficients, dtype=float))
    k = int(density.argmin())
    return float(density[k]), points[k]


def highest_order(size: int) -> int:
    """Return the highest order in a basis of this many harmonics, 0 for none."""
    return next(order for order in (0, *ORDERS) if order * (order + 3) // 2 == size)


def _sphere(order: int) -> tuple[Float[np.ndarray, "points 3"], Float[np.ndarray, " points"]]:
    """Return points and weights that integrate products of two harmonics up to this order exactly."""
    z, w = np.polynomial.legendre.leggauss(order + 1)
    phi = 2.0 * np.pi * (np.arange(2 * order + 2) + 0.5) / (2 * order + 2)
    s = np.sqrt(1.0 - z * z)
    points = np.stack([np.outer(s, np.cos(phi)), np.outer(s, np.sin(phi)), np.outer(z, np.ones_like(phi))], axis=-1)
    return points.reshape(-1, 3), np.repeat(w * (2.0 * np.pi / len(phi)), len(phi))
