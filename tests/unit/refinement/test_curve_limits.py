"""Bounds of what curves can tell, where they are known exactly."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from jaxnmr.errors import DataError, ParameterError
from jaxnmr.plot.echoes import sensitivity
from jaxnmr.refinement.curve_limits import expected_variance, knowable, r_squared

RNG = np.random.default_rng(4)
POINTS, NOISE = 12, 1e-3
SLOPES = RNG.normal(size=(3, POINTS)) + 1j * RNG.normal(size=(3, POINTS))
SLOPES[1] = 0.0
# draws move curves along a few directions far more than noise does, and along others less
ROOT = RNG.normal(size=(2 * POINTS, 2 * POINTS)) * np.geomspace(0.3, 1e-6, 2 * POINTS)


def real(curves):
    return np.concatenate([curves.real, curves.imag], axis=-1)


def draws(count):
    values = RNG.normal(size=(count, 2 * POINTS)) @ ROOT.T
    return values[:, :POINTS] + 1j * values[:, POINTS:]


@pytest.fixture(scope="module")
def known():
    slopes = np.broadcast_to(SLOPES, (4, 3, POINTS))
    return knowable(draws(1200), slopes, ("alpha", "xi", "gamma"), (0.1, 5.0, 1e-4), noise=[NOISE, 0.1])


def test_bounds_and_the_best_linear_estimator_are_those_of_the_true_covariance(known):
    j = real(SLOPES[[0, 2]])
    for one, noise in zip(known, (NOISE, 0.1), strict=True):
        exact = np.linalg.inv(j @ np.linalg.solve(ROOT @ ROOT.T + noise**2 * np.eye(2 * POINTS), j.T))
        expected = np.sqrt(np.diag(exact))
        assert one.bounds[[0, 2]] == pytest.approx(expected, rel=0.12)
        assert one.deviations[[0, 2]] == pytest.approx(expected, rel=0.12)
    assert np.all(known[1].bounds[[0, 2]] > 3.0 * known[0].bounds[[0, 2]])


def test_what_changes_nothing_is_named_and_the_noise_that_is_assumed_is_said(known):
    assert known[0].undetermined == ("The data do not determine xi.",)
    assert np.isinf(known[0].bounds[1]) and np.isinf(known[0].deviations[1])
    text = str(known[0])
    assert "assumed noise floor 0.001, covariance of 1200 draws" in text and "do not determine xi" in text


def test_a_common_change_that_cancels_is_named_as_one():
    slopes = np.stack([SLOPES[0], 2.0 * SLOPES[0], SLOPES[2]])
    one = knowable(draws(120), np.broadcast_to(slopes, (2, 3, POINTS)), ("alpha", "p", "gamma"), (0, 0, 0), noise=0.1)[
        0
    ]
    assert one.undetermined == ("The data do not determine a common change of alpha, p.",)
    assert np.isinf(one.bounds[:2]).all() and np.isfinite(one.bounds[2])


def test_expected_variances_are_those_of_normal_observations():
    grid = np.linspace(-20.0, 20.0, 241)
    # far from the ends of the prior the posterior is normal
    assert expected_variance(lambda x: x, grid, 0.5) == pytest.approx(0.25, rel=0.03)
    assert expected_variance(lambda x: 3.0 * x, grid, 1e-3) == pytest.approx(1e-6 / 9.0, rel=1e-6)
    assert expected_variance(lambda x: x, grid, 500.0) == pytest.approx(np.var(grid), rel=0.01)


def test_shares_of_prior_variances_count_what_is_unknown_besides(known):
    priors = {"a": (-1.0, 1.0, lambda a: a, "alpha"), "x": (0.0, 20.0, lambda x: x, "xi")}
    shares = r_squared(known[1], priors)
    assert shares["x"] == 0.0 and 1.0 - shares["a"] == pytest.approx(3.0 * known[1].deviations[0] ** 2, rel=0.15)


def test_the_picture_shows_what_is_determined(known):
    figure = sensitivity(known[0], np.arange(POINTS) + 1.0)
    assert figure.axes[0].get_title(loc="right") == "not determined: xi" and len(figure.axes[0].lines) == 4
    plt.close(figure)


def test_nonsense_is_refused():
    slopes = np.broadcast_to(SLOPES, (2, 3, POINTS))
    with pytest.raises(ParameterError, match="expected positive numbers"):
        knowable(draws(40), slopes, "abc", (0, 0, 0), noise=0.0)
    with pytest.raises(ParameterError, match=r"expected \(draws, 2, 12\)"):
        knowable(draws(40), slopes, "ab", (0, 0), noise=1.0)
    with pytest.raises(DataError, match="two or more"):
        knowable(draws(40), slopes[:1], "abc", (0, 0, 0), noise=1.0)
