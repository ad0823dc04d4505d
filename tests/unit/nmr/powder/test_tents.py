"""Tents and lines against integrals of the triangle they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr.nmr.powder import tents
from jaxnmr.nmr.powder.orientations import Orientations, octahedron_face
from jaxnmr.nmr.powder.tents import BELL, BOX, HAT, bin_lines, collected

compiled = jax.jit(tents.bin_tents, static_argnames=("bins", "collect"))


def bin_tents(corners, areas, bins, *, collect):
    """Tents of triangles that share no corners."""
    _, one, ring = octahedron_face(1)
    triangles = np.concatenate([one + 3 * k for k in range(len(corners))])
    rings = np.concatenate([ring + 3 * k for k in range(len(corners))], axis=1)
    frequencies, order = corners.reshape(-1), triangles.reshape(-1)
    frequencies = frequencies[np.argsort(order)]
    shares = jnp.repeat(areas, 3, axis=0) / 3.0
    return compiled(frequencies, shares, triangles, rings, bins, collect=collect)


def cumulated(x, corners):
    """Area of one tent left of x."""
    a, b, c = np.sort(corners)
    x = np.clip(x, a, c)
    rising = (x - a) ** 2 / ((c - a) * (b - a))
    falling = 1.0 - (c - x) ** 2 / ((c - a) * (c - b))
    return np.where(x < b, rising, falling)


def boxes(corners, bins):
    return np.diff(cumulated(np.arange(bins + 1) - 0.5, corners))


def bell(d):
    """Cubic B-spline of unit area, four bins wide."""
    d = np.abs(d)
    return np.where(d < 1, 2 / 3 - d**2 + d**3 / 2, np.clip(2 - d, 0, None) ** 3 / 6)


def bells(corners, bins, fine=400):
    u = (np.arange((bins + 4) * fine) + 0.5) / fine - 3.0
    mass = np.diff(cumulated(np.append(u - 0.5 / fine, u[-1] + 0.5 / fine), corners))
    return np.array([(mass * bell(u - k)).sum() for k in range(bins)])


TRIANGLES = {
    "wide": (3.2, 9.7, 14.1),
    "narrow": (6.3, 6.35, 6.55),
    "over one edge": (6.4, 6.5, 6.62),
    "steep on the left": (5.0, 5.05, 11.0),
    "out of order": (12.5, 4.0, 7.25),
}


@pytest.mark.parametrize("shape", TRIANGLES)
def test_a_tent_fills_bins_with_its_integral(shape):
    corners = np.array([TRIANGLES[shape]])
    ours = bin_tents(corners, np.array([[2.0]]), 20, collect=BOX)[:, 0]
    np.testing.assert_allclose(ours, 2.0 * boxes(corners[0], 20), atol=1e-10)


@pytest.mark.parametrize("shape", TRIANGLES)
def test_bells_weigh_a_tent_by_the_distance_from_every_bin(shape):
    corners = np.array([TRIANGLES[shape]])
    ours = np.asarray(bin_tents(corners, np.array([[1.0]]), 20, collect=BELL))[:, 0]
    # sides below a tenth of a point are made as long as that, which nothing four points wide can show
    atol = 1e-3 if np.diff(np.sort(corners[0])).min() < 0.1 else 2e-6
    np.testing.assert_allclose(ours, bells(corners[0], 20), atol=atol)
    # a bell keeps the mean
    assert ours @ np.arange(20) == pytest.approx(corners.mean(), abs=1e-9)


def test_a_fourier_transform_takes_the_bell_off_again():
    ours = np.asarray(bin_tents(np.array([[30.3, 30.5, 30.7]]), np.ones((1, 1)), 64, collect=BELL))[:, 0]
    wide = np.exp(-(np.arange(33) ** 2) / 60.0)
    frequency = np.arange(33) / 64
    found = np.fft.rfft(ours) / np.asarray(collected(64, np.float64)) * wide
    expected = np.exp(-2j * np.pi * frequency * 30.5) * np.sinc(0.2 * frequency) ** 2 * wide
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_bands_are_the_same_tents_weighed_differently():
    rng = np.random.default_rng(0)
    corners, areas = rng.uniform(5, 15, (30, 3)), rng.uniform(0, 1, (30, 3))
    ours = bin_tents(corners, areas, 24, collect=BOX)
    expected = np.stack([boxes(corner, 24) for corner in corners], axis=1) @ areas
    np.testing.assert_allclose(ours, expected, atol=1e-9)


@pytest.mark.parametrize("collect", [BOX, BELL])
@pytest.mark.parametrize("width", [60.0, 0.5])
def test_triangles_that_share_corners_add_up_like_single_ones(width, collect):
    points, triangles, rings = octahedron_face(6)
    rng = np.random.default_rng(5)
    # part of the pattern lies left of the grid, and some corners are alike
    frequencies = np.round(width * (points[:, 0] * points[:, 1] / 9.0 - 0.2) + 3.0, 1)
    shares = rng.uniform(0, 1, (len(points), 2))
    shares /= shares[triangles].sum(axis=(0, 1))
    ours = compiled(frequencies, shares, triangles, rings, 24, collect=collect)
    corners = shares[triangles]
    expected = sum(
        bin_tents(frequencies[triangle][None], areas.sum(axis=0)[None], 24, collect=collect)
        for triangle, areas in zip(triangles, corners, strict=True)
    )
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(ours, expected, atol=1e-9)


@pytest.mark.parametrize("collect", [BOX, BELL])
@pytest.mark.parametrize("corners", [(-9.0, -7.5, 4.0), (-30.0, -25.0, -22.0), (17.0, 23.0, 40.0), (50.0, 51.0, 52.0),
                                     (-500.0, 3.0, 900.0)])  # fmt: skip
def test_what_lies_outside_is_dropped_and_not_folded(corners, collect):
    corners = np.array([corners])
    ours = np.asarray(bin_tents(corners, np.ones((1, 1)), 20, collect=collect))[:, 0]
    wide = np.asarray(bin_tents(corners + 600, np.ones((1, 1)), 1600, collect=collect))[600:620, 0]
    np.testing.assert_allclose(ours, wide, atol=1e-9)


def test_a_triangle_without_extent_is_a_line_with_finite_derivatives():
    corners = np.array([[6.0, 6.0, 6.0], [7.25, 7.25, 7.25]])
    function = lambda c, collect: bin_tents(c, jnp.ones((2, 1)), 12, collect=collect)[:, 0]
    expected = bell(np.arange(12) - 6.0) + bell(np.arange(12) - 7.25)
    # widened to a tenth of a point, and to a thousandth
    np.testing.assert_allclose(np.asarray(function(corners, BELL)), expected, atol=2e-3)
    np.testing.assert_allclose(np.asarray(function(corners, BOX))[6:8], [1.0, 1.0], atol=1e-9)
    for collect in (BOX, BELL):
        assert np.isfinite(np.asarray(jax.jacrev(function)(jnp.asarray(corners), collect))).all()


def test_a_tent_that_moves_changes_bins_as_differences_say():
    corners, h = np.array([[3.2, 9.7, 14.1]]), 1e-5
    function = lambda c: bin_tents(c, jnp.ones((1, 1)), 20, collect=BOX)[:, 0]
    jacobian = np.asarray(jax.jacfwd(function)(jnp.asarray(corners)))[:, 0]
    for k in range(3):
        step = h * np.eye(3)[k]
        central = (boxes(corners[0] + step, 20) - boxes(corners[0] - step, 20)) / (2 * h)
        np.testing.assert_allclose(jacobian[:, k], central, atol=1e-8)


@pytest.mark.parametrize("collect", [BOX, BELL])
@pytest.mark.parametrize("shape", TRIANGLES)
def test_single_precision_follows_double(shape, collect):
    corners = np.array([TRIANGLES[shape]])
    double = bin_tents(corners, np.ones((1, 1)), 20, collect=collect)
    single = bin_tents(jnp.asarray(corners, jnp.float32), jnp.ones((1, 1), jnp.float32), 20, collect=collect)
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, double, atol=1.5e-2)
    assert abs(float(single.sum()) - 1.0) < 1e-5


def test_lines_are_shared_so_that_their_position_is_kept():
    ours = np.asarray(bin_lines(np.array([2.25, 5.0, -0.25, 9.5, -3.0, 30.0]), np.array([1.0, 2.0, 1, 1, 1, 1]), 10))
    expected = np.zeros(10)
    expected[2:4], expected[5], expected[0], expected[9] = (0.75, 0.25), 2.0, 0.75, 0.5
    np.testing.assert_allclose(ours, expected, atol=1e-12)


@pytest.mark.parametrize("collect", [BOX, HAT])
def test_bands_collected_together_are_those_collected_one_by_one(collect):
    """Also where a band lies partly or wholly beyond an end, and in their derivatives."""
    powder = Orientations.plan(5, "octant", spinning=False)
    z = np.linspace(-1.0, 1.0, len(powder.areas))
    start, bends = 6.0 * z + 2.5 * np.cos(7.0 * z), np.stack([np.sin(3.0 * z), z**2])
    distances = np.array([-31.37, -15.6, 0.0, 15.81, 40.2])
    shares = powder.areas[:, None] * (1.0 + 0.3 * np.cos(np.outer(z, np.arange(1, 6))))

    def together(p, pushed):
        return tents.bin_bands(
            jnp.asarray(start) + p[:2] @ bends, jnp.asarray(shares) * (1.0 + p[2]), powder.rings, 40, centre=17.3 + p[3],
            distances=jnp.asarray(distances), room=64, collect=collect, pushed=pushed,
        )  # fmt: skip

    def one_by_one(p):
        positions = [jnp.asarray(start) + p[:2] @ bends + 17.3 + p[3] + distance for distance in distances]
        bands = [
            tents.bin_tents(x, shares[:, k, None] * (1.0 + p[2]), powder.triangles, powder.rings, 40, collect=collect)
            for k, x in enumerate(positions)
        ]
        return sum(band[:, 0] for band in bands)

    at = jnp.zeros(4)
    both = lambda function: jax.jit(lambda p: (function(p), jax.jacfwd(function)(p)))(at)
    expected, slopes = both(one_by_one)
    assert 2.5 < float(expected.sum()) < 4.5
    for pushed in (False, True):
        value, jacobian = both(lambda p, pushed=pushed: together(p, pushed))
        np.testing.assert_allclose(value, expected, atol=1e-10)
        np.testing.assert_allclose(jacobian, slopes, atol=1e-7)
