"""Overlap and dipole integrals of contracted Gaussian functions, in closed form and differentiable.

A product of two Gaussians is one around a point between them; what is left are moments along x, y and z, each by the recursion of
S. Obara and A. Saika, J. Chem. Phys. 84, 3963 (1986). Shells are grouped by rank, and all pairs of two groups are calculated at
once. Positions are in Å, integrals in atomic units.
"""

from collections.abc import Iterable
from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..errors import ConventionError, ShapeError
from ..typing import Array
from .basis import Orbitals

BOHR = 0.52917721092  # Å, CODATA 2010, which the programs that make our labels use
_SMALLEST_EIGENVALUE = 1e-8


def overlap(orbitals: Orbitals, xyz: Float[Array, "n 3"]) -> Array:
    """Overlap ``(size, size)`` of all functions.

    Args:
        orbitals: the functions.
        xyz: Å.

    Raises:
        ShapeError: another number of atoms.
    """
    return _integrals(orbitals, _checked(orbitals, xyz), None)[0]


def dipole_integrals(orbitals: Orbitals, xyz: Float[Array, "n 3"], origin: Iterable[float] = (0.0, 0.0, 0.0)) -> Array:
    """``<a|r - origin|b>`` in bohr, ``(3, size, size)``.

    Args:
        orbitals: the functions.
        xyz: Å.
        origin: Å.

    Raises:
        ShapeError: another number of atoms.
    """
    return _integrals(orbitals, _checked(orbitals, xyz), jnp.asarray(origin))[1:]


def require_independent(overlaps, *, smallest: float = _SMALLEST_EIGENVALUE) -> None:
    """Refuse functions that are linearly dependent (host).

    Args:
        overlaps: ``(..., size, size)``.
        smallest: eigenvalue that is allowed.

    Raises:
        ConventionError: the smallest eigenvalue is below: atoms nearly coincide.
    """
    values = np.linalg.eigvalsh(np.asarray(overlaps, dtype=float))[..., 0]
    if not np.isfinite(values).all() or values.min() < smallest:
        raise ConventionError(
            f"the functions are linearly dependent: the smallest eigenvalue of their overlap is {values.min():.1e}, below "
            f"{smallest:.0e}. Look for atoms that nearly coincide, and for positions that are not in Å"
        )


def _checked(orbitals: Orbitals, xyz) -> Array:
    xyz = jnp.asarray(xyz)
    if xyz.shape != (len(orbitals.elements), 3):
        raise ShapeError(f"positions have the shape {xyz.shape}; expected ({len(orbitals.elements)}, 3)")
    return xyz


class _Group(NamedTuple):
    """All shells of a rank, filled up with zeros to the same number of primitives.

    Attributes:
        l: the rank.
        atoms: ``(shells,)``.
        exponents, coefficients: ``(shells, primitives)``.
        functions: ``(shells, 2l+1)`` their places in matrices.
    """

    l: int
    atoms: np.ndarray
    exponents: np.ndarray
    coefficients: np.ndarray
    functions: np.ndarray


@lru_cache
def _groups(orbitals: Orbitals) -> tuple[_Group, ...]:
    out = []
    for l in sorted({shell.l for _, _, shell in orbitals.shells}):
        found = [of for of in orbitals.shells if of[2].l == l]
        most = max(len(shell.exponents) for _, _, shell in found)
        # what fills up has no weight
        filled = lambda values, with_, most=most: [*values, *[with_] * (most - len(values))]
        out.append(
            _Group(
                l,
                np.array([atom for atom, _, _ in found]),
                np.array([filled(shell.exponents, 1.0) for _, _, shell in found]),
                np.array([filled(shell.coefficients, 0.0) for _, _, shell in found]),
                np.array([start + np.arange(shell.size) for _, start, shell in found]),
            )
        )
    return tuple(out)


