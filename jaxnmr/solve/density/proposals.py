"""Crystals of densities handed to a search for atoms, and a crystal that was found as a density again (host)."""

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
    """The search for atoms of :func:`jaxnmr.solve.structure`, with crystals of densities among its starts.

    Args:
        intensities, composition, seconds, seed: as there.
        proposals: in the cell of the intensities.
    """
    return structure(intensities, composition, proposals=tuple(proposals), seconds=seconds, seed=seed)


@checked
def density_of(
    crystal: Crystal, step: float = 0.12, atoms: AtomKind = "all-electron", *, at_rest: bool = False
) -> Density:
    """The superposed density of a crystal on a grid of about one step.

    Args:
        crystal: any.
        step: Å.
        atoms, at_rest: as of :func:`jaxnmr.density.superposed`.
    """
    shape: Shape = tuple(int(np.ceil(edge / step)) for edge in np.asarray(crystal.cell)[:3])  # type: ignore[assignment]
    return superposed(crystal, shape, atoms, at_rest=at_rest)
