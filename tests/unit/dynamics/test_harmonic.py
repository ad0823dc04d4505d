"""Modes and mean squares of harmonic solids, against springs, differences of forces, and ASE."""

import jax
import numpy as np
import pytest
from analytic_potentials import EinsteinCrystal, ase_atoms, box
from ase.vibrations import Vibrations
from silica_forms import silica

import jaxnmr as jn
from jaxnmr.dynamics.harmonic_solid import HBAR, HarmonicSolid, harmonic
from jaxnmr.dynamics.state import ACCELERATION, BOLTZMANN, forces_at
from jaxnmr.dynamics.supercells import supercell
from jaxnmr.errors import DynamicsError, ParameterError

SPRINGS = {"Si": 12.0, "O": 4.0}


@pytest.fixture(scope="module")
def chik():
    return jn.EnergyModel.load("chik")


@pytest.fixture(scope="module")
def cristobalite():
    """At rest by CHIK (`jaxnmr.relax`); modes are refused where it is not."""
    x = 0.3069927560625987
    return silica("cristobalite").replace(
        cell=np.array([5.086140075208714, 5.086140075208714, 6.863577462116362, 90.0, 90.0, 90.0]),
        xyz=np.array([[x, x, 0.0], [0.2394334666977415, 0.10591980279555815, 0.1769528975121882]]),
    )


@pytest.fixture(scope="module")
def solid(chik, cristobalite):
    """Twenty-four atoms, twice the cell along a."""
    with pytest.warns(UserWarning, match="wide at its narrowest"):
        cell = supercell(cristobalite, (2, 1, 1))
    return harmonic(chik, cell)


@pytest.fixture(scope="module")
def single(chik, cristobalite):
    """One cell of twelve atoms."""
    with pytest.warns(UserWarning, match="wide at its narrowest"):
        cell = supercell(cristobalite, (1, 1, 1))
    return harmonic(chik, cell)


def einstein(count=27, edge=12.0):
    """Two elements on a lattice without symmetry, each on a spring of its own."""
    corners = np.stack(np.meshgrid(*3 * [np.arange(3)], indexing="ij"), axis=-1).reshape(-1, 3) / 3.0
    species = ["Si" if k % 3 == 0 else "O" for k in range(count)]
    cell = supercell(box(corners, 3 * [edge], species), (1, 1, 1))
    springs = np.array([SPRINGS[s] for s in species])
    return cell, EinsteinCrystal(places=corners, springs=springs, vectors=np.eye(3) * edge)


def test_frequencies_are_those_of_differences_of_forces(chik, single):
    """All force constants by central differences of the forces that move atoms in simulations."""
    cell, step = single.supercell, 0.01
    positions, vectors = np.asarray(cell.crystal.xyz) @ cell.vectors, cell.vectors
    plan = chik.plan(cell.crystal)
    acting = jax.jit(lambda moved: forces_at(chik, plan, cell.crystal, moved, vectors).forces)
    forces = lambda moved: np.asarray(acting(moved)).ravel()
    weights = {-2: 1.0, -1: -8.0, 1: 8.0, 2: -1.0}
    rows = []
    for unit in np.eye(positions.size).reshape(-1, *positions.shape):
        rows.append(-sum(w * forces(positions + k * step * unit) for k, w in weights.items()) / (12.0 * step))
    heavy = np.sqrt(np.repeat(cell.masses, 3))
    dynamical = np.array(rows) / heavy[:, None] / heavy
    values = np.linalg.eigvalsh(0.5 * (dynamical + dynamical.T))
    expected = np.sqrt(np.sort(np.abs(values))[3:] * ACCELERATION) / (2e-3 * np.pi)
    assert np.sort(single.frequencies_thz) == pytest.approx(expected, rel=1e-4)
    assert single.asymmetry < 1e-10
    assert single.drift_thz < 1e-3


def test_frequencies_are_those_of_ase(chik, single, tmp_path):
    """The same by displacements of `ase.vibrations`, in wave numbers."""
    atoms = ase_atoms(chik, single.supercell.crystal, single.supercell.masses)
    found = Vibrations(atoms, name=str(tmp_path / "vib"), delta=0.005, nfree=4)
    found.run()
    per_thz = 33.35640952
    expected = np.sort(np.real(found.get_frequencies()))[3:] / per_thz
    assert single.frequencies_thz == pytest.approx(expected, rel=1e-4)


