"""Distances and angles of named atoms: values, degenerate cases, single precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr.crystal import Crystal, angles, angles_from, distances, distances_from, lattice, plan_bonds

QUARTZ = Crystal.create(
    cell=[4.913, 4.913, 5.405, 90, 90, 120],
    spacegroup="P 32 2 1",
    species=["Si", "O"],
    xyz=[[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.7858]],
)
TRICLINIC = Crystal.create(
    cell=[7.1, 8.3, 9.7, 83, 97, 104],
    spacegroup="P -1",
    species=["C", "N", "O"],
    xyz=[[0.1, 0.2, 0.3], [0.4, 0.15, 0.62], [0.71, 0.83, 0.44]],
)


def test_a_distance_is_the_length_of_the_cartesian_difference():
    pairs = np.array([[[0, 0, 0, 0, 0], [1, 1, 2, -1, 1]]])
    start = np.array([0.1, 0.2, 0.3])
    end = -np.array([0.4, 0.15, 0.62]) + np.array([2, -1, 1])
    expected = np.linalg.norm((end - start) @ lattice(TRICLINIC.cell))
    assert distances(TRICLINIC, pairs)[0] == pytest.approx(expected, rel=1e-14)


def test_an_angle_follows_from_the_cosine_rule():
    atoms = [[0, 0, 0, 0, 0], [1, 1, 1, 0, 1], [2, 0, 0, -1, 0]]
    a, b, c = (
        distances(TRICLINIC, np.array([pair]))[0]
        for pair in ((atoms[0], atoms[1]), (atoms[1], atoms[2]), (atoms[0], atoms[2]))
    )
    expected = np.degrees(np.arccos((a * a + b * b - c * c) / (2 * a * b)))
    assert angles(TRICLINIC, np.array([atoms]))[0] == pytest.approx(expected, rel=1e-12)


def test_the_bond_lengths_of_quartz_are_known():
    plan = plan_bonds(QUARTZ, {("Si", "O"): 1.9})
    silicon = plan.pairs[:, 0, 0] == 0
    assert plan.multiplicity[silicon].tolist() == [2, 2]
    np.testing.assert_allclose(distances(QUARTZ, plan.pairs)[silicon], [1.605, 1.614], atol=2e-3)


def test_an_atom_is_at_distance_zero_from_itself_and_makes_no_angle():
    atom = [0, 0, 0, 0, 0]
    assert distances(TRICLINIC, np.array([[atom, atom]]))[0] == 0.0
    assert angles(TRICLINIC, np.array([[atom, atom, [1, 0, 0, 0, 0]]]))[0] == 0.0


def test_straight_and_folded_angles_are_exact():
    line = np.array(
        [[[0, 0, -1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 1, 0, 0]], [[0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 2, 0, 0]]]
    )
    np.testing.assert_allclose(angles(TRICLINIC, line), [180.0, 0.0], atol=1e-10)


def test_numpy_crystals_are_measured_in_double_precision_whatever_jax_is_set_to():
    plan = plan_bonds(QUARTZ)
    length = distances(QUARTZ, plan.pairs)
    assert isinstance(length, np.ndarray) and length.dtype == np.float64
    traced = distances(jax.tree.map(jnp.asarray, QUARTZ), jnp.asarray(plan.pairs))
    assert not isinstance(traced, np.ndarray)
    np.testing.assert_allclose(traced, length, rtol=1e-5)


def test_one_compiled_function_measures_many_crystals():
    plan = plan_bonds(QUARTZ)
    scaled = jnp.asarray(QUARTZ.cell) * jnp.array([[1, 1, 1, 1, 1, 1], [1.1, 1.1, 1.1, 1, 1, 1]])
    both = jax.jit(jax.vmap(lambda cell: distances(QUARTZ.replace(cell=cell), plan.pairs)))(scaled)
    np.testing.assert_allclose(both[1], 1.1 * both[0], rtol=1e-5)


def test_functions_of_the_arrays_equal_functions_of_the_crystal():
    pairs = np.array([[[0, 0, 0, 0, 0], [1, 1, 0, 0, 0]]])
    triplets = np.array([[[0, 0, 0, 0, 0], [1, 1, 0, 0, 0], [2, 0, 0, 0, 0]]])
    arrays = (TRICLINIC.cell, TRICLINIC.xyz, TRICLINIC.group)
    np.testing.assert_array_equal(distances_from(*arrays, pairs), distances(TRICLINIC, pairs))
    np.testing.assert_array_equal(angles_from(*arrays, triplets), angles(TRICLINIC, triplets))


def test_no_atoms_give_no_distances():
    assert distances(TRICLINIC, np.zeros((0, 2, 5), dtype=int)).shape == (0,)
    assert angles(TRICLINIC, np.zeros((0, 3, 5), dtype=int)).shape == (0,)
