"""Bruker and Siemens RAW files, versions 1 to 4: ``RAW ``, ``RAW2``, ``RAW1.01``, ``RAW4.00`` (binary, little-endian)."""

import math
import re
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...diffraction.records import RADII_MM, Instrument
from ...errors import ConventionError, ParseError
from .archive import choose
from .measured import Measured
from .optics import doubts_of_header

_FILE_HEADER = 712
_RANGE_HEADER = 304
_FIRST_SEGMENT = 61
_SOURCE, _DRIVE = 30, 50
_MOST_RANGES = 10_000
_SLIT_MOVES = (
    "A slit was moved during the scan, and that was not taken into account: if it keeps the irradiated length constant, give "
    "divergence_slit = 'automatic'."
)


@dataclass(frozen=True)
class _Range:
    """Location of the intensities of a range in the file, and its angles in degrees."""

    start: float
    step: float
    steps: int
    at: int
    stride: int
    angles: bool = False
    scan: str = ""
    notes: tuple[str, ...] = ()


def looks_like_bruker_raw(data: bytes) -> bool:
    """Return whether the file starts with the signature of any Bruker or Siemens RAW version."""
    return data.startswith((b"RAW1.01", b"RAW4.", b"RAW2")) or (data.startswith(b"RAW ") and b"\0" in data[:64])


def read_bruker_raw(path: str | Path, data: bytes, bank: int | None = None) -> Measured:
    """Read one range of a RAW file.

    ``RAW ``, present before each range or only before the first: number of steps at 4, step at 12, 2theta start at 24,
    Kα1 and Kα2 at 72, whether another range follows at 152, and a float32 per step from 156 on.

    ``RAW2``: number of ranges at 4, Kα1, Kα2 and their ratio at 190, and from 256 on each range with its header (its length
    at 0, number of steps at 2, step at 12, 2theta start at 16) and a float32 per step.

    ``RAW1.01``: a file header of 712 bytes (number of ranges at 12, goniometer radius in mm at 564, Kα1, Kα2 and their
    ratio at 624), then for each range a header (number of steps at 4, 2theta start at 16, step at 176, type of
    scan at 196, quantities that vary from point to point at 248, bytes per point at 252, extra bytes at 256) and its
    points: a float32, and a float64 for each varying quantity, the first of which is 2theta.

    ``RAW4.00``: segments with a type and a length from byte 61 on (type 30: diameter of the goniometer circle at 24,
    mean Kα, Kα1, Kα2, Kβ and ratio at 72), interspersed with ranges of type 0 or 160 (type of scan at 32, start at 72,
    step at 80, number of steps at 88, bytes per point at 136, bytes of its own segments at 140, which follow at 160; a
    drive is of type 50, with a mark at 8 that is 2 for the scanned one, and its name at 12). Points begin with a
    float32.

    Args:
        path: for error messages.
        data: the file.
        bank: number of the range (from 1); may be omitted if there is only one.

    Returns:
        Counts with the wavelengths of the header. For a tube with a Kα1 monochromator the header
        also contains both lines: give ``wavelength`` when reading.

    Raises:
        ParseError: another RAW version, a truncated file, or a scan that is not over 2theta.
    """
    if data.startswith(b"RAW1.01"):
        found, instrument = _ranges_v3(path, data), None
    elif data.startswith(b"RAW4.00"):
        found, instrument = _ranges_v4(path, data)
    elif data.startswith(b"RAW2"):
        found, instrument = _ranges_v2(path, data)
    elif data.startswith(b"RAW "):
        found, instrument = _ranges_v1(path, data)
    else:
        version = data[:7].split(b"\0")[0].decode("latin-1").strip() or "unknown"
        raise ParseError(
            path,
            None,
            f"Bruker RAW version {version!r}; expected 'RAW ', 'RAW2', 'RAW1.01' or 'RAW4.00': export it as two columns (xy)",
        )
    one = found[choose(path, len(found), bank, "range")]
    if not (math.isfinite(one.start) and math.isfinite(one.step) and one.step > 0):
        raise ParseError(
            path, None, f"2theta starts at {one.start:g} in steps of {one.step:g}; expected a positive step"
        )
    points = np.frombuffer(data, dtype="u1", count=one.stride * one.steps, offset=one.at).reshape(one.steps, one.stride)
    y = np.ascontiguousarray(points[:, :4]).view("<f4")[:, 0].astype(float)
    x = one.start + one.step * np.arange(one.steps)
    if one.angles:
        x = np.ascontiguousarray(points[:, 4:12]).view("<f8")[:, 0].astype(float)
    words = b"\n".join(re.findall(rb"[\x20-\x7e]{3,}", data[: found[0].at])).decode("ascii")
    return Measured(
        x, y, instrument=instrument or _instrument(path, data), notes=(*one.notes, *doubts_of_header(words))
    )


