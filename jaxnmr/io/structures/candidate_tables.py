"""Candidates from tables, row by row: ASE databases and parquet files."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gemmi
import numpy as np

from ...errors import ParseError
from .candidate import UNREADABLE, Candidate
from .candidate_kinds import UNKNOWN, kind_of_cif, kind_of_frame, pairs_of

_COLUMNS = "id, numbers, positions, cell, pbc, masses, key_value_pairs"
_SQLITE = b"SQLite format 3\x00"
# number of parquet rows held at a time
_BATCH = 256


def check_database(path: Path) -> None:
    """Refuse a file that is not an ASE database, before anything is read from it.

    Raises:
        ParseError: it is not one, or it is empty.
    """
    with path.open("rb") as file:
        head = file.read(len(_SQLITE))
    if path.suffix.lower() == ".json":
        if not head.lstrip().startswith(b"{"):
            raise ParseError(
                path, None, "is no database of ASE: expected JSON as ase.db writes it, which begins with '{'"
            )
        return
    if head != _SQLITE:
        raise ParseError(path, None, "is no database of ASE: expected an SQLite file as ase.db.connect(...) writes it")
    if count_database(path) == 0:
        raise ParseError(path, None, "is a database without rows; expected one structure in each")


def count_database(path: Path) -> int:
    """Return the number of rows."""
    if path.suffix.lower() == ".json":
        return sum(1 for _ in _json_rows(path))
    with closing(_connect(path)) as connection:
        return _execute(path, connection, "SELECT COUNT(*) FROM systems").fetchone()[0]


def candidates_of_database(path: Path) -> Iterator[Candidate]:
    """Yield the rows of a database, named by their key ``name``, else by the file and their id.

    The content of a row is a frame of extxyz with its cell, elements, positions and, if given, masses; numbers
    are written so that they are read back exactly. SQLite is read row by row and never written; JSON is read as a
    whole.
    """
    rows = _json_rows(path) if path.suffix.lower() == ".json" else _sqlite_rows(path)
    for key, row, named in rows:
        name = str(named) if named not in (None, "") else f"{path.stem}-{key}"
        origin = f"{path}, {key if key == 'rest' else f'row {key}'}"
        if isinstance(row, str):
            yield Candidate(name, row.encode(), UNREADABLE, UNKNOWN, origin)
            continue
        lines = _frame(*row)
        pairs = pairs_of(lines[1])
        yield Candidate(name, b"".join(lines), ".extxyz", kind_of_frame(pairs, lines[2:]), origin)


def _connect(path: Path) -> sqlite3.Connection:
    # ase.db.connect would convert any SQLite file to an ASE database
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)


def _execute(path: Path, connection: sqlite3.Connection, question: str) -> sqlite3.Cursor:
    try:
        return connection.execute(question)
    except sqlite3.Error as err:
        raise ParseError(path, None, f"is no database of ASE ({err}): expected the table 'systems' of ase.db") from err


def _sqlite_rows(path: Path) -> Iterator[tuple[Any, Any, Any]]:
    """Yield, for every row, its id, the arrays of the structure (or what is wrong with them), and its name."""
    with closing(_connect(path)) as connection:
        cursor = _execute(path, connection, f"SELECT {_COLUMNS} FROM systems ORDER BY id")
        while True:
            try:
                row = cursor.fetchone()
            except sqlite3.Error as err:
                yield "rest", f"the database is damaged ({err}), and this row and all after it are lost", None
                return
            if row is None:
                return
            key, *columns, pairs = row
            try:
                numbers, positions, cell, masses = (
                    _array(columns[k], of) for k, of in ((0, "<i4"), (1, "<f8"), (2, "<f8"), (4, "<f8"))
                )
                named = json.loads(pairs or "{}").get("name")
                if numbers is None or positions is None or len(positions) != 3 * len(numbers):
                    raise ValueError("the numbers of elements and of positions differ")
                yield key, (numbers, positions, cell, columns[3] or 0, masses), named
            except (ValueError, TypeError, AttributeError) as err:
                yield key, f"the row cannot be read: {err}", None


def _array(blob: bytes | None, kind: str) -> np.ndarray | None:
    return np.frombuffer(blob, kind) if blob is not None else None


def _json_rows(path: Path) -> Iterator[tuple[Any, Any, Any]]:
    import ase.db

    try:
        rows = list(ase.db.connect(path, use_lock_file=False).select())
    except Exception as err:  # its reader raises all kinds of exceptions
        raise ParseError(
            path, None, f"is no database of ASE ({type(err).__name__}: {err}): expected JSON as ase.db writes it"
        ) from err
    if not rows:
        raise ParseError(path, None, "is a database without rows; expected one structure in each")
    for row in rows:
        pbc = int(np.dot(np.asarray(row.pbc, dtype=int), (1, 2, 4)))
        arrays = (row.numbers, np.ravel(row.positions), np.ravel(row.cell), pbc, row.get("masses"))
        whole = 3 * len(row.numbers) == arrays[1].size
        yield (
            row.id,
            arrays if whole else "the row cannot be read: elements and positions differ in number",
            row.get("name"),
        )


def _frame(numbers, positions, cell, pbc: int, masses) -> list[bytes]:
    """Write arrays as a frame of extxyz; floats are written as the shortest text that reads back exactly."""
    known = {number: gemmi.Element(number).name for number in set(numbers.tolist())}
    words = [[known[number]] for number in numbers.tolist()]
    coordinates = list(map(repr, positions.tolist()))
    for k, line in enumerate(words):
        line += coordinates[3 * k : 3 * k + 3]
    header = []
    if cell is not None and len(cell) == 9 and np.any(cell):
        header.append(f'Lattice="{" ".join(map(repr, cell.tolist()))}"')
    header.append(f"Properties=species:S:1:pos:R:3{':masses:R:1' if masses is not None else ''}")
    header.append(f'pbc="{" ".join("FT"[bool(pbc & bit)] for bit in (1, 2, 4))}"')
    if masses is not None:
        for line, mass in zip(words, np.asarray(masses, dtype=float).tolist(), strict=True):
            line.append(repr(mass))
    lines = [str(len(words)), " ".join(header), *map(" ".join, words)]
    return [f"{line}\n".encode() for line in lines]


def check_parquet(path: Path) -> None:
    """Refuse a parquet file without the columns ``name`` and ``cif``.

    Raises:
        ParseError: it lacks them, has no rows or is not a parquet file, or the package to read it is not installed.
    """
    with _parquet(path) as file:
        found = file.schema_arrow.names
        lacking = [name for name in ("name", "cif") if name not in found]
        if lacking:
            raise ParseError(
                path,
                None,
                f"lacks the column {' and '.join(lacking)}; expected 'name' and 'cif', found {', '.join(found)}",
            )
        if file.metadata.num_rows == 0:
            raise ParseError(path, None, "has no rows; expected one structure in each")


def count_parquet(path: Path) -> int:
    """Return the number of rows as stated in the file footer."""
    with _parquet(path) as file:
        return file.metadata.num_rows


def candidates_of_parquet(path: Path) -> Iterator[Candidate]:
    """Yield the rows of a parquet file, named by the column ``name``, else by file and number; read in small batches."""
    number = 0
    with _parquet(path) as file:
        batches = file.iter_batches(batch_size=_BATCH, columns=["name", "cif"])
        while True:
            try:
                batch = next(batches, None)
            except (OSError, ValueError) as err:  # pyarrow's exceptions derive from these
                reason = f"the file is damaged ({err}), and this row and all after it are lost"
                yield Candidate(f"{path.stem}-rest", reason.encode(), UNREADABLE, UNKNOWN, f"{path}, row {number + 1}")
                return
            if batch is None:
                return
            for row in batch.to_pylist():
                number += 1
                name = str(row["name"]) if row["name"] not in (None, "") else f"{path.stem}-{number}"
                text, origin = row["cif"], f"{path}, row {number}"
                if text is None:
                    yield Candidate(name, b"the row has no CIF", UNREADABLE, UNKNOWN, origin)
                    continue
                content = text.encode() if isinstance(text, str) else bytes(text)
                yield Candidate(name, content, ".cif", kind_of_cif(content), origin)


def _parquet(path: Path):
    try:
        from pyarrow import parquet
    except ImportError as err:
        raise ParseError(
            path, None, "is a parquet file, which the package pyarrow reads: pip install 'jaxnmr[parquet]'"
        ) from err
    try:
        # in pieces: otherwise whole columns of a row group, which may hold all rows, are read at once
        return parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
    except (OSError, ValueError) as err:
        raise ParseError(path, None, f"is no parquet file: {err}") from err
