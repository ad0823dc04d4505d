"""Run files of spin echoes: spins, pulses and parameters in one TOML file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ..errors import JaxnmrError
from ..nmr.echo import (
    CHALLENGE_PRIOR,
    Delay,
    EchoExperiment,
    EchoPulse,
    Kernel,
    Line,
    PulseSequence,
    SpinEnsemble,
    challenge,
)
from ..nmr.echo.kernels import Family
from ..nmr.echo.lines import Shape
from .keys import EMPTY, Spec, key, part, read
from .table import REQUIRED, Table, read_toml

Range = tuple[float, float]
_AXES = {"0": 0.0, "x": 0.0, "y": 90.0, "-x": 180.0, "-y": 270.0}


@dataclass(frozen=True, kw_only=True)
class EnsembleSpec(Spec):
    """The table ``[ensemble]``."""

    sizes: tuple[float, ...] = key(Table.numbers, (50, 50), "[50, 50]", "of the lattice, one to three", shown=True)
    kernel: str = key(Table.text, "power", help="of the coupling", choices=get_args(Family), shown=True)
    normalised: bool = key(Table.flag, True, help="weights of all neighbours sum to 1: a power law has no length then")
    angular: tuple[float, ...] = key(
        Table.numbers, (1.0, 0.0, 0.0), "[1.0, 0.0, 0.0]", "weights of s, p and d", count=3
    )
    axes: tuple[float, ...] = key(
        Table.numbers, (0.0, 1.0, 0.0), "[0.0, 1.0, 0.0]", "by which x, y and z components couple, times alpha", count=3
    )
    nu0: float = key(Table.positive, 10.0, help="centre of the line, MHz")
    line: str = key(Table.text, "lorentzian", choices=get_args(Shape))
    cutoff: float = key(Table.positive, 0.25, help="frequencies lie within ± this about nu0, MHz")
    grid: int = key(Table.integer, 0, help="draw from so many equally spaced frequencies; 0: from all")
    polarisation: float = key(Table.positive, 0.5, help="<I_z> at the start")


def _parts(table: Table, name: str, default: Any = REQUIRED) -> tuple[EchoPulse | Delay, ...] | None:
    texts = table.texts(name, default)
    if texts is None:
        return None
    found: list[EchoPulse | Delay] = []
    for text in texts:
        words = text.split()
        try:
            if words[0] in ("delay", "wait") and len(words) == 2:
                found.append(Delay(int(words[1]), acquire=words[0] == "delay"))
                continue
            if words[0] == "pulse" and len(words) in (2, 3, 4):
                phase = words[2] if len(words) > 2 else "x"
                steps = int(words[3]) if len(words) > 3 else 0
                found.append(EchoPulse(float(words[1]), _AXES[phase] if phase in _AXES else float(phase), steps))
                continue
        except (ValueError, IndexError):
            pass
        raise table.error(
            f"{text!r} is no part of a pulse sequence; expected 'pulse ANGLE AXIS STEPS' (degrees, x, y or degrees, 0 steps for an "
            "ideal one), 'delay STEPS', or 'wait STEPS' where nothing is recorded",
            name,
        )
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class SequenceSpec(Spec):
    """The table ``[sequence]``."""

    dt: float = key(Table.positive, 2.0, help="length of a step in units of 1/(2π MHz), 0.159 µs", shown=True)
    parts: tuple[EchoPulse | Delay, ...] | None = key(
        _parts, None, '["pulse 90 x", "delay 157", "pulse 180 y", "delay 314"]',
        help="steps; a third number of a pulse is its length; wait is a delay that is not recorded", shown=True,
    )  # fmt: skip

    def check(self, table: Table) -> None:
        if self.parts is None:
            raise table.error("the key 'parts' is missing")


def _range(table: Table, name: str, default: Any = REQUIRED) -> Range | None:
    value = table.content.get(name)
    if isinstance(value, list):
        low, high = table.numbers(name, default, count=2)
        if not low <= high:
            raise table.error(f"expected [low, high], got [{low:g}, {high:g}]", name)
        return low, high
    number = table.number(name, default)
    return number if number is None or isinstance(number, tuple) else (number, number)


@dataclass(frozen=True, kw_only=True)
class EchoParametersSpec(Spec):
    """The table ``[parameters]``: numbers, or ranges ``[low, high]`` to draw from."""

    alpha: Range | None = key(_range, None, "[0.0, 0.2]", "strength of the coupling, MHz", shown=True)
    xi: Range | None = key(_range, None, "[0.0, 20.0]", "its length, lattice constants")
    p: Range | None = key(_range, None, "[2.0, 4.0]", "its exponent")
    d: Range | None = key(_range, None, "[3.0, 6.0]", "Γ = 10^-d, or:")
    gamma: Range | None = key(_range, None, "1e-4", "Γ of the jump operator √Γ I_z, units of 2π MHz")
    gamma_1: Range | None = key(_range, None, "0.0", "1/T1")
    width: Range | None = key(_range, None, "0.05", "full width of the line at half maximum, MHz")

    def check(self, table: Table) -> None:
        if self.d is not None and self.gamma is not None:
            raise table.error("d and gamma say the same twice; leave one out", "d")

    def drawn(self, count: int, seed: int, preset: dict[str, Range]) -> dict[str, np.ndarray]:
        """``(curves,)`` of every parameter that is stated, uniform in its range; the same seed gives the same."""
        rng = np.random.default_rng(seed)
        said = {name: value for name, value in vars(self).items() if value is not None}
        ranges = {name: r for name, r in preset.items() if not (name == "d" and "gamma" in said)} | said
        # in one order, whatever was stated
        found = {name: rng.uniform(ranges[name][0], ranges[name][1], count) for name in sorted(ranges)}
        if "d" in found:
            found["gamma"] = 10.0 ** -found["d"]
        return found


@dataclass(frozen=True, kw_only=True)
class SimulateSpec(Spec):
    """The table ``[simulate]``."""

    curves: int = key(Table.integer, 1, "100", minimum=1, shown=True)
    seed: int = key(Table.integer, 0, help="of parameters, frequencies and noise", shown=True)
    noise: float = key(Table.number, 0.0, "1e-4", "standard deviation of white noise on real and imaginary parts")
    format: str = key(
        Table.text,
        "text",
        choices=("text", "npz", "csv"),
        help="two files of text, one curve a line; csv holds one curve",
    )
    precision: str = key(Table.text, "single", choices=("single", "double"))

    def check(self, table: Table) -> None:
        if self.noise < 0.0:
            raise table.error(f"expected a number from 0 on, got {self.noise:g}", "noise")
        if self.format == "csv" and self.curves != 1:
            raise table.error(f"csv holds one curve, and curves is {self.curves}: use text or npz", "format")


def paths(table: Table, name: str, default: Any = REQUIRED) -> Any:
    """One file or several, as a tuple."""
    if isinstance(table.content.get(name), str):
        return (table.path(name),)
    texts = table.texts(name, default)
    return tuple(table.inner(table.where, {name: text}).path(name) for text in texts)


@dataclass(frozen=True, kw_only=True)
class TrainSpec(Spec):
    """The table ``[train]``."""

    simulations: int = key(Table.integer, 20000, "20000", minimum=2000, shown=True)
    seed: int = key(Table.integer, 1, help="of the simulations and of the training")
    labels: Path | None = key(
        Table.path,
        None,
        '"mat_info.txt"',
        "parameters to simulate, one curve a line, instead of draws from their ranges",
    )
    noise: tuple[float, ...] = key(
        Table.numbers,
        (0.0, 1e-4, 1e-3),
        "[0.0, 1e-4, 1e-3]",
        "levels of white noise to be good at; of the preset these",
    )
    epochs: int = key(Table.integer, 60, minimum=1, help="of the network on top of the linear experts")
    fresh: int = key(Table.integer, 2000, minimum=200, help="more simulations to measure scores and coverage with")


@dataclass(frozen=True, kw_only=True)
class InferSpec(Spec):
    """The table ``[infer]``."""

    data: tuple[Path, ...] = key(
        paths,
        REQUIRED,
        '["echos_r.txt", "echos_i.txt"]',
        "the curves: two files of text, or one csv or npz",
        shown=True,
    )
    posterior: str = key(
        Table.text, "spin-echo-challenge", help="one that comes with the package, or the file of a training", shown=True
    )
    noise: float = key(
        Table.number,
        0.0,
        "1e-4",
        "standard deviation of white noise on real and imaginary parts; 0 believes all digits",
        shown=True,
    )
    truth: Path | None = key(Table.path, None, '"mat_info.txt"', "true parameters, one curve a line, to measure with")
    refine: bool = key(
        Table.flag,
        False,
        help="refine every curve by simulations made for it alone: some ten seconds each, for noise that is not 0",
    )
    simulations: int = key(Table.integer, 512, minimum=160, help="for each of them")

    def check(self, table: Table) -> None:
        if self.refine and not self.noise > 0.0:
            raise table.error("what is refined has noise: give noise", "refine")
        if len(self.data) not in (1, 2):
            raise table.error(f"expected one file or two, got {len(self.data)}", "data")


def _made(table: Table, make: Callable[[], Any]) -> Any:
    """What is made; what it complains about is an error of the run file."""
    try:
        return make()
    except JaxnmrError as error:
        raise table.error(str(error)) from error


@dataclass(frozen=True, kw_only=True)
class EchoRun(Spec):
    """A checked run file of spin echoes."""

    path: Path
    experiment: EchoExperiment
    title: str = key(Table.text, "", '"Echoes of coupled spins"', shown=True)
    preset: str | None = key(
        Table.text, None, '"challenge"', "the experiment and the ranges of the ML4SCI challenge, without [ensemble] and [sequence]",
        choices=("challenge",),
    )  # fmt: skip
    ensemble: EnsembleSpec = key(part, EMPTY, "[ensemble]", of=EnsembleSpec, shown=True)
    sequence: SequenceSpec | None = key(part, None, "[sequence]", of=SequenceSpec, shown=True)
    parameters: EchoParametersSpec = key(
        part, EMPTY, "[parameters]", "numbers, or [low, high] to draw from", of=EchoParametersSpec, shown=True
    )
    simulate: SimulateSpec = key(part, EMPTY, "[simulate]", of=SimulateSpec, shown=True)
    train: TrainSpec = key(part, EMPTY, "[train]", "a posterior by jaxnmr echo train", of=TrainSpec)
    infer: InferSpec | None = key(part, None, "[infer]", "parameters of curves by jaxnmr echo infer", of=InferSpec)

    @property
    def ranges(self) -> dict[str, Range]:
        """Ranges of the preset."""
        return dict(CHALLENGE_PRIOR) if self.preset else {}


def experiment_of(table: Table) -> EchoExperiment:
    """The experiment that the tables of a run file describe."""
    if table.text("preset", None, choices=("challenge",)) is not None:
        for name in ("ensemble", "sequence"):
            if table.has(name):
                raise table.error(f"the preset says what [{name}] would say; leave one of them out", name)
        return challenge()
    if not table.has("sequence"):
        raise table.error(
            'an echo needs a pulse sequence, [sequence], or preset = "challenge"; jaxnmr help-run explains it'
        )
    spins, pulses = table.table("ensemble"), table.table("sequence")
    e, s = read(spins, EnsembleSpec), read(pulses, SequenceSpec)

    def ensemble() -> SpinEnsemble:
        sizes = tuple(int(n) if float(n).is_integer() else n for n in e.sizes)
        return SpinEnsemble(
            sizes,  # type: ignore[arg-type]  # what is no whole number is refused there
            kernel=Kernel(e.kernel, normalised=e.normalised, angular=e.angular),  # type: ignore[arg-type]
            line=Line(e.line, cutoff=e.cutoff, grid=e.grid),  # type: ignore[arg-type]
            axes=e.axes,
            nu0=e.nu0,
            polarisation=e.polarisation,
        )

    sequence = _made(pulses, lambda: PulseSequence(s.parts or (), dt=s.dt))
    return EchoExperiment(ensemble=_made(spins, ensemble), sequence=sequence)


def load_echo(path: str | Path) -> EchoRun:
    """Read and check a run file of spin echoes.

    Raises:
        ParseError: no such file, not TOML, an unknown or missing key, or a value that makes no sense.
    """
    table = read_toml(path)
    return read(table, EchoRun, path=Path(path), title=Path(path).stem, experiment=experiment_of(table))
