"""``[[spectrum]]`` of a run file: what it says, and the objects that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

import numpy as np

from ..crystal import Crystal
from ..errors import ConventionError
from ..io import read_fid, read_magres, read_spectrum, read_topspin_processing
from ..io.spectra.nmr_sites import sites_from_magres, sites_from_peaks
from ..nmr import (
    GaussianBandwidth,
    Pulse,
    ShiftReference,
    Site,
    Sites,
    Spectrum,
    SpectrumMAS,
    SpectrumStatic,
    isotope,
    reference_hz,
)
from ..nmr.processing import process
from ..objective import Loss, Term
from ..terms import SpectrumTerm
from .predicted import PredictedSites, predicted_term, read_predicted
from .table import Table, read_toml
from .weights import read_robust, weighted

_WIDTHS = ("gaussian", "lorentzian")
_TRANSITIONS = ("central", "satellites", "all")


@dataclass(frozen=True)
class SpectrumSpec:
    """One ``[[spectrum]]``; ``site_list`` holds its site tables, ``widths`` those of all other kinds of sites."""

    name: str
    file: Path | None
    format: str | None
    axis: str | None
    isotope: str | None
    b0_tesla: float | None
    larmor_hz: float | None
    mas_hz: float
    rotor_angle_deg: float | None
    transitions: Any
    integration_density: int | None
    dead_time_s: float
    excitation: dict[str, Any] | None
    region_ppm: tuple[tuple[float, float], ...]
    noise_region_ppm: tuple[float, float] | None
    sigma: float | None
    baseline: int
    amplitudes: Literal["fit", "keep"]
    pivot_ppm: float | None
    processing: dict[str, Any] | None
    site_list: tuple[dict[str, Any], ...]
    peaks_ppm: tuple[float, ...]
    peak_intensities: tuple[float, ...] | None
    magres: Path | None
    reference: tuple[float, float]
    widths: dict[str, tuple[float, str]]
    points: int
    width_hz: float | None
    centre_ppm: float | None
    weight: float
    zoom: tuple[float, float] | None
    robust: Loss | None = None
    predicted: PredictedSites | None = None

    @property
    def inputs(self) -> tuple[Path | None, ...]:
        """Files it reads."""
        return (self.file, self.magres)


def read_spec(table: Table, phases: tuple[str, ...] = ()) -> SpectrumSpec:
    """Check one ``[[spectrum]]`` table of a run with these phases."""
    name = table.text("name", "nmr")
    if "/" in name or "[" in name:
        raise table.error(f"{name!r} cannot be part of parameter names; leave out / and [", "name")
    transitions = table.content.get("transitions", "central")
    if isinstance(transitions, str):
        transitions = table.text("transitions", "central", choices=_TRANSITIONS)
    else:
        # pairs of quantum numbers are not ordered as ranges are
        table.has("transitions")
        transitions = tuple(
            Table(table.file, table.where, {"transitions": p}).numbers("transitions", count=2) for p in transitions
        )
    b0, larmor = table.number("b0_tesla", None, positive=True), table.number("larmor_mhz", None, positive=True)
    if b0 is not None and larmor is not None:
        raise table.error("give b0_tesla or larmor_mhz, not both")
    sites, peaks, magres = table.tables("site"), table.numbers("peaks_ppm", ()), table.path("magres", None)
    predicted = read_predicted(table, phases)
    if sum(map(bool, (sites, peaks, magres, predicted))) != 1:
        raise table.error(
            'give the sites in one way: [[spectrum.site]] tables, peaks_ppm, magres, or tensors = "model"'
        )
    reference = table.table("reference") if predicted is None else Table(table.file, table.where, {})
    plot = table.table("plot")
    spec = SpectrumSpec(
        name=name,
        file=table.path("file", None),
        format=table.text("format", None),
        axis=table.text("axis", None, choices=("ppm", "hz", "khz")),
        isotope=table.text("isotope", None),
        b0_tesla=b0,
        larmor_hz=None if larmor is None else 1e6 * larmor,
        mas_hz=table.number("mas_hz", 0.0),
        rotor_angle_deg=table.number("rotor_angle_deg", None),
        transitions=transitions,
        integration_density=table.integer("integration_density", None, minimum=2),
        dead_time_s=1e-6 * table.number("dead_time_us", 0.0),
        excitation=_excitation(table.table("excitation")) if table.has("excitation") else None,
        region_ppm=_unordered(table, "region_ppm"),
        noise_region_ppm=table.numbers("noise_region_ppm", None, count=2),
        sigma=table.number("sigma", None, positive=True),
        baseline=table.integer("baseline", 0),
        amplitudes=table.text("amplitudes", "fit", choices=("fit", "keep")),
        pivot_ppm=table.number("pivot_ppm", None),
        processing=_processing(table.table("processing")) if table.has("processing") else None,
        site_list=tuple(_site(site) for site in sites),
        peaks_ppm=peaks,
        peak_intensities=table.numbers("peak_intensities", None, count=len(peaks)) if peaks else None,
        magres=magres,
        reference=(reference.number("reference_ppm", 0.0), reference.number("slope", -1.0)),
        widths={} if sites else _widths(table),
        points=table.integer("points", 2048, minimum=4),
        width_hz=None if not table.has("width_khz") else 1e3 * table.number("width_khz", positive=True),
        centre_ppm=table.number("centre_ppm", None),
        weight=table.number("weight", 1.0, positive=True),
        zoom=plot.numbers("zoom", None, count=2),
        robust=read_robust(table),
        predicted=predicted,
    )
    for part in (reference, plot, table):
        part.done()
    return spec


def _unordered(table: Table, key: str) -> tuple[tuple[float, float], ...]:
    """Pairs in either order: shifts are written from high to low."""
    value = table.content.get(key, [])
    pairs = [value] if isinstance(value, list) and value and not isinstance(value[0], list) else value
    ordered = [sorted(p) if isinstance(p, list) and all(isinstance(x, int | float) for x in p) else p for p in pairs]
    table.has(key)
    return Table(table.file, table.where, {key: ordered}).ranges(key)


def _excitation(table: Table) -> dict[str, Any]:
    kind = table.text("kind", choices=("gaussian", "pulse"))
    spec: dict[str, Any] = {"kind": kind, "carrier_ppm": table.number("carrier_ppm", 0.0)}
    if kind == "gaussian":
        spec["fwhm_hz"] = table.number("fwhm_hz", positive=True)
    else:
        spec["length_s"] = 1e-6 * table.number("length_us", positive=True)
        spec["rf_hz"] = table.number("rf_hz", positive=True)
    table.done()
    return spec


def _processing(table: Table) -> dict[str, Any]:
    numbers = ("lorentzian_hz", "gaussian_hz", "first_point", "zero_deg", "first_deg", "pivot_ppm")
    whole = ("start", "points", "cosine", "size", "baseline_order", "topspin")
    spec: dict[str, Any] = {key: table.number(key) for key in numbers if table.has(key)}
    spec |= {key: table.integer(key) for key in whole if table.has(key)}
    spec["auto"] = table.flag("auto", False)
    if table.has("baseline_ppm"):
        spec["baseline_ppm"] = _unordered(table, "baseline_ppm")
    table.done()
    return spec


def _widths(table: Table) -> dict[str, tuple[float, str]]:
    out = {}
    for name in _WIDTHS:
        given = [unit for unit in ("hz", "ppm") if table.has(f"{name}_{unit}")]
        if len(given) == 2:
            raise table.error(f"give {name}_hz or {name}_ppm, not both")
        if given:
            out[name] = (table.number(f"{name}_{given[0]}"), given[0])
    return out


def _site(table: Table) -> dict[str, Any]:
    spec: dict[str, Any] = {"label": table.text("label"), "shift_ppm": table.number("shift_ppm")}
    for key in ("zeta_ppm", "eta", "eta_q", "amplitude", "shielding_spread_ppm"):
        if table.has(key):
            spec[key] = table.number(key)
    for key, field in (("cq_mhz", "cq_hz"), ("quadrupolar_spread_mhz", "quadrupolar_spread_hz")):
        if table.has(key):
            spec[field] = 1e6 * table.number(key)
    for key in ("euler_deg", "euler_q_deg"):
        if table.has(key):
            spec[key] = table.numbers(key, count=3)
    spec["widths"] = _widths(table)
    table.done()
    return spec


def simulation(spec: SpectrumSpec, nucleus: str, larmor_hz: float | None) -> SpectrumStatic | SpectrumMAS:
    """The experiment of a table; ``larmor_hz`` of the data when the table gives no field."""
    options: dict[str, Any] = {"transitions": spec.transitions, "dead_time_s": spec.dead_time_s}
    options["b0_tesla" if spec.b0_tesla is not None else "larmor_hz"] = spec.b0_tesla or spec.larmor_hz or larmor_hz
    if spec.integration_density is not None:
        options["integration_density"] = spec.integration_density
    if spec.excitation is not None:
        arguments = dict(spec.excitation)
        options["excitation"] = {"gaussian": GaussianBandwidth, "pulse": Pulse}[arguments.pop("kind")](**arguments)
    if spec.mas_hz == 0:
        if spec.rotor_angle_deg is not None:
            raise ConventionError("rotor_angle_deg needs mas_hz, the spinning speed (inf for infinitely fast)")
        return SpectrumStatic(nucleus, **options)
    if spec.rotor_angle_deg is not None:
        options["rotor_angle_deg"] = spec.rotor_angle_deg
    return SpectrumMAS(nucleus, mas_hz=spec.mas_hz, **options)


def sites(spec: SpectrumSpec, nucleus: str, larmor_hz: float) -> list[Site] | Sites:
    """The starting sites of a table.

    Raises:
        ConventionError: sites that have the same name, or that only a refinement knows.
    """
    if spec.predicted is not None:
        raise ConventionError('tensors = "model" takes its sites from a structure: use jaxnmr refine')
    hz = lambda widths: _in_hz(widths, larmor_hz)
    if spec.magres is not None:
        reference = ShiftReference(*spec.reference)
        return sites_from_magres(read_magres(spec.magres), nucleus, reference, **hz(spec.widths))
    if spec.peaks_ppm:
        return sites_from_peaks(nucleus, spec.peaks_ppm, spec.peak_intensities, **hz(spec.widths))
    labels = [site["label"] for site in spec.site_list]
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise ConventionError(f"two sites are called {repeated[0]!r}; parameters are named after them")
    plain = [{key: value for key, value in site.items() if key != "widths"} for site in spec.site_list]
    rows = zip(plain, spec.site_list, strict=True)
    return [Site(isotope=nucleus, **values, **hz(site["widths"])) for values, site in rows]


class _Widths(TypedDict, total=False):
    gaussian_hz: float
    lorentzian_hz: float


def _in_hz(widths: dict[str, tuple[float, str]], larmor_hz: float) -> _Widths:
    in_hz = {
        f"{name}_hz": value * (1e-6 * larmor_hz if unit == "ppm" else 1.0) for name, (value, unit) in widths.items()
    }
    return cast(_Widths, in_hz)


def measured(spec: SpectrumSpec) -> Spectrum:
    """Read, and process where asked, the data of a table."""
    file = spec.file
    if file is None:
        raise ConventionError("give file, the measured spectrum (without it, jaxnmr simulate-spectrum calculates one)")
    nucleus = spec.isotope or ""

    def read(larmor_hz: float | None) -> Spectrum:
        if spec.processing is not None:
            fid = read_fid(file, format=spec.format, larmor_hz=larmor_hz, isotope=nucleus)
            given = dict(spec.processing)
            number = given.pop("topspin", None)
            theirs = {} if number is None else read_topspin_processing(file, procno=number)
            return process(fid, **(theirs | given))
        return read_spectrum(file, format=spec.format, larmor_hz=larmor_hz, isotope=nucleus, axis=spec.axis)

    if spec.b0_tesla is None or not nucleus:
        return read(spec.larmor_hz)
    try:
        return read(None)
    except ConventionError:
        # a file that does not say its field
        return read(reference_hz(nucleus, spec.b0_tesla))


def term(spec: SpectrumSpec, crystals: Mapping[str, Crystal], models: Mapping[str, list]) -> Any:
    """The weighted term of a table; ``models`` by phase."""
    data = measured(spec)
    nucleus = nucleus_of(spec, data)
    experiment = simulation(spec, nucleus, data.larmor_hz)
    common: dict[str, Any] = dict(
        name=spec.name, region_ppm=spec.region_ppm or None, baseline=spec.baseline, sigma=spec.sigma,
        noise_ppm=spec.noise_region_ppm, pivot_ppm=spec.pivot_ppm,
    )  # fmt: skip
    if spec.predicted is not None:
        common |= _in_hz(spec.widths, data.larmor_hz)
        built: Term = predicted_term(spec.predicted, experiment, data, crystals, models, common)
    else:
        of_table = sites(spec, nucleus, data.larmor_hz)
        built = SpectrumTerm(experiment, data, of_table, amplitudes=spec.amplitudes, **common)
    if spec.zoom is not None and not np.any(
        (np.asarray(data.ppm) > min(spec.zoom)) & (np.asarray(data.ppm) < max(spec.zoom))
    ):
        raise ConventionError(f"plot.zoom {list(spec.zoom)} lies outside the data")
    return weighted(built, spec.weight, spec.robust)


def nucleus_of(spec: SpectrumSpec, data: Spectrum | None = None) -> str:
    """The observed isotope, from the table or the data."""
    nucleus = spec.isotope or (data.isotope if data is not None else "")
    if not nucleus:
        raise ConventionError("give isotope, the observed nucleus, such as isotope = '29Si'")
    return isotope(nucleus).symbol


def specs_to_simulate(path: str | Path, options: dict[str, Any]) -> tuple[SpectrumSpec, ...]:
    """The ``[[spectrum]]`` tables of a run file, or one made of a magres file and options of the command line.

    Args:
        path: ends in ``.toml`` for a run file.
        options: ``isotope, b0, larmor`` (MHz), ``mas, transitions, reference, slope, broadening, points, width`` (kHz),
            ``centre``; ``None`` where not given.

    Raises:
        ConventionError: options with a run file, no isotope or field with a magres file.
        ParseError: a run file without a spectrum, or a wrong one.
    """
    path = Path(path)
    given = {key: value for key, value in options.items() if value is not None}
    if path.suffix.lower() == ".toml":
        if given:
            raise ConventionError(f"--{next(iter(given))} belongs to magres files; {path.name} says everything itself")
        top = read_toml(path)
        tables = top.tables("spectrum")
        if not tables:
            raise top.error("no [[spectrum]] to simulate; jaxnmr help-run explains it")
        return tuple(map(read_spec, tables))
    names = {
        "isotope": "isotope", "b0": "b0_tesla", "larmor": "larmor_mhz", "mas": "mas_hz", "transitions": "transitions",
        "points": "points", "width": "width_khz", "centre": "centre_ppm",
    }  # fmt: skip
    content: dict[str, Any] = {names[key]: value for key, value in given.items() if key in names}
    content |= {
        "name": path.stem.replace("[", "("),
        "magres": str(path.resolve()),
        "gaussian_hz": given.get("broadening", 50.0),
    }
    content["reference"] = {"reference_ppm": given.get("reference", 0.0), "slope": given.get("slope", -1.0)}
    return (read_spec(Table(path, "", content)),)


def simulated(spec: SpectrumSpec) -> tuple[Spectrum, Sites]:
    """The spectrum a table describes by its starting values, and its sites."""
    nucleus = nucleus_of(spec)
    if spec.b0_tesla is None and spec.larmor_hz is None:
        raise ConventionError("give b0_tesla or larmor_mhz")
    experiment = simulation(spec, nucleus, None)
    batch = Sites.of(sites(spec, nucleus, experiment.larmor_hz))
    spectrum = experiment.simulate(batch, points=spec.points, width_hz=spec.width_hz, centre_ppm=spec.centre_ppm)
    return spectrum.replace(name=spec.name), batch
