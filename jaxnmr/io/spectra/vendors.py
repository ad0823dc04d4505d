"""Varian/Agilent folders and NMRPipe files, unpacked by nmrglue; formats of other vendors are refused by name.

Signs: in NMRPipe ``exp(+2 pi i f t)`` is a line at the carrier + f, as in jaxnmr; Varian decays are the complex
conjugate, consistent with nmrglue's conversion between the two, which was compared with NMRPipe's own.
"""

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ConventionError, JaxnmrError, ParseError
from ...nmr.records import Fid, Spectrum

# zero, then the constants that identify NMRPipe's number format and byte order
_PIPE = tuple(struct.pack(order + "3f", 0.0, 4008636160.0, 2.345) for order in "<>")
_REFUSED = {
    b"JEOL.NMR": ("JEOL Delta", "in Delta, File > Export > JCAMP-DX (.jdx) or ASCII"),
    b"RMN.LEOJ": ("JEOL Delta", "in Delta, File > Export > JCAMP-DX (.jdx) or ASCII"),
    b"TNT1.": ("Tecmag TNMR", "in TNMR, File > Export > ASCII, the transformed spectrum over ppm or Hz"),
    b"UCSF NMR": ("Sparky (UCSF)", "with ucsfdata or nmrPipe, or nmrglue.sparky, the one-dimensional spectrum"),
    b"\x89HDF": ("HDF5", "with the program that wrote it"),
}


def is_varian(path: str | Path) -> bool:
    """Return whether a path is a folder with ``procpar`` and ``fid``, or one of the two."""
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    return (
        (path.is_dir() or path.name in ("fid", "procpar"))
        and (folder / "procpar").exists()
        and not (folder / "acqus").exists()
    )


def is_nmrpipe(data: bytes) -> bool:
    """Return whether bytes start with NMRPipe's header of 512 numbers."""
    return len(data) >= 2048 and data.startswith(_PIPE)


def refuse_vendor(path: Path, data: bytes) -> None:
    """Raise for known formats that are not supported, naming them.

    Raises:
        ParseError: data of JEOL Delta, Tecmag, Sparky or HDF5, with how to export them.
    """
    for magic, (vendor, how) in _REFUSED.items():
        if data.startswith(magic):
            raise ParseError(
                path,
                None,
                f"is a file of {vendor}, which is not read; export the spectrum as JCAMP-DX, CSDM or columns of text ({how})",
            )


def read_varian(path: str | Path, *, larmor_hz: float | None = None) -> Fid:
    """Read the single decay of a Varian/Agilent folder.

    0 ppm is defined by ``rfl`` and ``rfp``, or by ``reffrq`` if these are missing.

    Args:
        path: folder, or the file ``fid`` or ``procpar`` in it.
        larmor_hz: frequency of 0 ppm in Hz, replacing that of the file.

    Raises:
        ParseError: missing, truncated or arrayed data, or parameters that are missing or not numbers.
    """
    from nmrglue.fileio import varian  # takes seconds to import

    path = Path(path)
    folder = path if path.is_dir() else path.parent
    for name in ("fid", "procpar"):
        if not (folder / name).is_file():
            raise ParseError(folder / name, None, "no such file; a Varian folder has fid and procpar")
    head = np.fromfile(folder / "fid", ">i4", 6)
    if len(head) < 6 or (folder / "fid").stat().st_size < 32 + int(head[0]) * int(head[5]):
        raise ParseError(folder / "fid", None, "shorter than its header says; the file is truncated")
    if head[0] * head[1] != 1:
        raise ParseError(folder / "fid", None, f"{head[0] * head[1]} decays (arrayed); only single decays are read")
    parameters = _call(folder / "procpar", varian.read_procpar, str(folder / "procpar"))
    _, values = _call(folder / "fid", varian.read_fid, str(folder / "fid"), as_2d=True)

    def first(name: str) -> str:
        found = parameters.get(name, {}).get("values", [])
        return str(found[0]).strip() if found else ""

    def number(name: str) -> float | None:
        try:
            return float(first(name)) if first(name) else None
        except ValueError:
            raise ParseError(folder / "procpar", None, f"{name} is {first(name)!r}; expected a number") from None

    observed_mhz, width_hz = number("sfrq"), number("sw")
    if not observed_mhz or not width_hz:
        raise ParseError(folder / "procpar", None, "sfrq or sw, the frequency and the width, are missing")
    edge, position, reference_mhz = number("rfl"), number("rfp"), number("reffrq")
    if larmor_hz is None and edge is not None:
        larmor_hz = 1e6 * observed_mhz - (0.5 * width_hz - edge + (position or 0.0))
    if larmor_hz is None:
        if not reference_mhz:
            raise ConventionError(f"{folder}: neither rfl nor reffrq says where 0 ppm is; give larmor_hz")
        larmor_hz = 1e6 * reference_mhz
    name = first("tn")
    letters, digits = name.rstrip("0123456789"), name[len(name.rstrip("0123456789")) :]
    return _create(
        folder,
        Fid,
        np.conj(np.ravel(values)).astype(complex),
        dwell_s=1.0 / width_hz,
        larmor_hz=larmor_hz,
        carrier_hz=1e6 * observed_mhz - larmor_hz,
        isotope=digits + letters if digits and letters.isalpha() else "",
        name=folder.resolve().name,
    )


