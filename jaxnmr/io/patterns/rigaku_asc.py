"""Rigaku ``.asc`` patterns: ``*KEY = value`` lines, then counts at equidistant angles."""

import math
import re
from pathlib import Path

import numpy as np

from ...diffraction.records import Instrument
from ...errors import ConventionError, ParseError
from ..files import split_lines
from .archive import choose
from .axis import Refusal, axis_of
from .measured import Measured

_KEY = re.compile(r"^\*(\w+)\s*=\s*(.*?)\s*$")


def looks_like_asc(text: str) -> bool:
    """Return whether the text has the marks of an ``.asc`` file: groups with a number of counts."""
    return re.search(r"^\*COUNT\s*=", text, re.MULTILINE) is not None and "*BEGIN" in text


def read_asc(path: str | Path, text: str, bank: int | None = None) -> Measured:
    """Read one group of an ``.asc`` file: start, step and number of counts, followed by the counts separated by commas.

    Args:
        path: for error messages.
        text: the file.
        bank: number of the group (from 1); may be omitted if there is only one.

    Raises:
        ParseError: no group over 2theta, several without a choice, or a number of counts other than declared.
    """
    shared: dict[str, str] = {}
    groups: list[tuple[dict[str, str], list[tuple[int, float]]]] = []
    for number, line in enumerate(split_lines(text), 1):
        if line.startswith("*BEGIN"):
            groups.append((dict(shared), []))
        elif found := _KEY.match(line):
            (groups[-1][0] if groups else shared)[found[1]] = found[2]
        elif groups and line.strip() and not line.startswith(("*", "#")):
            try:
                groups[-1][1].extend((number, float(word)) for word in line.replace(",", " ").split())
            except ValueError:
                raise ParseError(path, number, f"{line.strip()[:60]!r} among the counts; expected numbers") from None
    header, points = groups[choose(path, len(groups), bank, "group")]
    start, step, count = (_number(header.get(key, "")) for key in ("START", "STEP", "COUNT"))
    if not (math.isfinite(start) and step > 0):
        raise ParseError(
            path, None, "the group has no *START and positive *STEP; expected equidistant angles in degrees"
        )
    if count != len(points):
        raise ParseError(
            path,
            None,
            f"the group declares {count:g} counts and {len(points)} follow; the file is truncated or damaged",
        )
    stated = header.get("SCAN_AXIS") or header.get("SCAN_MODE") or "2theta"
    try:
        axis = axis_of(stated)
    except Refusal:
        axis = None
    if axis is None or axis.quantity != "2theta":
        raise ParseError(path, None, f"the scan is over {stated!r}; expected a powder scan over 2theta")
    rate = header.get("YUNIT", "counts").lower() == "cps"
    seconds = _number(header.get("SPEED", "")) if header.get("SPEED_DIM", "").lower().startswith("sec") else math.nan
    return Measured(
        start + step * np.arange(len(points)),
        np.array([value for _, value in points]),
        lines=np.array([number for number, _ in points], dtype=int),
        instrument=_instrument(path, header),
        per_second=rate,
        seconds=seconds if rate and seconds > 0 else None,
    )


def _instrument(path: str | Path, header: dict[str, str]) -> Instrument | None:
    first, second = (_number(header.get(f"WAVE_LENGTH{k}", "")) for k in (1, 2))
    if not first > 0:
        return None
    doublet = second > 0 and "1" not in header.get("XRAY_CHAR", "")
    try:
        return Instrument(wavelengths=(first, second) if doublet else (first,), name=Path(path).name)
    except ConventionError as error:
        raise ParseError(path, None, f"header: {error}") from error


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
