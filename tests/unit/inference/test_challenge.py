"""The posterior of the spin-echo challenge that comes with the package, on a few fresh curves by the simulator."""

import numpy as np
import pytest

from jaxnmr.inference import Posterior, challenge_problem, coverage, score, simulate_bank


@pytest.fixture(scope="module")
def fresh():
    return simulate_bank(challenge_problem(), 96, seed=77)


@pytest.fixture(scope="module")
def posterior():
    return Posterior.load("spin-echo-challenge")


@pytest.mark.parametrize(("sigma", "most"), [(0.0, 44.0), (1e-4, 50.0), (1e-3, 54.5)])
def test_the_score_is_that_of_the_card(posterior, fresh, sigma, most):
    """The card's numbers are of 6,000 curves; of 96 the error scatters by four."""
    x = fresh.curves + sigma * np.random.default_rng(1).standard_normal(fresh.curves.shape).astype(np.float32)
    found = posterior.infer(x, sigma=sigma)
    _, error = score(found, fresh.parameters)
    said = posterior.card["scores"][f"{sigma:g}"]
    assert said["error_per_500"] < most
    assert abs(error - said["error_per_500"]) < 8.5
    # four standard deviations of 96 draws
    np.testing.assert_allclose(coverage(found, fresh.parameters).observed[0], 0.68, atol=0.19)


def test_the_length_of_a_normalised_power_law_is_never_estimated(posterior, fresh):
    found = posterior.infer(fresh.curves[:5], sigma=0.0)
    assert found.undetermined == ("xi",) and found.names == ("alpha", "p", "d")
    xi = found.draw(2000)[:, 0, 1]
    assert abs(xi.mean() - 10.0) < 0.6 and abs(xi.std() - 20.0 / 12.0**0.5) < 0.4


def test_the_posterior_that_is_shipped_is_small(posterior):
    from jaxnmr.inference.files import SHIPPED

    assert (SHIPPED / "spin-echo-challenge.safetensors").stat().st_size < 3_000_000
    assert posterior.numbers == 942
