"""What terms show of themselves: observed and calculated values of every kind, in reports and files."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_problems import monoclinic

import jaxnmr as jn
from jaxnmr.errors import ParameterError
from jaxnmr.objective.evidence import Axis, Derived, Profile, Rows, residual_rows, rows_of, uncertainties
from jaxnmr.objective.statistics import weighted_factor
from jaxnmr.report import write_report
from jaxnmr.terms import CouplingTerm
from jaxnmr.terms.pattern_evidence import PatternEvidence
from jaxnmr.terms.quantification import Content


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def chain() -> jn.Crystal:
    """One C, one N and one H in a large cell without symmetry."""
    return jn.Crystal.create(
        cell=[20, 20, 20, 90, 90, 90], spacegroup="P 1", species=["C", "N", "H"],
        xyz=[[0, 0, 0], [1.5 / 20, 0, 0], [0, 2 / 20, 0]], name="chain",
    )  # fmt: skip


@jn.term("angle", sigma=0.5)
def angle(state):
    """An opinion on the angle at C."""
    atoms = jn.crystal.plan_triplets(chain(), [("N1", "C1", "H1")])
    return jn.crystal.angles(state.crystal, atoms) - 91.0


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evidence")
    with jax.enable_x64(True):
        crystal = chain()
        couplings = CouplingTerm.dipolar(crystal, ("13C", "15N"), [("C1", "N1")], [900.0], sigma=5.0)
        bond = jn.Restraint.bond(crystal, ("C1", "H1"), 2.1, 0.01)
        prior = jn.Prior("u_iso[N1]", 0.02, 0.001)
        objective = jn.Objective(couplings + 2.0 * angle + bond + prior, crystal=crystal)
        params = objective.parameters().free("xyz[N1.x]", "xyz[H1]", "u_iso[N1]")
        params = params.fix("xyz[H1.z]")
        fit = jn.refine(objective, params)
        write_report(fit, folder)
    return fit, (folder / "report.md").read_text(encoding="utf-8"), json.loads((folder / "result.json").read_text())


def test_couplings_and_functions_show_observed_and_calculated_values(reported):
    fit, text, _ = reported
    assert fit.converged
    assert "## dipolar: dipolar couplings" in text
    assert "| C1–N1 | d / Hz | 900.0 | 900.0 | 0.0 | 5.0 | 0.0 |" in text
    assert "| dipolar | calibration | d = 1 d_calc, not refined |" in text
    assert "## angle: other data" in text and "| 1 | residual | 0.00 | 0.00 | 0.00 | 0.50 |" in text
    assert "| angle | weight | 2 |" in text


def test_restraints_and_priors_are_shown_but_do_not_count_as_measured(reported):
    fit, text, record = reported
    assert "| C1–H1 | d / Å | 2.100 | 2.100 | 0.000 | 0.010 |" in text
    assert "| u_iso[N1] | value | 0.0200 | 0.0200 |" in text
    assert (fit.n_observations, fit.n_restraints) == (2, 2)
    terms = record["result"]["terms"]
    assert {name: of["measured"] for name, of in terms.items()} == {
        "dipolar": True, "angle": True, "bond C1-H1": False, "prior u_iso[N1]": False,
    }  # fmt: skip
    assert terms["dipolar"]["rows"][0]["observed"] == 900.0


def test_chi_squared_is_that_of_the_rows(reported):
    fit, _, _ = reported
    for name, shown in fit.evidence.items():
        assert sum(row.relative**2 for row in shown.rows) == pytest.approx(fit.statistics[name].chi2, abs=1e-12)


def test_any_term_shows_its_residuals():
    objective = jn.Objective(angle, crystal=chain())
    state = objective.state(objective.parameters().values)
    shown = jn.Term.evidence(angle, state)
    np.testing.assert_allclose([row.calculated for row in shown.rows], angle.residuals(state))
    assert {row.sigma for row in shown.rows} == {1.0} and shown.measured


def test_a_prior_names_each_of_its_parameters():
    objective = jn.Objective(jn.Prior("u_iso", 0.01, 0.002), crystal=monoclinic())
    (term,) = objective.terms
    shown = term.evidence(objective.state(objective.parameters().values))
    crystal = monoclinic()
    assert [row.label for row in shown.rows] == [
        f"u_iso[{label}]" for label, moved in zip(crystal.labels, crystal.anisotropic, strict=True) if not moved
    ]


def test_equal_uncertainties_are_said_together():
    rows = (*rows_of("ab", "δ", "ppm", 1.0, 0.0, 0.5), *rows_of("ab", "Ω", "ppm", 1.0, 0.0, [0.5, 2.0], 0.5))
    assert uncertainties(rows) == (("σ of δ / ppm", "0.5"), ("σ of Ω / ppm", "0.5; 0.5 to 2 with that of the model"))


def test_of_very_many_rows_those_that_differ_most_are_shown():
    values = np.linspace(-1.0, 3.0, 250)
    (table,) = Rows(name="many", what="other data", rows=residual_rows(values, 1.0)).tables()
    assert len(table.rows) == 100 and table.rows[-1][0] == "250" and "150 more" in table.tail
    shown = sorted(abs(values[int(row[0]) - 1]) for row in table.rows)
    assert shown[0] >= np.sort(np.abs(values))[150]


def test_the_uncertainty_of_what_is_derived_follows_from_the_covariance():
    covariance = np.array([[4.0, 1.0, 0.0], [1.0, 9.0, 0.0], [0.0, 0.0, 1.0]])
    of = Derived("Na1", "sum", "", 0.0, {"c": 2.0, "a": 1.0})
    assert of.esd({"a": 0, "b": 1, "c": 2}, covariance) == pytest.approx(np.sqrt(4.0 + 4.0))


def test_weight_fractions_add_up_to_one_and_change_as_their_slopes_say():
    amounts = {"a": (2.0, 100.0), "b": (1.0, 300.0), "c": (0.5, 50.0)}
    one = lambda of: {"volume": 1.0, "elements": ("C",), "weights": np.array([of]), "occupancy": np.ones(1)}
    contents = {
        phase: Content(scale=s, labels=(f"{phase}/occupancy[C1]",), absorption=np.zeros(1), **one(m))
        for phase, (s, m) in amounts.items()
    }
    mass = np.array([s * m for s, m in amounts.values()])
    shown = PatternEvidence(
        name="xrd", what="", axis=None, observed=None, sigma=None, calculated=None, baseline=None, reflections={},
        contents=contents,
    )  # fmt: skip
    *derived, carbon = shown.derived()
    assert carbon.value == pytest.approx(100.0)
    np.testing.assert_allclose([of.value for of in derived], 100.0 * mass / mass.sum())
    for phase, (scale, m) in amounts.items():
        step = 1e-6 * scale
        moved = {**amounts, phase: (scale + step, m)}
        after = np.array([s * m for s, m in moved.values()])
        slopes = [of.slopes[f"xrd/scale[{phase}]"] for of in derived]
        np.testing.assert_allclose(slopes, 100.0 * (after / after.sum() - mass / mass.sum()) / step, rtol=1e-4)


TIMES = np.linspace(0.0, 4.0, 41)


class Decay(jn.Term):
    """A decay that nobody in the package knows of."""

    observed: np.ndarray
    name: str = jn.static()

    def quantities(self, crystals):
        return {"rate": jn.Quantity(value=np.array(1.5), unit="1/s", lower=0.0)}

    def calculated(self, state):
        return 10.0 * jnp.exp(-state.local(self.name)["rate"] * TIMES)

    def residuals(self, state):
        return (self.calculated(state) - self.observed) / 0.1

    def evidence(self, state):
        none = np.zeros_like(TIMES)
        return Profile(
            name=self.name, what="decay", conditions=(("rate", "{decay/rate} per s"),), axis=Axis(TIMES, "time", "s"),
            observed=self.observed, sigma=none + 0.1, calculated=np.asarray(self.calculated(state)), baseline=none,
        )  # fmt: skip

    def agreement(self, chi2):
        return {"Rw": weighted_factor(chi2, self.observed, 0.1)}


def test_a_curve_of_ones_own_is_drawn_listed_and_followed_like_any_other(tmp_path):
    noise = np.random.default_rng(1).normal(0.0, 0.1, TIMES.size)
    objective = jn.Objective(Decay(observed=10.0 * np.exp(-TIMES) + noise, name="decay"))
    fit = jn.refine(objective, objective.parameters().free("decay/rate"))
    s = fit.statistics["decay"]
    assert 0.7 < s.gof < 1.3 and fit.steps[-1].agreement()[0] == ("decay", "Rw", pytest.approx(s.rw, rel=1e-3))
    # uncertainties are scaled by the goodness of fit, as those of spectra
    slope = np.asarray(objective.jacobian(fit.parameters))[:, 0]
    assert float(fit.esds["decay/rate"]) == pytest.approx(s.gof / np.linalg.norm(slope), rel=0.02)
    written = write_report(fit, tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "![picture of decay](curve_decay.png)" in text and "| curve | points | Rw / % | GoF |" in text
    assert re.search(r"\| decay \| rate \| \d\.\d+\(\d+\) per s \|", text)
    table = np.genfromtxt(written["curve decay"], delimiter=",", names=True)
    np.testing.assert_allclose(table["observed"] - table["calculated"], table["difference"], atol=1e-6)
    assert (tmp_path / "curve_decay.png").stat().st_size > 5000
    line = jn.plot.curve(fit).axes[0].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), TIMES)
    with pytest.raises(ParameterError, match="no curve 'echo'"):
        jn.plot.curve(fit, "echo")
