"""What experiments and axes refuse and say."""

import warnings

import numpy as np
import pytest

from jaxnmr.errors import ConventionError
from jaxnmr.nmr import Site, Spectrum, SpectrumMAS, SpectrumStatic, SpectrumWarning, reference_hz
from jaxnmr.nmr.powder.layout import needed_sidebands, share_axes
from jaxnmr.nmr.sites import Sites

SILICON = Site(isotope="29Si", shift_ppm=-90.0, zeta_ppm=30.0, eta=0.3)


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        (SpectrumStatic, {}, "b0_tesla or larmor_hz"),
        (SpectrumStatic, {"b0_tesla": 9.4, "larmor_hz": 79e6}, "not both"),
        (SpectrumStatic, {"larmor_hz": -79e6}, "larmor_hz"),
        (SpectrumStatic, {"b0_tesla": 0.0}, "b0_tesla"),
        (SpectrumStatic, {"b0_tesla": 9.4, "transitions": "outer"}, "transitions"),
        (SpectrumStatic, {"b0_tesla": 9.4, "transitions": "satellites"}, "no satellites"),
        (SpectrumStatic, {"b0_tesla": 9.4, "integration_density": 1}, "integration_density"),
        (SpectrumStatic, {"b0_tesla": 9.4, "transition_weights": "none"}, "transition_weights"),
        (SpectrumStatic, {"b0_tesla": 9.4, "volume": "cube"}, "volume"),
        (SpectrumMAS, {"b0_tesla": 9.4, "mas_hz": 0.0}, "mas_hz"),
        (SpectrumMAS, {"b0_tesla": 9.4, "mas_hz": float("nan")}, "mas_hz"),
        (SpectrumMAS, {"b0_tesla": 9.4, "rotor_angle_deg": 120.0}, "rotor_angle_deg"),
        (SpectrumMAS, {"b0_tesla": 9.4, "mas_hz": 1e3, "sidebands": 1}, "sidebands"),
    ],
)
def test_an_experiment_that_cannot_be_is_refused(kind, values, words):
    with pytest.raises(ConventionError, match=words):
        kind("29Si", **values)


def test_an_unknown_nucleus_is_refused():
    with pytest.raises(ConventionError, match="no nucleus"):
        SpectrumStatic("27Ax", b0_tesla=9.4)


@pytest.mark.parametrize(
    ("axis", "words"),
    [
        ({"points": 3}, "expected from 4"),
        ({"width_hz": 0.0}, "positive width_hz"),
        ({"width_hz": -5e3}, "positive width_hz"),
    ],
)
def test_an_axis_without_extent_is_refused(axis, words):
    with pytest.raises(ConventionError, match=words):
        SpectrumStatic("29Si", b0_tesla=9.4).plan(SILICON, **axis)


def test_sites_of_another_nucleus_are_refused():
    with pytest.raises(ConventionError, match="the spectrum of 13C"):
        SpectrumStatic("13C", b0_tesla=9.4).plan(SILICON)


def test_spinning_too_slow_to_count_its_sidebands_is_refused():
    with pytest.raises(ConventionError, match="without spinning"):
        SpectrumMAS("29Si", b0_tesla=9.4, mas_hz=200.0).plan(SILICON.replace(zeta_ppm=8000.0))


def test_the_field_gives_the_frequency_of_the_reference_and_the_bare_nucleus_is_faster():
    experiment = SpectrumStatic("29Si", b0_tesla=9.4)
    assert experiment.larmor_hz == reference_hz("29Si", 9.4) and experiment.spin == 0.5
    numbers = experiment.plan(SILICON).experiment
    assert 0 < float(numbers.larmor_hz) / float(numbers.reference_hz) - 1 < 1e-3


def test_whole_spins_have_all_their_transitions():
    assert SpectrumStatic("2H", b0_tesla=9.4).transitions == ((0.0, -1.0), (1.0, 0.0))


def measured(larmor_hz=100e6, isotope="29Si"):
    frequency = np.linspace(-12e3, -6e3, 61)
    return Spectrum.create(frequency, np.ones(61), larmor_hz=larmor_hz, isotope=isotope)


def test_the_axis_of_a_measurement_is_taken_over():
    plan = SpectrumStatic("29Si", larmor_hz=100e6).plan(SILICON, like=measured())
    np.testing.assert_allclose(plan.frequency_hz, measured().frequency_hz, atol=1e-8)


@pytest.mark.parametrize(
    ("other", "words"), [({"isotope": "13C"}, "shows 13C"), ({"larmor_hz": 125e6}, "give larmor_hz=125000000.0")]
)
def test_a_measurement_of_something_else_is_refused(other, words):
    with pytest.raises(ConventionError, match=words):
        SpectrumStatic("29Si", larmor_hz=100e6).plan(SILICON, like=measured(**other))


