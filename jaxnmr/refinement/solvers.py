"""The two step rules: our Levenberg-Marquardt, and Gauss-Newton through jaxopt."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import ConventionError
from .linearised import Linearised


class Solver(Protocol):
    """How a step follows from a linearised problem; acceptance, bounds and stages belong to the loop."""

    @property
    def max_steps(self) -> int:
        """Steps in each stage."""
        ...

    @property
    def tolerance(self) -> float:
        """Converged when a step would be shorter than this many standard uncertainties."""
        ...

    @property
    def initial_damping(self) -> float:
        """Of the first step; 0 for a solver that does not damp."""
        ...

    @property
    def name(self) -> str:
        """For reports and checkpoints."""
        ...

    def step(self, problem: Linearised, residuals: np.ndarray, jacobian: np.ndarray, damping: float) -> np.ndarray:
        """A step in the columns of ``problem`` (``jacobian`` has the same columns)."""
        ...


def _check(solver) -> None:
    if solver.max_steps < 1 or not solver.tolerance > 0:
        raise ConventionError(
            f"max_steps is {solver.max_steps} and tolerance {solver.tolerance:g}; expected at least 1 and a positive number"
        )


@dataclass(frozen=True)
class LevenbergMarquardt:
    """Dense, column-scaled Levenberg-Marquardt by QR and SVD.

    Attributes:
        max_steps: accepted or rejected steps in each stage.
        tolerance: converged when the full Gauss-Newton step would be shorter than this many standard
            uncertainties, all parameters together.
        initial_damping: relative to the unit-length columns.
    """

    max_steps: int = 50
    tolerance: float = 0.01
    initial_damping: float = 1e-3
    name: str = "levenberg-marquardt"

    def __post_init__(self):
        _check(self)

    def step(self, problem: Linearised, residuals: np.ndarray, jacobian: np.ndarray, damping: float) -> np.ndarray:
        """The damped step, from the singular value decomposition of the scaled columns."""
        return problem.step(damping)


@dataclass(frozen=True)
class GaussNewton:
    """Gauss-Newton steps computed by ``jaxopt.GaussNewton``, damped only after a step was refused.

    jaxopt's own iteration neither checks that a step helps nor survives a NaN, and it cannot take a Jacobian. So
    it is handed the *linear* problem ``y -> [r + J D y; sqrt(mu) S⁻¹ y]`` at ``y = 0``, with ``D`` chosen such
    that ``J D`` has orthonormal columns: its conjugate gradients are then exact after one iteration.

    Attributes: as for :class:`LevenbergMarquardt`.
    """

    max_steps: int = 50
    tolerance: float = 0.01
    initial_damping: float = 0.0
    name: str = "gauss-newton"

    def __post_init__(self):
        _check(self)

    def step(self, problem: Linearised, residuals: np.ndarray, jacobian: np.ndarray, damping: float) -> np.ndarray:
        """The step of the linear problem, by jaxopt."""
        whitening = problem.whitening()
        ridge = np.sqrt(damping) / problem.singular_values()
        return whitening @ np.asarray(_linear_step(residuals, jacobian @ whitening, ridge))


# outside of a compiled function jaxopt compiles its conjugate gradients again at every call
@jax.jit
def _linear_step(*arguments):
    """One step of jaxopt for ``(residuals, orthonormal, ridge)``, ``(rank,)``."""
    solver = _jaxopt().GaussNewton(residual_fun=_linear_residual, maxiter=1)
    start = jnp.zeros(arguments[1].shape[1])
    return solver.update(start, solver.init_state(start, *arguments), *arguments)[0]


def _linear_residual(y, residuals, orthonormal, ridge):
    return jnp.concatenate([residuals + orthonormal @ y, ridge * y])


def _jaxopt():
    # jaxopt is no longer maintained and says so on import; it is needed here only
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import jaxopt
    return jaxopt
