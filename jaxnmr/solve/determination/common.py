"""Common part of all searches for atoms in one pattern: arguments, lines, cells; and the outcome of a search (host)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ..._words import counted
from ...crystal import Crystal, SpaceGroup
from ...diffraction import Instrument, Pattern
from ...errors import ConventionError, ParameterError
from ...typing import Numbers
from ..direct.formula import Composition, parse_composition
from ..direct.unknown import has_unknown, require_countable
from ..extraction.extinction import ExtinctionTable
from ..extraction.ranking import rank_by_lebail
from ..extraction.records import Extraction
from ..extraction.starts import group_of_lattice, require_cell, require_metric
from ..indexing.index import index
from ..peaks.find import find_peaks
from ..records import CellCandidate, Peaks
from .atom_search import AtomSearch
from .outcome import Determination
from .progress import Clock
from .record import Trail
from .refined import Refinements
from .verdict import verdict


@dataclass(frozen=True)
class Question:
    """Checked arguments of :func:`jaxnmr.solve.determine`.

    Attributes:
        pattern, composition, instrument, cell, density, lattices, largest_volume: as given.
        group: space group of ``cell``, if known.
        contents: atoms of each element in the cell, if the number of formula units is known.
        asked: all arguments except the pattern as plain values.
    """

    pattern: Pattern
    composition: Composition
    instrument: Instrument | None
    cell: Float[np.ndarray, "6"] | None
    group: SpaceGroup | None
    contents: dict[str, int] | None
    density: float | None
    lattices: str | Sequence[str] | None
    largest_volume: float | None
    asked: Mapping[str, Any]

    @property
    def formula(self) -> str:
        """Composition as one word."""
        return self.composition if isinstance(self.composition, str) else _formula(self.composition)


def question(
    pattern: Pattern,
    composition: Composition,
    *,
    instrument: Instrument | None,
    cell: Numbers | None,
    group: SpaceGroup | str | int | None,
    formula_units: int | None,
    density: float | None,
    lattices: str | Sequence[str] | None,
    largest_volume: float | None,
) -> Question:
    """Check arguments; these and errors as of :func:`jaxnmr.solve.determine`."""
    if group is not None and cell is None:
        raise ConventionError("a space group without its cell: give cell=, too")
    if formula_units is not None and formula_units < 1:
        raise ParameterError(f"formula_units is {formula_units}; expected a whole number from 1 on")
    if density is not None and not density > 0.0:
        raise ParameterError(f"density is {density:g} g/cm³; expected a positive number")
    known = isinstance(composition, str) or None not in composition.values()
    # without amounts, check only that these are elements
    unit = parse_composition(composition if known else dict.fromkeys(composition, 1.0))
    device = instrument or pattern.instrument
    if has_unknown(composition):
        require_countable(composition, "xray" if device is None else device.radiation)
    wanted = None
    if cell is not None:
        cell = require_cell(cell)
        if group is not None:
            wanted = group if isinstance(group, SpaceGroup) else SpaceGroup.from_name(group, cell)
            require_metric(wanted, cell)
    if formula_units is not None and not known:
        raise ParameterError("formula_units needs to know how many atoms of each element a formula unit has")
    asked = {
        "composition": composition, "cell": cell, "group": None if group is None else str(group), "formula_units": formula_units,
        "density": density, "lattices": lattices, "largest_volume": largest_volume, "wavelengths": getattr(device, "wavelengths", None),
    }  # fmt: skip
    contents = None if formula_units is None else {e: formula_units * n for e, n in unit.items() if e != "H"}
    return Question(
        pattern, composition, instrument, cell, wanted, contents, density, lattices, largest_volume, asked
    )  # fmt: skip


@dataclass(frozen=True)
class Common:
    """Checked arguments with lines and cells: the input of a search for atoms.

    Attributes:
        question: checked arguments.
        peaks: lines.
        cells: candidates, the most likely first.
        notes: remarks on lines and cells that a reader must know.
    """

    question: Question
    peaks: Peaks
    cells: tuple[CellCandidate, ...]
    notes: tuple[str, ...]

    def search(
        self,
        seed: int,
        clock: Clock,
        trail: Trail,
        extracted: list[tuple[Extraction, ExtinctionTable]] | None = None,
        proposals: tuple[Crystal, ...] = (),
    ) -> AtomSearch:
        """Make a search for atoms, not yet run.

        Args:
            seed: random seed of the search.
            clock: time limit; ``trail`` stores results.
            extracted: existing fits of the first cells; those of the search are added.
            proposals: starting structures.
        """
        of = self.question
        return AtomSearch(
            of.pattern, of.composition, instrument=of.instrument, peaks=self.peaks, cells=self.cells, group=of.group, density=of.density,
            seed=seed, contents=of.contents, clock=clock, trail=trail, extracted=extracted, proposals=proposals,
        )  # fmt: skip

    def outcome(
        self,
        search: AtomSearch,
        refinements: Refinements,
        interrupted: bool,
        seconds: float,
    ) -> Determination:
        """Return the outcome of a determination.

        Args:
            search: finished search for atoms.
            refinements: finished refinements of its structures.
            interrupted: whether the user stopped one of them.
            seconds: CPU time.
        """
        notes = (*self.notes, *search.notes, *refinements.notes)
        status, reason = verdict(search.attempts, refinements.best, notes, refinements.doubts, interrupted)
        return Determination(
            status=status, reason=reason, pattern=self.question.pattern, composition=self.question.formula, peaks=self.peaks,
            cells=self.cells, extractions=tuple(search.extractions), extinctions=tuple(search.tables), attempts=tuple(search.attempts),
            fits=tuple(refinements.fits), energies=refinements.energies, notes=notes, seconds=seconds,
        )  # fmt: skip


def common(of: Question, seed: int, clock: Clock, trail: Trail) -> Common:
    """Find lines and cells, or take those of an earlier determination.

    Args:
        of: checked arguments.
        seed: random seed of the search for cells.
        clock: receives messages; ``trail`` provides earlier results, and stores new ones.
    """
    peaks = find_peaks(of.pattern, of.instrument)
    clock.say("peaks", counted(len(peaks), "line"))
    if of.cell is not None:
        return Common(of, peaks, (given_cell(of.cell, of.group or group_of_lattice(of.cell)),), tuple(peaks.notes))
    if trail.cells:
        clock.say("cells", f"{len(trail.cells)} taken over from before")
        return Common(of, peaks, trail.cells, tuple(peaks.notes))
    table = index(peaks, lattices=of.lattices, largest_volume=of.largest_volume, seed=seed)
    best = table.best
    clock.say("cells", f"{_words(best)}, {best.indexed} of {best.indexed + best.unindexed} lines")
    cells = rank_by_lebail(of.pattern, table.candidates, instrument=of.instrument, peaks=peaks)
    trail.write(cells, ())
    clock.say("cells", f"by the whole pattern: {_words(cells[0])} ({cells[0].probability:.0%})")
    return Common(of, peaks, tuple(cells), (*peaks.notes, *table.notes))


def _words(one: CellCandidate) -> str:
    return f"{one.lattice} {' '.join(f'{x:.4f}' for x in one.cell)}"


def _formula(amounts: Mapping[str, float | None]) -> str:
    return "".join(f"{element}{'?' if n is None else '' if n == 1 else f'{n:g}'}" for element, n in amounts.items())


def given_cell(cell: Float[np.ndarray, "6"], group: SpaceGroup) -> CellCandidate:
    """Return a known cell as a candidate."""
    return CellCandidate(
        cell=cell, niggli=cell, lattice="", group=group, zero=0.0, displacement=0.0, indexed=0, unindexed=0, possible=0,
        m20=float("nan"), log_evidence=0.0, probability=1.0,
    )  # fmt: skip
