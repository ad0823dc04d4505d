"""Polar directions of a space group, along which the origin is not fixed by symmetry."""

import gemmi
import numpy as np
from jaxtyping import Float

from .crystal import Crystal


def polar_directions(crystal: Crystal) -> Float[np.ndarray, "k 3"]:
    """Return orthonormal fractional directions along which shifting all atoms leaves every operation unchanged."""
    rotations = np.asarray(crystal.group.rotations, dtype=float)
    _, values, right = np.linalg.svd((rotations - np.eye(3)).reshape(-1, 3))
    return right[values < 1e-9 * max(values.max(), 1.0)]


def atomic_numbers(crystal: Crystal) -> tuple[int, ...]:
    """Return the atomic number of every site."""
    return tuple(gemmi.Element(element).atomic_number for element in crystal.elements)
