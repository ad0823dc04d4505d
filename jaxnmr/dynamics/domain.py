"""Distance of the atoms of a trajectory from the training data of the energy that moves them (host)."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from .._struct import compiled
from ..crystal import Crystal

# column of the novelty of atoms with respect to the energy
STRANGE = "strange"
# Å, so that neighbours are seldom listed again
_SKIN = 1.0


class EnergyDomain:
    """Novelty of the atoms of frames with respect to the training of an energy.

    Args:
        potential: an `EnergyModel` or a potential; NaN results unless it has a method ``novelty(crystal, plan)``.
    """

    def __init__(self, potential: Any):
        inner = getattr(potential, "potential", potential)
        self._potential = inner if getattr(inner, "environments", None) and hasattr(inner, "novelty") else None
        self._plan: Any = None

    def __call__(self, crystal: Crystal) -> Float[np.ndarray, " atoms"]:
        """Return the novelty of every atom; values above 1 are unlike the training."""
        if self._potential is None:
            return np.full(crystal.n_sites, np.nan)
        if self._plan is None:
            self._plan = self._potential.plan(crystal, skin=_SKIN)
        elif float(self._plan.margin(crystal)) <= 0:
            self._plan = self._plan.renewed(crystal)
        return np.asarray(_novelty(self._potential, self._plan, crystal))


@compiled
def _novelty(potential, plan, crystal: Crystal):
    return potential.novelty(crystal, plan)
