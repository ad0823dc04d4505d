"""Screening of candidates: ranking, failures as rows, folders that resume and are shared, the command."""

import csv
import json
from dataclasses import asdict

import jax.numpy as jnp
import numpy as np
import pytest
from small_problems import DOUBLET, histogram, rutile

import jaxnmr as jn
from jaxnmr._compilations import watch_compilations
from jaxnmr.campaign.rows import Rows
from jaxnmr.campaign.table import Table
from jaxnmr.cli import main
from jaxnmr.errors import ConventionError, ParameterError, ParseError
from jaxnmr.objective.objective import residuals
from jaxnmr.report.screening import write_screening
from jaxnmr.search.rooms import Rooms
from jaxnmr.search.screening.ranking import ScreeningResult, ranked
from jaxnmr.search.screening.rows import ScreeningRow
from jaxnmr.search.screening.stored import ranked_table

CELL, OXYGEN = np.array([4.594, 2.959]), 0.305


def with_oxygen_at(x, name):
    crystal = rutile().replace(xyz=np.array([[0, 0, 0], [x, x, 0]]), name=name)
    return crystal.replace(cell=np.asarray(rutile().cell) * [1.01, 1.01, 0.99, 1, 1, 1])


CANDIDATES = [with_oxygen_at(0.31, "far"), with_oxygen_at(0.305, "right"), with_oxygen_at(0.306, "near")]


@jn.term("seen")
def seen(state):
    """Cell lengths measured to 0.001 Å, a coordinate to 0.0005."""
    crystal = state.crystal
    off = jnp.stack([crystal.cell[0] - CELL[0], crystal.cell[2] - CELL[1]]) / 1e-3
    return jnp.concatenate([off, (crystal.xyz[1, :1] - OXYGEN) / 5e-4])


def fixed_atoms(crystal):
    """The cell is refined, the atoms are what distinguishes candidates."""
    if crystal.n_sites != 2:
        raise ParameterError("this one has too few atoms")
    objective = jn.Objective(seen, crystal=crystal)
    start = objective.parameters().free("cell")
    return objective, start.replace(flat=np.full_like(start.flat, np.nan)) if crystal.xyz[1, 0] > 0.4 else start


def test_the_right_structure_comes_first_and_failures_are_rows():
    one_atom = jn.Crystal.create(cell=rutile().cell, spacegroup=136, species=["Ti"], xyz=[[0, 0, 0]], name="one atom")
    given = [*CANDIDATES, one_atom, with_oxygen_at(0.42, "not a number"), "nothing.cif", jn.read_crystal]
    result = jn.screen(dict(enumerate(given)), fixed_atoms)
    assert [row.name for row in result.rows][:3] == ["1", "2", "0"] and result.best.status == "converged"
    # (0.001/0.0005)² and (0.005/0.0005)²: the cell explains nothing of them
    assert [row.chi2 for row in result.rows[:3]] == pytest.approx([0.0, 4.0, 100.0], abs=1e-6)
    assert result.figures[:3] == pytest.approx((0.0, 4.0, 100.0), abs=1e-6)
    errors = {row.name: row.message for row in result.rows if row.status == "error"}
    assert set(errors) == {"3", "4", "5", "6"} and all(np.isnan(result.figures[3:]))
    assert "too few atoms" in errors["3"] and "not finite" in errors["4"] and "no such file" in errors["5"]
    assert "Not clearly worse: 2" in result.message and "4 could not be refined" in result.message
    assert result.best.strain == pytest.approx(0.01, abs=1e-3) and result.best.moved == pytest.approx(0.0, abs=1e-9)
    assert list(result.fits) == ["1"] and len(repr(result).splitlines()) == 10


