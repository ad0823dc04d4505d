"""The table of a campaign: one row per thing done, in one SQLite file with one writer (host).

Whoever calculates may do a thing twice; rows have unique keys, and only the process that hands out work writes them. The file
has a rollback journal, no write-ahead log, so that it may lie on a network disk. It can be read at any time.
"""

from __future__ import annotations

import json
import math
import os
import platform
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from .._words import writable
from ..errors import ConventionError, JaxnmrError, ParseError

FILE = "table.sqlite"
SCHEMA = 1
# keys looked up in one statement; SQLite takes at least 999
_AT_ONCE = 500
_KINDS = {float: "REAL", int: "INTEGER", str: "TEXT"}


class _Connection(sqlite3.Connection):
    """Closed when nobody has it any more: rows are read as long as somebody holds them, in whatever thread he lets go."""

    def __del__(self):
        # one that could not be opened cannot be closed
        with suppress(sqlite3.Error):
            self.close()


class Row(NamedTuple):
    """What became of one item.

    Attributes:
        key: digest of everything it depends on; unique.
        name: for people.
        status, message: how it ended, in one word and in a sentence.
        seconds: that it took.
        values: numbers and texts of the columns of this kind of table, by name; NaN and ``None`` are empty.
        record: everything else, plain values.
        text: a file that belongs to it, a CIF for example.
    """

    key: str
    name: str
    status: str
    message: str = ""
    seconds: float = 0.0
    values: Mapping[str, Any] = {}
    record: Mapping[str, Any] = {}
    text: str = ""


_FIXED = ("key", "name", "status", "message", "seconds")


