"""`read_spectrum`, `read_fid` and `write_spectrum`: NMR data in any supported format."""

from pathlib import Path

from ..._arguments import checked
from ...errors import ConventionError, ParseError, require_kind, require_path
from ...nmr.isotopes import contradict, symbol_of
from ...nmr.isotopes import isotope as isotope_data
from ...nmr.processing import fourier_transform
from ...nmr.records import Fid, Spectrum
from ..files import decode, read_bytes
from .columns import read_spectrum_columns, write_spectrum_columns
from .csdm import from_csdm, read_csdm, to_csdm, write_csdm
from .jcamp import looks_like_jcamp, read_jcamp
from .simpson import looks_like_simpson, read_simpson, write_simpson
from .topspin import is_topspin, read_topspin, read_topspin_fid
from .vendors import is_nmrpipe, is_varian, read_nmrpipe, read_varian, refuse_vendor

SPECTRUM_FORMATS = ("csdm", "simpson", "topspin", "varian", "nmrpipe", "jcamp", "columns")
_WRITTEN = {".csdf": "csdm", ".csdfe": "csdm", ".spe": "simpson", ".fid": "simpson"}
_WRITTEN |= {".csv": "columns", ".txt": "columns", ".dat": "columns"}


@checked
def read_spectrum(
    path: str | Path,
    *,
    format: str | None = None,
    larmor_hz: float | None = None,
    isotope: str = "",
    axis: str | None = None,
    procno: int | None = None,
    variable: int = 0,
) -> Spectrum:
    """Read a one-dimensional NMR spectrum.

    The format is recognised by content: a Bruker TopSpin folder (an experiment, its ``pdata/N``, or ``1r`` in it),
    a Varian/Agilent folder (``fid`` and ``procpar``), CSDM (.csdf, .csdfe), SIMPSON (.spe, .fid), NMRPipe, JCAMP-DX
    (spectra), columns of text (ppm or Hz, real, imaginary; also with decimal commas). A decay is Fourier transformed,
    corrected for the delay of a digital filter, and otherwise unprocessed: see `read_fid` and
    `jaxnmr.nmr.processing.process` for further processing.

    Args:
        path: file, or TopSpin or Varian folder.
        format: one of ``SPECTRUM_FORMATS``, to override the recognition.
        larmor_hz: frequency of 0 ppm in Hz (not MHz); for formats that do not contain it, or to replace it. TopSpin
            data have their own.
        isotope: such as ``"29Si"``, for files that do not state it; one that contradicts the file is refused.
        axis: ``"ppm"``, ``"hz"`` or ``"khz"``: the first column of text files without a header.
        procno: number N of ``pdata/N`` in a TopSpin experiment.
        variable: index of the dependent variable of a CSDM file.

    Returns:
        The spectrum, on an axis of increasing shift; complex if the file has both parts.

    Raises:
        ParseError: the file cannot be read (which file, which line, how to fix it).
        ConventionError: an unknown format, axis or isotope, or no Larmor frequency.

    Example:
        >>> read_spectrum("quartz_29Si.csdf")  # doctest: +SKIP
    """
    nucleus = isotope_data(isotope).symbol if isotope else ""
    found = _read(path, format, larmor_hz, nucleus, axis, procno, variable, decay=False)
    return fourier_transform(found) if isinstance(found, Fid) else found


@checked
def read_fid(
    path: str | Path,
    *,
    format: str | None = None,
    larmor_hz: float | None = None,
    isotope: str = "",
    procno: int | None = None,
    variable: int = 0,
) -> Fid:
    """Read a free induction decay: TopSpin or Varian ``fid``, SIMPSON .fid, NMRPipe, or CSDM with a time axis.

    Arguments and errors are those of `read_spectrum`.

    Raises:
        ParseError: the file cannot be read, or contains a spectrum.
    """
    nucleus = isotope_data(isotope).symbol if isotope else ""
    found = _read(path, format, larmor_hz, nucleus, None, procno, variable, decay=True)
    if not isinstance(found, Fid):
        raise ParseError(path, None, "holds a spectrum, not a decay; use read_spectrum")
    return found


