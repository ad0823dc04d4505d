"""Posteriors of linear observations with normal noise are known exactly: what is learned is held against them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnmr as jn
from jaxnmr.inference import (
    BoxPrior,
    Inferred,
    NoiseLevel,
    Parameter,
    Posterior,
    Problem,
    Recipe,
    coverage,
    fit_posterior,
    score,
    simulate_bank,
)

# the observation: two parameters seen through random directions of which four are loud, one more that does not matter
PRIOR = BoxPrior([Parameter("a", -1.0, 1.0), Parameter("mute", 0.0, 5.0, determined=False), Parameter("b", 2.0, 4.0)])
NUMBERS = 12
_RNG = np.random.default_rng(3)
BASIS = np.linalg.qr(_RNG.standard_normal((NUMBERS, NUMBERS)))[0]
SPREADS = np.array([1.0, 0.5, 0.3, 0.2] + [1e-3] * 8)
SENSES = _RNG.standard_normal((NUMBERS, 2)) * 0.02


def simulate(key, theta):
    loud = jnp.asarray(BASIS * SPREADS, jnp.float32) @ jax.random.normal(key, (NUMBERS,))
    return loud + jnp.asarray(SENSES, jnp.float32) @ jnp.stack([theta[0], theta[2] - 3.0])


PROBLEM = Problem("toy", PRIOR, simulate, NUMBERS)
WHOLE = ((0.0,), (3.0,))
RECIPE = Recipe(
    levels=(NoiseLevel(0.0, WHOLE, WHOLE), NoiseLevel(0.005, WHOLE, WHOLE), NoiseLevel(0.03, WHOLE, WHOLE)),
    components=12, squared=2, hidden=(32, 32), mixture=3, epochs=30, batch=128, redraws=3, held_out=0.5, largest_sigma=0.03,
)  # fmt: skip


def exact_posterior(x: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of a and b on a grid, by Bayes' rule and nothing else."""
    precision = np.linalg.inv(BASIS @ np.diag(SPREADS**2) @ BASIS.T + sigma**2 * np.eye(NUMBERS))
    line = (np.arange(91) + 0.5) / 91 * 2.0 - 1.0
    a, b = (g.ravel() for g in np.meshgrid(line, line, indexing="ij"))
    apart = x[:, None, :] - np.stack([a, b], axis=1) @ SENSES.T
    log = -0.5 * np.einsum("ngi,ij,ngj->ng", apart, precision, apart)
    weight = np.exp(log - log.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    moments = [(weight @ g, weight @ g**2) for g in (a, b)]
    mean = np.stack([m for m, _ in moments], axis=1)
    return mean + np.array([0.0, 3.0]), np.sqrt(np.stack([s - m**2 for m, s in moments], axis=1))


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    return fit_posterior(PROBLEM, simulate_bank(PROBLEM, 6000, seed=1), RECIPE)


@pytest.fixture(scope="module")
def fresh():
    return simulate_bank(PROBLEM, 3000, seed=2)


def noisy(bank, sigma):
    return bank.curves + sigma * np.random.default_rng(5).standard_normal(bank.curves.shape).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.0, 0.005, 0.03])
def test_means_and_widths_are_those_of_bayes_rule_at_every_level_of_noise(posterior, fresh, sigma):
    x = noisy(fresh, sigma)[:40]
    mean, sd = exact_posterior(x.astype(float), sigma)
    found = posterior.infer(x, sigma=sigma)
    assert found.names == ("a", "b")
    assert np.sqrt((((found.mean - mean) / sd) ** 2).mean()) < 0.2
    np.testing.assert_allclose(found.sd.mean(axis=0), sd.mean(axis=0), rtol=0.1)


@pytest.mark.parametrize("sigma", [0.0, 0.01, 0.03])
def test_intervals_hold_the_truth_as_often_as_they_say(posterior, fresh, sigma):
    found = posterior.infer(noisy(fresh, sigma), sigma=sigma)
    held = coverage(found, fresh.parameters)
    # four standard deviations of 3,000 draws; between two levels of noise intervals may be too wide, never too narrow
    assert (held.observed.T > [0.68 - 0.034, 0.95 - 0.016]).all()
    assert sigma == 0.01 or (held.observed.T < [0.68 + 0.034, 0.95 + 0.016]).all()
    low, high = found.interval(0.68)
    inside = (low < fresh.parameters[:, [0, 2]]) & (fresh.parameters[:, [0, 2]] < high)
    np.testing.assert_allclose(inside.mean(axis=0), held.observed[0], atol=2e-3)


