"""`Evidence`: data of a term at one state for reports, figures and files, in plain arrays (host).

Statistics, reports, figures, result files and progress lines read a term only through its evidence, whatever its
class.

Texts may name parameters in braces, ``"δ / ppm = {peaks/reference}"``, optionally with a factor,
``"{nmr/cq[Na1] × 1e-06}"``. The report replaces them by refined values with their standard uncertainties.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from .misfit import Misfit, listed, misfit
from .statistics import ProfileStatistics, Statistics, peak_match

Condition = tuple[str, str]
# a goodness of fit beyond _POOR is a misfit; beyond the first of _WAVES it is one if Durbin-Watson is below the second
_POOR, _WAVES = 10.0, (2.0, 0.25)
# below this correlation of observed and calculated peaks, a minimum is not a solution
_MATCHED = 0.8
# a goodness of fit below this, or an expected R factor (per cent) above the next, shows wrong uncertainties
_TOO_GOOD = 0.3
_NOISE_ALONE = 50.0
# most rows that a report shows of one term: those with the largest differences
_MOST_ROWS = 100


@dataclass(frozen=True)
class Table:
    """A table of a report.

    Attributes:
        title: heading, below the name of the term.
        header: column headings.
        rows: rows of cells: numbers, or texts in which parameters may be named.
        lead, tail: sentences before and after the table.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    lead: str = ""
    tail: str = ""