def write_spectrum(spectrum: Spectrum | Fid, path: str | Path, *, format: str | None = None) -> Path:
    """Write a spectrum or a decay.

    Args:
        spectrum: the record to write.
        path: ends in ``.csdf``, ``.csdfe`` (CSDM; preserves everything), ``.spe``, ``.fid`` (SIMPSON; without Larmor
            frequency and uncertainties) or ``.csv``, ``.txt``, ``.dat`` (columns; spectra only).
        format: ``"csdm"``, ``"simpson"`` or ``"columns"``, to override the extension.

    Returns:
        The path. SIMPSON files need the Larmor frequency again when they are read.

    Raises:
        ConventionError: another extension or format, or a record that it cannot store.
        DataError: the file cannot be written.

    Example:
        >>> jn.write_spectrum(spectrum, "al.csv").name
        'al.csv'
        >>> jn.read_spectrum("al.csv", larmor_hz=spectrum.larmor_hz, isotope="27Al").isotope
        '27Al'
    """
    require_path(path, "write_spectrum(spectrum, path)")
    require_kind(spectrum, (Spectrum, Fid), "the spectrum of write_spectrum(spectrum, path)")
    path = Path(path)
    kind = format or _WRITTEN.get(path.suffix.lower())
    if kind not in _WRITTEN.values():
        what = f"format {format!r}" if format else path.suffix or "a file without extension"
        raise ConventionError(f"{path}: cannot write {what}; use {', '.join(_WRITTEN)}")
    if kind == "csdm":
        return write_csdm(to_csdm(spectrum), path)
    if kind == "simpson":
        expected = ".fid" if isinstance(spectrum, Fid) else ".spe"
        if path.suffix.lower() in (".fid", ".spe") and path.suffix.lower() != expected:
            raise ConventionError(f"{path}: a {type(spectrum).__name__} is written as {expected}")
        return write_simpson(spectrum, path)
    if isinstance(spectrum, Fid):
        raise ConventionError(f"{path}: a decay is not written as columns; use .csdf or .fid")
    return write_spectrum_columns(spectrum, path)


def _read(path, format, larmor_hz, isotope, axis, procno, variable, *, decay: bool) -> Spectrum | Fid:
    path = Path(path)
    if format is not None and format not in SPECTRUM_FORMATS:
        raise ConventionError(f"format is {format!r}; expected one of {', '.join(SPECTRUM_FORMATS)}")
    if larmor_hz is not None and (isinstance(larmor_hz, str) or not 1e4 < larmor_hz < 1e11):
        raise ConventionError(f"larmor_hz is {larmor_hz!r}; expected the frequency of 0 ppm in Hz (not MHz)")
    if format == "varian" or (format is None and is_varian(path)):
        found: Spectrum | Fid = read_varian(path, larmor_hz=larmor_hz)
    elif format == "topspin" or (format is None and is_topspin(path)):
        if larmor_hz is not None:
            raise ConventionError(f"{path}: TopSpin data know their Larmor frequency; leave larmor_hz out")
        wanted = decay or path.name in ("fid", "acqus") or (path.is_dir() and not _processed(path))
        found = read_topspin_fid(path, procno=procno) if wanted else read_topspin(path, procno=procno)
    elif path.is_dir():
        raise ParseError(
            path, None, "no TopSpin experiment in this folder (no acqus, procs or pdata), and no Varian one (procpar)"
        )
    else:
        data = read_bytes(path)
        refuse_vendor(path, data)
        if format == "nmrpipe" or (format is None and is_nmrpipe(data)):
            return _named(path, read_nmrpipe(path, larmor_hz=larmor_hz), isotope)
        text = decode(path, data, "a TopSpin folder, CSDM, SIMPSON, JCAMP-DX or columns of text")
        if format == "csdm" or (format is None and text.lstrip().startswith("{")):
            found = from_csdm(path, read_csdm(path), variable=variable, larmor_hz=larmor_hz)
        elif format == "simpson" or (format is None and looks_like_simpson(text)):
            found = read_simpson(path, text, larmor_hz=larmor_hz)
        elif format == "jcamp" or (format is None and looks_like_jcamp(text)):
            found = read_jcamp(path, text, axis=axis, larmor_hz=larmor_hz)
        else:
            found = read_spectrum_columns(path, text, axis=axis, larmor_hz=larmor_hz)
    return _named(path, found, isotope)


def _named(path: Path, found: Spectrum | Fid, isotope: str) -> Spectrum | Fid:
    """Set the given isotope, unless it contradicts the file."""
    if contradict(isotope, found.isotope):
        raise ConventionError(
            f"{path.name} says that it shows {found.isotope}, isotope is {isotope!r}: correct it, or leave it out"
        )
    return found.replace(isotope=symbol_of(isotope)) if isotope else found


def _processed(folder: Path) -> bool:
    """Return whether a TopSpin folder contains processed data, or is itself a folder of processed data."""
    return any((folder / name).exists() for name in ("1r", "procs", "2rr")) or any(folder.glob("pdata/*/1r"))
