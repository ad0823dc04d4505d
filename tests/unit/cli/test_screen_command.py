"""What the command hands to other processes, and its table: run files that change, names that no file can have."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jaxnmr.campaign.rows import Row
from jaxnmr.campaign.table import Table
from jaxnmr.cli.main import main
from jaxnmr.cli.screening import _Make, _read, _settings
from jaxnmr.errors import ParseError
from jaxnmr.report.screening import write_structures
from jaxnmr.runfile import load_run
from jaxnmr.search.screening.rows import COLUMNS, KIND
from jaxnmr.search.screening.stored import ranked_table

QUARTZ = Path(__file__).parents[3] / "examples" / "quartz"


def test_a_worker_that_served_before_reads_a_changed_run_file_again_and_refuses_one_that_is_not_that_of_the_call(
    tmp_path,
):
    for file in QUARTZ.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    path = tmp_path / "quartz.toml"
    before = _Make(path, "quartz", _settings(load_run(path), "quartz"))
    before.begin()
    assert _read(path, before.settings).title == "Alpha-quartz, simulated laboratory pattern"
    path.write_text(path.read_text().replace("Alpha-quartz", "Another quartz"))
    with pytest.raises(
        ParseError, match="is another one here than where the work was handed out, or was changed since"
    ):
        before.begin()
    after = _Make(path, "quartz", _settings(load_run(path), "quartz"))
    assert _read(after.path, after.settings).title == "Another quartz, simulated laboratory pattern"
    after.begin()
    # a file that it names counts as much
    pattern = tmp_path / "quartz.xye"
    pattern.write_text(pattern.read_text().replace("\n", " \n", 1))
    with pytest.raises(ParseError, match="or a file that it names"):
        after.begin()


NAMES = [
    "../../outside",
    "/etc/passwd",
    "..",
    "say \"no\" to 'quotes'",
    "two\nlines | and a bar",
    "é" * 300,
    "x" * 300,
    "a\tb",
]


@pytest.fixture
def folder(tmp_path):
    """A table with names of all kinds."""
    with Table(tmp_path / "screen", KIND, COLUMNS) as table:
        for k, name in enumerate(NAMES):
            values = {
                "chi2": 1.0 + k,
                "n_observations": 10,
                "n_parameters": 1,
                "gof": 1.0,
                "rwp": 5.0,
                "moved": 0.1,
                "log_variance": 0.0,
            }
            table.write([Row(f"{k}", name, "converged", "", 1.0, values, {"factors": {}, "flags": []}, f"data_{k}\n")])
    return tmp_path / "screen"


def test_no_name_leads_out_of_the_folder_of_structures_and_none_is_too_long(folder, tmp_path):
    best = tmp_path / "best"
    files = write_structures(ranked_table(folder), best)
    assert sorted(files) == sorted(NAMES)
    assert sorted(best.iterdir()) == sorted(files.values()) and len(set(files.values())) == len(NAMES)
    assert [path.read_text() for path in sorted(best.iterdir())] == [f"data_{k}\n" for k in range(len(NAMES))]
    assert set(tmp_path.rglob("*.cif")) == set(files.values())


def test_a_table_has_a_line_for_each_candidate_whatever_its_name(folder, capsys):
    assert main(["table", str(folder), "--top", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    begun = [line.split()[0] for line in lines[-len(NAMES) :]]
    assert begun == [f"{k + 1}" for k in range(len(NAMES))]
    assert "two lines | and a bar" in lines[-len(NAMES) + 4]


def test_fewer_than_no_candidates_are_not_shown(folder, capsys):
    with pytest.raises(SystemExit):
        main(["table", str(folder), "--top", "-3"])
    assert "expected 0 or more, got -3" in capsys.readouterr().err


def test_a_table_into_a_pipe_that_is_closed_is_no_complaint(folder):
    command = [sys.executable, "-m", "jaxnmr", "table", str(folder), "--csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
