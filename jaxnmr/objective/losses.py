"""`Loss`: robust losses, for terms of which a few observations may be wrong.

In least squares one bad observation pulls the answer in proportion to its error. A robust loss grows more slowly than
the square: small residuals count as before, large ones little. Residuals ``r`` are replaced by ``f(r)`` whose square is
the loss, so that methods for sums of squares keep working; rows of the Jacobian are multiplied by ``f'(r)``.

Scales are in standard uncertainties. The default scales lose 5 % of efficiency if all errors are normal: standard
uncertainties of refined parameters are then 2.6 % larger than with least squares.

Source: P. J. Huber, Robust Statistics (1981); the constants of Huber and Cauchy agree with P. W. Holland & R. E. Welsch,
Commun. Stat. A 6, 813 (1977).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from .._arguments import is_number
from .._arrays import namespace
from ..errors import ParameterError
from ..typing import Array

LossKind = Literal["huber", "soft_l1", "cauchy", "geman_mcclure"]

# in standard uncertainties: (E psi')² / E psi² = 0.95 for normal errors
SCALES = {"huber": 1.3449975, "soft_l1": 1.2870992, "cauchy": 2.3849471, "geman_mcclure": 3.7874187}


def _huber(r, c):
    size = jnp.abs(r)
    far = size > c
    return jnp.where(far, jnp.sign(r) * jnp.sqrt(jnp.where(far, 2.0 * c * size - c * c, 1.0)), r)


def _soft_l1(r, c):
    return r * jnp.sqrt(2.0 / (1.0 + jnp.sqrt(1.0 + (r / c) ** 2)))


def _cauchy(r, c):
    square = (r / c) ** 2
    small = square < 1e-4
    safe = jnp.where(small, 1.0, square)
    series = 1.0 - square * (1.0 / 2.0 - square * (1.0 / 3.0 - square / 4.0))
    return r * jnp.sqrt(jnp.where(small, series, jnp.log1p(safe) / safe))


def _geman_mcclure(r, c):
    return r / jnp.sqrt(1.0 + (r / c) ** 2)


# by kind: f, its inverse for sizes, psi = f f', and psi' with z = r/c
_FORWARD: dict[str, Callable] = {
    "huber": _huber, "soft_l1": _soft_l1, "cauchy": _cauchy, "geman_mcclure": _geman_mcclure
}  # fmt: skip
_BACK: dict[str, Callable] = {
    "huber": lambda f, c, xp: xp.where(f > c, (f * f + c * c) / (2.0 * c), f),
    "soft_l1": lambda f, c, xp: f * xp.sqrt(1.0 + (0.5 * f / c) ** 2),
    "cauchy": lambda f, c, xp: c * xp.sqrt(xp.expm1((f / c) ** 2)),
    "geman_mcclure": lambda f, c, xp: f / xp.sqrt(xp.maximum(1.0 - (f / c) ** 2, 1e-12)),
}
_INFLUENCE: dict[str, Callable] = {
    "huber": lambda r, c: np.clip(r, -c, c),
    "soft_l1": lambda r, c: r / np.sqrt(1.0 + (r / c) ** 2),
    "cauchy": lambda r, c: r / (1.0 + (r / c) ** 2),
    "geman_mcclure": lambda r, c: r / (1.0 + (r / c) ** 2) ** 2,
}
_CURVATURE: dict[str, Callable] = {
    "huber": lambda z: (np.abs(z) <= 1.0).astype(float),
    "soft_l1": lambda z: (1.0 + z * z) ** -1.5,
    "cauchy": lambda z: (1.0 - z * z) / (1.0 + z * z) ** 2,
    "geman_mcclure": lambda z: (1.0 - 3.0 * z * z) / (1.0 + z * z) ** 3,
}


@dataclass(frozen=True)
class Loss:
    """A robust loss.

    With ``z = r/c`` the loss ``f(r)²``, which is ``r²`` near zero, is

    * ``"huber"``: ``r²``, and linear beyond ``c``: ``2 c |r| - c²``. Convex.
    * ``"soft_l1"``: ``2 c² (sqrt(1 + z²) - 1)``: similar, but smooth. Convex.
    * ``"cauchy"``: ``c² log(1 + z²)``. The influence of an observation decreases with its distance; several minima are
      possible.
    * ``"geman_mcclure"``: ``r²/(1 + z²)``: bounded by ``c²``, so that distant outliers have no influence.

    Attributes:
        kind: one of the names above.
        scale: ``c`` in standard uncertainties.
    """

    kind: str
    scale: float

    @classmethod
    def create(cls, kind: str, scale: float | None = None) -> Loss:
        """Check the arguments and fill in the default scale.

        Raises:
            ParameterError: the kind is unknown, or the scale is not a positive number.
        """
        if not isinstance(kind, str) or kind not in SCALES:
            raise ParameterError(f"there is no robust loss {kind!r}; expected one of {', '.join(SCALES)}")
        scale = SCALES[kind] if scale is None else scale
        if not is_number(scale) or not 0 < scale < math.inf:
            raise ParameterError(
                f"the scale of a robust loss is {scale}; expected a positive number of sigmas, such as 2"
            )
        return cls(kind, float(scale))

    def residuals(self, r: Array) -> Array:
        """Return ``f(r)``, any shape (traceable)."""
        return _FORWARD[self.kind](r, self.scale)

    def residuals_and_slopes(self, r: Array) -> tuple[Array, Array]:
        """Return ``f(r)`` and ``f'(r)`` (traceable)."""
        return jax.jvp(self.residuals, (r,), (jnp.ones_like(r),))

    def undone(self, f: Array) -> Array:
        """Return the residuals ``r`` that belong to ``f(r)`` (traceable)."""
        xp = namespace(f)
        return xp.sign(f) * _BACK[self.kind](xp.abs(f), self.scale, xp)

    def influence(self, r: np.ndarray) -> np.ndarray:
        """Return the influence ``psi = f f'`` of residuals; ``r`` in least squares (host)."""
        return _INFLUENCE[self.kind](np.asarray(r, dtype=float), self.scale)

    def weights(self, r: np.ndarray) -> np.ndarray:
        """Return the weight ``psi/r`` of every residual, from 0 to 1 (host)."""
        r = np.asarray(r, dtype=float)
        return np.where(r == 0, 1.0, self.influence(r) / np.where(r == 0, 1.0, r))

    def curvature(self, r: np.ndarray) -> np.ndarray:
        """Return ``psi'``, the derivative of the influence; 1 in least squares (host)."""
        return _CURVATURE[self.kind](np.asarray(r, dtype=float) / self.scale)

    def normal_moments(self) -> tuple[float, float]:
        """Return the expectations of ``psi'`` and ``psi²`` for normal residuals with standard deviation 1 (host)."""
        return _normal_moments(self)


def slopes(loss: Loss | None, r: Array, weight: Array) -> tuple[Array, Array]:
    """Return residuals with loss and weight, ``sqrt(weight) f(r)``, and derivatives by ``r``; any shape (traceable).

    Args:
        loss: ``None`` for least squares.
        r: whitened residuals.
        weight: weight of the squared residuals.
    """
    size = jnp.sqrt(weight)
    if loss is None:
        return size * r, jnp.broadcast_to(size, r.shape)
    f, slope = loss.residuals_and_slopes(r)
    return size * f, size * slope


@lru_cache
def _normal_moments(loss: Loss) -> tuple[float, float]:
    # the corner of the Huber loss at its scale must be an interval edge
    edges = np.unique(np.concatenate([np.linspace(0.0, 10.0, 41), [min(loss.scale, 10.0)]]))
    nodes, weights = np.polynomial.legendre.leggauss(12)
    half, middle = 0.5 * np.diff(edges)[:, None], 0.5 * (edges[1:] + edges[:-1])[:, None]
    r = (middle + half * nodes).ravel()
    density = (half * weights).ravel() * np.exp(-0.5 * r * r) * math.sqrt(2.0 / math.pi)
    return float(density @ loss.curvature(r)), float(density @ loss.influence(r) ** 2)
