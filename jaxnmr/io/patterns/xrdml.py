"""PANalytical / Malvern Panalytical ``.xrdml`` scans (XML, schema 1.x and 2.x)."""

import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ...diffraction.records import Instrument
from ...errors import ConventionError, ParseError
from .measured import Measured
from .uncertainty import counting_sigma


def read_xrdml(path: str | Path, data: bytes, bank: int | None = None) -> Measured:
    """Read one scan of an ``.xrdml`` file.

    ``intensities`` (schema 1.x) already contain the beam attenuation factors, ``counts`` (schema 2.x) do not: these
    are multiplied here. In both, sigma follows from the number of counts that reached the detector. With a counting
    time for every point the intensities are scaled to the mean counting time.

    Args:
        path: named in errors.
        data: the file.
        bank: number of the scan (from 1); may be left out when there is only one.

    Returns:
        The scan, with wavelengths, radius and geometry of the instrument. Kα1 and Kα2 are both given unless an
        incident-beam monochromator passes Kα1 only.

    Raises:
        ParseError: not XML, no scan over 2theta, several scans and no choice, numbers that do not fit.
    """
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise ParseError(path, error.position[0], f"broken XML ({error}); the file is damaged or truncated") from error
    except (ValueError, LookupError) as error:
        raise ParseError(path, 1, f"XML in an unknown encoding ({error}); save it as UTF-8") from error
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
    if root.tag != "xrdMeasurements":
        raise ParseError(path, None, f"the XML root is <{root.tag}>; expected <xrdMeasurements>")
    scans = [(m, s) for m in root.iter("xrdMeasurement") for s in m.iter("scan")]
    if not scans:
        raise ParseError(path, None, "holds no <scan>; the measurement was not run or not saved")
    if bank is None and len(scans) > 1:
        raise ParseError(path, None, f"holds {len(scans)} scans; choose one with bank=1 ... bank={len(scans)}")
    if bank is not None and not 1 <= bank <= len(scans):
        raise ParseError(path, None, f"has no scan {bank}; it holds {len(scans)}")
    measurement, scan = scans[(bank or 1) - 1]
    points = scan.find("dataPoints")
    if points is None:
        raise ParseError(path, None, "the scan has no <dataPoints>; it was not completed")
    y, sigma = _intensities(path, points)
    return Measured(
        _angles(path, scan, points, len(y)), y, sigma, instrument=_instrument(path, measurement), counted=True
    )


def _intensities(path: str | Path, points) -> tuple[np.ndarray, np.ndarray]:
    """Intensities and uncertainties, each ``(points,)``."""
    raw, corrected = points.find("counts"), points.find("intensities")
    element = corrected if corrected is not None else raw
    if element is None:
        raise ParseError(path, None, "the scan has neither <intensities> nor <counts>")
    y = _numbers(path, element)
    if len(y) < 2:
        raise ParseError(path, None, f"<{element.tag}> holds {len(y)} values; expected at least two points")
    factors = _per_point(path, points, "beamAttenuationFactors", "commonBeamAttenuationFactor", len(y))
    times = _per_point(path, points, "countingTimes", "commonCountingTime", len(y))
    unit = element.get("unit", "counts")
    if unit not in ("counts", "cps"):
        raise ParseError(path, None, f"intensities are in {unit!r}; expected counts or cps")
    if unit == "cps" and points.find("countingTimes") is None and points.find("commonCountingTime") is None:
        raise ParseError(path, None, "counts per second without a counting time: no uncertainty follows; export as xye")
    if corrected is None:
        for tag in ("divergenceCorrections", "commonDivergenceCorrection"):
            if points.find(tag) is not None:
                raise ParseError(
                    path, None, f"raw counts with <{tag}>; save the scan with fixed slits, or export it as xy"
                )
        y = y * factors
    to_counts = times if unit == "cps" else np.ones(len(y))
    detected = y * to_counts / factors
    sigma = counting_sigma(np.nan_to_num(detected)) * factors / to_counts
    if unit == "counts":
        scale = times.mean() / times
        y, sigma = y * scale, sigma * scale
    return y, sigma


