"""Run files of refinements: reading and checks; ``manual.md`` documents all keys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .._arguments import checked
from ..diffraction.harmonics import ORDERS
from ..diffraction.powder import DEFAULT_CUTOFF
from ..objective import Loss
from ..units import b_to_u
from .background import BackgroundSpec
from .constraints import ConstraintSpec, TieSpec, parameter
from .couplings import CouplingsSpec
from .echo_term import EchoSpec, echoes
from .energy import EnergySpec
from .keys import EMPTY, Spec, by_name, either, flat, given, key, part, parts, read, record, records, required
from .models import ModelSpec
from .peaks import PeaksSpec
from .quantification import QuantificationSpec
from .restraints import RestraintSpec
from .shared import plain_name
from .spectrum import SpectrumSpec
from .table import REQUIRED, Table, nearest, read_toml
from .tensors import TensorsSpec
from .weights import curve_weight_key, robust_key


@dataclass(frozen=True, kw_only=True)
class AtomSpec(Spec):
    """One of the ``sites`` of a structure."""

    label: str = required(Table.text, '"Ca1"')
    type: str = required(Table.text, '"Ca"')
    xyz: tuple[float, ...] = required(Table.numbers, "[0.3333, 0.6667, 0.0]", count=3)
    occupancy: float = key(Table.number, 1.0)
    u_iso: float | None = key(Table.number, None, "0.01", unit="Å²")
    b_iso: float | None = key(Table.number, None, "0.8", "instead of u_iso", unit="Å²")
    u_aniso: tuple[float, ...] | None = key(
        Table.numbers,
        None,
        "[0.01, 0.01, 0.01, 0.0, 0.0, 0.0]",
        "U11, U22, U33, U12, U13, U23",
        count=6,
        unit="Å²",
    )

    def check(self, table: Table) -> None:
        if sum(value is not None for value in (self.u_iso, self.b_iso, self.u_aniso)) > 1:
            raise table.error("give one of u_iso, b_iso and u_aniso")

    @property
    def isotropic(self) -> float:
        """U in Å²."""
        return b_to_u(self.b_iso) if self.b_iso is not None else 0.01 if self.u_iso is None else self.u_iso


def by_number(table: Table, name: str, default: Any = REQUIRED) -> int:
    """A number from 1 on."""
    return table.integer(name, minimum=1)


@dataclass(frozen=True, kw_only=True)
class StructureSpec(Spec):
    """A structure given in the run file."""

    cell: tuple[float, ...] = required(Table.numbers, "[9.37, 9.37, 6.88, 90, 90, 120]", count=6, unit="Å and degrees")
    sites: tuple[AtomSpec, ...] = required(
        parts, '[{ label = "Ca1", type = "Ca", xyz = [0.3333, 0.6667, 0.0], u_iso = 0.01 }]', of=AtomSpec
    )

    def check(self, table: Table) -> None:
        if not self.sites:
            raise table.error("sites is empty: a structure needs at least one")


def typed_in(table: Table, name: str, default: Any = REQUIRED, *, of: type[StructureSpec]) -> StructureSpec | None:
    """A structure that is typed in, where no file is named."""
    inline = any([table.has(key) for key in ("cell", "sites")])
    if inline and table.has("file"):
        raise table.error(
            "give either file or cell, spacegroup and sites, not both; spacegroup alone may stand beside file"
        )
    if inline and not table.has("spacegroup"):
        raise table.error("a structure that is typed in needs spacegroup, its symbol or number")
    if not (inline or table.has("file")):
        raise table.error("give file, or the structure itself with cell, spacegroup and sites")
    return flat(table, name, of=of) if inline else default


@dataclass(frozen=True, kw_only=True)
class PhaseSpec(Spec):
    """One ``[[phase]]``: a file, or a structure."""

    name: str = required(Table.text, '"FAP"')
    file: Path | None = key(
        Table.path, None, '"FAP.cif"', "CIF or another structure file; or give cell, spacegroup and sites", shown=True
    )
    entry: str | int | None = key(
        either(int, by_number, Table.text), None, '"FAP"',
        help="which data block or phase, by name or number, when the file has several",
    )  # fmt: skip
    species: dict[str, str] = key(
        by_name,
        EMPTY,
        '{ Ca1 = "Ca2+" }',
        'scattering types by site label: ions, deuterium, isotopes as "7Li"',
        each=Table.text,
    )
    spacegroup: str | int | None = key(
        either(int, by_number, Table.text), None, '"P 63/m"',
        help='or its number; "F d -3 m:2" where there are two origins, "hall: -P 6c" as a Hall symbol. Beside a CIF or SHELX '
        "file only where the file leaves the origin open or contradicts itself",
    )  # fmt: skip
    structure: StructureSpec | None = key(typed_in, None, of=StructureSpec)

    @property
    def inline(self) -> dict[str, Any] | None:
        """The structure given in the run file, as arguments of :meth:`jaxnmr.Crystal.create`."""
        if self.structure is None:
            return None
        sites, nan = self.structure.sites, (float("nan"),) * 6
        return {
            "cell": self.structure.cell,
            "spacegroup": self.spacegroup,
            "labels": [site.label for site in sites],
            "species": [site.type for site in sites],
            "xyz": [site.xyz for site in sites],
            "occupancy": [site.occupancy for site in sites],
            "u_iso": [site.isotropic for site in sites],
            "u_aniso": [site.u_aniso or nan for site in sites],
        }


def _one_wavelength(table: Table, name: str, default: Any = REQUIRED) -> tuple[float, ...] | None:
    return (table.positive(name),) if table.has(name) else default


def _wavelengths(table: Table, name: str, default: Any = REQUIRED) -> tuple[float, ...]:
    return table.numbers(name, count=(1, 2))


@dataclass(frozen=True, kw_only=True)
class InstrumentSpec(Spec):
    """Fields of an :class:`~jaxnmr.diffraction.Instrument` that override those of its file."""

    radiation: str | None = key(Table.text, None, '"xray"', choices=("xray", "neutron"))
    geometry: str | None = key(Table.text, None, '"bragg-brentano"', choices=("bragg-brentano", "debye-scherrer"))
    wavelengths: tuple[float, ...] | None = key(
        either(list, _wavelengths, _one_wavelength),
        None,
        "[1.5405, 1.5443]",
        "or one number",
        name="wavelength",
        unit="Å",
    )
    ratio: float | None = key(Table.number, None, "0.5", "intensity of the second wavelength")
    radius_mm: float | None = key(Table.number, None, "200.0")
    polarization: float | None = key(Table.number, None, "0.5")
    monochromator_deg: float | None = key(
        Table.number, None, "26.6", "2θ of a monochromator crystal in either beam; replaces polarization"
    )
    divergence_slit: str | None = key(
        Table.text, None, '"automatic"', choices=("fixed", "automatic"),
        help="automatic: opens with the angle, the irradiated length is constant; calculated peaks are multiplied by sin θ",
    )  # fmt: skip
    zero: float | None = key(
        Table.number,
        None,
        "0.0",
        "this and the following are starting values, refinable as xrd/zero, xrd/U ...",
        unit="degrees",
    )
    U: float | None = key(Table.number, None, "2.0", unit="centidegree²")
    V: float | None = key(Table.number, None, "-2.0", unit="centidegree²")
    W: float | None = key(Table.number, None, "5.0", unit="centidegree²")
    X: float | None = key(Table.number, None, "0.0", unit="centidegree")
    Y: float | None = key(Table.number, None, "0.0", unit="centidegree")
    Z: float | None = key(Table.number, None, "0.0", unit="centidegree")
    shl: float | None = key(Table.number, None, "0.002", "axial divergence (S + H)/L")
    axial_ratio: float | None = key(Table.number, None, "1.0", "S/H")
    mu_r: float | None = key(Table.number, None, "0.0", "absorption of a capillary: xrd/absorption")


def _zoom_word(table: Table, name: str, default: Any = REQUIRED) -> str | None:
    word = table.text(name, default, choices=("auto", "none"))
    return None if word == "none" else word


def _zoom_range(table: Table, name: str, default: Any = REQUIRED) -> tuple[float, float]:
    return table.numbers(name, default, count=2)


@dataclass(frozen=True, kw_only=True)
class PlotSpec(Spec):
    """``plot = { ... }``."""

    zoom: tuple[float, float] | str | None = key(
        either(str, _zoom_word, _zoom_range),
        "auto",
        help='or "none", or a range of degrees',
        unit="degrees 2θ",
    )
    scale: str = key(Table.text, "linear", choices=("linear", "sqrt"))


def _phases(table: Table, name: str, default: Any = REQUIRED) -> tuple[str, ...]:
    return table.texts(name, table.phases if default is None else default, choices=table.phases)


def _order(table: Table, phase: str) -> int:
    if phase not in table.phases:
        raise table.error(f"no phase {phase!r}{nearest(phase, table.phases)}")
    order = table.integer(phase)
    if order not in ORDERS:
        raise table.error(f"expected the highest order, 2, 4, 6 or 8; got {order}", phase)
    return order


def _axis(table: Table, phase: str) -> tuple[int, int, int]:
    if phase not in table.phases:
        raise table.error(f"no phase {phase!r}{nearest(phase, table.phases)}")
    axis = table.numbers(phase, count=3)
    h, k, l = (round(n) if abs(n) < 1e6 else 0 for n in axis)
    if (h, k, l) != axis or not any(axis):
        what = "size" if table.where.endswith("size_axis") else "texture"
        raise table.error(
            f"expected hkl of the {what} axis in whole numbers, such as [0, 0, 1]; got {list(axis)}", phase
        )
    return (h, k, l)


@dataclass(frozen=True, kw_only=True)
class HistogramSpec(Spec):
    """One ``[[histogram]]``."""

    name: str = required(plain_name, '"xrd"', "its parameters are called xrd/...")
    file: Path | None = key(Table.path, None, '"FAP.XRA"', shown=True)
    range: tuple[float, float, float] | None = key(
        Table.numbers, None, "[10, 120, 0.02]", count=3,
        help="instead of a file: first, last and step in degrees, for simulations",
        unit="degrees 2θ",
    )  # fmt: skip
    format: str | None = key(Table.text, None, '"gsas"', "when the content does not tell")
    bank: int | None = key(
        Table.integer, None, "1", minimum=1, help="which scan, range or block, of a file with several"
    )
    instrument_file: Path | None = key(
        Table.path, None, '"INST_XRY.PRM"', name="instrument", shown=True,
        help="instrument file; the keys below, from radiation to mu_r, replace what it says",
    )  # fmt: skip
    own_instrument: InstrumentSpec = required(flat, of=InstrumentSpec)
    limits: tuple[float, float] | None = key(
        Table.numbers, None, "[15.0, 130.0]", count=2, shown=True, unit="degrees 2θ"
    )
    excluded: tuple[tuple[float, float], ...] = key(Table.ranges, (), "[[14.0, 18.0]]", unit="degrees 2θ")
    background: dict[str, Any] = required(
        record, '{ kind = "chebyshev", terms = 9 }', of=BackgroundSpec,
        help="a polynomial, a curve through knots, or one through points; peaks, humps and a measured file are added to it",
    )  # fmt: skip
    phases: tuple[str, ...] = key(_phases, None, '["FAP"]', "all phases when left out")
    march_axis: dict[str, tuple[int, int, int]] = key(
        by_name, EMPTY, "{ FAP = [0, 0, 1] }", "preferred orientation, refinable as xrd/march[FAP]", each=_axis
    )
    stephens: tuple[str, ...] = key(_phases, (), '["FAP"]', "anisotropic strain, refinable as xrd/stephens_FAP")
    harmonics: dict[str, int] = key(
        by_name, EMPTY, "{ FAP = 8 }", each=_order,
        help="preferred orientation in spherical harmonics up to this order, refinable as xrd/texture_FAP",
    )  # fmt: skip
    size_axis: dict[str, tuple[int, int, int]] = key(
        by_name, EMPTY, "{ FAP = [0, 0, 1] }", each=_axis,
        help="crystallites with another size along this axis, xrd/size_along[FAP]; xrd/size[FAP] is that across",
    )  # fmt: skip
    dispersion: tuple[str, ...] = key(
        Table.texts, (), '["Ca"]', "elements whose f' and f'' are parameters, xrd/f1[Ca] and xrd/f2[Ca]"
    )
    lebail: tuple[str, ...] = key(_phases, (), '["FAP"]', "free intensities instead of structure factors")
    axial_mode: Literal["converged", "gsas"] = key(
        Table.text, "converged", choices=("converged", "gsas"),
        help="how axial divergence is integrated: gsas takes the one to three nodes of GSAS-II, for comparisons with it",
    )  # fmt: skip
    cutoff: float = key(Table.positive, DEFAULT_CUTOFF, "5e-5", "tails of peaks end at this fraction of their height")
    weight: float | str = curve_weight_key()
    plot: PlotSpec = key(part, EMPTY, '{ zoom = [30, 36], scale = "sqrt" }', of=PlotSpec)
    robust: Loss | None = robust_key()

    @property
    def instrument(self) -> dict[str, Any]:
        """Fields of the instrument that override those of its file."""
        return given(self.own_instrument)

    @property
    def zoom(self) -> tuple[float, float] | str | None:
        """Range that its figure shows enlarged."""
        return self.plot.zoom

    @property
    def scale(self) -> str:
        """Intensity scale of its figure."""
        return self.plot.scale

    def check(self, table: Table) -> None:
        grid, limits = self.range, self.limits
        if (self.file is None) == (grid is None):
            raise table.error("give a file with the measured pattern, or range = [first, last, step] to simulate one")
        if grid is not None and not (grid[2] > 0 and grid[1] > grid[0] + 3 * grid[2]):
            raise table.error(f"expected [first, last, step] in degrees, got {list(grid)}", "range")
        if limits is not None and not limits[0] < limits[1]:
            raise table.error(f"expected [low, high], got {list(limits)}", "limits")


@dataclass(frozen=True, kw_only=True)
class StageSpec(Spec):
    """One ``[[stage]]``."""

    name: str = key(Table.text, "", '"scale and background"', shown=True)
    free: tuple[str, ...] = key(
        Table.texts, (), '["xrd/scale", "xrd/background"]', shown=True,
        help='* and ? match parts of names: "xyz[O*]", "xrd/*"',
    )  # fmt: skip
    fix: tuple[str, ...] = key(Table.texts, ())
    max_steps: int | None = key(Table.integer, None, "20", minimum=1)


@dataclass(frozen=True, kw_only=True)
class SolverSpec(Spec):
    """The table ``[solver]``."""

    kind: str = key(Table.text, "levenberg-marquardt", choices=("levenberg-marquardt", "gauss-newton"), shown=True)
    max_steps: int | None = key(Table.integer, None, "50", minimum=1, shown=True)
    tolerance: float | None = key(Table.positive, None, "1e-3")
    positive_u: bool = key(Table.flag, False, help="keep isotropic displacements from becoming negative")
    weights: str | None = key(
        Table.text, None, '"variance-components"', choices=("variance-components",),
        help="multiply the uncertainties of every data set by what its own residuals ask for: see below",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class OutputSpec(Spec):
    """The table ``[output]``."""

    correlation_threshold: float = key(Table.positive, 0.8, help="which correlations the report lists")
    pictures: tuple[str, ...] = key(Table.texts, ("png",), choices=("png", "pdf", "svg"))


def _bound(table: Table, name: str) -> tuple[float, float]:
    low, high = table.numbers(name, count=2)
    if not low < high:
        raise table.error(f"expected [low, high] (inf for none), got [{low:g}, {high:g}]", name)
    return (low, high)


def _named_phases(table: Table, name: str, default: Any = REQUIRED, *, of: type[PhaseSpec]) -> tuple[PhaseSpec, ...]:
    found = parts(table, name, of=of)
    table.phases = tuple(phase.name for phase in found)
    return found


def _stages(table: Table, name: str, default: Any = REQUIRED, *, of: type[StageSpec]) -> tuple[StageSpec, ...]:
    return tuple(read(inner, of, name=f"stage {k}") for k, inner in enumerate(table.tables(name), 1))


@dataclass(frozen=True, kw_only=True)
class Run(Spec):
    """A checked run file; :func:`jaxnmr.runfile.build` reads the data and makes the objects of a refinement."""

    path: Path
    title: str = key(Table.text, "", '"Fluorapatite, laboratory X-rays"', shown=True)
    phases: tuple[PhaseSpec, ...] = required(
        _named_phases, "[[phase]]", "one table per phase", name="phase", of=PhaseSpec
    )
    histograms: tuple[HistogramSpec, ...] = required(
        parts, "[[histogram]]", "one table per measured pattern", name="histogram", of=HistogramSpec
    )
    quantification: QuantificationSpec = required(
        part, "[quantification]", "weight fractions of several phases: what else is known", of=QuantificationSpec
    )
    spectra: tuple[SpectrumSpec, ...] = required(
        parts, "[[spectrum]]", name="spectrum", of=SpectrumSpec,
        help="one table per NMR spectrum, with phases and histograms or without",
    )  # fmt: skip
    models: tuple[ModelSpec, ...] = required(parts, "[[model]]", name="model", of=ModelSpec)
    peaks: tuple[PeaksSpec, ...] = required(parts, "[[peaks]]", "isotropic shifts read off a spectrum", of=PeaksSpec)
    tensors: tuple[TensorsSpec, ...] = required(parts, "[[tensors]]", "tensors measured at sites", of=TensorsSpec)
    couplings: tuple[CouplingsSpec, ...] = required(parts, "[[couplings]]", "between pairs of spins", of=CouplingsSpec)
    energies: tuple[EnergySpec, ...] = required(
        parts, "[[energy]]", "by a potential, as knowledge of a structure", name="energy", of=EnergySpec
    )
    echoes: tuple[EchoSpec, ...] = required(echoes, "[[echo]]", "a measured spin-echo curve", name="echo", of=EchoSpec)
    start: dict[str, float | tuple[float, ...]] = required(
        by_name, '[start]\n"xrd/size[FAP]" = 0.3', each=parameter(either(list, Table.numbers, Table.number)),
        help="starting values by parameter name",
    )  # fmt: skip
    bounds: dict[str, tuple[float, float]] = required(by_name, '[bounds]\n"u_iso" = [0.0, inf]', each=parameter(_bound))
    ties: tuple[dict[str, Any], ...] = required(
        records, "[[tie]]", "target = factor * source + offset, with one source or several", name="tie", of=TieSpec
    )
    constraints: tuple[ConstraintSpec, ...] = required(
        parts, "[[constraint]]", "sums that are kept exactly", name="constraint", of=ConstraintSpec
    )
    restraints: tuple[RestraintSpec, ...] = required(parts, "[[restraint]]", name="restraint", of=RestraintSpec)
    stages: tuple[StageSpec, ...] = required(
        _stages, "[[stage]]", name="stage", of=StageSpec,
        help="stages are cumulative; the last one decides what is refined in the end (for spectra alone they may be "
        "left out: positions, tensors, widths)",
    )  # fmt: skip
    solver: dict[str, Any] = required(record, "[solver]", of=SolverSpec)
    output: OutputSpec = required(part, "[output]", of=OutputSpec)

    @property
    def correlation_threshold(self) -> float:
        """Smallest correlation that the report lists."""
        return self.output.correlation_threshold

    @property
    def pictures(self) -> tuple[str, ...]:
        """Formats of the figures."""
        return self.output.pictures

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Every file the run reads, the run file first, each once."""
        files: list[Path | None] = [self.path, *(p.file for p in self.phases)]
        for histogram in self.histograms:
            files += [histogram.file, histogram.instrument_file, histogram.background["file"]]
        for spectrum in self.spectra:
            files += spectrum.inputs
        for model in self.models:
            files += model.inputs
        for energy in self.energies:
            files += energy.inputs
        for echo in self.echoes:
            files += echo.data
        return tuple(dict.fromkeys(f for f in files if f is not None))

    def check(self, table: Table) -> None:
        data = self.histograms + self.spectra + self.peaks + self.tensors + self.couplings + self.echoes
        if not (self.phases or self.spectra or self.echoes):
            raise table.error("a run needs at least one [[phase]], or a [[spectrum]] or [[echo]]")
        if not (data or self.restraints or self.energies):
            raise table.error(
                "a run needs at least one [[histogram]], or data of another kind: [[spectrum]], [[peaks]], [[tensors]], "
                "[[couplings]], [[echo]], [[restraint]] or [[energy]]"
            )
        if bool(self.phases) < bool(self.histograms or self.models):
            raise table.error(f"a [[{'histogram' if self.histograms else 'model'}]] needs at least one [[phase]]")
        named = (*data, *self.energies)
        for kind, specs in (
            ("phase", self.phases),
            ("histogram, spectrum, peaks, tensors, couplings, echo or energy", named),
        ):
            called = [spec.name for spec in specs]
            for name in called:
                if called.count(name) > 1:
                    raise table.error(f"two tables [[{kind}]] are called {name!r}; give each its own name")


@checked
def load_run(path: str | Path) -> Run:
    """Read and check a run file; data files are not touched yet.

    Raises:
        ParseError: the file does not exist or is not TOML, a key is unknown or missing, a value has the wrong type, an
            environment variable is not set, or a phase is not defined.
    """
    return read(read_toml(path), Run, path=Path(path), title=Path(path).stem)