def _ranges_v1(path: str | Path, data: bytes) -> tuple[list[_Range], Instrument | None]:
    at, follows, instrument = 0, True, None
    found: list[_Range] = []
    while follows and len(found) < _MOST_RANGES:
        if data[at : at + 4] != b"RAW ":
            at -= 4  # only the first range has the signature
        steps, follows = _at(path, data, at + 4, "<I"), _at(path, data, at + 152, "<I")
        step, start = _at(path, data, at + 12, "<f"), _at(path, data, at + 24, "<f")
        if instrument is None:
            alpha1, alpha2 = _at(path, data, at + 72, "<2f")
            instrument = _described(path, round(alpha1, 6), round(alpha2, 6), 0.5, 0.0)
        found.append(_counted(path, data, _Range(start, step, steps, at + 156, 4), len(found) + 1))
        at += 156 + 4 * steps
    return found, instrument


def _ranges_v2(path: str | Path, data: bytes) -> tuple[list[_Range], Instrument | None]:
    at = 256
    found: list[_Range] = []
    for k in range(_at(path, data, 4, "<H")):
        length, steps = _at(path, data, at, "<2H")
        step, start = _at(path, data, at + 12, "<2f")
        found.append(_counted(path, data, _Range(start, step, steps, at + length, 4), k + 1))
        at += length + 4 * steps
    alpha1, alpha2, ratio = _at(path, data, 190, "<3f")
    return found, _described(path, round(alpha1, 6), round(alpha2, 6), round(ratio, 6), 0.0)


def _counted(path: str | Path, data: bytes, one: _Range, number: int) -> _Range:
    """Return the range after checking that the file contains all its points."""
    if one.at + one.stride * one.steps > len(data):
        raise ParseError(
            path,
            None,
            f"range {number} declares {one.steps} points and the file ends after "
            f"{max(0, (len(data) - one.at) // one.stride)}; the file is truncated",
        )
    return one


def _ranges_v3(path: str | Path, data: bytes) -> list[_Range]:
    ranges = _at(path, data, 12, "<I")
    offset, found = _FILE_HEADER, []
    for k in range(min(ranges, _MOST_RANGES)):
        length, steps = _at(path, data, offset, "<2I")
        varies, width, extra = _at(path, data, offset + 248, "<3I")
        if length != _RANGE_HEADER:
            raise ParseError(path, None, f"range {k + 1} has a header of {length} bytes; expected {_RANGE_HEADER}")
        if width != 4 + 8 * varies.bit_count():
            raise ParseError(
                path,
                None,
                f"range {k + 1} stores {width} bytes per point; expected 4, and 8 for each of {varies.bit_count()} quantities "
                "that vary: export it as xy",
            )
        start, step = _at(path, data, offset + 16, "<d"), _at(path, data, offset + 176, "<d")
        scan = _at(path, data, offset + 196, "<I")
        one = _Range(start, step, steps, offset + length + extra, width, bool(varies & 1), scan=str(scan))
        found.append(_counted(path, data, one, k + 1))
        offset = one.at + width * steps
    if not found:
        raise ParseError(path, None, "declares no range; expected at least one scan")
    for one in found:
        if int(one.scan) > 2:
            raise ParseError(
                path, None, f"the scan is of kind {one.scan} (not over 2theta); expected 0 (coupled), 1 or 2 (detector)"
            )
    return found


