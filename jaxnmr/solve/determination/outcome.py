"""Results of a determination: the searches for atoms, and all steps (host)."""

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
        cell: index of the candidate cell, from 0.
        rung: space group and its probability.
        intensities: intensities compared.
        solutions: structures found.
        bic: Bayesian information criterion of the best structure, for comparison within a determination.
    """

    cell: int
    rung: Rung
    intensities: Intensities
    solutions: Solutions
    bic: float


def fits(attempt: Attempt) -> bool:
    """Return whether further searching is pointless: a structure is solved, or agrees but the data leave it open."""
    return attempt.solutions.solved or attempt.solutions.best.r_factor <= GOOD_R


@dataclass(frozen=True)
class Determination:
    """Results of a determination, step by step; steps after a failed one are empty.

    Attributes:
        status: ``"solved"``, ``"not solved"`` or ``"interrupted"``; ``reason`` in words.
        pattern, composition: arguments.
        peaks: lines; ``cells`` the candidates, the most likely first (a single one if the cell was given).
        extractions: Le Bail fits of the candidates searched for atoms; ``extinctions`` their tables.
        attempts: searches for atoms, the best first.
        fits: Rietveld refinements of the best structures, the best first; ``energies`` of these, relaxed in their
            cells, eV per atom, NaN if no energy was requested.
        notes: remarks that a reader must know.
        seconds: CPU time.
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
        """Best structure, refined if possible.

        Raises:
            DataError: no structure was found.
        """
        if self.fits:
            return self.fits[0].crystal
        if self.attempts:
            return self.attempts[0].solutions.best.crystal
        raise DataError(f"no structure was found: {self.reason}")
