"""`jaxnmr train`, `jaxnmr cross-validate` and `jaxnmr evaluate`: run files, what is printed and written, pictures."""

import io
import json

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from rich.console import Console
from small_tensor_data import rattled, write

from jaxnmr import cli
from jaxnmr.cli.codes import INTERRUPTED
from jaxnmr.cli.examples import example_files
from jaxnmr.errors import DataError, ParseError
from jaxnmr.models import TensorModel
from jaxnmr.models.tensors.metrics import Comparison
from jaxnmr.models.tensors.recipe import EpochInfo
from jaxnmr.plot import models as plot_models
from jaxnmr.runfile.training import load_training

RUN = """
title = "small"
[data]
format = "extxyz"
path = "small.extxyz"
quantity = "shielding"
elements = ["Si"]
group = "prototype"
level_of_theory = "a random network"
[split]
fractions = [0.4, 0.4, 0.2]
[network]
irreps = "0e+2e"
hidden = "4x0e+4x2e"
layers = 1
cutoff = 3.0
radial = 4
radial_hidden = [8]
[training]
epochs = 3
batch = 4
ema = 0.5
[references.Si]
reference_ppm = 337.3
"""


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    """Keep what the command switches on inside the test."""
    names = ("jax_enable_x64", "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run file with its data, and what the command makes of it."""
    place = tmp_path_factory.mktemp("training")
    write(place / "small.extxyz", rattled(30))
    (place / "run.toml").write_text(RUN, encoding="utf-8")
    assert cli.main(["train", str(place / "run.toml"), "--out", str(place / "out"), "--quiet", "--no-cache"]) == 0
    return place


def recorded(path, kind):
    record = json.loads(path.read_text(encoding="utf-8"))
    assert (record["schema"], record["kind"]) == (2, kind)
    assert {"jax", "flax", "e3nn-jax", "jaxnmr"} <= set(record["versions"])
    return record


@pytest.fixture(scope="module")
def result(folder):
    return recorded(folder / "out" / "result.json", "training")["result"]


def test_a_training_leaves_model_numbers_text_and_pictures(folder, result):
    names = {path.name for path in (folder / "out").iterdir()}
    pictures = {"learning-curve.png", "parity.png", "orientation.png"}
    assert names == {"model.safetensors", "member_0.state", "result.json", "report.md"} | pictures
    parts = result["split"]["structures"]
    assert {part: len(found) for part, found in parts.items()} == {"train": 12, "valid": 12, "test": 6}
    assert sorted(name for found in parts.values() for name in found) == sorted(f"s{k}" for k in range(30))
    assert result["seeds"] == [0] and result["split"]["seed"] == 0 and len(result["history"][0]) == 3
    test = result["evaluations"]["test"]
    assert test["trained_on"] == 0 and test["scores"]["Si"]["labels"] == 12 and test["caveats"] == []
    assert [p["value"] for p in test["published"] if "Venetos" in p["citation"]] == ["1.05 ppm"]
    # 24 atoms of silicon in the validation part are enough for intervals
    assert {row["quantity"] for row in test["coverage"]} >= {"iso", "span"} and result["warnings"] == []


def test_the_model_has_its_origin_with_it(folder, result):
    model = TensorModel.load(folder / "out" / "model.safetensors")
    card = model.card
    assert (card.name, card.level_of_theory) == ("small", "a random network")
    assert card.references == {"Si": [337.3, -1.0]} and card.training["counts"] == {"train": 12, "valid": 12, "test": 6}
    assert card.scores["Si/iso_mae"] == pytest.approx(result["evaluations"]["test"]["scores"]["Si"]["iso_mae"])
    assert model.config.head("shielding").irreps == "1x0e+1x2e" and model.environments


def test_the_report_says_how_good_and_beside_what(folder):
    text = (folder / "out" / "report.md").read_text(encoding="utf-8")
    for words in (
        "iso / ppm", "axes median / °", "1.05 ppm", "Venetos", "**no**: 421 silicon oxides", "Ben Mahmoud",
        "Dealt by group", "in 95 % / %", "![learning curve](learning-curve.png)", "small.extxyz, a random network",
        "frame: 0 structures have symmetry",
    ):  # fmt: skip
        assert words in text, words
    # a bar within a heading would be one more column
    head, rule, row = (line.count("|") for line in text[text.index("| element | labels") :].splitlines()[:3])
    assert head == rule == row


def test_the_same_command_again_trains_nothing_and_gives_the_same_model(folder, capsys):
    before = (folder / "out" / "model.safetensors").read_bytes()
    assert cli.main(["train", str(folder / "run.toml"), "--out", str(folder / "out"), "--no-cache"]) == 0
    err = capsys.readouterr().err
    assert "all epochs were done before" in err and "split: 12 train, 12 valid, 6 test" in err
    assert "units: as they should be (30 structures)" in err and "iso / ppm" in err
    assert (folder / "out" / "model.safetensors").read_bytes() == before


def test_a_model_is_judged_on_the_test_part_or_says_that_it_knows_the_structures(folder, result, capsys):
    model, run = str(folder / "out" / "model.safetensors"), str(folder / "run.toml")
    assert cli.main(["evaluate", model, run, "--out", str(folder / "test"), "--no-cache"]) == 0
    assert "TRAINED ON" not in capsys.readouterr().err
    found = recorded(folder / "test" / "evaluation.json", "evaluation")["result"]
    assert found["evaluation"]["scores"] == result["evaluations"]["test"]["scores"]
    assert {p.name for p in (folder / "test").iterdir()} == {
        "evaluation.json", "evaluation.md", "parity.png", "orientation.png",
    }  # fmt: skip
    arguments = ["evaluate", model, run, "--part", "train", "--out", str(folder / "train"), "--no-cache"]
    assert cli.main(arguments) == 0
    assert "All 12 structures were TRAINED ON" in capsys.readouterr().err
    assert "TRAINED ON" in (folder / "train" / "evaluation.md").read_text(encoding="utf-8")


def test_an_interrupted_training_says_how_it_goes_on(folder, tmp_path, monkeypatch, capsys):
    from jaxnmr.cli import training as cli_training

    def stop(self, member, info):
        self.member = member
        if info.epoch == 2:
            raise KeyboardInterrupt

    arguments = ["train", str(folder / "run.toml"), "--out", str(tmp_path / "out"), "--no-cache"]
    with monkeypatch.context() as patch:
        patch.setattr(cli_training.TrainingLines, "__call__", stop)
        assert cli.main(arguments) == INTERRUPTED
    assert "interrupted: the same command goes on" in capsys.readouterr().err
    assert cli.main(arguments) == 0
    assert "going on after epoch 2" in capsys.readouterr().err
    one, two = ((place / "out" / "model.safetensors").read_bytes() for place in (folder, tmp_path))
    assert one == two


def test_a_state_of_another_run_stops_the_command(folder, tmp_path, capsys):
    other = folder / "other.toml"
    other.write_text(RUN.replace("epochs = 3", "epochs = 4"), encoding="utf-8")
    (tmp_path / "member_0.state").write_bytes((folder / "out" / "member_0.state").read_bytes())
    assert cli.main(["train", str(other), "--out", str(tmp_path), "--no-cache"]) == 2
    assert "member_0.state: is the state of another training" in capsys.readouterr().err


def written(tmp_path, text):
    path = tmp_path / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[split]", "[spilt]", "unknown key 'spilt'; did you mean 'split'"),
        ("epochs = 3", "epoch = 3", r"unknown key 'epoch' in \[training\]; did you mean 'epochs'"),
        ("epochs = 3", "epochs = 0", r"\[training\]: epochs is 0"),
        ("epochs = 3", "epochs = 2.5", r"\[training\]\.epochs: expected a whole number"),
        ('"extxyz"', '"xyz"', r"\[data\]\.format: 'xyz' is not possible here"),
        ('"shielding"', '"shift"', r"\[data\]\.quantity: 'shift'"),
        ('format = "extxyz"', "", "the key 'format' is missing"),
        ('format = "extxyz"', 'format = "magres"', r"\[data\]: group is an entry of extxyz frames"),
        ("[0.4, 0.4, 0.2]", "[0.4, 0.4, 0.4]", r"\[split\]: fractions are .* sum to 1"),
        ("[0.4, 0.4, 0.2]", "[0.8, 0.2]", "expected a list of 3 numbers"),
        ("fractions = [0.4, 0.4, 0.2]", "all = true\nseed = 3", "leave kind, fractions and seed out"),
        ("radial_hidden = [8]", "radial_hidden = [8.5]", "radial_hidden: expected whole numbers"),
        ("ema = 0.5", 'start = "m.safetensors"', r"irreps aside, or start out"),
        ('"shielding"', '"efg"', "references are for shieldings"),
        ("reference_ppm = 337.3", "", "'reference_ppm' is missing"),
        ('"small.extxyz"', '"${NOT_THERE}/x"', "environment variable NOT_THERE"),
        ("[data]", "[[data]]", r"expected a table such as \[data\]"),
    ],
)
def test_mistakes_in_a_run_file_are_named(tmp_path, old, new, message):
    assert old in RUN
    with pytest.raises(ParseError, match=message):
        load_training(written(tmp_path, RUN.replace(old, new)))


