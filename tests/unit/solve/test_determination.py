"""From a simulated pattern to files on disk, by the command; what was found before is taken over."""

import json

import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.cli import main
from jaxnmr.solve.determination import determine

RUTILE = {
    "cell": (4.594, 4.594, 2.959, 90, 90, 90),
    "spacegroup": "P 42/m n m",
    "species": ("Ti", "O"),
    "xyz": ((0, 0, 0), (0.3053, 0.3053, 0)),
}


@pytest.fixture(scope="module")
def pattern(tmp_path_factory):
    crystal = jn.Crystal.create(**RUTILE, u_iso=0.006, name="rutile")
    instrument = jn.Instrument(wavelengths=(1.540593,), U=2.0, V=-2.0, W=12.0, shl=0.0)
    experiment = jn.PowderDiffraction(instrument=instrument, background=jn.Background.chebyshev(3))
    smooth = experiment.simulate(crystal, (20.0, 125.0, 0.03), values={"scale": 1.0, "size": 0.3})
    y = np.random.default_rng(3).poisson(np.asarray(smooth.y) / np.max(smooth.y) * 8000.0 + 60.0).astype(float)
    path = tmp_path_factory.mktemp("rutile") / "rutile.xye"
    jn.write_pattern(jn.Pattern.create(smooth.x, y, name="rutile"), path)
    return path


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


def test_what_cannot_be_is_said_before_anything_is_calculated(pattern, tmp_path):
    measured = jn.read_pattern(pattern, wavelength=1.540593)
    with pytest.raises(jn.errors.ConventionError, match="give cell="):
        determine(measured, "TiO2", group="P 42/m n m")
    with pytest.raises(jn.errors.ConventionError, match="composition"):
        determine(measured, "Xx2", cell=RUTILE["cell"])
    with pytest.raises(jn.errors.ParameterError, match="formula_units is 0"):
        determine(measured, "TiO2", formula_units=0)
    assert main(["solve", str(pattern), "--composition", "TiO2", "--out", str(tmp_path)]) == 2
