"""Run files of refinements, read and checked; ``manual.md`` says what may stand in one."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..diffraction.records import Instrument
from ..objective import Loss
from ..units import b_to_u
from .couplings import CouplingsSpec, read_couplings
from .models import ModelSpec, read_model
from .peaks import PeaksSpec, read_peaks
from .restraints import read_restraint
from .spectrum import SpectrumSpec, read_spec
from .table import Table, nearest, read_toml
from .tensors import TensorsSpec, read_tensors
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
    """A checked run file; :func:`jaxnmr.runfile.build` reads the data and makes the objects of a refinement."""

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
        files: list[Path | None] = [self.path, *(p.file for p in self.phases)]
        for histogram in self.histograms:
            files += [histogram.file, histogram.instrument_file]
        for spectrum in self.spectra:
            files += spectrum.inputs
        for model in self.models:
            files += model.inputs
        return tuple(dict.fromkeys(f for f in files if f is not None))


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
