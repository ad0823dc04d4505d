"""Commands of ``jaxnmr``: their output, their files and their exit codes."""

from __future__ import annotations

import argparse
import tomllib
import warnings
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from ..errors import JaxnmrError, ParseError
from .codes import INTERRUPTED, NOT_CONVERGED, OK, WRONG_INPUT
from .engines import engine
from .examples import copy_example, example_files, no_example
from .folders import CHECKPOINT, unfinished, usable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..objective import Parameters
    from ..refinement.result import RefinementResult, StepInfo
    from ..report.live import LivePage
    from ..runfile import Run, Setup


class ProgressLines:
    """A solver callback that prints one line per step and a heading per stage.

    Args:
        console: destination; colours on terminals, plain text otherwise.
    """

    def __init__(self, console: Console):
        self.console = console
        self.stage: int | None = None

    def __call__(self, info: StepInfo) -> None:
        if info.stage != self.stage:
            self.stage = info.stage
            self.console.print(f"[bold]stage {info.stage + 1}: {escape(info.stage_name)}[/] ({info.n_free} parameters)")
        agreement = "  ".join(f"{factor} {escape(term)} {value:7.3f} %" for term, factor, value in info.agreement())
        text = f"{info.step:4d}  {agreement}  χ² {info.chi2:12.6g}  shift/esd {info.shift_over_esd:9.3g}  {info.seconds:6.2f} s"
        if info.compile_seconds:
            text += f"  ({info.compile_seconds:.1f} s in a call that compiled)"
        if info.note:
            text += f"  {escape(info.note)}"
        self.console.print(text if info.accepted else f"[dim]{text}  rejected[/]")


def _refine(arguments: argparse.Namespace, console: Console) -> int:
    from ..runfile import load_run

    run = load_run(arguments.run)
    _prepare(arguments)
    folder = arguments.out or Path("out") / run.path.stem
    return _refine_run(run, folder, console, resume=arguments.resume, restart=arguments.restart, live=arguments.live)


def _fit_spectrum(arguments: argparse.Namespace, console: Console) -> int:
    from ..runfile import load_run

    run = load_run(arguments.run)
    if not run.spectra:
        raise JaxnmrError(f"{arguments.run}: no [[spectrum]] to fit; jaxnmr help-run explains it")
    return _refine(arguments, console)


def _refine_run(
    run: Run, folder: Path, console: Console, *, resume: bool = False, restart: bool = False, live: bool = False
) -> int:
    """Build, refine and report one run; return the exit code."""
    return _refined(run, folder, console, resume=resume, restart=restart, live=live)[0]


