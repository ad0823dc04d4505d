"""Model comparison: posterior probabilities of several problems for an observation, learned from simulations (host).

A network trained by cross entropy on equally many simulations of every family, with parameters from their priors,
approaches the evidence of each family divided by the sum of all (S. T. Radev et al., arXiv:2004.10629).
Indistinguishable families share the probability. Its input consists of estimates, by linear experts fitted to all families
together, of quantities common to the families.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from .._arguments import checked
from ..errors import DataError, ParameterError, ParseError, ShapeError
from ..typing import Array
from .density import flat, unflat
from .files import FORMAT, file_of, read_arrays, write_arrays
from .posterior import checked_observations
from .prior import BoxPrior
from .problem import Bank, Problem
from .summariser import Summariser
from .training import Epoch, Recipe, draw_sigma, fit_summariser, noisy

_KEY = "jaxnmr-families"
_FORGET = 0.005


class FamilyNetwork(nn.Module):
    """Network from features to unnormalised log probabilities.

    Attributes:
        families: number of families.
        hidden: widths of the layers.
    """

    families: int
    hidden: tuple[int, ...] = (128, 128)

    @nn.compact
    def __call__(self, features: Float[Array, "*n f"]) -> Float[Array, "*n families"]:
        x = features
        for width in self.hidden:
            y = nn.gelu(nn.Dense(width)(x))
            x = x + y if x.shape[-1] == width else y
        return nn.Dense(self.families, kernel_init=nn.initializers.normal(0.01))(x)


@dataclass(frozen=True)
class Families:
    """Classifier from observations to probabilities of families with equal prior probabilities.

    Attributes:
        names: names of the families.
        summariser: experts, without parameters.
        network: the architecture.
        variables: its parameters.
        temperature: factor that softens probabilities, fitted to held-out simulations.
        card: origin and quality.
    """

    names: tuple[str, ...]
    summariser: Summariser
    network: FamilyNetwork
    variables: Mapping[str, Any]
    temperature: float = 1.0
    card: dict[str, Any] = field(default_factory=dict)

    @checked
    def probabilities(self, observations: np.ndarray, *, sigma: float) -> Float[np.ndarray, "n families"]:
        """Return the probability of each family for each observation, assuming that it belongs to one of them.

        Args:
            observations: ``(n, numbers)``, or ``(numbers,)`` for a single one.
            sigma: standard deviation of the white noise on each number.

        Raises:
            ShapeError: the observations have the wrong length.
            DataError: numbers are not finite.
            ConventionError: noise is negative, or larger than in training.
        """
        numbers = len(self.summariser.gate.centre)
        x = checked_observations(observations, sigma, numbers, "this file of families", self.card)
        features, *_ = self.summariser(x, np.full(len(x), sigma))
        found = np.asarray(_apply(self.network, self.variables, features), dtype=float)
        return _softmax(found / self.temperature)

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file."""
        arrays, of_experts = self.summariser.arrays()
        arrays |= {f"network/{name}": leaf for name, leaf in flat(self.variables).items()}
        said = {
            "format": FORMAT, "names": list(self.names), **of_experts, "hidden": list(self.network.hidden),
            "temperature": self.temperature, "card": self.card,
        }  # fmt: skip
        return write_arrays(Path(path), _KEY, arrays, said)

    @classmethod
    def load(cls, path_or_name: str | Path) -> Families:
        """Read a classifier: a file, or the name of one shipped with the package.

        Raises:
            ParseError: there is no such file, or it is of another kind.
            ConventionError: none with that name is shipped.
        """
        path = file_of(path_or_name, "file of families")
        arrays, said = read_arrays(path, _KEY, "file of families")
        try:
            network = FamilyNetwork(len(said["names"]), tuple(said["hidden"]))
            variables = unflat({n.removeprefix("network/"): a for n, a in arrays.items() if n.startswith("network/")})
            summariser = Summariser.of(BoxPrior.none(), arrays, said)
            return cls(tuple(said["names"]), summariser, network, variables, said["temperature"], said["card"])
        except (KeyError, ValueError, TypeError) as error:
            raise ParseError(path, None, f"is no file of families, or damaged: {error}") from error


