"""Rows of a campaign, and reading access to them, also while others write (host)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ConventionError, ParseError
from .sqlite import AT_ONCE, opened_to_read, quoted, said

FILE = "table.sqlite"
SCHEMA = 1


class Row(NamedTuple):
    """Result of one item.

    Attributes:
        key: digest of everything it depends on; unique.
        name: name for display.
        status, message: outcome, in one word and in a sentence.
        seconds: time taken.
        values: values of the specific columns of this kind of table, by name; NaN and ``None`` are empty.
        record: everything else, plain values.
        text: an associated file, such as a CIF.
    """

    key: str
    name: str
    status: str
    message: str = ""
    seconds: float = 0.0
    values: Mapping[str, Any] = {}
    record: Mapping[str, Any] = {}
    text: str = ""


FIXED = ("key", "name", "status", "message", "seconds")


class Rows:
    """Rows of a table, readable while others write.

    Args:
        path: path of the file, or of its folder.
        base: connection, for a table in memory.

    Raises:
        ParseError: there is no such file, or it is not a table.
    """

    def __init__(self, path: str | Path | None, base: sqlite3.Connection | None = None):
        self.path = None if path is None else Path(path) / FILE if Path(path).is_dir() else Path(path)
        if self.path is not None:
            if not self.path.exists():
                raise ParseError(
                    self.path, None, "no such table; name the folder of a campaign, which holds table.sqlite"
                )
            base = opened_to_read(self.path)
        assert base is not None
        self._base = base
        with said(self.path):
            try:
                self.notes = dict(base.execute("SELECT name, value FROM notes"))
            except sqlite3.OperationalError as err:
                if "no such" not in str(err):
                    raise
                raise ParseError(self.path or FILE, None, "is no table of a campaign") from None
        if self.notes.get("schema") != str(SCHEMA):
            raise ParseError(self.path or FILE, None, f"has the schema {self.notes.get('schema')}; expected {SCHEMA}")
        self.columns: dict[str, str] = json.loads(self.notes["columns"])

    def __len__(self) -> int:
        return int(self._found("SELECT count(*) FROM rows")[0][0])

    def column(self, name: str) -> list[Any]:
        """Return one column of all rows, in the order of :meth:`keys`; ``None`` for empty values."""
        if name not in (*FIXED, *self.columns):
            raise ConventionError(f"the table has no column {name!r}; it has {', '.join((*FIXED, *self.columns))}")
        return [value for (value,) in self._found(f"SELECT {quoted(name)} FROM rows ORDER BY name")]

    def keys(self, status: str | None = None) -> list[str]:
        """List the keys of all rows, or of those with one status, ordered by name."""
        if status is None:
            return self.column("key")
        return [key for (key,) in self._found("SELECT key FROM rows WHERE status = ? ORDER BY name", (status,))]

    def row(self, key: str) -> Row:
        """Return one complete row."""
        row = next(self.of([key]), None) if self._has(key) else None
        if row is None:
            raise ConventionError(f"the table has no row with the key {key!r}")
        return row

    def named(self, name: str) -> Row | None:
        """Return the row with a name, or ``None``."""
        found = self._found("SELECT key FROM rows WHERE name = ?", (name,))
        return self.row(found[0][0]) if found else None

    def _has(self, key: str) -> bool:
        return bool(self._found("SELECT 1 FROM rows WHERE key = ?", (key,)))

    def _found(self, question: str, values: Sequence[Any] = ()) -> list[tuple]:
        with said(self.path):
            return self._base.execute(question, values).fetchall()

    def of(self, keys: Sequence[str]) -> Iterator[Row]:
        """Yield the rows of keys, in their order."""
        names = ", ".join(f"rows.{quoted(name)}" for name in (*FIXED, *self.columns))
        for first in range(0, len(keys), AT_ONCE):
            these = keys[first : first + AT_ONCE]
            found = self._found(
                f"SELECT {names}, texts.record, texts.text FROM rows JOIN texts ON rows.key = texts.key "
                f"WHERE rows.key IN ({', '.join('?' * len(these))})",
                list(these),
            )
            by_key = {flat[0]: self._row(flat) for flat in found}
            yield from (by_key[key] for key in these)

    def __iter__(self) -> Iterator[Row]:
        """Yield all rows, ordered by name."""
        return self.of(self.keys())

    def _row(self, flat: Sequence[Any]) -> Row:
        own = len(FIXED)
        *values, record, text = flat[own:]
        key, name, status, message, seconds = flat[:own]
        named = dict(zip(self.columns, values, strict=True))
        return Row(key, name, status, message, seconds, named, json.loads(record), text)

    def close(self) -> None:
        """Close the file."""
        if self.path is not None:
            self._base.close()
