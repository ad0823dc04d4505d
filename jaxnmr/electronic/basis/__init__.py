"""Atomic orbitals: basis sets, and the order of their functions in matrices."""

from .orbitals import Orbitals
from .sets import BasisSet, Shell, atomic_numbers, shipped_basis_sets, symbols

__all__ = ["BasisSet", "Orbitals", "Shell", "atomic_numbers", "shipped_basis_sets", "symbols"]
