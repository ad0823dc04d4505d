import csv
import hashlib
import json
from dataclasses import replace
from types import SimpleNamespace

import gemmi
import jax
import numpy as np
import pytest
from made_up_fit import fitted_pattern, made_up_fit, rutile, statistics

import jaxnmr as jn
from jaxnmr.crystal import Crystal
from jaxnmr.nmr import quadrupolar_from_efg, quadrupolar_parameters
from jaxnmr.objective import HostState, Parameters, Provision
from jaxnmr.report import write_report
from jaxnmr.report.geometry import Geometry, phase_covariance, volume_esd
from jaxnmr.report.record import result_record
from jaxnmr.report.text import report_text, table
from jaxnmr.terms.spectrum_evidence import predicted_columns
from jaxnmr.units import format_esd


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize(
    ("value", "esd", "text"),
    [
        (0.12345, 0.0005, "0.1235(5)"),
        (9.371859, 0.000136, "9.37186(14)"),
        (0.5, 0.0019, "0.5000(19)"),
        (0.5, 0.0020, "0.500(2)"),
        (0.1234, 0.0096, "0.123(10)"),
        (12345.0, 12.4, "12345(12)"),
        (12345.0, 234.0, "12300(200)"),
        (2.165e12, 2e9, "2.165(2)e12"),
        (-4.19712e7, 1234.0, "-4.19712(12)e7"),
        (2.5e12, 9e12, "2(9)e12"),
        (79495012.0, None, "79495012"),
        (2.165e12, None, "2.165e12"),
        (79495012.0, 1.2, "79495012.0(12)"),
        (-0.00001, 0.002, "0.000(2)"),
        (5.0, 1.0, "5.0(10)"),
        (0.25, 0.0, "0.25"),
        (0.25, None, "0.25"),
        (120.0, float("nan"), "120"),
        (float("nan"), 0.1, "?"),
        (-0.0, None, "0"),
    ],
)
def test_uncertainties_are_written_in_brackets_with_one_or_two_digits(value, esd, text):
    assert format_esd(value, esd) == text


def test_the_volume_uncertainty_follows_from_the_cell_with_its_symmetry():
    fit = made_up_fit()
    crystal = fit.crystals["rutile"]
    a, c = crystal.cell[0], crystal.cell[2]
    s_a, s_c, correlation = 1.4e-4, 9e-5, -0.2
    terms = (2 * a * c * s_a) ** 2 + (a * a * s_c) ** 2 + 2 * correlation * (2 * a * c * s_a) * (a * a * s_c)
    assert volume_esd(crystal, phase_covariance(fit, "rutile")) == pytest.approx(np.sqrt(terms), rel=1e-9)


def test_bond_uncertainties_agree_with_drawing_structures_from_the_covariance():
    fit = made_up_fit()
    crystal, covariance = fit.crystals["rutile"], phase_covariance(fit, "rutile")
    found = Geometry.of(crystal, covariance).bonds()
    draws = np.random.default_rng(3).multivariate_normal(np.zeros(12), covariance, size=4000, method="eigh")
    samples = []
    for draw in draws:
        x = crystal.xyz[1, 0] + draw[6 + 3]
        a, c = crystal.cell[0] + draw[0], crystal.cell[2] + draw[2]
        samples.append((np.sqrt(2 * (a * (0.5 - x)) ** 2 + (0.5 * c) ** 2), np.sqrt(2) * a * x))
    assert [m.atoms for m in found] == [("Ti1", "O1"), ("Ti1", "O1")]
    assert [m.count for m in found] == [4, 2]
    for m, column in zip(found, np.array(samples).T, strict=True):
        assert m.value == pytest.approx(column.mean(), abs=1e-4)
        assert m.esd == pytest.approx(column.std(), rel=0.06)


def test_angles_that_symmetry_fixes_have_no_uncertainty():
    fit = made_up_fit()
    found = Geometry.of(fit.crystals["rutile"], phase_covariance(fit, "rutile")).angles()
    right = [m for m in found if abs(m.value - 90.0) < 1e-6]
    straight = [m for m in found if abs(m.value - 180.0) < 1e-6]
    assert right and straight
    assert all(m.esd == 0.0 for m in right + straight)
    assert any(m.esd > 0.01 for m in found)


