"""Patterns as columns of text: xy, xye, csv, and FullProf's "start step end" layout."""

import contextlib
import re
from pathlib import Path
from typing import Literal

import numpy as np

from ...diffraction.records import Instrument, Pattern
from ...errors import ParseError
from ..files import split_lines
from .axis import Axis, Refusal, axis_of, plain_title, stated_wavelength
from .measured import Measured
from .uncertainty import is_rate, stated_seconds

_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?|nan|inf(?:inity)?)", re.IGNORECASE | re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?", re.ASCII)
_COMMENT = re.compile(r"[#!].*$|^\s*(?:;|//|%).*$")
_EXCLUDED = re.compile(r"^# jaxnmr excluded:\s*(\S+)\s+(\S+)\s*$")
_ROLES = {
    "sigma": re.compile(r"[yi]?_?(sig|σ|esd|e\.s\.d|s\.?u\b|std|err|unc)|d[yi]\b|e\b"),
    "weight": re.compile(r"weight|wt?\b"),
    "y": re.compile(r"[yi]?_?(obs|meas|exp)|intensity\b(?!.*calc)|int\b|counts?\b|y\b|i\b"),
}
_INTENSITY = re.compile(
    r"intens|counts?|\b[gsf]\([qr]\)|impuls|cps|signal|\bint\b|\b[yi]_?(obs|meas|exp|raw|net)?\b|(obs|meas)",
    re.IGNORECASE,
)
_CERTAIN = re.compile(r"theta|q|tof|d[ _-]?spacing|channel", re.IGNORECASE)
_UNIT = re.compile(r"\W*(?:deg\w*|m?rad|(?:1/)?(?:a|nm)|(?:a|nm)\^?-1|counts|cts|cps|arb\W*units?|a\W*u)?\W*")
_LABEL = re.compile(
    r"(?:(?P<x>x)[\s_-]*(?:axis|label|unit|title)|unit|axis|abscissa)\w*\W*[:=]\s*(?P<what>\S.*)", re.IGNORECASE
)


def read_columns(path: str | Path, text: str) -> Measured:
    """Read two columns (2theta, intensity), three (with uncertainty), more when named, or start-step-end.

    Columns are separated by blanks, tabs, commas or semicolons; decimal commas are understood where they cannot
    be separators. ``#`` and ``!`` start comments, as do ``;``, ``//`` and ``%`` at the start of a line; text before
    the first numbers is skipped. When a header names the columns it decides which is which (``weight`` is 1/sigma²,
    and weight 0 means not measured); a third column named otherwise (calculated, background) is not taken for an
    uncertainty. One without a name is, unless it is constant, holds the factors of an attenuator or follows the intensity.
    A header may say that intensities are counts per second, and how long a step took. A first column that the header, or
    the label of a .chi file, calls something else than 2theta in degrees is recognised: what `Axis` holds is converted
    later, all else is refused.

    Args:
        path: named in errors.
        text: the file.

    Raises:
        ParseError: no numbers, text among the numbers, a changing number of columns, unnamed extra columns, an axis
            that does not become 2theta.
    """
    titles, rows, excluded = _table(path, text)
    if not rows:
        shown = next((line.strip() for line in split_lines(text) if line.strip()), "")
        raise ParseError(
            path,
            None,
            f"no line of two or three numbers found (the file starts with {shown[:40]!r}); "
            "expected columns: 2theta (degrees), intensity, and optionally its uncertainty",
        )
    line, first = rows[0]
    if _is_range(first) and any(len(values) != 3 for _, values in rows[1:]):
        return _start_step_end(path, rows)
    for number, values in rows:
        if len(values) != len(first):
            raise ParseError(
                path,
                number,
                f"{len(values)} numbers here and {len(first)} in line {line}; expected the same columns in every line "
                "(a truncated last line?)",
            )
    if len(first) < 2:
        raise ParseError(path, line, "one number per line; expected 2theta and intensity, or a line 'start step end'")
    table = np.array([values for _, values in rows])
    try:
        roles, axis, notes = _roles(titles, len(first))
        axis = axis or _labelled(titles, len(rows))
    except Refusal as error:
        raise ParseError(path, line, str(error)) from None
    if roles is None:
        if len(first) > 3:
            raise ParseError(
                path,
                line,
                f"{len(first)} columns without names; expected two or three, or a header such as "
                "2theta,intensity,sigma (or weight) above them",
            )
        roles = {"x": 0, "y": 1} | ({"third": 2} if len(first) == 3 else {})
    sigma = unmeasured = third = None
    if "sigma" in roles:
        sigma = table[:, roles["sigma"]]
    elif "weight" in roles:
        weight = table[:, roles["weight"]]
        if (bad := ~(np.isfinite(weight) & (weight >= 0))).any():
            k = int(np.flatnonzero(bad)[0])
            raise ParseError(path, rows[k][0], f"weight {weight[k]:g}; expected 1/sigma², or 0 for an unmeasured point")
        unmeasured = weight == 0
        sigma = 1.0 / np.sqrt(np.where(unmeasured, 1.0, weight))
    elif "third" in roles:
        third = table[:, roles["third"]]
    header = "\n".join(titles)
    wavelength, in_metres = stated_wavelength(titles)
    known = wavelength is not None and (in_metres or (axis is not None and not axis.plain))
    return Measured(
        table[:, roles["x"]],
        table[:, roles["y"]],
        sigma,
        lines=np.array([number for number, _ in rows]),
        unmeasured=unmeasured,
        excluded=excluded,
        instrument=_instrument(path, wavelength, in_metres) if known else None,
        third=third,
        per_second=is_rate(header),
        seconds=stated_seconds(header),
        axis=axis,
        notes=notes,
    )