def _ranges_v4(path: str | Path, data: bytes) -> tuple[list[_Range], Instrument | None]:
    at, instrument = _FIRST_SEGMENT, None
    found: list[_Range] = []
    while at + 8 <= len(data) and len(found) < _MOST_RANGES:
        kind, length = _at(path, data, at, "<2I")
        if kind in (0, 160):
            one = _range_v4(path, data, at, len(found) + 1)
            found.append(one)
            at = one.at + one.stride * one.steps
            continue
        if kind == _SOURCE and instrument is None:
            instrument = _source_v4(path, data, at)
        at += _length(path, data, at, length)
    return found, instrument


def _range_v4(path: str | Path, data: bytes, at: int, number: int) -> _Range:
    start, step, steps = _at(path, data, at + 72, "<2dI")
    stride, size = _at(path, data, at + 136, "<2I")
    first = at + 160 + size
    if stride < 4:
        raise ParseError(path, None, f"a range stores {stride} bytes per point; expected at least 4: export it as xy")
    one = _counted(path, data, _Range(start, step, steps, first, stride), number)
    scan, drives, segment = _text(data, at + 32, 24), [], at + 160
    while segment + 8 <= first:
        kind, length = _at(path, data, segment, "<2I")
        if kind == _DRIVE:
            drives.append((_at(path, data, segment + 8, "<I"), _text(data, segment + 12, 24)))
        segment += _length(path, data, segment, length)
    if any(mark and "slit" in name.lower() for mark, name in drives):
        one = replace(one, notes=(_SLIT_MOVES,))
        drives = [(mark, name) for mark, name in drives if "slit" not in name.lower()]
    moved = [name for mark, name in drives if mark == 2]
    drive = moved[-1] if moved else ""
    name = (drive or scan).lower().replace(" ", "")
    if not (
        name.startswith(("2theta", "twotheta")) or (not drive and ("coupled" in name or "detector" in name or not name))
    ):
        raise ParseError(
            path, None, f"the scan ({scan}) is over {drive or 'something else'}; expected a powder scan over 2theta"
        )
    return one


def _source_v4(path: str | Path, data: bytes, at: int) -> Instrument | None:
    _mean, alpha1, alpha2, _beta, ratio = _at(path, data, at + 72, "<5d")
    diameter = _at(path, data, at + 24, "<f")
    return _described(path, alpha1, alpha2, ratio, diameter / 2.0)


def _length(path: str | Path, data: bytes, at: int, length: int) -> int:
    if length < 8 or at + length > len(data):
        raise ParseError(
            path, None, f"a segment at byte {at} has {length} bytes, and {len(data) - at} are left; the file is damaged"
        )
    return length


def _text(data: bytes, at: int, length: int) -> str:
    return data[at : at + length].split(b"\x00")[0].decode("latin-1").strip()


def _instrument(path: str | Path, data: bytes) -> Instrument:
    alpha1, alpha2, _beta, ratio = _at(path, data, 624, "<4d")
    return _described(path, alpha1, alpha2, ratio, _at(path, data, 564, "<f"))


def _described(path: str | Path, alpha1: float, alpha2: float, ratio: float, radius: float) -> Instrument:
    doublet = math.isfinite(alpha2 + ratio) and alpha2 > 0 and ratio > 0 and alpha2 != alpha1
    try:
        return Instrument(
            wavelengths=(alpha1, alpha2) if doublet else (alpha1,) if alpha1 else (),
            ratio=ratio if doublet else 0.5,
            radius_mm=radius if RADII_MM[0] <= radius <= RADII_MM[1] else Instrument.radius_mm,
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
