"""Hops between structures: displaced atoms, relocated sites, exchanged elements, another assignment (host)."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from .candidates import Candidate, Chain
from .problem import Assignment, Problem
from .scan import Scan

# probabilities of a transfer to another assignment, of displacements, of a relocated site; elements are exchanged
# otherwise
_OVER, _DISPLACED, _ELSEWHERE = 0.15, 0.35, 0.35
# fraction of relocated sites that are placed by a scan of many positions
_SCANNED = 0.7
# Å, sizes of displacements
_KICKS = (0.2, 0.5, 1.0)


class Moves:
    """Random generator of hops.

    Args:
        problem: problem to be solved.
        rng: random number generator.

    Attributes:
        pool: assignments to which coordinates may be transferred, in the order of addition.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator):
        self._scan = Scan(problem, rng)
        self.pool: list[Candidate] = []
        self._rng = rng
        self._relatives: dict[tuple, list[int]] = defaultdict(list)

    def add(self, candidates: list[Candidate]) -> list[int]:
        """Add assignments to the pool; return their indices."""
        new = list(range(len(self.pool), len(self.pool) + len(candidates)))
        self.pool += candidates
        for k in new:
            for key in _without_one(self.pool[k].assignment):
                self._relatives[key].append(k)
        return new

    def anywhere(self, candidate: Candidate) -> Float[np.ndarray, " dof1"]:
        """Draw random coordinates."""
        return np.append(self._rng.uniform(0.0, candidate.periods), 0.0)

    def guided(self, number: int, best: Mapping[int, Chain]) -> Float[np.ndarray, " dof1"]:
        """Take coordinates from the best assignment that differs in one element, whose sites are scanned for."""
        there = self.pool[number]
        keys = _without_one(there.assignment)
        element = int(self._rng.integers(len(keys)))
        known = [k for k in self._relatives[keys[element]] if k in best and k != number]
        if not known:
            return self.anywhere(there)
        u = self._transplanted(min((best[k] for k in known), key=lambda chain: chain.cost), there)
        for site, (e, _) in enumerate(there.where):
            if e == element and there.columns[site].stop > there.columns[site].start:
                u[there.columns[site]] = self._scan.place(there, u, site)
        return u

    def hop(self, chain: Chain) -> tuple[int, Float[np.ndarray, " dof1"]]:
        """Return the same or another assignment, with changed coordinates."""
        rng, here = self._rng, self.pool[chain.candidate]
        lot, free = rng.random(), [k for k, columns in enumerate(here.columns) if columns.stop > columns.start]
        if lot < _OVER or not free:
            element = int(rng.integers(len(here.assignment)))
            relatives = self._relatives[_without_one(here.assignment)[element]]
            other = relatives[int(rng.integers(len(relatives)))]
            if other != chain.candidate:
                return other, self._transplanted(chain, self.pool[other])
        if not free:
            return chain.candidate, chain.u
        if lot < _OVER + _DISPLACED:
            return chain.candidate, self._displaced(chain.u, here, free)
        u = chain.u.copy()
        if lot < _OVER + _DISPLACED + _ELSEWHERE:
            for k in self._some(free, 0.3):
                if rng.random() < _SCANNED:
                    u[here.columns[k]] = self._scan.place(here, u, k)
                else:
                    u[here.columns[k]] = rng.uniform(0.0, here.periods[here.columns[k]])
            return chain.candidate, u
        pairs = [
            (i, j)
            for n, j in enumerate(free)
            for i in free[:n]
            if here.where[i][0] != here.where[j][0] and here.where[i][1] == here.where[j][1]
        ]
        if not pairs:
            return chain.candidate, self._displaced(chain.u, here, free)
        one, other_columns = (here.columns[k] for k in pairs[int(rng.integers(len(pairs)))])
        u[one], u[other_columns] = chain.u[other_columns], chain.u[one]
        return chain.candidate, u

    def _displaced(self, u: Float[np.ndarray, " dof1"], here: Candidate, free: list[int]) -> Float[np.ndarray, " dof1"]:
        """Displace all atoms, or those of one or two sites."""
        moved, size = u.copy(), _KICKS[int(self._rng.integers(len(_KICKS)))]
        for k in free if self._rng.random() < 0.5 else self._some(free, 0.5):
            columns = here.columns[k]
            moved[columns] += self._rng.normal(0.0, size, columns.stop - columns.start)
        return moved

    def _some(self, free: list[int], second: float) -> list[int]:
        """Choose one site, or with some probability two."""
        number = min(len(free), 1 + int(self._rng.random() < second))
        return self._rng.choice(free, number, replace=False).tolist()

    def _transplanted(self, chain: Chain, other: Candidate) -> Float[np.ndarray, " dof1"]:
        """Draw random coordinates, but keep those of sites common to both assignments."""
        u, here = self.anywhere(other), self.pool[chain.candidate]
        known = defaultdict(list)
        for where, columns in zip(here.where, here.columns, strict=True):
            known[where].append(columns)
        for where, columns in zip(other.where, other.columns, strict=True):
            if known[where]:
                u[columns] = chain.u[known[where].pop()]
        u[-1] = chain.u[-1]
        return u


def _without_one(assignment: Assignment) -> list[tuple]:
    """List, for each element, the rest of the assignment, common to assignments that differ in that element."""
    return [(e, assignment[:e], assignment[e + 1 :]) for e in range(len(assignment))]
