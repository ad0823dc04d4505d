"""A potential as the source of the energy of one phase of an objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._arrays import is_concrete
from .._struct import static
from ..crystal import Crystal
from ..objective.source import EnergyError, PhaseSource, in_time, is_short
from ..objective.state import Provision, TensorRead
from ..typing import Array
from .prediction import EnergyPrediction, predict, slopes_of_energy

ENERGY = "energy"


class PhaseEnergy(PhaseSource):
    """One potential for one phase; it provides ``state.of("energy")``, eV of the conventional cell.

    Attributes:
        potential: see `jaxnmr.energy.potential`.
        plan: neighbours of the phase.
        name: of the potential.
        phase: name of the crystal.
        provisions: the energy.
        errors: by element, what :meth:`energy_error` says, eV; by ``""`` for all others.
        displacement: the other part of it, Å.
        read: whether some term reads the energy in the state, so that it has to be differentiated there.
    """

    potential: Any
    plan: Any
    name: str = static(note=True)
    phase: str = static()
    provisions: tuple[Provision, ...] = static()
    errors: tuple[tuple[str, float], ...] = static(note=True)
    displacement: float = static(note=True)
    read: bool = static(default=True)

    @classmethod
    def create(
        cls, potential, errors: Mapping[str, float], displacement: float, phase: str, crystal: Crystal
    ) -> PhaseEnergy:
        """List neighbours (host)."""
        return cls(
            potential=potential, plan=potential.plan(crystal), name=potential.name, phase=phase,
            provisions=(Provision(phase, ENERGY),), errors=tuple(sorted(errors.items())), displacement=displacement,
        )  # fmt: skip

    def evaluate(self, crystal: Crystal) -> dict[str, Array]:
        if is_concrete(crystal.cell, crystal.xyz):
            # one program for the energy and its derivatives: they are asked for anyway
            return {ENERGY: self.slopes(ENERGY, crystal)[0]}
        return {ENERGY: jnp.asarray(self.potential.energy(crystal, self.plan))}

    def slopes(self, name: str, crystal: Crystal) -> tuple[Array, Array]:
        return slopes_of_energy(self.potential, crystal, self.plan)

    def shapes(self, crystal: Crystal) -> dict[str, jax.ShapeDtypeStruct]:
        return {ENERGY: jax.ShapeDtypeStruct((), jnp.result_type(float))}

    def linearised(self, crystal: Crystal, tangents: Crystal) -> tuple[dict[str, Array], dict[str, Array]]:
        values = self.evaluate(crystal)
        if not self.read:
            return values, {ENERGY: jnp.full(len(tangents.xyz), jnp.nan)}
        moved = jnp.concatenate([tangents.cell, tangents.xyz.reshape(len(tangents.xyz), -1)], axis=1)
        return values, {ENERGY: moved @ self.slopes(ENERGY, crystal)[1]}

    def differentiated(
        self, columns: Sequence[int] | np.ndarray | None, reads: Sequence[TensorRead] | None
    ) -> PhaseEnergy:
        return self.replace(read=reads is None)

    def replan(self, crystal: Crystal) -> tuple[PhaseEnergy, str]:
        """A copy with neighbours listed again when the skin is about to be used up, and why (host)."""
        plan = in_time(self.plan, jax.tree.map(np.asarray, crystal))
        return (
            (self, "") if plan is self.plan else (self.replace(plan=plan), f"neighbours of {self.phase} listed again")
        )

    def outgrown(self, crystal: Crystal) -> Array | bool:
        return is_short(self.plan, crystal)

    def prediction(self, crystal: Crystal) -> EnergyPrediction:
        """Energy, forces and stress (host)."""
        return predict(self.potential, crystal, self.plan)

    def values_of(self, prediction: EnergyPrediction) -> dict[str, Array]:
        return {ENERGY: np.asarray(prediction.energy_ev)}

    def energy_error(self, crystal: Crystal) -> EnergyError:
        errors = dict(self.errors)
        if not errors:
            return super().energy_error(crystal)
        energies = np.array([errors.get(element, errors[""]) for element in crystal.elements])
        return EnergyError(energies, self.displacement)

    def note(self) -> str:
        if not self.read:
            return f"The energy of {self.phase} is evaluated where its minimum is looked for, not step by step."
        return f"Derivatives of the energy of {self.phase}: reverse mode."

    def record(self) -> dict[str, Any]:
        card = self.potential.card
        return {
            "name": self.name, "phase": self.phase, "predicts": {ENERGY: []},
            "level_of_theory": card.get("theory", ""), "members": 1,
            "parameters": sum(np.size(leaf) for leaf in jax.tree.leaves(self.potential)), "scores": {},
            "derivatives": self.note(),
        }  # fmt: skip
