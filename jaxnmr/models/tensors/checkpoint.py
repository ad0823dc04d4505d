"""Model files: arrays as safetensors, everything else as JSON in the header of the same file (host)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..._model_file import find_shipped, read_described, require_shapes, shipped_names, write_described
from ...errors import ConventionError, ParseError
from ..networks.config import NetworkConfig

FORMAT = 1
SHIPPED = Path(__file__).parent / "shipped"
_KEY = "jaxnmr"


def shipped_models() -> tuple[str, ...]:
    """List the names of the models shipped with the package, in alphabetical order (host)."""
    return shipped_names(SHIPPED)


def find_checkpoint(path_or_name: str | Path) -> Path:
    """Return the file of a model, given as a path or as the name of a shipped model.

    Raises:
        ConventionError: there is no shipped model of that name.
    """
    hint = ". Energies, such as chgnet-r2scan, are those of jn.EnergyModel.load"
    return find_shipped(path_or_name, SHIPPED, "model", hint)


def write_checkpoint(
    path: str | Path, config: NetworkConfig, card: Any, arrays: Mapping[str, Any], *, members: int | None = None
) -> Path:
    """Write a model; the file is replaced atomically and never incomplete.

    Args:
        path: the file.
        config, card: description written as JSON.
        arrays: parameters and environments by name.
        members: number of members of an ensemble, whose parameters have a leading axis; ``None`` for a single network.

    Raises:
        DataError: parameters are not finite, the description cannot be written as JSON, or the file cannot be written.
    """
    description = {"architecture": config.to_dict(), "card": dataclasses.asdict(card), "members": members}
    return write_described(path, _KEY, FORMAT, description, arrays)


def read_checkpoint(
    path: str | Path,
    names_and_shapes: Callable[[NetworkConfig, int | None, Mapping[str, np.ndarray]], Mapping[str, tuple[int, ...]]]
    | None,
) -> tuple[NetworkConfig, dict[str, Any], dict[str, np.ndarray], int | None]:
    """Read architecture, card, arrays and number of members (``None`` for a single network) of a model.

    Args:
        path: the file.
        names_and_shapes: returns the arrays required by an architecture with so many members, given those found;
            ``None`` to skip this check, which has to trace the network.

    Raises:
        ParseError: there is no such file, it is not a model, it is damaged or of another version, or parameters do not
            match.
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
