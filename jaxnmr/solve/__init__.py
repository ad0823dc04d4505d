"""From a powder pattern to a structure: peaks, unit cell, space group, intensities, atoms."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .peaks import find_peaks
    from .records import CellCandidate, Intensities, Peaks

__all__ = ["CellCandidate", "Intensities", "Peaks", "find_peaks"]

__getattr__, __dir__ = lazy(
    __name__,
    names={"CellCandidate": "records", "Intensities": "records", "Peaks": "records", "find_peaks": "peaks"},
)
