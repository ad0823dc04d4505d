"""Potentials of equivariant networks on disk: arrays as safetensors, everything else as JSON in the header (host)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..._model_file import find_shipped, flat, nested, read_described, require_shapes, shipped_names, write_described
from ...errors import ConventionError, ParseError
from ...models.networks.config import NetworkConfig

FORMAT = 1
SHIPPED = Path(__file__).parent / "shipped"
_KEY = "jaxnmr.energy"


def shipped_networks() -> tuple[str, ...]:
    """List the names of the potentials shipped with the package (host)."""
    return shipped_names(SHIPPED)


def find_potential(source: str | Path) -> Path:
    """Return the file of a potential, given as a path or as the name of a shipped one.

    Raises:
        ConventionError: there is no shipped potential of that name.
    """
    return find_shipped(source, SHIPPED, "network potential")


def write_potential(path: str | Path, potential) -> Path:
    """Write a potential; the file is replaced in one go.

    Raises:
        DataError: numbers that are not finite, a card that JSON cannot hold, or a file that cannot be written.
    """
    arrays = flat(potential.weights, "weights")
    arrays |= {"scale": np.asarray(potential.scale), "reference": np.asarray(potential.reference)}
    arrays |= flat(potential.environments, "environments")
    description = {"architecture": potential.config.to_dict(), "card": dict(potential.card)}
    return write_described(path, _KEY, FORMAT, description, arrays)


def read_potential(
    path: str | Path, shapes_of: Callable[[NetworkConfig], Any]
) -> tuple[NetworkConfig, dict[str, Any], dict[str, Any]]:
    """Architecture, card, and the arrays of a potential by the names of its fields.

    Raises:
        ParseError: no such file, no potential, corrupted numbers, another version, arrays that do not fit.
    """
    path = Path(path)
    description, arrays = read_described(
        path, _KEY, FORMAT, what="a network potential", written_by="NetworkPotential.save"
    )
    try:
        card = dict(description["card"])
        config = NetworkConfig.from_dict(description["architecture"])
        needed = {name: tuple(leaf.shape) for name, leaf in flat(shapes_of(config), "weights").items()}
    except (ValueError, KeyError, TypeError, AttributeError, ConventionError) as error:
        raise ParseError(path, None, f"the description of the potential cannot be read: {error}") from error
    needed |= {"scale": (), "reference": (len(config.species),)}
    found = {name: array.shape for name, array in arrays.items() if not name.startswith("environments/")}
    require_shapes(path, found, needed)
    fields = {"scale": arrays["scale"], "reference": arrays["reference"]}
    return config, card, fields | {name: nested(arrays, name) for name in ("weights", "environments")}