def _per_point(path: str | Path, points, listed: str, common: str, count: int) -> np.ndarray:
    """``(count,)`` positive values of a list, or of one number for all points; ones when neither is given."""
    for tag in (listed, common):
        if (element := points.find(tag)) is not None:
            values = _numbers(path, element)
            if len(values) not in ((count,) if tag == listed else (1,)):
                raise ParseError(path, None, f"<{tag}> has {len(values)} values for {count} points")
            if not (np.isfinite(values).all() and (values > 0).all()):
                raise ParseError(path, None, f"<{tag}> holds {values.min():g}; expected positive numbers")
            return np.broadcast_to(values, (count,))
    return np.ones(count)


def _angles(path: str | Path, scan, points, count: int) -> np.ndarray:
    """2theta in degrees, ``(count,)``."""
    axes = {p.get("axis"): p for p in points.findall("positions")}
    if "2Theta" not in axes:
        raise ParseError(
            path, None, f"no 2Theta positions among {sorted(map(str, axes)) or 'none'}; expected a powder scan"
        )
    positions = axes["2Theta"]
    listed = positions.find("listPositions")
    if listed is not None:
        x = _numbers(path, listed)
        if len(x) != count:
            raise ParseError(path, None, f"{len(x)} angles for {count} intensities; the file is damaged")
        return x
    start, end = positions.find("startPosition"), positions.find("endPosition")
    if start is None or end is None:
        raise ParseError(
            path, None, f"2Theta does not move (scan axis {scan.get('scanAxis')!r}); expected a scan over 2theta"
        )
    low, high = _numbers(path, start), _numbers(path, end)
    if len(low) != 1 or len(high) != 1 or not math.isfinite(low[0] + high[0]):
        raise ParseError(path, None, "2Theta start and end are not one finite number each; the file is damaged")
    return np.linspace(low[0], high[0], count)


def _instrument(path: str | Path, measurement) -> Instrument | None:
    def number(*tags: str) -> float | None:
        element = measurement
        for tag in tags:
            element = element.find(tag) if element is not None else None
        if element is None or not (element.text or "").strip():
            return None
        values = _numbers(path, element)
        return float(values[0]) if len(values) == 1 and values[0] > 0 else None

    alpha1, alpha2 = number("usedWavelength", "kAlpha1"), number("usedWavelength", "kAlpha2")
    if alpha1 is None:
        return None
    used = measurement.find("usedWavelength")
    second = number("usedWavelength", "ratioKAlpha2KAlpha1")
    filtered = used.get("intended") == "K-Alpha 1" and measurement.find("incidentBeamPath/monochromator") is not None
    wavelengths: tuple[float, ...] = (alpha1,)
    ratio = 0.5
    if alpha2 is not None and second is not None and not filtered:
        wavelengths, ratio = (alpha1, alpha2), second
    radius = number("diffractedBeamPath", "radius") or number("incidentBeamPath", "radius")
    try:
        return Instrument(
            wavelengths=wavelengths,
            ratio=ratio,
            geometry="debye-scherrer" if measurement.get("sampleMode") == "Transmission" else "bragg-brentano",
            radius_mm=radius or Instrument.radius_mm,
            name=Path(path).name,
        )
    except ConventionError as error:
        raise ParseError(path, None, f"instrument: {error}") from error


def _numbers(path: str | Path, element) -> np.ndarray:
    words = (element.text or "").split()
    try:
        return np.array([float(w) for w in words], dtype=float)
    except ValueError:
        bad = next(w for w in words if not _is_float(w))
        raise ParseError(path, None, f"<{element.tag}> holds {bad[:40]!r}; expected numbers") from None


def _is_float(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
