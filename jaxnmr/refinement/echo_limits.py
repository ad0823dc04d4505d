"""What a spin-echo curve can tell, from simulations, and the reference that estimates of the challenge are measured against."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ..nmr.echo import CHALLENGE_PRIOR, EchoExperiment, EchoParameters, curve_derivatives, simulate
from .curve_limits import Knowable, knowable, r_squared

# share of the score of 500 curves that the prior of one parameter has: 500 times the variance of a uniform number
_SHARE = 500.0 / 12.0
# in this unit Γ is a number of the size of others
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
    """Information, bounds and null directions of one curve, with the covariance of the frequency draws.

    Args:
        experiment: spins and pulses.
        parameters: at which.
        noise: assumed standard deviations of white noise on real and imaginary parts, one or several.
        names: of the parameters.
        draws: of curves for the covariance, a thousand or more.
        slopes: draws of derivatives.
        seed: of all of them.

    Returns:
        one for each noise.
    """
    first, second = jax.random.split(jax.random.key(seed))
    many = parameters.replace(alpha=jnp.full(draws, parameters.alpha, parameters.alpha.dtype))
    curves = np.asarray(simulate(experiment, many, first))
    found = np.asarray(curve_derivatives(experiment, parameters, jax.random.split(second, slopes), tuple(names))[1])
    values = [float(getattr(parameters, name)) for name in names]
    return knowable(curves, found, names, values, noise=noise)


def challenge_reference(known: Sequence[Knowable]) -> dict[str, float]:
    """What the best linear estimators at several places leave of the priors of the challenge.

    Args:
        known: by :func:`echo_knowledge`, at places that stand for the prior.

    Returns:
        R² of ``alpha``, ``p`` and ``d``, means over the places, and ``err``, the score of 500 curves with ξ at its prior.
    """
    each = [r_squared(k, _PRIORS) for k in known]
    found = {name: float(np.mean([one[name] for one in each])) for name in _PRIORS}
    return found | {"err": _SHARE * (1.0 + sum(1.0 - r2 for r2 in found.values()))}
