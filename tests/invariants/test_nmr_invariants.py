"""What must not change a spectrum, or must change it in a known way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import wofz

from jaxnmr.errors import ConventionError, DataError
from jaxnmr.nmr import Coupling, Site, Sites, SpectrumMAS, SpectrumStatic, rotation

LARMOR = 100e6
FAST = float("inf")
WIDE = {"points": 512, "width_hz": 60e3, "centre_ppm": 0.0}
ALUMINIUM = Site(
    isotope="27Al",
    shift_ppm=7.0,
    zeta_ppm=60.0,
    eta=0.4,
    cq_hz=3.2e6,
    eta_q=0.3,
    euler_deg=(40.0, 65.0, 110.0),
    couplings=(Coupling(partner="31P", dipolar_hz=900.0, euler_deg=(10.0, 20.0, 30.0), j_hz=300.0),),
)
EXPERIMENTS = {
    "static": SpectrumStatic("27Al", larmor_hz=LARMOR, integration_density=60),
    "spinning": SpectrumMAS("27Al", larmor_hz=LARMOR, mas_hz=9e3, integration_density=60),
}


def evaluated(plan, sites):
    return np.asarray(jax.jit(lambda p, s: p.spectrum(s))(plan, jax.tree.map(jnp.asarray, sites)))


def spectrum(experiment, sites, **axis):
    return evaluated(experiment.plan(sites, **axis), Sites.of(sites))


def turned(sites, euler_deg):
    matrix = np.asarray(rotation(*euler_deg))
    turn = lambda t: np.einsum("ai,...ij,bj->...ab", matrix, t, matrix)
    return sites.replace(
        shielding_ppm=turn(sites.shielding_ppm),
        quadrupolar_hz=turn(sites.quadrupolar_hz),
        couplings_hz=turn(sites.couplings_hz),
    )


def smoothed(values, fwhm=4.0):
    kernel = np.exp(-4 * np.log(2) * (np.arange(-40, 41) / fwhm) ** 2)
    return np.convolve(values / values.sum(), kernel / kernel.sum(), mode="same")


@pytest.mark.parametrize("kind", EXPERIMENTS)
def test_a_powder_does_not_notice_a_common_rotation_of_all_tensors(kind):
    sites = Sites.of(ALUMINIUM)
    plan = EXPERIMENTS[kind].plan(sites, **WIDE)
    assert plan.groups[0].orientations.volume == "hemisphere"
    before = smoothed(evaluated(plan, sites))
    after = smoothed(evaluated(plan, turned(sites, (70.0, 35.0, 200.0))))
    assert np.linalg.norm(after - before) < 3e-3 * np.linalg.norm(before)


def test_an_octant_in_shared_axes_does_not_notice_a_rotation_at_all():
    site = ALUMINIUM.replace(euler_deg=(0.0, 0.0, 0.0), couplings=())
    sites = Sites.of(site)
    plan = EXPERIMENTS["spinning"].plan(sites, **WIDE)
    assert plan.groups[0].orientations.volume == "octant"
    # the order of the axes may change, and with it the grid by a reflection or a cyclic exchange
    after = evaluated(plan, turned(sites, (70.0, 35.0, 200.0)))
    np.testing.assert_allclose(after, evaluated(plan, sites), atol=1e-8)


def test_an_octant_and_a_hemisphere_agree_where_tensors_share_axes():
    site = ALUMINIUM.replace(euler_deg=(0.0, 0.0, 0.0), couplings=())
    both = [
        smoothed(spectrum(SpectrumMAS("27Al", larmor_hz=LARMOR, mas_hz=9e3, integration_density=60, volume=v), site, **WIDE))
        for v in ("octant", "hemisphere")
    ]  # fmt: skip
    for other in both[1:]:
        assert np.linalg.norm(other - both[0]) < 1e-3 * np.linalg.norm(both[0])


def test_an_octant_is_refused_for_tensors_that_share_no_axes():
    with pytest.raises(ConventionError, match="share no principal axes"):
        SpectrumStatic("27Al", larmor_hz=LARMOR, volume="octant").plan(ALUMINIUM)


def test_tensors_that_leave_their_shared_axes_give_no_number_instead_of_a_wrong_one():
    site = ALUMINIUM.replace(euler_deg=(0.0, 0.0, 0.0), couplings=())
    plan = EXPERIMENTS["static"].plan(site, **WIDE)
    assert np.isnan(evaluated(plan, Sites.of(site.replace(euler_deg=(0.0, 10.0, 0.0))))).all()


def test_a_sharp_plan_gives_no_number_for_a_quadrupolar_coupling_it_did_not_expect():
    site = Site(isotope="27Al", zeta_ppm=40.0)
    plan = EXPERIMENTS["spinning"].plan(site, **WIDE)
    assert plan.groups[0].sharp
    assert np.isnan(evaluated(plan, Sites.of(site.replace(cq_hz=1e6)))).all()


# ---------------------------------------------------------------- sums and windows

CASES = {
    "static": SpectrumStatic("27Al", larmor_hz=LARMOR, integration_density=20),
    "infinitely fast": SpectrumMAS("27Al", larmor_hz=LARMOR, mas_hz=FAST, integration_density=20),
    "spinning": SpectrumMAS("27Al", larmor_hz=LARMOR, mas_hz=9e3, integration_density=20),
    "satellites": SpectrumStatic("27Al", larmor_hz=LARMOR, integration_density=20, transitions="all"),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_window_that_shows_everything_holds_the_amplitude(kind):
    experiment = CASES[kind]
    site = ALUMINIUM.replace(amplitude=2.5, cq_hz=1e6)
    values = spectrum(experiment, site, points=512, width_hz=4e6, centre_ppm=0.0)
    # the pattern is narrower than a point here, where sums over kinks lose most digits
    assert values.sum() == pytest.approx(2.5, rel=1e-6)
    assert values.min() > -2e-8


@pytest.mark.parametrize("kind", ["infinitely fast", "spinning"])
def test_a_narrow_window_is_cut_out_of_a_wide_one(kind):
    """Neither folded nor dropped: also where the pattern's centre, or all of it, lies outside."""
    experiment = CASES[kind]
    step = 100.0
    wide = spectrum(experiment, ALUMINIUM, points=4096, width_hz=4096 * step, centre_ppm=0.0)
    assert np.count_nonzero(wide > 1e-6) > 10
    for start in (1990, 2500):
        centre = (start + 32 - 2048) * step
        narrow = spectrum(experiment, ALUMINIUM, points=64, width_hz=64 * step, centre_ppm=centre / LARMOR * 1e6)
        np.testing.assert_allclose(narrow, wide[start : start + 64], atol=1e-9)


