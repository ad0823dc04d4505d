"""`EchoTerm`: a spin-echo curve against the simulation of coupled spins, with frequencies drawn the same way at every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from .._arguments import checked
from .._struct import compiled, set_fields, static
from ..errors import ParameterError
from ..nmr.echo import (
    DrawCovariance,
    Echo,
    EchoExperiment,
    EchoParameters,
    as_real,
    changes_nothing,
    curve,
    simulate,
)
from ..nmr.echo.draws import FEWEST_DRAWS
from ..objective.state import State
from ..objective.term import Term, bound_as
from ..typing import Array, Quantity
from .echo_evidence import EchoEvidence
from .prior import positive_sigma

if TYPE_CHECKING:
    from ..crystal import Crystal
    from ..objective import HostState, Parameters

# unit, lower bound, typical change, and what it is
_ABOUT = {
    "alpha": ("MHz", 0.0, 0.01, "strength of the coupling"),
    "xi": ("a", 1e-3, 1.0, "length of the coupling, lattice constants"),
    "p": ("", 0.0, 0.1, "exponent of the coupling"),
    "gamma": ("γ", 0.0, 1e-5, "Γ of the jump operator √Γ I_z, units of γ = 2π·10⁶ 1/s"),
    "gamma_1": ("γ", 0.0, 1e-5, "1/T1, units of γ"),
    "width": ("MHz", 1e-6, 1e-3, "full width of the line at half maximum"),
}
# simulated together: what they need fits in the cache of a core
_TOGETHER = 8
_SINGLE = 1e-5


class EchoTerm(Term):
    """One echo curve, for example ``EchoTerm(jn.read_echo("echo.npz"), jn.nmr.echo.challenge(), noise=1e-4)``.

    The curve is compared with the mean of ``mean_of`` simulations, whose frequencies are the same quantiles of the line whatever the
    parameters are (common random numbers): residuals are smooth. Differences are whitened by white noise and by the covariance of
    the frequencies that happened to be drawn, in the sample and, one ``mean_of``-th of it, in the mean; it is calculated where the term is
    bound, at the parameters of the beginning and of the minimum.

    Attributes:
        observed: ``(numbers,)`` real, then imaginary parts.
        experiment: spins and pulses.
        start: parameters by local name.
        noise: standard deviation of white noise on real and imaginary parts.
        draws: curves for the covariance; ``mean_of`` for the mean; ``seed`` of all of them.
        name: prefix of the parameters.
        source: what was measured, for reports.
    """

    observed: Array
    experiment: EchoExperiment
    start: dict[str, Array]
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
        which: int = 0,
        draws: int = 256,
        mean_of: int = 8,
        seed: int = 0,
        name: str = "echo",
    ):
        """Take one curve of some.

        Args:
            echo: the curves.
            experiment: what they were measured with.
            noise: standard deviation of white noise on real and imaginary parts; it is never known to be 0.
            start: of parameters, ``{"alpha": 0.1, "p": 3.0, "gamma": 1e-4}``.
            which: curve, the first is 0.
            draws: curves for the covariance of the draws.
            mean_of: simulations whose mean is compared.
            seed: of the draws.
            name: prefix of the parameters.

        Raises:
            ShapeError, DataError: curves that do not fit the experiment.
            ParameterError: no such curve or parameter, a noise that is not positive, too few draws.
        """
        echo = echo.checked(experiment.sequence)
        if not 0 <= which < len(echo):
            raise ParameterError(
                f"{name!r}: which is {which}, and there are {len(echo)} curves; expected 0 to {len(echo) - 1}"
            )
        if draws < FEWEST_DRAWS or mean_of < 1:
            raise ParameterError(
                f"{name!r}: draws is {draws} and mean_of {mean_of}; expected {FEWEST_DRAWS} or more, and 1 or more"
            )
        values = {"alpha": 0.1, "xi": 10.0, "p": 3.0, "gamma": 1e-4, "gamma_1": 0.0, "width": 0.05}
        if unknown := sorted(set(start or {}) - set(values)):
            raise ParameterError(
                f"{name!r}: there is no parameter {unknown[0]!r}; expected some of {', '.join(values)}"
            )
        set_fields(
            self,
            observed=np.asarray(as_real(echo.curves[which])),
            experiment=experiment,
            start={key: np.asarray(float(value)) for key, value in (values | dict(start or {})).items()},
            noise=positive_sigma(noise, name),
            draws=int(draws),
            mean_of=int(mean_of),
            seed=int(seed),
            name=name,
            source=echo.source,
        )

    def quantities(self, crystals: Mapping[str, Crystal]) -> dict[str, Quantity]:
        return {
            key: Quantity(self.start[key], unit=unit, lower=lower, scale=scale, doc=doc)
            for key, (unit, lower, scale, doc) in _ABOUT.items()
        }

    def bind(self, state: HostState, params: Parameters) -> BoundEcho:
        of, other = jax.random.split(jax.random.key(self.seed))
        values = _values(state, self.name)
        # single precision is off by some 1e-7, which is nothing beside this noise
        kind = np.float32 if float(self.noise) >= _SINGLE else np.float64
        each = jax.tree.map(lambda value: jnp.full(self.draws, value, kind), values)
        covariance = DrawCovariance.of(np.asarray(simulate(self.experiment, each, other)))
        keys = jax.random.key_data(jax.random.split(of, self.mean_of))
        return bound_as(BoundEcho, self, covariance=covariance, keys=keys, at=values)

    def length(self, state) -> int:
        return int(self.observed.shape[0])


class BoundEcho(EchoTerm):
    """An echo term whose covariance is known.

    Attributes:
        covariance: of the draws.
        keys: ``(mean_of, ...)`` of the simulations.
        at: parameters for which it was calculated.
        The others are those of `EchoTerm`.
    """

    covariance: DrawCovariance
    keys: Array
    at: EchoParameters

    def bind(self, state: HostState, params: Parameters) -> BoundEcho:
        same = zip(jax.tree.leaves(self.at), jax.tree.leaves(_values(state, self.name)), strict=True)
        return self if all(bool(np.array_equal(a, b)) for a, b in same) else super().bind(state, params)

    def residuals(self, state: State) -> Array:
        difference = as_real(self.calculated(state)) - self.observed
        return self.covariance.whitened(difference, self.noise, 1.0 + 1.0 / self.mean_of)

    def calculated(self, state: State) -> Array:
        """The mean of the simulations ``(points,)``. Traceable."""
        values, ensemble = _values(state, self.name), self.experiment.ensemble

        def one(key: Array) -> Array:
            offsets = ensemble.line.draw(jax.random.wrap_key_data(jnp.asarray(key)), ensemble.sizes, values.width)
            return curve(self.experiment, values, offsets)

        return jnp.mean(jax.lax.map(one, self.keys, batch_size=min(_TOGETHER, self.mean_of)), axis=0)

    def warnings(self, state: State) -> tuple[str, ...]:
        """Parameters that no curve of this kind can tell."""
        silent = ((key, changes_nothing(self.experiment, key)) for key in _ABOUT)
        return tuple(
            f"{self.name}/{key} changes no curve: {why}. What is said of it is what was known before."
            for key, why in silent
            if why
        )

    def evidence(self, state: State) -> EchoEvidence:
        calculated = np.asarray(_calculated(self, state))
        sequence, ensemble = self.experiment.sequence, self.experiment.ensemble
        points = len(calculated)
        kernel = ensemble.kernel
        conditions = (
            (
                "spins",
                f"{' × '.join(map(str, ensemble.sizes))}, {kernel.family} kernel{', normalised' if kernel.normalised else ''}",
            ),
            ("points", f"{points}, to {sequence.time_us[-1]:.4g} µs"),
            ("white noise", f"{float(self.noise):.3g} on real and imaginary parts, as assumed"),
            ("draws of frequencies", f"mean of {self.mean_of}, covariance of {self.draws}, seed {self.seed}"),
        )
        scatter = self.covariance.total()
        return EchoEvidence(
            name=self.name,
            what="a spin echo",
            title=f"Spin echo{f' of {self.source}' if self.source else ''}",
            conditions=conditions,
            time_us=sequence.time_us,
            observed=np.asarray(self.observed[:points] + 1j * self.observed[points:]),
            calculated=calculated,
            scatter=scatter[:points] + 1j * scatter[points:],
        )


@compiled
def _calculated(term: BoundEcho, state: State) -> Array:
    return term.calculated(state)


def _values(state: State, name: str) -> EchoParameters:
    local = state.local(name)
    return EchoParameters(**{key: jnp.asarray(local[key]) for key in _ABOUT})
