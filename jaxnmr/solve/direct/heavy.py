"""Heavy atoms alone first, the others from difference maps (host)."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import gemmi
import numpy as np

from ...errors import SymmetryError
from ..fourier.growth import Growth, Seedling
from .assignments import Assignments
from .problem import Assignment
from .search import Search

# of the time, for heavy atoms alone
_HEAVY = 0.25
# heavy elements scatter at least this part (of the sum of squares of electrons)
_LEAST = 0.5
# arrangements of heavy atoms that are completed; complete structures that are searched further
_STARTS, _TAKEN = 24, 48
_MOST_ASSIGNMENTS = 200


@dataclass
class HeavyAlone:
    """Assignments of the first elements, the others on no position."""

    assignments: Assignments
    others: int

    def __iter__(self) -> Iterator[Assignment]:
        for assignment in self.assignments:
            yield (*assignment, *((),) * self.others)


def heaviest(elements: tuple[str, ...], contents: Mapping[str, int]) -> int:
    """How many elements, the heaviest first, scatter most; 0 where these are all."""
    scattered = np.array([contents[e] * gemmi.Element(e).atomic_number ** 2 for e in elements], dtype=float)
    number = 1 + int(np.argmax(np.cumsum(scattered) >= _LEAST * scattered.sum()))
    return 0 if number == len(elements) else number


def heavy_first(search: Search, contents: Mapping[str, int], seconds: float) -> int:
    """Search for the heaviest elements alone, complete them from difference maps, and let these structures take part.

    Args:
        search: over complete structures.
        contents: of the conventional cell.
        seconds: of processor time.

    Returns:
        How many complete structures there were.
    """
    start = time.process_time()
    problem = search.problem
    number = heaviest(problem.elements, contents)
    if number == 0:
        return 0
    atoms = np.array([contents[e] for e in problem.elements], dtype=float)
    areas = problem.intensities
    try:
        alone = Assignments(areas.group, areas.cell, {e: contents[e] for e in problem.elements[:number]})
    except SymmetryError:
        return 0
    first = Search(
        problem, HeavyAlone(alone, len(atoms) - number), search.seed, workshop=search.workshop, contents=atoms
    )
    first.run(_HEAVY * seconds, _MOST_ASSIGNMENTS)
    search.hops += first.hops
    if first.interrupted:
        search.interrupted = True
        return 0
    starts = [
        Seedling.of(first.pool[chain.candidate].assignment, chain.u, problem) for chain in _different(first)[:_STARTS]
    ]
    assert search.workshop is not None
    growth = Growth(problem, search.workshop, atoms, np.random.default_rng(search.seed))
    left = lambda: time.process_time() - start < seconds
    complete = growth.run(starts, left)
    search.take([(assignment, u) for assignment, u, _, _ in complete[:_TAKEN]])
    return len(complete)


def _different(search: Search) -> list:
    """Chains of the population with the best of each assignment, the best first, those of equal cost once."""
    found: dict[tuple[int, int], object] = {}
    for chain in sorted([*search.chains, *search.ranked()], key=search.badness):
        found.setdefault((chain.candidate, round(2000.0 * chain.cost)), chain)
    return list(found.values())
