"""Models on disk: arrays as safetensors, everything else as JSON in the header of the same file (host)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from ..._files import write_atomically
from ...errors import ConventionError, DataError, ParseError
from ..networks.config import NetworkConfig

FORMAT = 1
SHIPPED = Path(__file__).parent / "shipped"
_KEY = "jaxnmr"
_SUFFIX = ".safetensors"


def shipped_models() -> tuple[str, ...]:
    """Names of the models that come with the package, in alphabetical order (host)."""
    return tuple(sorted(path.name.removesuffix(_SUFFIX) for path in SHIPPED.glob(f"*{_SUFFIX}")))


def find_checkpoint(path_or_name: str | Path) -> Path:
    """The file of a model: a path, or the name of a model that comes with the package.

    A plain word without a suffix is a name, unless there is a file of that name.

    Raises:
        ConventionError: no model of that name comes with the package.
    """
    path = Path(path_or_name)
    if path.is_file() or path.suffix or path.name != str(path_or_name):
        return path
    names = shipped_models()
    if path.name not in names:
        raise ConventionError(
            f"no model {path.name!r} comes with jaxnmr; there are {', '.join(names) or 'none'}. Give one of these names, or "
            f"the path of a file ({path.name}{_SUFFIX}). Energies, such as chgnet-r2scan, are those of jn.EnergyModel.load"
        )
    return SHIPPED / f"{path.name}{_SUFFIX}"


def write_checkpoint(
    path: str | Path, config: NetworkConfig, card: Any, arrays: Mapping[str, Any], *, members: int | None = None
) -> Path:
    """Write a model; the file is replaced in one go, so it is never half written.

    Args:
        path: the file.
        config, card: what is written as JSON.
        arrays: parameters and environments by name.
        members: of an ensemble; its parameters have a leading axis.

    Raises:
        DataError: parameters that are not finite, a description JSON cannot hold, or a file that cannot be written.
    """
    path = Path(path)
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise DataError(f"parameter {name} is not finite: the training has diverged")
    description = {
        "format": FORMAT,
        "architecture": config.to_dict(),
        "card": dataclasses.asdict(card),
        "members": members,
        "sha256": _digest(arrays),
    }
    try:
        text = json.dumps(description, allow_nan=False, sort_keys=True, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"the description of the model does not fit in JSON: {error}") from error
    try:
        write_atomically(path, safetensors.numpy.save(arrays, metadata={_KEY: text}))
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def read_checkpoint(
    path: str | Path,
    names_and_shapes: Callable[[NetworkConfig, int | None, Mapping[str, np.ndarray]], Mapping[str, tuple[int, ...]]]
    | None,
) -> tuple[NetworkConfig, dict[str, Any], dict[str, np.ndarray], int | None]:
    """Architecture, card, arrays and number of members (``None`` for a single network) of a model.

    Args:
        path: the file.
        names_and_shapes: what an architecture with so many members needs, given the arrays that were found; ``None`` where that
            is known to be true, since a network is traced for it.

    Raises:
        ParseError: no such file, no model, corrupted numbers, another version, parameters that do not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise ParseError(path, None, "no such file; expected a model written by TensorModel.save")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, safetensors.SafetensorError) as error:
        raise ParseError(path, None, f"is damaged or no safetensors file: {error}") from error
    if _KEY not in metadata:
        raise ParseError(path, None, "holds arrays, but no description of a model by jaxnmr")
    try:
        description = json.loads(metadata[_KEY])
        version, digest, card = description["format"], description["sha256"], description["card"]
        members = description.get("members")
        if not (members is None or (type(members) is int and members > 0)):
            raise ValueError(f"members is {members!r}; expected a positive number or null")
        config = NetworkConfig.from_dict(description["architecture"])
    except (ValueError, KeyError, TypeError, ConventionError) as error:
        raise ParseError(path, None, f"the description of the model cannot be read: {error}") from error
    if version != FORMAT:
        raise ParseError(path, None, f"is of format {version}; this version of jaxnmr reads format {FORMAT}")
    if _digest(arrays) != digest:
        raise ParseError(path, None, "numbers differ from those that were saved: the file is damaged; get it again")
    shapes = {name: array.shape for name, array in arrays.items()}
    expected = shapes if names_and_shapes is None else dict(names_and_shapes(config, members, arrays))
    if shapes != expected:
        name = sorted(n for n in shapes.keys() | expected.keys() if shapes.get(n) != expected.get(n))[0]
        raise ParseError(
            path,
            None,
            f"parameter {name!r} has the shape {shapes.get(name)}; its architecture needs {expected.get(name)}",
        )
    return config, card, arrays, members


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
