"""Ranking of a table that may be too large for memory (host)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

from ...campaign.rows import Rows
from ...errors import ParseError
from .ranking import MERITS, ScreeningResult, figures_of_merit, with_doubt
from .rows import KIND, ScreeningRow, taken


class RankedRows(Sequence[ScreeningRow]):
    """Rows of a table in a given order, read on access.

    Args:
        rows: the table.
        keys: keys of its rows, in order.
        most: the largest number of observations of any candidate.
    """

    def __init__(self, rows: Rows, keys: Sequence[str], most: int):
        self._rows, self._keys, self._most = rows, keys, most

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, index: int) -> ScreeningRow: ...
    @overload
    def __getitem__(self, index: slice) -> RankedRows: ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return RankedRows(self._rows, self._keys[index], self._most)
        return with_doubt(taken(self._rows.row(self._keys[index])), self._most)

    def __iter__(self) -> Iterator[ScreeningRow]:
        return (with_doubt(taken(row), self._most) for row in self._rows.of(self._keys))


def rank_table(rows: Rows, rank: str) -> tuple[RankedRows, tuple[float, ...]]:
    """Return all rows of a table, best first and ties by name, and their figures of merit."""
    columns = {name: rows.column(name) for name in MERITS}
    figure, order = figures_of_merit(columns, rank)
    keys = rows.keys()
    most = max((int(n or 0) for n in columns["n_observations"]), default=0)
    return RankedRows(rows, [keys[i] for i in order], most), tuple(float(figure[i]) for i in order)


def ranked_table(folder: str | Path, rank: str = "bic") -> ScreeningResult:
    """Rank a table in its current state; it may still be being written.

    Args:
        folder: folder of a screening.
        rank: as for :func:`jaxnmr.screen`.

    Raises:
        ParseError: there is no table of a screening, or it has no rows.
    """
    rows = Rows(folder)
    if rows.notes["kind"] != KIND:
        raise ParseError(folder, None, f"holds the table of a {rows.notes['kind']}; expected one of a screening")
    if not len(rows):
        raise ParseError(folder, None, "the table has no rows yet; look again when the first candidates are done")
    ordered, figures = rank_table(rows, rank)
    seconds = float(sum(rows.column("seconds")))
    return ScreeningResult(ordered, rank, figures, {}, 0, len(rows), seconds, 0.0, rows.path, rows.row)
