"""The command ``jaxnmr average``: NMR tensors averaged over thermal motion, as a run file describes it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from .._words import counted
from ..errors import DynamicsError, JaxnmrError
from .codes import INTERRUPTED, OK
from .commands import _prepare
from .engines import duration
from .folders import usable

if TYPE_CHECKING:
    from ..dynamics import Frame, ThermalAverage
    from ..dynamics.series import Stop
    from ..runfile.average import AverageRun

COURSES = "courses"
_TRAJECTORY = "trajectory"


def add_average(command: Callable) -> None:
    """Add the command to the parser; ``command`` makes subparsers."""
    average = command(
        "average", _average, "average NMR tensors and spectra over thermal motion, by molecular dynamics",
        "jaxnmr average examples/dynamics/average_quartz.toml --out out/average",
    )  # fmt: skip
    average.add_argument("run", metavar="RUN.toml", type=Path, help="the run file; jaxnmr help-run explains it")
    average.add_argument(
        "--resume", action="store_true", help=f"go on from the frames that are kept in {COURSES} in the output folder"
    )


def _average(arguments: argparse.Namespace, console: Console) -> int:
    return _of_file(arguments.run, arguments, console, resume=arguments.resume)


def average_example(path: Path, arguments: argparse.Namespace, console: Console) -> int:
    """Run an example: examples are there to be tried again, and go on where they were."""
    return _of_file(path, arguments, console, resume=True)


def _of_file(path: Path, arguments: argparse.Namespace, console: Console, *, resume: bool) -> int:
    from ..runfile.average import load_average

    run = load_average(path)
    _prepare(arguments)
    return average_run(run, arguments.out or Path("out") / run.path.stem, console, resume=resume)


def average_run(run: AverageRun, folder: Path, console: Console, *, resume: bool) -> int:
    """Simulate, average and report one run; the exit code."""
    from ..dynamics.series import averages_along
    from ..dynamics.supercells import supercell
    from ..dynamics.tensors import FrameTensors
    from ..energy import EnergyModel

    usable(folder)
    courses = folder / COURSES
    kept = sorted(courses.glob("*.npz")) if courses.is_dir() else []
    if kept and not resume:
        raise JaxnmrError(
            f"{courses} has frames of an average ({kept[-1].name}): go on from them with --resume, or name another folder with --out"
        )
    crystal = run.crystal.crystal()
    cell = supercell(crystal, run.repeats)
    energy = EnergyModel.load(run.energy.model).for_dynamics()
    models, observe, stops = run.tensor_models(), run.observer(cell), run.stops
    if run.spectra:
        # what no model predicts is told before hours of simulation, not after them
        static = FrameTensors(models, cell, run.references).prediction(crystal)
        for spec in run.spectra:
            static.sites(spec.isotope)
    console.print(f"[bold]{escape(run.title)}[/]: {escape(repr(cell))}, {escape(energy.name)}")
    console.print(
        f"  {', '.join(f'{stop.temperature:g} K' for stop in stops)}; {counted(run.dynamics.schedule.frames, 'frame')} each"
    )
    courses.mkdir(parents=True, exist_ok=True)
    lines = Lines(console, stops, folder if run.trajectory else None)
    done: list[ThermalAverage] = []
    again = f"--resume goes on from {courses}"
    code, trouble = OK, None
    try:
        for average in averages_along(
            stops, models, energy, cell, schedule=run.dynamics.schedule, references=run.references, folder=courses,
            observe=observe, callback=lines,
        ):  # fmt: skip
            done.append(average)
            lines.finished(average, stops[len(done) - 1])
    except KeyboardInterrupt:
        console.print(f"[bold red]interrupted[/]: what there is is kept; the same command with {escape(again)}")
        code = INTERRUPTED
    except DynamicsError as err:
        where = f"{stops[len(done)].temperature:g} K: "
        kept_text = f". Frames up to there are kept in {courses}" if any(courses.iterdir()) else ""
        trouble = DynamicsError(f"{where}{err}{kept_text}")
    if done:
        _write(run, done, energy, models, folder, console)
    if trouble is not None:
        raise trouble
    return code


def _write(run: AverageRun, done: list[ThermalAverage], energy, models, folder: Path, console: Console) -> None:
    from ..dynamics.series import ThermalSeries
    from ..dynamics.spectra import averaged_spectra
    from ..report.dynamics import AverageFindings, write_average

    stops = run.stops[: len(done)]
    several = len(run.stops) > 1
    labels = [f"{stop.temperature:g} K{f', {stop.direction}' if several and run.back else ''}" for stop in stops]
    spectra = tuple(averaged_spectra(done, spec.experiment, labels=labels, **spec.options) for spec in run.spectra)
    found = AverageFindings(
        title=run.title,
        series=ThermalSeries(tuple(done), tuple(stop.direction for stop in stops)),
        stops=stops,
        schedule=run.dynamics.schedule,
        energy=energy.name,
        models=tuple(model.card.name for model in models),
        spectra=spectra,
        finished=len(done) == len(run.stops),
        cards={"energy": dict(energy.card)},
    )
    written = write_average(found, folder, inputs=run.inputs)
    console.print(f"  report: {escape(str(written['report']))}")


class Lines:
    """Prints where a simulation is, one line every few seconds, and writes its trajectory.

    Args:
        console: where to.
        stops: the temperatures.
        folder: for trajectories, where they are wanted.
        every: seconds between lines.
    """

    def __init__(self, console: Console, stops: tuple[Stop, ...], folder: Path | None = None, *, every: float = 5.0):
        self.console, self.stops, self.folder, self.every = console, stops, folder, every
        self.said, self.rewound = -float("inf"), -1
        # where this process began, after the first frame, which has the compilation in it
        self.begun: tuple[float, int] | None = None

    def __call__(self, stop: int, frame: Frame, number: int, total: int) -> None:
        now = time.monotonic()
        done, everything = stop * total + number, len(self.stops) * total
        if self.begun is None:
            self.begun = (now, done)
        if self.folder is not None:
            self._keep(stop, frame)
        if now - self.said < self.every and number < total:
            return
        self.said = now
        at = self.stops[stop]
        rate = (now - self.begun[0]) / max(done - self.begun[1], 1)
        left = f"  {duration(rate * (everything - done))} left" if done > self.begun[1] and done < everything else ""
        self.console.print(
            f"  {at.temperature:6g} K  {number:5d}/{total}  {frame.time_fs / 1000:8.2f} ps  {frame.temperature_k:6.0f} K  "
            f"{frame.potential_ev:14.4f} eV  {frame.pressure_gpa:+7.2f} GPa[dim]{left}[/]"
        )

    def _keep(self, stop: int, frame: Frame) -> None:
        from ..io.structures.trajectory import TrajectoryFile

        assert self.folder is not None
        name = _TRAJECTORY if len(self.stops) == 1 else f"{_TRAJECTORY}-{self.stops[stop].name}"
        file = TrajectoryFile(self.folder / f"{name}.extxyz")
        if stop != self.rewound:
            # frames after the state from which it goes on come again
            file.rewind(frame.time_fs - 1e-3)
            self.rewound = stop
        file.add(
            frame.crystal, frame.time_fs, temperature_k=round(frame.temperature_k, 3), potential_ev=round(frame.potential_ev, 6)
        )  # fmt: skip

    def finished(self, average: ThermalAverage, stop: Stop) -> None:
        """Say what an average found."""
        from ..plot.dynamics import interesting

        way = f", {stop.direction}" if len(self.stops) > 1 else ""
        self.console.print(f"[bold]{stop.temperature:g} K{way}[/]  {escape(_cell(average))}")
        for r in interesting(average.readings):
            unit = f" {r.unit}" if r.unit else ""
            self.console.print(
                f"    {escape(r.site):6s} {r.quantity:14s} {r.static:10.3f} -> {r.mean:10.3f} ± {r.error:.3f}{unit}"
            )
        for o in average.observed:
            self.console.print(f"    {escape(o.name)}: {o.mean:.4g} ± {o.error:.2g} {o.unit}".rstrip())
        for note in average.notes:
            self.console.print(f"  [yellow]note:[/] {escape(note)}")


def _cell(average: ThermalAverage) -> str:
    lengths = ", ".join(f"{name} {x:.3f}" for name, x in zip("abc", average.cell[:3], strict=True))
    return f"{lengths} Å, {len(average.frames['time_fs'])} frames at {average.measured_k:.0f} K"