def test_density_samples_and_quantiles_are_of_one_distribution(posterior, fresh):
    line = (np.arange(100) + 0.5) / 100
    a, b = (g.ravel() for g in np.meshgrid(-1.0 + 2.0 * line, 2.0 + 2.0 * line, indexing="ij"))
    # densities of the coordinates have steep flanks at the edges of the box, where a grid of θ is too coarse
    middle = np.abs(fresh.parameters[:, [0, 2]] - [0.0, 3.0]).max(axis=1).argsort()[:4]
    found = posterior.infer(fresh.curves[middle], sigma=0.0)
    of_first = jax.tree.map(lambda of: jnp.repeat(of[:1], len(a), axis=0), (found.mixture, found.centre, found.scale))
    density = np.exp(Inferred(PRIOR, *of_first).log_density(np.stack([a, b], axis=1)))
    assert density.mean() * 4.0 == pytest.approx(1.0, abs=0.01)
    np.testing.assert_allclose(
        [(density * a).mean() * 4.0, (density * b).mean() * 4.0], found.mean[0], atol=0.02 * found.sd[0].max() + 1e-3
    )
    samples = found.draw(4000)
    assert samples.shape == (4000, 4, 3)
    np.testing.assert_allclose(samples[:, :, [0, 2]].mean(axis=0), found.mean, atol=6.0 * found.sd.max() / 4000**0.5)
    np.testing.assert_allclose(
        (samples[:, :, [0, 2]] < found.quantile(0.3)).mean(axis=0), 0.3, atol=4.0 * (0.21 / 4000) ** 0.5
    )


def test_what_is_not_determined_is_named_and_keeps_its_prior(posterior, fresh):
    found = posterior.infer(fresh.curves[:3], sigma=0.0)
    assert found.undetermined == ("mute",)
    assert found.mean.shape == (3, 2)
    mute = found.draw(3000, seed=1)[:, 0, 1]
    assert abs(mute.mean() - 2.5) < 0.11 and abs(mute.std() - 5.0 / 12.0**0.5) < 0.06


def test_the_score_counts_undetermined_parameters_as_their_prior(posterior, fresh):
    r2, error = score(posterior.infer(fresh.curves, sigma=0.0), fresh.parameters)
    assert error == pytest.approx(500.0 / 12.0 * (1.0 + (1.0 - r2).sum()))
    assert (r2 > 0.9).all()


def test_a_saved_posterior_says_the_same(posterior, fresh, tmp_path):
    again = Posterior.load(posterior.save(tmp_path / "toy.safetensors"))
    one, other = (p.infer(fresh.curves[:20], sigma=0.01) for p in (posterior, again))
    np.testing.assert_allclose(one.mean, other.mean, atol=1e-4)
    assert again.card["simulations"] == 6000 and again.prior == PRIOR


def test_wrong_observations_are_refused_by_name(posterior):
    with pytest.raises(jn.errors.ShapeError, match="12 numbers"):
        posterior.infer(np.zeros((2, 5)), sigma=0.0)
    with pytest.raises(jn.errors.DataError, match="observation 1 has numbers that are not finite"):
        posterior.infer(np.array([[0.0] * 12, [np.nan] * 12]), sigma=0.0)
    with pytest.raises(jn.errors.ConventionError, match=r"from 0 to 0\.03"):
        posterior.infer(np.zeros((2, 12)), sigma=0.1)


def test_an_interrupted_training_ends_as_one_that_was_not(tmp_path):
    bank = simulate_bank(PROBLEM, 600, seed=4)
    recipe = Recipe(
        levels=RECIPE.levels[:1], components=6, squared=2, hidden=(16,), mixture=2, epochs=4, batch=64, redraws=2,
        held_out=0.5, largest_sigma=0.03,
    )  # fmt: skip
    whole = fit_posterior(PROBLEM, bank, recipe, folder=tmp_path / "whole")

    def stop(epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_posterior(PROBLEM, bank, recipe, folder=tmp_path / "parts", progress=stop)
    epochs = []
    parts = fit_posterior(PROBLEM, bank, recipe, folder=tmp_path / "parts", progress=epochs.append)
    assert [e.epoch for e in epochs] == [3, 4]
    one, other = (p.infer(bank.curves[:20], sigma=0.0).mean for p in (whole, parts))
    np.testing.assert_allclose(one, other, atol=1e-4)
    with pytest.raises(jn.errors.DataError, match="another bank or recipe"):
        fit_posterior(PROBLEM, bank.part(1), recipe, folder=tmp_path / "parts")
