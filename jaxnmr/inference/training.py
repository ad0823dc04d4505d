"""Training of a posterior: experts in closed form, then the density on their leave-one-out estimates (host)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import safetensors.numpy

from .._files import write_atomically
from ..errors import DataError, ParameterError
from .density import MixtureNetwork
from .experts import Experts, Knots, fit_experts
from .gate import LEAST_SIGMA, fit_gate
from .posterior import Posterior
from .prior import BoxPrior
from .problem import Bank, Problem
from .summariser import Summariser, theta_of

STATE, LOG, POSTERIOR = "training.safetensors", "log.jsonl", "posterior.safetensors"
CORRECTIONS = "corrections.npz"
_STATE_KEY = "jaxnmr-training"
_FEWEST = 200
# weight of the newest step in the running mean
_FORGET = 0.002


@dataclass(frozen=True)
class NoiseLevel:
    """Options of the experts for one noise level.

    Attributes:
        sigma: standard deviation of the noise they are made for; 0 means that of single precision.
        first, second: knots of their cells in the two stages, for each determined parameter and then for each derived
            quantity.
        wide: factor by which cells of the second stage extend over their neighbours when they are fitted.
        rank: number of principal components they read; 0 for the raw numbers, as required without noise.
    """

    sigma: float
    first: Knots
    second: Knots
    rank: int = 0
    wide: float = 1.2


@dataclass(frozen=True)
class Recipe:
    """Training options of a posterior.

    Attributes:
        levels: noise levels of experts.
        components, squared: number of components for the first guess, which the network sees as well, and of those
            whose products are used.
        wide: as in `NoiseLevel`, for first stages.
        held_out: fraction of the bank, at its end, held out from the experts; the density is trained on all but the
            last tenth of the bank.
        hidden, mixture: layers of the density network, and number of normal distributions.
        epochs, batch, rate, decay: options of its training, by AdamW with a cosine decay of the learning rate.
        redraws: number of noise realisations, which epochs use in turn.
        largest_sigma: largest noise the posterior accepts, also limited to 1.5 times that of the largest level; noise
            in training is that of a level, or log-uniform between a thousandth of the lowest of them and twice this.
        seed: seed of all randomness.
    """

    levels: tuple[NoiseLevel, ...]
    components: int = 64
    squared: int = 20
    wide: float = 1.2
    held_out: float = 0.15
    hidden: tuple[int, ...] = (128, 128)
    mixture: int = 6
    epochs: int = 60
    batch: int = 256
    rate: float = 2e-3
    decay: float = 1e-2
    redraws: int = 8
    largest_sigma: float = 3e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.levels:
            raise ParameterError("a recipe without levels; expected one NoiseLevel or more")
        if not 0.0 < self.held_out < 1.0:
            raise ParameterError(f"held_out is {self.held_out:g}; expected a part between 0 and 1")


class Epoch(NamedTuple):
    """Progress of an epoch: mean ``-log q(v)`` of training simulations, and of a held-out tenth."""

    epoch: int
    epochs: int
    train: float
    valid: float


def fit_summariser(
    prior: BoxPrior, bank: Bank, recipe: Recipe, derived: Mapping[str, np.ndarray] | None = None
) -> tuple[Summariser, list[np.ndarray]]:
    """Fit the first guess and all experts to a bank; also return corrections of their estimates per level.

    The corrections are the differences to leave-one-out estimates, with which errors are as large as for new simulations.

    Args:
        prior: prior of its parameters.
        bank: simulations.
        recipe: the knots of its levels are those of the parameters and of the derived quantities.
        derived: ``(n,)`` each, additional quantities for the experts to estimate.
    """
    derived = derived or {}
    rng = np.random.default_rng(recipe.seed)
    determined = prior.determined
    theta = bank.parameters[:, list(prior.indices)]
    summaries = np.column_stack([determined.summaries(theta), *derived.values()])
    largest = max(level.sigma for level in recipe.levels)
    gate, guess = fit_gate(
        bank.curves,
        largest * rng.standard_normal(bank.curves.shape, dtype=np.float32),
        summaries,
        components=max(recipe.components, *(level.rank for level in recipe.levels), 1),
        seen=recipe.components,
        squared=recipe.squared,
    )
    cells = theta_of(determined, guess, None)
    reduced = (gate.components(bank.curves) * gate.spread).astype(np.float32)
    levels = [
        _fit_level(
            determined, reduced[:, : level.rank] if level.rank else bank.curves, summaries, cells, level, recipe, rng
        )
        for level in recipe.levels
    ]
    scales = tuple((name, float(d.mean()), float(d.std()) or 1.0) for name, d in derived.items())
    return Summariser(prior, gate, tuple((first, second) for first, second, _ in levels), scales), [
        c for *_, c in levels
    ]


def _fit_level(
    prior: BoxPrior,
    curves: np.ndarray,
    summaries: np.ndarray,
    guess: np.ndarray,
    level: NoiseLevel,
    recipe: Recipe,
    rng: np.random.Generator,
) -> tuple[Experts, Experts, np.ndarray]:
    sigma = max(level.sigma, LEAST_SIGMA)
    # relative to the mean square deviation of curves
    tried = float(np.var(curves, axis=0).mean()) * 10.0 ** np.arange(-14.0, -4.9, 1.0)
    # large noise acts as a ridge
    ridges = tuple(tried[tried > 1e-3 * sigma**2].tolist()) or (0.0,)
    fit = partial(fit_experts, curves, summaries, sigma=sigma, rank=level.rank, ridges=ridges)
    first, left_out = fit(guess, knots=level.first, wide=recipe.wide)
    # noise as cells of the second stage will see it
    noise = (sigma * rng.standard_normal(curves.shape)).astype(np.float32)
    sigmas = np.full(len(curves), sigma)
    value, variance = first.estimate(curves + noise, guess, sigmas)
    moved = value - first.estimate(curves, guess, sigmas)[0]
    guess = theta_of(prior, left_out + moved, variance)
    second, left_out = fit(guess, knots=level.second, wide=level.wide)
    return first, second, left_out - second.estimate(curves, guess, sigmas)[0]


def noisy(rng: np.random.Generator, curves: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Add white noise of standard deviation ``(n,)`` to curves."""
    return curves + sigma.astype(np.float32)[:, None] * rng.standard_normal(curves.shape, dtype=np.float32)


