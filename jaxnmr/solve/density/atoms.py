"""From a density to a crystal that agrees with the lines: atoms, symmetry, least squares (host)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._arguments import checked
from ...crystal import Crystal, SpaceGroup
from ...density import Density, FoundAtoms, find_atoms
from ...density.linear import LineAreas
from ...density.linear.atoms import FittedAtoms, fit_atoms
from ...density.linear.symmetric import in_group
from ...density.shapes import AtomKind
from ...errors import ConventionError, ParameterError, SymmetryError

if TYPE_CHECKING:
    from ...density.prior.model import PredictedDensity

# relative difference of equivalent cells, and ratio of misfits below which fewer free coordinates are preferred
_SAME, _AS_GOOD = 2e-3, 1.1
_P1 = SpaceGroup.from_name(1)
_CUBIC_ROTATIONS = 24


@dataclass(frozen=True)
class DensityAtoms:
    """Atoms of a density.

    Attributes:
        crystal: structure after least squares on the lines.
        found: atoms as found in the density, with the symmetry of their positions.
        fitted: result of the least squares.
        notes: remarks that a reader must know.
    """

    crystal: Crystal
    found: FoundAtoms
    fitted: FittedAtoms
    notes: tuple[str, ...] = ()


@checked
def atoms_of(
    density: Density,
    composition: Mapping[str, int],
    lines: LineAreas,
    *,
    group: SpaceGroup | None = None,
    u_iso: float = 0.01,
    exchange: bool = True,
    symprec: float = 0.1,
    displacements: bool = True,
    name: str | None = None,
    d_min: float = 0.0,
) -> DensityAtoms:
    """Find the atoms of a density, assign their space group, and refine them against line areas.

    Args:
        density: density of the electrons of the lines.
        composition: atoms of each element in the cell.
        lines: areas, in the cell of the density.
        group: space group of the crystal in the cell of the density; by default determined from the atoms.
        u_iso: displacement of the atoms in the density, Å².
        exchange: whether sites may exchange elements if that improves the fit.
        symprec: largest deviation from symmetric positions, Å.
        displacements: whether displacements are refined.
        name: name of the crystal; the formula by default.
        d_min: resolution of the density, Å.

    Raises:
        ParameterError, ConventionError: the cell has no room for the composition, or elements have no such atoms; see
            `find_atoms`.
    """
    kind: AtomKind = "valence" if lines.atoms == "valence" else "all-electron"
    found = find_atoms(density, composition, kind, u_iso=u_iso, symprec=symprec, name=name, d_min=d_min)
    title = name or found.crystal.name
    starts, notes = settings(found, lines, group, u_iso, title)
    tried = [fit_atoms(start, lines, exchange=exchange, displacements=displacements) for start in starts]
    # the first has the most symmetry
    best = tried[0]
    for other in tried[1:]:
        if _AS_GOOD * other.misfit < best.misfit:
            best = other
            notes = (
                *notes,
                f"Atoms have the symmetry of {other.crystal.group.name} only: with more the lines do not agree.",
            )
    if best.exchanged:
        notes = (*notes, "Elements changed places in least squares on the lines.")
    return DensityAtoms(best.crystal, found, best, notes)


def settings(
    found: FoundAtoms, lines: LineAreas, group: SpaceGroup | None, u_iso: float, name: str
) -> tuple[list[Crystal], tuple[str, ...]]:
    """List crystals to refine, the most symmetric first, in the cell of the lines."""
    plain = Crystal.create(cell=lines.cell, spacegroup=1, species=found.elements, xyz=found.xyz, u_iso=u_iso, name=name)
    if group is not None:
        try:
            return [in_group(lines.cell, group, found.elements, found.xyz, u_iso, name)], ()
        except SymmetryError as error:
            return [plain], (f"In P1: {error}",)
    same = np.abs(np.asarray(found.crystal.cell, dtype=float) / lines.cell - 1.0).max() < _SAME
    cubic = len(lines.group.rotations) >= _CUBIC_ROTATIONS
    if same and cubic and len(found.crystal.expand().site) == len(found.xyz):
        crystal = Crystal.create(
            cell=lines.cell if found.crystal.group == lines.group else found.crystal.cell, spacegroup=found.crystal.group,
            species=found.crystal.species, xyz=found.crystal.xyz, u_iso=u_iso, name=name,
        )  # fmt: skip
        return [crystal, plain], ()
    try:
        return [in_group(lines.cell, lines.group, found.elements, found.xyz, u_iso, name), plain], ()
    except SymmetryError:
        return [plain], ()


@checked
def atoms_of_predicted(
    predicted: "PredictedDensity | Sequence[PredictedDensity]",
    composition: Mapping[str, int],
    lines: LineAreas,
    *,
    points: int = 32,
    atoms_per_cell: int = 0,
    name: str | None = None,
) -> DensityAtoms:
    """Find atoms in predictions of a learned prior, the best of several densities, and refine them on the lines.

    Args:
        predicted: predicted or refined densities of the prior, one or more.
        composition: atoms of each element in the cell.
        lines: lines of the prior's electrons, at rest; see :func:`jaxnmr.solve.density.lines_of`.
        points: number of grid points along each axis.
        atoms_per_cell: atoms per cell of the prior, if fixed.
        name: name of the crystal.

    Raises:
        ParameterError: the composition is impossible for the cell.
    """
    if atoms_per_cell and sum(composition.values()) != atoms_per_cell:
        raise ParameterError(
            f"the composition {dict(composition)} has {sum(composition.values())} atoms; cells of this prior have {atoms_per_cell}"
        )
    several: list[Any] = list(predicted) if isinstance(predicted, list | tuple) else [predicted]
    if not several:
        raise ConventionError("no density to look for atoms in")
    found = [
        atoms_of(one.density((points,) * 3), composition, lines, u_iso=0.0, displacements=False, name=name) for one in several
    ]  # fmt: skip
    return min(found, key=lambda of: of.fitted.misfit)
