"""The ``jaxnmr`` command.

Exit codes: 0 done, 2 something in the input is wrong (the message says what), 3 the refinement did not converge,
130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from .errors import JaxnmrError

if TYPE_CHECKING:
    from .refine.result import RefinementResult, StepInfo
    from .runfile import Run

OK, WRONG_INPUT, NOT_CONVERGED, INTERRUPTED = 0, 2, 3, 130
CHECKPOINT = "checkpoint.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (``sys.argv`` by default) and return the exit code."""
    arguments = _parser().parse_args(argv)
    console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=getattr(arguments, "quiet", False))
    complaints = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        return arguments.function(arguments, console)
    except JaxnmrError as err:
        complaints.print(f"[bold red]error:[/] {escape(str(err))}")
        return WRONG_INPUT
    except OSError as err:
        where = f"{err.filename}: " if err.filename else ""
        complaints.print(f"[bold red]error:[/] {escape(where + (err.strerror or str(err)))}")
        return WRONG_INPUT
    except KeyboardInterrupt:
        complaints.print("[bold red]interrupted[/]")
        return INTERRUPTED


class ProgressLines:
    """A solver callback that prints one line per step and a heading per stage.

    Args:
        console: where to print; a terminal gets colours, anything else plain text.
    """

    def __init__(self, console: Console):
        self.console = console
        self.stage: int | None = None

    def __call__(self, info: StepInfo) -> None:
        if info.stage != self.stage:
            self.stage = info.stage
            self.console.print(f"[bold]stage {info.stage + 1}: {escape(info.stage_name)}[/] ({info.n_free} parameters)")
        rwp = "  ".join(
            [f"Rwp {escape(name)} {value:7.3f} %" for name, value in info.rwp.items()]
            + [f"Rw {escape(name)} {value:7.3f} %" for name, value in info.rw.items()]
        )
        text = (
            f"{info.step:4d}  {rwp}  χ² {info.chi2:12.6g}  shift/esd {info.shift_over_esd:9.3g}  {info.seconds:6.2f} s"
        )
        if info.note:
            text += f"  {escape(info.note)}"
        self.console.print(text if info.accepted else f"[dim]{text}  rejected[/]")


def _refine(arguments: argparse.Namespace, console: Console) -> int:
    from .runfile import load_run

    run = load_run(arguments.run)
    _prepare(arguments)
    return _refine_run(run, arguments.out or Path("out") / run.path.stem, console, resume=arguments.resume)


def _fit_spectrum(arguments: argparse.Namespace, console: Console) -> int:
    from .runfile import load_run

    run = load_run(arguments.run)
    if not run.spectra:
        raise JaxnmrError(f"{arguments.run}: no [[spectrum]] to fit; jaxnmr help-run explains it")
    return _refine(arguments, console)


def _refine_run(run: Run, folder: Path, console: Console, *, resume: bool = False) -> int:
    """Build, refine and report one run; the exit code."""
    from .refine import read_checkpoint, refine
    from .report import write_report

    folder.mkdir(parents=True, exist_ok=True)
    console.print(f"[bold]{escape(run.title)}[/]")
    setup = run.build()
    checkpoint = folder / CHECKPOINT
    start = read_checkpoint(checkpoint, setup.parameters) if resume else setup.parameters
    if not resume:
        checkpoint.unlink(missing_ok=True)
    try:
        fit = refine(
            setup.objective,
            start,
            solver=setup.solver,
            stages=setup.stages,
            callback=ProgressLines(console),
            checkpoint=checkpoint,
            throw=False,
            correlation_threshold=run.correlation_threshold,
            weights=run.solver["weights"],
        )
    except KeyboardInterrupt:
        kept = f"the last good step is in {checkpoint}" if checkpoint.exists() else "no step was finished"
        console.print(f"[bold red]interrupted[/]: {escape(kept)}")
        return INTERRUPTED
    write_report(fit, folder, run)
    _summary(fit, folder, console)
    if fit.status == "interrupted":
        return INTERRUPTED
    return OK if fit.converged else NOT_CONVERGED


def _summary(fit: RefinementResult, folder: Path, console: Console) -> None:
    colour = "green" if fit.converged else "red"
    status = "" if fit.converged else f"{fit.status}: "
    console.print(f"[bold {colour}]{escape(status + fit.message)}[/]")
    for name, s in fit.statistics.items():
        factor = f"Rwp {s.rwp:.3f}" if name in fit.patterns else f"Rw {s.rw:.3f}"
        console.print(f"  {escape(name)}: {factor} %, GoF {s.gof:.3f}, {s.n_observations} points")
    for name, s in fit.terms.items():
        console.print(f"  {escape(name)}: {escape(str(s))}")
    for warning in (*fit.warnings, *fit.null_directions):
        console.print(f"  [yellow]warning:[/] {escape(warning)}")
    console.print(f"  report: {escape(str(folder / 'report.md'))}")


