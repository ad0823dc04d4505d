"""What moves: positions, velocities and cell, with the forces that act on them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._struct import Struct
from ..crystal import Crystal
from ..crystal.cell import cell_from_metric
from ..typing import Array

# eV/K, exact
BOLTZMANN = 8.617333262145179e-5
# (Å/fs²) of 1 eV/(Å u): e / (1e5 u), CODATA 2018
ACCELERATION = 9.648533212331e-3
# GPa of 1 eV/Å³, exact
GPA = 160.2176634


class Forces(Struct):
    """Energy of a configuration and its derivatives.

    Attributes:
        energy: eV.
        forces: eV/Å.
        virial: derivative of the energy by a symmetric strain of cell and positions, eV.
    """

    energy: Float[Array, ""]
    forces: Float[Array, "atoms 3"]
    virial: Float[Array, "3 3"]


class State(Struct):
    """One moment of a simulation.

    Attributes:
        positions: Å, not wrapped back into the cell.
        vectors: lattice vectors as rows, Å; the first along x, the second in the xy plane.
        velocities: Å/fs.
        acting: energy and forces of this configuration.
        key: of the random numbers to come.
        step: how many steps were taken.
    """

    positions: Float[Array, "atoms 3"]
    vectors: Float[Array, "3 3"]
    velocities: Float[Array, "atoms 3"]
    acting: Forces
    key: Array
    step: Array


def crystal_at(template: Crystal, positions: Array, vectors: Array) -> Crystal:
    """The crystal in P1 with these positions and this lattice (traceable)."""
    return template.replace(
        cell=cell_from_metric(vectors @ vectors.T), xyz=jnp.asarray(positions) @ jnp.linalg.inv(vectors)
    )


def forces_at(potential: Any, plan: Any, template: Crystal, positions: Array, vectors: Array) -> Forces:
    """Energy, forces and virial (traceable)."""
    inverse = jnp.linalg.inv(vectors)
    fractional = positions @ inverse

    def energy(fractional: Array, strain: Array) -> Array:
        deformed = vectors @ (jnp.eye(3, dtype=strain.dtype) + 0.5 * (strain + strain.T))
        moved = template.replace(cell=cell_from_metric(deformed @ deformed.T), xyz=fractional)
        return jnp.reshape(potential.energy(moved, plan), ()).astype(strain.dtype)

    value, (slope, virial) = jax.value_and_grad(energy, (0, 1))(fractional, jnp.zeros_like(vectors))
    return Forces(energy=value, forces=-slope @ inverse.T, virial=virial)


def kinetic_energy(velocities: Array, masses: Array) -> Array:
    """eV (traceable)."""
    return 0.5 * jnp.sum(jnp.asarray(masses)[:, None] * jnp.asarray(velocities) ** 2) / ACCELERATION


def thermal_velocities(key: Array, masses: Array, temperature_k: float | Array) -> Float[Array, "atoms 3"]:
    """Velocities of a Maxwell-Boltzmann distribution without drift of the whole, Å/fs.

    Args:
        key: of the random numbers.
        masses: ``(atoms,)`` u.
        temperature_k: K.
    """
    masses = jnp.asarray(masses)
    drawn = jax.random.normal(key, (len(masses), 3), dtype=masses.dtype)
    velocities = drawn * jnp.sqrt(BOLTZMANN * temperature_k * ACCELERATION / masses)[:, None]
    return velocities - jnp.sum(masses[:, None] * velocities, axis=0) / jnp.sum(masses)


def is_finite(state: State) -> bool:
    """Whether all numbers of a state are finite (host)."""
    return all(np.isfinite(np.asarray(a)).all() for a in (state.positions, state.velocities, state.acting.energy))
