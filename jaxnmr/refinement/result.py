"""Results of a refinement: the records from which reports, plots and files are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .._words import counted
from ..units import format_esd
from .information import Information

if TYPE_CHECKING:
    from ..crystal import Crystal
    from ..objective import Derived, Evidence, Objective, Parameters, Statistics
    from ..terms import PatternEvidence, SpectrumEvidence
    from .variance_report import VarianceComponents


@dataclass(frozen=True)
class StepInfo:
    """One solver step, as passed to callbacks.

    Attributes:
        stage: index of the stage, from 0; ``stage_name`` its name.
        step: index of the step within the refinement, from 1.
        chi2: sum of squared residuals of the whole objective after the step.
        accepted: whether the trial step was kept.
        damping: Levenberg-Marquardt damping (0 for an undamped Gauss-Newton step).
        shift_over_esd: largest parameter shift divided by its standard uncertainty.
        factors: agreement factors of curves after the step, per cent, by term and name: ``{"xrd": {"Rwp": 8.4}}``.
        squares: sum of squared residuals of each term after the step, without weight and robust loss, by name.
        seconds: wall time of the step.
        n_free: number of free parameters in this stage.
        note: unusual events ("reflection list rebuilt", "bound reached: xrd/size[FAP]" ...), else "".
        compile_seconds: part of ``seconds`` spent in calls that compiled the loop; 0 for other steps.
    """

    stage: int
    stage_name: str
    step: int
    chi2: float
    accepted: bool
    damping: float
    shift_over_esd: float
    factors: dict[str, dict[str, float]]
    squares: dict[str, float]
    seconds: float
    n_free: int
    note: str = ""
    compile_seconds: float = 0.0

    def agreement(self) -> list[tuple[str, str, float]]:
        """Return ``(term, name of the factor, per cent)`` of every curve, in the order of the terms."""
        return [(term, name, value) for term, of in self.factors.items() for name, value in of.items()]


@dataclass(frozen=True, repr=False)
class RefinementResult:
    """The outcome of :func:`jaxnmr.refine`.

    Attributes:
        status: ``"converged"``, ``"max_steps"``, ``"stalled"``, ``"diverged"`` or ``"interrupted"``.
        message: a full sentence about the status.
        parameters: the refined parameters.
        crystals: refined crystals by phase name.
        esds: standard uncertainty of every parameter, arrays like the values (0 if fixed). Uncertainties of patterns
            and spectra are scaled by their goodness of fit; those of other terms are taken as stated. ``esds_scor``
            multiplies by the SCOR of each in addition.
        covariance: covariance of the flat physical vector ``parameters.flat``, consistent with the esds.
        information: information of each term on each parameter.
        statistics: agreement of each term, by name.
        evidence: evidence of each term, by name; ``patterns`` and ``spectra`` are subsets.
        correlations: ``(name, name, coefficient)`` above the threshold, strongest first.
        null_directions: sentences naming combinations of parameters that the data do not determine.
        suggestions: ``(name, expected decrease of chi2)`` for fixed parameters, best first.
        steps: every step taken.
        seconds: wall time; ``compile_seconds`` the part spent compiling.
        weighted: whether a term has a weight other than 1, which makes the covariance conditional on it.
        warnings: warnings for the reader (non-positive displacements, bounds reached ...).
        components: factors applied to stated uncertainties; only if the refinement estimated them.

    Example:
        >>> fit = jn.refine(objective, params.set("xrd/scale", 28.0), throw=False)
        >>> fit.converged, fit.n_observations
        (True, 801)
        >>> fit.esds["xrd/scale"].shape
        (1,)
    """

    status: str
    message: str
    objective: Objective
    parameters: Parameters
    crystals: dict[str, Crystal]
    esds: dict[str, np.ndarray]
    esds_scor: dict[str, np.ndarray]
    covariance: np.ndarray
    information: Information
    statistics: dict[str, Statistics]
    evidence: dict[str, Evidence]
    correlations: tuple[tuple[str, str, float], ...]
    null_directions: tuple[str, ...]
    suggestions: tuple[tuple[str, float], ...]
    steps: tuple[StepInfo, ...]
    seconds: float
    compile_seconds: float
    weighted: bool = False
    warnings: tuple[str, ...] = field(default=())
    components: VarianceComponents | None = None

    @property
    def patterns(self) -> dict[str, PatternEvidence]:
        """Fitted powder patterns by name."""
        return self.of_kind("histogram")

    @property
    def spectra(self) -> dict[str, SpectrumEvidence]:
        """Fitted NMR spectra by name."""
        return self.of_kind("spectrum")

    def of_kind(self, kind: str) -> dict[str, Any]:
        """Return the evidence of one kind, by name of the term."""
        return {name: of for name, of in self.evidence.items() if of.kind == kind}

    def derived(self, name: str) -> list[tuple[Derived, float]]:
        """Return quantities derived from the parameters of a term, with their standard uncertainties."""
        place = {label: k for k, label in enumerate(self.parameters.labels)}
        covariance = np.asarray(self.covariance, dtype=float)
        return [(of, of.esd(place, covariance)) for of in self.evidence[name].derived()]

    @property
    def n_observations(self) -> int:
        """Number of measured values in all terms; restraints and priors are not measured."""
        return sum(s.n_observations for s in self.statistics.values() if s.measured)

    @property
    def n_restraints(self) -> int:
        """Number of expected values in restraints and priors."""
        return sum(s.n_observations for s in self.statistics.values() if not s.measured)

    @property
    def converged(self) -> bool:
        """Return whether a minimum was reached."""
        return self.status == "converged"

    @property
    def crystal(self) -> Crystal:
        """Refined crystal of a single-phase refinement."""
        if len(self.crystals) != 1:
            raise KeyError(
                f"{len(self.crystals)} phases were refined; use .crystals[name] with {sorted(self.crystals)}"
            )
        return next(iter(self.crystals.values()))

    def __repr__(self) -> str:
        """Summarise the outcome: status, agreement factors, every refined value with its uncertainty."""
        count = self.n_restraints
        restraints = f", {counted(count, 'restraint')}" if count else ""
        lines = [
            f"RefinementResult: {self.status}. {self.message}",
            f"{counted(len(self.steps), 'step')}, {self.seconds:.1f} s, "
            f"{counted(self.parameters.n_free, 'parameter')}, {counted(self.n_observations, 'observation')}{restraints}",
        ]
        lines += [f"{name}: {s}" for name, s in self.statistics.items()]
        lines += [] if self.components is None else str(self.components).splitlines()
        esd = np.concatenate([np.ravel(e) for e in self.esds.values()])
        for row, uncertainty in zip(self.parameters.rows(), esd, strict=True):
            if row.free:
                lines.append(f"  {row.name:<28} {format_esd(row.value, float(uncertainty))} {row.unit}".rstrip())
        lines += [f"warning: {sentence}" for sentence in (*self.null_directions, *self.warnings)]
        return "\n".join(lines)
