"""Amortised posterior: a first guess, linear experts in two stages at several noise levels, and a conditional density."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._arguments import checked
from ..errors import ConventionError, DataError, ParseError, ShapeError
from .density import Mixture, MixtureNetwork, flat, unflat
from .files import FORMAT, file_of, read_arrays, write_arrays
from .inferred import Inferred
from .prior import BoxPrior, Parameter
from .summariser import Summariser

_KEY = "jaxnmr-posterior"
_AT_ONCE = 4096


@dataclass(frozen=True)
class Posterior:
    """Map from an observation to the distribution of its parameters.

    Attributes:
        name: name of the problem.
        summariser: experts.
        network: the architecture of the density.
        variables: its parameters.
        card: origin and quality.
    """

    name: str
    summariser: Summariser
    network: MixtureNetwork
    variables: Mapping[str, Any]
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def prior(self) -> BoxPrior:
        """Prior of all parameters."""
        return self.summariser.prior

    @property
    def numbers(self) -> int:
        """Number of values in an observation."""
        return len(self.summariser.gate.centre)

    @checked
    def infer(self, observations: np.ndarray, *, sigma: float) -> Inferred:
        """Return the posterior of each observation (host).

        Args:
            observations: ``(n, numbers)``, or ``(numbers,)`` for a single one.
            sigma: standard deviation of the white noise on each number; 0 for simulations, which are then used to their
                last digits.

        Raises:
            ShapeError: the observations have the wrong length.
            DataError: numbers are not finite.
            ConventionError: noise is negative, or larger than in training.
        """
        x = checked_observations(observations, sigma, self.numbers, self.name, self.card)
        features, centre, scale = self.summariser(x, np.full(len(x), sigma))
        parts = [self._mixture(features[first : first + _AT_ONCE]) for first in range(0, len(x), _AT_ONCE)]
        mixture = Mixture(*(jnp.concatenate(arrays) for arrays in zip(*parts, strict=True)))
        return Inferred(self.prior, mixture, jnp.asarray(centre), jnp.asarray(scale))

    def _mixture(self, features: np.ndarray) -> Mixture:
        # batches of a fixed size: compiled once
        padded = np.zeros((_AT_ONCE, features.shape[1]), np.float32)
        padded[: len(features)] = features
        found = _apply(self.network, self.variables, padded if len(features) > 64 else features)
        return Mixture(*(a[: len(features)] for a in found))

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file with arrays, and everything else in its header (host)."""
        path = Path(path)
        arrays, of_experts = self.summariser.arrays()
        arrays |= {f"network/{name}": leaf for name, leaf in flat(self.variables).items()}
        said = {
            "format": FORMAT, "name": self.name, "prior": self.prior.to_dict(), **of_experts, "card": self.card,
            "network": {"components": self.network.components, "hidden": list(self.network.hidden)},
        }  # fmt: skip
        return write_arrays(path, _KEY, arrays, said)

    @classmethod
    def load(cls, path_or_name: str | Path) -> Posterior:
        """Read a posterior: a file, or the name of one shipped with the package.

        Raises:
            ParseError: there is no such file, or it is not a posterior.
            ConventionError: no posterior with that name is shipped.
        """
        path = file_of(path_or_name, "posterior")
        arrays, said = read_arrays(path, _KEY, "posterior")
        try:
            prior = BoxPrior([Parameter(**p) for p in said["prior"]])
            summariser = Summariser.of(prior, arrays, said)
            network = MixtureNetwork(
                len(prior.determined.parameters), said["network"]["components"], tuple(said["network"]["hidden"])
            )
            variables = unflat({n.removeprefix("network/"): a for n, a in arrays.items() if n.startswith("network/")})
        except (KeyError, ValueError, TypeError) as error:
            raise ParseError(path, None, f"is no posterior, or damaged: {error}") from error
        return cls(said["name"], summariser, network, variables, said["card"])


def checked_observations(
    observations: np.ndarray, sigma: float, numbers: int, name: str, card: Mapping[str, Any]
) -> np.ndarray:
    """Check that observations match the training and return them as ``(n, numbers)``.

    Raises:
        ShapeError: the observations have the wrong length.
        DataError: numbers are not finite.
        ConventionError: noise is negative, or larger than ``largest_sigma`` of the card.
    """
    x = np.atleast_2d(np.asarray(observations))
    if x.ndim != 2 or x.shape[1] != numbers:
        raise ShapeError(f"observations have the shape {np.shape(observations)}; {name} has {numbers} numbers each")
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if len(bad):
        raise DataError(f"observation {int(bad[0])} has numbers that are not finite")
    largest = float(card.get("largest_sigma", np.inf))
    if not 0.0 <= sigma <= largest:
        raise ConventionError(f"sigma is {sigma:g}; {name} knows noise from 0 to {largest:g}")
    return x


@partial(jax.jit, static_argnums=0)
def _apply(network: MixtureNetwork, variables: Mapping[str, Any], features: np.ndarray) -> Mixture:
    return network.apply(variables, features)  # type: ignore[return-value]  # without mutable collections it is what __call__ returns