def _train(arguments: argparse.Namespace, console: Console) -> int:
    from .cli_training import train_run
    from .runfile.training import load_training

    run = load_training(arguments.run)
    _prepare(arguments)
    return train_run(run, arguments.out or Path("out") / run.path.stem, console)


def _cross_validate(arguments: argparse.Namespace, console: Console) -> int:
    from .cli_training import cross_validate_run
    from .runfile.training import load_training

    run = load_training(arguments.run)
    _prepare(arguments)
    return cross_validate_run(run, arguments.folds, arguments.out, console)


def _evaluate(arguments: argparse.Namespace, console: Console) -> int:
    from .cli_training import evaluate_run
    from .runfile.training import load_training

    run = load_training(arguments.run)
    _prepare(arguments)
    return evaluate_run(run, arguments.models, arguments.part, arguments.out, console)


def _simulate(arguments: argparse.Namespace, console: Console) -> int:
    from .runfile import load_run

    run = load_run(arguments.run)
    _prepare(arguments)
    from .io import write_pattern
    from .runfile.build import simulate

    folder = arguments.out or Path("out") / run.path.stem
    folder.mkdir(parents=True, exist_ok=True)
    for name, pattern in simulate(run, counts=arguments.noise, seed=arguments.seed).items():
        path = folder / f"{name}.xye"
        write_pattern(pattern, path)
        console.print(f"{escape(name)}: {len(pattern.x)} points in {escape(str(path))}")
    return OK


def _simulate_spectrum(arguments: argparse.Namespace, console: Console) -> int:
    import warnings

    _prepare(arguments)
    import matplotlib.pyplot as plt

    from .io import write_spectrum
    from .nmr import SpectrumWarning
    from .plot import spectrum as picture
    from .runfile.spectrum import simulated, specs_to_simulate

    folder = arguments.out or Path("out") / Path(arguments.file).stem
    keys = (
        "isotope",
        "b0",
        "larmor",
        "mas",
        "transitions",
        "reference",
        "slope",
        "broadening",
        "points",
        "width",
        "centre",
    )
    if Path(arguments.file).suffix == ".magres" and arguments.reference is None:
        console.print("  [yellow]warning:[/] no --reference: the axis is minus the shielding, not the chemical shift")
    for spec in specs_to_simulate(arguments.file, {key: getattr(arguments, key) for key in keys}):
        with warnings.catch_warnings(record=True) as doubts:
            warnings.simplefilter("always", SpectrumWarning)
            spectrum, sites = simulated(spec)
        for doubt in doubts:
            console.print(f"  [yellow]warning:[/] {escape(str(doubt.message))}")
        folder.mkdir(parents=True, exist_ok=True)  # none where the input is wrong
        for suffix in (".csdf", ".csv"):
            write_spectrum(spectrum, folder / f"{spec.name}{suffix}")
        figure = picture(spectrum)
        figure.savefig(folder / f"{spec.name}.png")
        plt.close(figure)
        described = f"{len(sites)} sites of {sites.isotope}, {len(spectrum.values)} points"
        console.print(f"{escape(spec.name)}: {described} in {escape(str(folder / spec.name))}.csdf, .csv and .png")
    return OK


def _examples(arguments: argparse.Namespace, console: Console) -> int:
    from .runfile import load_run

    found, trainings = example_files(), example_files("training")
    if arguments.action != "run":
        for heading, files in (("refinements", found), ("trainings of tensor models (hours)", trainings)):
            print(f"{heading}:")
            for name, path in files.items():
                text = path.read_text(encoding="utf-8")
                needs = "needs JAXNMR_DATA" if "${JAXNMR_DATA}" in text else "complete"
                print(f"  {name:15s} {needs:18s} {tomllib.loads(text).get('title', '')}")
        print("\nrun one with: jaxnmr examples run NAME --out DIR")
        return OK
    if arguments.all == (arguments.name is not None):
        raise JaxnmrError("give the name of one example, or --all for every one; jaxnmr examples lists them")
    if arguments.name in trainings:
        arguments.run, arguments.out = trainings[arguments.name], arguments.out or Path("out") / arguments.name
        return _train(arguments, console)
    if arguments.name is not None and arguments.name not in found:
        from .runfile.table import nearest

        raise JaxnmrError(f"no example {arguments.name!r}{nearest(arguments.name, [*found, *trainings])}")
    _prepare(arguments)
    folder, worst = arguments.out or Path("out"), OK
    for name in found if arguments.all else [arguments.name]:
        try:
            code = _refine_run(load_run(found[name]), folder / name, console)
        except JaxnmrError as err:
            if not arguments.all:
                raise
            console.print(f"[bold red]error:[/] {escape(str(err))}")
            code = WRONG_INPUT
        if code == INTERRUPTED:
            return code
        worst = max(worst, code)
    return worst


