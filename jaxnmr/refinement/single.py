"""`refine`: one refinement from its start to its result (host)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from .._arguments import checked
from ..errors import ConvergenceError, ParameterError
from ..objective import Objective, Parameters
from .descent import Callback, Descent
from .result import RefinementResult
from .solvers import LevenbergMarquardt, Solver
from .stages import Stage


@checked
def refine(
    objective: Objective,
    params: Parameters,
    *,
    solver: Solver | None = None,
    stages: Stage | Sequence[Stage] | None = None,
    callback: Callback | None = None,
    checkpoint: str | Path | None = None,
    throw: bool = True,
    correlation_threshold: float = 0.8,
    suggest: bool = True,
    weights: Literal["variance-components"] | None = None,
) -> RefinementResult:
    """Minimise an objective over its free parameters.

    If scales and backgrounds alone would remove over half of the initial chi², they are refined first; the step's note says
    so. Whatever else a rough start needs is said with ``stages``.

    Args:
        objective: what to minimise.
        params: starting values; without ``stages``, the parameters that are free in it are refined.
        solver: `LevenbergMarquardt` (default) or `GaussNewton`.
        stages: free groups of parameters one after the other. All share one compiled program.
        callback: receives a `StepInfo` after every step.
        checkpoint: JSON file that always holds the last good parameters.
        throw: raise when the refinement does not converge; otherwise look at ``result.status``.
        correlation_threshold: report correlations above this.
        suggest: work out which fixed parameter would help most.
        weights: by default data count as their uncertainties say. ``"variance-components"`` multiplies the uncertainties of
            every data set by a factor that its own residuals ask for, refines again, and repeats that until the factors
            agree; ``result.components`` says what they are. Restraints, terms with another weight than 1 and terms with a
            redundancy below 1 are left as they are. Of an objective with terms that count as their residuals say
            (``xrd.by_residuals()``) this is done for those, without being asked for.

    Returns:
        The result, whatever the ending when ``throw`` is false.

    Raises:
        PrecisionError: single precision.
        ParameterError: nothing is free, parameters of another objective, or an unknown kind of weights.
        DataError: fewer observations than parameters, or residuals that are not finite at the start.
        ConvergenceError: no minimum was reached; the result is its ``result`` attribute.

    Example:
        >>> fit = jn.refine(objective, params.set("xrd/scale", 25.0))
        >>> fit.status
        'converged'
        >>> round(fit.parameters["xrd/scale[quartz]"], 2)
        np.float64(30.0)
    """
    if not 0.0 <= correlation_threshold <= 1.0:
        raise ParameterError(f"correlation_threshold is {correlation_threshold:g}; expected a number from 0 to 1")
    stages = [stages] if isinstance(stages, Stage) else stages
    if weights not in (None, "variance-components"):
        raise ParameterError(f"weights is {weights!r}; expected 'variance-components' or None")
    once = partial(
        _once, solver=solver or LevenbergMarquardt(), checkpoint=checkpoint, correlation_threshold=correlation_threshold,
        throw=throw,
    )  # fmt: skip
    if weights is None and not objective.by_residuals:
        return once(objective, params, stages=stages, callback=callback, suggest=suggest)
    from .variance_components import refine_with_components

    terms = None if weights else objective.by_residuals
    return refine_with_components(once, objective, params, stages, terms, callback=callback, suggest=suggest)


def _once(
    objective: Objective,
    params: Parameters,
    *,
    solver: Solver,
    stages: Sequence[Stage] | None,
    callback: Callback | None,
    checkpoint: str | Path | None,
    throw: bool,
    correlation_threshold: float,
    suggest: bool,
    rescaled: frozenset[str] = frozenset(),
) -> RefinementResult:
    """One refinement with the weights of the objective; ``rescaled`` are terms whose weights were found from residuals."""
    run = Descent(objective, params, solver, stages, callback, checkpoint)
    status, message = run.alone()
    result = run.result(
        status,
        message,
        correlation_threshold=correlation_threshold,
        suggest=suggest and status != "interrupted",
        rescaled=rescaled,
    )
    if throw and not result.converged and result.status != "interrupted":
        error = ConvergenceError(result.message)
        error.result = result
        raise error
    return result
