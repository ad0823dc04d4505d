"""From a powder pattern to a structure: peaks, unit cell, space group, intensities, atoms."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .direct.simulate import simulated_intensities
    from .direct.solutions import Solution, Solutions
    from .direct.structure import structure
    from .extraction.extinction import Extinction, ExtinctionTable, extinctions
    from .extraction.lebail import lebail
    from .extraction.ranking import rank_by_lebail
    from .extraction.records import Extraction
    from .indexing.cell_table import CellTable
    from .indexing.index import index
    from .noise import scatter_sigma
    from .peaks import find_peaks
    from .records import CellCandidate, Intensities, Peaks

__all__ = [
    "CellCandidate",
    "CellTable",
    "Extinction",
    "ExtinctionTable",
    "Extraction",
    "Intensities",
    "Peaks",
    "Solution",
    "Solutions",
    "extinctions",
    "find_peaks",
    "index",
    "lebail",
    "rank_by_lebail",
    "scatter_sigma",
    "simulated_intensities",
    "structure",
]

__getattr__, __dir__ = lazy(
    __name__,
    names={
        "CellCandidate": "records",
        "CellTable": "indexing.cell_table",
        "Extinction": "extraction.extinction",
        "ExtinctionTable": "extraction.extinction",
        "Extraction": "extraction.records",
        "Intensities": "records",
        "Peaks": "records",
        "Solution": "direct.solutions",
        "Solutions": "direct.solutions",
        "extinctions": "extraction.extinction",
        "find_peaks": "peaks",
        "index": "indexing.index",
        "lebail": "extraction.lebail",
        "rank_by_lebail": "extraction.ranking",
        "scatter_sigma": "noise",
        "simulated_intensities": "direct.simulate",
        "structure": "direct.structure",
    },
)
