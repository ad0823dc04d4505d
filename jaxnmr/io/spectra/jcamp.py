"""JCAMP-DX spectra (.dx, .jdx): text, packed or not, with its axis in Hz or ppm.

Source: Davies & Lampen (1993), Appl. Spectrosc. 47, 1093 (version 5.00, for NMR); nmrglue unpacks the numbers.
"""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ConventionError, JaxnmrError, ParseError
from ...nmr.records import Spectrum

_START = re.compile(r"\s*(\$\$[^\n]*\n\s*)*##\s*(TITLE|JCAMP-?DX)\s*=", re.IGNORECASE)
_PAIRS = re.compile(
    r"^##\s*XY\s*(?:POINTS|DATA)\s*=\s*\(\s*XY\s*\.\.\s*XY\s*\)(.*?)(?=^##|\Z)", re.M | re.S | re.IGNORECASE
)
_LABEL = re.compile(r"^##([^=\n]*)=[ \t]*(.*)$", re.MULTILINE)
_NUCLEUS = re.compile(r"\^?(\d+)\s*([A-Z][a-z]?)")


def looks_like_jcamp(text: str) -> bool:
    """Return whether a text starts like a JCAMP-DX file."""
    return _START.match(text) is not None and re.search(r"##\s*JCAMP-?DX\s*=", text, re.IGNORECASE) is not None


def read_jcamp(path: str | Path, text: str, *, axis: str | None = None, larmor_hz: float | None = None) -> Spectrum:
    """Read the one spectrum of a JCAMP-DX file: XYDATA or pairs (real), or NTUPLES with a real and an imaginary page.

    An axis in Hz is referenced by ``$OFFSET`` (Bruker) or ``.SHIFT REFERENCE``, else used unchanged.

    Args:
        path: the file.
        text: its content.
        axis: ``"ppm"``, ``"hz"`` or ``"khz"``; replaces XUNITS.
        larmor_hz: frequency of 0 ppm; replaces ``$SF`` or ``.OBSERVE FREQUENCY``.

    Raises:
        ParseError: a decay, no spectrum or several, or numbers that are missing or fail their checks.
        ConventionError: an axis in neither Hz nor ppm, or no Larmor frequency.
    """
    path = Path(path)
    plain = re.sub(r"\$\$.*", "", text)
    if found := _PAIRS.search(plain):  # nmrglue would read these as packed numbers
        labels = {"".join(key.split()).upper(): [value.strip()] for key, value in _LABEL.findall(plain)}
        x, y = _pairs(path, found[1])
        labels |= {"FIRSTX": [repr(float(x[0]))], "LASTX": [repr(float(x[-1]))]}
        data = y
    else:
        labels, data = _unpacked(path)
    if "".join(labels.get("DATATYPE", [""])[0].split()).upper() == "NMRFID":
        raise ParseError(path, None, "a decay in JCAMP-DX; read the spectrometer's own folder, or export the spectrum")
    real, imaginary = data if isinstance(data, list) else (data, None)
    pages = labels.get("DATACLASS", [""])[0].strip().upper() == "NTUPLES"
    if real is None or (pages and imaginary is None):
        raise ParseError(path, None, "NTUPLES without a real and an imaginary page; export the spectrum as XYDATA")
    if imaginary is not None and len(imaginary) != len(real):
        raise ParseError(path, None, f"{len(real)} real and {len(imaginary)} imaginary points; is the file truncated?")

    def entry(key: str) -> str:
        if not pages or key not in ("FIRST", "LAST", "UNITS", "VAR_DIM"):
            key = {"FIRST": "FIRSTX", "LAST": "LASTX", "UNITS": "XUNITS", "VAR_DIM": "NPOINTS"}.get(key, key)
            return labels.get(key, [""])[0].strip()
        symbols = [word.strip().upper() for word in labels.get("SYMBOL", ["X"])[0].split(",")]
        words = labels.get(key, [""])[0].split(",")
        place = symbols.index("X") if "X" in symbols else 0
        return words[place].strip() if place < len(words) else ""

    def number(key: str) -> float | None:
        text = entry(key)
        if not text:
            return None
        try:
            return float(text)
        except ValueError:
            raise ParseError(path, None, f"{key} is {text[:40]!r}; expected a number") from None

    first, last, count = number("FIRST"), number("LAST"), number("VAR_DIM")
    if first is None or last is None:
        raise ParseError(path, None, "FIRSTX or LASTX, the ends of the axis, are missing")
    if count is not None and count != len(real):
        raise ParseError(path, None, f"{len(real)} points, and the file says {count:g}; is it truncated?")
    observed = larmor_hz or 1e6 * (number("$SF") or number(".OBSERVEFREQUENCY") or 0.0)
    if not observed > 0:
        raise ConventionError(f"{path}: no .OBSERVE FREQUENCY in the JCAMP-DX file; give larmor_hz")
    unit, scales = (axis or entry("UNITS")).upper(), {"HZ": 1.0, "KHZ": 1e3, "PPM": 1e-6 * observed}
    if unit not in scales:
        raise ConventionError(f"{path}: an axis in {unit or 'no unit'}; expected HZ or PPM (XUNITS)")
    frequency_hz = scales[unit] * (x if found else np.linspace(first, last, len(real)))
    if unit != "PPM":
        frequency_hz = frequency_hz + _shift(frequency_hz, entry(".SHIFTREFERENCE"), number("$OFFSET"), observed)
    values = real if imaginary is None else real - 1j * np.asarray(imaginary)  # like Bruker's 1r and 1i
    nucleus = _NUCLEUS.fullmatch(entry(".OBSERVENUCLEUS").strip("<>"))
    try:
        return Spectrum.create(
            frequency_hz,
            values,
            larmor_hz=observed,
            isotope="".join(nucleus.groups()) if nucleus else "",
            name=path.name,
        )
    except JaxnmrError as error:
        raise ParseError(path, None, str(error)) from error


