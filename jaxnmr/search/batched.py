"""Many refinements at once: what they want evaluated is evaluated in batches, spread over all devices (host).

Every refinement is the loop of :func:`jaxnmr.refine` itself, with its own damping, acceptance, bounds, plans and ending; the
driver collects the points where the loops want residuals or derivatives. One compiled program takes a batch of them: the
batch axis is sharded over devices, and every device takes its share: one problem on a processor core (vectorised, empty
places of a pattern's layout could no longer be skipped: 2.5 times slower), several at once on an accelerator. A refinement
that has ended makes room for the next one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .._compilations import watch_compilations
from .._struct import NoteRead, bare
from .._tuning import of_platform
from ..errors import ConventionError
from ..refinement.loop import Descent

_AXIS = "refinements"

Wanted = tuple[Descent, np.ndarray]


class Ending(NamedTuple):
    """How one refinement of many ended.

    Attributes:
        index: its number among those handed in; ``descent`` the refinement itself with its last parameters.
        status, message: as in a `RefinementResult`, or ``"error"`` when an exception ended it.
        error: that exception.
    """

    index: int  # type: ignore[assignment]  # nobody asks this tuple where something is in it
    descent: Descent
    status: str
    message: str
    error: Exception | None = None


class Batches:
    """Evaluates compiled functions for several refinements at once.

    Args:
        devices: over which to spread; all local ones of the default kind when not given.
        width: how many problems each device takes at a time, vectorised; chosen by the kind of device when not given.

    Attributes:
        size: problems per call, ``len(devices) * width``.
        evaluations: how many values were calculated; ``compile_seconds`` time spent on programs for batches.

    Raises:
        ConventionError: a width below 1.
    """

    def __init__(self, devices: Sequence[jax.Device] | None = None, width: int | None = None):
        self.devices = tuple(jax.local_devices() if devices is None else devices)
        if width is None:
            width = of_platform(self.devices[0].platform).refinements
        if width < 1:
            raise ConventionError(f"width is {width}: each device takes at least one problem at a time")
        self.width, self.size = int(width), len(self.devices) * int(width)
        self.evaluations, self.compile_seconds = 0, 0.0
        self._families: dict[Any, _Family] = {}

    def values(self, function: Callable, wanted: Sequence[Wanted]) -> list[Any]:
        """A compiled function of the objective at a point of each refinement; any number of them, of any shapes."""
        found: list[Any] = [None] * len(wanted)
        families: dict[Any, list[int]] = {}
        for k, (descent, _) in enumerate(wanted):
            families.setdefault(self.family(descent), []).append(k)
        for family, members in families.items():
            for first in range(0, len(members), self.size):
                chosen = members[first : first + self.size]
                these = [wanted[k] for k in chosen]
                try:
                    values = self._batch(function, family, these)
                except NoteRead:  # a term looks at a name, say: then each needs a program of its own
                    values = [descent.evaluate(function, theta) for descent, theta in these]
                for k, value in zip(chosen, values, strict=True):
                    found[k] = value
        return found

    def family(self, descent: Descent) -> Any:
        """What refinements must have in common to share a compiled program: structure and shapes of all arrays."""
        leaves, tree = jax.tree.flatten(bare(descent.objective))
        shapes = tuple((np.shape(leaf), np.result_type(leaf)) for leaf in leaves)
        return descent.params.spec.layout, tree, shapes, descent.transform.shape

    def _batch(self, function, family, wanted: Sequence[Wanted]) -> list[Any]:
        self.evaluations += len(wanted)
        if self.size == 1:
            ((descent, theta),) = wanted
            with jax.default_device(self.devices[0]):
                return [descent.evaluate(function, theta)]
        if family not in self._families:
            self._families[family] = _Family(wanted[0][0])
        members = self._families[family]
        # the last batch is rarely full: repeated problems keep its shape
        filled = [*wanted, *[wanted[-1]] * (self.size - len(wanted))]
        own, shared = members.split([descent for descent, _ in filled])
        own += [np.stack([getattr(d, name) for d, _ in filled]) for name in ("offset", "transform")]
        own.append(np.stack([theta for _, theta in filled]))
        layout, tree, *_ = family
        program, sharding = _program(function, layout, tree, tuple(members.own), self.devices, self.width == 1)
        before = time.perf_counter()
        with watch_compilations() as compiled:
            out = jax.block_until_ready(program(jax.device_put(own, sharding), shared))
        if compiled.count:
            self.compile_seconds += time.perf_counter() - before
        out = jax.tree.map(np.asarray, out)
        return [jax.tree.map(lambda a, k=k: a[k], out) for k in range(len(wanted))]


class _Family:
    """Refinements of equal shapes, and which of their arrays differ.

    Attributes:
        own: per array of the objective, whether every refinement has its own; the others, weights of a network say, are
            handed over once.
    """

    def __init__(self, first: Descent):
        self.common, tree = jax.tree.flatten(first.objective)
        self.own = [False] * len(self.common)
        # what binding replaces will differ sooner or later: know it before anything is compiled
        other: Any
        later, other = jax.tree.flatten(first.objective.bind(first.params))
        if other == tree:
            self.own = [a is not b for a, b in zip(self.common, later, strict=True)]

    def split(self, descents: Sequence[Descent]) -> tuple[list[np.ndarray], list[Any]]:
        """Stacked arrays of those that differ, and the arrays all have in common."""
        rows = [jax.tree.leaves(d.objective) for d in descents]
        for k, common in enumerate(self.common):
            self.own[k] = self.own[k] or not all(_same(common, row[k]) for row in rows)
        stacked = [np.stack([np.asarray(row[k]) for row in rows]) for k, own in enumerate(self.own) if own]
        return stacked, [common for common, own in zip(self.common, self.own, strict=True) if not own]


def _same(a, b) -> bool:
    return a is b or np.array_equal(np.asarray(a), np.asarray(b), equal_nan=np.result_type(a).kind == "f")


@lru_cache(maxsize=64)
def _program(function, layout, tree, own: tuple[bool, ...], devices, alone: bool):
    """The compiled function of a batch, and how its own arrays lie on the devices."""
    mesh = Mesh(np.array(devices), (_AXIS,))
    rows, everywhere = PartitionSpec(_AXIS), PartitionSpec()

    def on_one_device(stacked, shared):
        def single(mine):
            *mine, offset, transform, theta = mine
            mine, common = iter(mine), iter(shared)
            objective = jax.tree.unflatten(tree, [next(mine if is_own else common) for is_own in own])
            return function(layout, objective, offset, transform, theta)

        # a batch of one keeps what depends on data skippable, such as the empty places of a pattern's layout
        first = lambda: jax.tree.map(lambda a: a[None], single([a[0] for a in stacked]))
        return first() if alone else jax.vmap(single)(stacked)

    sharded = jax.shard_map(on_one_device, mesh=mesh, in_specs=(rows, everywhere), out_specs=rows, check_vma=False)
    return jax.jit(sharded), NamedSharding(mesh, rows)


def together(descents: Iterable[Descent], batches: Batches) -> Iterator[Ending]:
    """Run refinements to their ends, a batch at a time; an ending as soon as there is one, in any order.

    Args:
        descents: taken when there is room, so that they can be made lazily.
        batches: evaluates what they ask for.

    An exception ends only the refinement that raised it. An interruption ends all that are running with the status
    ``"interrupted"`` and begins no others.
    """
    # with twice as many as fit in a batch, batches of derivatives and of residuals are full most of the time
    most = 1 if batches.size == 1 else 2 * batches.size
    source = enumerate(descents)
    running: dict[int, _Course] = {}
    exhausted = False
    while True:
        while not exhausted and len(running) < most:
            index, descent = next(source, (0, None))
            if descent is None:
                exhausted = True
                break
            course = _Course(index, descent)
            ending = course.go_on(None)
            if ending is None:
                running[index] = course
            else:
                yield ending
        if not running:
            if exhausted:
                return
            continue
        waiting: dict[Any, list[_Course]] = {}
        for course in running.values():
            waiting.setdefault((course.function, batches.family(course.descent)), []).append(course)
        chosen = max(waiting.values(), key=len)[: batches.size]
        try:
            answers = batches.values(chosen[0].function, [(c.descent, c.theta) for c in chosen])
        except KeyboardInterrupt as stop:
            exhausted, chosen, answers = True, list(running.values()), [stop] * len(running)
        except Exception as err:
            answers = [err] * len(chosen)
        for course, answer in zip(chosen, answers, strict=True):
            ending = course.go_on(answer)
            if ending is not None:
                del running[course.index]
                yield ending


class _Course:
    """A refinement under way, and what it waits for."""

    def __init__(self, index: int, descent: Descent):
        self.index, self.descent = index, descent
        self.generator = descent.execute()
        self.function: Any = None
        self.theta: Any = None

    def go_on(self, answer) -> Ending | None:
        """Hand over what was asked for (or an exception), up to the next question or the end."""
        try:
            raised = isinstance(answer, BaseException)
            self.function, self.theta = self.generator.throw(answer) if raised else self.generator.send(answer)
        except StopIteration as end:
            return Ending(self.index, self.descent, *end.value)
        except KeyboardInterrupt:
            return Ending(
                self.index, self.descent, "interrupted", "The refinement was interrupted before its first step."
            )
        except Exception as err:
            return Ending(self.index, self.descent, "error", f"{type(err).__name__}: {err}", err)
        return None
