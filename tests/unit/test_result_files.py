"""Files of results: whole or not there, in one envelope, read back with their kind checked."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnmr._files import write_atomically
from jaxnmr._record import envelope, read_record, write_record
from jaxnmr._tables import markdown, plain
from jaxnmr.errors import ParseError


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_atomically(path, "Rössler\n")
    assert path.read_bytes() == "Rössler\n".encode()
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"] and path.read_text("utf-8") == "Rössler\n"
    with pytest.raises(OSError):
        write_atomically(tmp_path / "nowhere" / "a.txt", b"")


def test_an_envelope_holds_plain_finite_numbers_and_comes_back(tmp_path):
    result = {"a": np.float32(1.5), "b": [np.nan, np.inf, 2], "c": jnp.arange(2), "d": (True, None), 3: np.eye(1)}
    record = envelope("screening", "a title", result, inputs=[tmp_path / "gone"], packages=("flax", "no-such-package"))
    assert record["result"] == {"a": 1.5, "b": [None, None, 2], "c": [0, 1], "d": [True, None], "3": [[1.0]]}
    assert record["inputs"] == [{"file": "gone", "bytes": None, "sha256": None}]
    assert record["versions"]["no-such-package"] == "not installed as a package" and "flax" in record["versions"]
    assert read_record(write_record(tmp_path / "r.json", record), "screening") == record


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is no record"),
        ("[]", "has the schema None and the kind None; expected 2 and 'candidate'"),
        ('{"schema": 1, "kind": "candidate"}', "has the schema 1"),
        ('{"schema": 2, "kind": "training"}', "the kind 'training'"),
    ],
)
def test_what_is_no_record_of_the_kind_asked_for_is_an_error_with_its_place(tmp_path, text, says):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(ParseError, match=says) as caught:
        read_record(path, "candidate")
    assert "r.json" in str(caught.value)


def test_records_are_strict_json(tmp_path):
    path = write_record(tmp_path / "r.json", envelope("refinement", "t", {"x": float("nan")}))
    assert json.loads(path.read_text(), parse_constant=lambda text: pytest.fail(text))["result"] == {"x": None}


def test_tables_align_numbers_to_the_right():
    rows = [("one", 1.5, "-"), ("a|b", 10, "−3")]
    assert plain(("what", "n", "m"), rows).splitlines() == [
        "what    n   m",
        "-------------",
        "one   1.5   -",
        "a|b    10  −3",
    ]
    assert markdown(("what", "n", "m"), rows).splitlines()[1:] == [
        "|:--|--:|--:|",
        "| one | 1.5 | - |",
        "| a\\|b | 10 | −3 |",
    ]
