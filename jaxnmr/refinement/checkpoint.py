"""The last good parameters on disk, in a file people can read (host)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from .._files import write_atomically
from ..errors import ParseError
from ..objective import Parameters


def write_checkpoint(path: str | Path, params: Parameters, stage: str, chi2: float) -> None:
    """Write every physical value by name; the file is replaced in one go, so it is never half written."""
    values = dict(zip(params.labels, map(float, np.asarray(params.flat)), strict=True))
    text = json.dumps({"stage": stage, "chi2": chi2, "values": values}, indent=1, ensure_ascii=False)
    write_atomically(path, text)


def read_checkpoint(path: str | Path, params: Parameters) -> Parameters:
    """Parameters with the values of a checkpoint; names must match.

    Raises:
        ParseError: not a checkpoint, or one of another model.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))["values"]
        flat = np.array([values[label] for label in params.labels], dtype=float)
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ParseError(path, None, f"not a checkpoint of this model: {err!r}") from err
    return params.replace(flat=flat)