@pytest.mark.parametrize("windows", [-2.4, -1.2, -0.8, 0.8, 1.2, 2.4])
@pytest.mark.parametrize(
    "site", [Site(isotope="27Al", gaussian_hz=100.0), Site(isotope="27Al", cq_hz=1e6, gaussian_hz=100.0)]
)
@pytest.mark.parametrize("mas_hz", [np.inf, 3e3])
def test_broadened_intensity_far_outside_the_window_is_not_folded_into_it(windows, site, mas_hz):
    experiment = SpectrumMAS("27Al", larmor_hz=LARMOR, mas_hz=mas_hz, transitions="central", integration_density=20)
    plan = experiment.plan(site, points=400, width_hz=8e3, centre_ppm=0.0)
    # the plan is for a site in the middle; this one has moved
    away = Sites.of(site.replace(shift_ppm=windows * 8e3 / LARMOR * 1e6))
    # sidebands of a pattern 1 kHz wide may lie nearer
    assert np.abs(np.asarray(plan.spectrum(away))).max() < (1e-9 if np.isinf(mas_hz) or abs(windows) > 2 else 2e-3)


def test_broadened_lines_beyond_the_window_reach_into_it():
    site = Site(isotope="13C", shift_ppm=20.5, gaussian_hz=200.0)
    experiment = SpectrumMAS("13C", larmor_hz=LARMOR)
    wide = spectrum(experiment, site, points=1024, width_hz=10240.0, centre_ppm=0.0)
    narrow = spectrum(experiment, site, points=400, width_hz=4000.0, centre_ppm=0.0)
    assert narrow[-1] > 0.1 * wide.max()
    np.testing.assert_allclose(narrow, wide[512 - 200 : 512 + 200], atol=1e-9)


def test_bins_are_centred_at_the_points_of_the_axis():
    experiment = SpectrumMAS("13C", larmor_hz=LARMOR)
    plan = experiment.plan(Site(isotope="13C"), points=64, width_hz=6400.0, centre_ppm=5.0)
    frequency = np.asarray(plan.frequency_hz)
    assert frequency[32] == 500.0 and frequency[0] == 500.0 - 3200.0 and frequency[1] - frequency[0] == 100.0
    for position, expected in ((37, [1.0, 0.0]), (37.25, [0.75, 0.25])):
        line = Site(isotope="13C", shift_ppm=float(frequency[0] + 100.0 * position) / 100.0)
        values = evaluated(plan, Sites.of(line))
        np.testing.assert_allclose(values[37:39], expected, atol=1e-9)
        assert values.sum() == pytest.approx(1.0, abs=1e-12)


