"""Distances and angles between atoms of a crystal, traceable in cell and coordinates.

Atoms are five integers ``(site, operation, ta, tb, tc)``: see :mod:`jaxnmr.crystal.expand`. The atoms of interest are
selected once on the host: :func:`plan_bonds`, :func:`plan_angles`, :func:`plan_pairs`, :func:`plan_triplets`.
"""

from jaxtyping import Float, Int

from .._arrays import namespace
from ..typing import Array
from .cell import lattice
from .expand import positions
from .symmetry import SpaceGroup
from .unit import AsymmetricUnit


def distances(crystal: AsymmetricUnit, pairs: Int[Array, "n 2 5"]) -> Float[Array, " n"]:
    """Calculate distances in Å.

    Args:
        crystal: the crystal; its cell and coordinates may be traced.
        pairs: two atoms per distance.
    """
    return distances_from(crystal.cell, crystal.xyz, crystal.group, pairs)


def angles(crystal: AsymmetricUnit, triplets: Int[Array, "n 3 5"]) -> Float[Array, " n"]:
    """Calculate angles in degrees at the middle atom.

    Args:
        crystal: the crystal; its cell and coordinates may be traced.
        triplets: three atoms per angle.
    """
    return angles_from(crystal.cell, crystal.xyz, crystal.group, triplets)


def distances_from(
    cell: Float[Array, "6"], xyz: Float[Array, "sites 3"], group: SpaceGroup, pairs: Int[Array, "n 2 5"]
) -> Float[Array, " n"]:
    """:func:`distances` as a function of its refinable arrays, for ``jax.jacobian`` and error propagation.

    Args:
        cell: Å and degrees.
        xyz: fractional.
        group: the space group.
        pairs: two atoms per distance.

    Returns:
        Distances in Å, in double precision for NumPy input. The gradient is 0 where two atoms coincide.
    """
    first, second = _cartesian(cell, xyz, group, pairs)
    return _norm(second - first)


def angles_from(
    cell: Float[Array, "6"], xyz: Float[Array, "sites 3"], group: SpaceGroup, triplets: Int[Array, "n 3 5"]
) -> Float[Array, " n"]:
    """:func:`angles` as a function of its refinable arrays; arguments as for :func:`distances_from`.

    The angle is ``atan2(|u x v|, u.v)``, accurate at any angle. At exactly 0° and 180°, where it has a kink,
    the gradient is 0.
    """
    first, middle, last = _cartesian(cell, xyz, group, triplets)
    xp = namespace(first)
    u, v = first - middle, last - middle
    sine, cosine = _norm(xp.cross(u, v)), (u * v).sum(axis=-1)
    undefined = (sine == 0) & (cosine == 0)
    return xp.where(undefined, 0.0, xp.rad2deg(xp.arctan2(sine, xp.where(undefined, 1.0, cosine))))


def _cartesian(
    cell: Float[Array, "6"], xyz: Float[Array, "sites 3"], group: SpaceGroup, atoms: Int[Array, "n k 5"]
) -> Float[Array, "k n 3"]:
    xp = namespace(cell, xyz, atoms)
    cell, xyz, atoms = xp.asarray(cell), xp.asarray(xyz), xp.asarray(atoms)
    return xp.moveaxis(positions(xyz, group, atoms) @ lattice(cell), -2, 0)


def _norm(vectors: Float[Array, "*n 3"]) -> Float[Array, "*n"]:
    """Return the lengths of vectors, with gradient 0 at the zero vector."""
    xp = namespace(vectors)
    squared = (vectors * vectors).sum(axis=-1)
    zero = squared == 0
    return xp.where(zero, 0.0, xp.sqrt(xp.where(zero, 1.0, squared)))