def fit_families(
    problems: Sequence[Problem],
    banks: Sequence[Bank],
    recipe: Recipe,
    *,
    file: str | Path | None = None,
    progress: Callable[[Epoch], None] | None = None,
    card: Mapping[str, Any] | None = None,
) -> Families:
    """Train a classifier of families.

    Args:
        problems: one problem per family.
        banks: simulations without noise for each family, with parameters from its prior; all are truncated to the
            smallest size.
        recipe: the knots of its levels are those of the quantities of `common`, then one per family; ``mixture`` is
            ignored.
        file: file of the result; if it exists with the same recipe and simulations, it is read instead.
        progress: called after every epoch.
        card: additional entries of the card.

    Raises:
        ParameterError: there are fewer than two families, or two with the same name.
        ShapeError: observations have different lengths.
    """
    names = tuple(problem.name for problem in problems)
    if len(set(names)) < max(len(names), 2) or len(banks) != len(names):
        raise ParameterError(f"the families are {', '.join(names)}; expected two or more, with a bank each")
    lengths = {problem.numbers for problem in problems} | {bank.curves.shape[1] for bank in banks}
    if len(lengths) != 1:
        raise ShapeError(f"observations of the families have {sorted(lengths)} numbers; expected the same for all")
    count = min(len(bank) for bank in banks)
    held = max(round(recipe.held_out * count), 1)
    fitted = count - held
    thetas = b"".join(bank.parameters[:count].tobytes() for bank in banks)
    digest = hashlib.sha256(json.dumps([names, asdict(recipe)]).encode() + thetas).hexdigest()[:16]
    if file is not None and Path(file).is_file():
        kept = Families.load(file)
        if kept.card.get("digest") == digest:
            return kept
    parts = [bank.part(0, fitted) for bank in banks] + [bank.part(fitted, count) for bank in banks]
    pool = Bank(np.concatenate([part.curves for part in parts]), np.zeros((count * len(names), 0)))
    labels = np.concatenate([np.repeat(np.arange(len(names)), n) for n in (fitted, held)])
    told = {name: np.concatenate(of) for name, of in common(problems, [bank.part(0, fitted) for bank in banks]).items()}
    for k, name in enumerate(names):
        told[f"is {name}"] = (labels[: fitted * len(names)] == k).astype(float)
    seen = pool.part(0, fitted * len(names))
    summariser, corrections = fit_summariser(BoxPrior.none(), seen, recipe, told)
    none = np.zeros((held * len(names), len(told)))
    network = FamilyNetwork(len(names), recipe.hidden)
    variables, temperature = _train(
        network, summariser, pool, [np.concatenate([c, none]) for c in corrections], labels, len(seen), recipe, progress
    )
    said = {
        "simulations": count, "held_out": held, "recipe": asdict(recipe), "largest_sigma": 1.5 * max(level.sigma for level in recipe.levels),
        "digest": digest, **(card or {}),
    }  # fmt: skip
    families = Families(names, summariser, network, variables, temperature, said)
    if file is not None:
        families.save(file)
    return families


def common(problems: Sequence[Problem], banks: Sequence[Bank]) -> dict[str, list[np.ndarray]]:
    """Return quantities common to all families: derived ones, then summaries of parameters with equal priors."""
    found: dict[str, list[np.ndarray]] = {}
    for name in problems[0].derived:
        if all(name in problem.derived for problem in problems):
            found[name] = [
                problem.derive(bank.parameters)[:, problem.derived.index(name)]
                for problem, bank in zip(problems, banks, strict=True)
            ]
    for parameter in problems[0].prior.determined.parameters:
        if all(parameter in problem.prior.determined.parameters for problem in problems):
            found[parameter.name] = [
                problem.prior.summaries(bank.parameters)[:, problem.prior.names.index(parameter.name)]
                for problem, bank in zip(problems, banks, strict=True)
            ]
    return found


