"""``jaxnmr density``: what it writes, what it refuses, and that a training goes on where it stopped."""

import json

import numpy as np
import pytest

from jaxnmr.cli.main import main
from jaxnmr.crystal import Crystal
from jaxnmr.density import PowderLines, read_density, superposed
from jaxnmr.diffraction import Pattern
from jaxnmr.io import write_crystal, write_pattern
from jaxnmr.io.patterns.lines import read_lines

IDEAL = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])
PAIRS = [("Ca", "Ti"), ("Sr", "Ti"), ("Ba", "Ti"), ("Pb", "Ti"), ("K", "Nb"), ("Na", "Nb")]
TRAIN = ["--size", "10", "--waves", "30", "--largest-line", "14", "--width", "24", "--quiet"]


def perovskite(k: int) -> Crystal:
    rng = np.random.default_rng(k)
    xyz = IDEAL.copy()
    xyz[:, 0] += 0.02 * rng.normal(size=5)
    return Crystal.create(
        cell=[rng.uniform(3.9, 4.1)] * 3 + [90.0] * 3, spacegroup=1, species=[*PAIRS[k % len(PAIRS)], "O", "O", "O"], xyz=xyz % 1.0, u_iso=0.0,
        name=f"crystal_{k}",
    )  # fmt: skip


@pytest.fixture(scope="module")
def crystals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crystals")
    for k in range(48):
        write_crystal(perovskite(k), folder / f"{k:02d}.cif")
    quartz = Crystal.create(
        cell=[4.913, 4.913, 5.405, 90, 90, 120], spacegroup="P 32 2 1", species=["Si", "O"],
        xyz=[[0.4697, 0, 2 / 3], [0.4133, 0.2672, 0.7855]], u_iso=0.01, name="quartz",
    )  # fmt: skip
    write_crystal(quartz, folder / "quartz.cif")
    return folder


