"""Densities of free atoms as sums of Gaussians, for valence electrons or all electrons (host).

Valence atoms: spin-averaged Hartree-Fock atoms with GTH-PBE pseudopotentials, fitted by ``tools/fit_valence_atoms.py``;
their density is hollow where the pseudopotential replaces the core. All-electron atoms: X-ray form factors, see
`jaxnmr.diffraction.scattering`.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from ..crystal import element_of
from ..diffraction.scattering import scattering_factors
from ..errors import ConventionError, ParameterError

AtomKind = Literal["valence", "all-electron"]
KINDS: tuple[AtomKind, ...] = ("valence", "all-electron")
_VALENCE = Path(__file__).with_name("valence_atoms.json")


class Gaussians(NamedTuple):
    """``f(s) = sum of a exp(-b s²)`` with ``s = sin(theta)/lambda``, one row per kind of atom.

    Each Gaussian is a normal distribution of ``a`` electrons with mean-square width ``b/(8 pi²)`` along every axis.

    Attributes:
        a: electrons.
        b: Å², 0 for a point (the constant of X-ray form factors).
    """

    a: Float[np.ndarray, "species gaussians"]
    b: Float[np.ndarray, "species gaussians"]


def atom_gaussians(species: Sequence[str], atoms: AtomKind = "valence") -> Gaussians:
    """Look up free atoms.

    Args:
        species: type symbols, ``"O"``, ``"Ca2+"``, ``"D"``.
        atoms: ``"valence"``, neutral atoms without their cores whatever the charge, or ``"all-electron"``, neutral
            atoms and ions.

    Raises:
        ConventionError: an element is not tabulated.
        ParameterError: the kind of atoms is unknown.
    """
    if atoms not in KINDS:
        raise ParameterError(f"atoms is {atoms!r}; expected 'valence' or 'all-electron'")
    if atoms == "all-electron":
        # the wavelength only affects dispersion, which is not part of a density
        found = scattering_factors(tuple(species), "xray", 1.0)
        a, b, c = (np.asarray(x, dtype=float) for x in (found.a, found.b, found.c))
        return Gaussians(np.column_stack([a, c]), np.column_stack([b, np.zeros(len(c))]))
    table = _valence_atoms()
    elements = ["H" if (e := element_of(symbol)[0]) == "D" else e for symbol in species]
    for element in elements:
        if element not in table:
            raise ConventionError(
                f"there is no valence atom of {element}; those there are: {' '.join(table)}. Take atoms='all-electron'"
            )
    return Gaussians(*(np.stack([np.array(table[e][column]) for e in elements]) for column in ("a", "b")))


def electrons_of(symbol: str, atoms: AtomKind = "valence") -> float:
    """Return the electrons of an atom: ``f(0)``; raises as :func:`atom_gaussians`."""
    return float(atom_gaussians((symbol,), atoms).a.sum())


def valence_elements() -> tuple[str, ...]:
    """List the elements that have a valence atom."""
    return tuple(_valence_atoms())


@lru_cache(maxsize=1)
def _valence_atoms() -> dict:
    return json.loads(_VALENCE.read_text(encoding="utf-8"))["atoms"]
