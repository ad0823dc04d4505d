"""The commands ``jaxnmr index`` and ``jaxnmr solve``: from a powder pattern to a unit cell and a structure."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from .._words import counted
from ..errors import JaxnmrError
from .codes import INTERRUPTED, NOT_CONVERGED, OK
from .commands import _prepare
from .engines import add_engine, engine, progress
from .folders import CHECKPOINT, put_aside, unfinished, usable

if TYPE_CHECKING:
    import numpy as np

    from ..campaign.drive import Tally
    from ..diffraction import Pattern
    from ..solve import Determination, SeedsResult
    from ..solve.determination.progress import Step
    from ..solve.determination.seeds import SeedRow

LATTICES = ("cP", "cI", "cF", "tP", "tI", "hP", "hR", "oP", "oC", "oI", "oF", "mP", "mC", "aP")


def add_solving(command: Callable) -> None:
    """Add the commands to the parser; ``command`` makes subparsers."""
    index = command(
        "index", _index, "find the lines of a powder pattern and the unit cells that may have made them",
        "jaxnmr index sample.xrdml --out out/cells",
    )  # fmt: skip
    _add_pattern(index)
    index.add_argument(
        "--lattices", nargs="+", choices=LATTICES, metavar="LATTICE", help=f"of {', '.join(LATTICES)}; all by default"
    )
    index.add_argument("--largest-volume", type=float, metavar="A3", help="of the primitive cell")
    index.add_argument("--seed", type=int, default=0, help="of the search (default: 0)")

    solve = command(
        "solve", _solve, "determine a crystal structure from a powder pattern and what the sample is made of",
        "jaxnmr solve sample.xrdml --composition PbSO4 --out out/solved",
    )  # fmt: skip
    _add_pattern(solve)
    made_of = solve.add_mutually_exclusive_group(required=True)
    made_of.add_argument(
        "--composition", metavar="FORMULA", help="such as PbSO4 or 'Ca5(PO4)3F'; X for an unknown element"
    )
    made_of.add_argument("--elements", nargs="+", metavar="ELEMENT", help="where their ratio is not known: Ca Ti O")
    solve.add_argument(
        "--cell",
        nargs=6,
        type=float,
        metavar=("A", "B", "C", "ALPHA", "BETA", "GAMMA"),
        help="where it is known, Å and degrees",
    )
    solve.add_argument(
        "--space-group", metavar="SYMBOL", help="where it is known, such as Pnma or 'P 63/m'; needs --cell"
    )
    solve.add_argument("--formula-units", type=int, metavar="Z", help="per conventional cell, where known")
    solve.add_argument(
        "--density", type=float, metavar="G_PER_CM3", help="measured, to choose the number of formula units"
    )
    solve.add_argument(
        "--minutes",
        type=float,
        default=20.0,
        help="the search for atoms goes on for so long, with --seeds that of each (default: 20)",
    )
    solve.add_argument(
        "--energy",
        metavar="NAME",
        help="chgnet-r2scan, say: decides where the pattern does not, see docs/energy.md",
    )
    solve.add_argument(
        "--proposals",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE.cif",
        help="structures that the search for atoms begins with beside its own, such as the atoms.cif of jaxnmr density",
    )
    solve.add_argument("--seed", type=int, default=0, help="of the searches (default: 0)")
    solve.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="determine it N times, with the seeds from --seed on, and compare what they find; those that are in the table of the "
        "folder already are taken over",
    )
    add_engine(solve)
    solve.add_argument(
        "--resume", action="store_true", help=f"take over what an interrupted run left in {CHECKPOINT} in the folder"
    )


def _add_pattern(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", metavar="PATTERN", type=Path, help="the measured powder pattern")
    parser.add_argument(
        "--instrument", type=Path, metavar="FILE", help="parameter file of the diffractometer (prm, instprm)"
    )
    parser.add_argument(
        "--wavelength", nargs="+", type=float, metavar="A", help="in Å, one or two (Kα1 Kα2), where no file says it"
    )
    parser.add_argument("--radiation", choices=("xray", "neutron"), help="where no file says it (default: xray)")
    parser.add_argument(
        "--geometry",
        choices=("bragg-brentano", "debye-scherrer"),
        help="flat specimen or capillary, where no file says it (default: bragg-brentano)",
    )
    add_region(parser)


def _read(arguments: argparse.Namespace) -> Pattern:
    return read_measured(arguments, arguments.pattern)


def add_region(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that select a range of a pattern."""
    parser.add_argument("--limits", nargs=2, type=float, metavar=("LOW", "HIGH"), help="of 2theta in degrees")
    parser.add_argument(
        "--exclude",
        nargs=2,
        type=float,
        action="append",
        default=[],
        metavar=("LOW", "HIGH"),
        help="a region of 2theta to leave out; may be given again",
    )


