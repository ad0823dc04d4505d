"""The energy of a pair of atoms without their charges, as a function of distance.

``u(r) = A exp(-b r) - C/r⁶ + D/r²⁴`` (R. A. Buckingham, *Proc. R. Soc. A* **168**, 264, 1938). Its attraction wins again at
short distances, where a minimiser would fall into a hole without a bottom; the last term, repulsive and nothing at the
distances of real structures, closes it.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ...errors import ConventionError
from ...typing import Array


@dataclass(frozen=True)
class Cutoff:
    """How ``u(r)`` ends.

    Attributes:
        radius: Å, where it is zero.
        start: Å, up to which a ``switch`` leaves it as it is.
        width: Å, of ``smooth``: everywhere times ``exp(-width²/(r - radius)²)``.
        shift: whether ``u(radius)`` is subtracted first.
        tail: whether the dispersion beyond is added as that of a uniform medium.
    """

    radius: float
    start: float | None = None
    width: float | None = None
    shift: bool = False
    tail: bool = False

    def factor(self, r: Float[Array, " pairs"]) -> Float[Array, " pairs"]:
        """What ``u(r)`` is multiplied with; all derivatives are continuous for ``smooth``, three for ``switch``."""
        if self.start is not None:
            t = jnp.clip((r - self.start) / (self.radius - self.start), 0.0, 1.0)
            return 1.0 - t**4 * (35.0 - 84.0 * t + 70.0 * t**2 - 20.0 * t**3)
        inside = r < self.radius
        if self.width is None:
            return inside.astype(r.dtype)
        # the other branch must have finite derivatives, too
        gap = jnp.where(inside, r, self.radius - 1.0) - self.radius
        return jnp.where(inside, jnp.exp(-((self.width / gap) ** 2)), 0.0)

    def missing_dispersion(self) -> float:
        """``integral of (1 - factor) r⁻⁶ 4 pi r² dr`` in Å⁻³ (host)."""
        if not self.tail:
            return 0.0
        beyond = 1.0 / (3.0 * self.radius**3)
        if self.start is not None:
            nodes, weights = np.polynomial.legendre.leggauss(24)
            half = (self.radius - self.start) / 2.0
            r = self.start + half * (nodes + 1.0)
            t = (r - self.start) / (2.0 * half)
            off = t**4 * (35.0 - 84.0 * t + 70.0 * t**2 - 20.0 * t**3)
            beyond += half * float(np.sum(weights * off / r**4))
        return 4.0 * np.pi * beyond


def buckingham(r: Float[Array, " pairs"], a: Array, b: Array, c: Array, d: Array) -> Float[Array, " pairs"]:
    """``A exp(-b r) - C/r⁶ + D/r²⁴`` in eV, of parameters for every pair."""
    sixth = 1.0 / (r * r * r) ** 2
    return a * jnp.exp(-b * r) - c * sixth + d * (sixth * sixth) ** 2


def check_closed(name: str, pair: str, charges: float, parameters: dict[str, float], coulomb: float) -> None:
    """Refuse a pair that attracts without end at short distances (host).

    Args:
        charges: product of the two, e².
        parameters: A, b, C, D.
        coulomb: e²/(4 pi epsilon0), eV Å.

    Raises:
        ConventionError: a hole; with the coefficient that closes it.
    """
    r = np.geomspace(0.3, 3.0, 2000)
    a, b, c, d = (parameters[key] for key in ("A", "b", "C", "D"))
    pull = -coulomb * charges / r**2 + 6.0 * c / r**7 - a * b * np.exp(-b * r)
    # the innermost stretch where it is pulled inwards ends at a well of the whole, if the hole is closed there is none inside
    outward = np.flatnonzero(pull < 0.0)
    if not len(outward) and charges >= 0 and c <= 0:
        return
    inside = r < r[outward[0]] if len(outward) else np.ones_like(r, dtype=bool)
    needed = float(np.max(np.where(inside, pull * r**25 / 24.0, 0.0)))
    if d < needed:
        raise ConventionError(
            f"{name}, {pair}: the attraction wins at short distances and atoms that come close never part. A core D of at least "
            f"{needed:.3g} eV Å²⁴ closes the hole; it changes nothing at the distances of real structures"
        )
