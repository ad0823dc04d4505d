"""The commands ``jaxnmr train``, ``jaxnmr cross-validate`` and ``jaxnmr evaluate``: output and exit codes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..models.data.training_data import Prepared
from ..models.tensors.cross_validation import cross_validate, deal_folds
from ..models.tensors.elsewhere import train_elsewhere
from ..models.tensors.experiment import Evaluation, evaluate, load_models, run_experiment
from ..models.tensors.hosts import count_processes, in_all, is_first
from ..models.tensors.recipe import EpochInfo
from ..report.models import score_rows, write_evaluation, write_training
from ..runfile.training import TrainingRun
from .codes import INTERRUPTED, OK
from .engines import duration, progress

if TYPE_CHECKING:
    from distributed import Client

    from ..campaign.drive import Tally
    from ..campaign.rows import Row


class TrainingLines:
    """A callback that prints one line per epoch and a heading per member of an ensemble.

    Lines of members trained in parallel include the number of the member.

    Args:
        console: destination.
        members: number of models trained.
    """

    def __init__(self, console: Console, members: int = 1):
        self.console, self.members = console, members
        self.member: int | None = None
        self.ended, self.beside, self.begun = True, False, set[int]()
        self.last = time.monotonic()
        self.steady: dict[int, tuple[int, float]] = {}

    def __call__(self, member: int, info: EpochInfo) -> None:
        now = time.monotonic()
        # another member reports before the last one has ended
        self.beside |= member != self.member and not self.ended
        if member not in self.begun:
            self.begun.add(member)
            if self.members > 1 and not self.beside:
                self.console.print(f"[bold]member {member + 1} of {self.members}[/]")
            if info.epoch > 1:
                self.console.print(f"going on after epoch {info.epoch - 1}")
        valid = "" if info.valid_loss is None else f"  valid {info.valid_loss:8.5f}"
        text = f"{info.epoch:5d}/{info.epochs}  train {info.train_loss:8.5f}{valid}  {now - self.last:6.2f} s"
        if member not in self.steady:
            # the first epoch includes compilation
            self.steady[member] = (info.epoch, now)
        elif info.epoch < info.epochs:
            epoch, time_then = self.steady[member]
            text += f"  {duration((now - time_then) / (info.epoch - epoch) * (info.epochs - info.epoch))} left"
        if self.beside:
            text = f"{member + 1:3d}: {text}"
        self.console.print(text)
        self.member, self.ended, self.last = member, info.epoch == info.epochs, now


def train_run(run: TrainingRun, folder: Path, console: Console, client: Client | None = None) -> int:
    """Check, train and report one run; return the exit code.

    Of several joined processes only the first prints and writes. With a cluster client, its workers train the members.
    """
    if not is_first():
        console = Console(quiet=True)
    console.print(f"[bold]{escape(run.title)}[/]")
    prepared = in_all(run.experiment.prepare)
    if count_processes() > 1:
        console.print(f"{count_processes()} processes")
    _labels(prepared, console)
    lines = TrainingLines(console, run.experiment.members)
    try:
        if client is not None:
            told = partial(_trained, console)
            train_elsewhere(run.experiment, {"all": prepared}, folder, {"all": folder}, client, told)
        result = run_experiment(run.experiment, folder, prepared=prepared, callback=lines)
    except KeyboardInterrupt:
        return _interrupted(folder, console)
    if lines.member is None and client is None:
        console.print("all epochs were done before")
    if not is_first():
        return OK
    written = write_training(result, folder, (run.path,))
    for evaluation in result.evaluations.values():
        _scores(evaluation, console)
    for warning in result.warnings:
        console.print(f"  [yellow]warning:[/] {escape(warning)}")
    console.print(f"  model:  {escape(str(result.file))}")
    console.print(f"  report: {escape(str(written['report']))}")
    return OK


def evaluate_run(
    run: TrainingRun, paths: Sequence[Path], part: str | None, folder: Path | None, console: Console
) -> int:
    """Score models on a part of the data of a run, the test part by default; return the exit code."""
    model = load_models(paths)
    prepared = run.experiment.prepare()
    part = part or ("test" if "test" in prepared.parts else "all")
    _labels(prepared, console)
    evaluation = evaluate(model, prepared, part)
    folder = folder or Path("out") / f"{run.path.stem}-{part}"
    written = write_evaluation(evaluation, prepared, model, folder, title=run.title, inputs=(run.path, *paths))
    _scores(evaluation, console)
    console.print(f"  report: {escape(str(written['report']))}")
    return OK


def cross_validate_run(
    run: TrainingRun, folds: int, folder: Path | None, console: Console, client: Client | None = None
) -> int:
    """Run a k-fold cross-validation, sequentially or in parallel on a cluster; return the exit code."""
    prepared = deal_folds(run.experiment, folds)
    _labels(prepared, console)
    folder = folder or Path("out") / f"{run.path.stem}-folds"
    lines: dict[int, TrainingLines] = {}

    def follow(fold: int, member: int, info: EpochInfo) -> None:
        if fold not in lines:
            console.print(f"[bold]fold {fold + 1} of {folds}[/]")
            lines[fold] = TrainingLines(console, run.experiment.members)
        lines[fold](member, info)

    try:
        result = cross_validate(
            run.experiment, folder, folds=folds, prepared=prepared, callback=follow, client=client,
            progress=partial(_trained, console),
        )  # fmt: skip
    except KeyboardInterrupt:
        return _interrupted(folder, console)
    for fold in result.folds:
        _scores(fold, console)
    written = write_evaluation(
        result.pooled, prepared, result.models[0], folder, title=run.title, inputs=(run.path,), folds=result.folds
    )
    _scores(result.pooled, console)
    if result.pooled.coverage is not None:
        console.print(escape(str(result.pooled.coverage)))
    console.print(f"  report: {escape(str(written['report']))}")
    return OK


def _trained(console: Console, row: Row, tally: Tally) -> None:
    """Print a line for a training finished on a cluster."""
    how = (
        f"[red]{escape(row.message)}[/]"
        if row.status == "error"
        else f"train {row.values['train_loss']:.5f}"
        + ("" if row.values["valid_loss"] is None else f"  valid {row.values['valid_loss']:.5f}")
    )
    console.print(f"{escape(row.name)}: {how}  [dim]{escape(progress(tally))}[/]")


def _interrupted(folder: Path, console: Console) -> int:
    console.print(f"[bold red]interrupted[/]: the same command goes on from the last epoch in {escape(str(folder))}")
    return INTERRUPTED


def _labels(prepared: Prepared, console: Console) -> None:
    for line in prepared.labels.lines():
        console.print(escape(line))
    console.print("split: " + ", ".join(f"{len(indices)} {part}" for part, indices in prepared.parts.items()))
    for warning in prepared.warnings():
        console.print(f"  [yellow]warning:[/] {escape(warning)}")


def _scores(evaluation: Evaluation, console: Console) -> None:
    """Print one row per metric and one column per element: the report's table transposed for narrow terminals."""
    header, rows = score_rows(evaluation)
    shown = Table(title=evaluation.title, title_justify="left")
    for k, column in enumerate([header[0], *(row[0] for row in rows)]):
        shown.add_column(column, justify="right" if k else "left")
    for k, heading in enumerate(header[1:], start=1):
        shown.add_row(heading, *(row[k] for row in rows))
    console.print(shown)
    for caveat in evaluation.caveats():
        console.print(f"  [yellow]warning:[/] {escape(caveat)}")
