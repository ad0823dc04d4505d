"""The command that averages tensors over thermal motion, and its run files."""

import json

import numpy as np
import pytest
import small_tensor_models
from ase.io import read
from moving_quartz import NARROW
from run_file_manual import documented

import jaxnmr as jn
from jaxnmr.cli import main
from jaxnmr.cli.examples import example_files
from jaxnmr.errors import ParseError
from jaxnmr.io.structures.trajectory import TrajectoryFile
from jaxnmr.runfile.average import load_average

pytestmark = pytest.mark.filterwarnings(NARROW)
# bonds of silicon to oxygen alone, for some femtoseconds
BONDS = {
    "format": "jaxnmr pair potential 1", "name": "bonds", "citation": "made up", "units": {"energy": "eV", "length": "Å", "charge": "e"},
    "charges": {"Si": 0.0, "O": 0.0}, "cutoff": {"form": "smooth", "radius": 3.0, "width": 0.2},
    "pairs": {
        "Si-O": {"A": 27029.0, "b": 5.1586, "C": 148.1, "D": 8.0}, "O-O": {"A": 0.0, "b": 1.0, "C": 0.0, "D": 0.0},
        "Si-Si": {"A": 0.0, "b": 1.0, "C": 0.0, "D": 0.0},
    },
}  # fmt: skip
CRYSTAL = """[crystal]
name = "quartz"
cell = [4.9134, 4.9134, 5.4052, 90, 90, 120]
spacegroup = "P 32 2 1"
sites = [{ label = "Si1", type = "Si", xyz = [0.4697, 0.0, 0.66667] }, { label = "O1", type = "O", xyz = [0.4135, 0.2669, 0.78577] }]
"""
RUN = f"""title = "Quartz for a moment"
models = ["small.safetensors"]
temperature = [300, 400]
repeats = [2, 2, 1]
trajectory = true
{CRYSTAL}
[energy]
model = "bonds.json"
[dynamics]
settle_ps = 0.008
run_ps = 0.04
timestep_fs = 1.0
every_fs = 2.0
cell = "fixed"
[references.Si]
reference_ppm = 300.0
[references.O]
reference_ppm = 400.0
slope = -0.9
[order]
bridges = "Si-O-Si"
[[spectrum]]
name = "si"
isotope = "29Si"
b0_tesla = 9.4
points = 256
gaussian_hz = 400.0
"""


def write(folder, text=RUN):
    (folder / "bonds.json").write_text(json.dumps(BONDS), encoding="utf-8")
    small_tensor_models.model().save(folder / "small.safetensors")
    (folder / "run.toml").write_text(text, encoding="utf-8")
    return folder


def average(folder, *more):
    return main(["average", str(folder / "run.toml"), "--out", str(folder / "out"), "--no-cache", *more])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = write(tmp_path_factory.mktemp("whole"))
    assert average(folder, "--quiet") == 0
    return folder / "out"


def result(folder):
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))["result"]


def test_readings_structures_spectra_and_pictures_are_written(whole):
    found = result(whole)
    assert found["status"] == "finished" and found["atoms"] == 36 and found["energy"] == "bonds"
    assert [a["temperature_k"] for a in found["averages"]] == [300.0, 400.0]
    names = {(r["site"], r["quantity"]) for r in found["averages"][0]["readings"]}
    assert {("Si1", "29Si shift"), ("O1", "17O CQ"), ("O1", "17O eta"), ("O1", "17O shift")} <= names
    assert [o["name"] for o in found["averages"][1]["observed"]] == ["order", "Si-O-Si"]
    for stop in ("00-300K", "01-400K"):
        magres = jn.read_magres(whole / f"averaged-{stop}.magres")
        assert len(magres.elements) == 9 and set(magres.tensors) == {"ms", "efg"}
        mean = jn.read_crystal(whole / f"mean-{stop}.cif")
        assert mean.group.name == "P 32 2 1" and np.allclose(mean.cell, [4.9134, 4.9134, 5.4052, 90, 90, 120])
        spectrum = jn.read_spectrum(whole / f"si_averaged-{stop}.csdf")
        assert len(spectrum.values) == 256 and spectrum.isotope == "29Si"
        assert (whole / f"course-{stop}.png").stat().st_size > 20_000
    static = jn.read_spectrum(whole / "si_static.csdf")
    assert np.array_equal(static.ppm, spectrum.ppm) and not np.allclose(static.values, spectrum.values)
    for name in ("temperature.png", "spectra_si.png"):
        assert (whole / name).stat().st_size > 10_000
    report = (whole / "report.md").read_text(encoding="utf-8")
    assert "36 atoms (2x2x1 cells of quartz) moved under the energy bonds with a fixed cell" in report
    assert "## 400 K (up)" in report and "| O1 | 17O CQ | MHz |" in report
    table = (whole / "readings.csv").read_text(encoding="utf-8").splitlines()
    assert table[0].startswith("temperature_k,direction,site,quantity") and len(table) == 1 + 2 * (8 + 2)


def test_the_trajectory_can_be_looked_at(whole):
    frames = read(whole / "trajectory-00-300K.extxyz", index=":")
    assert len(frames) == 24 and len(frames[0]) == 36
    assert [f.info["time_fs"] for f in frames[:3]] == [2.0, 4.0, 6.0]
    assert np.abs(frames[-1].positions - frames[0].positions).max() > 0.01


