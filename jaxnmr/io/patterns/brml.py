"""Bruker ``.brml`` files: a zip archive with one ``RawData*.xml`` per range."""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from ...diffraction.records import RADII_MM, Instrument
from ...errors import ConventionError, ParseError
from .archive import Archive, choose
from .measured import Measured
from .optics import doubts_of_header, monochromator, monochromator_deg

_RAW = re.compile(r"Experiment(\d+)/RawData(\d+)\.xml$")
_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"


def looks_like_brml(names: Iterable[str]) -> bool:
    """Return whether the members of an archive are those of a ``.brml`` file."""
    return any(re.match(r"Experiment\d+/|experimentCollection\.xml$", name) for name in names)


def read_brml(path: str | Path, archive: Archive, bank: int | None = None) -> Measured:
    """Read one range of a ``.brml`` file.

    A range has a measured data route: one ``<Datum>`` per point, whose columns are named by ``<DataViews>``.
    Intensities contain the factor of an automatic absorber, so that their uncertainties are those of the underlying
    counts times the factor. If the counting time changes from point to point, both are scaled to its mean.

    Args:
        path: for error messages.
        archive: the file.
        bank: number of the range (from 1); may be omitted if there is only one.

    Raises:
        ParseError: no scan over 2theta, several without a choice, or data of another kind (frames, external profiles).
    """
    members = sorted((int(f[1]), int(f[2]), name) for name in archive.names if (f := _RAW.search(name)) is not None)
    root = archive.xml(members[choose(path, len(members), bank, "range")][2])
    routes = [route for route in root.iter("DataRoute") if route.find("Datum") is not None]
    if not routes:
        raise ParseError(
            path, None, "the range has no <Datum>: it was not measured, or its data are kept as frames; export it as xy"
        )
    route = next((r for r in routes if r.get("RouteFlag") == "Measured"), routes[0])
    table = _table(path, route)
    columns, axes = _columns(route)
    x = _column(path, table, _two_theta(path, route, columns, axes), "2theta")
    y = _column(path, table, columns["counts"], "counts")
    factor = _positive(path, table, columns.get("AbsorptionFactor"))
    times = _positive(path, table, columns.get("MeasuredTime"))
    planned = (next((e.text for e in route.iter("MeasurementPoints")), None) or "").strip()
    notes: tuple[str, ...] = ()
    if planned.isdigit() and int(planned) > len(table):
        notes += (f"The scan was stopped after {len(table)} of {planned} points.",)
    # counts were written with a few decimals
    detected = y / factor
    detected = np.where(np.abs(detected - np.round(detected)) < 0.02, np.round(detected), detected)
    if (factor != 1.0).any():
        notes += (f"Intensities contain the factors of an absorber, {factor.min():g} to {factor.max():g}.",)
    if times.max() > 1.01 * times.min():
        factor = factor * times.mean() / times
        notes += (f"The counting time runs from {times.min():g} to {times.max():g} s; scaled to its mean.",)
    instrument, doubt = _instrument(path, root)
    instrument, slit = _with_slit(instrument, root, table, columns, x)
    doubt = (*doubt, *slit)
    plain = bool((factor == 1.0).all())
    return Measured(x, detected, factor=None if plain else factor, instrument=instrument, notes=notes + doubt)


def _table(path: str | Path, route: Element) -> np.ndarray:
    """Return the numbers of all points, ``(points, columns)``."""
    rows = [(datum.text or "").split(",") for datum in route.findall("Datum")]
    if len({len(row) for row in rows}) != 1:
        raise ParseError(path, None, "points have different numbers of values; the file is damaged, or holds frames")
    try:
        table = np.array([[float(word) for word in row] for row in rows])
    except ValueError:
        bad = next(row for row in rows if not all(re.fullmatch(r"\s*[-+\d.eE]+\s*", word) for word in row))
        raise ParseError(path, None, f"<Datum> holds {','.join(bad)[:60]!r}; expected numbers") from None
    return table


def _columns(route: Element) -> tuple[dict[str, int], list[str]]:
    """Return columns by name, that of the counts as ``counts``, and the scanned axes."""
    axes = [a.get("AxisId") or a.get("AxisName") or "" for a in route.iter("ScanAxisInfo")]
    columns: dict[str, int] = {}
    for view in route.iter("RawDataView"):
        start = int(view.get("Start") or 0)
        if (name := view.get("LogicName")) is not None:
            columns[name] = start
        for k, field in enumerate(view.iter("FieldDefinitions")):
            columns[field.get("AxisId") or field.get("FieldName") or ""] = start + k
        if view.find("Recording") is not None and "counts" not in columns and view.get("Length", "1") == "1":
            columns["counts"] = start
    if not columns:
        # files of the first versions have no views; their columns are time, absorber, the axes, counts
        columns = {"MeasuredTime": 0, "AbsorptionFactor": 1} | {name: 2 + k for k, name in enumerate(axes)}
        columns["counts"] = 2 + len(axes)
    columns.setdefault("counts", -1)
    return columns, axes


