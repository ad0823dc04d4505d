"""What goes into a paper: the CIF read back by this project and by gemmi, contents of cells, tables."""

import csv
import re
from dataclasses import replace

import gemmi
import jax
import numpy as np
import pytest
from gemmi import cif
from made_up_fit import fitted_pattern, made_up_fit, rutile, statistics

import jaxnmr as jn
from jaxnmr.errors import ShapeError
from jaxnmr.io import read_crystal, read_crystals
from jaxnmr.io.cif_blocks import CifDocument, in_ascii
from jaxnmr.report.asked import Asked, AskedCurve
from jaxnmr.report.contents import Contents, absorption_per_mm
from jaxnmr.report.publication import paper_tables, write_csv, write_latex, write_publication
from jaxnmr.report.publication.patterns import r_factor
from jaxnmr.report.publication.typeset import latex
from jaxnmr.report.record import result_record
from jaxnmr.terms.pattern_evidence import PatternExperiment

CU = jn.Instrument(wavelengths=(1.540593, 1.544427), radius_mm=217.5, divergence_slit="automatic")
D1A = jn.Instrument(radiation="neutron", wavelengths=(1.909,), geometry="debye-scherrer", radius_mm=650.0)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def measured(name, instrument, **changes):
    """A fitted pattern, net intensities with uncertainties of their own."""
    of = fitted_pattern(name, **changes)
    experiment = PatternExperiment(instrument=instrument, cutoff=5e-5, textures={"rutile": (0, 0, 1)})
    return replace(
        of,
        observed=of.observed / 3.7,
        sigma=of.sigma / 3.7,
        calculated=of.calculated / 3.7,
        baseline=of.baseline / 3.7,
        experiment=experiment,
    )


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """One phase in one pattern: fit, file, document."""
    with jax.enable_x64(True):
        fit = made_up_fit(evidence={"xrd": measured("xrd", CU)}, warnings=("Ein Rössler sagt: ε > θ² · 10⁻⁶ Å",))
        asked = Asked(histograms=(AskedCurve("xrd", "rutile.xye"),))
        path = write_publication(fit, tmp_path_factory.mktemp("cif") / "publication.cif", result_record(fit), asked)
    return fit, path, cif.read(str(path))


def number(block, tag):
    return cif.as_number(block.find_value(tag))


def test_the_structure_of_a_publication_comes_back_in_this_project_and_in_gemmi(published):
    fit, path, document = published
    crystal, back = fit.crystals["rutile"], read_crystal(path)
    assert back.group == crystal.group and back.labels == crystal.labels and back.species == crystal.species
    np.testing.assert_allclose(back.cell, crystal.cell, atol=1e-12)
    np.testing.assert_allclose(back.xyz, crystal.xyz, atol=1e-12)
    np.testing.assert_allclose(back.u_iso, crystal.u_iso, atol=1e-12)
    (block,) = document
    theirs = gemmi.make_small_structure_from_block(block)
    assert [site.label for site in theirs.sites] == ["Ti1", "O1"] and theirs.spacegroup.number == 136
    assert theirs.sites[1].fract.x == pytest.approx(0.3053) and theirs.cell.c == pytest.approx(2.9587)
    assert block.find_value("_atom_site_fract_x") is None and block.find_loop("_atom_site_fract_x")[1] == "0.3053(4)"


