"""Exact step of one spin as an exponential in Liouville space, a slow reference for the fast step."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_X = 0.5 * np.array([[0, 1], [1, 0]], dtype=complex)
_Y = 0.5 * np.array([[0, -1j], [1j, 0]])
_Z = 0.5 * np.array([[1, 0], [0, -1]], dtype=complex)
_PLUS = _X + 1j * _Y
_ONE = np.eye(2)


def liouville_step(
    spin: Float[np.ndarray, 3],
    field: Float[np.ndarray, 3],
    duration: float,
    gamma: float,
    gamma_1: float = 0.0,
    polarisation: float = 0.5,
) -> Float[np.ndarray, 3]:
    """Return ``<I>`` after evolution under ``ρ' = -i[b·I, ρ] + Σ (L ρ L† - ½{L†L, ρ})`` (host).

    The jump operators are ``√Γ I_z`` and ``√(Γ1(½ ± polarisation)) I_±``.

    Args:
        spin: initial ``<I>``.
        field: b, radians per unit of time.
        duration: of the step.
        gamma, gamma_1: Γ and 1/T1.
        polarisation: ``<I_z>`` in equilibrium.

    Source: G. Lindblad, Commun. Math. Phys. 48, 119 (1976).
    """
    hamiltonian = field[0] * _X + field[1] * _Y + field[2] * _Z
    jumps = (
        np.sqrt(gamma) * _Z,
        np.sqrt(gamma_1 * (0.5 + polarisation)) * _PLUS,
        np.sqrt(gamma_1 * (0.5 - polarisation)) * _PLUS.T,
    )
    # for matrices flattened by rows, A ρ B is (A ⊗ Bᵀ) ρ
    flow = -1j * (np.kron(hamiltonian, _ONE) - np.kron(_ONE, hamiltonian.T))
    for jump in jumps:
        lost = jump.conj().T @ jump
        flow += np.kron(jump, jump.conj()) - 0.5 * (np.kron(lost, _ONE) + np.kron(_ONE, lost.T))
    # tr I_x I_x is 1/2
    start = 0.5 * _ONE + 2.0 * (spin[0] * _X + spin[1] * _Y + spin[2] * _Z)
    end = (_exponential(duration * flow) @ start.reshape(-1)).reshape(2, 2)
    return np.array([np.trace(end @ operator).real for operator in (_X, _Y, _Z)])


def _exponential(a: np.ndarray) -> np.ndarray:
    """Matrix exponential by its series, with the matrix halved until it is small."""
    halvings = max(0, int(np.ceil(np.log2(max(np.abs(a).sum(axis=1).max(), 1e-300) / 0.25))))
    a = a / 2.0**halvings
    term = total = np.eye(len(a), dtype=complex)
    for k in range(1, 16):
        term = term @ a / k
        total = total + term
    for _ in range(halvings):
        total = total @ total
    return total
