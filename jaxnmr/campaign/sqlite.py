"""SQLite as tables of campaigns use it: connections that end with whoever holds them, and errors in the words of the project (host)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from ..errors import JaxnmrError, ParseError

# values in one statement; SQLite takes at least 999
AT_ONCE = 500


class Connection(sqlite3.Connection):
    """Closed when nobody has it any more: rows are read as long as somebody holds them, in whatever thread he lets go."""

    def __del__(self):
        # one that could not be opened cannot be closed
        with suppress(sqlite3.Error):
            self.close()


def opened(path: Path, *, reading: bool = False) -> Connection:
    """A connection that waits for whoever is just writing."""
    with said(path):
        target = f"{path.absolute().as_uri()}?mode=ro" if reading else str(path)
        return Connection(target, uri=reading, isolation_level=None, timeout=60.0, check_same_thread=False)


def opened_to_read(path: Path) -> sqlite3.Connection:
    """A connection that reads; first it takes back what a process was writing when it was killed, which needs one that writes."""
    reader = opened(path, reading=True)
    try:
        reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as err:
        if "readonly" in str(err):
            with said(path), closing(opened(path)) as writer:
                writer.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError:
        pass  # said when it is read
    return reader


@contextmanager
def said(path: Path | None) -> Iterator[None]:
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


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
