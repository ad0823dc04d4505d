"""What is said after a first refinement, of fits that are made of formulas."""

from dataclasses import replace

import numpy as np
import pytest
from made_up_fit import fitted_pattern, made_up_fit, rutile, statistics

from jaxnmr.crystal.cell import reciprocal_metric
from jaxnmr.proposal.next_steps import outcome
from jaxnmr.terms.pattern_evidence import Reflections


def with_lines(positions, height):
    """The fit of before with observed lines that nothing explains."""
    shown = fitted_pattern()
    extra = sum(height * np.exp(-0.5 * ((shown.x - at) / 0.08) ** 2) for at in positions)
    observed = shown.observed + extra
    return replace(shown, observed=observed, sigma=np.sqrt(observed))


def test_a_good_fit_is_said_to_be_one():
    found = outcome(made_up_fit(), "run.toml")
    assert found.together and "as good as the noise allows" in found.verdict


def test_a_weak_line_that_nothing_explains_asks_for_another_phase():
    fit = made_up_fit(evidence={"xrd": with_lines([33.0], 200.0)})
    found = outcome(fit, "run.toml")
    assert found.together
    assert any("2θ = 33.00 are not explained: another phase?" in step for step in found.steps)


def test_many_strong_lines_that_nothing_explains_are_another_structure():
    fit = made_up_fit(evidence={"xrd": with_lines([22.0, 31.0, 33.5, 47.0, 50.0, 75.0], 700.0)})
    found = outcome(fit, "run.toml")
    assert not found.together and "do not belong together" in found.verdict
    assert any("right structure file" in step for step in found.steps)


def test_calculated_lines_beside_the_observed_ones_are_another_structure():
    shown = fitted_pattern()
    moved = np.interp(shown.x - 0.9, shown.x, shown.observed)
    fit = made_up_fit(evidence={"xrd": replace(shown, observed=moved)})
    assert not outcome(fit, "run.toml").together


@pytest.mark.parametrize("coefficient", [0.8, 1.0])
def test_intensities_that_depend_on_the_angle_to_an_axis_are_told_from_those_that_do_not(coefficient):
    """The texture is the whole function of March and Dollase; what is looked for is its first order."""
    rows = [(h, k, l) for h in range(4) for k in range(h + 1) for l in range(4) if h + k + l]
    hkl = np.array(rows)
    metric = reciprocal_metric(np.asarray(rutile().cell))
    cosine = hkl[:, 2] * np.sqrt(metric[2, 2]) / np.sqrt(np.einsum("ni,ij,nj->n", hkl, metric, hkl))
    march = (coefficient**2 * cosine**2 + (1.0 - cosine**2) / coefficient) ** -1.5
    random = np.random.default_rng(2)
    f2 = random.uniform(50.0, 150.0, len(hkl))
    n = len(hkl)
    table = Reflections(
        hkl=hkl, multiplicity=np.full(n, 8), d=np.ones(n), two_theta=np.linspace(20, 90, n), f2_calc=f2,
        f2_obs=f2 * march * random.normal(1.0, 0.03, n), area=f2, fwhm=np.full(n, 0.1),
    )  # fmt: skip
    shown = replace(fitted_pattern(), reflections={"rutile": table})
    fit = made_up_fit(evidence={"xrd": shown}, statistics={"xrd": replace(statistics(), gof=2.0)})
    said = [step for step in outcome(fit, "run.toml").steps if "texture" in step]
    if coefficient == 1.0:
        assert not said
    else:
        assert len(said) == 1 and "march_axis = { rutile = [0, 0, 1] }" in said[0]


def test_large_displacements_and_correlations_are_named():
    crystal = rutile(u_iso=(0.006, 0.09))
    fit = made_up_fit(crystals={"rutile": crystal}, correlations=(("u_iso[O1]", "xrd/scale[rutile]", 0.99),))
    said = " ".join(outcome(fit, "run.toml").steps)
    assert "O1 in rutile are large" in said and "hardly tell apart u_iso[O1] and xrd/scale[rutile] (+0.99)" in said
