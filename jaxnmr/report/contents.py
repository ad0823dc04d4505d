"""What a unit cell holds: formula, formula units, mass, density, electrons, absorption."""

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

# numbers of atoms this close to whole ones are whole
_WHOLE = 0.02
# classical electron radius, Å (CODATA 2018)
_ELECTRON_RADIUS = 2.8179403262e-5


@dataclass(frozen=True)
class Contents:
    """What a unit cell holds.

    Attributes:
        atoms: number of atoms of every element in the cell, in the order of Hill: C and H first where there is C, others by the alphabet.
        z: formula units: the largest number that divides all numbers of atoms, or where these are not whole those of positions.
        mass: of the cell, g/mol; ``density`` g/cm³.
        electrons: of neutral atoms, in the cell: F(000) for X-rays.
    """

    atoms: Mapping[str, float]
    z: int
    mass: float
    density: float
    electrons: float

    @classmethod
    def of(cls, crystal: Crystal) -> Contents:
        """Of a crystal, occupancies included."""
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
        """Atoms of a formula unit."""
        return {element: number / self.z for element, number in self.atoms.items()}

    def formula(self) -> str:
        """As CIF and people write it: ``"Al2 O3"``, ``"Na0.5 Nb O3"``."""
        return " ".join(element + number(n) for element, n in self.unit.items())


def number(n: float) -> str:
    """A number of atoms behind its element: nothing for 1, no decimals of whole ones."""
    return "" if abs(n - 1.0) < 5e-4 else f"{n:.3f}".rstrip("0").rstrip(".")


def absorption_per_mm(crystal: Crystal, wavelength: float) -> float:
    """Photoelectric absorption of X-rays, 1/mm: ``2 r_e λ Σ f″ / V`` over the atoms of the cell (optical theorem)."""
    f2 = np.asarray(scattering_factors(crystal.elements, "xray", wavelength).f2, dtype=float)
    multiplicity = np.array([site.multiplicity for site in crystal.sites()])
    total = float(f2 @ (multiplicity * np.asarray(crystal.occupancy, dtype=float)))
    return 1e7 * 2.0 * _ELECTRON_RADIUS * wavelength * total / float(crystal.volume())
