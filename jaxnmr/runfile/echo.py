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
from .keys import EMPTY, Spec, key, known, part, parts, read, required
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
    nu0: float = key(Table.positive, 10.0, help="centre of the line, MHz", unit="MHz")
    line: str = key(Table.text, "lorentzian", choices=get_args(Shape))
    cutoff: float = key(Table.positive, 0.25, help="frequencies lie within ± this about nu0, MHz", unit="MHz")
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

    dt: float = key(
        Table.positive, 2.0, help="length of a step in units of 1/(2π MHz), 0.159 µs", shown=True, unit="1/(2π MHz)"
    )
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

    alpha: Range | None = key(_range, None, "[0.0, 0.2]", "strength of the coupling, MHz", shown=True, unit="MHz")
    xi: Range | None = key(_range, None, "[0.0, 20.0]", "its length, lattice constants", unit="lattice constants")
    p: Range | None = key(_range, None, "[2.0, 4.0]", "its exponent")
    d: Range | None = key(_range, None, "[3.0, 6.0]", "Γ = 10^-d, or:")
    gamma: Range | None = key(_range, None, "1e-4", "Γ of the jump operator √Γ I_z, units of 2π MHz", unit="2π MHz")
    gamma_1: Range | None = key(_range, None, "0.0", "1/T1")
    width: Range | None = key(_range, None, "0.05", "full width of the line at half maximum, MHz", unit="MHz")

    def check(self, table: Table) -> None:
        if self.d is not None and self.gamma is not None:
            raise table.error("d and gamma say the same twice; leave one out", "d")

    def drawn(self, count: int, seed: int, preset: dict[str, Range]) -> dict[str, np.ndarray]:
        """Draw ``(curves,)`` of every given parameter, uniformly in its range; reproducible from the seed."""
        rng = np.random.default_rng(seed)
        said = {name: value for name, value in vars(self).items() if value is not None}
        ranges = {name: r for name, r in preset.items() if not (name == "d" and "gamma" in said)} | said
        # in a fixed order, independent of the run file
        found = {name: rng.uniform(ranges[name][0], ranges[name][1], count) for name in sorted(ranges)}
        if "d" in found:
            found["gamma"] = 10.0 ** -found["d"]
        return found


@dataclass(frozen=True, kw_only=True)
class FamilySpec(Spec):
    """One ``[[family]]``: a coupling law to be compared with others."""

    name: str = key(Table.text, REQUIRED, '"gaussian"', "of its posterior, and of its folder", shown=True)
    kernel: str = key(Table.text, "power", '"gaussian"', choices=get_args(Family), shown=True)
    normalised: bool = key(Table.flag, True, "false", "as in [ensemble]", shown=True)
    angular: tuple[float, ...] = key(Table.numbers, (1.0, 0.0, 0.0), "[1.0, 0.0, 0.0]", count=3)
    parameters: EchoParametersSpec = key(
        part, EMPTY, "{ alpha = [0.0, 0.02], xi = [0.5, 2.5] }", "its own; all others are those of [parameters]",
        of=EchoParametersSpec, shown=True,
    )  # fmt: skip

    def check(self, table: Table) -> None:
        if not all(letter.isalnum() or letter in "-_" for letter in self.name) or not self.name:
            raise table.error(f"{self.name!r} is the name of a folder, too: letters, digits, - and _", "name")


def _families(table: Table, name: str, default: Any = REQUIRED, *, of: type[FamilySpec]) -> tuple[FamilySpec, ...]:
    found = parts(table, name, of=of)
    names = [family.name for family in found]
    if len(names) == 1 or len(set(names)) < len(names):
        raise table.error(f"the families are {', '.join(names)}; expected two or more with different names", name)
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
    """Read one file or several, as a tuple."""
    if isinstance(table.content.get(name), str):
        return (table.path(name),)
    texts = table.texts(name, default)
    return tuple(table.inner(table.where, {name: text}).path(name) for text in texts)


def _names(table: Table, name: str, default: Any = REQUIRED) -> Any:
    """Read one text or several, as a tuple."""
    if isinstance(table.content.get(name), list):
        found = table.texts(name, default)
        if not found or len(set(found)) < len(found):
            raise table.error("expected one or more, each once", name)
        return tuple(found)
    found = table.text(name, default)
    return (found,) if isinstance(found, str) else found


