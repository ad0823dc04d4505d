"""The contract of a term: residuals of a state; sums, weights, functions as terms."""

import jax.numpy as jnp
import pytest
from small_problems import monoclinic, rutile

import jaxnmr as jn
from jaxnmr import testing
from jaxnmr.errors import ParameterError
from jaxnmr.objective.term import FunctionTerm, TermSum


@jn.term("volume", sigma=2.0)
def volume(state):
    """Cell volume against a guess."""
    return state.crystal.volume() - 180.0


@jn.term("sums", sigma=0.5)
def sums(state):
    return jnp.stack([jnp.sum(state.crystal.xyz, axis=0), state.crystal.cell[:3]])


def test_a_function_becomes_a_term():
    objective = jn.Objective(volume, crystal=monoclinic())
    params = objective.parameters()
    expected = (monoclinic().volume() - 180.0) / 2.0
    assert objective.residuals(params).shape == (1,)
    assert objective.residuals(params)[0] == pytest.approx(expected)
    assert objective(params) == pytest.approx(expected**2 / 2)


def test_a_decorated_function_can_still_be_called():
    objective = jn.Objective(volume, crystal=monoclinic())
    state = objective.state(objective.parameters().values)
    assert isinstance(volume, FunctionTerm)
    assert volume(state) == pytest.approx(monoclinic().volume() - 180.0)


def test_residuals_of_any_shape_are_flattened():
    objective = jn.Objective(sums, crystal=monoclinic())
    assert objective.residuals(objective.parameters()).shape == (6,)


def test_derivatives_of_a_term_agree_with_each_other():
    state = jn.Objective(sums, crystal=monoclinic()).state(jn.Objective(sums, crystal=monoclinic()).parameters().values)
    testing.assert_gradients(sums, state)


def test_sums_and_weights_compose():
    total = volume + 2.0 * sums + 0.5 * (volume * 4 + sums)
    assert [t.name for t in total.terms] == ["volume", "sums", "volume", "sums"]
    assert total.weights == (1.0, 2.0, 2.0, 0.5)


@pytest.mark.parametrize("weight", [-1.0, float("nan")])
def test_a_weight_cannot_be_negative(weight):
    with pytest.raises(ParameterError, match="cannot have the weight"):
        weight * volume


def test_only_terms_can_be_added():
    with pytest.raises(ParameterError, match=r"1\.0 cannot be added to a term"):
        volume + 1.0


def test_a_class_that_defines_no_residuals_says_so():
    class Empty(jn.Term):
        name = "empty"

    with pytest.raises(ParameterError, match=r"term 'empty': its class Empty does not define residuals\(state\)"):
        Empty().residuals(None)


def test_a_state_knows_its_only_crystal_and_local_names():
    objective = jn.Objective(volume, crystal=monoclinic())
    state = objective.state(objective.parameters().values | {"xrd/zero": 0.1, "xrd2/zero": 0.2})
    assert state.crystal.labels == ("S1", "O1", "N1")
    assert state.local("xrd") == {"zero": 0.1}
    with pytest.raises(ParameterError, match=r"there are 2 phases: use state.crystals\[name\], \['a', 'b'\]"):
        jn.Objective(volume, crystal={"a": monoclinic(), "b": rutile()})


def test_a_term_that_reads_what_no_part_provides_says_what_it_asked_for():
    asks = lambda key: jn.term("asks")(lambda state: state.values[key] - state.crystals.get("mono", None).volume())
    params = jn.Objective(volume, crystal=monoclinic()).parameters()
    for key, expected in (
        ("xrd/scale", "term 'asks' asks for 'xrd/scale', which no part of the objective provides: it is no parameter"),
        ("u_isoo", "did you mean 'u_iso'"),
    ):
        with pytest.raises(ParameterError, match=expected):
            jn.Objective(asks(key), crystal=monoclinic()).residuals(params)
    other = jn.term("other")(lambda state: state.crystals["rutile"].volume())
    with pytest.raises(ParameterError, match=r"asks for 'rutile', .* and no phase"):
        jn.Objective(other, crystal=monoclinic()).residuals(params)


def test_an_objective_compares_something():
    with pytest.raises(ParameterError, match="give it at least one term"):
        jn.Objective(TermSum(), crystal=monoclinic())
    with pytest.raises(
        ParameterError, match=r"terms is a list; expected a Term or a TermSum, and sums of them: a . 2.0"
    ):
        jn.Objective([volume], crystal=monoclinic())


def test_a_term_that_forgets_to_return_is_named():
    with pytest.raises(ParameterError, match="term 'silent' returns nothing"):
        jn.Objective(jn.term("silent")(lambda state: None), crystal=monoclinic())
