"""Curves that count as their residuals say, beside an energy: how much, with which uncertainties, and what is said of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr._compilations import watch_compilations
from jaxnmr._struct import set_fields, static
from jaxnmr.errors import ParameterError
from jaxnmr.objective.evidence import Axis, Profile
from jaxnmr.report.record import result_record
from jaxnmr.report.text import report_text
from jaxnmr.typing import Quantity
from jaxnmr.units import format_esd

jn.enable_x64()
# two sites without symmetry, and a baseline
EDGE = 5.0
REST = np.array([[0.2, 0.3, 0.4], [0.7, 0.6, 0.5]])
POINTS, SIGMA, BLOCK, LARGER = 480, 0.1, 4, 2.0
# what neighbours share by fours, and is twice as large as stated, counts like independent errors four times as large
FACTOR = LARGER * np.sqrt(BLOCK)
X = np.linspace(0.0, 1.0, POINTS)
DESIGN = np.cos(np.pi * np.outer(X, np.arange(7)))
STIFFNESS, ERROR = 10.0, 0.002
STAGES = (jn.Stage("curve/baseline", name="baseline"), jn.Stage("xyz", name="atoms"))


class Curve(jn.Term):
    """Linear in the coordinates and a baseline."""

    data: jax.Array
    name: str = static()

    def __init__(self, data, name="curve"):
        set_fields(self, data=np.asarray(data, dtype=float), name=name)

    def quantities(self, crystals):
        return {"baseline": Quantity(value=np.array(0.0))}

    def calculated(self, state):
        return jnp.asarray(DESIGN) @ jnp.append(
            EDGE * jnp.ravel(state.crystal.xyz), state.values[f"{self.name}/baseline"]
        )

    def residuals(self, state):
        return (self.calculated(state) - self.data) / SIGMA

    def evidence(self, state):
        there = np.asarray(self.calculated(state))
        return Profile(
            name=self.name, what="curve", axis=Axis(X, "x", ""), observed=np.asarray(self.data), sigma=np.full(POINTS, SIGMA),
            calculated=there, baseline=np.zeros(POINTS),
        )  # fmt: skip


@jn.source("energy")
def energy(crystal):
    return STIFFNESS * EDGE**2 * jnp.sum((crystal.xyz - REST) ** 2) / 2.0


def simulated(seed: int):
    """A curve with its errors, and the truth behind it, which lies as far from the minimum of the energy as that is wrong."""
    rng = np.random.default_rng(seed)
    truth = REST + np.sqrt(ERROR / STIFFNESS) / EDGE * rng.normal(size=REST.shape)
    noise = LARGER * SIGMA * np.repeat(rng.normal(size=POINTS // BLOCK), BLOCK)
    return Curve(DESIGN @ np.append(EDGE * truth.ravel(), 1.0) + noise), truth


def objective_of(terms):
    crystal = jn.Crystal.create(
        cell=[EDGE, EDGE, EDGE, 90, 90, 90], spacegroup="P 1", species=["Si", "O"], xyz=REST, name="toy"
    )
    return jn.Objective(terms, crystal=crystal, models=energy)


def refined(curve, **options):
    objective = objective_of(curve + jn.EnergyTerm(error_ev=ERROR))
    return jn.refine(objective, objective.parameters(), stages=STAGES, suggest=False, **options)


@pytest.fixture(scope="module")
def fits():
    """Of some curves: the truth, the fit as stated, and the fit in which residuals say how much the curve counts."""
    return [(truth, refined(curve), refined(curve.by_residuals())) for curve, truth in map(simulated, range(16))]


def test_errors_that_neighbours_share_are_seen_in_residuals_as_large_as_they_count(fits):
    factors = np.array([fit.components["curve"].factor for _, _, fit in fits])
    assert factors.mean() == pytest.approx(FACTOR, abs=4.0 * factors.std() / 4.0)
    # that uncertainty is the one of the scatter; SCOR has some of its own
    stated = np.mean([fit.components["curve"].esd for _, _, fit in fits])
    assert 0.6 * stated < factors.std() < 2.5 * stated
    for _, _, fit in fits:
        np.testing.assert_allclose(fit.objective.weights, [fit.components["curve"].factor ** -2, 1.0])


def test_coordinates_come_nearer_to_the_truth_and_their_uncertainties_are_right(fits):
    errors = lambda which: np.array([fits[k][which].crystal.xyz - fits[k][0] for k in range(len(fits))])
    esds = lambda which, kind: np.array([getattr(of[which], kind)["xyz"] for of in fits])
    stated, weighted = errors(1), errors(2)
    assert np.mean(weighted**2) < 0.5 * np.mean(stated**2)
    # 96 coordinates: a spread is known to 7 % and a little more, for those of one fit are correlated
    assert 0.8 < np.sqrt(np.mean((weighted / esds(2, "esds")) ** 2)) < 1.25
    assert np.sqrt(np.mean((stated / esds(1, "esds")) ** 2)) > 1.6, "with the goodness of fit alone"
    np.testing.assert_allclose(esds(2, "esds"), esds(2, "esds_scor"), rtol=1e-12)


def test_the_fit_is_that_of_linear_algebra_with_the_factor(fits):
    curve, _ = simulated(3)
    fit = fits[3][2]
    found = fit.components["curve"]
    whitened = DESIGN / (SIGMA * found.factor)
    known = np.diag([STIFFNESS / ERROR] * 6 + [0.0])
    covariance = np.linalg.inv(whitened.T @ whitened + known)
    target = whitened.T @ (np.asarray(curve.data) / (SIGMA * found.factor)) + known @ np.append(
        EDGE * REST.ravel(), 0.0
    )
    np.testing.assert_allclose(EDGE * np.ravel(fit.crystal.xyz), (covariance @ target)[:6], atol=1e-8)
    # the factor is that of residuals left by this fit, to the part of its uncertainty at which rounds end
    of = fit.statistics["curve"]
    again = of.scor * np.sqrt(of.chi2 / found.redundancy)
    assert again == pytest.approx(found.factor, abs=0.06 * found.esd)
    scale = np.sqrt(np.diag(whitened.T @ whitened) / np.diag(whitened.T @ whitened + known))[:6]
    np.testing.assert_allclose(
        EDGE * np.ravel(fit.esds["xyz"]),
        np.sqrt(np.diag(covariance))[:6],
        rtol=2e-3 * scale.max() + 0.06 * found.esd / found.factor,
    )


def test_no_program_is_compiled_for_it(fits):
    curve, _ = simulated(99)
    with watch_compilations() as watch:
        refined(curve.by_residuals())
    assert watch.programs["descend"] == 0


def test_what_residuals_say_is_in_the_report_and_its_record(fits):
    fit = fits[0][2]
    record = result_record(fit)
    rows = record["result"]["variance_components"]
    assert rows[0]["name"] == "curve" and rows[0]["factor"] == fit.components["curve"].factor
    factor = format_esd(rows[0]["factor"], rows[0]["esd"])
    assert f"uncertainties were multiplied by what the residuals ask for: curve {factor} (" in report_text(fit, record)
    assert [step.step for step in fit.steps] == list(range(1, len(fit.steps) + 1))
    assert not any("as stated" in sentence for sentence in fit.warnings)
    # what is refined further starts from the weights that were found
    again = jn.refine(fit.objective, fit.parameters, suggest=False)
    np.testing.assert_allclose(again.crystal.xyz, fit.crystal.xyz, atol=2e-5)


def test_where_nobody_asks_the_residuals_that_is_said():
    curve, _ = simulated(5)
    objective = objective_of(curve.by_residuals() + jn.EnergyTerm(error_ev=ERROR))
    params = objective.parameters().free("xyz", "curve/baseline")
    (sentence,) = [s for s in jn.refine_starts(objective, [params]).best.warnings if s.startswith("'curve' counts as")]
    assert "uncertainties state, not as its residuals say: jaxnmr.refine finds that weight" in sentence
    knowledge = objective_of(curve + jn.EnergyTerm(error_ev=ERROR).by_residuals())
    fit = jn.refine(knowledge, knowledge.parameters().free("xyz", "curve/baseline"), suggest=False)
    assert fit.components["energy"].factor == 1.0
    assert any("'energy' are taken as stated: it is knowledge" in sentence for sentence in fit.warnings)


def test_a_weight_of_ones_own_and_a_robust_loss_exclude_it():
    curve, _ = simulated(5)
    for made in (
        lambda: 2.0 * curve.by_residuals(),
        lambda: (2.0 * curve).by_residuals(),
        lambda: curve.robust().by_residuals(),
        lambda: curve.by_residuals().robust(),
    ):
        with pytest.raises(
            ParameterError, match=r"'curve' cannot count as its residuals say and have .*: leave one of them out"
        ):
            made()
