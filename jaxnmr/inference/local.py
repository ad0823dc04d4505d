"""Local inference for single observations: regression on new simulations in a box around the current estimate."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from .._arguments import checked
from .._local import LocalRegression
from ..errors import ParameterError, ShapeError
from .density import Mixture
from .inferred import Inferred, joined
from .prior import BoxPrior
from .problem import Bank, Problem, simulate_bank

# half the box in standard deviations; at least this fraction of the prior width
_WIDE, _LEAST = 3.0, 0.01
_CANDIDATES, _ENOUGH = 16384, 100.0


@checked
def refine_locally(
    problem: Problem,
    observations: np.ndarray,
    start: Inferred | None = None,
    *,
    sigma: float,
    simulations: int = 512,
    rounds: int | None = None,
    seed: int = 0,
) -> Inferred:
    """Return the posterior of each observation from simulations made for it alone (host).

    Parameters are drawn uniformly in a box of 3 standard deviations to either side of the start, within the prior;
    summaries and their errors come from `LocalRegression`, and the posterior is their likelihood times the prior in the
    box. Without a trained posterior the first box is the whole prior, and the following ones are centred on the
    previous result.

    Args:
        problem: problem to simulate.
        observations: ``(n, numbers)``, or ``(numbers,)`` for a single one.
        start: current posterior, from a trained one for example; ``None`` for the prior.
        sigma: standard deviation of the white noise on each number.
        simulations: number of simulations per box, which determines the cost.
        rounds: number of consecutive boxes; by default 1 with a start, and 4 without.
        seed: seed of the simulations.

    Returns:
        One normal distribution for each, in the coordinates in which the prior is a standard normal.

    Raises:
        ShapeError: observations have the wrong length, or the number of starts is wrong.
        ParameterError: there are no rounds, or noise is negative.
    """
    x = np.atleast_2d(np.asarray(observations, float))
    if x.ndim != 2 or x.shape[1] != problem.numbers or (start is not None and len(start) != len(x)):
        raise ShapeError(
            f"observations have the shape {np.shape(observations)}, with {'no start' if start is None else f'{len(start)} starts'}; "
            f"{problem.name} has {problem.numbers} numbers each"
        )
    rounds = (4 if start is None else 1) if rounds is None else rounds
    if rounds < 1 or not sigma >= 0.0:
        raise ParameterError(f"{rounds} rounds with noise of {sigma:g}; expected 1 or more, and 0 or more")
    for number in range(rounds):
        found = []
        for k, one in enumerate(x):
            low, high = prior_box(problem.prior, start, k)
            bank = simulate_box(problem, low, high, simulations, seed=seed + number)
            found.append(inferred_in_box(problem.prior, bank, one, low, high, sigma=sigma))
        start = joined(found)
    assert start is not None
    return start


def prior_box(prior: BoxPrior, start: Inferred | None, which: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends ``(k,)`` of the box around a start, for determined parameters; the prior without a start."""
    low, width = prior.determined.low, prior.determined.width
    if start is None:
        return low, low + width
    mean, half = start.mean[which], np.maximum(_WIDE * start.sd[which], _LEAST * width)
    return np.maximum(mean - half, low), np.minimum(mean + half, low + width)


def simulate_box(problem: Problem, low: np.ndarray, high: np.ndarray, count: int, *, seed: int) -> Bank:
    """Simulate with determined parameters uniform in a box, and others from their prior."""
    prior, rng = problem.prior, np.random.default_rng(seed)
    theta = prior.low + prior.width * rng.uniform(size=(count, len(prior.parameters)))
    theta[:, list(prior.indices)] = rng.uniform(low, high, (count, len(low)))
    return simulate_bank(problem, count, seed=seed, parameters=theta)


def inferred_in_box(
    prior: BoxPrior, bank: Bank, observation: np.ndarray, low: np.ndarray, high: np.ndarray, *, sigma: float
) -> Inferred:
    """Return the posterior of one observation from the simulations of a box.

    Args:
        prior: prior of all parameters.
        bank: simulations by `simulate_box`.
        observation: ``(numbers,)``.
        low, high: ends of the box.
        sigma: noise of the observation.
    """
    own = prior.determined
    ends = own.summaries(np.stack([low, high]))
    summaries = own.summaries(bank.parameters[:, list(prior.indices)])
    local = LocalRegression.fit(bank.curves, summaries, ends.min(axis=0), ends.max(axis=0), sigma=sigma)
    theta = np.random.default_rng(0).uniform(low, high, (_CANDIDATES, len(low)))
    chi2 = local.chi2(own.summaries(theta), local.summaries(observation))
    # too few candidates in a narrow peak: broaden it, the next box will be centred on it
    for temper in 0.5 ** np.arange(30):
        weight = np.exp(-0.5 * temper * (chi2 - chi2.min()))
        if weight.sum() ** 2 / (weight**2).sum() >= _ENOUGH:
            break
    weight /= weight.sum()
    u = np.asarray(own.to_normal(theta), float)
    centre = weight @ u
    covariance = (weight[:, None] * (u - centre)).T @ (u - centre)
    scale = np.sqrt(np.diag(covariance))
    factor = np.linalg.cholesky(covariance / np.outer(scale, scale))
    mixture = Mixture(jnp.zeros((1, 1)), jnp.zeros((1, 1, len(low))), jnp.asarray(factor)[None, None])
    return Inferred(prior, mixture, jnp.asarray(centre)[None], jnp.asarray(scale)[None])
