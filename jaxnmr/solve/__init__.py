"""From a powder pattern to a structure: peaks, unit cell, space group, intensities, atoms."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .extraction.extinction import Extinction, ExtinctionTable, extinctions
    from .extraction.lebail import lebail
    from .extraction.ranking import rank_by_lebail
    from .extraction.records import Extraction
    from .noise import scatter_sigma
    from .records import CellCandidate, Intensities, Peaks

__all__ = [
    "CellCandidate",
    "Extinction",
    "ExtinctionTable",
    "Extraction",
    "Intensities",
    "Peaks",
    "extinctions",
    "lebail",
    "rank_by_lebail",
    "scatter_sigma",
]

__getattr__, __dir__ = lazy(
    __name__,
    names={
        "CellCandidate": "records",
        "Extinction": "extraction.extinction",
        "ExtinctionTable": "extraction.extinction",
        "Extraction": "extraction.records",
        "Intensities": "records",
        "Peaks": "records",
        "extinctions": "extraction.extinction",
        "lebail": "extraction.lebail",
        "rank_by_lebail": "extraction.ranking",
        "scatter_sigma": "noise",
    },
)
