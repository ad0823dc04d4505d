"""Averages at constant temperature and pressure against what is known of springs and of the ideal gas."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analytic_potentials import EinsteinCrystal, IdealGas, LennardJones, argon, box

from jaxnmr.dynamics.ensemble import Ensemble
from jaxnmr.dynamics.simulation import simulate, start
from jaxnmr.dynamics.state import ACCELERATION, BOLTZMANN, GPA, forces_at
from jaxnmr.dynamics.statistics import mean_error
from jaxnmr.errors import DynamicsError

T = 300.0
KT = BOLTZMANN * T


def springs(spread=(12.0, 4.0), stiffness=0.0, edge=12.0):
    """Twenty-seven atoms of two elements on springs: crystal, potential, masses."""
    places = np.stack(np.meshgrid(*3 * [np.arange(3)], indexing="ij"), axis=-1).reshape(-1, 3) / 3.0
    silicon = np.arange(27) % 3 == 0
    crystal = box(places, 3 * [edge], ["Si" if s else "O" for s in silicon])
    potential = EinsteinCrystal(
        places=places, springs=np.where(silicon, *spread), vectors=edge * np.eye(3), stiffness=stiffness
    )
    return crystal, potential, np.where(silicon, 28.085, 15.999)


def replicas(potential, crystal, masses, ensemble, of, *, count, steps, every=1, temperature=T, seed=0):
    """Many simulations at once: ``of`` of their states, ``(steps/every, count, ...)``; neighbours are never listed again."""
    plan = potential.plan(crystal)
    acting = partial(forces_at, potential, plan, crystal)
    state = start(crystal, masses, temperature, seed=seed)
    state = state.replace(acting=acting(state.positions, state.vectors))
    keys = jax.random.split(jax.random.key(seed + 1), count)

    def begin(key):
        first, rest = jax.random.split(key)
        scale = jnp.sqrt(BOLTZMANN * temperature * ACCELERATION / masses)[:, None]
        return state.replace(velocities=scale * jax.random.normal(first, state.velocities.shape), key=rest)

    def some(state, _):
        state = jax.lax.fori_loop(0, every, lambda _, s: ensemble.advance(s, masses, acting), state)
        return state, of(state)

    go = jax.vmap(lambda key: jax.lax.scan(some, begin(key), None, length=steps // every)[1], out_axes=1)
    return np.asarray(jax.jit(go)(keys))


def test_langevin_has_the_averages_of_springs_at_a_long_timestep():
    """Mean squares of positions are right where velocity Verlet's, larger by 1/(1 - (w dt)²/4), would be off by a third."""
    crystal, potential, masses = springs(spread=(8.0, 20.0))
    omega = np.sqrt(potential.springs * ACCELERATION / masses)
    timestep = 1.0 / omega.max()
    places = potential.places @ potential.vectors
    ensemble = Ensemble.langevin(T, timestep_fs=timestep, relaxation_fs=30.0)
    squares = lambda s: jnp.stack([jnp.mean((s.positions - places) ** 2, 1), jnp.mean(s.velocities**2, 1)])
    found = replicas(potential, crystal, masses, ensemble, squares, count=32, steps=800)[100:].mean(axis=(0, 1))
    for element in (masses > 20, masses < 20):
        position = np.mean(found[0, element] * potential.springs[element]) / KT
        velocity = np.mean(found[1, element] * masses[element]) / KT / ACCELERATION
        assert position == pytest.approx(1.0, abs=0.015)
        # velocities at the end of a step are those of springs with the error of the timestep
        late = (omega[element][0] * timestep) ** 2 / 4.0
        assert late > 0.05
        assert velocity == pytest.approx(1.0 - late, abs=0.015)


def test_intervals_of_replicates_of_a_harmonic_solid_contain_the_truth():
    """A thousand replicates of two springs; the mean square displacement is kT/k."""
    places = np.array([[0.25, 0.25, 0.25], [0.75, 0.75, 0.75]])
    crystal = box(places, 3 * [10.0], "O")
    potential = EinsteinCrystal(places=places, springs=np.full(2, 4.0), vectors=10.0 * np.eye(3))
    masses = np.full(2, 15.999)
    ensemble = Ensemble.langevin(T, timestep_fs=8.0, relaxation_fs=60.0)
    square = lambda s: jnp.mean((s.positions - places @ potential.vectors) ** 2)
    series = replicas(potential, crystal, masses, ensemble, square, count=1000, steps=1200, every=4)[40:]
    for frames in (260, 60):
        found = mean_error(series[:frames])
        for probability in (0.6827, 0.9545):
            inside = np.mean(np.abs(found.mean - KT / 4.0) < found.width(probability))
            assert abs(inside - probability) < 0.05, (frames, probability, inside)
    assert np.median(found.tau) > 0.7


