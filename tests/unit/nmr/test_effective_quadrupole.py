"""Effective quadrupole moments: the slope, its uncertainty, and where it is used."""

import numpy as np
import pytest

from jaxnmr.errors import ConventionError, DataError, ShapeError
from jaxnmr.io import magres_from_ase, sites_from_magres
from jaxnmr.nmr import EffectiveQuadrupole, ShiftReference, isotope, quadrupolar_from_efg, quadrupolar_parameters

# CASTEP's tutorial: Vzz behind -5.085 and -5.055 MHz with Q = -0.02558 b, and what is measured
CASTEP_VZZ = np.array([5.085e6, 5.055e6]) / (234.9648e6 * 0.02558)
MEASURED_HZ = np.array([5.19e6, 5.21e6])


def test_exact_data_give_the_moment_back_whatever_the_signs():
    for nucleus, signs in (("17O", [1, -1, 1]), ("27Al", [-1, -1, 1])):
        q = 0.95 * isotope(nucleus).quadrupole_barn
        vzz = np.array([0.9, 0.4, 1.3]) * signs
        found = EffectiveQuadrupole.fit(nucleus, vzz, np.abs(234.9648e6 * q * vzz))
        assert found.q_barn == pytest.approx(q, rel=1e-6) and found.scale == pytest.approx(0.95, rel=1e-6)
        assert found.sigma_barn < 1e-8 and found.rms_hz < 1e-3 and found.sites == 3


def test_the_slope_is_that_of_least_squares_and_its_uncertainty_that_of_the_scatter():
    rng = np.random.default_rng(0)
    vzz = rng.uniform(0.3, 1.5, 12)
    fits = [EffectiveQuadrupole.fit("17O", vzz, 5.6e6 * vzz + rng.normal(0.0, 0.1e6, 12)) for _ in range(300)]
    q = np.array([f.q_barn for f in fits])
    true = -5.6e6 / 234.9648e6
    # 300 draws: the mean is known to 1/sqrt(300) = 6 %, the spread to 4 % of the uncertainty of one
    sigma = 0.1 / 234.9648 / np.sqrt(vzz @ vzz)
    assert abs(q.mean() - true) < 0.2 * sigma
    assert q.std() == pytest.approx(sigma, rel=0.15)
    assert np.sqrt(np.mean([f.sigma_barn**2 for f in fits])) == pytest.approx(sigma, rel=0.15)


def test_quartz_and_cristobalite_as_castep_and_experiment_have_them():
    found = EffectiveQuadrupole.fit("17O", CASTEP_VZZ, MEASURED_HZ)
    # by hand: (5.085 5.19 + 5.055 5.21)/(5.085^2 + 5.055^2) 25.58 mb
    assert found.q_barn == pytest.approx(-26.236e-3, abs=2e-6)
    # what is left, by hand: 0.0253 and 0.0254 MHz; the calculation is too small, so the moment is above that of the nucleus
    assert 1.0 < found.scale < 1.05
    assert str(found) == "17O: Q = -26.24(13) mb, 1.025(5) of the nuclear moment, from 2 sites, rms 0.025 MHz"


def test_one_site_gives_a_moment_without_uncertainty():
    found = EffectiveQuadrupole.fit("17O", [0.905], [5.19e6])
    assert np.isnan(found.sigma_barn) and found.q_barn == pytest.approx(-5.19 / 234.9648 / 0.905, rel=1e-5)
    assert str(found) == "17O: Q = -24.4071 mb, 0.9534 of the nuclear moment, from 1 site, rms 0.000 MHz"


def test_it_is_used_wherever_a_moment_is_asked_for():
    import ase

    atoms = ase.Atoms("O", cell=[3, 3, 3], pbc=True)
    atoms.set_array("ms", 220.0 * np.eye(3)[None])
    atoms.set_array("efg", np.diag([-0.35, -0.55, 0.90])[None])
    effective = EffectiveQuadrupole.fit("17O", [0.90], [5.0e6])
    assert quadrupolar_parameters(
        quadrupolar_from_efg(atoms.arrays["efg"], "17O", q_barn=effective.q_barn)
    ).cq_hz == pytest.approx(-5.0e6, rel=1e-5)
    sites = sites_from_magres(magres_from_ase(atoms), "17O", ShiftReference(261.0), q_barn=effective.q_barn)
    found = quadrupolar_parameters(sites.quadrupolar_hz)
    assert float(found.cq_hz[0]) == pytest.approx(-5.0e6, rel=1e-5)
    assert float(found.eta[0]) == pytest.approx(0.2 / 0.9, rel=1e-6)


def test_what_cannot_give_a_slope_is_refused():
    with pytest.raises(ShapeError, match="same length"):
        EffectiveQuadrupole.fit("17O", [0.9, 1.0], [5e6])
    with pytest.raises(DataError, match="finite"):
        EffectiveQuadrupole.fit("17O", [np.nan], [5e6])
    with pytest.raises(DataError, match="0 sites"):
        EffectiveQuadrupole.fit("17O", [], [])
    with pytest.raises(ConventionError, match="29Si has no quadrupole moment"):
        EffectiveQuadrupole.fit("29Si", [0.9], [5e6])
