"""Check for missing files, reported with the place in the run file and similar existing names."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from pathlib import Path

from ..errors import ParseError
from .run import Run


def require_files(run: Run, given: Collection[str] = ()) -> None:
    """Refuse a run that names a missing file.

    Args:
        run: the run.
        given: names of phases whose structures are provided otherwise.

    Raises:
        ParseError: a file is missing; the message names the key, the path and a similar existing name.
    """
    for place, key, path in _named(run, given):
        if path.exists():
            continue
        folder = path.parent
        message = f"{place}.{key}: {path.name}: no such file"
        if not folder.is_dir():
            there = next((p for p in folder.parents if p.is_dir()), folder)
            message += f"; there is no folder {folder} (up to {there} there is)"
        else:
            message += f" in {folder.resolve()}"
            near = difflib.get_close_matches(path.name, [p.name for p in folder.iterdir()], n=1, cutoff=0.6)
            message += f"; did you mean {near[0]!r}?" if near else ""
        raise ParseError(run.path, None, f"{message} (relative paths begin at the folder of the run file)")


def _named(run: Run, given: Collection[str]) -> Iterator[tuple[str, str, Path]]:
    for phase in run.phases:
        if phase.file is not None and phase.name not in given:
            yield f"[[phase]] {phase.name!r}", "file", phase.file
    for histogram in run.histograms:
        for key, path in (("file", histogram.file), ("instrument", histogram.instrument_file)):
            if path is not None:
                yield f"[[histogram]] {histogram.name!r}", key, path
        if histogram.background["file"] is not None:
            yield f"[[histogram]] {histogram.name!r}.background", "file", histogram.background["file"]
    for spectrum in run.spectra:
        for key, path in (("file", spectrum.file), ("magres", spectrum.magres), ("dmfit", spectrum.dmfit)):
            if path is not None:
                yield f"[[spectrum]] {spectrum.name!r}", key, path
    for echo in run.echoes:
        for path in echo.data:
            yield f"[[echo]] {echo.name!r}", "data", path
