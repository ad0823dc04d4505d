import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr._struct import static
from jaxnmr.errors import DataError, ParameterError, PrecisionError
from jaxnmr.testing import assert_gradients

POINT = {"a": np.array([0.3, -1.2, 2.0]), "b": np.float64(2.0), "count": 3}


@jax.custom_jvp
def slightly_wrong(x):
    return x**2


slightly_wrong.defjvp(lambda primal, tangent: (primal[0] ** 2, 2.001 * primal[0] * tangent[0]))


class Squares(jn.Term):
    """A term with a fast derivative of its own, right when ``factor`` is 2."""

    name: str = static()
    factor: float = static()

    def residuals(self, state):
        return jnp.asarray(state["a"]) ** 2

    def jacobian(self, state, tangents):
        return self.factor * jnp.asarray(state["a"])[:, None] * tangents["a"].T


@pytest.fixture
def crystal():
    return jn.Crystal.create(
        cell=[4.916, 4.916, 5.4054, 90, 90, 120],
        spacegroup="P 32 2 1",
        species=["Si", "O"],
        labels=["Si1", "O1"],
        xyz=[[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.7858]],
        u_iso=[0.007, 0.0135],
        name="quartz",
    )


def test_right_derivatives_pass():
    assert_gradients(lambda p: jnp.sin(p["a"]) * p["b"] ** 3, POINT)


def test_a_derivative_wrong_by_half_a_per_mille_is_named_with_its_values():
    with pytest.raises(AssertionError, match=r"by \['a'\]\[2\]: forward mode 4\.002, central differences 4") as caught:
        assert_gradients(lambda p: slightly_wrong(p["a"]), POINT)
    assert "['b']" not in str(caught.value)


def test_reverse_mode_is_checked_by_itself():
    pair = jax.custom_jvp(lambda x: x**2)
    pair.defjvp(lambda p, t: (p[0] ** 2, linear_with_wrong_transpose(2.0 * p[0], t[0])))
    with pytest.raises(AssertionError, match="reverse mode") as caught:
        assert_gradients(lambda p: pair(p["a"]), POINT)
    assert "central differences" not in str(caught.value)


def linear_with_wrong_transpose(slope, t):
    return jax.custom_derivatives.linear_call(lambda s, t: s * t, lambda s, ct: 0.99 * s * ct, slope, t)


def test_a_derivative_that_is_not_finite_is_named():
    with pytest.raises(AssertionError, match=r"forward mode is not finite by \['a'\]\[0\]"):
        assert_gradients(lambda p: jnp.sqrt(p["a"] * 0.0), POINT)


def test_a_function_that_is_not_finite_is_not_differentiated():
    with pytest.raises(DataError, match="value 1 is not a number"):
        assert_gradients(lambda p: jnp.sqrt(p["a"]), POINT)


def test_a_kink_has_no_derivative():
    with pytest.raises(AssertionError, match="central differences"):
        assert_gradients(lambda p: jnp.abs(p["a"] - 2.0), POINT)


def test_a_terms_own_jacobian_is_held_against_forward_mode():
    assert_gradients(Squares(name="right", factor=2.0), {"a": POINT["a"]})
    with pytest.raises(AssertionError, match="the term's own jacobian"):
        assert_gradients(Squares(name="wrong", factor=2.1), {"a": POINT["a"]})


def test_bond_lengths_of_quartz_have_the_derivatives_they_claim(crystal):
    pairs = jn.crystal.plan_bonds(crystal).distinct()

    @jn.term("si_o", sigma=0.01)
    def si_o(state):
        return jn.crystal.distances(state.crystal, pairs) - 1.61

    objective = jn.Objective(si_o, crystal=crystal)
    assert_gradients(si_o, objective.state(objective.parameters().values))


def test_single_precision_is_refused(precision):
    state = {"a": np.arange(3, dtype=precision.dtype)}
    if precision.dtype == np.float64:
        assert_gradients(lambda p: p["a"] ** 2, state)
    else:
        with pytest.raises(PrecisionError, match="enable_x64"):
            assert_gradients(lambda p: p["a"] ** 2, state)


def test_a_state_without_numbers_is_refused():
    with pytest.raises(ParameterError, match="no real number"):
        assert_gradients(lambda p: jnp.ones(3), {"n": 3})
