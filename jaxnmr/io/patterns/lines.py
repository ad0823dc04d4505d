"""Lists of diffraction lines: angles and areas in columns."""

from pathlib import Path

import numpy as np

from ...errors import ParseError


def read_lines(path: str | Path) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Read angles in degrees of 2theta, areas, and their standard deviations if there is a third column.

    Columns are separated by blanks or commas; lines that begin with ``#`` and a first line of words are skipped.

    Raises:
        ParseError: no such file, a line without numbers, a changing number of columns, or no lines.
    """
    path = Path(path)
    if not path.is_file():
        raise ParseError(path, None, "no such file; expected columns of 2theta and area")
    rows: list[list[float]] = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = text.replace(",", " ").split()
        if not words or words[0].startswith("#"):
            continue
        try:
            values = [float(word) for word in words]
        except ValueError as error:
            if not rows:
                continue
            raise ParseError(path, number, f"expected numbers, got {text.strip()!r}") from error
        if len(values) not in (2, 3) or (rows and len(values) != len(rows[0])):
            raise ParseError(
                path,
                number,
                f"has {len(values)} columns; expected 2theta, area and perhaps a standard deviation, in all lines",
            )
        rows.append(values)
    if not rows:
        raise ParseError(path, None, "has no lines; expected columns of 2theta and area")
    table = np.array(rows)
    return table[:, 0], table[:, 1], table[:, 2] if table.shape[1] == 3 else None
