"""Background functions."""

import numpy as np
import pytest

from jaxnmr.diffraction import Background
from jaxnmr.errors import ConventionError

X = np.linspace(12.0, 130.0, 501)


def test_chebyshev_functions_are_cosines_of_the_scaled_angle():
    basis = Background.chebyshev(6).basis(X, X[0], X[-1])
    scaled = 2.0 * (X - X[0]) / (X[-1] - X[0]) - 1.0
    np.testing.assert_allclose(basis, np.cos(np.arange(6) * np.arccos(scaled)[:, None]), atol=1e-12)


@pytest.mark.parametrize("spacing", ["linear", "log"])
def test_interpolation_passes_through_its_knots_and_is_straight_in_between(spacing):
    background = Background.interpolate(7, spacing=spacing)
    knots = (np.linspace if spacing == "linear" else np.geomspace)(X[0], X[-1], 7)
    values = np.array([5.0, 9.0, 4.0, 7.0, 7.0, 1.0, 3.0])
    np.testing.assert_allclose(background.basis(knots, X[0], X[-1]) @ values, values, atol=1e-9)
    middle = 0.5 * (knots[1:] + knots[:-1])
    np.testing.assert_allclose(background.basis(middle, X[0], X[-1]) @ values, 0.5 * (values[1:] + values[:-1]))
    np.testing.assert_allclose(background.basis(X, X[0], X[-1]).sum(axis=1), 1.0)


def test_given_knots_are_used_and_the_background_is_flat_beyond_them():
    background = Background.interpolate([20.0, 50.0, 100.0])
    assert background.terms == 3
    curve = background.basis(X, X[0], X[-1]) @ [1.0, 2.0, 5.0]
    assert curve[0] == 1.0 and curve[-1] == 5.0
    assert background.basis(np.array([35.0]), 0, 1) @ [1.0, 2.0, 5.0] == pytest.approx(1.5)


@pytest.mark.parametrize("background", [Background.chebyshev(5), Background.interpolate(9), Background.chebyshev(1)])
def test_the_first_guess_follows_the_level_below_the_peaks(background):
    rng = np.random.default_rng(3)
    level = 300.0 - (0.6 * X if background.terms > 1 else 0.0)
    peaks = sum(4000.0 * np.exp(-(((X - c) / 0.3) ** 2)) for c in rng.uniform(15, 125, 40))
    guess = background.basis(X, X[0], X[-1]) @ background.start(X, rng.poisson(level + peaks), X[0], X[-1])
    assert np.abs(guess / level - 1.0).max() < 0.25


def test_a_first_guess_exists_for_fewer_points_than_terms():
    x = np.array([10.0, 11.0, 12.0])
    assert np.isfinite(Background.chebyshev(9).start(x, np.array([3.0, 4.0, 5.0]), 10.0, 12.0)).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Background(kind="spline"), "expected 'chebyshev' or 'interpolate'"),
        (lambda: Background(kind="interpolate", spacing="cubic"), "expected 'linear' or 'log'"),
        (lambda: Background.chebyshev(0), "is empty"),
        (lambda: Background.interpolate(1), "is empty"),
        (lambda: Background.interpolate([3.0, 2.0]), "must increase strictly"),
        (lambda: Background.interpolate(5, "log").basis(X, -1.0, 5.0), "cannot be spaced logarithmically"),
    ],
)
def test_impossible_backgrounds_are_refused(make, message):
    with pytest.raises(ConventionError, match=message):
        make()
