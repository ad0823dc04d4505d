"""``[[spectrum]]`` of a run file: its keys, and the objects made from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np

from ..crystal import Crystal
from ..errors import ConventionError
from ..io import read_dmfit, read_fid, read_magres, read_spectrum, read_topspin_processing
from ..io.spectra.nmr_sites import sites_from_dmfit, sites_from_magres, sites_from_peaks
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
from ..nmr.plausible import check_larmor
from ..nmr.processing import process
from ..objective import Loss
from ..terms import ModelErrors, PredictedSpectrumTerm, SpectrumTerm
from .keys import EMPTY, Spec, either, flat, given, key, part, parts, read, record, required, scaled
from .predicted import PredictedSites, predicted_term, read_predicted
from .shared import plain_name
from .table import REQUIRED, Table, read_toml
from .weights import curve_weight_key, robust_key, weighted

Axis = Literal["ppm", "hz", "khz"]
Amplitudes = Literal["fit", "keep"]
Transitions = Literal["central", "satellites", "all"]


def _unordered(table: Table, name: str, default: Any = REQUIRED) -> tuple[tuple[float, float], ...] | None:
    """Read pairs in either order: shifts are written from high to low."""
    if not table.has(name):
        return default
    value = table.content[name]
    pairs = [value] if isinstance(value, list) and value and not isinstance(value[0], list) else value
    if isinstance(pairs, list):
        pairs = [sorted(p) if isinstance(p, list) and all(isinstance(x, int | float) for x in p) else p for p in pairs]
    return table.inner(table.where, {name: pairs}).ranges(name)


def pairs_of(table: Table, name: str, default: Any = REQUIRED) -> tuple[tuple[float, float], ...]:
    """Read pairs of quantum numbers, which are not ordered like ranges."""
    if not table.has(name):
        return default
    pairs = table.content[name] if isinstance(table.content[name], list) else [table.content[name]]
    return tuple(table.inner(table.where, {name: pair}).numbers(name, count=2) for pair in pairs)


def transitions_of(table: Table, name: str, default: Any = REQUIRED) -> Transitions:
    """Which transitions a spectrum shows, in a word."""
    return table.text(name, default, choices=get_args(Transitions))


@dataclass(frozen=True, kw_only=True)
class WidthsSpec(Spec):
    """Line widths."""

    gaussian_hz: float | None = key(
        Table.number, None, "300.0", "of a site, or one for all; four points when no width is given", shown=True
    )
    gaussian_ppm: float | None = key(Table.number, None, "2.0")
    lorentzian_hz: float | None = key(Table.number, None, "50.0")
    lorentzian_ppm: float | None = key(Table.number, None, "0.5")

    def check(self, table: Table) -> None:
        for name in ("gaussian", "lorentzian"):
            if getattr(self, f"{name}_hz") is not None and getattr(self, f"{name}_ppm") is not None:
                raise table.error(f"give {name}_hz or {name}_ppm, not both")

    def in_hz(self, larmor_hz: float) -> dict[str, Any]:
        """Return the given widths as arguments ``gaussian_hz`` and ``lorentzian_hz``."""
        pairs = [(*name.rsplit("_", 1), value) for name, value in given(self).items()]
        return {f"{name}_hz": value * (1e-6 * larmor_hz if unit == "ppm" else 1.0) for name, unit, value in pairs}


@dataclass(frozen=True, kw_only=True)
class SatellitesSpec(Spec):
    """``satellites = { ... }`` of a site."""

    amplitude: float | None = key(Table.number, None, "1.0")
    widths: WidthsSpec = required(flat, of=WidthsSpec)


@dataclass(frozen=True, kw_only=True)
class SiteSpec(Spec):
    """One ``[[spectrum.site]]``."""

    label: str = required(Table.text, '"Al1"')
    shift_ppm: float = required(Table.number, "62.0")
    zeta_ppm: float | None = key(Table.number, None, "-40.0")
    eta: float | None = key(Table.number, None, "0.2")
    cq_hz: float | None = key(scaled(1e6), None, "3.2", name="cq_mhz", shown=True)
    eta_q: float | None = key(
        Table.number, None, "0.3", "an asymmetry of 0 that a stage frees starts at 0.1 instead", shown=True
    )
    euler_deg: tuple[float, float, float] | None = key(Table.numbers, None, "[0, 0, 0]", count=3)
    euler_q_deg: tuple[float, float, float] | None = key(Table.numbers, None, "[0, 90, 0]", count=3)
    amplitude: float | None = key(Table.number, None, "1.0")
    quadrupolar_spread_hz: float | None = key(
        scaled(1e6), None, "1.0", "a Czjzek distribution", name="quadrupolar_spread_mhz"
    )
    shielding_spread_ppm: float | None = key(Table.number, None, "5.0", "the same")
    transitions: Transitions | tuple[tuple[float, float], ...] | None = key(
        either((str, type(None)), transitions_of, pairs_of), None, '"central"', "of this site alone",
    )  # fmt: skip
    satellites: SatellitesSpec | None = key(
        part, None, "{ gaussian_hz = 400.0 }", of=SatellitesSpec,
        help="its satellite transitions with an amplitude and widths of their own: nmr/amplitude[Al1-satellites]",
    )  # fmt: skip
    widths: WidthsSpec = required(flat, of=WidthsSpec)

    def check(self, table: Table) -> None:
        if self.satellites is not None and self.transitions not in (None, "central"):
            raise table.error("with satellites, the transitions of a site are the central one: leave transitions out")

    def made(self, nucleus: str, larmor_hz: float) -> list[Site]:
        """Make the site, and its satellites if they are separate."""
        found = given(self)
        widths, satellites = found.pop("widths").in_hz(larmor_hz), found.pop("satellites", None)
        if satellites is None:
            return [Site(isotope=nucleus, **found, **widths)]
        found.pop("transitions", None)
        own = {} if satellites.amplitude is None else {"amplitude": satellites.amplitude}
        shared: dict[str, Any] = {"label": f"{self.label}-satellites", "like": self.label, "transitions": "satellites"}
        return [
            Site(isotope=nucleus, **found, **widths, transitions="central"),
            Site(isotope=nucleus, **shared, **own, **(satellites.widths.in_hz(larmor_hz) or widths)),
        ]


@dataclass(frozen=True, kw_only=True)
class ExcitationSpec(Spec):
    """``excitation = { ... }``."""

    kind: Literal["gaussian", "pulse"] = required(Table.text, '"pulse"', choices=("gaussian", "pulse"))
    carrier_ppm: float = key(Table.number, 0.0)
    fwhm_hz: float = required(Table.positive, "2e5", kinds=("gaussian",))
    length_s: float = required(scaled(1e-6, Table.positive), "1.0", kinds=("pulse",), name="length_us")
    rf_hz: float = required(Table.positive, "50e3", kinds=("pulse",))


@dataclass(frozen=True, kw_only=True)
class ProcessingSpec(Spec):
    """``processing = { ... }``, arguments of :func:`jaxnmr.nmr.processing.process`."""

    lorentzian_hz: float | None = key(Table.number, None, "20.0")
    gaussian_hz: float | None = key(Table.number, None, "20.0")
    first_point: float | None = key(Table.number, None, "0.5")
    zero_deg: float | None = key(Table.number, None, "0.0")
    first_deg: float | None = key(Table.number, None, "0.0")
    pivot_ppm: float | None = key(Table.number, None, "60.0")
    start: int | None = key(Table.integer, None, "0")
    points: int | None = key(Table.integer, None, "1024")
    cosine: int | None = key(Table.integer, None, "0")
    size: int | None = key(Table.integer, None, "8192")
    baseline_order: int | None = key(Table.integer, None, "3")
    topspin: int | None = key(Table.integer, None, "1", "takes what is not given from pdata/1 of a TopSpin folder")
    auto: bool = key(Table.flag, False)
    baseline_ppm: tuple[tuple[float, float], ...] | None = key(_unordered, None, "[[300, 250]]")


@dataclass(frozen=True, kw_only=True)
class PlotSpec(Spec):
    """``plot = { ... }``."""

    zoom: tuple[float, float] | None = key(Table.numbers, None, "[80, 40]", count=2, unit="ppm")


@dataclass(frozen=True, kw_only=True)
class ShiftsSpec(Spec):
    """``reference = { ... }`` of a magres file."""

    reference_ppm: float = key(Table.number, 0.0)
    slope: float = key(Table.number, -1.0)


def _sites(table: Table, name: str, default: Any = REQUIRED, *, of: type[SiteSpec]) -> tuple[SiteSpec, ...]:
    found = parts(table, name, of=of)
    others = (
        table.content.get("peaks_ppm"),
        *(name in table.content for name in ("magres", "dmfit", "tensors", "sites_of")),
    )
    if sum(map(bool, (found, *others))) != 1:
        raise table.error(
            "give the sites in one way: [[spectrum.site]] tables, sites_of another spectrum, peaks_ppm, magres, dmfit, or "
            'tensors = "model"'
        )
    return found


def _intensities(table: Table, name: str, default: Any = REQUIRED) -> tuple[float, ...] | None:
    peaks = table.content.get("peaks_ppm")
    return table.numbers(name, default, count=len(peaks)) if peaks else default


def _axis(table: Table, name: str, default: Any = REQUIRED, *, choices: tuple[str, ...]) -> Any:
    said = table.content.get(name)
    if isinstance(said, str) and (word := said.strip().lower()) not in choices:
        hint = {
            "mhz": "; convert the column to Hz: it is not known whether MHz are from 0 ppm or absolute",
            "rad/s": '; divide the column by 2π and give "hz"',
        }.get(word, "")
        raise table.error(
            f"the first column cannot be in {said!r}; expected {', '.join(map(repr, choices))}{hint}", name
        )
    return default if said is None else table.text(name).strip().lower()


def _magres_reference(table: Table, name: str, default: Any = REQUIRED, *, of: type[ShiftsSpec]) -> ShiftsSpec:
    return of() if table.has("tensors") else part(table, name, of=of)


def _common_widths(table: Table, name: str, default: Any = REQUIRED, *, of: type[WidthsSpec]) -> WidthsSpec:
    return of() if table.content.get("site") else flat(table, name, of=of)


@dataclass(frozen=True, kw_only=True)
class SpectrumSpec(Spec):
    """One ``[[spectrum]]``; ``sites`` are its site tables, ``widths`` the widths of sites of all other origins."""

    name: str = key(plain_name, "nmr", help="its parameters are called nmr/...", shown=True)
    file: Path | None = key(
        Table.path, None, '"glass_27Al.csdf"', shown=True,
        help="CSDM, SIMPSON, NMRPipe, JCAMP-DX, folder of TopSpin or Varian, columns of text; simulate-spectrum needs none",
    )  # fmt: skip
    format: str | None = key(Table.text, None, '"columns"', "when it must not be guessed")
    axis: Axis | None = key(_axis, None, '"ppm"', "of columns", choices=get_args(Axis))
    isotope: str | None = key(Table.text, None, '"27Al"', shown=True)
    b0_tesla: float | None = key(Table.positive, None, "11.7", "not needed when the file says it", shown=True)
    larmor_hz: float | None = key(scaled(1e6, Table.positive), None, "130.3", "instead of b0_tesla", name="larmor_mhz")
    mas_hz: float = key(Table.number, 0.0, "12500.0", "left out: a static spectrum; inf: no sidebands", shown=True)
    rotor_angle_deg: float | None = key(Table.number, None, "54.7356")
    transitions: Transitions | tuple[tuple[float, float], ...] = key(
        either((str, type(None)), transitions_of, pairs_of), "central", shown=True,
        help='"satellites", "all", or pairs [[0.5, -0.5], [1.5, 0.5]]',
    )  # fmt: skip
    integration_density: int | None = key(Table.integer, None, "90", "chosen when left out", minimum=2)
    dead_time_s: float = key(
        scaled(1e-6), 0.0, "5.0", name="dead_time_us",
        help="missing start of the decay: the model gets the same rolling baseline",
    )  # fmt: skip
    excitation: dict[str, Any] | None = key(
        record, None, '{ kind = "pulse", length_us = 1.0, rf_hz = 50e3, carrier_ppm = 0.0 }', of=ExcitationSpec
    )
    region_ppm: tuple[tuple[float, float], ...] = key(
        _unordered, (), "[[100.0, -50.0]]", "what is fitted; all when left out", shown=True
    )
    noise_region_ppm: tuple[float, float] | None = key(
        Table.numbers, None, "[300.0, 250.0]", count=2, shown=True,
        help="without signal; needed for zero-filled spectra, or sigma",
    )  # fmt: skip
    sigma: float | None = key(Table.positive, None, "12.0", "noise, in units of the data")
    baseline: int = key(Table.integer, 0, "2", "terms of a polynomial, refinable as nmr/baseline", shown=True)
    amplitudes: Amplitudes = key(
        Table.text, "fit", choices=get_args(Amplitudes),
        help="by least squares, or keep the ratios given and scale all sites",
    )  # fmt: skip
    pivot_ppm: float | None = key(Table.number, None, "60.0", "where nmr/phase1 has no effect")
    weight: float | str = curve_weight_key()
    robust: Loss | None = robust_key()
    plot: PlotSpec = key(part, EMPTY, "{ zoom = [80, 40] }", of=PlotSpec)
    processing: ProcessingSpec | None = key(
        part, None, "{ lorentzian_hz = 20.0, cosine = 0, size = 8192, auto = true, baseline_ppm = [[300, 250]] }", of=ProcessingSpec,
        help="makes a spectrum of a decay",
    )  # fmt: skip
    points: int = key(Table.integer, 2048, help="of a spectrum without a file, with width and centre", minimum=4)
    width_hz: float | None = key(scaled(1e3, Table.positive), None, "50.0", name="width_khz")
    centre_ppm: float | None = key(Table.number, None, "60.0")
    peaks_ppm: tuple[float, ...] = key(Table.numbers, (), "[62.0, 13.5]", "instead of sites: lines of one width")
    peak_intensities: tuple[float, ...] | None = key(_intensities, None, "[2.0, 1.0]")
    magres: Path | None = key(Table.path, None, '"file.magres"', "instead of sites: those of a calculation")
    dmfit: Path | None = key(
        Table.path,
        None,
        '"1R.fxml"',
        "instead of sites: the lines of a DMFit fit, with their widths; dCS changes its sign",
    )
    sites_of: str | None = key(
        Table.text, None, '"low_field"',
        help="instead of sites: those of another [[spectrum]], with the same shifts and tensors; amplitudes and widths are own",
    )  # fmt: skip
    predicted: PredictedSites | None = key(read_predicted, None, of=PredictedSites)
    sites: tuple[SiteSpec, ...] = required(
        _sites, "[[spectrum.site]]", "parameters nmr/shift[Al1], nmr/cq[Al1] ...", name="site", of=SiteSpec
    )
    reference: ShiftsSpec = key(
        _magres_reference, EMPTY, "{ reference_ppm = 550.0, slope = -1.0 }", "of the shifts of magres", of=ShiftsSpec
    )
    widths: WidthsSpec = key(_common_widths, EMPTY, of=WidthsSpec)

    @property
    def inputs(self) -> tuple[Path | None, ...]:
        """Files it reads."""
        return (self.file, self.magres, self.dmfit)

    @property
    def zoom(self) -> tuple[float, float] | None:
        """Range that its figure shows."""
        return self.plot.zoom

    def check(self, table: Table) -> None:
        if self.b0_tesla is not None and self.larmor_hz is not None:
            raise table.error("give b0_tesla or larmor_mhz, not both")


def simulation(spec: SpectrumSpec, nucleus: str, larmor_hz: float | None) -> SpectrumStatic | SpectrumMAS:
    """Make the simulation of a table; ``larmor_hz`` is taken from the data if the table gives no field."""
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
    """Make the starting sites of a table.

    Raises:
        ConventionError: sites have the same name, or are known only during a refinement.
    """
    if spec.predicted is not None:
        raise ConventionError('tensors = "model" takes its sites from a structure: use jaxnmr refine')
    if spec.magres is not None:
        reference = ShiftReference(**vars(spec.reference))
        return sites_from_magres(read_magres(spec.magres), nucleus, reference, **spec.widths.in_hz(larmor_hz))
    if spec.dmfit is not None:
        return sites_from_dmfit(read_dmfit(spec.dmfit), nucleus, larmor_hz=larmor_hz)
    if spec.peaks_ppm:
        return sites_from_peaks(nucleus, spec.peaks_ppm, spec.peak_intensities, **spec.widths.in_hz(larmor_hz))
    labels = [site.label for site in spec.sites]
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise ConventionError(f"two sites are called {repeated[0]!r}; parameters are named after them")
    return [site for of in spec.sites for site in of.made(nucleus, larmor_hz)]


def sharing(specs: tuple[SpectrumSpec, ...]) -> tuple[SpectrumSpec, ...]:
    """Return the tables with the sites of another spectrum filled in where requested.

    Raises:
        ConventionError: the other spectrum does not exist, or has no site tables.
    """
    by_name = {spec.name: spec for spec in specs if spec.sites}
    out = []
    for spec in specs:
        if spec.sites_of is not None:
            if spec.sites_of not in by_name:
                raise ConventionError(
                    f"[[spectrum]] {spec.name!r}: sites_of = {spec.sites_of!r}; expected the name of a [[spectrum]] with "
                    f"[[spectrum.site]] tables: {', '.join(map(repr, by_name)) or 'none is there'}"
                )
            own: dict[str, Any] = {"widths": spec.widths} if given(spec.widths) else {}
            spec = replace(spec, sites=tuple(replace(site, **own) for site in by_name[spec.sites_of].sites))
        out.append(spec)
    return tuple(out)


def measured(spec: SpectrumSpec) -> Spectrum:
    """Read the data of a table and process them if requested."""
    file = spec.file
    if file is None:
        raise ConventionError("give file, the measured spectrum (without it, jaxnmr simulate-spectrum calculates one)")
    nucleus = isotope(spec.isotope).symbol if spec.isotope else ""
    larmor_hz = reference_hz(nucleus, spec.b0_tesla) if nucleus and spec.b0_tesla is not None else spec.larmor_hz
    if nucleus and larmor_hz is not None:
        check_larmor(nucleus, larmor_hz)

    def read_at(larmor_hz: float | None) -> Spectrum:
        if spec.processing is not None:
            fid = read_fid(file, format=spec.format, larmor_hz=larmor_hz, isotope=nucleus)
            ours = given(spec.processing)
            number = ours.pop("topspin", None)
            theirs = {} if number is None else read_topspin_processing(file, procno=number)
            return process(fid, **(theirs | ours))
        return read_spectrum(file, format=spec.format, larmor_hz=larmor_hz, isotope=nucleus, axis=spec.axis)

    try:
        data = read_at(None)
    except ConventionError:
        # the file does not state its field
        if larmor_hz is None:
            raise
        return read_at(larmor_hz)
    if larmor_hz is not None and abs(data.larmor_hz / larmor_hz - 1.0) > 1e-3:
        raise ConventionError(
            f"{file.name} says {data.larmor_hz / 1e6:.6g} MHz, {'larmor_mhz' if spec.b0_tesla is None else 'b0_tesla'} stands for "
            f"{larmor_hz / 1e6:.6g} MHz: correct it, or leave it out"
        )
    return data if spec.larmor_hz is None else data.replace(larmor_hz=spec.larmor_hz)


def term(spec: SpectrumSpec, crystals: Mapping[str, Crystal], models: Mapping[str, list]) -> Any:
    """Make the weighted term of a table; ``models`` by phase."""
    data = measured(spec)
    nucleus = nucleus_of(spec, data)
    experiment = simulation(spec, nucleus, data.larmor_hz)
    common: dict[str, Any] = dict(
        name=spec.name, region_ppm=spec.region_ppm or None, baseline=spec.baseline, sigma=spec.sigma,
        noise_ppm=spec.noise_region_ppm, pivot_ppm=spec.pivot_ppm,
    )  # fmt: skip
    built: SpectrumTerm | PredictedSpectrumTerm
    if spec.predicted is not None:
        common |= spec.widths.in_hz(data.larmor_hz)
        built = predicted_term(spec.predicted, experiment, data, crystals, models, common)
    else:
        of_table = sites(spec, nucleus, data.larmor_hz)
        built = SpectrumTerm(experiment, data, of_table, amplitudes=spec.amplitudes, **common)
    zoom, ppm = spec.zoom, np.asarray(data.ppm)
    if zoom is not None and not np.any((ppm > min(zoom)) & (ppm < max(zoom))):
        raise ConventionError(f"plot.zoom {list(zoom)} lies outside the data")
    whole = weighted(built, spec.weight, spec.robust)
    if spec.predicted is not None and spec.predicted.errors:
        return whole + ModelErrors(cast(PredictedSpectrumTerm, built))
    return whole


def nucleus_of(spec: SpectrumSpec, data: Spectrum | None = None) -> str:
    """Return the observed isotope, from the table or the data."""
    nucleus = spec.isotope or (data.isotope if data is not None else "")
    if not nucleus:
        raise ConventionError("give isotope, the observed nucleus, such as isotope = '29Si'")
    return isotope(nucleus).symbol


def specs_to_simulate(path: str | Path, options: dict[str, Any]) -> tuple[SpectrumSpec, ...]:
    """Read the ``[[spectrum]]`` tables of a run file, or make one of a magres file and command-line options.

    Args:
        path: ends in ``.toml`` for a run file.
        options: ``isotope, b0, larmor`` (MHz), ``mas, transitions, reference, slope, broadening, points, width`` (kHz),
            ``centre``; ``None`` if not given.

    Raises:
        ConventionError: options are given with a run file, or isotope or field is missing with a magres file.
        ParseError: the run file has no spectrum, or an invalid one.
    """
    path = Path(path)
    said = {key: value for key, value in options.items() if value is not None}
    if path.suffix.lower() == ".toml":
        if said:
            raise ConventionError(f"--{next(iter(said))} belongs to magres files; {path.name} says everything itself")
        top = read_toml(path)
        tables = top.tables("spectrum")
        if not tables:
            raise top.error("no [[spectrum]] to simulate; jaxnmr help-run explains it")
        return sharing(tuple(read(inner, SpectrumSpec) for inner in tables))
    names = {
        "isotope": "isotope", "b0": "b0_tesla", "larmor": "larmor_mhz", "mas": "mas_hz", "transitions": "transitions",
        "points": "points", "width": "width_khz", "centre": "centre_ppm",
    }  # fmt: skip
    content: dict[str, Any] = {names[key]: value for key, value in said.items() if key in names}
    content |= {
        "name": path.stem.replace("[", "("),
        "magres": str(path.resolve()),
        "gaussian_hz": said.get("broadening", 50.0),
    }
    content["reference"] = {"reference_ppm": said.get("reference", 0.0), "slope": said.get("slope", -1.0)}
    return (read(Table(path, "", content), SpectrumSpec),)


def simulated(spec: SpectrumSpec) -> tuple[Spectrum, Sites]:
    """Simulate the spectrum of a table from its starting values; return it with its sites."""
    nucleus = nucleus_of(spec)
    if spec.b0_tesla is None and spec.larmor_hz is None:
        raise ConventionError("give b0_tesla or larmor_mhz")
    experiment = simulation(spec, nucleus, None)
    batch = Sites.of(sites(spec, nucleus, experiment.larmor_hz))
    spectrum = experiment.simulate(batch, points=spec.points, width_hz=spec.width_hz, centre_ppm=spec.centre_ppm)
    return spectrum.replace(name=spec.name), batch
