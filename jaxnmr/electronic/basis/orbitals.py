"""Which function of a matrix belongs to which atom and shell.

Functions are in the order of pyscf for real spherical Gaussians: atom by atom; s, p, d shells of an atom; p as x, y, z; d as
xy, yz, z², xz, x²-y².
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from .sets import BasisSet, Shell, atomic_numbers, symbols


@dataclass(frozen=True)
class Orbitals:
    """The basis functions of a molecule; hashable, so that programs are compiled once for each.

    Attributes:
        elements: of the atoms, in order.
        basis: the basis set.
    """

    elements: tuple[str, ...]
    basis: BasisSet

    @classmethod
    def of(cls, atoms: Iterable[int | str], basis: BasisSet | str = "def2-SVP") -> "Orbitals":
        """Functions of atoms given by number or symbol.

        Raises:
            ConventionError: an element that the basis set lacks.
        """
        found = BasisSet.load(basis) if isinstance(basis, str) else basis
        elements = symbols(atoms)
        for element in elements:
            found.of(element)
        return cls(elements, found)

    @cached_property
    def shells(self) -> tuple[tuple[int, int, Shell], ...]:
        """``(atom, first function, shell)`` of all shells."""
        out, start = [], 0
        for atom, element in enumerate(self.elements):
            for shell in self.basis.of(element):
                out.append((atom, start, shell))
                start += shell.size
        return tuple(out)

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """The functions of every atom."""
        ends = np.cumsum([0] + [self.basis.size(element) for element in self.elements])
        return tuple(slice(int(a), int(b)) for a, b in pairwise(ends))

    @property
    def size(self) -> int:
        """Number of functions."""
        return self.slices[-1].stop

    @property
    def atoms(self) -> np.ndarray:
        """``(size,)`` the atom of every function."""
        return np.repeat(np.arange(len(self.elements)), [s.stop - s.start for s in self.slices])

    @property
    def numbers(self) -> np.ndarray:
        """``(n,)`` atomic numbers."""
        return atomic_numbers(self.elements)

    @property
    def labels(self) -> tuple[str, ...]:
        """``"1 O 2px"``: atom from 1, element, shell by its number from the lowest, function."""
        names = (("",), ("x", "y", "z"), ("xy", "yz", "z^2", "xz", "x2-y2"))
        out, count = [], {}  # type: ignore[var-annotated]
        for atom, _, shell in self.shells:
            key = (atom, shell.l)
            count[key] = count.get(key, shell.l) + 1
            out += [f"{atom + 1} {self.elements[atom]} {count[key]}{'spd'[shell.l]}{m}" for m in names[shell.l]]
        return tuple(out)

    def reordered(self, order: Iterable[int]) -> np.ndarray:
        """``(size,)`` functions of this molecule in the order they have when its atoms are put in another order."""
        return np.concatenate([np.arange(self.size)[self.slices[int(k)]] for k in order])
