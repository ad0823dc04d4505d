"""`ScreeningResult`: rows of a screening, their ranking, and a summary in words (host)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..._tables import plain
from ...campaign.rows import Row
from ...refinement.result import RefinementResult
from .rows import ScreeningRow

# candidates within this of the best criterion are not clearly worse (Kass & Raftery, J. Am. Stat. Assoc. 90, 773)
CLEARLY_WORSE = 10.0
# within this they have most likely become the same structure
SAME = 0.01
# inputs of the figures of merit
MERITS = ("chi2", "n_observations", "n_parameters", "gof", "rwp", "log_variance", "energy_ev_atom")


@dataclass(frozen=True, repr=False)
class ScreeningResult:
    """The outcome of :func:`jaxnmr.screen`.

    Attributes:
        rows: one per candidate in the table, the best first, those without a figure of merit last. Rows of a file are
            read on access.
        rank: figure of merit for the ranking; ``figures`` its value per row, minus that of the best for the criteria.
        fits: full results of the best candidates refined in this call, by name.
        refined, resumed: number of candidates refined in this call, and of those with an earlier row.
        seconds, compile_seconds: wall time, and total compile time of all processes.
        table_file: file of the table; ``None`` if no folder was given.
        look: returns the full record of a candidate by its key.
    """

    rows: Sequence[ScreeningRow]
    rank: str
    figures: tuple[float, ...]
    fits: dict[str, RefinementResult]
    refined: int
    resumed: int
    seconds: float
    compile_seconds: float
    table_file: Path | None = None
    look: Callable[[str], Row] = lambda key: Row(key, "", "")

    @property
    def best(self) -> ScreeningRow:
        """The first row."""
        return self.rows[0]

    def structure(self, index: int) -> str:
        """Return the refined structures of a candidate as CIF; empty if there are none."""
        return self.look(self.rows[index].key).text

    def parameters(self, index: int) -> dict[str, list[float]]:
        """Return ``[value, standard uncertainty]`` of the refined parameters of a candidate, by name."""
        return dict(self.look(self.rows[index].key).record.get("parameters", {}))

    @property
    def message(self) -> str:
        """Summary of the outcome, in sentences."""
        n, best, figures = len(self.rows), self.rows[0], np.asarray(self.figures)
        failed = self.statuses["error"]
        if self.rank == "energy" and not np.isfinite(figures[0]) and failed < n:
            return (
                f"{n} candidates were refined, but none has an energy to rank by: add an EnergyTerm ([[energy]]) to what they are "
                "refined with."
            )
        if not np.isfinite(figures[0]):
            return f"None of {n} candidates could be refined. {best.name}: {best.message}"
        words = f"The best of {n} candidates is {best.name} ({_WORDS[self.rank]} first)."
        if best.status != "converged":
            words += f" But it did not converge: {best.status}."
        if self.rank not in ("rwp", "energy"):
            equal, close = (int(np.sum(figures[1:] < limit)) for limit in (SAME, CLEARLY_WORSE))
            if equal:
                words += f" {equal} other{'s' if equal > 1 else ''} ended at the same figure."
            if close > equal:
                names = [row.name for row in self.rows[1 + equal : 6 + min(equal, close)][: close - equal]]
                words += f" Not clearly worse: {', '.join(names[:5])}{' and others' if close - equal > 5 else ''}."
        if failed:
            words += f" {failed} could not be refined."
        if unfinished := n - failed - self.statuses["converged"]:
            words += f" {unfinished} did not converge."
        return words

    @cached_property
    def statuses(self) -> Counter[str]:
        """Number of candidates by status."""
        return Counter(row.status for row in self.rows)

    @cached_property
    def common(self) -> tuple[str, ...]:
        """Flags of every refined candidate, due to the data rather than the candidates; empty for a single candidate."""
        found: list[str] | None = None
        refined = 0
        for row in self.rows:
            if row.status == "error":
                continue
            refined += 1
            found = list(row.flags) if found is None else [flag for flag in found if flag in row.flags]
            if not found:
                return ()
        return tuple(found or ()) if refined > 1 else ()

    def remarks(self, row: ScreeningRow) -> tuple[str, ...]:
        """Return the remarks specific to one candidate."""
        return (row.message,) if row.status == "error" else tuple(f for f in row.flags if f not in self.common)

    def table(self, most: int = 100) -> str:
        """Return a table with one line per candidate, ranked: the best ``most``, and the number of the others."""
        said = lambda row: "; ".join(self.remarks(row))
        rows = [
            (
                k, row.name, row.status, f"{figure:.6g}", f"{row.chi2:.6g}", f"{row.gof:.3f}", f"{row.rwp:.2f}",
                "" if row.energy_ev_atom is None else f"{row.energy_ev_atom:.4f}", row.n_parameters, f"{row.moved:.3f}", said(row)[:100],
            )
            for k, (row, figure) in enumerate(zip(self.rows[:most], self.figures[:most], strict=True), start=1)
        ]  # fmt: skip
        head = ("", "candidate", "status", _HEADS[self.rank], "chi²", "GoF", "R/%", "eV/atom", "k", "moved/Å", "flags")
        more = len(self.rows) - len(rows)
        return plain(head, rows) + (f"\n... and {more} more" if more else "")

    def __repr__(self) -> str:
        """Return the summary and the table."""
        return "\n".join(
            (f"ScreeningResult: {self.message}", *(f"of all candidates: {flag}" for flag in self.common), self.table())
        )


_WORDS = {
    "bic": "smallest Bayesian information criterion", "aic": "smallest Akaike information criterion",
    "chi2": "smallest chi²", "rwp": "smallest R factor", "energy": "lowest energy per atom",
}  # fmt: skip
_HEADS = {"bic": "BIC - best", "aic": "AIC - best", "chi2": "chi² - best", "rwp": "R/%", "energy": "meV/atom - best"}


def figures_of_merit(columns: Mapping[str, Any], rank: str) -> tuple[np.ndarray, np.ndarray]:
    """Return figures of merit, and the order of candidates by them, best first and those without one last.

    For the criteria chi² is divided by that per degree of freedom of the best candidate if it is above 1: then no
    candidate explains the data to within their uncertainties, and differences count less. Chi² stands for -2 log
    likelihood; if uncertainties come from a model and differ between candidates, the log determinant of the covariance
    must be added, or the candidate with the largest uncertainties would come first.

    Args:
        columns: ``chi2``, ``n_observations``, ``n_parameters``, ``gof``, ``rwp``, ``log_variance`` and
            ``energy_ev_atom`` of all candidates, ``None`` or NaN if missing.
        rank: as for :func:`jaxnmr.screen`.

    Returns:
        The R factor, or the excess over the best, ``(n,)``, and indices ``(n,)``.

    Source: Schwarz, Ann. Stat. 6, 461 (1978); Akaike, IEEE Trans. Autom. Control 19, 716 (1974); Lebreton et al., Ecol.
    Monogr. 62, 67 (1992) (the division).
    """
    column = {name: np.array(values, dtype=float) for name, values in columns.items()}
    over_best = lambda of: of - np.min(of[np.isfinite(of)], initial=np.inf)
    if rank == "rwp":
        figure = column["rwp"]
    elif rank == "energy":
        figure = 1e3 * over_best(column["energy_ev_atom"])
    elif rank == "chi2":
        figure = over_best(column["chi2"])
    else:
        k, n = column["n_parameters"], column["n_observations"]
        gof2 = column["gof"][np.isfinite(column["gof"])] ** 2
        excess = max(float(np.min(gof2, initial=np.inf)), 1.0) if len(gof2) else 1.0
        penalty = {"bic": k * np.log(np.maximum(n, 1.0)), "aic": 2.0 * k}[rank]
        figure = over_best((column["chi2"] + column["log_variance"]) / excess + penalty)
    figure = np.where(np.isfinite(figure), figure, np.nan)
    return figure, np.argsort(figure, kind="stable")  # NaN comes last


def ranked(rows: Iterable[ScreeningRow], rank: str) -> tuple[tuple[ScreeningRow, ...], tuple[float, ...]]:
    """Sort rows by figure of merit, best first; also return the figures."""
    rows = list(rows)
    figure, order = figures_of_merit({name: [getattr(row, name) for row in rows] for name in MERITS}, rank)
    most = max((row.n_observations for row in rows), default=0)
    return tuple(with_doubt(rows[i], most) for i in order), tuple(float(figure[i]) for i in order)


def with_doubt(row: ScreeningRow, most: int) -> ScreeningRow:
    """Flag a row that was fitted to fewer values than ``most``."""
    if row.n_observations in (0, most):
        return row
    return replace(row, flags=(*row.flags, f"fitted to {row.n_observations} numbers, others to {most}: not comparable"))
