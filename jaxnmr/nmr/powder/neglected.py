"""Errors of second-order perturbation theory for a quadrupolar coupling, by exact diagonalisation (host)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ..sites import Sites
from .orientations import Orientations, octahedron_face
from .transitions import coefficients, frequency_tensors
from .transitions import transitions as quantum_numbers

# divisions of an octahedron's edge: 45 orientations of an octant
_DIVISIONS = 8


def neglected_hz(
    spin: float, larmor_hz: float, quadrupolar_hz: Float[np.ndarray, "3 3"], transitions: Sequence[tuple[float, float]]
) -> float:
    """Return the largest error of the frequencies of these transitions over all orientations without spinning, Hz.

    The exact frequency is that of the full Hamiltonian ``-nu_L I_z + I Q I/(2I(2I - 1))``, whose states are identified
    by the pure state that contributes most.

    Args:
        spin: I.
        larmor_hz: Larmor frequency of the bare nucleus, positive.
        quadrupolar_hz: quadrupolar tensor; its largest principal value is C_Q.
        transitions: pairs of quantum numbers.
    """
    values = np.linalg.eigvalsh((quadrupolar_hz + quadrupolar_hz.T) / 2)
    if spin < 1 or not np.abs(values).max() > 0:
        return 0.0
    powder = Orientations.plan(_DIVISIONS, "octant", spinning=False)
    face = octahedron_face(_DIVISIONS)[0]
    tensor, places = np.diag(values), face / np.linalg.norm(face, axis=1, keepdims=True)
    m = np.arange(spin, -spin - 0.5, -1.0)
    up = np.diag(np.sqrt(spin * (spin + 1) - m[1:] * (m[1:] + 1)), 1)
    operators = np.stack([(up + up.T) / 2, (up - up.T) / 2j, np.diag(m)])
    products = np.einsum("iab,jbc->ijac", operators, operators) / (2 * spin * (2 * spin - 1))
    theory = [
        frequency_tensors(coefficients(spin, *pair), spin, larmor_hz, larmor_hz, 0.0, np.zeros((3, 3)), tensor)
        for pair in transitions
    ]
    worst = 0.0
    for field, row2, row4 in zip(places, powder.rank2[:, 0], powder.rank4[:, 0], strict=True):
        # axes with the last one along the field
        frame = np.linalg.svd(field[None])[2][[1, 2, 0]]
        energy = larmor_hz * operators[2] + np.einsum("ij,ijab->ab", frame @ tensor @ frame.T, products)
        levels, states = np.linalg.eigh(energy)
        of = levels[np.argmax(np.abs(states) ** 2, axis=1)]
        for (final, initial), (rank0, rank2, rank4) in zip(transitions, theory, strict=True):
            exact = of[round(spin - final)] - of[round(spin - initial)] - larmor_hz * (final - initial)
            worst = max(worst, abs(exact - float(rank0 + row2 @ np.asarray(rank2) + row4 @ np.asarray(rank4))))
    return worst


def beyond_second_order(
    spin: float, larmor_hz: float, sites: Sites, transitions: Sequence[tuple[float, float]], step_hz: float
) -> list[str]:
    """Describe sites whose spectrum second-order theory gets wrong by more than half a line width."""
    out = []
    for k, label in enumerate(sites.labels):
        tensor = np.asarray(sites.quadrupolar_hz[k], dtype=float)
        if spin < 1 or not (np.isfinite(tensor).all() and tensor.any()):
            continue
        width = max(float(sites.gaussian_hz[k]) + float(sites.lorentzian_hz[k]), step_hz)
        own = sites.transitions[k] if sites.transitions else None
        error = neglected_hz(spin, larmor_hz, tensor, transitions if own is None else quantum_numbers(spin, own))
        if error > width / 2:
            cq = np.abs(np.linalg.eigvalsh((tensor + tensor.T) / 2)).max()
            out.append(
                f"{label}: a coupling of {cq / 1e6:.3g} MHz is large for a Larmor frequency of {larmor_hz / 1e6:.4g} MHz; what "
                f"second-order theory neglects moves lines by up to {error:.2g} Hz, with a line width of {width:.3g} Hz"
            )
    return out
