"""An objective is a function of a pytree, as it is made: evaluated, differentiated, mapped and pickled, whatever its terms are."""

import pickle
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_problems import DOUBLET
from small_tensor_models import CUTOFF, SPECIES, quartz

import jaxnmr as jn
from jaxnmr.errors import ParameterError
from jaxnmr.models import HeadConfig, ModelCard, NetworkConfig, TensorModel

# random weights predict shieldings about 0
REFERENCE = jn.ShiftReference(1.0)
SPINNING = jn.SpectrumMAS("29Si", b0_tesla=9.4, mas_hz=5e3, integration_density=6)
FRAME = np.diag([-3.0, 1.0, 2.0])
# what every problem frees: two numbers that move atoms and a displacement, or parameters of a term
STRUCTURE = ("xyz[O1.x]", "cell[c]", "u_iso[Si1]")


@jn.term("angle", sigma=2.0)
def angle(state):
    """Reads what the network predicts without saying so, at the top level of a module."""
    return state.shift("17O", REFERENCE) + 0.1 * state.crystal.volume()


@lru_cache
def model() -> TensorModel:
    """One round of messages, with uncertainties of its own."""
    heads = (HeadConfig(name="shielding", irreps="0e+2e", elements=SPECIES), HeadConfig(name="efg", elements=("O",)))
    small = NetworkConfig(
        species=SPECIES, heads=heads, hidden="2x0e+1x1o+1x2e", layers=1, cutoff=CUTOFF, radial=4, radial_hidden=(4,)
    )
    ones = [1.0] * 5
    of = {"a": [3.0, 2.0], "b": [0.0, 0.0], "quantiles": {"l0": ones, "l2": ones, "iso": ones}}
    card = ModelCard(name="small", calibration={"shielding": dict.fromkeys(SPECIES, of)})
    scale = {head.name: np.ones((2, len(head.ranks))) for head in heads}
    return TensorModel.create(small, key=jax.random.key(3), scale=scale, dtype=np.float64).replace(card=card)


def spectrum() -> jn.Spectrum:
    frequency = (np.arange(64) - 32) * 30e3 / 64
    bump = np.exp(-0.5 * (frequency / 4e3) ** 2)
    return jn.Spectrum.create(frequency, bump, larmor_hz=SPINNING.larmor_hz, isotope="29Si", sigma=0.1, name="bump")


def pattern() -> jn.PatternTerm:
    x = np.arange(24.0, 46.0, 0.5)
    measured = jn.Pattern.create(x, np.full(x.shape, 10.0), instrument=DOUBLET)
    return jn.PatternTerm(jn.PowderDiffraction(), measured)


SITE = jn.Site(isotope="29Si", shift_ppm=0.0, zeta_ppm=20.0, eta=0.4, gaussian_hz=2000.0, label="Si1")
TERMS = {
    "peaks": (lambda: jn.PeakListTerm("29Si", [-1.0], sigma=0.3, reference=REFERENCE), STRUCTURE),
    "peaks, sigma of the model": (lambda: jn.PeakListTerm("29Si", [-1.0], sigma=0.3, sigma_model="model", reference=REFERENCE), STRUCTURE),
    "tensors, sigma of the model": (lambda: jn.TensorTerm("29Si", FRAME[None], sigma=0.3, sigma_model="model", reference=REFERENCE), STRUCTURE),
    "sites that are predicted": (lambda: jn.PredictedSpectrumTerm(SPINNING, spectrum(), reference=REFERENCE, gaussian_hz=2e3), ("xyz[O1.x]", "nmr/scale", "nmr/gaussian")),
    "sites": (lambda: jn.SpectrumTerm(SPINNING, spectrum(), SITE), ("nmr/shift", "nmr/zeta", "nmr/gaussian")),
    "pattern": (pattern, STRUCTURE),
    "couplings": (lambda: jn.CouplingTerm.across(quartz(), ("Si", "O", "Si"), [10.0], sigma=1.0, law=jn.CouplingLaw(0.0, -20.0)), STRUCTURE),
    "restraints": (lambda: jn.Restraint.bonds(quartz(), sigma=0.02), STRUCTURE),
    "prior": (lambda: jn.Prior("u_iso", 0.01, 0.002), STRUCTURE),
    "a function": (lambda: angle, STRUCTURE),
}  # fmt: skip


