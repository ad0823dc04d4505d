"""One candidate of a screening: the row of its refinement, and its record in a table (host)."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...campaign.rows import Row
from ...crystal.cell import lattice
from ...io.structures.cif_write import cif_text
from ...objective import Parameters
from ...objective.objective import residuals
from ...refinement.result import RefinementResult

KIND = "screening"
# values needed for ranking have their own columns
COLUMNS: dict[str, type] = {
    "chi2": float, "n_observations": int, "n_parameters": int, "gof": float, "rwp": float, "moved": float, "strain": float,
    "log_variance": float, "energy_ev_atom": float,
}  # fmt: skip
_NAN = float("nan")


@dataclass(frozen=True)
class ScreeningRow:
    """One candidate.

    Attributes:
        name: name of the candidate.
        status, message: as in a `RefinementResult`; ``"error"`` if it could not be set up or refined.
        chi2: sum of squared residuals of the whole objective; NaN after an error.
        log_variance: contribution of model uncertainties to it, up to a constant common to all candidates: the log
            determinant of their covariance; 0 if uncertainties were given.
        n_observations, n_parameters: number of measured values (no restraints) and of refined parameters.
        gof: root of chi² over the degrees of freedom.
        factors: Rwp per histogram and Rw per spectrum, per cent.
        moved: largest displacement of an atom from its original position, Å; ``strain`` the largest relative change of a
            cell length.
        flags: reasons to doubt this result, in words.
        energy_ev_atom: energy per atom of the minimum from an `EnergyTerm`, eV.
        seconds: wall time of the refinement.
        key: digest of the candidate, its key in the table.
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
    log_variance: float = 0.0
    energy_ev_atom: float | None = None

    @property
    def rwp(self) -> float:
        """Mean of the weighted R factors of histograms and spectra, per cent."""
        return float(np.mean(list(self.factors.values()))) if self.factors else float("nan")


def described(name: str, start: Parameters, fit: RefinementResult) -> ScreeningRow:
    """Make the row of a finished refinement that began at ``start``."""
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
    """Return the energy per atom of the minimum from the only `EnergyTerm`, in the refined cell."""
    energies = list(fit.of_kind("energy").values())
    if len(energies) != 1:
        return None
    facts = energies[0].facts
    return facts["minimum_ev"] / sum(site.multiplicity for site in fit.crystals[facts["phase"]].sites())


def parameter_record(fit: RefinementResult) -> dict[str, list[float]]:
    """Return ``[value, standard uncertainty]`` of the refined parameters, by name."""
    esd = np.concatenate([np.ravel(e) for e in fit.esds.values()])
    return {row.name: [row.value, float(s)] for row, s in zip(fit.parameters.rows(), esd, strict=True) if row.free}


def kept(
    row: ScreeningRow,
    fit: RefinementResult | None = None,
    *,
    text: str = "",
    compile_seconds: float = 0.0,
    mark: str = "",
) -> Row:
    """Convert a row to a record of a table.

    Args:
        row: the row.
        fit: the refinement, whose parameters are stored; ``None`` if there is none.
        text: the refined structures as CIF.
        compile_seconds: part of the time spent compiling.
        mark: digest of the inputs, see :func:`fingerprint`.
    """
    record = {
        "factors": row.factors, "flags": row.flags, "parameters": {} if fit is None else parameter_record(fit),
        "worker": platform.node(), "compile_seconds": compile_seconds, "fingerprint": mark,
    }  # fmt: skip
    values = {name: getattr(row, name) for name in COLUMNS}
    return Row(row.key, row.name, row.status, row.message, row.seconds, values, record, text)


def taken(row: Row) -> ScreeningRow:
    """Convert a record of a table to a row."""
    values = {name: row.values.get(name) for name in COLUMNS if name != "rwp"}
    numbers: dict[str, Any] = {
        name: _NAN if values[name] is None else values[name] for name in ("chi2", "gof", "moved", "strain")
    }
    counts: dict[str, Any] = {name: values[name] or 0 for name in ("n_observations", "n_parameters", "log_variance")}
    factors = {name: _NAN if value is None else value for name, value in row.record.get("factors", {}).items()}
    return ScreeningRow(
        row.name, row.status, row.message, **numbers, **counts, factors=factors, flags=tuple(row.record.get("flags", ())),
        seconds=row.seconds, key=row.key, energy_ev_atom=values["energy_ev_atom"],
    )  # fmt: skip


def cif_of(name: str, fit: RefinementResult) -> str:
    """Return the refined structures as CIF, with uncertainties; a single one gets the name of the candidate."""
    if len(fit.crystals) > 1:
        return cif_text(fit.crystals, fit.esds)
    only = next(iter(fit.crystals.values())).replace(name=name)
    return cif_text({name: only}, fit.esds)