def test_angles_of_large_coordination_polyhedra_are_left_out():
    caesium = Crystal.create(
        cell=[4.12, 4.12, 4.12, 90, 90, 90], spacegroup="P m -3 m", species=["Cs", "Cl"],
        xyz=[[0, 0, 0], [0.5, 0.5, 0.5]],
    )  # fmt: skip
    found = Geometry.of(caesium, np.zeros((12, 12)))
    assert [m.count for m in found.bonds()] == [8]
    assert found.angles() == []


def test_angles_at_an_octahedron_of_shared_positions_are_listed():
    """Perovskite with O and F on one position: six positions around Nb, twelve sites."""
    crystal = Crystal.create(
        cell=[3.9, 3.9, 3.9, 90, 90, 90], spacegroup="P m -3 m", species=["K", "Nb", "O", "F"],
        xyz=[[0.5] * 3, [0, 0, 0], [0.5, 0, 0], [0.5, 0, 0]], occupancy=[1, 1, 2 / 3, 1 / 3],
    )  # fmt: skip
    angles = {(a.atoms, round(a.value, 6)) for a in Geometry.of(crystal, np.zeros((18, 18))).angles()}
    at_nb = {("".join(sorted(labels[0][0] + labels[2][0])), value) for labels, value in angles if labels[1] == "Nb1"}
    assert at_nb == {(pair, value) for pair in ("OO", "FO", "FF") for value in (90.0, 180.0)}


def test_the_record_is_strict_json_even_when_numbers_are_missing():
    fit = made_up_fit(seconds=float("nan"), correlations=(("a", "b", float("inf")),))
    record = json.loads(json.dumps(result_record(fit), allow_nan=False))
    assert record["result"]["seconds"] is None
    assert record["result"]["correlations"] == [["a", "b", None]]
    assert record["result"]["parameters"][0]["lower"] is None


def test_the_record_counts_and_names_everything():
    record = result_record(made_up_fit())
    result = record["result"]
    assert (record["schema"], record["kind"], record["title"]) == (2, "refinement", "rutile")
    assert (result["status"], result["converged"], result["steps"]) == ("converged", True, 7)
    assert (result["n_parameters"], result["n_observations"]) == (5, 1560)
    assert result["terms"]["xrd"]["kind"] == "histogram" and result["terms"]["xrd"]["statistics"]["r_weighted"] == 8.41
    assert result["history"][0]["factors"] == {"xrd": {"Rwp": pytest.approx(np.sqrt(9e4 / 23.0))}}
    by_name = {row["name"]: row for row in result["parameters"]}
    assert by_name["cell[a]"]["esd"] == pytest.approx(1.4e-4)
    assert by_name["cell[a]"]["esd_scor"] == pytest.approx(1.54e-4)
    assert by_name["xyz[O1.x]"]["value"] == 0.3053
    assert by_name["xyz[Ti1.x]"]["free"] is False
    assert result["suggestions"] == [{"parameter": "xrd/displacement", "expected_chi2_decrease": 25.0}]
    assert {"python", "jax", "jaxlib", "jaxnmr", "gemmi"} <= set(record["versions"])


def test_input_files_are_identified_by_their_hash_and_not_by_their_folder(tmp_path):
    data = tmp_path / "a.xye"
    data.write_bytes(b"10 1 1\n")
    record = result_record(made_up_fit(), SimpleNamespace(title="t", inputs=(data, tmp_path / "gone.cif")))
    assert record["inputs"][0] == {"file": "a.xye", "bytes": 7, "sha256": hashlib.sha256(b"10 1 1\n").hexdigest()}
    assert record["inputs"][1]["sha256"] is None
    assert str(tmp_path) not in json.dumps(record)


def test_tables_align_numbers_to_the_right_and_escape_bars():
    text = table(("name", "value"), [("a|b", "1.2(3)"), ("c", "-4")])
    assert text.splitlines() == ["| name | value |", "|:--|--:|", "| a\\|b | 1.2(3) |", "| c | -4 |"]


