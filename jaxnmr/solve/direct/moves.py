"""Hops between structures: displaced atoms, sites elsewhere, exchanged elements, another assignment (host)."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from .candidates import Candidate, Chain
from .problem import Assignment, Problem
from .scan import Scan

# how often coordinates go over to another assignment, atoms are displaced, a site is put elsewhere; elements change places in the rest
_OVER, _DISPLACED, _ELSEWHERE = 0.15, 0.35, 0.35
# part of the sites put elsewhere for which many places are tried first
_SCANNED = 0.7
# Å of displacements
_KICKS = (0.2, 0.5, 1.0)


class Moves:
    """Draws hops.

    Args:
        problem: what is solved.
        rng: its random numbers.

    Attributes:
        pool: the assignments that coordinates may go over to, in the order in which they were added.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator):
        self._scan = Scan(problem, rng)
        self.pool: list[Candidate] = []
        self._rng = rng
        self._relatives: dict[tuple, list[int]] = defaultdict(list)

    def add(self, candidates: list[Candidate]) -> list[int]:
        """Let more assignments take part; their numbers."""
        new = list(range(len(self.pool), len(self.pool) + len(candidates)))
        self.pool += candidates
        for k in new:
            for key in _without_one(self.pool[k].assignment):
                self._relatives[key].append(k)
        return new

    def anywhere(self, candidate: Candidate) -> Float[np.ndarray, " dof1"]:
        """Random coordinates."""
        return np.append(self._rng.uniform(0.0, candidate.periods), 0.0)

    def guided(self, number: int, best: Mapping[int, Chain]) -> Float[np.ndarray, " dof1"]:
        """Coordinates for an assignment from the best one that differs in one element, whose sites are put where they fit."""
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
        """Another assignment or the same one, with other coordinates."""
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
        """All atoms displaced, or those of one or two sites."""
        moved, size = u.copy(), _KICKS[int(self._rng.integers(len(_KICKS)))]
        for k in free if self._rng.random() < 0.5 else self._some(free, 0.5):
            columns = here.columns[k]
            moved[columns] += self._rng.normal(0.0, size, columns.stop - columns.start)
        return moved

    def _some(self, free: list[int], second: float) -> list[int]:
        """One site, or with some probability two."""
        number = min(len(free), 1 + int(self._rng.random() < second))
        return self._rng.choice(free, number, replace=False).tolist()

    def _transplanted(self, chain: Chain, other: Candidate) -> Float[np.ndarray, " dof1"]:
        """Random coordinates, but those of sites that both assignments have."""
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
    """For each element what two assignments have in common that differ in it alone."""
    return [(e, assignment[:e], assignment[e + 1 :]) for e in range(len(assignment))]