def test_an_odd_number_of_points_has_its_centre_in_the_middle():
    plan = SpectrumMAS("13C", larmor_hz=LARMOR).plan(Site(isotope="13C"), points=65, width_hz=6500.0, centre_ppm=0.0)
    assert np.asarray(plan.frequency_hz)[32] == 0.0


# ---------------------------------------------------------------- several sites

SEVERAL = [
    Site(isotope="29Si", shift_ppm=-90.0, zeta_ppm=30.0, eta=0.2, gaussian_hz=60.0, amplitude=1.0),
    Site(isotope="29Si", shift_ppm=-102.0, zeta_ppm=-45.0, eta=0.9, gaussian_hz=80.0, amplitude=0.4),
    Site(isotope="29Si", shift_ppm=-110.0, gaussian_hz=30.0, lorentzian_hz=20.0, amplitude=2.0),
]


def test_the_order_of_sites_does_not_matter_and_components_add_up():
    experiment = SpectrumMAS("29Si", larmor_hz=LARMOR, mas_hz=2000.0)
    axis = {"points": 512, "width_hz": 12e3, "centre_ppm": -100.0}
    together = spectrum(experiment, SEVERAL, **axis)
    np.testing.assert_allclose(spectrum(experiment, SEVERAL[::-1], **axis), together, atol=1e-14)
    plan, sites = experiment.plan(SEVERAL, **axis), Sites.of(SEVERAL)
    components = np.asarray(jax.jit(lambda p, s: p.components(s))(plan, sites))
    np.testing.assert_allclose(components.sum(axis=0), together, atol=1e-14)
    np.testing.assert_allclose(spectrum(experiment, SEVERAL[1], **axis), components[1], atol=1e-14)
    doubled = evaluated(plan, sites.replace(amplitude=3.0 * sites.amplitude))
    np.testing.assert_allclose(doubled, 3.0 * together, atol=1e-13)


def test_sites_in_flight_together_give_the_same_as_one_after_another():
    axis = {"points": 256, "width_hz": 12e3, "centre_ppm": -100.0}
    values = [
        spectrum(SpectrumMAS("29Si", larmor_hz=LARMOR, mas_hz=2000.0, chunk=chunk), SEVERAL, **axis) for chunk in (1, 3)
    ]
    np.testing.assert_allclose(values[0], values[1], atol=1e-14)


# ---------------------------------------------------------------- line shapes


def voigt(x, gaussian, lorentzian):
    """Area-normalised profile of full widths at half maximum, and its dispersion."""
    sigma = gaussian / np.sqrt(8 * np.log(2))
    z = (x + 0.5j * lorentzian) / (sigma * np.sqrt(2))
    w = wofz(z) / (sigma * np.sqrt(2 * np.pi))
    return w.real, w.imag


def lorentz(x, fwhm):
    return fwhm / 2 / np.pi / (x**2 + fwhm**2 / 4), x / np.pi / (x**2 + fwhm**2 / 4)


@pytest.mark.parametrize("place", [0.0, 0.25, 0.5, 0.93])
def test_a_gaussian_line_has_its_shape_at_every_point(place):
    plan, sites, truth = gaussian_line("13C", place, 0.0)
    assert np.abs(evaluated(plan, sites) - truth).max() < 1e-6 * truth.max()


@pytest.mark.parametrize("place", [0.0, 0.25, 0.5])
def test_a_pattern_narrower_than_a_point_is_a_gaussian_line(place):
    """Wrong by 2 (f/(1-f))^2 at the frequency f per point: tents are collected with hats."""
    plan, sites, truth = gaussian_line("27Al", place, 1e3)
    assert np.abs(evaluated(plan, sites) - truth).max() < 2e-2 * truth.max()


def gaussian_line(nucleus, place, cq_hz, step=10.0, fwhm=55.0):
    position = step * (3 + place)
    site = Site(isotope=nucleus, shift_ppm=position / LARMOR * 1e6, gaussian_hz=fwhm, cq_hz=cq_hz)
    experiment = SpectrumMAS(nucleus, larmor_hz=LARMOR, mas_hz=FAST, integration_density=20)
    plan = experiment.plan(site, points=512, width_hz=512 * step, centre_ppm=0.0)
    return plan, Sites.of(site), voigt(np.asarray(plan.frequency_hz) - position, fwhm, 0.0)[0] * step