def test_differences_of_forces_give_the_same_modes_as_second_derivatives(chik, solid):
    found = harmonic(chik, solid.supercell, step=0.005)
    assert found.frequencies_thz == pytest.approx(solid.frequencies_thz, rel=2e-3)


def test_cells_that_repeat_the_first_are_not_calculated_again(chik, solid):
    """With the repetition hidden by atoms that have moved by less than matters, all columns are calculated."""
    cell = solid.supercell
    xyz = np.asarray(cell.crystal.xyz).copy()
    xyz[-1] += 3e-6 / np.diag(cell.vectors)
    hidden = type(cell)(**{**vars(cell), "crystal": cell.crystal.replace(xyz=xyz)})
    found = harmonic(chik, hidden)
    assert found.frequencies_thz == pytest.approx(solid.frequencies_thz, rel=1e-4)


def test_samples_have_the_covariance_of_the_inverse_force_constants(solid):
    """kT H⁻¹ on what is orthogonal to translations, by the pseudo-inverse of H made from the modes of another program."""
    cell, t = solid.supercell, 300.0
    heavy = np.sqrt(np.repeat(cell.masses, 3))
    modes = solid.modes.reshape(len(solid.modes), -1)
    constants = (modes * heavy).T * ((2e-3 * np.pi * solid.frequencies_thz) ** 2 / ACCELERATION) @ (modes * heavy)
    projector = np.eye(len(heavy)) - np.outer(np.ones(len(heavy)), heavy**2 / np.sum(cell.masses)) * np.kron(
        np.ones((len(cell.masses),) * 2), np.eye(3)
    )
    expected = BOLTZMANN * t * projector @ np.linalg.pinv(constants) @ projector.T
    moved = solid.sample(t, 40_000, quantum=False) - np.asarray(cell.crystal.xyz) @ cell.vectors
    moved = moved.reshape(len(moved), -1)
    found = moved.T @ moved / len(moved)
    deviation = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / len(moved))
    z = (found - expected) / deviation
    assert np.sqrt(np.mean(z**2)) == pytest.approx(1.0, abs=0.1)
    assert np.abs(z).max() < 6.0
    assert np.abs(np.einsum("n,cni->ci", cell.masses, moved.reshape(len(moved), -1, 3))).max() < 1e-9


def test_springs_have_the_frequencies_and_mean_squares_of_springs():
    cell, springs = einstein()
    solid = harmonic(springs, cell)
    omega = {s: np.sqrt(SPRINGS[s] * ACCELERATION / cell.masses[k]) for k, s in enumerate(cell.crystal.species)}
    counts = [3 * cell.crystal.species.count(s) for s in ("Si", "O")]
    expected = np.sort(np.repeat([omega["Si"], omega["O"]], counts)) / (2e-3 * np.pi)
    # three modes mix: the centre of mass is held
    assert np.median(np.abs(solid.frequencies_thz - expected[3:])) < 1e-9
    for temperature in (0.0, 300.0, 2000.0):
        u = np.trace(solid.displacements(temperature), axis1=1, axis2=2) / 3.0
        for k, s in enumerate(cell.crystal.species):
            ground = 0.5 * HBAR * omega[s]
            mean = ground / np.tanh(ground / (BOLTZMANN * temperature)) if temperature else ground
            # of one atom in 27 the centre of mass takes a share
            assert u[k] == pytest.approx(mean / SPRINGS[s], rel=0.08)
    classical = solid.displacements(300.0, quantum=False)
    assert np.trace(classical.sum(axis=0)) < 81 * BOLTZMANN * 300 / 4.0
    assert solid.displacements(2000.0) == pytest.approx(solid.displacements(2000.0, quantum=False), rel=0.02, abs=1e-6)


def test_displacement_parameters_obey_the_symmetry_of_their_sites(solid):
    """Silicon of cristobalite lies on a twofold axis along [110]: U11 = U22 and U13 = -U23."""
    parent = solid.supercell.parent
    # twice the cell along a only: not tetragonal, which averages over images make up for
    found = solid.crystal(300.0)
    silicon = np.asarray(found.u_aniso)[0]
    assert silicon[0] == pytest.approx(silicon[1], rel=1e-9)
    assert silicon[4] == pytest.approx(-silicon[5], rel=1e-9)
    cartesian = solid.displacements(300.0)
    assert np.asarray(found.u_aniso)[1, :3] == pytest.approx(np.diagonal(cartesian[1]), rel=1e-9)
    assert found.anisotropic == (True, True)
    assert np.trace(cartesian[1]) > 1.3 * np.trace(cartesian[0])
    assert np.asarray(found.xyz) == pytest.approx(np.asarray(parent.xyz))


