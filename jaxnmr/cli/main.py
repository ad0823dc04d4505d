"""The ``jaxnmr`` command: its arguments and its error handling.

Exit codes: 0 success, 2 invalid input (the message explains), 3 refinement not converged, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from ..errors import JaxnmrError
from . import commands
from .average import add_average, average_example
from .beginning import add_new
from .codes import INTERRUPTED, OK, WRONG_INPUT
from .density import add_density
from .echo import add_echo
from .engines import add_engine, add_worker
from .folders import CHECKPOINT
from .hamiltonian import add_hamiltonian
from .relaxing import add_relax
from .reporting import add_report
from .screening import add_screen, add_table
from .series import add_series
from .solving import add_solving


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (``sys.argv`` by default) and return the exit code."""
    parser = _parser()
    arguments, others = parser.parse_known_args(argv)
    if others and (not hasattr(arguments, "candidate_files") or any(other.startswith("-") for other in others)):
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    if others:
        # files that follow options: argparse has already assigned an empty list
        arguments.candidate_files += others
    console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=getattr(arguments, "quiet", False))
    complaints = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(message: Warning | str, *place: object, **more: object) -> None:
        """Print a warning without its place in the code: it is addressed to the author of the input."""
        console.print(f"[yellow]warning:[/] {escape(str(message))}")

    try:
        with warnings.catch_warnings():
            warnings.showwarning = say
            return arguments.function(arguments, console)
    except JaxnmrError as err:
        from ..runfile.advice import in_keys

        complaints.print(f"[bold red]error:[/] {escape(in_keys(str(err)))}")
        return WRONG_INPUT
    except BrokenPipeError:
        # the reader closed the pipe; avoid Python's complaint when it closes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as err:
        where = f"{err.filename}: " if err.filename else ""
        complaints.print(f"[bold red]error:[/] {escape(where + (err.strerror or str(err)))}")
        return WRONG_INPUT
    except KeyboardInterrupt:
        complaints.print("[bold red]interrupted[/]")
        return INTERRUPTED


