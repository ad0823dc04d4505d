"""Peak widths: the pseudo-Voigt against the true convolution, and the physics of each contribution."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import voigt_profile

from jaxnmr.crystal import SpaceGroup
from jaxnmr.diffraction import widths
from jaxnmr.diffraction.profiles import pseudo_voigt
from jaxnmr.diffraction.reflections import stephens_basis

FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))


def true_fwhm(sigma: float, gamma: float) -> float:
    top = voigt_profile(0.0, sigma, 0.5 * gamma)
    return 2.0 * brentq(lambda x: voigt_profile(x, sigma, 0.5 * gamma) - 0.5 * top, 0.0, 10.0 * (sigma + gamma))


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0, 10.0, 30.0])
@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_the_pseudo_voigt_has_the_width_and_shape_of_the_convolution(sigma, gamma):
    fwhm, eta = widths.thompson_cox_hastings(sigma**2, gamma)
    expected = 0.01 * true_fwhm(sigma, gamma)
    assert float(fwhm) == pytest.approx(expected, rel=5e-3)
    x = np.linspace(-6, 6, 400) * expected
    exact = 100.0 * voigt_profile(100.0 * x, sigma, 0.5 * gamma)
    assert np.abs(pseudo_voigt(x, fwhm, eta) - exact).max() < 0.013 * exact.max()  # about the 1 % of the source


def test_the_limits_are_gaussian_and_lorentzian():
    fwhm, eta = widths.thompson_cox_hastings(9.0, 0.0)
    assert float(fwhm) == pytest.approx(0.01 * 3.0 * FWHM, rel=1e-4)
    assert float(eta) == pytest.approx(0.0, abs=1e-4)
    fwhm, eta = widths.thompson_cox_hastings(1e-6, 12.0)
    assert float(fwhm) == pytest.approx(0.12, rel=5e-3)
    assert float(eta) == pytest.approx(1.0, abs=5e-3)


def test_the_floor_under_the_variance_is_invisible_once_the_gaussian_part_counts():
    for variance, gamma in ((1.0, 10.0), (9.0, 5.0), (0.2, 1.0)):
        l, g = gamma, FWHM * np.sqrt(variance)
        exact = (
            g**5 + 2.69269 * g**4 * l + 2.42843 * g**3 * l**2 + 4.47163 * g**2 * l**3 + 0.07842 * g * l**4 + l**5
        ) ** 0.2
        assert float(widths.thompson_cox_hastings(variance, gamma)[0]) == pytest.approx(0.01 * exact, rel=2e-4)


def test_widths_stay_positive_where_the_polynomials_are_not():
    variance, gamma = np.meshgrid([-30.0, -1.0, 0.0, 1e-3], [-5.0, 0.0, 1e-3, 8.0])
    fwhm, eta = widths.thompson_cox_hastings(jnp.asarray(variance), jnp.asarray(gamma))
    assert (np.asarray(fwhm) > 0).all()
    assert ((np.asarray(eta) >= 0) & (np.asarray(eta) <= 1.0 + 1e-9)).all()


def test_a_crystallite_of_a_tenth_of_a_micrometre_broadens_as_scherrer_says():
    angle = np.array([20.0, 60.0, 120.0])
    expected = 1.5406 / (1000.0 * np.cos(np.deg2rad(angle / 2)))  # K lambda / (L cos theta) with K = 1, radian
    np.testing.assert_allclose(0.01 * widths.size_width(angle, 0.1, 1.5406), np.rad2deg(expected), rtol=1e-12)


def test_microstrain_is_twice_the_relative_spread_of_the_spacings():
    # d spread over a full width of 0.1 %: Bragg's law says by how much the angle does
    spread, wavelength = 1e-3, 1.5406
    for d in (3.0, 1.2, 0.9):
        angle = lambda x: 2.0 * np.rad2deg(np.arcsin(0.5 * wavelength / x))
        expected = angle(d * (1 - spread / 2)) - angle(d * (1 + spread / 2))
        assert 0.01 * widths.strain_width(angle(d), 2e6 * spread) == pytest.approx(expected, rel=1e-4)


def test_isotropic_strain_is_the_stephens_form_of_a_perfect_sphere():
    # S400 = 1 and 3 S220 = 2 make (h² + k² + l²)² = (a/d)⁴
    exponents, coefficients, names = stephens_basis(SpaceGroup.from_name("P m -3 m"))
    hkl = np.array([[1, 0, 0], [1, 1, 0], [3, 2, 1], [2, 2, 2]])
    a = 5.0
    d = a / np.sqrt((hkl**2).sum(axis=1))
    monomials = np.prod(hkl[:, None, :].astype(float) ** exponents, axis=-1) @ coefficients
    s = {"S400": 1.0, "S220": 2.0 / 3.0}
    strain = widths.stephens_microstrain(monomials, np.array([s[n] for n in names]), d)
    np.testing.assert_allclose(strain, a**2, rtol=1e-12)


def test_a_negative_stephens_sum_broadens_nothing():
    assert float(widths.stephens_microstrain(np.array([[1.0]]), np.array([-2.0]), np.array([1.0]))[0]) == 0.0


def test_broadening_is_shared_between_lorentzian_and_gaussian():
    lorentzian, variance = widths.split_width(10.0, 0.3)
    assert lorentzian == pytest.approx(3.0)
    assert FWHM * np.sqrt(variance) == pytest.approx(7.0)


def test_instrument_polynomials_are_those_of_caglioti():
    tan, cos = np.tan(np.deg2rad(35.0)), np.cos(np.deg2rad(35.0))
    assert widths.caglioti_variance(70.0, 5.0, -3.0, 2.0) == pytest.approx(5.0 * tan**2 - 3.0 * tan + 2.0)
    assert widths.lorentzian_width(70.0, 1.0, 2.0, 0.5) == pytest.approx(1.0 / cos + 2.0 * tan + 0.5)


def test_two_sizes_show_along_and_across_their_axis():
    cos2 = np.array([[1.0, 1.0], [0.0, 0.0], [0.5, 0.5], [1.0, 0.0]])
    sizes = np.asarray(widths.uniaxial_size(0.05, 0.2, cos2))
    # 00l, hk0, at 45 degrees, and equivalents along and across
    expected = [0.2, 0.05, 1.0 / np.sqrt(0.5 / 0.2**2 + 0.5 / 0.05**2), 2.0 / (1 / 0.2 + 1 / 0.05)]
    np.testing.assert_allclose(sizes, expected, rtol=1e-12)
