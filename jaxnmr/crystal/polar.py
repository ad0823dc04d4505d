"""Directions along which a space group leaves the origin open, as those without a mirror or centre across them do."""

import gemmi
import numpy as np
from jaxtyping import Float

from .crystal import Crystal


def polar_directions(crystal: Crystal) -> Float[np.ndarray, "k 3"]:
    """Orthonormal fractional directions along which a shift of all atoms leaves every operation of the group what it is."""
    rotations = np.asarray(crystal.group.rotations, dtype=float)
    _, values, right = np.linalg.svd((rotations - np.eye(3)).reshape(-1, 3))
    return right[values < 1e-9 * max(values.max(), 1.0)]


def atomic_numbers(crystal: Crystal) -> tuple[int, ...]:
    """Of every site."""
    return tuple(gemmi.Element(element).atomic_number for element in crystal.elements)
