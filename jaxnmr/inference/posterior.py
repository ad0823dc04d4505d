"""An amortised posterior: a first guess, linear experts in two stages at several noise levels, a conditional density on top."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from .._arguments import checked
from .._files import write_atomically
from ..errors import ConventionError, DataError, ParseError, ShapeError
from .density import Mixture, MixtureNetwork, flat, unflat
from .experts import Experts
from .gate import Gate
from .inferred import Inferred
from .prior import BoxPrior, Parameter

FORMAT = 1
SHIPPED = Path(__file__).parent / "shipped"
_KEY = "jaxnmr-posterior"
# below this, noise is that of single precision
LEAST_SIGMA = 1e-8
_AT_ONCE = 4096
_PER_EXPERT = ("weights", "offsets", "variances")


@dataclass(frozen=True)
class Summariser:
    """What is read off an observation before a network sees it.

    Attributes:
        prior: of the parameters, all of them.
        gate: the first guess.
        levels: per noise level the experts of the first and of the second stage.
    """

    prior: BoxPrior
    gate: Gate
    levels: tuple[tuple[Experts, Experts], ...]

    def __call__(
        self, curves: np.ndarray, sigma: np.ndarray, corrections: Sequence[np.ndarray | float] | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features for the network, and centres and scales of u, ``(n, k)``.

        Each summary is by the experts of the noise level that promise the smallest variance at this noise.

        Args:
            curves: ``(n, numbers)``.
            sigma: ``(n,)`` noise.
            corrections: per level what is added to its estimates.
        """
        prior = self.prior.determined
        components = self.gate.components(curves)
        reduced = components * self.gate.spread
        guess = theta_of(prior, self.gate.guess(components), None)
        found = []
        for k, (first, second) in enumerate(self.levels):
            x = reduced[:, : first.rank] if first.rank else curves
            value, variance = first.estimate(x, guess, sigma)
            value, variance = second.estimate(x, theta_of(prior, value, variance), sigma)
            found.append((value + (corrections[k] if corrections else 0.0), variance))
        values, variances = (np.stack(a) for a in zip(*found, strict=True))
        best = variances.argmin(axis=0)[None]
        value, variance = (np.take_along_axis(a, best, axis=0)[0] for a in (values, variances))
        centre, scale, _ = prior.located(value, np.sqrt(variance))
        seen = self.gate.seen
        shrunk = components[:, :seen] / (1.0 + (sigma[:, None] / self.gate.spread[:seen]) ** 2)
        noise = (np.log10(np.maximum(sigma, LEAST_SIGMA)) + 5.0) / 2.0
        features = [centre, 0.5 * (np.log(scale) + 2.0), np.clip(shrunk, -5.0, 5.0), noise[:, None]]
        return np.concatenate(features, axis=1).astype(np.float32), centre, scale


def theta_of(prior: BoxPrior, summary: np.ndarray, variance: np.ndarray | None) -> np.ndarray:
    """Parameters for summaries: posterior means in one dimension, or where no variance is known what is nearest in the box."""
    if variance is not None:
        return prior.located(summary, np.sqrt(variance))[2]
    decade = np.array([p.summary == "decade" for p in prior.parameters])
    positive = np.clip(summary, 10.0**-prior.width, None)
    return np.clip(np.where(decade, prior.low - np.log10(positive), summary), prior.low, prior.low + prior.width)


