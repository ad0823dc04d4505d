"""Squared structure factors, Friedel-averaged, with derivatives at the cost of one extra pass.

``|F|² = |sum (f0 + f') T e^{i phi}|² + |sum f'' T e^{i phi}|²`` is the exact mean of ``|F(h)|²`` and ``|F(-h)|²``,
centrosymmetric or not.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Float, Int, Real

from .._struct import Struct, static
from ..crystal import Crystal
from ..crystal.cell import reciprocal_metric
from ..crystal.symmetry import UIJ
from ..typing import Array, Scalar
from ..units import EIGHT_PI2
from .scattering import ScatteringFactors, scattering_factors

_TWO_PI = 2.0 * np.pi


class Atoms(NamedTuple):
    """Site properties that enter structure factors, including the reciprocal axis lengths that scale displacements."""

    xyz: Float[Array, "sites 3"]
    occupancy: Float[Array, " sites"]
    u_iso: Float[Array, " sites"]
    u_aniso: Float[Array, "sites 6"]
    length: Float[Array, "3"]
    f1: Float[Array, " sites"]
    f2: Float[Array, " sites"]


class StructureFactors(Struct):
    """All constants of a phase's structure factors during a refinement.

    Attributes:
        h_rotated: the row vectors ``h R``.
        h_shift: the products ``h t``.
        image_operation, image_site: operation and site that generate each atom of the primitive cell.
        membership: 1 where the image belongs to the site.
        centring: number of lattice points per cell.
        factors: scattering factors per site.
        of_element: 1 where the site is of an element whose dispersion is a parameter; one column per such element, or
            none.
        has_aniso: whether any site has anisotropic displacement.
    """

    h_rotated: Float[Array, "reflections operations 3"]
    h_shift: Float[Array, "reflections operations"]
    image_operation: Int[Array, " images"]
    image_site: Int[Array, " images"]
    membership: Float[Array, "images sites"]
    centring: Scalar
    factors: ScatteringFactors
    of_element: Float[Array, "sites elements"]
    has_aniso: bool = static()

    @classmethod
    def plan(
        cls,
        crystal: Crystal,
        hkl: Real[np.ndarray, "n 3"],
        radiation: str,
        wavelength: float,
        dispersion: Sequence[str] = (),
    ) -> Self:
        """Prepare the structure factors of ``hkl`` (host); f' and f'' of the elements in ``dispersion`` are parameters."""
        group = crystal.group
        sites = crystal.sites()
        used = sorted({int(k) for site in sites for k in site.primitive_images})
        position = {op: k for k, op in enumerate(used)}
        image_site = np.concatenate([np.full(len(s.primitive_images), k) for k, s in enumerate(sites)])
        image_operation = np.array([position[int(k)] for site in sites for k in site.primitive_images])
        return cls(
            h_rotated=np.einsum("ni,kij->nkj", hkl, group.rotations[used]).astype(float),
            h_shift=hkl @ group.translations[used].T,
            image_operation=image_operation,
            image_site=image_site,
            membership=np.eye(len(sites))[image_site],
            centring=np.float64(len(group.centring)),
            factors=scattering_factors(crystal.species, radiation, wavelength),
            of_element=np.array([[float(e == of) for of in dispersion] for e in crystal.elements]).reshape(
                len(sites), -1
            ),
            has_aniso=any(crystal.anisotropic),
        )

    @property
    def moving(self) -> tuple[str, ...]:
        """Fields of `Atoms` by which |F|² is differentiated."""
        aniso = ("u_aniso", "length") if self.has_aniso else ()
        return ("xyz", "occupancy", "u_iso", *aniso, *(("f1", "f2") if self.of_element.shape[1] else ()))

    def squared(
        self, crystal: Crystal, d_star_sq: Float[Array, " reflections"], values: Mapping[str, Array] | None = None
    ) -> Float[Array, " reflections"]:
        """Return ``|F|²`` per conventional cell in electrons² (fm² for neutrons).

        Args:
            crystal: the structure, at any values of its parameters.
            d_star_sq: ``1/d²`` in Å⁻².
            values: ``f1`` and ``f2`` by element, if these are parameters.
        """
        return _squared(self, d_star_sq / 4.0, self._atoms(crystal, values))

    def gradient(
        self, crystal: Crystal, d_star_sq: Float[Array, " reflections"], values: Mapping[str, Array] | None = None
    ) -> tuple[Float[Array, " reflections"], Float[Array, " reflections"], dict[str, Float[Array, "reflections ..."]]]:
        """Return ``|F|²``, its derivatives by ``1/d²`` and by the ``moving`` fields; arguments as for :meth:`squared`."""
        value, by_s, by_atoms = _gradient(self, d_star_sq / 4.0, self._atoms(crystal, values))
        return value, by_s / 4.0, dict(zip(self.moving, by_atoms, strict=True))

    def _atoms(self, crystal: Crystal, values: Mapping[str, Array] | None) -> Atoms:
        length = reciprocal_lengths(jnp.asarray(crystal.cell))
        f1, f2 = jnp.asarray(self.factors.f1), jnp.asarray(self.factors.f2)
        if values is not None and self.of_element.shape[1]:
            tabulated = 1.0 - self.of_element.sum(axis=1)
            f1, f2 = (tabulated * of + self.of_element @ values[name] for of, name in ((f1, "f1"), (f2, "f2")))
        fields = crystal.xyz, crystal.occupancy, crystal.u_iso, crystal.u_aniso, length, f1, f2
        return Atoms(*map(jnp.asarray, fields))

    def _one(
        self, h_rotated: Float[Array, "operations 3"], h_shift: Float[Array, " operations"], s_sq: Scalar, atoms: Atoms
    ) -> Float[Array, ""]:
        """Return ``|F|²`` of one reflection."""
        xyz, occupancy, u_iso, u_aniso, length, f1, f2 = atoms
        f = self.factors
        # by component, because arrays whose last axis has length three are slow;
        # operations are selected by a matrix product, which is faster than indexing
        pick = (jnp.arange(h_shift.shape[0])[:, None] == self.image_operation).astype(h_rotated.dtype)
        h = [h_rotated[:, k] @ pick for k in range(3)]
        turns = sum((h[k] * (self.membership @ xyz[:, k]) for k in range(3)), h_shift @ pick)
        phase = _TWO_PI * turns
        # the barrier keeps XLA, which treats cosines as cheap, from recomputing them at every use
        cos, sin = jax.lax.optimization_barrier((jnp.cos(phase), jnp.sin(phase)))
        if self.has_aniso:
            scaled = [h[k] * length[k] for k in range(3)]
            exponent = sum(
                (1.0 if i == j else 2.0) * scaled[i] * scaled[j] * (self.membership @ u_aniso[:, k])
                for k, (i, j) in enumerate(UIJ)
            )
            damping = jnp.exp(-0.25 * EIGHT_PI2 * exponent)
            cos, sin = cos * damping, sin * damping
        weight = occupancy * jnp.exp(-EIGHT_PI2 * u_iso * s_sq)
        real = (jnp.sum(f.a * jnp.exp(-f.b * s_sq), axis=-1) + f.c + f1) * weight
        imaginary = f2 * weight
        c, s = cos @ self.membership, sin @ self.membership
        return self.centring**2 * (
            jnp.dot(real, c) ** 2 + jnp.dot(real, s) ** 2 + jnp.dot(imaginary, c) ** 2 + jnp.dot(imaginary, s) ** 2
        )


