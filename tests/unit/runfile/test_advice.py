"""Advice of errors reaches people who write run files in the language of run files."""

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr import cli
from jaxnmr.runfile.advice import in_keys

TOLD = [
    ("choose one with bank=1 ... bank=3", "choose one with bank = 1 ... 3"),
    ("ask for transitions='all'", 'ask for transitions = "all"'),
    ("say signed=True", "say signed = true"),
    ("name those that are meant with sites=", "name those that are meant with sites"),
    ("name the measured ones with sites=, some of Si1", "name the measured ones with sites, some of Si1"),
    ("Give spacegroup='P 4/n:1' or 'P 4/n:2'", "Give spacegroup = \"P 4/n:1\" or 'P 4/n:2'"),
    ("Choose one with block='b'", 'Choose one with entry = "b"'),
    ("give larmor_hz=79495000.0", "give larmor_mhz = 79.495"),
    ("all parameters are fixed: free some, e.g. params.free('cell', 'xyz')", 'fixed: free some in a [[stage]], free = ["cell", "xyz"]'),
    ("nothing predicts the efg of 'a': give the objective a model, Objective(..., models=model)", "give the run a [[model]]"),
    ("'xrd' is a powder pattern, and the objective has no crystal: give it crystal=", "and the run has no [[phase]]: give it one"),
]  # fmt: skip


@pytest.mark.parametrize(("python", "toml"), TOLD, ids=[toml for _, toml in TOLD])
def test_arguments_become_keys(python, toml):
    assert toml in in_keys(python)
    assert in_keys(in_keys(python)) == in_keys(python), "twice is once"


def test_what_a_file_says_and_what_python_calls_are_left_alone():
    for text in ("found 'a=b' among the numbers", "--share K/N", "a == b", "chi2 <= 3"):
        assert in_keys(text) == text


def command(folder, text, *flags, name="refine"):
    (folder / "run.toml").write_text(text, encoding="utf-8")
    return cli.main([name, str(folder / "run.toml"), "--out", str(folder / "out"), "--no-cache", *flags])


PHASE = """
[[phase]]
name = "salt"
cell = [5.64, 5.64, 5.64, 90, 90, 90]
spacegroup = "F m -3 m"
sites = [{ label = "Na1", type = "Na", xyz = [0, 0, 0] }, { label = "Cl1", type = "Cl", xyz = [0.5, 0.5, 0.5] }]
"""
HISTOGRAM = '[[histogram]]\nname = "xrd"\nfile = "data.xy"\nwavelength = 1.5406\n'


@pytest.fixture
def folder(tmp_path):
    x = np.arange(20.0, 60.0, 0.5)
    jn.write_pattern((x, 100.0 + 0 * x), tmp_path / "data.xy")
    return tmp_path


CIF = """data_{name}
_symmetry_space_group_name_H-M 'P 1'
_cell_length_a 4
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Si1 0 0 0
"""
ASKED = [
    (PHASE + HISTOGRAM, '[[stage]], free = ["cell", "xyz"]'),
    (PHASE + HISTOGRAM.replace("wavelength = 1.5406\n", ""), "give wavelength = 1.5406"),
    ('[[phase]]\nname = "two"\nfile = "two.cif"\n' + HISTOGRAM, "entry"),
    (
        PHASE
        + '[[peaks]]\nname = "na"\nnucleus = "23Na"\nshifts_ppm = [1.0]\nsigma = 0.1\nreference = { reference_ppm = 300.0 }\n',
        "[[model]]",
    ),
]


@pytest.mark.parametrize(("text", "advice"), ASKED, ids=[advice for _, advice in ASKED])
def test_advice_on_the_command_line_can_be_typed_into_the_run_file(folder, capsys, text, advice):
    (folder / "two.cif").write_text(CIF.format(name="a") + CIF.format(name="b"), encoding="utf-8")
    assert command(folder, text) == 2
    said = capsys.readouterr().err
    assert advice in said
    assert not any(word in said for word in ("jn.", "params.", "Objective(", "read_pattern", "block=", "Instrument("))
    assert not (folder / "out").exists()
