"""The command ``jaxnmr echo``: simulate spin echoes of coupled spins from a run file, and infer from them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from .._words import counted
from .codes import OK
from .commands import _prepare
from .folders import usable

# curves per line of progress
_AT_ONCE = 512


def add_echo(command: Callable) -> None:
    """Add the command to the parser; ``command`` makes subparsers."""
    echo = command(
        "echo", _echo, "simulate spin echoes of coupled spins that a run file describes, train a posterior of their parameters, infer them from curves",
        "jaxnmr echo simulate echoes.toml --out out/echoes",
    )  # fmt: skip
    echo.add_argument("action", choices=tuple(ACTIONS), help="what to do")
    echo.add_argument("run", metavar="RUN.toml", type=Path, help="the run file; jaxnmr help-run explains it")


def _echo(arguments: argparse.Namespace, console: Console) -> int:
    return ACTIONS[arguments.action](arguments, console)


def _simulate(arguments: argparse.Namespace, console: Console) -> int:
    from ..runfile.echo import load_echo

    run = load_echo(arguments.run)
    _prepare(arguments)
    import jax
    import jax.numpy as jnp
    import numpy as np

    from ..nmr.echo import Echo, EchoParameters, changes_nothing, simulate
    from ..report.echoes import write_echo_simulation

    folder = usable(arguments.out or Path("out") / run.path.stem)
    wanted = run.simulate
    console.print(
        f"[bold]{escape(run.title)}[/]: {counted(wanted.curves, 'curve')} of {run.experiment.sequence.points} points"
    )
    kind = jnp.float32 if wanted.precision == "single" else jnp.float64
    values = run.parameters.drawn(wanted.curves, wanted.seed, run.ranges)
    stated = {name: values[name] for name in values if name != "d"}
    for name in stated:
        if why := changes_nothing(run.experiment, name):
            console.print(f"  [yellow]note:[/] {name} changes no curve: {escape(why)}")
    began, parts, key = time.monotonic(), [], jax.random.key(wanted.seed)
    for first in range(0, wanted.curves, _AT_ONCE):
        chosen = slice(first, first + _AT_ONCE)
        numbers = {name: jnp.asarray(value[chosen], kind) for name, value in stated.items()}
        count = len(range(wanted.curves)[chosen])
        numbers.setdefault("alpha", jnp.zeros(count, kind))
        curves = simulate(run.experiment, EchoParameters(**numbers), jax.random.fold_in(key, first))
        parts.append(np.asarray(curves, dtype=complex))
        done = first + count
        console.print(f"  {done:6d}/{wanted.curves}  {time.monotonic() - began:7.1f} s")
    found = np.concatenate(parts)
    if wanted.noise:
        rng = np.random.default_rng([wanted.seed, 1])
        found = found + wanted.noise * (rng.normal(size=found.shape) + 1j * rng.normal(size=found.shape))
    echo = Echo(found, run.experiment.sequence.time_us, run.title)
    written = write_echo_simulation(
        echo,
        values,
        run.experiment,
        folder,
        run.title,
        format=wanted.format,
        noise=wanted.noise,
        seed=wanted.seed,
        inputs=[run.path],
    )
    console.print(f"  {', '.join(escape(str(path)) for path in written.values())}")
    return OK


def _train(arguments: argparse.Namespace, console: Console) -> int:
    from .echo_inference import train

    return train(arguments, console)


def _infer(arguments: argparse.Namespace, console: Console) -> int:
    from .echo_inference import infer

    return infer(arguments, console)


ACTIONS: dict[str, Callable[[argparse.Namespace, Console], int]] = {
    "simulate": _simulate,
    "train": _train,
    "infer": _infer,
}
