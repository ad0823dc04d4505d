"""``jaxnmr echo train`` and ``jaxnmr echo infer``: train posteriors for spin echoes and apply them to curves."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from .._words import counted
from ..errors import ConventionError, DataError, JaxnmrError, ShapeError
from .codes import INTERRUPTED, OK
from .commands import _prepare
from .folders import usable

if TYPE_CHECKING:
    import numpy as np

    from ..inference import Bank, Epoch, Families, Inferred, Posterior, Problem
    from ..runfile.echo import EchoRun

    Trained = tuple[Problem, Posterior, Bank, Bank]

# seed of the simulations for scores; those for training start at the seed of the run file
_FRESH = 1_000_003
CAVEAT = "the score without noise lives on digits that no experiment has: look at those with noise"


def train(arguments: argparse.Namespace, console: Console) -> int:
    """Simulate, train and score every family; resumes an interrupted training."""
    from ..runfile.echo import load_echo

    run = load_echo(arguments.run)
    _prepare(arguments)
    from ..report.inference import write_echo_training, write_families_training

    folder = usable(arguments.out or Path("out") / run.path.stem)
    if run.families and run.train.labels is not None:
        raise JaxnmrError(f"{run.path}: families are compared by draws from their priors; leave out 'labels'")
    for name, (_, ranges) in run.worlds.items():
        if not any(low < high for low, high in ranges.values()):
            where = f"of the family {name} " if name else ""
            raise JaxnmrError(
                f"{run.path}: no parameter {where}has a range to infer it in, such as alpha = [0.0, 0.2] in [parameters]"
            )
    try:
        trained = {name: _train_one(run, name, k, folder / name, console) for k, name in enumerate(run.worlds)}
        if not run.families:
            ((_, posterior, *_),) = trained.values()
            written = write_echo_training(posterior, posterior.card["scores"], folder, run.title, inputs=[run.path])
            console.print(f"  {escape(str(folder / 'posterior.safetensors'))}, {escape(str(written))}")
            return OK
        families = _train_families(run, trained, folder, console)
    except KeyboardInterrupt:
        console.print(f"[bold red]interrupted[/]: the same command goes on from what is in {escape(str(folder))}")
        return INTERRUPTED
    posteriors = [posterior for _, posterior, *_ in trained.values()]
    files = write_families_training(families, posteriors, folder, run.title, inputs=[run.path])
    names = [
        folder / "families.safetensors",
        *(folder / name / "posterior.safetensors" for name in trained),
        *files.values(),
    ]
    console.print(f"  {', '.join(escape(str(path)) for path in names)}")
    return OK


def _train_one(run: EchoRun, family: str, k: int, folder: Path, console: Console) -> Trained:
    """Return the k-th family, its posterior, and the simulations for training and for scoring."""
    import numpy as np

    from ..inference import echo_problem, echo_recipe, fit_posterior, simulate_bank
    from ..report.inference import against

    experiment, ranges = run.worlds[family]
    wanted, seed = run.train, run.train.seed + k
    preset = run.preset is not None and ranges == run.ranges
    problem = echo_problem(experiment, ranges, name=family or ("spin-echo-challenge" if preset else run.path.stem))
    labels = None if wanted.labels is None else _table(wanted.labels, problem.prior.names)
    count = wanted.simulations if labels is None else min(wanted.simulations, len(labels))
    recipe = echo_recipe(problem, sigmas=tuple(wanted.noise), epochs=wanted.epochs, seed=seed, simulations=count)
    console.print(
        f"[bold]{escape(family or run.title)}[/]: {counted(count, 'simulation')}, {', '.join(problem.prior.determined.names)}"
    )
    for p in problem.prior.undetermined:
        console.print(
            f"  [yellow]note:[/] {p.name} is not determined by these curves; its prior is all that will be said of it"
        )
    began = time.monotonic()

    def simulated(done: int, of: int) -> None:
        console.print(f"  {done:6d}/{of} simulated  {time.monotonic() - began:7.1f} s")

    bank = simulate_bank(
        problem, count, seed=seed, folder=folder / "bank", progress=simulated,
        parameters=None if labels is None else labels[:count],
    )  # fmt: skip
    card = {"title": run.title, "seed": seed, "labels": None if wanted.labels is None else wanted.labels.name}
    posterior = fit_posterior(problem, bank, recipe, folder=folder, progress=_epochs(console), card=card)
    fresh = simulate_bank(problem, wanted.fresh, seed=seed + _FRESH, folder=folder / "fresh", progress=simulated)
    scores, rng = {}, np.random.default_rng(seed)
    for sigma in wanted.noise:
        noise = (sigma * rng.standard_normal(fresh.curves.shape)).astype(np.float32)
        scores[f"{sigma:g}"] = of = against(posterior.infer(fresh.curves + noise, sigma=float(sigma)), fresh.parameters)
        r2 = "  ".join(f"{name} {value:.4f}" for name, value in of["r2"].items())
        console.print(f"  noise {sigma:g}: R²  {r2}   error of 500 {of['error_per_500']:.2f}")
    console.print(f"  [yellow]note:[/] {CAVEAT}")
    posterior.card["scores"] = scores
    posterior.save(folder / "posterior.safetensors")
    return problem, posterior, bank, fresh


def _train_families(run: EchoRun, trained: Mapping[str, Trained], folder: Path, console: Console) -> Families:
    """Train and score probabilities of families, with simulations not used in training."""
    import numpy as np

    from ..inference import families_recipe, fit_families, told_apart

    wanted = run.train
    console.print(f"[bold]{escape(run.title)}[/]: {', '.join(trained)}")
    problems = [problem for problem, *_ in trained.values()]
    recipe = families_recipe(problems, sigmas=tuple(wanted.noise), epochs=wanted.epochs, seed=wanted.seed)
    card = {"title": run.title, "seed": wanted.seed}
    banks = [bank for *_, bank, _ in trained.values()]
    file = folder / "families.safetensors"
    families = fit_families(problems, banks, recipe, file=file, progress=_epochs(console), card=card)
    scores, rng = {}, np.random.default_rng(wanted.seed)
    for sigma in wanted.noise:
        found = []
        for *_, fresh in trained.values():
            noise = (sigma * rng.standard_normal(fresh.curves.shape)).astype(np.float32)
            found.append(families.probabilities(fresh.curves + noise, sigma=float(sigma)))
        told = told_apart(families.names, found)
        scores[f"{sigma:g}"] = told.to_dict()
        console.print(f"  noise {sigma:g}: " + str(told).replace("\n", "\n  "), highlight=False, markup=False)
    families.card["scores"] = scores
    families.save(file)
    return families


def _epochs(console: Console) -> Callable[[Epoch], None]:
    began = time.monotonic()

    def trained(epoch: Epoch) -> None:
        console.print(
            f"  epoch {epoch.epoch:3d}/{epoch.epochs}  train {epoch.train:8.4f}  valid {epoch.valid:8.4f}  {time.monotonic() - began:7.1f} s"
        )

    return trained


def infer(arguments: argparse.Namespace, console: Console) -> int:
    """Infer the posterior of every curve in a file, and the probabilities of several families."""
    from ..runfile.echo import load_echo

    run = load_echo(arguments.run)
    wanted = run.infer
    if wanted is None:
        raise JaxnmrError(f"{run.path}: no [infer] that says which curves; jaxnmr help-run explains it")
    _prepare(arguments)
    from ..inference import Families, Posterior, echo_numbers
    from ..io import read_echo
    from ..report.inference import write_family_inference, write_inference

    echo = read_echo(*wanted.data)
    echo.checked(run.experiment.sequence)
    posteriors = [Posterior.load(name) for name in wanted.posterior]
    families = None if wanted.families is None else Families.load(wanted.families)
    if families is not None and sorted(families.names) != sorted(p.name for p in posteriors):
        raise ConventionError(
            f"{run.path}: {wanted.families} tells {', '.join(families.names)} apart, and the posteriors are of "
            f"{', '.join(p.name for p in posteriors)}; expected one of each"
        )
    numbers = echo_numbers(echo.curves)
    inferred = [posterior.infer(numbers, sigma=wanted.noise) for posterior in posteriors]
    if wanted.refine:
        inferred = [_refined(run, posteriors[0], inferred[0], numbers, console)]
    probabilities = None
    if families is not None:
        order = [families.names.index(posterior.name) for posterior in posteriors]
        probabilities = families.probabilities(numbers, sigma=wanted.noise)[:, order]
    truth = None if wanted.truth is None else _table(wanted.truth, posteriors[0].prior.names)
    if truth is not None and len(truth) != len(echo):
        raise ShapeError(f"{wanted.truth} has {len(truth)} lines, and there are {len(echo)} curves")
    folder = usable(arguments.out or Path("out") / run.path.stem)
    console.print(f"[bold]{escape(run.title)}[/]: {counted(len(echo), 'curve')}, noise {wanted.noise:g}")
    for k in range(min(len(echo), 10)):
        best = 0 if probabilities is None else int(probabilities[k].argmax())
        words = ""
        if probabilities is not None:
            words = ", ".join(f"{p.name} {v:.3f}" for p, v in zip(posteriors, probabilities[k], strict=True)) + "; "
        of = inferred[best]
        words += "   ".join(f"{n} {m:.5g} ± {s:.2g}" for n, m, s in zip(of.names, of.mean[k], of.sd[k], strict=True))
        console.print(f"  {k + 1:4d}  {escape(words)}")
    for posterior in posteriors:
        for p in posterior.prior.undetermined:
            console.print(
                f"  [yellow]note:[/] {p.name} is not determined by this curve: anything from {p.low:g} to {p.high:g}"
            )
    inputs = [run.path, *wanted.data]
    if families is None or probabilities is None:
        written = write_inference(
            inferred[0], posteriors[0], folder, run.title, noise=wanted.noise, truth=truth,
            simulations=wanted.simulations if wanted.refine else 0, inputs=inputs,
        )  # fmt: skip
    else:
        written = write_family_inference(
            probabilities, inferred, posteriors, families, folder, run.title, noise=wanted.noise, inputs=inputs
        )
    console.print(f"  {', '.join(escape(str(path)) for path in written.values())}")
    return OK


def _refined(run: EchoRun, posterior: Posterior, inferred: Inferred, numbers: np.ndarray, console: Console) -> Inferred:
    """Refine each posterior by simulations around its prediction."""
    from ..inference import echo_problem, refine_locally
    from ..inference.inferred import joined

    assert run.infer is not None
    inferring = {p.name: (p.low, p.high) for p in posterior.prior.parameters}
    # Γ is one of them, itself or as its decade
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
    """Read parameters, one curve per line: columns by title as `jaxnmr echo simulate` writes them, or in this order."""
    import numpy as np

    from ..io.files import read_bytes

    lines = read_bytes(path).decode("utf-8", errors="replace").splitlines()
    titles = lines[0].lstrip("#").split() if lines and lines[0].startswith("#") else []
    try:
        found = np.loadtxt(lines, ndmin=2)
    except ValueError as error:
        raise DataError(f"{path} is no table of numbers: {error}") from error
    if len(titles) == found.shape[1]:
        found = np.stack([_column(found, titles, name, path) for name in names], axis=1)
    if found.shape[1] != len(names):
        raise DataError(
            f"{path} has {found.shape[1]} columns; expected {', '.join(names)}, or a first line # with their titles"
        )
    if not np.isfinite(found).all():
        raise DataError(
            f"{path}: line {int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0]) + 1} of its numbers is not finite"
        )
    return found


def _column(table: np.ndarray, titles: Sequence[str], name: str, path: Path) -> np.ndarray:
    """Return the parameter of this name; d and Γ = 10^-d are converted into each other."""
    import numpy as np

    if name in titles:
        return table[:, titles.index(name)]
    if name == "d" and "gamma" in titles and (table[:, titles.index("gamma")] > 0.0).all():
        return -np.log10(table[:, titles.index("gamma")])
    if name == "gamma" and "d" in titles:
        return 10.0 ** -table[:, titles.index("d")]
    raise DataError(f"{path} has no column {name}: its first line has the titles {', '.join(titles)}")
