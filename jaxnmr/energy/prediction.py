"""What a potential says of a crystal: energy, forces, stress (host)."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float

from .._struct import compiled
from ..crystal import Crystal
from ..crystal.cell import metric_derivative
from ..crystal.symmetry import unvoigt
from ..objective.source import slopes_of
from ..typing import Array

# 1 eV/Å³ in GPa, from the exact value of the elementary charge
GPA = 160.2176634


@dataclass(frozen=True)
class EnergyPrediction:
    """What a potential says of a crystal.

    Attributes:
        energy_ev: of the conventional cell, eV.
        atoms: in the conventional cell.
        forces_ev_angstrom: ``(sites, 3)`` on an atom of every site, eV/Å, in the axes of ``crystal.lattice()``; along what the
            site symmetry leaves free.
        stress_gpa: ``(3, 3)`` derivative of the energy by strain per volume, GPa; positive where the cell would shrink.
    """

    energy_ev: float
    atoms: int
    forces_ev_angstrom: Float[np.ndarray, "sites 3"]
    stress_gpa: Float[np.ndarray, "3 3"]

    @property
    def energy_ev_atom(self) -> float:
        """Energy per atom, eV."""
        return self.energy_ev / self.atoms

    @property
    def pressure_gpa(self) -> float:
        """What would hold the cell as it is, GPa."""
        return -float(np.trace(self.stress_gpa)) / 3.0


def predict(potential, crystal: Crystal, plan) -> EnergyPrediction:
    """Energy, forces and stress of a crystal (host)."""
    crystal = jax.tree.map(np.asarray, crystal)
    energy, slopes = slopes_of_energy(potential, crystal, plan)
    by_cell, by_xyz = np.asarray(slopes)[:6], np.asarray(slopes)[6:].reshape(-1, 3)
    lattice = np.asarray(crystal.lattice(), dtype=float)
    sites = crystal.sites()
    multiplicity = np.array([site.multiplicity for site in sites])
    # of x = X L with rows of L: dE/dX = L dE/dx
    forces = -np.linalg.solve(lattice, by_xyz.T).T / multiplicity[:, None]
    for k, site in enumerate(sites):
        basis = np.linalg.qr(lattice.T @ site.xyz_basis())[0]
        forces[k] = basis @ (basis.T @ forces[k])
    # dG = L (e + e^T) L^T for a small strain e
    by_metric = np.linalg.solve(metric_derivative(np.asarray(crystal.cell, dtype=float)).T, by_cell)
    stress = 2.0 * lattice.T @ unvoigt(by_metric * [1.0, 1.0, 1.0, 0.5, 0.5, 0.5]) @ lattice
    # derivatives by strains that break the symmetry are no derivatives: images would not follow
    rotations = np.asarray(crystal.group.rotations, dtype=float)
    turns = np.einsum("ji,njk,lk->nil", lattice, rotations, np.linalg.inv(lattice))
    stress = np.einsum("nij,jk,nlk->il", turns, stress, turns) / len(turns) / float(crystal.volume()) * GPA
    return EnergyPrediction(float(energy), int(multiplicity.sum()), forces, stress)


@compiled(kept=True)
def slopes_of_energy(potential, crystal: Crystal, plan) -> tuple[Array, Array]:
    """Energy of the cell, and its derivatives by cell and coordinates, ``(6 + 3 sites,)`` (traceable)."""
    return slopes_of(lambda crystal: potential.energy(crystal, plan), crystal)
