"""From a powder pattern and a composition to a refined structure, step by step (host)."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..._arguments import checked
from ..._words import counted
from ...crystal import SpaceGroup
from ...diffraction import Instrument, Pattern
from ...energy import EnergyModel
from ...errors import ConventionError, ParameterError
from ...typing import Numbers
from ..direct.formula import Composition, parse_composition
from ..direct.unknown import has_unknown, require_countable
from ..extraction.ranking import rank_by_lebail
from ..extraction.starts import group_of_lattice, require_cell, require_metric
from ..indexing.index import index
from ..peaks.find import find_peaks
from ..records import CellCandidate, Peaks
from .atom_search import AtomSearch
from .outcome import Determination
from .progress import Clock, Step
from .record import Trail
from .refined import Refinements
from .verdict import verdict


@checked
def determine(
    pattern: Pattern,
    composition: Composition,
    *,
    instrument: Instrument | None = None,
    cell: Numbers | None = None,
    group: SpaceGroup | str | int | None = None,
    formula_units: int | None = None,
    density: float | None = None,
    lattices: str | Sequence[str] | None = None,
    largest_volume: float | None = None,
    minutes: float = 20.0,
    energy: EnergyModel | str | None = None,
    seed: int = 0,
    progress: Callable[[Step], None] | None = None,
    checkpoint: str | Path | None = None,
) -> Determination:
    """Determine a crystal structure from a powder pattern and what the sample is made of.

    Lines are found and indexed, the likeliest cells fitted to the whole pattern, space groups ranked by the reflections that are absent
    and by how often they occur, and in each the atoms are searched, until a structure fits. The best ones are refined. A failure is said
    to be one. An interruption (Ctrl-C) returns what was found until then.

    Args:
        pattern: measured.
        composition: such as ``"PbSO4"``, or numbers by element; ``{"Pb": None, "S": None, "O": None}`` where only the elements are known.
            Hydrogen is left out.
        instrument: by default that of the pattern.
        cell: ``(6,)`` conventional cell in Å and degrees, where it is known; ``group`` its space group.
        formula_units: in this or in the conventional cell that is found, where known; ``density`` in g/cm³ tells it, too.
        lattices, largest_volume: as of :func:`jaxnmr.solve.index`.
        minutes: of processor time, after which no new search for atoms begins.
        energy: a model, such as ``"chgnet-r2scan"``, that decides between structures that are equal for the pattern, and where elements
            are that X-rays do not tell apart.
        seed: of all searches.
        progress: called with what is done, and when there is news.
        checkpoint: JSON file that always holds the cells and the searches that are done. Where it is there already, of the same
            pattern and arguments, these are taken over.

    Raises:
        ConventionError: no wavelength, a composition that makes no sense or whose ``X`` nothing can count, a group without its cell.
        DataError: fewer than five lines and no cell; fewer than eight and no cubic, tetragonal or hexagonal one.
        SymmetryError: a group that contradicts the cell.
        ParameterError: numbers that make no sense.
    """
    if group is not None and cell is None:
        raise ConventionError("a space group without its cell: give cell=, too")
    if formula_units is not None and formula_units < 1:
        raise ParameterError(f"formula_units is {formula_units}; expected a whole number from 1 on")
    if not minutes > 0.0:
        raise ParameterError(f"minutes is {minutes:g}; expected a positive number")
    if density is not None and not density > 0.0:
        raise ParameterError(f"density is {density:g} g/cm³; expected a positive number")
    model = EnergyModel.load(energy) if isinstance(energy, str) else energy
    known = isinstance(composition, str) or None not in composition.values()
    # of elements without numbers only whether they are any
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
        "density": density, "lattices": lattices, "largest_volume": largest_volume, "seed": seed,
        "wavelengths": getattr(device, "wavelengths", None),
    }  # fmt: skip
    trail = Trail(checkpoint, pattern, asked)
    clock = Clock(60.0 * minutes, progress)
    # whoever stops the search for lines or cells gets nothing: there is nothing yet
    peaks = find_peaks(pattern, instrument)
    clock.say("peaks", counted(len(peaks), "line"))
    cells: tuple[CellCandidate, ...]
    of_cells: tuple[str, ...] = ()
    if cell is not None:
        cells = (given_cell(cell, wanted or group_of_lattice(cell)),)
    else:
        cells, of_cells = _cells(pattern, peaks, instrument, lattices, largest_volume, seed, clock, trail)
    search = AtomSearch(
        pattern, composition, instrument=instrument, peaks=peaks, cells=cells, group=wanted, density=density, seed=seed,
        contents=None if formula_units is None else {e: formula_units * n for e, n in unit.items() if e != "H"},
        clock=clock, trail=trail,
    )  # fmt: skip
    refinements, interrupted = Refinements(pattern, clock, model), False
    try:
        search.run()
        refinements.run(search.attempts, search.extractions)
    except KeyboardInterrupt:
        interrupted = True
    notes = (*peaks.notes, *of_cells, *search.notes, *refinements.notes)
    status, reason = verdict(search.attempts, refinements.best, notes, refinements.doubts, interrupted)
    return Determination(
        status=status, reason=reason, pattern=pattern, composition=composition if isinstance(composition, str) else _formula(composition),
        peaks=peaks, cells=cells, extractions=tuple(search.extractions), extinctions=tuple(search.tables),
        attempts=tuple(search.attempts), fits=tuple(refinements.fits), energies=refinements.energies, notes=notes, seconds=clock.spent,
    )  # fmt: skip


def _cells(
    pattern: Pattern, peaks: Peaks, instrument: Instrument | None, lattices: str | Sequence[str] | None,
    largest_volume: float | None, seed: int, clock: Clock, trail: Trail,
) -> tuple[tuple[CellCandidate, ...], tuple[str, ...]]:  # fmt: skip
    """Candidate cells by the whole pattern, those of before where there are any; and what a reader must know."""
    if trail.cells:
        clock.say("cells", f"{len(trail.cells)} taken over from before")
        return trail.cells, ()
    table = index(peaks, lattices=lattices, largest_volume=largest_volume, seed=seed)
    best = table.best
    clock.say("cells", f"{_words(best)}, {best.indexed} of {best.indexed + best.unindexed} lines")
    cells = rank_by_lebail(pattern, table.candidates, instrument=instrument, peaks=peaks)
    trail.write(cells, ())
    clock.say("cells", f"by the whole pattern: {_words(cells[0])} ({cells[0].probability:.0%})")
    return cells, tuple(table.notes)


def _words(one: CellCandidate) -> str:
    return f"{one.lattice} {' '.join(f'{x:.4f}' for x in one.cell)}"


def _formula(amounts: Mapping[str, float | None]) -> str:
    return "".join(f"{element}{'?' if n is None else '' if n == 1 else f'{n:g}'}" for element, n in amounts.items())


def given_cell(cell: np.ndarray, group: SpaceGroup) -> CellCandidate:
    """A cell that was known before, as a candidate."""
    return CellCandidate(
        cell=cell, niggli=cell, lattice="", group=group, zero=0.0, displacement=0.0, indexed=0, unindexed=0, possible=0,
        m20=float("nan"), log_evidence=0.0, probability=1.0,
    )  # fmt: skip