def test_the_volume_of_an_ideal_gas():
    """(N + 1) kT/P on average, with the variance (N + 1)(kT/P)², of four atoms: one more or less would be seen."""
    count, pressure = 4, 0.5
    unit = KT / (pressure / GPA)
    edge = ((count + 1) * unit) ** (1 / 3)
    crystal = box(np.random.default_rng(0).random((count, 3)), 3 * [edge], "Ar")
    ensemble = Ensemble.npt(
        T, pressure_gpa=pressure, cell="isotropic", timestep_fs=5.0, relaxation_fs=50.0, cell_relaxation_fs=400.0,
        compressibility=1.0 / pressure,
    )  # fmt: skip
    volume = lambda s: jnp.linalg.det(s.vectors)
    found = replicas(IdealGas(), crystal, np.full(count, 39.9), ensemble, volume, count=200, steps=3000, every=10)
    found = found[50:] / unit
    error = found.mean(axis=0).std() / np.sqrt(200)
    assert error < 0.04
    assert found.mean() == pytest.approx(count + 1.0, abs=4 * error)
    assert found.var() == pytest.approx(count + 1.0, rel=0.08)


def test_a_fluctuating_cell_has_the_strains_and_the_pressure_of_its_springs():
    """Energy s |E|²/2: strains along the axes have the variance kT/s, shears half of it; pressure is what was asked for."""
    stiffness, pressure = 60.0, 0.1
    crystal, potential, masses = springs(spread=(4.0, 4.0), stiffness=stiffness)
    inverse = jnp.linalg.inv(potential.vectors)
    ensemble = Ensemble.npt(
        T, pressure_gpa=pressure, timestep_fs=5.0, relaxation_fs=50.0, cell_relaxation_fs=200.0,
        compressibility=1.0 / (stiffness / 12.0**3 * GPA),
    )  # fmt: skip

    def of(s):
        strain = 0.5 * (inverse @ s.vectors @ s.vectors.T @ inverse.T - jnp.eye(3))
        inner = (len(masses) * KT * jnp.eye(3) - s.acting.virial) / jnp.linalg.det(s.vectors) * GPA
        return jnp.stack([strain, inner])

    found = replicas(potential, crystal, masses, ensemble, of, count=32, steps=3000, every=10)[50:]
    strain, inner = found[:, :, 0], found[:, :, 1]
    spread = lambda i, j: strain[..., i, j].var()
    assert np.mean([spread(i, i) for i in range(3)]) == pytest.approx(KT / stiffness, rel=0.07)
    assert np.mean([spread(0, 1), spread(0, 2), spread(1, 2)]) == pytest.approx(KT / stiffness / 2.0, rel=0.07)
    means = inner.mean(axis=0)
    # the trace of the pressure, whose mean over dV is exactly that asked for
    trace = np.trace(means, axis1=1, axis2=2) / 3.0
    assert trace.mean() == pytest.approx(pressure, abs=3.5 * trace.std() / np.sqrt(len(trace)))
    assert trace.std() / np.sqrt(len(trace)) < 0.05
    off = means[:, [0, 0, 1], [1, 2, 2]]
    assert np.abs(off.mean(axis=0) / (off.std(axis=0) / np.sqrt(len(off)))).max() < 3.5


