"""What is said of a pattern whose model is wrong: a further phase, another cell, a background that is too stiff; nothing of a right one."""

import jax
import numpy as np
import pytest
from small_problems import DOUBLET, anatase, at_truth, histogram, rutile

import jaxnmr as jn
from jaxnmr.refinement.summary import _not_beside_a_cell

X = np.arange(20.0, 70.0, 0.04)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def said(observed, crystals, values, terms=3, **changes):
    """Sentences about a measured pattern, calculated from crystals and values."""
    pattern = jn.Pattern.create(X, observed, np.sqrt(np.maximum(observed, 1.0)), instrument=DOUBLET, name="xrd")
    term = jn.PatternTerm(jn.PowderDiffraction(DOUBLET, jn.Background.chebyshev(terms)), pattern, name="xrd")
    objective = jn.Objective(term, crystal=crystals)
    params = at_truth(objective, xrd=values)
    for name, value in changes.items():
        params = params.set(name, value)
    objective = objective.replan(params).objective
    evidence = objective.terms[0].evidence(objective.state(params.values))
    residual = (evidence.calculated - evidence.observed) / evidence.sigma
    return evidence.doubts(evidence.statistics(residual, 10.0))


@pytest.fixture(scope="module")
def measured():
    """A pattern of rutile, and one with 10 % of anatase in it, with their noise; and the values they were made with."""
    with jax.enable_x64(True):
        term, true = histogram(rutile(), DOUBLET, X, seed=1)
        _, both = histogram({"rutile": rutile(), "anatase": anatase()}, DOUBLET, X)
        share = dict(both, scale=np.array([1.0, 0.2]) * both["scale"])
        share["scale"][0] = float(np.ravel(true["scale"])[0])
        plan = jn.PowderDiffraction(DOUBLET, jn.Background.chebyshev(3)).simulate(
            {"rutile": rutile(), "anatase": anatase()}, X, values=share
        )
        mixed = np.random.default_rng(2).poisson(np.asarray(plan.y)).astype(float)
        return np.asarray(term.pattern.y), mixed, true


def test_nothing_is_said_of_a_right_model(measured):
    pure, _, true = measured
    assert said(pure, rutile(), true) == ()


def test_peaks_of_a_further_phase_are_listed(measured):
    _, mixed, true = measured
    sentences = [s for s in said(mixed, rutile(), true) if "nothing calculated explains" in s]
    (sentence,) = sentences
    assert "25.3" in sentence, "the strongest line of anatase, 101"
    assert "A further phase" in sentence and not any(
        "where nothing of the kind" in s for s in said(mixed, rutile(), true)
    )


def test_a_cell_that_is_too_large_is_seen_in_peaks_on_both_sides(measured):
    pure, _, true = measured
    # as large as the first minimum beside the right one may be
    sentences = said(pure, rutile(), true, cell=[4.594 * 1.015, 4.594 * 1.015, 2.959 * 1.015, 90, 90, 90])
    text = "\n".join(sentences)
    assert "nothing calculated explains" in text and "where nothing of the kind is observed" in text
    assert "the cell or the space group is likely a wrong one" in text and "27.4" in text, "110 of rutile"
    assert "not described to within its noise" in sentences[0]


def test_a_background_with_too_few_terms_asks_for_more_before_anything_else(measured):
    pure, _, true = measured
    wave = 60.0 * (1.0 + np.cos((X - 20.0) / 50.0 * 3.0 * np.pi))
    values = dict(true, background=np.array([50.0 + 60.0, 0.0]))
    sentences = said(pure + np.round(wave), rutile(), values, terms=2)
    (sentence,) = [s for s in sentences if "too stiff" in s]
    assert "with more terms than 2 before anything else" in sentence
    assert not any("nothing calculated explains" in s for s in sentences)


def test_a_wavelength_is_not_advised_beside_a_cell_that_is_refined(measured):
    pure = measured[0]
    pattern = jn.Pattern.create(X, pure, np.sqrt(np.maximum(pure, 1.0)), instrument=DOUBLET, name="xrd")
    term = jn.PatternTerm(jn.PowderDiffraction(DOUBLET, jn.Background.chebyshev(3)), pattern, name="xrd")
    params = jn.Objective(term, crystal=rutile()).parameters().free("xrd/scale")
    assert _not_beside_a_cell(params) == _not_beside_a_cell(params.free("xyz")) == set()
    forbidden = _not_beside_a_cell(params.free("cell[c]"))
    assert {params.labels[k] for k in forbidden} == {"xrd/wavelength[0]", "xrd/wavelength[1]"}
