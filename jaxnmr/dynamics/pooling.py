"""From the atoms of a moving supercell back to the sites of the crystal it repeats (host).

Tensors of an atom are turned back by the operation that makes it from its site, and by the rotation of the whole that the
choice of axes (the first lattice vector along x, the second in the xy plane) brings with a sheared cell. Only then are images
averaged.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..crystal import Crystal, cell_from_metric
from .supercells import Supercell

_ROUNDING = 1e-10


def rotation_of(vectors: Float[np.ndarray, "3 3"], reference: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """The rotation in the deformation from one lattice to another: rows of ``reference`` are stretched, then turned by it."""
    left, _, right = np.linalg.svd(np.linalg.solve(reference, vectors))
    return left @ right


def pooled_tensors(
    cell: Supercell, vectors: Float[np.ndarray, "3 3"], tensors: Float[np.ndarray, "atoms 3 3"]
) -> Float[np.ndarray, "sites 3 3"]:
    """Mean over the images of every site, in the frame of the parent's lattice."""
    back = rotation_of(vectors, cell.vectors)
    # a tensor of the crystal as it was is turned to that of the atom by the operation, then by the rotation of the whole
    turns = back.T @ cell.turn
    own = np.einsum("nji,njk,nkl->nil", turns, tensors, turns)
    return mean_of_images(cell, own)


def mean_of_images(cell: Supercell, values: np.ndarray) -> np.ndarray:
    """Mean over the images of every site, of what does not turn."""
    count = np.bincount(cell.site)
    total = np.zeros((len(count), *values.shape[1:]))
    np.add.at(total, cell.site, values)
    return total / count.reshape(-1, *[1] * (values.ndim - 1))


class MeanStructure:
    """Mean positions and displacements of the sites, gathered frame by frame, in contiguous blocks for their errors.

    Args:
        cell: the supercell.
        frames: how many there will be.
        blocks: in how many parts of the trajectory sums are kept.
    """

    def __init__(self, cell: Supercell, frames: int = 1, blocks: int = 1):
        self.cell = cell
        self.start = np.asarray(cell.crystal.xyz, dtype=float)
        blocks = max(1, min(blocks, frames))
        self.block = np.repeat(np.arange(blocks), [len(part) for part in np.array_split(np.arange(frames), blocks)])
        self.counts = np.zeros(blocks, dtype=int)
        self.sum = np.zeros((blocks, *self.start.shape))
        self.squares = np.zeros((blocks, len(self.start), 3, 3))
        self.lattice = np.zeros((blocks, 3, 3))

    @property
    def frames(self) -> int:
        """How many were gathered."""
        return int(self.counts.sum())

    def add(self, positions: Float[np.ndarray, "atoms 3"], vectors: Float[np.ndarray, "3 3"]) -> None:
        """One more frame."""
        moved = np.linalg.solve(vectors.T, positions.T).T - self.start
        moved = moved - moved.mean(axis=0)
        k = self.block[min(self.frames, len(self.block) - 1)]
        self.sum[k] += moved
        self.squares[k] += moved[:, :, None] * moved[:, None, :]
        self.lattice[k] += vectors
        self.counts[k] += 1

    def state(self) -> dict[str, np.ndarray]:
        """What :meth:`restore` needs."""
        return {"frames": self.counts, "sum": self.sum, "squares": self.squares, "lattice": self.lattice}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what was gathered before."""
        # courses of one block have no axis for it
        several = np.ndim(state["frames"]) > 0
        for name, of in (
            ("frames", self.counts),
            ("sum", self.sum),
            ("squares", self.squares),
            ("lattice", self.lattice),
        ):
            values = np.asarray(state[name]) if several else np.asarray(state[name])[None]
            of[: len(values)] = values

    def crystal(self) -> Crystal:
        """The parent with the mean cell and mean positions, and isotropic mean-square displacements from them, Å².

        Both are averages over what its space group makes equal.
        """
        parent = self.cell.parent
        lengths, xyz, u = self._means(np.ones(len(self.counts)))
        return parent.replace(
            cell=lengths,
            xyz=xyz,
            u_iso=u,
            u_aniso=np.zeros_like(np.asarray(parent.u_aniso, dtype=float)),
            anisotropic=(False,) * parent.n_sites,
        )

    def errors(self) -> dict[str, np.ndarray]:
        """Standard errors of ``cell``, ``xyz`` and ``u_iso`` of :meth:`crystal`, by leaving out one block after another; NaN of one block."""
        there = np.flatnonzero(self.counts)
        names = ("cell", "xyz", "u_iso")
        if len(there) < 2:
            return {
                name: np.full(np.shape(x), np.nan) for name, x in zip(names, self._means(self.counts > 0), strict=True)
            }
        others = [self._means((self.counts > 0) & (np.arange(len(self.counts)) != k)) for k in there]
        found = {}
        for name, values in zip(names, zip(*others, strict=True), strict=True):
            stack = np.array(values)
            error = np.sqrt((len(there) - 1) / len(there) * ((stack - stack.mean(axis=0)) ** 2).sum(axis=0))
            # what symmetry holds is there but for rounding
            found[name] = np.where(error > _ROUNDING, error, 0.0)
        return found

    def _means(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cell, positions and displacements of the blocks that count."""
        cell, parent = self.cell, self.cell.parent
        frames = float(weights @ self.counts)
        mean, squares, vectors = (
            np.tensordot(weights, of, 1) / frames for of in (self.sum, self.squares, self.lattice)
        )
        supercell_metric = vectors @ vectors.T
        repeats = np.asarray(cell.repeats, dtype=float)
        g = supercell_metric / repeats[:, None] / repeats
        rotations = np.asarray(parent.group.rotations, dtype=float)
        g = np.einsum("nki,kl,nlj->ij", rotations, g, rotations) / len(rotations)
        axes = np.asarray(parent.lattice(), dtype=float)
        # displacements in the cell of the parent, then those of the sites
        shifts = (mean * repeats) @ axes
        back = np.einsum("nji,nj->ni", cell.turn, shifts)
        moved = np.linalg.solve(axes.T, mean_of_images(cell, back).T).T
        spread = squares - mean[:, :, None] * mean[:, None, :]
        u = np.einsum("nij,ij->n", spread, supercell_metric) / 3.0
        held = np.stack([site.stabiliser.astype(float).mean(axis=0) for site in parent.sites()])
        xyz = np.asarray(parent.xyz, dtype=float) + np.einsum("sij,sj->si", held, moved)
        return np.asarray(cell_from_metric(g), dtype=float), xyz, mean_of_images(cell, u)


def cell_lengths(cell: Supercell, vectors: Float[np.ndarray, "... 3 3"]) -> Float[np.ndarray, "... 6"]:
    """a, b, c in Å and angles in degrees of the parent's cell, for lattice vectors of the supercell."""
    scaled = np.asarray(vectors) / np.asarray(cell.repeats, dtype=float)[:, None]
    flat = scaled.reshape(-1, 3, 3)
    return np.array([cell_from_metric(v @ v.T) for v in flat]).reshape(*scaled.shape[:-2], 6)
