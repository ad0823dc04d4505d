"""What a series returns: rows, what they say together, and words (host)."""

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

# two directions that end closer than this, in standard uncertainties with all parameters together, found the same minimum
SAME_MINIMUM = 0.5
_NAN = float("nan")


@dataclass(frozen=True)
class SeriesRow:
    """One row: one refinement of one set of data.

    Attributes:
        name: of the row; ``at`` its abscissa.
        direction: ``"forward"`` or ``"backward"``: from which neighbour it started.
        status, message: as of a `RefinementResult`, or ``"error"`` when it could not be set up or refined.
        chi2: sum of squared residuals of the whole objective; NaN after an error.
        n_residuals, n_parameters: residuals and refined numbers.
        gof: root of chi² over the degrees of freedom.
        factors: Rwp per histogram and Rw per spectrum, per cent.
        values: value and standard uncertainty of everything that a refinement may move, by name; 0 where it was held.
        derived: value, standard uncertainty and unit of what follows: volumes, weight fractions, ...
        absent: phases and sites whose amount is not told from zero; all else of them was held.
        apart: of a row that was refined in both directions, how far the two ends are from each other in standard
            uncertainties, all parameters together; otherwise ``None``.
        flags: what makes this row doubtful, in words.
        steps, evaluations: of the refinement; ``compiled`` how many programs it had to compile, ``seconds`` wall time.
        start: the name of the row it started from; empty for the values of the model.
        sizes: what was planned, by term, so that other rows share programs.
        flat: all values, for the neighbour to start from.
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
        """A row from its record in a folder."""
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
        """Return whether there is a result a neighbour may start from."""
        return bool(self.flat) and self.status in ("converged", "max_steps", "stalled", "misfit")

    @property
    def rwp(self) -> float:
        """Mean of the weighted R factors of histograms and spectra, per cent."""
        return float(np.mean(list(self.factors.values()))) if self.factors else _NAN


class Span(NamedTuple):
    """Rows in a row: names and abscissae of the first and the last."""

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
        rows: the better of the two directions, in the order of the series.
        forward, backward: rows of each direction by name; the backward ones are none without a way back.
        abscissa, unit: what ``at`` of the rows is.
        units: unit of every column, by name of the parameter or of what is derived.
        names: everything that a refinement may move; ``parts`` phases and sites that may be absent.
        refined, resumed: how many refinements this call did, and how many were read from the folder.
        seconds: wall time; ``compile_seconds`` of it spent compiling.
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
        """``(rows,)`` the abscissa."""
        return np.array([row.at for row in self.rows])

    @property
    def axis(self) -> str:
        """The abscissa with its unit, for headings."""
        return f"{self.abscissa} / {self.unit}" if self.unit else self.abscissa

    def column(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Values and standard uncertainties ``(rows,)`` of a parameter or of what follows from them; NaN where there is none.

        Raises:
            ParameterError: no such column.
        """
        if name not in self.columns:
            raise ParameterError(f"the series has no column {name!r}; it has {', '.join(self.columns)}")
        pairs = [(row.values.get(name) or row.derived.get(name) or (_NAN, _NAN))[:2] for row in self.rows]
        values, esds = np.array(pairs, dtype=float).T
        return values, esds

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns with uncertainties: parameters that some row refined, and what follows from them."""
        moved = [name for name in self.names if any(row.values.get(name, (0, 0))[1] > 0 for row in self.rows)]
        return (*moved, *dict.fromkeys(name for row in self.rows for name in row.derived))

    def fit(self, name: str) -> RefinementResult:
        """Everything about one row, for its picture and its report: calculated again at its parameters.

        Raises:
            ParameterError: no such row, or one that could not be refined.
        """
        found = [row for row in self.rows if row.name == name]
        if not found:
            raise ParameterError(f"the series has no row {name!r}; the first of its rows is {self.rows[0].name!r}")
        if not found[0].flat:
            raise ParameterError(f"row {name!r} could not be refined: {found[0].message}")
        return self.again(found[0])

    def presence(self) -> dict[str, tuple[Span, ...]]:
        """From where to where each phase (or site) is present, of those that are absent somewhere."""
        of = {part: self._spans(part not in row.absent and row.usable for row in self.rows) for part in self.parts}
        return {part: spans for part, spans in of.items() if any(part in row.absent for row in self.rows)}

    def disagreements(self) -> tuple[Span, ...]:
        """From where to where the two directions end in different minima."""
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
        """What came out."""
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
        """What came out, in sentences."""
        return " ".join(self.sentences)

    def table(self) -> str:
        """One line per row, with everything that was refined."""
        return plain(*self.cells(self.columns))

    def cells(self, columns: Sequence[str]) -> tuple[list[str], list[list[str]]]:
        """Heading and lines of a table with these columns."""
        head = ["row", self.axis, "status", "R / %", "GoF", *(self.heading(name) for name in columns), "absent"]
        lines = []
        for row in self.rows:
            cells = [written(row.values.get(name) or row.derived.get(name)) for name in columns]
            agreement = [f"{row.rwp:.2f}", f"{row.gof:.3f}"] if row.flat else ["", ""]
            lines.append([row.name, f"{row.at:g}", row.status, *agreement, *cells, ", ".join(row.absent)])
        return head, lines

    def heading(self, name: str) -> str:
        """A column with its unit."""
        return f"{name} / {self.units[name]}" if self.units.get(name) else name

    def __repr__(self) -> str:
        """The sentences and the table."""
        return f"SeriesResult: {self.message}\n{self.table()}"


def written(pair: Sequence[Any] | None) -> str:
    """A value with its uncertainty; in brackets where it was held, nothing where there is none."""
    if pair is None or not np.isfinite(pair[0]):
        return ""
    text = format_esd(pair[0], pair[1], digits=6)
    return text if pair[1] > 0 else f"[{text}]"


def _within(row: SeriesRow, span: Span, rows: Sequence[SeriesRow]) -> bool:
    names = [of.name for of in rows]
    return names.index(span.first) <= names.index(row.name) <= names.index(span.last)


def better(first: SeriesRow, second: SeriesRow) -> SeriesRow:
    """The better of two rows of the same data: one that converged, then the smaller ``chi²/c + k ln n``; the first where both are
    the same minimum.

    As in a screening chi² is divided by that per degree of freedom of the better fit where it exceeds 1. Rows of as many refined
    numbers are compared by chi² alone.

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
