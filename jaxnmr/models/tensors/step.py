"""A training step as compiled programs: for one network, for all members of an ensemble, over devices."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jraph
import numpy as np
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from ..._struct import compiled
from ...typing import Array
from ..networks.config import HeadConfig
from ..networks.irreps import Irreps
from .recipe import Recipe
from .tensor_model import TensorModel

AXIS = "devices"


class TrainingState(NamedTuple):
    """Everything that a step changes."""

    weights: Any
    averaged: Any
    optimiser: Any


@compiled(kept=True, static_argnames=("head", "recipe", "steps"))
def step(state: TrainingState, totals, model: TensorModel, batch, *, head: HeadConfig, recipe: Recipe, steps: int):
    """Perform one step of one network.

    Args:
        state: state before the step.
        totals: ``(2,)`` sums of losses and of labels; those of the batch are added without waiting for the result.
        model: scales and shifts.
        batch: batch of labelled graphs.
        head, recipe: head to be trained, and training options.
        steps: number of steps of the whole training.

    Returns:
        The state after the step, and the totals.
    """
    return _stepped(state, totals, model, batch, head, recipe, steps)


@compiled(kept=True, static_argnames=("head", "recipe", "steps", "mesh"))
def step_of_many(
    state: TrainingState, totals, model: TensorModel, batches, active, *, head: HeadConfig, recipe: Recipe, steps: int, mesh: Mesh | None
):  # fmt: skip
    """Perform one step of several networks, each with its own batch, distributed over devices.

    Args:
        state, totals, model: as for :func:`step`, with a leading axis of members.
        batches: with leading axes of devices and members.
        active: ``(members,)`` whether there is a batch; other members do not change.
        head, recipe, steps: as for :func:`step`.
        mesh: mesh of the devices; ``None`` for a single one.
    """

    def of_all(axis, state, totals, model, batches, active):
        return _each(partial(_if_active, head, recipe, steps, axis), state, totals, model, _own(batches), active)

    return _spread(of_all, mesh, state, totals, model, batches, active)


@compiled(kept=True, static_argnames=("head", "delta", "offset"))
def add_loss(weights, totals, model: TensorModel, batch, *, head: HeadConfig, delta: float, offset: float):
    """Add the sums of losses and of labels of a batch to totals ``(2,)``."""
    return _added(head, delta, offset, None, weights, totals, model, batch)


@compiled(kept=True, static_argnames=("head", "delta", "offset", "mesh"))
def add_loss_of_many(
    weights, totals, model: TensorModel, batches, *, head: HeadConfig, delta: float, offset: float, mesh: Mesh | None
):
    """Do as :func:`add_loss` for several networks, ``(members, 2)``, and one batch distributed over devices."""

    def of_all(axis, weights, totals, model, batches):
        own = _own(batches)

        def of_one(weights, totals, model):
            return _added(head, delta, offset, axis, weights, totals, model, own)

        return _each(of_one, weights, totals, model)

    return _spread(of_all, mesh, weights, totals, model, batches)


def _spread(function: Callable, mesh: Mesh | None, *arguments):
    """Apply a function on each device to its part of the batches, the fourth argument after the axis."""
    if mesh is None:
        return function(None, *arguments)
    specs = [P(AXIS) if k == 3 else P() for k in range(len(arguments))]
    # the results are the same on all devices, since everything that differs is summed over them
    run = jax.shard_map(partial(function, AXIS), mesh=mesh, in_specs=tuple(specs), out_specs=P(), check_vma=False)
    return run(*arguments)


def _own(batches):
    return jax.tree.map(lambda a: a[0], batches)


def _each(function: Callable, *arguments):
    """Apply a function to every member; to a single one without a batch axis, which would only add cost."""
    if len(jax.tree.leaves(arguments)[0]) > 1:
        return jax.vmap(function)(*arguments)
    return jax.tree.map(lambda a: a[None], function(*_own(arguments)))


def _summed(value, axis: str | None):
    return value if axis is None else jax.lax.psum(value, axis)


def _stepped(state: TrainingState, totals, model, batch, head, recipe: Recipe, steps: int, axis: str | None = None):
    # mean over the labels of all devices
    labels = _summed(jnp.sum(batch.nodes["weight"]), axis)
    value_and_slope = jax.value_and_grad(mean_loss)(
        state.weights, model, batch, labels, head, recipe.delta, recipe.offset
    )
    value, slope = _summed(value_and_slope, axis)
    updates, moments = optimiser(recipe, steps).update(slope, state.optimiser, state.weights)
    weights = optax.apply_updates(state.weights, updates)
    averaged = optax.incremental_update(weights, state.averaged, 1.0 - recipe.ema)
    return TrainingState(weights, averaged, moments), totals + jnp.stack([value * labels, labels])


def _if_active(head, recipe: Recipe, steps: int, axis: str | None, state, totals, model, batch, active):
    after = _stepped(state, totals, model, batch, head, recipe, steps, axis)
    return jax.tree.map(lambda new, old: jnp.where(active, new, old), after, (state, totals))


def _added(head, delta: float, offset: float, axis: str | None, weights, totals, model, batch):
    labels = _summed(jnp.sum(batch.nodes["weight"]), axis)
    value = _summed(mean_loss(weights, model, batch, labels, head, delta, offset), axis)
    return totals + jnp.stack([value * labels, labels])


def tensor_loss(predicted: Array, target: Array, weight: Array, scale: Array, head: HeadConfig, delta: float) -> Array:
    """Return the masked pseudo-Huber loss, summed over labels; it is invariant under rotations.

    Every irrep contributes ``delta^2 (sqrt(1 + r^2/delta^2) - 1)`` for its mean squared error r^2 per component in units of
    ``scale``.

    Args:
        predicted, target: ``(nodes, dim)``.
        weight: ``(nodes,)``, 0 for nodes without a label.
        scale: ``(nodes, irreps)``.
        head: head with its irreps.
        delta: error at which the loss changes from quadratic to linear.
    """
    start, total = 0, jnp.zeros((), dtype=predicted.dtype)
    for k, ir in enumerate(Irreps.read(head.irreps).each):
        error = (predicted - target)[:, start : start + ir.dim] / scale[:, k : k + 1]
        squared = jnp.mean(error**2, axis=1) / delta**2
        total += jnp.sum(weight * delta**2 * (jnp.sqrt(1.0 + squared) - 1.0))
        start += ir.dim
    return total


def common_offset(error: Array, weight: Array, owner: Array, structures: int, ratio: float) -> Array:
    """Return the most likely common error of all atoms of a structure, for every atom (traceable).

    It is the mean error of n sites times ``n ratio^2/(1 + n ratio^2)``, for a constant with ``ratio`` times the scatter
    of errors of single sites: the best linear unbiased prediction of a random effect (G. K. Robinson, Statist. Sci. 6,
    15, 1991).

    Args:
        error: ``(nodes,)``.
        weight: ``(nodes,)``, 0 for nodes without a label.
        owner: ``(nodes,)`` index of the structure of each node.
        structures: number of structures.
        ratio: see above.
    """
    total = lambda values: jax.ops.segment_sum(values, owner, structures, indices_are_sorted=True)
    mean = total(weight * error) / jnp.maximum(total(weight), 1.0)
    sites = ratio**2 * total((weight > 0).astype(error.dtype))
    return (mean * sites / (1.0 + sites))[owner]


def optimiser(recipe: Recipe, steps: int) -> optax.GradientTransformation:
    """Make AdamW with warm-up, cosine decay and gradient clipping."""
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, recipe.learning_rate, max(1, round(recipe.warmup * steps)), steps, 0.01 * recipe.learning_rate
    )
    chain = optax.chain(optax.clip_by_global_norm(recipe.clip), optax.adamw(schedule, weight_decay=recipe.weight_decay))
    # one vector instead of thirty arrays compiles in a twentieth of the time
    return optax.flatten(chain)


def mean_loss(
    weights, model: TensorModel, batch: jraph.GraphsTuple, labels: Array, head: HeadConfig, delta: float, offset: float
) -> Array:
    """Return the loss of the labels of a batch, divided by a number of labels (traceable)."""
    nodes = batch.nodes
    predicted = model.replace(weights=weights).components(batch)[head.name]
    weight, target = nodes["weight"], nodes["target"]
    scale = model.scale[head.name][nodes["species"]]
    if offset:
        count = len(batch.n_node)
        owner = jnp.repeat(jnp.arange(count), batch.n_node, total_repeat_length=len(weight))
        for column in np.flatnonzero(np.repeat(head.ranks, 2 * np.array(head.ranks) + 1) == 0):
            # no derivative is needed: the loss is at its minimum with respect to it
            error = jax.lax.stop_gradient(predicted[:, column] - target[:, column])
            target = target.at[:, column].add(common_offset(error, weight, owner, count, offset))
    return tensor_loss(predicted, target, weight, scale, head, delta) / jnp.maximum(labels, 1.0)
