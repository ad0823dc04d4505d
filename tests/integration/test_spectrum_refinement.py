"""NMR spectra fitted from displaced values, with and without a powder pattern."""

import numpy as np
from small_problems import DOUBLET, histogram, rutile

import jaxnmr as jn

SODIUM = jn.Site(isotope="23Na", shift_ppm=8.9, cq_hz=1.6e6, eta_q=0.7, gaussian_hz=300.0, label="Na1")


def noisy(simulation, sites, level, seed, **axis):
    """A simulated spectrum with noise of ``level`` of its highest point."""
    clean = simulation.simulate(sites, **axis)
    values = 1e4 * np.asarray(clean.values)
    sigma = level * values.max()
    return clean.replace(
        values=values + np.random.default_rng(seed).normal(0.0, sigma, len(values)), sigma=np.asarray(sigma)
    )


def staged(term):
    return [jn.Stage(name=name, free=free) for name, free in term.stages()]


def within(fit, truth, esds):
    for name, value in truth.items():
        head = name.split("[")[0]
        esd = float(np.ravel(fit.esds[head])[[n for n in fit.parameters.labels if n.split("[")[0] == head].index(name)])
        assert 0 < esd and abs(float(fit.parameters[name]) - value) < esds * esd, (name, fit.parameters[name], esd)


def test_coupling_and_asymmetry_of_a_central_transition_come_back_within_three_esds():
    simulation = jn.SpectrumMAS("23Na", b0_tesla=9.4, mas_hz=30e3, integration_density=60)
    data = noisy(simulation, SODIUM, 0.005, 1, points=512, width_hz=40e3)
    # from much broader lines the fit can end at an asymmetry of 1, and says so
    start = SODIUM.replace(shift_ppm=8.0, cq_hz=1.5e6, eta_q=0.5, gaussian_hz=400.0)
    term = jn.SpectrumTerm(simulation, data, start, baseline=1)
    objective = jn.Objective(term)
    fit = jn.refine(objective, objective.parameters(), stages=staged(term))
    assert fit.converged and 0.85 < fit.statistics["nmr"].gof < 1.15
    within(fit, {"nmr/cq[Na1]": 1.6e6, "nmr/eta_q[Na1]": 0.7, "nmr/shift[Na1]": 8.9, "nmr/gaussian[Na1]": 300.0}, 3)
    assert float(fit.esds["nmr/cq"][0]) < 2e4
    suggested = dict(fit.suggestions)
    assert {"nmr/mas", "nmr/phase0"} & set(suggested), "parameters that were not refined are suggested, too"
    assert max(suggested.values()) < 20, "but none of them helps a fit to noise"


def test_one_spinning_sideband_pattern_gives_the_shielding_tensor():
    simulation = jn.SpectrumMAS("31P", b0_tesla=9.4, mas_hz=2500.0, sidebands=32)
    site = jn.Site(isotope="31P", shift_ppm=3.0, zeta_ppm=-45.0, eta=0.4, gaussian_hz=200.0, label="P1")
    data = noisy(simulation, site, 0.004, 5, points=512, width_hz=50e3)
    start = site.replace(zeta_ppm=-30.0, eta=0.1, shift_ppm=2.5, gaussian_hz=300.0)
    term = jn.SpectrumTerm(simulation, data, start)
    objective = jn.Objective(term)
    fit = jn.refine(objective, objective.parameters(), stages=staged(term), suggest=False)
    within(fit, {"nmr/zeta[P1]": -45.0, "nmr/eta[P1]": 0.4, "nmr/shift[P1]": 3.0}, 3)


def test_two_fields_share_the_sites_when_their_parameters_are_tied():
    terms = []
    for name, field, seed in (("low", 9.4, 2), ("high", 14.1, 3)):
        simulation = jn.SpectrumMAS("23Na", b0_tesla=field, integration_density=50)
        data = noisy(simulation, SODIUM, 0.01, seed, points=256, width_hz=20e3)
        terms.append(
            jn.SpectrumTerm(simulation, data, SODIUM.replace(shift_ppm=7.0, cq_hz=1.4e6, eta_q=0.6), name=name)
        )
    objective = jn.Objective(terms[0] + terms[1])
    params = objective.parameters()
    for key in ("shift", "cq", "eta_q"):
        params = params.tie(f"high/{key}[Na1]", f"low/{key}[Na1]")
    params = params.free("low/shift", "low/cq", "low/eta_q", "*/amplitude", "*/gaussian")
    assert params.n_free == 7
    fit = jn.refine(objective, params, suggest=False)
    within(fit, {"low/cq[Na1]": 1.6e6, "low/eta_q[Na1]": 0.7, "low/shift[Na1]": 8.9}, 3)
    np.testing.assert_allclose(fit.parameters["high/cq"], fit.parameters["low/cq"])


def test_a_pattern_and_a_spectrum_are_refined_together(tmp_path):
    crystal = rutile()
    xrd, truth = histogram(crystal, DOUBLET, np.arange(24.0, 60.0, 0.05), seed=6)
    simulation = jn.SpectrumStatic("31P", b0_tesla=9.4, integration_density=40)
    site = jn.Site(isotope="31P", shift_ppm=0.0, zeta_ppm=60.0, eta=0.3, gaussian_hz=600.0, label="P1")
    data = noisy(simulation, site, 0.01, 7, points=256, width_hz=60e3)
    nmr = jn.SpectrumTerm(simulation, data, site.replace(zeta_ppm=50.0, shift_ppm=4.0))
    objective = jn.Objective(xrd + nmr, crystal=crystal)
    params = objective.parameters()
    for name, value in truth.items():
        params = params.set(f"xrd/{name}", value)
    params = params.set("cell[a]", 4.5945).free(
        "cell", "xrd/scale", "nmr/shift", "nmr/zeta", "nmr/eta", "nmr/amplitude"
    )
    fit = jn.refine(objective, params, suggest=False)
    within(fit, {"cell[a]": 4.594, "nmr/zeta[P1]": 60.0, "nmr/eta[P1]": 0.3, "nmr/shift[P1]": 0.0}, 4)
    assert set(fit.patterns) == {"xrd"} and set(fit.spectra) == {"nmr"} and set(fit.statistics) == {"xrd", "nmr"}
    assert [row[:2] for row in fit.steps[-1].agreement()] == [("xrd", "Rwp"), ("nmr", "Rw")]
    from jaxnmr.report import write_report

    written = write_report(fit, tmp_path)
    text = written["report"].read_text(encoding="utf-8")
    assert "Rwp / %" in text and "Rw / %" in text and "## nmr: sites" in text and "## rutile" in text
    assert {"structure", "pattern xrd", "spectrum nmr", "picture of nmr"} <= set(written)


def test_lines_in_the_wrong_place_are_called_a_misfit():
    simulation = jn.SpectrumMAS("31P", b0_tesla=9.4)
    site = jn.Site(isotope="31P", shift_ppm=0.0, gaussian_hz=200.0, label="P1")
    data = noisy(simulation, site, 0.01, 8, points=256, width_hz=15e3)
    objective = jn.Objective(jn.SpectrumTerm(simulation, data, site.replace(shift_ppm=25.0)))
    fit = jn.refine(objective, objective.parameters().free("nmr/shift"), throw=False, suggest=False)
    assert fit.status == "misfit" and "the calculated lines of 'nmr'" in fit.message