# Every reflection depends on all atoms, but on no other reflection: its gradient costs about three evaluations,
# once, and each of the (many) tangents of a Jacobian is then one small contraction.
@jax.custom_jvp
def _squared(plan: StructureFactors, s_sq: Float[Array, " reflections"], atoms: Atoms) -> Float[Array, " reflections"]:
    return jax.vmap(plan._one, in_axes=(0, 0, 0, None))(plan.h_rotated, plan.h_shift, s_sq, atoms)


@partial(_squared.defjvp, symbolic_zeros=True)
def _squared_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    plan, s_sq, atoms = primals
    of_plan, d_s, d_atoms = tangents
    if not all(isinstance(t, SymbolicZero) for t in jax.tree.leaves(of_plan, is_leaf=_is_zero)):
        raise TypeError("structure factors cannot be differentiated by scattering factors or reflection lists")
    value, by_s, by_atoms = _gradient(plan, s_sq, atoms)
    tangent = jnp.zeros_like(value) if _is_zero(d_s) else by_s * d_s
    for g, name in zip(by_atoms, plan.moving, strict=True):
        if not _is_zero(t := getattr(d_atoms, name)):
            tangent = tangent + jnp.tensordot(g, t, axes=t.ndim)
    return value, tangent


def _gradient(plan: StructureFactors, s_sq: Float[Array, " reflections"], atoms: Atoms) -> tuple[Any, Any, Any]:
    used = plan.moving
    one = lambda h_rotated, h_shift, s_sq, moving: plan._one(
        h_rotated, h_shift, s_sq, atoms._replace(**dict(zip(used, moving, strict=True)))
    )
    gradient = jax.vmap(jax.value_and_grad(one, argnums=(2, 3)), in_axes=(0, 0, 0, None))
    value, (by_s, by_atoms) = gradient(plan.h_rotated, plan.h_shift, s_sq, tuple(getattr(atoms, name) for name in used))
    return value, by_s, by_atoms


def reciprocal_lengths(cell: Float[Array, "6"]) -> Float[Array, "3"]:
    """Return the lengths of the reciprocal axes, Å⁻¹."""
    return jnp.sqrt(jnp.diag(reciprocal_metric(cell)))


def _is_zero(tangent: object) -> bool:
    return isinstance(tangent, SymbolicZero)
