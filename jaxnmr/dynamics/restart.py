"""States of simulations in files, from which they go on with the same numbers (host)."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .._files import write_atomically
from ..errors import ParseError
from .state import Forces, State

_FORMAT = "jaxnmr state of dynamics 1"
_ARRAYS = ("positions", "vectors", "velocities", "energy", "forces", "virial", "key", "step")


def write_state(path: str | Path, state: State, *, of: str) -> Path:
    """Write a state, all of its digits (host).

    Args:
        path: where to, ``.npz``.
        state: as of a frame.
        of: what simulation it belongs to; asked for when it is read.

    Raises:
        OSError: it cannot be written.
    """
    acting = state.acting
    arrays: dict[str, Any] = {
        "positions": state.positions, "vectors": state.vectors, "velocities": state.velocities, "energy": acting.energy,
        "forces": acting.forces, "virial": acting.virial, "key": jax.random.key_data(state.key), "step": state.step,
    }  # fmt: skip
    buffer = io.BytesIO()
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    np.savez(buffer, **(arrays | {"format": np.asarray(_FORMAT), "of": np.asarray(of)}))
    return write_atomically(path, buffer.getvalue())


def read_state(path: str | Path, *, of: str) -> State:
    """Read what :func:`write_state` wrote (host).

    Raises:
        ParseError: another kind of file, half of one, or the state of another simulation.
        OSError: it cannot be read.
    """
    path = Path(path)
    try:
        with np.load(io.BytesIO(path.read_bytes())) as content:
            held = {name: content[name] for name in content.files}
    except (ValueError, EOFError, zipfile.BadZipFile):
        held = {}
    if str(held.get("format")) != _FORMAT or not set(_ARRAYS) <= held.keys():
        raise ParseError(path, None, "expected a state written by jaxnmr; remove the file to begin anew")
    if str(held["of"]) != of:
        raise ParseError(
            path,
            None,
            f"this is a state of {str(held['of'])!r}, not of {of!r}: another file, or remove this one to begin anew",
        )
    return State(
        positions=held["positions"],
        vectors=held["vectors"],
        velocities=held["velocities"],
        acting=Forces(energy=held["energy"], forces=held["forces"], virial=held["virial"]),
        key=jax.random.wrap_key_data(held["key"]),
        step=held["step"],
    )
