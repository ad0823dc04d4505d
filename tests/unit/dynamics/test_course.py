"""The file from which an average goes on."""

import jax
import numpy as np
import pytest

from jaxnmr.dynamics.course import Course, load_course, save_course
from jaxnmr.dynamics.state import Forces, State
from jaxnmr.errors import ConventionError, ParseError

ASKED = {"energy": "chik", "temperature": 300.0, "models": ["silica-efg"], "repeats": [2, 2, 2]}


def course() -> Course:
    rng = np.random.default_rng(1)
    state = State(
        positions=rng.normal(size=(4, 3)), vectors=5.0 * np.eye(3), velocities=rng.normal(size=(4, 3)),
        acting=Forces(energy=np.array(-1.5), forces=rng.normal(size=(4, 3)), virial=rng.normal(size=(3, 3))),
        key=jax.random.key(7), step=np.array(60),
    )  # fmt: skip
    columns = {"time_fs": [np.array(30.0), np.array(60.0)], "efg": list(rng.normal(size=(2, 4, 3, 3)))}
    return Course(
        state=state, begun=20, columns=columns, structure={"frames": np.array([1, 1]), "sum": np.ones((2, 4, 3))}
    )


def test_what_was_kept_comes_back(tmp_path):
    there = course()
    found = load_course(save_course(tmp_path / "course.npz", there, ASKED), ASKED)
    assert found.steps == 40 and found.frames == 2 and found.begun == 20
    for name, values in there.columns.items():
        assert np.array_equal(found.arrays()[name], np.array(values))
    for one, other in zip(jax.tree.leaves(found.state), jax.tree.leaves(there.state), strict=True):
        if not jax.dtypes.issubdtype(other.dtype, jax.dtypes.prng_key):
            assert np.array_equal(one, other)
    # random numbers to come are the same
    assert np.array_equal(jax.random.normal(found.state.key, (5,)), jax.random.normal(there.state.key, (5,)))
    assert np.array_equal(found.structure["sum"], there.structure["sum"])


def test_a_course_of_something_else_says_what_differs(tmp_path):
    file = save_course(tmp_path / "course.npz", course(), ASKED)
    with pytest.raises(ConventionError, match=r"temperature was 300\.0 and is 400\.0\. Use another folder"):
        load_course(file, ASKED | {"temperature": 400.0})
    with pytest.raises(ConventionError, match=r"models was \['silica-efg'\] and is \['silica-29si'\]"):
        load_course(file, ASKED | {"models": ["silica-29si"]})


def test_a_damaged_file_is_told(tmp_path):
    file = save_course(tmp_path / "course.npz", course(), ASKED)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(ParseError, match="damaged"):
        load_course(file, ASKED)
    # a byte that names the method of compression
    whole = bytearray(save_course(file, course(), ASKED).read_bytes())
    whole[whole.index(b"PK\x01\x02") + 10] = 99
    file.write_bytes(whole)
    with pytest.raises(ParseError, match="damaged"):
        load_course(file, ASKED)
    file.write_text("nothing of this kind")
    with pytest.raises(ParseError, match="not the course of an average"):
        load_course(file, ASKED)
    with pytest.raises(ParseError, match="does not exist"):
        load_course(tmp_path / "none.npz", ASKED)


def test_a_file_without_what_was_asked_is_told(tmp_path):
    file = tmp_path / "course.npz"
    for note in ("{}", "[]", '{"format": 1, "begun": 0}', "no json"):
        save_course(file, course(), ASKED)
        with np.load(file) as there:
            arrays = dict(there)
        np.savez(file, **(arrays | {"note": np.array(note)}))
        with pytest.raises(ParseError, match="not the course of an average, or damaged"):
            load_course(file, ASKED)


def test_a_course_that_does_not_say_its_structure_goes_on(tmp_path):
    file = save_course(tmp_path / "course.npz", course(), ASKED)
    assert load_course(file, ASKED | {"structure": "0123"}).frames == 2
    save_course(file, course(), ASKED | {"structure": "4567"})
    with pytest.raises(ConventionError, match="structure was '4567' and is '0123'"):
        load_course(file, ASKED | {"structure": "0123"})
