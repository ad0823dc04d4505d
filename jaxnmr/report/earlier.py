"""Results of an earlier refinement, put aside before new ones take their place."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from .._record import read_record
from ..errors import ParseError

RESULT, PREVIOUS = "result.json", "previous"
# of results that do not say which files belong to them
_USUAL = ("report.md", "refined.cif")


def set_aside(folder: Path, inputs: Iterable[Path] = ()) -> Path | None:
    """Move the files of an earlier refinement into ``previous`` below their folder, whose own results are replaced.

    So a folder holds the files of one refinement only, and one generation is kept.

    Args:
        folder: of results.
        inputs: files that are read again and stay where they are, with a copy among the earlier results.

    Returns:
        The folder with the earlier results; ``None`` where there were none.
    """
    try:
        record = read_record(folder / RESULT, "refinement")
    except (OSError, ParseError):
        return None
    named = record["result"].get("files", _USUAL)
    files = [folder / name for name in dict.fromkeys((*named, RESULT)) if Path(name).name == name]
    stay = {path.resolve() for path in inputs}
    previous = folder / PREVIOUS
    shutil.rmtree(previous, ignore_errors=True)
    previous.mkdir()
    for file in filter(Path.is_file, files):
        (shutil.copy2 if file.resolve() in stay else shutil.move)(file, previous / file.name)
    return previous
