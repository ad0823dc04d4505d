"""SIMPSON text files (.spe, .fid): a header of KEY=value lines, then real and imaginary parts.

A spectrum runs from ``REF - SW/2`` in steps of ``SW/NP``, towards higher frequency and larger shift; REF is the offset
of its centre (point NP/2) from 0 ppm in Hz, 0 if absent. A decay has points 1/SW apart and its carrier at REF. DMFit
writes the same layout with the position of the first point (``X0``, Hz), decreasing frequency and the reference
frequency (``Sf``, MHz); both are supported.
"""

from pathlib import Path

import numpy as np

from ...errors import ConventionError, DataError, JaxnmrError, ParseError
from ...nmr.records import Fid, Spectrum
from ..files import split_lines


def looks_like_simpson(text: str) -> bool:
    """Return whether a text starts like a SIMPSON file."""
    return text.lstrip().startswith("SIMP")


def read_simpson(path: str | Path, text: str, *, larmor_hz: float | None = None, isotope: str = "") -> Spectrum | Fid:
    """Read one spectrum or decay.

    Args:
        path: for error messages.
        text: the file.
        larmor_hz: frequency of 0 ppm, which SIMPSON does not write.
        isotope: such as ``"29Si"``, which SIMPSON does not write.

    Raises:
        ParseError: broken header, missing points, several spectra, two dimensions, or SIMPSON's binary layout.
        ConventionError: no ``larmor_hz``.
    """
    path, lines = Path(path), split_lines(text)
    header: dict[str, tuple[int, str]] = {}
    begin = None
    for number, line in enumerate(lines, 1):
        word = line.strip()
        if word == "DATA":
            begin = number
            break
        key, equals, value = word.partition("=")
        if equals:
            header[key.strip().upper()] = (number, value.strip())
        elif word not in ("", "SIMP"):
            raise ParseError(path, number, f"found {word[:40]!r} in the header; expected KEY=value, then DATA")
    if begin is None:
        raise ParseError(path, len(lines), "no line DATA; the file is truncated, or no SIMPSON file")
    if "FORMAT" in header:
        raise ParseError(path, header["FORMAT"][0], "SIMPSON's binary layout; save with fsave without -binary")
    if "NI" in header or header.get("NELEM", (0, "1"))[1] != "1":
        raise ParseError(path, None, "several spectra (NI or NELEM); only single ones are read")

    def number_of(key: str, default: float | None = None) -> float:
        if key not in header and default is not None:
            return default
        line, value = header.get(key, (None, "missing"))
        try:
            found = float(value)
            if np.isfinite(found):
                return found
        except ValueError:
            pass
        raise ParseError(path, line, f"{key} is {value}; expected a number")

    points, width_hz = number_of("NP"), number_of("SW")
    if points != int(points) or points < 1 or not width_hz > 0:
        raise ParseError(path, header["NP"][0], f"NP {points:g} and SW {width_hz:g} Hz; expected positive numbers")
    values = _values(path, lines, begin, int(points))
    if larmor_hz is None:
        larmor_hz = 1e6 * number_of("SF", 0.0)
        if larmor_hz <= 0:
            raise ConventionError(f"{path}: SIMPSON files do not say the Larmor frequency; give larmor_hz")
    kind = header.get("TYPE", (None, "missing"))
    try:
        if kind[1].upper() == "FID":
            return Fid.create(
                values,
                dwell_s=1.0 / width_hz,
                carrier_hz=number_of("REF", 0.0),
                larmor_hz=larmor_hz,
                isotope=isotope,
                name=path.name,
            )
        if kind[1].upper() == "SPE":
            steps = np.arange(len(values)) * (width_hz / len(values))
            axis = number_of("X0") - steps if "X0" in header else number_of("REF", 0.0) - 0.5 * width_hz + steps
            return Spectrum.create(axis, values, larmor_hz=larmor_hz, isotope=isotope, name=path.name)
    except JaxnmrError as error:
        raise ParseError(path, None, str(error)) from error
    raise ParseError(path, kind[0], f"TYPE is {kind[1]}; expected SPE or FID")


def write_simpson(record: Spectrum | Fid, path: str | Path) -> Path:
    """Write a spectrum or a decay as SIMPSON text; values are reproduced exactly, the axis to within rounding.

    The Larmor frequency, the isotope and uncertainties are lost, as the format cannot store them.

    Raises:
        ConventionError: a decay with a group delay (remove it first).
        DataError: a file that cannot be written.
    """
    path, values = Path(path), np.asarray(record.values, dtype=complex)
    if isinstance(record, Fid):
        if record.group_delay:
            raise ConventionError(f"{record.name}: SIMPSON has no group delay; use remove_digital_filter first")
        width_hz, centre_hz, kind = 1.0 / record.dwell_s, record.carrier_hz, "FID"
    else:
        width_hz = record.step_hz * len(values)
        centre_hz, kind = float(np.asarray(record.frequency_hz)[0]) + 0.5 * width_hz, "SPE"
    lines = ["SIMP", f"NP={len(values)}", f"SW={width_hz!r}", f"REF={centre_hz!r}", f"TYPE={kind}", "DATA"]
    lines += [f"{value.real!r} {value.imag!r}" for value in values.tolist()]
    try:
        path.write_text("\n".join([*lines, "END"]) + "\n", encoding="ascii")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}") from error
    return path


def _values(path: Path, lines: list[str], begin: int, points: int) -> np.ndarray:
    """Return the complex values between DATA (line ``begin``) and END; any number of pairs per line."""
    numbers: list[float] = []
    for number, line in enumerate(lines[begin:], begin + 1):
        if line.strip() == "END":
            break
        try:
            numbers += map(float, line.split())
        except ValueError:
            raise ParseError(path, number, f"found {line.strip()[:40]!r} among the data; expected numbers") from None
    else:
        raise ParseError(path, len(lines), "ends without END; the file is truncated")
    if len(numbers) != 2 * points:
        raise ParseError(path, number, f"{len(numbers)} numbers; NP {points} complex points need {2 * points}")
    return np.array(numbers).view(complex)
