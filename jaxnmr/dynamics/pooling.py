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
    """Mean positions and displacements of the sites, gathered frame by frame.

    Args:
        cell: the supercell.
    """

    def __init__(self, cell: Supercell):
        self.cell = cell
        self.start = np.asarray(cell.crystal.xyz, dtype=float)
        self.frames = 0
        self.sum = np.zeros_like(self.start)
        self.squares = np.zeros((len(self.start), 3, 3))
        self.lattice = np.zeros((3, 3))

    def add(self, positions: Float[np.ndarray, "atoms 3"], vectors: Float[np.ndarray, "3 3"]) -> None:
        """One more frame."""
        moved = np.linalg.solve(vectors.T, positions.T).T - self.start
        moved = moved - moved.mean(axis=0)
        self.frames += 1
        self.sum += moved
        self.squares += moved[:, :, None] * moved[:, None, :]
        self.lattice += vectors

    def state(self) -> dict[str, np.ndarray]:
        """What :meth:`restore` needs."""
        return {"frames": np.array(self.frames), "sum": self.sum, "squares": self.squares, "lattice": self.lattice}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what was gathered before."""
        self.frames, self.sum = int(state["frames"]), np.array(state["sum"])
        self.squares, self.lattice = np.array(state["squares"]), np.array(state["lattice"])

    def crystal(self) -> Crystal:
        """The parent with the mean cell and mean positions, and isotropic mean-square displacements from them, Å².

        Both are averages over what its space group makes equal.
        """
        cell, parent = self.cell, self.cell.parent
        mean, vectors = self.sum / self.frames, self.lattice / self.frames
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
        spread = self.squares / self.frames - mean[:, :, None] * mean[:, None, :]
        u = np.einsum("nij,ij->n", spread, supercell_metric) / 3.0
        held = np.stack([site.stabiliser.astype(float).mean(axis=0) for site in parent.sites()])
        return parent.replace(
            cell=cell_from_metric(g),
            xyz=np.asarray(parent.xyz, dtype=float) + np.einsum("sij,sj->si", held, moved),
            u_iso=mean_of_images(cell, u),
            u_aniso=np.zeros_like(np.asarray(parent.u_aniso, dtype=float)),
            anisotropic=(False,) * parent.n_sites,
        )


def cell_lengths(cell: Supercell, vectors: Float[np.ndarray, "... 3 3"]) -> Float[np.ndarray, "... 6"]:
    """a, b, c in Å and angles in degrees of the parent's cell, for lattice vectors of the supercell."""
    scaled = np.asarray(vectors) / np.asarray(cell.repeats, dtype=float)[:, None]
    flat = scaled.reshape(-1, 3, 3)
    return np.array([cell_from_metric(v @ v.T) for v in flat]).reshape(*scaled.shape[:-2], 6)
