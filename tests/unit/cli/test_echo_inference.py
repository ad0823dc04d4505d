"""The commands that train a posterior of echoes and infer from curves, on a lattice of a few spins."""

import json

import numpy as np
import pytest

from jaxnmr.cli import main

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
