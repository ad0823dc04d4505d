"""Electron densities of crystals on a grid: superposed atoms, diffraction, symmetry."""

from .atoms import AtomSum, plan_atoms, superposed
from .files import read_density, write_density
from .grid import Density
from .metrics import Likeness, Pose, compare, poses_of, psnr, ssim
from .peaks import FoundAtoms, Maxima, charge_within, find_atoms, local_maxima
from .powder import PowderLines
from .shapes import atom_gaussians, electrons_of, valence_elements
from .symmetry import fits_grid, fitting_shape, symmetrised

__all__ = [
    "AtomSum",
    "Density",
    "FoundAtoms",
    "Likeness",
    "Maxima",
    "Pose",
    "PowderLines",
    "atom_gaussians",
    "charge_within",
    "compare",
    "electrons_of",
    "find_atoms",
    "fits_grid",
    "fitting_shape",
    "local_maxima",
    "plan_atoms",
    "poses_of",
    "psnr",
    "read_density",
    "ssim",
    "superposed",
    "symmetrised",
    "valence_elements",
    "write_density",
]
