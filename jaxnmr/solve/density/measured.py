"""From a measured pattern and a model to the most probable density, its atoms, and their agreement (host)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..._arguments import checked
from ...crystal import Crystal
from ...crystal.cell import reciprocal_metric
from ...density.linear import LinearDensity, LineAreas, RefinedDensity, expected_density, refine_density
from ...density.linear.atoms import FittedAtoms, fit_atoms
from ...diffraction import Pattern
from ...errors import ConventionError
from ...objective import Objective
from ...refinement import RefinementResult, refine
from ..extraction.lebail import lebail
from ..extraction.records import Extraction
from ..handover import profile_factor, refine_solution
from .atoms import DensityAtoms, atoms_of
from .lines import converted, line_areas, require_one_phase

# largest relative difference between the cells of model and pattern
_CELL = 0.02
# relative error of areas calculated from free atoms
_MODEL_ERROR = 0.03


class Agreement(NamedTuple):
    """Agreement of a structure: ``sum |sqrt(I_o) - sqrt(I_c)|/sum sqrt(I_o)``, and Rwp of the pattern in per cent."""

    r_lines: float
    rwp: float


@dataclass(frozen=True)
class MeasuredDensity:
    """A density from a measured pattern.

    Attributes:
        extraction: Le Bail fit.
        lines: areas, of all electrons without dispersion.
        start: model, in the cell of the pattern.
        known: prior distribution of the density; ``refined`` given the lines.
        atoms: atoms of the most probable density, refined on the lines.
        fits: Rietveld refinements, from the start with scale and profile only, and from the atoms of the density with
            all parameters; none if not requested.
        before, after: agreement of the start and of the atoms of the density.
        notes: remarks that a reader must know.
    """

    extraction: Extraction
    lines: LineAreas
    start: Crystal
    known: LinearDensity
    refined: RefinedDensity
    atoms: DensityAtoms
    fits: tuple[RefinementResult, ...]
    before: Agreement
    after: Agreement
    notes: tuple[str, ...]


@checked
def measured_density(
    pattern: Pattern,
    crystal: Crystal,
    *,
    extraction: Extraction | None = None,
    position: float = 0.15,
    displacement: float = 0.006,
    deformation: float = 0.03,
    symmetric: bool = True,
    rietveld: bool = True,
    allow_impurities: bool = False,
    seed: int = 0,
) -> MeasuredDensity:
    """Determine the most probable density given a measured pattern and a model, and its atoms.

    The pattern is fitted by the reflections of the cell. Their areas, with the covariance from overlap, update a
    density with mean and covariance of the model with uncertain positions
    (:func:`jaxnmr.density.linear.expected_density`).

    Args:
        pattern: pattern measured with X-rays of any wavelength.
        crystal: model from a publication, an isotype or a search, with the cell and space group of the pattern.
        extraction: Le Bail fit, if already made.
        position, displacement, deformation: uncertainties of the model: Å, Å², and a fraction of its waves.
        symmetric: whether the space group is imposed on the density.
        rietveld: whether Rwp before and after are calculated, by two Rietveld refinements.
        allow_impurities: whether strong lines of other phases are ignored.
        seed: random seed of the crystals drawn.

    Raises:
        ConventionError: neutrons were used, or the model has another cell.
        DataError: there are lines of several phases.
    """
    fit = extraction or lebail(pattern, crystal.cell, crystal.group)
    if np.abs(np.asarray(crystal.cell, dtype=float) / fit.cell - 1.0).max() > _CELL:
        raise ConventionError(
            f"the model has the cell {np.round(np.asarray(crystal.cell), 4).tolist()}, the pattern that of {np.round(fit.cell, 4).tolist()}"
        )
    if not allow_impurities:
        require_one_phase(pattern, fit)
    plain = crystal if not any(crystal.anisotropic) else _isotropic(crystal)
    start = plain.replace(cell=fit.cell)
    xrays = line_areas(fit.intensities)
    wavelength = fit.instrument.wavelengths[0]
    # for atoms at their initial positions
    lines = converted(xrays, start, "all-electron", wavelength).with_model_error(_MODEL_ERROR)
    d_min = 0.999 / np.sqrt(np.einsum("ni,ij,nj->n", lines.hkl, reciprocal_metric(fit.cell), lines.hkl).max())
    known = expected_density(
        start,
        float(d_min),
        position=position,
        displacement=displacement,
        deformation=deformation,
        symmetric=symmetric,
        seed=seed,
    )
    refined = refine_density(known, lines)
    counts: dict[str, int] = {}
    for k in np.asarray(start.expand().site):
        counts[start.elements[k]] = counts.get(start.elements[k], 0) + 1
    u = float(np.mean(np.asarray(start.u_iso)))
    atoms = atoms_of(
        refined.density(),
        counts,
        lines,
        group=start.group,
        u_iso=u,
        exchange=False,
        name=start.name,
        d_min=float(d_min),
    )
    notes = [*fit.notes, *atoms.notes]
    atoms = _near(atoms, start, lines, notes)
    # dispersion of the refined atoms, and everything once more
    lines = converted(xrays, atoms.crystal, "all-electron", wavelength).with_model_error(_MODEL_ERROR)
    fitted = fit_atoms(atoms.crystal, lines)
    atoms = DensityAtoms(fitted.crystal, atoms.found, fitted._replace(start=atoms.fitted.start), atoms.notes)
    fits = _rietveld(start, atoms.crystal, fit, pattern) if rietveld else ()
    still = fit_atoms(start, lines, steps=0)
    rwp = [profile_factor(one) for one in fits] or [float("nan")] * 2
    return MeasuredDensity(
        fit,
        lines,
        start,
        known,
        refined,
        atoms,
        fits,
        Agreement(still.r_before, rwp[0]),
        Agreement(fitted.r, rwp[1]),
        tuple(notes),
    )


def _near(atoms: DensityAtoms, start: Crystal, lines: LineAreas, notes: list[str]) -> DensityAtoms:
    """Return the atoms found, or those of the model refined on the lines if these agree better, with a remark."""
    direct: FittedAtoms = fit_atoms(start, lines)
    if direct.misfit < 0.98 * atoms.fitted.misfit:
        notes.append(
            f"The atoms of the density agree less well with the lines (R {atoms.fitted.r:.3f}) than those of the model after least squares "
            f"(R {direct.r:.3f}), which are kept."
        )
        return DensityAtoms(direct.crystal, atoms.found, direct, atoms.notes)
    return atoms


def _isotropic(crystal: Crystal) -> Crystal:
    return Crystal.create(
        cell=crystal.cell, spacegroup=crystal.group, species=crystal.species, xyz=crystal.xyz, occupancy=crystal.occupancy,
        u_iso=np.asarray(crystal.u_equivalent(), dtype=float), name=crystal.name,
    )  # fmt: skip


def _rietveld(
    start: Crystal, crystal: Crystal, fit: Extraction, pattern: Pattern
) -> tuple[RefinementResult, RefinementResult]:
    """Refine the model with scale and background only, and the atoms of the density with all parameters."""
    after = refine_solution(crystal, fit, pattern)
    values = after.parameters.values
    objective: Objective = after.objective.replace(
        crystals={crystal.name: start.replace(cell=np.asarray(crystal.cell))}
    )
    begin = objective.parameters()
    for name, value in values.items():
        if name.startswith("xrd/") or name == "cell":
            begin = begin.set(name, value)
    before = refine(objective, begin.free("xrd/scale", "xrd/background"), throw=False, suggest=False)
    return before, after
