"""What several tables of a run file have in common: a name, a phase, a nucleus, uncertainties."""

from __future__ import annotations

from typing import Any

from ..errors import ConventionError
from ..nmr import isotope
from .table import Table
from .weights import read_robust

Spread = tuple[float, ...] | str | None


def common(table: Table, default: str, phases: tuple[str, ...]) -> dict[str, Any]:
    """The keys that tables of peaks and tensors share, as arguments of their specs."""
    name, phase = plain_name(table, default), phase_of(table, phases, "tensors are predicted for structures")
    nucleus = table.text("nucleus")
    try:
        nucleus = isotope(nucleus).symbol
    except ConventionError as err:
        raise table.error(str(err), "nucleus") from None
    return {
        "name": name,
        "nucleus": nucleus,
        "phase": phase,
        "weight": table.number("weight", 1.0, positive=True),
        "robust": read_robust(table),
    }


def plain_name(table: Table, default: str) -> str:
    """The name of a term, as part of parameter names."""
    name = table.text("name", default)
    if "/" in name or "[" in name:
        raise table.error(f"{name!r} cannot be part of parameter names; leave out / and [", "name")
    return name


def phase_of(table: Table, phases: tuple[str, ...], why: str) -> str:
    """The phase that a table is about, the only one by default."""
    if not phases:
        raise table.error(f"{why}: a [[phase]] is missing")
    phase = table.text("phase", None, choices=phases)
    if phase is None and len(phases) > 1:
        raise table.error(f"there are {len(phases)} phases: say which with phase = {phases[0]!r}")
    return phase or phases[0]


def spread(table: Table, key: str, lengths: tuple[int, ...] | None, least: float | None = None) -> Any:
    """Uncertainties: a number where one will do, or as many as ``lengths`` allow; ``None`` when there is no such key."""
    if not table.has(key):
        return None
    if lengths != (1,) and (isinstance(table.content[key], list) or (lengths is not None and 1 not in lengths)):
        values = table.numbers(key, count=lengths)
    else:
        values = (table.number(key),)
    if any(not (v > 0 if least is None else v >= least) or v == float("inf") for v in values):
        what = "positive numbers" if least is None else f"numbers from {least:g} on"
        raise table.error(f"expected {what}, got {table.content[key]!r}", key)
    return values


def model_spread(table: Table, lengths: tuple[int, ...] | None) -> Any:
    """The key ``sigma_model``: the word ``"model"``, or as :func:`spread`."""
    if isinstance(table.content.get("sigma_model"), str):
        return table.text("sigma_model", choices=("model",))
    return spread(table, "sigma_model", lengths, least=0.0)


def squeezed(values: Any) -> Any:
    """A number where there is one of them, else all."""
    return values[0] if isinstance(values, tuple) and len(values) == 1 else values
