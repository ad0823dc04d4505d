"""PANalytical / Malvern Panalytical ``.xrdml`` scans (XML, schema 1.x and 2.x)."""

import math
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ...diffraction.records import RADII_MM, Instrument
from ...errors import ConventionError, ParseError
from .measured import Measured
from .optics import Monochromator, monochromator, monochromator_deg
from .uncertainty import counting_sigma


def read_xrdml(path: str | Path, data: bytes, bank: int | None = None) -> Measured:
    """Read one scan of an ``.xrdml`` file.

    ``intensities`` (schema 1.x) already contain the beam attenuation factors, ``counts`` (schema 2.x) do not and are
    multiplied here. In both cases, sigma follows from the number of detected counts. If the counting time differs from
    point to point, the intensities are scaled to its mean. Counts behind an automatic divergence slit
    are kept (the calculated pattern is corrected); intensities that the file has converted to a fixed slit are
    used as such, with the uncertainties of the original counts.

    Args:
        path: for error messages.
        data: the file.
        bank: number of the scan (from 1); may be omitted if there is only one.

    Returns:
        The scan, with wavelengths, radius, geometry, divergence slit and monochromators of the instrument. Kα1 and Kα2
        are both given unless an incident-beam monochromator passes only Kα1; Kβ alone if it is the intended line.

    Raises:
        ParseError: not XML, no scan over 2theta, several scans without a choice, or inconsistent numbers.
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
    automatic, converted = _automatic_slit(measurement), _converted(points)
    y, sigma = _intensities(path, points, automatic=automatic)
    x = _angles(path, scan, points, len(y))
    instrument, notes = _instrument(path, measurement, automatic=automatic and not converted)
    return Measured(x, y, sigma, instrument=instrument, notes=notes, counted=True)


def _intensities(path: str | Path, points, *, automatic: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return intensities and uncertainties, each ``(points,)``."""
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
    divergence = np.ones(len(y))
    if corrected is not None:
        # like those of the attenuator, these factors are included in the intensities
        divergence = _per_point(path, points, "divergenceCorrections", "commonDivergenceCorrection", len(y))
    else:
        for tag in ("divergenceCorrections", "commonDivergenceCorrection"):
            if points.find(tag) is not None and not automatic:
                raise ParseError(
                    path,
                    None,
                    f"raw counts with <{tag}> and no automatic divergence slit; save the scan with fixed slits, or export "
                    "it as xy",
                )
        y = y * factors
    factors = factors * divergence
    to_counts = times if unit == "cps" else np.ones(len(y))
    detected = y * to_counts / factors
    sigma = counting_sigma(np.nan_to_num(detected)) * factors / to_counts
    if unit == "counts":
        scale = times.mean() / times
        y, sigma = y * scale, sigma * scale
    return y, sigma


def _per_point(path: str | Path, points, listed: str, common: str, count: int) -> np.ndarray:
    """Return ``(count,)`` positive values from a list or from one number for all points; ones if neither is given."""
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
    """Return 2theta in degrees, ``(count,)``."""
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


def _automatic_slit(measurement) -> bool:
    """Return whether the divergence slit irradiates a constant length."""
    for slit in measurement.findall("incidentBeamPath/divergenceSlit"):
        kind = next((value for name, value in slit.attrib.items() if name.rpartition("}")[2] == "type"), "")
        if "automatic" in kind.lower() or (slit.find("irradiatedLength") is not None and slit.find("angle") is None):
            return True
    return False


def _converted(points) -> bool:
    """Return whether intensities behind an automatic slit have been converted to those behind a fixed one."""
    tags = ("divergenceCorrections", "commonDivergenceCorrection")
    return points.find("intensities") is not None and any(points.find(tag) is not None for tag in tags)


def _crystals(measurement) -> list[Monochromator]:
    """Return the monochromators in the incident and the diffracted beam."""
    found = []
    for element in measurement.findall("incidentBeamPath/monochromator") + measurement.findall(
        "diffractedBeamPath/monochromator"
    ):
        crystal = element.find("crystal")
        type_ = None if crystal is None else crystal.get("type") or (crystal.text or "").strip()
        digits = (
            re.findall(r"-?\d", " ".join(element.find(".//hkl").itertext()))
            if element.find(".//hkl") is not None
            else []
        )
        plane = (int(digits[0]), int(digits[1]), int(digits[2])) if len(digits) == 3 and any(map(int, digits)) else None
        found.append(monochromator(element.get("name"), type_, hkl=plane))
    return found


def _filters(measurement) -> list[str]:
    """Return the names of Kβ filters."""
    found = []
    for element in measurement.iter("filter"):
        material = element.find("material")
        name = " ".join(
            filter(None, (element.get("name"), None if material is None else (material.text or "").strip()))
        )
        if re.search(
            r"\b(Ni|Fe|Mn|Zr|Nb|V|Pd|Rh|nickel|iron|manganese|zirconium|niobium|vanadium|palladium|rhodium)\b|beta|β",
            name,
            re.I,
        ):
            found.append(name)
    return found


def _instrument(path: str | Path, measurement, *, automatic: bool) -> tuple[Instrument | None, tuple[str, ...]]:
    """Return the diffractometer, and notes on its optics."""

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
        return None, ()
    used = measurement.find("usedWavelength")
    second = number("usedWavelength", "ratioKAlpha2KAlpha1")
    filtered = used.get("intended") == "K-Alpha 1" and measurement.find("incidentBeamPath/monochromator") is not None
    wavelengths: tuple[float, ...] = (alpha1,)
    ratio = 0.5
    if alpha2 is not None and second is not None and not filtered:
        wavelengths, ratio = (alpha1, alpha2), second
    beta = number("usedWavelength", "kBeta")
    if beta is not None and re.sub(r"[^a-z]", "", (used.get("intended") or "").lower()) in ("kbeta", "kb"):
        wavelengths = (beta,)
    radius = number("diffractedBeamPath", "radius") or number("incidentBeamPath", "radius")
    crystals, filters = _crystals(measurement), _filters(measurement)
    flat = measurement.get("sampleMode") != "Transmission"
    optics = [f"filter {name}" for name in filters] + [f"monochromator {crystal.name}" for crystal in crystals]
    if automatic:
        optics.append("automatic divergence slit")
    if beta is not None and wavelengths[0] == alpha1 and not (filters or crystals):
        optics.append(f"neither filter nor monochromator named: Kβ peaks ({beta:.5g} Å) are not calculated")
    notes = [
        f"The crystal of the monochromator {crystal.name!r} is not known, and its polarization was left out: give "
        "monochromator_deg (26.6 for graphite and Cu Kα)."
        for crystal in crystals
        if crystal.spacing is None
    ]
    try:
        instrument = Instrument(
            wavelengths=wavelengths,
            ratio=ratio if len(wavelengths) == 2 else Instrument.ratio,
            geometry="bragg-brentano" if flat else "debye-scherrer",
            radius_mm=radius if radius and RADII_MM[0] <= radius <= RADII_MM[1] else Instrument.radius_mm,
            monochromator_deg=monochromator_deg(crystals, wavelengths[0]),
            divergence_slit="automatic" if automatic and flat else "fixed",
            optics=tuple(optics),
            name=Path(path).name,
        )
    except ConventionError as error:
        raise ParseError(path, None, f"instrument: {error}") from error
    return instrument, tuple(notes)


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
