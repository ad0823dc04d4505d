"""Weights of data: ``weight`` and ``robust`` of every table of data, and ``weights`` of the solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import ParameterError
from ..objective import Loss, TermSum
from ..objective.losses import SCALES
from .keys import Spec, either, key, read, required
from .table import REQUIRED, Table


def weight_key() -> Any:
    """Make the key ``weight``."""
    return key(Table.positive, 1.0, help="multiplies chi-squared of these data")


def curve_weight_key() -> Any:
    """Make the key ``weight`` of patterns and spectra: a number, or ``"residuals"``."""
    help = 'multiplies chi-squared of these data; "residuals" finds it: sigma times goodness of fit and SCOR of a first refinement'
    return key(either(str, _by_residuals, Table.positive), 1.0, help=help)


def _by_residuals(table: Table, name: str, default: Any = REQUIRED) -> str:
    return table.text(name, choices=("residuals",))


def robust_key() -> Any:
    """Make the key ``robust``: a `Loss`, ``None`` if absent."""
    help = "few wrong data do no harm, see below; also a table:"
    return key(either(str, _by_name, _scaled), None, '"soft_l1"', help, of=LossSpec)


def _by_name(table: Table, name: str, default: Any = REQUIRED) -> Loss:
    return Loss.create(table.text(name, choices=SCALES))


@dataclass(frozen=True, kw_only=True)
class LossSpec(Spec):
    """``robust = { ... }``."""

    loss: str = required(Table.text, '"cauchy"', choices=SCALES)
    scale: float | None = key(Table.positive, None, "3.0", "from how many sigmas on residuals count less")


def _scaled(table: Table, name: str, default: Any = REQUIRED) -> Loss | None:
    if not table.has(name):
        return default
    inner = table.table(name)
    found = read(inner, LossSpec)
    try:
        return Loss.create(found.loss, found.scale)
    except ParameterError as err:
        raise inner.error(str(err), "scale") from None


def weighted(term: Any, weight: float | str, robust: Loss | None) -> Any:
    """Return a term with its weight and its loss.

    Raises:
        ParameterError: a weight from residuals is combined with a robust loss.
    """
    if isinstance(weight, str):
        term = TermSum(term) if robust is None else TermSum(term, losses=(robust,))
        return term.by_residuals()
    if robust is not None:
        term = TermSum(term, losses=(robust,))
    return term if weight == 1.0 else weight * term