def read_measured(arguments: argparse.Namespace, file: Path) -> Pattern:
    """Read a pattern with the diffractometer and the range given by the arguments."""
    from ..io import read_pattern

    pattern = read_pattern(file, wavelength=arguments.wavelength, instrument=arguments.instrument)
    device = pattern.instrument
    if device is None or not device.wavelengths:
        raise JaxnmrError(
            f"{file} does not say which wavelength it was measured with: give --wavelength 1.5406 (in Å, two for Kα1 and Kα2), "
            "or --instrument FILE"
        )
    said = {name: value for name in ("radiation", "geometry") if (value := getattr(arguments, name, None))}
    pattern = pattern.replace(instrument=device.replace(**said))
    if arguments.limits:
        pattern = pattern.limited(*arguments.limits)
    return pattern.excluding(*map(tuple, arguments.exclude)) if arguments.exclude else pattern


def _index(arguments: argparse.Namespace, console: Console) -> int:
    pattern = _read(arguments)
    _prepare(arguments)
    from ..report.solution import write_indexing
    from ..solve import find_peaks, index, rank_by_lebail

    folder = usable(arguments.out or Path("out") / f"{arguments.pattern.stem}_cells")
    console.print(f"[bold]{escape(pattern.name)}[/]")
    peaks = find_peaks(pattern)
    console.print(f"  {len(peaks)} lines from {_range(peaks.two_theta)} degrees")
    table = index(peaks, lattices=arguments.lattices, largest_volume=arguments.largest_volume, seed=arguments.seed)
    cells = rank_by_lebail(pattern, table.candidates, peaks=peaks)
    for k, one in enumerate(cells[:5], start=1):
        numbers = " ".join(f"{x:.4f}" for x in one.cell)
        rwp = "" if one.rwp is None else f"Rwp {one.rwp:5.2f} %  "
        console.print(
            f"  {k}  {one.lattice}  {numbers}  {one.indexed}/{one.indexed + one.unindexed} lines  {rwp}P {one.probability:.3f}"
        )
    for note in (*peaks.notes, *table.notes):
        console.print(f"  [yellow]note:[/] {escape(note)}")
    write_indexing(pattern, peaks, cells, folder, f"Cells of {pattern.name}", inputs=[arguments.pattern])
    console.print(f"  table: {escape(str(folder / 'cells.csv'))}, report: {escape(str(folder / 'report.md'))}")
    return OK


def _solve(arguments: argparse.Namespace, console: Console) -> int:
    pattern = _read(arguments)
    if arguments.space_group and not arguments.cell:
        raise JaxnmrError("--space-group needs the cell that it belongs to: give --cell, too")
    _require_sense(arguments)
    _prepare(arguments)
    from ..report.solution import write_determination

    folder = usable(arguments.out or Path("out") / f"{arguments.pattern.stem}_solved")
    formula = arguments.composition
    words = ", ".join(arguments.elements) if formula is None else formula
    given = {
        "composition": dict.fromkeys(arguments.elements) if formula is None else formula, "cell": arguments.cell,
        "group": arguments.space_group, "formula_units": arguments.formula_units, "density": arguments.density,
        "minutes": arguments.minutes, "energy": arguments.energy,
    }  # fmt: skip
    title = f"Structure of {words} from {pattern.name}"
    inputs = [arguments.pattern, *([arguments.instrument] if arguments.instrument else [])]
    seeds = None
    if arguments.seeds is None:
        found = _once(arguments, pattern, given, folder, f"[bold]{escape(pattern.name)}[/]: {escape(words)}", console)
    else:
        console.print(f"[bold]{escape(pattern.name)}[/]: {escape(words)}, {counted(arguments.seeds, 'seed')}")
        seeds = _from_seeds(arguments, pattern, given, folder, console)
        found = seeds.best
    write_determination(found, folder, title, inputs=inputs, seeds=seeds)
    colour = "green" if found.status == "solved" else "red"
    console.print(f"[bold {colour}]{found.status}[/]: {escape(found.reason)}")
    of_atoms = found.attempts[0].solutions.notes if found.attempts else ()
    for note in dict.fromkeys((*found.notes, *of_atoms)):
        console.print(f"  [yellow]note:[/] {escape(note)}")
    seconds = found.seconds if seeds is None else seeds.seconds
    if seeds is not None:
        console.print(f"  {counted(seeds.done, 'seed')} now, {seeds.known} known from before")
    console.print(f"  {seconds:.0f} s of processor time; report: {escape(str(folder / 'report.md'))}")
    return {"solved": OK, "interrupted": INTERRUPTED}.get(found.status, NOT_CONVERGED)