def _version() -> str:
    try:
        return metadata.version("jaxnmr")
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jaxnmr",
        description="Refinement of crystal structures from powder diffraction and NMR spectra, and training of models of "
        "NMR tensors, described by run files.",
        epilog="exit codes: 0 done, 2 wrong input, 3 not converged, 130 interrupted",
    )
    parser.add_argument("--version", action="version", version=f"jaxnmr {_version()}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--out", type=Path, metavar="DIR", help="folder for the results (default: out/NAME)")
    common.add_argument("--quiet", action="store_true", help="print errors only")
    common.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where compiled programs are kept for the next time "
        "(default: $JAX_COMPILATION_CACHE_DIR, else jaxnmr in the user's cache folder)",
    )
    common.add_argument("--no-cache", action="store_true", help="compile everything again")

    def command(name, function, text, example, parents=(common,)):
        sub = subparsers.add_parser(
            name,
            parents=list(parents),
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=f"example: {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(function=function)
        return sub

    add_new(command)
    refine = command(
        "refine", commands._refine, "refine what a run file describes and write the report",
        "jaxnmr refine run.toml --out out/run",
    )  # fmt: skip
    refine.add_argument("run", metavar="RUN.toml", help="the run file; jaxnmr help-run explains it")

    _add_restarts(refine)
    _add_live(refine)

    simulate = command(
        "simulate", commands._simulate, "calculate the patterns of a run file from its starting values",
        "jaxnmr simulate run.toml --out out/sim --noise 10000 --seed 1",
    )  # fmt: skip
    simulate.add_argument(
        "run", metavar="RUN.toml", help="the run file; a histogram may give a range instead of a file"
    )
    simulate.add_argument(
        "--noise",
        type=_positive,
        metavar="COUNTS",
        help="scale the highest point to COUNTS and draw Poisson counts (default: the smooth curve)",
    )
    simulate.add_argument("--seed", type=int, default=0, help="seed of the noise (default: 0)")

    fit = command(
        "fit-spectrum", commands._fit_spectrum, "fit the NMR spectra of a run file and write the report",
        "jaxnmr fit-spectrum glass.toml --out out/glass",
    )  # fmt: skip
    fit.add_argument("run", metavar="RUN.toml", help="the run file with [[spectrum]]; jaxnmr help-run explains it")
    _add_restarts(fit)
    _add_live(fit)

    spectrum = command(
        "simulate-spectrum", commands._simulate_spectrum, "simulate NMR spectra of the sites in a run file or a magres file",
        "jaxnmr simulate-spectrum quartz.magres --isotope 29Si --b0 9.4 --mas 5000 --reference 337.3 --out out/quartz",
    )  # fmt: skip
    spectrum.add_argument(
        "file", metavar="FILE", help="a run file with [[spectrum]] (without options), or a magres file"
    )
    spectrum.add_argument("--isotope", metavar="29Si", help="observed nucleus")
    spectrum.add_argument("--b0", type=_positive, metavar="TESLA", help="field; or give --larmor")
    spectrum.add_argument("--larmor", type=_positive, metavar="MHZ", help="frequency of 0 ppm")
    spectrum.add_argument(
        "--mas", type=float, metavar="HZ", help="spinning speed, inf for no sidebands (default: static)"
    )
    spectrum.add_argument("--transitions", choices=("central", "satellites", "all"), help="default: central")
    spectrum.add_argument("--reference", type=float, metavar="PPM", help="shift of zero shielding (default: 0)")
    spectrum.add_argument("--slope", type=float, help="of shifts against shieldings (default: -1)")
    spectrum.add_argument("--broadening", type=_positive, metavar="HZ", help="Gaussian width (default: 50)")
    spectrum.add_argument("--points", type=int, help="default: 2048")
    spectrum.add_argument("--width", type=_positive, metavar="KHZ", help="spectral width (default: all that there is)")
    spectrum.add_argument("--centre", type=float, metavar="PPM", help="centre of the axis")

    train = command(
        "train", commands._train, "train tensor models on computed tensors and report how good they are",
        "jaxnmr train examples/training/gehlenite-efg.toml --out out/gehlenite",
    )  # fmt: skip
    train.add_argument(
        "run", metavar="RUN.toml", help="the run file with [data]; an interrupted training goes on where it stopped"
    )
    train.add_argument(
        "--distributed",
        action="store_true",
        help="one of several processes that train together, started by srun or mpirun, which say the rest",
    )
    train.add_argument("--coordinator", metavar="HOST:PORT", help="or: where process 0 listens for the others")
    train.add_argument("--processes", type=int, metavar="N", help="how many there are")
    train.add_argument("--process", type=int, metavar="K", help="which of them this one is, from 0")
    add_engine(train)

    evaluate = command(
        "evaluate", commands._evaluate, "judge tensor models on the data of a run file",
        "jaxnmr evaluate out/gehlenite/model.safetensors examples/training/gehlenite-efg.toml --out out/judged",
    )  # fmt: skip
    evaluate.add_argument(
        "models", metavar="MODEL.safetensors", nargs="+", type=Path, help="a model; of several the mean is judged"
    )
    evaluate.add_argument("run", metavar="RUN.toml", help="the run file with [data], [checks] and [split]")
    evaluate.add_argument(
        "--part",
        choices=("all", "train", "valid", "test"),
        help="of the split (default: test; all where the run file splits nothing)",
    )

    cross = command(
        "cross-validate", commands._cross_validate, "k-fold cross-validation: train k times, score each held-out fold",
        "jaxnmr cross-validate examples/training/silica-efg.toml --folds 5 --out out/folds",
    )  # fmt: skip
    cross.add_argument("run", metavar="RUN.toml", help="the run file of a training; of its split, kind and seed count")
    cross.add_argument("--folds", type=int, default=5, help="parts of the data, and trainings (default: 5)")
    add_engine(cross)

    examples = command(
        "examples", commands._examples, "list or run the examples", "jaxnmr examples run quartz --out out"
    )
    examples.set_defaults(average=average_example)
    examples.add_argument("action", nargs="?", choices=("list", "run"), default="list", help="list (default) or run")
    examples.add_argument(
        "--copy", nargs=2, metavar=("NAME", "DIR"), help="copy the run file of an example and its small input files, to edit them"
    )  # fmt: skip
    examples.add_argument("name", nargs="?", metavar="NAME", help="which example to run")
    examples.add_argument("--all", action="store_true", help="run every example but the trainings")

    add_report(command)
    add_screen(command)
    add_table(command)
    add_worker(command)
    add_series(command)
    add_relax(command)
    add_average(command)
    add_solving(command)
    add_echo(command)
    add_density(command)
    add_hamiltonian(command)
    command("help-run", commands._help_run, "explain run files", "jaxnmr help-run | less", parents=())
    return parser


def _add_restarts(sub: argparse.ArgumentParser) -> None:
    """Add the options about the last good step of a killed refinement."""
    choice = sub.add_mutually_exclusive_group()
    choice.add_argument(
        "--resume",
        action="store_true",
        help=f"go on from {CHECKPOINT} in the output folder, the last good step of before",
    )
    choice.add_argument("--restart", action="store_true", help=f"begin again although {CHECKPOINT} is there")


def _add_live(sub: argparse.ArgumentParser) -> None:
    """Add the option for a live page."""
    sub.add_argument(
        "--live", action="store_true", help="write live.html into the output folder, a page that follows the refinement"
    )


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text}")
    return value
