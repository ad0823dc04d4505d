"""Couplings between spins in Hz: dipolar from the geometry, J from reduced couplings.

Energies are ``h I . T . S``. A dipolar tensor has the principal values ``(-d, -d, 2 d)`` with 2d along the vector; J
tensors add to it. d is negative for two nuclei with gyromagnetic ratios of the same sign. This is mrsimulator's D.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._arrays import is_concrete
from ..errors import ConventionError, ShapeError
from ..typing import Array, Numbers
from .isotopes import Isotope, isotope

PLANCK_J_S = 6.62607015e-34  # exact
MU0_OVER_4PI = 1.00000000055e-7  # T m/A, CODATA 2018
ANGSTROM_M = 1e-10
REDUCED_COUPLING_SI = 1e19  # T^2/J, the unit of K in magres files


def dipolar_constant_hz(first: str | Isotope, second: str | Isotope, distance_angstrom: Numbers) -> Float[Array, "*n"]:
    """``d = -(mu0/4 pi) gamma1 gamma2 hbar/(2 pi r^3)`` in Hz: -120.12 kHz for two protons at 1 Å.

    Args:
        first, second: the nuclei.
        distance_angstrom: any shape, positive.

    Raises:
        ConventionError: an unknown nucleus, or a distance that is not positive.
    """
    distance = jnp.asarray(distance_angstrom)
    if is_concrete(distance) and not (np.isfinite(np.asarray(distance)).all() and (np.asarray(distance) > 0).all()):
        raise ConventionError(f"distance_angstrom is {distance_angstrom}; expected positive distances in Å")
    return _constant_at_one_angstrom(first, second) / distance**3


def dipolar_tensor_hz(first: str | Isotope, second: str | Isotope, vector_angstrom: Numbers) -> Float[Array, "*n 3 3"]:
    """Dipolar tensors ``d (3 u u^T - 1)`` in Hz for vectors ``(..., 3)`` from one nucleus to the other.

    Traceless and symmetric; differentiable in the vector.

    Raises:
        ConventionError: an unknown nucleus, or a vector of zero length.
        ShapeError: the last axis of the vectors is not 3.
    """
    vector = jnp.asarray(vector_angstrom)
    if vector.shape[-1:] != (3,):
        raise ShapeError(f"vector_angstrom has the shape {vector.shape}; expected (..., 3)")
    square = jnp.sum(vector**2, axis=-1)
    if is_concrete(square) and not ((np.asarray(square) > 0).all() and np.isfinite(np.asarray(square)).all()):
        raise ConventionError("vector_angstrom has a vector that is zero or not finite; two nuclei cannot coincide")
    outer = vector[..., :, None] * vector[..., None, :]
    square = square[..., None, None]
    traceless = 3.0 * outer - square * jnp.eye(3, dtype=vector.dtype)
    return _constant_at_one_angstrom(first, second) * traceless * square**-2.5


def j_hz_from_reduced(first: str | Isotope, second: str | Isotope, k_1e19: Numbers) -> Float[Array, "*n"]:
    """J in Hz, a number or a tensor, from the reduced coupling K in 10^19 T^2/J: ``J = h K gamma1 gamma2/(4 pi^2)``.

    Raises:
        ConventionError: an unknown nucleus.
    """
    return jnp.asarray(k_1e19) * (PLANCK_J_S * REDUCED_COUPLING_SI * _gamma_product(first, second))


def reduced_from_j_hz(first: str | Isotope, second: str | Isotope, j_hz: Numbers) -> Float[Array, "*n"]:
    """K in 10^19 T^2/J from J in Hz; the inverse of `j_hz_from_reduced`."""
    return jnp.asarray(j_hz) / (PLANCK_J_S * REDUCED_COUPLING_SI * _gamma_product(first, second))


def _constant_at_one_angstrom(first: str | Isotope, second: str | Isotope) -> float:
    return -MU0_OVER_4PI * PLANCK_J_S * _gamma_product(first, second) / ANGSTROM_M**3


def _gamma_product(first: str | Isotope, second: str | Isotope) -> float:
    """Product of the gyromagnetic ratios over 4 pi^2, (Hz/T)^2."""
    return isotope(first).gamma_hz_per_tesla * isotope(second).gamma_hz_per_tesla
