"""Priors in their three faces, banks that go on, and ridge regression against leaving points out one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr._ridge import ridge
from jaxnmr.inference import BoxPrior, Parameter, Problem, simulate_bank
from jaxnmr.inference.experts import shares_of

PRIOR = BoxPrior([Parameter("a", 0.0, 0.2), Parameter("d", 3.0, 6.0, "decade")])
PROBLEM = Problem("toy", PRIOR, lambda key, theta: theta[0] + 0.1 * jax.random.normal(key, (3,)), 3)


def test_the_prior_is_a_standard_normal_in_the_coordinates_of_the_network():
    theta = np.asarray(jax.vmap(PRIOR.draw)(jax.random.split(jax.random.key(0), 20_000)))
    u = np.asarray(PRIOR.to_normal(theta))
    np.testing.assert_allclose(u.mean(axis=0), 0.0, atol=0.03)
    np.testing.assert_allclose(u.std(axis=0), 1.0, atol=0.03)
    np.testing.assert_allclose(PRIOR.from_normal(u), theta, rtol=2e-5)


def test_an_estimate_of_a_rate_is_turned_into_one_of_its_decade_by_bayes_rule():
    """Against the sum over a fine grid of d."""
    y, sd = 10.0**-1.7, 0.01
    d = (np.arange(200_000) + 0.5) / 200_000 * 3.0 + 3.0
    weight = np.exp(-0.5 * ((10.0 ** -(d - 3.0) - y) / sd) ** 2)
    *_, mean = PRIOR.located(np.array([[0.1, y]]), np.array([[0.001, sd]]))
    assert mean[0, 1] == pytest.approx((weight @ d) / weight.sum(), abs=2e-3)
    assert mean[0, 0] == pytest.approx(0.1, abs=1e-6)


def test_estimates_outside_the_box_end_at_its_edge():
    *_, mean = PRIOR.located(np.array([[-0.5, 3.0], [0.9, -2.0]]), np.full((2, 2), 0.001))
    np.testing.assert_allclose(mean, [[0.0, 3.0], [0.2, 6.0]], atol=5e-3)


def test_a_prior_that_makes_no_sense_is_refused():
    with pytest.raises(jn.errors.ParameterError, match="expected low < high"):
        Parameter("a", 1.0, 1.0)
    with pytest.raises(jn.errors.ParameterError, match="different names"):
        BoxPrior([Parameter("a", 0.0, 1.0), Parameter("a", 0.0, 1.0)])
    with pytest.raises(jn.errors.ParameterError, match="nothing to infer"):
        BoxPrior([Parameter("a", 0.0, 1.0, determined=False)])


def test_a_longer_bank_begins_with_the_shorter_and_goes_on_in_its_folder(tmp_path):
    short = simulate_bank(PROBLEM, 5, seed=7, folder=tmp_path)
    long = simulate_bank(PROBLEM, 11, seed=7, folder=tmp_path)
    fresh = simulate_bank(PROBLEM, 11, seed=7)
    np.testing.assert_array_equal(long.curves, fresh.curves)
    np.testing.assert_array_equal(long.curves[:5], short.curves)
    assert len(np.unique(long.parameters[:, 0])) == 11
    with pytest.raises(jn.errors.DataError, match=r"another bank .seed differ"):
        simulate_bank(PROBLEM, 5, seed=8, folder=tmp_path)
    assert (simulate_bank(PROBLEM, 4, seed=8).curves != fresh.curves[:4]).all()


def test_simulations_that_are_not_finite_are_named():
    broken = Problem("broken", PRIOR, lambda key, theta: jnp.full(2, jnp.nan), 2)
    with pytest.raises(jn.errors.DataError, match="simulation 0 of broken is not finite"):
        simulate_bank(broken, 3)


def test_leaving_points_out_by_formula_is_leaving_them_out():
    rng = np.random.default_rng(0)
    x, y, weight = rng.standard_normal((30, 4)), rng.standard_normal((30, 2)), rng.uniform(0.2, 1.0, 30)
    fit = ridge(x, y, weight, ridges=(0.0,))
    for k in (0, 11):
        others = np.arange(30) != k
        again = ridge(x[others], y[others], weight[others], ridges=(0.0,))
        np.testing.assert_allclose(fit.left_out[k], x[k] @ again.weights + again.offset, atol=1e-6)


def test_the_noise_of_a_ridge_fit_is_the_mean_over_its_draws():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((400, 3)) * [1.0, 0.1, 0.01]
    y = x @ np.array([[1.0], [2.0], [30.0]])
    sigma = 0.05
    exact = ridge(x, y, np.ones(400), ridges=(0.0,), sigma=sigma)
    many = np.concatenate([x + sigma * rng.standard_normal(x.shape) for _ in range(300)])
    drawn = ridge(many, np.tile(y, (300, 1)), np.ones(len(many)), ridges=(0.0,))
    np.testing.assert_allclose(exact.weights, drawn.weights, rtol=0.02, atol=0.02)


def test_shares_of_cells_sum_to_one_and_are_whole_at_the_knots():
    knots = ((0.0, 0.1, 0.2), (3.0, 5.0))
    shares = shares_of(np.array([[0.05, 3.7], [0.1, 5.0], [-1.0, 9.0]]), knots)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    np.testing.assert_allclose(shares[1], [0, 0, 0, 1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(shares[2], [0, 1, 0, 0, 0, 0], atol=1e-12)
