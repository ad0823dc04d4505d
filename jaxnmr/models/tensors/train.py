"""Training of tensor models: robust loss, AdamW with warm-up and cosine, averaged weights; deterministic, resumable."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jraph
import numpy as np
import optax
import safetensors
import safetensors.numpy

from ..._files import write_atomically
from ..._struct import compiled
from ...errors import ConventionError, ConvergenceError, ParseError
from ...typing import Array
from ..data.labels import Batches, label_statistics, labelled_graphs
from ..data.tensor_data import TensorData
from ..networks.config import HeadConfig, NetworkConfig
from ..networks.irreps import Irreps
from .tensor_model import ModelCard, TensorModel
from .transfer import transferred


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train.

    Attributes:
        epochs: passes over the data.
        batch: most structures in a batch.
        learning_rate: at its peak, after ``warmup`` (a fraction of all steps); then a cosine down to a hundredth.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        ema: decay of the averaged weights, which are the ones that are kept.
        delta: where the loss turns from quadratic to linear, in units of the spread of the labels.
        offset: how many times larger than errors of single atoms a constant is that all isotropic labels of a structure may
            have in common, and that no structure can tell: macroscopic susceptibility, for instance, that was not converged.
            0 for none.
        seed: of parameters and order.
    """

    epochs: int = 200
    batch: int = 8
    learning_rate: float = 5e-3
    warmup: float = 0.05
    weight_decay: float = 1e-5
    clip: float = 1.0
    ema: float = 0.99
    delta: float = 0.3
    offset: float = 0.0
    seed: int = 0

    def __post_init__(self):
        for name in ("epochs", "batch", "learning_rate", "clip", "delta"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConventionError(f"{name} is {getattr(self, name)}; expected a positive number")
        if not (np.isfinite(self.offset) and self.offset >= 0):
            raise ConventionError(f"offset is {self.offset}; expected 0 or a positive number")
        for name in ("warmup", "ema"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConventionError(f"{name} is {getattr(self, name)}; expected a fraction from 0 to below 1")


class EpochInfo(NamedTuple):
    """What a callback is told after every epoch; losses are per label, in scaled units."""

    epoch: int
    epochs: int
    train_loss: float
    valid_loss: float | None


class TrainingState(NamedTuple):
    """Everything a step changes."""

    weights: Any
    averaged: Any
    optimiser: Any


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A trained model with its learning curve; the model has the averaged weights of the last epoch."""

    model: TensorModel
    history: tuple[EpochInfo, ...]


def train(
    config: NetworkConfig,
    data: TensorData,
    recipe: Recipe,
    *,
    valid: TensorData | None = None,
    start: TensorModel | None = None,
    card: ModelCard | None = None,
    checkpoint: str | Path | None = None,
    callback: Callable[[EpochInfo], None] | None = None,
) -> TrainingResult:
    """Train a model on one quantity (host loop around a compiled step).

    Args:
        config: the network.
        data: labelled structures.
        recipe: how.
        valid: structures whose loss is followed; they change nothing.
        start: a model to start from. One of the same configuration is trained further, with its scales and shifts; of one
            with other heads or more species the features are taken over, see :func:`transferred`.
        card: origin, for the model.
        checkpoint: state after every epoch; training continues from there if it exists.
        callback: called after every epoch.

    Raises:
        ConvergenceError: the loss is no number.
        ConventionError: data or starting model that do not fit the network.
        ParseError: a checkpoint that is damaged or of another training.
    """
    head = config.head(data.quantity)
    graphs = labelled_graphs(data, config)
    origin = start
    if start is None or start.config != config:
        scale, shift = label_statistics(graphs, head, len(config.species))
        make = TensorModel.create if start is None else partial(transferred, start)
        start = make(config, key=jax.random.key(recipe.seed), scale={head.name: scale}, shift={head.name: shift})
    elif start.members is not None:
        raise ConventionError("the model to start from is an ensemble: take one of its networks, model.member(0)")
    # what start could tell of itself is not true of what it becomes
    start = start.replace(environments={}, card=card or start.card)
    batches = Batches(graphs, recipe.batch)
    judged = None if valid is None else Batches(labelled_graphs(valid, config), recipe.batch)

    # in the order of the data, whatever the seed, so that members of an ensemble share one program
    per_epoch = sum(1 for _ in batches.epoch(range(len(graphs)))) + 1
    steps = recipe.epochs * per_epoch
    state = TrainingState(start.weights, start.weights, _optimiser(recipe, steps).init(start.weights))
    # what a step does not depend on is left out, so that trainings that differ in it share one program
    rest, same = start.replace(weights={}), dataclasses.replace(recipe, seed=0)
    identity = _identity(config, recipe, data, origin)
    first = 0
    history: list[EpochInfo] = []
    if checkpoint is not None and Path(checkpoint).exists():
        state, history = _read_state(checkpoint, state, identity)
        first = len(history)
    for epoch in range(first, recipe.epochs):
        total = count = 0.0
        for _, batch in batches.epoch(_order(recipe, epoch, len(graphs))):
            state, loss, labels = _step(state, rest, batch, head=head, recipe=same, steps=steps)
            total, count = total + float(loss), count + float(labels)
        if not np.isfinite(total):
            raise ConvergenceError(f"the loss of epoch {epoch + 1} is no number: lower the learning rate")
        valid_loss = None
        if judged is not None:
            order = range(len(judged.graphs))
            follow = partial(_loss_of, head=head, delta=recipe.delta, offset=recipe.offset)
            pairs = [follow(state.averaged, rest, b) for _, b in judged.epoch(order)]
            valid_loss = float(sum(float(p[0]) for p in pairs) / sum(float(p[1]) for p in pairs))
        history.append(EpochInfo(epoch + 1, recipe.epochs, total / count, valid_loss))
        if checkpoint is not None:
            _write_state(checkpoint, state, history, identity)
        if callback is not None:
            callback(history[-1])
    return TrainingResult(start.replace(weights=state.averaged), tuple(history))


def tensor_loss(predicted: Array, target: Array, weight: Array, scale: Array, head: HeadConfig, delta: float) -> Array:
    """Masked pseudo-Huber loss, summed over labels; rotations do not change it.

    Every irrep counts once: ``delta^2 (sqrt(1 + r^2/delta^2) - 1)`` of its squared error r^2 per component in units of
    ``scale``.

    Args:
        predicted, target: ``(nodes, dim)``.
        weight: ``(nodes,)``, 0 for nodes without a label.
        scale: ``(nodes, irreps)``.
        head: the irreps.
        delta: where it turns from quadratic to linear.
    """
    start, total = 0, jnp.zeros((), dtype=predicted.dtype)
    for k, ir in enumerate(Irreps.read(head.irreps).each):
        error = (predicted - target)[:, start : start + ir.dim] / scale[:, k : k + 1]
        squared = jnp.mean(error**2, axis=1) / delta**2
        total += jnp.sum(weight * delta**2 * (jnp.sqrt(1.0 + squared) - 1.0))
        start += ir.dim
    return total


def common_offset(error: Array, weight: Array, owner: Array, structures: int, ratio: float) -> Array:
    """Most likely constant that the errors of all atoms of a structure have in common, for every atom (traceable).

    The mean error of n sites times ``n ratio^2/(1 + n ratio^2)``, for a constant that scatters ``ratio`` times more than the
    errors of single sites: the best linear unbiased prediction of a random effect (G. K. Robinson, Statist. Sci. 6, 15, 1991).

    Args:
        error: ``(nodes,)``.
        weight: ``(nodes,)``, 0 for nodes without a label.
        owner: ``(nodes,)`` which structure a node belongs to.
        structures: number of structures.
        ratio: see above.
    """
    total = lambda values: jax.ops.segment_sum(values, owner, structures, indices_are_sorted=True)
    mean = total(weight * error) / jnp.maximum(total(weight), 1.0)
    sites = ratio**2 * total((weight > 0).astype(error.dtype))
    return (mean * sites / (1.0 + sites))[owner]


def _optimiser(recipe: Recipe, steps: int) -> optax.GradientTransformation:
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, recipe.learning_rate, max(1, round(recipe.warmup * steps)), steps, 0.01 * recipe.learning_rate
    )
    chain = optax.chain(optax.clip_by_global_norm(recipe.clip), optax.adamw(schedule, weight_decay=recipe.weight_decay))
    # one vector instead of thirty arrays compiles in a twentieth of the time
    return optax.flatten(chain)


def _loss(weights, model: TensorModel, batch: jraph.GraphsTuple, head: HeadConfig, delta: float, offset: float):
    """Mean loss of the labels of a batch, and how many they are."""
    nodes = batch.nodes
    predicted = model.replace(weights=weights).components(batch)[head.name]
    weight, target = nodes["weight"], nodes["target"]
    scale = model.scale[head.name][nodes["species"]]
    if offset:
        count = len(batch.n_node)
        owner = jnp.repeat(jnp.arange(count), batch.n_node, total_repeat_length=len(weight))
        for column in np.flatnonzero(np.repeat(head.ranks, 2 * np.array(head.ranks) + 1) == 0):
            # held while derivatives are taken: the loss is at its minimum by it
            error = jax.lax.stop_gradient(predicted[:, column] - target[:, column])
            target = target.at[:, column].add(common_offset(error, weight, owner, count, offset))
    labels = jnp.sum(weight)
    total = tensor_loss(predicted, target, weight, scale, head, delta)
    return total / jnp.maximum(labels, 1.0), labels


@compiled(kept=True, static_argnames=("head", "recipe", "steps"))
def _step(state: TrainingState, model: TensorModel, batch, *, head: HeadConfig, recipe: Recipe, steps: int):
    (value, labels), slope = jax.value_and_grad(_loss, has_aux=True)(
        state.weights, model, batch, head, recipe.delta, recipe.offset
    )
    updates, optimiser = _optimiser(recipe, steps).update(slope, state.optimiser, state.weights)
    weights = optax.apply_updates(state.weights, updates)
    averaged = optax.incremental_update(weights, state.averaged, 1.0 - recipe.ema)
    return TrainingState(weights, averaged, optimiser), value * labels, labels


@compiled(kept=True, static_argnames=("head", "delta", "offset"))
def _loss_of(weights, model: TensorModel, batch, *, head: HeadConfig, delta: float, offset: float):
    value, labels = _loss(weights, model, batch, head, delta, offset)
    return value * labels, labels


def _order(recipe: Recipe, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([recipe.seed, epoch]).permutation(count)


def _identity(config: NetworkConfig, recipe: Recipe, data: TensorData, start: TensorModel | None) -> str:
    """What must be the same for a training to go on; ``start`` where it does not begin with random parameters."""
    labels = hashlib.sha256(b"".join(np.nan_to_num(data.tensors(k)).tobytes() for k in range(len(data)))).hexdigest()
    entries = [config.to_dict(), dataclasses.asdict(recipe), data.quantity, labels]
    if start is not None:
        entries.append(hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in jax.tree.leaves(start))).hexdigest())
    return json.dumps(entries, sort_keys=True)


def _difference(found: str, wanted: str) -> str:
    """What two identities differ in, in words."""
    pairs = itertools.zip_longest(json.loads(found), json.loads(wanted))
    out = []
    for name, (theirs, mine) in zip(("network", "recipe", "quantity", "labels", "starting model"), pairs, strict=False):
        if isinstance(theirs, dict) and isinstance(mine, dict):
            keys = sorted(k for k in theirs.keys() | mine.keys() if theirs.get(k) != mine.get(k))
            out += [f"{name}: {k} {theirs.get(k)!r} there, {mine.get(k)!r} here" for k in keys]
        elif theirs != mine:
            out.append(f"another {name}" if theirs and mine else f"{name} only {'there' if theirs else 'here'}")
    return "; ".join(out)


def _write_state(path: str | Path, state: TrainingState, history: list[EpochInfo], identity: str) -> None:
    arrays = {f"{k:05d}": np.asarray(leaf, order="C") for k, leaf in enumerate(jax.tree.leaves(state))}
    metadata = {"history": json.dumps([info._asdict() for info in history]), "identity": identity}
    write_atomically(path, safetensors.numpy.save(arrays, metadata=metadata))


def _read_state(path: str | Path, like: TrainingState, identity: str) -> tuple[TrainingState, list[EpochInfo]]:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            leaves = [file.get_tensor(name) for name in sorted(file.keys())]
        history = [EpochInfo(**info) for info in json.loads(metadata["history"])]
        found = metadata["identity"]
    except (OSError, KeyError, ValueError, TypeError, safetensors.SafetensorError) as error:
        raise ParseError(path, None, f"is no state of a training: {error}") from error
    if found != identity:
        raise ParseError(
            path,
            None,
            f"is the state of another training ({_difference(found, identity)}); remove it or name another file",
        )
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(like)]
    if [leaf.shape for leaf in leaves] != shapes:
        raise ParseError(path, None, "has arrays of other shapes")
    return jax.tree.unflatten(jax.tree.structure(like), [jnp.asarray(leaf) for leaf in leaves]), history
