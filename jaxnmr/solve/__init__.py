"""From a powder pattern to a structure: peaks, unit cell, space group, intensities, atoms."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .indexing.cell_table import CellTable
    from .indexing.index import index
    from .records import CellCandidate, Intensities, Peaks

__all__ = ["CellCandidate", "CellTable", "Intensities", "Peaks", "index"]

__getattr__, __dir__ = lazy(
    __name__,
    names={
        "CellCandidate": "records",
        "CellTable": "indexing.cell_table",
        "Intensities": "records",
        "Peaks": "records",
        "index": "indexing.index",
    },
)
