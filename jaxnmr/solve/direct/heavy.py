"""Heavy-atom method: heavy atoms are located first, the others in difference maps (host)."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Float

from ...errors import SymmetryError
from ..fourier.growth import Growth, Seedling
from .assignments import Assignments
from .problem import Assignment
from .search import Search

# fraction of the time for heavy atoms alone
_HEAVY = 0.25
# smallest share of the heavy elements in the sum of squared electron numbers
_LEAST = 0.5
# number of heavy-atom arrangements that are completed, and of complete structures that are searched further
_STARTS, _TAKEN = 24, 48
_MOST_ASSIGNMENTS = 200


@dataclass
class HeavyAlone:
    """Assignments of the first elements only, with no position for the others."""

    assignments: Assignments
    others: int

    def __iter__(self) -> Iterator[Assignment]:
        for assignment in self.assignments:
            yield (*assignment, *((),) * self.others)


def heaviest(elements: tuple[str, ...], contents: Mapping[str, int]) -> int:
    """Return the number of heaviest elements that dominate the scattering; 0 if these are all."""
    scattered = np.array([contents[e] * gemmi.Element(e).atomic_number ** 2 for e in elements], dtype=float)
    number = 1 + int(np.argmax(np.cumsum(scattered) >= _LEAST * scattered.sum()))
    return 0 if number == len(elements) else number


def heavy_first(
    search: Search, contents: Mapping[str, int], seconds: float, tell: Callable[[Search, float], None] | None = None
) -> bool:
    """Search for the heaviest elements alone, complete them from difference maps, and add them to the search.

    Args:
        search: search over complete structures.
        contents: atoms in the conventional cell.
        seconds: CPU time in seconds.
        tell: callback with the search over complete structures.

    Returns:
        Whether the search may go on, that is, was not interrupted.
    """
    start = time.process_time()
    left = lambda: seconds - (time.process_time() - start)
    problem = search.problem
    number = heaviest(problem.elements, contents)
    if number == 0:
        return True
    atoms = np.array([contents[e] for e in problem.elements], dtype=float)
    areas = problem.intensities
    try:
        alone = Assignments(areas.group, areas.cell, {e: contents[e] for e in problem.elements[:number]})
    except SymmetryError:
        return True
    if next(iter(alone), None) is None:
        return True
    told = None if tell is None else lambda of, _: tell(search, left())
    first = Search(
        problem, HeavyAlone(alone, len(atoms) - number), search.seed, workshop=search.workshop, contents=atoms
    )
    first.run(_HEAVY * seconds, _MOST_ASSIGNMENTS, told)
    search.hops += first.hops
    search.interrupted = first.interrupted
    if not search.interrupted:
        starts = [
            Seedling.of(first.pool[chain.candidate].assignment, chain.u, problem)
            for chain in _different(first)[:_STARTS]
        ]
        grow(search, starts, atoms, seconds=left(), tell=told)
    return not search.interrupted


def grow(
    search: Search,
    starts: Sequence[Seedling],
    contents: Float[np.ndarray, " elements"],
    *,
    seconds: float,
    tell: Callable[[Search, float], None] | None = None,
) -> None:
    """Complete structures for a limited time, at least one population, and add the best to a search.

    Args:
        search: search over complete structures.
        starts: incomplete structures.
        contents: ``(elements,)`` atoms in the conventional cell.
        seconds: CPU time in seconds; ``tell`` is called after every site.
    """
    assert search.workshop is not None
    start = time.process_time()
    growth = Growth(search.problem, search.workshop, contents, np.random.default_rng(search.seed))
    left = lambda: seconds - (time.process_time() - start)
    try:
        for _ in growth.run(starts):
            if tell is not None:
                tell(search, left())
            if left() <= 0.0 and (growth.complete or growth.rounds):
                break
    except KeyboardInterrupt:
        search.interrupted = True
    best = sorted(growth.complete, key=lambda one: one.cost)[:_TAKEN]
    if best:
        search.take([(one.assignment(), one.numbers()) for one in best])


def _different(search: Search) -> list:
    """Return the population and the best chain of each assignment, the best first, without duplicates of equal cost."""
    found: dict[tuple[int, int], object] = {}
    for chain in sorted([*search.chains, *search.ranked()], key=search.badness):
        found.setdefault((chain.candidate, round(2000.0 * chain.cost)), chain)
    return list(found.values())
