"""Run files with models, peaks, tensors and restraints of kinds: what they build, what is reported, what they refuse."""

import io
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from run_file_manual import documented
from small_tensor_models import model

import jaxnmr as jn
from jaxnmr.cli.commands import _summary
from jaxnmr.errors import ParseError
from jaxnmr.models import ModelCard
from jaxnmr.nmr.shift_reference import PUBLISHED_SHIFTS
from jaxnmr.objective import Loss
from jaxnmr.report import write_report
from jaxnmr.runfile import build, load_run
from jaxnmr.runfile.models import PublishedSpec
from jaxnmr.terms import CouplingTerm

CELL = [3.9, 4.2, 4.8, 79, 98, 74]
HIDDEN = np.array([[0.03, 0.11, 0.07], [0.46, 0.08, 0.21], [0.31, 0.55, 0.62]])
# one oxygen atom starts 0.1 Å away
START = HIDDEN + np.array([[0, 0, 0], [0.018, -0.012, 0.01], [0, 0, 0]])
REFERENCE = 337.3
# tensors of the untrained network change by about 1 ppm, or 1 MHz, when an atom moves by 1 Å
PPM, MHZ = 1e-3, 1e-3
# uncertainty of isotropic shieldings and their components of l = 0
OWN = 1e-3
QUANTILES = {"l0": [1.0] * 5, "l1": [1.0] * 5, "l2": [1.0] * 5, "iso": [0.7, 1.0, 1.3, 1.7, 2.0]}
CARD = ModelCard(
    name="small",
    level_of_theory="none",
    scores={"O/iso_mae": 2.5, "O/labels": 7.0},
    references={"O": (REFERENCE, -1.0)},
    calibration={
        "shielding": {"O": {"a": [np.sqrt(3.0) * OWN, 1.0, 1.0], "b": [0.0, 0.0, 0.0], "quantiles": QUANTILES}}
    },
)

PHASE = f"""
[[phase]]
name = "hidden"
cell = {CELL}
spacegroup = "P 1"
sites = [
  {{ label = "Si1", type = "Si", xyz = {START[0].tolist()} }},
  {{ label = "O1", type = "O", xyz = {START[1].tolist()} }},
  {{ label = "O2", type = "O", xyz = {START[2].tolist()} }},
]
"""
MODEL = """
[[model]]
path = "small.safetensors"
"""
PEAKS = """
[[peaks]]
name = "o"
nucleus = "17O"
shifts_ppm = [190.0, 191.0]
sigma = 0.5
reference = "model"
"""
COUPLINGS = """
[[tensors]]
name = "couplings"
nucleus = "17O"
sigma = [0.1, 0.05]
[[tensors.site]]
label = "O1"
cq_mhz = 0.5
eta_q = 0.7
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the model."""
    path = tmp_path_factory.mktemp("joint")
    model().replace(card=CARD).save(path / "small.safetensors")
    return path


def load(folder, text):
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return load_run(path)


