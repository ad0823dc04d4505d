"""A run file for a pattern that is simulated: what it finds is what the pattern was made from."""

import tomllib
from types import SimpleNamespace

import numpy as np
import pytest
from small_problems import anatase, rutile

import jaxnmr as jn
from jaxnmr import cli
from jaxnmr.diffraction import widths
from jaxnmr.errors import JaxnmrError
from jaxnmr.proposal.files import sort_files
from jaxnmr.proposal.instrument import choose_instrument
from jaxnmr.proposal.powder import prior_lines, stage_lines
from jaxnmr.proposal.run import Options, propose
from jaxnmr.proposal.survey import Survey
from jaxnmr.proposal.text import comment, value
from jaxnmr.runfile import build, load_run
from jaxnmr.solve.direct.simulate import simulated_intensities
from jaxnmr.solve.peaks.profile import Shape

# degrees at cos(theta) = 1, of a specimen out of place
SHIFT = -0.06


def fwhm(two_theta):
    tan = np.tan(np.radians(two_theta / 2.0))
    return 0.07 + 0.05 * tan


def profile(x, position):
    """Pseudo-Voigt functions, half Lorentzian, one row each."""
    t = (x - position[:, None]) / fwhm(position)[:, None]
    gauss = 2.0 * np.sqrt(np.log(2.0) / np.pi) * np.exp(-4.0 * np.log(2.0) * t**2)
    return (0.5 * gauss + 0.5 * 2.0 / np.pi / (1.0 + 4.0 * t**2)) / fwhm(position)[:, None]


@pytest.fixture(scope="module")
def true_cells():
    """Cells of the specimen: those of the files are 0.4 and 0.3 % off, in opposite directions for a and c."""
    return {
        "rutile": np.asarray(rutile().cell) * [1.004, 1.004, 0.997, 1, 1, 1],
        "anatase": np.asarray(anatase().cell) * [0.997, 0.997, 1.003, 1, 1, 1],
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory, true_cells):
    """Files of two structures and of a pattern of both."""
    folder = tmp_path_factory.mktemp("new")
    crystals = {"rutile": rutile(), "anatase": anatase()}
    for name, crystal in crystals.items():
        jn.write_crystal(crystal.replace(name=name), folder / f"{name}.cif")
    instrument = jn.Instrument(wavelengths=(1.540593, 1.544427))
    x, y = np.arange(20.0, 72.0, 0.04), 0.0
    for name, share in (("rutile", 1.0), ("anatase", 0.5)):
        moved = crystals[name].replace(cell=true_cells[name])
        lines = simulated_intensities(moved, instrument, d_min=1.3, noise=0.0, overlap=0.0)
        volume = float(moved.volume())
        for wavelength, ratio in zip(instrument.wavelengths, (1.0, 0.5), strict=True):
            sine = np.sin(np.radians(lines.two_theta / 2.0)) * wavelength / 1.540593
            angle = 2.0 * np.degrees(np.arcsin(sine)) + SHIFT * np.sqrt(1.0 - sine**2)
            y = y + share / volume * ratio * lines.area @ profile(x, angle)
    counts = np.random.default_rng(3).poisson(8e3 * y / y.max() + 60.0 + 900.0 / x)
    np.savetxt(folder / "mixture.xy", np.column_stack([x, counts]), fmt="%.4f %d")
    return folder


@pytest.fixture(scope="module")
def proposal(folder):
    given = sort_files([folder / name for name in ("rutile.cif", "mixture.xy", "anatase.cif")])
    path = folder / "mixture.toml"
    found = propose(given, path, Options(tube="Cu"))
    path.write_text(found.text, encoding="utf-8")
    return found


def test_cells_that_are_four_widths_of_a_peak_off_are_found(proposal, true_cells):
    found = proposal.powders[0].alignment
    for name, cell in true_cells.items():
        assert found.cells[name] == pytest.approx(cell, rel=6e-4)
    assert found.shift == pytest.approx(SHIFT, abs=0.02) and found.match > 0.95


def test_the_run_file_is_read_back_and_names_what_there_is(proposal, folder, true_cells):
    run = load_run(folder / "mixture.toml")
    assert [phase.file for phase in run.phases] == [folder / "rutile.cif", folder / "anatase.cif"]
    assert run.histograms[0].instrument["wavelengths"] == (1.540593, 1.544427)
    setup = build(run)
    assert setup.parameters["anatase/cell[c]"] == pytest.approx(true_cells["anatase"][2], rel=6e-4)
    last = setup.parameters
    for stage in setup.stages:
        last = last.free(*stage.free)
    assert {"xrd/U", "xrd/displacement", "rutile/xyz[O1.x]", "anatase/u_iso[Ti1]"} <= set(last.free_names)
    assert not any(name.startswith(("xrd/size", "xrd/strain")) for name in last.free_names)


