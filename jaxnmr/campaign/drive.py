"""The driver of a campaign: items that have no row yet are worked on, here or elsewhere, and their rows are written (host)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from .rows import Row
from .table import Table
from .work import Item, Work

# rows wait no longer than this to be written, where others follow
_SECONDS, _SHARE = 1.0, 20.0
_ROWS = 200
_LOOK = 500


class Engine(Protocol):
    """Where work is done."""

    def run(self, work: Work, items: Iterator[Item]) -> Iterator[Row | None]:
        """Rows as they come, in any order; ``None`` now and then while there are none. Items are taken lazily."""


class Here:
    """Works in this process, one item after the other or as many at once as the work takes."""

    def run(self, work: Work, items: Iterator[Item]) -> Iterator[Row | None]:
        """See `Engine`."""
        yield from work.rows(work.begin(), items)


@dataclass
class Tally:
    """How far a campaign is.

    Attributes:
        done: rows written by this call; ``known`` items that had a row before.
        total: items in all, where somebody counted them.
        began: when, by ``time.perf_counter``.
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
        """Seconds that the rest will take at this rate; ``None`` where nobody can say."""
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
    """Work on all items that have no row in the table, and write their rows.

    Only this process writes. Whatever ends it, rows that were written stay, and a second call goes on with the others.

    Args:
        items: taken lazily, a few hundred at a time.
        work: what is done with them.
        table: where rows go; also says what is done already.
        engine: where the work is done; in this process by default.
        total: how many items there are, where that is known.
        callback: receives every new row, and how far things are, when it has been written.
    """
    tally = Tally(total=total, began=time.perf_counter())
    waiting: list[Row] = []
    next_write = 0.0

    def write() -> None:
        nonlocal next_write
        # taken away first: whatever a callback raises, no row is written twice
        rows, waiting[:] = list(waiting), []
        began = time.perf_counter()
        table.write(rows)
        ended = time.perf_counter()
        # putting rows on the disk takes a twentieth of the time at most
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
    """Items without a row, looked up some hundred at a time."""
    while some := list(islice(items, _LOOK)):
        known = table.known([item.key for item in some])
        tally.known += sum(item.key in known for item in some)
        yield from (item for item in some if item.key not in known)
