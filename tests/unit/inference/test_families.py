"""Families of linear observations with normal noise have evidences that are known exactly: what is learned is held against them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

import jaxnmr as jn
from jaxnmr.inference import (
    BoxPrior,
    Families,
    NoiseLevel,
    Parameter,
    Problem,
    Recipe,
    echo_problem,
    echo_recipe,
    fit_families,
    simulate_bank,
    told_apart,
)
from jaxnmr.nmr.echo import EchoExperiment, Kernel, PulseSequence, SpinEnsemble

NUMBERS = 6
_RNG = np.random.default_rng(8)
SPREADS = np.array([0.6, 0.4, 0.3, 0.2, 0.05, 0.05])
# two families that a curve may tell apart, and one that is the same as the first
SENSES = {"one": _RNG.standard_normal(NUMBERS) * 0.4, "other": _RNG.standard_normal(NUMBERS) * 0.4}
SENSES["twin"] = SENSES["one"]


def problem(name):
    def simulate(key, theta):
        return jnp.asarray(SPREADS, jnp.float32) * jax.random.normal(key, (NUMBERS,)) + theta[0] * SENSES[name]

    return Problem(name, BoxPrior([Parameter("a", -2.0, 2.0)]), simulate, NUMBERS)


PROBLEMS = [problem(name) for name in SENSES]
WHOLE = ((0.0,),) * 4
RECIPE = Recipe(
    levels=(NoiseLevel(0.01, WHOLE, WHOLE, rank=6), NoiseLevel(0.2, WHOLE, WHOLE, rank=6)), components=6, squared=6, hidden=(32, 32),
    epochs=20, batch=128, redraws=2, rate=3e-3, largest_sigma=0.2,
)  # fmt: skip


def exact(x: np.ndarray, sigma: float) -> np.ndarray:
    """Logarithm of the evidence of each family by a sum over a fine grid of its parameter, and by Bayes' rule the probabilities."""
    a = (np.arange(400) + 0.5) / 100.0 - 2.0
    width = np.sqrt(SPREADS**2 + sigma**2)
    logs = []
    for sense in SENSES.values():
        apart = (x[:, None, :] - a[:, None] * sense) / width
        each = -0.5 * (apart**2).sum(axis=2)
        logs.append(np.log(np.exp(each - each.max(axis=1, keepdims=True)).mean(axis=1)) + each.max(axis=1))
    return np.exp(log_softmax(np.stack(logs, axis=1), axis=1))


def noisy(bank, sigma):
    return bank.curves + sigma * np.random.default_rng(5).standard_normal(bank.curves.shape).astype(np.float32)


@pytest.fixture(scope="module")
def families() -> Families:
    return fit_families(PROBLEMS, [simulate_bank(p, 4000, seed=k) for k, p in enumerate(PROBLEMS)], RECIPE)


@pytest.fixture(scope="module")
def fresh():
    return [simulate_bank(p, 1000, seed=10 + k) for k, p in enumerate(PROBLEMS)]


@pytest.mark.parametrize("sigma", [0.01, 0.2])
def test_probabilities_are_the_ratios_of_evidences(families, fresh, sigma):
    x = np.concatenate([noisy(bank, sigma) for bank in fresh])
    found, true = families.probabilities(x, sigma=sigma), exact(x.astype(float), sigma)
    assert true[:, 1].max() > 0.95 and true[:, 1].min() < 0.05
    assert np.sqrt(((found - true) ** 2).mean()) < 0.05


def test_families_that_are_the_same_share(families, fresh):
    found = families.probabilities(fresh[0].curves, sigma=0.0)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert np.sqrt(((found[:, 0] - found[:, 2]) ** 2).mean()) < 0.08


def test_what_is_said_with_a_probability_is_true_as_often(families, fresh):
    told = told_apart(families.names, [families.probabilities(noisy(bank, 0.01), sigma=0.01) for bank in fresh])
    some = told.counts > 100
    # four standard deviations
    bars = 4.0 * np.sqrt(told.said * (1.0 - told.said) / np.maximum(told.counts, 1))
    assert some.sum() >= 5 and (np.abs(told.said - told.right)[some] < bars[some] + 0.02).all()
    assert told.log_loss < 0.8 * np.log(3.0)


def test_counts_of_probabilities_are_those_by_hand():
    told = told_apart(("a", "b"), [np.array([[0.95, 0.05], [0.35, 0.65]]), np.array([[0.35, 0.65]])])
    np.testing.assert_array_equal(told.confusion, [[1, 1], [0, 1]])
    assert told.accuracy == pytest.approx(2 / 3)
    np.testing.assert_array_equal(told.counts, [1, 0, 0, 2, 0, 0, 2, 0, 0, 1])
    np.testing.assert_allclose(told.right[[0, 3, 6, 9]], [0.0, 0.5, 0.5, 1.0])
    assert told.log_loss == pytest.approx(-np.log([0.95, 0.35, 0.65]).mean())
    with pytest.raises(jn.errors.ShapeError, match=r"expected \(n, 2\)"):
        told_apart(("a", "b"), [np.ones((3, 2))])


def test_saved_families_say_the_same(families, fresh, tmp_path):
    again = Families.load(families.save(tmp_path / "families.safetensors"))
    one, other = (f.probabilities(fresh[1].curves[:40], sigma=0.01) for f in (families, again))
    np.testing.assert_allclose(one, other, atol=1e-4)
    assert again.names == ("one", "other", "twin") and again.card["simulations"] == 4000
    with pytest.raises(jn.errors.ConventionError, match="knows noise from 0 to"):
        again.probabilities(fresh[1].curves[:40], sigma=0.5)
    with pytest.raises(jn.errors.ParseError, match="is no posterior, or damaged"):
        jn.inference.Posterior.load(tmp_path / "families.safetensors")
    with pytest.raises(jn.errors.ParameterError, match="expected two or more"):
        fit_families(PROBLEMS[:1], fresh[:1], RECIPE)


def test_cells_of_a_coupling_are_those_of_its_field():
    """Of a Gaussian, against a sum by hand over the neighbours of a spin on a small lattice."""
    ensemble = SpinEnsemble((5, 4), kernel=Kernel("gaussian", normalised=False))
    experiment = EchoExperiment(ensemble=ensemble, sequence=PulseSequence.hahn(3, 6, dt=2.0))
    world = echo_problem(experiment, {"alpha": (0.0, 0.02), "xi": (0.5, 2.5), "d": (3.0, 6.0)}, name="small")
    field, count = world.derive(np.array([[0.01, 1.3, 4.0]]))[0]
    weights = np.array([np.exp(-(x * x + y * y) / 1.69) for x in (0, 1, 2, -2, -1) for y in (0, 1, 2, -1)][1:])
    assert field == pytest.approx(0.01 * weights.sum(), rel=1e-5)
    assert count == pytest.approx(np.log(weights.sum() ** 2 / (weights**2).sum()), rel=1e-5)
    recipe = echo_recipe(world, simulations=2000)
    assert [len(k) for k in recipe.levels[0].second] == [1, 1, 1, 8, 2]
    assert 0.0 < recipe.levels[0].second[3][0] < recipe.levels[0].second[3][-1] < 0.02 * 19
