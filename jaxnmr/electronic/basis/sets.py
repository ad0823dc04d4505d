"""Basis sets of contracted Gaussian functions, read from files of this package (host)."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...crystal import element_of
from ...errors import ConventionError, ParameterError

_FOLDER = Path(__file__).parent
_HIGHEST = 2
# all elements up to argon, in the order of their numbers
_SYMBOLS = "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar".split()


class Shell(NamedTuple):
    """Functions ``sum_k c_k r^l exp(-a_k r²) Y_lm`` of one radial part.

    Attributes:
        l: 0, 1, 2 for s, p, d.
        exponents: a, 1/bohr².
        coefficients: c, such that every real spherical function is normalised to 1.
    """

    l: int
    exponents: tuple[float, ...]
    coefficients: tuple[float, ...]

    @property
    def size(self) -> int:
        """Number of functions."""
        return 2 * self.l + 1

    @classmethod
    def normalised(cls, l: int, exponents: Iterable[float], coefficients: Iterable[float]) -> "Shell":
        """A shell of published coefficients, which are those of normalised primitives, of any norm."""
        a, c = np.array(list(exponents), dtype=float), np.array(list(coefficients), dtype=float)
        # integral of r^(2l+2) exp(-p r²) dr
        radial = lambda p: math.gamma(l + 1.5) / (2.0 * p ** (l + 1.5))
        c = c / np.sqrt(radial(2.0 * a))
        c = c / math.sqrt(float(c @ radial(a[:, None] + a[None, :]) @ c))
        return cls(l, tuple(map(float, a)), tuple(map(float, c)))


@dataclass(frozen=True)
class BasisSet:
    """Shells of every element, s before p before d.

    Attributes:
        name: as quantum chemists write it.
        shells: by element.
    """

    name: str
    shells: Mapping[str, tuple[Shell, ...]]

    @classmethod
    def load(cls, name: str = "def2-SVP") -> "BasisSet":
        """One that comes with the package; upper and lower case are the same.

        Raises:
            ParameterError: there is none of that name.
        """
        if not isinstance(name, str) or name.lower() not in shipped_basis_sets():
            raise ParameterError(
                f"no basis set {name!r} comes with jaxnmr; there are {', '.join(shipped_basis_sets())}"
            )
        return _read(name.lower())

    def of(self, element: str) -> tuple[Shell, ...]:
        """Shells of an element.

        Raises:
            ConventionError: it is not tabulated.
        """
        if element not in self.shells:
            raise ConventionError(
                f"{self.name} is tabulated here for {', '.join(self.shells)}; {element!r} is not among them. "
                "Add it in tools/make_basis_sets.py"
            )
        return self.shells[element]

    def size(self, element: str) -> int:
        """Number of functions of an atom."""
        return sum(shell.size for shell in self.of(element))

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.shells.items())))


def shipped_basis_sets() -> tuple[str, ...]:
    """Names of the basis sets that come with the package, in lower case."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


def symbols(atoms: Iterable[int | str]) -> tuple[str, ...]:
    """Elements of atoms given by number or by symbol.

    Raises:
        ConventionError: one that is none.
    """
    out = []
    for atom in atoms:
        if isinstance(atom, str):
            element, _ = element_of(atom)
            out.append("H" if element == "D" else element)
        elif 1 <= int(atom) <= len(_SYMBOLS):
            out.append(_SYMBOLS[int(atom) - 1])
        else:
            raise ConventionError(f"the atomic number {atom} is not between 1 and {len(_SYMBOLS)}")
    if not out:
        raise ConventionError("a molecule needs at least one atom")
    return tuple(out)


def atomic_numbers(atoms: Iterable[int | str]) -> np.ndarray:
    """Atomic numbers ``(n,)`` of atoms given by number or by symbol."""
    for element in (found := symbols(atoms)):
        if element not in _SYMBOLS:
            raise ConventionError(f"{element} lies beyond {_SYMBOLS[-1]}, for which no basis set is tabulated here")
    return np.array([_SYMBOLS.index(element) + 1 for element in found])


@lru_cache
def _read(name: str) -> BasisSet:
    content = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    shells = {
        element: tuple(Shell.normalised(s["l"], s["exponents"], s["coefficients"]) for s in found)
        for element, found in content["shells"].items()
    }
    for element, found in shells.items():
        ranks = [shell.l for shell in found]
        if ranks != sorted(ranks) or max(ranks) > _HIGHEST:
            raise ConventionError(f"{name}, {element}: shells have the ranks {ranks}; expected s before p before d")
    return BasisSet(content["name"], shells)
