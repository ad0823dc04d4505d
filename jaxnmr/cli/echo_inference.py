"""``jaxnmr echo train`` and ``jaxnmr echo infer``: a posterior of spin echoes, and what it says of curves."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from .._words import counted
from ..errors import DataError, JaxnmrError, ShapeError
from .codes import INTERRUPTED, OK
from .commands import _prepare
from .folders import usable

if TYPE_CHECKING:
    import numpy as np

    from ..inference import Epoch, Inferred, Posterior
    from ..runfile.echo import EchoRun

# of the simulations that scores are made from; those of training begin with the seed of the run file
_FRESH = 1_000_003
CAVEAT = "the score without noise lives on digits that no experiment has: look at those with noise"


def train(arguments: argparse.Namespace, console: Console) -> int:
    """Simulate, train, measure; goes on where it was interrupted."""
    from ..runfile.echo import load_echo

    run = load_echo(arguments.run)
    _prepare(arguments)
    import numpy as np

    from ..inference import echo_problem, echo_recipe, fit_posterior, simulate_bank
    from ..report.inference import against, write_echo_training

    said = {name: value for name, value in vars(run.parameters).items() if value is not None}
    ranges = {name: r for name, r in run.ranges.items() if not (name == "d" and "gamma" in said)} | said
    if not any(low < high for low, high in ranges.values()):
        raise JaxnmrError(
            f"{run.path}: no parameter has a range to infer it in, such as alpha = [0.0, 0.2] in [parameters]"
        )
    preset = run.preset is not None and not said
    problem = echo_problem(run.experiment, ranges, name="spin-echo-challenge" if preset else run.path.stem)
    wanted, folder = run.train, usable(arguments.out or Path("out") / run.path.stem)
    labels = None if wanted.labels is None else _table(wanted.labels, problem.prior.names)
    count = wanted.simulations if labels is None else min(wanted.simulations, len(labels))
    recipe = echo_recipe(problem, sigmas=tuple(wanted.noise), epochs=wanted.epochs, seed=wanted.seed, simulations=count)
    console.print(
        f"[bold]{escape(run.title)}[/]: {counted(count, 'simulation')}, {', '.join(problem.prior.determined.names)}"
    )
    for p in problem.prior.undetermined:
        console.print(
            f"  [yellow]note:[/] {p.name} is not determined by these curves; its prior is all that will be said of it"
        )
    began = time.monotonic()

    def simulated(done: int, of: int) -> None:
        console.print(f"  {done:6d}/{of} simulated  {time.monotonic() - began:7.1f} s")

    def trained(epoch: Epoch) -> None:
        console.print(
            f"  epoch {epoch.epoch:3d}/{epoch.epochs}  train {epoch.train:8.4f}  valid {epoch.valid:8.4f}  {time.monotonic() - began:7.1f} s"
        )

    try:
        bank = simulate_bank(
            problem, count, seed=wanted.seed, folder=folder / "bank", progress=simulated,
            parameters=None if labels is None else labels[:count],
        )  # fmt: skip
        card = {
            "title": run.title,
            "seed": wanted.seed,
            "labels": None if wanted.labels is None else wanted.labels.name,
        }
        posterior = fit_posterior(problem, bank, recipe, folder=folder, progress=trained, card=card)
        fresh = simulate_bank(
            problem, wanted.fresh, seed=wanted.seed + _FRESH, folder=folder / "fresh", progress=simulated
        )
    except KeyboardInterrupt:
        console.print(f"[bold red]interrupted[/]: the same command goes on from what is in {escape(str(folder))}")
        return INTERRUPTED
    scores, rng = {}, np.random.default_rng(wanted.seed)
    for sigma in wanted.noise:
        noise = (sigma * rng.standard_normal(fresh.curves.shape)).astype(np.float32)
        scores[f"{sigma:g}"] = of = against(posterior.infer(fresh.curves + noise, sigma=float(sigma)), fresh.parameters)
        r2 = "  ".join(f"{name} {value:.4f}" for name, value in of["r2"].items())
        console.print(f"  noise {sigma:g}: R²  {r2}   error of 500 {of['error_per_500']:.2f}")
    console.print(f"  [yellow]note:[/] {CAVEAT}")
    posterior.card["scores"] = scores
    posterior.save(folder / "posterior.safetensors")
    written = write_echo_training(posterior, scores, folder, run.title, inputs=[run.path])
    console.print(f"  {escape(str(folder / 'posterior.safetensors'))}, {escape(str(written))}")
    return OK


def infer(arguments: argparse.Namespace, console: Console) -> int:
    """The posterior of every curve in a file."""
    from ..runfile.echo import load_echo

    run = load_echo(arguments.run)
    wanted = run.infer
    if wanted is None:
        raise JaxnmrError(f"{run.path}: no [infer] that says which curves; jaxnmr help-run explains it")
    _prepare(arguments)
    from ..inference import Posterior, echo_numbers
    from ..io import read_echo
    from ..report.inference import write_inference

    echo = read_echo(*wanted.data)
    echo.checked(run.experiment.sequence)
    posterior = Posterior.load(wanted.posterior)
    inferred = posterior.infer(echo_numbers(echo.curves), sigma=wanted.noise)
    if wanted.refine:
        inferred = _refined(run, posterior, inferred, echo_numbers(echo.curves), console)
    truth = None if wanted.truth is None else _table(wanted.truth, posterior.prior.names)
    if truth is not None and len(truth) != len(echo):
        raise ShapeError(f"{wanted.truth} has {len(truth)} lines, and there are {len(echo)} curves")
    folder = usable(arguments.out or Path("out") / run.path.stem)
    console.print(f"[bold]{escape(run.title)}[/]: {counted(len(echo), 'curve')}, noise {wanted.noise:g}")
    mean, sd = inferred.mean, inferred.sd
    for k in range(min(len(echo), 10)):
        console.print(
            f"  {k + 1:4d}  "
            + "   ".join(f"{n} {m:.5g} ± {s:.2g}" for n, m, s in zip(inferred.names, mean[k], sd[k], strict=True))
        )
    for p in inferred.prior.undetermined:
        console.print(
            f"  [yellow]note:[/] {p.name} is not determined by this curve: anything from {p.low:g} to {p.high:g}"
        )
    inputs = [run.path, *wanted.data]
    written = write_inference(inferred, posterior, folder, run.title, noise=wanted.noise, truth=truth, inputs=inputs)
    console.print(f"  {', '.join(escape(str(path)) for path in written.values())}")
    return OK


def _refined(run: EchoRun, posterior: Posterior, inferred: Inferred, numbers: np.ndarray, console: Console) -> Inferred:
    """Each curve by simulations around what the posterior says of it."""
    from ..inference import echo_problem, refine_locally
    from ..inference.inferred import joined

    assert run.infer is not None
    inferring = {p.name: (p.low, p.high) for p in posterior.prior.parameters}
    # Γ is one of them, by itself or by its decade
    taken = {*inferring, *({"d", "gamma"} if {"d", "gamma"} & inferring.keys() else ())}
    stated = {name: r for name, r in vars(run.parameters).items() if r is not None and name not in taken}
    problem = echo_problem(
        run.experiment, {n: (r[0], r[0]) for n, r in stated.items()} | inferring, name=posterior.name
    )
    found = []
    for k in range(len(inferred)):
        found.append(
            refine_locally(
                problem, numbers[k], inferred.part(k), sigma=run.infer.noise, simulations=run.infer.simulations
            )
        )
        console.print(f"  refined {k + 1}/{len(inferred)}")
    return joined(found)


def _table(path: Path, names: Sequence[str]) -> np.ndarray:
    """Parameters, one curve a line: columns by their titles, as `jaxnmr echo simulate` writes them, or in this order."""
    import numpy as np

    from ..io.files import read_bytes

    lines = read_bytes(path).decode("utf-8", errors="replace").splitlines()
    titles = lines[0].lstrip("#").split() if lines and lines[0].startswith("#") else []
    try:
        found = np.loadtxt(lines, ndmin=2)
    except ValueError as error:
        raise DataError(f"{path} is no table of numbers: {error}") from error
    if len(titles) == found.shape[1] and set(names) <= set(titles):
        found = found[:, [titles.index(name) for name in names]]
    if found.shape[1] != len(names):
        raise DataError(
            f"{path} has {found.shape[1]} columns; expected {', '.join(names)}, or a first line # with their titles"
        )
    if not np.isfinite(found).all():
        raise DataError(
            f"{path}: line {int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0]) + 1} of its numbers is not finite"
        )
    return found
