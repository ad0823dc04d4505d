"""Axial divergence against rays that leave a long specimen and must pass a slit of finite height."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr.diffraction import axial
from jaxnmr.diffraction.profiles import pseudo_voigt

RAD = np.pi / 180.0


def lowest(two_theta: float, shl: float) -> float:
    return float(axial.lowest_angle(two_theta, shl, np))


quadrature = cache(axial.quadrature)
axial_nodes = jax.jit(axial.axial_nodes, static_argnames=("gsas", "imbalance"))


def nodes(two_theta: float, shl: float, n: int, imbalance: float = 0.0):
    position, share = axial_nodes(
        jnp.array([float(two_theta)]), shl, *quadrature(n, imbalance), gsas=False, imbalance=imbalance
    )
    return np.asarray(position)[0], np.asarray(share)[0]


def profile(x, position, share, fwhm, eta):
    t2 = ((x[:, None] - position) / fwhm) ** 2
    gauss = 2.0 * np.sqrt(np.log(2.0) / np.pi) * np.exp(-4.0 * np.log(2.0) * t2)
    return (eta * 2.0 / np.pi / (1.0 + 4.0 * t2) + (1.0 - eta) * gauss) @ share / fwhm


def rays(two_theta: float, specimen: float, slit: float, n: int = 20000):
    """Trace rays evenly spread in azimuth over the diffraction cone.

    Args:
        specimen, slit: half-heights over the distance from specimen to slit.

    Returns:
        apparent angle of each ray and its weight, the part of the specimen from which it passes the slit.
    """
    steepest = specimen + slit
    sine = steepest / np.sqrt(1.0 + steepest**2) / np.sin(RAD * two_theta)
    azimuth = (np.arange(n) + 0.5) / n * np.arcsin(min(1.0, sine))
    along, across = np.cos(RAD * two_theta), np.sin(RAD * two_theta) * np.cos(azimuth)
    climb = np.sin(RAD * two_theta) * np.sin(azimuth) / np.hypot(along, across)
    overlap = np.minimum(specimen, slit - climb) - np.maximum(-specimen, -slit - climb)
    weight = np.maximum(overlap, 0.0)
    return np.arctan2(across, along) / RAD, weight / weight.sum()


@pytest.mark.parametrize("ratio", [1.0, 0.4, 3.0])
@pytest.mark.parametrize(
    ("two_theta", "shl", "fwhm"), [(5.0, 0.05, 0.08), (20.0, 0.04, 0.06), (60.0, 0.08, 0.03), (140.0, 0.08, 0.05)]
)
def test_asymmetry_is_that_of_rays_from_a_long_specimen_through_a_high_slit(two_theta, shl, fwhm, ratio):
    position, weight = rays(two_theta, shl * ratio / (1 + ratio), shl / (1 + ratio))
    spread = two_theta - lowest(two_theta, shl)
    x = np.linspace(two_theta - max(spread, 0) - 2 * fwhm, two_theta - min(spread, 0) + 2 * fwhm, 120)
    traced = profile(x, position, weight, fwhm, 0.5)
    imbalance = abs(ratio - 1.0) / (ratio + 1.0)
    ours = profile(x, *nodes(two_theta, shl, axial.nodes_needed(abs(spread) / fwhm), imbalance), fwhm, 0.5)
    assert np.abs(ours - traced).max() < 1e-4 * traced.max()


def test_the_axial_integral_is_converged_to_a_ten_thousandth_of_the_height():
    worst, tried = 0.0, 0
    for two_theta, shl in ((3, 0.01), (3, 0.1), (5, 0.03), (8, 0.1), (20, 0.001), (40, 0.05), (100, 0.1), (150, 0.02)):
        spread = two_theta - lowest(two_theta, shl)
        for ratio in (0.3, 0.6, 1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 20.0, 32.0, 50.0):  # where the number of nodes changes
            fwhm = abs(spread) / ratio
            if not 0.005 <= fwhm <= 0.5:
                continue
            low, high = sorted((two_theta, two_theta - spread))
            x = np.concatenate([np.linspace(low - fwhm, high + fwhm, 60), two_theta + np.linspace(-2, 2, 21) * fwhm])
            fine = nodes(two_theta, shl, 500 if ratio > 8.0 else 100)
            coarse = nodes(two_theta, shl, axial.nodes_needed(ratio))
            for eta in (0.0, 1.0):
                exact = profile(x, *fine, fwhm, eta)
                worst = max(worst, np.abs(profile(x, *coarse, fwhm, eta) - exact).max() / exact.max())
                tried += 1
    assert tried > 60
    assert worst < 1e-4


def test_more_nodes_are_asked_for_the_longer_the_tail():
    needed = [axial.nodes_needed(r) for r in (0.0, 0.3, 0.5, 1.0, 3.0, 7.0, 11.0, 15.0, 19.0, 25.0, 45.0, 1e3)]
    assert needed == sorted(needed)
    assert needed[0] == 4 and needed[-1] == 320


@pytest.mark.parametrize("two_theta", [10.0, 35.0, 70.0])
def test_tails_point_away_from_90_degrees_and_mirror_there(two_theta):
    position, share = nodes(two_theta, 0.05, 12)
    mirrored, mirrored_share = nodes(180.0 - two_theta, 0.05, 12)
    assert (position < two_theta).all() and (position > lowest(two_theta, 0.05)).all()
    np.testing.assert_allclose(180.0 - mirrored, position, rtol=1e-10)
    np.testing.assert_allclose(mirrored_share, share, rtol=1e-7)


@pytest.mark.parametrize("two_theta", [0.5, 3.0, 89.999, 90.0, 90.001, 150.0, 179.9])
@pytest.mark.parametrize("shl", [0.0, 1e-7, 1e-3, 0.1])
def test_the_shares_of_the_nodes_add_up_to_one_everywhere(two_theta, shl):
    position, share = nodes(two_theta, shl, 8)
    assert np.isfinite(position).all() and np.isfinite(share).all()
    assert (share >= 0).all()
    assert share.sum() == pytest.approx(1.0, abs=1e-12)


def test_without_divergence_or_at_90_degrees_the_peak_stays_where_it_is():
    for two_theta, shl in ((40.0, 0.0), (90.0, 0.05)):
        position, _ = nodes(two_theta, shl, 8)
        np.testing.assert_allclose(position, two_theta, rtol=0, atol=1e-9)


def test_small_divergence_shifts_the_centroid_by_the_mean_square_climb():
    # cos 2phi = cos 2theta sqrt(1 + h²): 2phi = 2theta - h²/2 cot 2theta; S = H makes <h²> = (S + H)²/6, in radian
    for two_theta in (15.0, 50.0, 130.0):
        position, share = nodes(two_theta, 0.01, 24)
        mean = position @ share - two_theta
        assert mean == pytest.approx(-0.5 * 0.01**2 / 6.0 / np.tan(RAD * two_theta) / RAD, rel=5e-3)


def test_exchanging_specimen_and_slit_changes_nothing():
    for ratio in (0.25, 4.0):
        position, weight = rays(12.0, 0.05 * ratio / (1 + ratio), 0.05 / (1 + ratio))
        assert position @ weight == pytest.approx(11.93, abs=0.02)
    a, b = (rays(12.0, 0.05 * r / (1 + r), 0.05 / (1 + r)) for r in (0.25, 4.0))
    np.testing.assert_allclose(a[1], b[1], rtol=1e-9)


def test_the_comparison_mode_copies_the_number_of_nodes_of_gsas_ii():
    # the upper half of the smallest tabulated rule above 300 |spread|/gamma(centidegree)
    two_theta, gamma = np.array([20.0, 20.0, 60.0]), np.array([0.5, 8.0, 8.0])
    abscissa, weight = axial.gsas_quadrature(two_theta, 0.03, gamma)
    spread = two_theta - axial.lowest_angle(two_theta, 0.03, np)
    wanted = (300.0 * spread / gamma).astype(int)
    assert wanted.tolist() == [42, 2, 0]
    assert (weight > 0).sum(axis=1).tolist() == [25, 1, 1]
    x, w = np.polynomial.legendre.leggauss(50)
    np.testing.assert_allclose(abscissa[0], x[25:])
    np.testing.assert_allclose(weight[0], w[25:])


def test_the_comparison_mode_converges_to_the_same_profile():
    x = np.linspace(19.6, 20.2, 200)
    abscissa, weight = axial.gsas_quadrature(np.array([20.0]), 0.03, np.array([0.05]))
    position, share = axial.axial_nodes(jnp.array([20.0]), 0.03, abscissa, weight, gsas=True)
    theirs = np.asarray(pseudo_voigt(x[:, None] - np.asarray(position)[0], 0.06, 0.5)) @ np.asarray(share)[0]
    ours = profile(x, *nodes(20.0, 0.03, 48), 0.06, 0.5)
    assert np.abs(theirs - ours).max() < 0.01 * ours.max()