@pytest.fixture(scope="module", params=TERMS.values(), ids=TERMS)
def problem(request):
    make, free = request.param
    objective = jn.Objective(make(), crystal=quartz(), models=model())
    params = objective.parameters().free(*free)
    return objective, params.at(params.theta + 0.02)


mapped = jax.jit(lambda objective, many: jax.vmap(objective)(many))
value = jax.jit(lambda objective, params: objective(params))


def test_an_objective_is_evaluated_and_differentiated_as_it_is_made(problem):
    objective, params = problem
    transform = params.spec.transform

    def gradient(theta):
        found, by_value = jax.value_and_grad(objective)(params.at(theta))
        along = by_value.flat @ transform
        return along, (found, along)

    # one program: most of the time goes into compiling
    with_curvature = jax.jit(jax.jacfwd(gradient, has_aux=True))
    curvature, (found, along) = jax.tree.map(np.asarray, with_curvature(params.theta))
    residuals, jacobian = np.asarray(objective.residuals(params)), np.asarray(objective.jacobian(params))
    assert found == pytest.approx(0.5 * residuals @ residuals)
    scale = params.spec.scale[params.spec.free_pivots]
    np.testing.assert_allclose(along, residuals @ jacobian * scale, rtol=1e-7, atol=1e-9 * np.abs(along).max())
    assert curvature.shape == (params.n_free, params.n_free) and np.isfinite(curvature).all()
    np.testing.assert_allclose(curvature, curvature.T, rtol=1e-6, atol=1e-8 * np.abs(curvature).max())
    for k in range(params.n_free):
        step = 1e-4 * np.eye(params.n_free)[k]
        after, before = (with_curvature(params.theta + sign * step)[1][1] for sign in (1, -1))
        np.testing.assert_allclose(
            curvature[k], (after - before) / 2e-4, rtol=1e-4, atol=1e-5 * np.abs(curvature).max()
        )


def test_an_objective_is_mapped_over_perturbed_parameters_and_pickled(problem):
    objective, params = problem
    many = jn.perturb(params, jax.random.key(1), n=3, sigma=0.05)
    chi2 = mapped(objective, many)
    single = [float(value(objective, params.replace(flat=many.flat[k]))) for k in range(3)]
    np.testing.assert_allclose(chi2, single, rtol=1e-9)
    again = pickle.loads(pickle.dumps(objective))
    assert float(value(again, params)) == float(value(objective, params))


def test_binding_is_for_what_is_free_and_for_these_very_values():
    objective = jn.Objective(TERMS["sites that are predicted"][0](), crystal=quartz(), models=model())
    params = objective.parameters()
    everything, scale = objective.terms[0], objective.bind(params.free("nmr/scale")).terms[0]
    assert scale.moving == () and "shift_ppm" in everything.moving
    away = params.set("nmr/reference", -29.0).free("nmr/scale")
    assert objective.bind(away).terms[0].planned["shift"] == pytest.approx(scale.planned["shift"] - 30.0)


def test_a_bound_term_is_bound_again_in_another_objective():
    (bound,) = jn.Objective(TERMS["peaks"][0](), crystal=quartz(), models=model()).terms
    several = {"a": quartz(), "b": quartz()}
    with pytest.raises(ParameterError, match="no phase is named"):
        jn.Objective(bound, crystal=several, models=model())
    other = jn.Objective(bound.replace(phase="b"), crystal=several, models=model())
    assert other.terms[0].at.phase == "b" and bound.at.phase == "quartz"
    assert float(other(other.parameters())) > 0.0


def test_functions_that_no_module_holds_cannot_be_pickled_and_say_so():
    local = jn.term("here")(lambda state: state.crystal.volume())
    with pytest.raises(
        ParameterError, match=r"the function of term 'here', '.*<lambda>', cannot be pickled: .*Define it with def"
    ):
        pickle.dumps(jn.Objective(local, crystal=quartz()))
    assert pickle.loads(pickle.dumps(angle)).function is angle.function


def test_refined_numbers_may_be_traced():
    params = jn.Objective(angle, crystal=quartz(), models=model()).parameters().free("cell", "xyz")
    flat = jax.jit(lambda theta: params.at(theta).flat)(params.theta + 1.0)
    np.testing.assert_allclose(flat, params.at(params.theta + 1.0).flat, rtol=1e-12)
    assert isinstance(params.at(jnp.asarray(params.theta)).flat, np.ndarray)
