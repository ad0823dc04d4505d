"""Properties of spectra for any site."""

import jax
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jaxnmr.nmr import Site, Sites, SpectrumMAS, SpectrumStatic

LARMOR = 100e6
EXPERIMENTS = [
    SpectrumStatic("27Al", larmor_hz=LARMOR, integration_density=8, volume="hemisphere"),
    SpectrumMAS("27Al", larmor_hz=LARMOR, mas_hz=12e3, integration_density=8, volume="hemisphere", sidebands=64),
]
PLANS = [
    e.plan(
        Site(isotope="27Al", zeta_ppm=100.0, cq_hz=5e6, euler_deg=(10.0, 20.0, 30.0)),
        points=1024,
        width_hz=400e3,
        centre_ppm=-50.0,
    )
    for e in EXPERIMENTS
]
spectra = [jax.jit(plan.spectrum) for plan in PLANS]
number = lambda low, high: st.floats(low, high, allow_nan=False)
angle = number(0.0, 360.0)
sites = st.builds(
    Site,
    isotope=st.just("27Al"),
    shift_ppm=number(-50, 50),
    zeta_ppm=number(-100, 100),
    eta=number(0, 1),
    # what looks like a number in MHz is refused
    cq_hz=number(-5e6, 5e6).filter(lambda hz: abs(hz) < 1e-3 or abs(hz) >= 100.0),
    eta_q=number(0, 1),
    euler_deg=st.tuples(angle, angle, angle),
    euler_q_deg=st.tuples(angle, angle, angle),
    amplitude=number(0, 10),
)


@settings(max_examples=40, deadline=None)
@given(site=sites)
# level corners, whose order depends on how their frequencies are rounded
@example(site=Site(isotope="27Al", shift_ppm=-6.0, zeta_ppm=-88.5))
@example(site=Site(isotope="27Al", shift_ppm=-6.0, zeta_ppm=-88.0))
def test_spectra_are_never_negative_and_sum_to_the_amplitude(site):
    for spectrum in spectra:
        values = np.asarray(spectrum(Sites.of(site)))
        assert values.min() > -1e-7 * max(site.amplitude, 1e-3)
        assert abs(values.sum() - site.amplitude) < 2e-5 * max(site.amplitude, 1e-3)


@settings(max_examples=25, deadline=None)
@given(site=sites)
@example(site=Site(isotope="27Al", cq_hz=7.1e-308, eta_q=0.5))  # whose smallest element is rounded to zero
def test_the_sign_of_a_lone_quadrupolar_coupling_cannot_be_seen(site):
    site = site.replace(zeta_ppm=0.0)
    for spectrum in spectra:
        ours, other = (np.asarray(spectrum(Sites.of(s))) for s in (site, site.replace(cq_hz=-site.cq_hz)))
        np.testing.assert_allclose(ours, other, atol=1e-9 * max(site.amplitude, 1.0))
