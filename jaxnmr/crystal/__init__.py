"""Crystals: cell and metric, space groups, site symmetry, displacement, distances and angles."""

from .cell import cell_from_metric, d_spacing, lattice, metric, reciprocal_metric, volume
from .crystal import Crystal, element_of
from .sites import Site, analyse_site, cell_basis
from .symmetry import SpaceGroup

__all__ = [
    "Crystal",
    "Site",
    "SpaceGroup",
    "analyse_site",
    "cell_basis",
    "cell_from_metric",
    "d_spacing",
    "element_of",
    "lattice",
    "metric",
    "reciprocal_metric",
    "volume",
]
