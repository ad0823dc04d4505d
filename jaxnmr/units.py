"""Physical constants and unit conversions, each with its source.

Everything here is a plain number: kernels carry no unit objects.

Example:
    >>> round(jn.units.b_to_u(0.8), 5)
    0.01013
"""

import math
from typing import SupportsFloat, TypeVar, cast

import numpy as np

Number = TypeVar("Number", float, np.ndarray)

HC_EV_ANGSTROM = 12398.419843320026  # eV Å, exact since the 2019 SI: h c / e
EIGHT_PI2 = 8.0 * math.pi**2  # B = 8 pi^2 U
FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
CENTIDEG = 0.01  # degree per centidegree, the unit of Caglioti and Lorentzian width coefficients
# from these magnitudes on, numbers are written with a power of ten: _LONG if their uncertainty is _VAGUE or larger,
# else _ENDLESS
_LONG, _VAGUE, _ENDLESS = 1e7, 100.0, 1e12
MOLAR_ATOMIC_DENSITY = 1.66053906660  # g/cm3 per (g/mol)/Å3, CODATA 2018


def b_to_u(b: Number) -> Number:
    """Convert Debye-Waller ``B`` (Å²) to mean-square displacement ``U`` (Å²)."""
    return b / EIGHT_PI2


def u_to_b(u: Number) -> Number:
    """Convert mean-square displacement ``U`` (Å²) to Debye-Waller ``B`` (Å²)."""
    return u * EIGHT_PI2


def photon_energy_ev(wavelength: float) -> float:
    """Return the photon energy in eV of X-rays of a wavelength in Å."""
    return HC_EV_ANGSTROM / wavelength


def format_esd(value: SupportsFloat, esd: float | None = None, *, digits: int = 4) -> str:
    """Format a value with its standard uncertainty in crystallographic notation: ``0.1234(5)``, ``9.37186(14)``.

    The uncertainty has two digits up to 19 and one digit from 2 on (``0.0013``: ``13``; ``0.0024``: ``2``); the value
    has as many decimals as the uncertainty. Numbers with many trailing zeros are written with a power of ten:
    ``2.165(2)e12``.

    Args:
        value: any number.
        esd: standard uncertainty in the same unit; ``None``, 0 or not finite for a value without one.
        digits: decimals of a value without uncertainty (trailing zeros are dropped).

    Returns:
        The text; ``"?"`` (CIF for unknown) when ``value`` is not finite.

    Source: CIF core dictionary, ``_cell_length_a`` and the "rule of 19" of Acta Crystallographica.
    """
    value = float(value)
    if not math.isfinite(value):
        return "?"
    sure = esd is None or not math.isfinite(esd) or esd <= 0
    # no power of ten where significant digits reach the units place
    if abs(value) >= (_ENDLESS if sure else _LONG) and (sure or cast(float, esd) >= _VAGUE):
        power = math.floor(math.log10(abs(value)))
        unit = 10.0**power
        return f"{format_esd(value / unit, None if sure else cast(float, esd) / unit, digits=max(digits, 8))}e{power}"
    if esd is None or not math.isfinite(esd) or esd <= 0:
        text = f"{value:.{digits}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return "0" if text in ("-0", "") else text
    decimals = -math.floor(math.log10(esd))
    leading = round(esd * 10.0 ** (decimals + 1))
    if leading <= 19:
        decimals += 1
    else:
        leading = round(leading / 10)  # 97 in the fourth decimal becomes 10 in the third
    if decimals >= 0:
        text = f"{value:.{decimals}f}"
    else:
        text = f"{round(value, decimals):.0f}"
        leading *= 10**-decimals
    if float(text) == 0.0:
        text = text.lstrip("-")
    return f"{text}({leading})"
