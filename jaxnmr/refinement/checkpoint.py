"""Checkpoints: the last good parameters in a human-readable file (host)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from .._files import write_atomically
from ..errors import ParseError
from ..objective import Parameters


def write_checkpoint(path: str | Path, params: Parameters, stage: str, chi2: float) -> None:
    """Write every physical value by name, creating the folder if necessary; the file is never left incomplete."""
    values = dict(zip(params.labels, map(float, np.asarray(params.flat)), strict=True))
    text = json.dumps({"stage": stage, "chi2": chi2, "values": values}, indent=1, ensure_ascii=False)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text)


def read_checkpoint(path: str | Path, params: Parameters) -> Parameters:
    """Return parameters with the values of a checkpoint; names must match.

    Raises:
        ParseError: there is no such file, it is not a checkpoint, or it belongs to another model.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))["values"]
    except FileNotFoundError:
        raise ParseError(path, None, "no such file: there is nothing to go on from; start from the beginning") from None
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ParseError(
            path, None, "is damaged, or no checkpoint at all: it does not hold the values of parameters in JSON; start from "
            "the beginning"
        ) from err  # fmt: skip
    values = values if isinstance(values, dict) else {}
    missing = [label for label in params.labels if label not in values]
    strange = [label for label in values if label not in params.labels]
    if missing or strange:
        parts = (("it does not hold", missing), ("it holds, as a stranger,", strange))
        what = " and ".join(f"{verb} {_some(labels)}" for verb, labels in parts if labels)
        raise ParseError(path, None, f"is the checkpoint of another model: {what}; start from the beginning")
    try:
        flat = np.array([values[label] for label in params.labels], dtype=float)
    except (TypeError, ValueError):
        flat = np.full(len(params.labels), np.nan)
    if not np.isfinite(flat).all():
        raise ParseError(path, None, "is damaged: not every value in it is a number; start from the beginning")
    return params.replace(flat=flat)


def _some(labels: list[str], most: int = 3) -> str:
    more = len(labels) - most
    return ", ".join(labels[:most]) + (f" and {more} more" if more > 0 else "")