def test_an_axis_chosen_by_itself_shows_everything():
    for experiment in (SpectrumStatic("29Si", b0_tesla=9.4), SpectrumMAS("29Si", b0_tesla=9.4)):
        assert np.asarray(experiment.simulate(SILICON).values).sum() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("experiment", "site", "axis", "words"),
    [
        (SpectrumStatic("29Si", b0_tesla=9.4), SILICON, {"width_hz": 2e3, "centre_ppm": -90.0}, "clipped"),
        (
            SpectrumMAS("29Si", b0_tesla=9.4),
            SILICON.replace(gaussian_hz=10.0),
            {"points": 64, "width_hz": 6400.0, "centre_ppm": -90.0},
            "less than two points",
        ),
        (SpectrumStatic("29Si", b0_tesla=9.4, integration_density=10), SILICON, {}, "coarse"),
        (
            SpectrumMAS("29Si", b0_tesla=9.4, mas_hz=300.0, sidebands=4),
            SILICON,
            {"width_hz": 20e3, "centre_ppm": -90.0},
            "sidebands are too few",
        ),
    ],
)
def test_doubtful_spectra_say_so(experiment, site, axis, words):
    with pytest.warns(SpectrumWarning, match=words):
        experiment.simulate(site, **axis)


def test_a_spectrum_without_doubts_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spectrum = SpectrumMAS("29Si", b0_tesla=9.4, mas_hz=3e3).simulate(SILICON.replace(gaussian_hz=100.0))
    assert spectrum.isotope == "29Si" and spectrum.name == "simulated"


def test_more_anisotropy_and_slower_spinning_need_more_sidebands():
    counts = [needed_sidebands(w, 1e3) for w in (1e2, 1e3, 1e4, 1e5)]
    assert counts == sorted(counts) and all(c & (c - 1) == 0 for c in counts) and counts[-1] > 2 * 1.2e2


def test_tensors_share_axes_when_they_commute():
    common = {"isotope": "27Al", "zeta_ppm": 30.0, "eta": 0.3, "cq_hz": 1e6, "eta_q": 0.6}
    together = lambda **other: share_axes(Sites.of(Site(**(common | other))), 0)
    assert together() and together(euler_deg=(0.0, 90.0, 0.0)) and together(euler_deg=(90.0, 0.0, 90.0))
    assert not together(euler_deg=(0.0, 1.0, 0.0))
    # an axial tensor has no preferred axes round its own
    assert together(eta=0.0, euler_deg=(0.0, 0.0, 33.0)) and together(zeta_ppm=0.0, euler_deg=(10.0, 20.0, 30.0))


def test_a_dead_time_leaves_out_the_start_of_the_decay():
    site = Site(isotope="13C", lorentzian_hz=200.0)
    full, late = (
        SpectrumMAS("13C", 9.4, dead_time_s=t).plan(site, points=1024, width_hz=100e3, centre_ppm=0.0)
        for t in (0.0, 50e-6)
    )
    sites = Sites.of(site)
    missing = np.asarray(full.complex_spectrum(sites) - late.complex_spectrum(sites))
    f = np.asarray(full.frequency_hz)
    # the transform of what is left out, from time 0 to 50 us
    rate = np.pi * 200.0 - 2j * np.pi * f
    expected = 2 * (1 - np.exp(-rate * 50e-6)) / rate * float(full.experiment.grid.step_hz)
    # further out the dispersion of a sampled decay is a cotangent instead of 1/f
    near = np.abs(f) < 10e3
    assert np.abs(missing - expected)[near].max() < 0.02 * np.abs(expected).max()


@pytest.mark.parametrize("width", [0.0, 500.0])
def test_the_spectra_of_the_sites_add_up_also_where_transitions_are_calculated_apart(width):
    sites = Sites.of(
        [
            Site(isotope="23Na", shift_ppm=20.0, cq_hz=1e6, eta_q=0.5, gaussian_hz=width, amplitude=2.0),
            Site(isotope="23Na", zeta_ppm=40.0, gaussian_hz=width),
        ]
    )
    experiment = SpectrumMAS("23Na", 9.4, mas_hz=20e3, transitions="all", integration_density=20)
    plan = experiment.plan(sites, points=512, width_hz=3e6, centre_ppm=0.0)
    assert sum(len(group.members) for group in plan.groups) > len(sites)
    parts = np.asarray(plan.components(sites))
    np.testing.assert_allclose(parts.sum(axis=0), plan.spectrum(sites), atol=1e-12)
    np.testing.assert_allclose(parts.sum(axis=1), [2.0, 1.0], rtol=2e-2)
