"""Simultaneous trainings: members of an ensemble in one program, with batches distributed over devices (host)."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from ..data.batches import Batches, Capacity
from ..networks.config import HeadConfig
from .recipe import Recipe
from .step import AXIS, TrainingState, add_loss, add_loss_of_many, step, step_of_many
from .tensor_model import TensorModel


class Lanes:
    """Trainings that differ in their seed, advanced one step at a time together.

    Every member takes the same batches as if trained alone, in its own order. In a common program all batches of a step
    have the size of the largest. A member without a batch, because its order gives fewer of them, waits.

    Args:
        states: current state of each.
        models: scales and shifts of each.
        devices: devices over which every batch is distributed.
        batches: training data, made for the same number of devices.
        head: head to be trained.
        recipe: training recipe; its seed is ignored.
        steps: number of steps of a whole training.
    """

    def __init__(
        self,
        states: Sequence[TrainingState],
        models: Sequence[TensorModel],
        devices: Sequence[jax.Device],
        batches: Batches,
        *,
        head: HeadConfig,
        recipe: Recipe,
        steps: int,
    ):
        self.batches, self.count = batches, len(states)
        # irrelevant fields are reset, so that trainings that differ in them share one program
        recipe = dataclasses.replace(recipe, seed=0)
        self._step: dict[str, Any] = {"head": head, "recipe": recipe, "steps": steps}
        self._loss: dict[str, Any] = {"head": head, "delta": recipe.delta, "offset": recipe.offset}
        self._mesh = Mesh(np.array(devices), (AXIS,)) if len(devices) > 1 else None
        self._own = [k for k, device in enumerate(devices) if device.process_index == jax.process_index()]
        self._alone = self.count == 1 and self._mesh is None
        rest = [model.replace(weights={}) for model in models]
        if self._alone:
            self._state, self._rest = states[0], rest[0]
        else:
            stacked = lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves])
            self._state = self._everywhere(jax.tree.map(stacked, *states))
            # notes may differ, and are not used
            arrays = jax.tree.map(stacked, *[(model.scale, model.shift) for model in rest])
            self._rest = self._everywhere(rest[0].replace(scale=arrays[0], shift=arrays[1]))

    def epoch(self, orders: Sequence[Iterable[int]]) -> Any:
        """Use all batches once, each member in its order; return pending sums of losses and labels ``(members, 2)``."""
        totals = self._zeros()
        for chunks in itertools.zip_longest(*(self.batches.chunks(order) for order in orders), fillvalue=()):
            room = self.batches.capacity(*chunks)
            if self._alone:
                batch = self.batches.padded(chunks[0], room)
                self._state, totals = step(self._state, totals, self._rest, batch, **self._step)
            else:
                active = self._everywhere(np.array([bool(chunk) for chunk in chunks]))
                batch = self._dealt(self.batches, chunks, room)
                self._state, totals = step_of_many(
                    self._state, totals, self._rest, batch, active, **self._step, mesh=self._mesh
                )
        return totals

    def followed(self, batches: Batches) -> Iterator[Any]:
        """Yield validation batches, to be made once and passed to :meth:`losses`."""
        for chosen in batches.chunks(range(len(batches.graphs))):
            room = batches.capacity(chosen)
            if self._alone:
                yield jax.device_put(batches.padded(chosen, room))
            else:
                # one batch for all members
                dealt = self._dealt(batches, [chosen], room)
                yield jax.tree.map(lambda a: a[:, 0], dealt)

    def losses(self, followed: Iterable[Any]) -> Any:
        """Return sums of losses and labels of batches with the averaged weights ``(members, 2)``, still pending."""
        totals = self._zeros()
        for batch in followed:
            if self._alone:
                totals = add_loss(self._state.averaged, totals, self._rest, batch, **self._loss)
            else:
                averaged = self._state.averaged
                totals = add_loss_of_many(averaged, totals, self._rest, batch, **self._loss, mesh=self._mesh)
        return totals

    def numbers(self, totals: Any) -> np.ndarray:
        """Return totals on the host, ``(members, 2)``."""
        return np.asarray(totals, dtype=float).reshape(self.count, 2)

    def states(self) -> list[TrainingState]:
        """Return the current state of each training."""
        if self._alone:
            return [self._state]
        state = jax.tree.map(np.asarray, self._state)
        return [jax.tree.map(lambda a, k=k: a[k], state) for k in range(self.count)]

    def _zeros(self) -> Any:
        return jnp.zeros(2, np.float32) if self._alone else self._everywhere(np.zeros((self.count, 2), np.float32))

    def _everywhere(self, tree: Any) -> Any:
        """Replicate arrays on all devices of all processes."""
        if self._mesh is None:
            return jax.tree.map(jnp.asarray, tree)
        sharding = NamedSharding(self._mesh, P())
        return jax.tree.map(lambda a: jax.make_array_from_callback(a.shape, sharding, lambda at: a[at]), tree)

    def _dealt(self, batches: Batches, chunks: Sequence[Sequence[int]], room: Capacity) -> Any:
        """Return batches with leading axes of devices and members; each process makes those of its own devices."""
        parts = [batches.dealt(chosen) for chosen in chunks]
        rows = [[batches.padded(of_member[k], room) for of_member in parts] for k in self._own]
        stacked = [jax.tree.map(lambda *a: np.stack(a), *row) for row in rows]
        here = jax.tree.map(lambda *a: np.stack(a), *stacked)
        if self._mesh is None:
            return here
        sharding, count = NamedSharding(self._mesh, P(AXIS)), self._mesh.size
        put = lambda a: jax.make_array_from_process_local_data(sharding, a, (count, *a.shape[1:]))
        return jax.tree.map(put, here)