def complete_run() -> str:
    """Everything a network predicts of the hidden structure, with noise of one standard uncertainty."""
    crystal = jn.Crystal.create(cell=CELL, spacegroup="P 1", species=["Si", "O", "O"], xyz=HIDDEN)
    found, noise = model().predict(crystal), np.random.default_rng(4).normal
    shifts = np.asarray(jn.ShiftReference(REFERENCE).shift_tensor(found.shielding_ppm))
    shifts = 0.5 * (shifts + shifts.swapaxes(1, 2))
    peaks = np.sort(np.trace(shifts[1:], axis1=1, axis2=2) / 3.0) + PPM * noise(size=2)
    silicon = shifts[0] + PPM * np.diag(noise(size=3))
    principal = np.linalg.eigvalsh(shifts[1:]) + PPM * noise(size=(2, 3))
    quadrupolar = found.quadrupolar("17O")
    tensors = np.asarray(found.quadrupolar_hz("17O")) / 1e6 + MHZ * np.diag([1.0, 0.5, -1.5])
    cq, eta = np.abs(quadrupolar.cq_hz) / 1e6 + 0.05, np.asarray(quadrupolar.eta) + np.array([-0.1, 0.1])
    text = f"""
title = "hidden"
{PHASE}{MODEL}
[[peaks]]
name = "o"
nucleus = "17O"
shifts_ppm = {peaks.tolist()}
sigma = {PPM}
sigma_model = "model"
reference = {{ reference_ppm = {REFERENCE + 0.2} }}
[[tensors]]
name = "silicon"
nucleus = "29Si"
sigma = {PPM}
sigma_model = {PPM}
reference = {{ reference_ppm = {REFERENCE} }}
site = [{{ label = "Si1", tensor_ppm = {silicon.tolist()} }}]
[[tensors]]
name = "oxygen"
nucleus = "17O"
sigma = {PPM}
reference = "model"
weight = 2.0
[[tensors]]
name = "couplings"
nucleus = "17O"
sigma = [0.05, 0.1]
[[tensors]]
name = "quadrupolar"
nucleus = "17O"
sigma = {MHZ}
[[restraint]]
kind = "distances"
expected = {{ Si-O = [1.679, 0.02] }}
[[stage]]
name = "all"
free = ["xyz[O1]", "o/reference"]
[output]
correlation_threshold = 0.5
"""
    for k, label in ((0, "O1"), (1, "O2")):
        row = f'[[tensors.site]]\nlabel = "{label}"\nprincipal_ppm = {principal[k].tolist()}\n'
        text = text.replace('[[tensors]]\nname = "couplings"', row + '[[tensors]]\nname = "couplings"')
        sigma = "sigma = [0.1, 0.1]\n" if label == "O2" else ""
        row = f'[[tensors.site]]\nlabel = "{label}"\ncq_mhz = {cq[k]}\neta_q = {eta[k]}\n{sigma}'
        text = text.replace('[[tensors]]\nname = "quadrupolar"', row + '[[tensors]]\nname = "quadrupolar"')
        row = f'[[tensors.site]]\nlabel = "{label}"\ntensor_mhz = {tensors[k].tolist()}\n'
        text = text.replace("[[restraint]]", row + "[[restraint]]")
    return text


@pytest.fixture(scope="module")
def refined(folder):
    run = load(folder, complete_run())
    setup = build(run)
    fit = jn.refine(setup.objective, setup.parameters, stages=setup.stages, solver=setup.solver, suggest=False)
    written = write_report(fit, folder / "out", run)
    said = io.StringIO()
    _summary(fit, written, Console(file=said, width=200))
    return SimpleNamespace(
        fit=fit,
        said=said.getvalue(),
        record=json.loads((folder / "out" / "result.json").read_text(encoding="utf-8"))["result"],
        inputs=json.loads((folder / "out" / "result.json").read_text(encoding="utf-8"))["inputs"],
        text=(folder / "out" / "report.md").read_text(encoding="utf-8"),
    )


def test_a_run_without_a_pattern_finds_the_hidden_structure(refined):
    fit = refined.fit
    assert fit.converged
    off, esd = np.asarray(fit.crystals["hidden"].xyz) - HIDDEN, fit.esds["xyz"]
    assert (esd[1] > 0).all() and (esd[1] < 0.003).all()
    assert (np.abs(off[1]) < 4.0 * esd[1]).all()
    assert abs(fit.parameters["o/reference"] - REFERENCE) < 4.0 * float(fit.esds["o/reference"])


def test_measured_numbers_of_all_terms_are_counted_and_restraints_apart(refined):
    assert (refined.fit.n_observations, refined.fit.n_restraints) == (2 + 6 + 6 + 4 + 10, 1)
    assert "4 parameters, 28 observations, 1 restraint\n" in repr(refined.fit)
    assert re.search(r"^  o: chi² \S+ of 2 observations$", refined.said, re.MULTILINE)
    assert "with 4 parameters and 28 observations and 1 restraint." in refined.text
    assert (refined.record["n_observations"], refined.record["n_restraints"]) == (28, 1)
    terms = refined.record["terms"]
    assert sum(of["statistics"]["chi2"] * of["statistics"]["weight"] for of in terms.values()) == pytest.approx(
        refined.record["chi2"], rel=1e-3
    )