def test_the_pattern_of_a_publication_comes_back_with_its_uncertainties_and_instrument(published):
    fit, path, (block,) = published
    shown, back = fit.patterns["xrd"], jn.read_pattern(path)
    np.testing.assert_allclose(back.x, shown.x, rtol=1e-9)
    np.testing.assert_allclose(back.y, shown.observed, rtol=1e-9)
    np.testing.assert_allclose(back.sigma, shown.sigma, rtol=1e-8)
    assert back.instrument.wavelengths == CU.wavelengths and back.instrument.divergence_slit == "automatic"
    assert (back.instrument.radiation, back.instrument.geometry) == ("xray", "bragg-brentano") and not back.notes
    column = lambda tag: np.array([cif.as_number(v) for v in block.find_loop(tag)])
    np.testing.assert_allclose(column("_pd_calc_intensity_total"), shown.calculated, rtol=1e-7)
    np.testing.assert_allclose(column("_pd_proc_intensity_bkg_calc"), shown.background, rtol=1e-7)
    assert number(block, "_pd_proc_number_of_points") == len(shown.x)
    # the weighted R factor follows from the loop itself
    y, c, w = column("_pd_meas_intensity_total"), column("_pd_calc_intensity_total"), column("_pd_proc_ls_weight")
    of = fit.evidence["xrd"].statistics((shown.calculated - shown.observed) / shown.sigma, 5.0)
    assert np.sqrt(w @ (y - c) ** 2 / (w @ y**2)) == pytest.approx(0.01 * of.rwp, rel=1e-6)
    assert "62 to 64" in block.find_value("_pd_proc_info_excluded_regions")


def test_reflections_and_their_r_factors_agree_with_one_another(published):
    fit, _, (block,) = published
    r = fit.patterns["xrd"].reflections["rutile"]
    table = block.find(
        "_refln_",
        ["index_h", "index_k", "index_l", "symmetry_multiplicity", "d_spacing", "F_squared_meas", "F_squared_calc"],
    )
    values = np.array([[float(v) for v in row] for row in table])
    np.testing.assert_array_equal(values[:, :3], r.hkl)
    np.testing.assert_allclose(values[:, 4], r.d, rtol=1e-6)
    m, observed, calculated = values[:, 3], values[:, 5], values[:, 6]
    bragg = np.sum(m * np.abs(observed - calculated)) / np.sum(m * observed)
    assert number(block, "_refine_ls_R_I_factor") == pytest.approx(bragg, abs=6e-6)
    assert bragg == pytest.approx(0.01 / 1.01), "observed were made one per cent larger"
    assert r_factor(r) == pytest.approx(1.0 - 1.0 / np.sqrt(1.01))
    assert number(block, "_refine_ls_number_reflns") == len(r.d)


def test_a_publication_is_ascii_and_lists_what_is_left_to_fill_in(published):
    _, path, (block,) = published
    text = path.read_text("ascii")
    assert text.startswith("#\\#CIF_1.1\n") and max(map(len, text.splitlines())) <= 100
    unknown = {item.pair[0] for item in block if item.pair is not None and item.pair[1] == "?"}
    listed = set(re.findall(r"^#\s+(_\S+)$", text, re.MULTILINE))
    assert unknown == listed and "_diffrn_ambient_temperature" in listed
    assert r"R\"ossler" in text and r"\q^2^ . 10^-6^ \%A" in text
    assert number(block, "_refine_ls_shift/su_max") == pytest.approx(10 / 7, abs=1e-3)
    assert "axis [0 0 1]" in block.find_value("_pd_proc_ls_pref_orient_corr")


def test_several_phases_and_patterns_have_blocks_that_name_each_other(tmp_path):
    phases = ("rutile", "anatase")
    evidence = {"xrd": measured("xrd", CU, phases=phases), "npd": measured("npd", D1A, phases=phases)}
    fit = made_up_fit(phases=phases, evidence=evidence, statistics={name: statistics() for name in evidence})
    path = write_publication(fit, tmp_path / "p.cif", result_record(fit), Asked())
    blocks = {block.name: block for block in cif.read(str(path))}
    assert list(blocks) == ["rutile__anatase_overall", "rutile", "anatase", "xrd", "npd"]
    code = lambda name: blocks[name].find_value("_pd_block_id")
    assert list(blocks["npd"].find_loop("_pd_phase_block_id")) == [code("rutile"), code("anatase")]
    assert list(blocks["rutile"].find_loop("_pd_block_diffractogram_id")) == [code("xrd"), code("npd")]
    assert set(blocks["xrd"].find_loop("_pd_refln_phase_id")) == {"1", "2"}
    assert list(read_crystals(path)) == list(phases)
    back = jn.read_pattern(path, bank=2)
    assert back.instrument.radiation == "neutron" and back.instrument.geometry == "debye-scherrer"
    # -3.4383 and 5.803 fm: Sears (1992), Ti and O
    assert [float(v) for v in blocks["rutile"].find_loop("_atom_type_scat_length_neutron")] == pytest.approx(
        [-3.438, 5.803], abs=1e-3
    )


