"""Keys shared by several tables of a run file: name, phase, nucleus, uncertainties."""

from __future__ import annotations

from typing import Any, Literal

from ..errors import ConventionError
from ..nmr import isotope
from .keys import key
from .table import REQUIRED, Table

Spread = tuple[float, ...] | None
ModelSpread = Spread | Literal["model"]


def phase_key(why: str) -> Any:
    """Make the key ``phase``; ``why`` explains why phases are needed."""
    return key(phase_of, None, '"quartz"', "when there are several", why=why)


def plain_name(table: Table, key: str, default: Any = REQUIRED) -> str:
    """Read the name of a term, valid as part of parameter names."""
    name = table.text(key, default)
    if "/" in name or "[" in name:
        raise table.error(f"{name!r} cannot be part of parameter names; leave out / and [", key)
    return name


def isotope_of(table: Table, key: str, default: Any = REQUIRED) -> str:
    """Read an isotope."""
    try:
        return isotope(table.text(key)).symbol
    except ConventionError as err:
        raise table.error(str(err), key) from None


def phase_of(table: Table, key: str, default: Any = REQUIRED, *, why: str) -> str:
    """Read the phase that a table refers to, by default the only one."""
    phases = table.phases
    if not phases:
        raise table.error(f"{why}: a [[phase]] is missing")
    phase = table.text(key, None, choices=phases)
    if phase is None and len(phases) > 1:
        raise table.error(f"there are {len(phases)} phases: say which with phase = {phases[0]!r}")
    return phase or phases[0]


def spread(
    table: Table, key: str, default: Any = None, *, lengths: tuple[int, ...] | None = None, least: float | None = None
) -> Any:
    """Read uncertainties: a number if allowed, or as many as ``lengths`` allows; ``None`` without the key."""
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


def model_spread(table: Table, key: str, default: Any = None, *, lengths: tuple[int, ...] | None = None) -> Any:
    """Read the uncertainty of a model: the word ``"model"``, or as :func:`spread`."""
    if isinstance(table.content.get(key), str):
        return table.text(key, choices=("model",))
    return spread(table, key, lengths=lengths, least=0.0)


def common_spread(table: Table, key: str, default: Any = None, *, lengths: tuple[int, ...] = (1,)) -> Any:
    """Read standard deviations common to the predictions of all sites."""
    return spread(table, key, lengths=lengths, least=0.0)


def squeezed(values: Any) -> Any:
    """Return a tuple of one value as a number, any other unchanged."""
    return values[0] if isinstance(values, tuple) and len(values) == 1 else values
