"""Diagnosis of a first refinement and recommended next steps, in plain words (host)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

import numpy as np

from ..crystal import Crystal
from ..crystal.cell import reciprocal_metric
from ..diffraction.reflections import laue_rotations
from ..objective import ProfileStatistics
from ..objective.misfit import Line, listed
from ..refinement.result import RefinementResult
from ..solve.checks.preferred_orientation import distinct_axes

# unexplained lines this high (relative to the highest) are not from an impurity; this many mean a wrong structure
_STRONG, _MANY = 0.12, 4
# R_Bragg in per cent, and correlation of peaks, of a structure unrelated to the pattern
_FAR_BRAGG, _FAR_MATCH = 50.0, 0.9
_GOOD, _FAIR = 1.3, 2.5
# fraction of the scatter of intensities one axis must explain, its size, and the strong reflections required
_EXPLAINED, _TEXTURE, _LEAST = 0.3, 0.08, 12
# fraction of chi² that freeing a parameter must promise; excessive displacements in Å²; excessive correlations
_PROMISES, _LARGE, _CORRELATED = 0.02, 0.06, 0.97


class Outcome(NamedTuple):
    """Verdict on whether data and structures match, one sentence, and next steps, the most important first."""

    together: bool
    verdict: str
    steps: tuple[str, ...]


def outcome(fit: RefinementResult, run_file: str) -> Outcome:
    """Diagnose a first refinement.

    Args:
        fit: result of the refinement.
        run_file: name of the run file, for advice.
    """
    steps: list[str] = []
    apart = []
    for name in fit.patterns:
        reason = _apart(fit, name)
        if reason:
            apart.append(f"{name}: {reason}")
        else:
            steps += _of_pattern(fit, name)
    for name, shown in fit.spectra.items():
        if shown.complaint():
            apart.append(f"{name}: {shown.complaint()}")
        elif _goodness(fit)[name] > _FAIR:
            steps.append(
                f'{name} is not described within its noise: add a site, free "{name}/gaussian" and "{name}/lorentzian", or give mas_hz and '
                "transitions (all, for a quadrupolar nucleus whose satellites overlap the centre)."
            )
    if apart:
        return Outcome(False, f"Data and structure do not belong together. {' '.join(apart)}", _what_if_apart(fit))
    steps += _displacements(fit) + _promising(fit) + _correlated(fit)
    goodness = _goodness(fit)
    factors = ", ".join(f"{name} {gof:.2f}" for name, gof in goodness.items())
    worst = max(goodness.values(), default=0.0)
    how = (
        "this is as good as the noise allows" if worst <= _GOOD
        else "a sound first refinement" if worst <= _FAIR
        else "the structures are in the data, but something is still missing in the model"
    )  # fmt: skip
    if not fit.converged:
        steps.insert(
            0, f"It has not converged yet: {fit.message} Refine again from where it ended: start from refined.cif."
        )
    if not steps:
        steps = [
            f"Nothing stands out. Look at the picture and the bond lengths in the report; edit {run_file} to go on."
        ]
    return Outcome(
        True, f"Data and structures belong together; goodness of fit {factors} (1 is noise alone): {how}.", tuple(steps)
    )


def _goodness(fit: RefinementResult) -> dict[str, float]:
    """Return the goodness of fit of every pattern and spectrum."""
    return {name: cast(ProfileStatistics, fit.statistics[name]).gof for name in (*fit.patterns, *fit.spectra)}


def _apart(fit: RefinementResult, name: str) -> str:
    """Explain why a pattern does not match the structures; empty if it does."""
    shown, found = fit.patterns[name], fit.patterns[name].misfit()
    strong = [line for line in found.unexplained if line.height >= _STRONG]
    missing = [line for line in found.absent if line.height >= _STRONG]
    match = shown.match()
    bragg = min(shown.r_bragg.values(), default=0.0)
    if shown.complaint() or len(strong) >= _MANY or (bragg > _FAR_BRAGG and match < _FAR_MATCH):
        told = [f"calculated and observed peaks agree to {match:.2f} only (1 where they coincide)"]
        if strong:
            told.append(f"observed peaks without a calculated one: {listed(strong, '°')}")
        if missing:
            told.append(f"calculated peaks that are not there: {listed(missing, '°')}")
        return "; ".join(told) + "."
    return ""


def _what_if_apart(fit: RefinementResult) -> tuple[str, ...]:
    if not fit.patterns:
        return ("Check the nucleus, the field and the shift reference, and that the calculation is of this compound.",)
    return (
        "Is it the right structure file? Compare the formula, and whether it is another polymorph or measured at another temperature or pressure.",
        "Are the wavelength and the zero right? A wrong --wavelength or --tube moves all peaks; beyond 1 % of the cell, or some tenths of a degree "
        "of shift, they are not found.",
        "Is there more than one phase? Give all structures at once: jaxnmr new PATTERN FIRST.cif SECOND.cif.",
        "Is the cell unknown? jaxnmr index PATTERN finds cells from the peaks alone, jaxnmr solve PATTERN --composition FORMULA a structure.",
    )


def _of_pattern(fit: RefinementResult, name: str) -> list[str]:
    shown = fit.patterns[name]
    found, steps = shown.misfit(), []
    if found.unexplained:
        steps.append(
            f"Peaks at {_positions(found.unexplained)} are not explained: another phase? Give its structure file, too "
            f"(weaker ones may be Kβ or W lines of the tube: exclude them, excluded = [[low, high]] in [[histogram]])."
        )
    if found.absent:
        steps.append(
            f"Peaks at {_positions(found.absent)} are calculated and not observed: is the symmetry higher, a phase not there, or is there a "
            "strong texture?"
        )
    if found.stiff:
        steps.append(
            f"The background does not follow the data: {shown.background_terms} terms of [[histogram]] background to "
            f"{shown.background_terms + 6}."
        )
    gof = _goodness(fit)[name]
    if gof > _GOOD:
        for phase, reflections in shown.reflections.items():
            axis = _texture(fit.crystals[phase], reflections)
            if axis:
                hkl = list(axis)
                steps.append(
                    f"Intensities of {phase} depend on direction: texture? Add march_axis = {{ {phase} = {hkl} }} to [[histogram]] and "
                    f'"{name}/march" to the stage of the atoms.'
                )
    return steps


def _positions(lines: tuple[Line, ...]) -> str:
    highest = sorted(lines, key=lambda line: -line.height)[:6]
    text = ", ".join(f"{line.position:.2f}" for line in sorted(highest))
    more = len(lines) - len(highest)
    return f"2θ = {text}" + (f" and {more} lower ones" if more else "")


def _texture(crystal: Crystal, reflections) -> tuple[int, int, int] | None:
    """Return the axis of a March-Dollase texture that explains observed over calculated intensities to first order.

    ``ln P = (1 - r) (3 <cos²> - 1)`` for a coefficient r near 1 (Dollase, J. Appl. Cryst. 19, 267 (1986)).
    """
    area = np.asarray(reflections.area, dtype=float)
    if len(area) < _LEAST:
        return None
    strong = (area > 0.03 * area.max()) & (reflections.f2_obs > 0.05 * reflections.f2_calc)
    if strong.sum() < _LEAST:
        return None
    ratio = np.log(reflections.f2_obs[strong] / reflections.f2_calc[strong])
    # observed areas of overlapping reflections are shared as calculated and tell less: strong ones get most weight
    weight = np.sqrt(area[strong])
    hkl = np.asarray(reflections.hkl)[strong].astype(float)
    metric = reciprocal_metric(np.asarray(crystal.cell, dtype=float))
    length = np.sqrt(np.einsum("ni,ij,nj->n", hkl, metric, hkl))
    best: tuple[float, float, tuple[int, int, int] | None] = (0.0, 0.0, None)
    ones = np.ones(len(ratio))
    spread = np.sum(weight**2 * (ratio - np.average(ratio, weights=weight**2)) ** 2)
    for axis in distinct_axes(crystal.group):
        images = np.array(axis) @ laue_rotations(crystal.group)
        along = np.sqrt(np.einsum("ki,ij,kj->k", images, metric, images))
        cosine = np.einsum("ni,ij,kj->nk", hkl, metric, images) / length[:, None] / along
        column = 3.0 * np.mean(cosine**2, axis=1) - 1.0
        design = np.stack([ones, column], axis=1) * weight[:, None]
        found, *_ = np.linalg.lstsq(design, ratio * weight, rcond=1e-8)
        left = np.sum((ratio * weight - design @ found) ** 2)
        explained = float(1.0 - left / spread) if spread > 0 else 0.0
        if explained > best[0]:
            best = explained, float(found[1]), axis
    return best[2] if best[0] > _EXPLAINED and abs(best[1]) > _TEXTURE else None


def _displacements(fit: RefinementResult) -> list[str]:
    steps = []
    for phase, crystal in fit.crystals.items():
        u = np.asarray(crystal.u_equivalent(), dtype=float)
        large = [label for label, value in zip(crystal.labels, u, strict=True) if value > _LARGE]
        low = crystal.nonpositive_displacements()
        if large:
            steps.append(
                f"Displacements of {', '.join(large)} in {phase} are large (over {_LARGE:g} Å²): less of that atom, a lighter element, disorder, or a wrong "
                "place?"
            )
        if low:
            steps.append(
                f"Displacements of {', '.join(low)} in {phase} are not positive: a heavier element or more of it, absorption (a capillary), surface roughness, "
                "or a wrong polarisation (monochromator_deg)?"
            )
    return steps


def _promising(fit: RefinementResult) -> list[str]:
    total = fit.steps[-1].chi2 if fit.steps else 0.0
    good: Mapping[str, float] = {
        name: gain / total for name, gain in fit.suggestions if total and gain > _PROMISES * total
    }
    if not good or all(gof <= _GOOD for gof in _goodness(fit).values()):
        return []
    told = ", ".join(f'"{name}" ({100 * gain:.0f} %)' for name, gain in list(good.items())[:4])
    return [
        f"What might be freed next, and the part of chi² that it would remove at most: {told}. Write the names into a new [[stage]]."
    ]


def _correlated(fit: RefinementResult) -> list[str]:
    strong = [(a, b, r) for a, b, r in fit.correlations if abs(r) >= _CORRELATED]
    # widths of an uncalibrated instrument, and polynomial coefficients, are always correlated
    usual = {"U", "V", "W", "X", "Y", "background"}
    bare = lambda name: name.split("[")[0].rsplit("/", 1)[-1]
    strong = [(a, b, r) for a, b, r in strong if not {bare(a), bare(b)} <= usual]
    if not strong:
        return []
    told = ", ".join(f"{a} and {b} ({r:+.2f})" for a, b, r in strong[:3])
    return [f"The data hardly tell apart {told}: fix one of each pair, or tie them ([[tie]] in jaxnmr help-run)."]


def report_section(found: Outcome) -> str:
    """Format the outcome for the report."""
    return "\n## What next\n\n" + found.verdict + "\n\n" + "".join(f"- {step}\n" for step in found.steps)
