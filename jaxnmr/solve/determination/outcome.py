"""What became of a pattern: the searches for atoms, and all steps of a determination (host)."""

from dataclasses import dataclass
from typing import Literal

from ...crystal import Crystal
from ...diffraction import Pattern
from ...errors import DataError
from ...refinement import RefinementResult
from ..direct.search import GOOD_R
from ..direct.solutions import Solutions
from ..extraction.extinction import ExtinctionTable
from ..extraction.records import Extraction
from ..records import CellCandidate, Intensities, Peaks
from .ladder import Rung


@dataclass(frozen=True)
class Attempt:
    """The search for atoms in one cell and space group.

    Attributes:
        cell: number of the candidate cell, from 0.
        rung: the space group and how probable it was.
        intensities: what was compared.
        solutions: what was found.
        bic: Bayesian information criterion of the best structure, to be compared within a determination.
    """

    cell: int
    rung: Rung
    intensities: Intensities
    solutions: Solutions
    bic: float


def fits(attempt: Attempt) -> bool:
    """Whether to search on cannot help: a structure is solved, or agrees without being determined by the data."""
    return attempt.solutions.solved or attempt.solutions.best.r_factor <= GOOD_R


@dataclass(frozen=True)
class Determination:
    """What became of a pattern, step by step; later steps are empty when an earlier one failed.

    Attributes:
        status: ``"solved"``, ``"not solved"`` or ``"interrupted"``; ``reason`` in words.
        pattern, composition: what was given.
        peaks: lines; ``cells`` the candidates, the likeliest first (one, where the cell was given).
        extractions: Le Bail fits of the candidates that were searched for atoms; ``extinctions`` their tables.
        attempts: searches for atoms, the best first.
        fits: Rietveld refinements of the best structures, the best first; ``energies`` of these, relaxed in their cells, eV per atom, not a
            number where no energy was asked for.
        notes: what a reader must know.
        seconds: processor time.
    """

    status: Literal["solved", "not solved", "interrupted"]
    reason: str
    pattern: Pattern
    composition: str
    peaks: Peaks
    cells: tuple[CellCandidate, ...]
    extractions: tuple[Extraction, ...] = ()
    extinctions: tuple[ExtinctionTable, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    fits: tuple[RefinementResult, ...] = ()
    energies: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def crystal(self) -> Crystal:
        """The best structure, refined where that was possible.

        Raises:
            DataError: none was found.
        """
        if self.fits:
            return self.fits[0].crystal
        if self.attempts:
            return self.attempts[0].solutions.best.crystal
        raise DataError(f"no structure was found: {self.reason}")
