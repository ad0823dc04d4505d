"""Checks of result folders before any calculation."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import JaxnmrError, ParseError

if TYPE_CHECKING:
    from .._record import Kind

CHECKPOINT = "checkpoint.json"


def usable(folder: Path) -> Path:
    """Return the folder after checking it; it is created when there is something to write.

    Raises:
        JaxnmrError: a file has its name, or it is not writable.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise JaxnmrError(f"{there} is a file, so that no folder for results can be there: name another one with --out")
    if not os.access(there, os.W_OK | os.X_OK):
        raise JaxnmrError(f"{folder}: results cannot be written there (no permission): name another folder with --out")
    return folder


def unfinished(folder: Path, kind: Kind = "refinement") -> bool:
    """Return whether a folder holds a checkpoint of a calculation that was killed or interrupted."""
    from .._record import read_record
    from ..report.earlier import RESULT

    checkpoint, result = folder / CHECKPOINT, folder / RESULT
    if not checkpoint.exists():
        return False
    try:
        status = read_record(result, kind)["result"]["status"]
    except (OSError, ParseError, KeyError):
        return True
    return status == "interrupted" or result.stat().st_mtime_ns < checkpoint.stat().st_mtime_ns


def put_aside(file: Path) -> Path:
    """Rename a file to the first free name with a number, for example ``checkpoint_1.json``."""
    free = next(path for n in count(1) if not (path := file.with_name(f"{file.stem}_{n}{file.suffix}")).exists())
    return file.rename(free)