@pytest.mark.parametrize("name", ["o", "oxygen", "couplings"])
def test_chi_squared_is_that_of_the_differences_reported(refined, name):
    of = refined.record["terms"][name]
    chi2 = of["statistics"]["chi2"]
    assert chi2 > 0.01
    assert sum((row["difference"] / row["sigma"]) ** 2 for row in of["rows"]) == pytest.approx(chi2, rel=1e-6)


def test_elements_of_tensors_are_reported_with_the_uncertainty_of_elements(refined):
    rows = {row["quantity"]: row for row in refined.record["terms"]["silicon"]["rows"]}
    assert list(rows) == ["δxx", "δyy", "δzz", "δyz", "δxz", "δxy"]
    assert rows["δxx"]["sigma_observed"] == pytest.approx(PPM)
    assert rows["δyz"]["sigma_observed"] == pytest.approx(PPM / np.sqrt(2.0))
    assert rows["δxx"]["sigma"] == pytest.approx(np.sqrt(2.0) * PPM)
    found = np.asarray(refined.fit.objective.state(refined.fit.parameters.values).provided["hidden"]["shielding"])[0]
    assert rows["δyz"]["calculated"] == pytest.approx(-0.5 * (found[1, 2] + found[2, 1]), abs=1e-9)
    assert rows["δxx"]["calculated"] == pytest.approx(REFERENCE - found[0, 0], abs=1e-9)


def test_the_report_says_what_was_compared_with_which_model(refined):
    text = refined.text
    assert "| small | hidden | shielding of Si, O; efg of O | none | 1 | O isotropic 2.5 ppm |" in text
    assert "Derivatives of shielding, efg of hidden: " in text
    assert "| o | compared | isotropic shifts of 17O in hidden, 2 sites |" in text
    assert "| o | σ of δ / ppm | 0.001; 0.00141 with that of the model |" in text
    assert "| silicon | σ of δxx, δyy, δzz / ppm | 0.001; 0.00141 with that of the model |" in text
    assert "| o | uncertainty of the model | its own, calibrated" in text
    assert "| o | assignment | found: the one of least χ²" in text
    assert "| silicon | uncertainty of the model | typed in |" in text
    assert "| silicon | reference | δ / ppm = 337.3 + (-1) σ, not refined |" in text
    assert re.search(r"\| o \| reference \| δ / ppm = 337\.\d+\(\d+\) \+ \(-1\) σ \|", text)
    assert "| couplings | σ of C_Q / MHz | 0.05 to 0.1 |" in text
    assert "| couplings | σ of η | 0.1 |" in text
    assert "| oxygen | weight | 2 |" in text
    assert "## couplings: 17O, C_Q and η" in text
    assert re.search(r"\| O2 \| η \| 0\.\d\d \| 0\.\d\d \| -?0\.\d\d \| 0\.10 \| -?\d\.\d \|", text)
    (of_model,) = refined.record["models"]
    assert of_model["members"] == 1 and of_model["scores"]["O/iso_mae"] == 2.5
    assert any(entry["file"] == "small.safetensors" and entry["sha256"] for entry in refined.inputs)


def test_the_documented_tables_are_valid(folder):
    text = documented("Models, peaks and tensors")
    phase = PHASE.replace("hidden", "quartz")
    run = load(folder, phase + text)
    assert run.models[0].path == "silica-29si"
    assert run.peaks[0].reference == PublishedSpec(published="nmrcryspy/29Si", core_ppm=838.0)
    np.testing.assert_allclose(run.tensors[0].values, [[5.2e6, 0.2]])
    # every commented key of a kind that does not exclude another
    keep = ("assignment", "reference", "principal_ppm", "tensor_ppm", "tensor_mhz")
    lines = []
    for line in text.splitlines():
        key = re.match(r"# (\w+) = .*", line)
        lines.append(line[2:] if key and key[1] not in keep else line)
    lines = (
        "\n".join(lines)
        .replace("counts = [1]", "counts = [3]")
        .replace('sigma_model = "model"                  # in', "# in")
    )
    run = load(folder, phase + lines)
    assert run.models[0].member == 0 and run.peaks[0].counts == (3,)
    np.testing.assert_allclose(run.tensors[0].sigmas, [[0.2e6, 0.1]])
    np.testing.assert_allclose(run.tensors[0].model_sigmas, [[0.3e6, 0.1]])