def test_displacement_parameters_in_oblique_axes_give_the_same_mean_squares():
    """Mean squares along reciprocal vectors, from U of the CIF convention and from Cartesian ones; modes are made up."""
    quartz = silica("quartz")
    cell = supercell(quartz, (3, 3, 2))
    modes = np.linalg.qr(np.random.default_rng(0).normal(size=(3 * cell.crystal.n_sites, 40)))[0].T
    solid = HarmonicSolid(
        supercell=cell, frequencies_thz=np.linspace(1.0, 30.0, 40), modes=modes.reshape(40, -1, 3), energy_ev=0.0,
        asymmetry=0.0, drift_thz=0.0,
    )  # fmt: skip
    found, cartesian = solid.crystal(300.0), solid.displacements(300.0)
    reciprocal = np.linalg.inv(np.asarray(quartz.lattice()))
    lengths = np.linalg.norm(reciprocal, axis=0)
    for hkl in ((1, 0, 0), (1, 1, 0), (-1, 2, 3)):
        q = reciprocal @ hkl
        h = np.asarray(hkl) * lengths
        for six, u in zip(np.asarray(found.u_aniso), cartesian, strict=True):
            full = np.array([[six[0], six[3], six[4]], [six[3], six[1], six[5]], [six[4], six[5], six[2]]])
            assert h @ full @ h == pytest.approx(q @ u @ q, rel=1e-9)


def test_a_structure_that_is_no_minimum_is_refused_or_flagged(chik, cristobalite):
    """The ideal structure of high cristobalite, with straight bonds, is a saddle of pair potentials."""
    # at the edge where CHIK has no stress; symmetry leaves no forces
    straight = silica("beta_cristobalite").replace(cell=np.array([7.487] * 3 + [90.0] * 3))
    with pytest.warns(UserWarning, match="wide at its narrowest"):
        cell = supercell(straight, (1, 1, 1))
    with pytest.raises(DynamicsError, match=r"modes of beta_cristobalite are imaginary.*left_out"):
        harmonic(chik, cell)
    solid = harmonic(chik, cell, slow="leave out")
    assert solid.left_out[0] < -0.1
    assert f"{len(solid.left_out)} left out" in repr(solid)
    assert (solid.amplitudes(300.0)[: len(solid.left_out)] == 0.0).all()
    assert np.isfinite(solid.sample(300.0, 3)).all()


def test_atoms_that_are_not_at_rest_are_refused(chik):
    with pytest.warns(UserWarning, match="wide at its narrowest"):
        cell = supercell(silica("cristobalite"), (1, 1, 1))
    with pytest.raises(DynamicsError, match=r"(Si1|O1) of cristobalite is pulled with .*jn\.relax"):
        harmonic(chik, cell)


def test_arguments_that_make_no_sense_are_refused(chik, solid):
    with pytest.raises(ParameterError, match="the cell is a Crystal; expected a Supercell"):
        harmonic(chik, silica("quartz"))
    with pytest.raises(ParameterError, match="slow is 'drop'"):
        harmonic(chik, solid.supercell, slow="drop")
    with pytest.raises(ParameterError, match="step is 2"):
        harmonic(chik, solid.supercell, step=2.0)
    with pytest.raises(ParameterError, match="temperature_k is -1"):
        solid.amplitudes(-1.0)
    with pytest.raises(ParameterError, match="count is 0"):
        solid.sample(300.0, 0)


def test_samples_can_be_placed_as_crystals(solid):
    positions = solid.sample(300.0, 2, seed=5)
    crystal = solid.placed(positions[1])
    assert np.asarray(crystal.xyz) @ np.asarray(crystal.lattice()) == pytest.approx(positions[1], abs=1e-9)
    assert (solid.sample(300.0, 2, seed=5) == positions).all()
    assert not np.allclose(solid.sample(300.0, 2, seed=6), positions)
