"""What a potential says of several frames at once, and how far it is from the labels."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ...typing import Array
from .potential import NetworkPotential


def predicted(potential: NetworkPotential, graph) -> tuple[Array, Array, Array]:
    """Energies ``(graphs,)``, forces ``(nodes, 3)`` and derivatives by strain ``(graphs, 3, 3)``, eV and Å (traceable)."""
    count = len(graph.n_node)
    positions, vectors = jnp.asarray(graph.nodes["positions"]), jnp.asarray(graph.globals["lattice"])
    owner = jnp.repeat(jnp.arange(count), jnp.asarray(graph.n_node), total_repeat_length=len(positions))

    def total(positions, strain):
        deformed = jnp.eye(3, dtype=strain.dtype) + 0.5 * (strain + jnp.swapaxes(strain, 1, 2))
        moved = jnp.einsum("ni,nij->nj", positions, deformed[owner])
        now = graph._replace(
            nodes={"positions": moved, "species": graph.nodes["species"]}, globals={"lattice": vectors @ deformed}
        )
        energies = jax.ops.segment_sum(potential.atom_energies(now), owner, count, indices_are_sorted=True)
        return jnp.sum(energies), energies

    strain = jnp.zeros((count, 3, 3), positions.dtype)
    (slopes, by_strain), energies = jax.grad(total, (0, 1), has_aux=True)(positions, strain)
    return energies, -slopes, by_strain


def errors(model: NetworkPotential, batch) -> tuple[Array, Array, Array]:
    """Errors of energies per atom ``(graphs,)``, forces ``(nodes, 3)`` and stresses times volume per atom ``(graphs, 3, 3)``."""
    graph, atoms = batch["graph"], batch["atoms"]
    energies, forces, by_strain = predicted(model, graph)
    real = (atoms > 0).astype(energies.dtype)
    number = jnp.maximum(atoms, 1).astype(energies.dtype)
    count = jnp.sum(atoms)
    mine = (jnp.arange(len(forces)) < count).astype(forces.dtype)[:, None]
    volumes = jnp.abs(jnp.linalg.det(jnp.asarray(graph.globals["lattice"])))[:, None, None]
    strained = (by_strain - batch["stress"] * volumes) / number[:, None, None]
    return (
        real * (energies - batch["energy"]) / number,
        mine * (forces - graph.nodes["forces"]),
        real[:, None, None] * strained,
    )


def loss(
    errors: tuple[Array, Array, Array], atoms: Array, *, energy: float, force: float, stress: float, bend: float
) -> Array:
    """Sum of the means of ``rho(error / size)`` over frames, components of forces and of stresses (traceable).

    ``rho(x)`` is half of ``x²`` where x is small, and grows as x beyond ``bend``.

    Args:
        errors: of :func:`errors`; those of the padding are zero, and so is their share.
        atoms: ``(graphs,)``, 0 for the padding.
        energy, force, stress, bend: see `Recipe`.
    """
    rho = lambda error: bend**2 * (jnp.sqrt(1.0 + (error / bend) ** 2) - 1.0)
    frames, real = jnp.sum(atoms > 0), jnp.sum(atoms)
    by_energy, by_force, by_stress = errors
    total = jnp.sum(rho(by_energy / energy)) / frames + jnp.sum(rho(by_force / force)) / (3 * real)
    return total + jnp.sum(rho(by_stress / stress)) / (9 * frames)
