"""Moving of earlier results before new ones are written."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from .._record import read_record
from ..errors import ParseError

RESULT, PREVIOUS = "result.json", "previous"
# for results that do not list their files
_USUAL = ("report.md", "refined.cif")


def set_aside(folder: Path, inputs: Iterable[Path] = ()) -> Path | None:
    """Move the files of an earlier refinement into ``previous`` below their folder, replacing its contents.

    A folder thus holds the files of one refinement only, and one earlier generation is kept.

    Args:
        folder: folder of results.
        inputs: input files, which stay in place and are copied to the earlier results.

    Returns:
        The folder of earlier results; ``None`` without any.
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