@pytest.fixture(scope="module")
def prior(crystals, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prior")
    assert main(["density", "train", str(crystals), *TRAIN, "--epochs", "4", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    crystal = perovskite(1)
    of = PowderLines.plan(crystal.cell, 0.7107, 60.0)
    areas = of.areas(superposed(crystal, (24, 24, 24), at_rest=True))
    path = tmp_path_factory.mktemp("lines") / "lines.txt"
    np.savetxt(path, np.column_stack([of.two_theta, areas]), header="2theta area")
    return path, float(crystal.cell[0])


def test_a_training_writes_a_prior_and_says_what_was_left_out(prior):
    record = json.loads((prior / "result.json").read_text(encoding="utf-8"))
    assert record["kind"] == "density-training"
    assert record["result"]["left_out"] == {"cells that are not cubic": 1}
    assert record["result"]["card"]["electrons"] == "valence"
    assert len(record["result"]["log"]) == 4
    assert "held out" in (prior / "report.md").read_text(encoding="utf-8")


def test_a_training_goes_on_where_it_stopped(crystals, prior, capsys):
    state = (prior / "training.safetensors").read_bytes()
    assert main(["density", "train", str(crystals), *TRAIN[:-1], "--epochs", "4", "--out", str(prior)]) == 0
    # nothing is left to do: no epoch is told
    assert "4/4" not in capsys.readouterr().err
    assert (prior / "training.safetensors").read_bytes() == state


def test_a_prediction_with_lines_has_atoms_and_a_refinement_fits_better(prior, lines, tmp_path):
    path, edge = lines
    asked = [
        "--prior",
        str(prior / "prior.safetensors"),
        "--lines",
        str(path),
        "--wavelength",
        "0.7107",
        "--edge",
        f"{edge:.8f}",
        "--quiet",
    ]
    more = ["--composition", "SrTiO3", "--points", "20"]
    assert main(["density", "predict", *asked, *more, "--samples", "1", "--out", str(tmp_path / "a")]) == 0
    assert main(["density", "refine", *asked, *more, "--out", str(tmp_path / "b")]) == 0
    results = [json.loads((tmp_path / name / "result.json").read_text(encoding="utf-8"))["result"] for name in "ab"]
    assert results[1]["numbers"]["R(√I) of the density"] < results[0]["numbers"]["R(√I) of the density"]
    assert set(results[1]["atoms"]["species"]) == {"Sr", "Ti", "O"}
    assert results[1]["numbers"]["R(√I) of the atoms after least squares"] < 0.02
    for name in ("density.cube", "density.xsf", "atoms.cif", "report.md", "surface.png", "lines.png"):
        assert (tmp_path / "b" / name).is_file()
    assert (tmp_path / "a" / "sample_1.cube").is_file()
    density = read_density(tmp_path / "b" / "density.cube")
    assert float(density.electrons()) == pytest.approx(results[1]["electrons_per_cell"], rel=1e-4)


def test_a_prediction_needs_no_lines(prior, tmp_path):
    asked = [
        "--prior",
        str(prior / "prior.safetensors"),
        "--edge",
        "4.0",
        "--elements",
        "Sr",
        "Ti",
        "O",
        "--points",
        "16",
        "--quiet",
    ]
    assert main(["density", "predict", *asked, "--out", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["result"]
    assert "atoms" not in record and "composition" in record["notes"][0]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--composition", "SrTi2O4"], "cell of 5 atoms"),
        (["--composition", "LaTiO3"], "in none of the crystals"),
        (["--elements", "Zr"], "in none of the crystals"),
        (["--wavelength", "1.9"], "lines of the prior are not in the pattern"),
        (["--edge", "4.6"], "are not in the pattern"),
    ],
)
def test_what_does_not_fit_the_prior_is_refused(prior, lines, tmp_path, capsys, more, words):
    path, edge = lines
    asked = [
        "--prior",
        str(prior / "prior.safetensors"),
        "--lines",
        str(path),
        "--wavelength",
        "0.7107",
        "--edge",
        f"{edge:.8f}",
    ]
    assert main(["density", "predict", *asked, *more, "--out", str(tmp_path / "none")]) == 2
    assert words in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "none").exists()


def test_files_that_are_wrong_are_refused(prior, lines, tmp_path, capsys):
    bad = tmp_path / "bad.txt"
    asked = [
        "--prior",
        str(prior / "prior.safetensors"),
        "--lines",
        str(bad),
        "--wavelength",
        "0.7107",
        "--edge",
        "4.0",
    ]
    cases = [
        ("20.0 1.0\n30.0 -2.0\n", "not negative"), ("20.0 1.0\n30.0 two\n", "expected numbers"), ("20.0 1.0\n30.0\n", "columns"),
        ("# nothing\n", "has no lines"),
    ]  # fmt: skip
    for text, words in cases:
        bad.write_text(text, encoding="utf-8")
        assert main(["density", "predict", *asked]) == 2
        assert words in capsys.readouterr().err.replace("\n", " ")
    for arguments, words in (
        (["density", "train"], "name folders or files"),
        (["density", "predict", "--edge", "4.0"], "give --prior"),
        (["density", "predict", "--prior", str(bad), "--edge", "4.0"], "no prior of densities"),
        (["density", "refine", "a.xye"], "give one of them"),
        (["density", "refine", "--model", "a.cif"], "one measured pattern"),
        (["density", "refine", "--model", "a.cif", "--lines", str(bad)], "go with --prior"),
        (["density", "predict", *asked[:2], "--lines", str(lines[0]), "--edge", "4.0"], "needs the wavelength"),
    ):
        assert main(arguments) == 2
        assert words in capsys.readouterr().err.replace("\n", " ")


def test_columns_of_lines_are_read(tmp_path):
    path = tmp_path / "lines.csv"
    path.write_text("two_theta, area, sigma\n10.5, 100, 3\n# remark\n20.25, 0, 1\n", encoding="utf-8")
    two_theta, areas, sigma = read_lines(path)
    np.testing.assert_array_equal(two_theta, [10.5, 20.25])
    np.testing.assert_array_equal(areas, [100.0, 0.0])
    np.testing.assert_array_equal(sigma, [3.0, 1.0])


def test_a_measured_pattern_and_a_model_give_density_and_atoms(tmp_path):
    crystal = Crystal.create(
        cell=[4.6, 4.6, 2.96, 90, 90, 90], spacegroup="P 42/m n m", species=["Ti", "O"], xyz=[[0, 0, 0], [0.305, 0.305, 0]], u_iso=0.006,
        name="rutile",
    )  # fmt: skip
    two_theta = np.arange(18.0, 100.0, 0.03)
    lines = PowderLines.plan(crystal.cell, 1.5406, 101.0, group=crystal.group)
    smooth = lines.pattern(superposed(crystal, (28, 28, 20), "all-electron"), two_theta, 0.2, 0.4)
    counts = np.random.default_rng(0).poisson(60.0 + 9000.0 * smooth / smooth.max())
    write_pattern(
        Pattern.create(two_theta, counts.astype(float), np.sqrt(np.maximum(counts, 1.0)), name="rutile"),
        tmp_path / "rutile.xye",
    )
    moved = crystal.replace(xyz=np.array([[0.0, 0.0, 0.0], [0.285, 0.285, 0.0]]))
    write_crystal(moved, tmp_path / "start.cif")
    out = tmp_path / "out"
    asked = [
        str(tmp_path / "rutile.xye"),
        "--model",
        str(tmp_path / "start.cif"),
        "--wavelength",
        "1.5406",
        "--no-rietveld",
    ]
    assert main(["density", "refine", *asked, "--quiet", "--out", str(out)]) == 0
    record = json.loads((out / "result.json").read_text(encoding="utf-8"))["result"]
    oxygen = record["atoms"]["xyz"][record["atoms"]["species"].index("O")]
    # at x or at the equivalent -x
    assert abs(min(oxygen[0], 1.0 - oxygen[0]) - 0.305) < 2e-3
    numbers = record["numbers"]
    assert numbers["R(√I) of the density"] < 0.5 * numbers["R(√I) of the density before"]
    assert numbers["R(√I) of the atoms of the density"] < 0.3 * numbers["R(√I) of the model"]
    page = (out / "report.html").read_text(encoding="utf-8") if (out / "report.html").exists() else "data:image/png"
    assert "data:image/png" in page
