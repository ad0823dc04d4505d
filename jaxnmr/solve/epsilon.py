"""Statistical weights of reflections: the factor epsilon, and which are centric (host)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ..crystal import SpaceGroup


class EpsilonFactors(NamedTuple):
    """What symmetry does to the intensities of reflections (International Tables B, 2.1).

    Attributes:
        epsilon: ``(n,)`` the mean of ``|F|²`` over structures is so many times that of a general reflection (centring included).
        centric: ``(n,)`` whether the phase is one of two.
    """

    epsilon: Float[np.ndarray, " n"]
    centric: Bool[np.ndarray, " n"]


def epsilon_factors(group: SpaceGroup, hkl: Int[np.ndarray, "n 3"]) -> EpsilonFactors:
    """How often operations leave each reflection as it is, and whether one turns it round."""
    images = np.einsum("ni,kij->nkj", hkl, group.rotations)
    same = (images == hkl[:, None]).all(axis=-1)
    return EpsilonFactors(same.sum(axis=1).astype(float), (images == -hkl[:, None]).all(axis=-1).any(axis=1))
