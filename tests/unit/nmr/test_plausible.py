"""Numbers in the wrong unit are refused with a question, and isotopes may be written either way."""

from dataclasses import replace

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.errors import ConventionError
from jaxnmr.nmr import Spectrum, quadrupolar_from, reference_hz
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
    jn.Site(isotope="127I", cq_hz=-2.1e9, euler_deg=(0.3, 1.2, 90.0), shift_ppm=-4500.0)


def test_an_isotope_may_be_written_either_way():
    simulation = jn.SpectrumStatic("Na23", b0_tesla=9.4)
    assert simulation.isotope == jn.Site(isotope="na-23").isotope == "23Na"
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
