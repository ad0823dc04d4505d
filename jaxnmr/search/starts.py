"""`refine_starts`: refinement from many starts, and which of them reach the same minimum."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import jax
import numpy as np

from .._arguments import checked
from .._tables import plain
from .._words import counted
from ..crystal.cell import lattice
from ..errors import ConvergenceError, JaxnmrError, ParameterError
from ..objective import Objective, Parameters
from ..objective.perturbed import require_key
from ..refinement.descent import Descent
from ..refinement.linearised import Linearised
from ..refinement.loop import SMALLEST_GOF2
from ..refinement.result import RefinementResult
from ..refinement.solvers import LevenbergMarquardt, Solver
from ..refinement.stages import Stage
from .batched import Batches, Ending, together

# two results within this many standard uncertainties, all parameters together, are the same minimum
SAME_MINIMUM = 0.5


@dataclass(frozen=True)
class StartRow:
    """Outcome of one start.

    Attributes:
        start: index of the start, from 0.
        status, message: as in a `RefinementResult`, or ``"error"`` with the message of the exception.
        chi2: chi² of the objective at the end; NaN after an error.
        steps: number of steps taken.
        distance: distance from the best minimum, in standard uncertainties of the best, all parameters together.
        minimum: number of the minimum it reached, 1 for the best; 0 if it reached none.
    """

    start: int
    status: str
    message: str
    chi2: float
    steps: int
    distance: float
    minimum: int


@dataclass(frozen=True, repr=False)
class StartsResult:
    """The outcome of :func:`jaxnmr.refine_starts`.

    Attributes:
        rows: one per start, in the order of the starts.
        minima: results at the best distinct minima, the best first.
        levels: chi² of every distinct minimum, including those without a result in ``minima``.
        parameters: final parameters of all starts, ``flat`` of shape ``(starts, values)``.
        same: distance in standard uncertainties below which results are the same minimum.
        seconds: wall time, ``compile_seconds`` the part spent compiling.
        evaluations: number of points at which residuals and Jacobian were calculated.
        devices, width: number of devices, and of starts on each at a time.
    """

    rows: tuple[StartRow, ...]
    minima: tuple[RefinementResult, ...]
    levels: tuple[float, ...]
    parameters: Parameters
    same: float
    seconds: float
    compile_seconds: float
    evaluations: int
    devices: int = 1
    width: int = field(default=1)

    @property
    def best(self) -> RefinementResult:
        """Result at the lowest minimum.

        Raises:
            ConvergenceError: no start converged.
        """
        if not self.minima:
            raise ConvergenceError(f"no start reached a minimum: {self.message}")
        return self.minima[0]

    @property
    def converged(self) -> bool:
        """Return whether a start reached a possible solution (calculated peaks coincide with observed ones)."""
        return bool(self.minima) and self.minima[0].converged

    @property
    def found(self) -> tuple[int, ...]:
        """Number of starts that reached each minimum, in the order of ``levels``."""
        count = Counter(row.minimum for row in self.rows)
        return tuple(count[k + 1] for k in range(len(self.levels)))

    @property
    def message(self) -> str:
        """Summary of the outcome, in sentences."""
        n, sentences = len(self.rows), []
        if self.levels:
            sentences.append(f"{self.found[0]} of {n} starts reached the same minimum (chi² {self.levels[0]:.6g}).")
            if not self.minima[0].converged:
                sentences.append(self.minima[0].message)
            higher = [level - self.levels[0] for level in self.levels[1:]]
            if higher:
                extra = f"{min(higher):.3g}" if len(higher) == 1 else f"{min(higher):.3g} to {max(higher):.3g}"
                which = "another" if len(higher) == 1 else f"{len(higher)} others"
                sentences.append(f"{sum(self.found[1:])} ended in {which}, with chi² higher by {extra}.")
                if min(higher) < 1.0:
                    sentences.append(
                        "Minima of the same chi² in different places are equivalent by symmetry, or the data do not tell "
                        "them apart."
                    )
        lost = Counter(row.status for row in self.rows if not row.minimum)
        words = {
            "error": "failed", "max_steps": "ran out of steps", "stalled": "stalled", "diverged": "diverged",
            "interrupted": "were interrupted",
        }  # fmt: skip
        if lost:
            parts = ", ".join(f"{count} {words.get(status, status)}" for status, count in lost.most_common())
            sentences.append(f"Of {n} starts {parts}.")
        return " ".join(sentences)

    def table(self) -> str:
        """Return a table with one line per start: status, chi², steps, distance from the best minimum, and minimum."""
        rows = [
            (row.start, row.status, f"{row.chi2:.7g}", row.steps, f"{row.distance:.3g}", row.minimum or "-")
            for row in self.rows
        ]
        return plain(("start", "status", "chi²", "steps", "distance/esd", "minimum"), rows)

    def __repr__(self) -> str:
        """Return the summary, and the table unless all starts agree."""
        where = counted(self.devices, "device")
        lines = [f"StartsResult: {self.message}", f"{self.evaluations} evaluations on {where}, {self.seconds:.1f} s"]
        return "\n".join(
            lines if len(set(self.found)) == 1 and sum(self.found) == len(self.rows) else [*lines, self.table()]
        )


@checked
def refine_starts(
    objective: Objective,
    starts: Parameters | Sequence[Parameters],
    *,
    solver: Solver | None = None,
    stages: Sequence[Stage] | None = None,
    callback: Callable[[StartRow], None] | None = None,
    devices: Sequence[jax.Device] | None = None,
    width: int | None = None,
    same: float = SAME_MINIMUM,
    most_minima: int = 3,
    throw: bool = True,
) -> StartsResult:
    """Refine an objective from many starts in one call, and find which of them reach the same minimum.

    Every start takes the same course as in :func:`jaxnmr.refine`, with its own damping, bounds, peak windows and
    neighbours; residuals and Jacobians are evaluated for batches of starts, spread over all devices. A start that fails
    is a row of the table and does not stop the others.

    Args:
        objective: function to minimise.
        starts: parameters with ``flat`` of shape ``(n, values)``, as returned by :func:`jaxnmr.displaced` or
            :func:`jaxnmr.perturb`, or a list of `Parameters` of this objective that differ in their values.
        solver, stages: as for :func:`jaxnmr.refine`.
        callback: called with a `StartRow` whenever a start has ended (``distance`` and ``minimum`` are not yet known).
        devices: devices to use; all local ones by default.
        width: number of starts per device at a time; by default 1 on CPUs, 64 on accelerators.
        same: results within this many standard uncertainties, all parameters together, are the same minimum.
        most_minima: number of distinct minima of which full results are made, best first.
        throw: raise if no start converged.

    Returns:
        The outcome, with ``.best``, ``.minima``, ``.rows`` and ``.table()``.

    Raises:
        ParameterError: there are no starts, starts belong to different models, or nothing is free.
        PrecisionError: single precision.
        ConvergenceError: no start converged; the outcome is the ``result`` attribute of the error.

    Example:
        >>> starts = jn.displaced(objective, params.free("xyz"), jax.random.key(0), n=20, distance=0.05)
        >>> print(jn.refine_starts(objective, starts))  # doctest: +SKIP
    """
    began = time.perf_counter()
    starts = _listed(starts)
    solver = solver or LevenbergMarquardt()
    if not same > 0.0 or most_minima < 0:
        raise ParameterError(
            f"same is {same:g} and most_minima {most_minima}; expected a positive number, and one from 0 on"
        )
    batches = Batches(devices, width)
    # all are made before the first one runs: a problem common to all is an error, not a row
    descents = [Descent(objective, start, solver, stages) for start in starts]
    endings: list[Ending | None] = [None] * len(descents)
    for ending in together(descents, batches):
        endings[ending.index] = ending
        if callback is not None:
            steps = ending.descent.steps
            callback(_row(ending, steps[-1].chi2 if steps else float("nan")))
    interrupted = lambda k: Ending(k, descents[k], "interrupted", "The refinement had not begun.")
    known = [ending or interrupted(k) for k, ending in enumerate(endings)]
    first = known[0].error
    if first is not None and all(e.error is not None and not isinstance(e.error, JaxnmrError) for e in known):
        raise first
    result = _outcome(known, batches, began, same, most_minima)
    if throw and not result.converged and not any(row.status == "interrupted" for row in result.rows):
        error = ConvergenceError(result.message)
        error.result = result
        raise error
    return result


def _listed(starts) -> list[Parameters]:
    if isinstance(starts, Parameters):
        flat = np.atleast_2d(np.asarray(starts.flat, dtype=float))
        return [starts.replace(flat=row) for row in flat]
    starts = list(starts)
    if not starts:
        raise ParameterError(
            "no starts were given: refine_starts(objective, jn.displaced(objective, params, key, n=20))"
        )
    for k, start in enumerate(starts[1:], start=1):
        if start.spec != starts[0].spec:
            raise ParameterError(
                f"start {k} is of another model than start 0, or has other parameters free: starts differ in values only"
            )
    return starts


def _row(ending: Ending, chi2: float, distance: float = float("nan"), minimum: int = 0) -> StartRow:
    return StartRow(ending.index, ending.status, ending.message, chi2, len(ending.descent.steps), distance, minimum)


def _outcome(endings: list[Ending], batches: Batches, began: float, same: float, most_minima: int) -> StartsResult:
    """Find which results are the same minimum, and make full results of the best ones."""
    ended = [e for e in endings if e.status != "error" and e.descent.begun]
    places = {e.index: e.descent.params.theta for e in ended}
    values = batches.linearised([e.descent for e in ended])
    chi2, local = {}, {}
    for e, (r, jacobian) in zip(ended, values, strict=True):
        chi2[e.index] = float(r @ r)
        if np.isfinite(jacobian).all():
            freedom = max(r.size - int(e.descent.active.sum()), 1)
            local[e.index] = Linearised.create(r, jacobian), max(float(r @ r) / freedom, SMALLEST_GOF2)
    representatives: list[int] = []
    minimum: dict[int, int] = {}

    def apart(k: int, other: int) -> float:
        """Return the distance between two ends in the standard uncertainties of the second."""
        problem, gof2 = local[other]
        shift = problem.triangle @ ((places[k] - places[other]) * problem.norms)
        return float(np.sqrt(shift @ shift / gof2))

    reached = [e.index for e in ended if e.status == "converged" and e.index in local and np.isfinite(chi2[e.index])]
    for k in sorted(reached, key=chi2.__getitem__):
        for number, other in enumerate(representatives, start=1):
            # along undetermined directions all distances vanish: chi² must agree as well
            if apart(k, other) < same and chi2[k] - chi2[other] < same**2 * local[other][1]:
                minimum[k] = number
                break
        else:
            representatives.append(k)
            minimum[k] = len(representatives)
    best = representatives[0] if representatives else None
    rows = tuple(
        _row(
            e,
            chi2.get(e.index, float("nan")),
            apart(e.index, best) if best is not None and e.index in places else float("nan"),
            minimum.get(e.index, 0),
        )
        for e in endings
    )
    first = endings[0].descent.params
    return StartsResult(
        rows=rows,
        minima=tuple(_result(endings[k]) for k in representatives[:most_minima]),
        levels=tuple(chi2[k] for k in representatives),
        parameters=first.replace(flat=np.stack([np.asarray(e.descent.params.flat) for e in endings])),
        same=same,
        seconds=time.perf_counter() - began,
        compile_seconds=batches.compile_seconds + sum(e.descent.compile_seconds for e in endings),
        evaluations=batches.evaluations,
        devices=len(batches.devices),
        width=batches.width,
    )


def _result(ending: Ending) -> RefinementResult:
    return ending.descent.result(ending.status, ending.message)


@checked
def displaced(objective: Objective, params: Parameters, key, *, n: int, distance: float = 0.05) -> Parameters:
    """Return ``n`` copies of parameters with atoms moved at random by up to ``distance`` Å, for :func:`refine_starts`.

    A site moves within the directions that symmetry allows, uniformly in a ball (disc, line) of this radius; tied values
    follow, and bounds are respected. Everything else is unchanged; :func:`jaxnmr.perturb` moves all free parameters.

    Args:
        objective: provides the structures.
        params: starting values; their free coordinates move, or all that symmetry allows if none is free.
        key: typed PRNG key.
        n: number of copies.
        distance: largest displacement of any atom, Å.

    Returns:
        Parameters with ``flat`` of shape ``(n, values)``.

    Raises:
        ParameterError: symmetry fixes all coordinates, there is less than one copy, or the distance is not positive.

    Example:
        >>> starts = jn.displaced(objective, params.free("xyz"), jax.random.key(0), n=3, distance=0.05)
        >>> starts.flat.shape[0]
        3
    """
    require_key(key, "displaced")
    if n < 1 or not 0 < distance < float("inf"):
        raise ParameterError(f"n is {n} and distance {distance} Å; expected at least 1 and a positive length")
    names = [objective.phase_prefix(phase) + "xyz" for phase in objective.crystals]
    places = params.spec.layout.unflatten(np.arange(len(params.labels)))
    everywhere = np.concatenate([places[name].ravel() for name in names])
    moving = params if np.isin(params.spec.free_pivots, everywhere).any() else params.free(*names)
    spec, theta = moving.spec, np.tile(moving.theta, (n, 1))
    for name in names:
        cell = np.asarray(params.values[name.removesuffix("xyz") + "cell"], dtype=float)
        for rows in places[name]:
            columns = np.flatnonzero(np.isin(spec.free_pivots, rows))
            if not columns.size:
                continue
            # Å per refined parameter, in an orthonormal frame of the directions of the site
            _, triangle = np.linalg.qr(lattice(cell).T @ spec.transform[np.ix_(rows, columns)])
            key, own = jax.random.split(key)
            moves = distance * np.asarray(jax.random.ball(own, columns.size, shape=(n,)), dtype=float)
            theta[:, columns] += np.linalg.solve(triangle, moves.T).T
    if not np.isin(spec.free_pivots, everywhere).any():
        raise ParameterError("symmetry fixes all coordinates, so no atom can be displaced; jn.perturb moves the rest")
    theta = np.clip(theta, *moving.theta_bounds())
    return params.replace(flat=moving.offset() + theta @ spec.transform.T)
