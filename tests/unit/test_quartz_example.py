import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxnmr import Crystal, TensorModel, read_pattern, refine
from jaxnmr.runfile import build, load_run

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "quartz"


def script(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def recipe():
    return script("make_pattern")


@pytest.fixture(scope="module")
def fit():
    with jax.enable_x64(True):
        setup = build(load_run(FOLDER / "quartz.toml"))
        return setup.parameters, refine(
            setup.objective, setup.parameters, solver=setup.solver, stages=setup.stages, throw=False
        )


def deviation(fit, name, truth):
    """How many standard uncertainties the refined values are off, where they were refined."""
    value, esd = np.asarray(fit.parameters[name], dtype=float), np.asarray(fit.esds[name])
    refined = esd > 0
    assert refined.any()
    return np.abs(value - np.asarray(truth, dtype=float).reshape(value.shape))[refined] / esd[refined]


def test_quartz_starts_away_from_the_truth(fit, recipe):
    start, _ = fit
    moved = np.asarray(start["xyz"]) - np.array(recipe.QUARTZ["xyz"])
    lattice = np.array([[4.916, 0, 0], [-2.458, 4.2574, 0], [0, 0, 5.4054]])
    distance = np.linalg.norm(moved @ lattice, axis=1)
    assert ((distance > 0.04) & (distance < 0.12)).all()
    assert abs(start["cell[a]"] / 4.916 - 1.0) == pytest.approx(0.002, abs=2e-4)


def test_quartz_is_recovered_within_its_uncertainties(fit, recipe):
    _, result = fit
    assert result.converged
    for name in ("cell", "xyz", "u_iso"):
        assert (deviation(result, name, recipe.QUARTZ[name]) < 4.0).all(), name
    for name, truth in recipe.TRUTH.items():
        assert (deviation(result, f"xrd/{name}", truth) < 4.0).all(), name


def test_the_fit_to_poisson_counts_has_a_goodness_of_fit_of_one(fit):
    _, result = fit
    s = result.statistics["xrd"]
    assert s.gof == pytest.approx(1.0, abs=4.0 / np.sqrt(2 * s.n_observations))
    assert s.durbin_watson == pytest.approx(2.0, abs=0.15)


def test_the_silicon_oxygen_bonds_are_those_of_the_literature(fit):
    # Levien, Prewitt & Weidner (1980): 1.605(1) and 1.614(1) Å
    _, result = fit
    from jaxnmr.report.geometry import Geometry, phase_covariance

    with jax.enable_x64(True):
        bonds = Geometry.of(result.crystal, phase_covariance(result, "quartz")).bonds()
    assert len(bonds) == 2
    for bond, expected in zip(bonds, (1.605, 1.614), strict=True):
        assert abs(bond.value - expected) < 4.0 * bond.esd + 0.001
        assert bond.esd < 0.01


@pytest.mark.parametrize(("name", "file"), [("make_pattern", "quartz"), ("make_joint_data", "quartz_weak")])
def test_the_pattern_file_is_what_the_script_makes(name, file, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    with jax.enable_x64(True):
        made = script(name).simulate()
    shipped = read_pattern(FOLDER / f"{file}.xye")
    np.testing.assert_array_equal(shipped.x, made.x)
    # one random number per point: rounding elsewhere can move single counts by one, nothing more
    difference = np.abs(np.asarray(shipped.y) - np.asarray(made.y))
    assert difference.max() <= 2.0
    assert np.mean(difference > 0) < 0.02


@pytest.fixture(scope="module")
def joint():
    return load_run(FOLDER / "quartz_joint.toml")


def test_the_joint_example_starts_away_from_the_truth(joint, recipe):
    (phase,) = joint.phases
    moved = np.asarray(phase.inline["xyz"]) - np.array(recipe.QUARTZ["xyz"])
    lattice = np.array([[4.916, 0, 0], [-2.458, 4.2574, 0], [0, 0, 5.4054]])
    distance = np.linalg.norm(moved @ lattice, axis=1)
    assert ((distance > 0.04) & (distance < 0.12)).all()


def test_nmr_data_of_the_joint_example_are_those_of_the_true_structure_within_the_models_uncertainty(joint, recipe):
    # measured or calculated by others, not by these models: chi squared of 5 numbers beyond 20.5 has a chance of 0.1 %
    crystal = Crystal.create(**recipe.QUARTZ)
    with jax.enable_x64(True):
        silicon, oxygen = (TensorModel.load(model.path).predict(crystal) for model in joint.models)
    (peaks,), (span, coupling) = joint.peaks, joint.tensors
    reference = peaks.reference.reference()
    tensor = np.asarray(reference.shift_tensor(silicon.shielding_ppm))[0]
    shifts = np.sort(np.linalg.eigvalsh((tensor + tensor.T) / 2))[::-1]
    sigma_iso, sigma_rest = silicon.component_sigma("shielding")[0] * abs(reference.slope)
    common_iso, ratio = silicon.common_sigma("shielding")[0] * [abs(reference.slope), 1.0]
    chi2 = (shifts.mean() - peaks.shifts_ppm[0]) ** 2 / ((sigma_iso**2 + common_iso**2) / 3 + peaks.sigma[0] ** 2)
    # two principal values of a tensor without trace, whose size may be off by a factor
    anisotropy = shifts - shifts.mean()
    rest = anisotropy - (span.values[0] - span.values[0].mean())
    variance = sigma_rest**2 + span.sigmas[0][0] ** 2
    chi2 += rest @ np.linalg.solve(variance * np.eye(3) + ratio**2 * np.outer(anisotropy, anisotropy), rest)
    quadrupolar = oxygen.quadrupolar("17O")
    found = np.array([abs(quadrupolar.cq_hz[0]) * coupling.slope, quadrupolar.eta[0]])
    half = [np.ptp(np.array(oxygen.interval(what, "17O", 0.68)), axis=0)[0] / 2 for what in ("cq", "eta_q")]
    chi2 += np.sum((found - coupling.values[0]) ** 2 / (np.array(half) ** 2 + coupling.sigmas[0] ** 2))
    assert chi2 < 20.5
    # GIPAW calculations of quartz by three programs have spans of 6.8 to 7.0 ppm of shielding
    assert np.ptp(span.values[0]) == pytest.approx(6.9 * abs(reference.slope), abs=0.1)
