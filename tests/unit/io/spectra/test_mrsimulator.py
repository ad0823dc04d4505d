"""Sites written for mrsimulator give the same spectrum there."""

import warnings

import numpy as np
import pytest

from jaxnmr.errors import ConventionError
from jaxnmr.io import write_mrsimulator
from jaxnmr.nmr import Coupling, Site, SpectrumMAS, SpectrumStatic


def _simulated_there(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of astropy and pydantic, on import
        mrsimulator = pytest.importorskip("mrsimulator")
    simulator = mrsimulator.Simulator.load(str(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        simulator.run()
    return np.real(simulator.methods[0].simulation.y[0].components[0])


@pytest.mark.parametrize(
    ("simulation", "sites"),
    [
        (
            SpectrumMAS("27Al", 9.4, mas_hz=20e3, integration_density=40, sidebands=64),
            [
                Site(
                    isotope="27Al",
                    shift_ppm=12.0,
                    zeta_ppm=40.0,
                    eta=0.3,
                    cq_hz=3e6,
                    eta_q=0.6,
                    euler_deg=(10.0, 50.0, 30.0),
                ),
                Site(isotope="27Al", shift_ppm=60.0, cq_hz=2e6, eta_q=0.2, amplitude=0.5),
            ],
        ),
        (
            SpectrumStatic("13C", 9.4, integration_density=40),
            [
                Site(
                    isotope="13C",
                    zeta_ppm=30.0,
                    eta=0.2,
                    couplings=(Coupling(partner="1H", j_hz=140.0, dipolar_hz=-3000.0),),
                )
            ],
        ),
    ],
)
def test_mrsimulator_reads_the_file_and_simulates_the_same_spectrum(tmp_path, simulation, sites):
    ours = simulation.simulate(sites, points=512, width_hz=60e3, centre_ppm=0.0)
    write_mrsimulator(sites, tmp_path / "sites.mrsim", simulation=simulation, axis=ours)
    theirs = _simulated_there(tmp_path / "sites.mrsim")
    kernel = np.exp(-0.5 * (np.arange(-15, 16) / 1.7) ** 2)
    a, b = (np.convolve(y / y.sum(), kernel, mode="same") for y in (np.asarray(ours.values), theirs))
    assert np.linalg.norm(a - b) < 1e-3 * np.linalg.norm(b)


def test_a_distribution_of_tensors_cannot_be_written(tmp_path):
    with pytest.raises(ConventionError, match="distribution"):
        write_mrsimulator([Site(isotope="27Al", quadrupolar_spread_hz=1e6)], tmp_path / "sites.mrsim")
