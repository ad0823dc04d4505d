"""`lebail`: the whole pattern fitted by the reflections of a cell, and their areas with a covariance (host).

A Le Bail fit (A. Le Bail, H. Duroy & J. L. Fourquet, Mater. Res. Bull. 23, 447 (1988)) by the refinement loop finds background, cell,
shift and profile; at these a pattern is linear in areas and background, and a Pawley step ends it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from ..._arguments import checked
from ...crystal import Crystal, SpaceGroup
from ...crystal.cell import volume
from ...diffraction import Background, Instrument, Pattern, PatternPlan, PowderDiffraction
from ...diffraction.corrections import bragg_two_theta
from ...diffraction.pattern_plan import compiled_phase_tables
from ...diffraction.phases import area_factor
from ...diffraction.records import Fixed
from ...diffraction.reflections import plan_reflections
from ...errors import ConventionError, DataError, require_kind
from ...objective import Objective
from ...refinement import Stage, refine
from ...refinement.result import RefinementResult
from ...terms import PatternTerm
from ...typing import Numbers
from ...units import CENTIDEG
from ..records import CellCandidate, Intensities, Peaks
from .columns import profile_columns
from .pawley import Areas, fitted_areas, groups_of, local_misfit
from .records import Extraction
from .starts import group_of_lattice, require_metric, starting_widths, width_of

_PHASE, _HISTOGRAM = "cell", "xrd"
# reflections beyond so many, from the lowest angle on, are left out with the part of the pattern that they are in
MOST_REFLECTIONS = 400
# of the area of a peak, what must lie on measured points for its area to be known
_COVERED = 0.75
# and to be fitted at all
_TOUCHED = 0.05
# an axis may change by so much from the start
_CELL_ROOM = 0.01
# degrees that all angles may shift
_SHIFT_ROOM = 0.5


@checked
def lebail(
    pattern: Pattern,
    cell: Numbers | None = None,
    group: SpaceGroup | str | int | None = None,
    *,
    instrument: Instrument | None = None,
    start: CellCandidate | None = None,
    peaks: Peaks | None = None,
    background: Background | None = None,
    d_min: float | None = None,
) -> Extraction:
    """Intensities of all reflections of a cell, without a structure.

    Args:
        pattern: measured; its excluded regions stay out.
        cell: ``(6,)`` Å and degrees, conventional; of ``start`` where not given.
        group: whose reflections are fitted; by default that of ``start``, else the one of highest symmetry without extinctions
            that the cell allows.
        instrument: by default that of the pattern. Its widths are a start where they are about those of the pattern.
        start: an indexed cell, with its shifts of the angles.
        peaks: found before, for the width to start from.
        background: 12 Chebyshev terms by default.
        d_min: smallest interplanar distance in Å; by default as far as 400 reflections go.

    Raises:
        ConventionError: no wavelength, no cell.
        SymmetryError: a group that contradicts the metric.
        DataError: no reflection in the pattern, everything excluded, nothing that stands out of the noise.
    """
    require_kind(pattern, Pattern, "what was measured", "as of read_pattern")
    if cell is None:
        if start is None:
            raise ConventionError(
                "no cell: lebail(pattern, cell=(8.48, 5.40, 6.96, 90, 90, 90)), or start= one of index(peaks)"
            )
        cell = start.cell
    numbers = np.asarray(cell, dtype=float)
    if numbers.shape != (6,) or not np.all(np.isfinite(numbers)) or not np.all(numbers > 0):
        raise ConventionError(f"the cell is {cell!r}; expected six positive numbers, Å and degrees")
    if group is None:
        found = start.group if start is not None else group_of_lattice(numbers)
    else:
        found = group if isinstance(group, SpaceGroup) else SpaceGroup.from_name(group, numbers)
    require_metric(found, numbers)
    experiment = PowderDiffraction(
        instrument=instrument, background=background or Background.chebyshev(12), lebail=(_PHASE,)
    )
    device, x, y = experiment.measured(pattern)
    pattern = _limited(pattern, device, found, numbers, d_min)
    _, x, y = experiment.measured(pattern)
    sigma = np.asarray(pattern.sigma)[pattern.included()]
    fwhm = width_of(peaks, x, y, sigma)
    widths = starting_widths(device, fwhm, float(x[np.argmax(y)]))
    result, notes = _profile(pattern, experiment, _marker(numbers, found), widths, start, device.fixed)
    return _extraction(pattern, result, numbers, notes)


def _marker(cell: Float[np.ndarray, "6"], group: SpaceGroup) -> Crystal:
    """A crystal for its reflections: what is in it does not count."""
    return Crystal.create(cell=cell, spacegroup=group, species=("H",), xyz=((0.0, 0.0, 0.0),), name=_PHASE)


def _limited(
    pattern: Pattern, instrument: Instrument, group: SpaceGroup, cell: Float[np.ndarray, "6"], d_min: float | None
) -> Pattern:
    """The part of a pattern up to ``d_min``, or with as many reflections as are fitted.

    Raises:
        DataError: no reflection lies in it.
    """
    x = np.asarray(pattern.x)[pattern.included()]
    wavelength = instrument.wavelengths[0]
    least = 2.0 * np.sin(np.radians(0.5 * min(float(x[-1]), 179.0))) / wavelength
    shortest = 1.0 / least if d_min is None else max(1.0 / least, d_min)
    hkl, _ = plan_reflections(group, cell, shortest)
    g_star = np.linalg.inv(_metric(cell))
    two_theta = 2.0 * np.degrees(np.arcsin(0.5 * wavelength * np.sqrt(np.einsum("ni,ij,nj->n", hkl, g_star, hkl))))
    inside = np.sort(two_theta[two_theta > x[0]])
    if len(inside) == 0:
        raise DataError(
            f"{pattern.name}: no reflection of the cell {np.round(cell, 3).tolist()} lies between {x[0]:g} and {x[-1]:g} degrees; check "
            "the wavelength, the limits and the cell"
        )
    last = x[-1] if d_min is None else inside[-1] + 0.5
    if d_min is None and len(inside) > MOST_REFLECTIONS:
        last = inside[MOST_REFLECTIONS]
    return pattern.limited(high=float(last)) if last < x[-1] else pattern


def _metric(cell: Float[np.ndarray, "6"]) -> Float[np.ndarray, "3 3"]:
    from ...crystal.cell import metric

    return np.asarray(metric(cell))


def _profile(
    pattern: Pattern,
    experiment: PowderDiffraction,
    crystal: Crystal,
    widths: Mapping[str, float],
    start: CellCandidate | None,
    fixed: Fixed,
) -> tuple[RefinementResult, tuple[str, ...]]:
    """Background, cell, shift and profile, by the refinement loop."""
    objective = Objective(PatternTerm(experiment, pattern, name=_HISTOGRAM), crystal=crystal)
    params = objective.parameters()
    for name, value in widths.items():
        params = params.set(f"{_HISTOGRAM}/{name}", value)
    flat = fixed.geometry == "bragg-brentano"
    per_degree = -np.pi * fixed.radius_mm / 0.36
    shift = f"{_HISTOGRAM}/{'displacement' if flat else 'zero'}"
    if start is not None:
        zero = float(params[f"{_HISTOGRAM}/zero"])
        params = params.set(f"{_HISTOGRAM}/zero", zero + start.zero + (0.0 if flat else start.displacement))
        if flat:
            params = params.set(shift, start.displacement * per_degree)
    room = abs(_SHIFT_ROOM * (per_degree if flat else 1.0))
    middle = float(params[shift])
    params = params.bound(shift, middle - room, middle + room)
    for name in params.free("cell").free_names:
        length = float(np.asarray(params["cell"])["abc".find(name[-2])]) if name[-2] in "abc" and name.endswith("]") else 0.0
        if length and name.split("[")[1][:-1] in ("a", "b", "c"):
            params = params.bound(name, (1.0 - _CELL_ROOM) * length, (1.0 + _CELL_ROOM) * length)
    lines = lambda *names: tuple(f"{_HISTOGRAM}/{name}" for name in names)
    stages = [
        Stage(free=("cell", shift, *lines("background")), name="background, cell and shift", max_steps=5),
        Stage(free=lines("size", "strain"), name="widths", max_steps=6),
        Stage(free=lines("U", "V", "W"), name="profile", max_steps=6),
    ]
    result = refine(objective, params, stages=stages, throw=False, suggest=False)
    import os
    if os.environ.get('DBG'): [print(s.stage, s.step, round(s.chi2), s.note, s.factors, round(s.seconds,2)) for s in result.steps]
    return result, ()


def _extraction(
    pattern: Pattern, result: RefinementResult, cell: Float[np.ndarray, "6"], notes: tuple[str, ...]
) -> Extraction:
    """Areas at the profile that was found."""
    term: Any = result.objective.terms[0]
    plan: PatternPlan = term.model
    crystal = result.crystals[_PHASE]
    prefix = f"{_HISTOGRAM}/"
    values = {
        name.removeprefix(prefix): np.asarray(value, dtype=float)
        for name, value in result.parameters.values.items()
        if name.startswith(prefix)
    }
    (table,) = compiled_phase_tables(plan, {_PHASE: crystal}, values)
    phase = plan.phases[0]
    n = phase.n_reflections
    position, fwhm, eta = (np.asarray(of)[..., :n] for of in (table.position, table.fwhm, table.eta))
    bragg = np.asarray(bragg_two_theta(1.0 / np.asarray(table.d_spacing), values["wavelength"][0]))
    factor = np.asarray(area_factor(phase, np.asarray(crystal.cell), bragg, plan.fixed, values, 0))[:n]
    weight = factor / (CENTIDEG * float(values["scale"][0]) / float(volume(np.asarray(crystal.cell))))
    x, y, sigma = (np.asarray(of, dtype=float) for of in (plan.x, term.observed, term.sigma))
    ratio = np.array([1.0, float(values["ratio"])])[: plan.fixed.lines] if plan.fixed.lines > 1 else np.ones(1)
    columns = profile_columns(x, position, ratio, fwhm, eta, float(values["shl"]), plan.fixed)
    covered = _coverage(columns, x, position[0], plan.fixed, ratio)
    # tails alone of reflections beside the points say nothing of them
    order = np.flatnonzero(covered > _TOUCHED)
    order = order[np.argsort(position[0, order], kind="stable")]
    outside = np.sort(position[0, covered <= _TOUCHED])
    columns, position, fwhm, eta, weight = columns[:, order], position[0, order], fwhm[order], eta[order], weight[order]
    covered = covered[order] > _COVERED
    hkl = np.rint(np.asarray(phase.hkl)[:n][order]).astype(int)
    multiplicity = np.rint(np.asarray(phase.multiplicity)[:n][order]).astype(int)
    basis = np.asarray(plan.background)
    expected = np.asarray(table.area)[:n][order]
    near = np.abs(position[:, None] - position) < np.maximum(fwhm[:, None], fwhm)
    found = fitted_areas(columns, basis, y, sigma, expected, near)
    background = basis @ found.background
    calculated = columns @ found.positive + background
    residual = (y - calculated) / sigma
    free = len(y) - len(order) - basis.shape[1]
    gof = float(np.sqrt(residual @ residual / max(free, 1)))
    rwp = 100.0 * float(np.sqrt(residual @ residual / np.sum((y / sigma) ** 2)))
    spread = np.sqrt(local_misfit(columns, residual, x, fwhm))
    covariance = found.covariance * spread * spread[:, None]
    i = plan.instrument
    refined = {k: float(values[k]) for k in ("zero", "U", "V", "W", "X", "Y", "Z", "shl") if k in values}
    instrument = i.replace(**refined)
    esd = next((np.asarray(e) for name, e in result.esds.items() if name.split("/")[-1] == "cell"), np.zeros(6))
    shift = float(values["displacement"]) if "displacement" in values else 0.0
    intensities = _grouped(
        pattern, crystal, hkl, multiplicity, position, fwhm, weight, found, covariance, covered, instrument
    )
    return Extraction(
        cell=np.asarray(crystal.cell, dtype=float), cell_esd=esd, group=crystal.group, zero=float(values["zero"]),
        displacement=-0.36 * shift / (np.pi * plan.fixed.radius_mm), values=values, instrument=instrument, rwp=rwp, gof=gof,
        x=x, observed=y, sigma=sigma, calculated=calculated, background=background, hkl=hkl[covered], two_theta=position[covered],
        fwhm=fwhm[covered], eta=eta[covered], weight=weight[covered], area=found.area[covered],
        covariance=covariance[np.ix_(covered, covered)], intensities=intensities, name=pattern.name,
        notes=(*notes, *intensities.notes),
    )  # fmt: skip


def _coverage(
    columns: Float[np.ndarray, "points n"],
    x: Float[np.ndarray, " points"],
    position: Float[np.ndarray, " n"],
    fixed: Fixed,
    ratio: Float[np.ndarray, " lines"],
) -> Float[np.ndarray, " n"]:
    """The part of the area of every reflection that lies on measured points."""
    gaps = np.diff(x)
    # a gap is an excluded region, whose area nobody measured
    step = np.minimum(np.gradient(x), 1.5 * float(np.median(gaps)))
    slit = 1.0 if fixed.divergence_slit == "fixed" else np.sin(np.radians(position / 2.0))
    return step @ columns / (ratio.sum() * slit)


def _grouped(
    pattern: Pattern,
    crystal: Crystal,
    hkl: np.ndarray,
    multiplicity: np.ndarray,
    position: np.ndarray,
    fwhm: np.ndarray,
    weight: np.ndarray,
    found: Areas,
    covariance: np.ndarray,
    covered: np.ndarray,
    instrument: Instrument,
) -> Intensities:
    """Areas of groups, of the reflections that lie on measured points."""
    members = groups_of(position, fwhm)
    # a group with a part that was not measured is not known
    whole = np.array([covered[members == g].all() for g in range(members[-1] + 1)])
    keep = whole[members]
    if not keep.any():
        raise DataError(
            f"{pattern.name}: every reflection lies beside the measured points, or in excluded regions; nothing can be extracted"
        )
    _, members = np.unique(members[keep], return_inverse=True)
    total = np.zeros((members[-1] + 1, int(keep.sum())))
    total[members, np.arange(int(keep.sum()))] = 1.0
    notes = ()
    if not keep.all():
        lost = [" ".join(map(str, h)) for h in hkl[~keep][:6].tolist()]
        more = ", ..." if (~keep).sum() > 6 else ""
        notes = (
            f"{int((~keep).sum())} reflections are not, or not whole, on measured points and were left out: {', '.join(lost)}{more}.",
        )
    return Intensities(
        cell=np.asarray(crystal.cell, dtype=float),
        group=crystal.group,
        hkl=hkl[keep],
        multiplicity=multiplicity[keep],
        two_theta=position[keep],
        weight=weight[keep],
        members=members,
        area=total @ found.positive[keep],
        covariance=total @ covariance[np.ix_(keep, keep)] @ total.T,
        instrument=instrument,
        name=pattern.name,
        notes=notes,
    )
