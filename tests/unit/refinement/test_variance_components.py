"""Uncertainties that a data set overstates or understates are found from its own residuals."""

import jax
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2, norm

import jaxnmr as jn
from jaxnmr._struct import set_fields, static
from jaxnmr.errors import ParameterError
from jaxnmr.objective import TermSum
from jaxnmr.refinement import variance_components
from jaxnmr.typing import Quantity

RNG = np.random.default_rng(11)
DESIGNS = {"shifts": RNG.normal(size=(24, 4)), "couplings": RNG.normal(size=(16, 4))}
TRUTH = np.array([1.0, -2.0, 0.5, 3.0])


class Linear(jn.Term):
    """Linear functions of the same four unknowns, measured with a stated uncertainty of 0.1."""

    data: jax.Array
    name: str = static()

    def __init__(self, name, data):
        set_fields(self, data=np.asarray(data, dtype=float), name=name)

    def quantities(self, crystals):
        return {"c": Quantity(value=np.zeros(4), labels=tuple("abcd"))} if self.name == "shifts" else {}

    def residuals(self, state):
        return (DESIGNS[self.name] @ state.values["shifts/c"] - self.data) / 0.1


def simulated(seed: int, **factors) -> dict[str, Linear]:
    """Data whose errors are so many times larger than stated."""
    rng = np.random.default_rng(seed)
    noise = {name: 0.1 * factors.get(name, 1.0) * rng.normal(size=len(of)) for name, of in DESIGNS.items()}
    return {name: Linear(name, of @ TRUTH + noise[name]) for name, of in DESIGNS.items()}


def refined(terms, **options) -> jn.RefinementResult:
    objective = jn.Objective(terms)
    return jn.refine(objective, objective.parameters().free("shifts/c"), suggest=False, **options)


def weighted(terms) -> jn.RefinementResult:
    return refined(terms, weights="variance-components")


def restricted_likelihood(data: dict[str, Linear]):
    """Twice the negative logarithm of it, without constants, of the logarithms of both factors."""
    design = np.concatenate(list(DESIGNS.values())) / 0.1
    observed = np.concatenate([np.asarray(of.data) for of in data.values()]) / 0.1
    counts = [len(of) for of in DESIGNS.values()]

    def value(logs):
        inverse = np.repeat(np.exp(-2.0 * logs), counts)
        normal = design.T @ (inverse[:, None] * design)
        left = observed - design @ np.linalg.solve(normal, design.T @ (inverse * observed))
        return float(left @ (inverse * left) - np.sum(np.log(inverse)) + np.linalg.slogdet(normal)[1])

    return value


def test_factors_are_those_of_the_restricted_likelihood():
    data = simulated(3, couplings=3.0)
    fit = weighted(sum(data.values(), start=TermSum()))
    best = minimize(
        restricted_likelihood(data), np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10}
    )
    components = fit.components
    assert components.converged and 2 <= components.rounds <= 8
    for of, expected in zip(components.components, np.exp(best.x), strict=True):
        # within the part of its uncertainty at which rounds stop
        assert of.factor == pytest.approx(expected, abs=0.05 * of.esd)
    assert sum(of.redundancy for of in components.components) == pytest.approx(24 + 16 - 4)
    np.testing.assert_allclose(np.asarray(fit.objective.weights), [of.factor**-2 for of in components.components])
    # another estimate from the weighted fit finds the same
    again = variance_components(fit)
    assert all(abs(of.factor - components[of.name].factor) < 0.1 * of.esd for of in again.components)
    assert "sigma multiplied by" in str(fit) and fit.weighted
    assert [info.step for info in fit.steps] == list(range(1, len(fit.steps) + 1))


def pull(of, truth: float) -> float:
    """How many standard deviations a factor is off, by the distribution of chi² with its redundancy."""
    return float(norm.ppf(chi2.cdf(of.redundancy * (of.factor / truth) ** 2, of.redundancy)))


def test_an_uncertainty_understated_three_times_is_found_within_its_own_uncertainty():
    pulls, before, after, scaled = [], [], [], []
    for seed in range(16):
        terms = sum(simulated(seed, couplings=3.0).values(), start=TermSum())
        fit, plain = weighted(terms), refined(terms)
        couplings, shifts = fit.components["couplings"], fit.components["shifts"]
        pulls.append([pull(couplings, 3.0), pull(shifts, 1.0)])
        error = lambda of: np.asarray(of.parameters["shifts/c"]) - TRUTH
        before.append(error(plain))
        after.append(error(fit))
        scaled.append(error(fit) / np.asarray(fit.esds["shifts/c"]))
    pulls = np.array(pulls)
    # 16 values: their mean is known to a quarter, their spread to 18 %
    assert np.all(np.abs(pulls.mean(axis=0)) < 0.7) and np.all(np.abs(pulls) < 3.5)
    assert np.all((pulls.std(axis=0) > 0.6) & (pulls.std(axis=0) < 1.5))
    # what is refined gets closer to the truth, and its uncertainty is right
    assert np.mean(np.square(after)) < 0.8 * np.mean(np.square(before))
    assert 0.75 < np.sqrt(np.mean(np.square(scaled))) < 1.3


def test_terms_without_redundancy_and_restraints_are_left_as_they_claim():
    data = simulated(5, couplings=3.0)

    @jn.term("one", sigma=0.001)
    def one(state):
        return state.values["shifts/c"][:1] - 1.3

    prior = jn.Prior("shifts/c[d]", 3.0, 0.5)
    fit = weighted(data["shifts"] + one + prior + 2.0 * data["couplings"])
    left = {of.name: of for of in fit.components.components}
    assert left["one"].factor == 1.0 and left["one"].redundancy < 1.0
    assert left["prior shifts/c[d]"].why == "it is a restraint" and left["couplings"].why == "it was given the weight 2"
    assert left["couplings"].factor == pytest.approx(0.5**0.5) and left["shifts"].estimated
    sentences = [s for s in fit.warnings if "as stated" in s]
    assert len(sentences) == 2 and "'one' are taken as stated: its redundancy, 0.00, is below 1" in sentences[0]


def test_what_makes_no_sense_is_refused():
    data = simulated(5)
    fit = refined(data["shifts"] + data["couplings"].robust())
    assert variance_components(fit)["couplings"].why == "it has a robust loss"
    with pytest.raises(ParameterError, match="robust loss, which does not say"):
        variance_components(fit, ["couplings"])
    with pytest.raises(ParameterError, match="no term is called xrd; the terms are shifts, couplings"):
        variance_components(fit, ["xrd"])
    with pytest.raises(ParameterError, match="weights is 'gof'; expected 'variance-components'"):
        refined(data["shifts"], weights="gof")
