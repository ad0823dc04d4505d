"""Information in a spin-echo curve from simulations, and the reference score for estimates of the challenge."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ..nmr.echo import CHALLENGE_PRIOR, EchoExperiment, EchoParameters, curve_derivatives, simulate
from .curve_limits import Knowable, knowable, r_squared

# score of 500 curves for the prior of one parameter: 500 times the variance of a uniform number
_SHARE = 500.0 / 12.0
# in this unit Γ is of the same order as the other parameters
GAMMA_UNIT = 1e-4
_PRIORS: dict[str, tuple[float, float, Callable[[np.ndarray], np.ndarray], str]] = {
    "alpha": (*CHALLENGE_PRIOR["alpha"], lambda a: a, "alpha"),
    "p": (*CHALLENGE_PRIOR["p"], lambda p: p, "p"),
    "d": (*CHALLENGE_PRIOR["d"], lambda d: 10.0**-d, "gamma"),
}


def echo_knowledge(
    experiment: EchoExperiment,
    parameters: EchoParameters,
    *,
    noise: float | Sequence[float],
    names: Sequence[str] = ("alpha", "xi", "p", "gamma"),
    draws: int = 1200,
    slopes: int = 96,
    seed: int = 0,
) -> tuple[Knowable, ...]:
    """Return information, bounds and null directions of one curve, with the covariance of the frequency draws.

    Args:
        experiment: description of spins and pulses.
        parameters: parameters of the curve.
        noise: assumed standard deviations of white noise on real and imaginary parts, one or several.
        names: names of the parameters.
        draws: number of curves for the covariance, at least a thousand.
        slopes: number of draws of derivatives.
        seed: seed of all draws.

    Returns:
        One result per noise.
    """
    first, second = jax.random.split(jax.random.key(seed))
    many = parameters.replace(alpha=jnp.full(draws, parameters.alpha, parameters.alpha.dtype))
    curves = np.asarray(simulate(experiment, many, first))
    found = np.asarray(curve_derivatives(experiment, parameters, jax.random.split(second, slopes), tuple(names))[1])
    values = [float(getattr(parameters, name)) for name in names]
    return knowable(curves, found, names, values, noise=noise)


def challenge_reference(known: Sequence[Knowable]) -> dict[str, float]:
    """Return the fraction of the challenge's prior variances removed by the best linear estimators, averaged over points.

    Args:
        known: results of :func:`echo_knowledge`, at points representative of the prior.

    Returns:
        R² of ``alpha``, ``p`` and ``d``, means over the points, and ``err``, the score of 500 curves with ξ at its prior.
    """
    each = [r_squared(k, _PRIORS) for k in known]
    found = {name: float(np.mean([one[name] for one in each])) for name in _PRIORS}
    return found | {"err": _SHARE * (1.0 + sum(1.0 - r2 for r2 in found.values()))}
