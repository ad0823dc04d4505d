"""Background functions."""

import numpy as np
import pytest

from jaxnmr.diffraction import Background, Pattern
from jaxnmr.diffraction import background_parts as parts
from jaxnmr.diffraction.background_choice import correlation_time, for_data
from jaxnmr.errors import ConventionError, DataError

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


def test_a_hump_is_what_pairs_at_one_distance_scatter_in_all_directions():
    x, wavelength, radius, u = np.array([5.0, 20.0, 41.0, 90.0]), 0.7, 2.3, 0.04
    q = 4.0 * np.pi * np.sin(np.radians(x / 2.0)) / wavelength
    cosine, weight = np.polynomial.legendre.leggauss(60)
    mean = 0.5 * np.cos(q[:, None] * radius * cosine) @ weight * np.exp(-u * q**2 / 2.0)
    found = parts.hump_shapes(x, np.array(wavelength), np.array([radius]), np.array([u]))
    np.testing.assert_allclose(np.asarray(found)[:, 0], mean, atol=1e-9)


def test_a_broad_peak_has_its_height_at_its_position_and_half_of_it_half_a_width_beside():
    at = np.array([30.0, 32.0, 28.0])
    for mixing in (0.0, 0.4, 1.0):
        found = parts.peak_shapes(at, np.array([30.0]), np.array([4.0]), np.array([mixing]))
        np.testing.assert_allclose(np.asarray(found)[:, 0], [1.0, 0.5, 0.5], atol=1e-12)


def bragg(x, n=30):
    centres = np.random.default_rng(3).uniform(x[0] + 3, x[-1] - 3, n)
    return sum(3000.0 * np.exp(-(((x - c) / 0.15) ** 2)) for c in centres)


def noisy(level, seed=1):
    y = np.random.default_rng(seed).poisson(level + bragg(FINE)).astype(float)
    return y, np.sqrt(np.maximum(y, 1.0))


FINE = np.arange(12.0, 110.0, 0.04)


@pytest.mark.parametrize("terms", [1, 4, 9])
def test_as_many_polynomials_are_chosen_as_there_are(terms):
    coefficients = np.concatenate([[400.0], 40.0 * (-1.0) ** np.arange(terms - 1)])
    level = Background.chebyshev(terms).basis(FINE, FINE[0], FINE[-1]) @ coefficients
    chosen = for_data(Background.chebyshev("auto"), FINE, *noisy(level), 1.54)
    # a wing of a peak that counts as background may ask for a little more, nothing asks for less
    assert terms <= chosen.terms <= terms + 2 and chosen.chosen


def test_neighbours_that_resemble_each_other_are_one_datum():
    rng, phi = np.random.default_rng(5), 0.6
    noise, chain = rng.normal(size=40_000), np.zeros(40_000)
    for k in range(1, len(chain)):
        chain[k] = phi * chain[k - 1] + noise[k]
    place = np.arange(len(chain))
    # of an autoregressive process: (1 + phi)/(1 - phi)
    assert correlation_time(chain, place) == pytest.approx(4.0, rel=0.1)
    assert correlation_time(noise, place) == pytest.approx(1.0, abs=0.1)


def test_points_are_picked_between_peaks_and_a_broad_peak_is_measured_there():
    level = 200.0 + 150.0 * np.exp2(-((2.0 * (FINE - 30.0) / 9.0) ** 2))
    y, sigma = noisy(level)
    picked = for_data(Background.points(10), FINE, y, sigma, 1.54)
    assert 5 <= picked.terms <= 10 and picked.knots[0] == FINE[0] and picked.knots[-1] == FINE[-1]
    np.testing.assert_allclose(picked.heights, np.interp(picked.knots, FINE, level), rtol=0.15)
    np.testing.assert_allclose(picked.start(FINE, y, FINE[0], FINE[-1]), picked.heights)
    peak = for_data(Background.chebyshev(2).with_peak(30.0, 9.0), FINE, y, sigma, 1.54).peaks[0]
    assert peak.height == pytest.approx(150.0, rel=0.1)
    fixed = Background.points([[15.0, 3.0], [90.0, 5.0]], fixed=True)
    assert fixed.quantities(np.array([3.0, 5.0]), 15.0, 90.0)["background"].basis.shape == (2, 0)


def test_a_measured_background_is_interpolated_with_its_variance():
    at = np.arange(10.0, 112.0, 0.08)
    empty = Pattern.create(at, 50.0 + at, np.full(at.shape, 4.0))
    background = Background.chebyshev(1).with_measured(empty, 0.5)
    np.testing.assert_allclose(background.curve(FINE)[:, 0], 50.0 + FINE, rtol=1e-12)
    # on a measured point its own variance, half of that in the middle of two
    np.testing.assert_allclose(background.variance(np.array([20.0, 20.04, 20.08])), [16.0, 8.0, 16.0], rtol=1e-6)
    np.testing.assert_allclose(background.added(FINE, 1.54), 25.0 + 0.5 * FINE, rtol=1e-12)
    with pytest.raises(DataError, match=r"measured from 10 to 11\d.* measure it over the same range"):
        background.curve(np.arange(12.0, 140.0, 0.04))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Background.points([[10.0, 5.0], [200.0, 4.0]]), "a point of the background lies at 10 degrees"),
        (lambda: Background.chebyshev(2).with_peak(150.0, 3.0), "a broad peak of the background lies at 150 degrees"),
        (lambda: Background.points([[20.0, 5.0, 1.0], [30.0, 4.0, 1.0]]), "points of a background have the shape"),
        (lambda: Background(kind="points", terms="auto"), "expected a number, or 'auto' for chebyshev"),
        (lambda: Background.chebyshev(2).with_peak(50.0, -3.0), "has the fwhm -3"),
        (lambda: Background.chebyshev(2).with_peak(50.0, 3.0, mixing=1.5), r"expected 0 \(Gaussian\) to 1"),
        (lambda: Background.chebyshev(2).with_hump(0.01), "expected a distance"),
        (lambda: Background.chebyshev(2).with_hump(2.0, -1.0), "U = -1"),
        (lambda: Background.chebyshev(2).with_measured(Pattern.create(X, X), -1.0), "expected a positive number"),
    ],
)
def test_impossible_parts_are_refused(make, message):
    with pytest.raises(ConventionError, match=message):
        make().require_inside(12.0, 110.0)
