"""An echo curve in a refinement: what it tells is found within its uncertainty, what it cannot tell is named."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.errors import DataError, ParameterError
from jaxnmr.nmr.echo import (
    DrawCovariance,
    Echo,
    EchoExperiment,
    EchoParameters,
    Kernel,
    PulseSequence,
    SpinEnsemble,
    as_real,
    simulate,
)

EXPERIMENT = EchoExperiment(ensemble=SpinEnsemble((8, 8)), sequence=PulseSequence.hahn(16, 32, dt=4.0))
TRUTH = {"alpha": 0.16, "p": 2.6, "gamma": 1.2e-3}
NOISE = 2e-3
# of the best linear estimator, by `jaxnmr.refinement.echo_knowledge` from 800 curves and 96 draws of derivatives
LIMITS = {"alpha": 0.0055, "gamma": 0.00042}


def measured(seed):
    clean = np.asarray(simulate(EXPERIMENT, EchoParameters(**TRUTH), jax.random.key(seed)))
    rng = np.random.default_rng(seed)
    return Echo(clean + NOISE * (rng.normal(size=clean.shape) + 1j * rng.normal(size=clean.shape)))


@pytest.fixture(scope="module")
def fit():
    start = {"alpha": 0.12, "p": 2.6, "gamma": 8e-4, "xi": 7.0}
    term = jn.EchoTerm(measured(3), EXPERIMENT, noise=NOISE, start=start, draws=240, mean_of=64)
    objective = jn.Objective(term)
    free = objective.parameters().free("echo/alpha", "echo/gamma", "echo/xi")
    return jn.refine(objective, free, suggest=False)


def test_coupling_and_relaxation_are_found_within_their_uncertainties(fit):
    assert fit.converged
    for name in ("alpha", "gamma"):
        value, esd = float(fit.parameters.values[f"echo/{name}"]), float(fit.esds[f"echo/{name}"])
        assert abs(value - TRUTH[name]) < 3.5 * esd, name
        # some simulations are spent on finding the estimator
        assert 0.8 < esd / LIMITS[name] < 1.8, name
    # as many summaries as parameters, which a minimum fits exactly
    assert fit.statistics["echo"].n_observations == 3 and fit.statistics["echo"].chi2 < 1e-6


def test_uncertainties_are_those_of_other_curves(fit):
    """Of 200 curves with other frequencies and noise at the same parameters, by the same simulations."""
    local = fit.objective.terms[0].local
    at = np.array([TRUTH["alpha"], TRUTH["gamma"]])
    same = EchoParameters(**{name: jnp.full(200, value) for name, value in TRUTH.items()})
    curves = np.asarray(simulate(EXPERIMENT, same, jax.random.key(11)))
    rng = np.random.default_rng(1)
    numbers = np.asarray(as_real(curves + NOISE * (rng.normal(size=curves.shape) + 1j * rng.normal(size=curves.shape))))
    pulls = np.stack([local.solved(one) - at for one in local.summaries(numbers)]) / local.deviations(at)
    assert np.sqrt(np.mean(pulls**2, axis=0)) == pytest.approx(1.0, abs=0.3)
    assert np.mean(np.abs(pulls) < 2.0) > 0.9


def test_the_length_that_cancels_is_named_and_has_no_uncertainty(fit):
    assert fit.null_directions == ("The data do not determine echo/xi.",)
    assert float(fit.parameters.values["echo/xi"]) == 7.0 and float(fit.esds["echo/xi"]) == 0.0
    assert any("echo/xi changes no curve" in sentence for sentence in fit.warnings)


def test_a_parameter_that_is_less_certain_than_where_curves_were_simulated_is_not_to_be_believed(fit):
    term, state = fit.objective.terms[0], fit.objective.state(fit.parameters.values)
    assert not any("is not told" in sentence for sentence in term.warnings(state))
    for factor, said in ((1e-3, ["echo/alpha", "echo/gamma"]), (0.0, ["echo/alpha", "echo/gamma"])):
        blind = term.replace(local=term.local.replace(whitening=factor * term.local.whitening))
        assert [s.split()[0] for s in blind.warnings(state) if "is not told" in s] == said


def test_the_evidence_holds_the_curve_and_can_be_drawn(fit):
    shown = fit.evidence["echo"]
    assert np.array_equal(shown.observed, measured(3).curves[0]) and len(shown.time_us) == 48
    inside = np.abs((shown.calculated - shown.observed).imag) < 3.5 * (shown.scatter.imag + NOISE)
    assert inside.mean() > 0.95 and shown.scatter.imag.max() > 0.02
    assert len(shown.record()["calculated_imag"]) == 48 and shown.doubts(fit.statistics["echo"]) == ()
    assert 0.3 < shown.misfit < 3.0 and shown.agreement(fit.statistics["echo"])["points"] == 48
    assert "another kernel" in shown.doubts(replace(fit.statistics["echo"], chi2=1e4))[0]
    figure = jn.plot.echo_fit(fit)
    assert len(figure.axes) == 2
    plt.close(figure)


def test_whitened_draws_that_were_not_used_have_unit_variance():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(20, 20)) * np.geomspace(1.0, 1e-3, 20)
    draws = (rng.normal(size=(900, 20)) @ root.T).view(complex)
    others = np.asarray(as_real((rng.normal(size=(900, 20)) @ root.T).view(complex)))
    covariance = DrawCovariance.of(draws)
    white = np.asarray(covariance.whitened(others + 1e-2 * rng.normal(size=others.shape), 1e-2))
    assert np.mean(white**2) == pytest.approx(1.0, abs=0.06)
    assert np.asarray(covariance.total()) == pytest.approx(others.std(axis=0), rel=0.15)


def test_only_weights_that_change_sign_couple_either_way():
    rkky = replace(EXPERIMENT, ensemble=SpinEnsemble((8, 8), kernel=Kernel("rkky", normalised=False)))
    lowest = [jn.EchoTerm(measured(3), of, noise=NOISE).quantities({})["alpha"].lower for of in (rkky, EXPERIMENT)]
    assert lowest == [-np.inf, 0.0]


def test_a_term_that_makes_no_sense_is_refused():
    echo = measured(0)
    with pytest.raises(ParameterError, match="no parameter 'tau'"):
        jn.EchoTerm(echo, EXPERIMENT, noise=NOISE, start={"tau": 1.0})
    with pytest.raises(ParameterError, match="which is 1, and there are 1 curves"):
        jn.EchoTerm(echo, EXPERIMENT, noise=NOISE, which=1)
    with pytest.raises(ParameterError, match="sigma of echo"):
        jn.EchoTerm(echo, EXPERIMENT, noise=0.0)
    with pytest.raises(ParameterError, match="spread of p is -1"):
        jn.EchoTerm(echo, EXPERIMENT, noise=NOISE, spread={"p": -1.0})
    with pytest.raises(ParameterError, match="draws is 20"):
        jn.EchoTerm(echo, EXPERIMENT, noise=NOISE, draws=20)
    with pytest.raises(DataError, match="asked of 3 curves"):
        DrawCovariance.of(np.zeros((3, 5), dtype=complex))