def test_references_are_typed_in_published_or_those_of_the_model(folder):
    values = []
    for reference in (
        '"model"',
        "{ reference_ppm = 300, slope = -0.9 }",
        '{ published = "nmrcryspy/29Si", core_ppm = 838 }',
    ):
        setup = build(load(folder, PHASE + MODEL + PEAKS.replace('"model"', reference)))
        values.append((float(setup.parameters["o/reference"]), float(setup.parameters["o/slope"])))
    offset, slope = PUBLISHED_SHIFTS["nmrcryspy/29Si"]
    np.testing.assert_allclose(values, [(REFERENCE, -1.0), (300.0, -0.9), (offset - 838.0 * slope, slope)])


def test_given_assignments_counts_and_lists_of_uncertainties_reach_the_term(folder):
    text = PEAKS.replace("sigma = 0.5", "sigma = [0.5, 1.0]\nsigma_model = [0.1, 0.2]\nsigma_common = 1.5")
    (term,) = build(load(folder, PHASE + MODEL + text + 'assignment = ["O2", ["O1"]]')).objective.terms
    assert term.fixed and term.labels == ("O2", "O1")
    np.testing.assert_allclose(term.sigma, [0.5, 1.0])
    np.testing.assert_allclose(term.model_sigma, [0.1, 0.2])
    assert float(term.model_common) == 1.5
    (term,) = build(load(folder, PHASE + MODEL + PEAKS + "counts = [1, 1]\nweight = 3")).objective.terms
    assert term.counts == (1, 1)


def test_restraints_of_kinds_take_means_and_spreads(folder):
    text = """
[[restraint]]
kind = "distances"
expected = { Si-O = [1.7, 0.01] }
weight = 2.0
[[restraint]]
kind = "bonds"
sigma = 0.05
count = "cell"
"""
    objective = build(load(folder, PHASE + text)).objective
    first, second = objective.terms
    np.testing.assert_allclose((first.target, first.sigma), ([1.7], [0.01]))
    np.testing.assert_allclose(second.sigma, [0.05])
    np.testing.assert_allclose(objective.weights, [2.0, 1.0])


PAIRS = """
[[couplings]]
name = "d"
kind = "dipolar"
nuclei = ["29Si", "17O"]
sigma = 5.0
robust = "cauchy"
pairs = [{ atoms = ["Si1", "O1"], hz = 320.0 }, { atoms = ["Si1", "O2"], hz = 100, sigma = 2.0 }]
"""


