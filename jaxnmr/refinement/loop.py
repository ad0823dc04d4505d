"""The refinement loop on the device: stages, damping, acceptance on the true residual, bounds, stopping rules.

One program contains the whole loop. Every iteration linearises at a trial point, accepts or refuses it, and finds the
next trial; a single linearisation provides the residuals of the trial and the derivatives for the next step. The loop
ends by itself, after the requested number of accepted steps, or when a plan has become outdated, which only the host
can renew; the outcome contains all that is needed to continue. There are no callbacks in it, so that it can be
vectorised, exported and cached.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._struct import compiled
from ..objective import Objective
from ..objective.objective import linearised
from ..objective.parameter_spec import Layout
from ..typing import Array
from .solvers import Rule
from .subproblem import Compressed, Decomposed, compressed, decomposed

# reasons to end a loop: it may be continued, ...
GOING, PAUSED, OUTGROWN = 0, 1, 2
# ... or the last stage has ended, ...
CONVERGED, FLAT, CREPT, STALLED, MAX_STEPS = 3, 4, 5, 6, 7
# ... or it cannot continue
NO_DERIVATIVE, NOT_FINITE = 8, 9

# kinds of trial: the point itself, evaluated again; a step; the last step of a stage
_HERE, _STEP, _LAST = 0, 1, 2

LARGEST_DAMPING = 1e12
# a minimum this close (in standard uncertainties, all parameters together) is accepted even if rounding or a renewed
# peak window prevents any further decrease
STALLED_BUT_CLOSE = 0.1
# data without noise have a vanishing chi²: a fit a thousand times better than the uncertainties is good enough
SMALLEST_GOF2 = 1e-6
# a model with a kink (a variance held at zero, say) can creep forever: stop if this many steps together lower chi² by
# less than such a distance would
FLAT_STEPS = 5
# fraction of the initial chi² beyond which scales and backgrounds are refined first
_MOST = 0.5
# only the last stage must converge fully; this is the factor of tolerance for the others
_HANDED_OVER = 10.0

# a zero-dimensional array, or a NumPy scalar
Number = Any

HISTORY = 64
"""Number of steps recorded per call, and so the maximum per call."""

_STAGES = 16


class Course(NamedTuple):
    """Constants of one refinement of ``n`` parameters in up to ``S`` stages.

    Attributes:
        offset, transform: parameters are ``offset + transform @ theta``.
        lower, upper: ``(n,)`` bounds of theta.
        intensity: ``(n,)`` which parameters are scales and backgrounds.
        masks: ``(S, n)`` which parameters move in each stage; ``limits`` ``(S,)`` maximum number of accepted steps.
        stages: number of stages.
        tolerance, initial_damping: options of the solver.
    """

    offset: Array
    transform: Array
    lower: Array
    upper: Array
    intensity: Array
    masks: Array
    limits: Array
    stages: Number
    tolerance: Number
    initial_damping: Number


class Point(NamedTuple):
    """Current state of a refinement of ``n`` parameters and its next trial; sufficient to continue.

    Attributes:
        theta: ``(n,)`` the last good point, with its ``chi2``, ``squares`` ``(terms,)`` and linearised ``problem``.
        trial: ``(n,)`` next point to evaluate; ``kind`` its kind.
        predicted: decrease of chi² expected from the linear model; ``shift`` largest parameter shift over its standard
            uncertainty; ``distance`` to the minimum, in standard uncertainties with all parameters together.
        opening: whether only scales and backgrounds move in this trial; ``opened`` whether they no longer need to go first.
        damping, grow: damping of the next trial, and factor of its growth after a refusal.
        stage, count: index of the stage, and number of steps accepted in it.
        gains, gained: ``(FLAT_STEPS,)`` decreases of chi² by the last steps; ``gained`` their number.
        ended: one of the reasons above.
    """

    theta: Array
    chi2: Number
    squares: Array
    problem: Compressed
    trial: Array
    kind: Number
    predicted: Number
    shift: Number
    distance: Number
    opening: Number
    opened: Number
    damping: Number
    grow: Number
    stage: Number
    count: Number
    gains: Array
    gained: Number
    ended: Number


class History(NamedTuple):
    """Steps of one call, one row each; ``rows`` of them are filled.

    Attributes:
        stage, chi2, accepted, damping, shift, opening: ``(HISTORY,)`` as in `Point`, after the step.
        squares: ``(HISTORY, terms)``; ``at_bound`` ``(HISTORY, n)`` which moving parameters are at a bound.
    """

    rows: Array
    stage: Array
    chi2: Array
    accepted: Array
    damping: Array
    shift: Array
    opening: Array
    squares: Array
    at_bound: Array


class Outcome(NamedTuple):
    """Result of :func:`descend`.

    Attributes:
        point: current state.
        history: steps taken.
        start_chi2, start_squares: values at the starting point if it was evaluated again; otherwise NaN.
        residuals, jacobian: residuals and Jacobian of the last trial.
        evaluations: number of evaluated points.
    """

    point: Point
    history: History
    start_chi2: Array
    start_squares: Array
    residuals: Array
    jacobian: Array
    evaluations: Array


def starting(theta: np.ndarray, terms: int) -> Point:
    """Return the initial state of a refinement of ``theta`` ``(n,)`` (host)."""
    n, number, whole = len(theta), np.float64, np.int32
    theta = np.asarray(theta, dtype=number)
    return Point(
        theta=theta, chi2=number(np.inf), squares=np.zeros(terms),
        problem=Compressed(np.zeros((n, n)), np.zeros(n), np.ones(n)),
        trial=theta, kind=whole(_HERE), predicted=number(0.0), shift=number(0.0), distance=number(np.inf),
        opening=np.bool_(False), opened=np.bool_(False), damping=number(np.nan), grow=number(2.0),
        stage=whole(0), count=whole(0), gains=np.zeros(FLAT_STEPS), gained=whole(0), ended=whole(GOING),
    )  # fmt: skip


def again(point: Point) -> Point:
    """Return the state after a change of the objective: the point is to be evaluated again (host)."""
    return point._replace(trial=point.theta, kind=np.int32(_HERE), gained=np.int32(0), ended=np.int32(GOING))


def evaluated(
    layout: Layout, rule: Rule, objective: Objective, offset, transform, theta
) -> tuple[np.ndarray, np.ndarray]:
    """Return residuals ``(m,)`` and Jacobian ``(m, n)`` at a point, using the program of the loop (host)."""
    n = len(theta)
    free = np.full(n, np.inf)
    course = Course(
        offset=np.asarray(offset), transform=np.asarray(transform), lower=-free, upper=free, intensity=np.zeros(n, dtype=bool),
        **padded_stages([np.ones(n, dtype=bool)], [1]), tolerance=np.float64(1.0), initial_damping=np.float64(0.0),
    )  # fmt: skip
    made = descend(layout, rule, objective, course, starting(theta, len(objective.terms)), np.int32(0))
    return np.asarray(made.residuals), np.asarray(made.jacobian)


def padded_stages(masks: Sequence[np.ndarray], limits: Sequence[int]) -> dict[str, Any]:
    """Return ``masks``, ``limits`` and ``stages`` of a `Course`, padded to a common number of stages (host)."""
    room = _STAGES * -(-len(masks) // _STAGES)
    spare = room - len(masks)
    return {
        "masks": np.pad(np.array(masks, dtype=bool), ((0, spare), (0, 0))),
        "limits": np.pad(np.array(limits, dtype=np.int32), (0, spare)),
        "stages": np.int32(len(masks)),
    }


def _whole(value) -> Array:
    return jnp.asarray(value, dtype=jnp.int32)


@compiled(kept=True, static_argnums=(0, 1))
def descend(layout: Layout, rule: Rule, objective: Objective, course: Course, point: Point, most: Number) -> Outcome:
    """Continue from a point for at most ``most`` accepted steps; with 0 the point is only evaluated.

    Args:
        layout: layout of the parameters.
        rule: rule for the step, such as that of `LevenbergMarquardt`.
        objective: objective bound for the free parameters.
        course, point: see `Course` and `Point`.
        most: at most `HISTORY`.
    """
    shapes = jax.eval_shape(_linearised(layout), objective, course.offset, course.transform, point.theta)
    number = point.chi2.dtype
    empty = Outcome(
        point=point,
        history=_no_history(len(point.theta), len(point.squares), number),
        start_chi2=jnp.asarray(jnp.nan, number),
        start_squares=jnp.full(len(point.squares), jnp.nan, number),
        residuals=jnp.zeros(shapes.residuals.shape, number),
        jacobian=jnp.zeros(shapes.jacobian.shape, number),
        evaluations=jnp.asarray(0, jnp.int32),
    )
    turn = lambda outcome: _turn(layout, rule, objective, course, outcome, most)
    return jax.lax.while_loop(lambda outcome: outcome.point.ended == GOING, turn, empty)


@lru_cache(maxsize=64)
def _linearised(layout: Layout):
    # cached: traced once for both shapes and values
    return jax.jit(partial(linearised, layout))


def _turn(layout, rule: Rule, objective: Objective, course: Course, outcome: Outcome, most) -> Outcome:
    """Evaluate the trial, accept or refuse it, and choose the next one."""
    old = outcome.point
    # the barrier keeps this from being fused with what follows and computed several times
    made = jax.lax.optimization_barrier(_linearised(layout)(objective, course.offset, course.transform, old.trial))
    chi2 = made.residuals @ made.residuals
    problem = compressed(made.residuals, made.jacobian)
    here, last = old.kind == _HERE, old.kind == _LAST
    finite, smooth = jnp.isfinite(chi2), jnp.all(jnp.isfinite(problem.norms))
    good = finite & (here | jnp.where(last, chi2 <= old.chi2, chi2 < old.chi2))
    kept = lambda good, a, b: jax.tree.map(lambda a, b: jnp.where(good, a, b), a, b)
    theta, chi2_now, squares = kept(good, (old.trial, chi2, made.squares), (old.theta, old.chi2, old.squares))
    problem = kept(good & smooth, problem, old.problem)
    new = old._replace(theta=theta, chi2=chi2_now, squares=squares, problem=problem)

    # damping after Nielsen, but with tenfold instead of threefold reduction after a faithful prediction
    accepted, refused = good & (old.kind == _STEP), ~good & (old.kind == _STEP)
    gain = jnp.minimum((old.chi2 - chi2) / jnp.maximum(old.predicted, 1e-300), 10.0)
    relieved = old.damping * jnp.maximum(0.1, 1.0 - (2.0 * gain - 1.0) ** 3)
    relieved = jnp.where(relieved > 1e-10, relieved, 0.0)
    damping = jnp.where(accepted, relieved, jnp.where(refused, jnp.maximum(old.damping * old.grow, 1e-4), old.damping))
    damping = jnp.where(jnp.isnan(damping), course.initial_damping, damping)
    lost = refused & (damping > LARGEST_DAMPING)
    gains = jnp.where(accepted, jnp.roll(old.gains, 1).at[0].set(old.chi2 - chi2), old.gains)
    new = new._replace(
        damping=damping, grow=jnp.where(accepted, 2.0, jnp.where(refused, 2.0 * old.grow, old.grow)),
        count=old.count + accepted, gains=gains, gained=old.gained + accepted,
        opened=old.opened | (accepted & ~old.opening),
    )  # fmt: skip

    # stages and their ends
    freedom = len(made.residuals) - jnp.sum(course.masks[old.stage])
    gof2 = jnp.maximum(new.chi2 / jnp.maximum(freedom, 1), SMALLEST_GOF2)
    # the gain of this step is not counted: a plan may have to be renewed after it
    flat = accepted & (old.gained >= FLAT_STEPS) & (jnp.sum(old.gains) < STALLED_BUT_CLOSE**2 * gof2)
    reason: Array = jnp.select(
        [last, flat, lost & (old.distance < STALLED_BUT_CLOSE), lost], [CONVERGED, FLAT, CREPT, STALLED], GOING
    )
    new = _stage_over(course, new, reason)
    new, reason = _next_trial(rule, course, new, gof2)
    new = _stage_over(course, new, reason)
    happened = accepted | lost
    enough = (outcome.history.rows + happened >= most) & (happened | here)
    ended = jnp.select(
        [here & ~finite, good & ~smooth, new.ended != GOING, accepted & made.outgrown, enough],
        [NOT_FINITE, NO_DERIVATIVE, new.ended, OUTGROWN, PAUSED],
        GOING,
    )
    new = new._replace(ended=ended.astype(jnp.int32))
    told = lambda before, now: jnp.where(here & (outcome.evaluations == 0), now, before)
    return Outcome(
        point=new,
        history=_told(outcome.history, happened, old, new, accepted, course),
        start_chi2=told(outcome.start_chi2, chi2),
        start_squares=told(outcome.start_squares, made.squares),
        residuals=made.residuals,
        jacobian=made.jacobian,
        evaluations=outcome.evaluations + 1,
    )


def _stage_over(course: Course, point: Point, reason) -> Point:
    """Go to the next stage, or to the end, if there is a reason."""
    over = reason != GOING
    ends = over & (point.stage >= course.stages - 1)
    onward = over & ~ends
    return point._replace(
        stage=point.stage + onward,
        count=jnp.where(onward, 0, point.count),
        gained=jnp.where(onward, 0, point.gained),
        damping=jnp.where(onward, course.initial_damping, point.damping),
        grow=jnp.where(onward, 2.0, point.grow),
        trial=jnp.where(onward, point.theta, point.trial),
        kind=jnp.where(onward, _whole(_HERE), point.kind),
        ended=jnp.where(ends, reason, point.ended).astype(jnp.int32),
    )


def _next_trial(rule: Rule, course: Course, point: Point, gof2) -> tuple[Point, Array]:
    """Choose the next trial; return a reason if the stage has no steps left."""
    bounds = course.lower, course.upper
    moving, free = held_at_bounds(point.problem, course.masks[point.stage], point.theta, *bounds)
    newton = free.step(0.0)
    distance = jnp.sqrt(jnp.maximum(free.predicted_decrease(newton), 0.0) / gof2)
    last = distance < course.tolerance * jnp.where(point.stage == course.stages - 1, 1.0, _HANDED_OVER)
    # scales and backgrounds first, if they alone remove most of the initial misfit: otherwise shapes and positions would be
    # distorted to correct the heights of peaks
    these = moving & course.intensity
    some = ~point.opened & jnp.any(these) & jnp.any(these != moving)
    alone = jax.lax.cond(some, lambda: decomposed(point.problem, these), lambda: free)
    opening = some & ~last & (alone.predicted_decrease(alone.step(0.0)) > _MOST * point.chi2)
    chosen: Decomposed = jax.tree.map(lambda a, b: jnp.where(opening, a, b), alone, free)
    step = jnp.where(last, newton, rule(chosen, point.damping))
    step = jnp.where(jnp.where(opening, these, moving), step, 0.0)
    trial = jnp.clip(point.theta + step, *bounds)
    moved = trial - point.theta
    esd = jnp.maximum(chosen.esd() * jnp.sqrt(gof2), 1e-150)
    point = point._replace(
        trial=trial,
        kind=jnp.where(last, _whole(_LAST), _whole(_STEP)),
        predicted=chosen.predicted_decrease(moved),
        shift=jnp.max(jnp.abs(moved) / esd, where=moved != 0.0, initial=0.0),
        distance=distance,
        opening=opening,
    )
    spent = ~last & (point.ended == GOING) & (point.count >= course.limits[point.stage])
    return point, jnp.where(spent, MAX_STEPS, GOING)


def held_at_bounds(problem: Compressed, mask, theta, lower, upper) -> tuple[Array, Decomposed]:
    """Return which parameters move, and the problem without those at a bound that would cross it (traceable)."""

    n = len(theta)
    nothing = Decomposed(problem, jnp.zeros((n, n)), jnp.zeros(n), jnp.zeros((n, n)), jnp.zeros(n, bool))

    def fewer(state):
        moving, outward, _, _ = state
        moving = moving & ~outward
        free = decomposed(problem, moving)
        step = free.step(0.0)
        outward = ((theta <= lower) & (step < 0)) | ((theta >= upper) & (step > 0))
        return moving, moving & outward, free, True

    wanted = lambda state: jnp.any(state[1]) | jnp.logical_not(state[3])
    moving, _, free, _ = jax.lax.while_loop(wanted, fewer, (mask, jnp.zeros(n, bool), nothing, False))
    return moving, free


def _no_history(n: int, terms: int, number) -> History:
    of = lambda *shape: jnp.zeros((HISTORY, *shape), number)
    flags, whole = jnp.zeros(HISTORY, bool), jnp.zeros(HISTORY, jnp.int32)
    return History(
        rows=jnp.asarray(0, jnp.int32), stage=whole, chi2=of(), accepted=flags, damping=of(), shift=of(),
        opening=flags, squares=of(terms), at_bound=jnp.zeros((HISTORY, n), bool),
    )  # fmt: skip


def _told(history: History, happened, old: Point, new: Point, accepted, course: Course) -> History:
    """Add a row for this iteration if a step was accepted or abandoned."""
    at_bound = course.masks[old.stage] & ((new.theta <= course.lower) | (new.theta >= course.upper))
    row = (old.stage, new.chi2, accepted, new.damping, old.shift, old.opening, new.squares, at_bound)
    write = lambda column, value: column.at[history.rows].set(jnp.where(happened, value, column[history.rows]))
    return History(history.rows + happened, *map(write, history[1:], row))
