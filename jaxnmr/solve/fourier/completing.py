"""Completion of a partial structure from difference maps (host)."""

import time
from collections.abc import Mapping

import gemmi
import numpy as np

from ..._arguments import checked
from ...crystal import Crystal, element_of
from ...errors import DataError, ParameterError
from ...units import EIGHT_PI2
from ..direct.assignments import Assignments
from ..direct.contents import MOST_ATOMS, Contents
from ..direct.finalists import solutions_of
from ..direct.heavy import grow
from ..direct.problem import EXPECTED_B, make_problem
from ..direct.search import Search
from ..direct.solutions import Solutions
from ..records import Intensities, require_areas
from .growth import Seedling
from .maps import require_same
from .places import Places

# Å, a site this close to a special position is on it
_ON = 0.01
# fraction of the time for difference maps; the complete structures hop in the rest
_MAPS = 0.5


@checked
def complete(
    crystal: Crystal, areas: Intensities, contents: Mapping[str, int], *, seed: int = 0, seconds: float = 30.0
) -> Solutions:
    """Place the missing atoms of a structure at maxima of difference maps, and continue the search from there.

    Sites are added one by one, elements with most electrons first; the multiplicities of Wyckoff positions determine
    what fits the contents. The known atoms may move, too.

    Args:
        crystal: known part of the structure.
        areas: areas in the same cell and group.
        contents: atoms of each element in the conventional cell, including the known ones; hydrogen is left out.
        seed: random seed.
        seconds: CPU time limit.

    Raises:
        ConventionError: the areas have another cell or space group.
        ParameterError: the contents lack atoms of the structure, add none to it, or exceed 400 atoms.
        SymmetryError: the group has no positions for the contents.
        DataError: no maximum has room for an atom.
    """
    require_same(crystal, areas)
    if not seconds > 0:
        raise ParameterError(f"seconds is {seconds}; expected a positive number")
    require_areas(areas)
    start = time.process_time()
    contents = {element: n for element, n in contents.items() if element not in ("H", "D")}
    if sum(contents.values()) > MOST_ATOMS:
        raise ParameterError(
            f"contents are {sum(contents.values())} atoms that are no hydrogen; expected no more than {MOST_ATOMS}: give those of one cell"
        )
    elements = sorted(contents, key=lambda e: -gemmi.Element(e).atomic_number)
    known = dict.fromkeys(elements, 0)
    for species, site in zip(crystal.species, crystal.sites(), strict=True):
        name = element_of(species)[0]
        if name not in known:
            raise ParameterError(
                f"the structure has {name}, and contents {', '.join(contents) or 'nothing'}: give contents of the whole cell"
            )
        known[name] += site.multiplicity
    missing = {e: contents[e] - known[e] for e in elements}
    if min(missing.values()) < 0 or not any(missing.values()):
        raise ParameterError(
            f"contents are {dict(contents)}, and the structure has {known}: expected contents with more atoms"
        )
    assignments = Assignments(areas.group, areas.cell, {e: contents[e] for e in elements})
    problem = make_problem(areas, assignments.positions, assignments.elements)
    search = Search(problem, assignments, seed)
    first = _seedling(crystal, elements, Places(assignments.positions, np.asarray(areas.cell, dtype=float)))
    grow(search, [first], np.array([contents[e] for e in elements], dtype=float), seconds=_MAPS * seconds)
    if not search.chains:
        raise DataError(
            f"no maximum of the difference map of {crystal.name} was a place for {next(e for e in elements if missing[e])}: the known part may "
            "be wrong"
        )
    if not search.interrupted:
        search.run(seconds - (time.process_time() - start), len(search.pool))
    whole = Contents({e: contents[e] for e in elements}, 0, 0, float("nan"), float("nan"), 1.0)
    return solutions_of(search, assignments, (whole,), time.process_time() - start)


def _seedling(crystal: Crystal, elements: list[str], places: Places) -> Seedling:
    sites: list[list] = [[] for _ in elements]
    for species, xyz in zip(crystal.species, np.asarray(crystal.xyz, dtype=float), strict=True):
        # the most special position comes first
        place = places.near(xyz, _ON)[0]
        sites[elements.index(element_of(species)[0])].append((place.number, place.u))
    return Seedling(sites, EIGHT_PI2 * float(np.mean(np.asarray(crystal.u_iso))) - EXPECTED_B)
