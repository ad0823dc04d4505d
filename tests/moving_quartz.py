"""Quartz on springs: atoms that move around known places, fast, for tests of averages."""

from __future__ import annotations

import numpy as np
from analytic_potentials import EinsteinCrystal

from jaxnmr import Crystal
from jaxnmr.dynamics import Supercell, supercell

REPEATS = (2, 2, 1)
NARROW = "ignore:the supercell of quartz is"


def quartz(**changes) -> Crystal:
    """Alpha quartz, P3_2 21: Si on a twofold axis, O in a general position."""
    given = {
        "cell": [4.913, 4.913, 5.405, 90, 90, 120], "spacegroup": "P 32 2 1", "species": ["Si", "O"], "labels": ["Si1", "O1"],
        "xyz": [[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.7858]], "name": "quartz",
    }  # fmt: skip
    return Crystal.create(**(given | changes))


def small() -> Supercell:
    """36 atoms."""
    return supercell(quartz(), REPEATS)


class Springs(EinsteinCrystal):
    """An Einstein crystal that states the temperatures it was trained on, as learned potentials do."""

    @property
    def card(self):
        return {"temperatures_k": [100.0, 600.0]}

    @classmethod
    def of(cls, cell: Supercell, spring: float = 4.0, stiffness: float = 300.0, **changes):
        """Equal springs, in eV/Å², for all atoms of a supercell."""
        springs = np.full(cell.crystal.n_sites, spring)
        given = {"name": "springs", "springs": springs, "stiffness": stiffness} | changes
        return cls(places=np.asarray(cell.crystal.xyz), vectors=cell.vectors, **given)