@dataclass(frozen=True, kw_only=True)
class TrainSpec(Spec):
    """The table ``[train]``."""

    simulations: int = key(Table.integer, 20000, "20000", "of every family", minimum=2000, shown=True)
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
    posterior: tuple[str, ...] = key(
        _names, ("spin-echo-challenge",), '"spin-echo-challenge"',
        "one that comes with the package, or the file of a training; or a list of one for every family", shown=True,
    )  # fmt: skip
    families: str | None = key(
        Table.text, None, '"families.safetensors"', "of the same training: says how probable the family of each posterior is",
    )  # fmt: skip
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
        if len(self.posterior) > 1 and self.families is None:
            raise table.error(
                f"{len(self.posterior)} posteriors, and no 'families' that says how probable each is; expected the file "
                "families.safetensors of their training",
                "posterior",
            )
        if len(self.posterior) == 1 and self.families is not None:
            raise table.error("expected a list in 'posterior', one for every family", "families")
        if len(self.posterior) > 1 and self.refine:
            raise table.error("curves are refined with one posterior; leave it out where there are several", "refine")
        if len(self.posterior) > 1 and self.truth is not None:
            raise table.error("true parameters go with one posterior; leave it out where there are several", "truth")


def _made(table: Table, make: Callable[[], Any]) -> Any:
    """Make an object; turn its errors into errors of the run file."""
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
    families: tuple[FamilySpec, ...] = required(
        _families, "[[family]]", "couplings to be told apart by jaxnmr echo train, with a posterior of each", name="family",
        of=FamilySpec,
    )  # fmt: skip
    simulate: SimulateSpec = key(part, EMPTY, "[simulate]", of=SimulateSpec, shown=True)
    train: TrainSpec = key(part, EMPTY, "[train]", "a posterior by jaxnmr echo train", of=TrainSpec)
    infer: InferSpec | None = key(part, None, "[infer]", "parameters of curves by jaxnmr echo infer", of=InferSpec)

    @property
    def ranges(self) -> dict[str, Range]:
        """Ranges of the preset."""
        return dict(CHALLENGE_PRIOR) if self.preset else {}

    @property
    def stated(self) -> dict[str, Range]:
        """Ranges of ``[parameters]``, completed by those of the preset."""
        return _over(self.ranges, self.parameters)

    @property
    def worlds(self) -> dict[str, tuple[EchoExperiment, dict[str, Range]]]:
        """Experiments and ranges by name: one per family, or a single one without a name."""
        if not self.families:
            return {"": (self.experiment, self.stated)}
        ensemble, common = self.experiment.ensemble, _over({}, self.parameters)
        return {
            family.name: (
                self.experiment.replace(ensemble=ensemble.replace(kernel=_kernel(family))),
                _over(common, family.parameters),
            )
            for family in self.families
        }

    def check(self, table: Table) -> None:
        _made(table, lambda: self.worlds)


def _over(ranges: dict[str, Range], parameters: EchoParametersSpec) -> dict[str, Range]:
    """Merge the two in a fixed order; given parameters override, and gamma and d denote the same parameter."""
    said = {name: value for name, value in vars(parameters).items() if value is not None}
    twice = {"d": "gamma", "gamma": "d"}
    found = {name: r for name, r in ranges.items() if twice.get(name) not in said} | said
    return {name: found[name] for name in vars(parameters) if name in found}


def _kernel(said: EnsembleSpec | FamilySpec) -> Kernel:
    return Kernel(said.kernel, normalised=said.normalised, angular=said.angular)  # type: ignore[arg-type]


def experiment_of(table: Table, of: type[Spec]) -> EchoExperiment:
    """Make the experiment that the tables of a run file describe; ``of`` is the Spec of the other keys."""
    if table.text("preset", None, choices=("challenge",)) is not None:
        for name in ("ensemble", "sequence"):
            if table.has(name):
                raise table.error(f"the preset says what [{name}] would say; leave one of them out", name)
        return challenge()
    if not table.has("sequence"):
        # it may be present under a misspelt name
        table.refuse_strangers(known(of))
        raise table.error(
            'an echo needs a pulse sequence, [sequence], or preset = "challenge"; jaxnmr help-run explains it'
        )
    spins, pulses = table.table("ensemble"), table.table("sequence")
    e, s = read(spins, EnsembleSpec), read(pulses, SequenceSpec)

    def ensemble() -> SpinEnsemble:
        sizes = tuple(int(n) if float(n).is_integer() else n for n in e.sizes)
        return SpinEnsemble(
            sizes,  # type: ignore[arg-type]  # non-integers are refused there
            kernel=_kernel(e),
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
        ParseError: the file does not exist or is not TOML, a key is unknown or missing, or a value is invalid.
    """
    table = read_toml(path)
    return read(table, EchoRun, path=Path(path), title=Path(path).stem, experiment=experiment_of(table, EchoRun))
