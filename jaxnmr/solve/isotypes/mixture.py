"""Densities of proposals: superposed valence atoms, their mean in one pose, and samples with displaced atoms (host)."""

import numpy as np
from jaxtyping import Float

from ...crystal import Crystal, SpaceGroup
from ...density import Density, Pose, compare, poses_of, superposed
from ...errors import JaxnmrError, ParameterError
from .proposals import Proposal, Proposals

# smallest weight of a proposal in a mean
_LEAST = 0.02


class Mixture:
    """Prior of a density: weighted proposals, each with a normal distribution of its free coordinates.

    All are superposed on the first, by the shift and signed axis permutation of largest correlation, which a powder
    does not determine.

    Attributes:
        shape: points along a, b and c; equal, so that axes can be exchanged.
        weights: weights of the components, without those of small weight.
    """

    def __init__(self, proposals: Proposals, points: int = 50) -> None:
        """Superpose the proposals.

        Args:
            proposals: result of :func:`~jaxnmr.solve.isotypes.proposals.propose`.
            points: number of points along every axis of the cell, at least 7.

        Raises:
            ParameterError: there are too few points to superpose densities.
            ConventionError: an element has no valence atom.
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
            # proposals of one type have a common origin
            if self._densities and proposal.type is not self._kept[0].type:
                poses = different_poses(self._kept[0].crystal.group, proposal.crystal.group)
                pose = compare(self._densities[0], density, poses=poses, shifts=True, most=1).psnr_pose
            self._poses.append(pose)
            self._densities.append(pose.apply(density))
        self.cell = np.asarray(self._kept[0].crystal.cell, dtype=float)

    def __len__(self) -> int:
        return len(self._kept)

    def mean(self) -> Density:
        """Return the weighted mean."""
        return Density(values=np.einsum("k,kxyz->xyz", self.weights, np.stack(self._densities)), cell=self.cell)

    def draw(self, count: int, seed: int = 0) -> Float[np.ndarray, "count n n n"]:
        """Draw samples on the grid: proposals by weight, with coordinates drawn from their uncertainty."""
        rng = np.random.default_rng(seed)
        found = []
        for k in rng.choice(len(self), size=count, p=self.weights):
            proposal = self._kept[k]
            moved = moved_by(proposal, rng)
            found.append(self._poses[k].apply(self._values(moved)))
        return np.stack(found)

    def covariance(self, points: Float[np.ndarray, "m 3"], count: int = 200, seed: int = 0) -> Float[np.ndarray, "m m"]:
        """Estimate the covariance of the density at points (fractional, rounded to the grid), e²/Å⁶, from samples."""
        where = np.round(np.asarray(points, dtype=float) * self.shape).astype(int) % self.shape
        samples = np.array([values[tuple(where.T)] for values in self.draw(count, seed)])
        return np.cov(samples.T).reshape(len(where), len(where))

    def _values(self, crystal: Crystal) -> np.ndarray:
        return np.asarray(superposed(crystal, self.shape, at_rest=True).values)


def different_poses(one: SpaceGroup, other: SpaceGroup | None = None) -> tuple[Pose, ...]:
    """Return one of each set of the 48 signed axis permutations that are equivalent by rotations of two groups.

    Superposed on a density of the first group, those of a set differ only by a shift.

    Args:
        one: group of the density that stays.
        other: group of the density that is moved; P1 by default.
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
    """Draw free coordinates of a proposal from their uncertainty; return it unchanged if the result is not valid."""
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
