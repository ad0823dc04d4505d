"""Batched refinements: many refinement loops at once, spread over all devices (host).

Every refinement runs the loop of :func:`jaxnmr.refine` itself, with its own damping, acceptance, bounds, plans and
ending. One compiled program runs the loops of a batch until each of them has ended or needs the host: the batch axis is
sharded over devices, and every device takes its share, one problem at a time on a CPU core (vectorised, empty places of
a pattern's layout could not be skipped: 2.5 times slower), many at once on an accelerator. A refinement that has ended
is replaced by the next one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .._compilations import watch_compilations
from .._struct import NoteRead, bare
from .._tuning import of_platform
from ..errors import ConventionError, ParameterError
from ..refinement.descent import Descent
from ..refinement.loop import HISTORY, Outcome, again, descend

_AXIS = "refinements"


class Ending(NamedTuple):
    """Outcome of one refinement of many.

    Attributes:
        index: index of the refinement; ``descent`` the refinement itself with its last parameters.
        status, message: as in a `RefinementResult`, or ``"error"`` when an exception ended it.
        error: the exception.
    """

    index: int  # type: ignore[assignment]  # this tuple is never searched with index()
    descent: Descent
    status: str
    message: str
    error: Exception | None = None


class Batches:
    """Runner of the loops of several refinements at once.

    Args:
        devices: devices to use; by default all local ones of the default kind.
        width: number of problems per device and call, vectorised; chosen by the kind of device by default.

    Attributes:
        size: number of problems per call, ``len(devices) * width``.
        evaluations: number of linearised points; ``compile_seconds`` time spent compiling programs for batches.

    Raises:
        ConventionError: the width is below 1.
    """

    def __init__(self, devices: Sequence[jax.Device] | None = None, width: int | None = None):
        self.devices = tuple(jax.local_devices() if devices is None else devices)
        if not self.devices or not all(hasattr(device, "platform") for device in self.devices):
            raise ParameterError(f"devices is {devices!r}; expected some of jax.devices()")
        if width is None:
            width = of_platform(self.devices[0].platform).refinements
        if width < 1:
            raise ConventionError(f"width is {width}: each device takes at least one problem at a time")
        self.width, self.size = int(width), len(self.devices) * int(width)
        self.evaluations, self.compile_seconds = 0, 0.0
        self._families: dict[Any, _Family] = {}

    def advance(self, descents: Sequence[Descent]) -> list[Exception | None]:
        """Run the loops of refinements until each needs the host, and serve it; return exceptions or ``None``.

        Accepts any number of refinements of any shapes.
        """
        return self._each(descents, lambda of: (of.course, of.point, np.int32(HISTORY)), self._absorb)

    def linearised(self, descents: Sequence[Descent]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return residuals and Jacobian at the current points of refinements."""
        here = lambda of: (of.course, again(of.point), np.int32(0))
        return self._each(descents, here, lambda of, made, *_: (np.asarray(made.residuals), np.asarray(made.jacobian)))

    def _absorb(self, descent: Descent, made: Outcome, seconds: float, compile_seconds: float) -> Exception | None:
        self.evaluations += int(made.evaluations)
        try:
            descent.absorb(made, seconds, compile_seconds)
        except Exception as error:
            return error
        return None

    def _each(self, descents: Sequence[Descent], arguments: Callable, take: Callable) -> list[Any]:
        """Apply ``take`` to the outcome of the loop of each refinement and return the results."""
        found: list[Any] = [None] * len(descents)
        families: dict[Any, list[int]] = {}
        for k, descent in enumerate(descents):
            families.setdefault(self.family(descent), []).append(k)
        for family, members in families.items():
            for first in range(0, len(members), self.size):
                chosen = members[first : first + self.size]
                these = [descents[k] for k in chosen]
                made, *times = self._batch(family, these, [arguments(descent) for descent in these])
                for k, descent, outcome in zip(chosen, these, made, strict=True):
                    found[k] = take(descent, outcome, *times)
        return found

    def family(self, descent: Descent) -> Any:
        """Return what refinements must have in common to share a compiled program: structure and shapes of all arrays."""
        leaves, tree = jax.tree.flatten(bare(descent.objective))
        shapes = tuple((np.shape(leaf), _dtype(leaf)) for leaf in leaves)
        return descent.params.spec.layout, descent.solver.rule, tree, shapes, descent.course.masks.shape

    def _batch(self, family, descents: Sequence[Descent], arguments) -> tuple[list[Outcome], float, float]:
        """Return outcomes, and per refinement the time in total and in calls that compiled something."""
        before = time.perf_counter()
        with watch_compilations() as compiled:
            try:
                made = self._together(family, descents, arguments)
            except NoteRead:  # a term reads a name or the like: each refinement needs its own program
                made = [self._alone(of, at) for of, at in zip(descents, arguments, strict=True)]
        seconds = time.perf_counter() - before
        self.compile_seconds += seconds if compiled.count else 0.0
        share = seconds / len(descents)
        return made, share, share if compiled.count else 0.0

    def _alone(self, descent: Descent, arguments) -> Outcome:
        with jax.default_device(self.devices[0]):
            layout, rule = descent.params.spec.layout, descent.solver.rule
            return jax.block_until_ready(descend(layout, rule, descent.objective, *arguments))

    def _together(self, family, descents: Sequence[Descent], arguments) -> list[Outcome]:
        if self.size == 1:
            return [self._alone(descents[0], arguments[0])]
        if family not in self._families:
            self._families[family] = _Family(descents[0])
        members = self._families[family]
        # the last batch is rarely full: the last problem is repeated to keep the shape
        spare = self.size - len(descents)
        own, shared = members.split([*descents, *[descents[-1]] * spare])
        stacked = jax.tree.map(lambda *rows: np.stack(rows), *arguments, *[arguments[-1]] * spare)
        layout, rule, tree, *_ = family
        program, sharding = _program(layout, rule, tree, tuple(members.own), self.devices, self.width == 1)
        made = jax.block_until_ready(program(jax.device_put((own, stacked), sharding), shared))
        # residuals and Jacobians stay on the devices until requested
        small = jax.tree.map(np.asarray, made._replace(residuals=None, jacobian=None))
        one = lambda k: jax.tree.map(lambda a: a[k], small)
        large = made.residuals, made.jacobian
        return [one(k)._replace(residuals=_Row(large[0], k), jacobian=_Row(large[1], k)) for k in range(len(descents))]


