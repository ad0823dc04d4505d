"""Preparation of Wyckoff assignments for the kernel, and their minimisation in batches (host)."""

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

import jax
import numpy as np
from jaxtyping import Float

from .kernel import Measured, Model, improved
from .problem import ATOMS, NUMBERS, SITES, Assignment, Problem, bucket, padded

# minimisations per call: as many as fit into the cache of a CPU core, or fill an accelerator
_ON_CPU, _ON_ACCELERATOR = 32, 512


@dataclass(frozen=True)
class Candidate:
    """A prepared assignment.

    Attributes:
        assignment: positions of the elements.
        model: its padded arrays.
        dof: number of free coordinates; ``periods`` ``(dof,)`` their periods in Å.
        columns: indices of the coordinates of each site; ``atoms`` those of its atoms in the model; ``where`` its
            element and position.
    """

    assignment: Assignment
    model: Model
    dof: int
    periods: Float[np.ndarray, " dof"]
    columns: tuple[slice, ...]
    atoms: tuple[slice, ...]
    where: tuple[tuple[int, int], ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Padded numbers of atoms, sites and parameters: candidates with the same shape share a program."""
        return len(self.model.offset), len(self.model.first), self.model.matrix.shape[2] - 1


@dataclass
class Chain:
    """A structure: an assignment, its parameters (B/Å² the last), the root of its cost, and R."""

    candidate: int
    u: Float[np.ndarray, " dof1"]
    cost: float
    r: float


class Workshop:
    """Preparation of assignments of a problem, padded to the largest so far, so that all share one program."""

    def __init__(self, problem: Problem):
        self.problem = problem
        self._atoms = self._sites = self._numbers = 1

    def ready(
        self, assignments: list[Assignment], contents: Float[np.ndarray, " elements"] | None = None
    ) -> list[Candidate]:
        """Prepare assignments; ``contents`` of the conventional cell is needed for incomplete ones."""
        made = [self.problem.model(assignment, contents) for assignment in assignments]
        self._atoms = bucket(max(self._atoms, *(len(model.offset) for model, _, _ in made), 1), ATOMS)
        self._sites = bucket(max(self._sites, *(sites for _, _, sites in made), 1), SITES)
        if contents is None:
            self._numbers = max(self._numbers, *(dof for _, dof, _ in made))
        # of incomplete structures, too
        least = 1 if contents is None else self._numbers
        found = []
        for assignment, (model, dof, _) in zip(assignments, made, strict=True):
            where = tuple((e, k) for e, numbers in enumerate(assignment) for k in numbers)
            columns = _parts([self.problem.positions[k].dof for _, k in where])
            atoms = _parts([len(self.problem.positions[k].reduced) for _, k in where])
            room = padded(model, self._atoms, self._sites, bucket(max(dof, least), NUMBERS))
            found.append(Candidate(assignment, room, dof, self.problem.periods(assignment), columns, atoms, where))
        return found


def _parts(sizes: list[int]) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(b)) for a, b in pairwise(np.cumsum([0, *sizes])))


def minimised(
    problem: Problem, device: Measured, candidates: list[Candidate], starts: list[np.ndarray], bump: float, steps: int
) -> list[tuple[np.ndarray, float, float]]:
    """Return parameters, root of the cost and R of each start after minimisation.

    Args:
        problem: problem to be solved; ``device`` its arrays on the device.
        candidates: assignment of each start.
        starts: starting coordinates in Å and displacement.
        bump: R that an overlap of all atoms by 1 Å costs.
        steps: number of steps of each minimisation.
    """
    found: list = [None] * len(starts)
    size = _ON_CPU if jax.default_backend() == "cpu" else _ON_ACCELERATOR
    families: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for k, candidate in enumerate(candidates):
        families[candidate.shape].append(k)
    for shape, members in families.items():
        for first in range(0, len(members), size):
            batch = members[first : first + size]
            rows = np.resize(batch, size)
            models = Model(*(np.stack(arrays) for arrays in zip(*(candidates[k].model for k in rows), strict=True)))
            u = np.zeros((size, shape[2] + 1), dtype=np.float32)
            for row, k in enumerate(rows):
                u[row, : candidates[k].dof], u[row, -1] = starts[k][:-1], starts[k][-1]
            made = improved(device, models, u, np.float32(bump), np.int32(steps), problem.centric)
            u, costs, agreements = map(np.asarray, made)
            for row, k in enumerate(batch):
                dof = candidates[k].dof
                numbers = np.append(u[row, :dof], u[row, -1]).astype(float)
                found[k] = numbers, float(costs[row]), float(agreements[row])
    return found
