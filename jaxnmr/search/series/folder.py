"""What a series leaves on disk: one record per row and direction, and a plan that says whose rows they are (host)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar

from ..._record import Kind, envelope, read_record, write_record
from ...errors import ConventionError
from ..folder import ScreeningFolder, safe
from .rows import SeriesRow

_PLAN = "series.json"
_CLAIM = "series"


class SeriesFolder(ScreeningFolder):
    """A folder with the rows of one series, at which one process works at a time."""

    kind: ClassVar[Kind] = "series-row"

    def open(self, names: Sequence[str], first: str) -> None:
        """Claim the folder for a series.

        Args:
            names: of its rows, in order; a series that was longer or shorter before is the same one.
            first: digest of the first row: data, structure, plans, values, bounds, stages and solver.

        Raises:
            ConventionError: another process is at work here, or the folder holds another series.
        """
        if not self.claim(_CLAIM):
            raise ConventionError(
                f"{self.path}: another process works at the series in this folder; wait for it, or name another one"
            )
        try:
            plan = read_record(self.path / _PLAN, "series-plan")["result"]
        except FileNotFoundError:
            plan = None
        try:
            if plan is not None:
                self._require_same(plan, names, first)
        except ConventionError:
            self.close()
            raise
        if plan is None or len(plan["rows"]) < len(names):
            content = {"rows": list(names), "first": first}
            write_record(self.path / _PLAN, envelope("series-plan", names[0], content))

    def close(self) -> None:
        """Give the folder back, if it was had."""
        if f"{_CLAIM}.claim" in self._mine:
            self.release(_CLAIM)

    def _require_same(self, plan: dict[str, Any], names: Sequence[str], first: str) -> None:
        for k, (before, now) in enumerate(zip(plan["rows"], names, strict=False), start=1):
            if before != now:
                raise ConventionError(
                    f"{self.path} holds another series: its row {k} is {before!r}, here it is {now!r}; name another folder"
                )
        if plan["first"] != first:
            raise ConventionError(
                f"{self.path} holds another series: its first row {names[0]!r} was refined from other data, or with another model, "
                "starting values, stages or settings; name another folder"
            )

    def row(self, index: int, name: str, direction: str) -> SeriesRow | None:
        """The row of a refinement that is done, else ``None``."""
        record = self.read(self.stem_of(index, name, direction))
        return None if record is None else SeriesRow.of_record(record)

    def keep(self, index: int, row: SeriesRow) -> None:
        """Put a row in place, complete or not at all."""
        self.write(self.stem_of(index, row.name, row.direction), row.name, asdict(row))

    def stem_of(self, index: int, name: str, direction: str) -> str:
        """File name of a row, without suffix."""
        return f"{index + 1:04d}_{safe(name)}-{direction}"