def _instrument(path: str | Path, wavelength: float, in_metres: bool) -> Instrument:
    """Of a stated wavelength; in metres it stands above patterns integrated from images, which are taken in transmission."""
    geometry: Literal["bragg-brentano", "debye-scherrer"] = "debye-scherrer" if in_metres else "bragg-brentano"
    return Instrument(wavelengths=(wavelength,), geometry=geometry, name=Path(path).name)


def write_columns(path: Path, pattern: Pattern) -> None:
    """Write a pattern as text: ``.csv`` with a header, ``.xy`` with two columns, else three columns (xye).

    Numbers are written so that reading them gives the same doubles; excluded regions are kept in comments. The
    instrument is not written.
    """
    columns = [np.asarray(c, dtype=float).tolist() for c in (pattern.x, pattern.y, pattern.sigma)]
    suffix = path.suffix.lower()
    names, separator = ["2theta_deg", "intensity", "sigma"], "," if suffix == ".csv" else " "
    if suffix == ".xy":
        columns, names = columns[:2], names[:2]
    lines = [f"# jaxnmr excluded: {low!r} {high!r}" for low, high in pattern.excluded]
    lines.append(("" if suffix == ".csv" else "# ") + separator.join(names))
    lines += [separator.join(map(repr, row)) for row in zip(*columns, strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _table(path: str | Path, text: str):
    """Titles above the numbers, ``[(line number, numbers)]``, and the excluded regions of our own comments."""
    titles: list[str] = []
    rows: list[tuple[int, list[float]]] = []
    excluded: list[tuple[float, float]] = []
    for number, line in enumerate(split_lines(text), 1):
        if (region := _EXCLUDED.match(line)) and all(map(_NUMBER.fullmatch, region.groups())):
            excluded.append((float(region[1]), float(region[2])))
        words = _words(_COMMENT.sub("", line))
        if not words:
            if not rows and line.strip(" \t#!;/%"):
                titles.append(line.strip(" \t#!;/%"))
            continue
        count = next((k for k, word in enumerate(words) if not _NUMBER.fullmatch(word)), len(words))
        values = [float(word.replace("D", "E").replace("d", "e")) for word in words[:count]]
        if count == len(words) and (count > 1 or rows):
            rows.append((number, values))
        elif not rows and count >= 3 and _is_range(values[:3]):
            rows.append((number, values[:3]))
        elif not rows:
            titles.append(line.strip())
            _check_factors(path, number, words)
        else:
            raise ParseError(
                path,
                number,
                f"found {words[count][:40]!r} among the numbers; expected {len(rows[-1][1])} numbers "
                "(start a comment with #)",
            )
    return titles, rows, tuple(excluded)


def _words(line: str) -> list[str]:
    """The fields of a line; a decimal comma becomes a point."""
    line = line.strip()
    if ";" in line:
        words = [word.strip() for word in line.split(";")]
        if not any("." in word for word in words):
            words = [word.replace(",", ".") if _DECIMAL_COMMA.fullmatch(word) else word for word in words]
    elif "," in line:
        words = line.split()
        decimal = [bool(_DECIMAL_COMMA.fullmatch(word)) for word in words]
        plain = all(d or word.lstrip("+-").isdigit() for d, word in zip(decimal, words, strict=True))
        if len(words) > 1 and any(decimal) and plain:
            words = [word.replace(",", ".") for word in words]
        else:
            words = [word.strip() for word in line.split(",")]
    elif "\t" in line:
        words = [word for part in line.split("\t") for word in (part.split() or [""])]
    else:
        words = line.split()
    while words and not words[-1]:
        words.pop()
    return [word.strip("\"'") for word in words]


def _roles(titles: list[str], width: int) -> tuple[dict[str, int] | None, Axis | None, tuple[str, ...]]:
    """Which column is what, by the titles when one of the last two names angle and intensity; the axis; a doubt to note.

    A row of units may stand below that of the names.
    """
    rows = [_title_fields(title, width) for title in titles[-3:]]
    for k in range(len(rows) - 1, max(len(rows) - 3, -1), -1):
        names = rows[k]
        above = rows[k - 1] if k > 0 else None
        if names is None or (above is not None and all(_UNIT.fullmatch(plain_title(name)) for name in names)):
            continue
        units = rows[k + 1] if k + 1 < len(rows) else None
        column, axis = _angle_column(names, units)
        roles: dict[str, int] = {}
        for other, name in enumerate(names):
            role = next((r for r, pattern in _ROLES.items() if r not in roles and pattern.match(name.lower())), None)
            if role is not None and other != column:
                roles[role] = other
        if column is None:
            if roles.get("y") == 1 and width < 4 and not _INTENSITY.search(names[0]):
                return None, None, (f"The first column is named {names[0]!r}; it was read as 2theta in degrees.",)
            continue
        if "y" in roles:
            return {"x": column} | roles, axis, ()
        if axis is not None and (axis.united or _CERTAIN.fullmatch(names[0])) and width < 4 and column == 0:
            return None, axis, ()
    return None, None, ()


def _angle_column(names: list[str], units: list[str] | None) -> tuple[int | None, Axis | None]:
    """The column of the angles, 2theta before all others, and what it holds.

    Raises:
        Refusal: the only candidate, the first column, is named as something that does not become an angle.
    """
    found: dict[int, Axis] = {}
    refused: Refusal | None = None
    certain = any(_INTENSITY.search(name) for name in names[1:]) or _CERTAIN.fullmatch(names[0])
    for column, name in enumerate(names):
        if _INTENSITY.search(name) or (column > 0 and any(p.match(name.lower()) for p in _ROLES.values())):
            continue
        try:
            axis = axis_of(name)
            if units is not None and axis is not None and not axis.united:
                axis = axis_of(f"{name} ({units[column]})") or axis
        except Refusal as error:
            if units is not None and not error.united:
                try:
                    axis = axis_of(f"{name} ({units[column]})")
                except Refusal:
                    axis = None
                if axis is not None:
                    found[column] = axis
                    continue
            if column == 0 and certain:
                refused = error
            continue
        if axis is not None:
            found[column] = axis
    best = next((c for c, axis in found.items() if axis.quantity == "2theta"), next(iter(found), None))
    if best is None and refused is not None:
        raise refused
    return best, None if best is None else found[best]


def _labelled(titles: list[str], points: int) -> Axis | None:
    """The axis of labels that are no header of columns: fit2d's .chi (title, x label, y label, points) and x-label: Q.

    Raises:
        Refusal: a label of something that does not become an angle.
    """
    if len(titles) >= 4 and titles[-1].split()[:1] == [str(points)]:
        return axis_of(titles[-3])
    # what only looks like a label must be quite clear
    for title in titles:
        label = _LABEL.match(title)
        if label is None:
            continue
        try:
            axis = axis_of(label["what"])
        except Refusal:
            if label["x"]:
                raise
        else:
            if axis is not None and (label["x"] or axis.united):
                return axis
    if len(titles) >= 2 and len(titles[-2].split()) <= 4 and _INTENSITY.match(titles[-1]):
        with contextlib.suppress(Refusal):
            axis = axis_of(titles[-2])
            return axis if axis is not None and axis.united else None
    return None


def _title_fields(title: str, width: int) -> list[str] | None:
    """The names of ``width`` columns in a line, or ``None`` when it cannot be divided into so many."""
    for separator in (";", "\t", ",", "|"):
        if title.count(separator) == width - 1:
            return [name.strip().strip("\"'") for name in title.split(separator)]
    for names in (re.split(r"\s{2,}", title.strip()), title.split(), _words_with_units(title)):
        if len(names) == width and not any(name.startswith(("(", "[")) for name in names):
            return [name.strip(" \"',;") for name in names]
    return None


def _words_with_units(title: str) -> list[str]:
    """The words of a line; a unit in brackets or behind a slash, and theta behind 2, belong to the word before."""
    title = re.sub(r"\s*([(\[][^)\]]*[)\]])", lambda found: found[1].replace(" ", "_"), title)
    title = re.sub(r"\s*/\s*", "/", title)
    title = re.sub(r"(?<!\S)(2|two)\s+(?=th|θ)", r"\1", title, flags=re.IGNORECASE)
    return re.sub(
        r"(?<=\w)\s+(?=(?:space|spacing|vector|transfer|of|flight|angle|number)\b)", "_", title, flags=re.IGNORECASE
    ).split()


def _check_factors(path: str | Path, line: int, words: list[str]) -> None:
    """Refuse FullProf XYDATA files whose ``INTER`` line rescales the axes."""
    if words[0].upper() == "INTER" and len(words) >= 3:
        factors = [float(word) for word in words[1:3] if _NUMBER.fullmatch(word)]
        if any(factor not in (0.0, 1.0) for factor in factors):
            raise ParseError(path, line, f"INTER with factors {factors}; apply them to the columns and set them to 1")


def _is_range(values: list[float]) -> bool:
    """Whether three numbers can be ``start step end``."""
    if len(values) != 3 or not np.isfinite(values).all():
        return False
    start, step, end = values
    return start < end and 0 < step and 2 * step <= end - start


def _start_step_end(path: str | Path, rows: list) -> Measured:
    """FullProf's free format: one line ``start step end``, then intensities, any number per line."""
    (line, (start, step, end)), body = rows[0], rows[1:]
    y = np.array([value for _, values in body for value in values])
    lines = np.array([number for number, values in body for _ in values], dtype=int)
    steps = (end - start) / step
    if abs(len(y) - 1 - steps) > 1.0:
        raise ParseError(
            path,
            line,
            f"start {start:g}, step {step:g} and end {end:g} make {steps + 1:.6g} points, and {len(y)} intensities "
            "follow; the file is truncated, or this is not a 'start step end' line",
        )
    return Measured(start + step * np.arange(len(y)), y, lines=lines)
