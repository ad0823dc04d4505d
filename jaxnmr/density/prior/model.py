"""`DensityPrior`: density with uncertainty from powder lines and composition, and its refinement (host)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ...errors import ParameterError
from ..grid import Density
from ..intervals import NORMAL, Intervals
from .basis import Basis
from .data import LineNoise, LineSet, fractions
from .isotypes import Isotypes
from .modes import Mode, modes_of, refine_modes, spread_of
from .network import CoefficientNetwork, Normal, features
from .pattern import LinePattern
from .refine import LineModel, Refined
from .training import Prepared, Recipe, Trained

# trial factors on the standard deviations of isotypes, chosen by the lines; crystals and points for calibrating
# intervals
_WIDTHS = (0.5, 1.0, 2.0, 4.0)
_JUDGES, _POINTS = 300, 200


@dataclass(frozen=True)
class PredictedDensity:
    """A normal distribution of densities with calibrated uncertainties.

    Attributes:
        basis: basis of the densities.
        edge: edge of the cell, Å.
        c: ``(K,)`` coefficients of the most probable density.
        covariance: ``(K, K)``.
        refined: refinement result, if refined.
        modes: alternative modes among which the lines may choose; empty for a single one.
        intervals: calibrated widths of intervals, in standard deviations of the density.
        after: intervals for use after a refinement.
    """

    basis: Basis
    edge: float
    c: Float[np.ndarray, " k"]
    covariance: Float[np.ndarray, "k k"]
    refined: Refined | None = None
    modes: tuple[Mode, ...] = ()
    intervals: Intervals = NORMAL
    after: Intervals = NORMAL

    @property
    def cell(self) -> Float[np.ndarray, 6]:
        """Cell in Å and degrees."""
        return np.array([self.edge] * 3 + [90.0] * 3)

    def density(self, shape: tuple[int, int, int]) -> Density:
        """Return the most probable density, on any grid."""
        return self.basis.on_grid(self.c, shape, self.cell)

    def draw(self, count: int, seed: int = 0) -> Float[np.ndarray, "count k"]:
        """Draw coefficients of samples; `Basis.on_grid` turns them into densities."""
        normal = self.intervals.one * np.random.default_rng(seed).normal(size=(count, len(self.c)))
        return self.c + normal @ np.linalg.cholesky(self.covariance + 1e-12 * np.eye(len(self.c))).T

    def at(self, points: Float[np.ndarray, "p 3"]) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
        """Return the most probable density at fractional coordinates, and the half width of its 68 % interval, e/Å³."""
        mean, sd = self._at(points)
        return mean, self.intervals.one * sd

    def interval(
        self, points: Float[np.ndarray, "p 3"], probability: float = 0.95
    ) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
        """Return the interval that contains the density at fractional coordinates with a given probability, e/Å³.

        Raises:
            ParameterError: the probability is not between 0 and 1.
        """
        mean, sd = self._at(points)
        half = self.intervals.width(probability) * sd
        return mean - half, mean + half

    def _at(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, functions = self.basis.at(points)
        return mean + functions @ self.c, np.sqrt(np.einsum("pk,kl,pl->p", functions, self.covariance, functions))


@dataclass(frozen=True)
class DensityPrior:
    """A trained prior of the densities of cubic cells; see `train` and `DensityPrior.of`.

    Attributes:
        basis, lines: functions of the density, lines of the pattern.
        network, variables: network from the input to coefficients, and its weights.
        centre, spread: normalisation of the features.
        unit: e/Å³ per unit of the network.
        elements: elements covered.
        atoms: atoms per cell, or 0 for any number.
        temperature: factors on standard deviations of the network, from held-out crystals, by kind of input.
        card: data, seed, scores.
        isotypes: learned geometries; with a pattern and elements these predict instead of the network.
        intervals: widths of intervals from held-out crystals, by kind of input.
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
    isotypes: Isotypes | None = None
    intervals: Mapping[str, Intervals] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        trained: Trained,
        recipe: Recipe,
        held_out: Prepared,
        *,
        atoms: int = 0,
        card: Mapping[str, Any] | None = None,
        isotypes: Isotypes | None = None,
    ) -> DensityPrior:
        """Make a prior from a training.

        Args:
            trained, recipe: result and settings of the training.
            held_out: held-out crystals, for calibrating the covariance.
            atoms: atoms per cell.
            card: further entries of the card.
            isotypes: learned geometries, none from held-out crystals.
        """
        said = {
            "seed": recipe.seed,
            "noise": recipe.noise._asdict(),
            "held_out_error": trained.log[-1].valid,
            **(card or {}),
        }
        prior = cls(
            trained.basis, LineSet.within(recipe.lines), trained.network, trained.variables, trained.centre, trained.spread,
            trained.unit, trained.elements, atoms, {}, said, isotypes,
        )  # fmt: skip
        return prior.calibrated(held_out, recipe.noise, recipe.seed)

    @cached_property
    def line_model(self) -> LineModel:
        """Line areas as a function of coefficients."""
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
        """Predict the density of a crystal, without refinement.

        Args:
            edge: edge of the cubic cell, Å.
            pattern: lines of the pattern.
            composition: amounts by element, elements only, or ``None``.

        Raises:
            ParameterError, ConventionError: input does not match the prior, see `LinePattern.on` and `fractions`.
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
        if pattern is not None and composition is not None and self.isotypes is not None:
            return self._isotypic(float(edge), *pattern.on(self.lines), known, amounts)
        means, covariances = self.distribution(
            areas[None], np.array([pattern is not None]), amounts[None], np.array([known]), np.array([edge])
        )
        before, after = self._intervals(known, pattern is not None)
        return PredictedDensity(self.basis, float(edge), means[0], covariances[0], intervals=before, after=after)

    def refine(
        self, predicted: PredictedDensity, pattern: LinePattern, *, widths: Sequence[float] | None = None
    ) -> PredictedDensity:
        """Refine a prediction against the lines.

        Args:
            predicted: prediction to start from.
            pattern: lines of the pattern.
            widths: trial factors on its standard deviations, weighted by the evidence of the lines; 1/2 to 4 for
                isotypes, 1 otherwise.
        """
        areas, sigma = pattern.on(self.lines)
        modes = predicted.modes or (Mode(predicted.c, predicted.covariance, 0.0),)
        widths = widths or (_WIDTHS if predicted.modes else (1.0,))
        found = refine_modes(self.line_model, areas, sigma, modes, widths)
        return PredictedDensity(
            predicted.basis, predicted.edge, found.c, found.covariance, found, intervals=predicted.after
        )

    def _isotypic(self, edge: float, areas: np.ndarray, sigma: np.ndarray, known: int, amounts: np.ndarray):
        assert self.isotypes is not None
        sites, there = self.isotypes.xyz.shape[1], np.flatnonzero(amounts)
        if known == 0:
            compositions: list[Any] = [np.repeat(there, np.round(amounts[there] * sites).astype(int))]
        else:
            compositions = [of for of in combinations_with_replacement(there, sites) if len(set(of)) == len(there)]
            if not compositions:
                raise ParameterError(
                    f"{len(there)} elements for a cell of {sites} atoms, which the prior is of; give those that are in it"
                )
        found = self.isotypes.candidates(edge, areas, sigma, compositions)
        modes = modes_of(found, self.isotypes, edge, self.basis)
        before, after = self._intervals(known, True)
        return PredictedDensity(
            self.basis, edge, modes[0].c, spread_of(modes), modes=modes, intervals=before, after=after
        )

    def _intervals(self, known: int, pattern: bool) -> tuple[Intervals, Intervals]:
        before, after = (self.intervals.get(_mode(known, of), NORMAL) for of in (pattern, "refined"))
        return before, after

    def distribution(self, areas, pattern, composition, known, edge) -> tuple[np.ndarray, np.ndarray]:
        """Return means ``(n, K)`` and covariances ``(n, K, K)`` of many crystals; arguments as of `features`."""
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

    def calibrated(self, held_out: Prepared, noise: LineNoise, seed: int = 0) -> DensityPrior:
        """Return the prior with temperatures and intervals calibrated on held-out crystals.

        Args:
            held_out: held-out crystals.
            noise: noise of their lines.
            seed: random seed of the noise.
        """
        rng = np.random.default_rng((seed, 4))
        areas = noise.applied(held_out.areas, rng)
        n, temperature = len(areas), {}
        plain = replace(self, temperature={}, intervals={})
        for known, pattern in ((0, 1), (1, 1), (2, 1), (0, 0)):
            there, level = np.full(n, float(pattern)), np.full(n, known)
            means, covariances = plain.distribution(areas * pattern, there, held_out.composition, level, held_out.edge)
            apart = self.basis.poses[:, None] * held_out.coefficients - means
            nearest = (apart**2).sum(-1).argmin(0)
            off = apart[nearest, np.arange(n)]
            distance = np.einsum("nk,nk->n", off, np.linalg.solve(covariances, off[..., None])[..., 0])
            temperature[_mode(known, pattern)] = float(np.sqrt(distance.mean() / self.basis.size))
        warm = replace(plain, temperature=temperature)
        return replace(warm, intervals=warm._found_intervals(held_out, areas, noise))

    def _found_intervals(self, held_out: Prepared, areas: np.ndarray, noise: LineNoise) -> dict[str, Intervals]:
        """Fit intervals to the deviations of densities at random points, in standard deviations."""
        functions = self.basis.at(np.random.default_rng(0).random((_POINTS, 3)))[1]
        found: dict[str, list[np.ndarray]] = {}
        for k in range(min(len(areas), _JUDGES)):
            edge, exact = float(held_out.edge[k]), self.basis.poses * held_out.coefficients[k]
            pattern = LinePattern.create(edge, np.sqrt(self.lines.squares) / edge, areas[k], noise.sigma(areas[k]))
            there = {
                self.elements[j]: float(held_out.composition[k, j]) for j in np.flatnonzero(held_out.composition[k])
            }
            guesses = {
                _mode(0, False): self.predict(edge, None, there),
                _mode(1, False): self.predict(edge, None, list(there)),
            }
            for known, said in enumerate((there, list(there), None)):
                guess = self.predict(edge, pattern, said)
                guesses |= {_mode(known, True): guess, _mode(known, "refined"): self.refine(guess, pattern)}
            for mode, of in guesses.items():
                off = exact[((exact - of.c) ** 2).sum(axis=1).argmin()] - of.c
                sd = np.sqrt(np.einsum("pk,kl,pl->p", functions, of.covariance, functions))
                found.setdefault(mode, []).append(np.abs(functions @ off) / sd)
        return {mode: Intervals.of(np.array(distances)) for mode, distances in found.items()}


def _mode(known: Any, pattern: Any) -> str:
    seen = pattern if isinstance(pattern, str) else "pattern" if pattern else "no pattern"
    return f"{('full', 'elements', 'none')[int(known)]}, {seen}"
