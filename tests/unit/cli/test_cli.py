import importlib
import io
import subprocess
import sys

import jax
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache
from made_up_fit import made_up_fit, steps
from rich.console import Console

from jaxnmr import cli, runfile
from jaxnmr.cli import commands
from jaxnmr.cli.examples import example_files
from jaxnmr.errors import DataError
from jaxnmr.runfile import Setup

RUN = """
title = "rutile"
[[phase]]
name = "rutile"
cell = [4.5937, 4.5937, 2.9587, 90, 90, 90]
spacegroup = "P 42/m n m"
sites = [{ label = "Ti1", type = "Ti", xyz = [0, 0, 0] }, { label = "O1", type = "O", xyz = [0.3053, 0.3053, 0] }]
[[histogram]]
name = "xrd"
range = [20, 60, 0.05]
wavelength = 1.5406
background = { kind = "chebyshev", terms = 2 }
[start]
"xrd/scale" = 2.0
"xrd/background" = [50.0, -5.0]
"""


@pytest.fixture(autouse=True)
def settings(monkeypatch, tmp_path):
    """Keep what the command switches on inside the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    names = ("jax_enable_x64", "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    reset_cache()


@pytest.fixture
def run_file(tmp_path):
    path = tmp_path / "rutile.toml"
    path.write_text(RUN, encoding="utf-8")
    return path


@pytest.fixture
def refinement(monkeypatch):
    """Replace the refinement by one that returns (or raises) what the test wants; the calls are recorded."""
    calls = []

    def replace(outcome):
        def refine(objective, parameters, **keywords):
            calls.append({**keywords, "parameters": parameters})
            for info in steps():
                keywords["callback"](info)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setattr(importlib.import_module("jaxnmr.refinement"), "refine", refine)
        monkeypatch.setattr(runfile, "build", lambda run: Setup("objective", "parameters", ["stage"], "solver"))
        return calls

    return replace


def test_a_converged_refinement_writes_its_report_and_returns_zero(run_file, tmp_path, refinement, capsys):
    calls = refinement(made_up_fit())
    assert cli.main(["refine", str(run_file), "--out", str(tmp_path / "out")]) == 0
    assert {"report.md", "result.json", "refined.cif", "pattern.png"} <= {p.name for p in (tmp_path / "out").iterdir()}
    assert calls[0]["checkpoint"].parent == tmp_path / "out"
    assert calls[0]["stages"] == ["stage"]
    assert "The largest shift is 0.004 of its standard uncertainty." in capsys.readouterr().err


def test_a_refinement_that_does_not_converge_returns_three_and_says_why(run_file, tmp_path, refinement, capsys):
    refinement(made_up_fit(status="max_steps", message="Stopped after 7 steps."))
    assert cli.main(["refine", str(run_file), "--out", str(tmp_path / "out")]) == 3
    assert "max_steps: Stopped after 7 steps." in capsys.readouterr().err
    assert (tmp_path / "out" / "report.md").exists()


def test_an_interrupted_refinement_returns_130_and_reports_the_last_good_step(run_file, tmp_path, refinement):
    refinement(made_up_fit(status="interrupted"))
    assert cli.main(["refine", str(run_file), "--out", str(tmp_path / "out")]) == 130
    assert (tmp_path / "out" / "report.md").exists()


def test_an_interrupt_before_the_first_step_returns_130(run_file, tmp_path, refinement, capsys):
    refinement(KeyboardInterrupt())
    assert cli.main(["refine", str(run_file), "--out", str(tmp_path / "out")]) == 130
    assert "no step was finished" in capsys.readouterr().err


def test_a_refinement_resumes_from_the_last_good_step(run_file, tmp_path, refinement, monkeypatch):
    calls = refinement(made_up_fit())
    module = importlib.import_module("jaxnmr.refinement")
    monkeypatch.setattr(module, "read_checkpoint", lambda path, parameters: f"{parameters} of {path.name}")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "checkpoint.json").write_text("{}", "utf-8")
    assert cli.main(["refine", str(run_file), "--out", str(tmp_path / "out"), "--resume"]) == 0
    assert calls[0]["parameters"] == "parameters of checkpoint.json"


def test_resuming_without_a_checkpoint_is_an_input_error(run_file, tmp_path, refinement, capsys):
    refinement(made_up_fit())
    assert cli.main(["refine", str(run_file), "--out", str(tmp_path / "out"), "--resume"]) == 2
    assert "checkpoint.json" in capsys.readouterr().err


def test_wrong_input_gives_one_message_without_a_traceback(run_file, tmp_path, refinement, capsys):
    refinement(DataError("all counts [between 20 and 60] are zero"))
    assert cli.main(["refine", str(run_file), "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert err.strip().splitlines()[-1] == "error: all counts [between 20 and 60] are zero"
    assert "Traceback" not in err


def test_a_missing_run_file_gives_exit_code_two(tmp_path, capsys):
    assert cli.main(["refine", str(tmp_path / "gone.toml")]) == 2
    assert "gone.toml: no such file" in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_made_is_an_input_error(run_file, tmp_path, refinement, capsys):
    refinement(made_up_fit())
    (tmp_path / "file").write_text("", "utf-8")
    assert cli.main(["refine", str(run_file), "--out", str(tmp_path / "file" / "out")]) == 2
    assert "error:" in capsys.readouterr().err


def test_quiet_prints_nothing_when_all_goes_well(run_file, tmp_path, refinement, capsys):
    refinement(made_up_fit())
    assert cli.main(["refine", str(run_file), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.filterwarnings("default::UserWarning")
def test_warnings_are_said_in_one_line_without_the_place_in_the_code(run_file, tmp_path, refinement, capsys):
    run_file.write_text(
        RUN.replace('type = "Ti"', 'type = "Ti1+"').replace("range = [20", "range = [27"), encoding="utf-8"
    )
    arguments = ["simulate", str(run_file), "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "Ti1+" in line]
    assert line.startswith("warning: no X-ray form factor of Ti1+ is tabulated: it scatters as the neutral atom Ti")
    assert cli.main([*arguments, "--quiet"]) == 0
    assert "Ti1+" not in capsys.readouterr().err


def test_every_step_is_one_plain_line_when_nobody_watches():
    stream = io.StringIO()
    progress = commands.ProgressLines(Console(file=stream, soft_wrap=True, highlight=False))
    for info in steps():
        progress(info)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "stage 1: scale (3 parameters)"
    assert [line.split()[0] for line in lines if not line.startswith("stage")] == [str(k) for k in range(1, 8)]
    assert "Rwp xrd  62.554 %" in lines[1]
    assert sum("rejected" in line for line in lines) == 1
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_gets_colours():
    stream = io.StringIO()
    commands.ProgressLines(Console(file=stream, force_terminal=True, color_system="standard"))(steps()[0])
    assert "\x1b[1m" in stream.getvalue()


@pytest.mark.parametrize(
    ("flags", "variable", "expected"),
    [
        ([], None, "cache/jaxnmr/jaxlib-"),
        ([], "elsewhere", "elsewhere"),
        (["--cache", "mine"], "elsewhere", "mine"),
    ],
)
def test_compiled_programs_are_kept_where_the_user_wants(
    run_file, tmp_path, refinement, monkeypatch, flags, variable, expected
):
    if variable:
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", variable)
    refinement(made_up_fit())
    cli.main(["refine", str(run_file), "--out", str(tmp_path / "out"), *flags])
    assert expected in str(jax.config.jax_compilation_cache_dir)
    assert jax.config.jax_enable_x64


def test_no_cache_leaves_the_cache_alone(run_file, tmp_path, refinement):
    before = jax.config.jax_compilation_cache_dir
    refinement(made_up_fit())
    cli.main(["refine", str(run_file), "--out", str(tmp_path / "out"), "--no-cache"])
    assert jax.config.jax_compilation_cache_dir == before


def test_a_simulated_pattern_has_peaks_on_its_background(run_file, tmp_path):
    assert cli.main(["simulate", str(run_file), "--out", str(tmp_path), "--no-cache"]) == 0
    rows = [line.split() for line in (tmp_path / "xrd.xye").read_text("utf-8").splitlines() if line[0] != "#"]
    x, y = [float(r[0]) for r in rows], [float(r[1]) for r in rows]
    assert (x[0], x[-1], len(x)) == (20.0, 60.0, 801)
    assert x[y.index(max(y))] == pytest.approx(27.45, abs=0.1)  # rutile 110
    assert min(y) == pytest.approx(46.0, abs=3.0)


def test_simulated_noise_is_poisson_and_repeats_with_its_seed(run_file, tmp_path):
    for folder, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        arguments = ["--noise", "5000", "--seed", seed, "--no-cache", "--quiet"]
        assert cli.main(["simulate", str(run_file), "--out", str(tmp_path / folder), *arguments]) == 0
    a, b, c = ((tmp_path / folder / "xrd.xye").read_text("utf-8") for folder in "abc")
    assert a == b != c
    counts = [float(line.split()[1]) for line in a.splitlines() if line[0] != "#"]
    assert all(count == int(count) for count in counts)
    assert max(counts) == pytest.approx(5000, abs=4 * 5000**0.5)


def test_noise_must_be_positive(run_file, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["simulate", str(run_file), "--noise", "-3"])
    assert stop.value.code == 2
    assert "expected a positive number, got -3" in capsys.readouterr().err


def test_a_range_without_data_cannot_be_refined(run_file, tmp_path, capsys):
    assert cli.main(["refine", str(run_file), "--out", str(tmp_path / "out"), "--no-cache"]) == 2
    assert "[[histogram]] 'xrd': range makes a simulation only" in capsys.readouterr().err


def test_examples_are_listed_with_what_they_need(capsys):
    assert cli.main(["examples"]) == 0
    out = capsys.readouterr().out
    assert "quartz" in out and "fap" in out
    assert "needs JAXNMR_DATA" in out


def test_every_example_is_a_valid_run_file(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXNMR_DATA", str(tmp_path))
    examples = example_files()
    assert {"fap", "pbso4", "pbso4_xn", "nac", "nanbo2f2", "quartz"} <= set(examples)
    for path in examples.values():
        run = runfile.load_run(path)
        assert run.stages or run.spectra


def test_an_unknown_example_suggests_the_nearest(capsys):
    assert cli.main(["examples", "run", "quarz"]) == 2
    assert "did you mean 'quartz'?" in capsys.readouterr().err


def test_running_examples_needs_a_name_or_all(capsys):
    assert cli.main(["examples", "run"]) == 2
    assert "--all" in capsys.readouterr().err


def test_all_examples_are_tried_even_when_one_fails(tmp_path, refinement, monkeypatch, capsys):
    monkeypatch.delenv("JAXNMR_DATA", raising=False)
    refinement(made_up_fit())
    assert cli.main(["examples", "run", "--all", "--out", str(tmp_path)]) == 2
    assert "JAXNMR_DATA, which is not set" in capsys.readouterr().err
    assert (tmp_path / "quartz" / "report.md").exists()


def test_help_explains_run_files(capsys):
    assert cli.main(["help-run"]) == 0
    assert "[[histogram]]" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["refine", "simulate", "examples"])
def test_every_command_shows_an_example_in_its_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert f"example: jaxnmr {command}" in capsys.readouterr().out


def test_the_module_is_a_command_too():
    done = subprocess.run([sys.executable, "-m", "jaxnmr", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("jaxnmr ")


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m jaxnmr help-run | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("# What run files can say")


def test_an_example_is_copied_with_the_files_that_stand_beside_it_and_nothing_is_overwritten(tmp_path, capsys):
    folder = tmp_path / "mine"
    assert cli.main(["examples", "--copy", "quartz", str(folder)]) == 0
    assert {path.name for path in folder.iterdir()} == {"quartz.toml", "quartz.xye"}
    run = runfile.load_run(folder / "quartz.toml")
    assert run.histograms[0].file == folder / "quartz.xye"
    assert cli.main(["examples", "--copy", "quartz", str(folder)]) == 2
    assert "you may have edited it" in capsys.readouterr().err
    assert cli.main(["examples", "--copy", "quarz", str(folder)]) == 2
    assert "did you mean 'quartz'" in capsys.readouterr().err