def _require_sense(arguments: argparse.Namespace) -> None:
    """Refuse incompatible options."""
    if arguments.seeds is None:
        if any(where is not None for where in (arguments.scheduler, arguments.scheduler_file, arguments.workers)):
            raise JaxnmrError(
                "a determination from one seed is one piece of work: leave --workers and --scheduler out, or give --seeds N"
            )
        return
    if arguments.seeds < 1:
        raise JaxnmrError(f"--seeds is {arguments.seeds}; expected how many, from 1 on")
    if arguments.proposals:
        raise JaxnmrError("--proposals go with one determination: leave --seeds out")
    if arguments.resume:
        raise JaxnmrError("with --seeds, those that are done are taken over from the table anyway: leave --resume out")


def _once(
    arguments: argparse.Namespace, pattern: Pattern, given: dict[str, Any], folder: Path, heading: str, console: Console
) -> Determination:
    """Run one determination with a checkpoint."""
    from ..solve import determine

    checkpoint = folder / CHECKPOINT
    if arguments.resume and not checkpoint.exists():
        raise JaxnmrError(f"{checkpoint}: no such file, so there is nothing to go on from; leave --resume out")
    if not arguments.resume and unfinished(folder, "determination"):
        aside = put_aside(checkpoint)
        console.print(
            f"  [yellow]note:[/] what a run that did not end had found is kept in {escape(str(aside))}; to go on from it, give it its "
            f"name {CHECKPOINT} back and use --resume"
        )
    elif not arguments.resume:
        checkpoint.unlink(missing_ok=True)
    console.print(heading)
    from ..io import read_crystal

    given = {**given, "proposals": tuple(map(read_crystal, arguments.proposals))}
    return determine(pattern, **given, seed=arguments.seed, progress=Lines(console), checkpoint=checkpoint)


def _from_seeds(
    arguments: argparse.Namespace, pattern: Pattern, given: dict[str, Any], folder: Path, console: Console
) -> SeedsResult:
    """Run determinations from many seeds, here or on a cluster."""
    from ..solve import determine_from_seeds

    def tell(row: SeedRow, tally: Tally) -> None:
        console.print(f"{_line(row)}  [dim]{escape(progress(tally))}[/]")

    with engine(arguments) as client:
        return determine_from_seeds(
            pattern, **given, seeds=range(arguments.seed, arguments.seed + arguments.seeds), folder=folder, client=client,
            callback=tell, progress=Lines(console),
        )  # fmt: skip


def _line(row: SeedRow) -> str:
    if row.status == "error":
        return f"[red]seed {row.seed}: {escape(row.reason)}[/]"
    found = f"{row.group}, R {row.r_factor:.3f}" if row.crystal is not None else "no structure"
    rwp = f", Rwp {row.rwp:.2f} %" if row.refined else ""
    colour = "green" if row.status == "solved" else "yellow"
    return f"seed {row.seed}: {escape(found)}{rwp}, {row.seconds:.0f} s  [{colour}]{row.status}[/]"


def _range(two_theta: np.ndarray) -> str:
    return f"{two_theta[0]:.2f} to {two_theta[-1]:.2f}" if len(two_theta) else "no"


class Lines:
    """Progress printer of a determination; prints a line every few seconds during the search for atoms.

    Args:
        console: destination.
    """

    def __init__(self, console: Console, *, every: float = 5.0):
        self.console, self.every = console, every
        self._last = 0.0

    def __call__(self, step: Step) -> None:
        now = time.monotonic()
        if step.passing and now - self._last < self.every:
            return
        self._last = now
        seconds = step.seconds_left
        most = f"{seconds / 60.0:.0f} min" if seconds > 90.0 else f"{seconds:.0f} s"
        left = f"  [dim]at most {most} more[/]" if step.passing else ""
        self.console.print(f"  {step.name:13} {escape(step.text)}{left}")
