"""Rigaku patterns: ``.ras`` (text) and ``.rasx`` (a zip archive of text and XML), which share one header."""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ...diffraction.records import Instrument
from ...errors import ConventionError, ParseError
from ..files import split_lines
from .archive import Archive, choose
from .measured import Measured

_KEY = re.compile(r'^\*([A-Z][\w-]*)\s*"?(.*?)"?\s*$')
_PROFILE = re.compile(r"^Data(\d+)/Profile(\d+)\.txt$")
# elements in the XML of .rasx for the header entries of .ras
_ELEMENTS = {
    "MEAS_SCAN_AXIS_X": "ScanInformation/AxisName",
    "MEAS_SCAN_STEP": "ScanInformation/Step",
    "MEAS_SCAN_SPEED": "ScanInformation/Speed",
    "MEAS_SCAN_SPEED_UNIT": "ScanInformation/SpeedUnit",
    "MEAS_SCAN_UNIT_X": "ScanInformation/PositionUnit",
    "MEAS_SCAN_UNIT_Y": "ScanInformation/IntensityUnit",
    "MEAS_DATA_COUNT": "ScanInformation/DataCount",
    "MEAS_COND_OPT_NAME": "HWConfigurations/Optics/Name",
    "MEAS_COND_XG_WAVE_TYPE": "HWConfigurations/XrayGenerator/WaveType",
    "HW_XG_WAVE_LENGTH_ALPHA1": "HWConfigurations/XrayGenerator/WavelengthKalpha1",
    "HW_XG_WAVE_LENGTH_ALPHA2": "HWConfigurations/XrayGenerator/WavelengthKalpha2",
    "HW_XG_WAVE_LENGTH_BETA": "HWConfigurations/XrayGenerator/WavelengthKbeta",
}
_PLACES = ("HW_ATTACHMENT_NAME", "HW_SAMPLE_HOLDER_NAME", "HW_SAMPLE_NAME", "MEAS_COND_OPT_NAME")
_OVER_TWO_THETA = ("2theta", "theta2theta")


def looks_like_ras(text: str) -> bool:
    """Return whether the text has the marks of a ``.ras`` file."""
    return "*RAS_DATA_START" in text or "*RAS_INT_START" in text


def looks_like_rasx(names: Iterable[str]) -> bool:
    """Return whether the members of an archive are those of a ``.rasx`` file."""
    return any(_PROFILE.match(name) for name in names)


def read_ras(path: str | Path, text: str, bank: int | None = None) -> Measured:
    """Read one scan of a ``.ras`` file.

    Each scan has a header (``*KEY "value"`` between ``*RAS_HEADER_START`` and ``*RAS_HEADER_END``) and lines of angle,
    intensity and attenuation between ``*RAS_INT_START`` and ``*RAS_INT_END``. Intensities are as detected: the
    attenuator factor multiplies them and their uncertainties. For counts per second, the time per step is derived from
    the scan speed, if it turns the intensities into integer counts.

    Args:
        path: for error messages.
        text: the file.
        bank: number of the scan (from 1); may be omitted if there is only one.

    Raises:
        ParseError: no scan over 2theta, several without a choice, or a truncated body.
    """
    scans: list[tuple[dict[str, str], list[tuple[int, str]], bool]] = []
    header: dict[str, str] = {}
    body: list[tuple[int, str]] | None = None
    for number, line in enumerate(split_lines(text), 1):
        mark = line.strip()
        if mark == "*RAS_HEADER_START":
            header = {}
        elif mark == "*RAS_INT_START":
            body = []
            scans.append((header, body, False))
        elif mark == "*RAS_INT_END":
            if scans:
                scans[-1] = (*scans[-1][:2], True)
            body = None
        elif body is not None and mark:
            body.append((number, line))
        elif found := _KEY.match(mark):
            header[found[1]] = found[2].strip()
    header, body, ended = scans[choose(path, len(scans), bank, "scan")]
    if not ended:
        raise ParseError(path, None, "the scan ends without *RAS_INT_END; the file is truncated: get it again")
    return _measured(path, header, body)


def read_rasx(path: str | Path, archive: Archive, bank: int | None = None) -> Measured:
    """Read one scan of a ``.rasx`` file: ``Data<k>/Profile<k>.txt`` and ``MesurementConditions<k>.xml`` beside it.

    Args:
        path: for error messages.
        archive: the file.
        bank: number of the scan (from 1); may be omitted if there is only one.

    Raises:
        ParseError: as for `read_ras`.
    """
    profiles = sorted(
        (int(found[1]), int(found[2]), name) for name in archive.names if (found := _PROFILE.match(name)) is not None
    )
    name = profiles[choose(path, len(profiles), bank, "scan")][2]
    text = archive.read(name).decode("utf-8-sig", errors="replace")
    folder = name.rpartition("/")[0]
    conditions = [n for n in archive.names if re.match(rf"{folder}/Mea?surementConditions\d*\.xml$", n)]
    header: dict[str, str] = {}
    if conditions:
        root = archive.xml(conditions[0])
        for key, place in _ELEMENTS.items():
            if (text_of := root.findtext(place)) is not None:
                header[key] = text_of.strip()
        for distance in root.iter("Distance"):
            if (distance.get("From"), distance.get("To")) == ("XrayGenerator", "AttachmentStage"):
                header["HW_GONIOMETER_RADIUS-3"] = distance.get("Value") or ""
        for pair in root.iter("Pair"):
            words = [(element.text or "").strip() for element in pair]
            if len(words) == 2 and words[1]:
                header[words[0].lstrip("*")] = words[1]
    return _measured(path, header, [(n, line) for n, line in enumerate(split_lines(text), 1) if line.strip()])