def _train(
    network: FamilyNetwork,
    summariser: Summariser,
    pool: Bank,
    corrections: Sequence[np.ndarray],
    labels: np.ndarray,
    trained: int,
    recipe: Recipe,
    progress: Callable[[Epoch], None] | None,
) -> tuple[Any, float]:
    """Return the parameters of the epoch with the lowest held-out loss, and the best temperature."""
    rng = np.random.default_rng((recipe.seed, 3))
    # without noise, the experts of the lowest level are used
    levels = [0.0, *(level.sigma for level in recipe.levels)]
    draws = []
    for _ in range(recipe.redraws):
        sigma = draw_sigma(rng, levels, recipe.largest_sigma, len(pool))
        draws.append(summariser(noisy(rng, pool.curves, sigma), sigma, corrections)[0])
    judged_by = (np.concatenate([draw[trained:] for draw in draws]), np.tile(labels[trained:], len(draws)))
    labels = labels[:trained]
    batch = min(recipe.batch, len(labels))
    steps = len(labels) // batch
    schedule = optax.cosine_decay_schedule(recipe.rate, recipe.epochs * steps)
    optimiser = optax.chain(optax.clip_by_global_norm(5.0), optax.adamw(schedule, weight_decay=recipe.decay))
    variables = jax.jit(network.init)(jax.random.key(recipe.seed), judged_by[0][:2])

    def loss(variables: Any, features: Any, labels: Any) -> Any:
        logits = network.apply(variables, features)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    @jax.jit
    def epoch_of(state: Any, features: Any, labels: Any, steps: Any) -> Any:
        def step(carry: Any, now: Any) -> Any:
            (variables, memory, mean), (x, y, count) = carry, now
            value, slope = jax.value_and_grad(loss)(variables, x, y)
            change, memory = optimiser.update(slope, memory, variables)
            variables = optax.apply_updates(variables, change)
            forget = jnp.maximum(_FORGET, 4.0 / (4.0 + count))
            mean = jax.tree.map(lambda a, b: a + (b - a) * forget, mean, variables)
            return (variables, memory, mean), value

        return jax.lax.scan(step, state, (features, labels, steps))

    judged = jax.jit(loss)
    state, best, least = (variables, jax.jit(optimiser.init)(variables), variables), variables, np.inf
    for epoch in range(recipe.epochs):
        order = rng.permutation(len(labels))[: steps * batch]
        features = draws[epoch % len(draws)][order]
        state, losses = epoch_of(
            state,
            features.reshape(steps, batch, -1),
            labels[order].reshape(steps, batch),
            epoch * steps + jnp.arange(steps),
        )
        told = Epoch(epoch + 1, recipe.epochs, float(losses.mean()), float(judged(state[2], *judged_by)))
        if not np.isfinite(told.train):
            raise DataError(f"the training diverged in epoch {epoch + 1}: a lower rate than {recipe.rate:g} may do")
        if told.valid < least:
            best, least = state[2], told.valid
        if progress is not None:
            progress(told)
    logits = np.asarray(_apply(network, best, judged_by[0]), dtype=float)
    return best, _temperature(logits, judged_by[1])


def _temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the divisor of logits (C. Guo et al., arXiv:1706.04599), to a hundredth."""
    tried = np.exp(np.arange(-0.7, 0.71, 0.01))
    losses = [-np.log(_softmax(logits / t)[np.arange(len(labels)), labels] + 1e-300).mean() for t in tried]
    return float(tried[int(np.argmin(losses))])


def _softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


@partial(jax.jit, static_argnums=0)
def _apply(network: FamilyNetwork, variables: Mapping[str, Any], features: np.ndarray) -> Array:
    return network.apply(variables, features)  # type: ignore[return-value]  # without mutable collections it is what __call__ returns
