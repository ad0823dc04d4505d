"""Running a command again: what was killed is not lost, what was finished is kept, and folders are made when there is something to write."""

import importlib
import json
import os
import warnings
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr import cli, runfile
from jaxnmr._record import envelope, write_record
from jaxnmr.errors import DataError, ParseError
from jaxnmr.refinement.checkpoint import read_checkpoint, write_checkpoint
from jaxnmr.report.earlier import set_aside
from jaxnmr.runfile import Setup
from jaxnmr.typing import Quantity

RUN = """
[[phase]]
name = "salt"
cell = [5.64, 5.64, 5.64, 90, 90, 90]
spacegroup = "F m -3 m"
sites = [{ label = "Na1", type = "Na", xyz = [0, 0, 0] }, { label = "Cl1", type = "Cl", xyz = [0.5, 0.5, 0.5] }]
[[histogram]]
name = "xrd"
range = [20, 60, 0.05]
wavelength = 1.5406
"""


def parameters(**values):
    return jn.Parameters.create({name: Quantity(value=np.array(value)) for name, value in values.items()})


@pytest.fixture
def refine(tmp_path, monkeypatch):
    """The command on a run file, with a refinement that ends as it is told; its exit code and what it started from."""
    (tmp_path / "run.toml").write_text(RUN, encoding="utf-8")
    started = []

    def command(*flags, status="converged", raises=None, steps=1, out="out"):
        def calculated(objective, start, *, checkpoint, **others):
            started.append(start)
            for _ in range(steps):
                write_checkpoint(checkpoint, start, "all", 1.0)
            if raises is not None:
                raise raises
            return SimpleNamespace(
                status=status,
                converged=status == "converged",
                message="",
                statistics={},
                warnings=(),
                null_directions=(),
            )

        def written(fit, folder, run):
            folder.mkdir(parents=True, exist_ok=True)
            return {"result": write_record(folder / "result.json", envelope("refinement", "", {"status": fit.status}))}

        monkeypatch.setattr(importlib.import_module("jaxnmr.refinement"), "refine", calculated)
        monkeypatch.setattr(importlib.import_module("jaxnmr.report"), "write_report", written)
        monkeypatch.setattr(runfile, "build", lambda run: Setup(None, parameters(x=1.0, y=2.0), None, None))
        arguments = ["refine", str(tmp_path / "run.toml"), "--out", str(tmp_path / out), "--no-cache", *flags]
        return cli.main(arguments), started

    return command


def test_a_killed_run_is_not_lost_when_the_command_is_given_again(refine, tmp_path, capsys):
    with pytest.raises(ZeroDivisionError):
        refine(raises=ZeroDivisionError())  # as dead as killed
    checkpoint = tmp_path / "out" / "checkpoint.json"
    kept = json.loads(checkpoint.read_text())
    kept["values"]["x"] = 1.5
    checkpoint.write_text(json.dumps(kept))
    assert refine()[0] == 2
    assert "--resume" in (said := capsys.readouterr().err) and "--restart" in said
    assert json.loads(checkpoint.read_text())["values"]["x"] == 1.5
    code, started = refine("--resume")
    assert code == 0 and float(started[-1]["x"]) == 1.5
    code, started = refine()
    assert code == 0 and float(started[-1]["x"]) == 1.0, "a finished run is run again without questions"


def test_an_interrupted_run_asks_too_and_can_be_begun_again(refine):
    assert refine(status="interrupted")[0] == 130
    assert refine()[0] == 2
    code, started = refine("--restart")
    assert code == 0 and float(started[-1]["x"]) == 1.0


@pytest.mark.filterwarnings("default::UserWarning")
def test_what_readers_warn_of_is_said_in_plain_words_and_belongs_to_the_results(refine, tmp_path, monkeypatch, capsys):
    def built(run):
        warnings.warn("run.cif: U is not given; choose one with bank=2", stacklevel=2)
        return Setup(None, parameters(x=1.0), None, None)

    kept = []
    monkeypatch.setattr("jaxnmr.cli.commands.replace", lambda fit, warnings: kept.append(warnings) or fit)
    refine(steps=0, out="first")
    monkeypatch.setattr(runfile, "build", built)
    command = ["refine", str(tmp_path / "run.toml"), "--out", str(tmp_path / "out"), "--no-cache"]
    assert cli.main(command) == 0
    assert kept == [("run.cif: U is not given; choose one with bank = 2",)]
    monkeypatch.setattr(runfile, "load_run", lambda path: warnings.warn("the file is old", stacklevel=2))
    with pytest.raises(AttributeError):
        cli.main(command)
    said = capsys.readouterr().err
    assert "warning: the file is old" in said and "UserWarning" not in said and ".py" not in said