@lru_cache
def _cartesian(l: int) -> tuple[np.ndarray, np.ndarray]:
    """Powers ``(terms, 3)`` of x, y, z and the matrix ``(2l+1, terms)`` of normalised real spherical functions."""
    if l == 0:
        return np.zeros((1, 3), dtype=int), np.full((1, 1), np.sqrt(0.25 / np.pi))
    if l == 1:
        return np.eye(3, dtype=int), np.sqrt(0.75 / np.pi) * np.eye(3)
    powers = np.array([(2, 0, 0), (0, 2, 0), (0, 0, 2), (1, 1, 0), (1, 0, 1), (0, 1, 1)])
    root = np.sqrt(3.0)
    functions = np.array(
        [
            [0.0, 0.0, 0.0, root, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0, root],
            [-0.5, -0.5, 1.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, root, 0.0],
            [0.5 * root, -0.5 * root, 0.0, 0.0, 0.0, 0.0],
        ]
    )
    return powers, np.sqrt(1.25 / np.pi) * functions


@partial(jax.jit, static_argnums=0)
def _integrals(orbitals: Orbitals, xyz: Array, origin: Array | None) -> Array:
    """``(1, size, size)``, or ``(4, size, size)`` with the three dipoles."""
    centres = xyz / BOHR
    groups = _groups(orbitals)
    count = 1 if origin is None else 4
    out = jnp.zeros((count, orbitals.size, orbitals.size), dtype=centres.dtype)
    for p, one in enumerate(groups):
        for other in groups[: p + 1]:
            block = _block(one, other, centres, None if origin is None else origin / BOHR)
            rows, columns = one.functions[:, None, :, None], other.functions[None, :, None, :]
            out = out.at[:, rows, columns].set(block)
            if one is not other:
                out = out.at[:, columns, rows].set(block)
    return out


def _block(one: _Group, other: _Group, centres: Array, origin: Array | None) -> Array:
    """``(count, shells of the one, of the other, functions of the one, of the other)``."""
    kind = centres.dtype
    a = jnp.asarray(one.exponents, dtype=kind)[:, None, :, None]
    b = jnp.asarray(other.exponents, dtype=kind)[None, :, None, :]
    weight = (
        jnp.asarray(one.coefficients, kind)[:, None, :, None] * jnp.asarray(other.coefficients, kind)[None, :, None, :]
    )
    at, bt = centres[one.atoms][:, None], centres[other.atoms][None, :]
    apart = at - bt
    p = a + b
    # of x, y, z, before all others: (3, shells, shells, primitives, primitives)
    distance = jnp.moveaxis(apart, -1, 0)[..., None, None]
    to_a, to_b = -(b / p) * distance, (a / p) * distance
    weight = weight * jnp.exp(-(a * b / p) * jnp.sum(apart**2, axis=-1)[:, :, None, None]) * (jnp.pi / p) ** 1.5
    extra = 0 if origin is None else 1
    # moments without their common factor, of powers i of the one and j of the other
    table = {(0, 0): jnp.ones_like(to_a)}
    for i in range(one.l + 1):
        for j in range(other.l + extra + 1):
            if i == j == 0:
                continue
            if j == 0:
                value = to_a * table[i - 1, 0]
                value += (i - 1) / (2.0 * p) * table[i - 2, 0] if i > 1 else 0.0
            else:
                value = to_b * table[i, j - 1]
                value += i / (2.0 * p) * table[i - 1, j - 1] if i else 0.0
                value += (j - 1) / (2.0 * p) * table[i, j - 2] if j > 1 else 0.0
            table[i, j] = value
    (powers_a, to_spherical_a), (powers_b, to_spherical_b) = _cartesian(one.l), _cartesian(other.l)
    moments = jnp.stack([jnp.stack([table[i, j] for j in range(other.l + extra + 1)]) for i in range(one.l + 1)])
    # (terms of the one, of the other, shells, shells, primitives, primitives) along x, y, z
    m, n = powers_a[:, None], powers_b[None, :]
    plain = [moments[m[..., k], n[..., k], k] for k in range(3)]
    results = [plain[0] * plain[1] * plain[2]]
    if origin is not None:
        for axis in range(3):
            # r - origin = (r - B) + (B - origin)
            apart_b = (bt[..., axis] - origin[axis])[:, :, None, None]
            factors = list(plain)
            factors[axis] = moments[m[..., axis], n[..., axis] + 1, axis] + apart_b * plain[axis]
            results.append(factors[0] * factors[1] * factors[2])
    cartesian = jnp.sum(weight * jnp.stack(results), axis=(-2, -1))
    turns = jnp.asarray(to_spherical_a, kind), jnp.asarray(to_spherical_b, kind)
    return jnp.einsum("pm,cmnab,qn->cabpq", turns[0], cartesian, turns[1])