class Table:
    """Rows of a campaign in a folder, or in memory where there is none.

    Args:
        folder: where; the file is ``table.sqlite``. Made when missing.
        kind: what the rows are of, for example ``"screening"``.
        columns: names of the columns of their own and their types (``float``, ``int`` or ``str``).
        run: digest of what all rows have in common. A table holds rows of one run only.

    Raises:
        ConventionError: another process is writing this table, it holds rows of another kind or of another run, or the folder cannot
            be written to.
        ParseError: a file that is no table.
    """

    def __init__(self, folder: str | Path | None, kind: str, columns: Mapping[str, type], run: str = ""):
        self.path = None if folder is None else Path(folder) / FILE
        self.columns = dict(columns)
        self._lock: sqlite3.Connection | None = None
        if self.path is None:
            self._base = _Connection(":memory:", isolation_level=None, check_same_thread=False)
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
            self._base = _connection(self.path)
            with _said(self.path):
                made = self._base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if made:
                self._require_same(kind, run)
            with _said(self.path):
                self._base.execute("PRAGMA journal_mode = DELETE")
                self._base.execute("PRAGMA synchronous = FULL")
            if not made:
                self._make(kind, run)
            self.note(writer=f"process {os.getpid()} on {platform.node()}")
        except BaseException:
            self.close()
            raise

    # -- who writes ----------------------------------------------------------------------------------------------
    def _hold(self) -> None:
        """Become the writer: a lock that the system gives back when this process ends, however it ends."""
        assert self.path is not None
        place = self.path.with_suffix(".lock")
        lock = None
        try:
            lock = _Connection(place, isolation_level=None, timeout=0.0, check_same_thread=False)
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
        """Give the table back to whoever wants to write next; a table in memory is gone."""
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
        """Put rows in place, all of them or none; a key that is there keeps its row, a name has one row.

        Raises:
            JaxnmrError: no space on the disk, or the disk is gone; what was written before is kept.
        """
        rows = list(map(_storable, rows))
        names = (*_FIXED, *self.columns)
        into = f"INSERT OR IGNORE INTO rows ({', '.join(map(_quoted, names))}) VALUES ({', '.join('?' * len(names))})"
        with self._transaction():
            # a candidate that has changed since takes the place of what it was
            for table in ("texts", "rows"):
                self._base.executemany(
                    f"DELETE FROM {table} WHERE key IN (SELECT key FROM rows WHERE name = ? AND key != ?)",
                    [(row.name, row.key) for row in rows],
                )
            self._base.executemany(into, [self._flat(row) for row in rows])
            self._base.executemany(
                "INSERT OR IGNORE INTO texts (key, record, text) VALUES (?, ?, ?)",
                [(row.key, writable(json.dumps(_plain(row.record), ensure_ascii=False)), row.text) for row in rows],
            )

    def forget(self, keys: Sequence[str]) -> None:
        """Take rows out, so that they can be made again."""
        with self._transaction():
            for table in ("rows", "texts"):
                self._base.executemany(f"DELETE FROM {table} WHERE key = ?", [(key,) for key in keys])

    def known(self, keys: Sequence[str]) -> set[str]:
        """Which of these keys have a row."""
        found: set[str] = set()
        for first in range(0, len(keys), _AT_ONCE):
            these = keys[first : first + _AT_ONCE]
            marks = ", ".join("?" * len(these))
            with _said(self.path):
                found |= {key for (key,) in self._base.execute(f"SELECT key FROM rows WHERE key IN ({marks})", these)}
        return found

    def _flat(self, row: Row) -> list[Any]:
        strange = row.values.keys() - self.columns.keys()
        if strange:
            raise ConventionError(f"a row has the values {sorted(strange)}, of which its table has no columns")
        return [*row[:5], *(_number(row.values.get(name)) for name in self.columns)]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _said(self.path):
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._base.execute("COMMIT")
            except BaseException:
                # a full disk has ended the transaction already
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise

    # -- reading -------------------------------------------------------------------------------------------------
    def reader(self) -> Rows:
        """What is in the table, to be read while this process goes on, and afterwards."""
        return Rows(self.path, None if self.path is not None else self._base)

    # -- what it is ----------------------------------------------------------------------------------------------
    def _make(self, kind: str, run: str) -> None:
        columns = "".join(f", {_quoted(name)} {_KINDS[of]}" for name, of in self.columns.items())
        with self._transaction():
            self._base.execute("CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
            self._base.execute(
                "CREATE TABLE rows (key TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, status TEXT NOT NULL, message TEXT NOT NULL, "
                f"seconds REAL NOT NULL{columns})"
            )
            # apart, so that ranking reads numbers only
            self._base.execute(
                "CREATE TABLE texts (key TEXT PRIMARY KEY, record TEXT NOT NULL, text TEXT NOT NULL) WITHOUT ROWID"
            )
            # together with the tables: whoever finds these finds out what they are
            self._note(
                schema=str(SCHEMA), kind=kind, run=run, columns=json.dumps({name: of.__name__ for name, of in self.columns.items()}),
                created=datetime.now(UTC).isoformat(timespec="seconds"),
            )  # fmt: skip

    def note(self, **notes: str) -> None:
        """Texts about the table as a whole, by name."""
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


class Rows:
    """The rows of a table, read while others write.

    Args:
        path: of the file, or of the folder it lies in.
        base: of a table in memory, the connection.

    Raises:
        ParseError: no such file, or one that is no table.
    """

    def __init__(self, path: str | Path | None, base: sqlite3.Connection | None = None):
        self.path = None if path is None else Path(path) / FILE if Path(path).is_dir() else Path(path)
        if self.path is not None:
            if not self.path.exists():
                raise ParseError(
                    self.path, None, "no such table; name the folder of a campaign, which holds table.sqlite"
                )
            base = _reader(self.path)
        assert base is not None
        self._base = base
        with _said(self.path):
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
        """One column of all rows, in the order of :meth:`keys`; ``None`` where it is empty."""
        if name not in (*_FIXED, *self.columns):
            raise ConventionError(f"the table has no column {name!r}; it has {', '.join((*_FIXED, *self.columns))}")
        return [value for (value,) in self._found(f"SELECT {_quoted(name)} FROM rows ORDER BY name")]

    def keys(self, status: str | None = None) -> list[str]:
        """Keys of all rows, or of those that ended in one way, by name."""
        if status is None:
            return self.column("key")
        return [key for (key,) in self._found("SELECT key FROM rows WHERE status = ? ORDER BY name", (status,))]

    def row(self, key: str) -> Row:
        """One row with all that belongs to it."""
        row = next(self.of([key]), None) if self._has(key) else None
        if row is None:
            raise ConventionError(f"the table has no row with the key {key!r}")
        return row

    def named(self, name: str) -> Row | None:
        """The row of a name, ``None`` where there is none."""
        found = self._found("SELECT key FROM rows WHERE name = ?", (name,))
        return self.row(found[0][0]) if found else None

    def _has(self, key: str) -> bool:
        return bool(self._found("SELECT 1 FROM rows WHERE key = ?", (key,)))

    def _found(self, question: str, values: Sequence[Any] = ()) -> list[tuple]:
        with _said(self.path):
            return self._base.execute(question, values).fetchall()

    def of(self, keys: Sequence[str]) -> Iterator[Row]:
        """Rows of keys, in their order."""
        names = ", ".join(f"rows.{_quoted(name)}" for name in (*_FIXED, *self.columns))
        for first in range(0, len(keys), _AT_ONCE):
            these = keys[first : first + _AT_ONCE]
            found = self._found(
                f"SELECT {names}, texts.record, texts.text FROM rows JOIN texts ON rows.key = texts.key "
                f"WHERE rows.key IN ({', '.join('?' * len(these))})",
                list(these),
            )
            by_key = {flat[0]: self._row(flat) for flat in found}
            yield from (by_key[key] for key in these)

    def __iter__(self) -> Iterator[Row]:
        """All rows by name."""
        return self.of(self.keys())

    def _row(self, flat: Sequence[Any]) -> Row:
        own = len(_FIXED)
        *values, record, text = flat[own:]
        key, name, status, message, seconds = flat[:own]
        named = dict(zip(self.columns, values, strict=True))
        return Row(key, name, status, message, seconds, named, json.loads(record), text)

    def close(self) -> None:
        """Let go of the file."""
        if self.path is not None:
            self._base.close()


def _connection(path: Path, *, reading: bool = False) -> _Connection:
    """A connection that waits for whoever is just writing."""
    with _said(path):
        target = f"{path.absolute().as_uri()}?mode=ro" if reading else str(path)
        return _Connection(target, uri=reading, isolation_level=None, timeout=60.0, check_same_thread=False)


def _reader(path: Path) -> sqlite3.Connection:
    """A connection that reads; first it takes back what a process was writing when it was killed, which needs one that writes."""
    reader = _connection(path, reading=True)
    try:
        reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as err:
        if "readonly" in str(err):
            with _said(path), closing(_connection(path)) as writer:
                writer.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError:
        pass  # said when it is read
    return reader


@contextmanager
def _said(path: Path | None) -> Iterator[None]:
    """Errors of SQLite in the words of the project."""
    try:
        yield
    except sqlite3.DatabaseError as err:
        text = str(err)
        if "full" in text:
            raise JaxnmrError(
                f"{path}: no space left on the disk; what was written before is kept: make room and repeat the same call"
            ) from None
        if "not a database" in text or "malformed" in text:
            raise ParseError(
                path or "table", None, f"is no table ({text}); remove it, or name another folder"
            ) from None
        raise JaxnmrError(f"{path}: the table cannot be used ({text}); what was written before is kept") from None


def _writer(path: Path) -> str:
    """Who is writing a table, as far as it says."""
    try:
        return f" ({Rows(path).notes['writer']})"
    except (JaxnmrError, KeyError):
        return ""


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _storable(row: Row) -> Row:
    return row._replace(name=writable(row.name), message=writable(row.message), text=writable(row.text))


def _number(value: Any) -> Any:
    """A value as SQLite keeps it."""
    if value is None:
        return None
    if isinstance(value, str):
        return writable(value)
    if isinstance(value, int):
        return int(value)
    value = float(value)
    return None if math.isnan(value) else value


def _plain(value: Any) -> Any:
    from .._record import plain

    return plain(value)
