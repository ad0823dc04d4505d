import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxnmr import read_pattern, refine
from jaxnmr.runfile import load_run

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "quartz"


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("make_pattern", FOLDER / "make_pattern.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def fit():
    with jax.enable_x64(True):
        setup = load_run(FOLDER / "quartz.toml").build()
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


def test_the_pattern_file_is_what_the_script_makes(recipe):
    with jax.enable_x64(True):
        made = recipe.simulate()
    shipped = read_pattern(FOLDER / "quartz.xye")
    np.testing.assert_array_equal(shipped.x, made.x)
    # one random number per point: rounding elsewhere can move single counts by one, nothing more
    difference = np.abs(np.asarray(shipped.y) - np.asarray(made.y))
    assert difference.max() <= 2.0
    assert np.mean(difference > 0) < 0.02
