"""Assignment of atoms to Wyckoff positions: all assignments of a composition, the most likely first (host).

Nothing is sampled, and assignments are generated lazily: the options of each element are sorted, and their combinations
come from a priority queue. Of assignments related by a change of the origin or of equal axes only one is given.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement, islice, product
from math import log

import numpy as np
from jaxtyping import Float

from ...crystal import SpaceGroup, lattice
from ...errors import SymmetryError
from ...typing import Numbers
from .normaliser import exchanges
from .prior import MOST_OPTIONS, Counts, Kind, features, fitted, kinds, options, ways
from .problem import Assignment, shortest_distances
from .wyckoff import Positions, wyckoff_positions

# fraction of the shortest distances of the search below which an assignment is discarded
_IMPOSSIBLE = 0.8


@dataclass(frozen=True)
class Allowed:
    """Positions that have room for an element.

    Attributes:
        alone: ``(elements, positions)`` whether atoms of one orbit can avoid touching each other.
        together: ``(elements, elements, positions, positions)`` whether two fixed orbits do not touch.
    """

    alone: np.ndarray
    together: np.ndarray


class Assignments:
    """All assignments of a composition to the positions of a group, in order of prior probability.

    Args:
        group, cell: space group and cell of the crystal.
        contents: atoms of each element in the conventional cell; or several alternatives of the same elements with
            probabilities, whose assignments are interleaved.
        weights: weights of the prior; by default those that come with the package.

    Raises:
        SymmetryError: the multiplicities of the group are incompatible with these contents.
    """

    def __init__(
        self,
        group: SpaceGroup,
        cell: Numbers,
        contents: Mapping[str, int] | Sequence[tuple[Mapping[str, int], float]],
        weights: Float[np.ndarray, " features"] | None = None,
    ):
        possible = [(contents, 1.0)] if isinstance(contents, Mapping) else list(contents)
        self.group, self.elements = group, tuple(possible[0][0])
        self.positions = wyckoff_positions(group)
        self.kinds = kinds(self.positions)
        self._exchanges = [tuple(row.tolist()) for row in exchanges(group, cell)]
        self._allowed = _room(self.positions, cell, self.elements)
        self._weights = fitted() if weights is None else weights
        self._known: dict[tuple[int, int], list[tuple[float, Counts]]] = {}
        # for each alternative its log probability, and the options of each element with theirs
        self._ranked: list[tuple[float, list[list[tuple[float, Counts]]]]] = []
        missing = ""
        for atoms, probability in possible:
            ranked = [self._options(row, atoms[element]) for row, element in enumerate(self.elements)]
            if all(ranked):
                self._ranked.append((log(probability), ranked))
            else:
                missing = missing or next(
                    f"{atoms[e]} {e}" for e, r in zip(self.elements, ranked, strict=True) if not r
                )
        if not self._ranked:
            sizes = ", ".join(str(m) for m in sorted({kind.multiplicity for kind in self.kinds}))
            raise SymmetryError(
                f"{missing} in the cell cannot be put on the positions of {group.name} (multiplicities {sizes}) without "
                "touching: give other contents, or a group of lower symmetry"
            )

    def _options(self, row: int, atoms: int) -> list[tuple[float, Counts]]:
        """List all options of an element with their log probabilities, decreasing."""
        if (row, atoms) not in self._known:
            usable = tuple(
                Kind(kind.multiplicity, kind.dof, tuple(k for k in kind.members if self._allowed.alone[row, k]))
                for kind in self.kinds
            )
            listed = list(islice(options(usable, atoms), MOST_OPTIONS))
            listed = [c for c in listed if all(kind.members or not n for kind, n in zip(usable, c, strict=True))]
            found: list[tuple[float, Counts]] = []
            if listed:
                scores = features(self.kinds, np.array(listed), self.elements[row]) @ self._weights
                number = np.array([ways(usable, c) for c in listed])
                scores = scores - np.logaddexp.reduce(scores + number)
                found = [(float(scores[k]), listed[k]) for k in np.argsort(-scores, kind="stable")]
            self._known[row, atoms] = found
        return self._known[row, atoms]

    def __iter__(self) -> Iterator[Assignment]:
        each = (self._combined(*ranked) for ranked in self._ranked)
        for _, counts in heapq.merge(*each, key=lambda one: -one[0]):
            yield from self._placed(counts)

    def _combined(
        self, base: float, ranked: list[list[tuple[float, Counts]]]
    ) -> Iterator[tuple[float, tuple[Counts, ...]]]:
        """Iterate over combinations of the options of all elements by decreasing total score."""
        score = lambda at: base + sum(every[k][0] for every, k in zip(ranked, at, strict=True))
        start = (0,) * len(ranked)
        queue, seen = [(-score(start), start)], {start}
        while queue:
            worst, at = heapq.heappop(queue)
            counts = tuple(every[k][1] for every, k in zip(ranked, at, strict=True))
            if self._fits(counts):
                yield -worst, counts
            for e, every in enumerate(ranked):
                further = (*at[:e], at[e] + 1, *at[e + 1 :])
                if further[e] < len(every) and further not in seen:
                    seen.add(further)
                    heapq.heappush(queue, (-score(further), further))

    def _fits(self, counts: Sequence[Counts]) -> bool:
        """Return whether there are enough fixed positions."""
        totals = np.sum(counts, axis=0)
        return all(kind.dof > 0 or n <= len(kind.members) for kind, n in zip(self.kinds, totals, strict=True))

    def _placed(self, counts: tuple[Counts, ...]) -> Iterator[Assignment]:
        """Iterate over choices of positions of these kinds, one of each class of equivalent ones."""

        def place(e: int, taken: tuple[tuple[int, int], ...]) -> Iterator[Assignment]:
            if e == len(counts):
                yield ()
                return
            for sites in self._choices(e, counts[e]):
                fixed = tuple((e, k) for k in sites if self.positions[k].dof == 0)
                if all(self._compatible(one, other) for one in fixed for other in (*taken, *fixed)):
                    for rest in place(e + 1, (*taken, *fixed)):
                        yield (sites, *rest)

        for assignment in place(0, ()):
            if self.canonical(assignment) == assignment:
                yield assignment

    def _choices(self, element: int, counts: Counts) -> Iterator[tuple[int, ...]]:
        each = []
        for kind, number in zip(self.kinds, counts, strict=True):
            members = [k for k in kind.members if self._allowed.alone[element, k]]
            each.append(list((combinations if kind.dof == 0 else combinations_with_replacement)(members, number)))
        for parts in product(*each):
            yield tuple(sorted(k for part in parts for k in part))

    def _compatible(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        if one == other:
            return True
        return bool(one[1] != other[1] and self._allowed.together[one[0], other[0], one[1], other[1]])

    def canonical(self, assignment: Assignment) -> Assignment:
        """Return the representative of all equivalent assignments."""
        return min(
            tuple(tuple(sorted(exchange[k] for k in sites)) for sites in assignment) for exchange in self._exchanges
        )

    def contents(self, assignment: Assignment) -> dict[str, int]:
        """Return the number of atoms of each element in the conventional cell."""
        return {
            element: sum(self.positions[k].multiplicity for k in sites)
            for element, sites in zip(self.elements, assignment, strict=True)
        }

    def words(self, assignment: Assignment) -> str:
        """Format an assignment, such as ``Pb 4(x, 1/4, z)  S 4(x, 1/4, z)``."""
        return ";  ".join(
            f"{element} " + " + ".join(self.positions[k].words for k in sites)
            for element, sites in zip(self.elements, assignment, strict=True)
        )


def _room(positions: Positions, cell: Numbers, elements: tuple[str, ...]) -> Allowed:
    vectors = np.asarray(lattice(np.asarray(cell, dtype=float)))
    least = _IMPOSSIBLE * shortest_distances(elements)
    own = np.array([_roomiest(position, vectors) for position in positions.every])
    fixed = [position.number for position in positions.every if position.dof == 0]
    apart = np.full((len(positions), len(positions)), np.inf)
    for i in fixed:
        for j in fixed:
            if i != j:
                apart[i, j] = _nearest(positions[i].shifts[:1], positions[j].shifts, vectors).min()
    return Allowed(own[None] >= np.diag(least)[:, None], apart[None, None] >= least[:, :, None, None])


def _roomiest(position, vectors) -> float:
    """Return the largest possible shortest distance within an orbit, Å."""
    if position.multiplicity == 1 or position.dof == 3:
        return np.inf
    steps = 24 if position.dof == 1 else 12
    u = (
        np.indices((steps,) * position.dof).reshape(position.dof, steps**position.dof).T + 0.5 * (position.dof > 0)
    ) / steps
    atoms = np.einsum("mip,up->umi", position.matrices, u) + position.shifts
    return float(_nearest(atoms[:, :1], atoms[:, 1:], vectors).min(axis=-1).max())


def _nearest(first: np.ndarray, others: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return the distances of nearest images, also in oblique cells."""
    delta = others - first
    delta = delta - np.round(delta)
    images = np.indices((3, 3, 3)).reshape(3, -1).T - 1
    return np.sqrt((((delta[..., None, :] + images) @ vectors) ** 2).sum(axis=-1)).min(axis=-1)
