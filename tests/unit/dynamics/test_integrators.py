"""Trajectories without a thermostat: conserved energy, convergence, reversal, neighbours, and ASE's velocity Verlet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analytic_potentials import IdealGas, LennardJones, argon, ase_atoms, box
from ase import units
from ase.md.verlet import VelocityVerlet

from jaxnmr.dynamics.ensemble import Ensemble
from jaxnmr.dynamics.simulation import simulate, start
from jaxnmr.dynamics.state import ACCELERATION, BOLTZMANN, forces_at, kinetic_energy, thermal_velocities
from jaxnmr.errors import ConventionError, DynamicsError, ParameterError, PrecisionError

ARGON = LennardJones()
MASS = 39.948


@pytest.fixture(scope="module")
def crystal():
    return argon(2)


@pytest.fixture(scope="module")
def masses(crystal):
    return np.full(crystal.n_sites, MASS)


@pytest.fixture(scope="module")
def warm(crystal, masses):
    """Argon that has moved for a picosecond, so that energy is shared."""
    begin = start(crystal, masses, 80.0, seed=1)
    return run(crystal, masses, begin, 10.0, 100)[-1].state


def run(crystal, masses, state, timestep, steps, every=20, **settings):
    return list(simulate(ARGON, crystal, masses, state, Ensemble.nve(timestep), steps=steps, every=every, **settings))


def test_energy_is_conserved_for_ten_picoseconds(crystal, masses, warm):
    frames = run(crystal, masses, warm, 5.0, 2000)
    assert frames[-1].time_fs - 100 * 5.0 == pytest.approx(10_000.0)
    energies = np.array([f.total_ev for f in frames])
    times = np.array([f.time_fs for f in frames]) / 1e4
    drift = np.polyfit(times, energies, 1)[0]
    assert abs(drift) / crystal.n_sites < 1e-5
    assert np.ptp(energies) / crystal.n_sites < 1e-3
    # energy does go back and forth between its halves
    assert np.std([f.potential_ev for f in frames]) > 20 * np.std(energies)


def test_the_error_of_the_energy_is_of_second_order_in_the_timestep(crystal, masses, warm):
    """Deviations from the energy at the start, at the same moments."""
    now = float(warm.acting.energy) + float(kinetic_energy(warm.velocities, masses))
    errors = []
    for timestep in (4.0, 8.0):
        frames = run(crystal, masses, warm, timestep, round(3200 / timestep))
        same = frames[1::2] if timestep == 4.0 else frames
        errors.append(np.array([f.total_ev for f in same]) - now)
    ratio = np.sqrt(np.sum(errors[1] ** 2) / np.sum(errors[0] ** 2))
    assert ratio == pytest.approx(4.0, rel=0.06)


def test_with_velocities_turned_round_atoms_go_back(crystal, masses, warm):
    there = run(crystal, masses, warm, 10.0, 100)[-1].state
    assert np.abs(there.positions - warm.positions).max() > 0.3
    back = run(crystal, masses, there.replace(velocities=-there.velocities), 10.0, 100)[-1].state
    assert np.abs(back.positions - warm.positions).max() < 1e-8
    assert np.abs(back.velocities + warm.velocities).max() < 1e-10


def test_neither_the_skin_nor_a_stop_on_the_way_changes_where_atoms_go(crystal, masses, warm):
    wide = run(crystal, masses, warm, 10.0, 120, skin=1.5)
    narrow = run(crystal, masses, warm, 10.0, 120, skin=0.2)
    assert narrow[-1].renewals > wide[-1].renewals + 2
    for one, other in zip(wide, narrow, strict=True):
        assert np.abs(one.state.positions - other.state.positions).max() < 1e-9
        assert one.total_ev == pytest.approx(other.total_ev, abs=1e-10)
        assert one.potential_ev == pytest.approx(other.potential_ev, abs=1e-9)
    resumed = run(crystal, masses, wide[0].state, 10.0, 100, skin=1.5)[-1]
    assert np.abs(resumed.state.positions - wide[-1].state.positions).max() < 1e-9
    assert resumed.time_fs == wide[-1].time_fs


def test_means_over_steps_are_means_over_steps(crystal, masses, warm):
    single = run(crystal, masses, warm, 10.0, 20, 1)
    together = run(crystal, masses, warm, 10.0, 20)[-1]
    assert together.potential_ev == pytest.approx(np.mean([float(f.state.acting.energy) for f in single]), rel=1e-10)
    kinetic = np.mean([float(kinetic_energy(f.state.velocities, masses)) for f in single])
    assert together.temperature_k == pytest.approx(2 * kinetic / (3 * len(masses) * BOLTZMANN), rel=1e-10)
    assert together.pressure_gpa == pytest.approx(np.mean([f.pressure_gpa for f in single]), rel=1e-8)


def test_the_trajectory_is_that_of_ase(crystal, masses, warm):
    atoms = ase_atoms(ARGON, crystal, masses)
    atoms.positions = warm.positions
    # Å/fs to ASE's unit of velocity
    atoms.set_velocities(np.asarray(warm.velocities) / units.fs)
    VelocityVerlet(atoms, timestep=10.0 * units.fs).run(100)
    ours = run(crystal, masses, warm, 10.0, 100)[-1]
    # units.fs is of CODATA 2014, seven digits
    assert np.abs(ours.state.positions - atoms.positions).max() < 1e-5
    assert ours.total_ev == pytest.approx(atoms.get_total_energy(), abs=1e-6)


def test_the_virial_is_the_derivative_of_the_energy_by_strain(crystal, warm):
    plan = ARGON.plan(crystal, skin=1.0)
    positions, vectors = np.asarray(warm.positions), np.asarray(warm.vectors)
    acting = jax.jit(lambda x, v: forces_at(ARGON, plan, crystal, x, v))
    virial, step = acting(positions, vectors).virial, 1e-5
    for i, j in ((0, 0), (1, 2), (0, 2)):
        strain = np.zeros((3, 3))
        strain[i, j] = strain[j, i] = step if i == j else 0.5 * step
        up, down = (acting(positions @ (np.eye(3) + s), vectors @ (np.eye(3) + s)).energy for s in (strain, -strain))
        assert float(virial[i, j]) == pytest.approx(float(up - down) / (2 * step), abs=2e-6)


def test_velocities_at_the_start_are_those_of_the_temperature():
    masses = np.tile([28.0, 16.0], 5000)
    velocities = np.asarray(thermal_velocities(jax.random.key(2), jnp.asarray(masses), 300.0))
    for kind in (0, 1):
        square = np.mean(velocities[kind::2] ** 2)
        # 15,000 numbers: 1.2 %
        assert square == pytest.approx(BOLTZMANN * 300 * ACCELERATION / masses[kind], rel=0.04)
    assert np.abs(masses @ velocities).max() < 1e-9


def test_a_timestep_that_is_too_long_is_said(crystal, masses, warm):
    fast = warm.replace(velocities=12.0 * np.asarray(warm.velocities))
    with pytest.raises(DynamicsError, match=r"atoms move .* in one step of 10 fs.*smaller timestep"):
        run(crystal, masses, fast, 10.0, 200)


def test_atoms_that_are_too_close_are_said(masses, crystal):
    """Nearly on top of each other they fly apart; on top of each other there is no energy."""
    xyz = np.asarray(crystal.xyz).copy()
    xyz[1] = xyz[0] + [0.09, 0.0, 0.0]
    near = crystal.replace(xyz=xyz)
    with pytest.raises(DynamicsError, match="a relaxed start"):
        run(near, masses, start(near, masses, 10.0), 1.0, 20)
    xyz[1] = xyz[0] + [0.01, 0.0, 0.0]
    on_top = crystal.replace(xyz=xyz)
    with pytest.raises(ConventionError, match=r"atoms 0 and 1 are .* Å apart"):
        run(on_top, masses, start(on_top, masses, 10.0), 1.0, 20)


def test_atoms_that_meet_on_the_way_are_said():
    """Without forces two atoms run into each other, and neighbours can no longer be listed."""

    class Blind(LennardJones):
        def energy(self, crystal, plan):
            return 0.0 * jnp.sum(jnp.asarray(crystal.xyz)) * crystal.cell[0]

    crystal, masses = box([[0.4, 0.5, 0.5], [0.6, 0.5, 0.5]], [10.0] * 3, "Ar"), np.full(2, MASS)
    state = start(crystal, masses, 10.0)
    state = state.replace(velocities=np.array([[0.01, 0, 0], [-0.01, 0, 0]]))
    with pytest.raises(DynamicsError, match=r"after \d+ steps .*no longer describe .* Å apart"):
        list(simulate(Blind(), crystal, masses, state, Ensemble.nve(5.0), steps=60, every=20, skin=0.8))


def test_single_precision_is_refused(crystal, masses):
    with jax.enable_x64(False), pytest.raises(PrecisionError, match="enable_x64"):
        start(crystal, masses, 300.0)


def test_numbers_that_make_no_sense_are_refused(crystal, masses, warm):
    for settings, said in (({"steps": 0}, "steps is 0"), ({"steps": 5, "every": -1}, "every is -1")):
        with pytest.raises(ParameterError, match=said):
            list(simulate(IdealGas(), crystal, masses, warm, Ensemble.nve(), **settings))
    for make, said in (
        (lambda: Ensemble.nve(0.0), "timestep_fs is 0"),
        (lambda: Ensemble.langevin(-3.0), "temperature_k is -3"),
        (lambda: Ensemble.langevin(300.0, relaxation_fs=0.0), "relaxation_fs is 0"),
        (lambda: Ensemble.npt(300.0, cell="cubic"), "cell is 'cubic'"),
        (lambda: Ensemble.npt(300.0, pressure_gpa=np.nan), "pressure_gpa is nan"),
        (lambda: Ensemble.npt(300.0, compressibility=-1.0), "compressibility is -1"),
    ):
        with pytest.raises(ParameterError, match=said):
            make()
