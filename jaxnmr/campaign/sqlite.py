"""SQLite for tables of campaigns: connections that close with their last user, and errors of this package (host)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from ..errors import JaxnmrError, ParseError

# values per statement; SQLite accepts at least 999
AT_ONCE = 500


class Connection(sqlite3.Connection):
    """Connection that closes when it is no longer referenced, in any thread: rows are read as long as they are in use."""

    def __del__(self):
        # a connection that failed to open cannot be closed
        with suppress(sqlite3.Error):
            self.close()


def opened(path: Path, *, reading: bool = False) -> Connection:
    """Open a connection that waits while others write."""
    with said(path):
        target = f"{path.absolute().as_uri()}?mode=ro" if reading else str(path)
        return Connection(target, uri=reading, isolation_level=None, timeout=60.0, check_same_thread=False)


def opened_to_read(path: Path) -> sqlite3.Connection:
    """Open a connection for reading; first undo an unfinished write of a killed process, which requires write access."""
    reader = opened(path, reading=True)
    try:
        reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as err:
        if "readonly" in str(err):
            with said(path), closing(opened(path)) as writer:
                writer.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError:
        pass  # reported when it is read
    return reader


@contextmanager
def said(path: Path | None) -> Iterator[None]:
    """Convert errors of SQLite to those of this package."""
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
