"""Electrostatic energy of point charges in a periodic cell.

Every charge is screened by a Gaussian of width 1/alpha: what is left falls off within a cutoff and is summed over neighbours,
the Gaussians are summed over reciprocal vectors (P. P. Ewald, *Ann. Phys.* **369**, 253, 1921; the form without a surface term,
of a crystal in a conductor). Which neighbours and reciprocal vectors is planned on the host; energies are functions of cell
and positions.
"""

import math

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erfc
from jaxtyping import Float, Int

from ..._struct import Struct, static
from ...errors import ConventionError, ShapeError
from ...graph import bucket, plan_neighbours
from ...typing import Array, Numbers

COULOMB = 14.3996454785  # e²/(4 pi epsilon0) in eV Å, CODATA 2018
ACCURACY = 1e-10  # eV per atom
# e: sums of tabulated charges such as 1.910418 and -0.955209 twice are exact, those of fits have six digits
_NEUTRAL = 1e-5
# alpha times cutoff: below, the bounds are no bounds; above, double precision has no more digits
_LEAST, _MOST = 1.5, 8.0


class Reciprocal(Struct):
    """The reciprocal half of an Ewald sum; see :func:`plan_reciprocal`.

    Attributes:
        hkl: one of every pair of opposite reciprocal vectors, in terms of the lattice that was planned for.
        weight: how often each counts: 2, and 0 for padding.
        alpha: inverse width of the Gaussians, 1/Å.
        radius: length of reciprocal vectors that the accuracy needs, 2 pi/Å.
        reach: length up to which they are listed, so that the cell may grow.
        error: bound of what both halves leave out, eV per cell.
    """

    hkl: Int[Array, "vectors 3"]
    weight: Float[Array, " vectors"]
    alpha: Float[Array, ""]
    radius: Float[Array, ""]
    reach: Float[Array, ""]
    error: float = static(note=True)

    @property
    def stretch(self) -> Float[Array, ""]:
        """By how much the cell may grow until vectors are missing."""
        return self.reach / self.radius

    def energy(
        self, lattice: Float[Array, "3 3"], positions: Float[Array, "atoms 3"], charges: Float[Array, " atoms"]
    ) -> Float[Array, ""]:
        """Energy of the Gaussians without that of each with itself, eV per cell (traceable)."""
        inverse = jnp.linalg.inv(lattice)
        hkl = jnp.asarray(self.hkl).astype(lattice.dtype)
        # integers times fractional coordinates: what strain does to them is in the vectors alone
        phases = 2.0 * jnp.pi * (positions @ inverse) @ hkl.T
        squared = (charges @ jnp.cos(phases)) ** 2 + (charges @ jnp.sin(phases)) ** 2
        k2 = jnp.sum((2.0 * jnp.pi * hkl @ inverse.T) ** 2, axis=-1)
        volume = jnp.abs(jnp.linalg.det(lattice))
        alpha = jnp.asarray(self.alpha).astype(lattice.dtype)
        weight = jnp.asarray(self.weight).astype(lattice.dtype)
        waves = 2.0 * jnp.pi / volume * jnp.sum(weight * jnp.exp(-k2 / (4.0 * alpha**2)) / k2 * squared)
        return COULOMB * (waves - alpha / math.sqrt(math.pi) * jnp.sum(charges**2))


class EwaldPlan(Struct):
    """Neighbours and reciprocal vectors for :func:`ewald_energy`, made by :func:`plan_ewald`.

    Attributes:
        senders, receivers, shifts: directed pairs, as of :func:`~jaxnmr.graph.plan_neighbours`.
        reciprocal: the other half.
    """

    senders: Int[Array, " pairs"]
    receivers: Int[Array, " pairs"]
    shifts: Int[Array, "pairs 3"]
    reciprocal: Reciprocal

    @property
    def error(self) -> float:
        """Bound of what is left out, eV per cell, for the cell that was planned for."""
        return self.reciprocal.error


def plan_ewald(
    lattice: Numbers, positions: Numbers, charges: Numbers, *, accuracy: float = ACCURACY, cutoff: float | None = None,
    skin: float = 0.3,
) -> EwaldPlan:  # fmt: skip
    """List what an Ewald sum runs over (host).

    Args:
        lattice: ``(3, 3)`` vectors as rows, Å.
        positions: ``(atoms, 3)`` Å.
        charges: ``(atoms,)`` in e, of a neutral cell.
        accuracy: eV per atom.
        cutoff: Å, of the sum over neighbours; by default what balances the two sums.
        skin: Å beyond the cutoff, so that atoms and cell may move: neighbours are listed up to ``cutoff + skin``.

    Raises:
        ShapeError: not as many charges as positions.
        ConventionError: a charged cell, an accuracy that is out of range, a cell without volume, atoms on top of each other.
    """
    vectors, points, q = (np.asarray(array, dtype=float) for array in (lattice, positions, charges))
    if points.ndim != 2 or q.shape != (len(points),):
        raise ShapeError(f"charges have the shape {q.shape} and positions {points.shape}; expected one charge per row")
    require_neutral(q, "the cell")
    if cutoff is None:
        # equal numbers of pairs and phases, about four times sqrt(atoms) of neighbours per atom
        volume = abs(np.linalg.det(vectors))
        cutoff = 4.0 * (volume / math.sqrt(len(q))) ** (1 / 3)
        cutoff = min(max(cutoff, 4.0), 12.0)
    pairs = plan_neighbours(vectors, points, cutoff + skin)
    reciprocal = plan_reciprocal(vectors, q, accuracy=accuracy, cutoff=cutoff, skin=skin)
    return EwaldPlan(senders=pairs.senders, receivers=pairs.receivers, shifts=pairs.shifts, reciprocal=reciprocal)


