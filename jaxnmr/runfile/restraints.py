"""``[[restraint]]``: distances, angles and parameters that are known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..crystal import Crystal
from ..objective import Term
from ..terms import Prior, Restraint
from .shared import phase_of
from .table import Table
from .weights import read_robust, weighted


def read_restraint(table: Table, phases: tuple[str, ...]) -> dict[str, Any]:
    """Check one ``[[restraint]]`` table."""
    kind = table.text("kind", choices=("bond", "angle", "bonds", "distances", "angles", "prior"))
    spec: dict[str, Any] = {"kind": kind, "weight": table.number("weight", 1.0, positive=True)}
    spec["robust"] = read_robust(table)
    if kind in ("distances", "angles"):
        spec["expected"] = _expected(table.table("expected"), (2, 3) if kind == "distances" else (3,))
    else:
        spec["sigma"] = table.number("sigma", 0.02 if kind == "bonds" else None, positive=True)
        if spec["sigma"] is None:
            raise table.error("the key 'sigma' is missing: how closely the value is to be kept")
    if kind in ("bonds", "distances", "angles"):
        spec["count"] = table.text("count", "distinct", choices=("distinct", "cell"))
    if kind == "prior":
        spec["parameter"] = table.text("parameter")
    else:
        spec["phase"] = phase_of(table, phases, "distances and angles are those of structures")
    if kind in ("bond", "angle"):
        spec["atoms"] = table.texts("atoms")
        wanted = 2 if kind == "bond" else 3
        if len(spec["atoms"]) != wanted:
            raise table.error(f"expected {wanted} site labels, got {list(spec['atoms'])}", "atoms")
    if kind in ("bond", "angle", "prior"):
        spec["value"] = table.number("value")
    table.done()
    return spec


def _expected(table: Table, lengths: tuple[int, ...]) -> dict[tuple[str, ...], tuple[float, float]]:
    """Mean and spread by kind, ``"O-Si-O"`` as a tuple."""
    if not table.content:
        example = '{ "Si-O" = [1.61, 0.01] }' if 2 in lengths else '{ "O-Si-O" = [109.5, 2.0] }'
        raise table.error(f"expected mean and sigma by kind, such as {example}")
    out = {}
    for key in table.content:
        elements = tuple(key.split("-"))
        if len(elements) not in lengths or not all(elements):
            wanted = " or ".join(("Si-O" if n == 2 else "O-Si-O") for n in lengths)
            raise table.error(f"expected elements such as {wanted}", key)
        mean, sigma = table.numbers(key, count=2)
        if not sigma > 0:
            raise table.error(f"expected mean and sigma, a positive number, got {table.content[key]!r}", key)
        out[elements] = (mean, sigma)
    return out


def restraint_term(spec: dict[str, Any], number: int, crystals: Mapping[str, Crystal]) -> Any:
    """The weighted term of the ``[[restraint]]`` of this number, counted from 1."""
    term: Term
    make: Callable[..., Restraint]
    if spec["kind"] == "prior":
        term = Prior(spec["parameter"], spec["value"], spec["sigma"], name=f"prior {number}")
    else:
        crystal = crystals[spec["phase"] or next(iter(crystals))]
        if spec["kind"] == "bonds":
            term = Restraint.bonds(crystal, sigma=spec["sigma"], count=spec["count"], name=f"bonds {number}")
        elif spec["kind"] in ("distances", "angles"):
            make = Restraint.distances if spec["kind"] == "distances" else Restraint.angles
            term = make(crystal, spec["expected"], count=spec["count"], name=f"{spec['kind']} {number}")
        else:
            make = Restraint.bond if spec["kind"] == "bond" else Restraint.angle
            name = f"{spec['kind']} {number}: {'-'.join(spec['atoms'])}"
            term = make(crystal, spec["atoms"], spec["value"], spec["sigma"], name=name)
    return weighted(term, spec["weight"], spec["robust"])