def test_the_report_gives_cell_atoms_bonds_and_agreement_with_uncertainties():
    fit = made_up_fit()
    text = report_text(fit, result_record(fit))
    assert "| 4.59370(14) | 4.59370(14) | 2.95870(9) | 90 | 90 | 90 | 62.435(4) |" in text
    assert "| O1 | O2- | 0.3053(4) | 0.3053(4) | 0 | 1 | 0.0070(6) |" in text
    assert "| Ti1–O1 | 1.983(3) | 2 |" in text
    assert "| xrd | 1560 | 8.410 | 6.200 | 8.150 | 1.032 | 1.930 | 1.10 | 0.99 |" in text
    assert "`xrd/displacement` (25)" in text


def test_the_report_warns_of_what_the_reader_should_not_overlook():
    fit = made_up_fit(
        status="max_steps",
        warnings=("U of O1 is not positive.",),
        null_directions=("x of O1 and y of O1",),
        weighted=True,
    )
    text = report_text(fit, result_record(fit))
    assert "did **not** converge (max_steps)" in text
    assert "**Warning:** U of O1 is not positive." in text
    assert "**Not determined by the data:** x of O1 and y of O1" in text
    assert "weight other than 1" in text


def test_anisotropic_displacements_get_their_own_table():
    u = np.array([[0.006, 0.006, 0.004, 0.0005, 0, 0], [0.007, 0.007, 0.005, -0.002, 0, 0]])
    crystal = Crystal.create(
        cell=[4.5937, 4.5937, 2.9587, 90, 90, 90], spacegroup="P 42/m n m", species=["Ti4+", "O2-"],
        labels=["Ti1", "O1"], xyz=[[0, 0, 0], [0.3053, 0.3053, 0]], u_aniso=u, name="rutile",
    )  # fmt: skip
    fit = made_up_fit(crystals={"rutile": crystal})
    text = report_text(fit, result_record(fit))
    assert "| O1 | 0.007 | 0.007 | 0.005 | -0.002 | 0 | 0 |" in text


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return header, np.array(rows, dtype=float)


def test_pattern_and_reflection_tables_hold_the_fit(tmp_path):
    fit = made_up_fit()
    written = write_report(fit, tmp_path)
    header, rows = read_csv(written["pattern xrd"])
    assert written["pattern xrd"].name == "pattern.csv"
    data = fit.patterns["xrd"]
    np.testing.assert_allclose(rows[:, header.index("calculated")], data.calculated, rtol=1e-7)
    np.testing.assert_allclose(rows[:, header.index("difference")], data.observed - data.calculated, atol=1e-5)
    header, rows = read_csv(tmp_path / "reflections_xrd_rutile.csv")
    np.testing.assert_array_equal(rows[:, 0], np.arange(1, 8))
    np.testing.assert_allclose(rows[:, header.index("f2_obs")], data.reflections["rutile"].f2_obs, rtol=1e-7)


def test_several_histograms_get_a_pattern_file_and_a_picture_each(tmp_path):
    fit = made_up_fit(
        evidence={"x": fitted_pattern("x"), "n": fitted_pattern("n")},
        statistics={"x": statistics(), "n": statistics()},
    )
    write_report(fit, tmp_path)
    assert {"pattern_x.csv", "pattern_n.csv", "pattern_x.png", "pattern_n.png"} <= {p.name for p in tmp_path.iterdir()}


def test_every_phase_has_its_block_in_the_structure_file(tmp_path):
    write_report(made_up_fit(("rutile", "anatase")), tmp_path)
    document = gemmi.cif.read(str(tmp_path / "refined.cif"))
    assert [block.name for block in document] == ["rutile", "anatase"]
    assert document[0].find_value("_cell_length_a") == "4.59370(14)"
    assert document[0].find_value("_cell_volume") == "62.435(4)"
    assert list(document[0].find_values("_atom_site_fract_x"))[1] == "0.3053(4)"


