"""Summaries of an observation as input of a network: a first guess, and linear experts in two stages (host)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .experts import Experts
from .gate import Gate, shrunk
from .prior import BoxPrior

_PER_EXPERT = ("weights", "offsets", "variances")


@dataclass(frozen=True)
class Summariser:
    """Summaries of an observation as input of a network.

    Attributes:
        prior: prior of all parameters.
        gate: the first guess.
        levels: experts of the first and of the second stage for each noise level.
        derived: name, mean and standard deviation of quantities estimated in addition to the parameters, see `Problem`.
    """

    prior: BoxPrior
    gate: Gate
    levels: tuple[tuple[Experts, Experts], ...]
    derived: tuple[tuple[str, float, float], ...] = ()

    def __call__(
        self, curves: np.ndarray, sigma: np.ndarray, corrections: Sequence[np.ndarray | float] | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return features for the network, and centres and scales of u, ``(n, k)``.

        Each summary comes from the experts of the noise level with the smallest predicted variance at this noise.

        Args:
            curves: ``(n, numbers)``.
            sigma: ``(n,)`` noise of each curve.
            corrections: corrections added to the estimates of each level.
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
        k, seen = len(prior.parameters), self.gate.seen
        centre, scale, _ = prior.located(value[:, :k], np.sqrt(variance[:, :k]))
        middle, spread = (np.array([of[i] for of in self.derived]) for i in (1, 2))
        others = (value[:, k:] - middle) / spread
        errors = np.log(variance[:, k:] / spread**2 + 1e-12)
        told = shrunk(components[:, :seen], self.gate.spread[:seen], sigma)
        features = [centre, 0.5 * (np.log(scale) + 2.0), *told, others, 0.25 * (errors + 4.0)]
        return np.concatenate(features, axis=1).astype(np.float32), centre, scale

    def arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return arrays and plain values, from which `of` rebuilds the object."""
        gate = self.gate
        arrays = {f"gate/{name}": getattr(gate, name) for name in ("centre", "axes", "spread", "weights", "offset")}
        levels: list[list[dict[str, Any]]] = []
        for level, stages in enumerate(self.levels):
            levels.append([])
            for stage, experts in enumerate(stages):
                for name in _PER_EXPERT:
                    arrays[f"experts/{level}/{stage}/{name}"] = getattr(experts, name)
                levels[-1].append(
                    {"sigma": experts.sigma, "rank": experts.rank, "knots": [list(k) for k in experts.knots]}
                )
        return arrays, {"levels": levels, "seen": gate.seen, "derived": [list(d) for d in self.derived]}

    @classmethod
    def of(cls, prior: BoxPrior, arrays: Mapping[str, np.ndarray], said: Mapping[str, Any]) -> Summariser:
        """Rebuild the object from the result of `arrays`."""
        gate = {
            name: arrays[f"gate/{name}"].astype(float) for name in ("centre", "axes", "spread", "weights", "offset")
        }
        levels = tuple(_stages(arrays, level, stages) for level, stages in enumerate(said["levels"]))
        # files of earlier versions have no derived quantities
        derived = tuple((str(name), float(mean), float(sd)) for name, mean, sd in said.get("derived", ()))
        return cls(prior, Gate(**gate, seen=said["seen"]), levels, derived)


def theta_of(prior: BoxPrior, summary: np.ndarray, variance: np.ndarray | None) -> np.ndarray:
    """Return parameters for summaries: one-dimensional posterior means, or without variances the nearest point in the box.

    Derived quantities are appended unchanged.
    """
    k = len(prior.parameters)
    summary, derived = summary[:, :k], summary[:, k:]
    if variance is not None:
        return np.concatenate([prior.located(summary, np.sqrt(variance[:, :k]))[2], derived], axis=1)
    decade = np.array([p.summary == "decade" for p in prior.parameters])
    positive = np.clip(summary, 10.0**-prior.width, None)
    theta = np.clip(np.where(decade, prior.low - np.log10(positive), summary), prior.low, prior.low + prior.width)
    return np.concatenate([theta, derived], axis=1)


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
