"""A learned Hamiltonian as a source: what follows from it of the molecule in a crystal, for terms to read."""

from __future__ import annotations

import jax.numpy as jnp

from .._struct import set_fields, static
from ..crystal import Crystal, lattice
from ..errors import ConventionError
from ..objective.source import PhaseSource, Source
from ..objective.state import Provision
from ..typing import Array
from .basis import BasisSet, Orbitals, symbols
from .diagonal import electron_pairs
from .model import HamiltonianModel
from .properties import electronic_structure

_QUANTITIES = ("orbital_energies", "gap", "dipole", "mulliken_charges", "lowdin_charges")


class HamiltonianSource(Source):
    """Orbital energies (Hartree), gap (Hartree), dipole (e bohr) and charges of one molecule, as ``state.of("gap")`` and so on.

    The crystal is one molecule in P1 in a box of any size: its atoms stand where their coordinates say, none is moved by a lattice
    vector, and no neighbouring cell is seen. Derivatives by coordinates and cell are exact. ::

        objective = jn.Objective(terms, crystal=molecule, models=HamiltonianSource(model))

    Attributes:
        model: of the whole matrix (``config.start == ""``): the matrix of a start is not known where atoms move.
        charge: of the molecule.
    """

    model: HamiltonianModel
    charge: int = static()

    def __init__(self, model: HamiltonianModel, charge: int = 0):
        set_fields(self, model=model, charge=charge)

    def for_phase(
        self, phase: str, crystal: Crystal, *, memory_bytes: int | None = None, device: str | None = None
    ) -> PhaseSource:
        """Plan for one molecule (host).

        Raises:
            ConventionError: a model that needs the matrix of a start, a crystal with symmetry, an odd number of electrons, or
                elements the model does not know.
        """
        config = self.model.config
        if config.start:
            raise ConventionError(
                f"the model adds to the matrix of {config.start!r}, which is not known where atoms move; train one of the whole "
                'matrix (start="") to have it in an objective'
            )
        if len(crystal.group.rotations) > 1:
            raise ConventionError(
                f"{crystal.name} has the space group {crystal.group.name}; a molecule is given with all its atoms in P1"
            )
        elements = symbols(crystal.species)
        electron_pairs(elements, self.charge)
        self.model.layout(elements)
        provisions = tuple(Provision(phase, name) for name in _QUANTITIES)
        return PhaseHamiltonian(
            model=self.model, charge=self.charge, elements=elements, name="Hamiltonian", phase=phase, provisions=provisions
        )  # fmt: skip


class PhaseHamiltonian(PhaseSource):
    """A learned Hamiltonian of one molecule.

    Attributes:
        model, charge: as of `HamiltonianSource`.
        elements: of the atoms.
        The others are those of `PhaseSource`.
    """

    model: HamiltonianModel
    charge: int = static()
    elements: tuple[str, ...] = static()
    name: str = static()
    phase: str = static()
    provisions: tuple[Provision, ...] = static()

    def evaluate(self, crystal: Crystal) -> dict[str, Array]:
        xyz = jnp.asarray(crystal.xyz) @ lattice(jnp.asarray(crystal.cell))
        h = self.model.correction(xyz[None], self.elements)[0]
        orbitals = Orbitals(self.elements, BasisSet.load(self.model.config.basis))
        found = electronic_structure(orbitals, h, xyz, charge=self.charge)
        values = (found.energies, found.gap, found.dipole, found.mulliken, found.lowdin)
        return dict(zip(_QUANTITIES, values, strict=True))
