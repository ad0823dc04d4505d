"""Posteriors of observations: densities, intervals, samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp, ndtr
from jaxtyping import Float

from .._arguments import checked
from ..errors import ParameterError, ShapeError
from ..typing import Array
from .density import Mixture
from .prior import BoxPrior

_BISECTIONS = 40
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(15)


@dataclass(frozen=True)
class Inferred:
    """Posterior of n observations.

    Attributes:
        prior: prior of all parameters.
        mixture: distribution of ``v``, the deviation of u from ``centre`` in units of ``scale``.
        centre, scale: ``(n, k)`` centre and scale of u, the coordinates of the determined parameters in which the prior
            is a standard normal.
    """

    prior: BoxPrior
    mixture: Mixture
    centre: Array
    scale: Array

    def __len__(self) -> int:
        return len(self.centre)

    def part(self, which: int) -> Inferred:
        """Return the posterior of one observation."""
        chosen = slice(which, which + 1)
        mixture = Mixture(*(a[chosen] for a in self.mixture))
        return Inferred(self.prior, mixture, self.centre[chosen], self.scale[chosen])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the k determined parameters."""
        return self.prior.determined.names

    @property
    def undetermined(self) -> tuple[str, ...]:
        """Names of parameters without effect on the observation: their posterior is their prior, without estimate."""
        return tuple(p.name for p in self.prior.undetermined)

    @property
    def _components(self) -> tuple[Array, Array]:
        """Means and standard deviations of the components of u, ``(n, c, k)``."""
        return _moved(self.mixture, self.centre, self.scale)

    @property
    def mean(self) -> Float[np.ndarray, "n k"]:
        """Posterior mean of θ, the estimate with least mean square error."""
        return self._physical(_mean(self.mixture.log_weights, *self._components))

    @property
    def sd(self) -> Float[np.ndarray, "n k"]:
        """Posterior standard deviation of θ."""
        variance = _variance(self.mixture.log_weights, *self._components)
        return np.sqrt(np.asarray(variance, dtype=float)) * self.prior.determined.width

    @checked
    def quantile(self, level: float) -> Float[np.ndarray, "n k"]:
        """Return θ below which this fraction of the posterior of each parameter lies."""
        if not 0.0 < level < 1.0:
            raise ParameterError(f"the level of a quantile is {level:g}; expected a number between 0 and 1")
        return self._physical(_quantile(self.mixture.log_weights, *self._components, level))

    def interval(self, level: float = 0.68) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends ``(n, k)`` of the central interval that contains this fraction of the posterior."""
        return self.quantile(0.5 - 0.5 * level), self.quantile(0.5 + 0.5 * level)

    def rank(self, theta: np.ndarray) -> Float[np.ndarray, "n k"]:
        """Return the posterior probability below θ for each parameter: uniform if the posterior is calibrated.

        Args:
            theta: ``(n, k)`` determined parameters, or ``(n, all)``.
        """
        return np.asarray(self._below(self.prior.determined.to_normal(self._determined(theta))), dtype=float)

    @checked
    def draw(self, count: int, *, seed: int = 0) -> Float[np.ndarray, "count n all"]:
        """Return samples of all parameters θ; undetermined ones are drawn from their prior."""
        mixture_key, prior_key = jax.random.split(jax.random.key(seed))
        u = self.centre + self.scale * self.mixture.draw(mixture_key, count)
        unknown = jax.random.uniform(prior_key, (*u.shape[:2], len(self.prior.parameters)))
        found = np.array(self.prior.low + self.prior.width * np.asarray(unknown, dtype=float))
        found[..., list(self.prior.indices)] = self._physical(ndtr(u))
        return found

    def log_density(self, theta: np.ndarray) -> Float[np.ndarray, " n"]:
        """Return the logarithm of the posterior density of the determined parameters, in their units.

        Args:
            theta: ``(n, k)`` determined parameters, or ``(n, all)``.
        """
        u = self.prior.determined.to_normal(self._determined(theta))
        inside = self.mixture.log_density((u - self.centre) / self.scale) - jnp.sum(jnp.log(self.scale), axis=-1)
        # du/dθ = 1/(width φ(u))
        change = jnp.sum(0.5 * u * u + 0.5 * np.log(2.0 * np.pi), axis=-1)
        return np.asarray(inside + change, dtype=float) - float(np.log(self.prior.determined.width).sum())

    def _below(self, u: Array) -> Array:
        return _below(self.mixture.log_weights, *self._components, u)

    def _determined(self, theta: np.ndarray) -> np.ndarray:
        theta = np.asarray(theta, dtype=float)
        n, k = self.centre.shape
        if theta.shape == (n, len(self.prior.parameters)):
            return theta[:, list(self.prior.indices)]
        if theta.shape != (n, k):
            raise ShapeError(f"θ has the shape {theta.shape}; expected ({n}, {k}): {', '.join(self.names)}")
        return theta

    def _physical(self, part: Array) -> np.ndarray:
        determined = self.prior.determined
        return determined.low + determined.width * np.asarray(part, dtype=float)


def joined(parts: Sequence[Inferred]) -> Inferred:
    """Join posteriors with the same prior and number of components."""
    mixture = Mixture(*(jnp.concatenate(arrays) for arrays in zip(*(of.mixture for of in parts), strict=True)))
    centre, scale = (jnp.concatenate([getattr(of, name) for of in parts]) for name in ("centre", "scale"))
    return Inferred(parts[0].prior, mixture, centre, scale)


@jax.jit
def _moved(mixture: Mixture, centre: Array, scale: Array) -> tuple[Array, Array]:
    scale = scale[:, None, :]
    return centre[:, None, :] + scale * mixture.means, scale * mixture.marginal_sd()


@jax.jit
def _mean(log_weights: Array, m: Array, s: Array) -> Array:
    return jnp.sum(jnp.exp(log_weights)[..., None] * ndtr(m / jnp.sqrt(1.0 + s * s)), axis=1)


@jax.jit
def _variance(log_weights: Array, m: Array, s: Array) -> Array:
    weights = jnp.exp(log_weights)[..., None, None] * (_NODE_WEIGHTS / _NODE_WEIGHTS.sum())
    points = ndtr(m[..., None] + s[..., None] * _NODES)
    mean = jnp.sum(weights * points, axis=(1, 3))
    return jnp.sum(weights * (points - mean[:, None, :, None]) ** 2, axis=(1, 3))


@jax.jit
def _below(log_weights: Array, m: Array, s: Array, u: Array) -> Array:
    return jnp.exp(logsumexp(log_weights[..., None], axis=1, b=ndtr((u[:, None, :] - m) / s)))


@jax.jit
def _quantile(log_weights: Array, m: Array, s: Array, level: float) -> Array:
    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        above = _below(log_weights, m, s, middle) > level
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    low, high = jax.lax.fori_loop(0, _BISECTIONS, halve, (jnp.min(m - 8.0 * s, axis=1), jnp.max(m + 8.0 * s, axis=1)))
    return ndtr(0.5 * (low + high))
