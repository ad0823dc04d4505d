"""Scattering factors: X-ray form factors of atoms and ions with anomalous dispersion, neutron scattering lengths.

Tables come from gemmi: International Tables C (1992) four-Gaussian coefficients, Cromer-Liberman f' and f'',
and the 1992 neutron scattering lengths of Sears (Neutron News 3, 26), real parts at thermal energies. Lengths of
isotopes, from the same source, are tabulated in this package.
"""

import gemmi
import numpy as np
from jaxtyping import Float

from .._struct import Struct
from .._warn import warn
from ..crystal import element_of, mass_number_of
from ..errors import ConventionError
from ..typing import Array
from ..units import photon_energy_ev
from ._isotopes import MONOISOTOPIC, SCATTERING_LENGTHS_FM


class ScatteringFactors(Struct):
    """Scattering factors of each site: ``f(s) = sum_k a_k exp(-b_k s²) + c + f1 + i f2`` with ``s = sin(theta)/lambda``.

    Attributes:
        a, b: electrons and Å² (zero for neutrons).
        c: electrons, or the bound coherent scattering length in fm.
        f1, f2: anomalous dispersion in electrons (zero for neutrons).
    """

    a: Float[Array, "sites 4"]
    b: Float[Array, "sites 4"]
    c: Float[Array, " sites"]
    f1: Float[Array, " sites"]
    f2: Float[Array, " sites"]


def scattering_factors(species: tuple[str, ...], radiation: str, wavelength: float) -> ScatteringFactors:
    """Look up the scattering factors of type symbols such as ``"O"``, ``"Ca2+"``, ``"D"``, ``"7Li"`` (host).

    X-rays do not distinguish isotopes, nor neutrons charges. An ion that is not tabulated scatters X-rays as the
    neutral atom, with a warning.

    Raises:
        ConventionError: an element or isotope that is not tabulated.
    """
    rows = [_neutron(s) if radiation == "neutron" else _xray(s, wavelength) for s in species]
    a, b, c, f1, f2 = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    return ScatteringFactors(a=a, b=b, c=c, f1=f1, f2=f2)


def _neutron(symbol: str) -> tuple[np.ndarray, np.ndarray, float, float, float]:
    element, mass_number = element_of(symbol)[0], mass_number_of(symbol)
    isotopes = SCATTERING_LENGTHS_FM.get(element, {})
    if mass_number is not None and mass_number != MONOISOTOPIC.get(element):
        if mass_number not in isotopes:
            known = ", ".join(f"{a}{element}" for a in isotopes) or "none of its isotopes"
            raise ConventionError(
                f"no neutron scattering length of {mass_number}{element} is tabulated; {known} is there, and {element!r} "
                "for the natural mixture"
            )
        return np.zeros(4), np.zeros(4), isotopes[mass_number], 0.0, 0.0
    table = gemmi.Element(element).neutron92
    length = 0.0 if table is None else table.get_coefs()[0]
    if length == 0.0:  # the table's mark for radioactive elements that have not been measured
        raise ConventionError(f"no neutron scattering length of {element} is tabulated; use X-rays, or another element")
    return np.zeros(4), np.zeros(4), length, 0.0, 0.0


def _xray(symbol: str, wavelength: float) -> tuple[np.ndarray, np.ndarray, float, float, float]:
    element, charge = element_of(symbol)
    table = _it92(element, charge)
    if table is None and charge and (table := _it92(element, 0)) is not None:
        known = ", ".join(
            f"{abs(q)}{'-' if q < 0 else '+'}" for q in range(-4, 8) if q and _it92(element, q) is not None
        )
        warn(
            f"no X-ray form factor of {symbol} is tabulated: it scatters as the neutral atom {element}"
            + (f"; {element} is there with charges {known}" if known else ""),
        )
    if table is None:
        raise ConventionError(f"no X-ray form factor of {element} is tabulated; use another element")
    f1, f2 = dispersion(element, wavelength)
    return np.array(table.a), np.array(table.b), float(table.c), f1, f2


def dispersion(element: str, wavelength: float) -> tuple[float, float]:
    """Return tabulated f' and f'' of an element in electrons at a wavelength in Å (host)."""
    number = gemmi.Element(element).atomic_number
    # hydrogen and helium have negligible anomalous scattering
    return gemmi.cromer_liberman(z=number, energy=photon_energy_ev(wavelength)) if number > 2 else (0.0, 0.0)


def _it92(element: str, charge: int) -> gemmi.IT92Coef | None:
    # gemmi ignores charges unless told otherwise, through a process-wide switch: set it for the look-up only.
    before = gemmi.IT92_get_ignore_charge()
    gemmi.IT92_set_ignore_charge(False)
    try:
        table = gemmi.IT92_get_exact(gemmi.Element("H" if element == "D" else element), charge)
    finally:
        gemmi.IT92_set_ignore_charge(before)
    return table
