"""Plain-text and Markdown tables: columns of numbers are right-aligned, the others left-aligned."""

from collections.abc import Sequence
from typing import Any

_NUMBER = "+-–−0123456789×?"


def markdown(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table; bars in cells are escaped, and each cell is one line."""
    cells = [[_one_line(cell).replace("|", "\\|") for cell in row] for row in rows]
    rule = "|".join("--:" if right else ":--" for right in _numeric(header, cells))
    lines = ["| " + " | ".join(header) + " |", f"|{rule}|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in cells])


def plain(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a plain-text table: columns as wide as needed, with a rule below the header."""
    cells = [[_one_line(cell) for cell in row] for row in rows]
    right = _numeric(header, cells)
    width = [max(len(row[k]) for row in [list(header), *cells]) for k in range(len(header))]
    line = lambda row: "  ".join(
        f"{cell:>{n}}" if to_right else f"{cell:<{n}}" for cell, n, to_right in zip(row, width, right, strict=True)
    ).rstrip()
    return "\n".join([line(header), "-" * (sum(width) + 2 * (len(width) - 1)), *map(line, cells)])


def _one_line(cell: Any) -> str:
    return " ".join(str(cell).splitlines())


def _numeric(header: Sequence[str], cells: Sequence[Sequence[str]]) -> list[bool]:
    return [all(row[k].lstrip()[:1] in _NUMBER for row in cells) for k in range(len(header))]
