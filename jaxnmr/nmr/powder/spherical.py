"""Spherical components of even-rank tensors, in real arithmetic.

The components of a rank-l tensor of a real interaction satisfy ``T[l,-m] = (-1)^m conj(T[l,m])``, so ``2l + 1`` real
numbers describe it: ``(T_l0, Re T_l1, Im T_l1, ..., Re T_ll, Im T_ll)``. Everything here is a constant matrix between
such vectors, computed once with NumPy.

Source: Varshalovich, Moskalev & Khersonskii, Quantum Theory of Angular Momentum (1988), ch. 4 and 8.
"""

from functools import cache
from math import factorial, sqrt

import numpy as np
from jaxtyping import Complex, Float

from ...typing import Numbers


@cache
def from_cartesian() -> Float[np.ndarray, "5 3 3"]:
    """Return the matrix from a Cartesian tensor to its rank-2 components.

    ``T20 = (2 Tzz - Txx - Tyy)/sqrt(6)``, ``T21 = -Txz - i Tyz``, ``T22 = (Txx - Tyy)/2 + i Txy``; the trace and the
    antisymmetric part drop out.
    """
    # real and imaginary parts of m > 0, which are not orthonormal: not `TRACELESS_DYADS`
    matrix = np.zeros((5, 3, 3))
    matrix[0] = np.diag([-1.0, -1.0, 2.0]) / sqrt(6.0)
    for row, (i, j), value in ((1, (0, 2), -0.5), (2, (1, 2), -0.5), (4, (0, 1), 0.5)):
        matrix[row, i, j] = matrix[row, j, i] = value
    matrix[3] = np.diag([0.5, -0.5, 0.0])
    return matrix


@cache
def _to_complex(rank: int) -> Complex[np.ndarray, "size size"]:
    """Return the matrix from the real vector to complex components ``m = -l..l``."""
    matrix = np.zeros((2 * rank + 1, 2 * rank + 1), dtype=complex)
    matrix[rank, 0] = 1.0
    for m in range(1, rank + 1):
        matrix[rank + m, 2 * m - 1 : 2 * m + 1] = 1.0, 1j
        matrix[rank - m, 2 * m - 1 : 2 * m + 1] = (-1.0) ** m * np.array([1.0, -1j])
    return matrix


def _to_real(components: Complex[np.ndarray, " size *n"]) -> Float[np.ndarray, " size *n"]:
    """Convert complex components ``m = -l..l`` (first axis) to the real vector (first axis)."""
    rank = (len(components) - 1) // 2
    rows = [components[rank].real]
    for m in range(1, rank + 1):
        rows += [components[rank + m].real, components[rank + m].imag]
    return np.stack(rows)


@cache
def product(rank: int) -> Float[np.ndarray, "size 5 5"]:
    """Return the matrix of the rank-k part ``{A x B}_k`` of the product of two rank-2 tensors, k = 0, 2 or 4.

    ``{A x B}_kM = sum_m <2 m 2 M-m|k M> A_m B_{M-m}``.
    """
    coupling = np.zeros((2 * rank + 1, 5, 5))
    for big in range(-rank, rank + 1):
        for m in range(max(-2, big - 2), min(2, big + 2) + 1):
            coupling[rank + big, 2 + m, 2 + big - m] = _clebsch_gordan(2, m, 2, big - m, rank, big)
    whole = np.einsum("kab,ai,bj->kij", coupling, _to_complex(2), _to_complex(2))
    return _to_real(whole)


def rotation(
    rank: int, alpha: Float[np.ndarray, " n"], beta: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n size size"]:
    """Return the matrix to components in a frame rotated by Euler angles ``(alpha, beta, 0)`` (radians).

    ``r_m' = sum_m T_m exp(-i m alpha) d^l_mm'(beta)``.
    """
    m = np.arange(-rank, rank + 1)
    wigner = wigner_d(rank, beta) * np.exp(-1j * np.multiply.outer(alpha, m))[..., None]
    turned = np.einsum("vmn,mi->nvi", wigner, _to_complex(rank))
    return np.moveaxis(_to_real(turned), 0, 1)


def wigner_d(rank: int, beta: Numbers) -> Float[np.ndarray, "*n size size"]:
    """Return the reduced rotation matrices ``d^l_mm'(beta)``, m and m' from -l to l."""
    half = np.asarray(beta, dtype=float) / 2
    c, s = np.cos(half), np.sin(half)
    out = np.zeros((*half.shape, 2 * rank + 1, 2 * rank + 1))
    f = factorial
    for a in range(-rank, rank + 1):
        for b in range(-rank, rank + 1):
            norm = sqrt(f(rank + a) * f(rank - a) * f(rank + b) * f(rank - b))
            for k in range(max(0, b - a), min(rank + b, rank - a) + 1):
                denominator = f(rank + b - k) * f(k) * f(a - b + k) * f(rank - a - k)
                out[..., rank + a, rank + b] += (
                    (-1.0) ** (a - b + k) * norm / denominator * c ** (2 * rank + b - a - 2 * k) * s ** (a - b + 2 * k)
                )
    return out


def _clebsch_gordan(j1: int, m1: int, j2: int, m2: int, j: int, m: int) -> float:
    """Clebsch-Gordan coefficient ``<j1 m1 j2 m2|j m>`` for integer angular momenta, by Racah's formula."""
    if m1 + m2 != m:
        return 0.0
    f = factorial
    front = (2 * j + 1) * f(j + j1 - j2) * f(j - j1 + j2) * f(j1 + j2 - j) / f(j1 + j2 + j + 1)
    front *= f(j + m) * f(j - m) * f(j1 - m1) * f(j1 + m1) * f(j2 - m2) * f(j2 + m2)
    total = 0.0
    for k in range(j1 + j2 + j + 1):
        parts = (k, j1 + j2 - j - k, j1 - m1 - k, j2 + m2 - k, j - j2 + m1 + k, j - j1 - m2 + k)
        if min(parts) >= 0:
            total += (-1.0) ** k / float(np.prod([f(p) for p in parts], dtype=float))
    return sqrt(front) * total
