"""Numbers in the wrong unit are refused with a question, and isotopes may be written either way."""

from dataclasses import replace

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.errors import ConventionError
from jaxnmr.nmr import Coupling, GaussianBandwidth, Pulse, Spectrum, isotope, quadrupolar_from, reference_hz
from jaxnmr.nmr.powder.layout import SpectrumWarning
from jaxnmr.nmr.powder.neglected import neglected_hz

AL = dict(isotope="27Al")
WRONG = {
    "Larmor frequency in MHz": (lambda: jn.SpectrumStatic("27Al", larmor_hz=104.3), "is it in MHz"),
    "MHz of MHz": (lambda: jn.SpectrumStatic("27Al", larmor_hz=104.3e12), "in another unit"),
    "spinning speed in kHz": (
        lambda: jn.SpectrumMAS("27Al", b0_tesla=9.4, mas_hz=30.0),
        "is it in kHz. Then mas_hz = 30000",
    ),
    "spinning speed in mHz": (lambda: jn.SpectrumMAS("27Al", b0_tesla=9.4, mas_hz=3e7), "expected it in Hz"),
    "rotor angle in radians": (
        lambda: jn.SpectrumMAS("27Al", b0_tesla=9.4, rotor_angle_deg=0.9553),
        "54.7347°; the magic",
    ),
    "coupling in MHz": (lambda: jn.Site(**AL, cq_hz=3.2), "is it in MHz. Then cq_hz = 3.2e6"),
    "spread in MHz": (
        lambda: jn.Site(**AL, quadrupolar_spread_hz=0.7),
        "quadrupolar_spread_hz is 0.7 Hz: is it in MHz",
    ),
    "coupling in Hz, times a million": (lambda: jn.Site(**AL, cq_hz=1.5e12), "1.5e.06 MHz, larger than any known"),
    "coupling in kHz, times a million": (
        lambda: jn.Site(**AL, cq_hz=2500e6),
        "2500 MHz, larger than any known coupling of 27Al: is it 2.5 MHz, typed in kHz .*cq_mhz = 2.5, cq_hz = 2500000",
    ),
    "coupling in kHz of a light nucleus": (lambda: jn.Site(isotope="17O", cq_hz=5200e6), "is it 5.2 MHz, typed in kHz"),
    "spread in kHz": (lambda: jn.Site(**AL, quadrupolar_spread_hz=900e6), "is it 900 kHz, typed in kHz"),
    "Larmor frequency in kHz": (lambda: jn.SpectrumStatic("27Al", larmor_hz=104.3e3), "It would be 104.3 MHz"),
    "kHz in the place of MHz": (lambda: jn.SpectrumStatic("27Al", larmor_hz=104.3e9), "It would be 104.3 MHz"),
    "width in MHz, times a million": (lambda: jn.Site(**AL, gaussian_hz=2e8), "gaussian_hz is 2e.08 Hz"),
    "J in mHz": (lambda: Coupling(partner="1H", j_hz=2e5), "j_hz is 200000 Hz: is it in mHz. Then it is 200"),
    "pulse in µs": (lambda: Pulse(length_s=1.5, rf_hz=5e4), "length_s is 1.5 s: is it in (ms|µs). Then it is"),
    "pulse converted twice": (lambda: Pulse(length_s=1e-12, rf_hz=5e4), "length_s is 1e-12 s: is it in Ms"),
    "field of a pulse in kHz": (
        lambda: Pulse(length_s=1e-6, rf_hz=50.0),
        "rf_hz is 50 Hz: is it in kHz. Then it is 50000",
    ),
    "bandwidth in kHz": (lambda: GaussianBandwidth(fwhm_hz=200.0), "fwhm_hz is 200 Hz: is it in kHz"),
    "dead time in µs": (
        lambda: jn.SpectrumStatic("27Al", b0_tesla=9.4, dead_time_s=5.0),
        "dead_time_s is 5 s: is it in ms. Then it is 0.005",
    ),
    "window in MHz": (
        lambda: jn.SpectrumStatic("27Al", b0_tesla=9.4).simulate(jn.Site(**AL, gaussian_hz=100.0), width_hz=0.05),
        "width_hz is 0.05 Hz: is it in kHz",
    ),
    "shift in Hz": (lambda: jn.Site(**AL, shift_ppm=6.2e6), "is it in Hz"),
    "Euler angles in radians": (lambda: jn.Site(**AL, euler_deg=(0.0, 1.5708, 0.0)), "90° if it is in radians"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_number_in_another_unit_is_refused_with_a_question(what):
    make, question = WRONG[what]
    with pytest.raises(ConventionError, match=question):
        make()


def test_usual_and_unusual_numbers_are_taken():
    jn.SpectrumMAS("1H", b0_tesla=28.2, mas_hz=200e3)
    jn.SpectrumMAS("1H", larmor_hz=2e6, mas_hz=800.0, rotor_angle_deg=0.0)
    jn.Site(isotope="6Li", cq_hz=600.0)
    jn.Site(isotope="75As", cq_hz=400e6)
    jn.Site(isotope="35Cl", cq_hz=-110e6)
    jn.Site(isotope="17O", cq_hz=17e6)
    jn.Instrument(radius_mm=1400.0)
    jn.Site(isotope="127I", cq_hz=-2.1e9, euler_deg=(0.3, 1.2, 90.0), shift_ppm=-4500.0)


def test_an_isotope_may_be_written_either_way():
    simulation = jn.SpectrumStatic("Na23", b0_tesla=9.4)
    assert simulation.isotope == jn.Site(isotope="na-23").isotope == "23Na"
    for written in ("23NA", "23 Na", "Na 23", "²³Na", "^23Na", " na23 "):
        assert isotope(written).symbol == "23Na"
    for written, meant in (("Na", "23Na"), ("27A1", "27Al"), ("227:2", "27Al"), ("Si28", "29Si")):
        with pytest.raises(ConventionError, match=f"did you mean .*{meant}"):
            isotope(written)
    data = Spectrum.create(np.arange(8.0), np.ones(8), larmor_hz=reference_hz("23Na", 9.4), isotope="Na23")
    simulation.check_same(data)
    assert data.isotope == "23Na"


def test_a_copy_of_a_simulation_takes_other_values():
    fast = replace(jn.SpectrumMAS("27Al", b0_tesla=9.4, mas_hz=12e3), mas_hz=30e3)
    assert (fast.mas_hz, fast.b0_tesla, fast.larmor_hz) == (30e3, 9.4, reference_hz("27Al", 9.4))
    higher = replace(fast, b0_tesla=18.8, larmor_hz=None)
    assert higher.larmor_hz == reference_hz("27Al", 18.8)
    with pytest.raises(ConventionError, match="replace larmor_hz by None, too"):
        replace(fast, b0_tesla=18.8)


def test_what_second_order_neglects_falls_with_the_powers_of_the_next_orders():
    """The central transition has no third order: the fourth is left, and with it the cube of the field."""
    tensor = np.asarray(quadrupolar_from(5e6, 0.3))
    of = lambda larmor, scale, *pair: neglected_hz(2.5, larmor, scale * tensor, [pair])
    assert of(60e6, 1.0, 0.5, -0.5) / of(120e6, 1.0, 0.5, -0.5) == pytest.approx(8.0, rel=0.03)
    assert of(60e6, 1.0, 0.5, -0.5) / of(60e6, 0.5, 0.5, -0.5) == pytest.approx(16.0, rel=0.05)
    # satellites have the third order
    assert of(60e6, 1.0, 1.5, 0.5) / of(120e6, 1.0, 1.5, 0.5) == pytest.approx(4.0, rel=0.1)


def test_a_coupling_beyond_second_order_is_named_with_what_is_neglected():
    iodine = jn.Site(isotope="127I", cq_hz=2e9, eta_q=0.3, label="I1")
    simulation = jn.SpectrumStatic("127I", b0_tesla=9.4, integration_density=90)
    with pytest.warns(SpectrumWarning, match=r"I1: a coupling of 2e\+03 MHz is large for a Larmor frequency of 80"):
        simulation.simulate(iodine, points=64)
