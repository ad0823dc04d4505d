"""Step rules: Levenberg-Marquardt, and Gauss-Newton by jaxopt."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import jax.numpy as jnp

from .._arguments import checked
from ..errors import ConventionError
from ..typing import Array
from .subproblem import Decomposed

# from a linearised problem and a damping, the step of all parameters (traceable)
Rule = Callable[[Decomposed, Array], Array]


class Solver(Protocol):
    """Rule that makes a step from a linearised problem; acceptance, bounds and stages are left to the loop."""

    @property
    def max_steps(self) -> int:
        """Maximum number of steps in each stage."""
        ...

    @property
    def tolerance(self) -> float:
        """Convergence limit: length of the step in standard uncertainties."""
        ...

    @property
    def initial_damping(self) -> float:
        """Damping of the first step; 0 for a solver without damping."""
        ...

    @property
    def name(self) -> str:
        """Name for reports and checkpoints."""
        ...

    @property
    def rule(self) -> Rule:
        """Function at module level, which is part of the compiled loop."""
        ...


def _check(solver) -> None:
    if solver.max_steps < 1 or not solver.tolerance > 0:
        raise ConventionError(
            f"max_steps is {solver.max_steps} and tolerance {solver.tolerance:g}; expected at least 1 and a positive number"
        )
    if solver.initial_damping < 0:
        raise ConventionError(f"initial_damping is {solver.initial_damping:g}; expected a number from 0 on")


@checked
@dataclass(frozen=True)
class LevenbergMarquardt:
    """Dense, column-scaled Levenberg-Marquardt by singular value decomposition.

    Attributes:
        max_steps: maximum number of accepted steps in each stage.
        tolerance: converged when the full Gauss-Newton step would be shorter than this many standard
            uncertainties, all parameters together.
        initial_damping: damping of the first step, relative to the unit-length columns.

    Example:
        >>> jn.LevenbergMarquardt(max_steps=100).tolerance
        0.01
    """

    max_steps: int = 50
    tolerance: float = 0.01
    initial_damping: float = 1e-3
    name: str = "levenberg-marquardt"

    def __post_init__(self):
        _check(self)

    @property
    def rule(self) -> Rule:
        """The function `damped_step`."""
        return damped_step


@checked
@dataclass(frozen=True)
class GaussNewton:
    """Gauss-Newton steps computed by ``jaxopt.GaussNewton``, damped only after a refused step.

    Attributes: as for :class:`LevenbergMarquardt`.

    Example:
        >>> jn.GaussNewton(max_steps=20).max_steps
        20
    """

    max_steps: int = 50
    tolerance: float = 0.01
    initial_damping: float = 0.0
    name: str = "gauss-newton"

    def __post_init__(self):
        _check(self)

    @property
    def rule(self) -> Rule:
        """The function `jaxopt_step`."""
        return jaxopt_step


def damped_step(problem: Decomposed, damping: Array) -> Array:
    """Return the Levenberg-Marquardt step."""
    return problem.step(damping)


def jaxopt_step(problem: Decomposed, damping: Array) -> Array:
    """Return the same step by one iteration of ``jaxopt.GaussNewton``.

    jaxopt's own iteration neither checks that a step helps nor survives a NaN, and it cannot use a given Jacobian. So
    it is passed the *linear* problem ``y -> [r + J D y; sqrt(mu) S⁻¹ y]`` at ``y = 0``, with ``D`` chosen such that
    ``J D`` has orthonormal columns: its conjugate gradients are then exact after one iteration.
    """
    inverse = jnp.where(problem.determined, 1.0 / jnp.where(problem.determined, problem.values, 1.0), 0.0)
    orthonormal = jnp.where(problem.determined, problem.left, 0.0)
    arguments = (problem.problem.rotated, orthonormal, jnp.sqrt(damping) * inverse)
    solver = _jaxopt().GaussNewton(residual_fun=_linear_residual, maxiter=1)
    start = jnp.zeros_like(inverse)
    found = solver.update(start, solver.init_state(start, *arguments), *arguments)[0]
    return problem.along(inverse * found)


def _linear_residual(y, residuals, orthonormal, ridge):
    return jnp.concatenate([residuals + orthonormal @ y, ridge * y])


def _jaxopt():
    # jaxopt is no longer maintained and warns about it on import; it is needed here only
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import jaxopt
    return jaxopt
