"""Structure determination from a powder pattern and a composition to a refined structure, step by step (host)."""

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
    """Determine a crystal structure from a powder pattern and the composition of the sample.

    Lines are found and indexed, the most likely cells fitted to the whole pattern, and space groups ranked by their
    absences and frequencies; in each the atoms are searched for until a structure fits. The best ones are refined. A
    failure is reported as such. An interruption (Ctrl-C) returns the results so far.

    Args:
        pattern: measured pattern.
        composition: such as ``"PbSO4"``, or numbers by element; ``{"Pb": None, "S": None, "O": None}`` if only the
            elements are known. Hydrogen is left out.
        instrument: by default that of the pattern.
        cell: ``(6,)`` conventional cell in Å and degrees, if known; ``group`` its space group.
        formula_units: number in this cell or in the conventional cell found, if known; can also follow from ``density``
            in g/cm³.
        lattices, largest_volume: as of :func:`jaxnmr.solve.index`.
        minutes: CPU time after which no new search for atoms begins.
        energy: a model, such as ``"chgnet-r2scan"``, that decides between structures with equal patterns, and between
            arrangements of elements that X-rays do not distinguish.
        seed: random seed of all searches.
        progress: callback with the current step, and with news.
        checkpoint: JSON file that always holds the cells and the finished searches. An existing one of the same pattern
            and arguments is resumed.
        proposals: additional starting structures for searches in their cells; others are ignored.

    Raises:
        ConventionError: there is no wavelength, the composition is invalid or its ``X`` cannot be determined, or a
            group is given without a cell.
        DataError: there are fewer than five lines and no cell; or fewer than eight and no cubic, tetragonal or
            hexagonal cell.
        SymmetryError: the group contradicts the cell.
        ParameterError: a number is invalid.
    """
    asked = question(
        pattern, composition, instrument=instrument, cell=cell, group=group, formula_units=formula_units, density=density,
        lattices=lattices, largest_volume=largest_volume,
    )  # fmt: skip
    require_minutes(minutes)
    model = EnergyModel.load(energy) if isinstance(energy, str) else energy
    trail = Trail(checkpoint, pattern, {**asked.asked, "seed": seed})
    clock = Clock(60.0 * minutes, progress)
    # an interruption of the search for lines or cells returns nothing: there is no result yet
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
    """Refuse a time limit that is not positive.

    Raises:
        ParameterError: ``minutes`` is not positive.
    """
    if not minutes > 0.0:
        raise ParameterError(f"minutes is {minutes:g}; expected a positive number")
