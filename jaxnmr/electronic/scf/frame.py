"""The frame of a molecule: the orientation that fits a reference best, and matrices of orbitals turned into it."""

from __future__ import annotations

import numpy as np

from ..basis import Orbitals

_ROOT3 = np.sqrt(3.0)
# d functions xy, yz, z², xz, x²-y² as symmetric matrices A of x.A.x, with the norm of all of them equal
_D = np.zeros((5, 3, 3))
_D[0, 0, 1] = _D[0, 1, 0] = _D[1, 1, 2] = _D[1, 2, 1] = _D[3, 0, 2] = _D[3, 2, 0] = _ROOT3 / 2
_D[2] = np.diag([-0.5, -0.5, 1.0])
_D[4] = np.diag([_ROOT3 / 2, -_ROOT3 / 2, 0.0])


def turning(xyz: np.ndarray, reference: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The proper rotation R, shape ``(3, 3)``, for which R (x - mean) lies nearest to the reference (Kabsch).

    Args:
        xyz, reference: positions, shape ``(n, 3)``.
        weights: of the atoms, shape ``(n,)``.
    """
    share = weights / weights.sum()
    x, y = xyz - share @ xyz, reference - share @ reference
    left, _, right = np.linalg.svd((y * weights[:, None]).T @ x)
    sign = np.sign(np.linalg.det(left @ right))
    return left @ np.diag([1.0, 1.0, sign]) @ right


def turned_functions(orbitals: Orbitals, rotation: np.ndarray) -> np.ndarray:
    """The matrix U, shape ``(nao, nao)``, with H of the turned molecule = U H U^T.

    Args:
        rotation: R, shape ``(3, 3)``; atoms at x are turned to R x.
    """
    # functions p along R n, and x.A.x of R A R^T
    of_d = np.einsum("aij,ik,bkl,jl->ab", _D, rotation, _D, rotation) / np.einsum("aij,aij->a", _D, _D)[:, None]
    blocks = {0: np.ones((1, 1)), 1: rotation, 2: of_d}
    found = np.zeros((orbitals.size, orbitals.size))
    for _, start, shell in orbitals.shells:
        found[start : start + shell.size, start : start + shell.size] = blocks[shell.l]
    return found
