"""Run files: a whole refinement in one TOML file.

``jaxnmr refine run.toml --out result`` does what the file says (``jaxnmr fit-spectrum`` for NMR spectra alone); ``jaxnmr.runfile.load_run("run.toml").build()``
gives the same objective, parameters, stages and solver to Python. Unknown keys are errors. File names may contain
environment variables, ``"${JAXNMR_DATA}/FAP/FAP.XRA"``, and are relative to the folder of the run file. Angles are in
degrees, lengths in Å, displacements in Å², profile coefficients U V W in centidegree² and X Y Z in centidegree.

```toml
title = "Fluorapatite, laboratory X-rays"

[[phase]]                                # one table per phase
name = "FAP"
file = "FAP.cif"                         # CIF or another structure file, or give the structure inline:
# entry = "FAP"                          # which data block or phase, by name or number, when the file has several
# species = { Ca1 = "Ca2+" }             # scattering types by site label: ions, deuterium
# cell = [9.37, 9.37, 6.88, 90, 90, 120]
# spacegroup = "P 63/m"
# sites = [{ label = "Ca1", type = "Ca", xyz = [0.3333, 0.6667, 0.0], u_iso = 0.01 }]
#                                        # also occupancy, b_iso, u_aniso = [U11, U22, U33, U12, U13, U23]

[[histogram]]                            # one table per measured pattern
name = "xrd"                             # its parameters are called xrd/...
file = "FAP.XRA"
# format = "gsas"                        # when the suffix does not tell
# bank = 1
# range = [10, 120, 0.02]                # instead of a file: first, last and step in degrees, for simulations
instrument = "INST_XRY.PRM"              # instrument file; the keys below replace what it says
# radiation = "xray"                     # or "neutron"
# wavelength = [1.5405, 1.5443]          # or one number
# ratio = 0.5                            # intensity of the second wavelength
# geometry = "bragg-brentano"            # or "debye-scherrer"
# radius_mm = 200.0
# polarization = 0.5
# monochromator_deg = 26.6
# zero, U, V, W, X, Y, Z, shl, mu_r      # starting values, refinable as xrd/zero, xrd/U ... (mu_r: xrd/absorption)
limits = [15.0, 130.0]
# excluded = [[14.0, 18.0]]
background = { kind = "chebyshev", terms = 9 }
# background = { kind = "interpolate", knots = 9, spacing = "log" }    # or knots = [15, 30, 60, 130]
# phases = ["FAP"]                       # all phases when left out
# march_axis = { FAP = [0, 0, 1] }       # preferred orientation, refinable as xrd/march[FAP]
# stephens = ["FAP"]                     # anisotropic strain, refinable as xrd/stephens_FAP
# lebail = ["FAP"]                       # free intensities instead of structure factors
# weight = 1.0                           # multiplies chi-squared of this histogram
# plot = { zoom = [30, 36], scale = "sqrt" }

[[spectrum]]                             # one table per NMR spectrum, with phases and histograms or without
name = "nmr"                             # its parameters are called nmr/...
file = "glass_27Al.csdf"                 # CSDM, SIMPSON, TopSpin folder or columns of text
# format = "columns"                     # when it must not be guessed; axis = "ppm" or "hz" for columns
isotope = "27Al"
b0_tesla = 11.7                          # or larmor_mhz = 130.3; not needed when the file says it
mas_hz = 12500.0                         # left out: a static spectrum; inf: no sidebands
# rotor_angle_deg = 54.7356
transitions = "central"                  # "satellites", "all", or pairs [[0.5, -0.5], [1.5, 0.5]]
# integration_density = 90               # chosen when left out
# dead_time_us = 5.0                     # missing start of the decay: the model gets the same rolling baseline
# excitation = { kind = "pulse", length_us = 1.0, rf_hz = 50e3, carrier_ppm = 0.0 }
#                                        # or { kind = "gaussian", fwhm_hz = 2e5, carrier_ppm = 0.0 }
region_ppm = [[100.0, -50.0]]            # what is fitted; all when left out
noise_region_ppm = [300.0, 250.0]        # without signal; needed for zero-filled spectra. Or sigma = 12.0
baseline = 2                             # terms of a polynomial, refinable as nmr/baseline
# amplitudes = "keep"                    # keep the ratios given and scale all sites; "fit" by least squares
# pivot_ppm = 60.0                       # where nmr/phase1 has no effect
# weight = 1.0
# plot = { zoom = [80, 40] }
# processing = { lorentzian_hz = 20.0, cosine = 0, size = 8192, auto = true, baseline_ppm = [[300, 250]] }
#                                        # makes a spectrum of a decay; also start, points, gaussian_hz, first_point,
#                                        # zero_deg, first_deg, pivot_ppm, baseline_order; topspin = 1 takes what is
#                                        # not given from pdata/1 of a TopSpin folder
[[spectrum.site]]                        # parameters nmr/shift[Al1], nmr/cq[Al1] ...
label = "Al1"
shift_ppm = 62.0
cq_mhz = 3.2
eta_q = 0.3                              # an asymmetry of 0 that a stage frees starts at 0.1 instead
gaussian_hz = 300.0                      # or gaussian_ppm; four points when no width is given
# lorentzian_hz, zeta_ppm, eta, euler_deg = [0, 0, 0], euler_q_deg, amplitude
# quadrupolar_spread_mhz, shielding_spread_ppm: a Czjzek distribution
# instead of sites:                      tensors = "model": they follow the structure, see below
# instead of sites, one width for all:   peaks_ppm = [62.0, 13.5] with peak_intensities, or
#                                        magres = "file.magres" with reference = { reference_ppm = 550.0, slope = -1.0 }
# without a file (simulate-spectrum):    points, width_khz, centre_ppm

[start]                                  # starting values by parameter name
"xrd/size[FAP]" = 0.3

[bounds]
"u_iso" = [0.0, inf]

[[tie]]                                  # target = factor * source + offset
target = "u_iso[O2]"
source = "u_iso[O1]"
# factor = 1.0
# offset = 0.0

[[restraint]]
kind = "bond"                            # "bond", "angle", "bonds", "distances", "angles" or "prior"
atoms = ["P1", "O1"]                     # two labels for a bond, three for an angle (the middle one is the vertex)
value = 1.53                             # Å or degrees
sigma = 0.02
# phase = "FAP"                          # when there are several
# weight = 1.0
# kind = "bonds" keeps all bond lengths of a phase where they start: phase, sigma
# kind = "distances" restrains all of some kinds of elements, each to its mean and spread; "O-Si-O" are two O of one Si:
#                expected = { "Si-O" = [1.61, 0.01], "O-Si-O" = [2.62, 0.03] }
# kind = "angles" does so with angles: expected = { "O-Si-O" = [109.5, 2.0] }
#                both and "bonds" take count = "cell": every distance of the cell is one observation, not only those that
#                symmetry does not repeat
# kind = "prior" keeps one parameter near a value: parameter, value, sigma

# [[model]], [[peaks]], [[tensors]]      # NMR tensors that models predict from the structure: see below
# [[couplings]]                          # dipolar and J couplings: see below

[[stage]]                                # stages are cumulative; the last one decides what is refined in the end
                                         # (for spectra alone they may be left out: positions, tensors, widths)
name = "scale and background"
free = ["xrd/scale", "xrd/background"]   # * and ? match parts of names: "xyz[O*]", "xrd/*"
# fix = []
# max_steps = 20

[solver]
kind = "levenberg-marquardt"             # or "gauss-newton"
max_steps = 50
# tolerance = 1e-3
# positive_u = false                     # keep isotropic displacements from becoming negative
# weights = "variance-components"        # and robust = "cauchy" of any data: see below

[output]
# correlation_threshold = 0.8            # which correlations the report lists
# pictures = ["png"]                     # also "pdf", "svg"
```
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from ..diffraction.records import Instrument
from ..objectives import Loss
from ..units import b_to_u
from .couplings import CouplingsSpec, read_couplings
from .joint import ModelSpec, PeaksSpec, TensorsSpec, read_model, read_peaks, read_restraint, read_tensors
from .spectrum import SpectrumSpec, read_spec
from .table import Table, nearest, read_toml
from .weights import read_robust

_INSTRUMENT_WORDS = ("radiation", "geometry", "wavelengths", "name")
INSTRUMENT_NUMBERS = tuple(f.name for f in fields(Instrument) if f.name not in _INSTRUMENT_WORDS)
PICTURES = ("png", "pdf", "svg")


@dataclass(frozen=True)
class PhaseSpec:
    """One ``[[phase]]``: a file, or ``inline`` arguments of :meth:`jaxnmr.Crystal.create`."""

    name: str
    file: Path | None
    entry: str | int | None
    species: dict[str, str]
    inline: dict[str, Any] | None


@dataclass(frozen=True)
class HistogramSpec:
    """One ``[[histogram]]``; ``instrument`` holds the fields that replace those of the file."""

    name: str
    file: Path | None
    range: tuple[float, float, float] | None
    format: str | None
    bank: int | None
    instrument_file: Path | None
    instrument: dict[str, Any]
    limits: tuple[float, float] | None
    excluded: tuple[tuple[float, float], ...]
    background: dict[str, Any]
    phases: tuple[str, ...]
    march_axis: dict[str, tuple[int, int, int]]
    stephens: tuple[str, ...]
    lebail: tuple[str, ...]
    weight: float
    zoom: tuple[float, float] | str | None
    scale: str
    robust: Loss | None = None


@dataclass(frozen=True)
class StageSpec:
    """One ``[[stage]]``."""

    name: str
    free: tuple[str, ...]
    fix: tuple[str, ...]
    max_steps: int | None


@dataclass(frozen=True)
class Run:
    """A checked run file. :meth:`build` reads the data and makes the objects of a refinement."""

    path: Path
    title: str
    phases: tuple[PhaseSpec, ...]
    histograms: tuple[HistogramSpec, ...]
    start: dict[str, float | tuple[float, ...]]
    bounds: dict[str, tuple[float, float]]
    ties: tuple[dict[str, Any], ...]
    restraints: tuple[dict[str, Any], ...]
    stages: tuple[StageSpec, ...]
    solver: dict[str, Any]
    correlation_threshold: float = 0.8
    pictures: tuple[str, ...] = field(default=("png",))
    spectra: tuple[SpectrumSpec, ...] = ()
    models: tuple[ModelSpec, ...] = ()
    peaks: tuple[PeaksSpec, ...] = ()
    tensors: tuple[TensorsSpec, ...] = ()
    couplings: tuple[CouplingsSpec, ...] = ()

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Every file the run reads, the run file first, each once."""
        files = [self.path, *(p.file for p in self.phases)]
        for histogram in self.histograms:
            files += [histogram.file, histogram.instrument_file]
        for spec in (*self.spectra, *self.models):
            files += spec.inputs
        return tuple(dict.fromkeys(f for f in files if f is not None))

    def build(self) -> Setup:
        """Read the files and build what :func:`jaxnmr.refine` takes.

        Raises:
            JaxnmrError: a file, a structure, a pattern or a parameter name that does not fit; the message names the
                place in the run file where that helps.
        """
        from .build import build

        return build(self)


