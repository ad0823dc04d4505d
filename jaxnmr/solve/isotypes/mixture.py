"""Densities of proposals: each as superposed valence atoms, their mean in one pose, and samples with moved atoms (host)."""

import numpy as np
from jaxtyping import Float

from ...crystal import Crystal, SpaceGroup
from ...density import Density, Pose, compare, poses_of, superposed
from ...errors import JaxnmrError, ParameterError
from .proposals import Proposal, Proposals

# proposals of less weight are left out of a mean
_LEAST = 0.02


class Mixture:
    """A prior of the density: proposals with their weights, each with a normal distribution of its free coordinates.

    All are laid over the first, by the shift and the signed permutation of axes of the largest correlation, as a powder tells neither.

    Attributes:
        shape: points along a, b and c; equal, so that axes can be exchanged.
        weights: of the components, those of small weight left out.
    """

    def __init__(self, proposals: Proposals, points: int = 50) -> None:
        """Lay the proposals over each other.

        Args:
            proposals: of :func:`~jaxnmr.solve.isotypes.proposals.propose`.
            points: along every axis of the cell, 7 or more.

        Raises:
            ParameterError: too few points to lay densities over each other.
            ConventionError: an element without a valence atom.
        """
        if points < 7:
            raise ParameterError(f"points is {points}; expected 7 or more along every axis")
        self.shape = (points,) * 3
        self._kept = [p for k, p in enumerate(proposals) if k == 0 or p.weight >= _LEAST]
        total = sum(p.weight for p in self._kept)
        self.weights = np.array([p.weight / total for p in self._kept])
        self._densities: list[np.ndarray] = []
        self._poses: list[Pose] = []
        for proposal in self._kept:
            density = self._values(proposal.crystal)
            pose = Pose()
            # of one type all have one origin
            if self._densities and proposal.type is not self._kept[0].type:
                poses = different_poses(self._kept[0].crystal.group, proposal.crystal.group)
                pose = compare(self._densities[0], density, poses=poses, shifts=True, most=1).psnr_pose
            self._poses.append(pose)
            self._densities.append(pose.apply(density))
        self.cell = np.asarray(self._kept[0].crystal.cell, dtype=float)

    def __len__(self) -> int:
        return len(self._kept)

    def mean(self) -> Density:
        """The weighted mean."""
        return Density(values=np.einsum("k,kxyz->xyz", self.weights, np.stack(self._densities)), cell=self.cell)

    def draw(self, count: int, seed: int = 0) -> Float[np.ndarray, "count n n n"]:
        """Samples on the grid: a proposal by its weight, its atoms moved as the areas leave them."""
        rng = np.random.default_rng(seed)
        found = []
        for k in rng.choice(len(self), size=count, p=self.weights):
            proposal = self._kept[k]
            moved = moved_by(proposal, rng)
            found.append(self._poses[k].apply(self._values(moved)))
        return np.stack(found)

    def covariance(self, points: Float[np.ndarray, "m 3"], count: int = 200, seed: int = 0) -> Float[np.ndarray, "m m"]:
        """Covariance of the density at a few points of the grid (fractional, rounded to it), e²/Å⁶, of samples."""
        where = np.round(np.asarray(points, dtype=float) * self.shape).astype(int) % self.shape
        samples = np.array([values[tuple(where.T)] for values in self.draw(count, seed)])
        return np.cov(samples.T).reshape(len(where), len(where))

    def _values(self, crystal: Crystal) -> np.ndarray:
        return np.asarray(superposed(crystal, self.shape, at_rest=True).values)


def different_poses(one: SpaceGroup, other: SpaceGroup | None = None) -> tuple[Pose, ...]:
    """Of the 48 signed permutations of axes one of each set that the rotations of two groups make of one another.

    Laid over a density of the first group, those of a set differ by a shift only.

    Args:
        one: group of the density that stays.
        other: of the one that is moved; P1 when not given.
    """
    mine = np.unique(one.rotations, axis=0)
    theirs = np.eye(3, dtype=int)[None] if other is None else np.unique(other.rotations, axis=0)
    seen: set[bytes] = set()
    kept = []
    for pose in poses_of("all"):
        matrix = np.zeros((3, 3), dtype=int)
        matrix[np.arange(3), list(pose.axes)] = pose.signs
        if matrix.tobytes() not in seen:
            kept.append(pose)
            alike = np.einsum("aij,jk,bkl->abil", mine, matrix, theirs).astype(int)
            seen |= {found.tobytes() for found in alike.reshape(-1, 3, 3)}
    return tuple(kept)


def moved_by(proposal: Proposal, rng: np.random.Generator) -> Crystal:
    """The crystal of a proposal with free coordinates drawn from what its areas leave them; as it is where they come upon something."""
    one, fit = proposal.type, proposal.fit
    if not one.dof or not np.any(fit.covariance):
        return proposal.crystal
    moves = rng.multivariate_normal(fit.moves, fit.covariance, method="eigh")
    u_iso = float(np.asarray(proposal.crystal.u_iso)[0])
    try:
        cell = np.asarray(proposal.crystal.cell, dtype=float)
        return one.decorated(proposal.crystal.elements, cell, one.xyz + one.basis @ moves, u_iso)
    except JaxnmrError:
        return proposal.crystal
