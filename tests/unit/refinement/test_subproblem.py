"""The linear problem on the device: steps, damping, bounds, and QR where normal equations would not do."""

import jax
import numpy as np
import pytest

from jaxnmr.refinement.loop import held_at_bounds
from jaxnmr.refinement.subproblem import LEAST_CONDITION, compressed, decomposed


def problem(rows=60, columns=6, seed=0, scales=None, condition=1.0):
    rng = np.random.default_rng(seed)
    u = np.linalg.qr(rng.normal(size=(rows, columns)))[0]
    v = np.linalg.qr(rng.normal(size=(columns, columns)))[0]
    jacobian = (u * np.logspace(0, -np.log10(condition), columns)) @ v
    return rng.normal(size=rows), jacobian * (np.ones(columns) if scales is None else scales)


def solved(r, jacobian, damping=0.0, moving=None):
    """Step by least squares in the columns of unit length that move."""
    moving = np.ones(jacobian.shape[1], dtype=bool) if moving is None else moving
    norms = np.linalg.norm(jacobian, axis=0)
    columns = (jacobian / norms)[:, moving]
    padded = np.concatenate([columns, np.sqrt(damping) * np.eye(moving.sum())])
    out = np.zeros(len(norms))
    out[moving] = -np.linalg.lstsq(padded, np.concatenate([r, np.zeros(moving.sum())]), rcond=None)[0]
    return out / norms


@jax.jit
def step(r, jacobian, damping, moving):
    free = decomposed(compressed(r, jacobian), moving)
    found = free.step(damping)
    return found, free.predicted_decrease(found), free.esd()


EVERY = np.ones(6, dtype=bool)


@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_a_step_is_that_of_damped_least_squares_whatever_the_units_of_the_columns(damping):
    r, jacobian = problem(scales=np.logspace(-8, 8, 6), condition=30.0)
    np.testing.assert_allclose(step(r, jacobian, damping, EVERY)[0], solved(r, jacobian, damping), rtol=1e-10)


def test_the_predicted_decrease_is_that_of_the_linear_model():
    r, jacobian = problem()
    found, predicted, _ = step(r, jacobian, 0.1, EVERY)
    assert predicted == pytest.approx(r @ r - np.sum((r + jacobian @ found) ** 2))


def test_uncertainties_are_those_of_the_inverse_normal_matrix():
    r, jacobian = problem(scales=np.logspace(-3, 3, 6), condition=50.0)
    norms = np.linalg.norm(jacobian, axis=0)
    exact = np.sqrt(np.diag(np.linalg.inv((jacobian / norms).T @ (jacobian / norms)))) / norms
    np.testing.assert_allclose(step(r, jacobian, 0.0, EVERY)[2], exact, rtol=1e-9)


def test_what_is_held_does_not_move_and_the_others_as_if_it_were_not_there():
    r, jacobian = problem(condition=20.0)
    moving = np.array([True, False, True, True, False, True])
    found, *_ = step(r, jacobian, 0.1, moving)
    np.testing.assert_allclose(found, solved(r, jacobian, 0.1, moving), rtol=1e-10, atol=1e-14)


def test_columns_that_depend_on_each_other_share_a_step_and_one_of_zeros_gets_none():
    r, jacobian = problem()
    jacobian[:, 3] = 2.0 * jacobian[:, 2]
    jacobian[:, 5] = 0.0
    found = np.asarray(step(r, jacobian, 0.0, EVERY)[0])
    # columns of unit length share evenly
    assert found[5] == 0.0 and found[2] == pytest.approx(2.0 * found[3], rel=1e-6)
    merged = solved(r, jacobian[:, [0, 1, 2, 4]])
    np.testing.assert_allclose(found[[0, 1, 4]], merged[[0, 1, 3]], rtol=1e-8)
    assert found[2] + 2.0 * found[3] == pytest.approx(merged[2], rel=1e-8)


def test_where_normal_equations_would_be_wrong_the_step_is_that_of_qr():
    r, jacobian = problem(condition=3e6)
    norms = np.linalg.norm(jacobian, axis=0)
    scaled = jacobian / norms
    assert 1.0 / np.linalg.cond(scaled) < LEAST_CONDITION
    exact = solved(r, jacobian)
    normal = np.linalg.solve(scaled.T @ scaled, -scaled.T @ r) / norms
    assert np.abs(normal / exact - 1).max() > 1e-6
    np.testing.assert_allclose(step(r, jacobian, 0.0, EVERY)[0], exact, rtol=1e-7)


def test_vectorised_problems_go_their_own_ways():
    """One that normal equations serve, and one that they do not."""
    pairs = [problem(condition=10.0), problem(condition=3e6, seed=1), problem(condition=1e3, seed=2)]
    r, jacobian = (np.stack(arrays) for arrays in zip(*pairs, strict=True))
    found, *_ = jax.vmap(step, in_axes=(0, 0, None, None))(r, jacobian, 0.0, EVERY)
    for k, pair in enumerate(pairs):
        np.testing.assert_allclose(found[k], solved(*pair), rtol=1e-7)


def test_parameters_that_want_out_of_their_bounds_are_held_one_after_the_other():
    """Holding the first makes the second want out; a third at its bound wants in."""
    jacobian = np.array([[1.0, 0.9, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    r = np.array([1.0, -0.2, -1.0, 0.0])
    theta, lower, upper = np.zeros(3), np.zeros(3), np.ones(3)
    first = solved(r, jacobian)
    assert first[0] < 0 < first[1]
    moving, free = held_at_bounds(compressed(r, jacobian), np.ones(3, dtype=bool), theta, lower, upper)
    assert moving.tolist() == [False, False, True]
    np.testing.assert_allclose(free.step(0.0), [0.0, 0.0, 1.0], atol=1e-12)
