"""Parameters, starting values, plans and bad input of a term that compares NMR spectra."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr._compilations import watch_compilations
from jaxnmr.errors import ConventionError, DataError, ParameterError
from jaxnmr.nmr import Sites
from jaxnmr.terms.site_parameters import described, tensors_at

PHOSPHORUS = jn.SpectrumMAS("31P", b0_tesla=9.4, mas_hz=4000.0, integration_density=30)
SODIUM = jn.SpectrumMAS("23Na", b0_tesla=9.4, integration_density=20)
P1 = jn.Site(isotope="31P", shift_ppm=5.0, zeta_ppm=40.0, eta=0.3, gaussian_hz=250.0, label="P1")
P2 = jn.Site(isotope="31P", shift_ppm=-20.0, zeta_ppm=-25.0, eta=0.6, gaussian_hz=250.0, lorentzian_hz=80.0, label="P2")
NA1 = jn.Site(isotope="23Na", shift_ppm=2.0, cq_hz=1.2e6, eta_q=0.4, gaussian_hz=400.0, label="Na1")
AXIS = dict(points=256, width_hz=30e3)


@pytest.fixture(scope="module")
def phosphorus():
    """Two sites with amplitudes 3 and 1 on a sloping baseline, without noise."""
    clean = PHOSPHORUS.simulate([P1.replace(amplitude=3.0), P2], **AXIS)
    ramp = 0.01 + 0.005 * np.linspace(-1.0, 1.0, 256)
    return clean.replace(values=np.asarray(clean.values) + ramp, name="made up")


@pytest.fixture(scope="module")
def sodium():
    return SODIUM.simulate(NA1, points=128, width_hz=20e3)


def test_amplitudes_and_baseline_start_at_their_least_squares_values(phosphorus):
    term = jn.SpectrumTerm(PHOSPHORUS, phosphorus, [P1, P2], baseline=2, sigma=1e-3)
    params = jn.Objective(term).parameters()
    np.testing.assert_allclose(params["nmr/amplitude"], [3.0, 1.0], rtol=1e-6)
    np.testing.assert_allclose(params["nmr/baseline"], [0.01, 0.005], atol=1e-8)
    assert float(jn.Objective(term)(params)) < 1e-6


def test_kept_amplitudes_put_the_factor_into_the_scale(phosphorus):
    sites = [P1.replace(amplitude=1.5), P2.replace(amplitude=0.5)]
    term = jn.SpectrumTerm(PHOSPHORUS, phosphorus, sites, baseline=2, sigma=1e-3, amplitudes="keep")
    params = jn.Objective(term).parameters()
    np.testing.assert_allclose(params["nmr/amplitude"], [1.5, 0.5])
    assert float(params["nmr/scale"]) == pytest.approx(2.0, rel=1e-6)


def test_components_and_baseline_sum_to_the_calculated_spectrum(phosphorus):
    term = jn.SpectrumTerm(PHOSPHORUS, phosphorus, [P1, P2], baseline=2, sigma=1e-3)
    objective = jn.Objective(term)
    params = objective.parameters().set("nmr/phase0", 12.0).set("nmr/phase1", -30.0).set("nmr/scale", 1.7)
    state = objective.state({k: jnp.asarray(v) for k, v in params.values.items()})
    total = term.components(state).sum(axis=1) + term.baseline(state)
    np.testing.assert_allclose(total, term.calculated(state), atol=1e-12)


def test_a_phase_turns_absorption_into_dispersion(phosphorus):
    term = jn.SpectrumTerm(PHOSPHORUS, phosphorus, [P1, P2], sigma=1e-3)
    objective = jn.Objective(term)
    params = objective.parameters()
    turned = objective.residuals(params.set("nmr/phase0", 180.0)) * 1e-3 + term.observed
    np.testing.assert_allclose(turned, -(objective.residuals(params) * 1e-3 + term.observed), atol=1e-12)
    _, sites = term._at({k.removeprefix("nmr/"): jnp.asarray(v) for k, v in params.values.items()})
    dispersion = term.plan.complex_spectrum(sites).imag
    quarter = objective.residuals(params.set("nmr/phase0", 90.0)) * 1e-3 + term.observed
    np.testing.assert_allclose(quarter, -dispersion, atol=1e-12)


def test_only_the_points_of_the_regions_are_fitted(phosphorus):
    regions = [(30.0, 80.0), (10.0, -40.0)]
    term = jn.SpectrumTerm(PHOSPHORUS, phosphorus, [P1, P2], region_ppm=regions, sigma=1e-3)
    ppm = np.asarray(term.ppm)
    assert ((ppm >= 30) & (ppm <= 80) | (ppm >= -40) & (ppm <= 10)).all()
    inside = np.isin(np.round(np.asarray(phosphorus.ppm), 9), np.round(ppm, 9))
    np.testing.assert_array_equal(term.observed, np.asarray(phosphorus.values)[inside])


def test_parameters_are_those_the_spin_has(phosphorus, sodium):
    half = jn.Objective(jn.SpectrumTerm(PHOSPHORUS, phosphorus, P1, sigma=1.0)).parameters().values
    quadrupolar = jn.Objective(jn.SpectrumTerm(SODIUM, sodium, NA1, sigma=1.0)).parameters().values
    assert "nmr/mas" in half and not {"nmr/cq", "nmr/eta_q", "nmr/euler", "nmr/quadrupolar_spread"} & set(half)
    assert {"nmr/cq", "nmr/eta_q", "nmr/euler", "nmr/quadrupolar_spread"} <= set(quadrupolar)
    assert "nmr/mas" not in quadrupolar, "a spinning speed without sidebands cannot be refined"


def test_parameters_give_back_the_tensors_of_the_sites():
    site = NA1.replace(zeta_ppm=30.0, eta=0.7, euler_deg=(20.0, 50.0, 70.0), euler_q_deg=(10.0, 80.0, 30.0))
    batch, frames, values = described([site])
    again = tensors_at(values, batch, frames)
    expected = Sites.of(site)
    np.testing.assert_allclose(again.shielding_ppm, expected.shielding_ppm, atol=1e-10)
    np.testing.assert_allclose(again.quadrupolar_hz, expected.quadrupolar_hz, rtol=1e-12, atol=1e-6)


@pytest.mark.parametrize("coupled", [False, True])
def test_cartesian_sites_keep_the_relative_orientation_of_their_tensors(coupled):
    random = np.random.default_rng(3)
    tensors = random.normal(size=(2, 3, 3)) * np.array([20.0, 1e6])[:, None, None]
    tensors = tensors + tensors.swapaxes(1, 2)
    shielding, quadrupolar = tensors - np.trace(tensors, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    extra = dict(couplings_hz=np.diag([-100.0, -100.0, 200.0])[None, None], partners=("1H",)) if coupled else {}
    batch = Sites.create("23Na", 3.0, shielding_ppm=shielding, quadrupolar_hz=quadrupolar, gaussian_hz=100.0, **extra)
    _, frames, values = described(batch)
    s, q = (
        np.asarray(t)[0]
        for t in (tensors_at(values, batch, frames).shielding_ppm, tensors_at(values, batch, frames).quadrupolar_hz)
    )
    if coupled:
        np.testing.assert_allclose(s, shielding, atol=1e-9)
        np.testing.assert_allclose(q, quadrupolar, rtol=1e-9, atol=1e-4)
    for a, b in (
        (s @ q, shielding @ quadrupolar),
        (s @ s @ q, shielding @ shielding @ quadrupolar),
        (s @ q @ q, shielding @ quadrupolar @ quadrupolar),
    ):
        assert np.trace(a) == pytest.approx(np.trace(b), rel=1e-9)


def test_a_tensor_that_starts_at_zero_is_planned_for_when_it_is_refined(sodium):
    bare = NA1.replace(cq_hz=0.0, eta_q=0.1, eta=0.1)
    objective = jn.Objective(jn.SpectrumTerm(SODIUM, sodium, bare, sigma=1e-4))
    refined = (
        "nmr/cq[Na1]",
        "nmr/eta_q[Na1]",
        "nmr/zeta[Na1]",
        "nmr/eta[Na1]",
        "nmr/euler[Na1.alpha]",
        "nmr/euler[Na1.beta]",
    )
    params = objective.parameters()
    objective = objective.bind(params.free(*refined))
    tilted = params.set("nmr/cq", 9e4).set("nmr/zeta", 4.0).set("nmr/euler", [10.0, 40.0, 0.0]).set("nmr/eta", 0.9)
    assert np.isfinite(objective.residuals(params)).all() and np.isfinite(objective.residuals(tilted)).all()
    again, notes, _ = objective.replan(tilted)
    assert again is objective and not notes, "moderate changes need no other plan"
    again, notes, _ = objective.replan(tilted.set("nmr/cq", 2e6))
    assert "coupling of Na1 has grown" in notes[0]
    assert np.isfinite(again.residuals(tilted.set("nmr/cq", 2e6))).all()


def test_a_distribution_that_was_not_planned_for_is_not_left_out_silently(sodium):
    objective = jn.Objective(jn.SpectrumTerm(SODIUM, sodium, NA1, sigma=1e-4))
    wide = objective.parameters().set("nmr/quadrupolar_spread", 3e5)
    assert np.isnan(objective.residuals(wide)).all()


def test_an_asymmetry_of_zero_or_one_is_explained(sodium):
    objective = jn.Objective(jn.SpectrumTerm(SODIUM, sodium, NA1.replace(eta_q=0.0), sigma=1e-4))
    values = objective.parameters()
    term = objective.bind(values.free("nmr/eta_q[Na1]")).terms[0]
    at = lambda params: term.warnings(objective.state(params.values))
    assert "does not depend on it to first order" in at(values)[0]
    # of the central transition alone no spectrum shows the sign
    assert "the largest asymmetry there is" in at(values.set("nmr/eta_q", 1.0))[0]
    assert "cq changes its sign" in at(values.set("nmr/eta_q", 1.0).set("nmr/zeta", 20.0))[0]
    assert at(values.set("nmr/eta_q", 0.5)) == ()


def test_noise_is_measured_in_the_region_without_signal(phosphorus):
    noisy = phosphorus.replace(values=np.asarray(phosphorus.values) + np.random.default_rng(0).normal(0, 2e-3, 256))
    term = jn.SpectrumTerm(PHOSPHORUS, noisy, [P1, P2], noise_ppm=(90.0, 60.0))
    assert float(term.sigma[0]) == pytest.approx(noisy.noise(60.0, 90.0))
    given = jn.SpectrumTerm(PHOSPHORUS, noisy.replace(sigma=np.full(256, 0.5)), [P1, P2], region_ppm=(50, -50))
    assert (np.asarray(given.sigma) == 0.5).all()


def test_the_axis_is_that_of_the_data_even_at_a_slightly_different_field(phosphorus):
    nominal = jn.SpectrumMAS("31P", b0_tesla=9.4003, mas_hz=4000.0, integration_density=30)
    term = jn.SpectrumTerm(nominal, phosphorus, [P1, P2], sigma=1e-3)
    assert term.simulation.larmor_hz == phosphorus.larmor_hz


BAD = [
    (dict(spectrum=lambda s: s.replace(isotope="29Si")), ConventionError, "shows 29Si, the simulation is of 31P"),
    (dict(spectrum=lambda s: s.replace(larmor_hz=2e8)), ConventionError, "give larmor_hz="),
    (dict(sites=[NA1]), ConventionError, "the sites are of 23Na"),
    (dict(sites=[]), ConventionError, "one isotope"),
    (dict(sites=[P1.replace(shift_ppm=900.0)]), DataError, "P1 at 900 ppm has no intensity"),
    (dict(region_ppm=(500.0, 600.0)), DataError, "fewer than 4 points between 500 and 600 ppm"),
    (dict(region_ppm=[1.0, 2.0, 3.0]), ConventionError, "expected (low, high)"),
    (dict(spectrum=lambda s: s.replace(values=np.where(np.arange(256) == 7, np.nan, s.values))), DataError, "point 8"),
    (dict(spectrum=lambda s: s.replace(values=-s.values)), DataError, "180 degrees"),
    (dict(spectrum=lambda s: s.replace(values=0 * s.values)), DataError, "no noise"),
    (dict(sigma=-1.0), DataError, "positive uncertainty"),
    (dict(baseline=-1), ConventionError, "baseline"),
    (dict(amplitudes="free"), ConventionError, "'fit' or 'keep'"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "error", "says"), BAD, ids=[says for *_, says in BAD])
def test_bad_input_is_refused_with_the_way_out(phosphorus, change, error, says):
    options = {"sites": [P1, P2], **change}
    spectrum = options.pop("spectrum", lambda s: s)(phosphorus)
    options.setdefault("sigma", None if says == "no noise" else 1e-3)
    with pytest.raises(error) as caught:
        jn.SpectrumTerm(PHOSPHORUS, spectrum, options.pop("sites"), **options)
    assert says in str(caught.value)


def test_two_distributions_on_one_site_are_refused(sodium):
    objective = jn.Objective(jn.SpectrumTerm(SODIUM, sodium, NA1, sigma=1e-4))
    params = objective.parameters().free("nmr/shielding_spread", "nmr/quadrupolar_spread")
    with pytest.raises(ConventionError, match="distribution of both tensors"):
        jn.refine(objective, params)


def test_asymmetries_and_widths_have_physical_bounds(sodium):
    params = jn.Objective(jn.SpectrumTerm(SODIUM, sodium, NA1, sigma=1e-4)).parameters()
    for name, value in (("nmr/eta_q", 1.1), ("nmr/gaussian", -1.0), ("nmr/lorentzian", -1.0), ("nmr/amplitude", -1.0)):
        with pytest.raises(ParameterError, match="outside its bounds"):
            params.set(name, value)


def test_a_spectrum_term_is_a_pytree_that_compiles_once(sodium):
    objective = jn.Objective(jn.SpectrumTerm(SODIUM, sodium, NA1, sigma=1e-4))
    value = jax.jit(lambda o, p: o(p))
    params = objective.parameters()
    first = value(objective, params)
    with watch_compilations() as watch:
        assert np.isfinite(first) and value(objective, params.set("nmr/shift", 4.0)) > first
    assert not watch.programs["<lambda>"]


def test_what_was_bound_for_few_parameters_is_differentiated_by_all_in_a_new_objective(sodium):
    objective = jn.Objective(jn.SpectrumTerm(SODIUM, sodium, NA1, sigma=1e-4))
    (few,) = objective.bind(objective.parameters().free("nmr/cq")).terms
    assert few.moving == (("cq", 0),) and not few.moving_mas
    assert jn.Objective(few).terms[0].moving == objective.terms[0].moving


def test_a_noise_region_on_the_signal_is_a_doubt_that_names_it(phosphorus):
    noisy = phosphorus.replace(values=np.asarray(phosphorus.values) + np.random.default_rng(1).normal(0.0, 2e-4, 256))

    def doubts(region):
        objective = jn.Objective(jn.SpectrumTerm(PHOSPHORUS, noisy, [P1, P2], baseline=2, noise_ppm=region))
        params = objective.parameters()
        shown = objective.terms[0].evidence(objective.host_state(params).plain())
        residuals = (shown.calculated - shown.observed) / shown.sigma
        return shown.doubts(shown.statistics(residuals, determined=4.0))

    assert doubts((70.0, 90.0)) == ()
    (sentence,) = doubts((-15.0, 15.0))
    assert "goodness of fit is 0.0" in sentence and "noise_ppm" in sentence and "noise_region_ppm" in sentence
