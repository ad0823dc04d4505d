"""Trainings that run side by side: members of an ensemble in one program, and their batches dealt to devices (host)."""

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
    """Trainings that differ in their seed, one step of all of them at a time.

    Every member takes the batches that it would take alone, in its own order. In one program they have one size: that of the
    largest of the members' batches of a step. A member without a batch, since its order makes fewer of them, waits.

    Args:
        states: where each stands.
        models: scales and shifts of each.
        devices: over which every batch is dealt.
        batches: of the training data, made for as many devices.
        head: what is trained.
        recipe: how; its seed means nothing here.
        steps: of a whole training.
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
        # what a step does not depend on is left out, so that trainings that differ in it share one program
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
            # notes differ, and are not looked at
            arrays = jax.tree.map(stacked, *[(model.scale, model.shift) for model in rest])
            self._rest = self._everywhere(rest[0].replace(scale=arrays[0], shift=arrays[1]))

    def epoch(self, orders: Sequence[Iterable[int]]) -> Any:
        """All batches once, each member in its order; sums of losses and labels ``(members, 2)``, still on their way."""
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
        """Validation batches, to be made once and handed to :meth:`losses`."""
        for chosen in batches.chunks(range(len(batches.graphs))):
            room = batches.capacity(chosen)
            if self._alone:
                yield jax.device_put(batches.padded(chosen, room))
            else:
                # one batch for all members
                dealt = self._dealt(batches, [chosen], room)
                yield jax.tree.map(lambda a: a[:, 0], dealt)

    def losses(self, followed: Iterable[Any]) -> Any:
        """Sums of losses and labels of batches with the averaged weights ``(members, 2)``, still on their way."""
        totals = self._zeros()
        for batch in followed:
            if self._alone:
                totals = add_loss(self._state.averaged, totals, self._rest, batch, **self._loss)
            else:
                averaged = self._state.averaged
                totals = add_loss_of_many(averaged, totals, self._rest, batch, **self._loss, mesh=self._mesh)
        return totals

    def numbers(self, totals: Any) -> np.ndarray:
        """Totals on the host, ``(members, 2)``."""
        return np.asarray(totals, dtype=float).reshape(self.count, 2)

    def states(self) -> list[TrainingState]:
        """Where each stands."""
        if self._alone:
            return [self._state]
        state = jax.tree.map(np.asarray, self._state)
        return [jax.tree.map(lambda a, k=k: a[k], state) for k in range(self.count)]

    def _zeros(self) -> Any:
        return jnp.zeros(2, np.float32) if self._alone else self._everywhere(np.zeros((self.count, 2), np.float32))

    def _everywhere(self, tree: Any) -> Any:
        """Arrays that all devices have, of all processes."""
        if self._mesh is None:
            return jax.tree.map(jnp.asarray, tree)
        sharding = NamedSharding(self._mesh, P())
        return jax.tree.map(lambda a: jax.make_array_from_callback(a.shape, sharding, lambda at: a[at]), tree)

    def _dealt(self, batches: Batches, chunks: Sequence[Sequence[int]], room: Capacity) -> Any:
        """Batches with leading axes of devices and members; of several processes each makes those of its own devices."""
        parts = [batches.dealt(chosen) for chosen in chunks]
        rows = [[batches.padded(of_member[k], room) for of_member in parts] for k in self._own]
        stacked = [jax.tree.map(lambda *a: np.stack(a), *row) for row in rows]
        here = jax.tree.map(lambda *a: np.stack(a), *stacked)
        if self._mesh is None:
            return here
        sharding, count = NamedSharding(self._mesh, P(AXIS)), self._mesh.size
        put = lambda a: jax.make_array_from_process_local_data(sharding, a, (count, *a.shape[1:]))
        return jax.tree.map(put, here)
