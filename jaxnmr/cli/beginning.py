"""The command ``jaxnmr new``: from data and structures to a run file, a first refinement and next steps."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from ..errors import JaxnmrError
from .codes import INTERRUPTED, NOT_CONVERGED, OK
from .commands import _prepare, _refined
from .folders import usable
from .solving import add_region

TUBES = ("Cu", "Mo", "Co", "Fe", "Cr", "Ag")


def add_new(command: Callable) -> None:
    """Add the command to the parser; ``command`` makes subparsers."""
    new = command(
        "new", _new, "write a commented run file for your data and structures, refine it, and say what to do next",
        "jaxnmr new sample.xrdml structure.cif",
    )  # fmt: skip
    new.add_argument(
        "files", metavar="FILE", nargs="+", type=Path,
        help="powder patterns and structures (CIF, EXP, ...; several: several phases), NMR spectra with a magres file or a "
        "peak list, TopSpin folders, in any order",
    )  # fmt: skip
    new.add_argument("--name", help="of the run file, NAME.toml (default: that of the first data file)")
    new.add_argument("--only-write", action="store_true", help="write the run file, do not refine")
    new.add_argument("--force", action="store_true", help="replace a run file that is there already")
    new.add_argument(
        "--instrument", type=Path, metavar="FILE", help="parameter file of the diffractometer (prm, instprm)"
    )
    source = new.add_mutually_exclusive_group()
    source.add_argument("--tube", choices=TUBES, help="anode of the X-ray tube, where the data do not say it")
    source.add_argument(
        "--wavelength", nargs="+", type=float, metavar="A", help="in Å, one or two (Kα1 Kα2), where the data do not say it"
    )  # fmt: skip
    new.add_argument("--radiation", choices=("xray", "neutron"), help="where no file says it (default: xray)")
    new.add_argument(
        "--geometry", choices=("bragg-brentano", "debye-scherrer"), help="flat specimen or capillary, where no file says it"
    )  # fmt: skip
    add_region(new)
    new.add_argument("--isotope", metavar="29Si", help="observed nucleus of spectra, where the data do not say it")
    new.add_argument("--b0", type=float, metavar="TESLA", help="field of spectra, where the data do not say it")
    new.add_argument(
        "--mas", type=float, metavar="HZ", help="spinning speed; inf for no sidebands, 0 for a static sample"
    )
    new.add_argument("--reference", type=float, metavar="PPM", help="shift of no shielding, for a magres file")


def _new(arguments: argparse.Namespace, console: Console) -> int:
    _prepare(arguments)
    from .._files import write_atomically
    from ..proposal.files import sort_files
    from ..proposal.next_steps import outcome, report_section
    from ..proposal.run import Options, propose
    from ..runfile import load_run

    given = sort_files(arguments.files, nmr=arguments.isotope is not None)
    path = Path(f"{(arguments.name or given.name).removesuffix('.toml')}.toml")
    shown = shlex.quote(str(path))
    if not path.parent.is_dir():
        raise JaxnmrError(f"--name {arguments.name}: there is no folder {path.parent}; make it, or give another name")
    if path.exists() and not arguments.force:
        raise JaxnmrError(
            f"{path} is there already, and you may have edited it: refine it with jaxnmr refine {shown}, give another --name, or "
            "--force to replace it"
        )
    folder = usable(arguments.out or Path("out") / path.stem)
    options = Options(
        instrument=arguments.instrument, wavelength=arguments.wavelength, tube=arguments.tube, radiation=arguments.radiation,
        geometry=arguments.geometry, limits=tuple(arguments.limits) if arguments.limits else None,
        exclude=tuple((low, high) for low, high in arguments.exclude), isotope=arguments.isotope, b0=arguments.b0,
        mas=arguments.mas, reference=arguments.reference,
    )  # fmt: skip
    proposal = propose(given, path, options)
    write_atomically(path, proposal.text)
    run = load_run(path)
    for sentence in proposal.said:
        console.print(f"  {escape(sentence)}")
    console.print(f"[bold]run file: {escape(str(path))}[/]")
    if arguments.only_write:
        console.print(f"  refine it with: jaxnmr refine {escape(shown)}")
        return OK
    code, fit = _refined(run, folder, console, restart=True)
    if fit is None or code == INTERRUPTED:
        return code
    found = outcome(fit, path.name)
    with (folder / "report.md").open("a", encoding="utf-8") as report:
        report.write(report_section(found))
    console.print(f"[bold {'green' if found.together else 'red'}]{escape(found.verdict)}[/]")
    console.print("what to do next:")
    for step in found.steps:
        console.print(f"  - {escape(step)}")
    return code if found.together else NOT_CONVERGED