def test_candidates_are_ranked_by_the_energy_of_the_minimum_that_they_lie_near(tmp_path):
    @jn.source("energy")
    def energy(crystal):
        """Two valleys for oxygen, the one at 0.312 lower by 6 meV per atom."""
        x = crystal.xyz[1, 0]
        near, other = 4e4 * (x - 0.302) ** 2, 4e4 * (x - 0.312) ** 2 - 0.036
        return -jnp.logaddexp(-near / 0.02, -other / 0.02) * 0.02 - 50.0

    def held(crystal):
        objective = jn.Objective(seen + jn.EnergyTerm(error_ev=0.01), crystal=crystal, models=energy)
        return objective, objective.parameters().free("cell", "xyz")

    result = jn.screen(CANDIDATES[:2], held, rank="energy")
    assert [row.name for row in result.rows] == ["far", "right"]
    assert result.figures == pytest.approx((0.0, 6.0), abs=1e-3)
    assert result.best.energy_ev_atom == pytest.approx(-50.036 / 6, abs=1e-6)
    assert "lowest energy per atom" in result.message
    # what is kept is the best by that, although the other explains more
    assert list(result.fits) == ["far"] and result.rows[1].chi2 < result.rows[0].chi2
    written = write_screening(result, tmp_path)
    assert "| -8.3393 |" in written["report"].read_text(encoding="utf-8")
    none = jn.screen(CANDIDATES[:1], fixed_atoms, rank="energy")
    assert "none has an energy" in none.message


def test_what_reading_a_candidate_gives_cause_to_say_stands_in_its_row(tmp_path):
    text = (
        "data_r\n_space_group_IT_number 136\n_cell_length_a 4.594\n_cell_length_b 4.594\n_cell_length_c 2.959\nloop_\n"
    )
    text += "".join(f"_atom_site_{tag}\n" for tag in ("label", "fract_x", "fract_y", "fract_z"))
    (tmp_path / "r.cif").write_text(text + "Ti1 0 0 0\nO1 0.305 0.305 0\n")
    result = jn.screen([tmp_path / "r.cif", CANDIDATES[0]], fixed_atoms)
    flags = {row.name: " ".join(row.flags) for row in result.rows}
    assert "no displacement of all sites" in flags["r"] and "displacement" not in flags["far"]