def _refined(
    run: Run, folder: Path, console: Console, *, resume: bool = False, restart: bool = False, live: bool = False
) -> tuple[int, RefinementResult | None]:
    """Do the same as :func:`_refine_run`, and return the result too; ``None`` if interrupted before there was one."""
    from ..refinement import read_checkpoint, refine
    from ..report import write_report
    from ..report.earlier import PREVIOUS, RESULT
    from ..runfile import build
    from ..runfile.advice import in_keys

    checkpoint = folder / CHECKPOINT
    usable(folder)
    if resume and not checkpoint.exists():
        raise JaxnmrError(f"{checkpoint}: no such file, so there is nothing to go on from; leave --resume out")
    if not (resume or restart) and unfinished(folder):
        raise JaxnmrError(
            f"{checkpoint} is the last good step of a refinement that did not end: go on from it with --resume, begin again "
            "with --restart, or name another folder with --out"
        )
    console.print(f"[bold]{escape(run.title)}[/]")
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always", UserWarning)
        setup = build(run)
    said = tuple(
        dict.fromkeys(in_keys(str(doubt.message)) for doubt in doubts if issubclass(doubt.category, UserWarning))
    )
    start = setup.parameters
    if resume:
        try:
            start = read_checkpoint(checkpoint, setup.parameters)
        except ParseError as err:
            reason = err.reason.removesuffix("; start from the beginning")
            raise ParseError(checkpoint, None, f"{reason}; begin again with --restart in place of --resume") from err
    earlier = (folder / RESULT).exists()
    if not resume:
        checkpoint.unlink(missing_ok=True)
    view = _live_page(run, setup, start, folder, console) if live else None
    watching: list[Callable[[StepInfo], None]] = [ProgressLines(console), *([] if view is None else [view])]

    def tell(info: StepInfo) -> None:
        for watch in watching:
            watch(info)

    try:
        fit = refine(
            setup.objective,
            start,
            solver=setup.solver,
            stages=setup.stages,
            callback=tell,
            checkpoint=checkpoint,
            throw=False,
            correlation_threshold=run.correlation_threshold,
            weights=run.solver["weights"],
        )
    except KeyboardInterrupt:
        kept = f"the last good step is in {checkpoint}" if checkpoint.exists() else "no step was finished"
        console.print(f"[bold red]interrupted[/]: {escape(kept)}")
        return INTERRUPTED, None
    if said:
        # warnings from reading the files belong to the results
        fit = replace(fit, warnings=(*said, *fit.warnings))
    written = write_report(fit, folder, run)
    if view is not None:
        view.end()
    _summary(fit, written, console)
    if earlier and (folder / PREVIOUS).exists():
        console.print(f"  results that were there before: {escape(str(folder / PREVIOUS))}")
    if fit.status == "interrupted":
        return INTERRUPTED, fit
    return (OK if fit.converged else NOT_CONVERGED), fit


def _live_page(run: Run, setup: Setup, start: Parameters, folder: Path, console: Console) -> LivePage:
    """Start the page that follows a refinement, with the calculated curves of its start."""
    from ..refinement import read_checkpoint
    from ..refinement.stages import masked
    from ..report.asked import Asked
    from ..report.live import LivePage

    # planned for the parameters that are refined in the end
    params = masked(start, setup.stages or ())[0]
    view = LivePage(
        folder, run.title, setup.objective, lambda: read_checkpoint(folder / CHECKPOINT, params), Asked.of(run)
    )
    view.begin(params)
    console.print(f"  live view: {escape(str(view.page))}")
    return view


def _summary(fit: RefinementResult, written: Mapping[str, Path], console: Console) -> None:
    from ..report.page import MISSING

    colour = "green" if fit.converged else "red"
    status = "" if fit.converged else f"{fit.status}: "
    console.print(f"[bold {colour}]{escape(status + fit.message)}[/]")
    for name, s in fit.statistics.items():
        console.print(f"  {escape(name)}: {escape(s.brief())}")
    for warning in (*fit.warnings, *fit.null_directions):
        console.print(f"  [yellow]warning:[/] {escape(warning)}")
    for what in ("report", "page"):
        if what in written:
            console.print(f"  report: {escape(str(written[what]))}")
    if "page" not in written:
        console.print(f"  {escape(MISSING)}")


def _train(arguments: argparse.Namespace, console: Console) -> int:
    from ..runfile.training import load_training
    from .training import train_run

    run = load_training(arguments.run)
    _join_others(arguments)
    _prepare(arguments)
    with engine(arguments) as client:
        return train_run(run, arguments.out or Path("out") / run.path.stem, console, client)


def _join_others(arguments: argparse.Namespace) -> None:
    """Join several processes if the arguments request it; ``examples run`` has no such arguments."""
    from ..errors import ConventionError
    from ..models.tensors.hosts import join

    place = [getattr(arguments, name, None) for name in ("coordinator", "processes", "process")]
    if getattr(arguments, "distributed", False):
        join(*place)
    elif None not in place:
        join(*place)
    elif place != [None] * 3:
        raise ConventionError(
            "of --coordinator, --processes and --process all are needed, or --distributed under a scheduler that says the others"
        )


def _cross_validate(arguments: argparse.Namespace, console: Console) -> int:
    from ..runfile.training import load_training
    from .training import cross_validate_run

    run = load_training(arguments.run)
    _prepare(arguments)
    with engine(arguments) as client:
        return cross_validate_run(run, arguments.folds, arguments.out, console, client)


