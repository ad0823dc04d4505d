"""Screening: many candidate structures, each refined against the same data, and ranked (host)."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ..._arguments import checked
from ..._cache import cache_in_use
from ..._version import __version__
from ...campaign.cluster import Cluster
from ...campaign.drive import Engine, Tally, drive
from ...campaign.rows import Row
from ...campaign.table import Table
from ...campaign.work import Item, Work
from ...errors import ConventionError, ParameterError, PrecisionError
from ...io.structures.candidates import Candidates
from ...refinement.result import RefinementResult
from ...refinement.solvers import LevenbergMarquardt, Solver
from ...refinement.stages import Stage
from ..batched import Batches
from .criteria import RANKINGS
from .given import items_of
from .ranking import ScreeningResult, ranked
from .refining import Make, Refining
from .rows import COLUMNS, KIND, ScreeningRow, taken
from .stored import rank_table

if TYPE_CHECKING:
    from distributed import Client

# number of candidates searched for a finished one, to check that it was refined in the same way
_LOOK = 1000


@checked
def screen(
    candidates: str | Path | Candidates | Mapping[str, Any] | Iterable[Any],
    make: Make,
    *,
    folder: str | Path | None = None,
    stages: Sequence[Stage] | None = None,
    solver: Solver | None = None,
    rank: str = "bic",
    callback: Callable[[ScreeningRow], Any] | None = None,
    progress: Callable[[Tally], Any] | None = None,
    keep: int = 1,
    devices: Sequence[jax.Device] | None = None,
    width: int | None = None,
    client: Client | None = None,
    retry: bool = False,
    settings: str = "",
) -> ScreeningResult:
    """Refine many candidate structures, each with its own objective, and rank them.

    Candidates of equal shapes share compiled programs and are evaluated together, as in :func:`jaxnmr.refine_starts`. A
    candidate that cannot be set up or refined is a row of the table and does not stop the others. With a folder, the
    table is kept there (``table.sqlite``): a call after an interruption continues, and refines only candidates without
    a row. With the client of a Dask cluster, its workers refine, and this process writes the table.

    Args:
        candidates: crystals, files of structures or ASE ``Atoms``, in any mixture, or a mapping from names to them; or a
            folder, a file of many structures or the value of :func:`jaxnmr.io.read_candidates`, which are read on demand.
        make: makes the objective and its parameters from a crystal (whose name is always ``"candidate"``), and
            optionally stages and solver that replace those below: ``(objective, params)`` up to
            ``(objective, params, stages, solver)``. For a cluster it must be picklable. If it has a method ``begin``,
            this is called once in every process; an exception in it means that no candidate can be refined there.
        folder: folder of the table; in memory by default. Only one process at a time can write it.
        stages, solver: as for :func:`jaxnmr.refine`.
        rank: ``"bic"``, ``"aic"`` (chi², divided by that per degree of freedom of the best candidate if it is above 1,
            plus ``k ln n`` or ``2 k``), ``"chi2"``, ``"rwp"``, or ``"energy"`` per atom, for candidates of one
            composition whose objective has an `EnergyTerm`. The energy is in the table for any ranking.
        callback: called with a `ScreeningRow` whenever a candidate is finished.
        progress: called before that with counts, rate and remaining time.
        keep: number of best candidates refined in this call of which full results are kept; those refined on a cluster
            are refined again here.
        devices, width: as for :func:`jaxnmr.refine_starts`; not with a client, whose workers take their own devices.
        client: client of ``dask.distributed``.
        retry: refine candidates again whose row is an error.
        settings: settings of ``make``, in words or as a digest. If it differs from that of the table, or if the first
            finished candidate would now be refined in another way, the table belongs to another run and is refused.

    Raises:
        ConventionError: there are no candidates, or two with the same name; the ranking is unknown; the table belongs
            to another run or is being written by another process; ``make`` cannot be sent to workers; or no worker can
            do the work.
        JaxnmrError: the disk is full, or the scheduler is gone; finished candidates are kept.
        PrecisionError: single precision.

    Example:
        >>> result = jn.screen("candidates/", make, folder="out/screen")  # doctest: +SKIP
    """
    if jax.numpy.zeros(1).dtype != np.float64:
        raise PrecisionError("screening needs double precision: call jaxnmr.enable_x64() before anything else")
    if rank not in RANKINGS:
        raise ConventionError(f"rank is {rank!r}; expected one of {', '.join(RANKINGS)}")
    if client is not None and not (devices is None and width is None):
        raise ParameterError("devices and width are of this process: leave them out where there is a client")
    began = time.perf_counter()
    Batches(devices, width)  # for its checks
    items = items_of(candidates)
    first = next(items, None)
    if first is None:
        raise ConventionError("no candidates were given")
    best = _Best(keep, rank)
    work = Refining(make, stages, solver or LevenbergMarquardt(), settings, devices, width, keep=best.keep)
    table = Table(folder, KIND, COLUMNS, hashlib.sha256(f"{__version__} {settings}".encode()).hexdigest())
    compiling = 0.0

    def tell(row: Row, tally: Tally) -> None:
        nonlocal compiling
        compiling += row.record.get("compile_seconds", 0.0)
        best.done(row)
        if progress is not None:
            progress(tally)
        if callback is not None:
            callback(taken(row))

    try:
        items = _require_same_run(chain([first], items), work, table)
        if retry:
            table.forget(table.reader().keys(status="error"))
        total = candidates.count() if isinstance(candidates, Candidates) else None
        if client is None:
            tally = drive(items, work, table, total=total, callback=tell)
        else:
            remote = replace(work, keep=None, cache=cache_in_use())
            tally = drive(items, remote, table, _Watched(Cluster(client), best), total=total, callback=tell)
            best.refined_here(work)
        reader = table.reader()
        rows, figures = rank_table(reader, rank)
    finally:
        # a table in memory lives as long as its rows are used
        if table.path is not None:
            table.close()
    return ScreeningResult(
        rows=rows, rank=rank, figures=figures, fits=best.fits, refined=tally.done, resumed=tally.known,
        seconds=time.perf_counter() - began, compile_seconds=compiling, table_file=table.path, look=reader.row,
    )  # fmt: skip


def _require_same_run(items: Iterator[Item], work: Refining, table: Table) -> Iterator[Item]:
    """Refuse a table that was made in another way, by setting up one finished candidate again."""
    looked = list(islice(items, _LOOK))
    known = table.known([item.key for item in looked])
    reader = table.reader()
    for item in looked:
        mark = reader.row(item.key).record.get("fingerprint") if item.key in known else None
        if mark:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # already reported when it was refined
                now = work.mark(*work.setup(item.content))
            if now != mark:
                raise ConventionError(
                    f"{table.path} is the table of another run: {item.name!r} was refined with other data, another model, other starting "
                    "values, stages, solver or settings; name another folder"
                )
            break
    return chain(looked, items)


@dataclass
class _Watched:
    """An engine whose current items are recorded."""

    engine: Engine
    best: _Best

    def run(self, work: Work, items: Iterator[Item]) -> Iterator[Row | None]:
        """Run the engine; see `Engine`."""
        return self.engine.run(work, map(self.best.away, items))


class _Best:
    """Full results of the best candidates of a call."""

    def __init__(self, most: int, rank: str):
        self._most, self._rank = most, rank
        self.fits: dict[str, RefinementResult] = {}
        self._rows: dict[str, ScreeningRow] = {}
        # for a cluster: candidates being refined elsewhere, and the best of the finished ones
        self._away: dict[str, Item] = {}
        self._items: dict[str, Item] = {}

    def keep(self, item: Item, row: ScreeningRow, fit: RefinementResult) -> None:
        """Record a refinement of this process."""
        self._rows[row.name], self.fits[row.name] = row, fit
        self._leave_out(self.fits)

    def away(self, item: Item) -> Item:
        """Record a candidate on its way to another process."""
        if self._most:
            self._away[item.key] = item
        return item

    def done(self, row: Row) -> None:
        """Record a row that came back."""
        item = self._away.pop(row.key, None)
        if item is not None and row.status != "error":
            self._rows[row.name], self._items[row.name] = taken(row), item
            self._leave_out(self._items)

    def refined_here(self, work: Refining) -> None:
        """Refine the best candidates again in this process."""
        self._rows.clear()
        for _ in work.rows(work.begin(), list(self._items.values())):
            pass

    def _leave_out(self, kept: dict[str, Any]) -> None:
        if len(kept) > self._most:
            worst = ranked([self._rows[name] for name in kept], self._rank)[0][-1].name
            del kept[worst], self._rows[worst]
