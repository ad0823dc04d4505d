"""Crystals: cell and metric, space groups, site symmetry, displacement, distances and angles.

Example:
    >>> pairs = jn.crystal.plan_pairs(quartz, [("Si1", "O1")])
    >>> jn.crystal.distances(quartz, pairs).round(3)
    array([1.605])
"""

from .bonds import (
    AnglePlan,
    AngleRecord,
    BondPlan,
    BondRecord,
    atom_names,
    plan_angles,
    plan_bonds,
    plan_pairs,
    plan_triplets,
    symmetry_code,
)
from .cell import cell_from_metric, d_spacing, lattice, metric, reciprocal_metric, volume
from .contacts import too_close
from .crystal import Crystal, element_of, mass_number_of
from .expand import Expansion, FullCell, plan_expansion, positions
from .geometry import angles, angles_from, distances, distances_from
from .pairs import (
    DistancePlan,
    Spread,
    distinct_pairs,
    measure_angles,
    measure_distances,
    plan_distances,
    select_angles,
)
from .polar import atomic_numbers, polar_directions
from .shared import shared_sites
from .sites import Site, analyse_site, cell_basis
from .symmetry import SpaceGroup
from .transform import primitive, primitive_basis, transformed

__all__ = [
    "atom_names",
    "atomic_numbers",
    "AnglePlan",
    "AngleRecord",
    "BondPlan",
    "BondRecord",
    "Crystal",
    "DistancePlan",
    "Expansion",
    "FullCell",
    "Site",
    "SpaceGroup",
    "Spread",
    "analyse_site",
    "angles",
    "angles_from",
    "cell_basis",
    "cell_from_metric",
    "d_spacing",
    "distances",
    "distances_from",
    "distinct_pairs",
    "element_of",
    "lattice",
    "mass_number_of",
    "measure_angles",
    "measure_distances",
    "metric",
    "plan_angles",
    "plan_bonds",
    "plan_distances",
    "plan_expansion",
    "plan_pairs",
    "plan_triplets",
    "polar_directions",
    "positions",
    "primitive",
    "primitive_basis",
    "reciprocal_metric",
    "select_angles",
    "shared_sites",
    "symmetry_code",
    "transformed",
    "too_close",
    "volume",
]
