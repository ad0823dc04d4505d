"""The command that simulates spin echoes, and its run files."""

import json

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.cli import main
from jaxnmr.errors import ParseError
from jaxnmr.nmr.echo import challenge
from jaxnmr.runfile import load_run
from jaxnmr.runfile.echo import load_echo

RUN = """
title = "Few spins"
[ensemble]
sizes = [4, 4]
kernel = "gaussian"
normalised = false
[sequence]
dt = 2.0
parts = ["pulse 90 x", "delay 4", "pulse 180 y 2", "wait 2", "delay 6"]
[parameters]
alpha = [0.0, 0.2]
xi = 1.5
d = [3.0, 6.0]
[simulate]
curves = 3
noise = 1e-3
"""


def test_curves_and_their_parameters_are_written_and_come_again_with_the_seed(tmp_path):
    (tmp_path / "run.toml").write_text(RUN)
    for out in ("one", "two"):
        assert (
            main(
                ["echo", "simulate", str(tmp_path / "run.toml"), "--out", str(tmp_path / out), "--quiet", "--no-cache"]
            )
            == 0
        )
    one, two = (jn.read_echo(tmp_path / out / "echos_r.txt", tmp_path / out / "echos_i.txt") for out in ("one", "two"))
    assert one.curves.shape == (3, 10) and np.array_equal(one.curves, two.curves)
    one.checked(load_echo(tmp_path / "run.toml").experiment.sequence)
    table = np.loadtxt(tmp_path / "one" / "parameters.txt")
    assert table.shape == (3, 4) and np.allclose(table[:, 3], 10.0 ** -table[:, 2]) and np.ptp(table[:, 0]) > 0
    record = json.loads((tmp_path / "one" / "result.json").read_text())
    assert record["kind"] == "echo-simulation" and record["result"]["points"] == 10
    assert (tmp_path / "one" / "echos.png").stat().st_size > 5000
    report = (tmp_path / "one" / "report.md").read_text()
    assert "![magnitudes of the first curves](echos.png)" in report and "| `xi` | 1.5 | lattice constants |" in report
    assert "10 points from 0.3183 to 4.456 µs" in report and "**`d`" not in report


FIT = """
[[echo]]
data = ["curves/echos_r.txt", "curves/echos_i.txt"]
curve = 2
noise = 2e-3
ensemble = { sizes = [8, 8] }
sequence = { dt = 4.0, parts = ["pulse 90 x", "delay 16", "pulse 180 y", "delay 32"] }
start = { alpha = 0.14, p = 2.6, d = 3.0 }
draws = 240
mean_of = 16
[[stage]]
free = ["echo/alpha", "echo/gamma"]
"""
WORLD = """
[ensemble]
sizes = [8, 8]
[sequence]
dt = 4.0
parts = ["pulse 90 x", "delay 16", "pulse 180 y", "delay 32"]
[parameters]
alpha = 0.16
p = 2.6
gamma = 1.2e-3
[simulate]
curves = 2
noise = 2e-3
"""


def test_a_simulated_curve_is_refined_from_a_run_file(tmp_path):
    (tmp_path / "world.toml").write_text(WORLD)
    (tmp_path / "fit.toml").write_text(FIT)
    for action, file, out in ((["echo", "simulate"], "world.toml", "curves"), (["refine"], "fit.toml", "fit")):
        assert main([*action, str(tmp_path / file), "--out", str(tmp_path / out), "--quiet", "--no-cache"]) == 0
    result = json.loads((tmp_path / "fit" / "result.json").read_text())["result"]
    found = {row["name"]: row for row in result["parameters"]}
    for name, true, limit in (("echo/alpha", 0.16, 0.0055), ("echo/gamma", 1.2e-3, 4.2e-4)):
        assert abs(found[name]["value"] - true) < 3.5 * found[name]["esd"] < 7.0 * limit, name
    assert any("echo/xi changes no curve" in sentence for sentence in result["warnings"])
    assert result["terms"]["echo"]["kind"] == "echo" and len(result["terms"]["echo"]["observed_real"]) == 48
    assert (tmp_path / "fit" / "echo_echo.png").stat().st_size > 5000
    assert "(difference / scatter)²" in (tmp_path / "fit" / "report.md").read_text()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ensemble = ", 'preset = "challenge"\nensemble = ', "leave one of them out"),
        ("p = 2.6, d = 3.0", "d = 3.0, gamma = 1e-3", "say the same twice"),
        ("sequence = ", "sequenze = ", "did you mean .sequence."),
        ("noise = 2e-3\n", "", "'noise' is missing"),
        ("draws = 240", "drawz = 240", "drawz"),
    ],
)
def test_what_is_wrong_in_a_table_of_an_echo_is_named(tmp_path, old, new, message):
    assert old in FIT
    (tmp_path / "fit.toml").write_text(FIT.replace(old, new))
    with pytest.raises(ParseError, match=message):
        load_run(tmp_path / "fit.toml")


def test_the_preset_is_the_challenge(tmp_path):
    (tmp_path / "run.toml").write_text('preset = "challenge"\n[parameters]\ngamma = 1e-4\n')
    run = load_echo(tmp_path / "run.toml")
    assert run.experiment.sequence.layout == challenge().sequence.layout and run.experiment.ensemble.line.grid == 2500
    drawn = run.parameters.drawn(1000, 0, run.ranges)
    assert set(drawn) == {"alpha", "xi", "p", "gamma"} and np.all(drawn["gamma"] == 1e-4)
    assert (
        drawn["p"].min() > 2.0
        and drawn["p"].max() < 4.0
        and np.std(drawn["xi"]) == pytest.approx(20 / np.sqrt(12), rel=0.1)
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pulse 180 y 2", "pulse y", "'pulse y' is no part of a pulse sequence"),
        ("[4, 4]", "[4, 4.5]", "expected a whole number"),
        ('"delay 4"', '"delay 0"', "part 2 of the sequence has 0 steps"),
        ("d = [3.0, 6.0]", "d = [3.0, 6.0]\ngamma = 1.0", "say the same twice"),
        ('"gaussian"', '"gausian"', "gaussian"),
        ("xi = 1.5", "x = 1.5", "xi"),
        ("noise = 1e-3", 'format = "csv"', "csv holds one curve"),
        ("[ensemble]", 'preset = "challenge"\n[ensemble]', "leave one of them out"),
    ],
)
def test_what_is_wrong_in_a_run_file_is_named(tmp_path, old, new, message):
    (tmp_path / "run.toml").write_text(RUN.replace(old, new))
    with pytest.raises(ParseError, match=message):
        load_echo(tmp_path / "run.toml")
