"""`EchoTerm`: a spin-echo curve against simulations of coupled spins with random frequencies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from .._arguments import checked
from .._local import LocalRegression
from .._struct import set_fields, static
from ..errors import ParameterError
from ..nmr.echo import Echo, EchoExperiment, EchoParameters, as_real, changes_nothing, simulate
from ..objective.state import State
from ..objective.term import Term, bound_as
from ..typing import Array, Quantity
from .echo_evidence import EchoEvidence
from .prior import positive_sigma

if TYPE_CHECKING:
    from ..crystal import Crystal
    from ..objective import HostState, Parameters

# unit, lower bound, typical change, and description
_ABOUT = {
    "alpha": ("MHz", 0.0, 0.01, "strength of the coupling"),
    "xi": ("a", 1e-3, 1.0, "length of the coupling, lattice constants"),
    "p": ("", 0.0, 0.1, "exponent of the coupling"),
    "gamma": ("γ", 0.0, 1e-5, "Γ of the jump operator √Γ I_z, units of γ = 2π·10⁶ 1/s"),
    "gamma_1": ("γ", 0.0, 1e-5, "1/T1, units of γ"),
    "width": ("MHz", 1e-6, 1e-3, "full width of the line at half maximum"),
}
# default half width of the first box: a fraction of the value, and a minimum
_SPREAD = {
    "alpha": (0.15, 0.01), "xi": (0.3, 0.2), "p": (0.15, 0.2), "gamma": (0.5, 5e-5), "gamma_1": (0.5, 5e-5), "width": (0.1, 1e-3)
}  # fmt: skip
# fewest simulations per refined parameter
_FEWEST = 80
# errors of single precision, about 1e-7, are negligible beside this noise
_SINGLE = 1e-5
# half width of the next box in standard deviations, and the part of a box that a refinement may use
_WIDE, _USED = 3.5, 0.6
# in half widths: a quadratic model has no validity this far outside
_BLIND = 3.0
_USUAL = ("alpha", "xi", "p", "gamma")


class EchoTerm(Term):
    """One echo curve, for example ``EchoTerm(jn.read_echo("echo.npz"), jn.nmr.echo.challenge(), noise=1e-4)``.

    A curve is random, because the frequencies of its spins are. The term simulates ``draws`` curves around the current
    parameters, each with its own frequencies, and finds by regression the linear functions of a curve that determine
    the refined parameters (`LocalRegression`). These summaries are compared, with their errors for held-out
    simulations. The term simulates again when a refinement leaves the box, and in a smaller box around the minimum.

    Attributes:
        observed: ``(numbers,)`` real parts, then imaginary parts.
        experiment: spins and pulses.
        start: starting values of the parameters by local name.
        spread: half widths of the first box, by local name.
        noise: standard deviation of white noise on real and imaginary parts.
        draws: number of simulations in a box; ``mean_of`` for the displayed mean curve; ``seed`` of all simulations.
        name: prefix of the parameters.
        source: name of the data, for reports.

    Example:
        >>> echo = jn.read_echo("echos_r.txt", "echos_i.txt")  # doctest: +SKIP
        >>> term = jn.EchoTerm(echo, jn.nmr.echo.challenge(), noise=1e-4, start={"alpha": 0.1})  # doctest: +SKIP
    """

    observed: Array
    experiment: EchoExperiment
    start: dict[str, Array]
    spread: dict[str, Array]
    noise: Array
    draws: int = static()
    mean_of: int = static()
    seed: int = static()
    name: str = static()
    source: str = static(note=True)

    sees_origin = False
    reads = ()

    @checked
    def __init__(
        self,
        echo: Echo,
        experiment: EchoExperiment,
        *,
        noise: float,
        start: Mapping[str, float] | None = None,
        spread: Mapping[str, float] | None = None,
        which: int = 0,
        draws: int = 512,
        mean_of: int = 64,
        seed: int = 0,
        name: str = "echo",
    ):
        """Select one curve.

        Args:
            echo: the curves.
            experiment: description of the measurement.
            noise: standard deviation of white noise on real and imaginary parts; must be positive.
            start: starting values, ``{"alpha": 0.1, "p": 3.0, "gamma": 1e-4}``.
            spread: half widths of the box of the first simulations, in the units of the parameters.
            which: index of the curve, from 0.
            draws: number of simulations in a box.
            mean_of: number of simulations for the displayed mean and scatter.
            seed: seed of the simulations.
            name: prefix of the parameters.

        Raises:
            ShapeError, DataError: curves do not match the experiment.
            ParameterError: no such curve or parameter, a noise or spread that is not positive, or too few simulations.
        """
        echo = echo.checked(experiment.sequence)
        if not 0 <= which < len(echo):
            raise ParameterError(
                f"{name!r}: which is {which}, and there are {len(echo)} curves; expected 0 to {len(echo) - 1}"
            )
        if draws < _FEWEST or mean_of < 2:
            raise ParameterError(
                f"{name!r}: draws is {draws} and mean_of {mean_of}; expected {_FEWEST} or more, and 2 or more"
            )
        values = {"alpha": 0.1, "xi": 10.0, "p": 3.0, "gamma": 1e-4, "gamma_1": 0.0, "width": 0.05}
        for given in (start, spread):
            if unknown := sorted(set(given or {}) - set(values)):
                raise ParameterError(
                    f"{name!r}: there is no parameter {unknown[0]!r}; expected some of {', '.join(values)}"
                )
        values |= {key: float(value) for key, value in (start or {}).items()}
        room = {key: max(part * abs(values[key]), least) for key, (part, least) in _SPREAD.items()}
        for key, value in (spread or {}).items():
            if not value > 0.0:
                raise ParameterError(f"{name!r}: the spread of {key} is {value:g}; expected a positive number")
            room[key] = float(value)
        set_fields(
            self,
            observed=np.asarray(as_real(echo.curves[which])),
            experiment=experiment,
            start={key: np.asarray(value) for key, value in values.items()},
            spread={key: np.asarray(value) for key, value in room.items()},
            noise=positive_sigma(noise, name),
            draws=int(draws),
            mean_of=int(mean_of),
            seed=int(seed),
            name=name,
            source=echo.source,
        )

    def quantities(self, crystals: Mapping[str, Crystal]) -> dict[str, Quantity]:
        return {
            key: Quantity(self.start[key], unit=unit, lower=self._lower(key), scale=scale, doc=doc)
            for key, (unit, _, scale, doc) in _ABOUT.items()
        }

    def _lower(self, key: str) -> float:
        # weights that change sign allow either sign of the coupling
        either = key == "alpha" and self.experiment.ensemble.kernel.family == "rkky"
        return -np.inf if either else _ABOUT[key][1]

    def bind(self, state: HostState, params: Parameters) -> BoundEcho:
        moved = {full.split("[")[0] for full in params.free_names}
        free = tuple(key for key in _ABOUT if f"{self.name}/{key}" in moved) or _USUAL
        told = tuple(key for key in free if not changes_nothing(self.experiment, key))
        if told and self.draws < _FEWEST * len(told):
            raise ParameterError(
                f"{self.name!r}: draws is {self.draws}; expected {_FEWEST * len(told)} or more for {len(told)} refined parameters"
            )
        values = _values(state, self.name)
        box = self._box(values, told)
        local = None if not told else self._regression(values, told, *box)
        summaries = np.zeros(0) if local is None else local.summaries(np.asarray(self.observed))
        return bound_as(BoundEcho, self, local=local, summaries=summaries, at=values, told=told, free=free)

    def _box(self, values: EchoParameters, told: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and upper ends of the box."""
        at = np.array([float(getattr(values, key)) for key in told])
        half = np.array([float(self.spread[key]) for key in told])
        return np.maximum(at - half, [self._lower(key) for key in told]), at + half

    def _regression(
        self, values: EchoParameters, told: tuple[str, ...], low: np.ndarray, high: np.ndarray
    ) -> LocalRegression:
        """Fit the regression to simulations throughout the box, with the same quantiles of box and line each time."""
        kind = np.float32 if float(self.noise) >= _SINGLE else np.float64
        theta = np.random.default_rng(self.seed).uniform(low, high, (self.draws, len(told)))
        every = {key: np.full(self.draws, getattr(values, key)) for key in _ABOUT} | dict(
            zip(told, theta.T, strict=True)
        )
        each = EchoParameters(**{key: jnp.asarray(value, kind) for key, value in every.items()})
        curves = np.asarray(simulate(self.experiment, each, jax.random.key(self.seed)), dtype=complex)
        return LocalRegression.fit(np.asarray(as_real(curves)), theta, low, high, sigma=float(self.noise))

    def length(self, state) -> int:
        return len(_USUAL)


