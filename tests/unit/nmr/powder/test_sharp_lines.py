"""Lines narrower than a point, without line widths: shared by the two nearest points, with the right derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.nmr import Coupling, Sites, reference_hz

POINTS, WIDTH_HZ = 256, 2560.0  # 10 Hz a point, the first at -1280 Hz


def site(isotope="1H", at_hz=126.0, **values):
    return jn.Site(isotope=isotope, shift_ppm=1e6 * at_hz / reference_hz(isotope, 9.4), **values)


SHARP = {
    "static, isotropic": (jn.SpectrumStatic("1H", b0_tesla=9.4), site()),
    "static, an anisotropy too small to see": (jn.SpectrumStatic("1H", b0_tesla=9.4), site(zeta_ppm=1e-5, eta=0.3)),
    "magic angle to four decimals": (
        jn.SpectrumMAS("1H", b0_tesla=9.4, mas_hz=4000.0, rotor_angle_deg=54.7356),
        site(zeta_ppm=20.0, eta=0.4),
    ),
    "magic angle to three decimals": (
        jn.SpectrumMAS("1H", b0_tesla=9.4, rotor_angle_deg=54.736),
        site(zeta_ppm=20.0, eta=0.4),
    ),
    "a small quadrupolar coupling": (jn.SpectrumMAS("27Al", b0_tesla=9.4), site("27Al", cq_hz=1e4, eta_q=0.5)),
}


@pytest.mark.parametrize("kind", SHARP)
def test_a_line_narrower_than_a_point_is_shared_by_two_and_moves_with_its_shift(kind):
    simulation, line = SHARP[kind]
    plan = simulation.plan(line, points=POINTS, width_hz=WIDTH_HZ, centre_ppm=0.0)
    assert not plan.experiment.broadened
    sites = jax.tree.map(jnp.asarray, Sites.of(line))
    spectrum = lambda shift: plan.spectrum(sites.replace(shift_ppm=sites.shift_ppm + shift))
    values, slope = jax.jvp(spectrum, (0.0,), (1.0,))
    # 126 Hz is 0.6 of the way from point 140 to point 141
    np.testing.assert_allclose(values[140:142] / values[138:144].sum(), [0.4, 0.6], atol=2e-3)
    # against a Gaussian line of known derivative seen through these points, where it is straightest
    hz, sigma = np.asarray(plan.frequency_hz), 130.0
    gaussian = np.exp(-(((hz - 126.0 + sigma) / sigma) ** 2) / 2)
    expected = -np.exp(-0.5) / sigma * 1e-6 * float(plan.experiment.reference_hz * values[138:144].sum())
    assert float(slope[138:144] @ gaussian[138:144]) == pytest.approx(expected, rel=2e-3)


def test_both_lines_of_an_isotropic_coupling_are_shared_by_their_neighbours():
    split = site(at_hz=0.0, couplings=(Coupling(partner="13C", j_hz=205.0),))
    values = (
        jn.SpectrumStatic("1H", b0_tesla=9.4).simulate(split, points=POINTS, width_hz=WIDTH_HZ, centre_ppm=0.0).values
    )
    np.testing.assert_allclose(values[[117, 118, 138, 139]], [0.125, 0.375, 0.375, 0.125], atol=1e-3)


def test_the_axis_leaves_room_for_an_isotropic_coupling():
    split = site(at_hz=0.0, couplings=(Coupling(partner="13C", j_hz=205.0),))
    spectrum = jn.SpectrumStatic("1H", b0_tesla=9.4).simulate(split)
    assert float(np.asarray(spectrum.values).sum()) == pytest.approx(1.0, abs=1e-3)


def test_a_pattern_wider_than_points_is_still_integrated_over_them():
    """A step edge: the static pattern of an axial anisotropy ends within one point, not within two."""
    wide = jn.Site(isotope="1H", zeta_ppm=1.0)
    simulation = jn.SpectrumStatic("1H", larmor_hz=400e6)
    values = np.asarray(simulation.simulate(wide, points=POINTS, width_hz=WIDTH_HZ, centre_ppm=0.0).values)
    # -zeta at -400 Hz, the middle of point 88: half of a point's worth, and nothing below
    assert values[86:88] == pytest.approx(0.0, abs=1e-6)
    assert values[88] / values[89] == pytest.approx(0.5, abs=0.02)
