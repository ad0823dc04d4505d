"""Run files whose spectra share sites, and sites whose satellites stand apart."""

import numpy as np
import pytest

from jaxnmr.errors import JaxnmrError
from jaxnmr.io import write_spectrum
from jaxnmr.nmr import Spectrum, reference_hz
from jaxnmr.runfile import build, load_run

SITES = """
[[spectrum.site]]
label = "Al1"
shift_ppm = 10.0
cq_mhz = 3.0
eta_q = 0.3
gaussian_hz = 2000.0
satellites = { gaussian_hz = 4000.0 }
"""


@pytest.fixture
def setup(tmp_path):
    """What is built of a spectrum at 9.4 T with a site, and one at 18.8 T with these lines."""
    for name, field in (("lo", 9.4), ("hi", 18.8)):
        frequency, larmor = 500.0 * np.arange(-24, 24), reference_hz("27Al", field)
        values = np.exp(-((frequency / 3000.0) ** 2)) + 1e-3 * np.cos(9.0 * np.arange(48))
        write_spectrum(Spectrum.create(frequency, values, larmor_hz=larmor, isotope="27Al"), tmp_path / f"{name}.csdf")
    table = '[[spectrum]]\nname = "{0}"\nfile = "{0}.csdf"\nmas_hz = inf\nintegration_density = 12\nsigma = 0.01\n{1}\n'

    def of(lines):
        path = tmp_path / "run.toml"
        path.write_text(table.format("lo", SITES) + table.format("hi", lines), encoding="utf-8")
        return build(load_run(path))

    return of


def test_sites_of_another_spectrum_share_shifts_and_tensors_and_satellites_have_widths_of_their_own(setup):
    built = setup('sites_of = "lo"\ngaussian_hz = 1500.0')
    params = built.parameters.set("lo/cq[Al1]", 2.5e6)
    assert float(params["hi/cq[Al1-satellites]"]) == 2.5e6
    np.testing.assert_array_equal(params["hi/gaussian"], [1500.0, 4000.0])
    np.testing.assert_array_equal(params["lo/gaussian"], [2000.0, 4000.0])
    assert params.free("lo/*", "hi/*").fix("*/scale").n_free == len(
        ("shift", "zeta", "eta", "cq", "eta_q", "alpha", "beta", "gamma", "spread", "spread of the shielding")
    ) + 2 * len(("amplitude", "gaussian", "lorentzian")) * 2 + 2 * len(("phase0", "phase1", "rotor_angle"))


def test_a_spectrum_to_share_with_must_have_sites(setup):
    with pytest.raises(JaxnmrError, match=r"sites_of = 'middle'; expected the name of a \[\[spectrum\]\].*: 'lo'"):
        setup('sites_of = "middle"')
    with pytest.raises(JaxnmrError, match="give the sites in one way"):
        setup(f'sites_of = "lo"\n{SITES}')


def test_a_site_with_satellites_apart_shows_the_central_transition(setup):
    with pytest.raises(JaxnmrError, match="leave transitions out"):
        setup(SITES + 'transitions = "all"')
