"""`refine`: a single refinement from start to result (host)."""

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

    If scales and backgrounds alone would remove over half of the initial chi², they are refined first; the note of the
    step says so. Anything else that a rough start needs is specified by ``stages``.

    Args:
        objective: function to minimise.
        params: starting values; without ``stages``, their free parameters are refined.
        solver: `LevenbergMarquardt` (default) or `GaussNewton`.
        stages: groups of parameters to free one after the other. All share one compiled program.
        callback: called with a `StepInfo` after every step.
        checkpoint: JSON file that always holds the last good parameters.
        throw: raise if the refinement does not converge; otherwise check ``result.status``.
        correlation_threshold: report correlations above this.
        suggest: estimate which fixed parameters would improve the fit most.
        weights: by default data are weighted by their stated uncertainties. ``"variance-components"`` multiplies the
            uncertainties of every data set by a factor estimated from its residuals, refines again, and repeats this
            until the factors are consistent; they are in ``result.components``. Restraints, terms with a weight other
            than 1 and terms with a redundancy below 1 are unchanged. If terms are to be weighted by their own residuals
            (``xrd.by_residuals()``), this is done for those terms without being requested.

    Returns:
        The result; with ``throw=False`` whatever its status.

    Raises:
        PrecisionError: single precision.
        ParameterError: nothing is free, the parameters belong to another objective, or the kind of weights is unknown.
        DataError: there are fewer observations than parameters, or residuals are not finite at the start.
        ConvergenceError: no minimum was reached; the result is the ``result`` attribute of the error.

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
    """Refine once with the weights of the objective; ``rescaled`` are terms with weights estimated from residuals."""
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
