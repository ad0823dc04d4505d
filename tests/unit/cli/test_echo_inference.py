"""The commands that train a posterior of echoes and infer from curves, on a lattice of a few spins."""

import json

import numpy as np
import pytest

from jaxnmr.cli import main
from jaxnmr.cli.echo_inference import _table
from jaxnmr.errors import DataError

SPINS = """
[ensemble]
sizes = [4, 4]
kernel = "power"
[sequence]
parts = ["pulse 90 x", "delay 8", "pulse 180 y", "delay 16"]
[parameters]
alpha = [0.0, 0.2]
xi = [0.0, 20.0]
d = [2.0, 4.0]
"""
TRAIN = SPINS + "[train]\nsimulations = 2000\nfresh = 400\nepochs = 3\nnoise = [0.0, 1e-3]\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("echo")
    (folder / "train.toml").write_text(TRAIN)
    assert main(["echo", "train", str(folder / "train.toml"), "--out", str(folder / "out"), "--quiet"]) == 0
    (folder / "some.toml").write_text(SPINS + "[simulate]\ncurves = 20\nnoise = 1e-3\n")
    assert main(["echo", "simulate", str(folder / "some.toml"), "--out", str(folder / "some"), "--quiet"]) == 0
    return folder


def test_a_training_writes_a_posterior_whose_card_says_how_good_it_is(folder):
    record = json.loads((folder / "out" / "result.json").read_text())
    assert record["kind"] == "echo-training"
    scores = record["result"]["scores"]
    assert scores.keys() == {"0", "0.001"}
    assert scores["0"]["r2"].keys() == {"alpha", "d"} and scores["0"]["r2"]["d"] > 0.5
    assert scores["0"]["error_per_500"] == pytest.approx(
        500 / 12 * (1 + sum(1 - r2 for r2 in scores["0"]["r2"].values())), abs=1e-6
    )


def test_curves_are_inferred_and_what_cannot_be_known_is_named(folder, capsys):
    files = [str(folder / "some" / f"echos_{part}.txt") for part in "ri"]
    run = SPINS + (
        f'[infer]\ndata = {json.dumps(files)}\nposterior = "out/posterior.safetensors"\nnoise = 1e-3\ntruth = "some/parameters.txt"\n'
    )
    (folder / "infer.toml").write_text(run.replace('posterior = "out', f'posterior = "{folder}/out'))
    assert main(["echo", "infer", str(folder / "infer.toml"), "--out", str(folder / "found")]) == 0
    assert "xi is not determined by this curve: anything from 0 to 20" in capsys.readouterr().err
    result = json.loads((folder / "found" / "result.json").read_text())["result"]
    assert result["parameters"] == ["alpha", "d"] and result["undetermined"]["xi"]["prior"] == [0.0, 20.0]
    assert np.shape(result["mean"]) == (20, 2)
    rows = (folder / "found" / "posteriors.csv").read_text().splitlines()
    assert len(rows) == 21 and "xi" not in rows[0]
    for picture in ("posteriors.png", "parity.png"):
        assert (folder / "found" / picture).stat().st_size > 5000
    # without titles columns are in the order of the prior, and none may be left over
    np.savetxt(folder / "bare.txt", np.ones((20, 4)))
    (folder / "infer.toml").write_text((folder / "infer.toml").read_text().replace("some/parameters.txt", "bare.txt"))
    assert main(["echo", "infer", str(folder / "infer.toml"), "--out", str(folder / "found")]) == 2
    assert "bare.txt has 4 columns; expected alpha, xi, d" in " ".join(capsys.readouterr().err.split())


