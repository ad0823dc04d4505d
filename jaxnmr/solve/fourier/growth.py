"""Completion of structures that lack elements, from difference maps (host; minimisations in batches on the device).

Many structures grow at once. In each, sites are added one by one at one of the highest maxima of the difference map,
elements with most electrons first, on positions whose multiplicity the contents allow and with sufficient distances;
then all are minimised.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import jax
import numpy as np
from jaxtyping import Float

from ...errors import DataError
from ..direct.candidates import Workshop, minimised
from ..direct.kernel import Measured
from ..direct.problem import Assignment, Problem, shortest_distances
from ..direct.search import BUMP
from ..epsilon import epsilon_factors
from .density import Sphere, density
from .maps import differences
from .maxima import local_maxima
from .places import Place, Places

# steps of a minimisation after each site, and for the complete structure
_STEPS, _LAST_STEPS = 8, 18
# number of maxima considered; the probability of one is proportional to this power of its height
_PEAKS, _POWER = 16, 4.0
# Å, a maximum this close to a special position may be on it
_NEAR = 0.45
# fraction of the shortest distances of the search
_CLOSEST = 0.85


@dataclass
class Seedling:
    """An incomplete structure.

    Attributes:
        sites: for each element the Wyckoff position and the coordinates in Å of every site.
        b: displacement beyond the expected one, Å².
        cost: root of the cost after the last minimisation; ``r`` its R.
    """

    sites: list[list[tuple[int, Float[np.ndarray, " dof"]]]]
    b: float = 0.0
    cost: float = np.inf
    r: float = 1.0

    @classmethod
    def of(cls, assignment: Assignment, u: Float[np.ndarray, " dof1"], problem: Problem) -> "Seedling":
        """Make it from an assignment with its coordinates."""
        sites: list[list] = []
        at = 0
        for numbers in assignment:
            sites.append([])
            for k in numbers:
                dof = problem.positions[k].dof
                sites[-1].append((k, np.array(u[at : at + dof])))
                at += dof
        return cls(sites, float(u[-1]))

    def assignment(self) -> Assignment:
        """Return the positions of the elements, each sorted."""
        self.sites = [sorted(sites, key=lambda site: site[0]) for sites in self.sites]
        return tuple(tuple(k for k, _ in sites) for sites in self.sites)

    def numbers(self) -> Float[np.ndarray, " dof1"]:
        """Return coordinates in the order of the assignment, and the displacement."""
        return np.concatenate([*(u for sites in self.sites for _, u in sites), [self.b]])


class Growth:
    """Completion of structures.

    Args:
        problem: problem to be solved; its elements are those of the complete structure.
        workshop: preparation of assignments.
        contents: ``(elements,)`` atoms in the conventional cell.
        rng: random number generator for choosing maxima.

    Attributes:
        complete: complete structures, in the order in which they were found.
        rounds: number of populations grown to the end.
    """

    def __init__(
        self, problem: Problem, workshop: Workshop, contents: Float[np.ndarray, " elements"], rng: np.random.Generator
    ):
        self._problem, self._workshop, self._contents, self._rng = problem, workshop, np.asarray(contents), rng
        self.complete: list[Seedling] = []
        self.rounds = 0
        self._device: Measured = jax.device_put(problem.measured)
        areas = problem.intensities
        self._places = Places(problem.positions, np.asarray(areas.cell, dtype=float))
        self._least = shortest_distances(problem.elements)
        measured = problem.measured
        n = int(np.flatnonzero(np.asarray(measured.weight))[-1]) + 1
        self._hkl = np.rint(np.asarray(measured.hkl)[:n]).astype(int)
        self._form, self._weight = (
            np.asarray(measured.form, dtype=float)[:n],
            np.asarray(measured.weight, dtype=float)[:n],
        )
        self._members, self._s_sq = np.asarray(measured.member)[:n], np.asarray(measured.s_sq, dtype=float)[:n]
        self._area = np.asarray(measured.root, dtype=float)[: self._members.max() + 1] ** 2
        self._dispersion = (
            np.asarray(measured.dispersion, dtype=float)[None] * np.asarray(measured.damping, dtype=float)[:n, None]
        )
        self._special, self._sphere = epsilon_factors(areas.group, self._hkl), Sphere.of(areas.group, self._hkl)
        self._multiplicities = tuple(sorted({p.multiplicity for p in problem.positions.every}))

    def run(self, starts: Sequence[Seedling], most: int = 32) -> Iterator[int]:
        """Complete structures repeatedly from the same starts; results are in `complete`.

        Args:
            starts: incomplete structures, the best first; earlier ones are chosen more often.
            most: number of structures that grow together.

        Yields:
            After every site, the number of complete structures.
        """
        chances = 1.0 / (1.0 + np.arange(len(starts)))
        while len(starts):
            chosen = self._rng.choice(len(starts), size=most, p=chances / chances.sum())
            growing = [Seedling([list(sites) for sites in starts[k].sites], starts[k].b) for k in chosen]
            while growing:
                growing = [one for one in growing if self._put(one)]
                complete = [one for one in growing if not self._missing(one).any()]
                growing = [one for one in growing if self._missing(one).any()]
                self._minimise(growing, _STEPS)
                self._minimise(complete, _LAST_STEPS)
                self.complete += complete
                self.rounds += not growing
                yield len(self.complete)

    def _minimise(self, structures: list[Seedling], steps: int) -> None:
        if not structures:
            return
        assignments = [one.assignment() for one in structures]
        candidates = self._workshop.ready(assignments, self._contents)
        made = minimised(self._problem, self._device, candidates, [one.numbers() for one in structures], BUMP, steps)
        for one, assignment, (u, cost, r) in zip(structures, assignments, made, strict=True):
            there = Seedling.of(assignment, u, self._problem)
            one.sites, one.b, one.cost, one.r = there.sites, there.b, cost, r

    def _missing(self, one: Seedling) -> Float[np.ndarray, " elements"]:
        there = [sum(self._problem.positions[k].multiplicity for k, _ in sites) for sites in one.sites]
        return self._contents - np.array(there)

    def _put(self, one: Seedling) -> bool:
        """Add one site of the first missing element; return whether there was a place."""
        missing = self._missing(one)
        element = int(np.flatnonzero(missing > 0)[0])
        try:
            points, heights = self._maxima(one)
        except DataError:
            return False
        taken = {k for sites in one.sites for k, _ in sites if self._problem.positions[k].dof == 0}
        # the first of a random order that favours high maxima
        order = np.argsort(-_POWER * np.log(heights) - self._rng.gumbel(size=len(heights)))
        for point in points[order]:
            choices = [
                place
                for place in self._places.near(point, _NEAR)
                if place.number not in taken and self._allowed(place, element, int(missing[element]), one)
            ]
            if choices:
                weights = np.exp([-((place.distance / _NEAR) ** 2) for place in choices])
                place = choices[int(self._rng.choice(len(choices), p=weights / weights.sum()))]
                one.sites[element].append((place.number, place.u))
                return True
        return False

    def _allowed(self, place: Place, element: int, missing: int, one: Seedling) -> bool:
        """Return whether contents and distances allow a site."""
        size = self._problem.positions[place.number].multiplicity
        if size > missing or not _divisible(missing - size, self._multiplicities):
            return False
        atoms = self._places.atoms(place.number, place.u)
        if size > 1 and self._places.distances(atoms[0], atoms[1:]).min() < _CLOSEST * self._least[element, element]:
            return False
        for other, sites in enumerate(one.sites):
            for k, u in sites:
                if (
                    self._places.distances(atoms[0], self._places.atoms(k, u)).min()
                    < _CLOSEST * self._least[element, other]
                ):
                    return False
        return True

    def _maxima(self, one: Seedling) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
        """Return the highest maxima of the difference map, in arbitrary units."""
        damping = np.exp(-one.b * self._s_sq)
        f, without_phase = np.zeros(len(self._hkl), dtype=complex), np.zeros(len(self._hkl), dtype=complex)
        for element, sites in enumerate(one.sites):
            if sites:
                atoms = np.concatenate([self._places.atoms(k, u) for k, u in sites])
                waves = damping * np.exp(2j * np.pi * (self._hkl @ atoms.T)).sum(axis=1)
                f += self._form[:, element] * waves
                without_phase += self._dispersion[:, element] * waves
        absent = (self._form[:, : len(self._contents)] ** 2 @ self._missing(one)) * damping**2
        found = differences(
            self._area, self._weight, self._members, f, np.abs(f) ** 2 + np.abs(without_phase) ** 2, absent * self._special.epsilon,
            self._special.centric,
        )  # fmt: skip
        areas = self._problem.intensities
        made = density(self._sphere, np.asarray(areas.cell, dtype=float), found.f)
        points, heights = local_maxima(made, _PEAKS, exact=False)
        return points, np.maximum(heights, 1e-12)


@lru_cache(maxsize=4096)
def _divisible(atoms: int, multiplicities: tuple[int, ...]) -> bool:
    """Return whether this number of atoms can be put on positions of these multiplicities."""
    return atoms == 0 or any(m <= atoms and _divisible(atoms - m, multiplicities) for m in multiplicities)
