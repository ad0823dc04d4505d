"""Patterns as columns of text: xy, xye, csv, and FullProf's "start step end" layout."""

import re
from pathlib import Path
from typing import Literal

import numpy as np

from ...diffraction.records import Instrument, Pattern
from ...errors import ParseError
from ..files import split_lines
from .axis import Refusal, stated_wavelength
from .headers import labelled_axis, roles_of
from .measured import Measured
from .optics import doubts_of_header
from .uncertainty import is_rate, stated_seconds

_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?|nan|inf(?:inity)?)", re.IGNORECASE | re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?", re.ASCII)
_COMMENT = re.compile(r"[#!].*$|^\s*(?:;|//|%).*$")
_EXCLUDED = re.compile(r"^# jaxnmr excluded:\s*(\S+)\s+(\S+)\s*$")


def read_columns(path: str | Path, text: str) -> Measured:
    """Read two columns (2theta, intensity), three (with uncertainty), more if named, or start-step-end.

    Columns are separated by blanks, tabs, commas or semicolons; decimal commas are understood where they cannot
    be separators. ``#`` and ``!`` start comments, as do ``;``, ``//`` and ``%`` at the start of a line; text before
    the first numbers is skipped. A header that names the columns determines their meaning: ``weight`` is 1/sigma²,
    where weight 0 means not measured; ``variance`` is sigma²; ``error (%)`` is relative to the intensity; factors of an
    ``attenuator`` multiply intensities and uncertainties. A third column with another name (calculated, background) is
    not used as uncertainty. One without a name is, unless it is constant, contains attenuator factors or follows the
    intensity. A header may state that intensities are counts per second, and the time per step. If the header, or the
    label of a .chi file, names the first column as something other than 2theta in degrees, the axes supported by `Axis`
    are converted later, and all others are refused.

    Args:
        path: for error messages.
        text: the file.

    Raises:
        ParseError: no numbers, text among the numbers, a changing number of columns, unnamed extra columns, or an axis
            that cannot be converted to 2theta.
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
        roles, axis, notes = roles_of(titles, len(first))
        axis = axis or labelled_axis(titles, len(rows))
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
    elif "variance" in roles:
        sigma = np.sqrt(np.maximum(table[:, roles["variance"]], 0.0))
    elif "percent" in roles:
        relative = table[:, roles["percent"]]
        # the header says relative but not percent
        if not re.search(r"%|percent|prozent", "\n".join(titles), re.IGNORECASE):
            raise ParseError(path, line, "relative errors without a unit; write 'error (%)', or give sigma")
        sigma = 0.01 * relative * np.abs(table[:, roles["y"]])
    elif "weight" in roles:
        weight = table[:, roles["weight"]]
        if (bad := ~(np.isfinite(weight) & (weight >= 0))).any():
            k = int(np.flatnonzero(bad)[0])
            raise ParseError(path, rows[k][0], f"weight {weight[k]:g}; expected 1/sigma², or 0 for an unmeasured point")
        unmeasured = weight == 0
        sigma = 1.0 / np.sqrt(np.where(unmeasured, 1.0, weight))
    factor = None
    if "factor" in roles:
        factor = table[:, roles["factor"]]
        if (bad := ~(np.isfinite(factor) & (factor > 0))).any():
            k = int(np.flatnonzero(bad)[0])
            raise ParseError(
                path, rows[k][0], f"the factor of the attenuator is {factor[k]:g}; expected a positive number"
            )
        if (factor != 1.0).any():
            notes = (*notes, f"Intensities were multiplied by the factors of the attenuator, up to {factor.max():g}.")
    if "third" in roles:
        third = table[:, roles["third"]]
    header = "\n".join(titles)
    notes = (*notes, *(doubt for doubt in doubts_of_header(header) if factor is None or "attenuator" not in doubt))
    wavelength, in_metres = stated_wavelength(titles)
    used = in_metres or (axis is not None and not axis.plain)
    return Measured(
        table[:, roles["x"]],
        table[:, roles["y"]],
        sigma,
        lines=np.array([number for number, _ in rows]),
        unmeasured=unmeasured,
        excluded=excluded,
        instrument=_instrument(path, wavelength, in_metres) if used and wavelength is not None else None,
        third=third,
        factor=factor,
        per_second=is_rate(header),
        seconds=stated_seconds(header),
        axis=axis,
        notes=notes,
    )


def _instrument(path: str | Path, wavelength: float, in_metres: bool) -> Instrument:
    """Build an instrument from a stated wavelength; in metres it stems from integrated images, measured in transmission."""
    geometry: Literal["bragg-brentano", "debye-scherrer"] = "debye-scherrer" if in_metres else "bragg-brentano"
    return Instrument(wavelengths=(wavelength,), geometry=geometry, name=Path(path).name)


def write_columns(path: Path, pattern: Pattern) -> None:
    """Write a pattern as text: ``.csv`` with a header, ``.xy`` with two columns, else three columns (xye).

    Numbers are written so that reading reproduces the same doubles; excluded regions are kept in comments. The
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
    """Return titles above the numbers, ``[(line number, numbers)]``, and the excluded regions from jaxnmr's comments."""
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
    """Split a line into fields, converting decimal commas to points."""
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


def _check_factors(path: str | Path, line: int, words: list[str]) -> None:
    """Refuse FullProf XYDATA files whose ``INTER`` line rescales the axes."""
    if words[0].upper() == "INTER" and len(words) >= 3:
        factors = [float(word) for word in words[1:3] if _NUMBER.fullmatch(word)]
        if any(factor not in (0.0, 1.0) for factor in factors):
            raise ParseError(path, line, f"INTER with factors {factors}; apply them to the columns and set them to 1")


def _is_range(values: list[float]) -> bool:
    """Return whether three numbers can be ``start step end``."""
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
