"""Position and intensity corrections against geometry: rays are traced, averages are integrated."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

from jaxnmr.diffraction import corrections as c

ANGLES = np.array([5.0, 20.0, 60.0, 89.0, 120.0, 170.0])
RAD = np.pi / 180.0


def test_bragg_angles_follow_from_the_spacing():
    d = np.array([0.8, 1.2, 3.1356])
    np.testing.assert_allclose(2.0 * d * np.sin(0.5 * RAD * c.bragg_two_theta(1.0 / d, 1.5406)), 1.5406, rtol=1e-12)


def test_reflections_beyond_the_limiting_sphere_get_an_angle_just_below_180_degrees():
    angle = np.asarray(c.bragg_two_theta(np.array([1.3, 2.0]), 1.5406))
    assert ((angle > 179.9) & (angle < 180.0)).all()


def shift_of_a_lowered_flat_specimen(bragg: float, depth_mm: float, radius_mm: float) -> float:
    """Trace the central ray: where has the goniometer to stand for the lowered surface to reflect into the slit?"""

    def scattering_angle(reading):
        theta = 0.5 * RAD * reading
        hit = depth_mm * np.array([1.0 / np.tan(theta), -1.0])
        slit = radius_mm * np.array([np.cos(theta), np.sin(theta)])
        out = slit - hit
        return (theta + np.arctan2(out[1], out[0])) / RAD

    return brentq(lambda r: scattering_angle(r) - bragg, bragg - 1.0, bragg + 1.0, xtol=1e-13) - bragg


@pytest.mark.parametrize("displacement", [10.0, -6.0])
def test_a_flat_specimen_that_lies_too_low_reflects_at_lower_angles(displacement):
    traced = [shift_of_a_lowered_flat_specimen(t, displacement * 1e-3, 200.0) for t in ANGLES]
    ours = c.bragg_brentano_shift(ANGLES, displacement, 0.0, 200.0)
    np.testing.assert_allclose(ours, traced, rtol=2e-3)
    assert np.sign(ours[0]) == -np.sign(displacement)


def test_a_transparent_specimen_reflects_from_its_mean_depth():
    transparency, radius = 0.8, 240.0  # 1/mu of 0.08 mm
    mu = 1.0 / (0.1 * transparency)
    for angle in (20.0, 60.0, 120.0):
        x, w = np.polynomial.legendre.leggauss(40)
        depth = x + 1.0  # mm
        weight = w * np.exp(-2.0 * mu * depth / np.sin(0.5 * RAD * angle))
        mean = weight @ [shift_of_a_lowered_flat_specimen(angle, z, radius) for z in depth] / weight.sum()
        assert float(c.bragg_brentano_shift(angle, 0.0, transparency, radius)) == pytest.approx(mean, rel=2e-3)


@pytest.mark.parametrize(("x", "y"), [(80.0, 0.0), (0.0, 120.0), (-50.0, 70.0)])
def test_a_displaced_capillary_is_seen_under_another_angle(x, y):
    radius = 180.0

    def scattering_angle(reading):
        # specimen downstream by y, and by x towards the side where the detector is not
        out = radius * np.array([np.cos(RAD * reading), np.sin(RAD * reading)]) - 1e-3 * np.array([y, -x])
        return np.arctan2(out[1], out[0]) / RAD

    traced = [brentq(lambda r, t=t: scattering_angle(r) - t, t - 1.0, t + 1.0, xtol=1e-13) - t for t in ANGLES]
    np.testing.assert_allclose(c.debye_scherrer_shift(ANGLES, x, y, radius), traced, atol=3e-5)


def test_the_lorentz_factor_counts_crystallites_ring_length_and_rocking():
    theta = 0.5 * RAD * ANGLES
    reflecting = np.cos(theta)  # crystallites whose normals lie in the band that reflects
    expected = reflecting / np.sin(2.0 * theta) / np.sin(2.0 * theta)  # seen part of the ring; rocking curve
    np.testing.assert_allclose(c.lorentz_factor(ANGLES) / expected, 2.0, rtol=1e-12)


def scattered(field: np.ndarray, angle: float) -> np.ndarray:
    """Electric field (in the plane, out of the plane) after scattering: the in-plane part is foreshortened."""
    return field * np.array([np.cos(RAD * angle), 1.0])


@pytest.mark.parametrize("fraction", [0.5, 0.7, 0.99, 1.0])
def test_polarization_weighs_the_two_field_directions(fraction):
    for angle in ANGLES:
        in_plane = np.sum(scattered(np.array([1.0, 0.0]), angle) ** 2)
        out_of_plane = np.sum(scattered(np.array([0.0, 1.0]), angle) ** 2)
        expected = (1.0 - fraction) * in_plane + fraction * out_of_plane
        assert float(c.polarization_factor(angle, fraction)) == pytest.approx(expected, rel=1e-12)


def test_a_monochromator_polarises_the_beam_of_a_tube():
    direction = np.linspace(0.0, np.pi, 400, endpoint=False)
    tube = np.stack([np.cos(direction), np.sin(direction)], axis=-1)  # unpolarised: every direction alike
    for angle in ANGLES:
        after_both = np.mean([np.sum(scattered(scattered(e, 26.6), angle) ** 2) for e in tube])
        after_first = np.mean([np.sum(scattered(e, 26.6) ** 2) for e in tube])
        assert float(c.monochromator_polarization(angle, 26.6)) == pytest.approx(after_both / after_first, rel=1e-9)
    np.testing.assert_allclose(c.monochromator_polarization(ANGLES, 0.0), c.polarization_factor(ANGLES, 0.5))


def transmission_on_a_grid(two_theta: float, mu_r: float, n: int = 1200) -> float:
    """Mean transmission over the points of a square grid that lie in the cylinder."""
    side = (np.arange(n) + 0.5) / n * 2.0 - 1.0
    x, y = np.meshgrid(side, side)
    inside = x * x + y * y < 1.0
    x, y = x[inside], y[inside]
    cos, sin = np.cos(RAD * two_theta), np.sin(RAD * two_theta)
    path = np.zeros_like(x)
    for dx, dy in ((-1.0, 0.0), (cos, sin)):  # towards the source, towards the detector
        along = x * dx + y * dy
        path += np.sqrt(along**2 + 1.0 - x * x - y * y) - along
    return float(np.mean(np.exp(-mu_r * path)))


@pytest.mark.parametrize("two_theta", [0.0, 40.0, 100.0, 160.0])
@pytest.mark.parametrize("mu_r", [0.3, 1.0, 2.5])
def test_cylinder_absorption_is_the_average_over_the_cross_section(two_theta, mu_r):
    ours = c.cylinder_absorption(np.array([two_theta]), mu_r).item()
    assert ours == pytest.approx(transmission_on_a_grid(two_theta, mu_r), rel=4e-4)


@pytest.mark.parametrize("mu_r", [0.1, 1.0, 3.0, 5.0, 10.0])
def test_cylinder_absorption_agrees_with_the_single_integrals_forward_and_backward(mu_r):
    # forward every ray crosses the whole chord; backward it leaves as it came
    half_chord = lambda p: np.cos(p)
    forward = quad(lambda p: 2.0 * half_chord(p) ** 2 * np.exp(-2.0 * mu_r * half_chord(p)), -np.pi / 2, np.pi / 2)[0]
    backward = quad(
        lambda p: half_chord(p) * (1.0 - np.exp(-4.0 * mu_r * half_chord(p))) / (2.0 * mu_r), -np.pi / 2, np.pi / 2
    )[0]
    tolerance = 1e-6 if mu_r <= 1.0 else 1e-4 if mu_r <= 5.0 else 5e-4
    ours = np.asarray(c.cylinder_absorption(np.array([0.0, 180.0]), mu_r))
    np.testing.assert_allclose(ours, np.array([forward, backward]) / np.pi, rtol=tolerance)


def test_the_absorption_factor_of_mu_r_one_is_that_of_the_tables():
    # International Tables C, table 6.3.3.2: A* = 5.09 forward, falling with the angle
    factors = 1.0 / np.asarray(c.cylinder_absorption(np.array([0.0, 60.0, 120.0, 180.0]), 1.0))
    assert factors[0] == pytest.approx(5.091, abs=5e-4)
    assert (np.diff(factors) < 0).all()


def test_a_thin_cylinder_absorbs_by_its_mean_path_whatever_the_angle():
    thin = np.asarray(c.cylinder_absorption(ANGLES, 1e-6))
    np.testing.assert_allclose((1.0 - thin) / 1e-6, 16.0 / (3.0 * np.pi), rtol=1e-5)
    np.testing.assert_allclose(c.cylinder_absorption(ANGLES, 0.0), 1.0, atol=1e-12)


def test_roughness_weakens_low_angles_and_spares_backscattering():
    factor = np.asarray(c.surface_roughness(np.array([10.0, 30.0, 90.0, 180.0]), 0.5, 0.4))
    assert (np.diff(factor) > 0).all()
    assert factor[-1] == pytest.approx(1.0)
    for a, b in ((1.0, 0.7), (0.3, 0.0)):
        np.testing.assert_allclose(c.surface_roughness(ANGLES, a, b), 1.0, atol=1e-12)


@pytest.mark.parametrize("ratio", [0.3, 0.7, 1.0, 1.6, 3.0])
def test_texture_moves_intensity_around_but_makes_none(ratio):
    x, w = np.polynomial.legendre.leggauss(200)
    cosine = 0.5 * (x + 1.0)
    poles = np.stack([np.sqrt(1.0 - cosine**2), np.zeros_like(cosine), cosine], axis=-1)[:, None, :]
    factor = np.asarray(c.march_dollase(poles, np.array([0.0, 0.0, 1.0]), np.eye(3), ratio))
    assert 0.5 * w @ factor == pytest.approx(1.0, rel=1e-9)
    assert np.sign(factor[-1] - 1.0) == np.sign(1.0 - ratio)  # plates (ratio < 1) show their faces


def test_texture_is_averaged_over_the_equivalents():
    # tetragonal (001) texture: 110 and its equivalents are all at 90 degrees, 101 and its equivalents all at one angle
    g_star = np.diag([1 / 16.0, 1 / 16.0, 1 / 25.0])
    equivalents = np.array([[[1, 0, 1], [0, 1, 1]], [[1, 1, 0], [1, -1, 0]]], dtype=float)
    cos2 = np.array([(1 / 25.0) / (1 / 16.0 + 1 / 25.0), 0.0])
    ratio = 0.6
    expected = (ratio**2 * cos2 + (1.0 - cos2) / ratio) ** -1.5
    np.testing.assert_allclose(c.march_dollase(equivalents, np.array([0.0, 0, 1]), g_star, ratio), expected)
    mixed = np.array([[[1, 0, 0], [0, 0, 1]]], dtype=float)
    both = c.march_dollase(mixed, np.array([0.0, 0, 1]), g_star, ratio).item()
    assert both == pytest.approx(0.5 * (ratio**1.5 + ratio**-3.0))
