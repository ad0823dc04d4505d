"""Covariance of a curve due to the random draw of frequencies, estimated from many draws (host)."""

from __future__ import annotations

from typing import Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Complex, Float

from ..._struct import Struct
from ...errors import DataError
from ...typing import Array, Scalar

FEWEST_DRAWS = 16


def as_real(curves: Complex[Array, "*curves points"]) -> Float[Array, "*curves numbers"]:
    """Concatenate real parts and imaginary parts along the last dimension."""
    return jnp.concatenate([jnp.real(curves), jnp.imag(curves)], axis=-1)


class DrawCovariance(Struct):
    """Covariance of curves over independent draws of the frequencies: principal directions and a common remainder.

    The directions come from one half of the draws, the standard deviations along and beside them from the other half.
    From the same draws they would be too small, most of all along the quiet directions that determine the coupling and
    its relaxation.

    Attributes:
        directions: ``(directions, numbers)``, orthonormal.
        deviations: ``(directions,)`` standard deviations along them.
        rest: standard deviation along every other direction.
    """

    directions: Array
    deviations: Array
    rest: Array

    @classmethod
    def of(cls, curves: Complex[np.ndarray, "draws points"]) -> Self:
        """Estimate from curves with the same parameters.

        Args:
            curves: independent draws, 16 or more; a thousand determine all directions of a curve of 471 points.

        Raises:
            DataError: too few curves, or numbers that are not finite.
        """
        values = np.asarray(as_real(np.asarray(curves)), dtype=float)
        if len(values) < FEWEST_DRAWS or not np.isfinite(values).all():
            raise DataError(
                f"the covariance of draws was asked of {len(values)} curves{'' if np.isfinite(values).all() else ', not all of them finite'}; "
                f"expected {FEWEST_DRAWS} or more finite ones"
            )
        half = len(values) // 2
        first, second = (part - part.mean(axis=0) for part in (values[:half], values[half:]))
        _, s, vt = np.linalg.svd(first, full_matrices=False)
        directions = vt[s > 1e-12 * max(s[0], 1e-300)]
        count = len(second) - 1
        along = second @ directions.T
        left = values.shape[1] - len(directions)
        beside = np.sum((second - along @ directions) ** 2) / count
        return cls(
            directions=directions,
            deviations=np.sqrt(np.sum(along**2, axis=0) / count),
            rest=np.asarray(np.sqrt(max(beside, 0.0) / left) if left else 0.0),
        )

    def whitened(
        self, values: Float[Array, "*n numbers"], noise: Scalar, times: float = 1.0
    ) -> Float[Array, "*n numbers"]:
        """Multiply by the inverse square root of the covariance plus white noise. Traceable.

        Args:
            values: as returned by :func:`as_real`.
            noise: standard deviation of white noise on real and imaginary parts.
            times: factor of the covariance: 1 + 1/K for comparison with a mean of K draws.
        """
        along = values @ self.directions.T
        other = 1.0 / jnp.sqrt(noise**2 + times * self.rest**2)
        factors = 1.0 / jnp.sqrt(noise**2 + times * self.deviations**2) - other
        return values * other + (along * factors) @ self.directions

    def total(self) -> Float[np.ndarray, " numbers"]:
        """Return the standard deviation of each number."""
        directions = np.asarray(self.directions)
        share = np.asarray(self.deviations) ** 2 - np.asarray(self.rest) ** 2
        return np.sqrt(np.maximum(np.asarray(self.rest) ** 2 + share @ directions**2, 0.0))