class Setup(NamedTuple):
    """What :meth:`Run.build` returns, in the order :func:`jaxnmr.refine` wants it."""

    objective: Any
    parameters: Any
    stages: Any
    solver: Any


def load_run(path: str | Path) -> Run:
    """Read and check a run file; data files are not touched yet.

    Raises:
        ParseError: no such file, not TOML, an unknown or missing key, a value of the wrong kind, an unset
            environment variable, a phase that is not defined.
    """
    top = read_toml(path)
    phases = tuple(_phase(table) for table in top.tables("phase"))
    names = tuple(p.name for p in phases)
    histograms = tuple(_histogram(table, names) for table in top.tables("histogram"))
    spectra = tuple(read_spec(table, names) for table in top.tables("spectrum"))
    models = tuple(read_model(table, names) for table in top.tables("model"))
    peaks = tuple(read_peaks(table, names) for table in top.tables("peaks"))
    tensors = tuple(read_tensors(table, names) for table in top.tables("tensors"))
    couplings = tuple(read_couplings(table, names) for table in top.tables("couplings"))
    restraints = tuple(read_restraint(table, names) for table in top.tables("restraint"))
    if not (phases or spectra):
        raise top.error("a run needs at least one [[phase]], or a [[spectrum]]")
    if not (histograms or spectra or peaks or tensors or couplings or restraints):
        raise top.error(
            "a run needs at least one [[histogram]], or data of another kind: [[spectrum]], [[peaks]], [[tensors]], "
            "[[couplings]] or [[restraint]]"
        )
    if bool(phases) < bool(histograms or models):
        raise top.error(f"a [[{'histogram' if histograms else 'model'}]] needs at least one [[phase]]")
    data = histograms + spectra + peaks + tensors + couplings
    for kind, specs in (("phase", phases), ("histogram, spectrum, peaks, tensors or couplings", data)):
        called = [spec.name for spec in specs]
        for name in called:
            if called.count(name) > 1:
                raise top.error(f"two tables [[{kind}]] are called {name!r}; give each its own name")
    output = top.table("output")
    run = Run(
        path=Path(path),
        title=top.text("title", Path(path).stem),
        phases=phases,
        histograms=histograms,
        start=_start(top.table("start")),
        bounds=_bounds(top.table("bounds")),
        ties=tuple(_tie(table) for table in top.tables("tie")),
        restraints=restraints,
        stages=tuple(_stage(table, k) for k, table in enumerate(top.tables("stage"))),
        solver=_solver(top.table("solver")),
        correlation_threshold=output.number("correlation_threshold", 0.8, positive=True),
        pictures=output.texts("pictures", ("png",), choices=PICTURES),
        spectra=spectra,
        models=models,
        peaks=peaks,
        tensors=tensors,
        couplings=couplings,
    )
    output.done()
    top.done()
    return run


