"""Objectives: sums of weighted terms over shared structures; compiled, differentiated, mapped."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_problems import DOUBLET, Equations, anatase, at_truth, histogram, monoclinic, rutile, values_of

import jaxnmr as jn
from jaxnmr._compilations import watch_compilations
from jaxnmr.errors import ConventionError, ParameterError


@jn.term("volume", sigma=2.0)
def volume(state):
    return state.crystal.volume() - 180.0


@jn.term("shape", sigma=0.5)
def shape(state):
    return state.crystal.cell[:3] - 6.0


@pytest.fixture(scope="module")
def powder():
    term, true = histogram(rutile(), DOUBLET, np.arange(24, 60, 0.15))
    objective = jn.Objective(term, crystal=rutile())
    return objective, at_truth(objective, xrd=true)


def test_an_objective_is_half_the_sum_of_squares():
    objective = jn.Objective(volume + shape, crystal=monoclinic())
    params = objective.parameters()
    r = objective.residuals(params)
    assert r.shape == (4,)
    assert objective(params) == pytest.approx(0.5 * np.sum(np.asarray(r) ** 2))


def test_a_weight_multiplies_chi_squared():
    params = jn.Objective(volume + shape, crystal=monoclinic()).parameters()
    chi2 = {name: 2 * jn.Objective(t, crystal=monoclinic())(params) for name, t in {"v": volume, "s": shape}.items()}
    mixed = jn.Objective(3.0 * volume + 0.25 * shape, crystal=monoclinic())
    assert 2 * mixed(params) == pytest.approx(3.0 * chi2["v"] + 0.25 * chi2["s"])
    assert jn.Objective(0.0 * volume + shape, crystal=monoclinic())(params) == pytest.approx(chi2["s"] / 2)


def test_terms_can_be_added_to_an_objective():
    objective = jn.Objective(volume, crystal=monoclinic()) + 2.0 * shape
    assert [t.name for t in objective.terms] == ["volume", "shape"]
    assert objective.weights.tolist() == [1.0, 2.0]


def test_rows_belong_to_terms():
    objective = jn.Objective(volume + shape, crystal=monoclinic())
    assert objective.row_slices(objective.parameters()) == {"volume": slice(0, 1), "shape": slice(1, 4)}


def test_terms_with_the_same_name_are_refused():
    with pytest.raises(ParameterError, match="several terms are called volume"):
        jn.Objective(volume + volume, crystal=monoclinic())


def test_an_objective_without_parameters_is_refused():
    with pytest.raises(ParameterError, match="has no parameters"):
        jn.Objective(volume)


def test_a_term_brings_its_own_parameters():
    objective = jn.Objective(Equations(lambda x: x - 3.0, [1.0, 2.0]) + volume, crystal=monoclinic())
    params = objective.parameters()
    assert params["problem/x[b]"] == 2.0
    assert objective.residuals(params.set("problem/x", 3.0))[:2].tolist() == [0.0, 0.0]


def test_one_phase_has_plain_names_and_several_have_their_own():
    one = jn.Objective(volume, crystal=monoclinic()).parameters()
    assert set(one.values) == {"cell", "xyz", "u_iso", "u_aniso", "occupancy"}
    two = jn.Objective(jn.Prior("b/u_iso[O1]", 0.01, 0.001), crystal={"b": monoclinic(), "a": rutile()}).parameters()
    assert {name.split("/")[0] for name in two.values} == {"a", "b"}


# -- compiled, differentiated, mapped ----------------------------------------------------------------------------------
def test_an_objective_can_be_compiled_and_handed_over():
    objective = jn.Objective(2.0 * volume + shape, crystal=monoclinic())
    params = objective.parameters()
    assert jax.jit(objective)(params) == pytest.approx(objective(params))
    assert jax.jit(lambda o, p: o(p))(objective, params) == pytest.approx(objective(params))


def test_the_gradient_of_an_objective_is_a_set_of_parameters(powder):
    objective, params = powder
    params = params.set("cell", [4.60, 4.60, 2.96, 90, 90, 90])
    gradient = jax.jit(jax.grad(objective))(params)
    assert gradient.labels == params.labels
    for name in ("cell[a]", "xyz[O1.x]", "xrd/scale[rutile]", "xrd/background[1]"):
        k = params.labels.index(name)
        h = 1e-5 * params.spec.scale[k]
        ends = [
            float(jax.jit(objective)(params.replace(flat=params.flat + s * h * np.eye(params.flat.size)[k])))
            for s in (1, -1)
        ]
        assert gradient[name] == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-5)


def test_an_objective_maps_over_perturbed_parameters(powder):
    objective, params = powder
    params = params.free("xyz", "u_iso", "xrd/scale")
    many = jn.perturb(params, jax.random.key(3), n=5, sigma=0.3)
    energies = jax.jit(jax.vmap(objective))(many)
    assert energies.shape == (5,)
    single = [float(jax.jit(objective)(params.replace(flat=many.flat[k]))) for k in range(5)]
    np.testing.assert_allclose(energies, single, rtol=1e-9)
    assert objective(params) < energies.min()


def test_other_data_of_the_same_shape_need_no_new_program(powder):
    objective, params = powder
    compiled = jax.jit(lambda o, p: o(p))
    compiled(objective, params)
    term = objective.terms[0]
    with watch_compilations() as watch:
        compiled(objective.replace(terms=(term.replace(observed=term.observed + 1.0),)), params.set("u_iso", 0.02))
    assert not watch.programs["<lambda>"]


# -- patterns ----------------------------------------------------------------------------------------------------------
def test_a_perfect_model_has_no_residuals(powder):
    objective, params = powder
    np.testing.assert_allclose(objective.residuals(params), 0.0, atol=1e-9)


def test_residuals_are_calculated_minus_observed_in_standard_uncertainties(powder):
    objective, params = powder
    term = objective.terms[0]
    higher = objective.residuals(params.set("xrd/background[0]", 60.0))
    np.testing.assert_allclose(higher, 10.0 / term.sigma, rtol=1e-9)


def test_excluded_points_are_no_residuals():
    x = np.arange(24, 60, 0.15)
    pattern = jn.Pattern.create(x, np.full(x.shape, 10.0), instrument=DOUBLET).excluding((30.0, 40.0))
    objective = jn.Objective(jn.PatternTerm(jn.PowderDiffraction(), pattern), crystal=rutile())
    assert objective.residuals(objective.parameters()).size == ((x < 30) | (x > 40)).sum()
    assert objective.terms[0].excluded == ((30.0, 40.0),)


def test_phases_that_are_not_there_are_refused():
    x = np.arange(24, 60, 0.15)
    pattern = jn.Pattern.create(x, np.full(x.shape, 10.0), instrument=DOUBLET)
    with pytest.raises(ConventionError, match=r"phases names \['TiO2'\], but the phases are \['rutile'\]"):
        jn.Objective(jn.PatternTerm(jn.PowderDiffraction(phases=["TiO2"]), pattern), crystal=rutile())
    with pytest.raises(ParameterError, match="'xrd' is a powder pattern, and the objective has no crystal"):
        jn.Objective(jn.PatternTerm(jn.PowderDiffraction(), pattern))


def test_a_term_of_another_phase_is_refused():
    x = np.arange(24, 60, 0.15)
    pattern = jn.Pattern.create(x, np.full(x.shape, 10.0), instrument=DOUBLET)
    (term,) = jn.Objective(jn.PatternTerm(jn.PowderDiffraction(), pattern), crystal={"TiO2": rutile()}).terms
    with pytest.raises(ParameterError, match=r"'xrd' was planned for \['TiO2'\], the objective has \['rutile'\]"):
        jn.Objective(term, crystal=rutile())


def test_phases_may_come_in_any_order():
    x = np.arange(24, 60, 0.15)
    pattern = jn.Pattern.create(x, np.full(x.shape, 10.0), instrument=DOUBLET)
    phases = {"rutile": rutile(), "anatase": anatase()}
    term = jn.PatternTerm(jn.PowderDiffraction(), pattern)
    objective = jn.Objective(term, crystal=dict(reversed(phases.items())))
    params = objective.parameters().set("xrd/scale[anatase]", 0.0)
    own = jn.Objective(jn.PatternTerm(jn.PowderDiffraction(phases=["rutile"]), pattern), crystal=phases)
    ours = objective.terms[0].calculated(objective.state(values_of(params)))
    np.testing.assert_allclose(
        ours, own.terms[0].calculated(own.state(values_of(own.parameters()))), rtol=1e-4, atol=1e-3
    )


def test_a_histogram_needs_a_wavelength():
    x = np.arange(24, 60, 0.15)
    pattern = jn.Pattern.create(x, np.full(x.shape, 10.0), name="mine")
    with pytest.raises(ConventionError, match="mine does not say which wavelength"):
        jn.PatternTerm(jn.PowderDiffraction(), pattern)


def test_jnp_and_numpy_values_give_the_same_state():
    objective = jn.Objective(volume, crystal=monoclinic())
    params = objective.parameters()
    assert volume(objective.state(params.values)) == pytest.approx(float(volume(objective.state(values_of(params)))))
    assert isinstance(objective(params.replace(flat=jnp.asarray(params.flat))), jax.Array)
