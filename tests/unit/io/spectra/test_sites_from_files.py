"""Sites from the lines of a DMFit fit, and from field gradients without shieldings."""

import numpy as np
import pytest
from scipy.special import voigt_profile

from jaxnmr.errors import ConventionError, DataError, ParseError
from jaxnmr.io import DmfitFit, DmfitLine, Magres, sites_from_dmfit, sites_from_magres
from jaxnmr.nmr import ShiftReference, haeberlen_from_shielding, shielding_from_haeberlen
from jaxnmr.runfile.spectrum import simulated, specs_to_simulate


def fit_of(*lines, **kwargs):
    made = [DmfitLine(model, values, {}, frozenset(), None) for model, values in lines]
    return DmfitFit(
        **({"isotope": "19F", "larmor_hz": 100e6, "mas_hz": 0.0, "data_file": ""} | kwargs), lines=tuple(made)
    )


def test_the_anisotropy_of_a_dmfit_line_turns_its_sign_so_that_its_edges_stay():
    # DMFit: d33 - diso = dCS and d22 - d11 = eta dCS
    iso, dcs, eta = 10.0, -90.0, 0.4
    (site,) = sites_from_dmfit(fit_of(("CSA static", {"position_ppm": iso, "zeta_ppm": dcs, "eta": eta})))
    d33 = iso + dcs
    shifts = [d33, (3 * iso - d33 - eta * dcs) / 2, (3 * iso - d33 + eta * dcs) / 2]
    shielding = shielding_from_haeberlen(0.0, site.zeta_ppm, site.eta)
    np.testing.assert_allclose(np.sort(site.shift_ppm - np.linalg.eigvalsh(shielding)), np.sort(shifts), atol=1e-6)


def test_a_quadrupolar_line_of_dmfit_keeps_its_coupling_and_says_what_it_leaves_out():
    values = {"position_ppm": -9.8, "zeta_ppm": 8.9, "eta": 0.3, "cq_hz": 1.6e6, "eta_q": 0.7, "width_hz": 200.0}
    with pytest.warns(UserWarning, match="Phi, Chi, Psi"):
        (site,) = sites_from_dmfit(fit_of(("int2QUAD", values | {"chi_deg": 35.0}), isotope="23Na"))
    assert (site.isotope, site.label, site.cq_hz, site.eta_q, site.zeta_ppm) == ("23Na", "Na1", 1.6e6, 0.7, -8.9)
    assert (site.gaussian_hz, site.lorentzian_hz) == (200.0, 0.0)


@pytest.mark.parametrize("gaussian", [0.0, 0.3, 0.6, 1.0])
def test_a_line_of_dmfit_keeps_its_width_and_area(gaussian):
    width, height = 300.0, 7.0
    (site,) = sites_from_dmfit(
        fit_of(("Gaus/Lor", {"amplitude": height, "position_ppm": 1.0, "width_ppm": 3.0, "gauss_fraction": gaussian}))
    )
    x = np.linspace(-2e6, 2e6, 800001)
    sum_of_both = gaussian * np.exp(-4 * np.log(2) * (x / width) ** 2) + (1 - gaussian) / (1 + 4 * (x / width) ** 2)
    assert site.amplitude == pytest.approx(height * sum_of_both.sum() * (x[1] - x[0]), rel=1e-4)
    voigt = voigt_profile(x, site.gaussian_hz / np.sqrt(8 * np.log(2)), site.lorentzian_hz / 2)
    above = x[voigt > voigt.max() / 2]
    assert above[-1] - above[0] == pytest.approx(width, abs=2 * (x[1] - x[0]) + 0.003 * width)


def test_lines_of_dmfit_that_are_no_single_site_are_refused():
    with pytest.raises(ConventionError, match=r"F1 .*'CzSimple', which is no single site"):
        sites_from_dmfit(fit_of(("CzSimple", {"position_ppm": 1.0})))
    with pytest.raises(ConventionError, match="is of 19F"):
        sites_from_dmfit(fit_of(("Gaus/Lor", {"position_ppm": 1.0})), "23Na")
    with pytest.raises(ConventionError, match="no lines"):
        sites_from_dmfit(fit_of())


def test_field_gradients_alone_make_sites_at_the_reference():
    efg = np.diag([0.1, 0.15, -0.25])[None]
    found = Magres(
        elements=("Na",),
        positions=np.zeros((1, 3)),
        lattice=None,
        labels=("Na_1",),
        species=("Na",),
        tensors={"efg": efg},
    )
    with pytest.warns(UserWarning, match="no shieldings of Na: all shifts are 60 ppm"):
        sites = sites_from_magres(found, "23Na", ShiftReference(60.0))
    assert float(sites.shift_ppm[0]) == 60.0
    assert np.abs(np.linalg.eigvalsh(np.asarray(sites.quadrupolar_hz)[0])).max() == pytest.approx(
        0.25 * 234.9647e6 * 0.104, rel=5e-3
    )
    with pytest.raises(DataError, match="no shielding tensors"):
        sites_from_magres(found, "23Na", ShiftReference(60.0), quadrupolar=False)


def test_a_run_file_takes_its_sites_from_dmfit(tmp_path):
    (tmp_path / "1R.fxml").write_text(
        "<NMRFit><FitParameters><Dimension><nucleus>19F</nucleus><frequency>100.0</frequency><line><ModelName>CSA mas"
        '</ModelName><pos Unit="ppm">-60</pos><wid Unit="ppm">12</wid><gl>1</gl><dCS Unit="ppm">-130</dCS><etaCS>0.2</etaCS>'
        "</line></Dimension></FitParameters></NMRFit>"
    )
    table = '[[spectrum]]\nisotope = "19F"\nlarmor_mhz = 100.0\nmas_hz = 3e4\npoints = 256\ndmfit = "1R.fxml"\n'
    (tmp_path / "run.toml").write_text(table)
    (spec,) = specs_to_simulate(tmp_path / "run.toml", {})
    spectrum, sites = simulated(spec)
    assert float(spectrum.ppm[np.argmax(np.asarray(spectrum.values))]) == pytest.approx(-60.0, abs=3.0)
    assert float(haeberlen_from_shielding(np.asarray(sites.shielding_ppm)[0]).zeta) == pytest.approx(130.0)
    (tmp_path / "run.toml").write_text(table + "peaks_ppm = [1.0]\n")
    with pytest.raises(ParseError, match="in one way"):
        specs_to_simulate(tmp_path / "run.toml", {})
