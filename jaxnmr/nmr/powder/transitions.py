"""Transitions of a spin, and their frequency contributions from every interaction in every orientation.

First and second order in the ratio of interactions to Larmor frequency. Positive frequencies mean larger shifts for
either sign of gamma. Source: Grandinetti, Ash & Trease, Prog. NMR Spectrosc. 59, 121 (2011); the coefficients were
checked against exact diagonalisation.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..._arrays import namespace
from ...errors import ConventionError
from ...typing import Array, Scalar
from . import spherical

Transitions = Literal["central", "satellites", "all"] | tuple[tuple[float, float], ...]


def transitions(spin: float, which: Transitions | Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Return pairs ``(m_final, m_initial)`` of quantum numbers.

    Args:
        spin: I, half-integer or integer.
        which: ``"central"`` (1/2 <-> -1/2), ``"satellites"`` (all other single-quantum ones), ``"all"`` single-quantum
            ones, or pairs such as ``[(1.5, 0.5)]``, of any order.

    Raises:
        ConventionError: an impossible spin, an unknown name, or levels that the spin does not have.
    """
    check_spin(spin)
    levels = np.arange(-spin, spin + 0.5)
    single = tuple((float(m + 1), float(m)) for m in levels[:-1])
    if isinstance(which, str):
        central = tuple(t for t in single if t == (0.5, -0.5))
        if which == "all":
            return single
        if which == "central":
            if not central:
                raise ConventionError(f"spin {spin:g} has no central transition; ask for transitions='all'")
            return central
        if which == "satellites":
            rest = tuple(t for t in single if t not in central)
            if not rest:
                raise ConventionError("spin 1/2 has no satellites; ask for transitions='all'")
            return rest
        raise ConventionError(f"transitions={which!r}; expected 'central', 'satellites', 'all', or pairs (m_f, m_i)")
    if any(np.shape(pair) != (2,) for pair in which):
        raise ConventionError(
            f"transitions={which!r}; expected pairs (m_f, m_i) of quantum numbers, such as [(1.5, 0.5)]"
        )
    pairs = tuple((float(f), float(i)) for f, i in which)
    for pair in pairs:
        if not set(pair) <= set(levels.tolist()) or pair[0] == pair[1]:
            raise ConventionError(f"no transition {pair} in a spin {spin:g}; its levels are {levels.tolist()}")
    if not pairs:
        raise ConventionError("no transition was asked for")
    return pairs


def check_spin(spin: float) -> None:
    """Raise `ConventionError` unless the spin is a positive multiple of 1/2, at most 7."""
    if not (spin > 0 and float(2 * spin).is_integer() and spin <= 7):
        raise ConventionError(f"spin I = {spin:g}; expected a positive multiple of 1/2, such as 1/2, 1, 3/2 ... 9/2")


def coefficients(spin: float, final: float, initial: float) -> Float[np.ndarray, "5"]:
    """Return ``(p, d, c0, c2, c4)``: the order of the transition and its factors for quadrupolar interactions.

    These are one for the first order, and those for the parts of rank 0, 2 and 4 of the second order.
    """
    casimir = spin * (spin + 1)
    p = final - initial
    d = sqrt(3 / 2) * (final**2 - initial**2)
    f = ((1 - 3 * casimir) * p + 5 * (final**3 - initial**3)) / sqrt(10)
    t = (casimir - 3 / 4) * p
    return np.array(
        [
            p,
            d,
            4 / sqrt(125) * t + sqrt(18 / 25) * f,
            sqrt(2 / 175) * t - 6 / sqrt(35) * f,
            -sqrt(18 / 875) * t - 17 / sqrt(175) * f,
        ]
    )


def strength(spin: float, final: float, initial: float) -> float:
    """Return ``I(I+1) - m_f m_i`` of a single-quantum transition, its intensity after a short pulse.

    It is also the square of its nutation frequency over that of a spin 1/2. Transitions of other orders, which no short
    pulse excites, get 1.
    """
    return spin * (spin + 1) - final * initial if abs(final - initial) == 1 else 1.0


def frequency_tensors(
    coefficients: Float[Array, "5"],
    spin: float,
    larmor_hz: Scalar,
    reference_hz: Scalar,
    shift_ppm: Scalar,
    shielding_ppm: Float[Array, "3 3"],
    quadrupolar_hz: Float[Array, "3 3"],
) -> tuple[Scalar, Float[Array, "5"], Float[Array, "9"]]:
    """Return the parts of rank 0, 2 and 4 of the frequency of one transition of one site.

    Args:
        coefficients: from :func:`coefficients`.
        spin: I.
        larmor_hz: Larmor frequency of the bare nucleus, positive.
        reference_hz: frequency of 0 ppm.
        shift_ppm: isotropic shift.
        shielding_ppm: shielding anisotropy (the trace drops out).
        quadrupolar_hz: quadrupolar tensor; its largest principal value is C_Q.

    Returns:
        Parts in Hz, as real components (see `spherical`).
    """
    p, d, c0, c2, c4 = (coefficients[k] for k in range(5))
    xp = namespace(coefficients, larmor_hz, shift_ppm, shielding_ppm, quadrupolar_hz)
    dtype = jnp.result_type(shift_ppm, shielding_ppm, quadrupolar_hz)
    to_spherical = spherical.from_cartesian().astype(dtype)
    s = -sqrt(2 / 3) * 1e-6 * larmor_hz * xp.einsum("kij,ij->k", to_spherical, shielding_ppm)
    rank0, rank2 = reference_hz * 1e-6 * shift_ppm * p, s * p
    if spin < 1:
        return rank0, rank2, xp.zeros(9, dtype)
    q = xp.einsum("kij,ij->k", to_spherical, quadrupolar_hz) / (2 * spin * (2 * spin - 1))
    # products over the Larmor frequency, scaled first because squares of MHz would exceed single precision
    times = lambda rank, other: xp.einsum("kab,a,b->k", spherical.product(rank).astype(dtype), q / larmor_hz, other)
    rank0 = rank0 + c0 * times(0, q)[0] + d * (3 / sqrt(5)) * times(0, s)[0]
    rank2 = rank2 + d * q + c2 * times(2, q) - d * (3 / sqrt(14)) * times(2, s)
    rank4 = c4 * times(4, q) - d * sqrt(72 / 35) * times(4, s)
    return rank0, rank2, rank4
