"""Determinations from many seeds: what agrees, what fits as well, and the real thing on the smallest crystal."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from solved_crystals import ANGLESITE, QUARTZ, write_rutile

import jaxnmr as jn
from jaxnmr.campaign.rows import Rows
from jaxnmr.cli import main
from jaxnmr.crystal.transform import transformed
from jaxnmr.errors import ConventionError, ParameterError
from jaxnmr.report import solution, write
from jaxnmr.solve.determination import many
from jaxnmr.solve.determination.agreement import agreement
from jaxnmr.solve.determination.seeds import Determining, SeedRow
from jaxnmr.solve.direct.equivalence import apart

CELL = ["--cell", "4.594", "4.594", "2.959", "90", "90", "90"]
ANGLES = jn.Crystal.create(**ANGLESITE)


def command_for(pattern, *options):
    return ["solve", str(pattern), "--composition", "TiO2", "--wavelength", "1.540593", *options]


@pytest.fixture(scope="module")
def rutile_pattern(tmp_path_factory):
    return write_rutile(tmp_path_factory.mktemp("rutile"))


def row(seed, crystal=ANGLES, *, r=0.05, rwp=8.0, bic=None, coordinates=11, status="solved", **more):
    bic = 100.0 * np.log(rwp**2) if bic is None else bic
    return SeedRow(
        seed, status, "of a seed", crystal=crystal, group="" if crystal is None else crystal.group.name, r_factor=r, rwp=rwp, bic=bic,
        coordinates=coordinates, overlap=0.0, **more,
    )  # fmt: skip


def moved(by, site=2):
    """Anglesite with one oxygen elsewhere along a, Å."""
    xyz = np.array(ANGLESITE["xyz"])
    xyz[site, 0] += by / ANGLESITE["cell"][0]
    return jn.Crystal.create(**{**ANGLESITE, "xyz": xyz})


def test_crystals_are_the_same_in_every_setting_with_every_origin_and_hand():
    other = transformed(ANGLES, [[0, 0, 1], [1, 0, 0], [0, 1, 0]], origin=(0.5, 0, 0.5))
    assert other.group.name == "P b n m" and apart(ANGLES, other) < 1e-6
    right = jn.Crystal.create(**QUARTZ)
    left = {**QUARTZ, "spacegroup": "P 31 2 1", "xyz": [[-x, -y, -z] for x, y, z in QUARTZ["xyz"]]}
    assert apart(right, jn.Crystal.create(**left)) < 1e-6
    centred = jn.Crystal.create(
        cell=[8, 6, 7, 90, 100, 90], spacegroup="C 2/m", species=["Si", "O", "O"], xyz=[[0.1, 0, 0.2], [0.3, 0, 0.4], [0.1, 0.2, 0.7]]
    )  # fmt: skip
    without = transformed(centred, [[0.5, 0.5, 0], [-0.5, 0.5, 0], [0, 0, 1]], spacegroup="P 1", origin=(0.1, 0.2, 0.3))
    assert (
        apart(centred, without) < 1e-6
        and apart(without, transformed(centred, [[-1, 0, -1], [0, 1, 0], [1, 0, 0]])) < 1e-6
    )
    # 4 of 24 atoms
    assert apart(ANGLES, moved(0.1)) == pytest.approx(0.1 * np.sqrt(4 / 24), rel=0.02)
    assert apart(ANGLES, right) is None
    chromate = jn.Crystal.create(**{**ANGLESITE, "species": ["Pb", "Cr", "O", "O", "O"]})
    assert apart(ANGLES, chromate) is None and apart(ANGLES, chromate, {"Cr": "S"}) < 1e-6


def test_seeds_that_agree_are_counted_and_those_that_failed_are_no_alternatives():
    turned = transformed(ANGLES, [[0, 0, 1], [1, 0, 0], [0, 1, 0]], origin=(0.5, 0, 0.5))
    lost = row(5, moved(1.2), r=0.25, rwp=np.nan, bic=np.nan, status="not solved")
    said = agreement([lost, row(4, turned), row(2, moved(0.1), rwp=8.1), SeedRow(6, "error", "MemoryError: no room")])
    assert [(one.seed, one.structure) for one in said.rows] == [(4, 1), (2, 1), (5, 2), (6, 0)]
    assert said.rows[1].distance == pytest.approx(0.1 * np.sqrt(4 / 24), rel=0.02)
    assert said.alternatives == () and np.isnan(said.rows[2].distance)
    assert said.text.startswith("2 of 4 seeds found this structure (atoms within 0.041 Å); ")
    assert "seed 5 in one that fits worse (R 0.250)" in said.text and "seed 6 could not be determined (Mem" in said.text
    assert "nothing to compare" in agreement([row(3)]).text
    empty = row(1, None, r=np.nan, rwp=np.nan, bic=np.nan, status="not solved")
    assert agreement([empty, replace(empty, seed=2)]).text == "None of 2 seeds found a structure."


def test_another_structure_that_fits_as_well_is_named_and_the_best_not_called_solved(monkeypatch):
    other = row(3, moved(1.2), r=0.09, rwp=9.9)
    said = agreement([row(0), row(1), other, replace(other, seed=7)])
    assert [one.seed for one in said.alternatives] == [3] and said.undecided == said.alternatives
    assert (
        "seeds 3 and 7 ended in another one that fits as well (P n m a, R 0.090, Rwp 9.90 %; here P n m a" in said.text
    )
    # a quarter worse, or with more coordinates and a higher criterion, it is no rival; a criterion that is no higher makes it one
    assert agreement([row(0), replace(other, rwp=10.1, bic=500.0)]).alternatives == ()
    assert agreement([row(0), replace(other, coordinates=14)]).alternatives == ()
    assert len(agreement([row(0), replace(other, coordinates=14, bic=row(0).bic + 9.0)]).alternatives) == 1
    # where one was not refined searches are compared; atoms on top of each other are no structure
    found = dict(rwp=np.nan, bic=np.nan, status="not solved")
    assert len(agreement([row(0), row(1, moved(1.2), r=0.06, **found)]).alternatives) == 1
    assert agreement([row(0), row(1, moved(1.2), r=0.07, **found)]).alternatives == ()
    assert agreement([row(0), replace(other, overlap=0.6)]).alternatives == ()
    # an energy decides where it is known of both
    equal = replace(other, bic=row(0).bic + 1.0, energy_ev_atom=-6.02)
    decided = agreement([row(0, energy_ev_atom=-6.0), equal])
    assert decided.rows[0].seed == 3 and decided.undecided == () and len(decided.alternatives) == 1


def test_wrong_numbers_of_seeds_are_named(rutile_pattern, tmp_path, capsys):
    measured = jn.read_pattern(rutile_pattern, wavelength=1.540593)
    for seeds, words in ((0, "seeds is 0"), ([], "one or more"), ([1, 1], "different"), ([-1], "from 0 on")):
        with pytest.raises(ParameterError, match=words):
            jn.solve.determine_from_seeds(measured, "TiO2", seeds=seeds)
    command = command_for(rutile_pattern, "--out", str(tmp_path))
    for options, words in (
        (["--seeds", "0"], "--seeds is 0"),
        (["--workers", "2"], "give --seeds N"),
        (["--seeds", "2", "--resume"], "leave --resume out"),
    ):
        assert main([*command, *options]) == 2
        assert words in capsys.readouterr().err


def test_seeds_of_rutile_agree_and_a_second_call_only_adds(rutile_pattern, tmp_path, monkeypatch, capsys):
    measured = jn.read_pattern(rutile_pattern, wavelength=1.540593)
    known = dict(cell=(4.594, 4.594, 2.959, 90, 90, 90), group="P 42/m n m", minutes=1.0, folder=tmp_path)

    def stop(row, tally):
        raise KeyboardInterrupt

    def sent(*arguments, keep, **settings):
        """The work as it comes to other processes."""
        return replace(pickle.loads(pickle.dumps(Determining(*arguments, **settings))), keep=keep)

    monkeypatch.setattr(many, "Determining", sent)
    first = jn.solve.determine_from_seeds(measured, "TiO2", seeds=2, callback=stop, **known)
    assert first.best.status == "interrupted" and "seed 1 not done" in first.best.reason
    (before,) = Rows(tmp_path)
    assert (before.name, before.status, before.values["space_group"]) == ("seed 0", "solved", "P 42/m n m")
    assert before.values["contents"] == "Ti2 O4" and before.values["a"] == pytest.approx(4.594, abs=2e-3)
    monkeypatch.undo()
    # these files are looked at where one determination is tested
    monkeypatch.setattr(write, "write_report", lambda *arguments: {})
    monkeypatch.setattr(solution, "_first_steps", lambda *arguments: {})

    told = (*CELL, "--space-group", "P 42/m n m", "--minutes", "1")
    command = command_for(rutile_pattern, *told, "--out", str(tmp_path))
    assert main([*command, "--seeds", "2"]) == 0
    said = "2 of 2 seeds found this structure (atoms within 0.001 Å)."
    shown = " ".join(capsys.readouterr().err.split())
    assert said in shown and "seed 1: P 42/m n m, R" in shown and "seed 0:" not in shown
    assert next(r for r in Rows(tmp_path) if r.name == "seed 0") == before
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["result"]
    assert result["status"] == "solved" and said in result["reason"]
    seeds = result["seeds"]
    assert (seeds["agreeing"], seeds["alternatives"], seeds["known"], seeds["determined"]) == ([0, 1], [], 1, 1)
    assert [one["structure"] for one in seeds["rows"]] == [1, 1] and all(
        one["distance"] < 1e-3 for one in seeds["rows"]
    )
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert said in report and "![seeds](seeds.png)" in report and (tmp_path / "seeds.png").exists()
    # the best one was determined by the first call; its refinement was made once more
    np.testing.assert_allclose(jn.read_crystal(tmp_path / "refined.cif").xyz, first.best.crystal.xyz, atol=1e-4)
    assert result["reason"].startswith(before.message)
    (tmp_path / "0.cif").write_text(before.text, encoding="utf-8")
    assert apart(jn.read_crystal(tmp_path / "0.cif"), jn.read_crystal(tmp_path / "refined.cif")) < 1e-3
    with pytest.raises(ConventionError, match="table of another run"):
        jn.solve.determine_from_seeds(measured, "Ti4O8", **known)
    assert main([*command, "--minutes", "2", "--seeds", "3"]) == 2
    assert "table of another run" in capsys.readouterr().err
