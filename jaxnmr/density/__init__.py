"""Electron densities of crystals on a grid: superposed atoms, diffraction, symmetry."""

from .atoms import AtomSum, plan_atoms, superposed
from .grid import Density
from .powder import PowderLines
from .shapes import atom_gaussians, electrons_of, valence_elements
from .symmetry import fits_grid, fitting_shape, symmetrised

__all__ = [
    "AtomSum",
    "Density",
    "PowderLines",
    "atom_gaussians",
    "electrons_of",
    "fits_grid",
    "fitting_shape",
    "plan_atoms",
    "superposed",
    "symmetrised",
    "valence_elements",
]