def plan_reciprocal(
    lattice: Float[np.ndarray, "3 3"],
    charges: Float[np.ndarray, " atoms"],
    *,
    accuracy: float,
    cutoff: float,
    skin: float,
    growth: float = 1.0,
) -> Reciprocal:
    """Choose alpha for a cutoff of the sum over neighbours, and list reciprocal vectors (host).

    What a sum leaves out is bounded as if all charges of the cell pulled the same way: with ``x = alpha cutoff`` and
    ``y = radius / 2 alpha``, ``k sqrt(pi) (sum |q|)²/V exp(-x²)/(alpha² x)`` and ``k/pi (sum |q|)² alpha exp(-y²)/y``. Both are
    half of the accuracy. With a ``growth`` above 1 vectors are padded to a size of a geometric series.

    Raises:
        ConventionError: no alpha gives this accuracy with this cutoff.
    """
    volume, total = abs(np.linalg.det(lattice)), COULOMB * np.abs(charges).sum() ** 2
    if not (np.isfinite(accuracy) and accuracy > 0):
        raise ConventionError(f"the accuracy is {accuracy}; expected a positive energy in eV per atom, such as 1e-10")
    wanted = max(accuracy * len(charges), 1e-300)
    x = np.linspace(_LEAST, _MOST, 1301)
    near = total * math.sqrt(math.pi) / volume * np.exp(-(x**2)) / x * (cutoff / x) ** 2
    if near[-1] > wanted / 2:
        raise ConventionError(
            f"an accuracy of {accuracy:g} eV per atom is beyond double precision with a cutoff of {cutoff:g} Å: ask for 1e-10"
        )
    chosen = int(np.argmax(near <= wanted / 2))
    alpha = x[chosen] / cutoff
    far = total / math.pi * alpha * np.exp(-(x**2)) / x
    last = int(np.argmax(far <= wanted / 2)) if (far <= wanted / 2).any() else len(x) - 1
    radius = 2.0 * alpha * x[last]
    reach = radius * (1.0 + skin / cutoff)
    hkl = _half_sphere(lattice, reach)
    size = bucket(len(hkl), growth=growth) if growth > 1.0 else len(hkl)
    weight = np.where(np.arange(size) < len(hkl), 2.0, 0.0)
    return Reciprocal(
        hkl=np.concatenate([hkl, np.ones((size - len(hkl), 3), dtype=np.int32)]),
        weight=weight,
        alpha=np.asarray(alpha),
        radius=np.asarray(radius),
        reach=np.asarray(reach),
        error=float(near[chosen] + far[last]),
    )


def ewald_energy(plan: EwaldPlan, lattice: Numbers, positions: Numbers, charges: Numbers) -> Float[Array, ""]:
    """Electrostatic energy of a neutral cell in eV (traceable, any number of derivatives).

    Args:
        plan: of this structure, or one that it has moved from by less than the skin.
        lattice: ``(3, 3)`` vectors as rows, Å.
        positions: ``(atoms, 3)`` Å.
        charges: ``(atoms,)`` in e.
    """
    vectors, points, q = jnp.asarray(lattice), jnp.asarray(positions), jnp.asarray(charges)
    offsets = jnp.asarray(plan.shifts).astype(points.dtype) @ vectors
    edges = points[plan.senders] - points[plan.receivers] + offsets
    r = jnp.sqrt(jnp.sum(edges**2, axis=-1))
    near = 0.5 * jnp.sum(q[plan.senders] * q[plan.receivers] * screened(r, plan.reciprocal.alpha))
    return near + plan.reciprocal.energy(vectors, points, q)


def screened(r: Float[Array, " pairs"], alpha: Float[Array, ""]) -> Float[Array, " pairs"]:
    """Energy of two unit charges whose Gaussians have been taken off, eV: ``k erfc(alpha r)/r``."""
    return COULOMB * erfc(alpha * r) / r


def require_neutral(charges: Float[np.ndarray, " atoms"], what: str) -> None:
    """Refuse charges whose sum is not zero.

    Raises:
        ConventionError: the sum, and what to do.
    """
    total = float(np.sum(charges))
    if not abs(total) <= _NEUTRAL * max(len(charges), 1):
        raise ConventionError(
            f"{what} has the charge {total:+.4g} e: its electrostatic energy per cell is infinite. Complete the composition "
            "(missing cations, protons, both alternatives of a disordered site), or use charges that add up to zero"
        )


def _half_sphere(lattice: Float[np.ndarray, "3 3"], reach: float) -> Int[np.ndarray, "vectors 3"]:
    """One of every pair of opposite reciprocal vectors shorter than ``reach`` (2 pi/Å), without zero."""
    most = np.floor(reach * np.linalg.norm(lattice, axis=1) / (2.0 * np.pi)).astype(int)
    h, k, l = (axis.ravel() for axis in np.meshgrid(*(np.arange(-n, n + 1) for n in most), indexing="ij"))
    first = (h > 0) | ((h == 0) & ((k > 0) | ((k == 0) & (l > 0))))
    hkl = np.stack([h, k, l], axis=1)[first]
    length = 2.0 * np.pi * np.linalg.norm(hkl @ np.linalg.inv(lattice).T, axis=1)
    return hkl[length < reach].astype(np.int32)
