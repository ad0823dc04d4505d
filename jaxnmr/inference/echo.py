"""Inference from spin echoes, and recipes for posteriors, including that of the ML4SCI challenge of 2020."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Complex, Float, Key

from .._arguments import checked
from ..errors import ParameterError, ShapeError
from ..nmr.echo import CHALLENGE_PRIOR, EchoExperiment, EchoParameters, challenge, changes_nothing, curve
from ..typing import Array
from .experts import Knots
from .prior import BoxPrior, Parameter
from .problem import Problem
from .training import NoiseLevel, Recipe

CHALLENGE = "spin-echo-challenge"
COUPLING = ("field", "neighbours")
# number of principal components above the noise, for the experts
_RANKS = {0.0: 250, 1e-4: 180, 1e-3: 120}
# default arguments of the coupling if a problem does not specify them
_LENGTHS = {"alpha": 0.0, "xi": 1.0, "p": 3.0}


@checked
def echo_problem(experiment: EchoExperiment, ranges: Mapping[str, tuple[float, float]], *, name: str) -> Problem:
    """Define the inference of spin-echo parameters from curves: real parts, then imaginary parts.

    Parameters that have no effect by the form of the equations, such as the length of a normalised power law, are
    undetermined: their posterior is their prior.

    Args:
        experiment: description of spins and pulses.
        ranges: uniform priors of fields of `EchoParameters`, or of ``d`` with Γ = 10^-d; a range of zero width is a
            known value.
        name: name of the problem.

    Raises:
        ParameterError: there is no such parameter, nothing to infer, or Γ is given twice.
    """
    if {"d", "gamma"} <= ranges.keys():
        raise ParameterError("d and gamma say the same twice; leave one out")
    known = {key: low for key, (low, high) in ranges.items() if low == high}
    prior = BoxPrior(
        [
            Parameter(
                key,
                float(low),
                float(high),
                "decade" if key == "d" else "linear",
                determined=key == "d" or not changes_nothing(experiment, key),
            )
            for key, (low, high) in ranges.items()
            if low != high
        ]
    )

    def simulate(key: Key[Array, ""], theta: Float[Array, " k"]) -> Float[Array, " numbers"]:
        values = known | dict(zip(prior.names, theta, strict=True))
        if "d" in values:
            values["gamma"] = 10.0 ** -values.pop("d")
        kind = theta.dtype
        parameters = EchoParameters(
            **{key: jnp.asarray(value, kind) for key, value in ({"alpha": 0.0} | values).items()}
        )
        offsets = experiment.ensemble.line.draw(key, experiment.ensemble.sizes, parameters.width)
        found = curve(experiment, parameters, offsets)
        return jnp.concatenate([jnp.real(found), jnp.imag(found)])

    def derive(theta: np.ndarray) -> np.ndarray:
        values = {key: np.full(len(theta), low) for key, low in known.items()} | dict(
            zip(prior.names, theta.T, strict=True)
        )
        return coupling(experiment, *(values.get(key, np.full(len(theta), v)) for key, v in _LENGTHS.items()))

    # in the challenge α is the field itself, so no derived quantities are needed
    derived = () if name == CHALLENGE or "alpha" not in prior.names else COUPLING
    return Problem(name, prior, simulate, 2 * experiment.sequence.points, derived, *((derive,) if derived else ()))


def coupling(
    experiment: EchoExperiment, alpha: np.ndarray, xi: np.ndarray, p: np.ndarray
) -> Float[np.ndarray, "n two"]:
    """Return the field ``α Σ w`` in MHz, and the logarithm of the effective number of spins, ``ln (Σ w)²/Σ w²``.

    These determine the curve for any kind of coupling: the first changes its shape, the second the scatter of fields
    between spins. If weights of both signs cancel, they count as one neighbour.
    """
    kernel, sizes = experiment.ensemble.kernel, experiment.ensemble.sizes

    @jax.jit
    def sums(of: tuple[Array, Array]) -> Array:
        weights = kernel.weights(sizes, *of)
        return jnp.stack([jnp.sum(weights), jnp.sum(weights**2)])

    found = jax.lax.map(sums, (jnp.asarray(xi, jnp.float32), jnp.asarray(p, jnp.float32)), batch_size=64)
    total, squares = np.asarray(found, dtype=float).T
    return np.stack([alpha * total, np.log(np.maximum(total**2 / np.maximum(squares, 1e-30), 1.0))], axis=1)


def challenge_problem() -> Problem:
    """Define the challenge: α, ξ, p and d of Γ = 10^-d from 471 complex points, as 942 numbers."""
    return echo_problem(challenge(), CHALLENGE_PRIOR, name=CHALLENGE)


def echo_numbers(curves: Complex[np.ndarray, "*n points"]) -> Float[np.ndarray, "*n numbers"]:
    """Convert complex curves to the input of a posterior: real parts, then imaginary parts.

    Raises:
        ShapeError: there are no points.
    """
    curves = np.asarray(curves)
    if curves.ndim < 1:
        raise ShapeError("a curve is a row of complex points")
    return np.concatenate([curves.real, curves.imag], axis=-1)


def _even(low: float, high: float, count: int) -> tuple[float, ...]:
    return tuple(np.linspace(low, high, count).round(6).tolist())


def challenge_recipe(
    *, cells: Literal["narrow", "wide"] = "narrow", epochs: int = 60, held_out: float = 0.15, seed: int = 0
) -> Recipe:
    """Return the recipe for the challenge, developed on simulations not used for any score.

    Without noise experts read raw numbers, in cells of α alone, which are narrower for small α where p is hard to
    determine; with noise the principal components above it hold all information, and cells depend on p and d as well.

    Args:
        cells: width of the cells of the second stage without noise; narrow ones need some 20,000 simulations.
        epochs, held_out, seed: see `Recipe`.
    """
    alpha = (0.0, 0.004, 0.01, 0.018, 0.028, 0.04, 0.055, 0.07, 0.085, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2)
    narrow = (0.0, 0.003, 0.007, 0.012, 0.018, 0.025, 0.033, 0.042, 0.052, 0.062, 0.073, 0.085, 0.098, 0.112, 0.126, 0.14, 0.155, 0.17,
              0.185, 0.2)  # fmt: skip
    coarse, whole = _even(0.0, 0.2, 9), ((3.0,), (4.5,))
    fine = (_even(0.0, 0.2, 17), (2.3, 2.7, 3.0, 3.3, 3.7), (3.2, 3.7, 4.2, 4.7, 5.3))
    levels = (
        NoiseLevel(0.0, (alpha, *whole), (narrow if cells == "narrow" else alpha, *whole), wide=1.5),
        NoiseLevel(1e-4, (coarse, *whole), fine, rank=250, wide=2.0),
        NoiseLevel(1e-3, (coarse, *whole), fine, rank=150, wide=2.0),
    )
    return Recipe(levels=levels, components=32, hidden=(128, 128), epochs=epochs, redraws=8, rate=1.5e-3, decay=0.3,
                  held_out=held_out, seed=seed)  # fmt: skip


def echo_recipe(
    problem: Problem,
    *,
    sigmas: tuple[float, ...] = (0.0, 1e-4, 1e-3),
    epochs: int = 60,
    held_out: float = 0.15,
    seed: int = 0,
    simulations: int = 43_008,
) -> Recipe:
    """Return a recipe for other experiments: cells of the first parameter, with noise in stage two also of others."""
    if problem.name == CHALLENGE:
        return challenge_recipe(
            cells="narrow" if simulations >= 20_000 else "wide", epochs=epochs, held_out=held_out, seed=seed
        )
    parameters = problem.prior.determined.parameters
    whole = tuple(((p.low + p.high) / 2,) for p in parameters)
    if problem.derived:
        return _coupling_recipe(problem, whole, sigmas, epochs, held_out, seed, simulations)
    first = (_even(parameters[0].low, parameters[0].high, 7), *whole[1:])
    thirds = tuple(_even(p.low + (p.high - p.low) / 6, p.high - (p.high - p.low) / 6, 3) for p in parameters[1:3])
    fine = (first[0], *thirds, *whole[3:])
    levels = tuple(
        NoiseLevel(s, first, fine if s else first, rank=min(200, problem.numbers) if s else 0, wide=1.5) for s in sigmas
    )
    return Recipe(levels=levels, components=32, hidden=(96, 96), epochs=epochs, redraws=4, rate=1.5e-3, decay=0.3,
                  held_out=held_out, largest_sigma=max(3e-3, *sigmas), seed=seed)  # fmt: skip


def _coupling_recipe(
    problem: Problem, whole: Knots, sigmas: tuple[float, ...], epochs: int, held_out: float, seed: int, simulations: int
) -> Recipe:
    """Use cells of the field, which every curve determines; in the second stage also of the effective number of spins."""
    field, count = _drawn_couplings([problem], seed).T
    many, few = (12, 3) if simulations >= 6000 else (8, 2)
    first, second = ((*whole, _cells(field, many), _cells(count, k)) for k in (1, few))
    # without noise, components below the noise of any experiment are used, but not all: raw numbers would need more simulations
    levels = tuple(
        NoiseLevel(s, first, second, rank=min(_RANKS.get(s, 150), problem.numbers), wide=2.0) for s in sigmas
    )
    return Recipe(levels=levels, components=16, hidden=(64, 64), epochs=epochs, redraws=6, rate=1.5e-3, decay=0.3,
                  held_out=held_out, largest_sigma=max(3e-3, *sigmas), seed=seed)  # fmt: skip


def families_recipe(
    problems: Sequence[Problem], *, sigmas: tuple[float, ...] = (1e-4, 1e-3), epochs: int = 60, seed: int = 0
) -> Recipe:
    """Return a recipe for distinguishing families of couplings: as `echo_recipe`, with cells of common quantities."""
    field, count = _drawn_couplings(problems, seed).T
    shared = [
        p
        for p in problems[0].prior.determined.parameters
        if all(p in other.prior.determined.parameters for other in problems)
    ]
    others = ((0.5,),) * (len(shared) + len(problems))
    first = (_cells(field, 16), _cells(count, 1), *others)
    second = (_cells(field, 16), _cells(count, 3), *others)
    least = tuple(s for s in sigmas if s > 0.0) or (1e-5,)
    levels = tuple(
        NoiseLevel(s, first, second, rank=min(_RANKS.get(s, 150), problems[0].numbers), wide=2.0) for s in least
    )
    return Recipe(levels=levels, components=24, hidden=(64, 64), epochs=epochs, batch=512, redraws=4, rate=1e-3, decay=0.3,
                  largest_sigma=max(2e-3, *sigmas), seed=seed)  # fmt: skip


def _drawn_couplings(problems: Sequence[Problem], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found = [p.derive(p.prior.low + p.prior.width * rng.random((2048, len(p.prior.names)))) for p in problems]
    return np.concatenate(found)


def _cells(values: np.ndarray, many: int) -> tuple[float, ...]:
    """Return the medians of ``many`` equally populated parts."""
    middles = np.quantile(values, (np.arange(many) + 0.5) / many)
    return tuple(np.unique(middles.round(6)).tolist())
