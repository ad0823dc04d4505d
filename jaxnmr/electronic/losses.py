"""What is compared in a training: matrices, orbital energies, and the space of the occupied orbitals."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ..typing import Array
from .data import HamiltonianData
from .diagonal import eigenvalues, projector

MILLI = 1e3


class Labels(NamedTuple):
    """Labels of molecules of the same atoms, in single precision, with the molecules along the first axis of all.

    Attributes:
        xyz: ``(g, n, 3)`` Å.
        correction: ``(g, m, m)`` Hartree, what the network has to predict.
        start: ``(g, m, m)`` the matrix of the start in orthogonal functions, Hartree; empty where no loss needs it.
        root: ``(g, m, m)`` ``S^(-1/2)``; as ``start``.
        eps: ``(g, pairs)`` energies of occupied orbitals, Hartree.
        occupied: ``(g, m, m)`` projector on them in orthogonal functions; as ``start``.
    """

    xyz: Array
    correction: Array
    start: Array
    root: Array
    eps: Array
    occupied: Array

    def rows(self, index) -> Labels:
        """Some of the molecules."""
        return Labels(*(array[index] for array in self))


def labels_of(data: HamiltonianData, *, whole: bool, orbitals: bool) -> Labels:
    """Labels for a training (host).

    Args:
        data: sorted by element.
        whole: the network predicts the matrix itself, not what is added to that of the start.
        orbitals: whether a loss compares orbitals.
    """
    single = lambda array: np.asarray(array, dtype=np.float32)
    none = np.zeros((len(data), 0, 0), dtype=np.float32)
    start = np.zeros_like(data.h) if whole else data.h0
    correction, eps = single(data.h - start), single(data.eps[:, : data.pairs])
    if not orbitals:
        return Labels(single(data.xyz), correction, none, none, eps, none)
    values, vectors = np.linalg.eigh(data.s)
    root = np.einsum("gik,gk,gjk->gij", vectors, values**-0.5, vectors)
    _, lowest = np.linalg.eigh(root @ data.h @ root)
    lowest = lowest[:, :, : data.pairs]
    occupied = lowest @ np.swapaxes(lowest, 1, 2)
    return Labels(single(data.xyz), correction, single(root @ start @ root), single(root), eps, single(occupied))


def loss(found: Array, labels: Labels, *, energies: float, occupied: float) -> Array:
    """Mean absolute and root-mean-square error of the matrix in mEh, and what is weighted with it.

    Args:
        found: ``(g, m, m)`` predicted corrections, Hartree.
        labels: of the same molecules.
        energies: weight of the mean absolute error of the occupied orbital energies, mEh.
        occupied: weight of the root-mean-square error of the elements of the projector, in thousandths.
    """
    error = MILLI * (found - labels.correction)
    total = jnp.mean(jnp.abs(error)) + jnp.sqrt(jnp.mean(error**2) + 1e-12)
    if energies or occupied:
        matrix = labels.start + labels.root @ found @ labels.root
        if energies:
            eps = eigenvalues(matrix)[:, : labels.eps.shape[1]]
            total += energies * MILLI * jnp.mean(jnp.abs(eps - labels.eps))
        if occupied:
            apart = projector(matrix, labels.eps.shape[1]) - labels.occupied
            total += occupied * MILLI * jnp.sqrt(jnp.mean(apart**2) + 1e-18)
    return total
