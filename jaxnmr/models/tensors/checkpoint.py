"""Models on disk: arrays as safetensors, everything else as JSON in the header of the same file (host)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..._model_file import read_described, require_shapes, write_described
from ...errors import ConventionError, ParseError
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
    description = {"architecture": config.to_dict(), "card": dataclasses.asdict(card), "members": members}
    return write_described(path, _KEY, FORMAT, description, arrays)


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
    description, arrays = read_described(path, _KEY, FORMAT, what="a model", written_by="TensorModel.save")
    try:
        card, members = description["card"], description.get("members")
        if not (members is None or (type(members) is int and members > 0)):
            raise ValueError(f"members is {members!r}; expected a positive number or null")
        config = NetworkConfig.from_dict(description["architecture"])
    except (ValueError, KeyError, TypeError, ConventionError) as error:
        raise ParseError(path, None, f"the description of the model cannot be read: {error}") from error
    shapes = {name: array.shape for name, array in arrays.items()}
    if names_and_shapes is not None:
        require_shapes(path, shapes, dict(names_and_shapes(config, members, arrays)))
    return config, card, arrays, members
