"""``[[restraint]]``: prior knowledge of distances, angles and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..crystal import Crystal
from ..objective import Loss
from ..terms import Prior, Restraint
from ..terms.restraints import Count
from .keys import Spec, key, required
from .shared import phase_of
from .table import REQUIRED, Table
from .weights import robust_key, weight_key, weighted

Kind = Literal["bond", "angle", "bonds", "distances", "angles", "prior"]
_KINDS: tuple[Kind, ...] = get_args(Kind)
_STRUCTURAL = _KINDS[:-1]


def _sigma(table: Table, key: str, default: Any = REQUIRED) -> float:
    sigma = table.positive(key, 0.02 if table.content["kind"] == "bonds" else None)
    if sigma is None:
        raise table.error("the key 'sigma' is missing: how closely the value is to be kept")
    return sigma


def _atoms(table: Table, key: str, default: Any = REQUIRED) -> tuple[str, ...]:
    atoms, wanted = table.texts(key), 2 if table.content["kind"] == "bond" else 3
    if len(atoms) != wanted:
        raise table.error(f"expected {wanted} site labels, got {list(atoms)}", key)
    return atoms


def _expected(table: Table, key: str, default: Any = REQUIRED) -> dict[tuple[str, ...], tuple[float, float]]:
    """Read mean and spread by kind, with ``"O-Si-O"`` as a tuple."""
    lengths = (2, 3) if table.content["kind"] == "distances" else (3,)
    inner = table.table(key)
    if not inner.content:
        example = '{ "Si-O" = [1.61, 0.01] }' if 2 in lengths else '{ "O-Si-O" = [109.5, 2.0] }'
        raise inner.error(f"expected mean and sigma by kind, such as {example}")
    out = {}
    for kind in inner.content:
        elements = tuple(kind.split("-"))
        if len(elements) not in lengths or not all(elements):
            wanted = " or ".join(("Si-O" if n == 2 else "O-Si-O") for n in lengths)
            raise inner.error(f"expected elements such as {wanted}", kind)
        mean, sigma = inner.numbers(kind, count=2)
        if not sigma > 0:
            raise inner.error(f"expected mean and sigma, a positive number, got {inner.content[kind]!r}", kind)
        out[elements] = (mean, sigma)
    return out


@dataclass(frozen=True, kw_only=True, eq=False)
class RestraintSpec(Spec):
    """One ``[[restraint]]``."""

    kind: Kind = required(
        Table.text, '"bond"', choices=_KINDS,
        help="bonds keeps all bond lengths of a phase where they start; distances and angles restrain all of some "
        "kinds of elements, each to its mean and spread; prior keeps a parameter near a value",
    )  # fmt: skip
    weight: float = weight_key()
    robust: Loss | None = robust_key()
    expected: dict[tuple[str, ...], tuple[float, float]] = required(
        _expected, '{ "Si-O" = [1.61, 0.01], "O-Si-O" = [2.62, 0.03] }', kinds=("distances", "angles"),
        help="mean and sigma; O-Si-O are two O of one Si",
    )  # fmt: skip
    sigma: float = required(_sigma, "0.02", kinds=("bond", "angle", "bonds", "prior"))
    count: Count = key(
        Table.text, "distinct", kinds=("bonds", "distances", "angles"), choices=get_args(Count),
        help="what is one observation: a distance that symmetry does not repeat, or every one of the cell",
    )  # fmt: skip
    parameter: str = required(Table.text, '"u_iso[O1]"', kinds=("prior",))
    phase: str = key(
        phase_of, None, '"FAP"', kinds=_STRUCTURAL, why="distances and angles are those of structures",
        help="when there are several",
    )  # fmt: skip
    atoms: tuple[str, ...] = required(
        _atoms, '["P1", "O1"]', kinds=("bond", "angle"),
        help="labels, two for a bond, three for an angle (the middle one is the vertex)",
    )  # fmt: skip
    value: float = required(Table.number, "1.53", "Å or degrees", kinds=("bond", "angle", "prior"))


def restraint_term(spec: RestraintSpec, number: int, crystals: Mapping[str, Crystal]) -> Any:
    """Make the weighted term of the ``[[restraint]]`` with this number, counted from 1."""
    return weighted(_term(spec, f"{spec.kind} {number}", crystals), spec.weight, spec.robust)


def _term(spec: RestraintSpec, name: str, crystals: Mapping[str, Crystal]) -> Prior | Restraint:
    if spec.kind == "prior":
        return Prior(spec.parameter, spec.value, spec.sigma, name=name)
    crystal = crystals[spec.phase]
    if spec.kind == "bonds":
        return Restraint.bonds(crystal, sigma=spec.sigma, count=spec.count, name=name)
    if spec.kind == "distances":
        return Restraint.distances(crystal, spec.expected, count=spec.count, name=name)
    if spec.kind == "angles":
        expected = {(first, vertex, last): of for (first, vertex, last), of in spec.expected.items()}
        return Restraint.angles(crystal, expected, count=spec.count, name=name)
    make = Restraint.bond if spec.kind == "bond" else Restraint.angle
    return make(crystal, spec.atoms, spec.value, spec.sigma, name=f"{name}: {'-'.join(spec.atoms)}")
