"""Parameters to be inferred: named, uniform in a box, and mapped to coordinates for a network.

Every parameter has three representations: its value θ; ``u``, mapped so that the prior is a standard normal without edges;
and the summary ``t`` that linear experts estimate, θ itself or, if the observable is linear in a rate, ``10^-(θ - low)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Float, Key

from .._arguments import checked
from ..errors import ParameterError, ShapeError
from ..typing import Array

# limit of u: beyond it lies 10⁻⁷ of the prior, not resolved in single precision
_EDGE = 1e-7
_POINTS = 161
_REACH = 6.0


@checked
@dataclass(frozen=True)
class Parameter:
    """A parameter with a uniform prior.

    Attributes:
        name: of the parameter.
        low, high: limits of the prior.
        summary: quantity in which the observable is more nearly linear: the value itself, or (``decade``)
            ``10^-(θ - low)``.
        determined: whether the observable depends on it at all; otherwise the posterior is the prior.
    """

    name: str
    low: float
    high: float
    summary: Literal["linear", "decade"] = "linear"
    determined: bool = True

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ParameterError(f"{self.name} lies between {self.low:g} and {self.high:g}; expected low < high")
        if self.summary not in ("linear", "decade"):
            raise ParameterError(f"the summary of {self.name} is {self.summary!r}; expected linear or decade")


@dataclass(frozen=True)
class BoxPrior:
    """Independent uniform parameters.

    Attributes:
        parameters: in the order of ``θ``.
    """

    parameters: tuple[Parameter, ...]

    def __init__(self, parameters: Sequence[Parameter]):
        names = [p.name for p in parameters]
        if not names or len(set(names)) < len(names):
            raise ParameterError(f"the parameters are {names}; expected one or more with different names")
        object.__setattr__(self, "parameters", tuple(parameters))
        if not self.determined.names:
            raise ParameterError(f"none of {', '.join(names)} is determined: there is nothing to infer")

    @classmethod
    def none(cls) -> BoxPrior:
        """Return a prior without parameters."""
        found = object.__new__(cls)
        object.__setattr__(found, "parameters", ())
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all parameters."""
        return tuple(p.name for p in self.parameters)

    @property
    def determined(self) -> BoxPrior:
        """Prior of the parameters that affect the observable."""
        if all(p.determined for p in self.parameters):
            return self
        found = object.__new__(BoxPrior)
        object.__setattr__(found, "parameters", tuple(p for p in self.parameters if p.determined))
        return found

    @property
    def undetermined(self) -> tuple[Parameter, ...]:
        """Parameters that do not affect the observable."""
        return tuple(p for p in self.parameters if not p.determined)

    @property
    def indices(self) -> tuple[int, ...]:
        """Indices of the determined parameters in ``θ``."""
        return tuple(k for k, p in enumerate(self.parameters) if p.determined)

    @property
    def low(self) -> np.ndarray:
        """Lower limits, ``(k,)``."""
        return np.array([p.low for p in self.parameters])

    @property
    def width(self) -> np.ndarray:
        """Widths, ``(k,)``."""
        return np.array([p.high - p.low for p in self.parameters])

    def draw(self, key: Key[Array, ""]) -> Float[Array, " k"]:
        """Draw one θ in single precision; traceable."""
        u = jax.random.uniform(key, (len(self.parameters),), jnp.float32)
        return jnp.asarray(self.low, u.dtype) + jnp.asarray(self.width, u.dtype) * u

    def to_normal(self, theta: Float[Array, "*n k"]) -> Float[Array, "*n k"]:
        """Map θ to the coordinates in which the prior is a standard normal, limited to ±5.2."""
        part = (jnp.asarray(theta) - self.low) / self.width
        return _normal(part)

    def from_normal(self, u: Float[Array, "*n k"]) -> Float[Array, "*n k"]:
        """Invert `to_normal`."""
        return self.low + self.width * ndtr(jnp.asarray(u))

    def summaries(self, theta: np.ndarray) -> np.ndarray:
        """Return the summaries ``(n, k)`` that experts estimate."""
        theta = np.asarray(theta, dtype=float)
        if theta.ndim != 2 or theta.shape[1] != len(self.parameters):
            raise ShapeError(f"θ has the shape {theta.shape}; expected (n, {len(self.parameters)})")
        decade = np.array([p.summary == "decade" for p in self.parameters])
        return np.where(decade, 10.0 ** -np.where(decade, theta - self.low, 0.0), theta)

    def located(self, summary: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Locate each parameter from estimates of the summaries with normal errors, by Bayes' rule in one dimension.

        Args:
            summary, sd: ``(n, k)`` estimates and their standard deviations.

        Returns:
            ``(n, k)`` mean of u, standard deviation of u, mean of θ.
        """
        if not self.parameters:
            return summary, summary, summary
        # batches of few sizes: rarely compiled
        n = len(summary)
        more = -n % (64 if n <= 64 else 2048)
        padded = [np.pad(of, ((0, more), (0, 0)), constant_values=1.0) for of in (summary, sd)]
        found = [
            _located(*(jnp.asarray(of[:, k]) for of in padded), p.low, p.high, p.summary == "decade")
            for k, p in enumerate(self.parameters)
        ]
        mean_u, sd_u, theta = (np.stack([np.asarray(f[i], dtype=float)[:n] for f in found], axis=1) for i in range(3))
        return mean_u, sd_u, theta

    def to_dict(self) -> list[dict[str, Any]]:
        """Return plain values."""
        return [asdict(p) for p in self.parameters]


@jax.jit
def _normal(part: Array) -> Array:
    return ndtri(jnp.clip(part, _EDGE, 1.0 - _EDGE))


@partial(jax.jit, static_argnums=4)
def _located(y: Array, sd: Array, low: float, high: float, decade: bool) -> tuple[Array, Array, Array]:
    width = high - low
    least, most = (10.0**-width, 1.0) if decade else (low, high)
    # work with y - t in units of sd rather than with t: sd may be tiny
    begin = jnp.clip((least - y) / sd, -_REACH, _REACH)
    end = jnp.clip((most - y) / sd, -_REACH, _REACH)
    # if the whole box lies on one side, take the nearer end
    begin, end = jnp.where(end - begin < 1e-3, begin - 1e-3, begin), jnp.where(end - begin < 1e-3, end + 1e-3, end)
    edges = begin + (end - begin) * jnp.linspace(0.0, 1.0, _POINTS)[:, None]
    t = jnp.clip(y + sd * edges, least, most)
    part = -jnp.log10(t) / width if decade else (t - low) / width
    # prior probability between neighbours; if constant in t, differences would only add rounding errors
    log_prior = jnp.log(jnp.abs(jnp.diff(part, axis=0)) + 1e-12) if decade else 0.0
    z, part = 0.5 * (edges[1:] + edges[:-1]), 0.5 * (part[1:] + part[:-1])
    weight = jax.nn.softmax(log_prior - 0.5 * z * z, axis=0)
    u = _normal(part)
    mean = jnp.sum(weight * u, axis=0)
    spread = jnp.sqrt(jnp.sum(weight * (u - mean) ** 2, axis=0))
    return mean, jnp.maximum(spread, 1e-5), low + width * jnp.sum(weight * part, axis=0)
