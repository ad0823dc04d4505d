"""Training of tensor models: robust loss, AdamW with cosine decay, averaged weights; deterministic, resumable."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import jraph
import numpy as np

from ..._tuning import of_platform
from ...errors import ConventionError, ConvergenceError
from ..data.batches import Batches
from ..data.labels import label_statistics, labelled_graphs
from ..data.tensor_data import TensorData
from ..networks.config import HeadConfig, NetworkConfig
from .hosts import is_first, require_same, step_devices
from .lanes import Lanes
from .recipe import EpochInfo, Recipe
from .step import TrainingState, optimiser
from .tensor_model import ModelCard, TensorModel
from .training_state import identity, read_state, write_state
from .transfer import transferred


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A trained model, with the averaged weights of the last epoch, and its learning curve."""

    model: TensorModel
    history: tuple[EpochInfo, ...]


@dataclass
class _Member:
    """A training in progress."""

    recipe: Recipe
    model: TensorModel
    identity: str
    checkpoint: str | Path | None
    state: TrainingState
    history: list[EpochInfo]


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
    devices: Sequence[jax.Device] | None = None,
) -> TrainingResult:
    """Train a model on one quantity (host loop around a compiled step).

    Args:
        config: configuration of the network.
        data: labelled structures.
        recipe: training options.
        valid: validation structures, whose loss is monitored without affecting the training.
        start: model to start from. With the same configuration it is trained further, with its scales and shifts; with
            other heads or more species its features are transferred, see :func:`transferred`.
        card: origin, stored in the model.
        checkpoint: file of the state after every epoch; if it exists, training continues from it, on any number of devices.
        callback: called after every epoch.
        devices: devices over which the structures of every step are distributed; by default all, see :func:`train_members`.

    Raises:
        ConvergenceError: the loss is not finite.
        ConventionError: data or starting model do not match the network, or devices do not match the recipe.
        DataError: several processes do not train the same.
        ParseError: a checkpoint is damaged or belongs to another training.
    """
    (result,) = train_members(
        config,
        data,
        [recipe],
        valid=valid,
        starts=[start],
        card=card,
        checkpoints=[checkpoint],
        callback=None if callback is None else lambda _, info: callback(info),
        devices=devices,
    )
    return result


