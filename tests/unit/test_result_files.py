"""Files of results: whole or not there, in one envelope, read back with their kind checked."""

import json
import subprocess

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


def test_inputs_of_topspin_are_told_apart_and_their_folder_has_the_checksum_of_its_files(tmp_path):
    processed = tmp_path / "glass" / "10" / "pdata" / "1"
    processed.mkdir(parents=True)
    (processed / "1r").write_bytes(b"abc")
    (tmp_path / "glass" / "10" / "acqus").write_bytes(b"##END=")
    line, experiment = processed / "1r", tmp_path / "glass" / "10"
    inputs = envelope("refinement", "", {}, inputs=[line, experiment, tmp_path / "a.xy"])["inputs"]
    assert [of["file"] for of in inputs] == ["glass/10/pdata/1/1r", "glass/10", "a.xy"]
    assert inputs[0]["sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "FIPS 180-2"
    command = "sha256sum acqus pdata/1/1r | sha256sum"
    done = subprocess.run(command, shell=True, cwd=experiment, capture_output=True, text=True, check=True)
    assert inputs[1] == {"file": "glass/10", "bytes": 9, "sha256": done.stdout.split()[0]}
    (processed / "1r").write_bytes(b"abd")
    assert envelope("refinement", "", {}, inputs=[experiment])["inputs"][0]["sha256"] != inputs[1]["sha256"]


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
