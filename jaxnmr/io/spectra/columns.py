"""Spectra as columns of text: ppm or Hz, real part, and optionally imaginary part and uncertainty."""

import re
from pathlib import Path

import numpy as np

from ...errors import ConventionError, DataError, JaxnmrError, ParseError
from ...nmr.records import Spectrum
from ..files import split_lines

_AXES = {
    "ppm": re.compile(r"(x_?)?(ppm|delta|δ|(chemical )?shift)\b|.*[(\[/_ ]ppm\b", re.IGNORECASE),
    "khz": re.compile(r"(x_?)?khz\b|.*[(\[/_ ]khz\b", re.IGNORECASE),
    "hz": re.compile(r"(x_?)?hz\b|.*[(\[/_ ]hz\b", re.IGNORECASE),
}
_IMAGINARY = re.compile(r"im", re.IGNORECASE)
_SIGMA = re.compile(r"sig|σ|esd|s\.?u\b|std|err|unc", re.IGNORECASE)
_NOTE = re.compile(r"#\s*jaxnmr (larmor_hz|isotope):\s*(\S+)\s*$")
_DMFIT_FREQUENCY = re.compile(r"##freq\s+(\S+)", re.IGNORECASE)
_SEPARATOR = re.compile(r"\s*[,;]\s*|\s+")
_APART = re.compile(r"\s*;\s*|\s+")  # separator of numbers with decimal commas
_ALL_COMMAS = re.compile(r"^[+-]?\d+,[+-]?\d+,\d+\s*$", re.MULTILINE | re.ASCII)
_DECIMAL_POINT = re.compile(r"\d\.\d", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+(,\d+)?([eE][+-]?\d+)?", re.ASCII)


def read_spectrum_columns(
    path: str | Path, text: str, *, axis: str | None = None, larmor_hz: float | None = None, isotope: str = ""
) -> Spectrum:
    """Read two or three columns (axis, real, imaginary), or more if a header names them.

    Columns are separated by blanks, tabs, commas or semicolons; decimal commas are understood if blanks, tabs or
    semicolons separate the columns. A header line names the columns, such as
    ``ppm,real,imag,sigma`` or ``frequency_hz,real``; the unit of the axis must be given there, or in ``axis``. Lines
    starting with ``#``, ``!``, ``;`` or ``%`` are comments.

    Args:
        path: for error messages.
        text: the file.
        axis: ``"ppm"``, ``"hz"`` or ``"khz"``; overrides the header.
        larmor_hz: frequency of 0 ppm; files written by jaxnmr or DMFit contain it.
        isotope: such as ``"29Si"``.

    Raises:
        ParseError: no numbers, text among them, a changing number of columns, or data that do not form a spectrum.
        ConventionError: unknown unit of the axis, or no Larmor frequency.
    """
    path = Path(path)
    if axis is not None and axis.lower() not in _AXES:
        raise ConventionError(f"axis is {axis!r}; expected one of {', '.join(_AXES)}")
    titles, rows, notes = _table(path, text)
    if not rows:
        raise ParseError(path, None, "no line of numbers; expected columns: ppm or Hz, real, and optionally imaginary")
    width = len(rows[0][1])
    for line, numbers in rows:
        if len(numbers) != width:
            raise ParseError(path, line, f"{len(numbers)} numbers here and {width} in line {rows[0][0]}; truncated?")
    names = next((n for n in map(_SEPARATOR.split, reversed(titles)) if len(n) == width), [])
    kind = axis.lower() if axis else _unit(names[0] if names else " ".join(titles[-1:]))
    if kind is None and "frequency" in notes:
        kind = "hz"  # DMFit's text files are in Hz
    if kind is None:
        raise ConventionError(f"{path}: nothing says whether the first column is ppm or Hz; give axis='ppm' or 'hz'")
    larmor_hz = larmor_hz or _note(path, notes, "larmor_hz", 1.0) or _note(path, notes, "frequency", 1e6)
    if larmor_hz is None:
        raise ConventionError(f"{path}: nothing says the Larmor frequency; give larmor_hz (Hz)")
    table = np.array([numbers for _, numbers in rows])
    imaginary = next((k for k, name in enumerate(names) if k > 1 and _IMAGINARY.match(name)), None)
    sigma = next((k for k, name in enumerate(names) if k > 1 and _SIGMA.search(name)), None)
    two = bool(titles) and len(titles[-1].split(",")) == 2
    if not names and two and width == 3 and _ALL_COMMAS.search(text) and not _DECIMAL_POINT.search(text):
        raise ParseError(
            path,
            rows[0][0],
            f"3 numbers below the 2 names {titles[-1]!r}: decimal commas between commas? Separate the columns by semicolons, or "
            "name the third",
        )
    if imaginary is None and sigma is None and width == 3:
        imaginary = 2
    if width < 2 or (width > 3 and imaginary is None and sigma is None):
        raise ParseError(path, rows[0][0], f"{width} columns; expected two, three, or a header such as ppm,real,imag")
    values = table[:, 1] if imaginary is None else np.ascontiguousarray(table[:, [1, imaginary]]).view(complex)[:, 0]
    try:
        return Spectrum.create(
            table[:, 0] * {"ppm": 1e-6 * larmor_hz, "khz": 1e3, "hz": 1.0}[kind],
            values,
            None if sigma is None else table[:, sigma],
            larmor_hz=larmor_hz,
            isotope=isotope or notes.get("isotope", (0, ""))[1],
            name=path.name,
        )
    except JaxnmrError as error:
        raise ParseError(path, None, str(error)) from error


def write_spectrum_columns(spectrum: Spectrum, path: str | Path) -> Path:
    """Write columns frequency_hz, real, imag (if complex), sigma (if known); all numbers are reproduced exactly.

    Raises:
        DataError: the file cannot be written.
    """
    path, values = Path(path), np.asarray(spectrum.values)
    columns, names = [np.asarray(spectrum.frequency_hz), values.real], ["frequency_hz", "real"]
    if np.iscomplexobj(values):
        columns, names = [*columns, values.imag], [*names, "imag"]
    if spectrum.sigma is not None:
        columns, names = [*columns, np.broadcast_to(spectrum.sigma, values.shape)], [*names, "sigma"]
    separator = "," if path.suffix.lower() == ".csv" else " "
    lines = [f"# jaxnmr larmor_hz: {spectrum.larmor_hz!r}"]
    lines += [f"# jaxnmr isotope: {spectrum.isotope}"] if spectrum.isotope else []
    lines.append(separator.join(names))
    table = [np.asarray(column, dtype=float).tolist() for column in columns]
    lines += [separator.join(map(repr, row)) for row in zip(*table, strict=True)]
    try:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}") from error
    return path


