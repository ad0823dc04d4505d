"""Bruker DIFFRAC-plus ``RAW1.01`` files (binary, little-endian)."""

import math
import struct
from pathlib import Path

import numpy as np

from ...diffraction.records import Instrument
from ...errors import ConventionError, ParseError
from .measured import Measured

_FILE_HEADER = 712
_RANGE_HEADER = 304


def looks_like_bruker_raw(data: bytes) -> bool:
    """Whether the file starts with the mark of any Bruker or Siemens RAW version."""
    return data.startswith((b"RAW1.01\x00", b"RAW4.", b"RAW2", b"RAW \x00", b"RAW1.01"))


def read_bruker_raw(path: str | Path, data: bytes, bank: int | None = None) -> Measured:
    """Read one range of a ``RAW1.01`` file.

    Layout: a file header of 712 bytes (number of ranges at 12, goniometer radius in mm at 564, Kα1, Kα2 and their
    ratio at 624), then for each range a header (number of steps at 4, 2theta start at 16, step at 176, kind of
    scan at 196, bytes per point at 252, extra bytes at 256) and one float32 per step.

    Args:
        path: named in errors.
        data: the file.
        bank: number of the range (from 1); may be left out when there is only one.

    Returns:
        Counts at equidistant angles, with the wavelengths of the header. A tube with a Kα1 monochromator writes
        both lines into this header too: give ``wavelength`` when reading.

    Raises:
        ParseError: another RAW version, a truncated file, a scan that is not over 2theta.
    """
    if not data.startswith(b"RAW1.01"):
        version = data[:7].decode("latin-1").strip("\x00 ") or "unknown"
        raise ParseError(
            path,
            None,
            f"Bruker RAW version {version!r}; expected 'RAW1.01': export it as RAW V3 or as two columns (xy)",
        )
    ranges = _at(path, data, 12, "<I")
    offset, found = _FILE_HEADER, []
    for k in range(min(ranges, 10_000)):
        length, steps = _at(path, data, offset, "<2I")
        extra = _at(path, data, offset + 256, "<I")
        width = _at(path, data, offset + 252, "<I")
        if length != _RANGE_HEADER:
            raise ParseError(path, None, f"range {k + 1} has a header of {length} bytes; expected {_RANGE_HEADER}")
        if width != 4:
            raise ParseError(
                path,
                None,
                f"range {k + 1} stores {width} bytes per point; expected 4 (intensities only): export it as xy",
            )
        values = offset + length + extra
        if values + 4 * steps > len(data):
            raise ParseError(
                path,
                None,
                f"range {k + 1} declares {steps} points and the file ends after {max(0, (len(data) - values) // 4)}; "
                "the file is truncated",
            )
        found.append((offset, values, steps))
        offset = values + 4 * steps
    if not found:
        raise ParseError(path, None, "declares no range; expected at least one scan")
    if bank is None and len(found) > 1:
        raise ParseError(path, None, f"holds {len(found)} ranges; choose one with bank=1 ... bank={len(found)}")
    if bank is not None and not 1 <= bank <= len(found):
        raise ParseError(path, None, f"has no range {bank}; it holds {len(found)}")
    header, values, steps = found[(bank or 1) - 1]
    scan = _at(path, data, header + 196, "<I")
    if scan > 2:
        raise ParseError(
            path, None, f"the scan is of kind {scan} (not over 2theta); expected 0 (coupled), 1 or 2 (detector)"
        )
    start, step = _at(path, data, header + 16, "<d"), _at(path, data, header + 176, "<d")
    if not (math.isfinite(start) and math.isfinite(step) and step > 0):
        raise ParseError(path, None, f"2theta starts at {start:g} in steps of {step:g}; expected a positive step")
    y = np.frombuffer(data, dtype="<f4", count=steps, offset=values).astype(float)
    return Measured(start + step * np.arange(steps), y, instrument=_instrument(path, data))


def _instrument(path: str | Path, data: bytes) -> Instrument:
    alpha1, alpha2, _beta, ratio = _at(path, data, 624, "<4d")
    radius = _at(path, data, 564, "<f")
    doublet = math.isfinite(alpha2 + ratio) and alpha2 > 0 and ratio > 0 and alpha2 != alpha1
    try:
        return Instrument(
            wavelengths=(alpha1, alpha2) if doublet else (alpha1,) if alpha1 else (),
            ratio=ratio if doublet else 0.5,
            radius_mm=radius if math.isfinite(radius) and radius > 0 else Instrument.radius_mm,
            name=Path(path).name,
        )
    except ConventionError as error:
        raise ParseError(path, None, f"header: {error}") from error


def _at(path: str | Path, data: bytes, offset: int, kind: str):
    try:
        values = struct.unpack_from(kind, data, offset)
    except struct.error:
        raise ParseError(
            path, None, f"ends after {len(data)} bytes, inside a header (byte {offset} needed); the file is truncated"
        ) from None
    return values[0] if len(values) == 1 else values
