"""Basin hopping over coordinates and Wyckoff assignments at once (host; the minimisations run in batches on the device).

A population of chains hops: atoms are displaced, a site is put elsewhere, two elements change places, or the coordinates found so far
go over to an assignment that differs in one element; then all are minimised together. What is hardly worse is accepted. Every few
hops the worst chains make room for copies of the best, and when nothing improves the next assignments join.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise
from math import log

import jax
import numpy as np
from jaxtyping import Float

from .assignments import Assignments
from .kernel import Model, improved
from .problem import ATOMS, NUMBERS, SITES, Assignment, Problem, bucket, padded

# assignments of the first round; twice as many join in each that follows
_FIRST = 8
# chains in a population, minimisations in one call
_POPULATION = 96
_BATCH = 32
_STEPS = 18
# R that an overlap of all atoms by 1 Å costs
BUMP = 0.3
# turns without improvement: after the first number other assignments join; a structure as good as the uncertainties of areas ends the
# search then, one with an R below `GOOD_R` after the second, one with a higher R never
_CALM, _LONG_CALM = 6, 24
GOOD_R = 0.10
# of the R that uncertainties explain
_AS_GOOD = 1.25
# other minima within so much of the best: it may not be the lowest yet
_CROWD = 1.25
# Å of the displacements of a hop
_KICKS = (0.2, 0.5, 1.0)


@dataclass(frozen=True)
class Candidate:
    """An assignment made ready: its arrays, and which numbers belong to which site."""

    assignment: Assignment
    model: Model
    dof: int
    periods: Float[np.ndarray, " dof"]
    columns: tuple[slice, ...]
    where: tuple[tuple[int, int], ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.model.offset), len(self.model.first), self.model.matrix.shape[2] - 1


@dataclass
class Chain:
    """A structure: an assignment, its numbers (B/Å² the last), the root of its cost, and R."""

    candidate: int
    u: Float[np.ndarray, " dof1"]
    cost: float
    r: float


@dataclass
class Search:
    """The state of a search; `run` goes on with it.

    Attributes:
        problem, assignments: what is searched.
        seed: of all random numbers.
        pool: the assignments tried so far.
        chains: the population, the best first after every turn.
        best: for each assignment of the pool its best chain.
        history: lowest R after each turn; ``hops`` minimisations made.
        exhausted: whether all assignments are in the pool.
        interrupted: whether someone stopped it.
    """

    problem: Problem
    assignments: Assignments
    seed: int = 0
    pool: list[Candidate] = field(default_factory=list)
    chains: list[Chain] = field(default_factory=list)
    best: dict[int, Chain] = field(default_factory=dict)
    history: list[float] = field(default_factory=list)
    hops: int = 0
    exhausted: bool = False
    interrupted: bool = False

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._source: Iterator[Assignment] = iter(self.assignments)
        self._relatives: dict[tuple, list[int]] = defaultdict(list)
        self._device = jax.device_put(self.problem.measured)
        self._atoms = self._sites = 1

    def run(self, seconds: float, most: int, tell: Callable[["Search", float], None] | None = None) -> None:
        """Search until a good structure has not improved for a while, or for so long.

        Args:
            seconds: of processor time.
            most: assignments to try.
            tell: called after every turn with this search and the seconds that are left; an interruption ends the search.
        """
        start = time.process_time()
        left = lambda: seconds - (time.process_time() - start)
        calm, since, lowest, share = 0, 0, np.inf, _FIRST
        try:
            self._widen(share, most)
            while left() > 0:
                self._hop()
                if len(self.history) % 3 == 2:
                    self._tournament()
                leader = self.chains[0]
                if self.badness(leader) < 0.98 * lowest:
                    calm = since = 0
                else:
                    calm += 1
                lowest = min(lowest, self.badness(leader))
                self.history.append(leader.r)
                if tell is not None:
                    tell(self, left())
                fits = leader.r <= _AS_GOOD * self.problem.noise and self._stands_out(leader)
                if (fits or leader.r <= GOOD_R) and calm >= (_CALM if fits else _LONG_CALM):
                    return
                if self.exhausted and all(c.dof == 0 for c in self.pool):
                    return
                # what has many coordinates is given time
                since += 1
                if not fits and calm > 0 and since >= max(_CALM, self.pool[leader.candidate].dof):
                    share, since = min(2 * share, 256), 0
                    self._widen(share, most)
        except KeyboardInterrupt:
            self.interrupted = True
            if not self.chains:
                raise

    def _stands_out(self, leader: Chain) -> bool:
        """Whether no other minimum comes near, and there are many areas for each coordinate or many assignments were tried."""
        dof, lowest = self.pool[leader.candidate].dof, self.badness(leader)
        many = self.problem.count >= 6 * dof or self.exhausted or len(self.pool) >= 7 * _FIRST
        return many and not any(
            1.005 * lowest < self.badness(chain) < _CROWD * lowest and self.pool[chain.candidate].dof <= dof
            for chain in self.chains
        )

    def badness(self, chain: Chain) -> float:
        """Cost with a price for every coordinate: that of the Bayesian information criterion, at least 1 %."""
        n = self.problem.count
        return chain.cost * float(np.exp(self.pool[chain.candidate].dof * max(0.01, log(n) / (2.0 * n))))

    def ranked(self) -> list[Chain]:
        """The best chain of each assignment, the best first."""
        return sorted(self.best.values(), key=self.badness)

    def _widen(self, share: int, most: int) -> None:
        """The next assignments, with random coordinates; where there are no more, new coordinates for those there are."""
        room = min(share, most - len(self.pool))
        fresh = self._candidates(list(islice(self._source, room))) if room > 0 else []
        self.exhausted = self.exhausted or len(fresh) < room
        if fresh:
            new = list(range(len(self.pool), len(self.pool) + len(fresh)))
            self.pool += fresh
            for k in new:
                for key in self._keys(self.pool[k].assignment):
                    self._relatives[key].append(k)
        else:
            ranked = [chain.candidate for chain in self.ranked()]
            new = ranked[: max(share, 1)]
        times = max(4, -(-2 * _POPULATION // len(new)))
        chosen = [k for k in new for _ in range(times)]
        found = self._minimised(chosen, [self._random(self.pool[k]) for k in chosen])
        self._settle([*self.chains[: _POPULATION // 3], *found])

    def _settle(self, chains: list[Chain]) -> None:
        """Keep the best: a quarter from the leading assignment, half as many from each that follows, and three from the others."""
        least = max(3, _POPULATION // len(self.pool))
        kept: dict[int, int] = defaultdict(int)
        room: dict[int, int] = {}
        self.chains = []
        for chain in sorted(chains, key=self.badness):
            at_most = room.setdefault(chain.candidate, max(least, _POPULATION >> (2 + len(room))))
            if kept[chain.candidate] < at_most and len(self.chains) < _POPULATION:
                kept[chain.candidate] += 1
                self.chains.append(chain)

    def _hop(self) -> None:
        moved = [self._moved(chain) for chain in self.chains]
        found = self._minimised([k for k, _ in moved], [u for _, u in moved])
        for k, (old, new) in enumerate(zip(self.chains, found, strict=True)):
            slack = 1.0 if k == 0 else 1.0 + 0.05 * self._rng.random()
            if self.badness(new) < slack * self.badness(old):
                self.chains[k] = new
        self.chains.sort(key=self.badness)

    def _tournament(self) -> None:
        quarter = max(1, len(self.chains) // 4)
        for k in range(1, quarter + 1):
            if len(self.chains) > quarter:
                self.chains[-k] = self.chains[int(self._rng.integers(quarter))]

    def _moved(self, chain: Chain) -> tuple[int, np.ndarray]:
        """Another assignment or the same one, with other coordinates."""
        rng, here = self._rng, self.pool[chain.candidate]
        u, lot = chain.u.copy(), rng.random()
        free = [k for k, columns in enumerate(here.columns) if columns.stop > columns.start]
        if lot < 0.15 or not free:
            element = int(rng.integers(len(here.assignment)))
            relatives = self._relatives[self._keys(here.assignment)[element]]
            other = relatives[int(rng.integers(len(relatives)))]
            if other != chain.candidate:
                return other, self._transplanted(chain, self.pool[other])
        if not free:
            return chain.candidate, u
        if lot < 0.50:
            # all atoms, or those of one or two sites
            kick = rng.normal(0.0, _KICKS[int(rng.integers(len(_KICKS)))], here.dof)
            if rng.random() < 0.5:
                some = rng.choice(free, min(len(free), 1 + int(rng.random() < 0.5)), replace=False)
                kick[
                    [
                        k
                        for k in range(here.dof)
                        if not any(here.columns[s].start <= k < here.columns[s].stop for s in some)
                    ]
                ] = 0.0
            u[: here.dof] += kick
        elif lot < 0.85:
            for k in rng.choice(free, min(len(free), 1 + int(rng.random() < 0.3)), replace=False):
                columns = here.columns[k]
                u[columns] = rng.uniform(0.0, here.periods[columns])
        else:
            pairs = [
                (i, j) for i in free for j in free
                if i < j and here.where[i][0] != here.where[j][0] and here.where[i][1] == here.where[j][1]
            ]  # fmt: skip
            if pairs:
                i, j = (here.columns[k] for k in pairs[int(rng.integers(len(pairs)))])
                u[i], u[j] = u[j].copy(), u[i].copy()
            else:
                u[: here.dof] += rng.normal(0.0, 0.5, here.dof)
        return chain.candidate, u

    def _transplanted(self, chain: Chain, other: Candidate) -> np.ndarray:
        """Random coordinates, but those of sites that both assignments have."""
        u, here = self._random(other), self.pool[chain.candidate]
        known = defaultdict(list)
        for where, columns in zip(here.where, here.columns, strict=True):
            known[where].append(columns)
        for where, columns in zip(other.where, other.columns, strict=True):
            if known[where]:
                u[columns] = chain.u[known[where].pop()]
        u[-1] = chain.u[-1]
        return u

    def _random(self, candidate: Candidate) -> np.ndarray:
        return np.append(self._rng.uniform(0.0, candidate.periods), 0.0)

    @staticmethod
    def _keys(assignment: Assignment) -> list[tuple]:
        """For each element what two assignments have in common that differ in it alone."""
        return [(e, assignment[:e], assignment[e + 1 :]) for e in range(len(assignment))]

    def _candidates(self, assignments: list[Assignment]) -> list[Candidate]:
        """Assignments made ready, with room for as many atoms and sites as any until now had: one program for all."""
        made = [self.problem.model(assignment) for assignment in assignments]
        self._atoms = bucket(max(self._atoms, *(len(model.offset) for model, _, _ in made), 1), ATOMS)
        self._sites = bucket(max(self._sites, *(sites for _, _, sites in made), 1), SITES)
        found = []
        for assignment, (model, dof, _) in zip(assignments, made, strict=True):
            where = tuple((e, k) for e, numbers in enumerate(assignment) for k in numbers)
            ends = np.cumsum([0, *(self.problem.positions[k].dof for _, k in where)])
            columns = tuple(slice(int(a), int(b)) for a, b in pairwise(ends))
            room = padded(model, self._atoms, self._sites, bucket(dof, NUMBERS))
            found.append(Candidate(assignment, room, dof, self.problem.periods(assignment), columns, where))
        return found

    def _minimised(self, chosen: list[int], starts: list[np.ndarray]) -> list[Chain]:
        """Minimise from starts of these assignments, those of a size together; remember the best of each."""
        found = minimised(self.problem, self._device, [self.pool[k] for k in chosen], starts, BUMP, _STEPS)
        chains = [Chain(k, *one) for k, one in zip(chosen, found, strict=True)]
        self.hops += len(chains)
        for chain in chains:
            if chain.candidate not in self.best or chain.cost < self.best[chain.candidate].cost:
                self.best[chain.candidate] = chain
        return chains


def minimised(
    problem: Problem, device, candidates: list[Candidate], starts: list[np.ndarray], bump: float, steps: int
) -> list[tuple[np.ndarray, float, float]]:
    """Numbers, root of the cost and R of each start after so many steps."""
    found: list = [None] * len(starts)
    families: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for k, candidate in enumerate(candidates):
        families[candidate.shape].append(k)
    for shape, members in families.items():
        for first in range(0, len(members), _BATCH):
            batch = members[first : first + _BATCH]
            rows = np.resize(batch, _BATCH)
            models = Model(*(np.stack(arrays) for arrays in zip(*(candidates[k].model for k in rows), strict=True)))
            u = np.zeros((_BATCH, shape[2] + 1), dtype=np.float32)
            for row, k in enumerate(rows):
                u[row, : candidates[k].dof], u[row, -1] = starts[k][:-1], starts[k][-1]
            made = improved(device, models, u, np.float32(bump), np.int32(steps), problem.centric)
            u, costs, agreements = map(np.asarray, made)
            for row, k in enumerate(batch):
                dof = candidates[k].dof
                numbers = np.append(u[row, :dof], u[row, -1]).astype(float)
                found[k] = numbers, float(costs[row]), float(agreements[row])
    return found