def test_the_report_shows_pictures_that_exist_in_the_formats_asked_for(tmp_path):
    run = SimpleNamespace(title="t", inputs=(), pictures=("png", "svg"), histograms=())
    write_report(made_up_fit(), tmp_path / "new", run)
    text = (tmp_path / "new" / "report.md").read_text(encoding="utf-8")
    for name in ("pattern", "correlations", "convergence"):
        assert f"({name}.png)" in text
        assert (tmp_path / "new" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert "<svg" in (tmp_path / "new" / f"{name}.svg").read_text(encoding="utf-8")[:500]


def test_a_negative_displacement_is_in_the_record():
    fit = made_up_fit(crystals={"rutile": rutile(u_iso=(0.006, -0.002))})
    assert result_record(fit)["result"]["phases"]["rutile"]["nonpositive_displacements"] == ["O1"]


def test_with_several_data_sets_the_report_says_which_fixes_what(tmp_path):
    write_report(made_up_fit(terms=("xrd", "shifts")), tmp_path)
    text = (tmp_path / "report.md").read_text()
    (row,) = [line for line in text.splitlines() if line.startswith("| O1 ") and "%" in line]
    assert "50 % (∞)" in row and "50 % (×1.56)" in row
    assert "information.png" in text and (tmp_path / "information.png").exists()
    record = json.loads((tmp_path / "result.json").read_text())["result"]["information"]
    assert record["terms"] == ["xrd", "shifts"] and record["parameters"][2]["shares"] == [0.5, 0.5]
    assert record["parameters"][2]["esd_without"][0] is None  # not determined
    write_report(made_up_fit(), tmp_path / "alone")
    assert "Which data" not in (tmp_path / "alone" / "report.md").read_text()


def test_sites_that_a_model_predicts_are_reported_with_their_tensors():
    crystal = Crystal.create(
        cell=[4, 5, 6, 90, 90, 90], spacegroup="P 1", species=["O", "Si"], xyz=[[0, 0, 0], [0.4, 0, 0]], name="chain"
    )
    simulation = jn.SpectrumMAS("17O", b0_tesla=9.4, mas_hz=10e3)
    blank = jn.Spectrum.create(np.linspace(-3e4, 3e4, 64), np.ones(64), larmor_hz=simulation.larmor_hz, sigma=1.0)
    term = jn.PredictedSpectrumTerm(simulation, blank, reference=jn.ShiftReference(300.0), gaussian_hz=500.0)
    values = {f"nmr/{name}": q.value for name, q in term.quantities({"chain": crystal}).items()}
    state = jn.State(
        crystals={"chain": crystal},
        values=values,
        provided={
            "chain": {
                "shielding": np.array([np.diag([240.0, 250.0, 290.0]), np.eye(3)]),
                "efg": np.array([np.diag([0.3, 0.7, -1.0]), np.zeros((3, 3))]),
            }
        },
        provisions=tuple(Provision("chain", head, (True, True)) for head in ("shielding", "efg")),
    )
    term = term.bind(HostState(state), Parameters.create(crystal.quantities() | term.quantities({"chain": crystal})))
    found = predicted_columns(term.sites_at(state))
    cq = float(quadrupolar_parameters(quadrupolar_from_efg(state.provided["chain"]["efg"][0], "17O")).cq_hz)
    assert {key: float(of[0]) for key, of in found.items()} == pytest.approx(
        {"shift": 40.0, "zeta": 30.0, "eta": 1.0 / 3.0, "cq": cq, "eta_q": 0.4, "share": 100.0}
    )


def test_a_stiff_background_comes_before_every_other_advice(tmp_path):
    fit = made_up_fit()
    (name,) = fit.patterns
    record = result_record(fit)
    assert "Which parameter next? Expected decrease" in report_text(fit, record)
    wave = 200.0 * np.sin(np.linspace(0.0, 9.0, len(fit.patterns[name].observed)))
    bent = replace(fit.patterns[name], observed=fit.patterns[name].observed + wave)
    text = report_text(replace(fit, evidence={name: bent}), record)
    assert f"Which parameter next? First more terms of {name}/background, then: expected decrease" in text