def test_contents_of_cells_are_those_of_the_literature():
    quartz = jn.Crystal.create(
        cell=[4.9134, 4.9134, 5.4052, 90, 90, 120], spacegroup="P 32 2 1", species=["Si4+", "O2-"],
        xyz=[[0.4699, 0, 2 / 3], [0.4141, 0.2681, 0.7854]],
    )  # fmt: skip
    of = Contents.of(quartz)
    assert (of.formula(), of.z, of.electrons) == ("O2 Si", 3, 90.0)
    assert of.density == pytest.approx(2.649, abs=2e-3)
    # 36.03 and 60.6 cm²/g for quartz and Cu Kα in tables of mass attenuation, photoelectric part of the first
    assert absorption_per_mm(quartz, 1.5406) == pytest.approx(0.1 * 34.8 * of.density, rel=0.03)
    mixed = rutile().replace(occupancy=np.array([0.97, 1.0]))
    assert (Contents.of(mixed).formula(), Contents.of(mixed).z) == ("O2 Ti0.97", 2)
    methane = jn.Crystal.create(
        cell=[5.8, 5.8, 5.8, 90, 90, 90], spacegroup="P -4 3 m", species=["H", "C"], xyz=[[0.1, 0.1, 0.1], [0, 0, 0]]
    )
    assert Contents.of(methane).formula() == "C H4"


def test_blocks_refuse_columns_of_different_length_and_keep_names_apart(tmp_path):
    document = CifDocument()
    first, second = document.block("Zink blende"), document.block("Zink_blende")
    assert (first.name, second.name) == ("Zink_blende", "Zink_blende_2")
    with pytest.raises(ShapeError, match=r"have \[1, 2\] rows"):
        first.loop({"_a": ["1"], "_b": ["1", "2"]})
    first.items({"_text": ";at the start\nof a line", "_nothing": None})
    document.write(tmp_path / "a.cif")
    assert (
        cif.as_string(cif.read(str(tmp_path / "a.cif"))[0].find_value("_text")).strip("\n")
        == " ;at the start\nof a line"
    )
    assert in_ascii("Å μ² δ₁₂ – é") == r"\%A \m^2^ \d~12~ -- \'e"


def test_tables_of_a_paper_hold_the_refined_numbers_in_both_formats(tmp_path):
    fit = made_up_fit(evidence={"xrd": measured("xrd", CU)})
    tables = {table.key: table for table in paper_tables(fit, "Rutile, 5 % off")}
    assert list(tables) == ["crystal", "refinement", "atoms", "distances", "angles"]
    assert ("a / Å", "4.59370(14)") in tables["crystal"].rows and ("V / Å³", "62.435(4)") in tables["crystal"].rows
    path = write_csv(tables["atoms"], tmp_path / "atoms.csv")
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    assert (rows[1]["site"], rows[1]["x"], rows[1]["U / Å²"]) == ("O1", "0.3053(4)", "0.0070(6)")
    text = write_latex(list(tables.values()), tmp_path / "tables.tex").read_text("utf-8")
    assert text.isascii() and text.count("\\begin{tabular}") == text.count("\\bottomrule") == 5
    assert r"Rutile, 5 \% off" in text and r"space group & $P\,4_{2}/m\,n\,m$" in text and r"O$_{2}$Ti" in text
    for row in (line for line in text.splitlines() if line.endswith(r"\\")):
        assert row.count("&") in (1, 3, 7)
    assert (latex("-0.12(3)"), latex("R_Bragg / %"), latex("g cm⁻³")) == (
        "$-0.12(3)$",
        r"$R_\mathrm{Bragg}$ / \%",
        "g cm$^{-3}$",
    )
