"""Charges on a mesh against sums over reciprocal vectors: energies, forces, stresses, and the errors that were asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.crystal import transformed
from jaxnmr.energy.pair import PairPotential, ewald_energy, plan_ewald
from jaxnmr.energy.pair.ewald import screened
from jaxnmr.energy.pair.mesh import Mesh, plan_mesh
from jaxnmr.errors import ConventionError, ParameterError
from jaxnmr.graph import plan_neighbours

CHIK = PairPotential.load("chik")


def quartz():
    """L. Levien, C. T. Prewitt & D. J. Weidner, Am. Mineral. 65, 920 (1980), at room pressure."""
    return jn.Crystal.create(
        cell=(4.9137, 4.9137, 5.4047, 90, 90, 120), spacegroup="P 32 2 1", species=["Si", "O"],
        xyz=[[0.4697, 0, 2 / 3], [0.4133, 0.2672, 0.7856]], name="quartz",
    )  # fmt: skip


def large_cell(crystal):
    """72 atoms without symmetry."""
    return transformed(crystal, 2 * np.eye(3), spacegroup="P 1")


def disordered(displacement=0.3, seed=1):
    """72 atoms of quartz in a skewed cell, far from their places: lattice, positions and charges."""
    large = large_cell(quartz())
    lattice = np.asarray(large.lattice()) @ np.array([[1, 0, 0], [0.04, 1, 0], [0.07, -0.05, 1.02]])
    points = np.asarray(large.xyz) @ lattice
    charges = np.where(np.array(large.elements) == "Si", 1.910418, -0.955209)
    return lattice, points + np.random.default_rng(seed).normal(scale=displacement, size=points.shape), charges


@jax.jit
def by_mesh(mesh, pairs, lattice, points, charges):
    """Energy, forces and virial with neighbours as of a plan and the rest on a mesh."""

    def energy(points, strain):
        deformed = jnp.eye(3) + 0.5 * (strain + strain.T)
        vectors, moved = lattice @ deformed, points @ deformed
        r = jnp.linalg.norm(moved[pairs[0]] - moved[pairs[1]] + pairs[2] @ vectors, axis=1)
        near = 0.5 * jnp.sum(charges[pairs[0]] * charges[pairs[1]] * screened(r, mesh.alpha))
        return near + mesh.energy(vectors, moved, charges)

    value, (slope, virial) = jax.value_and_grad(energy, (0, 1))(points, jnp.zeros((3, 3)))
    return value, -slope, virial


@jax.jit
def exactly(plan, lattice, points, charges):
    def energy(points, strain):
        deformed = jnp.eye(3) + 0.5 * (strain + strain.T)
        return ewald_energy(plan, lattice @ deformed, points @ deformed, charges)

    value, (slope, virial) = jax.value_and_grad(energy, (0, 1))(points, jnp.zeros((3, 3)))
    return value, -slope, virial


def rms(difference):
    return float(np.sqrt(np.mean(np.sum(np.asarray(difference) ** 2, axis=1))))


@pytest.fixture(scope="module")
def exact():
    lattice, points, charges = disordered()
    return exactly(plan_ewald(lattice, points, charges, accuracy=1e-11), lattice, points, charges)


@pytest.mark.parametrize("wanted", [1e-3, 2e-5, 1e-6])
def test_forces_are_as_exact_as_was_asked_for(wanted, exact):
    lattice, points, charges = disordered()
    mesh = plan_mesh(lattice, charges, cutoff=6.5, force_error=wanted)
    pairs = plan_neighbours(lattice, points, 6.5, closest=1e-3)
    energy, forces, virial = by_mesh(mesh, tuple(pairs), lattice, points, charges)
    error = rms(forces - exact[1])
    assert wanted / 30 < error < wanted
    # forces of this structure are of the order of 10 eV/Å, its virial of 100 eV
    assert rms(exact[1]) > 5.0
    assert float(energy - exact[0]) == pytest.approx(0.0, abs=300 * wanted)
    np.testing.assert_allclose(virial, exact[2], atol=300 * wanted)


def test_the_mesh_itself_converges_with_its_order_as_its_error_says():
    lattice, points, charges = disordered()
    alpha = np.asarray(0.56)
    fine = Mesh(alpha=alpha, sizes=(48, 48, 54))
    force = jax.jit(jax.grad(lambda mesh, points: mesh.energy(jnp.asarray(lattice), points, charges), 1))
    best = force(fine, points)
    coarse, half = (rms(force(Mesh(alpha=alpha, sizes=sizes), points) - best) for sizes in ((18, 18, 20), (24, 24, 26)))
    assert coarse / half > (24 / 18) ** 7


def test_forces_are_the_derivatives_of_the_energy():
    lattice, points, charges = disordered()
    mesh = plan_mesh(lattice, charges, cutoff=6.5, force_error=1e-3)
    # of some atoms and of the cell, with all others at rest
    place = {"points": jnp.asarray(points[:4]), "lattice": jnp.asarray(lattice)}
    energy = lambda at: mesh.energy(at["lattice"], jnp.concatenate([at["points"], points[4:]]), charges)
    jn.testing.assert_gradients(jax.jit(energy), place)


def test_nothing_depends_on_the_cell_that_an_atom_is_written_in():
    lattice, points, charges = disordered()
    mesh = plan_mesh(lattice, charges, cutoff=6.5, force_error=1e-3)
    energy = jax.jit(lambda points: mesh.energy(jnp.asarray(lattice), points, charges))
    moved = points + np.random.default_rng(2).integers(-3, 4, points.shape) @ lattice
    assert float(energy(moved)) == pytest.approx(float(energy(points)), abs=1e-9)


def test_a_potential_for_dynamics_has_the_forces_of_the_exact_one_in_any_symmetry():
    model = jn.EnergyModel.load("chik")
    fast = model.for_dynamics()
    crystal = quartz().replace(xyz=quartz().xyz + np.array([[0.01, 0, 0], [0.005, -0.01, 0.01]]))
    exact, near = model.predict(crystal), fast.predict(crystal)
    np.testing.assert_allclose(near.forces_ev_angstrom, exact.forces_ev_angstrom, atol=4e-5)
    np.testing.assert_allclose(near.stress_gpa, exact.stress_gpa, atol=2e-3)
    large = large_cell(crystal)
    assert fast.predict(large).energy_ev == pytest.approx(8 * exact.energy_ev, abs=72 * 1e-5)


def test_a_plan_for_dynamics_holds_while_atoms_and_cell_move_and_is_renewed_as_one():
    fast = CHIK.for_dynamics()
    large = large_cell(quartz())
    plan = fast.plan(large, skin=0.8)
    assert 0.05 < float(plan.margin(large)) < 0.8
    swollen = large.replace(cell=large.cell * np.array([1.04, 1.04, 1.04, 1, 1, 1]))
    assert float(plan.margin(swollen)) < 0
    renewed = plan.renewed(swollen)
    assert float(renewed.margin(swollen)) > 0.05 and renewed.force_error == plan.force_error
    anew = fast.plan(swollen, skin=0.8)
    assert jax.tree.structure(renewed) == jax.tree.structure(anew)
    jax.tree.map(np.testing.assert_array_equal, renewed, anew)


def test_a_model_without_a_faster_way_stays_what_it_is():
    class Nothing:
        name, elements, card = "nothing", frozenset({"Si"}), {}

    model = jn.EnergyModel.create(Nothing())
    assert model.for_dynamics() is model


@pytest.mark.parametrize("error", [0.0, -1.0, float("nan")])
def test_an_error_that_is_none_is_refused(error):
    with pytest.raises(ParameterError, match="force_error is"):
        CHIK.for_dynamics(error)


def test_an_error_beyond_what_a_cutoff_allows_is_refused():
    lattice, _, charges = disordered()
    with pytest.raises(ConventionError, match=r"cannot be had with a cutoff of 6\.5"):
        plan_mesh(lattice, charges, cutoff=6.5, force_error=1e-20)