class _Row:
    """A row of an array that stays on its device until requested."""

    def __init__(self, array: jax.Array, index: int):
        self.array, self.index = array, index

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array[self.index], dtype=dtype)


class _Family:
    """Refinements with arrays of equal shapes, and which of these arrays differ.

    Attributes:
        own: per array of the objective, whether every refinement has its own; common ones, such as weights of a
            network, are passed once.
    """

    def __init__(self, first: Descent):
        self.common, tree = jax.tree.flatten(first.objective)
        self.own = [False] * len(self.common)
        # arrays replaced by binding will differ sooner or later: find them before anything is compiled
        other: Any
        later, other = jax.tree.flatten(first.objective.bind(first.params))
        if other == tree:
            self.own = [a is not b for a, b in zip(self.common, later, strict=True)]

    def split(self, descents: Sequence[Descent]) -> tuple[list[np.ndarray], list[Any]]:
        """Return stacked arrays of those that differ, and the arrays common to all."""
        rows = [jax.tree.leaves(d.objective) for d in descents]
        for k, common in enumerate(self.common):
            self.own[k] = self.own[k] or not all(_same(common, row[k]) for row in rows)
        stacked = [np.stack([np.asarray(row[k]) for row in rows]) for k, own in enumerate(self.own) if own]
        return stacked, [common for common, own in zip(self.common, self.own, strict=True) if not own]


def _dtype(leaf) -> np.dtype:
    # works for arrays on a device without copying them
    return leaf.dtype if hasattr(leaf, "dtype") else np.result_type(leaf)


def _same(a, b) -> bool:
    return a is b or np.array_equal(np.asarray(a), np.asarray(b), equal_nan=_dtype(a).kind == "f")


@lru_cache(maxsize=64)
def _program(layout, rule, tree, own: tuple[bool, ...], devices, alone: bool):
    """Return the compiled loop of a batch, and the sharding of its own arrays."""
    mesh = Mesh(np.array(devices), (_AXIS,))
    rows, everywhere = PartitionSpec(_AXIS), PartitionSpec()

    def on_one_device(stacked, shared):
        def single(mine):
            mine, arguments = mine
            mine, common = iter(mine), iter(shared)
            objective = jax.tree.unflatten(tree, [next(mine if is_own else common) for is_own in own])
            return descend(layout, rule, objective, *arguments)

        # in a batch of one, data-dependent parts can still be skipped, such as empty places of a pattern's layout
        first = lambda: jax.tree.map(lambda a: a[None], single(jax.tree.map(lambda a: a[0], stacked)))
        return first() if alone else jax.vmap(single)(stacked)

    sharded = jax.shard_map(on_one_device, mesh=mesh, in_specs=(rows, everywhere), out_specs=rows, check_vma=False)
    return jax.jit(sharded), NamedSharding(mesh, rows)


def together(descents: Iterable[Descent], batches: Batches) -> Iterator[Ending]:
    """Run refinements to their ends in batches, and yield each outcome as soon as it is known, in any order.

    Args:
        descents: consumed when there is room, so that they can be made lazily.
        batches: runner of their loops.

    An exception ends only the refinement that raised it. An interruption ends all running refinements with the status
    ``"interrupted"`` and starts no others.
    """
    source = enumerate(descents)
    running: dict[int, Descent] = {}
    try:
        while True:
            while len(running) < batches.size:
                index, descent = next(source, (0, None))
                if descent is None:
                    break
                try:
                    descent.begin()
                    running[index] = descent
                except Exception as error:
                    yield _failed(index, descent, error)
            if not running:
                return
            # the largest family first: smaller ones may still be joined by new refinements
            families = Counter(batches.family(of) for of in running.values())
            family = families.most_common(1)[0][0]
            chosen = {k: of for k, of in running.items() if batches.family(of) == family}
            errors: list[Exception | None]
            try:
                errors = batches.advance(list(chosen.values()))
            except Exception as common:
                errors = [common] * len(chosen)
            for (index, descent), wrong in zip(chosen.items(), errors, strict=True):
                if wrong is not None:
                    yield _failed(index, running.pop(index), wrong)
                elif descent.ended is not None:
                    yield Ending(index, running.pop(index), *descent.ended)
    except KeyboardInterrupt:
        for index, descent in running.items():
            yield Ending(index, descent, *descent.interrupt())


def _failed(index: int, descent: Descent, error: Exception) -> Ending:
    return Ending(index, descent, "error", f"{type(error).__name__}: {error}", error)
