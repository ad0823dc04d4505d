"""Physical constants and unit conversions, each with its source.

Everything here is a plain number: kernels carry no unit objects.
"""

import math

HC_EV_ANGSTROM = 12398.419843320026  # eV Å, exact since the 2019 SI: h c / e
EIGHT_PI2 = 8.0 * math.pi**2  # B = 8 pi^2 U
FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
CENTIDEG = 0.01  # degree per centidegree, the unit of Caglioti and Lorentzian width coefficients
MOLAR_ATOMIC_DENSITY = 1.66053906660  # g/cm3 per (g/mol)/Å3, CODATA 2018


def b_to_u(b):
    """Debye-Waller ``B`` (Å²) to mean-square displacement ``U`` (Å²)."""
    return b / EIGHT_PI2


def u_to_b(u):
    """Mean-square displacement ``U`` (Å²) to Debye-Waller ``B`` (Å²)."""
    return u * EIGHT_PI2


def photon_energy_ev(wavelength):
    """Photon energy in eV of an X-ray wavelength in Å."""
    return HC_EV_ANGSTROM / wavelength