def test_gamma_is_read_as_the_decade_that_a_posterior_has_and_unknown_titles_are_refused(tmp_path):
    (tmp_path / "true.txt").write_text("# alpha\txi\tp\tgamma\n0.12\t5.0\t2.8\t2e-4\n")
    found = _table(tmp_path / "true.txt", ("alpha", "xi", "p", "d"))
    assert found == pytest.approx(np.array([[0.12, 5.0, 2.8, 4.0 - np.log10(2.0)]]))
    with pytest.raises(DataError, match="no column width: its first line has the titles alpha, xi, p, gamma"):
        _table(tmp_path / "true.txt", ("alpha", "xi", "p", "width"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "no [infer] that says which curves"),
        ('[infer]\ndata = "none.csv"\n', "none.csv"),
        ('[infer]\ndata = "a.csv"\nposterior = "nobody"\n', "no posterior 'nobody' comes with jaxnmr"),
    ],
)
def test_what_is_missing_is_said(folder, capsys, lines, message):
    rows = "".join(f"{t},{0.1},{0.2}\n" for t in (np.arange(24) + 1) * 2 / (2 * np.pi))
    (folder / "a.csv").write_text("time_us,real,imag\n" + rows)
    (folder / "wrong.toml").write_text(SPINS + lines)
    assert main(["echo", "infer", str(folder / "wrong.toml")]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


FAMILIES = """
[ensemble]
sizes = [4, 4]
[sequence]
parts = ["pulse 90 x", "delay 8", "pulse 180 y", "delay 16"]
[parameters]
d = [2.0, 4.0]
[[family]]
name = "near"
kernel = "gaussian"
normalised = false
parameters = { alpha = [0.0, 0.3], xi = [0.5, 1.0] }
[[family]]
name = "far"
kernel = "power"
parameters = { alpha = [0.5, 0.6] }
[train]
simulations = 2000
fresh = 200
epochs = 4
noise = [1e-3]
"""


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    folder = tmp_path_factory.mktemp("families")
    (folder / "families.toml").write_text(FAMILIES)
    assert main(["echo", "train", str(folder / "families.toml"), "--out", str(folder / "out"), "--quiet"]) == 0
    near = FAMILIES[: FAMILIES.index("[[family]]")].replace(
        "[sequence]", 'kernel = "gaussian"\nnormalised = false\n[sequence]'
    )
    near = near.replace("[parameters]", "[parameters]\nalpha = 0.2\nxi = 0.9")
    (folder / "some.toml").write_text(near + "[simulate]\ncurves = 12\nnoise = 1e-3\n")
    assert main(["echo", "simulate", str(folder / "some.toml"), "--out", str(folder / "some"), "--quiet"]) == 0
    return folder


def test_families_of_a_run_file_are_trained_and_told_apart(apart):
    result = json.loads((apart / "out" / "result.json").read_text())["result"]
    assert (
        result["posteriors"].keys() == {"near", "far"} and "xi" in result["posteriors"]["near"]["scores"]["0.001"]["r2"]
    )
    scores = result["families"]["card"]["scores"]["0.001"]
    assert np.sum(scores["confusion"]) == 400 and scores["accuracy"] > 0.95
    assert (apart / "out" / "families.png").stat().st_size > 5000


def test_the_family_of_curves_is_named_with_its_probability(apart, capsys):
    files = [str(apart / "some" / f"echos_{part}.txt") for part in "ri"]
    trained = [str(apart / "out" / name / "posterior.safetensors") for name in ("far", "near")]
    asked = f"[infer]\ndata = {json.dumps(files)}\nposterior = {json.dumps(trained)}\nnoise = 1e-3\n"
    which = f'families = "{apart}/out/families.safetensors"\n'
    for lines, message in (("", "no 'families' that says how probable"), (which, "")):
        (apart / "infer.toml").write_text(FAMILIES + asked + lines)
        code = main(["echo", "infer", str(apart / "infer.toml"), "--out", str(apart / "found")])
        told = " ".join(capsys.readouterr().err.split())
        assert code == (2 if message else 0) and message in told
    assert "far 0." in told and ", near 0." in told
    result = json.loads((apart / "found" / "result.json").read_text())["result"]
    probabilities = np.array(result["families"]["probabilities"])
    assert result["families"]["names"] == ["far", "near"] and probabilities.shape == (12, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert (probabilities[:, 1] > 0.5).mean() > 0.7
    assert result["posteriors"]["near"]["parameters"] == ["alpha", "xi", "d"]
    report = (apart / "found" / "report.md").read_text()
    assert "| curve | far | near |" in report and "## If it is near" in report
    for file in ("families.png", "families.csv", "posteriors-near.csv", "posteriors-far.png"):
        assert (apart / "found" / file).stat().st_size > 100


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "far"', 'name = "near"', "the families are near, near"),
        ('name = "far"', 'name = "a/b"', "letters, digits, - and _"),
        (
            "parameters = { alpha = [0.5, 0.6] }",
            "parameters = { d = 3.0 }",
            "no parameter of the family far has a range",
        ),
    ],
)
def test_families_that_make_no_sense_are_refused(tmp_path, capsys, old, new, message):
    (tmp_path / "wrong.toml").write_text(FAMILIES.replace(old, new))
    assert main(["echo", "train", str(tmp_path / "wrong.toml"), "--out", str(tmp_path / "out")]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
