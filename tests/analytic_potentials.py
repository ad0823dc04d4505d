"""Potentials whose averages are known, each a potential of one's own as users would write it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from jaxnmr import Struct
from jaxnmr._struct import static
from jaxnmr.crystal import Crystal, lattice
from jaxnmr.dynamics.state import crystal_at, forces_at
from jaxnmr.graph import bucket, plan_neighbours


class NothingToList(Struct):
    """A plan without neighbours, good for ever."""

    skin: float = static(default=1.0)

    def margin(self, crystal):
        return jnp.ones(())

    def renewed(self, crystal):
        return self


class IdealGas(Struct):
    """Atoms that do not feel each other."""

    name: str = static(note=True, default="ideal gas")

    def plan(self, crystal, *, skin=0.3):
        return NothingToList(skin=skin)

    def energy(self, crystal, plan):
        return 0.0 * jnp.sum(jnp.asarray(crystal.xyz)) * crystal.cell[0]


class EinsteinCrystal(Struct):
    """Springs to places that move along with the cell; the cell itself is a spring in its volume and shape.

    Attributes:
        places: ``(atoms, 3)`` fractional.
        springs: ``(atoms,)`` eV/Å².
        vectors: lattice vectors at rest, Å.
        stiffness: eV; the energy is ``stiffness |E|²/2`` with E the strain of Green and Lagrange.
    """

    places: np.ndarray
    springs: np.ndarray
    vectors: np.ndarray
    stiffness: float = 0.0
    name: str = static(note=True, default="Einstein crystal")

    def plan(self, crystal, *, skin=0.3):
        return NothingToList(skin=skin)

    def energy(self, crystal, plan):
        now = lattice(jnp.asarray(crystal.cell))
        away = (jnp.asarray(crystal.xyz) - self.places) @ now
        inverse = jnp.linalg.inv(self.vectors)
        strain = 0.5 * (inverse @ now @ now.T @ inverse.T - jnp.eye(3))
        return 0.5 * jnp.sum(self.springs * jnp.sum(away**2, axis=-1)) + 0.5 * self.stiffness * jnp.sum(strain**2)


class Pairs(Struct):
    """Directed pairs of a `LennardJones`."""

    senders: np.ndarray
    receivers: np.ndarray
    shifts: np.ndarray
    weight: np.ndarray
    xyz: np.ndarray
    cell: np.ndarray
    cutoff: float = static()
    skin: float = static()

    def margin(self, crystal):
        now, then = lattice(jnp.asarray(crystal.cell)), lattice(jnp.asarray(self.cell))
        moved = jnp.asarray(crystal.xyz) - self.xyz
        farthest = jnp.sqrt(jnp.max(jnp.sum(((moved - jnp.mean(moved, axis=0)) @ now) ** 2, axis=-1)))
        # no length shrinks by more than the largest stretch of the way back
        stretch = jnp.linalg.norm(jnp.linalg.solve(now, then), ord="fro") / jnp.sqrt(3.0)
        turned = jnp.linalg.solve(now, then)
        largest = jnp.sqrt(1.0 + jnp.linalg.norm(turned @ turned.T - jnp.eye(3)))
        return (self.cutoff + self.skin) / jnp.maximum(stretch, largest) - self.cutoff - 2.0 * farthest

    def renewed(self, crystal):
        return pairs_of(crystal, self.cutoff, self.skin)


def pairs_of(crystal: Crystal, cutoff: float, skin: float) -> Pairs:
    """Pairs nearer than the cutoff and the skin (host)."""
    cell, xyz = np.asarray(crystal.cell, dtype=float), np.asarray(crystal.xyz, dtype=float)
    vectors = lattice(cell)
    # positions are not wrapped: shifts refer to atoms where they are
    found = plan_neighbours(vectors, xyz @ vectors, cutoff + skin)
    size = bucket(len(found.senders), growth=1.2)
    padded = lambda array, fill=0: np.concatenate([array, np.full((size - len(array), *array.shape[1:]), fill)])
    return Pairs(
        senders=padded(found.senders), receivers=padded(found.receivers), shifts=padded(found.shifts, 1),
        weight=padded(np.ones(len(found.senders))), xyz=xyz, cell=cell, cutoff=cutoff, skin=skin,
    )  # fmt: skip


class LennardJones(Struct):
    """Argon: ``4 e ((s/r)^12 - (s/r)^6)``, whose last tenth before the cutoff is taken to zero with two derivatives.

    Attributes:
        epsilon: eV.
        sigma: Å.
        cutoff: Å.
    """

    epsilon: float = 0.0103
    sigma: float = 3.405
    cutoff: float = static(default=7.5)
    name: str = static(note=True, default="argon")

    def plan(self, crystal, *, skin=0.3):
        return pairs_of(crystal, self.cutoff, skin)

    def energy(self, crystal, plan):
        vectors = lattice(jnp.asarray(crystal.cell))
        xyz = jnp.asarray(crystal.xyz)
        between = (xyz[plan.senders] - xyz[plan.receivers] + plan.shifts) @ vectors
        r = jnp.sqrt(jnp.sum(between**2, axis=-1))
        six = (self.sigma / r) ** 6
        x = jnp.clip((r / self.cutoff - 0.9) / 0.1, 0.0, 1.0)
        fades = 1.0 - x**3 * (10.0 - 15.0 * x + 6.0 * x**2)
        return 0.5 * jnp.sum(plan.weight * fades * 4.0 * self.epsilon * (six**2 - six))


def argon(repeats: int = 2, edge: float = 5.30) -> Crystal:
    """Face-centred cubic argon, ``4 repeats³`` atoms in P1."""
    corners = np.stack(np.meshgrid(*3 * [np.arange(repeats)], indexing="ij"), axis=-1).reshape(-1, 1, 3)
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    return box(((corners + basis) / repeats).reshape(-1, 3), 3 * [repeats * edge], "Ar")


def box(xyz, edges, species) -> Crystal:
    """Atoms in a box without symmetry; ``species`` of all of them or of each."""
    species = [species] * len(xyz) if isinstance(species, str) else list(species)
    return Crystal.create(cell=[*edges, 90, 90, 90], spacegroup="P 1", species=species, xyz=np.asarray(xyz), name="box")


class CompiledCalculator(Calculator):
    """A potential for ASE, with forces and stress as simulations calculate them: fast enough for thousands of steps.

    Args:
        potential: of any kind.
        crystal: in P1; its elements count.
        skin: Å; neighbours are listed again as atoms move.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 (as ASE's)

    def __init__(self, potential, crystal: Crystal, skin: float = 1.0):
        super().__init__()
        self.potential, self.crystal = potential, crystal
        self.plan = potential.plan(crystal, skin=skin)
        self._forces = jax.jit(lambda plan, x, v: forces_at(potential, plan, crystal, x, v))
        self._margin = jax.jit(lambda plan, x, v: plan.margin(crystal_at(crystal, x, v)))

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        positions, vectors = self.atoms.positions, np.asarray(self.atoms.cell)
        if float(self._margin(self.plan, positions, vectors)) <= 0:
            self.plan = self.plan.renewed(crystal_at(self.crystal, positions, vectors))
        found = jax.device_get(self._forces(self.plan, positions, vectors))
        stress = found.virial / abs(np.linalg.det(vectors))
        self.results = {
            "energy": float(found.energy),
            "free_energy": float(found.energy),
            "forces": found.forces,
            "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }


def ase_atoms(potential, crystal: Crystal, masses, skin: float = 1.0) -> Atoms:
    """The crystal for ASE, with its energy."""
    atoms = Atoms(
        crystal.species, cell=np.asarray(crystal.lattice()), scaled_positions=np.asarray(crystal.xyz), pbc=True,
        masses=masses,
    )  # fmt: skip
    atoms.calc = CompiledCalculator(potential, crystal, skin)
    return atoms
