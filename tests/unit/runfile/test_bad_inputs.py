"""Inputs that cannot be meant: each is refused with its cause and what would do, before anything is calculated."""

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr import cli
from jaxnmr.errors import ConventionError, ParameterError, ParseError
from jaxnmr.objective import Parameters
from jaxnmr.runfile import build, load_run

PHASE = """
[[phase]]
name = "salt"
cell = [5.64, 5.64, 5.64, 90, 90, 90]
spacegroup = "F m -3 m"
sites = [{ label = "Na1", type = "Na", xyz = [0, 0, 0] }, { label = "Cl1", type = "Cl", xyz = [0.5, 0.5, 0.5] }]
"""
HISTOGRAM = """
[[histogram]]
name = "xrd"
file = "data.xy"
wavelength = 1.5406
"""
SPECTRUM = """
[[spectrum]]
name = "na"
isotope = "23Na"
b0_tesla = 9.4
mas_hz = inf
points = 64
[[spectrum.site]]
label = "Na1"
shift_ppm = 7.0
gaussian_hz = 50.0
"""
GOOD = PHASE + HISTOGRAM


@pytest.fixture
def folder(tmp_path):
    x = np.arange(20.0, 60.0, 0.5)
    jn.write_pattern((x, 100.0 + 0 * x), tmp_path / "data.xy")
    return tmp_path


def made(folder, text):
    (folder / "run.toml").write_text(text, encoding="utf-8")
    return build(load_run(folder / "run.toml"))


def test_the_run_file_that_is_changed_below_can_be_read(folder):
    assert made(folder, GOOD).objective.terms[0].name == "xrd"


MARCH = "wavelength = 1.5406\nmarch_axis = { salt = %s }"
BAD = [
    (GOOD.replace("[[histogram]]", "[[histograms]]"), "unknown key 'histograms'; did you mean 'histogram'?"),
    (GOOD.replace("[[phase]]", "[[phases]]"), "unknown key 'phases'; did you mean 'phase'?"),
    (GOOD.replace("spacegroup =", "space_group ="), "unknown key 'space_group' in [[phase]] number 1 (salt); did you mean 'spacegroup'?"),
    (GOOD.replace('file = "data.xy"', 'fiel = "data.xy"'), "unknown key 'fiel' in [[histogram]] number 1 (xrd); did you mean 'file'?"),
    (GOOD.replace("label =", "lable ="), "unknown key 'lable' in [[phase]] number 1 (salt).sites[0]; did you mean 'label'?"),
    (GOOD.replace("wavelength = 1.5406", MARCH % "[0, 0, 0]"), "expected hkl of the texture axis in whole numbers"),
    (GOOD.replace("wavelength = 1.5406", MARCH % "[0.4, 0, 1]"), "got [0.4, 0.0, 1.0]"),
    (GOOD.replace("wavelength = 1.5406", MARCH % "[inf, 0, 1]"), "expected hkl of the texture axis"),
    (GOOD + "background = { terms = 5000 }\n", "a background of 5000 terms for 80 points"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "says"), BAD, ids=[says for _, says in BAD])
def test_what_cannot_be_meant_is_refused_with_its_cause(folder, text, says):
    with pytest.raises(ParseError) as caught:
        made(folder, text)
    assert says in str(caught.value)


@pytest.mark.parametrize("points", ["100000000000", "1e11", "3"])
def test_a_spectrum_of_points_that_nothing_can_hold_is_refused(folder, capsys, points):
    (folder / "run.toml").write_text(SPECTRUM.replace("points = 64", f"points = {points}"), encoding="utf-8")
    command = ["simulate-spectrum", str(folder / "run.toml"), "--out", str(folder / "out"), "--no-cache"]
    assert cli.main(command) == 2
    said = capsys.readouterr().err
    assert "points" in said and "expected" in said and "Traceback" not in said
    assert not (folder / "out").exists()


def test_a_texture_axis_is_a_direction():
    for axis in ((0, 0, 0), (0, 1), (np.nan, 0, 1)):
        with pytest.raises(ConventionError, match=r"march_axis of 'a'.*expected hkl that are not all 0"):
            jn.PowderDiffraction(march_axis={"a": axis})


TWO_FIELDS = """
[[spectrum]]
name = "low"
file = "low.csdf"
isotope = "31P"
b0_tesla = 4.7
mas_hz = inf
[[spectrum.site]]
label = "P1"
shift_ppm = 20.0
gaussian_hz = 200.0
[[spectrum]]
name = "high"
file = "high.csdf"
isotope = "31P"
b0_tesla = 9.4
mas_hz = inf
[[spectrum.site]]
label = "P1"
shift_ppm = 20.0
gaussian_hz = 300.0
[[tie]]
target = "high/shift[P1]"
source = "low/shift[P1]"
"""


def test_stages_that_are_made_for_spectra_leave_out_what_is_tied(tmp_path):
    site = jn.Site(isotope="31P", shift_ppm=21.0, gaussian_hz=250.0, label="P1")
    for name, field in (("low", 4.7), ("high", 9.4)):
        clean = jn.SpectrumMAS("31P", b0_tesla=field).simulate([site], points=128, width_hz=1e4)
        noise = np.random.default_rng(0).normal(0.0, 1e-3 * np.abs(clean.values).max(), 128)
        jn.write_spectrum(clean.replace(values=clean.values + noise), tmp_path / f"{name}.csdf")
    setup = made(tmp_path, TWO_FIELDS)
    params: Parameters = setup.parameters
    for stage in setup.stages:
        params = params.free(*stage.free)
    assert "low/shift[P1]" in params.free_names and "high/shift[P1]" not in params.free_names
    assert "high/shift[P1]" in params.moved_names and "high/gaussian[P1]" in params.free_names
    with pytest.raises(ParameterError, match="it is tied to another parameter"):
        params.free("high/shift[P1]")
    setup = made(tmp_path, TWO_FIELDS.replace("shift[P1]", "*"))
    assert all(stage.free for stage in setup.stages) and not any("high/" in p for s in setup.stages for p in s.free)
