"""Table of a campaign: one row per item, in one SQLite file with a single writer (host).

Workers may process an item twice; rows have unique keys, and only the process that hands out work writes them. The file
has a rollback journal instead of a write-ahead log, so that it may be on a network disk. It can be read at any time.
"""

from __future__ import annotations

import json
import math
import os
import platform
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .._record import plain
from .._words import writable
from ..errors import ConventionError, JaxnmrError
from .rows import FILE, FIXED, SCHEMA, Row, Rows
from .sqlite import AT_ONCE, Connection, opened, quoted, said

_KINDS = {float: "REAL", int: "INTEGER", str: "TEXT"}


class Table:
    """Rows of a campaign in a folder, or in memory without one.

    Args:
        folder: folder of the file ``table.sqlite``; created if missing.
        kind: kind of rows, for example ``"screening"``.
        columns: names of the specific columns and their types (``float``, ``int`` or ``str``).
        run: digest of what all rows have in common. A table holds rows of one run only.

    Raises:
        ConventionError: another process is writing this table, it holds rows of another kind or run, or the folder is not
                writable.
        ParseError: a file is not a table.
    """

    def __init__(self, folder: str | Path | None, kind: str, columns: Mapping[str, type], run: str = ""):
        self.path = None if folder is None else Path(folder) / FILE
        self.columns = dict(columns)
        self._lock: sqlite3.Connection | None = None
        if self.path is None:
            self._base = Connection(":memory:", isolation_level=None, check_same_thread=False)
            self._make(kind, run)
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise ConventionError(
                f"the folder {self.path.parent} cannot be made ({err.strerror}); give another one"
            ) from None
        self._hold()
        try:
            self._base = opened(self.path)
            with said(self.path):
                made = self._base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if made:
                self._require_same(kind, run)
            with said(self.path):
                self._base.execute("PRAGMA journal_mode = DELETE")
                self._base.execute("PRAGMA synchronous = FULL")
            if not made:
                self._make(kind, run)
            self.note(writer=f"process {os.getpid()} on {platform.node()}")
        except BaseException:
            self.close()
            raise

    # -- locking -------------------------------------------------------------------------------------------------
    def _hold(self) -> None:
        """Become the writer, by a lock that the system releases when this process ends for any reason."""
        assert self.path is not None
        place = self.path.with_suffix(".lock")
        lock = None
        try:
            lock = Connection(place, isolation_level=None, timeout=0.0, check_same_thread=False)
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as err:
            if lock is not None:
                lock.close()
            if "locked" not in str(err):
                raise ConventionError(
                    f"{place} cannot be locked ({err}): the folder must be one that this process may write to, on a disk that knows "
                    "locks"
                ) from None
            raise ConventionError(
                f"{self.path} is being written by another process{_writer(self.path)}; wait until it is done, or name another folder"
            ) from None
        self._lock = lock

    def close(self) -> None:
        """Release the table for the next writer; a table in memory is lost."""
        base = getattr(self, "_base", None)
        if base is not None:
            base.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- writing -------------------------------------------------------------------------------------------------
    def write(self, rows: Iterable[Row]) -> None:
        """Write rows, all of them or none; existing keys keep their rows, and a name has only one row.

        Raises:
            JaxnmrError: the disk is full or gone; what was written before is kept.
        """
        rows = list(map(_storable, rows))
        names = (*FIXED, *self.columns)
        into = f"INSERT OR IGNORE INTO rows ({', '.join(map(quoted, names))}) VALUES ({', '.join('?' * len(names))})"
        with self._transaction():
            # a changed candidate replaces its former rows
            for table in ("texts", "rows"):
                self._base.executemany(
                    f"DELETE FROM {table} WHERE key IN (SELECT key FROM rows WHERE name = ? AND key != ?)",
                    [(row.name, row.key) for row in rows],
                )
            self._base.executemany(into, [self._flat(row) for row in rows])
            self._base.executemany(
                "INSERT OR IGNORE INTO texts (key, record, text) VALUES (?, ?, ?)",
                [(row.key, writable(json.dumps(plain(row.record), ensure_ascii=False)), row.text) for row in rows],
            )

    def forget(self, keys: Sequence[str]) -> None:
        """Delete rows, so that they can be made again."""
        with self._transaction():
            for table in ("rows", "texts"):
                self._base.executemany(f"DELETE FROM {table} WHERE key = ?", [(key,) for key in keys])

    def known(self, keys: Sequence[str]) -> set[str]:
        """Return which of these keys have a row."""
        found: set[str] = set()
        for first in range(0, len(keys), AT_ONCE):
            these = keys[first : first + AT_ONCE]
            marks = ", ".join("?" * len(these))
            with said(self.path):
                found |= {key for (key,) in self._base.execute(f"SELECT key FROM rows WHERE key IN ({marks})", these)}
        return found

    def _flat(self, row: Row) -> list[Any]:
        strange = row.values.keys() - self.columns.keys()
        if strange:
            raise ConventionError(f"a row has the values {sorted(strange)}, of which its table has no columns")
        return [*row[:5], *(_number(row.values.get(name)) for name in self.columns)]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with said(self.path):
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._base.execute("COMMIT")
            except BaseException:
                # a full disk has already ended the transaction
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise

    # -- reading -------------------------------------------------------------------------------------------------
    def reader(self) -> Rows:
        """Return a reader of the table, usable during and after writing."""
        return Rows(self.path, None if self.path is not None else self._base)

    # -- contents ------------------------------------------------------------------------------------------------
    def _make(self, kind: str, run: str) -> None:
        columns = "".join(f", {quoted(name)} {_KINDS[of]}" for name, of in self.columns.items())
        with self._transaction():
            self._base.execute("CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
            self._base.execute(
                "CREATE TABLE rows (key TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, status TEXT NOT NULL, message TEXT NOT NULL, "
                f"seconds REAL NOT NULL{columns})"
            )
            # a separate table, so that ranking reads only numbers
            self._base.execute(
                "CREATE TABLE texts (key TEXT PRIMARY KEY, record TEXT NOT NULL, text TEXT NOT NULL) WITHOUT ROWID"
            )
            # in the same transaction as the tables, so that these are always identified
            self._note(
                schema=str(SCHEMA), kind=kind, run=run, columns=json.dumps({name: of.__name__ for name, of in self.columns.items()}),
                created=datetime.now(UTC).isoformat(timespec="seconds"),
            )  # fmt: skip

    def note(self, **notes: str) -> None:
        """Store texts about the table as a whole, by name."""
        with self._transaction():
            self._note(**notes)

    def _note(self, **notes: str) -> None:
        self._base.executemany("INSERT OR REPLACE INTO notes (name, value) VALUES (?, ?)", list(notes.items()))

    def _require_same(self, kind: str, run: str) -> None:
        notes = self.reader().notes
        columns = json.dumps({name: of.__name__ for name, of in self.columns.items()})
        if (notes.get("kind"), notes.get("columns")) != (kind, columns):
            raise ConventionError(
                f"{self.path} is a table of another kind ({notes.get('kind')!r}, here {kind!r}), or of another version of jaxnmr; name "
                "another folder"
            )
        if notes.get("run") != run:
            raise ConventionError(
                f"{self.path} is the table of another run: its rows were made with other data, another model, other starting values, "
                "stages, solver or settings, or by another version of jaxnmr; name another folder"
            )


def _writer(path: Path) -> str:
    """Describe the writer of a table, if known."""
    try:
        return f" ({Rows(path).notes['writer']})"
    except (JaxnmrError, KeyError):
        return ""


def _storable(row: Row) -> Row:
    return row._replace(name=writable(row.name), message=writable(row.message), text=writable(row.text))


def _number(value: Any) -> Any:
    """Convert a value for SQLite."""
    if value is None:
        return None
    if isinstance(value, str):
        return writable(value)
    if isinstance(value, int):
        return int(value)
    value = float(value)
    return None if math.isnan(value) else value
