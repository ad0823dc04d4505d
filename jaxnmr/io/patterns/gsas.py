"""GSAS powder data files: ``BANK`` records of type STD, ESD, FXYE and FXY, constant wavelength.

Source: Larson & Von Dreele (2004), GSAS, Los Alamos report LAUR 86-748, "Powder diffraction data".
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import ParseError
from ..files import split_lines
from .measured import Measured

_BANK = re.compile(r"^BANK\s*(\d+)\s+(\S.*)$", re.IGNORECASE)
_TIME_OF_FLIGHT = ("SLOG", "RALF", "TIME_MAP", "LOG6", "LPSD")
_BLANKED = bytes(32 if byte < 32 and byte not in b"\t\n\r" else byte for byte in range(256))
_LONGEST_TITLE = 4096
_TYPES = ("STD", "ESD", "FXYE", "FXY")


@dataclass(frozen=True)
class _Bank:
    number: int
    line: int
    points: int
    start: float
    step: float
    kind: str


def looks_like_gsas(lines: list[str]) -> bool:
    """Return whether one of the lines is a ``BANK`` record."""
    return any(_BANK.match(line) for line in lines)


def without_control_bytes(data: bytes) -> bytes:
    """Blank out non-text bytes above the first ``BANK`` record, where titles are 80 bytes of raw memory."""
    found = re.search(rb"^BANK\s*\d", data, re.MULTILINE)
    if found is None or found.start() > _LONGEST_TITLE:
        return data
    return data[: found.start()].translate(_BLANKED) + data[found.start() :]


def read_gsas(path: str | Path, text: str, bank: int | None = None) -> Measured:
    """Read one bank of a GSAS powder data file.

    Args:
        path: for error messages.
        text: the file.
        bank: number of the bank; may be omitted if there is only one.

    Returns:
        STD counts have ``sigma = sqrt(counts / detectors)`` (the count is a mean over the detectors), and zero
        counts that only fill the last record are marked unmeasured. ESD and FXYE provide their own sigma. Angles
        (centidegrees in the file) are in degrees.

    Raises:
        ParseError: no such bank, several banks without a choice, time-of-flight data, or a truncated file.
    """
    lines = split_lines(text)
    found = {k: match for k, line in enumerate(lines) if (match := _BANK.match(line))}
    marks = list(found)
    if not marks:
        raise ParseError(path, None, "no BANK record; expected a GSAS powder data file")
    numbers = [int(match[1]) for match in found.values()]
    listing = ", ".join(map(str, numbers))
    if bank is None:
        if len(marks) > 1:
            raise ParseError(path, None, f"holds banks {listing}; choose one with bank={numbers[0]}")
        chosen = 0
    elif bank in numbers:
        chosen = numbers.index(bank)
    else:
        raise ParseError(path, None, f"has no bank {bank}; it holds {listing}")
    end = marks[chosen + 1] if chosen + 1 < len(marks) else len(lines)
    head = _header(path, marks[chosen] + 1, found[marks[chosen]])
    body = [(k + 1, lines[k]) for k in range(marks[chosen] + 1, end) if lines[k].strip()]
    return {"STD": _read_std, "ESD": _read_esd, "FXYE": _read_free, "FXY": _read_free}[head.kind](path, head, body)


def _header(path: str | Path, line: int, match: re.Match[str]) -> _Bank:
    words = match[2].split()
    names = [k for k, word in enumerate(words) if word[:1].isalpha()]
    try:
        points, binning = int(words[0]), words[names[0]].upper()
        kind = words[names[1]].upper() if len(names) > 1 else "STD"
        numbers = [float(w) for w in words[names[0] + 1 : names[1] if len(names) > 1 else len(words)]]
        number = int(match[1])
    except (ValueError, IndexError):
        raise ParseError(
            path, line, f"{match[0].strip()!r}; expected BANK number points records CONST start step 0 0 type"
        ) from None
    if binning in _TIME_OF_FLIGHT:
        raise ParseError(path, line, f"{binning} is time-of-flight data; only constant-wavelength (CONST) is supported")
    if not binning.startswith("CONS"):
        raise ParseError(path, line, f"binning is {binning!r}; expected CONST (start and step in centidegrees)")
    if kind not in _TYPES:
        raise ParseError(path, line, f"data type is {kind!r}; expected one of {', '.join(_TYPES)}")
    if points < 3:
        raise ParseError(path, line, f"declares {points} points; expected at least 3")
    start, step = numbers[:2] if len(numbers) >= 2 else (math.nan, math.nan)
    if kind in ("STD", "ESD") and not (math.isfinite(start + step) and step > 0):
        raise ParseError(path, line, "no start and positive step; expected CONST start step in centidegrees")
    return _Bank(number, line, points, start, step, kind)


def _records(path: str | Path, head: _Bank, body: list, per_line: int) -> list:
    """Return the lines that contain the declared points, or raise if the file ends before."""
    needed = -(-head.points // per_line)
    if len(body) < needed:
        raise ParseError(
            path,
            head.line,
            f"bank {head.number} declares {head.points} points ({needed} lines of {per_line}), and {len(body)} lines "
            "follow; the file is truncated: get it again, or correct the number of points",
        )
    return body[:needed]


def _angles(head: _Bank) -> np.ndarray:
    return (head.start + head.step * np.arange(head.points)) / 100.0


def _read_std(path: str | Path, head: _Bank, body: list) -> Measured:
    """Read ten fixed fields per line, each with two columns of detectors and six of counts."""
    records = _records(path, head, body, 10)
    counts, detectors, lines = np.empty(head.points), np.ones(head.points), np.empty(head.points, dtype=int)
    given = np.zeros(head.points, dtype=bool)
    for k in range(head.points):
        line, text = records[k // 10]
        field = text[8 * (k % 10) : 8 * (k % 10) + 8]
        lines[k] = line
        try:
            if len(field) < 8:
                raise ValueError
            counts[k] = float(field[2:])
            given[k] = bool(field[:2].strip())
            detectors[k] = max(int(field[:2] or 1), 1) if given[k] else 1
        except ValueError:
            raise ParseError(
                path,
                line,
                f"field {k % 10 + 1} is {field!r}; STD expects ten fields of two columns (detectors) and six (counts), "
                f"point {k + 1} of {head.points}",
            ) from None
    if given.any() and not given.all():
        k = int(np.flatnonzero(given != given[0])[0])
        raise ParseError(
            path,
            int(lines[k]),
            f"field {k % 10 + 1} {'has' if given[k] else 'lacks'} a number of detectors and those before "
            f"{'lack' if given[k] else 'have'} it; a count above 999999 does not fit six columns: write FXYE instead",
        )
    first = 10 * ((head.points - 1) // 10)
    filled = np.flatnonzero(counts[first:])
    padding = np.zeros(head.points, dtype=bool)
    padding[first + (filled[-1] + 1 if len(filled) else 0) :] = True
    sigma = np.sqrt(np.maximum(counts * detectors, 1.0)) / detectors
    return Measured(_angles(head), counts, sigma, lines, padding, counted=True)


def _read_esd(path: str | Path, head: _Bank, body: list) -> Measured:
    """Read five pairs of fixed eight-column fields per line, intensity and its esd."""
    records = _records(path, head, body, 5)
    values, lines = np.empty((head.points, 2)), np.empty(head.points, dtype=int)
    for k in range(head.points):
        line, text = records[k // 5]
        pair = text[16 * (k % 5) : 16 * (k % 5) + 16]
        lines[k] = line
        try:
            if len(pair) < 16:
                raise ValueError
            values[k] = float(pair[:8]), float(pair[8:])
        except ValueError:
            raise ParseError(
                path,
                line,
                f"pair {k % 5 + 1} is {pair!r}; ESD expects five pairs of eight columns (intensity, esd), "
                f"point {k + 1} of {head.points}",
            ) from None
    return Measured(_angles(head), values[:, 0], values[:, 1], lines)


def _read_free(path: str | Path, head: _Bank, body: list) -> Measured:
    """Read one point per line: centidegrees, intensity and (FXYE) esd, including points beyond the declared number."""
    body = [(line, text) for line, text in body if not text.lstrip().startswith("#")]
    columns = 3 if head.kind == "FXYE" else 2
    _records(path, head, body, 1)
    values = np.empty((len(body), columns))
    for k, (line, text) in enumerate(body):
        words = text.split()
        try:
            if len(words) != columns:
                raise ValueError
            values[k] = [float(w) for w in words]
        except ValueError:
            raise ParseError(
                path,
                line,
                f"{text.strip()[:60]!r}; {head.kind} expects {columns} numbers: 2theta in centidegrees, intensity"
                f"{', esd' if columns == 3 else ''}",
            ) from None
    lines = np.array([line for line, _ in body])
    return Measured(values[:, 0] / 100.0, values[:, 1], values[:, 2] if columns == 3 else None, lines)
