"""Free coordinates and strains of a crystal in its space group, as one vector (host)."""

from __future__ import annotations

import numpy as np

from ..crystal import Crystal, cell_basis, cell_from_metric, lattice, plan_expansion, primitive_basis
from ..crystal.cell import metric, metric_derivative
from ..crystal.sites import has_conventional_metric
from ..crystal.symmetry import UIJ
from ..graph import plan_neighbours

# springs as a first guess of the Hessian: eV/Å² at the nearest-neighbour distance, transverse fraction, and lower limit
_STIFF, _ACROSS, _FLOOR = 25.0, 0.2, 0.5
# after D. Packwood et al., J. Chem. Phys. 144, 164109 (2016): decay with relative distance, and cutoff
_DECAY, _REACH = 3.0, 2.0


class FreeSpace:
    """The free directions of a crystal in its space group.

    A vector ``w`` holds displacements along the free directions of sites, then amounts of strain. Strains are
    orthonormal symmetric tensors that the point group leaves invariant; they are exact for steps of any size.

    Args:
        crystal: structure at ``w = 0``.
        cell: whether strains are free.
    """

    def __init__(self, crystal: Crystal, *, cell: bool):
        self.crystal, self.strained = crystal, cell
        self.lattice = np.asarray(lattice(np.asarray(crystal.cell, dtype=float)))
        self.xyz = np.asarray(crystal.xyz, dtype=float)
        sites = crystal.sites()
        self.multiplicity = np.array([site.multiplicity for site in sites])
        # averages over site symmetry project any displacement onto an allowed one
        self.projectors = np.stack([site.stabiliser.astype(float).mean(axis=0) for site in sites])
        basis = crystal.quantities()["xyz"].basis
        self.basis = np.zeros((self.xyz.size, 0)) if basis is None else basis
        self.strains = _strains(crystal, self.lattice)
        self.n_sites = self.basis.shape[1]

    @property
    def size(self) -> int:
        return self.n_sites + (len(self.strains) if self.strained else 0)

    @property
    def atoms(self) -> int:
        """Number of atoms in the conventional cell."""
        return int(self.multiplicity.sum())

    def amounts(self, w: np.ndarray) -> np.ndarray:
        """Return the amount of every strain."""
        return w[self.n_sites :] if self.strained else np.zeros(len(self.strains))

    def coordinates(self, w: np.ndarray) -> np.ndarray:
        """Return fractional coordinates of the sites."""
        return self.xyz + (self.basis @ w[: self.n_sites]).reshape(-1, 3)

    def deformation(self, w: np.ndarray) -> np.ndarray:
        return np.eye(3) + np.tensordot(self.amounts(w), self.strains, 1)

    def volume(self, w: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the volume in Å³, and its derivatives by the amounts of strain."""
        f = self.deformation(w)
        volume = abs(np.linalg.det(self.lattice)) * np.linalg.det(f)
        return volume, volume * np.einsum("kij,ji->k", self.strains, np.linalg.inv(f))

    def at(self, w: np.ndarray) -> Crystal:
        """Return the crystal at ``w``, of the same space group, with cell and sites exactly as it allows."""
        cell = np.asarray(self.crystal.cell, dtype=float)
        if self.strained:
            f = self.lattice @ self.deformation(w)
            moved = cell_from_metric(f @ f.T)
            if has_conventional_metric(self.crystal.group):
                basis = cell_basis(self.crystal.group, cell)
                moved = cell + basis @ np.linalg.lstsq(basis, moved - cell, rcond=None)[0]
            cell = moved
        return self.crystal.replace(cell=cell, xyz=self.coordinates(w))

    def by_amounts(self, w: np.ndarray, by_cell: np.ndarray) -> np.ndarray:
        """Convert derivatives by the six cell parameters to derivatives by amounts of strain."""
        f = self.deformation(w)
        half = np.einsum("ai,kij,jl,bl->kab", self.lattice, self.strains, f, self.lattice)
        # G = L f f Lᵀ
        change = half + np.swapaxes(half, 1, 2)
        metrics = np.stack([change[:, i, j] for i, j in UIJ], axis=1)
        return np.linalg.solve(metric_derivative(np.asarray(self.at(w).cell, dtype=float)), metrics.T).T @ by_cell

    def reduced(self, by_xyz: np.ndarray, by_amounts: np.ndarray) -> np.ndarray:
        """Combine gradients by coordinates and by amounts of strain into one by ``w``."""
        mine = self.basis.T @ by_xyz.ravel()
        return np.concatenate([mine, by_amounts]) if self.strained else mine

    def forces(self, w: np.ndarray, by_xyz: np.ndarray) -> np.ndarray:
        """Return the force on one atom of every site, ``(sites, 3)`` in eV/Å along Cartesian axes."""
        allowed = np.einsum("sji,sj->si", self.projectors, by_xyz)
        vectors = self.lattice @ self.deformation(w)
        return -np.linalg.solve(vectors, allowed.T).T / self.multiplicity[:, None]

    def metric(self) -> np.ndarray:
        """Return the matrix for which ``w metric w`` is the sum of squared displacements of the atoms of a cell, Å²."""
        g = metric(np.asarray(self.crystal.cell, dtype=float))
        blocks = np.zeros((self.xyz.size, self.xyz.size))
        for k, m in enumerate(self.multiplicity):
            blocks[3 * k : 3 * k + 3, 3 * k : 3 * k + 3] = m * g
        n = self.n_sites
        out = np.zeros((self.size, self.size))
        out[:n, :n] = self.basis.T @ blocks @ self.basis
        if self.strained:
            # a strain moves neighbours by about the interatomic distance
            spacing = (abs(np.linalg.det(self.lattice)) / self.atoms) ** (2 / 3)
            out[n:, n:] = self.atoms * spacing * np.eye(len(self.strains))
        return out

    def springs(self) -> np.ndarray:
        """Return a guess of the Hessian, eV: springs between neighbours that soften with distance."""
        expansion = plan_expansion(self.crystal, primitive=True)
        atoms = np.asarray(expansion.atoms)
        rotations, own = (
            self.crystal.group.rotations[atoms[:, 1]].astype(float),
            primitive_basis(self.crystal.group, metric(np.asarray(self.crystal.cell, dtype=float))) @ self.lattice,
        )
        points = np.asarray(expansion.cell_of(self.crystal).fractional) @ self.lattice
        # every atom needs its nearest neighbours, however sparse the crystal
        reach = _REACH * 1.3 * (abs(np.linalg.det(own)) / len(atoms)) ** (1 / 3)
        pairs = plan_neighbours(own, points, max(reach, 3.0), expansion.asymmetric)
        vectors = pairs.vectors(own, points)
        length = np.linalg.norm(vectors, axis=1)
        nearest = np.full(len(atoms), np.inf)
        np.minimum.at(nearest, pairs.receivers, length)
        relative = length / nearest[pairs.receivers]
        near = relative < _REACH
        i, j, vectors, length = pairs.receivers[near], pairs.senders[near], vectors[near], length[near]
        weight = 0.5 * self.multiplicity[atoms[i, 0]] * _STIFF * np.exp(-_DECAY * (relative[near] - 1.0))
        moves = self.basis.reshape(len(self.xyz), 3, self.n_sites)[atoms[:, 0]]
        cartesian = np.einsum("nij,njk,ic->nck", rotations, moves, self.lattice)
        change = cartesian[j] - cartesian[i]
        if self.strained:
            change = np.concatenate([change, np.einsum("pi,kic->pck", vectors, self.strains)], axis=2)
        along = np.einsum("pc,pck->pk", vectors / length[:, None], change)
        stiffness = (1.0 - _ACROSS) * np.einsum("p,pk,pl->kl", weight, along, along)
        stiffness += _ACROSS * np.einsum("p,pck,pcl->kl", weight, change, change)
        return stiffness + _FLOOR * self.metric()


def _strains(crystal: Crystal, vectors: np.ndarray) -> np.ndarray:
    """Return orthonormal symmetric tensors ``(k, 3, 3)`` invariant under the point group, along Cartesian axes."""
    cell = np.asarray(crystal.cell, dtype=float)
    tangent = metric_derivative(cell) @ cell_basis(crystal.group, cell)
    inverse = np.linalg.inv(vectors)
    tensors = []
    for g11, g22, g33, g12, g13, g23 in tangent.T:
        change = np.array([[g11, g12, g13], [g12, g22, g23], [g13, g23, g33]])
        # G -> L (1 + e)² Lᵀ
        tensors.append((0.5 * inverse @ change @ inverse.T).ravel())
    return np.linalg.qr(np.array(tensors).T)[0].T.reshape(-1, 3, 3)
