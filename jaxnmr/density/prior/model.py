"""`DensityPrior`: from the lines of a powder and a composition to a density with an honest uncertainty, and its correction by the lines (host)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ...errors import ParameterError
from ..grid import Density
from .basis import Basis
from .data import LineNoise, LineSet, fractions
from .network import CoefficientNetwork, Normal, features
from .pattern import LinePattern
from .refine import LineModel, Refined, refine_with_widths
from .training import Prepared, Recipe, Trained


@dataclass(frozen=True)
class PredictedDensity:
    """A normal distribution of densities.

    Attributes:
        basis: of the densities.
        edge: of the cell, Å.
        c: coefficients of the most probable one, ``(K,)``.
        covariance: ``(K, K)``.
        refined: how it was refined, if it was.
    """

    basis: Basis
    edge: float
    c: Float[np.ndarray, " k"]
    covariance: Float[np.ndarray, "k k"]
    refined: Refined | None = None

    @property
    def cell(self) -> Float[np.ndarray, 6]:
        """Å and degrees."""
        return np.array([self.edge] * 3 + [90.0] * 3)

    def density(self, shape: tuple[int, int, int]) -> Density:
        """The most probable density, on any grid."""
        return self.basis.on_grid(self.c, shape, self.cell)

    def draw(self, count: int, seed: int = 0) -> Float[np.ndarray, "count k"]:
        """Coefficients of samples; `Basis.on_grid` makes densities of them."""
        normal = np.random.default_rng(seed).normal(size=(count, len(self.c)))
        return self.c + normal @ np.linalg.cholesky(self.covariance + 1e-12 * np.eye(len(self.c))).T

    def at(self, points: Float[np.ndarray, "p 3"]) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
        """Mean and standard deviation of the density at fractional coordinates, e/Å³."""
        mean, functions = self.basis.at(points)
        return mean + functions @ self.c, np.sqrt(np.einsum("pk,kl,pl->p", functions, self.covariance, functions))


@dataclass(frozen=True)
class DensityPrior:
    """A trained prior of the densities of cubic cells; see `train` and `DensityPrior.of`.

    Attributes:
        basis, lines: functions of the density, lines of the pattern.
        network, variables: from what is known to coefficients.
        centre, spread: of the features.
        unit: e/Å³ of the network's unit.
        elements: those it knows.
        atoms: per cell, or 0 when any number will do.
        temperature: factors on standard deviations, from crystals held out, by what is known.
        card: data, seed, scores.
    """

    basis: Basis
    lines: LineSet
    network: CoefficientNetwork
    variables: Any
    centre: np.ndarray
    spread: np.ndarray
    unit: float
    elements: tuple[str, ...]
    atoms: int
    temperature: Mapping[str, float]
    card: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        trained: Trained,
        recipe: Recipe,
        held_out: Prepared,
        *,
        atoms: int = 0,
        card: Mapping[str, Any] | None = None,
    ):
        """A prior from a training.

        Args:
            trained, recipe: the training.
            held_out: crystals it was not trained with, which say how far the covariance must be widened.
            atoms: per cell.
            card: what else is to be said of it.
        """
        said = {
            "seed": recipe.seed,
            "noise": recipe.noise._asdict(),
            "held_out_error": trained.log[-1].valid,
            **(card or {}),
        }
        prior = cls(
            trained.basis, LineSet.within(recipe.lines), trained.network, trained.variables, trained.centre, trained.spread,
            trained.unit, trained.elements, atoms, {}, said,
        )  # fmt: skip
        return prior._calibrated(held_out, recipe.noise, recipe.seed)

    @cached_property
    def line_model(self) -> LineModel:
        """Areas of the lines by coefficients."""
        return LineModel.plan(self.basis, self.lines)

    @cached_property
    def _program(self) -> Any:
        return jax.jit(self.network.apply)

    def predict(
        self,
        edge: float,
        pattern: LinePattern | None = None,
        composition: Mapping[str, float] | Sequence[str] | None = None,
    ) -> PredictedDensity:
        """The density of a crystal, without refinement.

        Args:
            edge: of the cubic cell, Å.
            pattern: its lines.
            composition: amounts by element, elements only, or None.

        Raises:
            ParameterError, ConventionError: what does not fit the prior, see `LinePattern.on` and `fractions`.
        """
        if not (np.isfinite(edge) and edge > 0.0):
            raise ParameterError(f"the edge of the cell is {edge} Å; expected a positive number")
        if pattern is not None and abs(pattern.edge - edge) > 1e-3 * edge:
            raise ParameterError(
                f"the cell has an edge of {edge} Å, the pattern one of {pattern.edge} Å; give one cell"
            )
        areas = np.zeros(len(self.lines.squares)) if pattern is None else pattern.on(self.lines)[0]
        if composition is None:
            known, amounts = 2, np.zeros(len(self.elements))
        elif isinstance(composition, Mapping):
            known, amounts = 0, fractions(dict(composition), self.elements, self.atoms)
        else:
            known, amounts = 1, fractions(dict.fromkeys(composition, 1.0), self.elements)
        means, covariances = self.distribution(
            areas[None], np.array([pattern is not None]), amounts[None], np.array([known]), np.array([edge])
        )
        return PredictedDensity(self.basis, float(edge), means[0], covariances[0])

    def refine(
        self, predicted: PredictedDensity, pattern: LinePattern, *, widths: Sequence[float] = (1.0,)
    ) -> PredictedDensity:
        """A prediction corrected by the lines.

        Args:
            predicted: to begin with.
            pattern: the lines.
            widths: factors on its standard deviations, weighted by what the lines say of them, see `refine_with_widths`.
        """
        areas, sigma = pattern.on(self.lines)
        found = refine_with_widths(self.line_model, areas, sigma, predicted.c, predicted.covariance, widths)
        return PredictedDensity(predicted.basis, predicted.edge, found.c, found.covariance, found)

    def distribution(self, areas, pattern, composition, known, edge) -> tuple[np.ndarray, np.ndarray]:
        """Means ``(n, K)`` and covariances ``(n, K, K)`` of many crystals, arguments as of `features`."""
        found = self._normal(areas, pattern, composition, known, edge)
        mean, low, own, directions = (np.asarray(a, dtype=float) for a in found)
        wide = np.array([self.temperature.get(_mode(k, p), 1.0) for k, p in zip(known, pattern, strict=True)])
        scaled = directions * low[:, None, :]
        covariance = scaled @ np.swapaxes(scaled, 1, 2)
        covariance[:, np.arange(self.basis.size), np.arange(self.basis.size)] += own**2
        return mean * self.unit, covariance * (self.unit * wide[:, None, None]) ** 2

    def _normal(self, areas, pattern, composition, known, edge) -> Normal:
        single = lambda a: np.asarray(a, np.float32)
        x = np.asarray(
            features(single(areas), single(pattern), single(composition), np.asarray(known, np.int32), single(edge))
        )
        return self._program(self.variables, ((x - self.centre) / self.spread).astype(np.float32))

    def _calibrated(self, held_out: Prepared, noise: LineNoise, seed: int) -> DensityPrior:
        rng = np.random.default_rng((seed, 4))
        areas = noise.applied(held_out.areas, rng)
        n, temperature = len(areas), {}
        for known, pattern in ((0, 1), (1, 1), (2, 1), (0, 0)):
            there, level = np.full(n, float(pattern)), np.full(n, known)
            means, covariances = self.distribution(areas * pattern, there, held_out.composition, level, held_out.edge)
            apart = self.basis.poses[:, None] * held_out.coefficients - means
            nearest = (apart**2).sum(-1).argmin(0)
            off = apart[nearest, np.arange(n)]
            distance = np.einsum("nk,nk->n", off, np.linalg.solve(covariances, off[..., None])[..., 0])
            temperature[_mode(known, pattern)] = float(np.sqrt(distance.mean() / self.basis.size))
        return replace(self, temperature=temperature)


def _mode(known: Any, pattern: Any) -> str:
    return f"{('full', 'elements', 'none')[int(known)]}, {'pattern' if pattern else 'no pattern'}"
