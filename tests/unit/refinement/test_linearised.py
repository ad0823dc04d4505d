"""The compressed linear least-squares problem: null directions, covariance."""

import numpy as np

from jaxnmr.refinement.linearised import Linearised


def problem(rows=60, columns=6, seed=0, scales=None):
    rng = np.random.default_rng(seed)
    jacobian = rng.normal(size=(rows, columns)) * (np.ones(columns) if scales is None else np.asarray(scales))
    return rng.normal(size=rows), jacobian


def test_the_minimum_is_the_least_squares_solution():
    r, jacobian = problem(scales=np.logspace(-8, 8, 6))
    norms = np.linalg.norm(jacobian, axis=0)
    exact = np.linalg.lstsq(jacobian / norms, -r, rcond=None)[0] / norms
    np.testing.assert_allclose(Linearised.create(r, jacobian).minimum(), exact, rtol=1e-10)


def test_a_subset_is_the_problem_in_fewer_columns():
    r, jacobian = problem()
    keep = np.array([True, False, True, True, False, True])
    np.testing.assert_allclose(
        Linearised.create(r, jacobian).subset(keep).covariance(),
        Linearised.create(r, jacobian[:, keep]).covariance(),
        rtol=1e-10,
    )


def test_the_covariance_is_the_inverse_of_the_normal_matrix():
    r, jacobian = problem(scales=np.logspace(-4, 4, 6))
    exact = np.linalg.inv(
        (jacobian / np.linalg.norm(jacobian, axis=0)).T @ (jacobian / np.linalg.norm(jacobian, axis=0))
    )
    norms = np.linalg.norm(jacobian, axis=0)
    np.testing.assert_allclose(Linearised.create(r, jacobian).covariance(), exact / np.outer(norms, norms), rtol=1e-9)


def test_the_covariance_survives_what_the_normal_equations_would_not():
    """Two columns that differ by 1e-6: the normal matrix has a condition number of 1e12."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 200))
    b = b - a * (a @ b) / (a @ a)
    jacobian = np.stack([a, a + 1e-6 * b], axis=1)
    # in the basis (a, b) the problem is orthogonal: d1 = s1 - s2/1e-6, d2 = s2/1e-6
    change = np.array([[1.0, -1e6], [0.0, 1e6]])
    exact = change @ np.diag([1 / (a @ a), 1 / (b @ b)]) @ change.T
    np.testing.assert_allclose(Linearised.create(np.zeros(200), jacobian).covariance(), exact, rtol=1e-6)


def test_a_column_of_zeros_is_a_null_direction():
    r, jacobian = problem()
    jacobian[:, 2] = 0.0
    linear = Linearised.create(r, jacobian)
    np.testing.assert_allclose(np.abs(linear.null_vectors()), [[0, 0, 1, 0, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(linear.covariance()[2], 0.0, atol=1e-14)


def test_a_singular_pair_is_a_null_direction():
    r, jacobian = problem()
    jacobian[:, 4] = -3.0 * jacobian[:, 1]
    linear = Linearised.create(r, jacobian)
    np.testing.assert_allclose(np.abs(linear.null_vectors()), [[0, np.sqrt(0.5), 0, 0, np.sqrt(0.5), 0]], atol=1e-9)


def test_fewer_rows_than_columns_leave_directions_undetermined():
    r, jacobian = problem(rows=4, columns=6)
    linear = Linearised.create(r, jacobian)
    assert len(linear.null_vectors()) == 2


def test_no_column_at_all_is_an_empty_problem():
    r, jacobian = problem()
    linear = Linearised.create(r, jacobian).subset(np.zeros(6, dtype=bool))
    assert linear.covariance().shape == (0, 0)
    assert linear.null_vectors().shape[0] == 0