def test_a_run_file_without_data_is_not_a_training(tmp_path):
    with pytest.raises(ParseError, match=r"needs a table \[data\]"):
        load_training(written(tmp_path, 'title = "nothing"'))


def test_defaults_are_those_of_the_library(tmp_path):
    run = load_training(written(tmp_path, '[data]\nformat = "magres"\npath = "here"\nquantity = "efg"\n'))
    found = run.experiment
    assert run.title == "run" and found.network == {} and found.members == 1 and found.start is None
    assert found.source.path == tmp_path / "here" and (found.split.kind, found.split.seed) == ("group", 0)
    assert found.recipe.epochs == 200 and found.wrong_frame == "exclude"


def test_every_training_example_is_a_valid_run_file(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("JAXNMR_DATA", str(tmp_path))
    examples = example_files("training")
    assert {"silica-29si", "gehlenite-efg", "silica-efg"} <= set(examples)
    for name, path in examples.items():
        # features that others start from are not judged, so that all data may serve
        kind = "all" if name == "silica-features" else "group"
        assert load_training(path).experiment.split.kind == kind
    assert not set(examples) & set(example_files())
    assert cli.main(["examples"]) == 0
    assert "silica-29si" in capsys.readouterr().out
    assert cli.main(["examples", "run", "silica-29si", "--out", str(tmp_path / "out"), "--no-cache"]) == 2
    assert "si_nmr_data.json: cannot be opened" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_commands_show_an_example_in_their_help(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    assert f"example: jaxnmr {command}" in capsys.readouterr().out


def test_help_explains_trainings(capsys):
    assert cli.main(["help-run"]) == 0
    out = capsys.readouterr().out
    assert "[[histogram]]" in out and "[training]" in out and "wrong_frame" in out


def test_a_line_per_epoch_tells_what_is_left():
    from jaxnmr.cli.training import TrainingLines

    screen = io.StringIO()
    lines = TrainingLines(Console(file=screen, width=200), members=2)
    for member, epoch in ((0, 8), (0, 9), (0, 10), (1, 1)):
        lines(member, EpochInfo(epoch, 10, 0.5, None if epoch == 1 else 0.25))
    text = screen.getvalue().splitlines()
    assert text[0] == "member 1 of 2" and text[1] == "going on after epoch 7"
    assert "8/10" in text[2] and "valid  0.25000" in text[2] and "left" not in text[2]
    assert text[3].endswith("0 s left") and "left" not in text[4]
    assert text[5] == "member 2 of 2" and "valid" not in text[6]


def test_members_side_by_side_have_their_numbers_in_the_lines():
    from jaxnmr.cli.training import TrainingLines

    screen = io.StringIO()
    lines = TrainingLines(Console(file=screen, width=200), members=2)
    for epoch in (1, 2, 3):
        for member in (0, 1):
            lines(member, EpochInfo(epoch, 3, 0.5, None))
    text = screen.getvalue().splitlines()
    assert text[0] == "member 1 of 2" and len(text) == 7
    assert [line.split(":")[0].strip() for line in text[2:]] == ["2", "1", "2", "1", "2"]
    assert ["left" in line for line in text[1:]] == [False, False, True, True, False, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--coordinator", "node17:12345"], "--coordinator, --processes and --process"),
        (["--processes", "2", "--process", "1"], "--coordinator, --processes and --process"),
        (["--coordinator", "node17", "--processes", "2", "--process", "1"], "expected HOST:PORT"),
        (["--coordinator", "node17:12345", "--processes", "2", "--process", "2"], "numbered from 0 to 1"),
    ],
)
def test_processes_that_do_not_fit_are_refused(folder, capsys, arguments, message):
    assert cli.main(["train", str(folder / "run.toml"), *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_only_the_first_of_several_processes_prints_and_writes(folder, tmp_path, monkeypatch, capsys):
    from jaxnmr.cli import training as cli_training
    from jaxnmr.models.tensors import experiment, hosts, train

    joined = []
    monkeypatch.setattr(hosts, "join", lambda *place: joined.append(place))
    for module in (cli_training, experiment, train):
        monkeypatch.setattr(module, "is_first", lambda: False)
    place = ["--coordinator", "node17:12345", "--processes", "2", "--process", "1"]
    arguments = ["train", str(folder / "run.toml"), "--out", str(tmp_path / "out"), "--no-cache"]
    assert cli.main([*arguments, *place]) == 0
    assert cli.main([*arguments, "--distributed"]) == 0
    assert joined == [("node17:12345", 2, 1), (None, None, None)]
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "") and not (tmp_path / "out").exists()


def comparison(element, quantity, size=1.0):
    rng = np.random.default_rng(1)
    true = rng.normal(size=(30, 3, 3))
    true = true + true.swapaxes(1, 2)
    if quantity == "efg":
        true = true - np.trace(true, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    return Comparison(element, quantity, size * true, true, rng.integers(1, 4, 30).astype(float), np.zeros(30))


def test_pictures_show_every_element_and_what_spectra_show():
    figure = plot_models.parity({"Si": comparison("Si", "shielding")}, title="all")
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["Si: σiso", "Si: span", "Si: η"]
    assert figure.axes[0].get_xlabel() == "computed / ppm"
    figure = plot_models.parity({e: comparison(e, "efg", 1.1) for e in ("Al", "O", "Si")})
    titles = {axis.get_title(loc="left"): axis for axis in figure.axes}
    assert set(titles) == {"Al: |C_Q|(²⁷Al)", "Al: η", "O: |C_Q|(¹⁷O)", "O: η", "Si: |Vzz|", "Si: η"}
    drawn = titles["O: |C_Q|(¹⁷O)"].collections[0].get_offsets()
    np.testing.assert_allclose(drawn[:, 1], 1.1 * drawn[:, 0])
    assert drawn.min() > 0
    figure = plot_models.orientation({"O": comparison("O", "efg")})
    line, chance = figure.axes[0].lines[:2]
    assert line.get_label() == "O: median 0.0°" and line.get_ydata()[-2] == pytest.approx(100.0)
    assert chance.get_label() == "chance"
    history = [EpochInfo(k, 3, 1.0 / k, 2.0 / k) for k in (1, 2, 3)]
    (axis,) = plot_models.learning_curve([history, history]).axes
    assert len(axis.lines) == 4 and axis.get_yscale() == "log"
    plt.close("all")
    for draw in (plot_models.parity, plot_models.orientation):
        with pytest.raises(DataError, match="nothing to compare"):
            draw({})


def test_folds_are_judged_by_networks_that_have_not_seen_them_and_pooled(folder, tmp_path):
    out = tmp_path / "folds"
    arguments = ["cross-validate", str(folder / "run.toml"), "--folds", "3", "--out", str(out), "--quiet", "--no-cache"]
    assert cli.main(arguments) == 0
    record = recorded(out / "evaluation.json", "cross-validation")["result"]
    names = [set(fold["names"]) for fold in record["folds"]]
    assert len(names) == 3 and set.union(*names) == {f"s{k}" for k in range(30)} and sum(map(len, names)) == 30
    # pairs of one prototype are in one fold
    assert all({f"s{2 * k}", f"s{2 * k + 1}"} <= fold or f"s{2 * k}" not in fold for k in range(15) for fold in names)
    assert [fold["trained_on"] for fold in record["folds"]] == [0, 0, 0]
    pooled, folds = record["evaluation"]["scores"]["Si"], [fold["scores"]["Si"] for fold in record["folds"]]
    labels = [fold["labels"] for fold in folds]
    assert pooled["labels"] == sum(labels)
    mean = np.average([fold["tensor_mae"] for fold in folds], weights=labels)
    assert pooled["tensor_mae"] == pytest.approx(mean)
    assert {row["quantity"] for row in record["evaluation"]["coverage"]} >= {"l0", "l2", "iso"}
    assert "Fold 3" in (out / "evaluation.md").read_text(encoding="utf-8")
    # called again, nothing is trained
    before = (out / "fold_2" / "member_0.state").read_bytes()
    assert cli.main(arguments) == 0 and (out / "fold_2" / "member_0.state").read_bytes() == before