def _unpacked(path: Path) -> tuple[dict, Any]:
    """Return labels and data found by nmrglue: an array, or a list of the real and the imaginary one."""
    from nmrglue.fileio import jcampdx  # takes seconds to import

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            labels, data = jcampdx.read(str(path))
        except Exception as error:  # nmrglue has no errors of its own
            raise ParseError(path, None, f"no JCAMP-DX data that nmrglue can read: {error!r}") from error
    if data is None:
        said = "; ".join(str(w.message) for w in caught) or "neither XYDATA nor NTUPLES"
        raise ParseError(path, None, f"no data in the JCAMP-DX file ({said}); export the spectrum as XYDATA")
    if labels.get("_datatype_NMRSPECTRUM"):
        raise ParseError(path, None, "several spectra in one JCAMP-DX file; only single ones are read")
    if any("check" in str(w.message).lower() for w in caught):
        raise ParseError(path, None, f"the JCAMP-DX data contradict themselves: {caught[0].message}")
    return labels, data


def _pairs(path: Path, table: str) -> tuple[np.ndarray, np.ndarray]:
    """Return both columns of a table ``(XY..XY)``; XFACTOR and YFACTOR only apply to packed numbers."""
    words = [word for word in re.split(r"[\s,;]+", table) if word]
    try:
        numbers = np.array(words, dtype=float)
    except ValueError as error:
        raise ParseError(path, None, f"pairs of numbers expected: {error}") from None
    if len(numbers) < 2 or len(numbers) % 2:
        raise ParseError(path, None, f"{len(numbers)} numbers are no pairs; is the file truncated?")
    return numbers[::2], numbers[1::2]


def _shift(axis: np.ndarray, reference: str, offset_ppm: float | None, larmor_hz: float) -> float:
    """Return the offset of an axis in Hz that puts the reference at 0."""
    if offset_ppm is not None:  # of the left edge
        return float(1e-6 * offset_ppm * larmor_hz - axis.max())
    words = [word.strip() for word in reference.strip("()").split(",")]
    try:
        point, ppm = float(words[-2]), float(words[-1])
    except (IndexError, ValueError):
        return 0.0
    if point != int(point) or not 1 <= point <= len(axis):
        return 0.0
    return float(1e-6 * ppm * larmor_hz - axis[int(point) - 1])