def train_members(
    config: NetworkConfig,
    data: TensorData,
    recipes: Sequence[Recipe],
    *,
    valid: TensorData | None = None,
    starts: Sequence[TensorModel | None] | None = None,
    card: ModelCard | None = None,
    checkpoints: Sequence[str | Path | None] | None = None,
    callback: Callable[[int, EpochInfo], None] | None = None,
    graphs: Sequence[jraph.GraphsTuple] | None = None,
    width: int | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> list[TrainingResult]:
    """Train the members of an ensemble, several at once if the device is wide enough.

    Members trained at once are equal, to rounding, to members trained one after the other: each has its own order of
    the same batches. They need more padding, since the batches of one step have the same size.

    On several devices, a step has the same structures as on one, at most ``recipe.batch`` altogether; they are
    distributed over the devices, and the contributions of the devices to loss and gradient, divided by the total number
    of labels, are summed. The result of a training therefore does not depend on the number of devices, to rounding, and
    it can be continued on another number. More devices than ``batch`` are useless. If several processes were joined
    (:func:`jaxnmr.models.tensors.hosts.join`) each calls this function with the same arguments; the first writes
    checkpoints, and callbacks are called in all of them.

    Args:
        config, data, valid, card: as for :func:`train`.
        recipes: one per member; they differ only in their seeds.
        starts, checkpoints: as for :func:`train`, one per member.
        callback: called with the index of the member after each of its epochs.
        graphs: result of :func:`labelled_graphs` for the data, if already available.
        width: number of members trained at once; chosen by the kind of device by default.
        devices: devices over which steps are distributed; by default all of all processes, and for a single process at
            most ``batch``.

    Raises:
        ConventionError: recipes differ in more than their seeds, or the width is below 1; otherwise as for :func:`train`.
    """
    head = config.head(data.quantity)
    if not recipes or len({dataclasses.replace(recipe, seed=0) for recipe in recipes}) > 1:
        raise ConventionError("members differ in the seeds of their recipes alone, and there is one at least")
    recipe, alone = recipes[0], devices is None
    devices = step_devices(devices, recipe.batch)
    width = of_platform(devices[0].platform).members if width is None else width
    if width < 1:
        raise ConventionError(f"width is {width}: at least one member is trained at a time")
    graphs = labelled_graphs(data, config) if graphs is None else graphs
    batched = partial(Batches, size=recipe.batch, passes=recipe.epochs * len(recipes), devices=len(devices))
    batches = batched(graphs, shuffled=True)
    judged = None if valid is None else batched(labelled_graphs(valid, config))
    # counted in the order of the data, whatever the seed, so that members of an ensemble share one program
    steps = recipe.epochs * (sum(1 for _ in batches.chunks(range(len(graphs)))) + 1)
    none = [None] * len(recipes)
    with nullcontext() if alone or len(devices) > 1 else jax.default_device(devices[0]):
        members = [
            _begun(config, data, graphs, head, own, start, card, steps, path)
            for own, start, path in zip(recipes, starts or none, checkpoints or none, strict=True)
        ]
        _require_same(members, data)
        for first in range(0, len(members), width):
            group = members[first : first + width]
            # members that were interrupted earlier catch up first
            while behind := [m for m in group if len(m.history) < recipe.epochs]:
                least, *later = sorted({len(m.history) for m in behind})
                together = [m for m in behind if len(m.history) == least]
                lanes = Lanes(
                    [m.state for m in together], [m.model for m in together], devices, batches,
                    head=head, recipe=recipe, steps=steps,
                )  # fmt: skip
                tell = None if callback is None else partial(_told, callback, [members.index(m) for m in together])
                _advance(lanes, together, judged, [*later, recipe.epochs][0], tell)
        return [TrainingResult(m.model.replace(weights=_here(m.state.averaged)), tuple(m.history)) for m in members]


def _told(callback: Callable[[int, EpochInfo], None], numbers: Sequence[int], k: int, info: EpochInfo) -> None:
    callback(numbers[k], info)


def _here(weights):
    return jax.tree.map(jnp.asarray, weights)


def _begun(
    config: NetworkConfig,
    data: TensorData,
    graphs: Sequence[jraph.GraphsTuple],
    head: HeadConfig,
    recipe: Recipe,
    start: TensorModel | None,
    card: ModelCard | None,
    steps: int,
    checkpoint: str | Path | None,
) -> _Member:
    """Start a training, or resume it."""
    origin = start
    if start is None or start.config != config:
        scale, shift = label_statistics(graphs, head, len(config.species))
        make = TensorModel.create if start is None else partial(transferred, start)
        start = make(config, key=jax.random.key(recipe.seed), scale={head.name: scale}, shift={head.name: shift})
    elif start.members is not None:
        raise ConventionError("the model to start from is an ensemble: take one of its networks, model.member(0)")
    # environments and card of the starting model do not apply to the result
    start = start.replace(environments={}, card=card or start.card)
    state = TrainingState(start.weights, start.weights, optimiser(recipe, steps).init(start.weights))
    mark, history = identity(config, recipe, data, origin), list[EpochInfo]()
    if checkpoint is not None:
        state, history = read_state(checkpoint, state, mark)
    return _Member(recipe, start, mark, checkpoint, state, history)


def _require_same(members: Sequence[_Member], data: TensorData) -> None:
    """Require that processes that train together train the same."""
    structures = b"".join(
        "|".join(s.elements).encode() + np.asarray(s.positions).tobytes() + np.asarray(s.vectors).tobytes()
        for s in data.structures
    )
    marks = [m.identity for m in members]
    require_same({"recipe, network or set of labels": "".join(marks).encode(), "set of structures": structures})


def _advance(
    lanes: Lanes,
    members: Sequence[_Member],
    judged: Batches | None,
    until: int,
    callback: Callable[[int, EpochInfo], None] | None,
) -> None:
    """Train members with equal numbers of finished epochs until epoch ``until``."""
    epochs, count = members[0].recipe.epochs, len(lanes.batches.graphs)
    followed = None if judged is None else list(lanes.followed(judged))
    for epoch in range(len(members[0].history), until):
        totals = lanes.epoch([_order(m.recipe, epoch, count) for m in members])
        held = None if followed is None else lanes.losses(followed)
        # the host waits here, once per epoch
        found = lanes.numbers(totals)
        if not np.isfinite(found).all():
            raise ConvergenceError(f"the loss of epoch {epoch + 1} is no number: lower the learning rate")
        losses = found[:, 0] / found[:, 1]
        valid = [None] * len(members) if held is None else [float(n / d) for n, d in lanes.numbers(held)]
        saved = [m for m in members if m.checkpoint is not None]
        if saved or epoch + 1 == until:
            for member, state in zip(members, lanes.states(), strict=True):
                member.state = state
        for k, member in enumerate(members):
            member.history.append(EpochInfo(epoch + 1, epochs, float(losses[k]), valid[k]))
            if member.checkpoint is not None and is_first():
                write_state(member.checkpoint, member.state, member.history, member.identity)
        if callback is not None:
            for k, member in enumerate(members):
                callback(k, member.history[-1])


def _order(recipe: Recipe, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([recipe.seed, epoch]).permutation(count)
