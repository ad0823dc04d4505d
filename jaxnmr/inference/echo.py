"""Spin echoes as a problem of inference: the ML4SCI challenge of 2020, and how its posterior is trained."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Complex, Float, Key

from ..errors import ShapeError
from ..nmr.echo import CHALLENGE_PRIOR, EchoParameters, challenge, curve
from ..typing import Array
from .prior import BoxPrior, Parameter
from .problem import Problem
from .training import NoiseLevel, Recipe

# full width of the line of the challenge, MHz
_WIDTH = 0.05


def challenge_problem() -> Problem:
    """The challenge: α, ξ, p and d of Γ = 10^-d from 471 complex points, as 942 real numbers.

    A power law that is normalised does not depend on its length: ξ is not determined, and its prior is what is returned.
    """
    experiment = challenge()
    prior = BoxPrior(
        [
            Parameter(name, low, high, "decade" if name == "d" else "linear", determined=name != "xi")
            for name, (low, high) in CHALLENGE_PRIOR.items()
        ]
    )

    def simulate(key: Key[Array, ""], theta: Float[Array, 4]) -> Float[Array, 942]:
        alpha, xi, p, d = theta
        width = jnp.asarray(_WIDTH, theta.dtype)
        parameters = EchoParameters(alpha=alpha, xi=xi, p=p, gamma=10.0**-d, width=width)
        found = curve(experiment, parameters, experiment.ensemble.line.draw(key, experiment.ensemble.sizes, width))
        return jnp.concatenate([jnp.real(found), jnp.imag(found)])

    return Problem("spin-echo-challenge", prior, simulate, 2 * experiment.sequence.points)


def echo_numbers(curves: Complex[np.ndarray, "*n points"]) -> Float[np.ndarray, "*n numbers"]:
    """Complex curves as the numbers that a posterior reads: real parts, then imaginary parts.

    Raises:
        ShapeError: no points.
    """
    curves = np.asarray(curves)
    if curves.ndim < 1:
        raise ShapeError("a curve is a row of complex points")
    return np.concatenate([curves.real, curves.imag], axis=-1)


def _even(low: float, high: float, count: int) -> tuple[float, ...]:
    return tuple(np.linspace(low, high, count).round(6).tolist())


def challenge_recipe(simulations: int) -> Recipe:
    """What was found to work, on simulations that no score is made from.

    Without noise cells of α alone are best, narrower where α is small; with noise p and d decide, too.

    Args:
        simulations: in the bank: fewer make fewer cells.
    """
    whole_p, whole_d = (3.0,), (4.5,)
    return Recipe(
        levels=(NoiseLevel(0.0, (_even(0.0, 0.2, 13), whole_p, whole_d), (_even(0.0, 0.2, 13), whole_p, whole_d)),)
    )