def _evaluate(arguments: argparse.Namespace, console: Console) -> int:
    from ..runfile.training import load_training
    from .training import evaluate_run

    run = load_training(arguments.run)
    _prepare(arguments)
    return evaluate_run(run, arguments.models, arguments.part, arguments.out, console)


def _simulate(arguments: argparse.Namespace, console: Console) -> int:
    from ..io import write_pattern
    from ..runfile import load_run, simulate

    run = load_run(arguments.run)
    _prepare(arguments)

    folder = usable(arguments.out or Path("out") / run.path.stem)
    patterns = simulate(run, counts=arguments.noise, seed=arguments.seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name, pattern in patterns.items():
        path = folder / f"{name}.xye"
        write_pattern(pattern, path)
        console.print(f"{escape(name)}: {len(pattern.x)} points in {escape(str(path))}")
    return OK


def _simulate_spectrum(arguments: argparse.Namespace, console: Console) -> int:
    _prepare(arguments)
    import matplotlib.pyplot as plt

    from ..io import write_spectrum
    from ..plot import spectrum as picture
    from ..runfile.spectrum import simulated, specs_to_simulate

    folder = usable(arguments.out or Path("out") / Path(arguments.file).stem)
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
    unreferenced = Path(arguments.file).suffix == ".magres" and arguments.reference is None
    for spec in specs_to_simulate(arguments.file, {key: getattr(arguments, key) for key in keys}):
        with warnings.catch_warnings(record=True) as doubts:
            warnings.simplefilter("always", UserWarning)
            spectrum, sites = simulated(spec)
        if unreferenced and not any("no shieldings" in str(doubt.message) for doubt in doubts):
            console.print(
                "  [yellow]warning:[/] no --reference: the axis is minus the shielding, not the chemical shift"
            )
        for doubt in doubts:
            console.print(f"  [yellow]warning:[/] {escape(str(doubt.message))}")
        folder.mkdir(parents=True, exist_ok=True)  # not created if the input is invalid
        for suffix in (".csdf", ".csv"):
            write_spectrum(spectrum, folder / f"{spec.name}{suffix}")
        figure = picture(spectrum)
        figure.savefig(folder / f"{spec.name}.png")
        plt.close(figure)
        described = f"{len(sites)} sites of {sites.isotope}, {len(spectrum.values)} points"
        console.print(f"{escape(spec.name)}: {described} in {escape(str(folder / spec.name))}.csdf, .csv and .png")
    return OK


def _examples(arguments: argparse.Namespace, console: Console) -> int:
    found, trainings, averages = (example_files(kind) for kind in ("refinement", "training", "dynamics"))
    if arguments.copy:
        name, folder = arguments.copy
        for path in copy_example(name, Path(folder)):
            console.print(f"  {escape(str(path))}")
        return OK
    if arguments.action != "run":
        for heading, files in (
            ("refinements", found),
            ("thermal averages", averages),
            ("trainings of tensor models (hours)", trainings),
        ):
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
    if arguments.name in averages:
        return arguments.average(averages[arguments.name], arguments, console)
    if arguments.name is not None and arguments.name not in found:
        raise no_example(arguments.name)
    from ..runfile import load_run

    _prepare(arguments)
    folder, worst = arguments.out or Path("out"), OK
    for name in found if arguments.all else [arguments.name]:
        try:
            # examples may be run repeatedly
            code = _refine_run(load_run(found[name]), folder / name, console, restart=True)
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
    # not through the package of run files, whose import loads everything a run may need
    print((resources.files("jaxnmr") / "runfile" / "manual.md").read_text(encoding="utf-8"))
    return OK


def _prepare(arguments: argparse.Namespace) -> None:
    """Set double precision, a figure backend without display, and the cache of compiled programs."""
    import matplotlib

    from .._cache import enable_cache
    from .._precision import enable_x64

    matplotlib.use("Agg")
    enable_x64()
    if not arguments.no_cache:
        enable_cache(arguments.cache)