def _help_run(arguments: argparse.Namespace, console: Console) -> int:
    from . import runfile
    from .runfile import couplings, joint, predicted, training, weights

    for part in (runfile, joint, predicted, couplings, weights, training):
        print(part.__doc__.strip() + "\n")
    return OK


def example_files(kind: str = "refinement") -> dict[str, Path]:
    """The run files that come with jaxnmr, by name: beside the package in a checkout, else in its shared data.

    Args:
        kind: ``"refinement"`` (of structures and spectra) or ``"training"`` (of tensor models, in a folder of that name).

    Raises:
        JaxnmrError: neither is there.
    """
    import sysconfig

    places = [Path(__file__).resolve().parents[1] / "examples"]
    places += [
        Path(sysconfig.get_path("data", scheme)) / "share" / "jaxnmr" / "examples"
        for scheme in (sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user"))
    ]
    for place in places:
        files = sorted([*place.glob("*.toml"), *place.glob("*/*.toml")], key=lambda path: path.stem)
        if files:
            return {path.stem: path for path in files if (path.parent.name == "training") == (kind == "training")}
    raise JaxnmrError(f"no examples in {', '.join(map(str, places))}; reinstall jaxnmr, or run from its repository")


def _prepare(arguments: argparse.Namespace) -> None:
    """Double precision, pictures without a screen, and the cache of compiled programs."""
    import matplotlib

    from ._cache import enable_cache
    from ._precision import enable_x64

    matplotlib.use("Agg")
    enable_x64()
    if not arguments.no_cache:
        enable_cache(arguments.cache)


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
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

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
    common.add_argument("--no-cache", action="store_true", help="compile everything anew")

    def command(name, function, text, example, parents=(common,)):
        sub = commands.add_parser(
            name,
            parents=list(parents),
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=f"example: {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(function=function)
        return sub

    refine = command(
        "refine", _refine, "refine what a run file describes and write the report",
        "jaxnmr refine run.toml --out out/run",
    )  # fmt: skip
    refine.add_argument("run", metavar="RUN.toml", help="the run file; jaxnmr help-run explains it")

    refine.add_argument(
        "--resume",
        action="store_true",
        help=f"start from {CHECKPOINT} in the output folder, the last good step of before",
    )

    simulate = command(
        "simulate", _simulate, "calculate the patterns of a run file from its starting values",
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
        "fit-spectrum", _fit_spectrum, "fit the NMR spectra of a run file and write the report",
        "jaxnmr fit-spectrum glass.toml --out out/glass",
    )  # fmt: skip
    fit.add_argument("run", metavar="RUN.toml", help="the run file with [[spectrum]]; jaxnmr help-run explains it")
    fit.add_argument("--resume", action="store_true", help=f"start from {CHECKPOINT} in the output folder")

    spectrum = command(
        "simulate-spectrum", _simulate_spectrum, "simulate NMR spectra of the sites in a run file or a magres file",
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
        "train", _train, "train tensor models on computed tensors and report how good they are",
        "jaxnmr train examples/training/gehlenite-efg.toml --out out/gehlenite",
    )  # fmt: skip
    train.add_argument(
        "run", metavar="RUN.toml", help="the run file with [data]; an interrupted training goes on where it stopped"
    )

    evaluate = command(
        "evaluate", _evaluate, "judge tensor models on the data of a run file",
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
        "cross-validate", _cross_validate, "train without one part of the data after the other and judge them all",
        "jaxnmr cross-validate examples/training/silica-efg.toml --folds 5 --out out/folds",
    )  # fmt: skip
    cross.add_argument("run", metavar="RUN.toml", help="the run file of a training; of its split, kind and seed count")
    cross.add_argument("--folds", type=int, default=5, help="parts of the data, and trainings (default: 5)")

    examples = command("examples", _examples, "list or run the examples", "jaxnmr examples run quartz --out out")
    examples.add_argument("action", nargs="?", choices=("list", "run"), default="list", help="list (default) or run")
    examples.add_argument("name", nargs="?", metavar="NAME", help="which example to run")
    examples.add_argument("--all", action="store_true", help="run every example but the trainings")

    from .cli_screening import add_screen

    add_screen(command)
    command("help-run", _help_run, "explain run files", "jaxnmr help-run | less", parents=())
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
