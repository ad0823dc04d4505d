"""Electronic structure of molecules from learned Hamiltonians: orbitals, blocks, diagonalisation, properties, networks."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .basis import BasisSet, Orbitals
    from .blocks import block_irreps, block_layout
    from .config import HamiltonianConfig
    from .data import HamiltonianData
    from .diagonal import Orthogonal, eigenvalues, electron_pairs, fermi_projector, inverse_root, projector, require_gap
    from .evaluation import HamiltonianErrors, errors_of, evaluate, with_novelty
    from .files import shipped_hamiltonians
    from .integrals import dipole_integrals, overlap, require_independent
    from .model import HamiltonianModel
    from .properties import ElectronicStructure, electronic_structure
    from .recipe import EpochOfHamiltonian, HamiltonianRecipe
    from .source import HamiltonianSource
    from .training import read_trained, train

__all__ = [
    "BasisSet",
    "ElectronicStructure",
    "EpochOfHamiltonian",
    "HamiltonianConfig",
    "HamiltonianData",
    "HamiltonianErrors",
    "HamiltonianModel",
    "HamiltonianRecipe",
    "HamiltonianSource",
    "Orbitals",
    "Orthogonal",
    "block_irreps",
    "block_layout",
    "dipole_integrals",
    "eigenvalues",
    "electron_pairs",
    "electronic_structure",
    "errors_of",
    "evaluate",
    "fermi_projector",
    "inverse_root",
    "overlap",
    "projector",
    "read_trained",
    "require_gap",
    "require_independent",
    "shipped_hamiltonians",
    "train",
    "with_novelty",
]

__getattr__, __dir__ = lazy(
    __name__,
    names={
        "BasisSet": "basis",
        "ElectronicStructure": "properties",
        "EpochOfHamiltonian": "recipe",
        "HamiltonianConfig": "config",
        "HamiltonianData": "data",
        "HamiltonianErrors": "evaluation",
        "HamiltonianModel": "model",
        "HamiltonianRecipe": "recipe",
        "HamiltonianSource": "source",
        "Orbitals": "basis",
        "Orthogonal": "diagonal",
        "block_irreps": "blocks",
        "block_layout": "blocks",
        "dipole_integrals": "integrals",
        "eigenvalues": "diagonal",
        "electron_pairs": "diagonal",
        "electronic_structure": "properties",
        "errors_of": "evaluation",
        "evaluate": "evaluation",
        "fermi_projector": "diagonal",
        "inverse_root": "diagonal",
        "overlap": "integrals",
        "projector": "diagonal",
        "read_trained": "training",
        "require_gap": "diagonal",
        "require_independent": "integrals",
        "shipped_hamiltonians": "files",
        "train": "training",
        "with_novelty": "evaluation",
    },
)