def _phase(table: Table) -> PhaseSpec:
    name = table.text("name")
    file = table.path("file", None)
    by_number = isinstance(table.content.get("entry"), int)
    entry = table.integer("entry", minimum=1) if by_number else table.text("entry", None)
    overrides = table.table("species")
    species = {label: overrides.text(label) for label in overrides.content}
    inline = None
    if table.has("cell") or table.has("sites") or table.has("spacegroup"):
        if file is not None:
            raise table.error("give either file or cell, spacegroup and sites, not both")
        inline = _structure(table)
    elif file is None:
        raise table.error("give file, or the structure itself with cell, spacegroup and sites")
    table.done()
    return PhaseSpec(name=name, file=file, entry=entry, species=species, inline=inline)


def _structure(table: Table) -> dict[str, Any]:
    group = table.integer("spacegroup", minimum=1) if isinstance(table.content.get("spacegroup"), int) else None
    arguments: dict[str, Any] = {
        "cell": table.numbers("cell", count=6),
        "spacegroup": table.text("spacegroup") if group is None else group,
    }
    columns: dict[str, list] = {key: [] for key in ("labels", "species", "xyz", "occupancy", "u_iso", "u_aniso")}
    nan = (float("nan"),) * 6
    for site in table.tables("sites"):
        columns["species"].append(site.text("type"))
        columns["labels"].append(site.text("label"))
        columns["xyz"].append(site.numbers("xyz", count=3))
        columns["occupancy"].append(site.number("occupancy", 1.0))
        u_iso, b_iso = site.number("u_iso", None), site.number("b_iso", None)
        aniso = site.numbers("u_aniso", None, count=6)
        if sum(value is not None for value in (u_iso, b_iso, aniso)) > 1:
            raise site.error("give one of u_iso, b_iso and u_aniso")
        columns["u_iso"].append(b_to_u(b_iso) if b_iso is not None else 0.01 if u_iso is None else u_iso)
        columns["u_aniso"].append(nan if aniso is None else aniso)
        site.done()
    if not columns["species"]:
        raise table.error("sites is empty: a structure needs at least one")
    return {**arguments, **columns}