def test_couplings_losses_and_estimated_weights_reach_the_objective(folder):
    text = """
[[couplings]]
name = "j"
kind = "j"
across = ["O", "Si", "O"]
law = { form = "s_character", offset_hz = 1, slope_hz = 10 }
calibration = { published = "nmrcryspy/29Si-O-29Si" }
sigma = 1.0
weight = 2.0
pairs = [{ atoms = ["O1", "Si1", "O2"], hz = 3.0 }]
[[restraint]]
kind = "bond"
atoms = ["Si1", "O1"]
value = 1.7
sigma = 0.05
robust = { loss = "huber", scale = 2 }
[solver]
weights = "variance-components"
"""
    # an angle of 120 degrees at silicon
    phase = PHASE.replace(str(CELL), "[8, 8, 8, 90, 90, 90]")
    for before, after in zip(START.tolist(), ([0.5, 0.5, 0.5], [0.7, 0.5, 0.5], [0.4, 0.6732, 0.5]), strict=True):
        phase = phase.replace(str(before), str(after))
    run = load(folder, phase + PAIRS + text)
    objective = build(run).objective
    first, second, _ = objective.terms
    assert isinstance(first, CouplingTerm) and objective.losses == (Loss.create("cauchy"), None, Loss("huber", 2.0))
    np.testing.assert_allclose(objective.weights, [1.0, 2.0, 1.0])
    np.testing.assert_allclose(first.sigma, [5.0, 2.0])
    assert second.start == {"offset": 3.7953, "slope": 1.4217} and second.law.form == "s_character"
    assert run.solver["weights"] == "variance-components"
    # what is documented can be read
    phase = PHASE.replace("hidden", "alanine")
    text = documented("Couplings")
    for kind, keys in {"dipolar": (), "j": ("across", "law", "calibration")}.items():
        for key in keys:
            text = text.replace(f"\n# {key} =", f"\n{key} =")
        chosen = (
            text if kind == "dipolar" else text.replace('kind = "dipolar"', 'kind = "j"').replace("\nnuclei", "\n#")
        )
        (spec,) = load(folder, phase + chosen).couplings
        assert spec.kind == kind
        # what belongs to the other kind is not there at all
        fields = ("nuclei", "signed", "slope", "across", "law", "calibration")
        assert {name for name in fields if hasattr(spec, name)} == set(fields[:3] if kind == "dipolar" else fields[3:])
        assert kind in repr(spec)
    text = documented("How strongly data count").replace("# ...", PEAKS.replace("[[peaks]]", ""))
    assert load(folder, PHASE + MODEL + text).peaks[0].robust == Loss.create("soft_l1")


def test_spectra_of_predicted_sites_are_read_and_fit_what_they_were_made_of(folder):
    crystal = jn.Crystal.create(cell=CELL, spacegroup="P 1", species=["Si", "O", "O"], xyz=HIDDEN)
    mas = jn.SpectrumMAS("17O", b0_tesla=9.4, mas_hz=np.inf)
    sites = model().predict(crystal).sites("17O", reference=jn.ShiftReference(REFERENCE), gaussian_hz=300.0)
    jn.write_spectrum(mas.simulate(sites, points=256, width_hz=2e4, centre_ppm=190.0), folder / "o17.csdf")
    lines = {
        "b0_tesla": "",
        'file = "quartz_17O.csdf"': 'file = "o17.csdf"\nsigma = 1e-3',
        "mas_hz = 14000.0": "mas_hz = inf",
        "gaussian_hz = 150.0": "gaussian_hz = 300.0",
    }
    text = documented("Spectra that follow the structure")
    for old, new in lines.items():
        text = text.replace(old, new)
    phase = PHASE
    for before, after in zip(START.tolist(), HIDDEN.tolist(), strict=True):
        phase = phase.replace(str(before), str(after))
    setup = build(load(folder, phase + MODEL + text))
    assert [(s.name, s.free) for s in setup.stages] == [
        ("positions and intensities", ("o17/scale",)),
        ("coordinates", ("xyz",)),
        ("widths", ("o17/gaussian",)),
    ]
    r, (term,) = np.asarray(setup.objective.residuals(setup.parameters)), setup.objective.terms
    # made with other orientations, in another frame
    assert np.abs(r).max() * 1e-3 < 0.02 * np.asarray(term.observed).max()
    given = """
[[spectrum]]
file = "o17.csdf"
sigma = 1e-3
mas_hz = inf
tensors = "model"
shifts_ppm = { O1 = 41.0 }
sites = ["O1"]
q_barn = -0.03
robust = "huber"
"""
    setup = build(load(folder, phase + MODEL + given))
    assert setup.parameters["nmr/shift[O1]"] == 41.0 and setup.objective.losses == (Loss.create("huber"),)
    assert setup.stages[0].free == ("nmr/scale", "nmr/shift")
    for old, new, expected in (
        ("sites = ", "sites = ['O3'] # ", "[[spectrum]] 'nmr': O3 is not a 17O site of hidden"),
        ("O1 = 41.0", "O2 = 41.0", "shielding names O2, the 17O sites are O1"),
        ("shifts_ppm", "# ", "the key 'reference' is missing"),
    ):
        with pytest.raises(ParseError, match=re.escape(expected)):
            build(load(folder, phase + MODEL + given.replace(old, new)))


