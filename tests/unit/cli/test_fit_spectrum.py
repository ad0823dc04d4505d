"""NMR spectra in run files, commands, reports and pictures."""

import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.cli import main
from jaxnmr.errors import ConventionError, DataError, ParseError, ShapeError
from jaxnmr.io import read_magres
from jaxnmr.io.spectra.nmr_sites import sites_from_magres, sites_from_peaks
from jaxnmr.nmr import Sites, haeberlen_from_shielding
from jaxnmr.runfile import build, load_run

SPECTRUM = """
title = "two lines"
[[spectrum]]
name = "p"
file = "measured.csdf"
isotope = "31P"
b0_tesla = 9.4
mas_hz = inf
region_ppm = [[40, 12], [8, -30]]
noise_region_ppm = [60, 45]
baseline = 1
[[spectrum.site]]
label = "P1"
shift_ppm = 20.5
gaussian_ppm = 1.5
[[spectrum.site]]
label = "P2"
shift_ppm = -10.4
gaussian_hz = 200.0
"""
SITES = [
    jn.Site(isotope="31P", shift_ppm=20.0, gaussian_hz=300.0, amplitude=2.0, label="P1"),
    jn.Site(isotope="31P", shift_ppm=-10.0, gaussian_hz=250.0, amplitude=1.0, label="P2"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run file with its measured spectrum, and what the command makes of it."""
    place = tmp_path_factory.mktemp("spectrum")
    clean = jn.SpectrumMAS("31P", b0_tesla=9.4).simulate(SITES, points=512, width_hz=25e3)
    values = np.asarray(clean.values) + np.random.default_rng(4).normal(0.0, 5e-4, 512)
    jn.write_spectrum(clean.replace(values=values), place / "measured.csdf")
    (place / "run.toml").write_text(SPECTRUM, encoding="utf-8")
    assert main(["fit-spectrum", str(place / "run.toml"), "--out", str(place / "out"), "--quiet", "--no-cache"]) == 0
    return place


@pytest.fixture(scope="module")
def result(folder):
    return json.loads((folder / "out" / "result.json").read_text(encoding="utf-8"))["result"]


def test_the_command_finds_the_lines_without_stages_or_scale(result):
    rows = {row["name"]: row for row in result["parameters"]}
    truth = {"p/shift[P1]": 20.0, "p/shift[P2]": -10.0, "p/gaussian[P1]": 300.0, "p/gaussian[P2]": 250.0}
    truth |= {"p/amplitude[P1]": 2.0, "p/amplitude[P2]": 1.0}
    for name, value in truth.items():
        assert abs(rows[name]["value"] - value) < 4 * rows[name]["esd"], name
        assert 0 < rows[name]["esd"] < 0.05 * abs(value), name


def test_result_json_speaks_of_spectra_not_of_patterns(result):
    assert result["phases"] == {}
    ((name, spectrum),) = result["terms"].items()
    assert name == "p" and spectrum["kind"] == "spectrum"
    assert spectrum["isotope"] == "31P" and spectrum["sites"] == ["P1", "P2"]
    numbers = spectrum["statistics"]
    assert 0.8 < numbers["gof"] < 1.2 and numbers["factor"] == "Rw" and numbers["r_weighted"] > 0
    assert numbers["noise"] == pytest.approx(5e-4, rel=0.3)
    populations = [d["value"] for d in spectrum["derived"] if d["quantity"] == "population"]
    assert sum(populations) == pytest.approx(100.0) and populations[0] == pytest.approx(200 / 3, abs=2)


def test_the_report_has_no_powder_words(folder):
    text = (folder / "out" / "report.md").read_text(encoding="utf-8")
    assert not re.search(r"Rwp|Bragg|histogram|2θ|pseudo-Voigt|reflection|cell", text)
    assert "Rw / %" in text and "| P1 |" in text and "12 to 40" in text and "-30 to 8" in text
    assert not (folder / "out" / "refined.cif").exists()


def test_the_columns_of_the_sites_and_the_baseline_sum_to_the_fit(folder):
    table = np.genfromtxt(folder / "out" / "spectrum_p.csv", delimiter=",", names=True)
    np.testing.assert_allclose(table["P1"] + table["P2"] + table["baseline"], table["calculated"], atol=1e-7)
    np.testing.assert_allclose(table["observed"] - table["calculated"], table["difference"], atol=1e-7)
    assert (np.diff(table["ppm"]) > 0).all() and not ((table["ppm"] > 8) & (table["ppm"] < 12)).any()


def test_the_fitted_spectrum_is_written_as_csdm_region_by_region(folder):
    table = np.genfromtxt(folder / "out" / "spectrum_p.csv", delimiter=",", names=True)
    parts = [jn.read_spectrum(folder / "out" / f"spectrum_p_{k}.csdf") for k in (1, 2)]
    np.testing.assert_allclose(np.concatenate([p.ppm for p in parts]), table["ppm"], rtol=1e-6)
    together = np.concatenate([np.real(p.values) for p in parts])
    np.testing.assert_allclose(together, table["calculated"], rtol=1e-6, atol=1e-9)


def test_a_spectrum_is_drawn_with_shifts_increasing_to_the_left_and_every_site_labelled(folder):
    measured = jn.read_spectrum(folder / "measured.csdf")
    term = jn.SpectrumTerm(jn.SpectrumMAS("31P", b0_tesla=9.4), measured, SITES, name="p", sigma=5e-4)
    objective = jn.Objective(term)
    fit = jn.refine(objective, objective.parameters().free("p/amplitude", "p/shift"), suggest=False)
    assert "Rw" in repr(fit) and "Rwp" not in repr(fit)
    figure = jn.plot.spectrum(fit, "p", zoom=(25.0, 15.0))
    axis = figure.axes[0]
    left, right = axis.get_xlim()
    assert left > right
    assert {"P1", "P2"} <= {text.get_text() for text in axis.texts}
    assert {"observed", "calculated", "difference"} <= {line.get_label() for line in axis.lines}
    plain = jn.plot.spectrum(measured)
    assert plain.axes[0].get_xlim()[0] > plain.axes[0].get_xlim()[1]
    with pytest.raises(ConventionError, match="fewer than 3 points"):
        jn.plot.spectrum(fit, zoom=(900.0, 901.0))
    with pytest.raises(jn.errors.ParameterError, match="no spectrum 'q'"):
        jn.plot.spectrum(fit, "q")
    plt.close("all")


@pytest.fixture
def write(tmp_path):
    def writer(text):
        path = tmp_path / "run.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return writer


WRONG = [
    ("shift_ppm = 20.5", "shift = 20.5", "unknown key 'shift'|the key 'shift_ppm' is missing"),
    ("baseline = 1", "base_line = 1", "unknown key 'base_line'"),
    ("gaussian_ppm = 1.5", "gaussian_ppm = 1.5\ngaussian_hz = 200", "gaussian_hz or gaussian_ppm, not both"),
    ("b0_tesla = 9.4", "b0_tesla = 9.4\nlarmor_mhz = 162", "b0_tesla or larmor_mhz, not both"),
    ("mas_hz = inf", "peaks_ppm = [1.0]", "sites in one way"),
    ("mas_hz = inf", 'excitation = { kind = "hard" }', "'hard' is not possible here"),
    ("mas_hz = inf", 'transitions = "centre"', "'centre' is not possible here"),
    ('name = "p"', 'name = "p/q"', "cannot be part of parameter names"),
]


@pytest.mark.parametrize(("old", "new", "says"), WRONG, ids=[new.splitlines()[-1] for _, new, _ in WRONG])
def test_wrong_keys_and_values_of_a_spectrum_are_errors_with_their_place(write, old, new, says):
    with pytest.raises(ParseError, match=says) as caught:
        load_run(write(SPECTRUM.replace(old, new)))
    assert "run.toml" in str(caught.value) and "spectrum" in str(caught.value)


BUILT = [
    ("shift_ppm = 20.5", "shift_ppm = 20.5\neta = 1.5", "asymmetry lies between 0 and 1"),
    ("gaussian_hz = 200.0", "gaussian_hz = -200.0", "cannot be negative"),
    ("shift_ppm = 20.5", "shift_ppm = 20.5\ncq_mhz = 1.0", "spin 1/2"),
    ('label = "P2"', 'label = "P1"', "two sites are called 'P1'"),
    ("b0_tesla = 9.4", "b0_tesla = 7.0", "b0_tesla stands for 120.646 MHz: correct it"),
    ('isotope = "31P"', 'isotope = "31X"', "31X"),
    ("shift_ppm = 20.5", "shift_ppm = 2000.5", "no intensity in what is fitted"),
]


@pytest.mark.parametrize(("old", "new", "says"), BUILT, ids=[new.splitlines()[-1] for _, new, _ in BUILT])
def test_physical_nonsense_in_a_run_file_names_the_spectrum(folder, old, new, says):
    path = folder / "wrong.toml"
    path.write_text(SPECTRUM.replace(old, new), encoding="utf-8")
    with pytest.raises(ParseError, match=re.escape(says)) as caught:
        build(load_run(path))
    assert "[[spectrum]] 'p'" in str(caught.value)


def test_fit_spectrum_refuses_a_run_without_one(write, capsys):
    text = '[[phase]]\nname = "a"\nfile = "a.cif"\n[[histogram]]\nname = "x"\nfile = "x.xye"\n'
    assert main(["fit-spectrum", str(write(text)), "--no-cache"]) == 2
    assert "no [[spectrum]] to fit" in capsys.readouterr().err


def test_an_asymmetry_that_is_freed_does_not_start_at_zero(folder):
    path = folder / "axial.toml"
    stage = '[[stage]]\nname = "all"\nfree = ["p/zeta[P1]", "p/eta[P1]"]\n'
    anisotropic = SPECTRUM.replace("shift_ppm = 20.5", "shift_ppm = 20.5\nzeta_ppm = 30.0").replace("mas_hz = inf", "")
    path.write_text(anisotropic + stage, encoding="utf-8")
    params = build(load_run(path)).parameters
    assert float(params["p/eta[P1]"]) == pytest.approx(0.1) and float(params["p/eta[P2]"]) == 0.0


def test_peaks_become_sites_with_asymmetries_that_can_be_refined():
    sites = sites_from_peaks("23Na", [5.0, -3.0], [2.0, 1.0], gaussian_hz=100.0)
    assert [s.label for s in sites] == ["Na1", "Na2"] and [s.amplitude for s in sites] == [2.0, 1.0]
    assert all(s.eta == 0.1 and s.eta_q == 0.1 for s in sites)
    with pytest.raises(ShapeError, match="2 peaks, 1 intensities"):
        sites_from_peaks("19F", [1.0, 2.0], [1.0])


SHIELDING = np.array([[500.0, 10.0, 4.0], [6.0, 520.0, 0.0], [8.0, 0.0, 560.0]])
EFG = np.array([[0.1, 0.02, 0.0], [0.02, 0.15, 0.0], [0.0, 0.0, -0.25]])


MIRROR = np.diag([1.0, -1.0, 1.0])


def magres_text(second=MIRROR):
    """Two sodium atoms, the second by default a mirror image of the first."""
    row = lambda t: " ".join(f"{x:.6f}" for x in np.ravel(t))
    turned = lambda t: second @ t @ second.T
    return "\n".join(
        [
            "#$magres-abinitio-v1.0", "[atoms]", "units lattice Angstrom", "lattice 5 0 0 0 5 0 0 0 5",
            "units atom Angstrom", "atom Na Na 1 0 0 0", "atom Na Na 2 2.5 2.5 2.5", "[/atoms]", "[magres]",
            "units ms ppm", f"ms Na 1 {row(SHIELDING)}", f"ms Na 2 {row(turned(SHIELDING))}",
            "units efg au", f"efg Na 1 {row(EFG)}", f"efg Na 2 {row(turned(EFG))}", "[/magres]", "",
        ]
    )  # fmt: skip


def test_computed_tensors_become_sites_and_mirror_images_one_site(tmp_path):
    (tmp_path / "salt.magres").write_text(magres_text(), encoding="utf-8")
    sites = sites_from_magres(read_magres(tmp_path / "salt.magres"), "23Na", jn.ShiftReference(560.0, -0.95))
    assert len(sites) == 1 and float(sites.amplitude[0]) == 2.0
    assert float(sites.shift_ppm[0]) == pytest.approx(560.0 - 0.95 * np.trace(SHIELDING) / 3)
    symmetric = (SHIELDING + SHIELDING.T) / 2
    zeta = 0.95 * float(haeberlen_from_shielding(symmetric).zeta)
    assert float(haeberlen_from_shielding(np.asarray(sites.shielding_ppm)[0]).zeta) == pytest.approx(zeta)
    # 234.9647 MHz per atomic unit and barn
    assert np.abs(np.linalg.eigvalsh(np.asarray(sites.quadrupolar_hz)[0])).max() == pytest.approx(
        0.25 * 234.9647e6 * 0.104, rel=5e-3
    )


def test_atoms_whose_tensors_are_oriented_otherwise_stay_apart(tmp_path):
    other = magres_text(np.eye(3)).replace(
        " ".join(f"{x:.6f}" for x in np.ravel(EFG)), " ".join(f"{x:.6f}" for x in np.ravel(EFG[::-1, ::-1])), 1
    )
    (tmp_path / "salt.magres").write_text(other, encoding="utf-8")
    found = read_magres(tmp_path / "salt.magres")
    assert len(sites_from_magres(found, "23Na", jn.ShiftReference(560.0))) == 2
    with pytest.raises(ConventionError, match="has no 'Si'"):
        sites_from_magres(found, "29Si", jn.ShiftReference(300.0))
    bare = re.sub(r"(units )?efg .*\n", "", other)
    (tmp_path / "bare.magres").write_text(bare, encoding="utf-8")
    with pytest.raises(DataError, match="quadrupolar=False"):
        sites_from_magres(read_magres(tmp_path / "bare.magres"), "23Na", jn.ShiftReference(560.0))


def test_a_magres_file_is_simulated_by_the_command(tmp_path, capsys):
    (tmp_path / "salt.magres").write_text(magres_text(), encoding="utf-8")
    arguments = ["simulate-spectrum", str(tmp_path / "salt.magres"), "--no-cache", "--out", str(tmp_path / "out")]
    options = ["--isotope", "23Na", "--b0", "9.4", "--mas", "inf", "--reference", "560", "--points", "128"]
    assert main([*arguments, *options, "--broadening", "800"]) == 0
    found = jn.read_spectrum(tmp_path / "out" / "salt.csdf")
    assert found.isotope == "23Na" and float(np.real(found.values).sum()) == pytest.approx(2.0, abs=0.05)
    assert {p.suffix for p in (tmp_path / "out").iterdir()} == {".csdf", ".csv", ".png"}
    assert "--reference" not in capsys.readouterr().err
    assert main([*arguments, *options[:6], "--points", "128", "--broadening", "800"]) == 0
    assert "no --reference: the axis is minus the shielding" in capsys.readouterr().err
    gradients = "\n".join(line for line in magres_text().splitlines() if "ms " not in line)
    (tmp_path / "salt.magres").write_text(gradients, encoding="utf-8")
    assert main([*arguments, *options[:6], "--points", "128", "--broadening", "800"]) == 0
    said = capsys.readouterr().err
    assert "all shifts are 0 ppm" in said and "minus the shielding" not in said  # one or the other
    assert main(arguments) == 2
    assert "give isotope" in capsys.readouterr().err
    assert main([*arguments[:-1], str(tmp_path / "none"), *options[:2], "--b0", "400"]) == 2
    assert "expected the magnetic field in tesla" in capsys.readouterr().err and not (tmp_path / "none").exists()


def test_a_run_file_is_simulated_from_its_sites(tmp_path, capsys):
    text = '[[spectrum]]\nname = "f"\nisotope = "19F"\nlarmor_mhz = 300\nmas_hz = inf\npeaks_ppm = [-60.0, -90.0]\n'
    text += "peak_intensities = [1.0, 3.0]\ngaussian_hz = 300\npoints = 512\nwidth_khz = 30\ncentre_ppm = -75\n"
    (tmp_path / "f.toml").write_text(text, encoding="utf-8")
    arguments = ["simulate-spectrum", str(tmp_path / "f.toml"), "--out", str(tmp_path / "out"), "--no-cache"]
    assert main(arguments) == 0
    found = jn.read_spectrum(tmp_path / "out" / "f.csdf")
    values, ppm = np.real(found.values), np.asarray(found.ppm)
    assert ppm[np.argmax(values)] == pytest.approx(-90.0, abs=0.3)
    assert values[ppm < -75].sum() / values.sum() == pytest.approx(0.75, abs=1e-3)
    assert main([*arguments, "--isotope", "19F"]) == 2
    assert "says everything itself" in capsys.readouterr().err


def test_sites_batches_are_accepted_as_they_are():
    batch = Sites.of(SITES)
    clean = jn.SpectrumMAS("31P", b0_tesla=9.4).simulate(batch, points=512, width_hz=25e3)
    term = jn.SpectrumTerm(jn.SpectrumMAS("31P", b0_tesla=9.4), clean, batch, sigma=1e-3)
    assert term.labels == ("P1", "P2")
