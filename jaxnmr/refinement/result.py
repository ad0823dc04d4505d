"""What a refinement returns: the records that reports, plots and files are made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..units import format_esd
from .information import Information

if TYPE_CHECKING:
    from ..crystal import Crystal
    from ..objective import Objective, Parameters
    from .variance_report import VarianceComponents


@dataclass(frozen=True)
class StepInfo:
    """One solver step, as callbacks receive it.

    Attributes:
        stage: index of the stage, from 0; ``stage_name`` for people.
        step: index of the step within the refinement, from 1.
        chi2: sum of squared residuals of the whole objective after the step.
        accepted: whether the trial step was kept.
        damping: Levenberg-Marquardt damping (0 for an undamped Gauss-Newton step).
        shift_over_esd: largest parameter shift divided by its standard uncertainty.
        rwp: per histogram, per cent, after the step; ``rw`` the same of spectra.
        seconds: wall time of the step.
        n_free: number of free numbers in this stage.
        note: anything unusual ("reflection list rebuilt", "bound reached: xrd/size[FAP]" ...), else "".
    """

    stage: int
    stage_name: str
    step: int
    chi2: float
    accepted: bool
    damping: float
    shift_over_esd: float
    rwp: dict[str, float]
    seconds: float
    n_free: int
    note: str = ""
    rw: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Reflections:
    """The reflections of one phase in one histogram at the refined parameters (first wavelength).

    All arrays have one row per reflection, sorted by ``two_theta``.
    """

    hkl: np.ndarray
    multiplicity: np.ndarray
    d: np.ndarray
    two_theta: np.ndarray
    f2_calc: np.ndarray
    f2_obs: np.ndarray
    area: np.ndarray
    fwhm: np.ndarray


@dataclass(frozen=True)
class FittedPattern:
    """Observed and calculated pattern of one histogram, fitted points only.

    Attributes:
        x: 2theta in degrees; ``observed``, ``sigma``, ``calculated``, ``background`` in the units of the data.
        excluded: regions left out.
        reflections: per phase.
    """

    name: str
    x: np.ndarray
    observed: np.ndarray
    sigma: np.ndarray
    calculated: np.ndarray
    background: np.ndarray
    excluded: tuple[tuple[float, float], ...]
    reflections: dict[str, Reflections]


@dataclass(frozen=True)
class HistogramStatistics:
    """Agreement factors of one histogram. Rwp, Rp, Rexp, R_Bragg in per cent, background included in Rwp and Rp.

    Source: Hill & Howard, J. Appl. Cryst. 20, 467 (1987) (Durbin-Watson); Bérar & Lelann, J. Appl. Cryst. 24, 1
    (1991) (SCOR, the factor by which serial correlation of the residuals makes esds too small).
    """

    n_observations: int
    chi2: float
    rwp: float
    rp: float
    rexp: float
    gof: float
    durbin_watson: float
    scor: float
    r_bragg: dict[str, float]
    weight_fraction: dict[str, tuple[float, float]]

    def __str__(self) -> str:
        bragg = ", ".join(f"{phase} {value:.2f}" for phase, value in self.r_bragg.items())
        return (
            f"Rwp {self.rwp:.3f} %, Rp {self.rp:.3f} %, Rexp {self.rexp:.3f} %, GoF {self.gof:.3f}, R_Bragg {bragg} %, "
            f"Durbin-Watson {self.durbin_watson:.2f}, SCOR {self.scor:.2f}"
        )


@dataclass(frozen=True)
class FittedSpectrum:
    """Observed and calculated NMR spectrum, fitted points only, by increasing shift.

    Attributes:
        frequency_hz, ppm: ``(points,)`` the axis, in Hz from the reference and as shift.
        observed, sigma, calculated, baseline: ``(points,)`` in the units of the data.
        components: ``(sites, points)``, what every site contributes; with the baseline they sum to ``calculated``.
        labels: one per site.
        region_ppm: the parts that were fitted.
        isotope, larmor_hz: nucleus and frequency of 0 ppm.
    """

    name: str
    frequency_hz: np.ndarray
    ppm: np.ndarray
    observed: np.ndarray
    sigma: np.ndarray
    calculated: np.ndarray
    baseline: np.ndarray
    components: np.ndarray
    labels: tuple[str, ...]
    region_ppm: tuple[tuple[float, float], ...]
    isotope: str
    larmor_hz: float


@dataclass(frozen=True)
class SpectrumStatistics:
    """Agreement of one spectrum.

    Attributes:
        rw: ``sqrt(sum w (obs - calc)^2 / sum w obs^2)`` in per cent; grows with noise and shrinks with strong lines.
        gof: root of chi² over the degrees of freedom; 1 when only noise is left.
        noise: mean uncertainty of a point, in the units of the data; ``signal_to_noise`` the highest point over it.
        durbin_watson, scor: serial correlation of the residuals, as for patterns.
    """

    n_observations: int
    chi2: float
    rw: float
    gof: float
    noise: float
    signal_to_noise: float
    durbin_watson: float
    scor: float

    def __str__(self) -> str:
        return (
            f"Rw {self.rw:.3f} %, GoF {self.gof:.3f}, noise {self.noise:.4g} (signal to noise {self.signal_to_noise:.3g}), "
            f"Durbin-Watson {self.durbin_watson:.2f}, SCOR {self.scor:.2f}"
        )


@dataclass(frozen=True)
class TermStatistics:
    """Agreement of a term that is neither pattern nor spectrum: a list of peaks, tensors, a restraint, one of your own.

    Attributes:
        n_observations: number of residuals.
        chi2: sum of their squares, without the weight of the term or its robust loss.
        restraint: whether it is knowledge from elsewhere (a restraint, a prior) and does not count as observed.
        discounted: of a term with a robust loss, how many residuals count less than half; otherwise ``None``.
    """

    n_observations: int
    chi2: float
    restraint: bool = False
    discounted: int | None = None

    def __str__(self) -> str:
        what = "restraint" if self.restraint else "observation"
        robust = "" if self.discounted is None else f", robust: {self.discounted} of them count less than half"
        return f"chi² {self.chi2:.4g} of {self.n_observations} {what}{'' if self.n_observations == 1 else 's'}{robust}"


@dataclass(frozen=True, repr=False)
class RefinementResult:
    """The outcome of :func:`jaxnmr.refine`.

    Attributes:
        status: ``"converged"``, ``"max_steps"``, ``"stalled"``, ``"diverged"`` or ``"interrupted"``.
        message: a full sentence about the status.
        parameters: the refined parameters.
        crystals: refined crystals by phase name.
        esds: standard uncertainty of every parameter, arrays like the values (0 where fixed). The residuals of every
            pattern and spectrum are taken to be as uncertain as they turned out to be (its goodness of fit); those of
            other terms as they claim. ``esds_scor`` multiplies by SCOR of each in addition.
        covariance: of the flat physical vector ``parameters.flat``, with which the esds agree.
        information: which term fixes which parameter.
        statistics: per histogram and per spectrum; ``patterns`` per histogram, ``spectra`` per spectrum; ``terms`` of all
            other terms.
        correlations: ``(name, name, coefficient)`` above the threshold, strongest first.
        null_directions: sentences naming combinations of parameters the data do not determine.
        suggestions: ``(name, expected decrease of chi2)`` for fixed parameters, best first.
        steps: every step taken.
        seconds: wall time; ``compile_seconds`` of it spent compiling.
        weighted: true when a term has a weight other than 1, which makes the covariance conditional on it.
        warnings: sentences the reader should see (non-positive displacements, bounds reached ...).
        components: factors by which stated uncertainties were multiplied; only of refinements that estimated them.
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
    statistics: dict[str, HistogramStatistics | SpectrumStatistics]
    patterns: dict[str, FittedPattern]
    correlations: tuple[tuple[str, str, float], ...]
    null_directions: tuple[str, ...]
    suggestions: tuple[tuple[str, float], ...]
    steps: tuple[StepInfo, ...]
    seconds: float
    compile_seconds: float
    weighted: bool = False
    warnings: tuple[str, ...] = field(default=())
    spectra: dict[str, FittedSpectrum] = field(default_factory=dict)
    terms: dict[str, TermStatistics] = field(default_factory=dict)
    components: VarianceComponents | None = None

    @property
    def n_observations(self) -> int:
        """Number of measured numbers in all terms; restraints and priors are not measured."""
        measured = (*self.statistics.values(), *(t for t in self.terms.values() if not t.restraint))
        return sum(s.n_observations for s in measured)

    @property
    def n_restraints(self) -> int:
        """Number of expected values in restraints and priors."""
        return sum(t.n_observations for t in self.terms.values() if t.restraint)

    @property
    def converged(self) -> bool:
        """Whether a minimum was reached."""
        return self.status == "converged"

    @property
    def crystal(self) -> Crystal:
        """The refined crystal of a single-phase refinement."""
        if len(self.crystals) != 1:
            raise KeyError(
                f"{len(self.crystals)} phases were refined; use .crystals[name] with {sorted(self.crystals)}"
            )
        return next(iter(self.crystals.values()))

    def __repr__(self) -> str:
        """The outcome in a few lines: how it ended, agreement factors, every refined value with its uncertainty."""
        count = self.n_restraints
        restraints = f", {count} restraint{'' if count == 1 else 's'}" if count else ""
        lines = [
            f"RefinementResult: {self.status}. {self.message}",
            f"{len(self.steps)} steps, {self.seconds:.1f} s, {self.parameters.n_free} parameters, "
            f"{self.n_observations} observations{restraints}",
        ]
        lines += [f"{name}: {s}" for name, s in (self.statistics | self.terms).items()]
        lines += [] if self.components is None else str(self.components).splitlines()
        esd = np.concatenate([np.ravel(e) for e in self.esds.values()])
        for row, uncertainty in zip(self.parameters.rows(), esd, strict=True):
            if row.free:
                lines.append(f"  {row.name:<28} {format_esd(row.value, float(uncertainty))} {row.unit}".rstrip())
        lines += [f"warning: {sentence}" for sentence in (*self.null_directions, *self.warnings)]
        return "\n".join(lines)
