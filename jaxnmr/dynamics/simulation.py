"""A simulation, frame by frame: steps are compiled and scanned, neighbours are listed again between them (host)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._struct import Struct, compiled
from ..crystal import Crystal
from ..errors import ConventionError, DynamicsError, ParameterError, PrecisionError, require_kind
from ..typing import Array
from .ensemble import Ensemble
from .state import BOLTZMANN, GPA, Forces, State, crystal_at, forces_at, kinetic_energy, thermal_velocities

# Å beyond the cutoff: thermal displacements of solids use up little of it
SKIN = 0.8
# Å in one step: no atom of a sound simulation moves as far
_TOO_FAST = 0.4


class Sums(Struct):
    """Sums over steps.

    Attributes:
        steps: how many.
        potential, kinetic: eV.
        pressure: GPa.
        vectors: Å.
    """

    steps: Array
    potential: Array
    kinetic: Array
    pressure: Array
    vectors: Array


@dataclass(frozen=True, repr=False)
class Frame:
    """A moment of a simulation, and means over the steps since the frame before.

    Attributes:
        state: positions, cell, velocities and forces.
        template: the crystal in P1 whose atoms these are.
        time_fs: since the beginning.
        total_ev: conserved without a thermostat, eV.
        potential_ev, temperature_k, pressure_gpa: means over the steps.
        vectors: ``(3, 3)`` mean lattice vectors, Å.
        renewals: how often neighbours were listed since the beginning.
    """

    state: State
    template: Crystal
    time_fs: float
    total_ev: float
    potential_ev: float
    temperature_k: float
    pressure_gpa: float
    vectors: Float[np.ndarray, "3 3"]
    renewals: int

    @property
    def crystal(self) -> Crystal:
        """The crystal in P1 at this moment."""
        return crystal_at(self.template, np.asarray(self.state.positions), np.asarray(self.state.vectors))

    def __repr__(self) -> str:
        return (
            f"Frame({self.time_fs / 1000:.3f} ps, {self.temperature_k:.0f} K, {self.potential_ev:.4f} eV, "
            f"{self.pressure_gpa:+.3f} GPa)"
        )


def require_potential(potential: Any) -> None:
    """Raise unless an argument has the methods of a potential, for example when it is the name of one.

    Raises:
        ParameterError: it has not.
    """
    if isinstance(potential, type) or not all(callable(getattr(potential, of, None)) for of in ("plan", "energy")):
        given = repr(potential) if isinstance(potential, str) else f"of type {type(potential).__name__}"
        raise ParameterError(f'the energy is {given}; expected a potential, such as jn.EnergyModel.load("chik")')


def start(crystal: Crystal, masses: Array, temperature_k: float, *, seed: int = 0) -> State:
    """A state at rest in space whose atoms have velocities of a temperature (host).

    A crystal at a minimum of its energy soon has half of that temperature: half of the energy becomes potential. A thermostat
    brings it back.

    Args:
        crystal: in P1, such as that of a `Supercell`.
        masses: ``(atoms,)`` u.
        temperature_k: K.
        seed: of velocities and of all random numbers that follow.

    Raises:
        PrecisionError: single precision.
        ParameterError: no temperature.
    """
    require_kind(crystal, Crystal, "what moves", "such as the crystal of a Supercell")
    if not (np.isfinite(temperature_k) and temperature_k >= 0):
        raise ParameterError(f"temperature_k is {temperature_k}; expected a temperature in kelvin, 0 or more")
    if jnp.zeros(1).dtype != np.float64:
        raise PrecisionError("dynamics needs double precision: call jaxnmr.enable_x64() before anything else")
    vectors = np.asarray(crystal.lattice(), dtype=float)
    first, rest = jax.random.split(jax.random.key(seed))
    zero = np.zeros((crystal.n_sites, 3))
    return State(
        positions=np.asarray(crystal.xyz, dtype=float) @ vectors,
        vectors=vectors,
        velocities=thermal_velocities(first, jnp.asarray(masses, dtype=float), temperature_k),
        acting=Forces(energy=np.full((), np.nan), forces=zero, virial=np.zeros((3, 3))),
        key=rest,
        step=np.zeros((), dtype=int),
    )


def simulate(
    potential: Any,
    crystal: Crystal,
    masses: Array,
    state: State,
    ensemble: Ensemble | Callable[[float], Ensemble],
    *,
    steps: int,
    every: int = 50,
    skin: float = SKIN,
) -> Iterator[Frame]:
    """Go on from a state and yield a `Frame` every few steps; nothing else is kept (host).

    Args:
        potential: an `EnergyModel` or a potential.
        crystal: in P1; its elements count, its coordinates do not.
        masses: ``(atoms,)`` u.
        state: of :func:`start`, or of a frame.
        ensemble: how to go on, or a function of time in fs that says so; it is asked at every frame.
        steps: how many in all, counted from ``state``.
        every: steps between frames.
        skin: Å beyond the cutoff of the potential, up to which neighbours are listed.

    Raises:
        ParameterError: numbers of steps that make no sense.
        ConventionError: a crystal that the potential cannot describe.
        DynamicsError: atoms that fly apart or into each other, or energies that are not finite.
    """
    require_potential(potential)
    for name, value in (("steps", steps), ("every", every)):
        if not (isinstance(value, int | np.integer) and value > 0):
            raise ParameterError(f"{name} is {value!r}; expected a positive integer")
    asked: Callable[[float], Ensemble] = ensemble if callable(ensemble) else lambda time: ensemble
    masses = np.asarray(masses, dtype=float)
    at = lambda state: crystal_at(crystal, np.asarray(state.positions), np.asarray(state.vectors))
    plan, renewals = potential.plan(at(state), skin=skin), 1
    state = _acted(potential, plan, crystal, state)
    time, last = _time_of(state, asked), int(state.step) + steps
    while int(state.step) < last:
        now, goal = asked(time), min(int(state.step) + every, last)
        sums, begun = None, int(state.step)
        while True:
            before = int(state.step)
            state, added, margin, fastest = _chunk(
                potential, plan, crystal, masses, now, state, np.asarray(goal), every=every
            )
            sums = added if sums is None else jax.tree.map(np.add, sums, added)
            if not np.isfinite(float(state.acting.energy)) or not float(fastest) * float(now.timestep_fs) < _TOO_FAST:
                raise DynamicsError(
                    f"after {int(state.step)} steps ({time:.0f} fs) atoms move {float(fastest) * float(now.timestep_fs):.2g} Å in one "
                    f"step of {float(now.timestep_fs):g} fs, with an energy of {float(state.acting.energy):.4g} eV: a smaller "
                    "timestep, a relaxed start (jn.relax), or a temperature that the potential can describe"
                )
            if int(state.step) >= goal:
                break
            if int(state.step) == before and float(margin) <= 0 and renewals and before != begun:
                raise DynamicsError(
                    f"neighbours listed up to {skin:g} Å beyond the cutoff do not last one step; a larger skin"
                )
            plan, renewals = _renewed(plan, at(state), int(state.step)), renewals + 1
        if float(margin) <= 0:
            plan, renewals = _renewed(plan, at(state), int(state.step)), renewals + 1
        time += (int(state.step) - begun) * float(now.timestep_fs)
        yield _frame(state, crystal, masses, sums, time, renewals, now.thermostat)


def _renewed(plan: Any, crystal: Crystal, step: int) -> Any:
    try:
        return plan.renewed(crystal)
    except ConventionError as error:
        raise DynamicsError(
            f"after {step} steps the potential can no longer describe the structure: {error}; a smaller timestep, a relaxed "
            "start (jn.relax), or a temperature that the potential can describe"
        ) from None


def _time_of(state: State, asked: Callable[[float], Ensemble]) -> float:
    return float(int(state.step)) * float(asked(0.0).timestep_fs)


def _frame(
    state: State, crystal: Crystal, masses: np.ndarray, sums: Sums, time: float, renewals: int, thermostat: bool
) -> Frame:
    state = jax.device_get(state)
    count = float(sums.steps)
    kinetic = float(kinetic_energy(np.asarray(state.velocities), masses))
    # without a thermostat the centre of mass stays at rest
    freedom = 3.0 * len(masses) - (0.0 if thermostat else 3.0)
    return Frame(
        state=state,
        template=crystal,
        time_fs=time,
        total_ev=float(state.acting.energy) + kinetic,
        potential_ev=float(sums.potential) / count,
        temperature_k=2.0 * float(sums.kinetic) / count / (freedom * BOLTZMANN),
        pressure_gpa=float(sums.pressure) / count,
        vectors=np.asarray(sums.vectors) / count,
        renewals=renewals,
    )


@compiled
def _acted(potential, plan, crystal: Crystal, state: State) -> State:
    """The state with its energy and forces."""
    return state.replace(acting=forces_at(potential, plan, crystal, state.positions, state.vectors))


@partial(compiled, static_argnames=("every",))
def _chunk(potential, plan, crystal: Crystal, masses, ensemble: Ensemble, state: State, goal, *, every: int):
    """Up to ``every`` steps, as far as ``goal`` and as neighbours last; the rest is passed over."""
    acting = partial(forces_at, potential, plan, crystal)

    def sound(state: State) -> tuple[Array, Array]:
        margin = plan.margin(crystal_at(crystal, state.positions, state.vectors))
        fastest = jnp.sqrt(jnp.max(jnp.sum(state.velocities**2, axis=1)))
        return jnp.asarray(margin), fastest

    def step(carry, _):
        state, sums, margin, fastest = carry

        def on(state, sums, margin, fastest):
            state = ensemble.advance(state, masses, acting)
            return state, _added(sums, state, masses), *sound(state)

        going = (state.step < goal) & (margin > 0) & (fastest * ensemble.timestep_fs < _TOO_FAST)
        return jax.lax.cond(going, on, lambda *same: same, state, sums, margin, fastest), None

    zero = jnp.zeros((), state.positions.dtype)
    sums = Sums(steps=zero, potential=zero, kinetic=zero, pressure=zero, vectors=jnp.zeros_like(state.vectors))
    (state, sums, margin, fastest), _ = jax.lax.scan(step, (state, sums, *sound(state)), None, length=every)
    return state, sums, margin, fastest


def _added(sums: Sums, state: State, masses: Array) -> Sums:
    kinetic = kinetic_energy(state.velocities, masses)
    inner = (2.0 * kinetic - jnp.trace(state.acting.virial)) / (3.0 * jnp.linalg.det(state.vectors)) * GPA
    return Sums(
        steps=sums.steps + 1.0,
        potential=sums.potential + state.acting.energy,
        kinetic=sums.kinetic + kinetic,
        pressure=sums.pressure + inner,
        vectors=sums.vectors + state.vectors,
    )
