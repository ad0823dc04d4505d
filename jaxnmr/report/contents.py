"""Contents of a unit cell: formula, formula units, mass, density, electrons, absorption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from ..crystal.polar import atomic_numbers
from ..diffraction.scattering import scattering_factors
from ..units import MOLAR_ATOMIC_DENSITY

if TYPE_CHECKING:
    from ..crystal import Crystal

# numbers of atoms this close to an integer are taken as integers
_WHOLE = 0.02
# classical electron radius, Å (CODATA 2018)
_ELECTRON_RADIUS = 2.8179403262e-5


@dataclass(frozen=True)
class Contents:
    """Contents of a unit cell.

    Attributes:
        atoms: number of atoms of every element in the cell, in Hill order: C and H first if there is C, others
            alphabetically.
        z: formula units: greatest common divisor of the numbers of atoms, or of positions if those are not integers.
        mass: mass of the cell, g/mol; ``density`` g/cm³.
        electrons: electrons of neutral atoms in the cell: F(000) for X-rays.
    """

    atoms: Mapping[str, float]
    z: int
    mass: float
    density: float
    electrons: float

    @classmethod
    def of(cls, crystal: Crystal) -> Contents:
        """Calculate the contents of a crystal, with occupancies."""
        multiplicity = np.array([site.multiplicity for site in crystal.sites()])
        occupied = multiplicity * np.asarray(crystal.occupancy, dtype=float)
        totals: dict[str, float] = {}
        for element, number in zip(crystal.elements, occupied.tolist(), strict=True):
            totals[element] = totals.get(element, 0.0) + number
        first = ("C", "H", "D") if "C" in totals else ()
        order = sorted(totals, key=lambda e: (first.index(e) if e in first else len(first), e))
        whole = all(abs(n - round(n)) < _WHOLE and round(n) > 0 for n in totals.values())
        numbers = [round(n) for n in totals.values()] if whole else multiplicity.tolist()
        mass, volume = crystal.cell_mass(), float(crystal.volume())
        return cls(
            atoms={e: totals[e] for e in order},
            z=reduce(gcd, numbers),
            mass=mass,
            density=mass * MOLAR_ATOMIC_DENSITY / volume,
            electrons=float(np.asarray(atomic_numbers(crystal)) @ occupied),
        )

    @property
    def unit(self) -> dict[str, float]:
        """Atoms per formula unit."""
        return {element: number / self.z for element, number in self.atoms.items()}

    def formula(self) -> str:
        """Format the formula as in CIF: ``"Al2 O3"``, ``"Na0.5 Nb O3"``."""
        return " ".join(element + number(n) for element, n in self.unit.items())


def number(n: float) -> str:
    """Format a number of atoms: empty for 1, without decimals for integers."""
    return "" if abs(n - 1.0) < 5e-4 else f"{n:.3f}".rstrip("0").rstrip(".")


def absorption_per_mm(crystal: Crystal, wavelength: float) -> float:
    """Return the photoelectric absorption of X-rays, 1/mm: ``2 r_e λ Σ f″ / V`` over the cell (optical theorem)."""
    f2 = np.asarray(scattering_factors(crystal.elements, "xray", wavelength).f2, dtype=float)
    multiplicity = np.array([site.multiplicity for site in crystal.sites()])
    total = float(f2 @ (multiplicity * np.asarray(crystal.occupancy, dtype=float)))
    return 1e7 * 2.0 * _ELECTRON_RADIUS * wavelength * total / float(crystal.volume())
