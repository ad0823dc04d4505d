"""Driver of a campaign: processes items without a row, here or elsewhere, and writes their rows (host)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from .rows import Row
from .table import Table
from .work import Item, Work

# rows are written after at most this time, if others follow
_SECONDS, _SHARE = 1.0, 20.0
_ROWS = 200
_LOOK = 500


class Engine(Protocol):
    """Place where work is done."""

    def run(self, work: Work, items: Iterator[Item]) -> Iterator[Row | None]:
        """Yield rows as they come, in any order, and ``None`` now and then in between. Items are taken lazily."""


class Here:
    """Engine that works in this process, on one item after the other or on as many at once as the work takes."""

    def run(self, work: Work, items: Iterator[Item]) -> Iterator[Row | None]:
        """Run the engine; see `Engine`."""
        yield from work.rows(work.begin(), items)


@dataclass
class Tally:
    """Progress of a campaign.

    Attributes:
        done: rows written by this call; ``known`` items with an earlier row.
        total: total number of items, if known.
        began: starting time by ``time.perf_counter``.
    """

    done: int = 0
    known: int = 0
    total: int | None = None
    began: float = 0.0

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.done / max(time.perf_counter() - self.began, 1e-9)

    @property
    def left(self) -> float | None:
        """Remaining time in seconds at this rate; ``None`` if unknown."""
        if self.total is None or not self.done:
            return None
        return max(self.total - self.known - self.done, 0) / self.rate


def drive(
    items: Iterable[Item],
    work: Work,
    table: Table,
    engine: Engine | None = None,
    *,
    total: int | None = None,
    callback: Callable[[Row, Tally], Any] | None = None,
) -> Tally:
    """Process all items without a row in the table, and write their rows.

    Only this process writes. If it is interrupted, written rows are kept, and a second call continues with the others.

    Args:
        items: items, taken lazily, a few hundred at a time.
        work: work to be done on them.
        table: table of the rows, which also shows what is already done.
        engine: engine that does the work; in this process by default.
        total: number of items, if known.
        callback: called with every new row and the progress, after it has been written.
    """
    tally = Tally(total=total, began=time.perf_counter())
    waiting: list[Row] = []
    next_write = 0.0

    def write() -> None:
        nonlocal next_write
        # emptied first: whatever a callback raises, no row is written twice
        rows, waiting[:] = list(waiting), []
        began = time.perf_counter()
        table.write(rows)
        ended = time.perf_counter()
        # writing to disk takes at most a twentieth of the time
        next_write = ended + min(_SHARE * (ended - began), _SECONDS)
        for row in rows:
            tally.done += 1
            if callback is not None:
                callback(row, tally)

    try:
        for row in (engine or Here()).run(work, _undone(iter(items), table, tally)):
            if row is not None:
                waiting.append(row)
            if waiting and (len(waiting) >= _ROWS or time.perf_counter() > next_write):
                write()
    finally:
        if waiting:
            write()
    return tally


def _undone(items: Iterator[Item], table: Table, tally: Tally) -> Iterator[Item]:
    """Yield items without a row, looked up a few hundred at a time."""
    while some := list(islice(items, _LOOK)):
        known = table.known([item.key for item in some])
        tally.known += sum(item.key in known for item in some)
        yield from (item for item in some if item.key not in known)
