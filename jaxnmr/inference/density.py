"""Conditional density: mixtures of normal distributions in unconstrained coordinates, predicted by a small network."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..typing import Array

# initial factor of the widths of the components
_BEGIN = 0.7
_LOG_2PI = float(np.log(2.0 * np.pi))


class Mixture(NamedTuple):
    """Normal distributions of ``v``, ``(*n, components, ...)``.

    Attributes:
        log_weights: ``(*n, c)`` normalised logarithms of the weights.
        means: ``(*n, c, k)``.
        scales: ``(*n, c, k, k)`` lower triangular factors of the covariances.
    """

    log_weights: Array
    means: Array
    scales: Array

    def log_density(self, v: Float[Array, "*n k"]) -> Float[Array, "*n"]:
        """Return the log density at points."""
        apart = v[..., None, :] - self.means
        solved = jax.scipy.linalg.solve_triangular(self.scales, apart[..., None], lower=True)[..., 0]
        diagonal = jnp.diagonal(self.scales, axis1=-2, axis2=-1)
        each = -0.5 * jnp.sum(solved**2, axis=-1) - jnp.sum(jnp.log(diagonal), axis=-1) - 0.5 * _LOG_2PI * v.shape[-1]
        return jax.scipy.special.logsumexp(self.log_weights + each, axis=-1)

    def marginal_sd(self) -> Float[Array, "*n c k"]:
        """Return the standard deviations of the components along each coordinate."""
        return jnp.sqrt(jnp.sum(self.scales**2, axis=-1))

    def draw(self, key: Array, count: int) -> Float[Array, "count *n k"]:
        """Return samples."""
        which_key, normal_key = jax.random.split(key)
        shape = (count, *self.log_weights.shape[:-1])
        which = jax.random.categorical(which_key, self.log_weights, shape=shape)[..., None]
        means = jnp.take_along_axis(jnp.broadcast_to(self.means, (count, *self.means.shape)), which[..., None], axis=-2)
        scales = jnp.broadcast_to(self.scales, (count, *self.scales.shape))
        scales = jnp.take_along_axis(scales, which[..., None, None], axis=-3)[..., 0, :, :]
        normal = jax.random.normal(normal_key, (*shape, self.means.shape[-1]))
        return means[..., 0, :] + jnp.einsum("...ij,...j->...i", scales, normal)


class MixtureNetwork(nn.Module):
    """Network from features to a mixture.

    Attributes:
        parameters: number of coordinates.
        components: number of normal distributions.
        hidden: widths of the layers.
    """

    parameters: int
    components: int = 6
    hidden: tuple[int, ...] = (128, 128)

    @nn.compact
    def __call__(self, features: Float[Array, "*n f"]) -> Mixture:
        k, c = self.parameters, self.components
        x = features
        for width in self.hidden:
            y = nn.gelu(nn.Dense(width)(x))
            x = x + y if x.shape[-1] == width else y
        off = k * (k - 1) // 2
        out = nn.Dense(c * (1 + 2 * k + off), kernel_init=nn.initializers.normal(0.01))(x)
        out = out.reshape(*features.shape[:-1], c, 1 + 2 * k + off)
        # components start at different places, or they would remain identical
        start = 0.5 * jnp.asarray(np.random.default_rng(0).standard_normal((c, k)), out.dtype)
        scales = jnp.zeros((*out.shape[:-1], k, k), out.dtype)
        scales = scales.at[..., *np.tril_indices(k, -1)].set(out[..., 1 + 2 * k :])
        diagonal = jnp.exp(jnp.clip(out[..., 1 + k : 1 + 2 * k], -6.0, 4.0)) * _BEGIN
        scales = scales.at[..., *np.diag_indices(k)].set(diagonal)
        return Mixture(jax.nn.log_softmax(out[..., 0]), out[..., 1 : 1 + k] + start, scales)


def flat(tree: Any) -> dict[str, np.ndarray]:
    """List leaves by name, for files."""
    return {
        "/".join(str(getattr(part, "key", part)) for part in path): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    }


def unflat(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Invert `flat`, for trees of dictionaries."""
    tree: dict[str, Any] = {}
    for name, leaf in arrays.items():
        *way, last = name.split("/")
        at = tree
        for part in way:
            at = at.setdefault(part, {})
        at[last] = jnp.asarray(leaf)
    return tree
