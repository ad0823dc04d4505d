"""Adam with clipped slopes, averaged weights and a learning rate that rises and falls; its state in a file to resume from."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
import safetensors
import safetensors.numpy

from ..._files import write_atomically
from ...errors import ParseError

Entry = TypeVar("Entry", bound=tuple)


class Progress(NamedTuple):
    """State of a training.

    Attributes:
        steps: number of steps taken.
        weights: of the network.
        averaged: exponential moving average of the weights.
        optimiser: moments of Adam.
    """

    steps: Any
    weights: Any
    averaged: Any
    optimiser: Any


class Adam:
    """Steps of Adam.

    Args:
        b2: decay of the second moments.
    """

    def __init__(self, b2: float):
        # one vector instead of many arrays compiles faster
        self._moments = optax.flatten(optax.scale_by_adam(b2=b2))

    def begin(self, weights: Any) -> Progress:
        """Return the state before the first step."""
        weights = jax.tree.map(jnp.asarray, weights)
        copied = jax.tree.map(jnp.array, weights)
        return Progress(jnp.zeros((), dtype=np.int32), weights, copied, self._moments.init(weights))

    def advance(self, state: Progress, slope: Any, settings: dict[str, Any]) -> Progress:
        """Return the state one step later (traceable).

        Args:
            state: now.
            slope: derivative of the loss by the weights.
            settings: ``clip``, the largest norm of a slope; ``rate``, the learning rate; ``ema``, the decay of averaged weights.
        """
        norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(slope)))
        factor = settings["clip"] / jnp.maximum(norm, settings["clip"])
        updates, moments = self._moments.update(jax.tree.map(lambda s: factor * s, slope), state.optimiser)
        weights = jax.tree.map(lambda w, u: w - settings["rate"] * u, state.weights, updates)
        # the first steps are forgotten sooner
        decay = jnp.minimum(settings["ema"], (1.0 + state.steps) / (10.0 + state.steps))
        averaged = optax.incremental_update(weights, state.averaged, 1.0 - decay)
        return Progress(state.steps + 1, weights, averaged, moments)


def rise_and_fall(highest: float, warmup: float, steps: int) -> Callable[[int], float]:
    """Return the learning rate as a function of the step: a linear rise, then a cosine down to a hundredth.

    Args:
        highest: learning rate at the top.
        warmup: share of all steps in which it rises.
        steps: number of all steps.
    """
    rise = max(1, round(warmup * steps))

    def rate(step: int) -> float:
        if step < rise:
            return highest * (step + 1) / rise
        falling = 0.5 * (1.0 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
        return highest * (0.01 + 0.99 * falling)

    return rate


def write_progress(path: str | Path, state: Progress, history: Sequence[tuple], identity: str) -> None:
    """Write the state of a training; the file is replaced in one go.

    Args:
        path: file.
        state: arrays.
        history: an entry per epoch.
        identity: text that no other training has.
    """
    arrays = {f"{k:05d}": np.asarray(leaf, order="C") for k, leaf in enumerate(jax.tree.leaves(state))}
    metadata = {"history": json.dumps([list(entry) for entry in history]), "identity": identity}
    write_atomically(path, safetensors.numpy.save(arrays, metadata=metadata))


def read_progress(
    path: str | Path | None, like: Progress, identity: str, entry: Callable[..., Entry]
) -> tuple[Progress, list[Entry]]:
    """Read what :func:`write_progress` wrote.

    Args:
        path: file; ``like`` and no history without one.
        like: state before the first step.
        identity: of this training.
        entry: makes an entry of the history from its numbers.

    Raises:
        ParseError: not the state of a training, or that of another.
    """
    if path is None or not Path(path).is_file():
        return like, []
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            leaves = [file.get_tensor(name) for name in sorted(file.keys())]
        history = [entry(*numbers) for numbers in json.loads(metadata["history"])]
        found = metadata["identity"]
    except (OSError, KeyError, ValueError, TypeError, safetensors.SafetensorError) as error:
        raise ParseError(path, None, f"is no state of a training: {error}") from error
    if found != identity:
        raise ParseError(
            path, None, "is the state of another training (network, recipe, data or start); remove it or name another"
        )
    if [np.shape(leaf) for leaf in leaves] != [np.shape(leaf) for leaf in jax.tree.leaves(like)]:
        raise ParseError(path, None, "has arrays of other shapes")
    return jax.tree.unflatten(jax.tree.structure(like), [jnp.asarray(leaf) for leaf in leaves]), history
