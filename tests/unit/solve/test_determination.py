"""From a simulated pattern to files on disk, by the command; what was found before is taken over."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from solved_crystals import RUTILE, write_rutile

import jaxnmr as jn
from jaxnmr.cli import main
from jaxnmr.cli import solving as cli
from jaxnmr.solve.determination import verdict as verdicts
from jaxnmr.solve.determination.determine import determine
from jaxnmr.solve.determination.verdict import unexplained


@pytest.fixture(scope="module")
def pattern(tmp_path_factory):
    return write_rutile(tmp_path_factory.mktemp("rutile"))


def test_the_command_solves_rutile_from_pattern_formula_and_cell_and_goes_on_from_its_checkpoint(
    pattern, tmp_path, capsys
):
    command = [
        "solve",
        str(pattern),
        "--composition",
        "TiO2",
        "--wavelength",
        "1.540593",
        "--cell",
        "4.594",
        "4.594",
        "2.959",
        "90",
        "90",
        "90",
    ]
    command += ["--out", str(tmp_path), "--minutes", "2"]
    assert main(command) == 0
    there = {path.name for path in tmp_path.iterdir()}
    assert {
        "peaks.csv",
        "cells.csv",
        "solution_01.cif",
        "refined.cif",
        "report.md",
        "result.json",
        "search.png",
        "extinctions.png",
    } <= there
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["result"]
    assert result["status"] == "solved"
    found = jn.read_crystal(tmp_path / "refined.cif")
    assert found.group.number == 136
    x = float(np.asarray(found.xyz)[list(found.elements).index("O")][0])
    # the other description of rutile has its oxygen at 1/2 - x
    assert min(abs(x % 0.5 - 0.3053), abs(x % 0.5 - 0.1947)) < 0.002
    before = capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    again = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["result"]
    # not searched again: the searches are those of before, to the last digit
    assert [a["seconds"] for a in again["attempts"]] == [a["seconds"] for a in result["attempts"]]
    assert "1 free coordinate, solved" in before and "free coordinate" not in capsys.readouterr().err


def test_what_cannot_be_is_said_before_anything_is_calculated(pattern, tmp_path, capsys):
    measured = jn.read_pattern(pattern, wavelength=1.540593)
    with pytest.raises(jn.errors.ConventionError, match="give cell="):
        determine(measured, "TiO2", group="P 42/m n m")
    with pytest.raises(jn.errors.ConventionError, match="composition"):
        determine(measured, "Xx2", cell=RUTILE["cell"])
    with pytest.raises(jn.errors.ParameterError, match="formula_units is 0"):
        determine(measured, "TiO2", formula_units=0)
    with pytest.raises(jn.errors.ConventionError, match="nothing beside X"):
        determine(measured, "XH2")
    neutrons = measured.replace(instrument=measured.instrument.replace(radiation="neutron"))
    with pytest.raises(jn.errors.ConventionError, match="neutrons do not count electrons"):
        determine(neutrons, {"Ti": None, "X": None})
    with pytest.raises(jn.errors.ConventionError, match="no element"):
        determine(measured, {"Ti2": None, "O": None})
    with pytest.raises(jn.errors.ConventionError, match="six positive numbers"):
        determine(measured, "TiO2", cell=(0, 4.6, 3.0, 90, 90, 90))
    with pytest.raises(jn.errors.SymmetryError, match="does not allow the cell"):
        determine(measured, "TiO2", cell=RUTILE["cell"], group="P 63/m")
    with pytest.raises(jn.errors.ParameterError, match="density is 0"):
        determine(measured, "TiO2", density=0.0)
    assert main(["solve", str(pattern), "--composition", "TiO2", "--out", str(tmp_path)]) == 2
    assert "give --wavelength 1.5406" in capsys.readouterr().err
    assert main(["solve", str(pattern), "--composition", "", "--out", str(tmp_path), "--wavelength", "1.540593"]) == 2
    assert "the composition is empty" in capsys.readouterr().err


def test_contents_for_which_there_is_no_place_end_a_search_at_once(pattern):
    measured = jn.read_pattern(pattern, wavelength=1.540593)
    found = determine(measured, "TiO2", cell=RUTILE["cell"], group="P 42/m n m", formula_units=3)
    assert found.status == "not solved" and found.seconds < 300.0
    assert "3 Ti in the cell cannot be put on the positions of P 42/m n m" in found.reason
    # the right cell explains the pattern; a fit that is no better than a constant explains nothing, whatever its Rwp
    fit = found.extractions[0]
    assert unexplained(fit) < 0.05
    assert unexplained(replace(fit, calculated=np.full_like(fit.observed, np.median(fit.observed)))) > 0.95


def test_whoever_interrupts_gets_what_is_there_and_goes_on_only_with_the_same_wavelength(
    pattern, tmp_path, monkeypatch, capsys
):
    def stop(self, step):
        if step.passing:
            raise KeyboardInterrupt

    def stop_at_once(self, step):
        raise KeyboardInterrupt

    command = [
        "solve",
        str(pattern),
        "--composition",
        "TiO2",
        "--cell",
        *map(str, RUTILE["cell"]),
        "--out",
        str(tmp_path),
    ]
    with monkeypatch.context() as patched:
        patched.setattr(cli.Lines, "__call__", stop)
        assert main([*command, "--wavelength", "1.540593"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert "**interrupted**: a structure was found, but not refined" in (tmp_path / "report.md").read_text(
        encoding="utf-8"
    )
    assert (tmp_path / "checkpoint.json").exists()
    assert main([*command, "--wavelength", "1.5444", "--resume"]) == 2
    assert "or of other arguments" in capsys.readouterr().err
    # begun again without going on: what was found is not lost, and told where it is
    kept = (tmp_path / "checkpoint.json").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(cli.Lines, "__call__", stop_at_once)
        assert main([*command, "--wavelength", "1.5444"]) == 130
    assert (tmp_path / "checkpoint_1.json").read_bytes() == kept and not (tmp_path / "checkpoint.json").exists()
    assert "checkpoint_1.json" in "".join(capsys.readouterr().err.split())


def test_what_areas_leave_open_the_whole_pattern_may_determine(monkeypatch):
    crystal = jn.Crystal.create(
        cell=[4.157] * 3 + [90] * 3, spacegroup="P m -3 m", species=["La", "B"], xyz=[[0, 0, 0], [0.1993, 0.5, 0.5]]
    )
    monkeypatch.setattr(verdicts, "profile_factor", lambda fit: fit.rwp)
    monkeypatch.setattr(verdicts, "unexplained", lambda fit: 0.0)

    def said(esd, doubt="undetermined", areas=9, doubts=()):
        fit = SimpleNamespace(
            crystal=crystal, converged=True, rwp=7.0, esds={"xyz": np.array([[0, 0, 0], [esd, 0, 0]])}
        )
        solutions = SimpleNamespace(solved=not doubt, doubt=doubt, reason="of a doubt")
        attempt = SimpleNamespace(solutions=solutions, intensities=range(areas))
        refined = verdicts.Refined(fit, attempt, SimpleNamespace(rwp=4.0))
        return verdicts.verdict([attempt], refined, (), doubts, False)

    # 0.001 a for six of seven atoms
    status, reason = said(0.001)
    assert status == "solved" and f"determined to {0.004157 * (6 / 7) ** 0.5:.3f} Å" in reason
    assert verdicts.position_esd(SimpleNamespace(crystal=crystal, esds={})) == 0.0
    # (V/N)^(1/3) is 2.17 Å
    assert said(0.03)[0] == "not solved" and "of a doubt" in said(0.03)[1]
    assert said(0.001, "rival")[0] == "not solved"
    assert said(0.001, "few areas", 3)[0] == "not solved" and said(0.001, "few areas", 4)[0] == "solved"
    assert said(0.03, "")[0] == "solved"
    # a structure of the wrong atoms may fit as well
    status, reason = said(0.001, doubts=("B: the intensities want 9 electrons",))
    assert status == "not solved" and "the composition may be wrong: B: the intensities want 9 electrons" in reason
