"""The command ``jaxnmr relax``: relax a structure in an interatomic potential within its space group."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from .._words import counted
from ..errors import JaxnmrError
from .codes import NOT_CONVERGED, OK
from .commands import _prepare
from .folders import usable

if TYPE_CHECKING:
    from ..search import RelaxResult, RelaxStep


def add_relax(command: Callable) -> None:
    """Add the command to the parser; ``command`` makes subparsers."""
    relax = command(
        "relax", _relax, "relax a crystal structure in an interatomic potential, keeping its space group",
        "jaxnmr relax quartz.cif --model chgnet-r2scan --cell free --out out/quartz",
    )  # fmt: skip
    relax.add_argument("file", metavar="FILE", type=Path, help="the structure: CIF or another structure file")
    relax.add_argument(
        "--model",
        default="chgnet-r2scan",
        metavar="NAME",
        help="chgnet-r2scan (default), chgnet-0.3.0, bks or chik, or a JSON file with the parameters of a pair potential",
    )
    relax.add_argument("--cell", choices=("fixed", "free"), default="fixed", help="default: fixed")
    relax.add_argument("--pressure-gpa", type=float, default=0.0, metavar="GPA", help="on a free cell (default: 0)")
    relax.add_argument("--force", type=float, default=1e-3, metavar="EV_PER_A", help="largest at rest (default: 0.001)")
    relax.add_argument("--max-steps", type=int, default=200, metavar="N", help="default: 200")


def _relax(arguments: argparse.Namespace, console: Console) -> int:
    if arguments.pressure_gpa and arguments.cell == "fixed":
        raise JaxnmrError("--pressure-gpa does nothing to a fixed cell: give --cell free, too")
    if not (arguments.force > 0 and arguments.max_steps > 0):
        raise JaxnmrError("--force and --max-steps must be positive")
    _prepare(arguments)
    from ..energy import EnergyModel
    from ..io import read_crystal
    from ..report.relaxation import write_relaxation
    from ..search.relaxation import relax

    folder = usable(arguments.out or Path("out") / f"{arguments.file.stem}_relaxed")
    crystal = read_crystal(arguments.file)
    model = EnergyModel.load(arguments.model)
    console.print(
        f"[bold]{escape(crystal.name)}[/] in {escape(model.name)}, {crystal.group.name}, cell {arguments.cell}"
    )
    result = relax(
        crystal,
        model,
        cell=arguments.cell,
        pressure_gpa=arguments.pressure_gpa,
        force=arguments.force,
        max_steps=arguments.max_steps,
        callback=lambda step: console.print(_line(step, arguments.cell == "free")),
    )
    inputs = [arguments.file, *([Path(arguments.model)] if Path(arguments.model).is_file() else [])]
    write_relaxation(result, folder, f"{crystal.name} in {model.name}", card=model.card, inputs=inputs)
    _summary(result, folder, console)
    return OK if result.converged else NOT_CONVERGED


def _line(step: RelaxStep, free: bool) -> str:
    text = f"{step.number:4d}  E {step.energy:14.6f} eV  force {step.force:9.2e} eV/Å"
    if free:
        text += f"  stress {step.stress:9.2e} GPa"
    text += f"  moved {step.moved:.4f} Å  {step.seconds:6.2f} s"
    return text if step.accepted else f"[dim]{text}  rejected[/]"


def _summary(result: RelaxResult, folder: Path, console: Console) -> None:
    console.print(f"[bold {'green' if result.converged else 'red'}]{escape(result.message)}[/]")
    change = 1e3 * (result.energy - result.energy_start) / result.atoms
    console.print(
        f"  {change:+.2f} meV per atom, {counted(result.atoms, 'atom')} moved by {result.rms_moved:.4f} Å (rms)"
    )
    if result.cell_free:
        growth = 100.0 * (float(result.crystal.volume()) / float(result.start.volume()) - 1.0)
        console.print(f"  volume {growth:+.2f} %")
    for note in result.notes:
        console.print(f"  [yellow]note:[/] {escape(note)}")
    console.print(f"  structure: {escape(str(folder / 'relaxed.cif'))}, report: {escape(str(folder / 'report.md'))}")
