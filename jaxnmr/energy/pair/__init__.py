"""Classical pair potentials: charges by an Ewald sum, and a Buckingham energy whose hole is closed."""

from .ewald import EwaldPlan, ewald_energy, plan_ewald
from .files import PairFile, read_pair_file, shipped
from .plan import PairPlan
from .potential import PairPotential

__all__ = [
    "EwaldPlan",
    "PairFile",
    "PairPlan",
    "PairPotential",
    "ewald_energy",
    "plan_ewald",
    "read_pair_file",
    "shipped",
]
