"""`read_pattern` and `write_pattern`: powder patterns in any supported format."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..._arguments import checked
from ...diffraction.records import Instrument, Pattern
from ...errors import ConventionError, DataError, ParseError, require_kind, require_path
from ..files import decode, read_bytes, split_lines
from .archive import Archive
from .brml import looks_like_brml, read_brml
from .bruker_raw import looks_like_bruker_raw, read_bruker_raw
from .columns import read_columns, write_columns
from .gsas import looks_like_gsas, read_gsas, without_control_bytes
from .instruments import read_instrument
from .measured import Measured, in_degrees, to_pattern
from .pdcif import read_pdcif
from .rigaku import looks_like_ras, looks_like_rasx, read_ras, read_rasx
from .rigaku_asc import looks_like_asc, read_asc
from .xrdml import read_xrdml

FORMATS = ("xy", "xye", "csv", "chi", "fullprof", "gsas", "bruker-raw", "brml", "ras", "rasx", "asc", "xrdml", "pdcif")
_EXTENSIONS = {".xrdml": "xrdml", ".cif": "pdcif", ".fxye": "gsas", ".gsa": "gsas", ".gsas": "gsas", ".gss": "gsas"}
_WRITTEN = (".xye", ".xy", ".csv", ".dat", ".txt")


@checked
def read_pattern(
    path: str | Path,
    *,
    format: str | None = None,
    wavelength: float | Sequence[float] | None = None,
    bank: int | None = None,
    instrument: Instrument | str | Path | None = None,
) -> Pattern:
    """Read a constant-wavelength powder pattern.

    The format is recognised by the content, then by the extension: columns of text (xy, xye, csv, chi, FullProf), GSAS
    (STD, ESD, FXYE), Bruker RAW (versions 1 to 4) and brml, Rigaku ras, rasx and asc, PANalytical xrdml, pdCIF. Points
    without counts get sigma = 1 unless the file gives an uncertainty; points with zero weight in the file are excluded.
    Columns over Q, d, 1/d, sin(θ)/λ, θ or radians, if named in a header, are converted to 2theta in degrees.

    Args:
        path: the file.
        format: one of ``FORMATS``, to override the recognition.
        wavelength: in Å, one or two (Kα1, Kα2); replaces that of the file or of ``instrument``. The first is used to
            convert an axis in Q or d.
        bank: bank, range, scan or data block, for files with several.
        instrument: the diffractometer, or its parameter file; replaces the information in the pattern file, except for
            slits and filters that it does not specify.

    Returns:
        The pattern, named after the file; ``pattern.instrument`` is ``None`` if nothing is known about it.

    Raises:
        ParseError: the file cannot be read or contains unusable numbers (file, line, how to fix it).
        ConventionError: an unknown ``format`` or an impossible ``wavelength``.

    Example:
        >>> read_pattern("quartz.xye", wavelength=1.54056)  # doctest: +SKIP
    """
    if format is not None and format not in FORMATS:
        raise ConventionError(f"format is {format!r}; expected one of {', '.join(FORMATS)}")
    data = read_bytes(path)
    if isinstance(instrument, str | Path):
        instrument = read_instrument(instrument)
    if format == "bruker-raw" or (format is None and looks_like_bruker_raw(data)):
        found = read_bruker_raw(path, data, bank)
    elif format in ("brml", "rasx") or (format is None and data.startswith(b"PK")):
        found = _read_archive(path, Archive(path, data), bank)
    else:
        text = decode(path, without_control_bytes(data))
        kind = format or _sniff(path, text)
        if kind == "xrdml":
            found = read_xrdml(path, data, bank)
        elif kind == "gsas":
            found = read_gsas(path, text, bank)
        elif kind == "pdcif":
            found = read_pdcif(path, text, bank)
        elif kind == "ras":
            found = read_ras(path, text, bank)
        elif kind == "asc":
            found = read_asc(path, text, bank)
        else:
            if bank not in (None, 1):
                raise ParseError(path, None, f"columns hold a single pattern, not bank {bank}; leave bank out")
            found = read_columns(path, text)
    known = found.instrument
    if instrument is not None:
        known, doubts = _described(instrument, found.instrument)
        found = replace(found, notes=(*found.notes, *doubts))
    if wavelength is not None:
        known = (known or Instrument(name=Path(path).name)).replace(wavelengths=_wavelengths(wavelength))
    if known is not None and not known.wavelengths and found.instrument is not None and found.axis is not None:
        known = known.replace(wavelengths=found.instrument.wavelengths)
    lengths = known.wavelengths if known is not None else ()
    pattern = to_pattern(path, in_degrees(path, found, lengths[0] if lengths else None))
    return pattern.replace(instrument=known)


def _described(instrument: Instrument, said: Instrument | None) -> tuple[Instrument, tuple[str, ...]]:
    """Complete an instrument with slits and filters from the pattern's file; also return contradictions between the two."""
    if said is None or instrument.geometry != said.geometry:
        return instrument, ()
    instrument = instrument.replace(
        divergence_slit=instrument.divergence_slit or said.divergence_slit, optics=instrument.optics or said.optics
    )
    # in the files of other programs a monochromator is part of the polarization
    plain = instrument.radiation == "xray" and instrument.polarization == 0.5 and instrument.monochromator_deg is None
    if said.monochromator_deg is None or not plain:
        return instrument, ()
    return instrument, (
        f"The instrument {instrument.name} has the polarization 0.5 of a beam without monochromator, and the pattern says that "
        f"there is one: give monochromator_deg = {said.monochromator_deg:.1f} to have it.",
    )


