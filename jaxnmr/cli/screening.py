"""The command ``jaxnmr screen``: a run file refined with one candidate structure after the other in place of its own."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from .._words import counted
from ..errors import ParseError
from ..search.criteria import RANKINGS
from .codes import NOT_CONVERGED, OK, WRONG_INPUT
from .commands import _prepare
from .folders import usable

if TYPE_CHECKING:
    from ..search import ScreeningResult, ScreeningRow


def add_screen(command: Callable) -> None:
    """Add the command to the parser; ``command`` makes subparsers."""
    screen = command(
        "screen", _screen, "refine candidate structures against the data of a run file and rank them",
        "jaxnmr screen run.toml candidates/*.cif --out out/screen",
    )  # fmt: skip
    screen.add_argument("run", metavar="RUN.toml", help="as for refine; every candidate takes the place of its phase")
    screen.add_argument("candidates", nargs="+", metavar="FILE", help="structures: CIF or another structure file")
    screen.add_argument("--phase", metavar="NAME", help="which phase is replaced, when the run file has several")
    screen.add_argument("--rank", choices=RANKINGS, default="bic", help="what decides (default: bic)")
    screen.add_argument(
        "--share",
        metavar="K/N",
        help="run as worker K (from 1) of N on the same candidates; all are given the same --out",
    )


def _screen(arguments: argparse.Namespace, console: Console) -> int:
    from ..runfile import build, load_run

    run = load_run(arguments.run)
    index, count = _share(arguments.share)
    _prepare(arguments)
    from ..report.screening import write_screening
    from ..search import screen

    phase = _phase(arguments, [p.name for p in run.phases])
    candidates = _named(arguments.candidates)
    folder = usable(arguments.out or Path("out") / f"{run.path.stem}_screen")
    console.print(f"[bold]{escape(run.title)}[/]: {counted(len(candidates), 'candidate')} for {escape(phase)}")
    result = screen(
        candidates,
        lambda crystal: build(run, structures={phase: crystal}),
        folder=folder / "candidates",
        rank=arguments.rank,
        callback=lambda row: console.print(_line(row)),
        process_index=index,
        process_count=count,
    )
    if index == 0:
        write_screening(result, folder, run.title)
    _summary(result, folder, console, report=index == 0)
    if all(row.status == "error" for row in result.rows):
        return WRONG_INPUT
    return OK if result.best.status == "converged" else NOT_CONVERGED


def _phase(arguments: argparse.Namespace, names: list[str]) -> str:
    from ..runfile.table import nearest

    if not names:
        raise ParseError(arguments.run, None, "no [[phase]] whose place candidates could take")
    if arguments.phase is None and len(names) > 1:
        raise ParseError(
            arguments.run,
            None,
            f"which phase do the candidates replace? Give --phase NAME with one of {', '.join(names)}",
        )
    chosen = arguments.phase or names[0]
    if chosen not in names:
        raise ParseError(arguments.run, None, f"--phase: no phase {chosen!r}{nearest(chosen, names)}")
    return chosen


def _named(files: list[str]) -> dict[str, Path]:
    """Candidates by the stem of their file, by the whole path where stems repeat."""
    paths = [Path(file) for file in dict.fromkeys(files)]
    gone = [path for path in paths if not path.exists()]
    if gone:
        why = "nothing matches this pattern" if any(mark in str(gone[0]) for mark in "*?[") else "no such file"
        raise ParseError(gone[0], None, f"{why}{f' ({len(gone)} candidates are not there)' if len(gone) > 1 else ''}")
    stems = [path.stem for path in paths]
    return {stem if stems.count(stem) == 1 else str(path): path for stem, path in zip(stems, paths, strict=True)}


def _share(text: str | None) -> tuple[int, int]:
    if text is None:
        return 0, 1
    first, _, second = text.partition("/")
    if first.isdigit() and second.isdigit() and 1 <= int(first) <= int(second):
        return int(first) - 1, int(second)
    raise ParseError("--share", None, f"got {text!r}; expected K/N such as 2/4, with K from 1 to N")


def _line(row: ScreeningRow) -> str:
    name = escape(row.name)
    if row.status == "error":
        return f"[red]{name}: {escape(row.message)}[/]"
    note = "" if row.status == "converged" else f"  [yellow]{row.status}[/]"
    return f"{name}: R {row.rwp:.2f} %, GoF {row.gof:.3f}, {row.n_parameters} parameters, {row.seconds:.1f} s{note}"


def _summary(result: ScreeningResult, folder: Path, console: Console, *, report: bool) -> None:
    colour = "green" if result.best.status == "converged" else "red"
    console.print(f"[bold {colour}]{escape(result.message)}[/]")
    console.print(f"  {result.refined} refined now, {result.resumed} taken over from before, {result.seconds:.1f} s")
    if report:
        console.print(f"  report: {escape(str(folder / 'report.md'))}")