SITE = COUPLINGS[COUPLINGS.index("sigma") :]
SITE_OF_TENSOR = 'sigma = 0.1\n[[tensors.site]]\nlabel = "O1"\ntensor_mhz = [[1, 2, 3]]'
REFUSED_AT_ONCE = [
    (MODEL, "", "path", "file", "unknown key 'file' in [[model]] number 1; known: path"),
    (MODEL, "", '"small.safetensors"', '"small.safetensors"\nphase = "Hidden"', "[[model]] number 1.phase: 'Hidden' is not"),
    (MODEL, "", '"small.safetensors"', '"small.safetensors"\nmember = -1', "[[model]] number 1.member: expected a whole number"),
    (MODEL, PEAKS, "17O", "17Q", "[[peaks]] number 1 (o).nucleus"),
    (MODEL, PEAKS, "shifts_ppm", "shifts", "unknown key 'shifts' in [[peaks]] number 1 (o); did you mean 'shifts_ppm'?"),
    (MODEL, PEAKS, "[190.0, 191.0]", "[]", "[[peaks]] number 1 (o).shifts_ppm: expected at least one shift"),
    (MODEL, PEAKS, "sigma = 0.5", "", "the key 'sigma' is missing"),
    (MODEL, PEAKS, "sigma = 0.5", "sigma = [0.5, 0.5, 0.5]", "(o).sigma: expected a list of 1 or 2 numbers"),
    (MODEL, PEAKS, "sigma = 0.5", "sigma = 0", "(o).sigma: expected positive numbers, got 0"),
    (MODEL, PEAKS, "sigma = 0.5", "sigma = 1\nsigma_model = 'own'", "(o).sigma_model: 'own' is not possible here"),
    (MODEL, PEAKS, "sigma = 0.5", "sigma = 1\nsigma_model = -1", "(o).sigma_model: expected numbers from 0 on"),
    (MODEL, PEAKS, 'reference = "model"', "", "the key 'reference' is missing"),
    (MODEL, PEAKS, '"model"', '"TMS"', "(o).reference: 'TMS' is not possible here"),
    (MODEL, PEAKS, '"model"', "{ reference = 3 }", "(o).reference; did you mean 'reference_ppm'?"),
    (MODEL, PEAKS, '"model"', "{ reference_ppm = 3, slope = 0 }", "(o).reference.slope: every site"),
    (MODEL, PEAKS, '"model"', '{ published = "a", slope = 1 }', "unknown key 'slope' in [[peaks]] number 1 (o).reference"),
    (MODEL, PEAKS, '"o"', '"o/p"', "'o/p' cannot be part of parameter names"),
    (MODEL, PEAKS, "sigma = 0.5", "sigma = 1\nassignment = [['O1']]", "(o).assignment: 1 groups of sites for 2 peaks"),
    (MODEL, PEAKS, "sigma = 0.5", "sigma = 1\nassignment = ['O1', 'O1']", "(o).assignment: 'O1' is named twice"),
    (MODEL, PEAKS, "sigma = 0.5", "sigma = 1\nassignment = ['O1', []]", "(o).assignment: expected the labels of every peak"),
    (MODEL, PEAKS, "sigma = 0.5", "sigma = 1\nassignment = ['O1', 'O2']\ncounts = [1, 1]", "(o).counts: an assignment"),
    (MODEL, PEAKS, "sigma = 0.5", "sigma = 1\ncounts = [1, 0.5]", "(o).counts: expected whole numbers"),
    (MODEL, PEAKS + PEAKS, "[[model]]", "[[model]]", "two tables [[histogram, spectrum, peaks, tensors, couplings, echo or energy]] are called 'o'"),
    (MODEL, COUPLINGS, "cq_mhz = 0.5", "", "give one of cq_mhz, principal_ppm, tensor_ppm, tensor_mhz"),
    (MODEL, COUPLINGS, "cq_mhz = 0.5", "cq_mhz = 1\nprincipal_ppm = [1, 2, 3]", "not cq_mhz and principal_ppm"),
    (MODEL, COUPLINGS, "cq_mhz = 0.5", "cq_mhz = -1", "site[0] (O1).cq_mhz: expected the size of C_Q"),
    (MODEL, COUPLINGS, "eta_q = 0.7", "eta_q = 1.1", "site[0] (O1).eta_q: expected a number between 0 and 1"),
    (MODEL, COUPLINGS, "eta_q = 0.7", "", "[[tensors]] number 1 (couplings).site[0] (O1): the key 'eta_q' is missing"),
    (MODEL, COUPLINGS, "[0.1, 0.05]", "0.1", "(couplings).sigma: expected a list of 2 numbers"),
    (MODEL, COUPLINGS, "sigma = [0.1, 0.05]", "", "site[0] (O1): the key 'sigma' is missing, here and in the table above"),
    (MODEL, COUPLINGS, "eta_q = 0.7", "eta_q = 0.7\nasymmetry = 1", "unknown key 'asymmetry'"),
    (MODEL, COUPLINGS, "sigma = [", 'reference = "model"\nsigma = [', "unknown key 'reference'"),
    (MODEL, COUPLINGS, SITE, SITE_OF_TENSOR, "site[0] (O1).tensor_mhz: expected three rows of three numbers"),
    (MODEL, COUPLINGS, SITE, SITE_OF_TENSOR.replace("3]]", "3], [1, 2, 3], [1, 2]]"), "tensor_mhz[2]: expected a list of 3 numbers"),
    (MODEL, COUPLINGS, SITE, SITE_OF_TENSOR.replace("0.1", "[0.1, 0.1]"), "(couplings).sigma: expected a number"),
    (MODEL, COUPLINGS + "[[tensors.site]]\nlabel = 'O1'\ncq_mhz = 1\neta_q = 0", "l", "l", "two sites are called 'O1'"),
    (MODEL, COUPLINGS + "[[tensors.site]]\nlabel = 'O2'\nprincipal_ppm = [1, 2, 3]", "l", "l", "put principal_ppm into"),
    ("", PAIRS, 'kind = "dipolar"', 'kind = "dipole"', "(d).kind: 'dipole' is not possible here; did you mean 'dipolar'"),
    ("", PAIRS, '"17O"', '"17Q"', "(d).nuclei"),
    ("", PAIRS, '"Si1", "O1"]', '"Si1"]', "(d).pairs[0].atoms: expected 2 labels of sites"),
    ("", PAIRS, "sigma = 5.0", "", "(d).pairs[0]: the key 'sigma' is missing, here and in the table above"),
    ("", PAIRS, "pairs = [", "paris = [", "unknown key 'paris' in [[couplings]] number 1 (d); did you mean 'pairs'?"),
    ("", PAIRS, '"cauchy"', '"tukey"', "(d).robust: 'tukey' is not possible here; known: huber"),
    ("", PAIRS, '"cauchy"', '{ loss = "huber", scale = 0 }', "(d).robust.scale: expected a positive number"),
    ("", PAIRS, '"dipolar"', '"j"\nacross = ["Si", "O", "Si"]', "the key 'law' is missing"),
    ("", PAIRS.replace("[[", "[[spectrum]]\ntensors = 'model'\nreference = 'x'\n[["), "x", "x", "reference: 'x' is not possible"),
    ("", "[[spectrum]]\ntensors = 'model'\npeaks_ppm = [3]\nreference = 'model'", "3", "3", "give the sites in one way"),
    ("", PAIRS + "[solver]\nweights = 'gof'", "gof", "gof", "[solver].weights: 'gof' is not possible here"),
    ("", "[[tensors]]\nnucleus = '17O'", "'17O'", "'17O'", "there is no [[tensors.site]]"),
    ("", "[[restraint]]\nkind = 'distances'", "distances", "distances", "expected mean and sigma by kind, such as"),
    ("", "[[restraint]]\nkind = 'angles'\nexpected = { Si-O = [1, 2] }", "1", "1", ".expected.Si-O: expected elements such as O-Si-O"),
    ("", "[[restraint]]\nkind = 'distances'\nexpected = { Si-O = [1, 0] }", "1", "1", "expected mean and sigma, a positive number"),
    ("", "[[restraint]]\nkind = 'distances'\nexpected = { Si-O = [1, 1] }\nsigma = 1", "1", "1", "unknown key 'sigma'"),
    ("", "", "", "", "or data of another kind: [[spectrum]], [[peaks]], [[tensors]], [[couplings]], [[echo]], [[restraint]] or [[energy]]"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "old", "new", "expected"), REFUSED_AT_ONCE)
