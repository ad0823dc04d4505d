"""Results of a structure solution: ranked structures, and whether the best one is credible."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

from ..._tables import plain
from ...crystal import Crystal
from ..checks.preferred_orientation import Texture
from .contents import Contents

# R of square roots of areas: correct structures had 0.01 to 0.13, the best wrong ones of failed searches 0.2 to 0.37
SOLVED_R = 0.15
# minimum ratio of the R of a wrong structure with no more coordinates; the second applies for R above 0.1
CLEAR_GAP, WIDE_GAP, DOUBTFUL_R = 1.25, 1.5, 0.10
LEAST_PER_NUMBER = 1.5
# fewer areas cannot discriminate structures, even without free coordinates: they also determine scale and displacement
FEWEST_AREAS = 4
# standard uncertainty of positions, in (V/N)^(1/3), above which a structure is only likely: half of the tolerance for
# equivalence
IMPRECISE = 0.025
# Å, largest overlap of atoms in an acceptable structure
MOST_OVERLAP = 0.5

Doubt = Literal["", "fit", "few areas", "overlap", "rival", "undetermined", "stopped"]


@dataclass(frozen=True)
class Solution:
    """One structure of a solution.

    Attributes:
        crystal: the structure, with the refined common displacement.
        r_factor: R of the square roots of areas, ``|√I_obs − √I_calc| / |√I_obs|``.
        dof: number of free coordinates.
        contents: atoms of each element in the cell, without hydrogen.
        assignment: positions of the elements, as multiplicities with the first point.
        overlap: largest overlap of atoms in Å, relative to the minimum distances of the search.
        precision: root mean square standard uncertainty in Å of the positions, from the areas; of the first structure
            only.
        undetermined: directions that the areas do not determine, in words; of the first structure only.
        verdict: reason for its rank.
    """

    crystal: Crystal
    r_factor: float
    dof: int
    contents: dict[str, int]
    assignment: str
    overlap: float
    precision: float
    undetermined: tuple[str, ...]
    verdict: str


@dataclass(frozen=True)
class Solutions:
    """Structures that fit integrated intensities, the best first, without equivalent ones.

    Attributes:
        solutions: structures ranked by R with a penalty per coordinate.
        solved: whether the first one fits, all others with as few coordinates are clearly worse, and the areas
            determine it.
        reason: reason for ``solved``, in words; ``doubt`` in one word: ``""`` if solved, ``"fit"``, ``"few areas"``,
            ``"overlap"``, ``"rival"``, ``"undetermined"`` or ``"stopped"``.
        possible: alternative contents searched, with their prior probabilities.
        indistinguishable: pairs of elements that X-rays hardly distinguish, so that they may be interchanged.
        tried: number of Wyckoff assignments tried; ``total`` the number of all, ``None`` if not enumerated completely.
        history: lowest R after each turn of the search; ``hops`` number of minimisations.
        seconds: CPU time.
        interrupted: whether the user stopped the search.
        notes: remarks that a reader must know.
        texture: preferred orientation included in the R factors, if detected.
    """

    solutions: tuple[Solution, ...]
    solved: bool
    reason: str
    possible: tuple[Contents, ...]
    indistinguishable: tuple[tuple[str, str], ...]
    tried: int
    total: int | None
    history: Float[np.ndarray, " turns"]
    hops: int
    seconds: float
    interrupted: bool = False
    notes: tuple[str, ...] = field(default=())
    texture: Texture | None = None
    doubt: Doubt = ""

    @property
    def best(self) -> Solution:
        """The best solution."""
        return self.solutions[0]

    @property
    def contents(self) -> dict[str, int]:
        """Atoms of each element in the cell of the best solution, without hydrogen."""
        return self.best.contents

    def __len__(self) -> int:
        return len(self.solutions)

    def __str__(self) -> str:
        rows = [
            [str(k), f"{s.r_factor:.3f}", str(s.dof), f"{s.overlap:.2f}", s.assignment, s.verdict]
            for k, s in enumerate(self.solutions, start=1)
        ]
        head = f"{'solved' if self.solved else 'NOT solved'}: {self.reason}"
        return "\n".join([head, plain(("", "R", "dof", "overlap", "positions", ""), rows), *self.notes])


def judged(
    ranked: list[tuple[float, int, float]], count: int, precision: float, undetermined: bool, interrupted: bool
) -> tuple[Doubt, str]:
    """Return the objection to the best of ranked structures, empty if it is credible, and the reason.

    Args:
        ranked: R, free coordinates and overlap in Å of different structures.
        count: number of areas compared.
        precision: uncertainty of the positions of the best, in (V/N)^(1/3).
        undetermined: whether the best has directions that the areas leave open.
        interrupted: whether the search was stopped.
    """
    r, dof, overlap = ranked[0]
    if r > SOLVED_R:
        return "fit", f"R is {r:.3f}: right structures have less than {SOLVED_R}, those of failed searches 0.2 to 0.4"
    if count < areas_needed(dof):
        return (
            "few areas",
            f"{count} areas for {dof} coordinates are too few to tell a right structure from a wrong one",
        )
    if overlap > MOST_OVERLAP:
        return "overlap", f"atoms of the best structure come {overlap:.2f} Å too close to each other"
    gap = gap_of(r)
    rivals = [
        k
        for k, (other, n, close) in enumerate(ranked[1:], start=2)
        if n <= dof and other < gap * r and close <= MOST_OVERLAP
    ]
    if rivals:
        return (
            "rival",
            f"structure {rivals[0]} is another one with as few coordinates and fits nearly as well: the data do not tell which is right",
        )
    if precision > IMPRECISE:
        return "undetermined", f"the areas determine positions to {precision:.3f} (V/N)^(1/3) only"
    if undetermined:
        return "undetermined", "the areas leave some coordinates of the best structure open"
    if interrupted and r > 0.1:
        return "stopped", "stopped before other positions were tried"
    return "", f"R is {r:.3f} with {count / max(dof, 1):.1f} areas per coordinate, and no other structure comes near"


def gap_of(r: float) -> float:
    """Return the minimum ratio between R of another structure with no more coordinates and R of the best."""
    return CLEAR_GAP if r <= DOUBTFUL_R else WIDE_GAP


def areas_needed(dof: int) -> float:
    """Return the number of areas below which other structures of as many coordinates would fit, too."""
    return max(LEAST_PER_NUMBER * dof, FEWEST_AREAS)