def test_an_interrupted_screening_goes_on_where_it_stopped(tmp_path):
    def stop(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jn.screen(CANDIDATES, fixed_atoms, folder=tmp_path, callback=stop)
    assert [row.name for row in Rows(tmp_path)] == ["far"]
    far = []
    rest = jn.screen(
        CANDIDATES, fixed_atoms, folder=tmp_path, progress=lambda tally: far.append((tally.known, tally.done))
    )
    assert (rest.refined, rest.resumed) == (2, 1) and far == [(1, 1), (1, 2)]
    again = jn.screen(CANDIDATES, fixed_atoms, folder=tmp_path)
    assert (again.refined, again.resumed) == (0, 3)
    assert list(again.rows) == list(rest.rows) == list(ranked_table(tmp_path).rows)
    # what is kept is the refined structure
    (tmp_path / "best.cif").write_text(again.structure(0))
    best = jn.read_crystal(tmp_path / "best.cif")
    np.testing.assert_allclose(np.asarray(best.cell)[[0, 2]], CELL, atol=1e-3)
    assert best.name == "right"
    value, esd = again.parameters(0)["cell[a]"]
    assert value == pytest.approx(CELL[0], abs=1e-6) and esd == pytest.approx(1e-3, rel=1e-6)


def test_a_table_of_other_data_or_settings_is_refused_and_keeps_its_rows(tmp_path):
    jn.screen(CANDIDATES[1:2], fixed_atoms, folder=tmp_path)
    before = list(Rows(tmp_path))
    heavier = lambda c: (jn.Objective(2.0 * seen, crystal=c), fixed_atoms(c)[1])
    for make, more in (
        (heavier, {}),
        (fixed_atoms, {"solver": jn.GaussNewton()}),
        (fixed_atoms, {"settings": "second"}),
    ):
        with pytest.raises(ConventionError, match="table of another run"):
            jn.screen(CANDIDATES[1:2], make, folder=tmp_path, **more)
    assert jn.screen(CANDIDATES[1:2], fixed_atoms, folder=tmp_path).refined == 0 and list(Rows(tmp_path)) == before


def test_a_table_that_is_refused_keeps_its_errors_too(tmp_path):
    given = {"right": CANDIDATES[1], "broken": tmp_path / "nothing.cif"}
    jn.screen(given, fixed_atoms, folder=tmp_path)
    with pytest.raises(ConventionError, match="table of another run"):
        jn.screen(given, fixed_atoms, folder=tmp_path, solver=jn.GaussNewton(), retry=True)
    assert [(row.name, row.status) for row in Rows(tmp_path)] == [("broken", "error"), ("right", "converged")]


def test_a_candidate_that_has_changed_takes_the_place_of_what_it_was(tmp_path):
    files = [tmp_path / "a.cif", tmp_path / "b.cif"]
    for file, crystal in zip(files, CANDIDATES[:2], strict=True):
        jn.write_crystal(crystal, file)
    out = tmp_path / "out"
    assert [row.name for row in jn.screen(files, fixed_atoms, folder=out).rows] == ["b", "a"]
    jn.write_crystal(CANDIDATES[2], files[0])
    changed = jn.screen(files, fixed_atoms, folder=out)
    assert (changed.refined, changed.resumed, len(changed.rows)) == (1, 1, 2)
    assert changed.rows[1].chi2 == pytest.approx(4.0, abs=1e-6)


def test_errors_are_refined_once_more_when_asked_for(tmp_path):
    given = {"here": CANDIDATES[1], "later": tmp_path / "later.cif", "never": CANDIDATES[0]}
    few = lambda crystal: fixed_atoms(crystal) if crystal.xyz[1, 0] < 0.308 else 1 / 0
    first = jn.screen(given, few, folder=tmp_path / "out")
    assert sorted(row.message.partition(":")[0] for row in first.rows[1:]) == ["ParseError", "ZeroDivisionError"]
    assert jn.screen(given, few, folder=tmp_path / "out").refined == 0
    jn.write_crystal(CANDIDATES[2], tmp_path / "later.cif")
    assert jn.screen(given, few, folder=tmp_path / "out").refined == 1  # its bytes are others
    retried = jn.screen(given, fixed_atoms, folder=tmp_path / "out", retry=True)
    assert (retried.refined, retried.resumed) == (1, 2) and retried.statuses == {"converged": 3}


def test_a_process_that_cannot_begin_makes_no_rows(tmp_path):
    class Make:
        def begin(self):
            raise ParseError("pattern.xye", None, "no such file")

        __call__ = staticmethod(fixed_atoms)

    with pytest.raises(ParseError, match="no such file"):
        jn.screen(CANDIDATES, Make(), folder=tmp_path)
    assert not list(Rows(tmp_path))


def test_one_process_at_a_time_writes_a_table(tmp_path):
    with (
        Table(tmp_path, "screening", {}),
        pytest.raises(ConventionError, match=r"written by another process \(process \d+ on"),
    ):
        jn.screen(CANDIDATES, fixed_atoms, folder=tmp_path)
    with pytest.raises(ConventionError, match="table of another kind"):
        jn.screen(CANDIDATES, fixed_atoms, folder=tmp_path)


def test_criteria_count_parameters_and_divide_by_the_misfit_of_the_best():
    make = lambda name, chi2, k: ScreeningRow(
        name, "converged", "", chi2=chi2, n_observations=1000, n_parameters=k, gof=np.sqrt(chi2 / (1000 - k))
    )
    rows = [make("simple", 3000.0, 10), make("rich", 2990.0, 12), ScreeningRow("failed", "error", "")]
    excess = 2990.0 / 988
    for rank, per_parameter in (("bic", np.log(1000)), ("aic", 2.0)):
        found, figures = ranked(rows, rank)
        difference = 10.0 / excess - 2 * per_parameter
        assert [r.name for r in found] == (["rich", "simple"] if difference > 0 else ["simple", "rich"]) + ["failed"]
        assert figures[1] == pytest.approx(abs(difference)) and np.isnan(figures[2])
    assert ranked(rows, "chi2")[0][0].name == "rich"
    fewer = ScreeningRow(**asdict(rows[0]) | {"n_observations": 900})
    flags = {row.name: row.flags for row in ranked([rows[1], fewer], "bic")[0]}
    assert "not comparable" in flags["simple"][-1] and not flags["rich"]


def test_what_is_to_be_said_of_every_candidate_is_said_once(tmp_path):
    make = lambda name, chi2, *flags: ScreeningRow(
        name, "converged", "", chi2=chi2, n_observations=9, n_parameters=1, gof=1.0, flags=flags
    )
    note = "scan.xy: The intensities are no counts."
    rows = (make("a", 8.0, note), make("b", 9.0, "misfit", note), ScreeningRow("c", "error", "no such file"))
    of = lambda *rows: ScreeningResult(rows, "chi2", tuple(r.chi2 for r in rows), {}, len(rows), 0, 0.0, 0.0)
    result = of(*rows)
    assert result.common == (note,) and [result.remarks(row) for row in rows] == [(), ("misfit",), ("no such file",)]
    assert repr(result).count(note) == 1
    written = write_screening(result, tmp_path)
    assert written["report"].read_text().count(note) == 1 and note not in written["table"].read_text()
    assert json.dumps(note) in written["result"].read_text()
    assert of(rows[0]).common == () and of(rows[0]).remarks(rows[0]) == (note,)


def test_a_candidate_of_which_a_model_knows_less_is_no_better_for_it():
    # the second is off by twice as much in ten numbers, with uncertainties that are three times as large
    make = lambda name, error, sigma: ScreeningRow(
        name, "converged", "", chi2=10 * (error / sigma) ** 2, n_observations=10, n_parameters=0, gof=error / sigma,
        log_variance=20 * np.log(sigma),
    )  # fmt: skip
    rows = [make("known", 1.0, 1.0), make("strange", 2.0, 3.0)]
    assert ranked(rows, "chi2")[0][0].name == "strange"
    for rank in ("bic", "aic"):
        found, figures = ranked(rows, rank)
        likelihood = [-2 * np.sum(-0.5 * (r.chi2 + r.log_variance)) for r in rows]
        assert found[0].name == "known" and figures[1] == pytest.approx(likelihood[1] - likelihood[0])


def test_what_cannot_be_screened_is_refused(tmp_path):
    with pytest.raises(ConventionError, match="no candidates"):
        jn.screen([], fixed_atoms)
    with pytest.raises(ConventionError, match="two candidates are called 'right'"):
        jn.screen(CANDIDATES[1:2] * 2, fixed_atoms)
    with pytest.raises(ConventionError, match="rank is 'best'"):
        jn.screen(CANDIDATES, fixed_atoms, rank="best")
    (tmp_path / "a file").write_text("")
    with pytest.raises(ConventionError, match="cannot be made"):
        jn.screen(CANDIDATES, fixed_atoms, folder=tmp_path / "a file")


def test_patterns_of_different_cells_share_programs_and_keep_their_values():
    """A cell 3 % larger has more reflections; in common rooms both take one program, and the pattern is the same."""
    term, _ = histogram(rutile(), DOUBLET, np.arange(24, 72, 0.2))
    rooms, counted = Rooms(), []
    for factor in (1.0, 1.03):
        crystal = rutile().replace(cell=np.asarray(rutile().cell) * [factor, factor, factor, 1, 1, 1])
        experiment = jn.PowderDiffraction(background=jn.Background.chebyshev(3))
        objective = jn.Objective(jn.PatternTerm(experiment, term.pattern), crystal=crystal)
        params = objective.parameters().free("cell")
        at = (params.spec.layout, params.offset(), params.spec.transform, jnp.asarray(params.theta))
        value = lambda o, at=at: np.asarray(residuals(at[0], o, *at[1:]))
        fitted = rooms.fitted(objective, params)
        with watch_compilations() as watch:
            roomy = value(fitted)
        counted.append(watch.programs["residuals"])
    assert counted[1] == 0
    sizes = [
        np.shape(phase.hkl)[0]
        for o in (objective, rooms.fitted(objective, params))
        for phase in o.terms[0].model.phases
    ]
    assert sizes[0] < sizes[1]
    np.testing.assert_allclose(roomy, value(objective), atol=1e-9)


RUN = """
title = "Bonds of rutile"
[[phase]]
name = "rutile"
cell = [4.594, 4.594, 2.959, 90, 90, 90]
spacegroup = "P 42/m n m"
sites = [{ label = "Ti1", type = "Ti", xyz = [0, 0, 0] }, { label = "O1", type = "O", xyz = [0.305, 0.305, 0] }]
[[restraint]]
kind = "prior"
parameter = "cell[a]"
value = 4.594
sigma = 0.001
[[restraint]]
kind = "prior"
parameter = "xyz[O1.x]"
value = 0.305
sigma = 0.001
[[stage]]
free = ["cell[a]"]
"""


def test_the_command_ranks_candidates_and_writes_a_report(tmp_path, capsys):
    (tmp_path / "run.toml").write_text(RUN)
    files = [tmp_path / f"{c.name}.cif" for c in CANDIDATES]
    for crystal, file in zip(CANDIDATES, files, strict=True):
        jn.write_crystal(crystal, file)
    out, nothing = tmp_path / "out", tmp_path / "nothing.cif"
    nothing.write_text("data_nothing\n")
    command = ["screen", str(tmp_path / "run.toml"), *map(str, files), str(nothing), "--out", str(out), "--no-cache"]
    assert main(command) == 0
    assert "The best of 4 candidates is right" in capsys.readouterr().err
    report = (out / "report.md").read_text()
    lines = [line for line in report.splitlines() if line.startswith("| ")]
    assert [line.split("|")[2].strip() for line in lines[1:]] == ["right", "near", "far", "nothing"]
    assert (out / "ranking.png").stat().st_size > 5000 and len((out / "ranking.csv").read_text().splitlines()) == 5
    record = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert (record["schema"], record["kind"]) == (2, "screening")
    assert [row["name"] for row in record["result"]["candidates"]] == ["right", "near", "far", "nothing"]
    assert record["result"]["candidates"][0]["figure"] == 0.0 and record["result"]["candidates"][-1]["chi2"] is None
    assert sorted(path.name for path in (out / "best").glob("*.cif")) == ["01_right.cif", "02_near.cif", "03_far.cif"]
    assert main([*command, "--rank", "chi2"]) == 0
    assert "0 refined now, 4 known from before" in capsys.readouterr().err
    assert main([*command, "--phase", "anatase"]) == 2
    assert main([command[0], command[1], "--out", str(out)]) == 2
    assert "no candidates were given" in capsys.readouterr().err
    # another pattern of bonds is another run
    (tmp_path / "run.toml").write_text(RUN.replace("0.0005", "0.0004").replace("sigma = 0.001", "sigma = 0.002"))
    assert main(command) == 2
    assert "table of another run" in capsys.readouterr().err


def test_the_table_is_shown_as_text_and_as_columns_and_gives_structures(tmp_path, capsys):
    jn.screen(CANDIDATES, fixed_atoms, folder=tmp_path)
    assert main(["table", str(tmp_path), "--top", "2"]) == 0
    shown = capsys.readouterr().out
    assert "The best of 3 candidates is right" in shown and "... and 1 more" in shown and "far" not in shown
    assert main(["table", str(tmp_path), "--csv", "--rank", "chi2", "--cif", str(tmp_path / "cif")]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["candidate"] for row in rows] == ["right", "near", "far"]
    assert [float(row["chi2"]) for row in rows] == pytest.approx([0.0, 4.0, 100.0], abs=1e-6)
    assert jn.read_crystal(tmp_path / "cif" / "02_near.cif").xyz[1, 0] == pytest.approx(0.306)
    assert main(["table", str(tmp_path / "nothing")]) == 2
    assert "no such table" in capsys.readouterr().err
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "table.sqlite").write_text("rows")
    assert main(["table", str(tmp_path / "broken")]) == 2
    assert "is no table" in capsys.readouterr().err
