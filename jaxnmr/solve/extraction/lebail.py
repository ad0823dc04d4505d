"""`lebail`: fit of the whole pattern by the reflections of a cell, and their areas with a covariance (host).

A Le Bail fit (A. Le Bail, H. Duroy & J. L. Fourquet, Mater. Res. Bull. 23, 447 (1988)) by the refinement loop
determines background, cell, shift and profile. For these a pattern is linear in areas and background, which a final
Pawley step determines.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from ..._arguments import checked
from ...crystal import Crystal, SpaceGroup
from ...crystal.cell import reciprocal_metric
from ...diffraction import Background, Instrument, Pattern, PowderDiffraction
from ...diffraction.records import Fixed
from ...diffraction.reflections import plan_reflections
from ...diffraction.tiles import rounded_up
from ...errors import ConventionError, DataError, require_kind
from ...objective import Objective
from ...refinement import Stage, refine
from ...refinement.result import RefinementResult
from ...terms import PatternTerm
from ...typing import Numbers
from ..records import CellCandidate, Peaks
from .areas import extraction_of
from .records import Extraction
from .short import bragg, listed, part_of, short_fit
from .starts import group_of_lattice, require_cell, require_metric, starting_widths, width_of

_PHASE, _HISTOGRAM = "phase", "xrd"
# largest number of reflections, from the lowest angle; beyond it reflections and pattern are cut off
MOST_REFLECTIONS = 400
# reflections of the first fit, and its trial shifts of the angles in degrees
_FIRST, _SHIFTS = 40, (0.0, -0.08, 0.08)
# relative change of an axis allowed from the start
_CELL_ROOM = 0.01
# degrees, largest shift of all angles
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
    """Extract intensities of all reflections of a cell, without a structure.

    Args:
        pattern: measured pattern; its excluded regions stay excluded.
        cell: ``(6,)`` Å and degrees, conventional; by default that of ``start``.
        group: space group of the reflections; by default that of ``start``, else the one of highest symmetry without
            extinctions that the cell allows.
        instrument: by default that of the pattern. Its widths are starting values if they roughly match the pattern.
        start: an indexed cell, with its shifts of the angles.
        peaks: known peaks, for the initial width.
        background: 12 Chebyshev terms by default.
        d_min: smallest interplanar distance in Å; by default that of 400 reflections.

    Raises:
        ConventionError: there is no wavelength or no cell.
        SymmetryError: the group contradicts the metric.
        DataError: the pattern has no reflection, is entirely excluded, or has no signal above the noise.
    """
    require_kind(pattern, Pattern, "what was measured", "as of read_pattern")
    if cell is None:
        if start is None:
            raise ConventionError(
                "no cell: lebail(pattern, cell=(8.48, 5.40, 6.96, 90, 90, 90)), or start= one of index(peaks)"
            )
        cell = start.cell
    numbers = require_cell(cell)
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
    numbers, angles, fwhm = _roughly(x, y, sigma, device, found, numbers, start, fwhm)
    widths = starting_widths(device, fwhm, float(x[np.argmax(y)]))
    result, notes = _profile(pattern, experiment, _marker(numbers, found), widths, angles, device.fixed)
    return extraction_of(pattern, result, notes)


def _roughly(
    x: Float[np.ndarray, " points"],
    y: Float[np.ndarray, " points"],
    sigma: Float[np.ndarray, " points"],
    device: Instrument,
    group: SpaceGroup,
    cell: Float[np.ndarray, "6"],
    start: CellCandidate | None,
    fwhm: float,
) -> tuple[Float[np.ndarray, "6"], tuple[float, float], float]:
    """Estimate cell, zero, shift by cos(theta) and width from low angles, where peaks are not confused."""
    flat = device.geometry == "bragg-brentano"
    zero = device.zero + (0.0 if start is None else start.zero)
    shift = 0.0 if start is None else start.displacement
    if not flat:
        zero, shift = 0.0, zero + shift
    angles = np.sort(bragg(cell, listed(group, cell, float(x[-1]), device), device.wavelengths[0]))
    angles = angles[angles > x[0]]
    part = part_of(x, y, sigma, float(angles[min(_FIRST, len(angles)) - 1]), device, fwhm)
    tries = [short_fit(part, group, cell, zero=zero, shift=shift + s) for s in (_SHIFTS if start is None else (0.0,))]
    good = [one for one in tries if one is not None and np.abs(one.cell / cell - 1.0).max() < _CELL_ROOM]
    if good:
        best = min(good, key=lambda one: one.chi2)
        cell, shift, fwhm = best.cell, best.shift, best.fwhm
    return cell, (zero, shift) if flat else (shift, 0.0), fwhm


def _marker(cell: Float[np.ndarray, "6"], group: SpaceGroup) -> Crystal:
    """Make a crystal that only provides reflections; its content is irrelevant."""
    return Crystal.create(cell=cell, spacegroup=group, species=("H",), xyz=((0.0, 0.0, 0.0),), name=_PHASE)


def _limited(
    pattern: Pattern, instrument: Instrument, group: SpaceGroup, cell: Float[np.ndarray, "6"], d_min: float | None
) -> Pattern:
    """Return the part of a pattern up to ``d_min``, or up to the largest number of reflections.

    Raises:
        DataError: it contains no reflection.
    """
    x = np.asarray(pattern.x)[pattern.included()]
    wavelength = instrument.wavelengths[0]
    least = 2.0 * np.sin(np.radians(0.5 * min(float(x[-1]), 179.0))) / wavelength
    shortest = 1.0 / least if d_min is None else max(1.0 / least, d_min)
    hkl, _ = plan_reflections(group, cell, shortest)
    d_star = np.sqrt(np.einsum("ni,ij,nj->n", hkl, reciprocal_metric(cell), hkl))
    two_theta = 2.0 * np.degrees(np.arcsin(np.minimum(0.5 * wavelength * d_star, 1.0)))
    inside = np.sort(two_theta[two_theta > x[0]])
    if len(inside) == 0:
        raise DataError(
            f"{pattern.name}: no reflection of the cell {np.round(cell, 3).tolist()} lies between {x[0]:g} and {x[-1]:g} degrees; check "
            "the wavelength, the limits and the cell"
        )
    last = x[-1] if d_min is None else inside[-1] + 0.5
    if d_min is None and len(inside) > MOST_REFLECTIONS:
        last = inside[MOST_REFLECTIONS]
    # numbers of points, and with them compiled programs, are shared by similar cells
    points = rounded_up(int(np.searchsorted(x, last)) + 1, first=512, factor=1.15)
    return pattern.limited(high=float(x[points - 1])) if points < len(x) else pattern


def _profile(
    pattern: Pattern,
    experiment: PowderDiffraction,
    crystal: Crystal,
    widths: Mapping[str, float],
    angles: tuple[float, float],
    fixed: Fixed,
) -> tuple[RefinementResult, tuple[str, ...]]:
    """Refine background, cell, shift and profile with the refinement loop; return the result and remarks."""
    objective = Objective(PatternTerm(experiment, pattern, name=_HISTOGRAM), crystal=crystal)
    params = objective.parameters()
    for name, value in widths.items():
        params = params.set(f"{_HISTOGRAM}/{name}", value)
    flat = fixed.geometry == "bragg-brentano"
    per_degree = -np.pi * fixed.radius_mm / 0.36
    shift = f"{_HISTOGRAM}/{'displacement' if flat else 'zero'}"
    params = params.set(f"{_HISTOGRAM}/zero", angles[0])
    if flat:
        params = params.set(shift, angles[1] * per_degree)
    room = abs(_SHIFT_ROOM * (per_degree if flat else 1.0))
    middle = float(params[shift])
    params = params.bound(shift, middle - room, middle + room)
    for name in params.free("cell").free_names:
        axis = name.removeprefix("cell[").removesuffix("]")
        if axis in ("a", "b", "c"):
            length = float(np.asarray(crystal.cell)["abc".index(axis)])
            params = params.bound(name, (1.0 - _CELL_ROOM) * length, (1.0 + _CELL_ROOM) * length)
    lines = lambda *names: tuple(f"{_HISTOGRAM}/{name}" for name in names)
    stages = [
        Stage(free=("cell", shift, *lines("background")), name="background, cell and shift", max_steps=5),
        Stage(free=lines("size", "strain"), name="widths", max_steps=6),
        Stage(free=lines("U", "V", "W"), name="profile", max_steps=6),
    ]
    result = refine(objective, params, stages=stages, throw=False, suggest=False)
    if result.status == "interrupted":
        # the loop returns its state, but an unfinished profile is useless for what follows
        raise KeyboardInterrupt
    notes = tuple(
        f"The fit ended with {name.rstrip('[')} at its bound: the cell, the wavelength or the shift of the angles may be wrong."
        for name in ("cell[", shift)
        if any("bound" in step.note and name in step.note for step in result.steps[-3:])
    )
    if result.status not in ("converged", "max_steps"):
        notes = (*notes, f"The fit of profile and cell did not converge: {result.message}")
    return result, notes
