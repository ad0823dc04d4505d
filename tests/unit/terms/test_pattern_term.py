"""Powder patterns of rock salt with known truth: what uncertainties and slits do to the result of a refinement."""

import jax
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.io import read_pattern

TRUTH = jn.Crystal.create(
    cell=[5.6402, 5.6402, 5.6402, 90, 90, 90], spacegroup="F m -3 m", species=["Na", "Cl"],
    xyz=[[0, 0, 0], [0.5, 0.5, 0.5]], u_iso=[0.020, 0.018], name="halite",
)  # fmt: skip
START = TRUTH.replace(cell=np.array([5.641, 5.641, 5.641, 90, 90, 90]), u_iso=np.array([0.01, 0.01]))
TUBE = jn.Instrument(wavelengths=(1.5406,))
X = np.round(25.0 + 0.05 * np.arange(1501), 2)
FREE = ("xrd/scale", "xrd/background", "cell", "u_iso")
CHANGED = ("cell[a]", "u_iso[Na1]", "u_iso[Cl1]")


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def counted(instrument: jn.Instrument, highest: float = 2e4) -> np.ndarray:
    """Counts on a background of 50."""
    clean = jn.PowderDiffraction(instrument).simulate(TRUTH, X).y
    return np.random.default_rng(7).poisson(50.0 + highest * clean / clean.max()).astype(float)


def fitted(pattern: jn.Pattern):
    term = jn.PatternTerm(jn.PowderDiffraction(background=jn.Background.chebyshev(2)), pattern)
    objective = jn.Objective(term, crystal=START)
    params = objective.parameters().set("xrd/scale", 10.0 * float(pattern.y.max()) / 2e4)
    stages = [jn.Stage(free=FREE[:2], name="scale"), jn.Stage(free=FREE[2:], name="all")]
    return jn.refine(objective, params, stages=stages, suggest=False)


def esds(fit) -> np.ndarray:
    return np.array([fit.esds["cell"][0], *fit.esds["u_iso"]])


@pytest.fixture(scope="module")
def counts():
    with jax.enable_x64(True):
        return counted(TUBE)


@pytest.fixture(scope="module")
def reference(counts):
    with jax.enable_x64(True):
        return fitted(jn.Pattern.create(X, counts, instrument=TUBE))


@pytest.mark.parametrize(("factor", "decimals"), [(1e-3, 6), (1e3, 0), ("max 1", 6), ("max 100", 2)])
def test_scaled_counts_refine_as_counts_do(tmp_path, counts, reference, factor, decimals):
    if isinstance(factor, str):
        factor = float(factor[4:]) / counts.max()
    np.savetxt(tmp_path / "scaled.xy", np.column_stack([X, factor * counts]), fmt=["%.2f", f"%.{decimals}f"])
    pattern = read_pattern(tmp_path / "scaled.xy", instrument=TUBE)
    fit = fitted(pattern)
    np.testing.assert_allclose(esds(fit), esds(reference), rtol=0.1)
    shifts = [(fit.parameters[name] - reference.parameters[name]) for name in CHANGED]
    assert np.all(np.abs(shifts) < 0.5 * esds(reference))
    assert fit.statistics["xrd"].gof == pytest.approx(1.0, abs=0.12)
    assert any("no counts" in sentence and "scaled.xy" in sentence for sentence in fit.warnings)


def test_counts_are_refined_without_a_warning(reference):
    assert reference.converged and reference.warnings == ()
    off = (np.array([reference.parameters[name] for name in CHANGED]) - [5.6402, 0.020, 0.018]) / esds(reference)
    assert np.all(np.abs(off) < 3.5)


def test_uncertainties_that_are_far_too_large_are_a_warning(counts):
    fit = fitted(jn.Pattern.create(X, counts, 5.0 * np.sqrt(np.maximum(counts, 1.0)), instrument=TUBE))
    (sentence,) = fit.warnings
    assert "goodness of fit is 0.2" in sentence and "not those of counts" in sentence
    fit = fitted(jn.Pattern.create(X, counts, 0.75 * np.maximum(counts, 1.0), instrument=TUBE))
    assert any("Rexp is 7" in sentence for sentence in fit.warnings)


def test_an_automatic_slit_leaves_displacements_and_agreement_right(counts):
    slit = TUBE.replace(divergence_slit="automatic")
    measured = counted(slit)
    fit = fitted(jn.Pattern.create(X, measured, instrument=slit))
    off = (np.array([fit.parameters[name] for name in CHANGED]) - [5.6402, 0.020, 0.018]) / esds(fit)
    assert fit.converged and np.all(np.abs(off) < 3.5) and fit.statistics["xrd"].gof == pytest.approx(1.0, abs=0.1)
    assert fit.evidence["xrd"].r_bragg["halite"] < 3.0
    # taken for a fixed one, displacements are off by far more than their uncertainties
    wrong = fitted(jn.Pattern.create(X, measured, instrument=TUBE))
    assert np.all(wrong.parameters["u_iso"] < 0.0)
