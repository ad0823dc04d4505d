"""Work of a screening: candidates set up and refined, in this process or in a worker (host)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax

from ..._cache import share_cache
from ..._precision import enable_x64
from ...campaign.rows import Row
from ...campaign.work import Item
from ...crystal import Crystal
from ...objective import Parameters
from ...refinement.descent import Descent
from ...refinement.result import RefinementResult
from ...refinement.solvers import Solver
from ...refinement.stages import Stage
from ..batched import Batches, Ending, together
from ..fingerprint import fingerprint
from ..rooms import Rooms
from .rows import ScreeningRow, cif_of, described, kept

# every candidate is given this name: terms find their phase by it, so it is part of compiled programs
CANDIDATE = "candidate"

Make = Callable[[Crystal], Sequence[Any]]


@dataclass(frozen=True)
class Refining:
    """Refinement of candidates; see `Work`.

    Attributes:
        make, stages, solver, settings: as for :func:`jaxnmr.screen`.
        devices, width: as for :func:`jaxnmr.refine_starts`.
        cache: folder of compiled programs, for processes without one.
        keep: called with every row and its full result; not for other processes.
    """

    make: Make
    stages: Sequence[Stage] | None
    solver: Solver
    settings: str = ""
    devices: Sequence[jax.Device] | None = None
    width: int | None = None
    cache: str | None = None
    keep: Callable[[Item, ScreeningRow, RefinementResult], None] | None = field(default=None, repr=False)

    def begin(self) -> tuple[Batches, Rooms]:
        """Set up what all candidates share."""
        enable_x64()
        share_cache(self.cache)
        getattr(self.make, "begin", lambda: None)()
        return Batches(self.devices, self.width), Rooms()

    def rows(self, state: tuple[Batches, Rooms], items: Iterable[Item]) -> Iterator[Row]:
        """Yield rows of candidates as they end; an error is recorded in the row and does not stop the others."""
        batches, rooms = state
        run = _Run(self, rooms)
        for ending in together(run.descents(items), batches):
            yield from run.failed
            run.failed.clear()
            row = run.ended(ending)
            if row is not None:
                yield row
        yield from run.failed
        if run.interrupted:
            raise KeyboardInterrupt

    def setup(self, content: Any) -> tuple[Any, Parameters, Sequence[Stage] | None, Solver]:
        """Return objective, parameters, stages and solver for a candidate, from ``make``."""
        objective, params, *rest = self.make(content.crystal().replace(name=CANDIDATE))
        stages, solver = [*rest, None, None][:2]
        return objective, params, stages or self.stages, solver or self.solver

    def mark(self, objective, params: Parameters, stages: Sequence[Stage] | None, solver: Solver) -> str:
        """Return a digest of all inputs of the refinement of a candidate."""
        return fingerprint(objective, params, stages, solver, self.settings)


@dataclass
class _Begun:
    """A candidate being refined."""

    item: Item
    start: Parameters
    doubts: tuple[str, ...]
    mark: str


class _Run:
    """State of one call of `Refining.rows`."""

    def __init__(self, work: Refining, rooms: Rooms):
        self.work, self.rooms = work, rooms
        self.begun: list[_Begun] = []
        self.failed: list[Row] = []
        self.interrupted = False

    def descents(self, items: Iterable[Item]) -> Iterator[Descent]:
        """Yield refinements of candidates, made when there is room for them."""
        for item in items:
            try:
                # warnings raised meanwhile belong to the row
                with warnings.catch_warnings(record=True) as doubts:
                    warnings.simplefilter("always", UserWarning)
                    objective, params, stages, solver = self.work.setup(item.content)
                mark = self.work.mark(objective, params, stages, solver)
                descent = Descent(self.rooms.fitted(objective, params), params, solver, stages)
            except Exception as err:
                self.failed.append(_error(item, err))
                continue
            said = dict.fromkeys(str(d.message) for d in doubts if issubclass(d.category, UserWarning))
            self.begun.append(_Begun(item, params, tuple(said), mark))
            yield descent

    def ended(self, ending: Ending) -> Row | None:
        """Return the row of a candidate, or ``None`` if it was interrupted."""
        begun = self.begun[ending.index]
        if ending.status == "interrupted":
            self.interrupted = True
            return None
        if ending.error is not None:
            return _error(begun.item, ending.error, begun.mark)
        try:
            fit = ending.descent.result(ending.status, ending.message)
            row = described(begun.item.name, begun.start, fit)
            row = replace(row, key=begun.item.key, flags=(*begun.doubts, *row.flags))
            made = kept(
                row, fit, text=cif_of(row.name, fit), compile_seconds=ending.descent.compile_seconds, mark=begun.mark
            )
        except Exception as err:
            return _error(begun.item, err, begun.mark)
        if self.work.keep is not None:
            self.work.keep(begun.item, row, fit)
        return made


def _error(item: Item, err: Exception, mark: str = "") -> Row:
    return kept(ScreeningRow(item.name, "error", f"{type(err).__name__}: {err}", key=item.key), mark=mark)
