"""``[[echo]]``: a measured spin-echo curve, alone or with data of other kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..nmr.echo import EchoExperiment, changes_nothing
from ..objective import Loss
from ..refinement import Stage
from ..terms import EchoTerm
from .echo import EnsembleSpec, SequenceSpec, experiment_of, paths
from .keys import Spec, by_name, key, part, read, required
from .shared import plain_name
from .table import REQUIRED, Table
from .weights import robust_key, weight_key, weighted

if TYPE_CHECKING:
    from ..nmr.echo import Echo

# refined if no stage says otherwise and the curve depends on it
_USUAL = ("alpha", "xi", "p", "gamma")


@dataclass(frozen=True, kw_only=True)
class EchoStartSpec(Spec):
    """``start = { ... }``."""

    alpha: float | None = key(Table.number, None, "0.1", "strength of the coupling, MHz", unit="MHz")
    xi: float | None = key(Table.positive, None, "10.0", "its length, lattice constants", unit="lattice constants")
    p: float | None = key(Table.number, None, "3.0", "its exponent")
    d: float | None = key(Table.number, None, "4.0", "Γ = 10^-d, or:")
    gamma: float | None = key(
        Table.number, None, "1e-4", "Γ of the jump operator √Γ I_z, units of 2π MHz", unit="2π MHz"
    )
    gamma_1: float | None = key(Table.number, None, "0.0", "1/T1")
    width: float | None = key(Table.positive, None, "0.05", "full width of the line at half maximum, MHz", unit="MHz")

    def check(self, table: Table) -> None:
        if self.d is not None and self.gamma is not None:
            raise table.error("d and gamma say the same twice; leave one out", "d")

    @property
    def values(self) -> dict[str, float]:
        """Given starting values by parameter name of the term."""
        said = {name: value for name, value in vars(self).items() if value is not None}
        if "d" in said:
            said["gamma"] = 10.0 ** -said.pop("d")
        return said


def _elsewhere(table: Table, name: str, default: Any = REQUIRED, *, kind: type[Spec]) -> Any:
    """Read a table whose keys the manual documents under Spin echoes."""
    return part(table, name, default, of=kind)


@dataclass(frozen=True, kw_only=True)
class EchoSpec(Spec):
    """One ``[[echo]]``."""

    experiment: EchoExperiment
    name: str = key(plain_name, "echo", help="its parameters are called echo/alpha, echo/xi, echo/p, echo/gamma ...")
    data: tuple[Path, ...] = required(
        paths, '["echos_r.txt", "echos_i.txt"]', "the curve: two files of text, or one csv or npz"
    )
    curve: int = key(Table.integer, 1, minimum=1, help="which one of the file, the first is 1")
    noise: float = required(Table.positive, "1e-4", "standard deviation of white noise on real and imaginary parts")
    preset: str | None = key(
        Table.text, None, '"challenge"', "the experiment of the ML4SCI challenge, without ensemble and sequence",
        choices=("challenge",), shown=True,
    )  # fmt: skip
    ensemble: EnsembleSpec | None = key(
        _elsewhere, None, '{ sizes = [50, 50], kernel = "gaussian", normalised = false }', kind=EnsembleSpec,
        help="the spins; keys and defaults are those of [ensemble] under Spin echoes",
    )  # fmt: skip
    sequence: SequenceSpec | None = key(
        _elsewhere, None, '{ dt = 2.0, parts = ["pulse 90 x", "delay 157", "pulse 180 y", "delay 314"] }',
        help="the pulses, as of [sequence] there", kind=SequenceSpec,
    )  # fmt: skip
    start: EchoStartSpec = key(
        part, EchoStartSpec(), "{ alpha = 0.1, p = 3.0, gamma = 1e-4 }", "starting values", of=EchoStartSpec, shown=True
    )
    posterior: str | None = key(
        Table.text,
        None,
        '"spin-echo-challenge"',
        "start where this posterior expects the parameters that start does not name",
    )
    spread: dict[str, float] | None = key(
        by_name, None, "{ alpha = 0.02, p = 0.4, gamma = 1e-4 }", each=Table.positive,
        help="how far starting values may be off: half of the box of the first simulations",
    )  # fmt: skip
    draws: int = key(Table.integer, 512, minimum=80, help="simulations in a box")
    mean_of: int = key(Table.integer, 64, minimum=2, help="simulations at the minimum whose mean and scatter are shown")
    seed: int = key(Table.integer, 0, help="of these simulations")
    weight: float = weight_key()
    robust: Loss | None = robust_key()

    def check(self, table: Table) -> None:
        if len(self.data) not in (1, 2):
            raise table.error(f"expected one file or two, got {len(self.data)}", "data")


def echoes(table: Table, name: str, default: Any = REQUIRED, *, of: type[EchoSpec]) -> tuple[EchoSpec, ...]:
    """Read all ``[[echo]]``, each with its experiment."""
    return tuple(read(inner, of, experiment=experiment_of(inner, of)) for inner in table.tables(name))


def echo_term(spec: EchoSpec, crystals: Mapping[str, Any], models: Mapping[str, list]) -> Any:
    """Make the weighted term of an ``[[echo]]``; it depends on no structure."""
    from ..errors import ParameterError
    from ..io import read_echo

    echo = read_echo(*spec.data)
    if spec.curve > len(echo):
        raise ParameterError(f"curve is {spec.curve}, and there are {len(echo)} curves")
    echo.checked(spec.experiment.sequence)
    term = EchoTerm(
        echo,
        spec.experiment,
        noise=spec.noise,
        start=_expected(spec, echo) | spec.start.values,
        which=spec.curve - 1,
        spread=spec.spread,
        draws=spec.draws,
        mean_of=spec.mean_of,
        seed=spec.seed,
        name=spec.name,
    )
    return weighted(term, spec.weight, spec.robust)


def _expected(spec: EchoSpec, echo: Echo) -> dict[str, float]:
    """Return the parameters that a trained posterior expects for the curve."""
    if spec.posterior is None:
        return {}
    from ..inference import Posterior, echo_numbers

    posterior = Posterior.load(spec.posterior)
    found = posterior.infer(echo_numbers(echo.curves[spec.curve - 1]), sigma=spec.noise)
    return EchoStartSpec(**dict(zip(found.names, found.mean[0].tolist(), strict=True))).values


def usual_echo_stages(specs: tuple[EchoSpec, ...]) -> list[Stage]:
    """Make the default stages of echoes: free every usual parameter that the curve depends on."""
    free = [f"{of.name}/{name}" for of in specs for name in _USUAL if not changes_nothing(of.experiment, name)]
    return [Stage(name="coupling and relaxation", free=tuple(free))] if free else []
