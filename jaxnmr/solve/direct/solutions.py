"""What a structure solution found: ranked structures, and whether the best one may be believed."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

from ..._tables import plain
from ...crystal import Crystal
from ..checks.preferred_orientation import Texture
from .contents import Contents

# R of square roots of areas: structures that were right had 0.01 to 0.13, the best wrong ones of failed searches 0.2 to 0.37
SOLVED_R = 0.15
# a wrong structure of no more coordinates may not come this close to the best, the second where R is above 0.1
CLEAR_GAP, WIDE_GAP, DOUBTFUL_R = 1.25, 1.5, 0.10
LEAST_PER_NUMBER = 1.5
# fewer areas tell no structure from another, even without a free coordinate: scale and displacement follow from them, too
FEWEST_AREAS = 4
# (V/N)^(1/3), standard uncertainty of positions beyond which a structure is no more than likely: half of what structures may differ by
IMPRECISE = 0.025
# Å, atoms that come closer than they should by more than this are no structure
MOST_OVERLAP = 0.5

Doubt = Literal["", "fit", "few areas", "overlap", "rival", "undetermined", "stopped"]


@dataclass(frozen=True)
class Solution:
    """One structure.

    Attributes:
        crystal: the structure, with the common displacement that was found.
        r_factor: R of the square roots of areas, ``|√I_obs − √I_calc| / |√I_obs|``.
        dof: free coordinates.
        contents: atoms of each element in the cell, without hydrogen.
        assignment: positions of the elements, multiplicities with the first point.
        overlap: Å by which atoms come closer than the search wants, at worst.
        precision: Å, root mean square standard uncertainty of the positions that the areas allow; of the first structure only.
        undetermined: directions that the areas do not determine, in words; of the first structure only.
        verdict: why it is in its place.
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
    """Structures that fit integrated intensities, the best first; of equivalent ones only one.

    Attributes:
        solutions: ranked by R with a price for every coordinate.
        solved: the first one fits, all others with as few coordinates are clearly worse, and the areas determine it.
        reason: of ``solved``, in words; ``doubt`` in one: ``""`` where it is solved, ``"fit"``, ``"few areas"``, ``"overlap"``, ``"rival"``,
            ``"undetermined"`` or ``"stopped"``.
        possible: contents that were looked for, with their probabilities beforehand.
        indistinguishable: pairs of elements that X-rays hardly tell apart: which is where is not decided.
        tried: Wyckoff assignments; ``total`` how many there are, ``None`` where they were not listed to the end.
        history: lowest R after each turn of the search; ``hops`` minimisations.
        seconds: processor time.
        interrupted: somebody stopped it.
        notes: what a reader must know.
        texture: preferred orientation that the R factors hold, where areas show one.
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
        """The first."""
        return self.solutions[0]

    @property
    def contents(self) -> dict[str, int]:
        """Atoms of each element in the cell of the first, without hydrogen."""
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
    """What speaks against the best of ranked structures, nothing where it may be believed, and why.

    Args:
        ranked: R, free coordinates and overlap in Å of different structures.
        count: areas compared.
        precision: of the positions of the best, in (V/N)^(1/3).
        undetermined: whether the best has directions that the areas leave open.
        interrupted: the search was stopped.
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
    """How many times the R of the best structure another one of no more coordinates must have at least."""
    return CLEAR_GAP if r <= DOUBTFUL_R else WIDE_GAP


def areas_needed(dof: int) -> float:
    """Areas below which a structure of so many coordinates is met by others, too."""
    return max(LEAST_PER_NUMBER * dof, FEWEST_AREAS)
