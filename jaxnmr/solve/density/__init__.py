"""From measured patterns to densities, from densities to atoms, and from atoms to a search."""

from .atoms import DensityAtoms, atoms_of, atoms_of_predicted
from .lines import converted, line_areas, line_pattern, require_one_phase
from .measured import MeasuredDensity, measured_density
from .predicted import PredictedFromPattern, known_of, lines_of, predicted_density
from .proposals import density_of, structure_from_proposals

__all__ = [
    "DensityAtoms",
    "MeasuredDensity",
    "PredictedFromPattern",
    "atoms_of",
    "atoms_of_predicted",
    "converted",
    "density_of",
    "known_of",
    "line_areas",
    "line_pattern",
    "lines_of",
    "measured_density",
    "predicted_density",
    "require_one_phase",
    "structure_from_proposals",
]
