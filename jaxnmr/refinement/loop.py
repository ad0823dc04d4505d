"""The refinement loop: stages, acceptance on the true residual, bounds, renewal of plans, honest endings (host)."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from .._compilations import watch_compilations
from ..errors import ConvergenceError, DataError, ParameterError, PrecisionError
from ..objective import Objective, Parameters
from ..objective.objective import residuals, residuals_and_jacobian
from .checkpoint import write_checkpoint
from .domain import DomainLog
from .linearised import Linearised
from .result import RefinementResult, StepInfo
from .solvers import LevenbergMarquardt, Solver
from .summary import summarise

Callback = Callable[[StepInfo], None]
Values = Generator[tuple[Callable, np.ndarray], Any, Any]
_LARGEST_DAMPING = 1e12
# a minimum this close (in standard uncertainties, all parameters together) counts even when rounding or a
# renewed peak window hides any further decrease
_STALLED_BUT_CLOSE = 0.1
# data without noise have a vanishing chi²: a fit a thousand times better than the uncertainties asks for no better
SMALLEST_GOF2 = 1e-6
# a model with a kink (a variance held at zero, say) can creep forever: this many steps that together lower chi² by
# less than such a distance would are an end, too
_FLAT_STEPS = 5
# of chi² at the start, what makes scales and backgrounds go first
_MOST = 0.5
# extraction is steady when that many steps lower chi² by less than this fraction
_EXTRACTION_GAIN = 1e-3


@dataclass(frozen=True)
class Stage:
    """One stage of a refinement, by what it frees; stages add up.

    Attributes:
        free: names or patterns to free from this stage on.
        fix: names or patterns to fix again.
        name: for reports.
        max_steps: at most this many steps here; the solver's limit by default.
    """

    free: tuple[str, ...] = ()
    fix: tuple[str, ...] = ()
    name: str = ""
    max_steps: int | None = None

    def __post_init__(self):
        for what in ("free", "fix"):
            value = getattr(self, what)
            object.__setattr__(self, what, (value,) if isinstance(value, str) else tuple(value))


def refine(
    objective: Objective,
    params: Parameters,
    *,
    solver: Solver | None = None,
    stages: Sequence[Stage] | None = None,
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
            redundancy below 1 are left as they are.

    Returns:
        The result, whatever the ending when ``throw`` is false.

    Raises:
        PrecisionError: single precision.
        ParameterError: nothing is free, parameters of another objective, or an unknown kind of weights.
        DataError: fewer observations than parameters, or residuals that are not finite at the start.
        ConvergenceError: no minimum was reached; the result is its ``result`` attribute.
    """
    if weights is not None:
        from .variance_components import refine_with_components

        if weights != "variance-components":
            raise ParameterError(f"weights is {weights!r}; expected 'variance-components' or None")
        return refine_with_components(
            refine, objective, params, stages, solver=solver, callback=callback, checkpoint=checkpoint, throw=throw,
            correlation_threshold=correlation_threshold, suggest=suggest,
        )  # fmt: skip
    run = Descent(objective, params, solver or LevenbergMarquardt(), stages, callback, checkpoint)
    status, message = run.alone()
    result = run.result(
        status, message, correlation_threshold=correlation_threshold, suggest=suggest and status != "interrupted"
    )
    if throw and not result.converged and result.status != "interrupted":
        error = ConvergenceError(result.message)
        error.result = result
        raise error
    return result


