"""Functions of a crystal as sources of the state: an energy and its forces beside a pattern, derivatives, phases, errors."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_problems import DOUBLET, at_truth, histogram, rutile

import jaxnmr as jn
from jaxnmr.errors import ParameterError
from jaxnmr.objective import Provision, TensorRead
from jaxnmr.objective.objective import residuals_and_jacobian
from jaxnmr.objective.source import plan_sources

BONDS = jn.crystal.plan_pairs(rutile(), [("Ti1", "O1"), ("Ti1", "O1 5_555"), ("Ti1", "Ti1 1_556")])
# a little off those of the structure
LENGTHS = np.asarray(jn.crystal.distances(rutile(), BONDS)) + np.array([0.004, -0.002, 0.003])


def harmonic(crystal):
    """Sum of k/2 (d - d0)² over bonds, eV."""
    return 0.5 * 20.0 * jnp.sum((jn.crystal.distances(crystal, BONDS) - LENGTHS) ** 2)


@jn.source("harmonic")
def springs(crystal):
    """The energy and the slopes of it by fractional coordinates."""
    energy, slopes = jax.value_and_grad(lambda xyz: harmonic(crystal.replace(xyz=xyz)))(jnp.asarray(crystal.xyz))
    return {"energy": energy, "slopes": slopes}


@jn.term("rest", sigma=0.05)
def rest(state):
    """No forces, and little energy."""
    return jnp.append(state.of("slopes")[1], state.of("energy"))


@jn.term("volume")
def volume(state):
    return state.crystal.volume() - 62.0


@lru_cache
def pattern():
    """A pattern without noise, and the values of its parameters."""
    return histogram(rutile(), DOUBLET, np.arange(24.0, 60.0, 0.2))


@pytest.fixture(scope="module")
def objective():
    return jn.Objective(pattern()[0] + rest, crystal=rutile(), models=springs)


def test_terms_read_what_a_function_calculates(objective):
    state = objective.state(objective.parameters().values)
    assert state.of("energy") == pytest.approx(float(harmonic(rutile())))
    assert state.of("slopes").shape == (2, 3) and state.provisions[0] == Provision("rutile", "energy")
    np.testing.assert_allclose(objective.residuals(objective.parameters())[-1], state.of("energy") / 0.05)


def test_derivatives_of_energy_and_forces_are_central_differences(objective):
    params = objective.parameters().free("cell", "xyz", "xrd/scale")
    params = params.at(params.theta + 0.3)
    jacobian = np.asarray(objective.jacobian(params))[-4:]
    assert np.abs(jacobian[:, :3]).max() > 1.0
    for k, pivot in enumerate(params.spec.free_pivots):
        h = 1e-5 * params.spec.scale[pivot]
        moved = [params.at(params.theta + s * 1e-5 * np.eye(params.n_free)[k]) for s in (1.0, -1.0)]
        ends = [np.asarray(objective.residuals(p))[-4:] for p in moved]
        np.testing.assert_allclose(jacobian[:, k], (ends[0] - ends[1]) / (2 * h), rtol=1e-6, atol=1e-6)


def test_a_pattern_and_an_energy_are_refined_together(objective):
    params = at_truth(objective, xrd=pattern()[1]).set("xyz[O1.x]", 0.309).free("cell", "xyz", "xrd/scale", "u_iso")
    fit = jn.refine(objective, params)
    assert fit.converged
    # the energy alone has its minimum elsewhere, the pattern is exact: both have a say
    alone = jn.refine(jn.Objective(pattern()[0], crystal=rutile()), params, suggest=False)
    oxygen = lambda fit: float(fit.parameters["xyz[O1.x]"])
    slope = lambda crystal: float(
        jax.grad(lambda xyz: harmonic(crystal.replace(xyz=xyz)))(jnp.asarray(crystal.xyz))[1, 0]
    )
    assert abs(slope(fit.crystals["rutile"])) < abs(slope(alone.crystals["rutile"]))
    assert oxygen(alone) == pytest.approx(0.305, abs=1e-6) and abs(oxygen(fit) - 0.305) > 1e-5
    assert fit.objective.sources[0].record()["predicts"] == {"energy": [], "slopes": []}


def test_every_phase_has_its_own_values_and_sources_may_be_several():
    crystals = {"a": rutile(), "b": rutile().replace(cell=1.01 * np.array([4.594, 4.594, 2.959, 90, 90, 90]) ** 1.0)}
    size = jn.source("size")(lambda crystal: crystal.volume())
    objective = jn.Objective(jn.Prior("a/u_iso", 0.01, 0.1), crystal=crystals, models=[springs, size])
    state = objective.state(objective.parameters().values)
    assert state.of("energy", "a") != state.of("energy", "b")
    assert state.of("size", "a") == pytest.approx(float(rutile().volume()))
    with pytest.raises(ParameterError, match="no phase is named"):
        state.of("size")
    only = jn.Objective(jn.Prior("a/u_iso", 0.01, 0.1), crystal=crystals, models={"b": size})
    with pytest.raises(ParameterError, match=r"nothing predicts the size of 'a', only of \['b'\]"):
        only.state(only.parameters().values).of("size", "a")


def test_what_is_not_read_or_not_provided_is_known(objective):
    assert objective._reads() is None, "a term that reads what is provided without saying what"
    assert jn.Objective(volume, crystal=rutile(), models=springs)._reads() == ()
    named = type("Reading", (type(volume),), {"reads": (TensorRead("rutile", "energy", ()),)})
    assert named(sigma=1.0, function=volume.function, name="v").reads[0].head == "energy"
    with pytest.raises(ParameterError, match="no model of 'rutile' predicts 'stress'; there is energy, slopes"):
        objective.state(objective.parameters().values).of("stress")
    with pytest.raises(ParameterError, match="'harmonic' does not know how uncertain it is"):
        objective.host_state(objective.parameters()).prediction("energy")


def test_what_is_no_source_is_refused():
    crystals = {"rutile": rutile()}
    with pytest.raises(
        ParameterError, match=r"is no model; expected TensorModel\.load.* or a function .* with @jn\.source"
    ):
        plan_sources(harmonic, crystals)
    with pytest.raises(ParameterError, match="several models of 'rutile' predict energy, slopes"):
        plan_sources([springs, springs], crystals)


def test_states_are_compiled_without_what_only_the_host_knows(objective):
    """A `HostState` is for planning; handed to a compiled function it is a plain state."""
    host = objective.host_state(objective.parameters())
    plain = host.plain()
    assert type(plain) is jn.State and jax.tree.structure(plain) == jax.tree.structure(
        objective.state(objective.parameters().values)
    )
    with pytest.raises(TypeError):
        jax.jit(lambda state: state.of("energy"))(host)


def test_columns_of_a_bound_jacobian_serve_any_change_of_a_function(objective):
    params = objective.parameters().free("xrd/scale", "cell")
    bound, spec = objective.bind(params), params.spec
    change = spec.along([int(np.flatnonzero(spec.pivots == spec.match("xyz[O1.x]")[0])[0])])[:, 0]
    assert bound.columns_for(spec, change).tolist() == [0, 1, 2]
    arguments = (spec.layout, bound, params.offset(), spec.transform, params.theta)
    assert np.isfinite(residuals_and_jacobian(*arguments)[1]).all()