def write_pattern(pattern: Pattern | Sequence, path: str | Path) -> Path:
    """Write a pattern as columns of text.

    Args:
        pattern: a `Pattern`, or ``(x, y)`` or ``(x, y, sigma)``: 2theta in degrees, intensity, uncertainty.
        path: ends in ``.xye``, ``.dat`` or ``.txt`` (three columns), ``.xy`` (two) or ``.csv`` (with a header).

    Returns:
        The path. Reading it gives the same numbers; excluded regions are kept, the instrument is not.

    Raises:
        ConventionError: another extension.
        DataError: arrays that do not form a pattern, or a file that cannot be written.
        ShapeError: arrays of different lengths.

    Example:
        >>> jn.write_pattern(([10.0, 10.1, 10.2], [52.0, 61.0, 57.0]), "short.xy").name
        'short.xy'
    """
    require_path(path, "write_pattern(pattern, path)")
    if not isinstance(pattern, Pattern):
        require_kind(pattern, (Pattern, Sequence, np.ndarray), "the pattern of write_pattern(pattern, path)")
    path = Path(path)
    if path.suffix.lower() not in _WRITTEN:
        raise ConventionError(
            f"{path}: cannot write {path.suffix or 'a file without extension'}; use {', '.join(_WRITTEN)}"
        )
    if not isinstance(pattern, Pattern):
        columns = tuple(pattern)
        if len(columns) not in (2, 3):
            raise DataError(f"{len(columns)} arrays; expected (2theta, intensity) or (2theta, intensity, sigma)")
        pattern = Pattern.create(*columns, name=path.name)
    try:
        write_columns(path, pattern)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be written: {error}") from error
    return path


def _read_archive(path: str | Path, archive: Archive, bank: int | None) -> Measured:
    if looks_like_rasx(archive.names):
        return read_rasx(path, archive, bank)
    if looks_like_brml(archive.names):
        return read_brml(path, archive, bank)
    raise ParseError(
        path,
        None,
        "a zip archive that is neither Rigaku .rasx nor Bruker .brml "
        f"(it begins with {', '.join(archive.names[:3]) or 'nothing'}); unpack it and give the pattern inside",
    )


def _sniff(path: str | Path, text: str) -> str:
    """Recognise the format of a text file, by content and then by extension."""
    start = text.lstrip()
    if start.startswith("<"):
        if "xrdMeasurement" in text:
            return "xrdml"
        raise ParseError(
            path, 1, f"XML or HTML ({start[:40]!r}); expected a powder pattern (of XML formats only xrdml)"
        )
    lines = split_lines(text)
    if looks_like_ras(text):
        return "ras"
    if looks_like_asc(text):
        return "asc"
    if looks_like_gsas(lines):
        return "gsas"
    if re.search(r"^\s*data_\S", text, re.MULTILINE) and re.search(r"^\s*_\w", text, re.MULTILINE):
        return "pdcif"
    if any(re.match(r"INS [ \d]{2}", line) for line in lines):
        raise ParseError(path, None, "a GSAS instrument parameter file, not a pattern; use read_instrument")
    return _EXTENSIONS.get(Path(path).suffix.lower(), "xy")


def _wavelengths(wavelength: float | Sequence[float]) -> tuple[float, ...]:
    try:
        if isinstance(wavelength, str):
            raise TypeError
        values = tuple(wavelength) if hasattr(wavelength, "__iter__") else (wavelength,)
        return tuple(float(value) for value in values)
    except (TypeError, ValueError):
        raise ConventionError(f"wavelength is {wavelength!r}; expected a number in Å, or two (Kα1, Kα2)") from None
