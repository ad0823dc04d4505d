"""Structure solution from integrated intensities and a composition to ranked structures."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import gemmi

from ..._arguments import checked
from ...crystal import Crystal
from ...errors import ConventionError, ParameterError
from ..records import Intensities, require_areas
from .assignments import Assignments
from .contents import MOST_ATOMS, Contents, possible_contents
from .finalists import solutions_of
from .formula import Composition, parse_composition
from .heavy import heavy_first
from .problem import make_problem
from .proposals import starts_of
from .search import Search
from .solutions import Solutions
from .unknown import has_unknown, structure_with_unknown

# fraction of the time for all atoms at once, before heavy atoms alone are tried if nothing fits
_ALL_AT_ONCE = 0.4
# relative probability below which contents are not tried
_LIKELY = 0.02


@dataclass(frozen=True)
class Progress:
    """Progress of a search.

    Attributes:
        r_factor: lowest R so far.
        tried: number of Wyckoff assignments tried.
        hops: number of minimisations.
        seconds_left: CPU time left, at most.
    """

    r_factor: float
    tried: int
    hops: int
    seconds_left: float


@checked
def structure(
    intensities: Intensities,
    composition: Composition,
    *,
    contents: Mapping[str, int] | None = None,
    density: float | None = None,
    seed: int = 0,
    seconds: float = 100.0,
    most_assignments: int = 5000,
    progress: Callable[[Progress], None] | None = None,
    proposals: Sequence[Crystal] = (),
) -> Solutions:
    """Find the atoms of a crystal with known cell and space group.

    Atoms are put on Wyckoff positions, the most likely assignments first, and moved by basin hopping until the square
    roots of areas agree. If that takes too long, the heaviest elements are searched for alone, and the others placed at
    maxima of difference maps. Hydrogen is left out. An interruption (Ctrl-C) returns the results so far.

    Args:
        intensities: result of `jn.solve.lebail`, or `jn.solve.simulated_intensities`.
        composition: such as ``"PbSO4"`` or ``{"Pb": 1, "S": 1, "O": 4}``; ``{"Ca": None, "Ti": None, "O": None}`` if
            only the elements are known. ``X`` is an unknown element: its number of electrons is refined, and a note
            lists candidates.
        contents: atoms of each element in the conventional cell; by default all likely contents are tried together.
        density: g/cm³, for choosing the contents.
        seed: random seed.
        seconds: CPU time limit; a good structure ends the search earlier.
        most_assignments: largest number of Wyckoff assignments to try.
        progress: callback after every turn.
        proposals: additional starting structures in the cell of the intensities, for example from a density or from
            isotypes. They are treated like those found by the search.

    Raises:
        ConventionError: the composition or contents are invalid.
        SymmetryError: no number of formula units fits the cell, or no positions allow the contents.
        DataError: there are no positive areas.
    """
    if not seconds > 0 or most_assignments < 1:
        raise ParameterError(f"seconds is {seconds} and most_assignments {most_assignments}; expected positive numbers")
    require_areas(intensities)
    if has_unknown(composition):
        return structure_with_unknown(
            structure, intensities, composition, contents, seconds, density=density, seed=seed, most_assignments=most_assignments,
            progress=progress,
        )  # fmt: skip
    start = time.process_time()
    possible = _given(composition, contents) or possible_contents(
        composition, intensities.cell, intensities.group, density
    )
    likely = tuple(one for one in possible if one.probability >= _LIKELY * possible[0].probability)
    # heavy atoms first: they dominate the scattering, and are listed first
    elements = sorted(likely[0].atoms, key=lambda e: -gemmi.Element(e).atomic_number)
    assignments = Assignments(
        intensities.group, intensities.cell, [({e: one.atoms[e] for e in elements}, one.probability) for one in likely]
    )
    problem = make_problem(intensities, assignments.positions, assignments.elements)
    search = Search(problem, assignments, seed)
    starts = starts_of(proposals, problem)
    if starts:
        search.take(starts)
    left = lambda: seconds - (time.process_time() - start)
    tell = None
    if progress is not None:
        tell = lambda of, _: progress(
            Progress(min(of.history, default=of.chains[0].r), len(of.pool), of.hops, max(left(), 0.0))
        )
    ended = search.run(_ALL_AT_ONCE * seconds - (seconds - left()), most_assignments, tell)
    if not ended and heavy_first(search, likely[0].atoms, left() / 2.0, tell):
        search.run(left(), most_assignments, tell)
    return solutions_of(search, assignments, likely, time.process_time() - start)


def _given(composition: Composition, contents: Mapping[str, int] | None) -> tuple[Contents, ...]:
    if contents is None:
        return ()
    atoms = {element: int(n) for element, n in contents.items() if element not in ("H", "D")}
    expected = set(parse_composition(composition) if isinstance(composition, str) else composition) - {"H", "D"}
    if set(atoms) != expected:
        raise ConventionError(f"contents has {', '.join(atoms)}, the composition {', '.join(sorted(expected))}")
    parse_composition({element: float(n) for element, n in contents.items()})
    if not atoms or any(n != contents[e] for e, n in atoms.items()):
        raise ConventionError(
            f"contents are {dict(contents)}; expected whole numbers of atoms, some of them no hydrogen"
        )
    if sum(atoms.values()) > MOST_ATOMS:
        raise ParameterError(
            f"contents are {sum(atoms.values())} atoms that are no hydrogen; expected no more than {MOST_ATOMS}: give the atoms of one cell"
        )
    hydrogen = sum(int(contents.get(e, 0)) for e in ("H", "D"))
    return (Contents(atoms, hydrogen, 0, float("nan"), float("nan"), 1.0),)