def test_every_stage_says_what_it_does(proposal):
    lines = proposal.text.splitlines()
    heads = [k for k, line in enumerate(lines) if line == "[[stage]]"]
    assert len(heads) >= 5 and all(lines[k - 1].startswith("# ") for k in heads)


def test_widths_of_a_generic_instrument_are_those_of_the_peaks(proposal):
    survey = proposal.powders[0].survey
    # where axial divergence, of which this pattern has none, widens nothing
    angle = np.array([50.0, 60.0, 70.0])
    u, v, w, x, y = survey.generic_widths(20.0, 72.0).values()
    lorentz = widths.lorentzian_width(angle, x, y, 0.0)
    found = np.asarray(widths.thompson_cox_hastings(widths.caglioti_variance(angle, u, v, w), lorentz)[0])
    assert found == pytest.approx(fwhm(angle), rel=0.1)


def test_size_and_strain_make_up_for_what_an_instrument_lacks():
    x = np.linspace(15.0, 120.0, 200)
    device = jn.Instrument(wavelengths=(1.5406,), U=2.0, V=-2.0, W=5.0)
    # what a size of 0.1 µm adds to this instrument, at two angles, as a common width without growth
    survey = Survey(x, x, x, x, Shape((0.01, 0.0, 0.012), (0.7, 0.1), (1.5406,), 0.0), x, ())
    starts, misfit = survey.broadening(device, 20.0, 100.0)
    angle, variance, lorentz = survey.widths(20.0, 100.0)
    assert np.asarray(widths.thompson_cox_hastings(variance, lorentz)[0]) == pytest.approx(
        survey.shape.fwhm(angle), rel=2e-3
    )
    assert misfit < 0.05 and survey.calibrated(misfit) and 0.02 < starts["size"] < 0.5
    narrow = Survey(x, x, x, x, Shape((0.0009, 0.0, 0.0), (0.2, 0.0), (1.5406,), 0.0), x, ())
    assert not narrow.calibrated(narrow.broadening(device, 20.0, 100.0)[1])


def test_a_pattern_without_a_wavelength_is_refused_with_the_options_that_say_it(folder):
    with pytest.raises(JaxnmrError, match=r"--tube Cu .* --wavelength"):
        choose_instrument(folder / "mixture.xy")


@pytest.mark.parametrize(
    ("wavelength", "radiation", "geometry", "polarization"),
    [((0.709317, 0.713607), None, "bragg-brentano", 0.5), ((0.4139,), None, "debye-scherrer", 0.99), ((1.909,), "neutron", "debye-scherrer", 0.5)],
)  # fmt: skip
def test_a_wavelength_tells_a_tube_from_a_synchrotron(folder, wavelength, radiation, geometry, polarization):
    _, chosen = choose_instrument(folder / "mixture.xy", wavelength=wavelength, radiation=radiation)
    assert chosen.instrument.geometry == geometry and chosen.instrument.polarization == polarization
    assert chosen.generic


def test_the_command_writes_a_file_and_keeps_the_one_that_is_there(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = [
        "new",
        str(folder / "mixture.xy"),
        str(folder / "rutile.cif"),
        "--tube",
        "Cu",
        "--only-write",
        "--no-cache",
    ]
    (tmp_path / "mixture.toml").write_text("mine", encoding="utf-8")
    assert cli.main(command) == 2
    assert "you may have edited it" in capsys.readouterr().err
    assert (tmp_path / "mixture.toml").read_text(encoding="utf-8") == "mine"
    assert cli.main([*command[:2], "--only-write"]) == 2
    assert "no structure to refine" in capsys.readouterr().err


def test_values_and_comments_are_toml():
    content = {"a": 'say "no"\n', "b": [1, 2.5, 1e-9, float("inf")], "c": {"x[y]": True}}
    text = "\n".join([*comment("word " * 60), *(f"{name} = {value(of)}" for name, of in content.items())])
    assert tomllib.loads(text) == content


def test_where_lines_lie_beside_the_peaks_the_later_stages_wait_as_comments():
    steps = [("scale", ["xrd/scale"], "how much"), ("cell", ["cell"], "where"), ("atoms", ["xyz"], "atoms")]
    read = lambda most: [stage["name"] for stage in tomllib.loads("\n".join(stage_lines(steps, most)))["stage"]]
    assert read(None) == ["scale", "cell", "atoms"] and read(2) == ["scale", "cell"]
    assert '# name = "atoms"' in stage_lines(steps, 2)


def test_nothing_is_said_beforehand_of_displacements_where_all_are_anisotropic():
    crystal = rutile().replace(anisotropic=(True, True))
    of = lambda one: prior_lines([SimpleNamespace(phases={"rutile": one}, major=lambda: ["rutile"])])
    assert of(crystal) == [] and any("u_iso" in line for line in of(rutile()))
