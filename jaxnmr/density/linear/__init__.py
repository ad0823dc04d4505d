"""Densities that are linear in coefficients with a normal prior, areas of their lines, and terms for refinements."""

from .expected import expected_density
from .lines import LineAreas
from .model import LinearDensity
from .refine import RefinedDensity, refine_density
from .source import SuperposedDensity
from .terms import DensityCoefficients, DensityLines
from .waves import IndependentWaves

__all__ = [
    "DensityCoefficients",
    "DensityLines",
    "IndependentWaves",
    "LineAreas",
    "LinearDensity",
    "RefinedDensity",
    "SuperposedDensity",
    "expected_density",
    "refine_density",
]