class Descent:
    """State of one refinement.

    :meth:`execute` is a generator: it yields a compiled function and the point where it wants its value, and is sent that
    value. So one refinement can evaluate them as they come, and many can have theirs evaluated together.
    """

    def __init__(self, objective, params, solver, stages=None, callback=None, checkpoint=None):
        if jnp.zeros(1).dtype != jnp.float64:
            raise PrecisionError(
                "refinement in single precision loses the small shifts it is about: "
                "call jaxnmr.enable_x64() before anything else"
            )
        missing = [name for name in objective.parameters().values if name not in params.values]
        if missing:
            raise ParameterError(
                f"these parameters are of another objective: {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''} "
                f"{'is' if len(missing) == 1 else 'are'} missing; start from objective.parameters()"
            )
        self.began = time.perf_counter()
        self.solver, self.callback, self.checkpoint = solver, callback, checkpoint
        self.stages = [Stage(name="all")] if not stages else list(stages)
        self.masks: list[np.ndarray] = []
        if stages:
            params, self.masks = _stage_masks(params, self.stages)
        else:
            self.masks = [np.ones(params.n_free, dtype=bool)]
        if params.n_free == 0:
            raise ParameterError("all parameters are fixed: free some, e.g. params.free('cell', 'xyz')")
        self.objective, self.params = objective, params
        self.lower, self.upper = params.theta_bounds()
        self.steps: list[StepInfo] = []
        self.domain = DomainLog()
        self.compile_seconds = 0.0
        self.opening = True
        # rows of every term; none before the first residuals were calculated
        self.slices: dict[str, slice] = {}
        self.active = self.masks[-1]

    @property
    def begun(self) -> bool:
        """Whether residuals were calculated, at the start at least."""
        return bool(self.slices)

    def result(
        self, status: str, message: str, *, correlation_threshold: float = 0.8, suggest: bool = False
    ) -> RefinementResult:
        """Everything a report needs of where it stands now; arguments as those of :func:`refine`."""
        return summarise(
            objective=self.objective,
            params=self.params,
            active=self.active,
            status=status,
            message=message,
            steps=tuple(self.steps),
            began=self.began,
            compile_seconds=self.compile_seconds,
            correlation_threshold=correlation_threshold,
            suggest=suggest,
            visited=self.domain.sentences(),
        )

    # -- compiled calls ------------------------------------------------------------------------------------------
    def evaluate(self, function, theta):
        """The value that :meth:`execute` asked for."""
        arguments = (self.params.spec.layout, self.objective, self.offset, self.transform, jnp.asarray(theta))
        before = time.perf_counter()
        with watch_compilations() as compiled:
            out = jax.block_until_ready(function(*arguments))
        if compiled.count:
            self.compile_seconds += time.perf_counter() - before
        return jax.tree.map(np.asarray, out)

    def alone(self) -> tuple[str, str]:
        """Run to the end; status and message."""
        course = self.execute()
        try:
            wanted = next(course)
            while True:
                try:
                    value = self.evaluate(*wanted)
                except KeyboardInterrupt as stop:
                    wanted = course.throw(stop)
                else:
                    wanted = course.send(value)
        except StopIteration as end:
            return end.value

    def _residuals(self, theta) -> Values:
        return (yield residuals, theta)

    def _linearise(self, theta) -> Values:
        return (yield residuals_and_jacobian, theta)

    # -- the loop ------------------------------------------------------------------------------------------------
    def execute(self) -> Values:
        """Yield what is to be evaluated; returns status and message."""
        self.objective, _, outside = self.objective.bind(self.params).replan(self.params)
        self.domain.visit(0, outside)
        self.offset, self.transform = self.params.offset(), self.params.spec.transform
        theta = self.params.theta
        r = yield from self._residuals(theta)
        if not np.isfinite(r).all():
            raise DataError(self._not_finite(r))
        if r.size < self.params.n_free:
            raise DataError(
                f"{r.size} observations cannot determine {self.params.n_free} parameters: "
                "fit a wider range, fix parameters, or add restraints"
            )
        self.slices = self.objective.row_slices(self.params)
        status, message = "converged", ""
        try:
            for index, (stage, mask) in enumerate(zip(self.stages, self.masks, strict=True)):
                self.active = mask
                if not mask.any():
                    raise ParameterError(f"stage {stage.name or index + 1!r} frees nothing")
                last = index == len(self.stages) - 1
                status, message = yield from self._stage(index, stage, mask)
                if status == "diverged" and not last:
                    break
        except KeyboardInterrupt:
            status = "interrupted"
            message = (
                f"The refinement was interrupted after {len(self.steps)} steps; these are the last good parameters."
            )
        return status, message

    def _stage(self, index: int, stage: Stage, mask: np.ndarray) -> Values:
        damping, grow = self.solver.initial_damping, 2.0
        name = stage.name or f"stage {index + 1}"
        limit = stage.max_steps or self.solver.max_steps
        # only the last stage needs to be exact; the others hand over
        last, settled = index == len(self.stages) - 1, False
        tolerance = self.solver.tolerance * (1.0 if last else 10.0)
        theta = self.params.theta
        decreases: list[float] = []
        flat = False
        best: tuple[float, Parameters, Objective] | None = None
        since_best = 0
        for count in range(1, limit + 1):
            started = time.perf_counter()
            r, jacobian = yield from self._linearise(theta)
            if not np.isfinite(jacobian).all():
                bad = [self.params.free_names[k] for k in np.flatnonzero(~np.isfinite(jacobian).all(axis=0))]
                return "diverged", f"The derivative by {', '.join(bad[:5])} is not finite; check its value and bounds."
            chi2 = float(r @ r)
            full = Linearised.create(r, jacobian)
            problem, moving = self._held_at_bounds(full, mask, theta)
            freedom = max(r.size - int(moving.sum()), 1)
            newton = problem.step(0.0)
            gof2 = max(chi2 / freedom, SMALLEST_GOF2)
            distance = np.sqrt(max(problem.predicted_decrease(newton), 0.0) / gof2)
            if distance < tolerance:
                # one undamped step costs a single evaluation and lands on the minimum of the last linear model
                yield from self._polish(name, theta, moving, newton, chi2)
                if not last or settled or count == limit or self.objective.extracting:
                    return "converged", self._converged(name)
                # peak windows laid out on the way here shift a minimum by some hundredths of its uncertainty
                self.objective, theta, settled = self.objective.bind(self.params), self.params.theta, True
                continue
            opening = self._opening(full, moving, chi2)
            if opening is not None:
                problem, moving = full.subset(opening), opening
            theta_new, r_new, damping, grow = yield from self._trial(
                theta, r, jacobian, problem, moving, chi2, damping, grow
            )
            if theta_new is None:
                self._report(index, name, chi2, False, damping, distance, r, started, mask, "no downhill step found")
                if distance < _STALLED_BUT_CLOSE:
                    return "converged", self._converged(name)
                return "stalled", (
                    f"No step lowers chi² any further in stage '{name}', yet the linear model expects the minimum "
                    f"{distance:.2g} standard uncertainties away. Parameters may be strongly correlated or at their bounds."
                )
            decreases.append(chi2 - float(r_new @ r_new))
            shift = self._shift_over_esd(problem, theta_new - theta, moving, gof2)
            theta = theta_new
            self.params = self.params.at(theta)
            self.objective, notes, outside = self.objective.replan(self.params)
            strange = self.domain.visit(len(self.steps) + 1, outside)
            if notes:
                r_new = yield from self._residuals(theta)
            if self.checkpoint is not None:
                write_checkpoint(self.checkpoint, self.params, name, float(r_new @ r_new))
            chi2_now = float(r_new @ r_new)
            if self.objective.extracting:
                # intensity extraction does not descend strictly: stop when it no longer gains, and keep the best
                if best is None or chi2_now < best[0]:
                    since_best = 0 if best is None or chi2_now < (1.0 - _EXTRACTION_GAIN) * best[0] else since_best + 1
                    best = (chi2_now, self.params, self.objective)
                else:
                    since_best += 1
                if since_best >= _FLAT_STEPS:
                    _, self.params, self.objective = best
                    return "converged", self._converged(name)
            if notes:
                decreases.clear()
            elif len(decreases) >= _FLAT_STEPS and sum(decreases[-_FLAT_STEPS:]) < _STALLED_BUT_CLOSE**2 * gof2:
                flat = True
            first = "" if opening is None else "scales and backgrounds first"
            note = "; ".join(filter(None, (first, *notes, strange, *self._bound_notes(theta, mask))))
            self._report(index, name, float(r_new @ r_new), True, damping, shift, r_new, started, mask, note)
            if flat:
                return "converged", self._converged(
                    name
                ) + f" The last {_FLAT_STEPS} steps changed chi² by nothing that matters."
        hint = (
            ""
            if len(self.stages) > 1
            else ", or free parameters in stages, with scale, background and cell before atoms"
        )
        return (
            "max_steps",
            f"Stage '{name}' stopped after {limit} steps before it converged; allow more max_steps{hint}.",
        )

    def _opening(self, full: Linearised, moving, chi2: float) -> np.ndarray | None:
        """Scales and backgrounds, where they alone remove most of the misfit of the start.

        Until they fit, shapes and positions are changed to make peaks higher or lower.
        """
        spec = self.params.spec
        these = moving & spec.intensity[spec.free_pivots]
        if self.opening and these.any() and not these[moving].all():
            alone = full.subset(these)
            if alone.predicted_decrease(alone.step(0.0)) > _MOST * chi2:
                return these
        self.opening = False
        return None

    def _trial(self, theta, r, jacobian, problem, moving, chi2, damping, grow) -> Values:
        """Find a step that lowers chi², raising the damping until one does."""
        columns = jacobian[:, moving]
        while damping <= _LARGEST_DAMPING:
            step = self.solver.step(problem, r, columns, damping)
            trial = theta.copy()
            trial[moving] = np.clip(theta[moving] + step, self.lower[moving], self.upper[moving])
            predicted = problem.predicted_decrease(trial[moving] - theta[moving])
            r_new = yield from self._residuals(trial)
            # far too long a step makes residuals whose squares overflow
            with np.errstate(over="ignore"):
                chi2_new = float(r_new @ r_new) if np.isfinite(r_new).all() else np.inf
            if chi2_new < chi2:
                gain = min((chi2 - chi2_new) / max(predicted, 1e-300), 10.0)
                # Nielsen's rule, with tenfold instead of threefold relief when the linear model was faithful
                damping *= max(0.1, 1.0 - (2.0 * gain - 1.0) ** 3)
                return trial, r_new, (damping if damping > 1e-10 else 0.0), 2.0
            damping = max(damping * grow, 1e-4)
            grow *= 2.0
        return None, None, 1.0, 2.0

    def _polish(self, name, theta, moving, newton, chi2) -> Values:
        trial = theta.copy()
        trial[moving] = np.clip(theta[moving] + newton, self.lower[moving], self.upper[moving])
        r = yield from self._residuals(trial)
        if np.isfinite(r).all() and float(r @ r) <= chi2:
            self.params, chi2 = self.params.at(trial), float(r @ r)
        if self.checkpoint is not None:
            write_checkpoint(self.checkpoint, self.params, name, chi2)

    def _held_at_bounds(self, full: Linearised, mask, theta):
        """Drop parameters that sit at a bound and want to go further, until none does."""
        moving = mask.copy()
        while True:
            problem = full.subset(moving)
            step = np.zeros(theta.size)
            step[moving] = problem.step(0.0)
            outward = ((theta <= self.lower) & (step < 0)) | ((theta >= self.upper) & (step > 0))
            if not (outward & moving).any():
                return problem, moving
            moving &= ~outward

    # -- words ---------------------------------------------------------------------------------------------------
    def _converged(self, name: str) -> str:
        return f"Converged in {len(self.steps)} steps (last stage '{name}')."

    def _shift_over_esd(self, problem, shift, moving, gof2) -> float:
        esd = np.sqrt(np.maximum(np.diag(problem.covariance()) * gof2, 1e-300))
        return float(np.max(np.abs(shift[moving]) / esd, initial=0.0))

    def _bound_notes(self, theta, mask) -> list[str]:
        at = mask & ((theta <= self.lower) | (theta >= self.upper))
        return [f"at its bound: {self.params.free_names[k]}" for k in np.flatnonzero(at)]

    def _not_finite(self, r) -> str:
        for name, rows in self.objective.row_slices(self.params).items():
            bad = np.flatnonzero(~np.isfinite(r[rows]))
            if bad.size:
                return (
                    f"term {name!r} is not finite at the starting values ({bad.size} of {r[rows].size} residuals, "
                    f"first number {bad[0] + 1}); check the starting values of its parameters"
                )
        return "the residuals are not finite at the starting values"

    def _report(self, index, name, chi2, accepted, damping, shift, r, started, mask, note) -> None:
        factors = {}
        terms = zip(self.objective.terms, self.objective.losses, np.asarray(self.objective.weights), strict=True)
        for term, loss, weight in terms:
            part = r[self.slices[term.name]] / max(float(weight), 1e-300) ** 0.5
            if found := term.agreement(part if loss is None else loss.undone(part)):
                factors[term.name] = found
        info = StepInfo(
            stage=index, stage_name=name, step=len(self.steps) + 1, chi2=chi2, accepted=accepted, damping=damping,
            shift_over_esd=shift, factors=factors, seconds=time.perf_counter() - started, n_free=int(mask.sum()), note=note,
        )  # fmt: skip
        self.steps.append(info)
        if self.callback is not None:
            self.callback(info)


def _stage_masks(params: Parameters, stages: Sequence[Stage]) -> tuple[Parameters, list[np.ndarray]]:
    """Free everything any stage frees, and say per stage which of it moves."""
    flags, current = [], params
    for stage in stages:
        current = current.free(*stage.free).fix(*stage.fix)
        flags.append(current.spec.free.copy())
    union = np.any(flags, axis=0)
    return params.replace(spec=params.spec.changed(free=union)), [flag[union] for flag in flags]
