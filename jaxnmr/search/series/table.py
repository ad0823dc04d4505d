"""Table of a series: one row per data set and direction, with a record of the series (host)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ...campaign.rows import Row
from ...campaign.table import Table
from ...errors import ConventionError
from .rows import SeriesRow

COLUMNS: Mapping[str, type] = {"direction": str, "at": float, "chi2": float, "gof": float}


class SeriesTable:
    """Rows of one series, kept in a folder, or in memory without one.

    Args:
        folder: folder of the file ``table.sqlite``.
    """

    def __init__(self, folder: str | Path | None):
        self._folder = folder
        self._table: Table | None = None

    def open(self, names: Sequence[str], first: str) -> None:
        """Become the writer of the rows of a series; further calls have no effect.

        Args:
            names: names of its rows, in order; a longer or shorter series with the same beginning is the same one.
            first: digest of the first row: data, structure, plans, values, bounds, stages and solver.

        Raises:
            ConventionError: another process is writing, or the table holds another series.
        """
        if self._table is not None:
            return
        self._table = Table(self._folder, "series", COLUMNS)
        self._rows = self._table.reader()
        notes = self._rows.notes
        before = json.loads(notes.get("names", "[]"))
        if before:
            self._require_same(before, notes["first"], names, first)
        if len(before) < len(names):
            self._table.note(names=json.dumps(list(names)), first=first)

    def close(self) -> None:
        """Release the table."""
        if self._table is not None:
            self._table.close()

    def _require_same(self, before: list[str], first_before: str, names: Sequence[str], first: str) -> None:
        for k, (then, now) in enumerate(zip(before, names, strict=False), start=1):
            if then != now:
                raise ConventionError(
                    f"{self._folder} holds another series: its row {k} is {then!r}, here it is {now!r}; name another folder"
                )
        if first_before != first:
            raise ConventionError(
                f"{self._folder} holds another series: its first row {names[0]!r} was refined from other data, or with another model, "
                "starting values, stages or settings; name another folder"
            )

    def row(self, name: str, direction: str, key: str) -> SeriesRow | None:
        """Return the row of a finished refinement, else ``None``.

        Raises:
            ConventionError: in the forward direction, the row was refined from other data.
        """
        found = self._rows.named(_name(name, direction))
        if found is None or found.key == key:
            return None if found is None else SeriesRow.of_record(found.record)
        if direction == "backward":  # the way back started from another end
            return None
        raise ConventionError(
            f"{self._folder} holds another series: its row {name!r} was refined from other data than those that are there now; "
            "name another folder"
        )

    def keep(self, row: SeriesRow) -> None:
        """Write a row, completely or not at all."""
        assert self._table is not None
        values = {name: getattr(row, name) for name in COLUMNS}
        name = _name(row.name, row.direction)
        self._table.write([Row(row.key, name, row.status, row.message, row.seconds, values, asdict(row))])


def _name(name: str, direction: str) -> str:
    return f"{name} ({direction})"