def _histogram(table: Table, phases: tuple[str, ...]) -> HistogramSpec:
    name = table.text("name")
    if "/" in name or "[" in name:
        raise table.error(f"{name!r} cannot be part of parameter names; leave out / and [", "name")
    file, grid = table.path("file", None), table.numbers("range", None, count=3)
    if (file is None) == (grid is None):
        raise table.error("give a file with the measured pattern, or range = [first, last, step] to simulate one")
    if grid is not None and not (grid[2] > 0 and grid[1] > grid[0] + 3 * grid[2]):
        raise table.error(f"expected [first, last, step] in degrees, got {list(grid)}", "range")
    limits = table.numbers("limits", None, count=2)
    if limits is not None and not limits[0] < limits[1]:
        raise table.error(f"expected [low, high], got {list(limits)}", "limits")
    plot = table.table("plot")
    zoom = plot.content.get("zoom", "auto")
    zoom = (
        plot.text("zoom", "auto", choices=("auto", "none")) if isinstance(zoom, str) else plot.numbers("zoom", count=2)
    )
    spec = HistogramSpec(
        name=name,
        file=file,
        range=grid,
        format=table.text("format", None),
        bank=table.integer("bank", None, minimum=1),
        instrument_file=table.path("instrument", None),
        instrument=_instrument(table),
        limits=limits,
        excluded=table.ranges("excluded"),
        background=_background(table.table("background")),
        phases=table.texts("phases", phases, choices=phases),
        march_axis=_axes(table.table("march_axis"), phases),
        stephens=table.texts("stephens", (), choices=phases),
        lebail=table.texts("lebail", (), choices=phases),
        weight=table.number("weight", 1.0, positive=True),
        zoom=None if zoom == "none" else zoom,
        scale=plot.text("scale", "linear", choices=("linear", "sqrt")),
        robust=read_robust(table),
    )
    plot.done()
    table.done()
    return spec


