"""Gradients of distances, angles and displacements: equal to differences, finite where geometry degenerates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr.crystal import Crystal, angles_from, distances_from, plan_angles, plan_bonds

APATITE = Crystal.create(
    cell=[9.371724, 9.371724, 6.885867, 90, 90, 120],
    spacegroup="P 63/m",
    species=["Ca", "Ca", "P", "F", "O", "O", "O"],
    xyz=[
        [1 / 3, 2 / 3, 0.001913], [0.241976, 0.992603, 0.25], [0.397416, 0.367704, 0.25], [0, 0, 0.25],
        [0.325053, 0.484763, 0.25], [0.591494, 0.469954, 0.25], [0.33951, 0.258126, 0.070641],
    ],
)  # fmt: skip
ROCK_SALT = Crystal.create(
    cell=[5.64] * 3 + [90] * 3, spacegroup="F m -3 m", species=["Na", "Cl"], xyz=[[0, 0, 0], [0.5, 0.5, 0.5]]
)
TRICLINIC = Crystal.create(
    cell=[5.1, 6.3, 4.7, 83, 97, 104], spacegroup="P -1", species=["C", "N"], xyz=[[0.1, 0.2, 0.3], [0.33, 0.15, 0.42]]
)
CRYSTALS = pytest.mark.parametrize("crystal", [APATITE, ROCK_SALT, TRICLINIC], ids=lambda c: c.group.name)


@pytest.fixture(autouse=True)
def double_precision():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def as_function(measure, crystal, atoms):
    """Distances or angles as a function of one vector: cell, then coordinates."""

    @jax.jit
    def function(vector):
        return measure(vector[:6], vector[6:].reshape(-1, 3), crystal.group, atoms)

    return function, jnp.concatenate([jnp.asarray(crystal.cell), jnp.asarray(crystal.xyz).ravel()])


def central_differences(function, at, step=1e-5):
    unit = np.eye(len(at)) * step
    return np.stack([(np.asarray(function(at + e)) - np.asarray(function(at - e))) / (2 * step) for e in unit], axis=-1)


@CRYSTALS
def test_distance_jacobians_agree_forward_reverse_and_with_differences(crystal):
    function, at = as_function(distances_from, crystal, plan_bonds(crystal).pairs)
    forward, reverse = jax.jacfwd(function)(at), jax.jacrev(function)(at)
    assert forward.dtype == jnp.float64
    np.testing.assert_allclose(forward, reverse, atol=1e-12)
    np.testing.assert_allclose(forward, central_differences(function, at), atol=2e-7)
    assert np.abs(forward).max() > 0.1


@CRYSTALS
def test_angle_jacobians_agree_forward_reverse_and_with_differences(crystal):
    triplets = plan_angles(crystal, 3.0).triplets
    function, at = as_function(angles_from, crystal, triplets)
    bent = np.asarray(function(at)) < 179.0
    forward, reverse = jax.jacfwd(function)(at), jax.jacrev(function)(at)
    np.testing.assert_allclose(forward, reverse, atol=1e-9)
    np.testing.assert_allclose(forward[bent], central_differences(function, at)[bent], atol=2e-5)
    assert np.abs(np.asarray(forward)[bent]).max() > 0.1


def test_at_straight_angles_the_gradient_is_finite():
    function, at = as_function(angles_from, ROCK_SALT, plan_angles(ROCK_SALT).triplets)
    straight = np.asarray(function(at)) > 179.999
    assert straight.any()
    jacobian = np.asarray(jax.jacrev(function)(at))
    assert np.isfinite(jacobian).all()
    np.testing.assert_array_equal(jacobian[straight], 0.0)


def test_where_atoms_coincide_the_gradient_is_zero():
    atom = [0, 0, 0, 0, 0]
    distance, at = as_function(distances_from, TRICLINIC, np.array([[atom, atom]]))
    np.testing.assert_array_equal(jax.jacrev(distance)(at), 0.0)
    angle, at = as_function(angles_from, TRICLINIC, np.array([[atom, atom, [1, 0, 0, 0, 0]]]))
    np.testing.assert_array_equal(jax.jacrev(angle)(at), 0.0)


def test_the_average_bond_of_a_cubic_centre_does_not_change_when_the_centre_moves():
    # all six chlorine atoms around sodium at the origin: the image nearest to each operation's position
    images = ROCK_SALT.group.rotations @ ROCK_SALT.xyz[1] + ROCK_SALT.group.translations
    rows = {}
    for k, image in enumerate(images):
        for shift in np.array(list(np.ndindex(3, 3, 3))) - 1:
            if abs(np.linalg.norm(image + shift) - 0.5) < 1e-9:
                rows.setdefault(tuple(np.round(image + shift, 6)), [[0, 0, 0, 0, 0], [1, k, *shift]])
    assert len(rows) == 6
    function, at = as_function(distances_from, ROCK_SALT, np.array(list(rows.values())))
    mean = np.asarray(jax.jacfwd(function)(at)).mean(axis=0)
    np.testing.assert_allclose(mean[6:9], 0.0, atol=1e-12)
    np.testing.assert_allclose(mean[:3], [1 / 6] * 3, atol=1e-12)  # d = a/2 along each of the three axes


def test_uncertainties_propagate_to_a_bond_along_an_axis():
    crystal = Crystal.create(
        cell=[4, 5, 6, 90, 90, 90], spacegroup="P 1", species=["H", "F"], xyz=[[0, 0, 0], [0.2, 0, 0]]
    )
    function, at = as_function(distances_from, crystal, np.array([[[0, 0, 0, 0, 0], [1, 0, 0, 0, 0]]]))
    variance = np.zeros(12)
    variance[0], variance[6], variance[9] = 0.01**2, 0.001**2, 0.002**2  # of a, x1, x2
    jacobian = np.asarray(jax.jacfwd(function)(at))
    expected = (0.2 * 0.01) ** 2 + (4 * 0.001) ** 2 + (4 * 0.002) ** 2
    assert (jacobian**2 @ variance)[0] == pytest.approx(expected, rel=1e-12)


def test_equivalent_displacements_differentiate_with_respect_to_cell_and_tensor():
    crystal = TRICLINIC.replace(u_aniso=np.tile([0.01, 0.02, 0.03, 0.004, -0.005, 0.002], (2, 1)), u_iso=np.zeros(2))

    def function(vector):
        return crystal.replace(cell=vector[:6], u_aniso=vector[6:].reshape(2, 6)).u_equivalent()

    at = jnp.concatenate([jnp.asarray(crystal.cell), jnp.asarray(crystal.u_aniso).ravel()])
    forward = jax.jacfwd(function)(at)
    np.testing.assert_allclose(forward, jax.jacrev(function)(at), atol=1e-12)
    np.testing.assert_allclose(forward, central_differences(function, at), atol=1e-8)
