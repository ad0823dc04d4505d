"""Basin hopping over coordinates and Wyckoff assignments at once (host; minimisations run in batches on the device).

A population of chains hops: atoms are displaced, a site is relocated, two elements are exchanged, or the current
coordinates are transferred to an assignment that differs in one element; then all are minimised together. Slightly
worse results are accepted. Every few hops the worst chains are replaced by copies of the best, and when nothing
improves further assignments join.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from math import log

import jax
import numpy as np
from jaxtyping import Float

from ...errors import SymmetryError
from ..records import Intensities
from .candidates import Candidate, Chain, Workshop, minimised
from .moves import Moves
from .problem import Assignment, Problem, make_problem

# assignments of the first round; each further round adds twice as many
_FIRST = 8
# chains in a population, steps of a minimisation
_POPULATION = 96
_STEPS = 18
# R that an overlap of all atoms by 1 Å costs
BUMP = 0.3
# turns without improvement: after the first number further assignments join. A structure that fits within the
# uncertainties of the areas then ends the search, one with an R below `GOOD_R` after the second number, one with a
# higher R never
_CALM, _LONG_CALM = 6, 24
GOOD_R = 0.10
# relative to the R that uncertainties explain
_AS_GOOD = 1.25
# other minima within this factor of the best mean that it may not be the lowest yet
_CROWD = 1.25


@dataclass
class Search:
    """State of a search; `run` continues it.

    Attributes:
        problem, assignments: what is searched.
        seed: random seed.
        workshop: preparation of assignments; shared by searches that should share compiled programs.
        contents: atoms in the conventional cell, for incomplete assignments.
        chains: the population, the best first after every turn.
        best: best chain of each assignment in the pool.
        history: lowest R after each turn; ``hops`` number of minimisations.
        exhausted: whether all assignments are in the pool.
        interrupted: whether the user stopped it.
    """

    problem: Problem
    assignments: Iterable[Assignment]
    seed: int = 0
    workshop: Workshop | None = None
    contents: Float[np.ndarray, " elements"] | None = None
    chains: list[Chain] = field(default_factory=list)
    best: dict[int, Chain] = field(default_factory=dict)
    history: list[float] = field(default_factory=list)
    hops: int = 0
    exhausted: bool = False
    interrupted: bool = False

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._moves = Moves(self.problem, self._rng)
        self.workshop = self.workshop or Workshop(self.problem)
        self._source: Iterator[Assignment] = iter(self.assignments)
        self._device = jax.device_put(self.problem.measured)

    @property
    def pool(self) -> list[Candidate]:
        """Assignments tried so far."""
        return self._moves.pool

    def run(self, seconds: float, most: int, tell: Callable[["Search", float], None] | None = None) -> bool:
        """Search until a good structure has not improved for a while, or the time is up.

        Args:
            seconds: CPU time in seconds.
            most: largest number of assignments to try.
            tell: callback after every turn with this search and the seconds left; an interruption ends the search.

        Returns:
            Whether it ended before its time was up.
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
                    return True
                if self.exhausted and all(c.dof == 0 for c in self.pool):
                    return True
                # give more time to structures with many coordinates
                since += 1
                if not fits and calm > 0 and since >= max(_CALM, self.pool[leader.candidate].dof):
                    share, since = min(2 * share, 256), 0
                    self._widen(share, most)
        except KeyboardInterrupt:
            self.interrupted = True
            if not self.chains:
                raise
        return self.interrupted

    def compare_with(self, intensities: Intensities) -> None:
        """Compare structures with other intensities of the same reflections from now on."""
        self.problem = make_problem(intensities, self.problem.positions, self.problem.elements)
        self._device = jax.device_put(self.problem.measured)

    def _stands_out(self, leader: Chain) -> bool:
        """Return whether no other minimum comes close, given many areas per coordinate or many assignments tried."""
        dof, lowest = self.pool[leader.candidate].dof, self.badness(leader)
        many = self.problem.count >= 6 * dof or self.exhausted or len(self.pool) >= 7 * _FIRST
        return many and not any(
            1.005 * lowest < self.badness(chain) < _CROWD * lowest and self.pool[chain.candidate].dof <= dof
            for chain in self.chains
        )

    def badness(self, chain: Chain) -> float:
        """Return the cost with a penalty per coordinate: that of the Bayesian information criterion, at least 1 %."""
        n = self.problem.count
        return chain.cost * float(np.exp(self.pool[chain.candidate].dof * max(0.01, log(n) / (2.0 * n))))

    def ranked(self) -> list[Chain]:
        """Return the best chain of each assignment, the best first."""
        return sorted(self.best.values(), key=self.badness)

    def _widen(self, share: int, most: int) -> None:
        """Add the next assignments with random coordinates; if none are left, draw new coordinates for the old ones."""
        room = min(share, most - len(self.pool))
        fresh = list(islice(self._source, room)) if room > 0 else []
        self.exhausted = self.exhausted or len(fresh) < room
        if fresh:
            new = self._moves.add(self._ready(fresh))
        else:
            new = [chain.candidate for chain in self.ranked()][: max(share, 1)]
        if not new:
            raise SymmetryError(
                f"{self.problem.intensities.group.name} has room for each of {', '.join(self.problem.elements)}, but not for all together: give "
                "other contents, or a group of lower symmetry"
            )
        times = max(4, -(-2 * _POPULATION // len(new)))
        chosen = [k for k in new for _ in range(times)]
        # every other start keeps the known coordinates of the other elements
        starts = [
            self._moves.guided(k, self.best) if n % 2 else self._moves.anywhere(self.pool[k])
            for n, k in enumerate(chosen)
        ]
        found = self._minimised(chosen, starts)
        self._settle([*self.chains[: _POPULATION // 3], *found])

    def _ready(self, assignments: list[Assignment]) -> list[Candidate]:
        assert self.workshop is not None
        return self.workshop.ready(assignments, self.contents)

    def take(self, structures: list[tuple[Assignment, Float[np.ndarray, " dof1"]]]) -> None:
        """Add structures found by other means."""
        known = {candidate.assignment: k for k, candidate in enumerate(self.pool)}
        fresh = [a for a in dict.fromkeys(a for a, _ in structures) if a not in known]
        known |= dict(zip(fresh, self._moves.add(self._ready(fresh)) if fresh else (), strict=True))
        found = self._minimised([known[a] for a, _ in structures], [u for _, u in structures])
        self._settle([*self.chains, *found])

    def _settle(self, chains: list[Chain]) -> None:
        """Keep the best: a quarter from the leading assignment, half as many from each next one, at least three."""
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
        moved = [self._moves.hop(chain) for chain in self.chains]
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

    def _minimised(self, chosen: list[int], starts: list[np.ndarray]) -> list[Chain]:
        """Minimise starts of these assignments, batched by size; remember the best of each."""
        found = minimised(self.problem, self._device, [self.pool[k] for k in chosen], starts, BUMP, _STEPS)
        chains = [Chain(k, *one) for k, one in zip(chosen, found, strict=True)]
        self.hops += len(chains)
        for chain in chains:
            if chain.candidate not in self.best or chain.cost < self.best[chain.candidate].cost:
                self.best[chain.candidate] = chain
        return chains
