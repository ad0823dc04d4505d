"""One observation at a time: regression on fresh simulations in a box around what is known of its parameters."""

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

# half the box in standard deviations; of its prior no less than this part
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
    """The posterior of each observation by simulations made for it alone (host).

    In a box around the start, 3 standard deviations to either side, and inside the prior, parameters are drawn evenly; summaries
    and their errors come from `LocalRegression`, the posterior is their likelihood times the prior in the box. Without a trained
    posterior the first box is the whole prior, and the next ones lie around what was found.

    Args:
        problem: what to simulate.
        observations: ``(n, numbers)``, or ``(numbers,)`` of one.
        start: what is known of them, as a trained posterior says; ``None`` for nothing.
        sigma: standard deviation of the white noise on each number.
        simulations: in each box; they are what it costs.
        rounds: boxes one after the other; unless given 1 around a start, and 4 without.
        seed: of the simulations.

    Returns:
        one normal distribution for each, in the coordinates in which the prior is a standard normal.

    Raises:
        ShapeError: another number of numbers, or of starts.
        ParameterError: no rounds, negative noise.
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
    """Ends ``(k,)`` of the box around a start, of determined parameters; the prior without one."""
    low, width = prior.determined.low, prior.determined.width
    if start is None:
        return low, low + width
    mean, half = start.mean[which], np.maximum(_WIDE * start.sd[which], _LEAST * width)
    return np.maximum(mean - half, low), np.minimum(mean + half, low + width)


def simulate_box(problem: Problem, low: np.ndarray, high: np.ndarray, count: int, *, seed: int) -> Bank:
    """Simulations with determined parameters evenly in a box, and others from their prior."""
    prior, rng = problem.prior, np.random.default_rng(seed)
    theta = prior.low + prior.width * rng.uniform(size=(count, len(prior.parameters)))
    theta[:, list(prior.indices)] = rng.uniform(low, high, (count, len(low)))
    return simulate_bank(problem, count, seed=seed, parameters=theta)


def inferred_in_box(
    prior: BoxPrior, bank: Bank, observation: np.ndarray, low: np.ndarray, high: np.ndarray, *, sigma: float
) -> Inferred:
    """The posterior of one observation by the simulations of a box.

    Args:
        prior: of all parameters.
        bank: as of `simulate_box`.
        observation: ``(numbers,)``.
        low, high: of the box.
        sigma: noise of the observation.
    """
    own = prior.determined
    ends = own.summaries(np.stack([low, high]))
    summaries = own.summaries(bank.parameters[:, list(prior.indices)])
    local = LocalRegression.fit(bank.curves, summaries, ends.min(axis=0), ends.max(axis=0), sigma=sigma)
    theta = np.random.default_rng(0).uniform(low, high, (_CANDIDATES, len(low)))
    chi2 = local.chi2(own.summaries(theta), local.summaries(observation))
    # too few candidates in a narrow peak: a wider one is honest, and the next box is around it
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
