"""Pulses of finite length against limits and against rotations of a spin."""

import numpy as np
import pytest

from jaxnmr.errors import ConventionError
from jaxnmr.nmr import GaussianBandwidth, Pulse, Site, SpectrumStatic

OFFSETS = np.linspace(-400e3, 400e3, 401)


def test_every_envelope_is_one_on_resonance():
    for excitation in (GaussianBandwidth(50e3), Pulse(2e-6, 50e3), Pulse(1e-6, 30e3)):
        for nutation in (1.0, 2.0, 3.0):
            assert float(excitation.weight(0.0, nutation)) == pytest.approx(1.0, abs=1e-12)


def test_a_gaussian_bandwidth_is_half_at_half_its_width():
    assert float(GaussianBandwidth(50e3).weight(25e3, 1.0)) == pytest.approx(0.5)


def test_a_pulse_of_small_angle_excites_like_the_sinc_of_its_length():
    length = 4e-6
    ours = Pulse(length, 200.0).weight(OFFSETS, 1.0)
    np.testing.assert_allclose(ours, np.sinc(OFFSETS * length), atol=1e-4)


@pytest.mark.parametrize("nutation", [1.0, 3.0])
def test_a_pulse_is_a_rotation_about_the_effective_field(nutation):
    length, rf = 1.5e-6, 40e3
    ours = np.asarray(Pulse(length, rf).weight(OFFSETS, nutation))
    sx, sy, sz = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]]) / 2
    for offset, weight in zip(OFFSETS[::20], ours[::20], strict=True):
        energies, states = np.linalg.eigh(2 * np.pi * (nutation * rf * sx + offset * sz))
        after = states @ np.diag(np.exp(-1j * length * energies)) @ states.conj().T
        density = after @ sz @ after.conj().T
        signal = 2 * (np.trace(density @ sx) + 1j * np.trace(density @ sy))
        # the phase that precession during half of the pulse gives is taken off
        signal = signal * np.exp(-1j * np.pi * offset * length)
        on_resonance = -np.sin(2 * np.pi * nutation * rf * length)
        assert weight == pytest.approx(signal.imag / on_resonance, abs=1e-10)


def test_the_carrier_is_where_excitation_is_full():
    site = Site(isotope="29Si", zeta_ppm=50.0, eta=0.5)
    axis = {"points": 256, "width_hz": 16e3, "centre_ppm": 0.0}
    even, weighed = (
        np.asarray(SpectrumStatic("29Si", larmor_hz=100e6, excitation=e).simulate(site, **axis).values)
        for e in (None, GaussianBandwidth(3e3, carrier_ppm=20.0))
    )
    frequency = (np.arange(256) - 128) * 62.5
    expected = even * np.exp(-4 * np.log(2) * ((frequency - 2000.0) / 3e3) ** 2)
    # the weight is taken at the corners of triangles, not at the points
    assert np.linalg.norm(weighed - expected) < 5e-3 * np.linalg.norm(expected)


@pytest.mark.parametrize("make", [lambda: GaussianBandwidth(0.0), lambda: Pulse(0.0, 1e4), lambda: Pulse(1e-6, -1e4)])
def test_excitation_that_cannot_be_is_refused(make):
    with pytest.raises(ConventionError, match="positive"):
        make()
