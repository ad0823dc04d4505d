"""How strongly data count: ``weight`` and ``robust`` of every table of data, and ``weights`` of the solver."""

from __future__ import annotations

from typing import Any

from ..errors import ParameterError
from ..objective import Loss, TermSum
from ..objective.losses import SCALES
from .table import Table


def read_robust(table: Table) -> Loss | None:
    """The key ``robust`` of a table, ``None`` when it is not there."""
    if not table.has("robust"):
        return None
    if isinstance(table.content["robust"], str):
        return Loss.create(table.text("robust", choices=SCALES))
    inner = table.table("robust")
    kind, scale = inner.text("loss", choices=SCALES), inner.number("scale", None, positive=True)
    inner.done()
    try:
        return Loss.create(kind, scale)
    except ParameterError as err:
        raise inner.error(str(err), "scale") from None


def weighted(term: Any, weight: float, robust: Loss | None) -> Any:
    """A term with its weight and its loss."""
    if robust is not None:
        term = TermSum(term, losses=(robust,))
    return term if weight == 1.0 else weight * term
