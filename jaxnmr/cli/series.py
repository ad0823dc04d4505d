"""The command ``jaxnmr series``: refine a run file with many patterns or spectra in turn."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from .._words import counted
from ..errors import JaxnmrError
from .codes import NOT_CONVERGED, OK, WRONG_INPUT
from .commands import _prepare
from .folders import usable

if TYPE_CHECKING:
    from ..io.conditions import Conditions
    from ..runfile import Run
    from ..search.series.rows import SeriesResult, SeriesRow


def add_series(command: Callable) -> None:
    """Add the command to the parser; ``command`` makes subparsers."""
    series = command(
        "series", _series, "refine many patterns or spectra one after the other, each from its neighbour's result",
        "jaxnmr series run.toml heating/*.xye --table conditions.csv --out out/heating",
    )  # fmt: skip
    series.add_argument("run", metavar="RUN.toml", help="as for refine; every file takes the place of its data")
    series.add_argument("files", nargs="+", metavar="FILE", help="patterns or spectra")
    series.add_argument(
        "--data", metavar="NAME", help="which [[histogram]] or [[spectrum]] the files replace, when there are several"
    )
    place = series.add_mutually_exclusive_group()
    place.add_argument(
        "--table",
        type=Path,
        metavar="CSV",
        help="names of files, and T, time, composition or field of each, with headings such as 'T / K'",
    )
    place.add_argument("--from-name", metavar="REGEX", help="a number in the name of each file: '_([0-9.]+)K'")
    place.add_argument("--from-header", metavar="WORD", help="the first number after this word in each file")
    series.add_argument("--column", metavar="NAME", help="of the table (default: the one after the names)")
    series.add_argument("--called", metavar="NAME", help="what the abscissa is called, T say")
    series.add_argument("--unit", metavar="UNIT", help="of the abscissa, K say, where no heading says it")
    series.add_argument(
        "--as-given",
        action="store_true",
        help="keep the order of the files (default: by the abscissa, where there is one)",
    )
    series.add_argument(
        "--one-way", action="store_true", help="forward only (default: and backward, and the better one is kept)"
    )
    series.add_argument(
        "--present",
        type=float,
        default=3.0,
        metavar="ESDS",
        help="a phase or site is there from so many standard uncertainties on (default: 3)",
    )
    series.add_argument(
        "--different-axes",
        action="store_true",
        help="allow files with other points or wavelengths than the first; each kind compiles anew",
    )
    series.add_argument(
        "--fits",
        nargs="+",
        metavar="ROW",
        default=[],
        help="write the whole report of these rows, or of 'all', with pictures",
    )


def _series(arguments: argparse.Namespace, console: Console) -> int:
    from ..runfile import load_run
    from ..runfile.series import named_files, series_of

    run = load_run(arguments.run)
    files = named_files(arguments.files)
    conditions = _conditions(arguments, files)
    if conditions is not None and not arguments.as_given:
        files = {name: files[name] for name in sorted(files, key=conditions.values.__getitem__)}
    unknown = [name for name in arguments.fits if name != "all" and name not in files]
    if unknown:
        from ..runfile.table import nearest

        raise JaxnmrError(f"--fits: no row {unknown[0]!r}{nearest(unknown[0], list(files))}")
    _prepare(arguments)
    from ..report.series import write_series
    from ..search import refine_series

    folder = usable(arguments.out or Path("out") / f"{run.path.stem}_series")
    made = series_of(run, files, arguments.data, different=arguments.different_axes)
    console.print(f"[bold]{escape(run.title)}[/]: {counted(len(files), 'file')}")
    result = refine_series(
        {name: name for name in files},
        made,
        at=None if conditions is None else conditions.values,
        abscissa=arguments.called or ("row" if conditions is None else conditions.name),
        unit=arguments.unit or ("" if conditions is None else conditions.unit),
        folder=folder,
        backward=not arguments.one_way,
        present=arguments.present,
        callback=lambda row: console.print(_line(row)),
    )
    write_series(result, folder, run.title, inputs=_inputs(run, arguments, files), pictures=run.pictures)
    _fits(result, arguments.fits, folder, run)
    failed = [row for row in result.rows if row.status != "converged"]
    console.print(f"[bold {'red' if failed else 'green'}]{escape(result.message)}[/]")
    console.print(f"  {result.refined} refined now, {result.resumed} taken over from before, {result.seconds:.1f} s")
    console.print(f"  table: {escape(str(folder / 'series.csv'))}, report: {escape(str(folder / 'report.md'))}")
    if all(row.status == "error" for row in result.rows):
        return WRONG_INPUT
    return NOT_CONVERGED if failed else OK


def _conditions(arguments: argparse.Namespace, files: Mapping[str, Path]) -> Conditions | None:
    from ..io.conditions import conditions_from_headers, conditions_from_names, conditions_from_table

    if arguments.column is not None and arguments.table is None:
        raise JaxnmrError("--column says which column of a table: give --table, too")
    if arguments.table is not None:
        return conditions_from_table(arguments.table, files, arguments.column)
    if arguments.from_name is not None:
        return conditions_from_names(files, arguments.from_name)
    return None if arguments.from_header is None else conditions_from_headers(files, arguments.from_header)


def _inputs(run: Run, arguments: argparse.Namespace, files: Mapping[str, Path]) -> list[Path]:
    """List the files read: the run file and the files it names, except replaced data."""
    given = {spec.name: spec.file for spec in run.histograms} | {spec.name: spec.file for spec in run.spectra}
    gone = {file for name, file in given.items() if len(given) == 1 or name == arguments.data}
    table = [] if arguments.table is None else [arguments.table]
    return [*(path for path in run.inputs if path not in gone), *table, *files.values()]


def _fits(result: SeriesResult, names: list[str], folder: Path, run: Run) -> None:
    """Write the full report of selected rows."""
    from ..report import write_report
    from ..report.pictures import file_name

    for row in result.rows:
        if row.flat and (row.name in names or "all" in names):
            write_report(result.fit(row.name), folder / "fits" / file_name(row.name), run)


def _line(row: SeriesRow) -> str:
    arrow = "→" if row.direction == "forward" else "←"
    name = escape(f"{arrow} {row.name} ({row.at:g})")
    if not row.flat:
        return f"[red]{name}: {escape(row.message)}[/]"
    note = "" if row.status == "converged" else f"  [yellow]{row.status}[/]"
    absent = f"  absent: {escape(', '.join(row.absent))}" if row.absent else ""
    return f"{name}: R {row.rwp:.2f} %, GoF {row.gof:.3f}, {row.steps} steps, {row.seconds:.1f} s{absent}{note}"
