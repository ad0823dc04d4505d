"""Many starts in one call: the same minimum, another one, none; displaced atoms; batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_problems import Equations, monoclinic, rutile

import jaxnmr as jn
from jaxnmr.errors import ConventionError, ConvergenceError, ParameterError


def two_wells(x):
    """Minima near a = 1 with chi² 0 and near a = -1 with chi² 3.99."""
    return jnp.array([10.0 * (x[0] ** 2 - 1.0), x[0] - 1.0, 3.0 * (x[1] - 0.5 * x[0])])


@pytest.fixture(scope="module")
def wells():
    objective = jn.Objective(Equations(two_wells, [0.8, 0.0]))
    return objective, objective.parameters().free("problem/x")


@pytest.fixture(scope="module")
def starts(wells):
    """Seven starts, three of them in the wrong well, one that is not a number."""
    a = [0.5, -0.6, 1.4, -1.3, np.nan, 0.9, -2.0]
    return wells[1].replace(flat=np.stack([a, np.linspace(-1, 1, 7)], axis=1))


@pytest.fixture(scope="module")
def found(wells, starts):
    return jn.refine_starts(wells[0], starts, devices=jax.devices()[:1])


def test_every_start_ends_in_the_well_it_began_in_and_the_lower_one_is_the_best(found):
    assert [row.minimum for row in found.rows] == [1, 2, 1, 2, 0, 1, 2]
    assert found.found == (3, 3) and found.converged
    # 100 (a²-1)² + (a-1)² near a = -1 + d: 800 d = 2 (2 - d)
    assert found.levels == pytest.approx((0.0, 3.99), abs=0.01)
    assert found.best.parameters["problem/x[a]"] == pytest.approx(1.0, abs=1e-6)
    assert found.minima[1].parameters["problem/x[a]"] == pytest.approx(-1.0 + 2.0 / 401.0, abs=2e-4)


def test_a_start_that_is_not_a_number_is_a_row_and_stops_no_other(found):
    row = found.rows[4]
    assert row.status == "error" and "not finite" in row.message and np.isnan(row.chi2)
    assert all(other.status == "converged" for other in found.rows if other is not row)
    assert "3 of 7 starts reached the same minimum" in found.message and "1 failed" in found.message
    assert len(found.table().splitlines()) == 9 and "chi² higher by 3.99" in repr(found)


def test_distances_are_counted_in_standard_uncertainties_of_the_best(found):
    near = [row.distance for row in found.rows if row.minimum == 1]
    far = [row.distance for row in found.rows if row.minimum == 2]
    # data without noise: chi² vanishes, and uncertainties are not taken to vanish with it
    assert max(near) < 1e-2 < 10 < min(far)


def test_a_start_goes_the_very_way_of_a_refinement_of_its_own(wells, starts, found):
    alone = jn.refine(wells[0], starts.replace(flat=starts.flat[2]), suggest=False)
    assert found.rows[2].steps == len(alone.steps)
    np.testing.assert_array_equal(found.parameters.flat[2], alone.parameters.flat)


def test_batches_lead_where_single_evaluations_do(wells, starts, found):
    batched = jn.refine_starts(wells[0], starts, devices=jax.devices()[:1], width=3)
    np.testing.assert_allclose(batched.parameters.flat, found.parameters.flat, atol=1e-9)
    assert [r.minimum for r in batched.rows] == [r.minimum for r in found.rows]
    assert batched.evaluations == found.evaluations and batched.width == 3


def test_bounds_hold_for_every_start(wells):
    objective, params = wells
    bounded = params.set("problem/x[a]", 0.5).bound("problem/x[a]", lower=0.3, upper=0.7)
    inside = bounded.replace(flat=np.array([[0.31, 0.0], [0.5, 1.0], [0.69, -1.0]]))
    result = jn.refine_starts(objective, inside, solver=jn.GaussNewton())
    np.testing.assert_allclose(result.parameters.flat[:, 0], 0.7)
    assert result.found == (3,)


def test_without_a_minimum_the_outcome_comes_with_the_error(wells, starts):
    with pytest.raises(ConvergenceError, match="ran out of steps") as caught:
        jn.refine_starts(wells[0], starts, solver=jn.LevenbergMarquardt(max_steps=1, tolerance=1e-9))
    assert caught.value.result.levels == () and len(caught.value.result.rows) == 7


def test_starts_that_make_no_sense_are_refused(wells):
    objective, params = wells
    with pytest.raises(ParameterError, match="no starts"):
        jn.refine_starts(objective, [])
    with pytest.raises(ParameterError, match="start 1 is of another model"):
        jn.refine_starts(objective, [params, params.fix("problem/x[b]")])
    with pytest.raises(ParameterError, match="all parameters are fixed"):
        jn.refine_starts(objective, params.fix("problem/x"))
    with pytest.raises(ConventionError, match="width is 0"):
        jn.refine_starts(objective, params, width=0)


def of_structure(crystal):
    target = np.asarray(crystal.cell)[:3]
    objective = jn.Objective(jn.term("cell")(lambda state: state.crystal.cell[:3] - target), crystal=crystal)
    return objective, objective.parameters()


def test_displaced_atoms_fill_a_ball_of_the_radius_asked_for():
    objective, params = of_structure(monoclinic())
    many = jn.displaced(objective, params, jax.random.key(1), n=2000, distance=0.05)
    shift = (many.values["xyz"] - params["xyz"]) @ np.asarray(monoclinic().lattice())
    length = np.linalg.norm(shift, axis=2)
    assert length.max() <= 0.05 * (1 + 1e-9)
    # the mean distance from the centre of a ball is 3/4 of its radius, and no direction is preferred
    np.testing.assert_allclose(length.mean(axis=0), 0.0375, rtol=0.02)
    np.testing.assert_allclose(shift.mean(axis=0), 0.0, atol=0.003)
    assert many.spec == params.spec


def test_displaced_atoms_stay_on_their_special_positions():
    objective, params = of_structure(rutile())
    many = jn.displaced(objective, params.free("xyz", "cell"), jax.random.key(2), n=500, distance=0.1).values
    titanium, oxygen = many["xyz"][:, 0], many["xyz"][:, 1]
    np.testing.assert_array_equal(titanium, 0.0)
    np.testing.assert_array_equal(oxygen[:, 2], 0.0)
    np.testing.assert_allclose(oxygen[:, 0], oxygen[:, 1], atol=1e-15)
    along = np.abs(oxygen[:, 0] - 0.305) * 4.594 * np.sqrt(2)
    assert 0.09 < along.max() <= 0.1 * (1 + 1e-9)
    np.testing.assert_array_equal(many["cell"], np.tile(rutile().cell, (500, 1)))


def test_what_cannot_be_displaced_is_refused():
    salt = jn.Crystal.create(
        cell=(5.64, 5.64, 5.64, 90, 90, 90), spacegroup="F m -3 m", species=["Na", "Cl"], xyz=[[0, 0, 0], [0.5, 0, 0]]
    )
    objective, params = of_structure(salt)
    with pytest.raises(ParameterError, match="symmetry fixes all coordinates"):
        jn.displaced(objective, params, jax.random.key(0), n=2)
    with pytest.raises(ParameterError, match="distance 0 Å"):
        jn.displaced(*of_structure(rutile()), jax.random.key(0), n=2, distance=0)
