"""Export of the table of a campaign to other programs (host)."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import ConventionError, ParseError
from .rows import Rows

_AT_ONCE = 10_000


def write_parquet(rows: Rows, path: str | Path) -> int:
    """Write all rows as parquet: fixed and specific columns, ``record`` as JSON and ``text``.

    Returns:
        Number of rows.

    Raises:
        ConventionError: pyarrow is not installed.
        ParseError: the file cannot be written.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ConventionError("parquet files need pyarrow: pip install pyarrow, or take --csv") from None

    kinds = {"float": pyarrow.float64(), "int": pyarrow.int64(), "str": pyarrow.string()}
    text = pyarrow.string()
    schema = pyarrow.schema(
        [("key", text), ("name", text), ("status", text), ("message", text), ("seconds", pyarrow.float64())]
        + [(name, kinds[of]) for name, of in rows.columns.items()]
        + [("record", text), ("text", text)]
    )
    count, source = 0, iter(rows)
    try:
        with parquet.ParquetWriter(path, schema) as writer:
            while some := list(islice(source, _AT_ONCE)):
                flat: list[dict[str, Any]] = [
                    {
                        "key": row.key, "name": row.name, "status": row.status, "message": row.message, "seconds": row.seconds,
                        **row.values, "record": json.dumps(row.record, ensure_ascii=False), "text": row.text,
                    }
                    for row in some
                ]  # fmt: skip
                writer.write_table(pyarrow.Table.from_pylist(flat, schema=schema))
                count += len(some)
    except OSError as err:
        raise ParseError(path, None, f"cannot be written: {err.strerror or err}") from None
    return count
