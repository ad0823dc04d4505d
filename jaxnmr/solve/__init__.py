"""From a powder pattern to a structure: peaks, unit cell, space group, intensities, atoms."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from . import density as density
    from . import isotypes as isotypes
    from .checks.electrons import ElectronCount, ElectronCounts, electron_counts
    from .checks.orders import Arrangement, orders_of
    from .checks.preferred_orientation import Texture, texture_of
    from .determination.determine import determine
    from .determination.ladder import groups_to_try
    from .determination.many import SeedsResult, determine_from_seeds
    from .determination.outcome import Determination
    from .direct.simulate import simulated_intensities
    from .direct.solutions import Solution, Solutions
    from .direct.structure import structure
    from .extraction.extinction import Extinction, ExtinctionTable, extinctions
    from .extraction.lebail import lebail
    from .extraction.ranking import rank_by_lebail
    from .extraction.records import Extraction
    from .extraction.symmetry import intensities_in
    from .fourier.completing import complete
    from .fourier.maps import DifferenceMap, difference_map
    from .handover import profile_factor, refine_solution
    from .indexing.cell_table import CellTable
    from .indexing.index import index
    from .noise import scatter_sigma
    from .peaks.find import find_peaks
    from .records import CellCandidate, Intensities, Peaks

__all__ = [
    "Arrangement",
    "CellCandidate",
    "CellTable",
    "Determination",
    "DifferenceMap",
    "ElectronCount",
    "ElectronCounts",
    "Extinction",
    "ExtinctionTable",
    "Extraction",
    "Intensities",
    "Peaks",
    "SeedsResult",
    "Solution",
    "Solutions",
    "Texture",
    "complete",
    "determine",
    "determine_from_seeds",
    "difference_map",
    "electron_counts",
    "extinctions",
    "find_peaks",
    "groups_to_try",
    "index",
    "intensities_in",
    "lebail",
    "orders_of",
    "profile_factor",
    "rank_by_lebail",
    "refine_solution",
    "scatter_sigma",
    "simulated_intensities",
    "structure",
    "texture_of",
]

__getattr__, __dir__ = lazy(
    __name__,
    names={
        "Arrangement": "checks.orders",
        "CellCandidate": "records",
        "CellTable": "indexing.cell_table",
        "Determination": "determination.outcome",
        "DifferenceMap": "fourier.maps",
        "ElectronCount": "checks.electrons",
        "ElectronCounts": "checks.electrons",
        "Extinction": "extraction.extinction",
        "ExtinctionTable": "extraction.extinction",
        "Extraction": "extraction.records",
        "Intensities": "records",
        "Peaks": "records",
        "SeedsResult": "determination.many",
        "Solution": "direct.solutions",
        "Solutions": "direct.solutions",
        "Texture": "checks.preferred_orientation",
        "complete": "fourier.completing",
        "determine": "determination.determine",
        "determine_from_seeds": "determination.many",
        "difference_map": "fourier.maps",
        "electron_counts": "checks.electrons",
        "extinctions": "extraction.extinction",
        "find_peaks": "peaks.find",
        "groups_to_try": "determination.ladder",
        "index": "indexing.index",
        "intensities_in": "extraction.symmetry",
        "lebail": "extraction.lebail",
        "orders_of": "checks.orders",
        "profile_factor": "handover",
        "rank_by_lebail": "extraction.ranking",
        "refine_solution": "handover",
        "scatter_sigma": "noise",
        "simulated_intensities": "direct.simulate",
        "structure": "direct.structure",
        "texture_of": "checks.preferred_orientation",
    },
    rooms=("density", "isotypes"),
)
