"""The commands ``jaxnmr screen`` and ``jaxnmr table``: candidate structures for a run file, and their results."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from .._words import counted
from ..errors import ParseError
from ..search.screening.criteria import RANKINGS
from .codes import INTERRUPTED, NOT_CONVERGED, OK, WRONG_INPUT
from .commands import _prepare
from .engines import add_engine, engine, progress
from .folders import usable

if TYPE_CHECKING:
    from ..campaign.drive import Tally
    from ..crystal import Crystal
    from ..runfile import Run, Setup
    from ..search import ScreeningResult, ScreeningRow


def add_screen(command: Callable) -> None:
    """Add the command to the parser; ``command`` makes subparsers."""
    screen = command(
        "screen", _screen, "refine candidate structures against the data of a run file and rank them",
        "jaxnmr screen run.toml --candidates candidates.extxyz --workers 8 --out out/screen",
    )  # fmt: skip
    screen.add_argument("run", metavar="RUN.toml", help="as for refine; every candidate takes the place of its phase")
    screen.add_argument("candidate_files", nargs="*", metavar="FILE", help="structures, as --candidates")
    screen.add_argument(
        "--candidates",
        action="append",
        default=[],
        metavar="SOURCE",
        help="a folder of structure files, or a file of one or many: CIF, extxyz, parquet, ASE's .db, or what else can be "
        "read; may be repeated",
    )
    screen.add_argument("--phase", metavar="NAME", help="which phase is replaced, when the run file has several")
    screen.add_argument("--rank", choices=RANKINGS, default="bic", help="what decides (default: bic)")
    screen.add_argument("--retry", action="store_true", help="once more those that ended with an error before")
    add_engine(screen)


@dataclass(frozen=True)
class _Make:
    """Setup of the refinement of a candidate; can be sent to other processes, which read the run file themselves."""

    path: Path
    phase: str
    settings: str

    def begin(self) -> None:
        """Refuse a process that cannot see the files of the run, or sees different ones."""
        from ..runfile import load_run
        from ..runfile.existing import require_files

        # a worker outlives campaigns, between which run files change
        _read.cache_clear()
        run = load_run(self.path)
        require_files(run, (self.phase,))
        if _settings(run, self.phase) != self.settings:
            raise ParseError(
                self.path,
                None,
                "this run file, or a file that it names, is another one here than where the work was handed out, or was changed since",
            )

    def __call__(self, crystal: Crystal) -> Setup:
        from ..runfile import build

        return build(_read(self.path, self.settings), structures={self.phase: crystal})


@cache
def _read(path: Path, settings: str) -> Run:
    """Read the run; ``settings`` change if its files do, which invalidates the cache."""
    from ..runfile import load_run

    return load_run(path)


def _screen(arguments: argparse.Namespace, console: Console) -> int:
    from ..io.structures.candidates import read_candidates
    from ..runfile import load_run

    run = load_run(arguments.run)
    phase = _phase(arguments, [p.name for p in run.phases])
    candidates = read_candidates([*arguments.candidate_files, *arguments.candidates])
    _prepare(arguments)
    from ..report.screening import write_screening
    from ..search import screen

    folder = usable(arguments.out or Path("out") / f"{run.path.stem}_screen")
    total = counted(candidates.count(), "candidate")
    console.print(f"[bold]{escape(run.title)}[/]: {total} for {escape(phase)}")
    far: deque[Tally] = deque(maxlen=1)
    settings = _settings(run, phase)
    try:
        with engine(arguments) as client:
            result = screen(
                candidates,
                _Make(run.path.absolute(), phase, settings),
                folder=folder,
                rank=arguments.rank,
                callback=lambda row: console.print(f"{_line(row)}  [dim]{escape(progress(far[-1]))}[/]"),
                progress=far.append,
                client=client,
                retry=arguments.retry,
                settings=settings,
            )
    except KeyboardInterrupt:
        console.print(
            f"[bold red]interrupted[/]: the same command goes on with what has no row in {escape(str(folder))}"
        )
        return INTERRUPTED
    write_screening(result, folder, run.title)
    _summary(result, folder, console)
    if result.statuses["error"] == len(result.rows):
        return WRONG_INPUT
    return OK if result.best.status == "converged" else NOT_CONVERGED


def _settings(run: Run, phase: str) -> str:
    """Return a digest of the run file and of all files it names, except the structure that candidates replace."""
    from .._record import fingerprint

    replaced = {p.structure for p in run.phases if p.name == phase}
    files = [fingerprint(path) for path in (run.path, *run.inputs) if path not in replaced]
    return hashlib.sha256(repr([phase, sorted(str(file["sha256"]) for file in files)]).encode()).hexdigest()


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


def _line(row: ScreeningRow) -> str:
    name = escape(row.name)
    if row.status == "error":
        return f"[red]{name}: {escape(row.message)}[/]"
    note = "" if row.status == "converged" else f"  [yellow]{row.status}[/]"
    return f"{name}: R {row.rwp:.2f} %, GoF {row.gof:.3f}, {row.n_parameters} parameters, {row.seconds:.1f} s{note}"


def _summary(result: ScreeningResult, folder: Path, console: Console) -> None:
    colour = "green" if result.best.status == "converged" else "red"
    console.print(f"[bold {colour}]{escape(result.message)}[/]")
    console.print(f"  {result.refined} refined now, {result.resumed} known from before, {result.seconds:.1f} s")
    console.print(
        f"  report: {escape(str(folder / 'report.md'))}; more of the table: jaxnmr table {escape(str(folder))}"
    )


def add_table(command: Callable) -> None:
    """Add the command ``table`` to the parser."""
    table = command(
        "table", _table, "show the best candidates of a screening, also while it runs", "jaxnmr table out/screen --top 20 --csv",
        parents=(),
    )  # fmt: skip
    table.add_argument("folder", type=Path, metavar="DIR", help="of a screening")
    table.add_argument(
        "--top", type=_count, default=20, metavar="N", help="so many of the best; 0 for all (default: 20)"
    )
    table.add_argument("--rank", choices=RANKINGS, default="bic", help="what decides (default: bic)")
    table.add_argument("--csv", action="store_true", help="comma-separated columns")
    table.add_argument("--cif", type=Path, metavar="DIR", help="write their refined structures there")
    table.add_argument(
        "--parquet", type=Path, metavar="FILE", help="write the whole table, CIF included (needs pyarrow)"
    )


def _table(arguments: argparse.Namespace, console: Console) -> int:
    from ..campaign.export import write_parquet
    from ..campaign.rows import Rows
    from ..report.screening import csv_lines, write_structures
    from ..search.screening.stored import ranked_table

    result = ranked_table(arguments.folder, arguments.rank)
    most = arguments.top or len(result.rows)
    if arguments.csv:
        sys.stdout.writelines(csv_lines(result, most))
    else:
        print(f"{result.message}\n{result.table(most)}")
    # detect a closed pipe here, not at interpreter exit
    sys.stdout.flush()
    if arguments.cif is not None:
        files = write_structures(result, usable(arguments.cif), most)
        console.print(f"{counted(len(files), 'structure')} in {escape(str(arguments.cif))}")
    if arguments.parquet is not None:
        rows = write_parquet(Rows(arguments.folder), arguments.parquet)
        console.print(f"{counted(rows, 'row')} in {escape(str(arguments.parquet))}")
    return OK


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected 0 or more, got {text}")
    return value
