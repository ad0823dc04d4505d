"""Squared structure factors, Friedel-averaged, with derivatives that cost one extra pass.

``|F|² = |sum (f0 + f') T e^{i phi}|² + |sum f'' T e^{i phi}|²`` is the exact mean of ``|F(h)|²`` and ``|F(-h)|²``,
centrosymmetric or not.
"""

from functools import partial
from typing import Any, Self

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

# coordinates, occupancies, isotropic and anisotropic displacements of the sites, and lengths of the reciprocal axes
Atoms = tuple[
    Float[Array, "sites 3"],
    Float[Array, " sites"],
    Float[Array, " sites"],
    Float[Array, "sites 6"],
    Float[Array, "3"],
]


class StructureFactors(Struct):
    """Everything about a phase's structure factors that does not change in a refinement.

    Attributes:
        h_rotated: the row vectors ``h R``.
        h_shift: the products ``h t``.
        image_operation, image_site: which operation and site make each atom of the primitive cell.
        membership: 1 where the image belongs to the site.
        centring: number of lattice points per cell.
        factors: scattering factors per site.
        has_aniso: whether any site has anisotropic displacement.
    """

    h_rotated: Float[Array, "reflections operations 3"]
    h_shift: Float[Array, "reflections operations"]
    image_operation: Int[Array, " images"]
    image_site: Int[Array, " images"]
    membership: Float[Array, "images sites"]
    centring: Scalar
    factors: ScatteringFactors
    has_aniso: bool = static()

    @classmethod
    def plan(cls, crystal: Crystal, hkl: Real[np.ndarray, "n 3"], radiation: str, wavelength: float) -> Self:
        """Prepare the structure factors of ``hkl`` (host)."""
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
            has_aniso=any(crystal.anisotropic),
        )

    def squared(self, crystal: Crystal, d_star_sq: Float[Array, " reflections"]) -> Float[Array, " reflections"]:
        """``|F|²`` per conventional cell in electrons² (fm² for neutrons).

        Args:
            crystal: the structure, on any values of its parameters.
            d_star_sq: ``1/d²`` in Å⁻².
        """
        length = jnp.sqrt(jnp.diag(reciprocal_metric(jnp.asarray(crystal.cell))))
        atoms = (crystal.xyz, crystal.occupancy, crystal.u_iso, crystal.u_aniso, length)
        return _squared(self, d_star_sq / 4.0, jax.tree.map(jnp.asarray, atoms))

    def _one(
        self, h_rotated: Float[Array, "operations 3"], h_shift: Float[Array, " operations"], s_sq: Scalar, atoms: Atoms
    ) -> Float[Array, ""]:
        """``|F|²`` of one reflection."""
        xyz, occupancy, u_iso, u_aniso, length = atoms
        f = self.factors
        h = h_rotated[self.image_operation]
        phase = _TWO_PI * (jnp.sum(h * (self.membership @ xyz), axis=-1) + h_shift[self.image_operation])
        cos, sin = jnp.cos(phase), jnp.sin(phase)
        if self.has_aniso:
            scaled = h * length
            products = jnp.stack([scaled[:, i] * scaled[:, j] * (1.0 if i == j else 2.0) for i, j in UIJ], axis=-1)
            damping = jnp.exp(-0.25 * EIGHT_PI2 * jnp.sum(products * (self.membership @ u_aniso), axis=-1))
            cos, sin = cos * damping, sin * damping
        weight = occupancy * jnp.exp(-EIGHT_PI2 * u_iso * s_sq)
        real = (jnp.sum(f.a * jnp.exp(-f.b * s_sq), axis=-1) + f.c + f.f1) * weight
        imaginary = f.f2 * weight
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
    gradient = jax.vmap(jax.value_and_grad(plan._one, argnums=(2, 3)), in_axes=(0, 0, 0, None))
    value, (by_s, by_atoms) = gradient(plan.h_rotated, plan.h_shift, s_sq, atoms)
    tangent = jnp.zeros_like(value) if _is_zero(d_s) else by_s * d_s
    for g, t in zip(by_atoms, d_atoms, strict=True):
        if not _is_zero(t):
            tangent = tangent + jnp.tensordot(g, t, axes=t.ndim)
    return value, tangent


def _is_zero(tangent: object) -> bool:
    return isinstance(tangent, SymbolicZero)
