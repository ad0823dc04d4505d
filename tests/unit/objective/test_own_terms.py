"""Terms of somebody's own: what cannot work is refused when the objective is made, and the message names the term."""

import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_problems import rutile

import jaxnmr as jn
from jaxnmr.errors import ParameterError, ShapeError


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


class Silent(jn.Term):
    name: str = jn.static()


class Wide(jn.Term):
    name: str = jn.static()

    def residuals(self, state):
        return jnp.zeros((3, 2))


class Number(jn.Term):
    name: str = jn.static()

    def residuals(self, state):
        return state.crystal.volume()


class Whole(jn.Term):
    name: str = jn.static()

    def residuals(self, state):
        return jnp.zeros(3, dtype=int)


class Plain(jn.Term):
    name: str = jn.static()

    def residuals(self, state):
        return np.sqrt(state.crystal.xyz).ravel()


class Nameless(jn.Term):
    def residuals(self, state):
        return jnp.zeros(3)


def numpy_inside(state):
    return np.sqrt(state.crystal.volume())


def decides(state):
    return state.crystal.volume() if state.crystal.volume() > 3 else 0.0


def counts(state):
    return jnp.zeros(int(state.crystal.volume()))


def shifted(state):
    return state.shift("29Si")


def nothing(state):
    return None


REFUSED = [
    (jn.term("mine")(numpy_inside), ParameterError, "jnp in place of np"),
    (jn.term("mine")(decides), ParameterError, "use jnp.where"),
    (jn.term("mine")(counts), ParameterError, "plain number of a traced value"),
    (jn.term("mine")(nothing), ParameterError, "returns nothing"),
    (Plain(name="mine"), ParameterError, "jnp in place of np"),
    (Silent(name="mine"), ParameterError, "does not define residuals"),
    (Wide(name="mine"), ShapeError, r"shape \(3, 2\); expected one dimension"),
    (Number(name="mine"), ShapeError, r"shape \(\)"),
    (Whole(name="mine"), ShapeError, "expected real numbers"),
]


@pytest.mark.parametrize(("term", "error", "says"), REFUSED, ids=[says for *_, says in REFUSED])
def test_a_term_that_cannot_work_is_refused_when_the_objective_is_made(term, error, says):
    with pytest.raises(error, match=says) as caught:
        jn.Objective(term, crystal=rutile())
    assert "'mine'" in str(caught.value)


def test_the_line_that_cannot_be_traced_is_shown():
    with pytest.raises(
        ParameterError, match=r"test_own_terms.py, line \d+: return np.sqrt\(state.crystal.volume\(\)\)"
    ):
        jn.Objective(jn.term("mine")(numpy_inside), crystal=rutile())


def test_a_missing_model_is_refused_when_the_objective_is_made():
    with pytest.raises(ParameterError, match="nothing predicts the shielding"):
        jn.Objective(jn.term("mine")(shifted), crystal=rutile())


def test_a_term_needs_a_name():
    with pytest.raises(ParameterError, match="class Nameless"):
        jn.Objective(Nameless(), crystal=rutile())
    for name in ("", numpy_inside):
        with pytest.raises(ParameterError, match=r"expected a text, as in @jn.term\("):
            jn.term(name)


def test_terms_add_up_with_sum_and_weigh_by_numbers_only():
    terms = [jn.Prior("u_iso[Ti1]", 0.01, 0.001), jn.Prior("u_iso[O1]", 0.01, 0.001)]
    total = sum(2.0 * term for term in terms)
    assert total.weights == (2.0, 2.0) and total.terms == tuple(terms)
    assert sum(terms).terms == tuple(terms)
    for weight in ("2", -1.0, float("inf"), [1, 2]):
        with pytest.raises(ParameterError, match="cannot have the weight"):
            terms[0] * weight
    for other in (3, None, "xrd", [terms[1]]):
        for added_to in (terms[0], total):
            with pytest.raises(ParameterError, match="cannot be added to a term; terms and weighted terms can"):
                added_to + other
    with pytest.raises(ParameterError, match="3 cannot be added to a term"):
        3 + terms[0]


@jn.term("volume", sigma=2.0)
def volume(state):
    return state.crystal.volume() - 60.0


def test_an_objective_with_a_function_is_pickled_and_says_where_its_function_is_looked_for(tmp_path):
    objective = jn.Objective(volume, crystal=rutile())
    params = objective.parameters()
    again = pickle.loads(pickle.dumps(objective))
    assert float(again(params)) == float(objective(params)) != 0.0
    place = tmp_path / "objective.pickle"
    place.write_bytes(pickle.dumps(objective.terms[0]).replace(__name__.encode(), b"x" * len(__name__)))
    load = f"import pickle; pickle.load(open({str(place)!r}, 'rb'))"
    done = subprocess.run([sys.executable, "-c", load], capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert "ParameterError" in last and "'volume'" in last and "module that both processes import" in last
