"""`Descent`: one refinement on the host: arguments of its programs, its history, and work that only the host can do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._compilations import watch_compilations
from .._words import counted
from ..errors import DataError, ParameterError, PrecisionError
from ..objective import Objective, Parameters
from .checkpoint import write_checkpoint
from .domain import DomainLog
from .loop import (
    CONVERGED,
    CREPT,
    FLAT,
    FLAT_STEPS,
    GOING,
    HISTORY,
    MAX_STEPS,
    NO_DERIVATIVE,
    NOT_FINITE,
    OUTGROWN,
    PAUSED,
    STALLED,
    Course,
    History,
    Outcome,
    again,
    descend,
    padded_stages,
    starting,
)
from .origin import held_origins
from .result import RefinementResult, StepInfo
from .solvers import Solver
from .stages import Stage, masked
from .summary import summarise

Callback = Callable[[StepInfo], None]
# extraction has converged when this many steps lower chi² by less than this fraction
_EXTRACTION_STEPS, _EXTRACTION_GAIN = 5, 1e-3


class Descent:
    """State of one refinement: the loop runs on the device, and this class does the rest on the host.

    :meth:`alone` runs it to its end. To run many together, pass :attr:`objective`, :attr:`course` and :attr:`point` to
    the compiled loop and its outcome to :meth:`absorb`, until :attr:`ended` is set.

    Attributes:
        ended: status and message; ``None`` while the refinement is running.
    """

    def __init__(
        self,
        objective: Objective,
        params: Parameters,
        solver: Solver,
        stages: Sequence[Stage] | None = None,
        callback: Callback | None = None,
        checkpoint: str | Path | None = None,
    ):
        if jnp.result_type(float) != jnp.float64:
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
        self.params, self.masks = held_origins(objective, *masked(params, stages or ()))
        self.stages = list(stages) if stages else [Stage(name="all")]
        self.objective = objective
        self.steps: list[StepInfo] = []
        self.domain = DomainLog()
        self.compile_seconds, self.evaluations = 0.0, 0
        self.ended: tuple[str, str] | None = None
        # whether residuals were calculated at least at the start
        self.begun = False
        self.slices: dict[str, slice] = {}
        self.point = starting(self.params.theta, len(objective.terms))
        # whether the plan was made at the minimum itself
        self._settled = False
        # a step whose chi² is still unknown because a plan was renewed after it
        self._untold: StepInfo | None = None
        self._pending = 0
        self._best: tuple[float, Parameters, Objective] | None = None
        self._since_best = 0

    # -- driving a refinement ------------------------------------------------------------------------------------
    def begin(self) -> None:
        """Plan everything for the start; must be called first."""
        self.objective, _, outside = self.objective.bind(self.params).replan(self.params)
        self.domain.visit(0, outside)
        self.slices = self.objective.row_slices(self.params)
        rows = max(of.stop for of in self.slices.values())
        if rows < self.params.n_free:
            raise DataError(
                f"{rows} observations cannot determine {self.params.n_free} parameters: "
                "fit a wider range, fix parameters, or add restraints"
            )
        spec, (lower, upper) = self.params.spec, self.params.theta_bounds()
        self.course = Course(
            offset=np.asarray(self.params.offset()), transform=np.asarray(spec.transform), lower=lower, upper=upper,
            intensity=np.asarray(spec.intensity[spec.free_pivots], dtype=bool),
            **padded_stages(self.masks, [stage.max_steps or self.solver.max_steps for stage in self.stages]),
            tolerance=np.float64(self.solver.tolerance), initial_damping=np.float64(self.solver.initial_damping),
        )  # fmt: skip

    @property
    def most(self) -> np.int32:
        """Number of steps before the next report: one if there is a callback or a checkpoint."""
        if self.callback is None and self.checkpoint is None:
            return np.int32(HISTORY)
        return np.int32(0 if self._untold is not None else 1)

    def advance(self) -> None:
        """Run the loop until it needs the host, and serve it."""
        before = time.perf_counter()
        with watch_compilations() as compiled:
            made = jax.block_until_ready(
                descend(self.params.spec.layout, self.solver.rule, self.objective, self.course, self.point, self.most)
            )
        seconds = time.perf_counter() - before
        # small programs (an array converted on the way in) take milliseconds and do not count as compiling the loop
        self.absorb(made, seconds, seconds if compiled.programs["descend"] else 0.0)

    def alone(self) -> tuple[str, str]:
        """Run to the end; return status and message."""
        try:
            self.begin()
            while self.ended is None:
                self.advance()
        except KeyboardInterrupt:
            if not self.begun:
                raise
            self.interrupt()
        assert self.ended is not None
        return self.ended

    def interrupt(self) -> tuple[str, str]:
        """Stop the refinement where it is; return status and message."""
        self.steps += [] if self._untold is None else [self._untold]
        self._untold = None
        when = (
            f"after {len(self.steps)} steps; these are the last good parameters"
            if self.begun
            else "before its first step"
        )
        self.ended = ("interrupted", f"The refinement was interrupted {when}.")
        return self.ended

    def result(
        self,
        status: str,
        message: str,
        *,
        correlation_threshold: float = 0.8,
        suggest: bool = False,
        rescaled: frozenset[str] = frozenset(),
    ) -> RefinementResult:
        """Return the result at the current point; arguments as for :func:`refine` and :func:`summarise`."""
        return summarise(
            objective=self.objective,
            params=self.params,
            active=self.active,
            rule=self.solver.rule,
            status=status,
            message=message,
            steps=tuple(self.steps),
            began=self.began,
            compile_seconds=self.compile_seconds,
            correlation_threshold=correlation_threshold,
            suggest=suggest,
            visited=self.domain.sentences(),
            rescaled=rescaled,
        )

    @property
    def active(self) -> np.ndarray:
        """Mask of the refined parameters that the current stage moves."""
        return self.masks[int(self.point.stage)]

    # -- outcome of the loop -------------------------------------------------------------------------------------
    def absorb(self, made: Outcome, seconds: float, compile_seconds: float = 0.0) -> None:
        """Take over the outcome of the loop, report its steps, and do what it stopped for."""
        self.compile_seconds += compile_seconds
        self.evaluations += int(made.evaluations)
        first, self.begun = not self.begun, True
        self.point = jax.tree.map(np.asarray, made.point)
        reason = int(self.point.ended)
        if reason == NOT_FINITE and first:
            raise DataError(self._not_finite(np.asarray(made.residuals)))
        if self._untold is not None:
            info, self._untold = self._untold, None
            chi2 = float(made.start_chi2)
            self._tell(replace(info, chi2=chi2, **self._by_term(made.start_squares)))
            if self.objective.extracting and self._extraction_is_steady(chi2):
                return
        self.params = self.params.at(self.point.theta)
        infos = self._infos(jax.tree.map(np.asarray, made.history), seconds, compile_seconds)
        for info in infos[:-1]:
            self._tell(info)
        # the message at the end counts the step that is reported after it
        self._pending = len(infos[-1:])
        notes, renewed = self._attend(reason, made)
        self._pending = 0
        for info in infos[-1:]:
            info = replace(info, note="; ".join(filter(None, (info.note, *notes))))
            if renewed:
                self._untold = info
            else:
                self._tell(info)

    def _attend(self, reason: int, made: Outcome) -> tuple[list[str], bool]:
        """Do what the loop stopped for; return notes about it, and whether chi² has become another function."""
        name, count, limit = self._stage_name(), int(self.point.count), int(self.course.limits[int(self.point.stage)])
        if reason == PAUSED:
            self.point = self.point._replace(ended=np.int32(GOING))
        elif reason == OUTGROWN:
            return self._replanned()
        elif reason == CONVERGED and not (self._settled or self.objective.extracting or count >= limit):
            # peak windows laid out on the way shift a minimum by a few hundredths of its uncertainty
            self.objective, self._settled = self.objective.bind(self.params), True
            self.point = again(self.point)
        elif reason in (FLAT, CREPT, STALLED) and count < limit:
            notes, renewed = self._replanned()
            if not renewed:
                self._end(*self._ending(reason, name, limit, made))
            return notes, renewed
        else:
            self._end(*self._ending(reason, name, limit, made))
        return [], False

    def _replanned(self) -> tuple[list[str], bool]:
        objective, notes, outside = self.objective.replan(self.params)
        strange = self.domain.visit(len(self.steps) + 1, outside)
        self.objective = objective
        self.point = again(self.point) if notes else self.point._replace(ended=np.int32(GOING))
        return [*notes, strange], bool(notes)

    def _extraction_is_steady(self, chi2: float) -> bool:
        """Return whether extraction no longer lowers chi², which need not fall at every step; the best point is kept."""
        if self._best is None or chi2 < self._best[0]:
            much = self._best is None or chi2 < (1.0 - _EXTRACTION_GAIN) * self._best[0]
            self._since_best = 0 if much else self._since_best + 1
            self._best = (chi2, self.params, self.objective)
        else:
            self._since_best += 1
        if self._since_best < _EXTRACTION_STEPS:
            return False
        _, self.params, self.objective = self._best
        self._best, self._since_best = None, 0
        if int(self.point.stage) == len(self.stages) - 1:
            self._end("converged", self._converged(self._stage_name()))
        else:
            point = starting(self.params.theta, len(self.objective.terms))
            self.point = point._replace(stage=np.int32(self.point.stage + 1), opened=self.point.opened)
        return True

    def _end(self, status: str, message: str) -> None:
        self.ended = (status, message)
        if self.checkpoint is not None:
            self._keep()

    # -- messages ------------------------------------------------------------------------------------------------
    def _ending(self, reason: int, name: str, limit: int, made: Outcome) -> tuple[str, str]:
        """Return status and message for the reason the loop ended."""
        if reason in (CONVERGED, CREPT):
            return "converged", self._converged(name)
        if reason == FLAT:
            return "converged", self._converged(name) + (
                f" The last {FLAT_STEPS} steps changed chi² by nothing that matters."
            )
        if reason == STALLED:
            return "stalled", (
                f"No step lowers chi² any further in stage '{name}', yet the linear model expects the minimum "
                f"{float(self.point.distance):.2g} standard uncertainties away. Parameters may be strongly correlated or at "
                "their bounds."
            )
        if reason == MAX_STEPS:
            hint = ", or free parameters in stages, with scale, background and cell before atoms"
            return "max_steps", (
                f"Stage '{name}' stopped after {limit} steps before it converged; allow more max_steps"
                f"{hint if len(self.stages) == 1 else ''}."
            )
        if reason == NO_DERIVATIVE:
            bad = np.flatnonzero(~np.isfinite(np.asarray(made.jacobian)).all(axis=0))
            names = ", ".join(self.params.free_names[k] for k in bad[:5])
            return "diverged", f"The derivative by {names} is not finite; check its value and bounds."
        return (
            "diverged",
            f"In stage '{name}' the residuals were not finite any more after something was planned again.",
        )

    def _stage_name(self, stage: int | None = None) -> str:
        stage = int(self.point.stage) if stage is None else stage
        return self.stages[stage].name or f"stage {stage + 1}"

    def _converged(self, name: str) -> str:
        return f"Converged in {counted(len(self.steps) + self._pending, 'step')} (last stage '{name}')."

    def _not_finite(self, r) -> str:
        for name, rows in self.slices.items():
            bad = np.flatnonzero(~np.isfinite(r[rows]))
            if bad.size:
                return (
                    f"term {name!r} is not finite at the starting values ({bad.size} of {r[rows].size} residuals, "
                    f"first number {bad[0] + 1}); check the starting values of its parameters"
                )
        return "the residuals are not finite at the starting values"

    # -- steps ---------------------------------------------------------------------------------------------------
    def _infos(self, history: History, seconds: float, compile_seconds: float) -> list[StepInfo]:
        """Return the steps of one call, with its time divided evenly among them."""
        rows, infos = int(history.rows), []
        for k in range(rows):
            stage = int(history.stage[k])
            first = "scales and backgrounds first" if history.opening[k] else ""
            first = first if history.accepted[k] else "no downhill step found"
            bounds = [f"at its bound: {self.params.free_names[i]}" for i in np.flatnonzero(history.at_bound[k])]
            infos.append(
                StepInfo(
                    stage=stage,
                    stage_name=self._stage_name(stage),
                    step=len(self.steps) + 1 + k,
                    chi2=float(history.chi2[k]),
                    accepted=bool(history.accepted[k]),
                    damping=float(history.damping[k]),
                    shift_over_esd=float(history.shift[k]),
                    **self._by_term(history.squares[k]),
                    seconds=seconds / rows,
                    n_free=int(self.masks[stage].sum()),
                    note="; ".join(filter(None, (first, *bounds))),
                    compile_seconds=0.0 if k else compile_seconds,
                )
            )
        return infos

    def _by_term(self, squares: Any) -> dict[str, Any]:
        """Return the per-term fields of a `StepInfo`."""
        pairs = [(term, float(chi2)) for term, chi2 in zip(self.objective.terms, np.asarray(squares), strict=True)]
        factors = {term.name: term.agreement(chi2) for term, chi2 in pairs}
        return {
            "factors": {name: of for name, of in factors.items() if of},
            "squares": {term.name: chi2 for term, chi2 in pairs},
        }

    def _tell(self, info: StepInfo) -> None:
        self.steps.append(info)
        if self.checkpoint is not None:
            self._keep(info)
        if self.callback is not None:
            self.callback(info)

    def _keep(self, info: StepInfo | None = None) -> None:
        """Write the checkpoint."""
        name, chi2 = (self._stage_name(), float(self.point.chi2)) if info is None else (info.stage_name, info.chi2)
        assert self.checkpoint is not None
        write_checkpoint(self.checkpoint, self.params, name, chi2)
