"""Areas of all reflections and of their groups, at the profile of a Le Bail fit (host)."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float, Int

from ..._words import counted
from ...crystal import Crystal
from ...crystal.cell import volume
from ...diffraction import Instrument, Pattern, PatternPlan
from ...diffraction.pattern_plan import compiled_phase_tables
from ...diffraction.records import Fixed
from ...errors import DataError
from ...refinement.result import RefinementResult
from ...units import CENTIDEG
from ..records import Intensities
from .columns import profile_columns
from .pawley import fitted_areas, groups_of, local_misfit
from .records import Extraction

# fraction of the area of a peak that must lie on measured points for its area to be known
_COVERED = 0.75
# fraction for it to be fitted at all: otherwise only a tail is visible
_TOUCHED = 0.05
_WIDTHS = ("zero", "U", "V", "W", "X", "Y", "Z", "shl")


class _Reflections(NamedTuple):
    """Reflections of the phase, as in `Extraction`; ``area`` is that of the Le Bail fit."""

    hkl: Int[np.ndarray, "n 3"]
    multiplicity: Int[np.ndarray, " n"]
    two_theta: Float[np.ndarray, " n"]
    fwhm: Float[np.ndarray, " n"]
    eta: Float[np.ndarray, " n"]
    weight: Float[np.ndarray, " n"]
    area: Float[np.ndarray, " n"]

    def chosen(self, which: Bool[np.ndarray, " n"] | Int[np.ndarray, " k"]) -> Self:
        return type(self)(*(column[which] for column in self))


def extraction_of(pattern: Pattern, result: RefinementResult, notes: tuple[str, ...]) -> Extraction:
    """Return areas at the profile of a Le Bail refinement of one phase in one histogram.

    Raises:
        DataError: no reflection lies on measured points.
    """
    term: Any = result.objective.terms[0]
    plan: PatternPlan = term.model
    crystal = result.crystals[plan.phases[0].name]
    prefix = f"{term.name}/"
    values = {
        name.removeprefix(prefix): np.asarray(value, dtype=float)
        for name, value in result.parameters.values.items()
        if name.startswith(prefix)
    }
    x, y, sigma = (np.asarray(of, dtype=float) for of in (plan.x, term.observed, term.uncertainty(values)))
    basis = np.asarray(plan.background)
    # broad peaks, humps and a measured background curve keep their refined values
    added = np.concatenate([np.zeros((len(x), 1)), *plan.background_added(values).values()], axis=1).sum(axis=1)
    every, columns, covered = _columns(plan, crystal, values, x)
    order = np.flatnonzero(covered > _TOUCHED)
    if not (covered > _COVERED).any():
        raise _nothing(pattern)
    order = order[np.argsort(every.two_theta[order], kind="stable")]
    fitted, columns, whole = every.chosen(order), columns[:, order], covered[order] > _COVERED
    beside = every.chosen((covered <= _TOUCHED) & (every.two_theta < x[-1]))

    near = np.abs(fitted.two_theta[:, None] - fitted.two_theta) < np.maximum(fitted.fwhm[:, None], fitted.fwhm)
    found = fitted_areas(columns, basis, y - added, sigma, fitted.area, near)
    background = basis @ found.background + added
    calculated = columns @ found.positive + background
    residual = (y - calculated) / sigma
    chi2 = float(residual @ residual)
    spread = np.sqrt(local_misfit(columns, residual, x, fitted.fwhm))
    covariance = found.covariance * spread * spread[:, None]
    instrument = plan.instrument.replace(**{name: float(values[name]) for name in _WIDTHS})
    intensities = _grouped(pattern, crystal, fitted, found.positive, covariance, whole, beside, instrument)
    known = fitted.chosen(whole)
    esds = result.esds.get("cell", np.zeros(6))
    shift = float(values.get("displacement", 0.0))
    return Extraction(
        cell=np.asarray(crystal.cell, dtype=float),
        cell_esd=np.asarray(esds, dtype=float),
        group=crystal.group,
        zero=float(values["zero"]),
        displacement=-0.36 * shift / (np.pi * plan.fixed.radius_mm),
        values=values,
        instrument=instrument,
        rwp=100.0 * float(np.sqrt(chi2 / np.sum((y / sigma) ** 2))),
        gof=float(np.sqrt(chi2 / max(len(y) - len(order) - basis.shape[1], 1))),
        x=x,
        observed=y,
        sigma=sigma,
        calculated=calculated,
        background=background,
        hkl=known.hkl,
        two_theta=known.two_theta,
        fwhm=known.fwhm,
        eta=known.eta,
        weight=known.weight,
        area=found.area[whole],
        covariance=covariance[np.ix_(whole, whole)],
        intensities=intensities,
        name=pattern.name,
        notes=(*notes, *intensities.notes),
    )


def _columns(
    plan: PatternPlan, crystal: Crystal, values: Mapping[str, Float[np.ndarray, "..."]], x: Float[np.ndarray, " points"]
) -> tuple[_Reflections, Float[np.ndarray, "points n"], Float[np.ndarray, " n"]]:
    """Return all reflections of the plan, their profiles, and the fraction of each that lies on measured points."""
    phase, fixed = plan.phases[0], plan.fixed
    n = phase.n_reflections
    (table,) = compiled_phase_tables(plan, {phase.name: crystal}, values)
    cell = np.asarray(crystal.cell, dtype=float)
    position, fwhm, eta, area, squared = (
        np.asarray(of)[..., :n] for of in (table.position, table.fwhm, table.eta, table.area, table.f_squared)
    )
    reflections = _Reflections(
        hkl=np.rint(np.asarray(phase.hkl)[:n]).astype(int),
        multiplicity=np.rint(np.asarray(phase.multiplicity)[:n]).astype(int),
        two_theta=position[0],
        fwhm=fwhm,
        eta=eta,
        weight=area / squared * float(volume(cell)) / (CENTIDEG * float(values["scale"][0])),
        area=area,
    )
    ratio = np.array([1.0, float(values["ratio"])]) if fixed.lines == 2 else np.ones(1)
    columns = profile_columns(x, position, ratio, fwhm, eta, float(values["shl"]), fixed)
    return reflections, columns, _coverage(columns, x, position[0], fixed, ratio)


def _coverage(
    columns: Float[np.ndarray, "points n"],
    x: Float[np.ndarray, " points"],
    position: Float[np.ndarray, " n"],
    fixed: Fixed,
    ratio: Float[np.ndarray, " lines"],
) -> Float[np.ndarray, " n"]:
    """Return the fraction of the area of every reflection that lies on measured points."""
    # a gap is an excluded region, whose area was not measured
    step = np.minimum(np.gradient(x), 1.5 * float(np.median(np.diff(x))))
    slit = 1.0 if fixed.divergence_slit == "fixed" else np.sin(np.radians(position / 2.0))
    return np.asarray(step @ columns / (ratio.sum() * slit))


def _grouped(
    pattern: Pattern,
    crystal: Crystal,
    fitted: _Reflections,
    area: Float[np.ndarray, " n"],
    covariance: Float[np.ndarray, "n n"],
    covered: Bool[np.ndarray, " n"],
    beside: _Reflections,
    instrument: Instrument,
) -> Intensities:
    """Sum areas over groups of overlapping reflections; a group with an unmeasured part is unknown."""
    members = groups_of(fitted.two_theta, fitted.fwhm)
    keep = np.array([covered[members == g].all() for g in range(members[-1] + 1)])[members]
    if not keep.any():
        raise _nothing(pattern)
    _, members = np.unique(members[keep], return_inverse=True)
    total = np.zeros((members[-1] + 1, int(keep.sum())))
    total[members, np.arange(len(members))] = 1.0
    kept, lost = fitted.chosen(keep), np.concatenate([beside.hkl, fitted.hkl[~keep]])
    notes: tuple[str, ...] = ()
    if len(lost):
        names = ", ".join(" ".join(map(str, h)) for h in lost[:6].tolist()) + (", ..." if len(lost) > 6 else "")
        notes = (f"{counted(len(lost), 'reflection')} left out, not wholly within the measured points: {names}",)
    return Intensities(
        cell=np.asarray(crystal.cell, dtype=float),
        group=crystal.group,
        hkl=kept.hkl,
        multiplicity=kept.multiplicity,
        two_theta=kept.two_theta,
        weight=kept.weight,
        members=members,
        area=total @ area[keep],
        covariance=total @ covariance[np.ix_(keep, keep)] @ total.T,
        instrument=instrument,
        name=pattern.name,
        notes=notes,
    )


def _nothing(pattern: Pattern) -> DataError:
    return DataError(
        f"{pattern.name}: every reflection lies beside the measured points or in excluded regions; no intensity can be extracted"
    )
