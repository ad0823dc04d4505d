"""Numbers that are likely in another unit: refused with a question, before they become a spectrum that nobody measured."""

import numpy as np

from ..errors import ConventionError
from .isotopes import reference_hz

# the least and the largest size in the unit that is expected; smaller ones are likely typed in one a thousand or a million times
# larger (kHz, MHz), larger ones in a smaller one. Zero is zero in any unit, and rounding of it is, too
_SPEED_HZ = (200.0, 1e6)
_COUPLING_HZ = (100.0, 1e10)
_ROUNDING_HZ = 1e-3
_MOST_PPM = 1e6
_MOST_TESLA = 100.0
_LEAST_LARMOR_HZ = 1e4
# fractions of a turn that people type in radians
_TWELFTHS_OF_PI = np.pi / 12.0 * np.arange(1, 25)


def check_larmor(isotope: str, larmor_hz: float) -> None:
    """Refuse a Larmor frequency in MHz, or one that no magnet has.

    Raises:
        ConventionError: see above.
    """
    if not 0 < larmor_hz < np.inf:
        raise ConventionError(f"larmor_hz is {larmor_hz:g}; expected a positive number in Hz")
    if larmor_hz < _LEAST_LARMOR_HZ:
        raise ConventionError(f"larmor_hz is {larmor_hz:g} Hz: is it in MHz? Then larmor_hz={larmor_hz:g}e6")
    field = larmor_hz / reference_hz(isotope, 1.0)
    if field > _MOST_TESLA:
        raise ConventionError(
            f"{isotope} at {larmor_hz / 1e6:g} MHz needs a field of {field:.3g} T: is the frequency in another unit (larmor_hz is in "
            "Hz, larmor_mhz in MHz), or of another nucleus?"
        )


def check_speed(mas_hz: float) -> None:
    """Refuse a spinning speed in kHz; 0 and infinity pass.

    Raises:
        ConventionError: see above.
    """
    low, high = _SPEED_HZ
    if 0 < mas_hz < low:
        raise ConventionError(
            f"mas_hz is {mas_hz:g}, a speed of {mas_hz:g} Hz: is it in kHz? Then mas_hz = {1e3 * mas_hz:g} (speeds below {low:g} Hz "
            "are not taken)"
        )
    if high < mas_hz < np.inf:
        raise ConventionError(f"mas_hz is {mas_hz:g}, a speed of {mas_hz / 1e3:g} kHz: expected it in Hz")


def check_coupling(where: str, hz: float) -> None:
    """Refuse a quadrupolar coupling in MHz where Hz are meant, or the other way round.

    Raises:
        ConventionError: see above.
    """
    low, high = _COUPLING_HZ
    if _ROUNDING_HZ <= abs(hz) < low:
        raise ConventionError(
            f"{where} is {hz:g} Hz: is it in MHz? Then cq_hz = {hz:g}e6 (couplings below {low:g} Hz are not taken)"
        )
    if abs(hz) > high:
        raise ConventionError(
            f"{where} is {hz / 1e6:g} MHz, larger than any known coupling: is it in Hz? (cq_hz is in Hz, cq_mhz in MHz)"
        )


def check_ppm(where: str, ppm: float) -> None:
    """Refuse shifts and anisotropies in Hz.

    Raises:
        ConventionError: see above.
    """
    if abs(ppm) > _MOST_PPM:
        raise ConventionError(f"{where} is {ppm:g} ppm, more than the whole Larmor frequency: is it in Hz?")


def check_degrees(where: str, degrees: float) -> None:
    """Refuse an angle that is a simple fraction of pi: it is in radians.

    Raises:
        ConventionError: see above.
    """
    if np.any(np.abs(abs(degrees) - _TWELFTHS_OF_PI) < 5e-4):
        raise ConventionError(
            f"{where} is {degrees:g}°, which are {np.degrees(degrees):.4g}° if it is in radians: give angles in degrees"
        )


def check_rotor_angle(degrees: float) -> None:
    """Refuse a rotor angle beyond 90 degrees or in radians.

    Raises:
        ConventionError: see above.
    """
    if not 0.0 <= degrees <= 90.0:
        raise ConventionError(f"rotor_angle_deg is {degrees:g}; expected between 0 and 90")
    if 0.0 < degrees <= np.pi / 2:
        raise ConventionError(
            f"rotor_angle_deg is {degrees:g}: is it in radians? Then it is {np.degrees(degrees):.4f}°; the magic angle is 54.7356°"
        )
