"""``[[tie]]`` and ``[[constraint]]``: values derived from others, and sums kept constant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..crystal import Crystal
from ..objective import Parameters, cell_atoms, cell_charge
from .keys import Spec, by_name, either, key, required
from .shared import phase_of
from .table import REQUIRED, Table

Kind = Literal["sum", "charge", "atoms"]


def parameter(read: Any) -> Any:
    """Return a reader that names its value like a parameter."""

    def reader(table: Table, name: str) -> Any:
        if isinstance(table.content[name], dict):
            raise table.error(
                'TOML splits this name at its dots; put parameter names in quotes: "xyz[O1.x]" = ...', name
            )
        return read(table, name)

    return reader


def _factors(table: Table, name: str, default: Any = REQUIRED) -> dict[str, float]:
    found = by_name(table, name, each=parameter(Table.number))
    if not found:
        raise table.error('expected names with numbers, such as { "occupancy[Ca1]" = 1.0 }', name)
    return found


@dataclass(frozen=True, kw_only=True)
class TieSpec(Spec):
    """One ``[[tie]]``."""

    target: str = required(Table.text, '"u_iso[O2]"')
    source: str | dict[str, float] = required(
        either(dict, _factors, Table.text), '"u_iso[O1]"',
        help='or several, with a factor each: { "u_iso[O1]" = 0.5, "u_iso[O3]" = 0.5 }',
    )  # fmt: skip
    factor: float = key(Table.number, 1.0, help="of a single source")
    offset: float = key(Table.number, 0.0)

    def check(self, table: Table) -> None:
        if isinstance(self.source, dict) and table.has("factor"):
            raise table.error("several sources have a factor each, and there is another one; leave it out", "factor")


def _numbers(table: Table, name: str, default: Any = REQUIRED) -> dict[str, float]:
    found = by_name(table, name, each=Table.number)
    if not found:
        raise table.error("expected sites or elements with numbers, such as { Ca = 2, O = -2 }", name)
    return found


def _equals(table: Table, name: str, default: Any = REQUIRED) -> float:
    return table.number(name, 0.0 if table.content.get("kind") == "charge" else REQUIRED)


@dataclass(frozen=True, kw_only=True, eq=False)
class ConstraintSpec(Spec):
    """One ``[[constraint]]``."""

    kind: Kind = key(
        Table.text, "sum", choices=get_args(Kind),
        help="of values as they are, of charges in the cell by occupancies, or of atoms in the cell",
    )  # fmt: skip
    sum: dict[str, float] = required(
        _factors, '{ "occupancy[Ca1]" = 1.0, "occupancy[Sr1]" = 1.0, "occupancy[Ba1]" = 1.0 }', kinds=("sum",),
        help="the last one named follows the others",
    )  # fmt: skip
    equals: float = required(_equals, "1.0", "0.0 of charges when left out", kinds=("sum", "charge"))
    oxidation: dict[str, float] = required(
        _numbers, "{ Fe1 = 2, Fe2 = 3, O = -2 }", "states by site or element; all sites need one", kinds=("charge",)
    )
    atoms: dict[str, float] = required(
        _numbers, "{ Al = 4.0 }", "number in the cell, by element or site", kinds=("atoms",)
    )
    phase: str = key(
        phase_of, None, '"FAP"', kinds=("charge", "atoms"), why="a cell is that of a structure", help="when there are several"
    )  # fmt: skip


def constrained(
    parameters: Parameters, spec: ConstraintSpec, crystals: Mapping[str, Crystal], prefix: Mapping[str, str]
) -> Parameters:
    """Constrain a sum; ``prefix`` gives the name prefix of every phase."""
    if spec.kind == "sum":
        return parameters.constrain_sum(spec.sum, spec.equals)
    crystal, before = crystals[spec.phase], prefix[spec.phase]
    if spec.kind == "charge":
        return parameters.constrain_sum(cell_charge(crystal, spec.oxidation, before), spec.equals)
    for of, number in spec.atoms.items():
        parameters = parameters.constrain_sum(cell_atoms(crystal, of, before), number)
    return parameters
