"""From a powder pattern and a composition to a refined structure, step by step (host)."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ..._arguments import checked
from ...crystal import Crystal, SpaceGroup
from ...diffraction import Instrument, Pattern
from ...energy import EnergyModel
from ...errors import ParameterError
from ...typing import Numbers
from ..direct.formula import Composition
from .common import common, question
from .outcome import Determination
from .progress import Clock, Step
from .record import Trail
from .refined import Refinements


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
    proposals: Sequence[Crystal] = (),
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
        proposals: structures that searches begin with beside their own starts, in cells that are theirs; others are passed over.

    Raises:
        ConventionError: no wavelength, a composition that makes no sense or whose ``X`` nothing can count, a group without its cell.
        DataError: fewer than five lines and no cell; fewer than eight and no cubic, tetragonal or hexagonal one.
        SymmetryError: a group that contradicts the cell.
        ParameterError: numbers that make no sense.
    """
    asked = question(
        pattern, composition, instrument=instrument, cell=cell, group=group, formula_units=formula_units, density=density,
        lattices=lattices, largest_volume=largest_volume,
    )  # fmt: skip
    require_minutes(minutes)
    model = EnergyModel.load(energy) if isinstance(energy, str) else energy
    trail = Trail(checkpoint, pattern, {**asked.asked, "seed": seed})
    clock = Clock(60.0 * minutes, progress)
    # whoever stops the search for lines or cells gets nothing: there is nothing yet
    shared = common(asked, seed, clock, trail)
    search = shared.search(seed, clock, trail, proposals=tuple(proposals))
    refinements, interrupted = Refinements(pattern, clock, model), False
    try:
        search.run()
        refinements.run(search.attempts, search.extractions)
    except KeyboardInterrupt:
        interrupted = True
    return shared.outcome(search, refinements, interrupted, clock.spent)


def require_minutes(minutes: float) -> None:
    """Complain about no time at all.

    Raises:
        ParameterError: see there.
    """
    if not minutes > 0.0:
        raise ParameterError(f"minutes is {minutes:g}; expected a positive number")