def test_what_was_interrupted_goes_on_to_the_same_end(whole, tmp_path, monkeypatch, capsys):
    from jaxnmr.cli.average import Lines

    write(tmp_path)
    tell = Lines.__call__

    def stop(self, at, frame, number, total):
        tell(self, at, frame, number, total)
        if (at, number) == (1, 9):
            raise KeyboardInterrupt

    monkeypatch.setattr(Lines, "__call__", stop)
    assert average(tmp_path) == 130
    said = " ".join(capsys.readouterr().err.split())
    assert "interrupted: what there is is kept; the same command with --resume goes on from" in said
    assert result(tmp_path / "out")["status"] == "interrupted" and len(result(tmp_path / "out")["averages"]) == 1
    monkeypatch.setattr(Lines, "__call__", tell)
    assert average(tmp_path) == 2
    assert "go on from them with --resume" in " ".join(capsys.readouterr().err.split())
    seen = []
    monkeypatch.setattr(Lines, "__call__", lambda self, at, *more: (seen.append(at), tell(self, at, *more))[1])
    assert average(tmp_path, "--resume", "--quiet") == 0
    assert set(seen) == {1} and len(seen) == 24 - 9
    now, then = result(tmp_path / "out"), result(whole)
    assert now["status"] == "finished"
    for one, other in zip(now["averages"], then["averages"], strict=True):
        for a, b in zip(one["readings"], other["readings"], strict=True):
            assert a["mean"] == pytest.approx(b["mean"], rel=1e-6, abs=1e-9)
    assert len(read(tmp_path / "out" / "trajectory-01-400K.extxyz", index=":")) == 24


def test_frames_after_a_moment_are_removed_from_a_trajectory(tmp_path):
    file = TrajectoryFile(tmp_path / "t.extxyz")
    assert file.rewind(0.0) == 0
    crystal = jn.Crystal.create(cell=[4, 5, 6, 90, 90, 90], spacegroup="P 1", species=["Si"], xyz=[[0.1, 1.2, 0.3]])
    for time in (10.0, 20.0, 30.0):
        file.add(crystal, time, temperature_k=300.0)
    with file.path.open("a") as end:
        end.write("1\nLattice=")
    with pytest.raises(ParseError, match="not a trajectory of jaxnmr, or damaged"):
        file.rewind(100.0)
    assert file.rewind(20.0) == 2
    atoms = read(file.path, index=":")
    assert [a.info["time_fs"] for a in atoms] == [10.0, 20.0] and atoms[0].positions[0, 1] == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"small.safetensors"', "", "expected one or several tensor models"),
        ("[300, 400]", "-5.0", "temperature: expected a positive number"),
        ("[300, 400]", "[300, 0]", "expected one or more in kelvin, above 0"),
        ("trajectory = true", "back = 1", "expected true or false"),
        ("[2, 2, 1]", "[2, 2, 1.5]", "expected three whole numbers"),
        ("run_ps = 0.04", "run_ps = 0.01", r"\[dynamics\]: run_ps = 0.01 with every_fs = 2 gives 5 frames"),
        ('cell = "fixed"', 'cell = "fixed"\npressure_gpa = 1.0', "leave pressure_gpa out"),
        ('cell = "fixed"', 'cell = "free"', "'free' is not possible here"),
        ('"Si-O-Si"', '"SiOSi"', "is no bridge; expected three elements"),
        ("b0_tesla = 9.4", "", "give the field: b0_tesla or larmor_mhz"),
        ("reference_ppm = 300.0", "slope = -1.0", "reference_ppm"),
        ("settle_ps", "settel_ps", "did you mean 'settle_ps'"),
        ('[energy]\nmodel = "bonds.json"', "", "the key 'model' is missing"),
    ],
)
def test_a_run_file_that_makes_no_sense_says_where(tmp_path, old, new, message):
    assert old in RUN
    with pytest.raises(ParseError, match=message):
        load_average(write(tmp_path, RUN.replace(old, new)) / "run.toml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('type = "O", xyz', 'type = "O", occupancy = 0.5, xyz', "O1 is partly occupied"),
        ("[2, 2, 1]", "[1, 1, 1]", "wide at its narrowest; expected at least"),
        ('type = "Si"', 'type = "Ge"', "Ge"),
        ('"small.safetensors"', '"silica-30si"', "no model 'silica-30si' comes with jaxnmr"),
        ('"bonds.json"', '"chick"', "no energy model is called 'chick'"),
        ('"Si-O-Si"', '"Si-N-Si"', "no bonds of N to Si"),
        ('isotope = "29Si"', 'isotope = "27Al"', "27Al"),
        ("timestep_fs = 1.0\nevery_fs = 2.0", "timestep_fs = 10.0\nevery_fs = 10.0\nrelaxation_fs = 1.0", "atoms move"),
    ],
)
def test_what_cannot_be_averaged_ends_with_an_error(tmp_path, capsys, old, new, message):
    assert old in RUN
    text = RUN.replace(old, new)
    if "Ge" in new:
        text = text.replace("Si-O-Si", "Ge-O-Ge")
    if "10.0" in new:
        text = text.replace("[300, 400]", "90000.0").replace("run_ps = 0.04", "run_ps = 0.2")
    assert average(write(tmp_path, text), "--quiet") == 2
    assert message in " ".join(capsys.readouterr().err.split())
    # nothing was simulated of what could have been known before
    assert not list((tmp_path / "out").rglob("*.npz")) or message == "atoms move"


def test_the_manual_and_the_example_are_valid_run_files(tmp_path):
    (tmp_path / "run.toml").write_text(documented("Thermal averages"), encoding="utf-8")
    run = load_average(tmp_path / "run.toml")
    assert run.temperatures == (300.0,) and run.dynamics.schedule == jn.dynamics.Schedule()
    assert run.models == ("silica-29si", "silica-efg") and run.spectra[0].experiment.mas_hz == 5000.0
    example = load_average(example_files("dynamics")["average_quartz"])
    assert len(example.spectra) == 2 and example.order.sites is not None and example.crystal.crystal().n_sites == 2
    assert set(example.references) == {"Si"}