def draw_sigma(rng: np.random.Generator, levels: Sequence[float], largest: float, count: int) -> np.ndarray:
    """Draw noise levels of simulations: half of them that of a level, half in between."""
    # a range larger than accepted: networks are worst at its ends
    least = 1e-3 * min((s for s in levels if s > 0.0), default=largest)
    between = 10.0 ** rng.uniform(np.log10(least), np.log10(2.0 * largest), count)
    return np.where(rng.random(count) < 0.5, np.array(levels)[rng.integers(0, len(levels), count)], between)


def fit_posterior(
    problem: Problem,
    bank: Bank,
    recipe: Recipe,
    *,
    folder: str | Path | None = None,
    progress: Callable[[Epoch], None] | None = None,
    card: Mapping[str, Any] | None = None,
) -> Posterior:
    """Train a posterior on a bank of simulations.

    Args:
        problem: problem with its name and prior.
        bank: simulations without noise, in random order; the last ones are held out.
        recipe: training options.
        folder: folder to resume an interrupted training: experts, state of the network and a log, one line per epoch.
        progress: called after every epoch.
        card: additional entries of the card of the posterior.

    Raises:
        DataError: fewer than 200 simulations are held out, or the folder holds another training.
    """
    held = round(len(bank) * recipe.held_out)
    if held < _FEWEST or len(bank) - held < _FEWEST:
        raise DataError(f"{len(bank)} simulations, {held} held out: expected {_FEWEST} or more on both sides")
    folder = None if folder is None else Path(folder)
    digest = hashlib.sha256(json.dumps(asdict(recipe)).encode() + bank.parameters.tobytes()).hexdigest()[:16]
    prior = problem.prior
    said = {
        "problem": problem.name, "simulations": len(bank), "held_out": held, "recipe": asdict(recipe), "digest": digest,
        # beyond the experts of the largest level intervals become too narrow
        "largest_sigma": min(recipe.largest_sigma, 1.5 * max(level.sigma for level in recipe.levels) or np.inf), **(card or {}),
    }  # fmt: skip
    network = MixtureNetwork(len(prior.determined.parameters), recipe.mixture, recipe.hidden)
    kept = None if folder is None or not (folder / POSTERIOR).is_file() else Posterior.load(folder / POSTERIOR)
    if kept is not None and kept.card.get("digest") != digest:
        raise DataError(f"{folder} holds the training of another bank or recipe: give another folder")
    if kept is None or folder is None:
        fitted = bank.part(0, len(bank) - held)
        derived = dict(zip(problem.derived, problem.derive(fitted.parameters).T, strict=True))
        summariser, corrections = fit_summariser(prior, fitted, recipe, derived)
    else:
        summariser, corrections = kept.summariser, _read_corrections(folder)

    def begin(first: Any) -> None:
        """Save the experts, which cost more than epochs."""
        if folder is not None and kept is None:
            folder.mkdir(parents=True, exist_ok=True)
            np.savez(folder / CORRECTIONS, *corrections)
            Posterior(problem.name, summariser, network, first, said).save(folder / POSTERIOR)

    none = np.zeros((held, corrections[0].shape[1]))
    variables = train_density(network, summariser, bank, [np.concatenate([c, none]) for c in corrections], recipe,
        folder=folder, digest=digest, progress=progress, begin=begin)  # fmt: skip
    posterior = Posterior(problem.name, summariser, network, variables, said)
    if folder is not None:
        posterior.save(folder / POSTERIOR)
    return posterior