def test_mistakes_are_named_with_their_place(folder, first, second, old, new, expected):
    text = first + second
    assert old in text
    with pytest.raises(ParseError) as caught:
        load(folder, PHASE + text.replace(old, new, 1))
    assert expected in str(caught.value) and "run.toml" in str(caught.value)


def test_tables_about_structures_need_one(folder):
    for text, expected in ((PEAKS, "a [[phase]] is missing"), (MODEL, "needs at least one [[phase]]")):
        with pytest.raises(ParseError) as caught:
            load(folder, text)
        assert expected in str(caught.value)


TIES = "".join(f"[[tie]]\ntarget = 'xyz[O1.x]'\nsource = 'xyz[{of}.x]'\n" for of in ("O2", "Si1"))
PRIOR = "[[restraint]]\nkind = 'prior'\nparameter = 'xzy'\nvalue = 1\nsigma = 1\n"
REFUSED_WHILE_BUILDING = [
    ("small.safetensors", "silica-nothing", "[[model]] number 1: no model 'silica-nothing' comes with jaxnmr"),
    ("small.safetensors", "none.safetensors", "none.safetensors: no such file"),
    ('small.safetensors"', 'small.safetensors"\nmember = 3', "[[model]] number 1: there is no member 3"),
    (MODEL, MODEL + MODEL, "[[model]]: several models of 'hidden' predict efg, shielding"),
    ('type = "Si"', 'type = "Ge"', "it knows O, Si: use a model trained on all elements of the structure (Si1)"),
    (MODEL, "", "[[peaks]] 'o': no [[model]] predicts tensors of 'hidden'"),
    ('nucleus = "17O"\nsh', 'nucleus = "29Si"\nsh', "[[peaks]] 'o': reference = 'model', but the model 'small' has none of Si"),
    ("[190.0, 191.0]", "[190.0, 191.0, 1]", "[[peaks]] 'o': 3 peaks for 2 17O sites"),
    ("sigma = 0.5", "sigma = 0.5\nsites = ['O1', 'O3']", "[[peaks]] 'o': O3 is not a 17O site of hidden"),
    ('"model"', '{ published = "x" }', "[[peaks]] 'o': no published regression 'x'"),
    ('label = "O1"\ncq', 'label = "Si1"\ncq', "[[tensors]] 'couplings': Si1 is not a 17O site"),
    ('nucleus = "17O"\nsigma = [', 'nucleus = "27Al"\nsigma = [', "was not trained on the efg of Al"),
    (MODEL, MODEL + PAIRS.replace('"Si1", "O1"', '"O1", "Si1"'), "[[couplings]] 'd': O1 is O, not 29Si"),
    (MODEL, MODEL + PAIRS.replace('"O2"', '"O7"'), "[[couplings]] 'd': no site 'O7'"),
    (MODEL, MODEL + TIES, "[[tie]] 'xyz[O1.x]': xyz[O1.x] is tied to 'xyz[O2.x]' and to 'xyz[Si1.x]'; keep one"),
    (MODEL, MODEL + PRIOR, "[[restraint]]: no parameter is called 'xzy'; did you mean 'xyz"),
    ("sigma = [0.1, 0.05]", "sigma = [0.1, 0.05]\nsigma_model = 'model'", "is not calibrated for the efg of O"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), REFUSED_WHILE_BUILDING)
def test_mistakes_found_while_building_name_their_place(folder, old, new, expected):
    text = PHASE + MODEL + PEAKS + COUPLINGS
    assert old in text
    run = load(folder, text.replace(old, new, 1))
    with pytest.raises(ParseError) as caught:
        build(run)
    assert expected in str(caught.value)
