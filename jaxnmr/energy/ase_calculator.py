"""`EnergyCalculator`: energy, forces and stress of ASE ``Atoms`` (host)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from ..crystal import Crystal
from ..errors import ConventionError
from .model import EnergyModel
from .prediction import GPA


class EnergyCalculator(Calculator):
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, ASE's order xx yy zz yz xz xy) of periodic ``Atoms``.

    Neighbours are listed again only when atoms or cell have moved by more than the skin allows.

    Args:
        model: a model, the name of a shipped one, or a file for :meth:`EnergyModel.load`.

    Example:
        >>> atoms.calc = EnergyCalculator("chgnet-r2scan")  # doctest: +SKIP
        >>> atoms.get_potential_energy()  # doctest: +SKIP
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 (as ASE's)

    def __init__(self, model: EnergyModel | str | Path):
        super().__init__()
        self.model = model if isinstance(model, EnergyModel) else EnergyModel.load(model)
        self._known: tuple[tuple[str, ...], Any] | None = None

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Called by ASE; predicts everything at once.

        Raises:
            ConventionError: atoms without a three-dimensional periodic cell, or that the model cannot take.
        """
        super().calculate(atoms, properties, system_changes)
        atoms = self.atoms
        if atoms.cell.rank < 3 or not atoms.pbc.all():
            raise ConventionError(
                f"atoms have {atoms.cell.rank} cell vectors and pbc = {atoms.pbc.tolist()}; energies are predicted for "
                "crystals: set a cell and pbc=True, for a molecule a box wider than twice the cutoff"
            )
        symbols = tuple(atoms.get_chemical_symbols())
        crystal = Crystal.create(
            cell=atoms.cell.cellpar(), spacegroup="P 1", species=symbols, xyz=atoms.get_scaled_positions(wrap=False),
            name="atoms",
        )  # fmt: skip
        # the axes of a crystal follow from its cell; those of the atoms may be turned
        turn = np.linalg.solve(np.asarray(crystal.lattice(), dtype=float), np.asarray(atoms.cell))
        plan = self._plan(symbols, crystal)
        found = self.model.predict(crystal, plan)
        stress = turn.T @ (found.stress_gpa / GPA) @ turn
        self.results = {
            "energy": found.energy_ev,
            "free_energy": found.energy_ev,
            "forces": found.forces_ev_angstrom @ turn,
            "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }

    def _plan(self, symbols: tuple[str, ...], crystal: Crystal):
        if self._known is not None and self._known[0] == symbols:
            plan = self._known[1]
            if float(plan.margin(crystal)) > 0:
                return plan
            plan = plan.renewed(crystal)
        else:
            plan = self.model.plan(crystal)
        self._known = (symbols, plan)
        return plan