def test_isotropic_cells_have_the_compressibility_of_their_springs():
    """E = (V/V0)^(2/3)/2 - 1/2 in all three directions; the distribution of V by numerical integration."""
    stiffness, pressure = 60.0, 1.0
    crystal, potential, masses = springs(spread=(4.0, 4.0), stiffness=stiffness)
    ensemble = Ensemble.npt(
        T, pressure_gpa=pressure, cell="isotropic", timestep_fs=5.0, relaxation_fs=50.0, cell_relaxation_fs=200.0,
        compressibility=1.0 / (stiffness / 12.0**3 * GPA),
    )  # fmt: skip
    volume = lambda s: jnp.linalg.det(s.vectors)
    found = replicas(potential, crystal, masses, ensemble, volume, count=32, steps=2500, every=10)[50:]
    start_volume = 12.0**3

    def expected(pressure):
        v = np.linspace(0.5, 1.5, 20_001) * start_volume
        energy = 0.5 * stiffness * 3.0 * (0.5 * (v / start_volume) ** (2 / 3) - 0.5) ** 2
        # V^N of the positions, V^-N of springs that lengthen along with the cell
        weight = np.exp(-(energy + pressure / GPA * v) / KT)
        mean = np.sum(v * weight) / np.sum(weight)
        return mean, np.sum((v - mean) ** 2 * weight) / np.sum(weight)

    mean, variance = expected(pressure)
    assert found.mean() == pytest.approx(mean, abs=4 * found.mean(axis=0).std() / np.sqrt(32))
    assert found.var() == pytest.approx(variance, rel=0.1)
    # the compressibility from fluctuations is that of the mean volumes
    step = 0.05
    slope = -(expected(pressure + step)[0] - expected(pressure - step)[0]) / (2 * step) / mean
    assert found.var() / found.mean() / KT / GPA == pytest.approx(slope, rel=0.1)


def test_cells_stay_in_their_axes_and_turning_changes_no_energy():
    """Argon with a soft cell: what a frame says of its crystal is what the crystal says of itself."""
    crystal, potential = argon(2), LennardJones()
    masses = np.full(32, 39.948)
    ensemble = Ensemble.npt(
        40.0, pressure_gpa=0.05, timestep_fs=10.0, relaxation_fs=200.0, cell_relaxation_fs=300.0, compressibility=0.5
    )
    frames = list(simulate(potential, crystal, masses, start(crystal, masses, 40.0), ensemble, steps=400, every=20))
    last = frames[-1]
    vectors = np.asarray(last.state.vectors)
    assert (np.triu(vectors, 1) == 0.0).all() and (np.diag(vectors) > 0).all()
    assert np.abs(np.tril(vectors, -1)).max() > 0.05
    assert np.abs(np.asarray(last.crystal.lattice()) - vectors).max() < 1e-9
    energy = float(jax.jit(potential.energy)(last.crystal, potential.plan(last.crystal)))
    assert energy == pytest.approx(float(last.state.acting.energy), abs=1e-9)
    # the same numbers again from the same start, others from another
    again = list(simulate(potential, crystal, masses, start(crystal, masses, 40.0), ensemble, steps=400, every=20))[-1]
    assert (np.asarray(again.state.positions) == np.asarray(last.state.positions)).all()
    other = start(crystal, masses, 40.0, seed=9)
    moved = next(iter(simulate(potential, crystal, masses, other, ensemble, steps=20, every=20)))
    assert np.abs(np.asarray(moved.state.positions) - np.asarray(frames[0].state.positions)).max() > 1e-3


def test_a_timestep_beyond_the_period_of_a_spring_explodes_and_is_said():
    crystal, potential, masses = springs()
    ensemble = Ensemble.langevin(T, timestep_fs=10.0)
    stiff = potential.replace(springs=np.full(27, 120.0))
    assert np.sqrt(120.0 * ACCELERATION / 15.999) * 10.0 > 2.0
    with pytest.raises(DynamicsError, match="smaller"):
        list(simulate(stiff, crystal, masses, start(crystal, masses, T), ensemble, steps=400, every=20))


def test_a_function_of_time_changes_the_temperature_on_the_way():
    crystal, potential, masses = springs()
    heating = lambda time: Ensemble.langevin(100.0 if time < 999.0 else 600.0, timestep_fs=2.0, relaxation_fs=40.0)
    frames = list(simulate(potential, crystal, masses, start(crystal, masses, 100.0), heating, steps=1500, every=20))
    cold = np.mean([f.temperature_k for f in frames if f.time_fs <= 1000.0])
    hot = np.mean([f.temperature_k for f in frames if f.time_fs > 1400.0])
    assert cold == pytest.approx(100.0, rel=0.15)
    assert hot == pytest.approx(600.0, rel=0.15)
