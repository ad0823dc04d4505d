"""Regression around one observation: as good as least squares where that is exact, and honest where the observable is random."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr._local import LocalRegression
from jaxnmr.errors import DataError, ParameterError, ShapeError
from jaxnmr.inference import BoxPrior, Parameter, Problem, refine_locally
from jaxnmr.testing import assert_gradients

NUMBERS, SIGMA = 12, 0.02
RNG = np.random.default_rng(5)
SLOPES = RNG.normal(size=(2, NUMBERS))
# what is random in it: large along three directions
LOUD = RNG.normal(size=(3, NUMBERS))


def toy(key, theta):
    return theta[:2] @ jnp.asarray(SLOPES, theta.dtype) + jax.random.normal(key, (3,), theta.dtype) @ jnp.asarray(
        LOUD, theta.dtype
    )


PRIOR = BoxPrior([Parameter("a", 0.0, 1.0), Parameter("b", -1.0, 1.0), Parameter("c", 0.0, 5.0, determined=False)])
TOY = Problem("toy", PRIOR, toy, NUMBERS)
# generalised least squares is exact here
EXACT = np.sqrt(np.diag(np.linalg.inv(SLOPES @ np.linalg.inv(LOUD.T @ LOUD + SIGMA**2 * np.eye(NUMBERS)) @ SLOPES.T)))


@pytest.fixture(scope="module")
def observed():
    rng = np.random.default_rng(2)
    truth = np.stack([rng.uniform(0.1, 0.9, 16), rng.uniform(-0.8, 0.8, 16), rng.uniform(0.0, 5.0, 16)], axis=1)
    return truth, truth[:, :2] @ SLOPES + rng.normal(size=(16, 3)) @ LOUD + SIGMA * rng.normal(size=(16, NUMBERS))


@pytest.fixture(scope="module")
def found(observed):
    return refine_locally(TOY, observed[1], sigma=SIGMA, simulations=256, rounds=3)


def test_uncertainties_are_those_of_exact_least_squares_and_hold(observed, found):
    assert found.sd.mean(axis=0) == pytest.approx(EXACT, rel=0.15)
    pulls = (found.mean - observed[0][:, :2]) / found.sd
    assert np.sqrt(np.mean(pulls**2)) == pytest.approx(1.0, abs=4.0 / np.sqrt(2 * 32))


def test_what_is_not_determined_keeps_its_prior(found):
    assert found.undetermined == ("c",) and len(found) == 16
    assert found.draw(4000)[..., 2].mean() == pytest.approx(2.5, abs=0.1)


def test_a_start_that_says_more_is_the_box(observed, found):
    again = refine_locally(TOY, observed[1][3], found.part(3), sigma=SIGMA, simulations=256, seed=9)
    assert np.all(np.abs(again.mean[0] - found.mean[3]) < 1.0 * EXACT)


def test_residuals_of_a_regression_have_the_derivatives_they_claim():
    rng = np.random.default_rng(0)
    theta = rng.uniform([0.0, 2.0], [1.0, 3.0], (200, 2))
    curves = np.stack([theta[:, 0] ** 2, theta[:, 1] * theta[:, 0], theta[:, 1] + 0.1 * rng.normal(size=200)], axis=1)
    local = LocalRegression.fit(curves, theta, np.array([0.0, 2.0]), np.array([1.0, 3.0]), sigma=0.05)
    at = np.array([0.4, 2.6])
    assert_gradients(lambda t: jnp.sum(local.residuals(t, np.array([0.1, 0.2])) ** 2), at)
    summaries = local.summaries(np.array([0.16, 1.04, 2.6]))
    assert local.residuals(local.solved(summaries), summaries) == pytest.approx(0.0, abs=1e-9)
    slopes = jax.jacobian(lambda t: local.residuals(t, summaries))(at)
    assert local.deviations(at) == pytest.approx(np.sqrt(np.diag(np.linalg.inv(slopes.T @ slopes))), rel=1e-9)


def test_what_makes_no_sense_is_refused(observed):
    with pytest.raises(ShapeError, match="12 numbers each"):
        refine_locally(TOY, np.zeros(5), sigma=SIGMA)
    with pytest.raises(ParameterError, match="0 rounds"):
        refine_locally(TOY, observed[1][0], sigma=SIGMA, rounds=0)
    with pytest.raises(DataError, match="10 simulations around 2 parameters; expected 48"):
        refine_locally(TOY, observed[1][0], sigma=SIGMA, simulations=10)
