"""Bruker TopSpin folders: raw decays (``fid``, ``acqus``), processed spectra (``1r``, ``1i``, ``procs``).

Signs, determined by comparing fid and 1r/1i of measured data: ``exp(+2 pi i f t)`` in the file ``fid`` is a line at
``SFO1 + f``; point k of ``1r`` lies at ``OFFSET - k SW_p/SI``, and jaxnmr's complex spectrum is ``1r - i 1i``.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ConventionError, JaxnmrError, ParseError
from ...nmr.records import Fid, Spectrum
from ..files import read_bytes, split_lines

_ENTRY = re.compile(r"^##\$(\w+)=[ \t]*(.*?)(?=^##|^\$\$|\Z)", re.MULTILINE | re.DOTALL)
_ARRAY = re.compile(r"\(0\.\.(\d+)\)\s*(.*)", re.DOTALL)
_NUCLEUS = re.compile(r"\d+[A-Z][a-z]?")


@dataclass(frozen=True)
class Acquisition:
    """Acquisition parameters of a TopSpin experiment.

    Attributes:
        isotope: observed nucleus, such as ``"19F"``.
        larmor_hz: frequency of 0 ppm: SF of ``procs``, or BF1 if there is none.
        carrier_hz: offset of the carrier (SFO1) from 0 ppm in Hz.
        width_hz: spectral width (SW_h).
        points: complex points recorded (TD/2).
        group_delay: points by which the digital filter delays the signal.
        scans: NS.
        mas_hz: MASR, the nominal spinning rate; it may be outdated, or left over from another experiment.
        pulses_s: P0, P1, ... in seconds.
        delays_s: D0, D1, ... in seconds.
        temperature_k: TE in kelvin, ``None`` if not measured.
        pulse_program: its name.
        parameters: all of ``acqus``, by Bruker's names.
    """

    isotope: str
    larmor_hz: float
    carrier_hz: float
    width_hz: float
    points: int
    group_delay: float
    scans: int
    mas_hz: float
    pulses_s: tuple[float, ...]
    delays_s: tuple[float, ...]
    temperature_k: float | None
    pulse_program: str
    parameters: dict[str, Any] = field(repr=False)


def is_topspin(path: str | Path) -> bool:
    """Return whether a path is an experiment folder, a folder of processed data, or one of the files in them."""
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    inside = path.is_dir() or path.name in ("fid", "1r", "1i", "acqus", "procs", "ser", "2rr")
    return inside and any((folder / name).exists() for name in ("acqus", "procs", "fid", "1r", "pdata", "ser", "2rr"))


def read_topspin(path: str | Path, *, procno: int | None = None) -> Spectrum:
    """Read the processed spectrum ``1r`` (and ``1i``) of a TopSpin folder.

    Args:
        path: experiment folder, ``pdata/N`` folder, or the file ``1r``.
        procno: number N of ``pdata/N`` in an experiment; ``None`` takes 1, or the only one.

    Returns:
        The spectrum, complex if there is a ``1i``; ``larmor_hz`` is SF. Intensities include 2^NC_proc.

    Raises:
        ParseError: a missing, truncated or inconsistent file, with its name.
    """
    folder = _processed_folder(Path(path), procno)
    if (folder / "2rr").exists():
        raise ParseError(folder / "2rr", None, "two-dimensional data; only one-dimensional spectra are read")
    procs = _Parameters(folder / "procs")
    points = procs.integer("SI")
    if procs.integer("STSI", points) not in (0, points):
        raise ParseError(procs.path, None, f"strip transform (STSI {procs['STSI']} of SI {points}); process without")
    dtype = np.dtype("<f8" if procs.integer("DTYPP", 0) == 2 else "<i4")
    dtype = dtype.newbyteorder(">" if procs.integer("BYTORDP", 0) == 1 else "<")
    scale = 2.0 ** procs.number("NC_proc", 0.0)
    values = scale * _binary(folder / "1r", dtype, points, procs)
    if (folder / "1i").exists():
        values = values.astype(complex)
        values.imag = -scale * _binary(folder / "1i", dtype, points, procs)
    larmor_hz = 1e6 * procs.number("SF")
    frequency_hz = procs.number("OFFSET") * 1e-6 * larmor_hz - np.arange(points) * (procs.number("SW_p") / points)
    return _create(
        folder / "1r",
        Spectrum,
        frequency_hz,
        values,
        larmor_hz=larmor_hz,
        isotope=_isotope(procs.text("AXNUC")),
        name=_name(folder),
    )


def read_topspin_fid(path: str | Path, *, procno: int | None = None) -> Fid:
    """Read the decay ``fid`` of a TopSpin experiment.

    0 ppm is the SF of ``procs`` (of ``procno``, as in :func:`read_topspin`), or BF1 if the experiment has no
    processed data. The group delay is GRPDLY, or for old data that of the tables for DSPFVS and DECIM.

    Raises:
        ParseError: a missing, truncated or inconsistent file, with its name.
    """
    folder = _experiment_folder(Path(path))
    acqus = _Parameters(folder / "acqus")
    if not (folder / "fid").exists() and (folder / "ser").exists():
        raise ParseError(folder / "ser", None, "several decays (two-dimensional data); only single decays are read")
    if (mode := acqus.integer("AQ_mod", 3)) not in (1, 3):
        raise ParseError(acqus.path, acqus.line("AQ_mod"), f"AQ_mod {mode}; expected 1 or 3 (simultaneous quadrature)")
    dtype = np.dtype("f8" if acqus.integer("DTYPA", 0) == 2 else "i4")
    dtype = dtype.newbyteorder(">" if acqus.integer("BYTORDA", 0) == 1 else "<")
    facts = read_topspin_acquisition(folder, procno=procno)
    # the file is padded to blocks of 1024 bytes
    values = 2.0 ** acqus.number("NC", 0.0) * _binary(folder / "fid", dtype, 2 * facts.points, acqus, padded=True)
    return _create(
        folder / "fid",
        Fid,
        values.view(complex),
        dwell_s=1.0 / facts.width_hz,
        larmor_hz=facts.larmor_hz,
        carrier_hz=facts.carrier_hz,
        group_delay=facts.group_delay,
        isotope=facts.isotope,
        name=_name(folder),
    )


def read_topspin_acquisition(path: str | Path, *, procno: int | None = None) -> Acquisition:
    """Read the description of the experiment in ``acqus``, in SI units.

    Raises:
        ParseError: a missing or truncated ``acqus``, or a parameter that is missing or not a number.
    """
    folder = _experiment_folder(Path(path))
    acqus = _Parameters(folder / "acqus")
    larmor_hz = 1e6 * acqus.number("BF1")
    if (folder / "pdata").is_dir():
        processed = _processed_folder(folder, procno)
        if (processed / "procs").exists():
            larmor_hz = 1e6 * _Parameters(processed / "procs").number("SF")
    width_hz = acqus.number("SW_h")
    if not width_hz > 0:
        raise ParseError(acqus.path, acqus.line("SW_h"), f"SW_h is {width_hz:g} Hz; expected a positive width")
    return Acquisition(
        isotope=_isotope(acqus.text("NUC1")),
        larmor_hz=larmor_hz,
        carrier_hz=1e6 * acqus.number("SFO1") - larmor_hz,
        width_hz=width_hz,
        points=acqus.integer("TD") // 2,
        group_delay=_group_delay(acqus),
        scans=acqus.integer("NS", 1),
        mas_hz=acqus.number("MASR", 0.0),
        pulses_s=tuple(1e-6 * p for p in acqus.numbers("P")),
        delays_s=acqus.numbers("D"),
        temperature_k=acqus.number("TE", 0.0) or None,  # 0 if the spectrometer did not measure it
        pulse_program=acqus.text("PULPROG"),
        parameters=acqus.values,
    )


def read_topspin_processing(path: str | Path, *, procno: int | None = None) -> dict[str, Any]:
    """Read how TopSpin made ``1r``, as keyword arguments of :func:`jaxnmr.nmr.processing.process`.

    ``process(read_topspin_fid(path), **read_topspin_processing(path))`` is ``1r - i 1i`` up to a factor and the one
    point at the edge of the axis, provided that no baseline correction, linear prediction or the like followed.
    Converted are left shift (NSP), TDeff, window (WDW, LB, GB), SI, FCOR, PHC0, PHC1, and the digital filter (PKNL).
    TopSpin measures phases from the left edge, and with PKNL adds a phase of GRPDLY turns over the width.

    Raises:
        ParseError: missing or truncated files.
        ConventionError: processing not supported by ``process`` (another window, magnitude spectra, reversal,
            linear prediction).
    """
    folder = _processed_folder(Path(path), procno)
    procs = _Parameters(folder / "procs")
    fid = read_topspin_acquisition(folder.parent.parent, procno=procno if procno is not None else int(folder.name))
    unknown = {"FT_mod": (6,), "PH_mod": (0, 1), "ME_mod": (0,), "TDoff": (0,), "STSR": (0,), "REVERSE": ("no",)}
    for key, known in unknown.items():
        if (value := procs.values.get(key, known[0])) not in known:
            raise ConventionError(f"{procs.path}: {key} is {value}; only {known[0]} can be followed")
    start = procs.integer("NSP", 0) // 2
    kept = 0.0 if start else fid.group_delay
    removed = fid.group_delay if procs.text("PKNL") == "yes" else 0.0
    phased = procs.integer("PH_mod", 1) == 1
    # TopSpin's phase counts from the edge at +SW/2, jaxnmr's for the group delay from the carrier: half a width apart
    zero = (-procs.number("PHC0", 0.0) if phased else 0.0) - 180.0 * kept
    first = (procs.number("PHC1", 0.0) if phased else 0.0) + 360.0 * (removed - kept)
    edge_hz = fid.carrier_hz + 0.5 * fid.width_hz
    return {
        "start": start or None,
        "points": min(procs.integer("TDeff", 0) // 2 or fid.points, fid.points - start),
        "size": procs.integer("SI"),
        "first_point": procs.number("FCOR", 0.5),
        "zero_deg": zero % 360.0,
        "first_deg": first,
        "pivot_ppm": 1e6 * edge_hz / fid.larmor_hz,
        **_window(procs, fid),
    }


def _window(procs: "_Parameters", fid: Acquisition) -> dict[str, float]:
    """Return arguments of ``apodize`` for WDW 0 (none), 1 (EM), 2 (GM), and 3, 4 (SINE, QSINE) with SSB 2."""
    kind, width = procs.integer("WDW", 0), procs.number("LB", 0.0)
    if kind == 0:
        return {}
    if kind == 1:
        return {"lorentzian_hz": width}
    if kind == 2 and width < 0 < procs.number("GB"):
        # exp(-a t - b t^2) with a = pi LB, b = -a / (2 GB AQ)
        b = -np.pi * width / (2.0 * procs.number("GB") * fid.points / fid.width_hz)
        return {"lorentzian_hz": width, "gaussian_hz": float(np.sqrt(4.0 * np.log(2.0) * b) / np.pi)}
    if kind in (3, 4) and procs.number("SSB") == 2:
        return {"cosine": kind - 2}
    raise ConventionError(f"{procs.path}: window WDW {kind} with these LB, GB, SSB cannot be followed")


class _Parameters:
    """A JCAMP parameter file (acqus, procs) with access by Bruker's names.

    nmrglue has a reader for these, but it hangs on a truncated file and stops at a blank line.
    """

    def __init__(self, path: Path):
        if not path.exists():
            raise ParseError(path, None, "no such file; it belongs to the TopSpin folder and is needed")
        data = read_bytes(path)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
        text = "\n".join(split_lines(text))
        if not re.search(r"^##END=", text, re.MULTILINE):
            raise ParseError(path, text.count("\n") + 1, "ends without ##END=; the file is truncated")
        self.path, self.text_of_file = path, text
        self.values = {key: _value(raw) for key, raw in _ENTRY.findall(text)}

    def __getitem__(self, key: str) -> Any:
        if key not in self.values:
            raise ParseError(self.path, None, f"{key} is missing; it is needed to read the data")
        return self.values[key]

    def line(self, key: str) -> int | None:
        """Return the line number of a parameter."""
        found = re.search(rf"^##\${key}=", self.text_of_file, re.MULTILINE)
        return self.text_of_file.count("\n", 0, found.start()) + 1 if found else None

    def number(self, key: str, default: float | None = None) -> float:
        value = self[key] if default is None else self.values.get(key, default)
        if not isinstance(value, int | float) or not np.isfinite(value):
            raise ParseError(self.path, self.line(key), f"{key} is {value!r}; expected a number")
        return float(value)

    def integer(self, key: str, default: int | None = None) -> int:
        value = self.number(key, default)
        if value != int(value):
            raise ParseError(self.path, self.line(key), f"{key} is {value:g}; expected a whole number")
        return int(value)

    def numbers(self, key: str) -> tuple[float, ...]:
        value = self.values.get(key, ())
        if not isinstance(value, tuple) or not all(isinstance(v, int | float) for v in value):
            raise ParseError(self.path, self.line(key), f"{key} is {value!r}; expected a list of numbers")
        return tuple(map(float, value))

    def text(self, key: str) -> str:
        return str(self.values.get(key, ""))


def _value(raw: str) -> Any:
    """Parse a parameter: text in angle brackets, an array ``(0..n) ...``, a number, or a word."""
    raw = raw.strip()
    if raw.startswith("<"):
        return raw[1:].rpartition(">")[0]
    if array := _ARRAY.fullmatch(raw):
        return tuple(_value(word) for word in array[2].split())
    for kind in (int, float):
        try:
            return kind(raw)
        except ValueError:
            pass
    return raw


def _binary(path: Path, dtype: np.dtype, count: int, parameters: _Parameters, padded: bool = False) -> np.ndarray:
    """Read ``count`` numbers of a binary file as float64; further ones are accepted only as padding."""
    data = read_bytes(path)
    found = len(data) // dtype.itemsize
    if found < count or (found > count and not padded):
        size = f"{len(data)} bytes hold {found} numbers of {dtype.itemsize} bytes"
        raise ParseError(path, None, f"{size}, and {parameters.path.name} announces {count}; truncated or not its file")
    return np.frombuffer(data, dtype, count).astype(float)


def _group_delay(acqus: _Parameters) -> float:
    """Return the delay of the digital filter in points: GRPDLY, or the tables for older receivers."""
    given, firmware = acqus.number("GRPDLY", -1.0), acqus.integer("DSPFVS", 0)
    if given > 0:
        return given
    if acqus.integer("DIGMOD", 1) == 0:
        return 0.0
    from nmrglue.fileio.bruker import bruker_dsp_table  # takes seconds to import

    decim = acqus.number("DECIM", 1.0)
    if firmware in bruker_dsp_table:
        if decim == 1.0:
            return 0.0
        if decim in bruker_dsp_table[firmware]:
            return float(bruker_dsp_table[firmware][decim])
    elif given == 0:
        return 0.0
    raise ParseError(
        acqus.path,
        acqus.line("DSPFVS"),
        f"no group delay: GRPDLY {given:g}, and no table for DSPFVS {firmware} with DECIM {decim:g}; "
        "convert the data with TopSpin's convdta",
    )


def _experiment_folder(path: Path) -> Path:
    """Return the folder with ``acqus`` for an experiment folder, anything in it, or its processed data."""
    folder = path if path.is_dir() else path.parent
    if not (folder / "acqus").exists() and folder.parent.name == "pdata":
        folder = folder.parent.parent
    if not folder.is_dir():
        raise ParseError(path, None, "no such folder; expected a TopSpin experiment")
    return folder


def _processed_folder(path: Path, procno: int | None) -> Path:
    """Return the ``pdata/N`` folder of an experiment; a folder of processed data is returned itself."""
    folder = path if path.is_dir() else path.parent
    if (folder / "pdata").is_dir():
        found = sorted(
            (p for p in (folder / "pdata").iterdir() if p.is_dir() and p.name.isdigit()), key=lambda p: int(p.name)
        )
        numbers = [int(p.name) for p in found]
        wanted = procno if procno is not None else (1 if 1 in numbers or len(numbers) != 1 else numbers[0])
        if wanted not in numbers:
            listed = ", ".join(map(str, numbers)) or "none"
            raise ParseError(folder / "pdata", None, f"no processed data {wanted} (there are: {listed}); choose procno")
        return found[numbers.index(wanted)]
    if not ((folder / "procs").exists() or (folder / "1r").exists()):
        raise ParseError(path, None, "no pdata folder, procs or 1r here; expected processed TopSpin data")
    return folder


def _isotope(name: str) -> str:
    return name if _NUCLEUS.fullmatch(name) else ""


def _name(folder: Path) -> str:
    """Return ``experiment`` or ``experiment/pdata/N``, independent of the working directory."""
    folder = folder.resolve()
    return "/".join(folder.parts[-3:]) if folder.parent.name == "pdata" else folder.name


def _create(path: Path, record, *args, **kwargs):
    try:
        return record.create(*args, **kwargs)
    except JaxnmrError as error:
        raise ParseError(path, None, str(error)) from error
