"""`SeriesResult`: rows of a series, their common results, and a summary in words (host)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np

from ..._tables import plain
from ..._words import counted, listed
from ...errors import ParameterError
from ...refinement.result import RefinementResult
from ...units import format_esd

# two directions that end within this many standard uncertainties, all parameters together, found the same minimum
SAME_MINIMUM = 0.5
_NAN = float("nan")


@dataclass(frozen=True)
class SeriesRow:
    """One row: the refinement of one data set.

    Attributes:
        name: name of the row; ``at`` its abscissa.
        direction: ``"forward"`` or ``"backward"``: the side of the neighbour it started from.
        status, message: as in a `RefinementResult`, or ``"error"`` if it could not be set up or refined.
        chi2: sum of squared residuals of the whole objective; NaN after an error.
        n_residuals, n_parameters: number of residuals and of refined parameters.
        gof: root of chi² over the degrees of freedom.
        factors: Rwp per histogram and Rw per spectrum, per cent.
        values: value and standard uncertainty of all parameters that may be refined, by name; uncertainty 0 if held.
        derived: value, standard uncertainty and unit of derived quantities: volumes, weight fractions, ...
        absent: phases and sites with insignificant amounts; their other parameters were held.
        apart: for a row refined in both directions, distance between the two results in standard uncertainties, all
            parameters together; otherwise ``None``.
        flags: reasons to doubt this row, in words.
        steps, evaluations: numbers of both; ``compiled`` number of programs that were compiled, ``seconds`` wall time.
        start: name of the row it started from; empty for the values of the model.
        sizes: sizes of planned arrays by term, so that other rows share programs.
        flat: all values, as start of the neighbour.
        key: digest of data, model and neighbours.
    """

    name: str
    at: float
    direction: str
    status: str
    message: str
    chi2: float = _NAN
    n_residuals: int = 0
    n_parameters: int = 0
    gof: float = _NAN
    factors: dict[str, float] = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)
    derived: dict[str, list[Any]] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    apart: float | None = None
    flags: tuple[str, ...] = ()
    steps: int = 0
    evaluations: int = 0
    compiled: int = 0
    seconds: float = 0.0
    start: str = ""
    sizes: dict[str, list[int]] = field(default_factory=dict)
    flat: tuple[float, ...] = ()
    key: str = ""

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """Make a row from its record in a folder."""
        known = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
        number = lambda value: _NAN if value is None else value
        known |= {name: number(known[name]) for name in ("at", "chi2", "gof")}
        known |= {name: tuple(known[name]) for name in ("absent", "flags", "flat")}
        known["factors"] = {name: number(value) for name, value in known["factors"].items()}
        known["values"] = {name: [number(v) for v in pair] for name, pair in known["values"].items()}
        known["derived"] = {name: [number(v) for v in of[:2]] + of[2:] for name, of in known["derived"].items()}
        return cls(**known)

    @property
    def usable(self) -> bool:
        """Return whether the row has a result from which a neighbour may start."""
        return bool(self.flat) and self.status in ("converged", "max_steps", "stalled", "misfit")

    @property
    def rwp(self) -> float:
        """Mean of the weighted R factors of histograms and spectra, per cent."""
        return float(np.mean(list(self.factors.values()))) if self.factors else _NAN


class Span(NamedTuple):
    """Consecutive rows: names and abscissae of the first and the last."""

    first: str
    last: str
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:g}" if self.first == self.last else f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True, repr=False)
class SeriesResult:
    """The outcome of :func:`jaxnmr.refine_series`.

    Attributes:
        rows: better result of the two directions, in the order of the series.
        forward, backward: rows of each direction by name; ``backward`` is empty without a way back.
        abscissa, unit: name and unit of ``at`` of the rows.
        units: unit of every column, by name of the parameter or derived quantity.
        names: all parameters that may be refined; ``parts`` phases and sites that may be absent.
        refined, resumed: number of refinements in this call, and of those read from the folder.
        seconds: wall time; ``compile_seconds`` the part spent compiling.
    """

    rows: tuple[SeriesRow, ...]
    forward: dict[str, SeriesRow]
    backward: dict[str, SeriesRow]
    abscissa: str
    unit: str
    units: dict[str, str]
    names: tuple[str, ...]
    parts: tuple[str, ...]
    refined: int
    resumed: int
    seconds: float
    compile_seconds: float
    again: Callable[[SeriesRow], RefinementResult]

    @property
    def at(self) -> np.ndarray:
        """Abscissae, ``(rows,)``."""
        return np.array([row.at for row in self.rows])

    @property
    def axis(self) -> str:
        """Abscissa with its unit, for headings."""
        return f"{self.abscissa} / {self.unit}" if self.unit else self.abscissa

    def column(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return values and standard uncertainties ``(rows,)`` of a parameter or derived quantity; NaN if missing.

        Raises:
            ParameterError: there is no such column.
        """
        if name not in self.columns:
            raise ParameterError(f"the series has no column {name!r}; it has {', '.join(self.columns)}")
        pairs = [(row.values.get(name) or row.derived.get(name) or (_NAN, _NAN))[:2] for row in self.rows]
        values, esds = np.array(pairs, dtype=float).T
        return values, esds

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns with uncertainties: parameters refined in at least one row, and derived quantities."""
        moved = [name for name in self.names if any(row.values.get(name, (0, 0))[1] > 0 for row in self.rows)]
        return (*moved, *dict.fromkeys(name for row in self.rows for name in row.derived))

    def fit(self, name: str) -> RefinementResult:
        """Return the full result of one row, for its figure and report, recalculated at its parameters.

        Raises:
            ParameterError: there is no such row, or it could not be refined.
        """
        found = [row for row in self.rows if row.name == name]
        if not found:
            raise ParameterError(f"the series has no row {name!r}; the first of its rows is {self.rows[0].name!r}")
        if not found[0].flat:
            raise ParameterError(f"row {name!r} could not be refined: {found[0].message}")
        return self.again(found[0])

    def presence(self) -> dict[str, tuple[Span, ...]]:
        """Return the ranges in which each phase (or site) is present, for those that are absent somewhere."""
        of = {part: self._spans(part not in row.absent and row.usable for row in self.rows) for part in self.parts}
        return {part: spans for part, spans in of.items() if any(part in row.absent for row in self.rows)}

    def disagreements(self) -> tuple[Span, ...]:
        """Return the ranges in which the two directions end in different minima."""
        return self._spans(self._disagrees(row.name) for row in self.rows)

    def _disagrees(self, name: str) -> bool:
        row = self.backward.get(name)
        return row is not None and row.apart is not None and row.apart >= SAME_MINIMUM

    def _spans(self, flags: Iterable[bool]) -> tuple[Span, ...]:
        out: list[Span] = []
        before = False
        for row, flag in zip(self.rows, flags, strict=True):
            if flag and before:
                out[-1] = out[-1]._replace(last=row.name, high=row.at)
            elif flag:
                out.append(Span(row.name, row.name, row.at, row.at))
            before = flag
        return tuple(out)

    @property
    def sentences(self) -> tuple[str, ...]:
        """Sentences about the outcome."""
        n = len(self.rows)
        done = sum(row.status == "converged" for row in self.rows)
        words = [f"{done} of {counted(n, 'row')} converged, {self.axis} from {self.at[0]:g} to {self.at[-1]:g}."]
        words += [f"{row.name}: {row.message}" for row in self.rows if row.status != "converged"]
        for part, spans in self.presence().items():
            where = listed([str(span) for span in spans])
            words.append(
                f"{part} is present from {where} {self.unit}.".replace(" .", ".")
                if spans
                else f"{part} is present nowhere."
            )
        for span in self.disagreements():
            rows = [row for row in self.rows if self._disagrees(row.name) and _within(row, span, self.rows)]
            better = [row.direction for row in rows]
            gain = [abs(self.forward[row.name].chi2 - self.backward[row.name].chi2) for row in rows]
            words.append(
                f"Forward and backward end in different minima from {span} {self.unit} ({counted(len(rows), 'row')}): {better.count('forward')} times "
                f"forward is better, {better.count('backward')} times backward, by up to {max(gain):.3g} of chi². The better ones are kept; "
                "where the differences are small, the data do not tell the two apart."
            )  # fmt: skip
        return tuple(words)

    @property
    def message(self) -> str:
        """Summary of the outcome, in sentences."""
        return " ".join(self.sentences)

    def table(self) -> str:
        """Return a table with one line per row and all refined parameters."""
        return plain(*self.cells(self.columns))

    def cells(self, columns: Sequence[str]) -> tuple[list[str], list[list[str]]]:
        """Return headings and lines of a table with these columns."""
        head = ["row", self.axis, "status", "R / %", "GoF", *(self.heading(name) for name in columns), "absent"]
        lines = []
        for row in self.rows:
            cells = [written(row.values.get(name) or row.derived.get(name)) for name in columns]
            agreement = [f"{row.rwp:.2f}", f"{row.gof:.3f}"] if row.flat else ["", ""]
            lines.append([row.name, f"{row.at:g}", row.status, *agreement, *cells, ", ".join(row.absent)])
        return head, lines

    def heading(self, name: str) -> str:
        """Return the heading of a column, with its unit."""
        return f"{name} / {self.units[name]}" if self.units.get(name) else name

    def __repr__(self) -> str:
        """Return the summary and the table."""
        return f"SeriesResult: {self.message}\n{self.table()}"


def written(pair: Sequence[Any] | None) -> str:
    """Write a value with its uncertainty; in brackets if it was held, empty if there is none."""
    if pair is None or not np.isfinite(pair[0]):
        return ""
    text = format_esd(pair[0], pair[1], digits=6)
    return text if pair[1] > 0 else f"[{text}]"


def _within(row: SeriesRow, span: Span, rows: Sequence[SeriesRow]) -> bool:
    names = [of.name for of in rows]
    return names.index(span.first) <= names.index(row.name) <= names.index(span.last)


def better(first: SeriesRow, second: SeriesRow) -> SeriesRow:
    """Return the better of two rows of the same data.

    A converged row is better, then the one with the smaller ``chi²/c + k ln n``; the first if both are the same minimum.

    As in a screening chi² is divided by that per degree of freedom of the better fit if it exceeds 1. Rows with equal
    numbers of refined parameters are compared by chi² alone.

    Source: Schwarz, Ann. Stat. 6, 461 (1978).
    """
    if first.usable != second.usable:
        return first if first.usable else second
    if (first.status == "converged") != (second.status == "converged"):
        return first if first.status == "converged" else second
    if second.apart is not None and second.apart < SAME_MINIMUM:
        return first
    excess = max(min(first.gof, second.gof) ** 2, 1.0)
    figure = lambda row: row.chi2 / excess + row.n_parameters * np.log(max(row.n_residuals, 1))
    return second if figure(second) < figure(first) else first
