"""Report entries about the models used in a refinement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..objective import Objective

# metric of a model card, its usual name, its unit
_SCORES = (("iso_mae", "isotropic", " ppm"), ("span_mae", "span", " ppm"), ("cq_size_mae_mhz", "C_Q", " MHz"))


def model_records(objective: Objective) -> list[dict[str, Any]]:
    """Return records of the models used in the refinement, one for every phase whose tensors they predicted."""
    return [source.record() for source in objective.sources]


def model_rows(models: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Tabulate name, phase, heads, level of theory, members and errors of every model."""
    rows = []
    for of in models:
        heads = "; ".join(
            f"{head} of {', '.join(elements)}" if elements else head for head, elements in of["predicts"].items()
        )
        rows.append(
            (of["name"], of["phase"], heads, of["level_of_theory"] or "–", of["members"], _errors(of["scores"]))
        )
    return rows


def _errors(scores: dict[str, float]) -> str:
    found = [
        f"{key.split('/')[0]} {what} {value:.2g}{unit}"
        for metric, what, unit in _SCORES
        for key, value in scores.items()
        if value is not None and key.split("/")[-1] == metric
    ]
    return ", ".join(found) or "not given"
