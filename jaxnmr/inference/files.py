"""Files of posteriors and classifiers: location, arrays and metadata (host)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from .._files import write_atomically
from .._model_file import find_shipped
from ..errors import DataError, ParseError

FORMAT = 1
_OFFSETS = ("offsets", "offset")
SHIPPED = Path(__file__).parent / "shipped"


def file_of(path_or_name: str | Path, what: str) -> Path:
    """Return a file, given as a path or as the name of one shipped with the package.

    Raises:
        ParseError: there is no such file.
        ConventionError: nothing with that name is shipped.
    """
    path = find_shipped(path_or_name, SHIPPED, what)
    if not path.is_file():
        raise ParseError(path, None, f"no such file; expected a {what} written by a training")
    return path


def write_arrays(path: Path, key: str, arrays: Mapping[str, np.ndarray], said: dict[str, Any]) -> Path:
    """Write a safetensors file with arrays in single precision or less, and everything else in its header.

    Raises:
        DataError: numbers are not finite.
    """
    kept = {}
    for name, array in arrays.items():
        # offsets need double precision: weights may be in the thousands
        kind = np.float64 if name.endswith(_OFFSETS) else np.float32 if array.dtype == np.float64 else None
        kept[name] = np.ascontiguousarray(array, kind)
        if not np.isfinite(kept[name]).all():
            raise DataError(f"{name} is not finite: the training has diverged")
    return write_atomically(path, safetensors.numpy.save(kept, metadata={key: json.dumps(said)}))


def read_arrays(path: Path, key: str, what: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a file written by `write_arrays`.

    Raises:
        ParseError: the file is of another kind or version, or damaged.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            said = json.loads((file.metadata() or {})[key])
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ParseError(path, None, f"is no {what}, or damaged: {error}") from error
    if said.get("format") != FORMAT:
        raise ParseError(path, None, f"is of format {said.get('format')}; this version reads {FORMAT}")
    return arrays, said
