"""Series: many patterns or spectra refined in turn with one model, each from its neighbour's result (host)."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ..._arguments import checked, shown
from ..._compilations import watch_compilations
from ...errors import ConventionError, ParameterError, PrecisionError
from ...objective import Objective, Parameters
from ...refinement.descent import Descent
from ...refinement.loop import starting
from ...refinement.result import RefinementResult
from ...refinement.solvers import LevenbergMarquardt, Solver
from ...refinement.stages import Stage
from ..fingerprint import fingerprint
from ..rooms import spacious
from .numbers import numbers
from .presence import RETURNS, Part, amounts, goodness, parts, seen
from .rows import SeriesResult, SeriesRow, better
from .table import SeriesTable

Make = Callable[[Any], Sequence[Any]]


@checked
def refine_series(
    data: Mapping[str, Any] | Iterable[Any],
    make: Make,
    *,
    at: Sequence[float] | Mapping[str, float] | None = None,
    abscissa: str = "row",
    unit: str = "",
    folder: str | Path | None = None,
    backward: bool = True,
    stages: Sequence[Stage] | None = None,
    solver: Solver | None = None,
    present: float = 3.0,
    callback: Callable[[SeriesRow], None] | None = None,
    settings: str = "",
) -> SeriesResult:
    """Refine a series of data sets with one model, each starting from the result of its neighbour.

    The first data set is refined in all stages from the values of the model, the others in the last stage from the
    result of the previous one. On the way back each starts from the one after it; the better of the two results is
    kept, and if they are different minima, the result reports it. Plans have some margin, so that all rows share one
    compiled program.

    If the amount of a phase or a site does not differ significantly from zero, nothing else of it can be refined: its other
    parameters are held at the neighbour's values, and freed again when there is more of it.

    Args:
        data: files, patterns, spectra or other arguments of ``make``, in the order of the series; a mapping from names
            to them, or files, whose names become those of their rows.
        make: makes the objective and its parameters from one of them, and optionally stages and solver that replace
            those below: ``(objective, params)`` up to ``(objective, params, stages, solver)``. The parameters must be
            the same every time.
        at: temperature, time, composition or field of each, in the same order or by name; 1, 2, 3 ... by default.
        abscissa, unit: name and unit of ``at``, for tables and figures.
        folder: folder in which every finished row is kept, so that a call after an interruption continues; by default
            nothing is kept.
        backward: whether to refine the series backwards as well.
        stages, solver: as for :func:`jaxnmr.refine`.
        present: a phase or a site is present if its amount is at least this many standard uncertainties (and returns at 1.5
            times as many).
        callback: called with a `SeriesRow` whenever a refinement is finished.
        settings: part of the digest; change it when ``make`` changed in a way that objective and parameters do not show.

    Raises:
        ConventionError: there are no data, or two sets with the same name; ``at`` is not finite or has another length;
            the folder holds another series or is used by another process.
        PrecisionError: single precision.

    Example:
        >>> result = jn.refine_series(patterns, make, at=[300, 400, 500], abscissa="T", unit="K", folder="out/heating")  # doctest: +SKIP
        >>> values, esds = result.column("cell[a]")  # doctest: +SKIP
    """
    if jax.numpy.zeros(1).dtype != np.float64:
        raise PrecisionError("a series needs double precision: call jaxnmr.enable_x64() before anything else")
    if not present > 0:
        raise ConventionError(
            f"present is {present:g}; expected a positive number of standard uncertainties, such as 3"
        )
    named = _named(data)
    return _Series(
        named, make, _abscissae(list(named), at), SeriesTable(folder), stages, solver, present, callback,
        f"{settings} {present}",
    ).go(backward, abscissa, unit)  # fmt: skip


class _Setup(NamedTuple):
    """Inputs of the refinement of one row."""

    objective: Objective
    params: Parameters
    stages: list[Stage] | None
    solver: Solver
    doubts: tuple[str, ...]


class _Solved(NamedTuple):
    """Outcome of the refinement of a row."""

    descent: Descent
    ended: tuple[str, str]
    absent: tuple[str, ...]
    steps: int
    evaluations: int


class _Series:
    """State of one call."""

    def __init__(self, named, make, at, table, stages, solver, present, callback, settings):
        self.began = time.perf_counter()
        self.named, self.make, self.at, self.table = named, make, at, table
        self.stages, self.solver, self.present = stages, solver or LevenbergMarquardt(), present
        self.callback, self.settings = callback, settings
        self.place = {name: k for k, name in enumerate(named)}
        self.sizes: dict[str, list[int]] = {}
        self.units: dict[str, str] = {}
        self.moved: tuple[str, ...] = ()
        self.parts: tuple[Part, ...] = ()
        self.layout: Any = None
        self.refined = self.resumed = 0
        self.compile_seconds = 0.0

    def go(self, backward: bool, abscissa: str, unit: str) -> SeriesResult:
        names = list(self.named)
        try:
            forward = self._pass(names, "forward", None, "", {})
            back: dict[str, SeriesRow] = {}
            last = next((row for row in reversed(forward.values()) if row.usable), None)
            if backward and last is not None:
                behind = list(reversed(names[: self.place[last.name]]))
                back = self._pass(behind, "backward", last, last.key, forward)
        finally:
            self.table.close()
        rows = tuple(better(row, back[name]) if name in back else row for name, row in forward.items())
        units = self.units | {name: of[2] for row in rows for name, of in row.derived.items()}
        return SeriesResult(
            rows=rows, forward=forward, backward=back, abscissa=abscissa, unit=unit, units=units, names=self.moved,
            parts=tuple(part.name for part in self.parts), refined=self.refined, resumed=self.resumed,
            seconds=time.perf_counter() - self.began, compile_seconds=self.compile_seconds, again=self._again,
        )  # fmt: skip

    def _pass(self, names, direction: str, neighbour: SeriesRow | None, key: str, rivals) -> dict[str, SeriesRow]:
        """Refine rows in one direction, each from the last usable one before it."""
        rows: dict[str, SeriesRow] = {}
        for name in names:
            row = self._row(name, direction, neighbour, key, rivals.get(name))
            rows[name], key = row, row.key
            if not self.sizes and row.sizes:
                self.sizes = row.sizes
            neighbour = row if row.usable else neighbour
            if self.callback is not None:
                self.callback(row)
        return rows

    # -- one row -------------------------------------------------------------------------------------------------
    def _row(
        self, name: str, direction: str, neighbour: SeriesRow | None, before: str, rival: SeriesRow | None
    ) -> SeriesRow:
        began, key = time.perf_counter(), _digest(before, name, "no setup")
        bare = SeriesRow(name, self.at[name], direction, "error", "", start=neighbour.name if neighbour else "")
        with watch_compilations() as compiled:
            try:
                setup = self._setup(name)
                key = _digest(
                    before, name, fingerprint(setup.objective, setup.params, setup.stages, setup.solver, self.settings)
                )
            except Exception as err:
                return replace(bare, key=key, message=f"{type(err).__name__}: {err}")
            self.table.open(list(self.named), key)
            known = self.table.row(name, direction, key)
            if known is not None:
                self.resumed += 1
                return replace(known, at=self.at[name])
            try:
                made = self._solved(setup, neighbour)
                row = self._described(bare, setup, made, rival)
            except Exception as err:
                row = replace(bare, message=f"{type(err).__name__}: {err}")
        seconds = time.perf_counter() - began
        self.compile_seconds += compiled.seconds
        row = replace(row, key=key, at=self.at[name], compiled=compiled.count, seconds=seconds)
        self.refined += 1
        self.table.keep(row)
        return row

    def _setup(self, name: str) -> _Setup:
        """Call ``make`` for one data set; warnings raised meanwhile belong to its row."""
        with warnings.catch_warnings(record=True) as doubts:
            warnings.simplefilter("always", UserWarning)
            made: list[Any] = list(self.make(self.named[name]))
        said = tuple(dict.fromkeys(str(d.message) for d in doubts if issubclass(d.category, UserWarning)))
        objective, params, stages, solver = made + [None] * (4 - len(made))
        if objective.by_residuals:
            raise ParameterError(
                f"{_listed(objective)} count as their residuals say, which a series does not find out: give them a weight, or none"
            )
        setup = _Setup(objective, params, stages or self.stages, solver or self.solver, said)
        self._know(setup)
        return setup

    def _know(self, setup: _Setup) -> None:
        """Take the common properties of all rows from the first; refuse rows that differ."""
        if self.layout is None:
            descent = Descent(setup.objective, setup.params, setup.solver, setup.stages)
            self.layout = (setup.params.labels, descent.params.free_names)
            # tied and symmetry-related values are redundant
            self.moved = descent.params.free_names
            self.parts = parts(setup.objective, descent.params)
            self.units = dict(zip(setup.params.labels, setup.params.spec.units, strict=True))
        elif setup.params.labels != self.layout[0]:
            raise ParameterError(
                "its model has other parameters than that of the first row; all rows must have the same ones"
            )

    def _descent(
        self, setup: _Setup, flat: np.ndarray | None, held: Collection[str], *, amounts_only: bool = False
    ) -> Descent:
        """Set up a refinement: in all stages, or in the last one from other values, with parts held."""
        descent = Descent(setup.objective, setup.params, setup.solver, setup.stages)
        if descent.params.free_names != self.layout[1]:
            raise ParameterError(
                "other parameters are refined in it than in the first row; all rows must refine the same ones"
            )
        moving = np.ones(descent.params.n_free, dtype=bool)
        for part in self.parts:
            if part.name in held:
                moving &= ~part.others
        if amounts_only:
            moving &= np.asarray(descent.params.spec.intensity)[descent.params.spec.free_pivots]
        if flat is not None:
            moves = descent.params.spec.transform.any(axis=1)
            own = np.asarray(descent.params.flat, dtype=float)
            descent.params = descent.params.replace(flat=np.where(moves, flat, own))
            descent.point = starting(descent.params.theta, len(setup.objective.terms))
        if flat is not None or amounts_only:
            descent.point = descent.point._replace(stage=np.int32(len(descent.masks) - 1))
        descent.masks = [mask & moving for mask in descent.masks]
        descent.objective = self._in_room(setup.objective)
        return descent

    def _in_room(self, objective: Objective) -> Objective:
        """Return the objective with terms of common sizes for all rows, to be planned when it is bound."""
        room = lambda term: tuple(self.sizes[term.name]) if term.name in self.sizes else spacious(term.sizes)
        return objective.replace(terms=tuple(t.in_room(room(t), None) if t.sizes else t for t in objective.terms))

    def _solved(self, setup: _Setup, neighbour: SeriesRow | None) -> _Solved:
        """Refine, and determine which parts are present, until that no longer changes."""
        held = self._not_there(setup) if neighbour is None else frozenset(neighbour.absent)
        flat = None if neighbour is None else np.array(neighbour.flat)
        origin: Parameters | None = None
        settled: frozenset[str] = frozenset()
        steps = evaluations = 0
        while True:
            descent = self._descent(setup, flat, held)
            origin = descent.params if origin is None else origin
            ended = descent.alone()
            steps, evaluations = steps + len(descent.steps), evaluations + descent.evaluations
            if ended[0] == "interrupted":
                raise KeyboardInterrupt
            if ended[0] == "diverged" or not self.parts:
                break
            found = seen(self.parts, amounts(descent))
            back = {name for name in held if found[name] > RETURNS * self.present} - settled
            gone = {name for name, ratio in found.items() if name not in held and ratio <= self.present} - settled
            if not back and not gone:
                break
            settled, held = settled | back | gone, (held - back) | gone
            theta = descent.params.theta
            for part in self.parts:
                if part.name in gone:
                    theta = np.where(part.others, origin.theta, theta)
            flat = np.asarray(descent.params.at(theta).flat)
        return _Solved(descent, ended, tuple(part.name for part in self.parts if part.name in held), steps, evaluations)

    def _not_there(self, setup: _Setup) -> frozenset[str]:
        """Return the parts not visible in the data of the first row at the starting values, which would drift freely."""
        if not self.parts:
            return frozenset()
        descent = self._descent(setup, None, (), amounts_only=True)
        if descent.alone()[0] == "interrupted":
            raise KeyboardInterrupt
        # the misfit of the starting values is no measure of uncertainty: use stated uncertainties
        found = seen(self.parts, amounts(descent, scattered=False))
        return frozenset(name for name, ratio in found.items() if ratio <= self.present)

    def _described(self, row: SeriesRow, setup: _Setup, made: _Solved, rival: SeriesRow | None) -> SeriesRow:
        descent = made.descent
        fit = descent.result(*made.ended)
        values, derived = numbers(fit, self.moved)
        rows = max(of.stop for of in descent.slices.values())
        apart = None if rival is None or not rival.usable else self._apart(descent, made.absent, rival)
        return replace(
            row, status=fit.status, message=fit.message, chi2=float(descent.point.chi2), n_residuals=int(rows),
            n_parameters=int(descent.active.sum()), gof=goodness(descent),
            factors={name: next(iter(s.factors.values())) for name, s in fit.statistics.items() if s.factors},
            values=values, derived=derived, absent=made.absent, apart=apart,
            flags=(*setup.doubts, *fit.null_directions, *fit.warnings), steps=made.steps, evaluations=made.evaluations,
            sizes={term.name: list(term.sizes) for term in descent.objective.terms if term.sizes},
            flat=tuple(float(v) for v in np.asarray(fit.parameters.flat)),
        )  # fmt: skip

    def _apart(self, descent: Descent, absent: Collection[str], rival: SeriesRow) -> float:
        """Return the distance to another result for the same data, in standard uncertainties of all parameters together."""
        spec, problem = descent.params.spec, descent.point.problem
        other = np.array(rival.flat)[spec.free_pivots] / spec.scale[spec.free_pivots]
        away = other - np.asarray(descent.point.theta)
        for part in self.parts:
            if part.name in absent and part.name in rival.absent:  # held at the values of other neighbours
                away = np.where(part.amounts | part.others, 0.0, away)
        length = np.linalg.norm(np.asarray(problem.triangle) @ (away * np.asarray(problem.norms)))
        return float(length / max(goodness(descent), 1e-300))

    def _again(self, row: SeriesRow) -> RefinementResult:
        descent = self._descent(self._setup(row.name), np.array(row.flat), row.absent)
        descent.begin()
        return descent.result(row.status, row.message)


def _digest(*words: str) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def _listed(objective: Objective) -> str:
    return ", ".join(map(repr, objective.by_residuals))


def _named(data: Mapping[str, Any] | Iterable[Any]) -> dict[str, Any]:
    if isinstance(data, Mapping):
        named = {str(name): one for name, one in data.items()}
    else:
        named = {}
        for one in data:
            name = getattr(one, "name", None)
            if isinstance(one, str | Path):
                name = Path(one).name
            if not isinstance(name, str):
                raise ParameterError(
                    f"one of the data is {shown(one)}; expected files, patterns or spectra, or any of them by name"
                )
            if name in named:
                raise ConventionError(
                    f"two of the data are called {name!r}: give them by name, {{'first': ..., 'second': ...}}"
                )
            named[name] = one
    if not named:
        raise ConventionError("no data were given; a series needs at least one pattern or spectrum")
    return named


def _abscissae(names: Sequence[str], at: Sequence[float] | Mapping[str, float] | None) -> dict[str, float]:
    if at is None:
        return {name: float(k) for k, name in enumerate(names, start=1)}
    if isinstance(at, Mapping):
        lacking = [name for name in names if name not in at]
        if lacking:
            raise ConventionError(
                f"at says nothing of {lacking[0]!r}{f' and {len(lacking) - 1} others' if lacking[1:] else ''}"
            )
        found = {name: float(at[name]) for name in names}
    else:
        if len(at) != len(names):
            raise ConventionError(f"at has {len(at)} numbers for {len(names)} sets of data; expected one for each")
        found = {name: float(value) for name, value in zip(names, at, strict=True)}
    strange = [name for name, value in found.items() if not np.isfinite(value)]
    if strange:
        raise ConventionError(f"at of {strange[0]!r} is {found[strange[0]]}; expected a finite number")
    return found
