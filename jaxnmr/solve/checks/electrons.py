"""Numbers of electrons of the atoms of a structure, from its intensities (host)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import gemmi
import numpy as np

from ..._arguments import checked
from ..._tables import plain
from ..._words import listed
from ...crystal import Crystal
from ...errors import ConventionError
from ...units import format_esd, photon_energy_ev
from ..records import Intensities
from .area_fit import AreaFit, atomic_number, fit_areas
from .other_setting import areas_in_setting

# standard uncertainties, and fraction of the electrons, by which a count must differ to cast doubt on the composition
_DOUBT_SIGMA, _DOUBT_PART = 3.0, 0.10
# R of square roots of areas above which a structure does not identify its atoms
_WRONG = 0.2
# elements not expected in ordinary solids
_NEVER = frozenset("He Ne Ar Kr Xe Rn At Po Fr Ra Ac Pa Pm Tc".split())
_HEAVIEST = 92


@dataclass(frozen=True)
class ElectronCount:
    """Electrons of the atoms of an element, or of one site.

    Attributes:
        name: element or site label; ``element`` its assigned element.
        z, sigma: number of electrons and its standard uncertainty, 0 for the reference.
        given: atomic number of the element.
    """

    name: str
    element: str
    z: float
    sigma: float
    given: int

    @property
    def doubtful(self) -> bool:
        """Whether it contradicts the element: by more than 3 standard uncertainties and 10 %."""
        off = abs(self.z - self.given)
        return self.sigma > 0.0 and off > _DOUBT_SIGMA * self.sigma and off > _DOUBT_PART * self.given

    def __str__(self) -> str:
        return (
            f"{self.name}: Z = {self.z:.1f} ± {self.sigma:.1f}"
            if self.sigma
            else f"{self.name}: Z = {self.z:g}, by definition"
        )


@dataclass(frozen=True)
class ElectronCounts:
    """Electrons of all atoms of a structure.

    Attributes:
        rows: one row per element or site.
        reference: element with tabulated electrons, since intensities have no absolute scale.
        r_factor: R of square roots of areas with these numbers; ``before`` with those of the elements.
        fit: fit with all parameters.
        wavelength: wavelength of the intensities, Å.
    """

    rows: tuple[ElectronCount, ...]
    reference: str
    r_factor: float
    before: float
    fit: AreaFit
    wavelength: float

    def __getitem__(self, name: str) -> ElectronCount:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"{name}; there are {', '.join(row.name for row in self.rows)}")

    def candidates(self, name: str, *, without: Sequence[str] = ()) -> tuple[str, ...]:
        """List elements with this number of electrons within two standard uncertainties, the nearest first.

        Args:
            name: name of a row.
            without: excluded elements.
        """
        row, energy = self[name], photon_energy_ev(self.wavelength)
        dispersed = lambda z: z + (gemmi.cromer_liberman(z=z, energy=energy)[0] if z > 2 else 0.0)
        seen = row.z + dispersed(row.given) - row.given
        off = {
            element: abs(dispersed(z) - seen)
            for z in range(3, _HEAVIEST + 1)
            if (element := gemmi.Element(z).name) not in _NEVER and element not in without
        }
        near = sorted(off, key=off.__getitem__)
        return tuple(e for k, e in enumerate(near) if k == 0 or off[e] <= 2.0 * max(row.sigma, 0.3))

    @property
    def notes(self) -> tuple[str, ...]:
        """Contradictions to the elements, in words; empty if the structure does not fit even so."""
        if self.r_factor > _WRONG:
            return ()
        return tuple(
            f"{row.name}: the intensities want {format_esd(row.z, row.sigma)} electrons, and {row.element} has {row.given} (all by those of "
            f"{self.reference}): the composition may be wrong, or sites may be partly occupied. Near are "
            f"{listed(self.candidates(row.name)[:4])}"
            for row in self.rows
            if row.doubtful
        )

    def __str__(self) -> str:
        table = [
            [row.name, row.element, f"{row.z:.2f}", f"{row.sigma:.2f}" if row.sigma else "reference", str(row.given)]
            for row in self.rows
        ]
        return plain(("", "element", "electrons", "±", "given"), table)


@checked
def electron_counts(
    crystal: Crystal,
    areas: Intensities,
    *,
    by: Literal["element", "site"] = "element",
    reference: str | None = None,
) -> ElectronCounts:
    """Refine numbers of electrons at the sites of a structure against integrated intensities.

    Scale, free coordinates, one displacement per site (with a wide prior, 0.012(10) Å²) and the numbers are fitted
    together, so that uncertainties include their correlations. Form factors are interpolated between elements
    (:mod:`jaxnmr.diffraction.between_elements`); dispersion is that of the element.

    Args:
        crystal: structure, in any setting.
        areas: X-ray areas from `jn.solve.intensities_in`.
        by: one number for each element, or for each site.
        reference: element with known electrons; by default the one that scatters most.

    Raises:
        ConventionError: neutrons were used, there is a single element, the reference is not in the structure, or the
            structure has another lattice.
        DataError: there are fewer areas than parameters.
    """
    elements = list(dict.fromkeys(e for e in crystal.elements if e not in ("H", "D")))
    copies = np.array([site.multiplicity for site in crystal.sites()]) * np.asarray(crystal.occupancy)
    power = {
        e: sum(n * atomic_number(e) ** 2 for n, other in zip(copies, crystal.elements, strict=True) if other == e)
        for e in elements
    }
    if reference is not None and reference not in elements:
        raise ConventionError(f"reference is {reference!r}; expected one of {', '.join(elements)}")
    reference = reference or max(power, key=lambda e: float(power[e]))
    free = [k for k, e in enumerate(crystal.elements) if e in elements and e != reference]
    if not free:
        raise ConventionError(
            f"{crystal.name} has no element beside {reference}: its number of electrons cannot be told from the scale"
        )
    groups = (
        [[k] for k in free]
        if by == "site"
        else [[k for k in free if crystal.elements[k] == e] for e in elements if e != reference]
    )
    here = areas_in_setting(areas, crystal)
    before = fit_areas(crystal, here)
    fit = fit_areas(before.crystal, here, free_z=groups)
    values, sigmas = fit.of("z")
    found = {k: (value, sigma) for group, value, sigma in zip(groups, values, sigmas, strict=True) for k in group}
    rows, seen = [], set()
    for k, element in enumerate(crystal.elements):
        name = crystal.labels[k] if by == "site" else element
        if element not in elements or name in seen:
            continue
        seen.add(name)
        z, sigma = found.get(k, (float(atomic_number(element)), 0.0))
        rows.append(ElectronCount(name, element, float(z), float(sigma), atomic_number(element)))
    return ElectronCounts(tuple(rows), reference, fit.r_factor, before.r_factor, fit, areas.instrument.wavelengths[0])