def test_a_lorentzian_line_has_its_shape_and_its_dispersion():
    """The axis is a circle to a Fourier transform: truth is the sum over all turns, whose closed form is known."""
    step, points, fwhm, at = 10.0, 512, 80.0, 33.7
    site = Site(isotope="13C", shift_ppm=at / 100.0, lorentzian_hz=fwhm)
    plan = SpectrumMAS("13C", larmor_hz=LARMOR).plan(site, points=points, width_hz=points * step, centre_ppm=0.0)
    bins = plan.experiment.grid.bins
    values = np.asarray(jax.jit(lambda p, s: p.complex_spectrum(s))(plan, Sites.of(site)))
    x = np.asarray(plan.frequency_hz) - at
    decay = np.exp(-np.pi * fwhm * np.arange(bins // 2) / (bins * step))
    turns = np.exp(2j * np.pi * np.outer(x / step, np.arange(bins // 2)) / bins)
    series = ((2 * turns @ decay) - 1) / bins
    # the only term left out is the one of the highest frequency, which has decayed
    np.testing.assert_allclose(values, series, atol=1e-8)
    infinite = np.stack(lorentz(x, fwhm)) * step
    near = np.abs(x) < 300
    assert np.abs(values.real - infinite[0])[near].max() < 2e-3 * infinite[0].max()
    assert np.abs(np.abs(values.imag) - np.abs(infinite[1]))[near].max() < 2e-2 * infinite[0].max()


def test_both_broadenings_together_are_a_voigt_line():
    step = 10.0
    site = Site(isotope="13C", shift_ppm=0.137, gaussian_hz=70.0, lorentzian_hz=5.0)
    plan = SpectrumMAS("13C", larmor_hz=LARMOR).plan(site, points=1024, width_hz=1024 * step, centre_ppm=0.0)
    values = np.asarray(jax.jit(lambda p, s: p.complex_spectrum(s))(plan, Sites.of(site)))
    x = np.asarray(plan.frequency_hz) - 13.7
    absorption, dispersion = (part * step for part in voigt(x, 70.0, 5.0))
    near = np.abs(x) < 500
    assert np.abs(values.real - absorption).max() < 1e-4 * absorption.max()
    assert np.abs(values.imag - dispersion)[near].max() < 5e-3 * absorption.max()


def test_the_real_part_of_the_complex_spectrum_is_the_absorption():
    for gaussian in (0.0, 40.0):
        sites = Sites.of([s.replace(gaussian_hz=gaussian, lorentzian_hz=0.0) for s in SEVERAL])
        plan = SpectrumMAS("29Si", larmor_hz=LARMOR, mas_hz=2000.0).plan(
            sites, points=512, width_hz=12e3, centre_ppm=-100
        )
        real = np.asarray(jax.jit(lambda p, s: p.complex_spectrum(s))(plan, sites)).real
        np.testing.assert_allclose(real, evaluated(plan, sites), atol=1e-14)


def test_broadening_is_the_same_before_and_after_binning():
    """A pattern broadened in the simulator is the unbroadened one, convolved."""
    site = ALUMINIUM.replace(couplings=())
    axis = {"points": 2048, "width_hz": 80e3, "centre_ppm": 0.0}
    experiment = SpectrumStatic("27Al", larmor_hz=LARMOR, integration_density=60)
    inside = spectrum(experiment, site.replace(gaussian_hz=500.0), **axis)
    step = 80e3 / 2048
    offset = np.arange(-200, 201) * step
    kernel = step * voigt(offset, 500.0, 0.0)[0]
    outside = np.convolve(spectrum(experiment, site, **axis), kernel, mode="same")
    # the box of a bin adds a little to the width of the second
    assert np.abs(inside - outside).max() < 2e-3 * outside.max()


# ---------------------------------------------------------------- precision


@pytest.mark.parametrize("widths", [{}, {"gaussian_hz": 200.0, "lorentzian_hz": 50.0}], ids=["sharp", "broadened"])
@pytest.mark.parametrize("kind", ["static", "spinning"])
def test_single_precision_is_enough_for_spectra(kind, widths):
    experiment = CASES[kind]
    site = ALUMINIUM.replace(**widths)
    plan = experiment.plan(site, points=1024, width_hz=80e3, centre_ppm=0.0)
    double = evaluated(plan, Sites.of(site))
    narrow = lambda tree: jax.tree.map(
        lambda a: jnp.asarray(a, jnp.float32) if np.asarray(a).dtype == np.float64 else jnp.asarray(a), tree
    )
    single = evaluated(narrow(plan), narrow(Sites.of(site)))
    assert single.dtype == np.float32 and np.isfinite(single).all()
    assert np.linalg.norm(single - double) < 2e-3 * np.linalg.norm(double)


def test_simulate_refuses_to_show_what_is_not_a_number():
    site = Site(isotope="29Si", zeta_ppm=30.0)
    experiment = SpectrumStatic("29Si", larmor_hz=LARMOR)
    assert np.isfinite(experiment.simulate(site).values).all()
    with pytest.raises(DataError, match="not finite"):
        experiment.simulate(Sites.of(site).replace(shielding_ppm=np.full((1, 3, 3), np.nan)), **WIDE)
