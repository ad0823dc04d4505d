"""The state of a training in a file, from which it continues after an interruption."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from ..._files import write_atomically
from ...errors import ParseError
from ..data.tensor_data import TensorData
from ..networks.config import NetworkConfig
from .hosts import from_first
from .recipe import EpochInfo, Recipe
from .step import TrainingState
from .tensor_model import TensorModel


def identity(config: NetworkConfig, recipe: Recipe, data: TensorData, start: TensorModel | None) -> str:
    """Return what must be unchanged for a training to continue; ``start`` if it does not begin with random parameters."""
    labels = hashlib.sha256(b"".join(np.nan_to_num(data.tensors(k)).tobytes() for k in range(len(data)))).hexdigest()
    entries = [config.to_dict(), dataclasses.asdict(recipe), data.quantity, labels]
    if start is not None:
        entries.append(hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in jax.tree.leaves(start))).hexdigest())
    return json.dumps(entries, sort_keys=True)


def _difference(found: str, wanted: str) -> str:
    """Describe the differences between two identities."""
    pairs = itertools.zip_longest(json.loads(found), json.loads(wanted))
    out = []
    for name, (theirs, mine) in zip(("network", "recipe", "quantity", "labels", "starting model"), pairs, strict=False):
        if isinstance(theirs, dict) and isinstance(mine, dict):
            keys = sorted(k for k in theirs.keys() | mine.keys() if theirs.get(k) != mine.get(k))
            out += [f"{name}: {k} {theirs.get(k)!r} there, {mine.get(k)!r} here" for k in keys]
        elif theirs != mine:
            out.append(f"another {name}" if theirs and mine else f"{name} only {'there' if theirs else 'here'}")
    return "; ".join(out)


def write_state(path: str | Path, state: TrainingState, history: Sequence[EpochInfo], identity: str) -> None:
    """Write a state, its history and its :func:`identity` (host)."""
    arrays = {f"{k:05d}": np.asarray(leaf, order="C") for k, leaf in enumerate(jax.tree.leaves(state))}
    metadata = {"history": json.dumps([info._asdict() for info in history]), "identity": identity}
    write_atomically(path, safetensors.numpy.save(arrays, metadata=metadata))


def read_state(path: str | Path, like: TrainingState, identity: str) -> tuple[TrainingState, list[EpochInfo]]:
    """Read a state and its history; return ``like`` and an empty history if there is no file (host).

    With several processes the first one reads it for all of them.

    Raises:
        ParseError: the file is damaged, or belongs to another training.
    """
    try:
        content = from_first(lambda: Path(path).read_bytes() if Path(path).exists() else None)
        if content is None:
            return like, []
        arrays = safetensors.numpy.load(content)
        leaves = [arrays[name] for name in sorted(arrays)]
        # the format begins with eight bytes for the length of the header, followed by the header
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        history = [EpochInfo(**info) for info in json.loads(header["history"])]
        found = header["identity"]
    except (OSError, KeyError, ValueError, TypeError, safetensors.SafetensorError) as error:
        raise ParseError(path, None, f"is no state of a training: {error}") from error
    if found != identity:
        raise ParseError(
            path,
            None,
            f"is the state of another training ({_difference(found, identity)}); remove it or name another file",
        )
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(like)]
    if [leaf.shape for leaf in leaves] != shapes:
        raise ParseError(path, None, "has arrays of other shapes")
    return jax.tree.unflatten(jax.tree.structure(like), [jnp.asarray(leaf) for leaf in leaves]), history
