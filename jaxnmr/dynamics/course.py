"""The course of an average: what every frame gave, kept in one file from which it goes on (host)."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .._files import write_atomically
from ..errors import ConventionError, ParseError
from .restart import state_arrays, state_of
from .simulation import Frame
from .state import State

_FORMAT = 1


@dataclass
class Course:
    """Numbers of all frames so far.

    Attributes:
        columns: by name, one entry per frame: ``time_fs``, ``temperature_k``, ``potential_ev``, ``pressure_gpa``, ``vectors`` and
            what the tensor models said.
        state: the last one.
        structure: what `MeanStructure` has gathered.
        begun: step of the state with which it began.
    """

    state: State
    begun: int
    columns: dict[str, list[np.ndarray]] = field(default_factory=dict)
    structure: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """How many were taken since."""
        return int(self.state.step) - self.begun

    def add(self, frame: Frame, more: Mapping[str, Any]) -> None:
        """One more frame of the average."""
        own: dict[str, Any] = {
            "time_fs": frame.time_fs, "temperature_k": frame.temperature_k, "potential_ev": frame.potential_ev,
            "pressure_gpa": frame.pressure_gpa, "vectors": frame.vectors,
        }  # fmt: skip
        self.add_columns(own | dict(more))

    def add_columns(self, values: Mapping[str, Any]) -> None:
        """One more row of every column."""
        for name, value in values.items():
            self.columns.setdefault(name, []).append(np.asarray(value, dtype=float))

    @property
    def frames(self) -> int:
        """How many there are."""
        return len(next(iter(self.columns.values()), ()))

    def arrays(self) -> dict[str, np.ndarray]:
        """All frames, by name."""
        return {name: np.array(values) for name, values in self.columns.items()}


def save_course(path: str | Path, course: Course, asked: Mapping[str, Any]) -> Path:
    """Write a course with what was asked for; the file is complete or not there at all.

    Raises:
        OSError: it cannot be written.
    """
    arrays: dict[str, Any] = {f"frames/{name}": values for name, values in course.arrays().items()}
    arrays |= {f"structure/{name}": values for name, values in course.structure.items()}
    arrays |= {f"state/{name}": values for name, values in state_arrays(course.state).items()}
    note = {"format": _FORMAT, "asked": dict(asked), "begun": course.begun}
    buffer = io.BytesIO()
    np.savez(buffer, **(arrays | {"note": np.array(json.dumps(note, sort_keys=True))}))
    return write_atomically(path, buffer.getvalue())


def load_course(path: str | Path, asked: Mapping[str, Any]) -> Course:
    """Read what :func:`save_course` wrote.

    Raises:
        ParseError: no such file, or damaged.
        ConventionError: it is of something else than what is asked for now; the message says what differs.
    """
    path = Path(path)
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        note = json.loads(str(arrays.pop("note")))
        version, then, begun = note["format"], dict(note["asked"]), int(note["begun"])
        parts: dict[str, dict[str, np.ndarray]] = {"frames": {}, "structure": {}, "state": {}}
        for name, values in arrays.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = values
        state = state_of(parts["state"])
    except FileNotFoundError as error:
        raise ParseError(path, None, "does not exist") from error
    except (OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ParseError(path, None, f"is not the course of an average, or damaged ({error}): start again") from error
    if version != _FORMAT:
        raise ParseError(path, None, "was written by another version: start again")
    now = json.loads(json.dumps(dict(asked)))
    # courses that were begun earlier do not say which structure they are of
    if "structure" in now:
        then.setdefault("structure", now["structure"])
    different = sorted(k for k in {*now, *then} if now.get(k) != then.get(k))
    if different:
        said = ", ".join(f"{k} was {then.get(k)!r} and is {now.get(k)!r}" for k in different)
        raise ConventionError(f"{path} is the course of something else: {said}. Use another folder, or start again")
    return Course(
        state=state,
        begun=begun,
        columns={name: list(values) for name, values in parts["frames"].items()},
        structure=parts["structure"],
    )
