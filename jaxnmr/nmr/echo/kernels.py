"""Distance dependence of the coupling between two spins on a periodic lattice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Inexact

from ..._arguments import checked
from ..._struct import Struct, set_fields, static
from ...errors import ConventionError
from ...typing import Array, Scalar

Family = Literal["power", "gaussian", "exponential", "stretched", "rkky", "uniform"]
# families for which the length, or the exponent, changes the weights before normalisation
WITH_LENGTH = ("power", "gaussian", "exponential", "stretched", "rkky")
WITH_EXPONENT = ("power", "stretched")


class Kernel(Struct):
    """Weights ``w(r)`` of neighbours at ``r``, with ``w(0) = 0``; lengths are in lattice constants.

    ``power`` ``(r/ξ)^-p``, ``gaussian`` ``exp(-(r/ξ)²)``, ``exponential`` ``exp(-r/ξ)``, ``stretched`` ``exp(-(r/ξ)^p)``, ``rkky``
    ``(x cos x - sin x)/x⁴`` with ``x = 2r/ξ`` (M. A. Ruderman & C. Kittel, Phys. Rev. 96, 99, 1954; ``1/ξ`` is the Fermi wave vector),
    ``uniform`` one over the number of spins. Distances are those to the nearest image.

    Attributes:
        angular: ``(3,)`` weights of 1, ``x/r`` and ``(x² - y²)/r²``, which multiply w(r) (s, p and d).
        family: the radial function.
        normalised: whether the weights of all neighbours sum to 1, which removes the length of a power law.
        directional: whether p contributes, so that w(-r) differs from w(r).
    """

    angular: Array
    family: Family = static()
    normalised: bool = static()
    directional: bool = static()

    @checked
    def __init__(
        self, family: Family = "power", *, normalised: bool = True, angular: Sequence[float] = (1.0, 0.0, 0.0)
    ):
        if family not in get_args(Family):
            raise ConventionError(f"the kernel is {family!r}; expected one of {', '.join(get_args(Family))}")
        weights = np.asarray(angular, dtype=float)
        if weights.shape != (3,) or not weights.any():
            raise ConventionError(f"angular is {angular}; expected three weights, of s, p and d, that are not all 0")
        set_fields(
            self, angular=weights, family=family, normalised=bool(normalised), directional=bool(weights[1] != 0.0)
        )

    @property
    def has_length(self) -> bool:
        """True if ξ has any effect."""
        return self.family in WITH_LENGTH and not (self.family == "power" and self.normalised)

    @property
    def has_exponent(self) -> bool:
        """True if p has any effect."""
        return self.family in WITH_EXPONENT

    def weights(self, sizes: tuple[int, ...], xi: Scalar, p: Scalar) -> Float[Array, "*sizes"]:
        """Return the weights of the neighbours of a spin by their offset, the spin itself first.

        Args:
            sizes: of the lattice.
            xi: length in lattice constants.
            p: exponent of power laws and stretched exponentials.
        """
        kind = jnp.result_type(jnp.asarray(xi).dtype, jnp.asarray(p).dtype)
        offsets, r = neighbours(sizes)
        count = float(np.prod(sizes))
        distance, log_r = jnp.asarray(r, kind), jnp.asarray(np.log(r), kind)
        if self.family == "uniform":
            radial = jnp.full(sizes, 1.0 / count, kind)
        elif self.family == "power":
            # the length of a normalised power law cancels; it is omitted to keep rounding errors out
            radial = jnp.exp(-p * (log_r if self.normalised else log_r - jnp.log(xi)))
        elif self.family == "gaussian":
            radial = jnp.exp(-((distance / xi) ** 2))
        elif self.family == "exponential":
            radial = jnp.exp(-distance / xi)
        elif self.family == "stretched":
            radial = jnp.exp(-jnp.exp(p * (log_r - jnp.log(xi))))
        else:
            x = 2.0 * distance / xi
            radial = (x * jnp.cos(x) - jnp.sin(x)) / x**4
        others = np.ones(sizes)
        others[(0,) * len(sizes)] = 0.0
        x = offsets[0] / r
        y = offsets[1] / r if len(sizes) > 1 else np.zeros(sizes)
        s, px, dxy = jnp.asarray(self.angular, kind)
        found = (
            radial
            * (s + px * jnp.asarray(x, kind) + dxy * jnp.asarray(x * x - y * y, kind))
            * jnp.asarray(others, kind)
        )
        return found / jnp.sum(found) if self.normalised else found

    def transform(self, sizes: tuple[int, ...], xi: Scalar, p: Scalar) -> Inexact[Array, "*sizes"]:
        """Return the Fourier-space factor from spins to their mean fields ``m_i = Σ w(r_j - r_i) I_j``."""
        found = jnp.fft.fftn(self.weights(sizes, xi, p))
        return jnp.conj(found) if self.directional else jnp.real(found)


def neighbours(sizes: tuple[int, ...]) -> tuple[list[Float[np.ndarray, "*sizes"]], Float[np.ndarray, "*sizes"]]:
    """Return offsets from the first spin to the nearest images of all, and distances, 1 for itself (host)."""
    axes = [((np.arange(n) + n // 2) % n - n // 2).astype(float) for n in sizes]
    offsets = list(np.meshgrid(*axes, indexing="ij"))
    r = np.sqrt(sum(x * x for x in offsets))
    r.flat[0] = 1.0
    return offsets, r