def _two_theta(path: str | Path, route: Element, columns: dict[str, int], axes: list[str]) -> int:
    name = next(
        (n for n in ("TwoTheta", "2Theta", "TwoThetaVirtual") if n in axes or (not axes and n in columns)), None
    )
    if name is None or name not in columns:
        scan = next((s.get("VisibleName") or s.get("ScanName") for s in route.iter("ScanInformation")), None)
        raise ParseError(
            path, None, f"the scan ({scan}) is over {', '.join(axes) or 'nothing'}; expected a powder scan over 2theta"
        )
    return columns[name]


def _column(path: str | Path, table: np.ndarray, column: int, what: str) -> np.ndarray:
    if not -1 <= column < table.shape[1]:
        raise ParseError(
            path, None, f"points have {table.shape[1]} values, and {what} should be number {column + 1}: data of a kind that "
            "is not known here; export them as xy",
        )  # fmt: skip
    return table[:, column]


def _positive(path: str | Path, table: np.ndarray, column: int | None) -> np.ndarray:
    """Return a column of positive numbers, or ones if it is missing or all zero."""
    values = np.ones(len(table)) if column is None else _column(path, table, column, "a factor")
    if (values == 0.0).all():
        return np.ones(len(table))
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise ParseError(
            path, None, f"a counting time or absorption factor is {values.min():g}; expected a positive number"
        )
    return values


def _instrument(path: str | Path, root: Element) -> tuple[Instrument | None, tuple[str, ...]]:
    def number(tag: str) -> float:
        element = next(root.iter(tag), None)
        try:
            return float(element.get("Value") or element.text or "nan") if element is not None else math.nan
        except ValueError:
            return math.nan

    alpha1, alpha2, ratio = number("WaveLengthAlpha1"), number("WaveLengthAlpha2"), number("WaveLengthRatio")
    if not alpha1 > 0:
        return None, ()
    doublet = alpha2 > 0 and ratio > 0 and alpha2 != alpha1
    notes: tuple[str, ...] = ()
    before, behind = (_monochromators(root, tracks) for tracks in ("PrimaryTracks", "SecondaryTracks"))
    if doublet and before:
        doublet = False
        notes = (
            f"A monochromator ({before[0]}) stands in the incident beam: Kα1 alone was taken; "
            "give both wavelengths if it passes Kα2.",
        )
    crystals = [monochromator(name) for name in (*before, *behind)]
    unknown = [name for name, crystal in zip((*before, *behind), crystals, strict=True) if crystal.spacing is None]
    if unknown and unknown[0] in behind:
        notes += (
            f"A monochromator ({unknown[0]}) stands in the diffracted beam, and the file does not say its angle: "
            "give monochromator_deg = 26.6 for graphite and Cu Kα.",
        )
    stage = " ".join(s.get("LogicName") or "" for s in root.iter("Stage"))
    through = re.search(r"capillar|transmission", stage, re.IGNORECASE)
    radius = number("Radius")
    try:
        return Instrument(
            wavelengths=(alpha1, alpha2) if doublet else (alpha1,),
            ratio=ratio if doublet else 0.5,
            geometry="debye-scherrer" if through else "bragg-brentano",
            radius_mm=radius if RADII_MM[0] <= radius <= RADII_MM[1] else Instrument.radius_mm,
            monochromator_deg=monochromator_deg(crystals, alpha1),
            name=Path(path).name,
        ), notes
    except ConventionError as error:
        raise ParseError(path, None, f"instrument: {error}") from error


def _with_slit(
    instrument: Instrument | None, root: Element, table: np.ndarray, columns: dict[str, int], x: np.ndarray
) -> tuple[Instrument | None, tuple[str, ...]]:
    """Set the divergence slit: automatic if its opening grows as sin(theta), else as the optics state."""
    for name, column in columns.items():
        if "slit" not in name.lower() or not -1 <= column < table.shape[1]:
            continue
        opening = table[:, column]
        if len(opening) < 3 or not np.ptp(opening) > 1e-3 * abs(float(opening.mean())):
            continue
        length = opening / np.sin(np.radians(0.5 * x))
        if (
            np.ptp(length) < 0.1 * abs(float(length.mean()))
            and instrument is not None
            and instrument.geometry == "bragg-brentano"
        ):
            return instrument.replace(divergence_slit="automatic"), (
                f"{name} opens as sin(theta): it keeps the irradiated length constant, and calculated peaks are corrected for that.",
            )
        return instrument, (
            f"{name} changes from {opening.min():g} to {opening.max():g} during the scan, which is not corrected.",
        )
    slits = [
        " ".join(filter(None, (e.tag, *e.attrib.values(), e.text)))
        for track in root.iter("PrimaryTracks")
        for optic in track.iter("InfoData")
        if "slit" in " ".join(optic.attrib.values()).lower()
        for e in optic.iter()
    ]
    return instrument, doubts_of_header("\n".join(slits))


def _monochromators(root: Element, tracks: str) -> list[str]:
    """Return the names of the crystals in the incident or the diffracted beam."""
    return [
        optic.get("VisibleName") or optic.get("LogicName") or "monochromator"
        for track in root.iter(tracks)
        for optic in track.iter("InfoData")
        if "Monochromator" in (optic.get(_TYPE) or "")
    ]
