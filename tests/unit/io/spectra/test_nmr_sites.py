"""Sites by parameters and by tensors, and what they refuse."""

import numpy as np
import pytest

from jaxnmr.errors import ConventionError, ShapeError
from jaxnmr.nmr import Coupling, Site, Sites

AXIAL = np.diag([-1.0, -1.0, 2.0])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"isotope": "99Xx"}, "no nucleus"),
        ({"eta": 1.2}, "eta is 1.2"),
        ({"eta": -0.1}, "asymmetry"),
        ({"isotope": "27Al", "eta_q": 2.0}, "eta_q"),
        ({"cq_hz": 1e6}, "spin 1/2"),
        ({"shift_ppm": float("nan")}, "shift_ppm is nan"),
        ({"zeta_ppm": float("inf")}, "zeta_ppm"),
        ({"gaussian_hz": -1.0}, "cannot be negative"),
        ({"amplitude": -1.0}, "amplitude"),
    ],
)
def test_a_site_that_cannot_be_is_refused(values, words):
    with pytest.raises(ConventionError, match=words):
        Site(**({"isotope": "13C"} | values))


def test_a_changed_copy_is_checked_again():
    site = Site(isotope="13C", eta=0.5)
    assert site.replace(eta=0.7).eta == 0.7 and site.eta == 0.5
    with pytest.raises(ConventionError):
        site.replace(eta=7.0)


@pytest.mark.parametrize(
    ("values", "words"), [({"partner": "1Q"}, "no nucleus"), ({"partner": "1H", "eta_j": 3}, "eta_j")]
)
def test_a_coupling_that_cannot_be_is_refused(values, words):
    with pytest.raises(ConventionError, match=words):
        Coupling(**values)


def test_a_site_is_its_tensors():
    site = Site(
        isotope="27Al",
        shift_ppm=5.0,
        zeta_ppm=40.0,
        eta=0.5,
        cq_hz=-3e6,
        eta_q=0.2,
        euler_deg=(0.0, 90.0, 0.0),
        couplings=[Coupling(partner="31P", j_hz=30.0, dipolar_hz=-500.0)],
    )
    sites = Sites.of(site)
    # a quarter turn about y takes z to x
    np.testing.assert_allclose(sites.shielding_ppm[0], np.diag([40.0, -10.0, -30.0]), atol=1e-10)
    np.testing.assert_allclose(sorted(np.diag(sites.quadrupolar_hz[0])), [-3e6, 1.2e6, 1.8e6], rtol=1e-10)
    np.testing.assert_allclose(sites.couplings_hz[0, 0], -500.0 * AXIAL + 30.0 * np.eye(3), atol=1e-9)
    assert len(sites) == 1 and sites.partners == ("31P",) and Sites.of(sites) is sites


def test_sites_with_fewer_couplings_get_partners_that_do_nothing():
    two = (Coupling(partner="1H", j_hz=10.0), Coupling(partner="31P", j_hz=20.0))
    sites = Sites.of([Site(isotope="13C", couplings=two), Site(isotope="13C", couplings=two[:1]), Site(isotope="13C")])
    assert sites.partners == ("1H", "31P") and not sites.couplings_hz[2].any() and not sites.couplings_hz[1, 1].any()
    with pytest.raises(ConventionError, match="same order"):
        Sites.of([Site(isotope="13C", couplings=two), Site(isotope="13C", couplings=two[1:])])


def test_labels_are_made_unique():
    sites = Sites.of([Site(isotope="13C", label="CH2"), Site(isotope="13C", label="CH2"), Site(isotope="13C")])
    assert sites.labels == ("CH2", "CH2_2", "13C-3")


@pytest.mark.parametrize("sites", [[], [Site(isotope="13C"), Site(isotope="29Si")]])
def test_a_spectrum_shows_exactly_one_isotope(sites):
    with pytest.raises(ConventionError, match="one isotope"):
        Sites.of(sites)


@pytest.mark.parametrize(
    ("error", "arguments", "words"),
    [
        (ShapeError, {"shielding_ppm": np.zeros((2, 3))}, "shielding tensor"),
        (ShapeError, {"labels": ["a"]}, "different labels"),
        (ShapeError, {"labels": ["a", "a"]}, "different labels"),
        (ShapeError, {"couplings_hz": np.zeros((2, 1, 3, 3))}, "partners"),
        (ConventionError, {"quadrupolar_hz": np.stack([np.eye(3), np.eye(3)])}, "not traceless"),
        (ConventionError, {"quadrupolar_hz": np.stack([AXIAL, AXIAL + np.eye(3, k=1)])}, "27Al-2 is not symmetric"),
        (ConventionError, {"shielding_ppm": np.full((2, 3, 3), np.nan)}, "not finite"),
        (ConventionError, {"gaussian_hz": [1.0, -2.0]}, "negative"),
        (ConventionError, {"amplitude": np.inf}, "amplitude is inf; expected a finite number"),
    ],
)
def test_tensors_that_cannot_be_are_refused(error, arguments, words):
    with pytest.raises(error, match=words):
        Sites.create("27Al", [0.0, 1.0], **arguments)


def test_a_spin_one_half_has_no_quadrupolar_tensor():
    with pytest.raises(ConventionError, match="spin 1/2"):
        Sites.create("13C", 0.0, quadrupolar_hz=AXIAL)
