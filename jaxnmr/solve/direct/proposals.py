"""Externally proposed structures as starts of a search: their sites are assigned to nearby Wyckoff positions (host)."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ...crystal import Crystal
from ...errors import ConventionError
from ..fourier.places import Places
from ..records import Intensities
from .problem import Assignment, Problem

# Å, largest distance of a site from the position it is assigned to; largest relative difference of cells
_NEAR, _CELL = 0.7, 0.03


def starts_of(proposals: Sequence[Crystal], problem: Problem) -> list[tuple[Assignment, Float[np.ndarray, " dof1"]]]:
    """Return assignments and coordinates of proposals, as accepted by `Search.take`.

    Args:
        proposals: structures in the cell and space group of the intensities, or in P1 of that cell.
        problem: problem to be solved.

    Raises:
        ConventionError: a proposal has another cell or other elements.
    """
    return [one for crystal in proposals for one in _starts(crystal, problem)]


def has_cell(crystal: Crystal, intensities: Intensities) -> bool:
    """Return whether a proposal has the cell of the intensities."""
    return bool(np.abs(np.asarray(crystal.cell, dtype=float) / intensities.cell - 1.0).max() <= _CELL)


def _starts(crystal: Crystal, problem: Problem) -> list[tuple[Assignment, Float[np.ndarray, " dof1"]]]:
    cell = np.asarray(problem.intensities.cell, dtype=float)
    if not has_cell(crystal, problem.intensities):
        raise ConventionError(
            f"the proposal {crystal.name} has the cell {np.round(np.asarray(crystal.cell), 4).tolist()}, the intensities are of "
            f"{np.round(cell, 4).tolist()}: give it in that cell"
        )
    heavy = {e for e in crystal.elements if e not in ("H", "D")}
    if heavy != set(problem.elements):
        raise ConventionError(
            f"the proposal {crystal.name} consists of {', '.join(sorted(heavy))}; expected {', '.join(problem.elements)}"
        )
    full = crystal.expand()
    xyz = np.asarray(full.fractional, dtype=float)
    elements = [crystal.elements[k] for k in np.asarray(full.site)]
    places = Places(problem.positions, cell)
    chosen: list[list[tuple[int, np.ndarray]]] = []
    for element in problem.elements:
        left = [k for k, e in enumerate(elements) if e == element]
        sites: list[tuple[int, np.ndarray]] = []
        while left:
            fits = []
            for place in places.near(xyz[left[0]], _NEAR):
                members = _members(places, place.number, place.u, xyz, left)
                if members is not None:
                    fits.append((place, members))
            if not fits:
                return []
            # the most special position that keeps the number of atoms
            place, members = min(fits, key=lambda of: (len(of[1]), of[0].distance))
            sites.append((place.number, place.u))
            left = [k for k in left if k not in members]
        chosen.append(sorted(sites, key=lambda of: of[0]))
    assignment = tuple(tuple(number for number, _ in sites) for sites in chosen)
    single = [
        n
        for number, n in Counter(k for sites in assignment for k in sites).items()
        if problem.positions[number].dof == 0
    ]
    if any(n > 1 for n in single):
        return []
    u = np.concatenate([*(u for sites in chosen for _, u in sites), np.zeros(1)])
    return [(assignment, u)]


def _members(places: Places, number: int, u: np.ndarray, xyz: np.ndarray, left: list[int]) -> list[int] | None:
    """Return the atoms that an entire site represents, or ``None`` if some of them are missing."""
    free = list(left)
    found = []
    for atom in places.atoms(number, u):
        if not free:
            return None
        distances = places.distances(atom, xyz[free])
        nearest = int(distances.argmin())
        if distances[nearest] > 1.5 * _NEAR:
            return None
        found.append(free.pop(nearest))
    return found