def _instrument(table: Table) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if table.has("radiation"):
        changes["radiation"] = table.text("radiation", choices=("xray", "neutron"))
    if table.has("geometry"):
        changes["geometry"] = table.text("geometry", choices=("bragg-brentano", "debye-scherrer"))
    if table.has("wavelength"):
        listed = isinstance(table.content["wavelength"], list)
        changes["wavelengths"] = (
            table.numbers("wavelength", count=(1, 2)) if listed else (table.number("wavelength", positive=True),)
        )
    for key in INSTRUMENT_NUMBERS:
        if table.has(key):
            changes[key] = table.number(key)
    return changes


def _background(table: Table) -> dict[str, Any]:
    kind = table.text("kind", "chebyshev", choices=("chebyshev", "interpolate"))
    if kind == "chebyshev":
        spec: dict[str, Any] = {"kind": kind, "terms": table.integer("terms", 6, minimum=1)}
    else:
        listed = isinstance(table.content.get("knots"), list)
        knots = table.numbers("knots") if listed else table.integer("knots", 9, minimum=2)
        spec = {"kind": kind, "knots": knots, "spacing": table.text("spacing", "linear", choices=("linear", "log"))}
    table.done()
    return spec


def _axes(table: Table, phases: tuple[str, ...]) -> dict[str, tuple[int, int, int]]:
    out = {}
    for phase in table.content:
        if phase not in phases:
            raise table.error(f"no phase {phase!r}{nearest(phase, phases)}")
        h, k, l = table.numbers(phase, count=3)
        out[phase] = (round(h), round(k), round(l))
    return out


def _start(table: Table) -> dict[str, float | tuple[float, ...]]:
    _quoted(table)
    return {
        name: table.numbers(name) if isinstance(value, list) else table.number(name)
        for name, value in table.content.items()
    }


def _quoted(table: Table) -> None:
    for name, value in table.content.items():
        if isinstance(value, dict):
            raise table.error(
                'TOML splits this name at its dots; put parameter names in quotes: "xyz[O1.x]" = ...', name
            )


def _bounds(table: Table) -> dict[str, tuple[float, float]]:
    _quoted(table)
    out = {}
    for name in table.content:
        low, high = table.numbers(name, count=2)
        if not low < high:
            raise table.error(f"expected [low, high] (inf for none), got [{low:g}, {high:g}]", name)
        out[name] = (low, high)
    return out


def _tie(table: Table) -> dict[str, Any]:
    tie = {
        "target": table.text("target"),
        "source": table.text("source"),
        "factor": table.number("factor", 1.0),
        "offset": table.number("offset", 0.0),
    }
    table.done()
    return tie


def _stage(table: Table, index: int) -> StageSpec:
    stage = StageSpec(
        name=table.text("name", f"stage {index + 1}"),
        free=table.texts("free", ()),
        fix=table.texts("fix", ()),
        max_steps=table.integer("max_steps", None, minimum=1),
    )
    table.done()
    return stage


def _solver(table: Table) -> dict[str, Any]:
    spec = {
        "kind": table.text("kind", "levenberg-marquardt", choices=("levenberg-marquardt", "gauss-newton")),
        "max_steps": table.integer("max_steps", None, minimum=1),
        "tolerance": table.number("tolerance", None, positive=True),
        "positive_u": table.flag("positive_u", False),
        "weights": table.text("weights", None, choices=("variance-components",)),
    }
    table.done()
    return spec
