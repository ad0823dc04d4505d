"""The fast Jacobian of a spectrum term against automatic differentiation and central differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn

QUADRUPOLAR = jn.Site(
    isotope="23Na", shift_ppm=4.0, zeta_ppm=60.0, eta=0.4, cq_hz=2.2e6, eta_q=0.3, euler_deg=(20.0, 50.0, 10.0),
    gaussian_hz=900.0, lorentzian_hz=150.0, label="Na1",
)  # fmt: skip
SITES = [QUADRUPOLAR, QUADRUPOLAR.replace(shift_ppm=-30.0, cq_hz=1.8e6, euler_deg=(70.0, 30.0, 40.0), label="Na2")]


def objective_of(simulation, sites, points=160, width_hz=60e3, **options):
    clean = simulation.simulate(sites, points=points, width_hz=width_hz)
    noisy = np.asarray(clean.values) + np.random.default_rng(2).normal(0.0, 2e-4, points)
    term = jn.SpectrumTerm(simulation, clean.replace(values=noisy), sites, baseline=3, sigma=2e-4, **options)
    return jn.Objective(term)


@pytest.fixture(scope="module")
def spinning():
    simulation = jn.SpectrumMAS("23Na", b0_tesla=9.4, mas_hz=9e3, integration_density=16)
    return objective_of(simulation, SITES)


def refined(objective, *patterns):
    """Parameters away from special values, and the objective as a refinement binds it."""
    params = objective.parameters().set("nmr/phase0", 8.0).set("nmr/phase1", 20.0).set("nmr/scale", 1.3).free(*patterns)
    return objective.bind(params), params


@jax.jit
def automatic(objective, params):
    residuals = lambda flat: objective.residuals(params.replace(flat=flat))
    directions = jnp.asarray(params.spec.transform.T)
    return jax.vmap(lambda d: jax.jvp(residuals, (params.flat,), (d,))[1], out_axes=1)(directions)


@jax.jit
def gradient(objective, params):
    return jax.grad(objective)(params).flat


residuals_of = jax.jit(lambda objective, params: objective.residuals(params))


def plain(objective, params):
    params = params.replace(flat=jnp.asarray(params.flat))
    return np.asarray(automatic(objective, params)) / params.spec.scale[params.spec.free_pivots]


def assert_close(fast, reference, tolerance):
    scale = np.abs(reference).max(axis=0)
    assert (scale > 0).all(), "every parameter has an effect"
    np.testing.assert_allclose(fast / scale, reference / scale, atol=tolerance, rtol=0)


EVERYTHING = ("nmr/shift", "nmr/zeta", "nmr/eta", "nmr/cq", "nmr/eta_q", "nmr/euler", "nmr/amplitude", "nmr/gaussian")
EVERYTHING += ("nmr/lorentzian", "nmr/scale", "nmr/baseline", "nmr/phase0", "nmr/phase1", "nmr/mas")


def test_the_fast_jacobian_is_the_automatic_one_for_every_parameter(spinning):
    objective, params = refined(spinning, *EVERYTHING)
    assert_close(objective.jacobian(params), plain(objective, params), 1e-8)


def test_the_fast_jacobian_is_the_slope_of_central_differences(spinning):
    objective, params = refined(spinning, *EVERYTHING)
    jacobian = np.asarray(objective.jacobian(params))
    for k, name in enumerate(params.free_names):
        pivot = params.spec.free_pivots[k]
        step = 1e-2 * params.spec.scale[pivot]
        ends = [
            np.asarray(
                residuals_of(
                    objective, params.replace(flat=params.flat + s * step * (np.arange(len(params.flat)) == pivot))
                )
            )
            for s in (1, -1)
        ]
        numeric = (ends[0] - ends[1]) / (2 * step)
        assert np.linalg.norm(jacobian[:, k] - numeric) < 1e-4 * np.linalg.norm(numeric), name


def test_tied_parameters_and_parts_of_the_sites_are_differentiated_alike(spinning):
    params = (
        spinning.parameters()
        .tie("nmr/gaussian[Na2]", "nmr/gaussian[Na1]")
        .tie("nmr/cq[Na2]", "nmr/cq[Na1]", factor=0.6)
    )
    params = params.free("nmr/gaussian", "nmr/cq", "nmr/shift[Na2]", "nmr/baseline[1]")
    assert "nmr/gaussian[Na2]" in params.moved_names
    objective = spinning.bind(params)
    assert_close(objective.jacobian(params), plain(objective, params), 1e-8)


def test_a_parameter_that_was_not_announced_gives_no_wrong_derivative(spinning):
    objective, params = refined(spinning, "nmr/shift")
    wider = params.free("nmr/cq[Na1]", "nmr/baseline")
    jacobian = np.asarray(objective.jacobian(wider))
    unknown = np.array([name == "nmr/cq[Na1]" for name in wider.free_names])
    assert np.isnan(jacobian[:, unknown]).all() and np.isfinite(jacobian[:, ~unknown]).all()


@pytest.mark.parametrize("mas_hz", [0.0, 3000.0])
def test_spectra_of_spin_one_half_have_exact_derivatives_at_rest_and_spinning(mas_hz):
    kind = jn.SpectrumMAS if mas_hz else jn.SpectrumStatic
    speed = {"mas_hz": mas_hz} if mas_hz else {}
    simulation = kind("31P", b0_tesla=9.4, integration_density=54, **speed)
    site = jn.Site(isotope="31P", zeta_ppm=30.0, eta=0.5, gaussian_hz=600.0, lorentzian_hz=50.0, label="P1")
    objective = objective_of(simulation, [site], width_hz=30e3)
    names = [n for n in EVERYTHING if n.split("/")[1] not in ("cq", "eta_q", "euler") and (mas_hz or n != "nmr/mas")]
    objective, params = refined(objective, *names)
    assert_close(objective.jacobian(params), plain(objective, params), 1e-8)


def test_the_gradient_of_the_objective_is_the_jacobian_on_the_residuals(spinning):
    objective, params = refined(spinning, *EVERYTHING)
    slope = np.asarray(gradient(objective, params))[params.spec.free_pivots]
    expected = np.asarray(objective.jacobian(params)).T @ np.asarray(objective.residuals(params))
    np.testing.assert_allclose(slope, expected, rtol=1e-7)


@pytest.mark.parametrize("special", [{"nmr/eta": 0.0, "nmr/eta_q": 0.0}, {"nmr/cq": 0.0, "nmr/zeta": 0.0}])
def test_derivatives_are_finite_at_axial_and_vanishing_tensors(spinning, special):
    objective, params = refined(spinning, *EVERYTHING)
    flat = np.array(params.flat)
    for name, value in special.items():
        flat[params.spec.match(name)] = value
    params = params.replace(flat=flat)
    assert np.isfinite(objective.jacobian(params)).all() and np.isfinite(gradient(objective, params)).all()


def test_the_width_of_a_distribution_of_field_gradients_has_the_slope_of_central_differences():
    simulation = jn.SpectrumMAS("27Al", b0_tesla=14.1, integration_density=10)
    site = jn.Site(isotope="27Al", shift_ppm=60.0, quadrupolar_spread_hz=1.5e6, gaussian_hz=2500.0, label="Al1")
    data = jn.Spectrum.create(
        np.arange(-10e3, 20e3, 1e3), np.ones(30), larmor_hz=simulation.larmor_hz, isotope="27Al", sigma=1.0
    )
    objective = jn.Objective(jn.SpectrumTerm(simulation, data, site))
    params = objective.parameters().free("nmr/quadrupolar_spread")
    objective = objective.bind(params)
    slope = np.asarray(objective.jacobian(params))[:, 0]
    ends = [np.asarray(residuals_of(objective, params.set("nmr/quadrupolar_spread", 1.5e6 + d))) for d in (3e3, -3e3)]
    numeric = (ends[0] - ends[1]) / 6e3
    assert np.linalg.norm(slope - numeric) < 1e-3 * np.linalg.norm(numeric)
