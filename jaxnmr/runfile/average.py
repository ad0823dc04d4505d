"""Run files of thermal averages: a crystal, an energy, tensor models, temperatures and times in one TOML file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..crystal import Crystal
from ..dynamics.order import Bridges, Distortion, Observer, Observers
from ..dynamics.schedule import Schedule
from ..dynamics.series import Stop, itinerary
from ..dynamics.supercells import Supercell
from ..errors import JaxnmrError
from ..io import read_crystal
from ..nmr import ShiftReference, SpectrumMAS, SpectrumStatic
from .energy import file_or_name as energy_name
from .keys import EMPTY, Spec, by_name, either, flat, key, part, parts, read, required
from .models import PublishedSpec, ReferenceSpec, file_or_name
from .run import StructureSpec, by_number, typed_in
from .shared import isotope_of
from .spectrum import Transitions, WidthsSpec, pairs_of, transitions_of
from .table import REQUIRED, Table, read_toml

if TYPE_CHECKING:
    from ..models import TensorModel


def _models(table: Table, name: str, default: Any = REQUIRED) -> tuple[Path | str, ...]:
    texts = table.texts(name, default)
    if not texts:
        raise table.error('expected one or several tensor models, such as ["silica-29si", "silica-efg"]', name)
    return tuple(file_or_name(table.inner(table.where, {name: text}), name) for text in texts)


def _one_temperature(table: Table, name: str, default: Any = REQUIRED) -> tuple[float, ...]:
    return (table.positive(name, default),)


def _repeats(table: Table, name: str, default: Any = REQUIRED) -> tuple[int, ...] | None:
    found = table.numbers(name, default, count=3)
    if found is None:
        return None
    if any(n < 1 or n != int(n) for n in found):
        raise table.error(f"expected three whole numbers such as [2, 2, 2], got {table.content[name]}", name)
    return tuple(int(n) for n in found)


def _made(table: Table, make: Callable[[], Any]) -> Any:
    """What is made; what it complains about is an error of the run file."""
    try:
        return make()
    except JaxnmrError as error:
        raise table.error(str(error)) from error


@dataclass(frozen=True, kw_only=True)
class CrystalSpec(Spec):
    """The table ``[crystal]``."""

    file: Path | None = key(
        Table.path,
        None,
        '"quartz.cif"',
        "CIF or another structure file; or give cell, spacegroup and sites",
        shown=True,
    )
    name: str = key(Table.text, "", '"quartz"', "that of the file when left out")
    entry: str | int | None = key(
        either(int, by_number, Table.text),
        None,
        '"quartz"',
        "which data block, by name or number, when the file has several",
    )
    spacegroup: str | int | None = key(either(int, by_number, Table.text), None, '"P 32 2 1"', "or its number")
    structure: StructureSpec | None = key(typed_in, None, of=StructureSpec)

    def crystal(self) -> Crystal:
        """The crystal.

        Raises:
            ParseError, ConventionError: a structure that makes no sense.
        """
        name = self.name or (self.file.stem if self.file is not None else "crystal")
        if self.structure is None:
            assert self.file is not None
            return read_crystal(self.file, block=self.entry, name=name, spacegroup=self.spacegroup)
        sites = self.structure.sites
        assert self.spacegroup is not None
        return Crystal.create(
            cell=self.structure.cell,
            spacegroup=self.spacegroup,
            labels=[site.label for site in sites],
            species=[site.type for site in sites],
            xyz=[site.xyz for site in sites],
            occupancy=[site.occupancy for site in sites],
            name=name,
        )


@dataclass(frozen=True, kw_only=True)
class PotentialSpec(Spec):
    """The table ``[energy]``."""

    model: Path | str = required(
        energy_name, '"chgnet-r2scan"', 'or another potential, "chik" for example, or a JSON file of a pair potential'
    )


@dataclass(frozen=True, kw_only=True)
class DynamicsSpec(Spec):
    """The table ``[dynamics]``."""

    settle_ps: float = key(Table.number, Schedule.settle_ps, help="before averaging begins", shown=True)
    run_ps: float = key(Table.positive, Schedule.run_ps, help="of averaging, at every temperature", shown=True)
    timestep_fs: float = key(Table.positive, Schedule.timestep_fs, shown=True)
    every_fs: float = key(
        Table.positive, Schedule.every_fs, help="between frames, whose tensors are predicted", shown=True
    )
    cell: str = key(
        Table.text, Schedule.cell, help="full: lengths and angles fluctuate; isotropic: the volume alone", choices=("full", "isotropic", "fixed"),
    )  # fmt: skip
    pressure_gpa: float = key(Table.number, Schedule.pressure_gpa, help="where the cell is not fixed")
    relaxation_fs: float = key(Table.positive, Schedule.relaxation_fs, help="of the thermostat")
    seed: int = key(Table.integer, Schedule.seed, help="of velocities and random forces")

    def check(self, table: Table) -> None:
        if self.cell == "fixed" and "pressure_gpa" in table.content:
            raise table.error("a fixed cell has the pressure that it has: leave pressure_gpa out", "pressure_gpa")
        _made(table, lambda: self.schedule)

    @property
    def schedule(self) -> Schedule:
        """The same for :func:`jaxnmr.dynamics.thermal_average`."""
        return Schedule(**vars(self))


def _reference(table: Table, name: str) -> ShiftReference:
    inner = table.table(name)
    if inner.has("published"):
        return _made(inner, read(inner, PublishedSpec).reference)
    return _made(inner, read(inner, ReferenceSpec).reference)


def _bridge(table: Table, name: str, default: Any = REQUIRED) -> tuple[str, ...] | None:
    text = table.text(name, default)
    if text is None:
        return None
    elements = tuple(text.split("-"))
    if len(elements) != 3 or not all(elements):
        raise table.error(f"{text!r} is no bridge; expected three elements such as 'Si-O-Si'", name)
    return elements


def _place(table: Table, name: str) -> tuple[float, ...]:
    return table.numbers(name, count=3)


@dataclass(frozen=True, kw_only=True)
class OrderSpec(Spec):
    """The table ``[order]``."""

    bridges: tuple[str, ...] | None = key(
        _bridge, None, '"Si-O-Si"', "how far the atom in the middle stays on one side, and the angle at it", shown=True
    )
    sites: dict[str, tuple[float, ...]] | None = key(
        by_name, None, "{ Si1 = [0.5, 0.0, 0.6667], O1 = [0.4157, 0.2078, 0.8333] }", each=_place,
        help="where sites are in the form of higher symmetry, in the same cell: the amplitude of the distortion is followed",
    )  # fmt: skip


def _range(table: Table, name: str, default: Any = REQUIRED) -> tuple[float, float] | None:
    """Two shifts in either order."""
    found = table.numbers(name, default, count=2)
    if found is None:
        return None
    low, high = sorted(found)
    if not low < high:
        raise table.error(f"expected two different shifts, got {table.content[name]}", name)
    return low, high


@dataclass(frozen=True, kw_only=True)
class AveragedSpectrumSpec(Spec):
    """One ``[[spectrum]]``."""

    name: str = key(Table.text, "", '"si_mas"', "of its files; the nucleus when left out", shown=True)
    isotope: str = required(isotope_of, '"29Si"')
    b0_tesla: float | None = key(Table.positive, None, "9.4", shown=True)
    larmor_mhz: float | None = key(Table.positive, None, "79.5", "instead of b0_tesla")
    mas_hz: float = key(Table.number, 0.0, "5000.0", "left out: a static spectrum; inf: no sidebands", shown=True)
    transitions: Transitions | tuple[tuple[float, float], ...] = key(
        either((str, type(None)), transitions_of, pairs_of), "central", help='"satellites", "all", or pairs [[0.5, -0.5], [1.5, 0.5]]'
    )  # fmt: skip
    range_ppm: tuple[float, float] | None = key(
        _range, None, "[-80.0, -140.0]", "of the axis; as wide as it needs to be when left out"
    )
    points: int = key(Table.integer, 2048, minimum=4)
    widths: WidthsSpec = key(flat, EMPTY, of=WidthsSpec)

    def check(self, table: Table) -> None:
        if (self.b0_tesla is None) == (self.larmor_mhz is None):
            raise table.error("give the field: b0_tesla or larmor_mhz, one of them")
        if not all(letter.isalnum() or letter in "-_" for letter in self.name):
            raise table.error(f"{self.name!r} is the name of files, too: letters, digits, - and _", "name")
        _made(table, lambda: self.experiment)

    @property
    def experiment(self) -> SpectrumStatic | SpectrumMAS:
        """What is simulated."""
        field: dict[str, Any] = {"transitions": self.transitions}
        if self.b0_tesla is not None:
            field["b0_tesla"] = self.b0_tesla
        else:
            field["larmor_hz"] = 1e6 * float(self.larmor_mhz or 0.0)
        return (
            SpectrumMAS(self.isotope, mas_hz=self.mas_hz, **field)
            if self.mas_hz
            else SpectrumStatic(self.isotope, **field)
        )

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of :func:`jaxnmr.dynamics.averaged_spectra`."""
        return {
            "name": self.name or self.isotope, "range_ppm": self.range_ppm, "points": self.points,
            **self.widths.in_hz(self.experiment.larmor_hz),
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AverageRun(Spec):
    """A checked run file of a thermal average."""

    path: Path
    title: str = key(Table.text, "", '"Quartz at room temperature"', shown=True)
    models: tuple[Path | str, ...] = required(
        _models, '["silica-29si", "silica-efg"]', "tensor models, by name or file, that predict different things"
    )
    temperatures: tuple[float, ...] = required(
        either(list, Table.numbers, _one_temperature), "300.0", "K; or several, [300, 500, 700]: each goes on from the one before",
        name="temperature",
    )  # fmt: skip
    back: bool = key(Table.flag, False, help="true: of several, afterwards from the last to the first again")
    repeats: tuple[int, int, int] | None = key(
        _repeats, None, "[2, 2, 2]", "cells along a, b, c; as many as make it 10 Å wide when left out"
    )
    trajectory: bool = key(Table.flag, False, help="true: write trajectory.extxyz, to look at with ASE, OVITO or VMD")
    crystal: CrystalSpec = required(part, "[crystal]", of=CrystalSpec)
    energy: PotentialSpec = required(part, "[energy]", of=PotentialSpec)
    dynamics: DynamicsSpec = key(part, EMPTY, "[dynamics]", of=DynamicsSpec, shown=True)
    references: dict[str, ShiftReference] = key(
        by_name, EMPTY, '[references.Si]\npublished = "nmrcryspy/29Si"\ncore_ppm = 838.0', each=_reference, shown=True,
        help="of chemical shifts, a regression of the literature, or reference_ppm and slope; that of the model when left out",
    )  # fmt: skip
    order: OrderSpec = key(part, EMPTY, "[order]", "numbers to follow beside tensors", of=OrderSpec, shown=True)
    spectra: tuple[AveragedSpectrumSpec, ...] = key(
        parts, EMPTY, "[[spectrum]]", "of averaged tensors and without motion", name="spectrum", of=AveragedSpectrumSpec, shown=True
    )  # fmt: skip

    def check(self, table: Table) -> None:
        _made(table, lambda: self.stops)
        names = [spec.name or spec.isotope for spec in self.spectra]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise table.error(f"two spectra are called {repeated[0]!r}: give them different names", "spectrum")

    @property
    def stops(self) -> tuple[Stop, ...]:
        """Temperatures in order."""
        return itinerary(self.temperatures, back=self.back)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files it was made from."""
        files = (self.crystal.file, self.energy.model, *self.models)
        return (self.path, *(file for file in files if isinstance(file, Path)))

    def tensor_models(self) -> list[TensorModel]:
        """The models, read."""
        from ..models import TensorModel

        return [TensorModel.load(model) for model in self.models]

    def observer(self, cell: Supercell) -> Observer | None:
        """What ``[order]`` asks for."""
        members: list[Observer] = []
        if self.order.bridges is not None:
            members.append(Bridges(cell, self.order.bridges))
        if self.order.sites is not None:
            members.append(Distortion(cell, self.order.sites))
        return Observers(members) if members else None


def load_average(path: str | Path) -> AverageRun:
    """Read and check a run file of a thermal average; files that it names are not touched yet.

    Raises:
        ParseError: no such file, not TOML, an unknown or missing key, or a value that makes no sense.
    """
    return read(read_toml(path), AverageRun, path=Path(path), title=Path(path).stem)