def test_every_ending_has_its_exit_code(refine):
    assert [refine(status=s, out=s)[0] for s in ("converged", "max_steps", "misfit", "interrupted")] == [0, 3, 3, 130]
    assert refine(raises=DataError("no"), out="no", steps=0)[0] == 2
    assert refine(raises=KeyboardInterrupt(), out="key", steps=0)[0] == 130


def test_no_folder_is_made_for_what_cannot_be_calculated(refine, tmp_path):
    assert refine(raises=DataError("no points"), steps=0)[0] == 2
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_the_folder_is_named_before_anything_is_calculated(refine, tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    for out in ("taken", "taken/below"):
        code, started = refine(out=out)
        assert code == 2 and not started
        said = capsys.readouterr().err
        assert f"{tmp_path / 'taken'} is a file" in said and "--out" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_named_before_anything_is_calculated(refine, tmp_path, capsys):
    (tmp_path / "locked").mkdir(mode=0o500)
    code, started = refine(out="locked/out")
    assert code == 2 and not started and "no permission" in capsys.readouterr().err


BROKEN = [
    (None, "no such file"),
    ("", "is damaged"),
    ('{"stage": "all", "chi2": 1.0, "val', "is damaged"),
    ("[1, 2]", "is damaged"),
    ('{"values": {"x": 1.0}}', "another model: it does not hold y"),
    ('{"values": {"x": 1.0, "y": 2.0, "z": 3.0}}', "it holds, as a stranger, z"),
    ('{"values": {"x": 1.0, "y": null}}', "not every value in it is a number"),
]


@pytest.mark.parametrize(("content", "says"), BROKEN, ids=[says for _, says in BROKEN])
def test_a_checkpoint_that_cannot_be_gone_on_from_says_why_and_what_to_do(refine, tmp_path, capsys, content, says):
    if content is not None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "checkpoint.json").write_text(content)
    code, started = refine("--resume")
    said = capsys.readouterr().err
    assert code == 2 and not started
    assert says in said and ("--restart" in said or "leave --resume out" in said)
    assert "Error" not in said and "'" not in said.replace("'--", ""), "nothing in the language of Python"
    if content is not None:
        with pytest.raises(ParseError, match="start from the beginning"):
            read_checkpoint(tmp_path / "out" / "checkpoint.json", parameters(x=1.0, y=2.0))


def test_results_of_before_are_put_aside_with_all_their_files_and_nothing_else(tmp_path):
    assert set_aside(tmp_path) is None
    files = ("report.md", "pattern.csv", "spectrum_al.csv")
    for name in (*files, "notes.txt", "data.xy"):
        (tmp_path / name).write_text(f"old {name}")
    named = [*files, "data.xy", "../outside", "gone.png"]
    write_record(tmp_path / "result.json", envelope("refinement", "", {"files": named}))
    previous = set_aside(tmp_path, inputs=[tmp_path / "data.xy"])
    assert {p.name for p in previous.iterdir()} == {*files, "result.json", "data.xy"}
    assert {p.name for p in tmp_path.iterdir()} == {"notes.txt", "data.xy", "previous"}
    assert (previous / "report.md").read_text() == "old report.md"
    write_record(tmp_path / "result.json", envelope("refinement", "", {"files": []}))
    set_aside(tmp_path)
    assert {p.name for p in previous.iterdir()} == {"result.json"}, "one generation is kept"


def test_results_of_another_kind_stay_where_they_are(tmp_path):
    write_record(tmp_path / "result.json", envelope("screening", "", {"candidates": []}))
    assert set_aside(tmp_path) is None and (tmp_path / "result.json").exists()


def test_candidates_that_are_not_there_are_named_before_any_is_refined(tmp_path, capsys):
    (tmp_path / "run.toml").write_text(RUN, encoding="utf-8")
    command = ["screen", str(tmp_path / "run.toml"), "--out", str(tmp_path / "out"), "--no-cache"]
    assert cli.main([*command, str(tmp_path / "gone.cif")]) == 2
    assert "gone.cif: no such file" in capsys.readouterr().err
    assert cli.main([*command, str(tmp_path / "*.cif")]) == 2
    assert "nothing matches this pattern" in capsys.readouterr().err
    assert cli.main([*command, "--phase", "slat", str(tmp_path / "run.toml")]) == 2
    assert "no phase 'slat'; did you mean 'salt'?" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_screening_without_a_candidate_that_can_be_read_is_wrong_input(tmp_path, capsys):
    (tmp_path / "run.toml").write_text(RUN, encoding="utf-8")
    (tmp_path / "empty.cif").write_text("data_empty\n", encoding="utf-8")
    command = ["screen", str(tmp_path / "run.toml"), str(tmp_path / "empty.cif"), "--out", str(tmp_path / "out")]
    with jax.enable_x64(True):
        assert cli.main([*command, "--no-cache"]) == 2
    assert "empty: " in capsys.readouterr().err
