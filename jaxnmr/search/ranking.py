"""What a screening of candidates returns: rows, their ranking, and words (host)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from .._tables import plain
from ..crystal.cell import lattice
from ..objective import Parameters
from ..objective.objective import residuals
from ..refinement.result import RefinementResult

# candidates whose criterion is this close to the best one are not clearly worse (Kass & Raftery, J. Am. Stat. Assoc. 90, 773)
CLEARLY_WORSE = 10.0
# and this close they have most likely become the same structure
SAME = 0.01


@dataclass(frozen=True)
class ScreeningRow:
    """One candidate.

    Attributes:
        name: of the candidate.
        status, message: as of a `RefinementResult`; ``"error"`` when it could not be set up or refined, ``"elsewhere"`` when
            another process had not finished with it.
        chi2: sum of squared residuals of the whole objective; NaN after an error.
        log_variance: what the uncertainties that models have of this candidate add to it, up to a constant of all candidates:
            the logarithm of the determinant of their covariance; 0 where uncertainties were given.
        n_observations, n_parameters: measured numbers (no restraints) and refined numbers.
        gof: root of chi² over the degrees of freedom.
        factors: Rwp per histogram and Rw per spectrum, per cent.
        moved: largest displacement of an atom from where the candidate had it, Å; ``strain`` largest relative change of a
            cell length.
        flags: what makes this result doubtful, in words.
        energy_ev_atom: energy per atom of the minimum that an `EnergyTerm` holds the structure near, eV.
        seconds: wall time of the refinement.
        key: digest of data, candidate and settings.
        file: stem of the files in the folder.
    """

    name: str
    status: str
    message: str
    chi2: float = float("nan")
    n_observations: int = 0
    n_parameters: int = 0
    gof: float = float("nan")
    factors: dict[str, float] = field(default_factory=dict)
    moved: float = float("nan")
    strain: float = float("nan")
    flags: tuple[str, ...] = ()
    seconds: float = 0.0
    key: str = ""
    file: str = ""
    log_variance: float = 0.0
    energy_ev_atom: float | None = None

    @property
    def rwp(self) -> float:
        """Mean of the weighted R factors of histograms and spectra, per cent."""
        return float(np.mean(list(self.factors.values()))) if self.factors else float("nan")


@dataclass(frozen=True, repr=False)
class ScreeningResult:
    """The outcome of :func:`jaxnmr.screen`.

    Attributes:
        rows: one per candidate, the best first; without a figure of merit last.
        rank: which figure of merit decides, and ``figures`` its value per row, minus that of the best for the criteria.
        fits: full results of the best candidates that this call refined, by name.
        refined, resumed: how many were refined by this process now, and how many were read from the folder.
        seconds, compile_seconds: wall time, and how much of it went into compiling.
    """

    rows: tuple[ScreeningRow, ...]
    rank: str
    figures: tuple[float, ...]
    fits: dict[str, RefinementResult]
    refined: int
    resumed: int
    seconds: float
    compile_seconds: float

    @property
    def best(self) -> ScreeningRow:
        """The first row."""
        return self.rows[0]

    @property
    def message(self) -> str:
        """What came out, in sentences."""
        n, best = len(self.rows), self.rows[0]
        if (
            self.rank == "energy"
            and not np.isfinite(self.figures[0])
            and np.isfinite([r.chi2 for r in self.rows]).any()
        ):
            return (
                f"{n} candidates were refined, but none has an energy to rank by: add an EnergyTerm ([[energy]]) to what they are "
                "refined with."
            )
        if not np.isfinite(self.figures[0]):
            return f"None of {n} candidates could be refined. {best.name}: {best.message}"
        words = f"The best of {n} candidates is {best.name} ({_WORDS[self.rank]} first)."
        if best.status != "converged":
            words += f" But it did not converge: {best.status}."
        others = list(zip(self.rows[1:], self.figures[1:], strict=True))
        by_criterion = self.rank not in ("rwp", "energy")
        equal = [r for r, f in others if by_criterion and f < SAME]
        close = [r.name for r, f in others if by_criterion and SAME <= f < CLEARLY_WORSE]
        if equal:
            words += f" {len(equal)} other{'s' if len(equal) > 1 else ''} ended at the same figure."
        if close:
            words += f" Not clearly worse: {', '.join(close[:5])}{' and others' if len(close) > 5 else ''}."
        failed = sum(r.status == "error" for r in self.rows)
        unfinished = sum(r.status not in ("converged", "error") for r in self.rows)
        if failed:
            words += f" {failed} could not be refined."
        if unfinished:
            words += f" {unfinished} did not converge."
        return words

    @property
    def common(self) -> tuple[str, ...]:
        """Flags that every refined candidate has, of the data rather than of a candidate; none of a single one."""
        refined = [row.flags for row in self.rows if row.status not in ("error", "elsewhere")]
        return tuple(flag for flag in refined[0] if all(flag in flags for flags in refined)) if len(refined) > 1 else ()

    def remarks(self, row: ScreeningRow) -> tuple[str, ...]:
        """What is to be said of one candidate and not of all of them."""
        return (row.message,) if row.status == "error" else tuple(f for f in row.flags if f not in self.common)

    def table(self) -> str:
        """One line per candidate, ranked."""
        said = lambda row: "; ".join(self.remarks(row))
        rows = [
            (
                k, row.name, row.status, f"{figure:.6g}", f"{row.chi2:.6g}", f"{row.gof:.3f}", f"{row.rwp:.2f}",
                "" if row.energy_ev_atom is None else f"{row.energy_ev_atom:.4f}", row.n_parameters, f"{row.moved:.3f}", said(row)[:100],
            )
            for k, (row, figure) in enumerate(zip(self.rows, self.figures, strict=True), start=1)
        ]  # fmt: skip
        head = ("", "candidate", "status", _HEADS[self.rank], "chi²", "GoF", "R/%", "eV/atom", "k", "moved/Å", "flags")
        return plain(head, rows)

    def __repr__(self) -> str:
        """The sentences and the table."""
        return "\n".join(
            (f"ScreeningResult: {self.message}", *(f"of all candidates: {flag}" for flag in self.common), self.table())
        )


_WORDS = {
    "bic": "smallest Bayesian information criterion", "aic": "smallest Akaike information criterion",
    "chi2": "smallest chi²", "rwp": "smallest R factor", "energy": "lowest energy per atom",
}  # fmt: skip
_HEADS = {"bic": "BIC - best", "aic": "AIC - best", "chi2": "chi² - best", "rwp": "R/%", "energy": "meV/atom - best"}


def ranked(rows: Iterable[ScreeningRow], rank: str) -> tuple[tuple[ScreeningRow, ...], tuple[float, ...]]:
    """Rows by figure of merit, best first, and that figure: the R factor, or how much worse than the best.

    The criteria take chi² divided by that per degree of freedom of the best candidate, where that is above 1: no candidate
    explains the data to within their uncertainties then, and differences count less. Chi² stands for -2 log of the likelihood; where
    a model says how uncertain it is of each candidate, the determinant of the covariance belongs to that, or the candidate of
    which least is known would come first.

    Source: Schwarz, Ann. Stat. 6, 461 (1978); Akaike, IEEE Trans. Autom. Control 19, 716 (1974); Lebreton et al., Ecol.
    Monogr. 62, 67 (1992) (the division).
    """
    rows = list(rows)
    chi2 = np.array([r.chi2 if r.chi2 is not None else np.nan for r in rows], dtype=float)
    n, k = (np.array([getattr(r, name) for r in rows], dtype=float) for name in ("n_observations", "n_parameters"))
    gof2 = np.array([r.gof for r in rows], dtype=float) ** 2
    excess = max(float(np.min(gof2[np.isfinite(gof2)], initial=np.inf)), 1.0) if np.isfinite(gof2).any() else 1.0
    if rank == "rwp":
        figure = np.array([r.rwp for r in rows])
    elif rank == "energy":
        energy = np.array([np.nan if r.energy_ev_atom is None else r.energy_ev_atom for r in rows], dtype=float)
        figure = 1e3 * (energy - np.min(energy[np.isfinite(energy)], initial=np.inf))
    else:
        penalty = {"bic": k * np.log(np.maximum(n, 1.0)), "aic": 2.0 * k, "chi2": 0.0}[rank]
        spread = 0.0 if rank == "chi2" else np.array([r.log_variance for r in rows], dtype=float)
        figure = (chi2 + spread) / (1.0 if rank == "chi2" else excess) + penalty
        figure = figure - np.min(figure[np.isfinite(figure)], initial=np.inf)
    figure = np.where(np.isfinite(figure), figure, np.nan)
    order = np.argsort(figure, kind="stable")  # NaN comes last
    most = max((r.n_observations for r in rows), default=0)
    fewer = lambda r: r if r.n_observations in (0, most) else replace(
        r, flags=(*r.flags, f"fitted to {r.n_observations} numbers, others to {most}: not comparable")
    )  # fmt: skip
    return tuple(fewer(rows[i]) for i in order), tuple(float(figure[i]) for i in order)


def described(name: str, start: Parameters, fit: RefinementResult) -> ScreeningRow:
    """The row of a finished refinement that began at ``start``."""
    end = fit.parameters
    r = np.asarray(residuals(end.spec.layout, fit.objective, end.offset(), end.spec.transform, end.theta))
    chi2, k = float(r @ r), end.n_free
    moved, strain = 0.0, 0.0
    for phase in fit.crystals:
        prefix = fit.objective.phase_prefix(phase)
        (cell, xyz), (cell0, xyz0) = (
            [np.asarray(p[prefix + q], dtype=float) for q in ("cell", "xyz")] for p in (end, start)
        )
        moved = max(moved, float(np.linalg.norm((xyz - xyz0) @ lattice(cell), axis=1).max()))
        strain = max(strain, float(np.abs(cell[:3] / cell0[:3] - 1.0).max()))
    lost = len(fit.null_directions)
    undetermined = (
        fit.null_directions if lost < 2 else (f"The data do not determine {lost} combinations of parameters.",)
    )
    return ScreeningRow(
        name=name,
        status=fit.status,
        message=fit.message,
        chi2=chi2,
        n_observations=fit.n_observations,
        n_parameters=k,
        gof=float(np.sqrt(chi2 / max(r.size - k, 1))),
        factors={name: next(iter(s.factors.values())) for name, s in fit.statistics.items() if s.factors},
        moved=moved,
        strain=strain,
        flags=(*(() if fit.converged else (fit.message,)), *undetermined, *fit.warnings),
        seconds=fit.seconds,
        energy_ev_atom=_energy_per_atom(fit),
        log_variance=float(sum(t.log_variance(frozenset(end.moved_names)) for t in fit.objective.terms)),
    )


def _energy_per_atom(fit: RefinementResult) -> float | None:
    """Energy per atom of the minimum that the only `EnergyTerm` holds the structure near, in the refined cell."""
    energies = list(fit.of_kind("energy").values())
    if len(energies) != 1:
        return None
    facts = energies[0].facts
    return facts["minimum_ev"] / sum(site.multiplicity for site in fit.crystals[facts["phase"]].sites())


def parameter_record(fit: RefinementResult) -> dict[str, list[float]]:
    """``[value, standard uncertainty]`` of what was refined, by name."""
    esd = np.concatenate([np.ravel(e) for e in fit.esds.values()])
    return {row.name: [row.value, float(s)] for row, s in zip(fit.parameters.rows(), esd, strict=True) if row.free}