def _read_corrections(folder: Path) -> list[np.ndarray]:
    with np.load(folder / CORRECTIONS) as read:
        return [read[name] for name in sorted(read.files)]


def train_density(
    network: MixtureNetwork,
    summariser: Summariser,
    bank: Bank,
    corrections: Sequence[np.ndarray],
    recipe: Recipe,
    *,
    folder: Path | None = None,
    digest: str = "",
    progress: Callable[[Epoch], None] | None = None,
    begin: Callable[[Any], None],
) -> Any:
    """Return the parameters after the epoch with the lowest loss on the held-out last tenth of the bank."""
    rng = np.random.default_rng((recipe.seed, 1))
    u = np.asarray(summariser.prior.determined.to_normal(bank.parameters[:, list(summariser.prior.indices)]))
    draws = []
    for _ in range(recipe.redraws):
        sigma = draw_sigma(rng, [level.sigma for level in recipe.levels], recipe.largest_sigma, len(bank))
        features, centre, scale = summariser(noisy(rng, bank.curves, sigma), sigma, corrections)
        draws.append((features, ((u - centre) / scale).astype(np.float32)))
    count = len(bank) - len(bank) // 10
    per_epoch = max(count // recipe.batch, 1)
    schedule = optax.cosine_decay_schedule(recipe.rate, recipe.epochs * per_epoch)
    optimiser = optax.chain(optax.clip_by_global_norm(5.0), optax.adamw(schedule, weight_decay=recipe.decay))
    variables = jax.jit(network.init)(jax.random.key(recipe.seed), draws[0][0][:2])
    begin(variables)
    state = (variables, jax.jit(optimiser.init)(variables), variables, variables)
    done, least = 0, np.inf
    if folder is not None and (folder / STATE).is_file():
        state, done, least = _read_state(folder / STATE, state, digest)

    def loss(variables: Any, features: Any, v: Any) -> Any:
        return -jnp.mean(network.apply(variables, features).log_density(v))  # type: ignore[union-attr]

    @jax.jit
    def epoch_of(state: Any, features: Any, v: Any, order: Any, steps: Any) -> Any:
        def step(carry: Any, now: Any) -> Any:
            (variables, memory, mean), (indices, count) = carry, now
            value, slope = jax.value_and_grad(loss)(variables, features[indices], v[indices])
            change, memory = optimiser.update(slope, memory, variables)
            variables = optax.apply_updates(variables, change)
            # a mean over the last steps is better than any of them
            forget = jnp.maximum(_FORGET, 4.0 / (4.0 + count))
            mean = jax.tree.map(lambda a, b: a + (b - a) * forget, mean, variables)
            return (variables, memory, mean), value

        return jax.lax.scan(step, state, (order, steps))

    judged = jax.jit(loss)
    valid_features, valid_v = (np.concatenate([draw[i][count:] for draw in draws[:2]]) for i in range(2))
    for epoch in range(done, recipe.epochs):
        order = np.random.default_rng((recipe.seed, 2, epoch)).permutation(count)[: per_epoch * recipe.batch]
        features, v = (a[:count] for a in draws[epoch % len(draws)])
        order = order.reshape(per_epoch, -1)
        (variables, memory, mean), losses = epoch_of(
            state[:3], features, v, order, epoch * per_epoch + jnp.arange(per_epoch)
        )
        told = Epoch(epoch + 1, recipe.epochs, float(losses.mean()), float(judged(mean, valid_features, valid_v)))
        if not np.isfinite(told.train):
            raise DataError(f"the training diverged in epoch {epoch + 1}: a lower rate than {recipe.rate:g} may do")
        best = mean if told.valid < least else state[3]
        state, least = (variables, memory, mean, best), min(least, told.valid)
        if folder is not None:
            _write_state(folder / STATE, state, epoch + 1, least, digest)
            with (folder / LOG).open("a", encoding="utf-8") as log:
                log.write(json.dumps(told._asdict()) + "\n")
        if progress is not None:
            progress(told)
    return state[3]


def _write_state(file: Path, state: Any, done: int, least: float, digest: str) -> None:
    arrays = {f"{k:04d}": np.ascontiguousarray(leaf) for k, leaf in enumerate(jax.tree.leaves(state))}
    said = json.dumps({"done": done, "least": least, "digest": digest})
    write_atomically(file, safetensors.numpy.save(arrays, metadata={_STATE_KEY: said}))


def _read_state(file: Path, like: Any, digest: str) -> tuple[Any, int, float]:
    with safetensors.safe_open(file, framework="numpy") as read:
        said = json.loads(read.metadata()[_STATE_KEY])
        leaves = [jnp.asarray(read.get_tensor(name)) for name in sorted(read.keys())]
    if said["digest"] != digest:
        raise DataError(f"{file} holds the training of another bank or recipe: give another folder")
    return jax.tree.unflatten(jax.tree.structure(like), leaves), said["done"], said["least"]
