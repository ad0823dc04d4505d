"""Reading and writing spin-echo curves: two files of text, one file of columns, or npz."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import numpy as np

from ..._arguments import checked
from ..._files import write_atomically
from ...errors import DataError, JaxnmrError, ParseError, require_path
from ...nmr.echo.records import Echo
from ..files import decode, read_bytes, split_lines

_SEPARATOR = re.compile(r"\s*[,;]\s*|\s+")
_EXPECTED = "echo curves as numbers: one curve a line in two files, or columns time_us,real,imag"
_COLUMNS = "time_us,real,imag"


@checked
def read_echo(path: str | Path, imaginary: str | Path | None = None) -> Echo:
    """Read echo curves from one file, or from two.

    - Two files, ``read_echo("echos_r.txt", "echos_i.txt")``: real and imaginary parts, one curve per line, numbers
      separated by tabs, blanks or commas (the layout of the ML4SCI NMR challenge). They contain no times.
    - Columns (csv, txt): time in µs, real and imaginary part of one curve, with or without the titles ``time_us,real,imag``.
    - ``npz``: ``curves`` (complex, or ``real`` and ``imag``), ``(curves, points)``, and ``time_us`` if known.

    Args:
        path: the file, or that of the real parts.
        imaginary: the file of imaginary parts.

    Raises:
        ParseError: text that is not a number, lines of different lengths, or an archive without curves; states the
            line.
        DataError, ShapeError: numbers that are not finite, or parts of different sizes.

    Example:
        >>> curve = jn.nmr.echo.Echo([0.5, 0.48 + 0.01j, 0.45 + 0.02j], time=[0.0, 0.4, 0.8])
        >>> path = jn.write_echo(curve, "echo.csv")
        >>> jn.read_echo(path).curves.shape
        (1, 3)
    """
    path = Path(path)
    if imaginary is not None:
        real, imag = _rows(path), _rows(Path(imaginary))
        if real.shape != imag.shape:
            raise ParseError(
                imaginary,
                None,
                f"has {_size(imag)}, and {path.name} has {_size(real)}: expected both parts of the same curves",
            )
        return _echo(path, real + 1j * imag, None)
    data = read_bytes(path)
    if path.suffix.lower() == ".npz" or data.startswith(b"PK\x03\x04"):
        return _from_archive(path, data)
    table = _rows(path, titles=True)
    if table.shape[1] != 3:
        raise ParseError(
            path, None, f"has {table.shape[1]} columns; expected {_COLUMNS}. Of one curve a line give both files, "
            "read_echo(real, imaginary)"
        )  # fmt: skip
    return _echo(path, table[:, 1] + 1j * table[:, 2], table[:, 0])


@checked
def write_echo(echo: Echo, path: str | Path, imaginary: str | Path | None = None) -> Path:
    """Write echo curves in the formats of :func:`read_echo`; all numbers are reproduced exactly.

    Args:
        echo: the curves.
        path: the file; the suffix ``.npz`` selects an archive.
        imaginary: the file of imaginary parts: two files with one curve per line.

    Raises:
        DataError: several curves, or one without times, for a file of columns; or a file that cannot be written.

    Example:
        >>> curve = jn.nmr.echo.Echo([0.5, 0.48 + 0.01j, 0.45 + 0.02j], time=[0.0, 0.4, 0.8])
        >>> jn.write_echo(curve, "echo.npz").name
        'echo.npz'
    """
    require_path(path, "write_echo(echo, path)")
    path = Path(path)
    try:
        if imaginary is not None:
            write_atomically(imaginary, _lines(echo.curves.imag, "\t"))
            return write_atomically(path, _lines(echo.curves.real, "\t"))
        if path.suffix.lower() == ".npz":
            buffer = io.BytesIO()
            if echo.time is None:
                np.savez_compressed(buffer, curves=echo.curves)
            else:
                np.savez_compressed(buffer, curves=echo.curves, time_us=echo.time)
            return write_atomically(path, buffer.getvalue())
        if len(echo) != 1 or echo.time is None:
            raise DataError(
                f"{path}: {len(echo)} curves {'without' if echo.time is None else 'with'} times cannot be columns {_COLUMNS}; write an "
                "npz, or two files, write_echo(echo, real, imaginary)"
            )
        table = np.column_stack([echo.time, echo.curves[0].real, echo.curves[0].imag])
        return write_atomically(path, f"{_COLUMNS}\n{_lines(table, ',')}")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}") from error


def _lines(table: np.ndarray, separator: str) -> str:
    return "".join(separator.join(map(repr, row)) + "\n" for row in table.tolist())


def _rows(path: Path, titles: bool = False) -> np.ndarray:
    """Return numbers ``(lines, columns)``, skipping comments and, if allowed, one line of titles."""
    rows: list[list[float]] = []
    first = 0
    for number, line in enumerate(split_lines(decode(path, read_bytes(path), _EXPECTED)), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        parts = _SEPARATOR.split(text.strip(",;"))
        try:
            row = [float(part) for part in parts]
        except ValueError:
            if titles and not rows and not any(map(_is_number, parts)):
                continue
            bad = next(part for part in parts if not _is_number(part))
            raise ParseError(path, number, f"{bad[:40]!r} is no number; expected {_EXPECTED}") from None
        if rows and len(row) != len(rows[0]):
            raise ParseError(path, number, f"{len(row)} numbers here and {len(rows[0])} in line {first}; truncated?")
        first = first or number
        rows.append(row)
    if not rows:
        raise ParseError(path, None, f"no line of numbers; expected {_EXPECTED}")
    return np.array(rows)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _from_archive(path: Path, data: bytes) -> Echo:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise ParseError(path, None, f"is no npz file of arrays: {error}") from error
    if "curves" in arrays:
        curves = arrays["curves"]
    elif {"real", "imag"} <= arrays.keys():
        curves = arrays["real"] + 1j * arrays["imag"]
    else:
        raise ParseError(
            path, None, f"holds {', '.join(sorted(arrays)) or 'nothing'}; expected curves, or real and imag, and perhaps time_us"
        )  # fmt: skip
    if curves.dtype.kind not in "iufc":
        raise ParseError(path, None, f"curves are of the kind {curves.dtype}; expected numbers")
    return _echo(path, curves, arrays.get("time_us"))


def _echo(path: Path, curves: np.ndarray, time: np.ndarray | None) -> Echo:
    try:
        return Echo(curves, time, path.name)
    except JaxnmrError as error:
        # the message already names the file
        raise type(error)(str(error)) from None


def _size(table: np.ndarray) -> str:
    return f"{table.shape[0]} curves of {table.shape[1]} points"
