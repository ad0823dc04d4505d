"""Crystals from densities as proposals for a search for atoms, and densities of crystals (host)."""

from collections.abc import Sequence

import numpy as np

from ..._arguments import checked
from ...crystal import Crystal
from ...density import Density, superposed
from ...density.grid import Shape
from ...density.shapes import AtomKind
from ..direct.formula import Composition
from ..direct.solutions import Solutions
from ..direct.structure import structure
from ..records import Intensities


@checked
def structure_from_proposals(
    intensities: Intensities,
    composition: Composition,
    proposals: Sequence[Crystal],
    *,
    seconds: float = 100.0,
    seed: int = 0,
) -> Solutions:
    """Run :func:`jaxnmr.solve.structure` with crystals from densities among its starts.

    Args:
        intensities, composition, seconds, seed: as of :func:`jaxnmr.solve.structure`.
        proposals: crystals in the cell of the intensities.
    """
    return structure(intensities, composition, proposals=tuple(proposals), seconds=seconds, seed=seed)


@checked
def density_of(
    crystal: Crystal, step: float = 0.12, atoms: AtomKind = "all-electron", *, at_rest: bool = False
) -> Density:
    """Calculate the superposed density of a crystal on a grid of approximately this step.

    Args:
        crystal: any crystal.
        step: step of the grid, Å.
        atoms, at_rest: as of :func:`jaxnmr.density.superposed`.
    """
    shape: Shape = tuple(int(np.ceil(edge / step)) for edge in np.asarray(crystal.cell)[:3])  # type: ignore[assignment]
    return superposed(crystal, shape, atoms, at_rest=at_rest)