@dataclass(frozen=True)
class Derived:
    """A quantity derived from parameters.

    Attributes:
        part: site or phase it belongs to.
        quantity, unit: name and unit.
        value: value at the state.
        slopes: derivatives with respect to the parameters it depends on, by full name.
        doubt: a warning about the value, in which ``{}`` is replaced by the value with its uncertainty; ``""`` for none.
    """

    part: str
    quantity: str
    unit: str
    value: float
    slopes: Mapping[str, float]
    doubt: str = ""

    def esd(self, place: Mapping[str, int], covariance: np.ndarray) -> float:
        """Return the standard uncertainty from a covariance ``(values, values)`` and the index of each parameter in it."""
        rows = np.array([place[name] for name in self.slopes])
        slopes = np.array(list(self.slopes.values()), dtype=float)
        variance = slopes @ covariance[np.ix_(rows, rows)] @ slopes
        return float(np.sqrt(max(variance, 0.0)))


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Data that a term provides for reports and files; see the subclasses `Profile`, `Rows` and `Knowledge`.

    Attributes:
        name: name of the term.
        what: its data in a few words, ``"isotropic shifts"``, ``"bonds"``.
        title: heading of its section in a report.
        conditions: pairs ``(what, value)`` that describe the measurement and the calculation.
        remarks: sentences about conventions; a report prints each one once.
        facts: plain values for files only.
        kind: how it is plotted and listed: ``"histogram"``, ``"spectrum"``, ``"curve"``, or plain ``"term"``.
        measured: whether it is measured data rather than prior knowledge.
        by_scatter: whether its uncertainties are estimated from the scatter of its residuals instead of the stated ones.
    """

    name: str
    what: str
    title: str = ""
    conditions: tuple[Condition, ...] = ()
    remarks: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    kind: ClassVar[str] = "term"
    measured: ClassVar[bool] = True
    by_scatter: ClassVar[bool] = False
    # printed below the table of agreement
    agreement_note: ClassVar[str] = ""

    def statistics(
        self, residuals: np.ndarray, determined: float, weight: float = 1.0, discounted: int | None = None
    ) -> Statistics:
        """Return the statistics of agreement.

        Args:
            residuals: ``(n,)`` residuals of the term, without weight or robust loss.
            determined: number of refined parameters it determines.
            weight: weight of the term.
            discounted: number of residuals that a robust loss weights by less than half; ``None`` without one.
        """
        return Statistics(
            n_observations=residuals.size,
            chi2=float(residuals @ residuals),
            measured=self.measured,
            weight=weight,
            discounted=discounted,
        )

    def agreement(self, s: Statistics) -> dict[str, Any]:
        """Return its row of the table of agreement, by column heading; rows with the same headings share one table."""
        n = s.n_observations
        return {
            "term": self.name,
            "of": self.what,
            "number": n,
            "χ²": f"{s.chi2:.4g}",
            "χ² / number": f"{s.chi2 / n:.3g}" if n else "–",
        }

    def complaint(self) -> str:
        """Return why this minimum is not a solution, whatever its chi²; empty unless that is evident."""
        return ""

    def doubts(self, s: Statistics) -> tuple[str, ...]:
        """Return warnings about residuals that are more than noise.

        Args:
            s: statistics of agreement.
        """
        return ()

    def first(self) -> str:
        """Return what should be refined before any other parameter is freed, in a few words; empty if nothing."""
        return ""

    def tables(self) -> tuple[Table, ...]:
        """Return the tables of its section in a report."""
        return ()

    def derived(self) -> tuple[Derived, ...]:
        """Return quantities derived from its parameters."""
        return ()

    def record(self) -> dict[str, Any]:
        """Return plain values for files."""
        return {"kind": self.kind, "what": self.what, "measured": self.measured, **self.facts}


@dataclass(frozen=True)
class Axis:
    """Horizontal axis of a curve.

    Attributes:
        values: ``(points,)``, increasing.
        label, unit: label and unit for figures and tables.
        to_the_left: whether values increase to the left in figures.
    """

    values: np.ndarray
    label: str
    unit: str
    to_the_left: bool = False


@dataclass(frozen=True, kw_only=True)
class Profile(Evidence):
    """A curve at its fitted points; of kind ``"curve"`` unless a subclass sets another.

    Attributes:
        axis: positions of the points.
        observed, sigma, calculated, baseline: ``(points,)`` in the units of the data; the baseline is part of
            ``calculated``.
        parts: contributions to ``calculated`` by name, ``(points,)`` each, if they can be separated.
        regions: fitted ranges, in the units of the axis; ``excluded`` the ranges left out.
        factor: name of the agreement factor.
        lines: word for its lines in messages; ``check`` what to check when lines are in the wrong places;
            ``baseline_name`` the parameter of the intensity between lines; ``better_sigma`` the advice when
            uncertainties turn out to be too large.
        width: full width at half maximum of a line in units of the axis; 0 if unknown.
    """

    axis: Axis
    observed: np.ndarray
    sigma: np.ndarray
    calculated: np.ndarray
    baseline: np.ndarray
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)
    regions: tuple[tuple[float, float], ...] = ()
    excluded: tuple[tuple[float, float], ...] = ()
    width: float = 0.0

    kind: ClassVar[str] = "curve"
    by_scatter: ClassVar[bool] = True
    factor: ClassVar[str] = "Rw"
    lines: ClassVar[str] = "lines"
    check: ClassVar[str] = "starting values"
    better_sigma: ClassVar[str] = "Give those of the measurement"
    baseline_name: ClassVar[str] = "baseline"

    @property
    def difference(self) -> np.ndarray:
        """Observed minus calculated, ``(points,)``."""
        return self.observed - self.calculated

    def match(self) -> float:
        """Return the correlation of observed and calculated lines above the baseline: near 1 when they coincide."""
        return peak_match(self.observed, self.calculated, self.baseline, self.sigma)

    def complaint(self) -> str:
        match = self.match()
        if match >= _MATCHED:
            return ""
        return (
            f"The refinement ended in a minimum where the calculated {self.lines} of '{self.name}' do not lie on the "
            f"observed ones (correlation {match:.2f}): the start was too far away. Check {self.check}."
        )

    def misfit(self) -> Misfit:
        """Analyse the residuals: missing and surplus lines, a stiff baseline."""
        step = float(np.median(np.diff(self.axis.values))) if len(self.observed) > 1 else 1.0
        widths = [self.width / step * factor for factor in (0.7, 1.5)] if self.width > 0 else [3.0, 8.0, 20.0, 50.0]
        return misfit(self.axis.values, self.observed, self.sigma, self.calculated, self.baseline, widths=widths)

    def first(self) -> str:
        return f"more terms of {self.name}/{self.baseline_name}" if self.misfit().stiff else ""

    def doubts(self, s: Any) -> tuple[str, ...]:
        found, out = self.misfit(), list(self._too_uncertain(s))
        serial = s.gof > _WAVES[0] and s.durbin_watson < _WAVES[1]
        if s.gof > _POOR or serial:
            out.append(
                f"'{self.name}' is not described to within its noise: goodness of fit {s.gof:.3g} (1 where only noise is "
                f"left), Durbin-Watson {s.durbin_watson:.2g} (2). Its model is not complete, and uncertainties are those of an "
                f"incomplete model. {self._incomplete()}".rstrip()
            )
        if found.stiff:
            out.append(self._stiff(found.stiff))
        unit = f" {self.axis.unit}".replace(" °", "°")
        if found.unexplained:
            out.append(
                f"Observed {self.lines} of '{self.name}' that nothing calculated explains, with their height in per cent of the "
                f"highest: {listed(found.unexplained, unit)}. {self._unexplained(found)}".rstrip()
            )
        if found.absent:
            out.append(
                f"Calculated {self.lines} of '{self.name}' where nothing of the kind is observed: "
                f"{listed(found.absent, unit)}. {self._absent(found)}".rstrip()
            )
        return tuple(out)

    def _incomplete(self) -> str:
        """Return contributions known to be missing from the model that may explain the misfit."""
        return ""

    def _stiff(self, gain: float) -> str:
        """Return advice about a baseline that follows the data badly."""
        return (
            f"The baseline of '{self.name}' does not follow the data between the {self.lines}: that makes {100 * gain:.0f} % of "
            "its chi²."
        )

    def _unexplained(self, found: Misfit) -> str:
        """Return possible explanations of observed lines without calculated ones."""
        return ""

    def _absent(self, found: Misfit) -> str:
        """Return possible explanations of calculated lines without observed ones."""
        return ""

    def _too_uncertain(self, s: ProfileStatistics) -> tuple[str, ...]:
        """Return a warning if the agreement shows the uncertainties of the points to be too large."""
        found = []
        if s.gof < _TOO_GOOD:
            times = f"{1.0 / s.gof:.3g} times" if s.gof > 1e-6 else "beyond measure"
            found.append(f"the goodness of fit is {s.gof:.2g}: uncertainties of points are {times} what the fit leaves")
        if s.rexp > _NOISE_ALONE:
            found.append(f"Rexp is {s.rexp:.3g} %: uncertainties of points are of the size of the intensities")
        return (f"'{self.name}': {', and '.join(found)}. {self.better_sigma}.",) if found else ()

    def statistics(
        self, residuals: np.ndarray, determined: float, weight: float = 1.0, discounted: int | None = None
    ) -> ProfileStatistics:
        return ProfileStatistics.create(
            self.observed, self.calculated, self.sigma, determined=determined, factor=self.factor,
            measured=self.measured, weight=weight, discounted=discounted,
        )  # fmt: skip

    def agreement(self, s: Any) -> dict[str, Any]:
        return {
            self.kind: self.name,
            "points": s.n_observations,
            f"{self.factor} / %": f"{s.r_weighted:.3f}",
            "GoF": f"{s.gof:.3f}",
            "noise": f"{s.noise:.4g}",
            "signal / noise": f"{s.signal_to_noise:.3g}",
            "Durbin-Watson": f"{s.durbin_watson:.3f}",
            "SCOR": f"{s.scor:.2f}",
        }

    def columns(self) -> dict[str, np.ndarray]:
        """Return the columns ``(points,)`` of a file, by heading."""
        return {
            self.axis.label: self.axis.values,
            "observed": self.observed,
            "sigma": self.sigma,
            "calculated": self.calculated,
            "baseline": self.baseline,
            "difference": self.difference,
            **self.parts,
        }


@dataclass(frozen=True)
class Row:
    """One number compared with its expected value.

    Attributes:
        label: site, atoms or parameter it belongs to.
        quantity, unit: name and unit.
        observed, calculated: the two values.
        sigma: standard uncertainty of the difference; ``sigma_observed`` the part due to the measurement.
    """

    label: str
    quantity: str
    unit: str
    observed: float
    calculated: float
    sigma: float
    sigma_observed: float

    @property
    def difference(self) -> float:
        """Observed minus calculated."""
        return self.observed - self.calculated

    @property
    def relative(self) -> float:
        """Difference in units of its standard uncertainty; NaN if that is zero."""
        return self.difference / self.sigma if self.sigma > 0 else float("nan")

    def record(self) -> dict[str, Any]:
        """Return plain values for files."""
        return {**vars(self), "difference": self.difference}


@dataclass(frozen=True, kw_only=True)
class Rows(Evidence):
    """Individual numbers.

    Attributes:
        rows: all rows; they need not be independent: chi² is that of the residuals.
        header: headings of the columns of labels, expected values and calculated values.
    """

    rows: tuple[Row, ...]
    header: tuple[str, str, str] = ("site", "observed", "calculated")

    def tables(self) -> tuple[Table, ...]:
        if not self.rows:
            return ()
        label, observed, calculated = self.header
        shown, tail = self.rows, ""
        if len(shown) > _MOST_ROWS:
            worst = sorted(range(len(shown)), key=lambda k: -abs(np.nan_to_num(shown[k].relative)))[:_MOST_ROWS]
            shown = tuple(shown[k] for k in sorted(worst))
            tail = f"{len(self.rows) - len(shown)} more, all closer to what is {observed}, in `result.json`."
        header = (label, "quantity", observed, calculated, "difference", "σ", "difference / σ")
        return (Table(self.title or self.what, header, tuple(_cells(row) for row in shown), tail=tail),)

    def record(self) -> dict[str, Any]:
        return {**super().record(), "rows": [row.record() for row in self.rows]}


@dataclass(frozen=True, kw_only=True)
class Knowledge(Rows):
    """Numbers that were not measured: restraints and priors."""

    header: tuple[str, str, str] = ("of", "expected", "calculated")

    measured: ClassVar[bool] = False


def rows_of(
    labels: Iterable[str], quantity: str, unit: str, observed, calculated, sigma, sigma_observed=None
) -> tuple[Row, ...]:
    """Make rows of one quantity from arrays ``(n,)`` or numbers; ``sigma_observed`` is ``sigma`` by default."""
    labels = tuple(labels)
    sigma_observed = sigma if sigma_observed is None else sigma_observed
    numbers = (
        np.broadcast_to(np.asarray(a, dtype=float), (len(labels),))
        for a in (observed, calculated, sigma, sigma_observed)
    )
    return tuple(Row(label, quantity, unit, *map(float, of)) for label, *of in zip(labels, *numbers, strict=True))


def residual_rows(values, sigma) -> tuple[Row, ...]:
    """Make numbered rows of bare differences ``(n,)``, which are expected to be 0."""
    values = np.ravel(np.asarray(values, dtype=float))
    return rows_of(map(str, range(1, len(values) + 1)), "residual", "", 0.0, values, sigma)


def uncertainties(rows: Sequence[Row]) -> tuple[Condition, ...]:
    """Describe the uncertainties of rows; quantities with the same uncertainties share an entry."""
    found: dict[str, dict[str, list[str]]] = {}
    for quantity, unit in {(r.quantity, r.unit): None for r in rows}:
        pairs = [(r.sigma_observed, r.sigma) for r in rows if r.quantity == quantity]
        measured, total = map(list, zip(*pairs, strict=True))
        text = _span(measured)
        if not np.allclose(measured, total, rtol=1e-6):
            text += f"; {_span(total)} with that of the model"
        found.setdefault(text, {}).setdefault(unit, []).append(quantity)
    name = lambda unit, quantities: ", ".join(quantities) + (f" / {unit}" if unit else "")
    return tuple((f"σ of {'; '.join(name(*pair) for pair in of.items())}", text) for text, of in found.items())


def _span(values: Sequence[float]) -> str:
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"


def _cells(r: Row) -> tuple[str, ...]:
    places = int(np.clip(1 - np.floor(np.log10(r.sigma)), 0, 8)) if r.sigma > 0 else 6
    numbers = (f"{x:z.{places}f}" for x in (r.observed, r.calculated, r.difference, r.sigma))
    what = f"{r.quantity} / {r.unit}" if r.unit else r.quantity
    return (r.label, what, *numbers, f"{r.relative:z.1f}" if r.sigma > 0 else "–")