def _table(path: Path, text: str):
    """Return titles above the numbers, ``[(line, numbers)]``, and notes ``{key: (line, value)}`` from comments."""
    titles: list[str] = []
    rows: list[tuple[int, list[float]]] = []
    notes: dict[str, tuple[int, str]] = {}
    lines = [line.strip() for line in split_lines(text)]
    separator = _APART if _decimal_commas(lines) else _SEPARATOR
    for number, line in enumerate(lines, 1):
        if found := _NOTE.match(line):
            notes[found[1]] = (number, found[2])
        elif found := _DMFIT_FREQUENCY.match(line):
            notes["frequency"] = (number, found[1])
        elif line.startswith(("#", "!", ";", "%")) or not line:
            if not rows and line.strip("#!;% "):
                titles.append(line.strip("#!;% "))
        else:
            try:
                words = separator.split(line.rstrip(",;"))
                if separator is _APART:
                    words = [word.replace(",", ".") for word in words]
                rows.append((number, [float(word) for word in words]))
            except ValueError:
                if rows:
                    raise ParseError(path, number, f"found {line[:40]!r} among the numbers") from None
                titles.append(line)
    return titles, rows, notes


def _decimal_commas(lines: list[str]) -> bool:
    """Return whether the commas of a table are decimal commas.

    That is so if numbers are separated otherwise, there is no decimal point, and no title names as many columns as the
    commas would make.
    """
    found, titles = False, []
    for line in lines:
        if not line or line.startswith(("#", "!", ";", "%")):
            titles.append(line.strip("#!;% "))
            continue
        words = _APART.split(line.rstrip(",;"))
        if len(words) > 1 and all(map(_DECIMAL_COMMA.fullmatch, words)):
            count = len(_SEPARATOR.split(line))
            if "," in line and any(len(_SEPARATOR.split(title)) == count for title in titles if "," in title):
                return False
            found |= "," in line
        elif all(map(_is_number, _SEPARATOR.split(line.rstrip(",;")))):
            return False
        else:
            titles.append(line)
    return found


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _unit(name: str) -> str | None:
    name = name.strip().strip("\"'")
    return next((kind for kind, pattern in _AXES.items() if pattern.match(name)), None)


def _note(path: Path, notes: dict, key: str, factor: float) -> float | None:
    if key not in notes:
        return None
    line, value = notes[key]
    try:
        return factor * float(value)
    except ValueError:
        raise ParseError(path, line, f"{value!r} is no frequency") from None