@dataclass(frozen=True)
class Posterior:
    """From an observation to the distribution of its parameters.

    Attributes:
        name: of the problem.
        summariser: experts.
        network: the architecture of the density.
        variables: its parameters.
        card: how it was made and how good it is.
    """

    name: str
    summariser: Summariser
    network: MixtureNetwork
    variables: Mapping[str, Any]
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def prior(self) -> BoxPrior:
        """Of all parameters."""
        return self.summariser.prior

    @property
    def numbers(self) -> int:
        """How many numbers an observation has."""
        return len(self.summariser.gate.centre)

    @checked
    def infer(self, observations: np.ndarray, *, sigma: float) -> Inferred:
        """The posterior of each observation (host).

        Args:
            observations: ``(n, numbers)``, or ``(numbers,)`` of one.
            sigma: standard deviation of the white noise on each number; 0 for simulations, whose last digits are then believed.

        Raises:
            ShapeError: another number of numbers.
            DataError: numbers that are not finite.
            ConventionError: negative noise, or more than the posterior was trained for.
        """
        x = np.atleast_2d(np.asarray(observations))
        if x.ndim != 2 or x.shape[1] != self.numbers:
            raise ShapeError(
                f"observations have the shape {np.shape(observations)}; {self.name} has {self.numbers} numbers each"
            )
        if not np.isfinite(x).all():
            raise DataError(
                f"observation {int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])} has numbers that are not finite"
            )
        largest = float(self.card.get("largest_sigma", np.inf))
        if not 0.0 <= sigma <= largest:
            raise ConventionError(f"sigma is {sigma:g}; this posterior knows noise from 0 to {largest:g}")
        features, centre, scale = self.summariser(x, np.full(len(x), sigma))
        parts = [self._mixture(features[first : first + _AT_ONCE]) for first in range(0, len(x), _AT_ONCE)]
        mixture = Mixture(*(jnp.concatenate(arrays) for arrays in zip(*parts, strict=True)))
        return Inferred(self.prior, mixture, jnp.asarray(centre), jnp.asarray(scale))

    def _mixture(self, features: np.ndarray) -> Mixture:
        # whole batches: compiled once
        padded = np.zeros((_AT_ONCE, features.shape[1]), np.float32)
        padded[: len(features)] = features
        found = _apply(self.network, self.variables, padded if len(features) > 64 else features)
        return Mixture(*(a[: len(features)] for a in found))

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file with arrays, and everything else in its header (host)."""
        path = Path(path)
        gate = self.summariser.gate
        arrays = {f"gate/{name}": getattr(gate, name) for name in ("centre", "axes", "spread", "weights", "offset")}
        levels: list[list[dict[str, Any]]] = []
        for level, stages in enumerate(self.summariser.levels):
            levels.append([])
            for stage, experts in enumerate(stages):
                for name in _PER_EXPERT:
                    arrays[f"experts/{level}/{stage}/{name}"] = getattr(experts, name)
                levels[-1].append(
                    {"sigma": experts.sigma, "rank": experts.rank, "knots": [list(k) for k in experts.knots]}
                )
        arrays |= {f"network/{name}": leaf for name, leaf in flat(self.variables).items()}
        # offsets are in double precision: those of weights of thousands
        kept = {
            name: np.ascontiguousarray(array, np.float64 if name.endswith(("offsets", "offset")) else None)
            for name, array in arrays.items()
        }
        kept = {name: array.astype(np.float32) if _wide(name, array) else array for name, array in kept.items()}
        for name, array in kept.items():
            if not np.isfinite(array).all():
                raise DataError(f"{name} is not finite: the training has diverged")
        said = {
            "format": FORMAT, "name": self.name, "prior": self.prior.to_dict(), "levels": levels, "seen": gate.seen, "card": self.card,
            "network": {"components": self.network.components, "hidden": list(self.network.hidden)},
        }  # fmt: skip
        return write_atomically(path, safetensors.numpy.save(kept, metadata={_KEY: json.dumps(said)}))

    @classmethod
    def load(cls, path_or_name: str | Path) -> Posterior:
        """Read a posterior: a file, or the name of one that comes with the package.

        Raises:
            ParseError: no such file, or no posterior.
            ConventionError: no posterior of that name.
        """
        path = Path(path_or_name)
        if not path.suffix and not path.is_file():
            path = SHIPPED / f"{path.name}.safetensors"
            if not path.is_file():
                there = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.safetensors"))) or "none"
                raise ConventionError(f"no posterior {str(path_or_name)!r} comes with jaxnmr; there are {there}")
        if not path.is_file():
            raise ParseError(path, None, "no such file; expected a posterior written by Posterior.save")
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                said = json.loads((file.metadata() or {})[_KEY])
                arrays = {name: file.get_tensor(name) for name in file.keys()}
            if said["format"] != FORMAT:
                raise ParseError(path, None, f"is of format {said['format']}; this version reads {FORMAT}")
            centre, axes, spread, weights, offset = (
                arrays[f"gate/{name}"].astype(float) for name in ("centre", "axes", "spread", "weights", "offset")
            )
            gate = Gate(centre, axes, spread, weights, offset, said["seen"])
            prior = BoxPrior([Parameter(**p) for p in said["prior"]])
            levels = tuple(_stages(arrays, level, stages) for level, stages in enumerate(said["levels"]))
            network = MixtureNetwork(
                len(prior.determined.parameters), said["network"]["components"], tuple(said["network"]["hidden"])
            )
            variables = unflat({n.removeprefix("network/"): a for n, a in arrays.items() if n.startswith("network/")})
        except (OSError, safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
            raise ParseError(path, None, f"is no posterior, or damaged: {error}") from error
        return cls(said["name"], Summariser(prior, gate, levels), network, variables, said["card"])


def _wide(name: str, array: np.ndarray) -> bool:
    return array.dtype == np.float64 and not name.endswith(("offsets", "offset"))


def _stages(arrays: Mapping[str, np.ndarray], level: int, stages: list[dict[str, Any]]) -> tuple[Experts, Experts]:
    first, second = (
        Experts(
            of["sigma"],
            of["rank"],
            tuple(tuple(k) for k in of["knots"]),
            *(arrays[f"experts/{level}/{stage}/{name}"] for name in _PER_EXPERT),
        )
        for stage, of in enumerate(stages)
    )
    return first, second


@partial(jax.jit, static_argnums=0)
def _apply(network: MixtureNetwork, variables: Mapping[str, Any], features: np.ndarray) -> Mixture:
    return network.apply(variables, features)  # type: ignore[return-value]  # without mutable collections it is what __call__ returns
