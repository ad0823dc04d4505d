"""Statistical weights of reflections: the factor epsilon, and centric reflections (host)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ..crystal import SpaceGroup


class EpsilonFactors(NamedTuple):
    """Effects of symmetry on the intensities of reflections (International Tables B, 2.1).

    Attributes:
        epsilon: ``(n,)`` ratio of the mean ``|F|²`` over structures to that of a general reflection (centring
            included).
        centric: ``(n,)`` whether the phase is restricted to two values.
    """

    epsilon: Float[np.ndarray, " n"]
    centric: Bool[np.ndarray, " n"]


def epsilon_factors(group: SpaceGroup, hkl: Int[np.ndarray, "n 3"]) -> EpsilonFactors:
    """Count the operations that leave each reflection unchanged, and test whether one inverts it."""
    images = np.einsum("ni,kij->nkj", hkl, group.rotations)
    same = (images == hkl[:, None]).all(axis=-1)
    return EpsilonFactors(same.sum(axis=1).astype(float), (images == -hkl[:, None]).all(axis=-1).any(axis=1))