class BoundEcho(EchoTerm):
    """An echo term with simulations around the current parameters.

    Attributes:
        local: the regression; ``None`` if curves depend on no refined parameter.
        summaries: ``(k,)`` summaries of the observed curve.
        at: centre of the simulations.
        told, free: names of the k parameters that affect curves, and of all refined parameters.
        All other attributes are those of `EchoTerm`.
    """

    local: LocalRegression | None
    summaries: Array
    at: EchoParameters
    told: tuple[str, ...] = static()
    free: tuple[str, ...] = static()

    def bind(self, state: HostState, params: Parameters) -> BoundEcho:
        moved = {full.split("[")[0] for full in params.free_names}
        same = zip(jax.tree.leaves(self.at), jax.tree.leaves(_values(state, self.name)), strict=True)
        free = tuple(key for key in _ABOUT if f"{self.name}/{key}" in moved) or _USUAL
        if free == self.free and all(bool(np.array_equal(a, b)) for a, b in same):
            return self
        return super().bind(state, params) if free != self.free else self._moved(state)

    def length(self, state) -> int:
        return len(self.free)

    def residuals(self, state: State) -> Array:
        # parameters without effect on curves have constant zero residuals
        silent = jnp.zeros(len(self.free) - len(self.told))
        if self.local is None:
            return silent
        return jnp.concatenate([self.local.residuals(self._parameters(state), self.summaries), silent])

    def replan(self, state: HostState) -> tuple[BoundEcho, str]:
        if not bool(self.outgrown(state)):
            return self, ""
        return self._moved(state), "simulated again around these parameters"

    def outgrown(self, state: State) -> Array | bool:
        if self.local is None:
            return False
        return jnp.any(jnp.abs(self.local.units(self._parameters(state))) > _USED)

    def _parameters(self, state: State) -> Array:
        local = state.local(self.name)
        return jnp.stack([jnp.asarray(local[key]) for key in self.told])

    def _moved(self, state: HostState) -> BoundEcho:
        """Return a copy with simulations around the current parameters, in a box as narrow as their uncertainties allow."""
        if self.local is None:
            return self
        sd = self.local.deviations(np.asarray(self._parameters(state)))
        spread = {
            key: np.minimum(self.spread[key], _WIDE * sd[k]) if np.isfinite(sd[k]) else self.spread[key]
            for k, key in enumerate(self.told)
        }
        narrowed, values = self.replace(spread=self.spread | spread), _values(state, self.name)
        local = narrowed._regression(values, self.told, *narrowed._box(values, self.told))
        return narrowed.replace(local=local, summaries=local.summaries(np.asarray(self.observed)), at=values)

    def warnings(self, state: State) -> tuple[str, ...]:
        """Warn of parameters that affect no curve of this kind, or are not determined by this one near the final values."""
        silent = ((key, changes_nothing(self.experiment, key)) for key in _ABOUT)
        found = [
            f"{self.name}/{key} changes no curve: {why}. What is said of it is what was known before."
            for key, why in silent
            if why
        ]
        if self.local is not None:
            # outside the box nothing was simulated, and an extremum of the expectation carries no information
            off = self.local.deviations(np.asarray(self._parameters(state))) > _BLIND * np.asarray(self.local.half)
            found += [
                f"{self.name}/{key} is not told by this curve near these values: its uncertainty is more than {_BLIND:g} times the ± {half:.3g} in which "
                "curves were simulated. Believe neither it nor what depends on it: start from other values, or fix it."
                for key, half, far in zip(self.told, np.asarray(self.local.half), off, strict=True)
                if far
            ]
        return tuple(found)

    def evidence(self, state: State) -> EchoEvidence:
        values = _values(state, self.name)
        many = jax.tree.map(lambda value: jnp.full(self.mean_of, value, np.float32), values)
        curves = np.asarray(simulate(self.experiment, many, jax.random.key(self.seed + 1)), dtype=complex)
        sequence, ensemble = self.experiment.sequence, self.experiment.ensemble
        points, kernel = curves.shape[1], ensemble.kernel
        conditions = (
            (
                "spins",
                f"{' × '.join(map(str, ensemble.sizes))}, {kernel.family} kernel{', normalised' if kernel.normalised else ''}",
            ),
            ("points", f"{points}, to {sequence.time_us[-1]:.4g} µs"),
            ("white noise", f"{float(self.noise):.3g} on real and imaginary parts, as assumed"),
            ("simulations", f"{self.draws} around the minimum, seed {self.seed}; shown is the mean of {self.mean_of}"),
        )
        return EchoEvidence(
            name=self.name,
            what="a spin echo",
            title=f"Spin echo{f' of {self.source}' if self.source else ''}",
            conditions=conditions,
            time_us=sequence.time_us,
            observed=np.asarray(self.observed[:points] + 1j * self.observed[points:]),
            calculated=curves.mean(axis=0),
            scatter=curves.real.std(axis=0, ddof=1) + 1j * curves.imag.std(axis=0, ddof=1),
            noise=float(self.noise),
            mean_of=self.mean_of,
        )


def _values(state: State, name: str) -> EchoParameters:
    local = state.local(name)
    return EchoParameters(**{key: jnp.asarray(local[key]) for key in _ABOUT})
