"""Temperature, time, composition or field of each file of a series, from a table, the file name or its text."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import ConventionError, ParseError
from .files import decode, read_bytes

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_HEADING = re.compile(r"^(.*?)\s*(?:/\s*(.+)|\((.+)\)|\[(.+)\])$")
# part of a file that contains its header
_HEADER_BYTES = 65536


class Conditions(NamedTuple):
    """The independent variable of a series.

    Attributes:
        name, unit: of the quantity; the unit is empty if not stated.
        values: by file name.
    """

    name: str
    unit: str
    values: dict[str, float]


def conditions_from_table(path: str | Path, files: Mapping[str, Path], column: str | None = None) -> Conditions:
    """Read a column of a table that has file names in its first column.

    Args:
        path: comma-, semicolon- or tab-separated, with headings such as ``file, T / K, time (min)``.
        files: by name; a line may refer to one by this name, by its file name with or without suffix, or by its path.
        column: heading of the quantity, with or without its unit; the second column by default.

    Raises:
        ParseError: no table, no such column, a line without a number, or a file listed twice or not at all.
    """
    path = Path(path)
    lines = [line for line in decode(path, read_bytes(path), "a table of conditions").splitlines()]
    delimiter = max(",;\t", key=lambda mark: lines[0].count(mark))
    rows = [
        (k, [cell.strip() for cell in row]) for k, row in enumerate(csv.reader(lines, delimiter=delimiter), start=1)
    ]
    rows = [(k, row) for k, row in rows if any(row) and not row[0].startswith("#")]
    if len(rows) < 2 or len(rows[0][1]) < 2:
        raise ParseError(path, 1, "expected a line of headings and a line for each file: file, T / K")
    headings = [_heading(cell) for cell in rows[0][1]]
    place = _column(path, headings, rows[0][1], column)
    found: dict[str, float] = {}
    for k, row in rows[1:]:
        names = [name for name, file in files.items() if _same(row[0], name, file)]
        if len(row) <= place or not row[place]:
            if names:
                raise ParseError(path, k, f"{row[0]} has nothing in the column {headings[place][0]!r}")
            continue
        for name in names:
            if name in found:
                raise ParseError(path, k, f"{row[0]} is there for the second time; keep one of its lines")
            found[name] = _number(path, k, row[place])
    lacking = [name for name in files if name not in found]
    if lacking:
        near = difflib.get_close_matches(lacking[0], [row[0] for _, row in rows[1:]], n=1, cutoff=0.6)
        others = f" and {len(lacking) - 1} others" if len(lacking) > 1 else ""
        hint = f"; its nearest line is that of {near[0]!r}" if near else ""
        raise ParseError(path, None, f"has no line for {lacking[0]}{others}{hint}")
    name, unit = headings[place]
    return Conditions(name, unit, {name: found[name] for name in files})


def conditions_from_names(files: Mapping[str, Path], pattern: str) -> Conditions:
    """Extract a number from the name of every file.

    Args:
        files: by name.
        pattern: regular expression; its first group is the number, or the whole match without groups: ``"_(\\d+)K"``.

    Raises:
        ConventionError: an invalid regular expression, or a name without a match or number.
    """
    try:
        found = re.compile(pattern)
    except re.error as err:
        raise ConventionError(f"{pattern!r} is no regular expression: {err}; for example '_([0-9.]+)K'") from None
    values = {}
    for name in files:
        hit = found.search(name)
        if hit is None:
            raise ConventionError(f"{name}: nothing in this name fits {pattern!r}")
        text = hit[1] if found.groups else hit[0]
        try:
            # a comma or p often replaces the decimal point in file names
            values[name] = float(re.sub(r"(?<=\d)[p,](?=\d)", ".", text or ""))
        except ValueError:
            raise ConventionError(f"{name}: {text!r}, which fits {pattern!r}, is no number; put brackets around the number: '_([0-9.]+)K'") from None  # fmt: skip
    return Conditions("number in the name", "", values)


def conditions_from_headers(files: Mapping[str, Path], word: str) -> Conditions:
    """Read the first number after a word in the text of every file, for TopSpin folders in the file ``acqus``.

    Raises:
        ParseError: a file without the word, or without a number after it on the same line.
    """
    values = {}
    finder = re.compile(rf"{re.escape(word)}(?!\w)[^\n]*?(?<![\w.])({_NUMBER})(?![\w])", re.IGNORECASE)
    for name, file in files.items():
        place = _header_of(file)
        text = read_bytes(place)[:_HEADER_BYTES].decode("latin-1")
        hit = finder.search(text)
        if hit is None:
            there = "has no number after the word" if word.lower() in text.lower() else "says nothing of"
            raise ParseError(place, None, f"{there} {word!r} in its first {_HEADER_BYTES // 1024} KiB")
        values[name] = float(hit[1])
    return Conditions(word, "", values)


def _header_of(file: Path) -> Path:
    """Return the file whose text states the measurement conditions."""
    folder = file if file.is_dir() else file.parent
    for place in (folder, *folder.parents[:2]) if file.is_dir() or file.name in ("1r", "fid") else ():
        if (place / "acqus").is_file():
            return place / "acqus"
    return file


def _heading(cell: str) -> tuple[str, str]:
    hit = _HEADING.match(cell)
    return (hit[1], next(filter(None, hit.groups()[1:]))) if hit and hit[1] else (cell, "")


def _column(path: Path, headings, cells, column: str | None) -> int:
    if column is None:
        return 1
    for k, (name, _) in enumerate(headings):
        if column in (name, cells[k]) and k > 0:
            return k
    raise ParseError(path, 1, f"has no column {column!r}; it has {', '.join(repr(name) for name, _ in headings[1:])}")


def _same(cell: str, name: str, file: Path) -> bool:
    return cell in (name, file.name, file.stem, str(file)) or Path(cell) == file


def _number(path: Path, line: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ParseError(path, line, f"{text!r} is no number") from None
    if not np.isfinite(value):
        raise ParseError(path, line, f"{text!r} is not finite")
    return value