def _measured(path: str | Path, header: Mapping[str, str], body: list[tuple[int, str]]) -> Measured:
    _check_axis(path, header)
    values = np.ones((len(body), 3))
    for k, (line, text) in enumerate(body):
        words = text.split()
        try:
            if len(words) not in (2, 3):
                raise ValueError
            values[k, : len(words)] = [float(word) for word in words]
        except ValueError:
            raise ParseError(
                path, line, f"{text.strip()[:60]!r}; expected angle, intensity and the factor of the attenuator"
            ) from None
    declared = _number(header, "MEAS_DATA_COUNT")
    if declared is not None and declared > len(body):
        raise ParseError(path, None, f"declares {declared:g} points, and {len(body)} follow; the file is truncated")
    x, y, factor = values.T
    if (factor == 0.0).all():
        factor = np.ones(len(y))  # no attenuator in the beam, or none known
    if not (np.isfinite(factor).all() and (factor > 0).all()):
        k = int(np.argmin(np.where(np.isfinite(factor), factor, -1.0)))
        raise ParseError(path, body[k][0], f"the factor of the attenuator is {factor[k]:g}; expected a positive number")
    rate = header.get("MEAS_SCAN_UNIT_Y", "").lower() in ("cps", "counts/sec", "cts/s")
    attenuated = bool((factor != 1.0).any())
    return Measured(
        x,
        y,
        lines=np.array([line for line, _ in body], dtype=int),
        instrument=_instrument(path, header),
        per_second=rate,
        seconds=_seconds(header, y) if rate else None,
        factor=factor if attenuated else None,
        notes=(f"Intensities were multiplied by the factors of the attenuator, 1 to {factor.max():g}.",) * attenuated,
    )


def _check_axis(path: str | Path, header: Mapping[str, str]) -> None:
    """Refuse scans that are not over 2theta in degrees."""
    stated = header.get("MEAS_SCAN_AXIS_X_INTERNAL") or header.get("MEAS_SCAN_AXIS_X") or ""
    axis = re.sub(r"[^a-z0-9]", "", stated.lower().replace("θ", "theta").replace("two", "2"))
    if axis and not axis.startswith(_OVER_TWO_THETA):
        raise ParseError(path, None, f"the scan is over {stated!r}; expected a powder scan over 2theta")
    unit = header.get("MEAS_SCAN_UNIT_X") or "deg"
    if not unit.lower().startswith("deg"):
        raise ParseError(path, None, f"angles are in {unit!r}; expected degrees")


def _seconds(header: Mapping[str, str], y: np.ndarray) -> float | None:
    """Return the time per step if it gives integer counts; with a line detector the counting time is longer."""
    speed, step = _number(header, "MEAS_SCAN_SPEED"), _number(header, "MEAS_SCAN_STEP")
    unit = header.get("MEAS_SCAN_SPEED_UNIT", "").lower()
    if speed is None or not speed > 0:
        return None
    seconds = speed
    if "deg" in unit or "°" in unit:
        if step is None or not step > 0:
            return None
        seconds = step / speed * (60.0 if "min" in unit else 1.0)
    elif not unit.startswith("s"):
        return None
    counts = y * seconds
    # the numbers in the file and its header are rounded
    return seconds if np.mean(np.abs(counts - np.round(counts)) < 0.02 + 1e-4 * counts) > 0.95 else None


def _instrument(path: str | Path, header: Mapping[str, str]) -> Instrument | None:
    alpha1, alpha2 = (_number(header, f"HW_XG_WAVE_LENGTH_ALPHA{k}") for k in (1, 2))
    if not alpha1:
        return None
    beta = _number(header, "HW_XG_WAVE_LENGTH_BETA")
    kind = header.get("MEAS_COND_XG_WAVE_TYPE", "Ka").lower()
    lines = (
        (beta,) if kind.startswith("kb") and beta else (alpha1,) if kind == "ka1" or not alpha2 else (alpha1, alpha2)
    )
    place = " ".join(header.get(key, "") for key in _PLACES)
    through = re.search(r"capillar|transmission", place, re.IGNORECASE)
    irradiated = header.get("MEAS_COND_IRRADIATION_MODE", "").upper()
    # the distance from the source to the specimen; other distances are those of slits
    radius = _number(header, "HW_GONIOMETER_RADIUS-3")
    try:
        return Instrument(
            wavelengths=lines,
            geometry="debye-scherrer" if through else "bragg-brentano",
            # the measurement was set to a constant irradiated length
            divergence_slit="automatic" if irradiated == "ON" and not through else "fixed",
            radius_mm=radius if radius and 100.0 < radius < 1000.0 else Instrument.radius_mm,
            name=Path(path).name,
        )
    except ConventionError as error:
        raise ParseError(path, None, f"header: {error}") from error


def _number(header: Mapping[str, str], key: str) -> float | None:
    try:
        value = float(header.get(key, ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
