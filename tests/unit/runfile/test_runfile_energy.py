"""``[[energy]]`` of a run file."""

import numpy as np
import pytest
from run_file_manual import documented

import jaxnmr as jn
from jaxnmr.errors import ParseError
from jaxnmr.runfile import build, load_run

jn.enable_x64()
PHASE = """
[[phase]]
name = "quartz"
cell = [4.9137, 4.9137, 5.4047, 90, 90, 120]
spacegroup = "P 32 2 1"
sites = [
  { label = "Si1", type = "Si", xyz = [0.4697, 0.0, 0.66667] },
  { label = "O1", type = "O", xyz = [0.4135, 0.2669, 0.7858] },
]
[[stage]]
free = ["xyz"]
"""


def load(tmp_path, text):
    path = tmp_path / "run.toml"
    path.write_text(PHASE + text, encoding="utf-8")
    return load_run(path)


def test_what_is_documented_is_read(tmp_path):
    text = documented("Energies")
    for key in ("name", "phase", "error_ev", "displacement", "weight"):
        text = text.replace(f"\n# {key} =", f"\n{key} =")
    (spec,) = load(tmp_path, text).energies
    assert (spec.name, spec.model, spec.phase) == ("energy", "chgnet-r2scan", "quartz")
    assert spec.error_ev == {"": 0.004} and spec.displacement == 0.01


def test_an_energy_becomes_a_weighted_term_with_its_model(tmp_path):
    text = """
[[energy]]
model = "bks"
error_ev = { Si = 0.02, others = 0.05 }
displacement = 0.02
weight = 2.0
"""
    objective = build(load(tmp_path, text)).objective
    (term,) = objective.terms
    np.testing.assert_array_equal(objective.weights, [2.0])
    np.testing.assert_array_equal(term.error.energies, [0.02, 0.05])
    assert term.error.displacement == 0.02
    assert [source.name for source in objective.sources] == ["bks"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('model = "chgnet"', r"\[\[energy\]\]: no energy model is called 'chgnet'"),
        ('model = "bks"\nerror_ev = -1', "error_ev"),
        ('model = "bks"\nerror_ev = { Si = 0.02 }', "others"),
        ('model = "bks"\nerror_ev = 0.01\nphase = "quarz"', "quarz"),
        ("error_ev = 0.01", "model"),
        ('model = "bks"', r"\[\[energy\]\]: .*give error_ev"),
        ('model = "bks"\nerror_ev = 0.01\n[[energy]]\nname = "b"\nmodel = "chik"\nerror_ev = 0.01', "several energies"),
    ],
)
def test_mistakes_are_named_with_their_table(tmp_path, lines, message):
    with pytest.raises(ParseError, match=message):
        build(load(tmp_path, "\n[[energy]]\n" + lines))


def test_an_element_without_parameters_is_named(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(
        PHASE.replace('type = "Si"', 'type = "Ti"') + '\n[[energy]]\nmodel = "bks"\nerror_ev = 0.01\n', encoding="utf-8"
    )
    with pytest.raises(ParseError, match="Si1 of quartz is Ti"):
        build(load_run(path))
