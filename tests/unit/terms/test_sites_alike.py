"""Sites with the tensors of others: satellites with an amplitude and a width of their own, and one set of sites at two fields."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.errors import ConventionError, ParameterError
from jaxnmr.nmr import Sites

MAS = jn.SpectrumMAS("23Na", b0_tesla=9.4, integration_density=20)
NA = jn.Site(
    isotope="23Na", shift_ppm=2.0, cq_hz=0.8e6, eta_q=0.4, gaussian_hz=600.0, label="Na1", transitions="central"
)
ST = jn.Site(isotope="23Na", label="Na1-st", like="Na1", transitions="satellites", gaussian_hz=900.0)
AXIS = dict(points=96, width_hz=24e3, centre_ppm=0.0)


def test_central_line_and_satellites_of_one_site_make_the_spectrum_of_all_transitions():
    whole = replace(MAS, transitions="all").plan(NA.replace(transitions=None, amplitude=10.0), **AXIS)
    apart = MAS.plan([NA.replace(amplitude=4.0), ST.replace(gaussian_hz=600.0, amplitude=6.0)], **AXIS)
    spectrum = lambda plan, sites: np.asarray(plan.spectrum(jax.tree.map(jnp.asarray, Sites.of(sites))))
    one = spectrum(whole, NA.replace(transitions=None, amplitude=10.0))
    two = spectrum(apart, [NA.replace(amplitude=4.0), ST.replace(gaussian_hz=600.0, amplitude=6.0)])
    # 3 : 4 : 3 of a spin 3/2
    np.testing.assert_allclose(two, one, atol=1e-9 * one.max())


def test_a_site_like_one_that_does_not_exist_is_refused():
    with pytest.raises(ConventionError, match="like 'Na1'; expected the label of a site of its own: none is there"):
        MAS.plan(ST, **AXIS)


@pytest.fixture(scope="module")
def fit():
    """Satellites three times too weak and broader, from a start that has them as a short pulse makes them."""
    truth = [NA.replace(amplitude=4.0), ST.replace(amplitude=2.0)]
    data = MAS.simulate(Sites.of(truth), **AXIS)
    noise = 2e-3 * float(np.asarray(data.values).max())
    values = np.asarray(data.values) + noise * np.random.default_rng(2).normal(size=96)
    start = [NA.replace(shift_ppm=1.0), ST.replace(gaussian_hz=700.0)]
    term = jn.SpectrumTerm(MAS, data.replace(values=values), start, name="n", sigma=noise)
    objective = jn.Objective(term)
    params = objective.parameters().free("n/shift", "n/amplitude", "n/gaussian")
    return jn.refine(objective, params, suggest=False)


def test_satellites_are_fitted_with_an_amplitude_and_a_width_of_their_own(fit):
    assert fit.converged
    assert fit.parameters.free_names == (
        "n/shift[Na1]", "n/amplitude[Na1]", "n/amplitude[Na1-st]", "n/gaussian[Na1]", "n/gaussian[Na1-st]",
    )  # fmt: skip
    values = fit.parameters
    assert float(values["n/shift[Na1-st]"]) == float(values["n/shift[Na1]"])
    found = np.concatenate([values["n/amplitude"], values["n/gaussian"]])
    esd = np.concatenate([fit.esds["n/amplitude"], fit.esds["n/gaussian"]])
    assert np.all(np.abs(found - [4.0, 2.0, 600.0, 900.0]) < 4.0 * esd) and np.all(esd < [0.1, 0.1, 10.0, 30.0])


def test_what_satellites_share_is_shown_once(fit):
    evidence = fit.evidence["n"]
    assert {derived.part for derived in evidence.derived()} == {"Na1"}
    conditions = dict(evidence.conditions)
    assert conditions["transitions of Na1-st"] == "satellites"


def test_stages_free_what_a_site_shares_once(fit):
    (term,) = fit.objective.terms
    freed = [name for _, names in term.stages() for name in names]
    assert "n/cq[Na1]" in freed and "n/gaussian[Na1-st]" in freed
    assert "n/cq[Na1-st]" not in freed
    fit.objective.parameters().free(*freed)


def test_two_fields_share_shifts_and_tensors_and_nothing_else():
    high = jn.SpectrumMAS("23Na", b0_tesla=18.8, integration_density=20)
    low = jn.SpectrumMAS("23Na", b0_tesla=9.4, integration_density=20)
    site = NA.replace(transitions=None)
    data = {name: of.simulate(site, **AXIS) for name, of in (("lo", low), ("hi", high))}
    terms = {
        name: jn.SpectrumTerm(of, data[name], site.replace(shift_ppm=shift), name=name, sigma=1e-3)
        for name, of, shift in (("lo", low, 2.5), ("hi", high, 0.0))
    }
    objective = jn.Objective(terms["lo"] + terms["hi"])
    shared = terms["hi"].sharing(objective.parameters(), "lo")
    assert float(shared["hi/shift[Na1]"]) == 2.5
    moved = shared.set("lo/cq[Na1]", 0.9e6).set("lo/euler[Na1.beta]", 30.0).set("lo/gaussian[Na1]", 500.0)
    assert (float(moved["hi/cq[Na1]"]), float(moved["hi/euler[Na1.beta]"])) == (0.9e6, 30.0)
    assert float(moved["hi/gaussian[Na1]"]) == 600.0
    with pytest.raises(ParameterError, match="middle/shift"):
        terms["hi"].sharing(objective.parameters(), "middle")


def test_an_angle_of_the_rotor_is_refined():
    off = jn.SpectrumMAS("31P", b0_tesla=9.4, rotor_angle_deg=54.9, integration_density=30)
    phosphorus = jn.Site(isotope="31P", zeta_ppm=100.0, eta=0.3, gaussian_hz=60.0, label="P1")
    data = off.simulate(phosphorus, points=96, width_hz=2400.0, centre_ppm=0.0)
    at_magic = jn.SpectrumMAS("31P", b0_tesla=9.4, integration_density=30)
    objective = jn.Objective(jn.SpectrumTerm(at_magic, data, phosphorus, name="p", sigma=1e-4))
    fit = jn.refine(objective, objective.parameters().free("p/rotor_angle", "p/amplitude"), suggest=False)
    assert float(fit.parameters["p/rotor_angle"]) == pytest.approx(54.9, abs=1e-3)
