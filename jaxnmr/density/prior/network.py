"""Network from lines and composition to coefficients: normal with a low-rank plus diagonal covariance."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ...typing import Array

# added before taking logarithms, relative to the strongest line
_FLOOR = 1e-3
# kinds of composition given, in the order of their codes
KNOWN = ("full", "elements", "none")


class Normal(NamedTuple):
    """Normal distributions of coefficients in the network's units, covariance ``W diag(low²) W^T + diag(own²)``.

    Attributes:
        mean: ``(*n, K)``.
        low: ``(*n, r)`` standard deviations along the columns of ``W``, which is common to all crystals.
        own: ``(*n, K)``.
        directions: ``(K, r)`` columns of ``W``.
    """

    mean: Array
    low: Array
    own: Array
    directions: Array

    def negative_log_likelihood(self, c: Float[Array, "*n k"]) -> Float[Array, "*n"]:
        """Return the negative log-likelihood of coefficients without its constant, via a matrix of size ``r``."""
        apart = (c - self.mean) / self.own
        scaled = self.directions * self.low[..., None, :] / self.own[..., :, None]
        inner = jnp.swapaxes(scaled, -1, -2) @ scaled + jnp.eye(self.low.shape[-1])
        factor = jnp.linalg.cholesky(inner)
        along = jnp.einsum("...kr,...k->...r", scaled, apart)
        solved = jax.scipy.linalg.solve_triangular(factor, along[..., None], lower=True)[..., 0]
        log_det = 2.0 * jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)).sum(-1) + 2.0 * jnp.log(self.own).sum(-1)
        return 0.5 * ((apart**2).sum(-1) - (solved**2).sum(-1) + log_det)


class CoefficientNetwork(nn.Module):
    """Residual layers, with one head for the mean and one for the covariance.

    Attributes:
        size: number of coefficients.
        rank: rank of the low-rank part.
        width, depth: size of the layers.
    """

    size: int
    rank: int = 24
    width: int = 384
    depth: int = 3

    @nn.compact
    def __call__(self, x: Float[Array, "*n f"]) -> Normal:
        h = nn.gelu(nn.Dense(self.width)(x))
        for _ in range(self.depth):
            h = h + nn.gelu(nn.Dense(self.width)(h))
        mean = nn.Dense(self.size, kernel_init=nn.initializers.normal(0.005))(h)
        # gradients of the covariance must not change the features of the mean
        spread = nn.Dense(self.rank + self.size, kernel_init=nn.initializers.normal(0.005))(jax.lax.stop_gradient(h))
        low, own = jnp.split(spread, [self.rank], axis=-1)
        start = np.eye(self.size, self.rank, dtype=np.float32)
        directions = self.param("directions", lambda _: jnp.asarray(start))
        return Normal(mean, jnp.exp(low - 2.0), jnp.exp(own - 3.0), directions)


def features(
    areas: Float[Array, "*n lines"],
    pattern: Float[Array, "*n"],
    composition: Float[Array, "*n elements"],
    known: Any,
    edge: Float[Array, "*n"],
) -> Float[Array, "*n f"]:
    """Return the input features of the network (traceable).

    Args:
        areas: areas of lines, on any scale.
        pattern: 1 where areas are given, else 0.
        composition: atom fractions; only their signs are used where ``known`` is 1, nothing where it is 2.
        known: integers, indices of `KNOWN`.
        edge: edge of the cell, Å.
    """
    there = pattern[..., None]
    relative = areas / (areas.sum(-1, keepdims=True) + 1e-30)
    strongest = relative.max(-1, keepdims=True)
    logs = jnp.where(there > 0, jnp.log(relative + _FLOOR * strongest + 1e-30), 0.0)
    roots = jnp.where(there > 0, jnp.sqrt(relative), 0.0)
    level = jnp.asarray(known)[..., None]
    given = jnp.where(level == 0, 5.0 * composition, jnp.where(level == 1, 1.25 * (composition > 0), 0.0))
    flags = jnp.concatenate([level == 0, level == 1, there > 0], axis=-1).astype(relative.dtype)
    return jnp.concatenate([logs, roots, given, flags, edge[..., None] - 4.0], axis=-1)
