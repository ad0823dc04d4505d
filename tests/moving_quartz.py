"""Quartz on springs: atoms that move around known places, fast, for tests of averages."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from jaxnmr import Crystal, Struct, static
from jaxnmr.crystal import lattice
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


class AnyTime(Struct):
    """A plan without neighbours."""

    skin: float = static(default=1.0)

    def margin(self, crystal):
        return jnp.ones(())

    def renewed(self, crystal):
        return self


class Springs(Struct):
    """Every atom on a spring to its fractional coordinates, and the cell on springs to its vectors.

    Attributes:
        places: ``(atoms, 3)`` fractional.
        vectors: at rest, Å.
        spring: eV/Å².
        stiffness: eV.
        card: of a model that knows temperatures.
    """

    places: np.ndarray
    vectors: np.ndarray
    spring: float = 4.0
    stiffness: float = 300.0
    name: str = static(note=True, default="springs")

    @property
    def card(self):
        return {"temperatures_k": [100.0, 600.0]}

    @classmethod
    def of(cls, cell: Supercell, **changes):
        return cls(places=np.asarray(cell.crystal.xyz), vectors=cell.vectors, **changes)

    def plan(self, crystal, *, skin=0.3):
        return AnyTime(skin=skin)

    def energy(self, crystal, plan):
        now = lattice(jnp.asarray(crystal.cell))
        away = (jnp.asarray(crystal.xyz) - self.places) @ now
        back = jnp.linalg.inv(self.vectors)
        strain = 0.5 * (back @ now @ now.T @ back.T - jnp.eye(3))
        return 0.5 * self.spring * jnp.sum(away**2) + 0.5 * self.stiffness * jnp.sum(strain**2)
