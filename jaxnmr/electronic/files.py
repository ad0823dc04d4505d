"""Hamiltonian models on disk: arrays as safetensors, everything else as JSON in the header of the same file (host)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._model_file import find_shipped, flat, nested, read_described, require_shapes, shipped_names, write_described
from ..errors import ConventionError, ParseError
from .config import HamiltonianConfig

FORMAT = 1
SHIPPED = Path(__file__).parent / "shipped"
_KEY = "jaxnmr.electronic"


def shipped_hamiltonians() -> tuple[str, ...]:
    """List the names of the models shipped with the package (host)."""
    return shipped_names(SHIPPED)


def find_model(path_or_name: str | Path) -> Path:
    """Return the file of a model, given as a path or as the name of a shipped one.

    Raises:
        ConventionError: there is no shipped model of that name.
    """
    return find_shipped(path_or_name, SHIPPED, "Hamiltonian model")


def write_model(path: str | Path, model) -> Path:
    """Write a model; the file is replaced in one go.

    Raises:
        DataError: numbers that are not finite, a card that JSON cannot hold, or a file that cannot be written.
    """
    arrays = flat(model.weights, "weights") | flat(dict(model.scales), "scales") | flat(dict(model.shifts), "shifts")
    for name in ("environments", "ranges"):
        arrays |= flat({key: dict(of) for key, of in getattr(model, name).items()}, name)
    description = {"architecture": model.config.to_dict(), "card": dict(model.card)}
    return write_described(path, _KEY, FORMAT, description, arrays)


def read_model(path: str | Path, shapes_of: Callable[[HamiltonianConfig], Any]):
    """Architecture, card, weights, scales, shifts, environments and ranges.

    Raises:
        ParseError: no such file, no model, corrupted numbers, another version, parameters that do not fit.
    """
    path = Path(path)
    description, arrays = read_described(
        path, _KEY, FORMAT, what="a Hamiltonian model", written_by="HamiltonianModel.save"
    )
    try:
        card = description["card"]
        config = HamiltonianConfig.from_dict(_tuples(description["architecture"]))
    except (ValueError, KeyError, TypeError, AttributeError, ConventionError) as error:
        raise ParseError(path, None, f"the description of the model cannot be read: {error}") from error
    leaves = {name: jnp.asarray(array) for name, array in arrays.items()}
    weights = nested(leaves, "weights")
    shapes = lambda of: {name: np.shape(leaf) for name, leaf in flat(of, "").items()}
    require_shapes(path, shapes(weights), shapes(shapes_of(config)))
    parts = (nested(leaves, name) for name in ("scales", "shifts", "environments", "ranges"))
    return config, card, weights, *parts


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
