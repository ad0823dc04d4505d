"""States of simulations in files, from which they go on with the same numbers (host)."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._files import write_atomically
from ..errors import ParseError
from .state import Forces, State

_FORMAT = "jaxnmr state of dynamics 1"
_ARRAYS = ("positions", "vectors", "velocities", "energy", "forces", "virial", "key", "step")


def state_arrays(state: State) -> dict[str, np.ndarray]:
    """Return the arrays of a state by name, with all of their digits (host)."""
    acting = state.acting
    values = (
        state.positions, state.vectors, state.velocities, acting.energy, acting.forces, acting.virial,
        jax.random.key_data(state.key), state.step,
    )  # fmt: skip
    return dict(zip(_ARRAYS, map(np.asarray, values), strict=True))


def state_of(arrays: Mapping[str, np.ndarray]) -> State:
    """Invert :func:`state_arrays` (host).

    Raises:
        KeyError: an array is missing.
    """
    return State(
        positions=arrays["positions"],
        vectors=arrays["vectors"],
        velocities=arrays["velocities"],
        acting=Forces(energy=arrays["energy"], forces=arrays["forces"], virial=arrays["virial"]),
        key=jax.random.wrap_key_data(jnp.asarray(arrays["key"])),
        step=arrays["step"],
    )


def write_state(path: str | Path, state: State, *, of: str) -> Path:
    """Write a state (host).

    Args:
        path: where to, ``.npz``.
        state: as of a frame.
        of: simulation it belongs to; required again when it is read.

    Raises:
        OSError: it cannot be written.
    """
    arrays: dict[str, Any] = {**state_arrays(state), "format": np.asarray(_FORMAT), "of": np.asarray(of)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
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
    except (ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        held = {}
    if str(held.get("format")) != _FORMAT or not set(_ARRAYS) <= held.keys():
        raise ParseError(path, None, "expected a state written by jaxnmr; remove the file to begin anew")
    if str(held["of"]) != of:
        raise ParseError(
            path,
            None,
            f"this is a state of {str(held['of'])!r}, not of {of!r}: another file, or remove this one to begin anew",
        )
    return state_of(held)