def read_nmrpipe(path: str | Path, *, larmor_hz: float | None = None) -> Spectrum | Fid:
    """Read a one-dimensional NMRPipe file, spectrum or decay.

    Args:
        path: the file.
        larmor_hz: frequency of 0 ppm in Hz, replacing OBS; shifts remain as in the file.

    Raises:
        ParseError: two dimensions, truncated data, or a header without width or frequency.
    """
    from nmrglue.fileio import pipe  # takes seconds to import

    path = Path(path)
    head = _call(path, lambda name: pipe.fdata2dic(pipe.get_fdata(name)), str(path))
    if head["FDDIMCOUNT"] != 1:
        raise ParseError(path, None, f"{head['FDDIMCOUNT']:g} dimensions; only one-dimensional spectra are read")
    _, values = _call(path, pipe.read, str(path))
    points, width_hz, observed_mhz = int(head["FDSIZE"]), float(head["FDF2SW"]), float(head["FDF2OBS"])
    if values.shape != (points,):
        raise ParseError(path, None, f"{len(values)} points, and the header says {points}; is the file truncated?")
    if not width_hz > 0 or not observed_mhz > 0:
        raise ParseError(path, None, f"SW is {width_hz:g} Hz and OBS {observed_mhz:g} MHz; expected positive numbers")
    reference = larmor_hz or 1e6 * observed_mhz
    scale = reference / (1e6 * observed_mhz)
    facts: dict[str, Any] = dict(larmor_hz=reference, isotope="", name=path.name)
    values = values.astype(complex if np.iscomplexobj(values) else float)
    if head["FDF2FTFLAG"] == 1:
        axis = scale * float(head["FDF2ORIG"]) + width_hz / points * np.arange(points - 1, -1, -1)
        return _create(path, Spectrum, axis, values, **facts)
    if not np.iscomplexobj(values):
        raise ParseError(path, None, "a decay of real numbers; only complex ones (simultaneous quadrature) are read")
    return _create(
        path,
        Fid,
        values,
        dwell_s=1.0 / width_hz,
        carrier_hz=float(head["FDF2CAR"]) * 1e-6 * reference,
        group_delay=max(float(head["FDDMXVAL"]), 0.0),
        **facts,
    )


def _call(path: Path, function, *args, **kwargs):
    """Call nmrglue and convert its failures; it has no errors of its own."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return function(*args, **kwargs)
    except Exception as error:
        raise ParseError(path, None, f"nmrglue cannot read it: {error}") from error


def _create(path: Path, record, *args, **kwargs):
    try:
        return record.create(*args, **kwargs)
    except JaxnmrError as error:
        raise ParseError(path, None, str(error)) from error
