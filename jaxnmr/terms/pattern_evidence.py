"""`PatternEvidence`: curves, reflections, R_Bragg and weight fractions of a powder pattern (host)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from .._words import counted
from ..crystal import Crystal
from ..diffraction import Background, Instrument, PatternPlan
from ..diffraction.harmonics import least_density, texture_basis, texture_index
from ..diffraction.pattern_plan import compiled_phase_tables, observed_over_calculated
from ..diffraction.phases import PhasePlan
from ..objective.evidence import Axis, Condition, Derived, Profile, Table
from ..objective.misfit import Misfit
from ..objective.state import State
from ..objective.statistics import peak_match
from ..typing import Array
from .quantification import Content, Quantification, absorption_table, amounts, remarks

_RADIATION = {"xray": "X-rays", "neutron": "neutrons"}
_PEAKS = (
    "Peaks are pseudo-Voigt functions (Thompson, Cox & Hastings, 1987) with axial divergence after Finger, Cox & Jephcoat "
    "(1994); the quantity minimised is the sum of squared weighted residuals."
)


@dataclass(frozen=True)
class Reflections:
    """Reflections of one phase in one histogram at the refined parameters (first wavelength).

    All arrays have one row per reflection, sorted by ``two_theta``: ``hkl`` ``(n, 3)``, the others ``(n,)``; ``d`` in Å,
    ``two_theta`` and ``fwhm`` in degrees.
    """

    hkl: np.ndarray
    multiplicity: np.ndarray
    d: np.ndarray
    two_theta: np.ndarray
    f2_calc: np.ndarray
    f2_obs: np.ndarray
    area: np.ndarray
    fwhm: np.ndarray

    @property
    def r_bragg(self) -> float:
        """Return ``sum m |F²_obs - F²_calc| / sum m F²_obs`` in per cent; overlapping peaks are partitioned as calculated.

        Source: Young, The Rietveld Method (1993), table 1.3, with I_K the multiplicity times the squared structure factor.
        """
        total = np.sum(self.multiplicity * np.abs(self.f2_obs))
        off = np.sum(self.multiplicity * np.abs(self.f2_obs - self.f2_calc))
        return float(100.0 * off / total) if total > 0 else float("nan")


@dataclass(frozen=True)
class PatternExperiment:
    """Description of the measurement and calculation of a pattern.

    Attributes:
        instrument: instrument with starting values of refined parameters.
        background: background function.
        cutoff: cutoff of the peak tails, as a fraction of the height; 0 if unknown.
        textures: hkl of the axis of preferred orientation, for phases that have one.
        extracted: phases whose intensities do not come from a structure (Le Bail).
    """

    instrument: Instrument = field(default_factory=Instrument)
    background: Background = field(default_factory=Background)
    cutoff: float = 0.0
    textures: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    extracted: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: PatternPlan) -> PatternExperiment:
        """Make the description from a plan."""

        def axis(plan: PhasePlan) -> tuple[int, int, int]:
            h, k, l = (round(float(n)) for n in np.asarray(plan.march_axis))
            return h, k, l

        return cls(
            instrument=model.instrument,
            background=model.background_function,
            cutoff=float(model.cutoff),
            textures={plan.name: axis(plan) for plan in model.phases if plan.textured},
            extracted=tuple(plan.name for plan in model.phases if plan.intensities != "structure"),
        )


@dataclass(frozen=True, kw_only=True)
class PatternEvidence(Profile):
    """A powder pattern.

    Attributes:
        reflections: reflections of each phase.
        contents: composition of each phase, for weight fractions; empty if scales have no meaning.
        quantification: additional information on the mixture.
        background_parts: contributions to the background besides its polynomial or points, ``(points,)`` each, by name.
        background_terms: number of coefficients of the background.
        textures: names and values of the coefficients of harmonic textures, by phase.
        experiment: description of the measurement and calculation.
    """

    reflections: Mapping[str, Reflections]
    contents: Mapping[str, Content] = field(default_factory=dict)
    quantification: Quantification = field(default_factory=Quantification)
    background_parts: Mapping[str, np.ndarray] = field(default_factory=dict)
    background_terms: int = 0
    textures: Mapping[str, tuple[tuple[str, ...], np.ndarray]] = field(default_factory=dict)
    experiment: PatternExperiment = field(default_factory=PatternExperiment)

    kind: ClassVar[str] = "histogram"
    factor: ClassVar[str] = "Rwp"
    lines: ClassVar[str] = "peaks"
    check: ClassVar[str] = "cell, space group, wavelength and zero"
    better_sigma: ClassVar[str] = (
        "They are not those of counts: give the counts as they were measured, or a column with uncertainties"
    )
    baseline_name: ClassVar[str] = "background"
    agreement_note: ClassVar[str] = "Rwp and Rp include the background."

    @property
    def x(self) -> np.ndarray:
        """Scattering angle 2theta in degrees, ``(points,)``."""
        return self.axis.values

    @property
    def background(self) -> np.ndarray:
        """Background, ``(points,)``: the usual name of the baseline."""
        return self.baseline

    @property
    def r_bragg(self) -> dict[str, float]:
        """R_Bragg of each phase, per cent."""
        return {phase: r.r_bragg for phase, r in self.reflections.items()}

    def columns(self) -> dict[str, np.ndarray]:
        return {
            "two_theta_deg": self.x,
            "observed": self.observed,
            "sigma": self.sigma,
            "calculated": self.calculated,
            "background": self.background,
            "difference": self.difference,
            **self.background_parts,
        }

    def match(self) -> float:
        # the noise of counts is negligible here
        return peak_match(self.observed, self.calculated, self.baseline)

    def _stiff(self, gain: float) -> str:
        return (
            f"The background of '{self.name}' is too stiff: what it misses between the peaks makes {100 * gain:.0f} % of chi². "
            f"Refine it with more terms than {self.background_terms} before anything else is freed."
        )

    def _unexplained(self, found: Misfit) -> str:
        if found.absent:
            return "With the next line: the cell or the space group is likely a wrong one."
        return (
            "A further phase, a larger cell, or a lower symmetry; exclude them if they do not belong to the specimen."
        )

    def _absent(self, found: Misfit) -> str:
        return "" if found.unexplained else "A phase that is not there, or a symmetry that is too low."

    def agreement(self, s: Any) -> dict[str, Any]:
        bragg = [f"{r:.2f}" + (f" ({p})" if len(self.r_bragg) > 1 else "") for p, r in self.r_bragg.items()]
        return {
            self.kind: self.name,
            "points": s.n_observations,
            "Rwp / %": f"{s.r_weighted:.3f}",
            "Rp / %": f"{s.rp:.3f}",
            "Rexp / %": f"{s.rexp:.3f}",
            "GoF": f"{s.gof:.3f}",
            "Durbin-Watson": f"{s.durbin_watson:.3f}",
            "SCOR": f"{s.scor:.2f}",
            "R_Bragg / %": ", ".join(bragg) or "–",
        }

    def tables(self) -> tuple[Table, ...]:
        if len(self.reflections) < 2:
            return ()
        rows = tuple((phase, len(r.d), f"{r.r_bragg:.2f}") for phase, r in self.reflections.items())
        phases = Table("phases", ("phase", "reflections", "R_Bragg / %"), rows)
        return (phases, *absorption_table(self.contents, self.quantification))

    def derived(self) -> tuple[Derived, ...]:
        """Return weight fractions of several phases and of elements in them, and texture indices."""
        return (*amounts(self.name, self.contents, self.quantification), *self._texture_indices())

    def _texture_indices(self) -> Iterator[Derived]:
        for phase, (names, coefficients) in self.textures.items():
            index, slopes = texture_index(names, coefficients)
            labels = [f"{self.name}/texture_{phase}[{name}]" for name in names]
            yield Derived(phase, "texture index J", "", index, dict(zip(labels, slopes.tolist(), strict=True)))

    def record(self) -> dict[str, Any]:
        return {**super().record(), "r_bragg": self.r_bragg}


def pattern_evidence(
    name: str,
    model: PatternPlan,
    observed: Array,
    sigma: Array,
    excluded: tuple[tuple[float, float], ...],
    state: State,
    quantification: Quantification,
) -> PatternEvidence:
    """Return the evidence of a histogram, ``observed`` and ``sigma`` ``(points,)``."""
    values = state.local(name)
    observed = np.asarray(observed)
    x = np.asarray(model.x)
    found = _reflections(model, state, values, observed)
    contents, scale = contents_of(model, state, values), float(values.get("background_scale", 0.0))
    return PatternEvidence(
        name=name,
        what="powder pattern",
        title="powder pattern",
        conditions=tuple(_conditions(name, model, x, observed, np.asarray(sigma), excluded, found, scale)),
        remarks=(_PEAKS, *remarks(quantification, len(contents) > 1)),
        axis=Axis(x, "2θ", "°"),
        observed=observed,
        sigma=np.asarray(sigma),
        calculated=model.curve(state.crystals, values),
        baseline=np.asarray(model.background_curve(values)),
        excluded=excluded,
        width=_width(found),
        reflections=found,
        background_terms=int(model.background_function.terms),
        background_parts=_parts(model, values),
        experiment=PatternExperiment.of(model),
        contents=contents,
        quantification=quantification,
        textures={
            p.name: (p.texture, np.asarray(values[f"texture_{p.name}"], dtype=float)) for p in model.phases if p.texture
        },
    )


def contents_of(model: PatternPlan, state: State, values: Mapping[str, Array]) -> dict[str, Content]:
    """Return the composition of the phases; empty if intensities are extracted, since scales then have no meaning."""
    if any(phase.intensities == "lebail" for phase in model.phases):
        return {}
    scales = np.ravel(np.asarray(values["scale"], dtype=float))
    prefix = lambda phase: f"{phase}/" if len(state.crystals) > 1 else ""
    return {
        phase: Content.of(state.crystals[phase], scale, prefix(phase), model.instrument)
        for phase, scale in zip(model.phase_names, scales, strict=True)
    }


def _parts(model: PatternPlan, values: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """Return the added parts of the background by name."""
    found = model.background_added(values)
    word = {"peak": "broad peak", "Debye": "hump", "measured": "measured background"}
    out = {}
    for kind, columns in found.items():
        for k, column in enumerate(columns.T):
            out[word[kind] if columns.shape[1] == 1 else f"{word[kind]} {k}"] = column
    return out


def texture_doubts(model: PatternPlan, crystals: Mapping[str, Crystal], values: Mapping[str, Array]) -> tuple[str, ...]:
    """Warn about negative pole densities (host)."""
    found = []
    for plan in model.phases:
        if not plan.texture:
            continue
        crystal, coefficients = crystals[plan.name], np.asarray(values[f"texture_{plan.name}"], dtype=float)
        basis, _ = texture_basis(crystal.group, np.asarray(crystal.cell, dtype=float), plan.highest_harmonic)
        least, direction = least_density(basis, plan.texture, coefficients)
        if least < 0:
            x, y, z = direction
            found.append(
                f"The texture of {plan.name} has a density of poles of {least:.2f} along ({x:.2f}, {y:.2f}, {z:.2f}) (a along x, c* "
                "along z), and there is none below 0: take a lower order of harmonics, or fix coefficients that the data do not determine."
            )
    return tuple(found)


def _width(reflections: Mapping[str, Reflections]) -> float:
    """Return the median width of a peak in degrees; 0 without peaks."""
    widths = np.concatenate([r.fwhm for r in reflections.values()] or [np.zeros(0)])
    widths = widths[np.isfinite(widths) & (widths > 0)]
    return float(np.median(widths)) if widths.size else 0.0


def _reflections(model: PatternPlan, state: State, values, observed: np.ndarray) -> dict[str, Reflections]:
    ratios = np.asarray(observed_over_calculated(model, state.crystals, values, observed))
    out, start = {}, 0
    for plan, table in zip(model.phases, compiled_phase_tables(model, state.crystals, values), strict=True):
        n = table.area.shape[0]
        position = np.asarray(table.position)[0]
        keep = (np.asarray(plan.present) > 0) & (position >= model.x[0]) & (position <= model.x[-1])
        order = np.flatnonzero(keep)[np.argsort(position[keep])]
        f2 = np.asarray(table.f_squared)
        out[plan.name] = Reflections(
            hkl=np.asarray(plan.hkl)[order].astype(int),
            multiplicity=np.asarray(plan.multiplicity)[order].astype(int),
            d=np.asarray(table.d_spacing)[order],
            two_theta=position[order],
            f2_calc=f2[order],
            f2_obs=(f2 * ratios[start : start + n])[order],
            area=np.asarray(table.area)[order],
            fwhm=np.asarray(table.fwhm)[order],
        )
        start += n
    return out


def _conditions(
    name: str, model: PatternPlan, x, observed, sigma, excluded, reflections: Mapping[str, Reflections], scale: float
) -> list[Condition]:
    i = model.instrument
    rows = [
        ("radiation", _RADIATION[i.radiation]),
        ("wavelength / Å", ", ".join(f"{w:.6g}" for w in i.wavelengths)),
        ("geometry", f"{i.geometry}, radius {i.radius_mm:g} mm"),
        *(("optics", text) for text in (_optics(i),) if text),
        ("background", _background(name, model.background_function)),
        ("2θ range / °", f"{x[0]:.5g} to {x[-1]:.5g}, step {float(np.median(np.diff(x))):.4g}"),
    ]
    rows += [row for plan in model.phases for row in _directed(plan)]
    if model.background_function.measured is not None:
        rows.append(("σ", _with_background(scale**2 * model.background_function.variance(x) / sigma**2)))
    if excluded:
        rows.append(("excluded / °", ", ".join(f"{low:g}–{high:g}" for low, high in excluded)))
    rows.append(("largest count", f"{observed.max():.6g}"))
    for phase, r in reflections.items():
        d = f", d ≥ {np.min(r.d):.4g} Å" if len(r.d) else ""
        rows.append((f"reflections of {phase}", f"{len(r.d)}{d}"))
    return rows


def _directed(plan: PhasePlan) -> Iterator[tuple[str, str]]:
    """List direction-dependent properties of a phase other than its structure."""
    hkl = lambda axis: "[" + " ".join(f"{k:g}" for k in np.asarray(axis)) + "]"
    if plan.textured:
        yield f"texture of {plan.name}", f"March-Dollase along {hkl(plan.march_axis)}"
    if plan.texture:
        yield (
            f"texture of {plan.name}",
            f"symmetrised harmonics to order {plan.highest_harmonic}, {counted(len(plan.texture), 'coefficient')}",
        )
    if plan.uniaxial:
        yield f"size of {plan.name}", f"along and across {hkl(plan.size_axis)}"


def _with_background(share: np.ndarray) -> str:
    """Describe the share of the measured background in the variance of points, ``(points,)``."""
    usual, most = 100.0 * float(np.median(share)), 100.0 * float(share.max())
    return f"that of the measured background is part of it: {usual:.2g} % of the variance of the median point, up to {most:.2g} %"


def _optics(i: Instrument) -> str:
    """Describe the optics: those included in the calculation, and those only mentioned in a file."""
    calculated = []
    if i.divergence_slit == "automatic":
        calculated.append("automatic divergence slit (peaks times sin θ)")
    if i.monochromator_deg is not None and i.radiation == "xray":
        calculated.append(f"polarised by a monochromator at 2θ = {i.monochromator_deg:.4g}°")
    said = (text for text in i.optics if not text.startswith("automatic"))
    return "; ".join((*calculated, *said))


def _background(name: str, function: Background) -> str:
    if function.kind == "chebyshev":
        text = f"Chebyshev polynomial, {function.terms} terms{' (chosen by BIC)' if function.chosen else ''}"
    elif function.kind == "points":
        how = f"{'picked from the data' if function.chosen else 'given'}, {'not ' if function.fixed else ''}refined"
        text = f"straight lines through {function.terms} points ({how})"
    else:
        text = f"linear interpolation, {function.terms} knots ({'given' if function.knots else function.spacing})"
    added = [f"broad peak at {{NAME/background_peak_position[{k}]}}°" for k in range(len(function.peaks))]
    added += [
        f"diffuse scattering of pairs at {{NAME/background_debye_radius[{k}]}} Å (Debye, 1915)"
        for k in range(len(function.humps))
    ]
    if function.measured is not None:
        added.append(f"{{NAME/background_scale}} times the measured {function.measured.name}")
    return "; ".join((text, *added)).replace("NAME", name)
