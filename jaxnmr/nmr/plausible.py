"""Plausibility checks that reject numbers probably given in another unit and suggest that unit."""

import numpy as np

from ..errors import ConventionError
from .isotopes import isotope as isotope_data
from .isotopes import reference_hz

# smallest and largest plausible size in the expected unit; smaller values were probably typed in a unit a thousand or a
# million times larger (kHz, MHz), larger ones in a smaller one. Zero, and its rounding errors, are accepted in any unit
_SPEED_HZ = (200.0, 1e6)
_LEAST_COUPLING_HZ = 100.0
_ROUNDING_HZ = 1e-3
_MOST_PPM = 1e5
_FIELD_TESLA = (0.02, 100.0)
_LEAST_LARMOR_HZ = 1e4
# line widths: those of liquids are a tenth of a Hz, so that there is no minimum
_MOST_WIDTH_HZ = 5e6
_MOST_J_HZ, _MOST_DIPOLAR_HZ = 1e5, 1e6
_BANDWIDTH_HZ = (1e3, 1e9)
_FIELD_OF_PULSES_HZ = (150.0, 1e7)
_PULSE_S = (1e-8, 0.1)
_DEAD_TIME_S = (1e-8, 0.05)
_WINDOW_HZ = (5.0, 1e8)
# eQ/h times a field gradient of one atomic unit, per barn; the largest gradients in molecules and solids are 3 atomic
# units for light elements and metals, and 15 for heavy halogens and p elements with a covalent bond (C_Q of 127I in I2:
# 2.5 GHz)
_HZ_PER_BARN = 234.9648e6
_MOST_GRADIENT, _MOST_GRADIENT_HEAVY = 6.0, 25.0
_FIRST_HEAVY, _CHLORINE = 33, 17
# simple fractions of a turn in radians
_TWELFTHS_OF_PI = np.pi / 12.0 * np.arange(1, 25)
_HZ = {1.0: "Hz", 1e3: "kHz", 1e6: "MHz", 1e9: "GHz"}
_SECONDS = {1.0: "s", 1e-3: "ms", 1e-6: "µs", 1e-9: "ns"}


def _in_hz(hz: float) -> str:
    """Format a frequency with its customary unit."""
    factor = max((f for f in _HZ if f <= abs(hz)), default=1.0)
    return f"{hz / factor:g} {_HZ[factor]}"


def guessed(value: float, low: float, high: float, words: dict[float, str]) -> str:
    """Return the unit in which a number outside ``[low, high]`` was probably given, ``""`` if none makes it plausible.

    Args:
        value: in the expected unit.
        low, high: plausible range.
        words: names of units by their size in the expected one.
    """
    fits = [factor for factor in words if factor != 1.0 and low <= abs(value) * factor <= high]
    return words[min(fits, key=lambda factor: abs(np.log(factor)))] if fits else ""


def check_size(where: str, value: float, low: float, high: float, words: dict[float, str], unit: str) -> None:
    """Refuse a size outside a range, suggesting the unit in which it would be inside; 0 is accepted.

    Args:
        where: name of the number, at the beginning of a sentence.
        value: in ``unit``.
        low, high: plausible range.
        words: names of units by their size in ``unit``, for guessing.
        unit: the expected one.

    Raises:
        ConventionError: the size is outside the range.
    """
    size = abs(value)
    if size == 0.0 or low <= size <= high:
        return
    other = guessed(value, low, high, words)
    factor = next((f for f, word in words.items() if word == other), 1.0)
    question = f": is it in {other}? Then it is {value * factor:.12g}" if other else ""
    bound = f"from {low:g} on" if size < low else f"up to {high:g}"
    raise ConventionError(f"{where} is {value:g} {unit}{question} (expected in {unit}, {bound})")


_TO_HZ = {1e-6: "µHz", 1e-3: "mHz", **_HZ}


def check_larmor(isotope: str, larmor_hz: float) -> None:
    """Refuse a Larmor frequency in MHz, or one that no magnet reaches.

    Raises:
        ConventionError: an implausible frequency.
    """
    if not 0 < larmor_hz < np.inf:
        raise ConventionError(f"larmor_hz is {larmor_hz:g}; expected a positive number in Hz")
    if larmor_hz < _LEAST_LARMOR_HZ:
        raise ConventionError(f"larmor_hz is {larmor_hz:g} Hz: is it in MHz? Then larmor_hz={larmor_hz:g}e6")
    per_tesla = reference_hz(isotope, 1.0)
    low, high = _FIELD_TESLA
    field = larmor_hz / per_tesla
    if low <= field <= high:
        return
    at = f"{isotope} at {_in_hz(larmor_hz)} needs a field of {field:.3g} T: "
    for factor in (1e-3, 1e-6, 1e3, 1e6):
        if 1.0 <= field * factor <= 40.0:
            right = larmor_hz * factor
            raise ConventionError(
                f"{at}is the frequency in another unit? It would be {right / 1e6:.9g} MHz (larmor_hz={right:.9g})"
            )
    raise ConventionError(
        f"{at}is the frequency in another unit (larmor_hz is in Hz, larmor_mhz in MHz), or of another nucleus?"
    )


def check_speed(mas_hz: float) -> None:
    """Refuse a spinning rate in kHz; 0 and infinity are accepted.

    Raises:
        ConventionError: an implausible rate.
    """
    low, high = _SPEED_HZ
    if 0 < mas_hz < low:
        raise ConventionError(
            f"mas_hz is {mas_hz:g}, a speed of {mas_hz:g} Hz: is it in kHz? Then mas_hz = {1e3 * mas_hz:g} (speeds below {low:g} Hz "
            "are not taken)"
        )
    if high < mas_hz < np.inf:
        less = 1e-3 * mas_hz
        question = f": is it in mHz? Then mas_hz = {less:g}" if low <= less <= high else ""
        raise ConventionError(f"mas_hz is {mas_hz:g}, a speed of {mas_hz / 1e3:g} kHz: expected it in Hz{question}")


def check_coupling(where: str, hz: float, isotope: str) -> None:
    """Refuse a quadrupolar coupling in MHz or kHz instead of Hz, or vice versa.

    The upper limit is that of the largest field gradient in any solid at this nucleus.

    Raises:
        ConventionError: an implausible coupling.
    """
    if _ROUNDING_HZ <= abs(hz) < _LEAST_COUPLING_HZ:
        raise ConventionError(
            f"{where} is {hz:g} Hz: is it in MHz? Then cq_hz = {hz:g}e6 (couplings below {_LEAST_COUPLING_HZ:g} Hz are not taken)"
        )
    nucleus = isotope_data(isotope)
    quadrupole = abs(nucleus.quadrupole_barn)
    heavy = nucleus.protons >= _FIRST_HEAVY or nucleus.protons == _CHLORINE or not quadrupole > 0
    gradient = _MOST_GRADIENT_HEAVY if heavy else _MOST_GRADIENT
    high = gradient * _HZ_PER_BARN * (quadrupole if quadrupole > 0 else 1.0)
    if abs(hz) > high:
        factor = next((f for f in (1e3, 1e6) if abs(hz) / f <= high), None)
        typed = {1e3: "kHz in the place of MHz", 1e6: "Hz in the place of MHz"}
        question = (
            f": is it {_in_hz(hz / factor)}, typed in {typed[factor]}? Then cq_mhz = {hz / factor / 1e6:.9g}, cq_hz = {hz / factor:.9g}"
            if factor
            else ": is it in Hz?"
        )
        raise ConventionError(
            f"{where} is {hz / 1e6:g} MHz, larger than any known coupling of {nucleus.symbol}{question} (cq_hz is in Hz, cq_mhz in "
            "MHz)"
        )


def check_width(where: str, hz: float) -> None:
    """Refuse a line width in a unit smaller than Hz.

    Raises:
        ConventionError: an implausible width.
    """
    check_size(where, hz, 0.0, _MOST_WIDTH_HZ, {1e-3: "mHz", 1e-6: "µHz"}, "Hz")


def check_spin_coupling(where: str, hz: float, *, dipolar: bool) -> None:
    """Refuse couplings between spins that are larger than those of any two nuclei.

    Raises:
        ConventionError: an implausible coupling.
    """
    check_size(where, hz, 0.0, _MOST_DIPOLAR_HZ if dipolar else _MOST_J_HZ, {1e-3: "mHz"}, "Hz")


def check_bandwidth(where: str, hz: float) -> None:
    """Refuse an excitation bandwidth in kHz or MHz.

    Raises:
        ConventionError: an implausible bandwidth.
    """
    check_size(where, hz, *_BANDWIDTH_HZ, _TO_HZ, "Hz")


def check_pulse(length_s: float, rf_hz: float) -> None:
    """Refuse a pulse length in µs or a radio-frequency field in kHz.

    Raises:
        ConventionError: an implausible length or field.
    """
    check_size("length_s", length_s, *_PULSE_S, _SECONDS | {1e6: "Ms"}, "s")
    check_size("rf_hz", rf_hz, *_FIELD_OF_PULSES_HZ, _TO_HZ, "Hz")


def check_dead_time(seconds: float) -> None:
    """Refuse a dead time in µs, or one that was converted twice.

    Raises:
        ConventionError: an implausible dead time.
    """
    check_size("dead_time_s", seconds, *_DEAD_TIME_S, _SECONDS | {1e3: "ks", 1e6: "Ms"}, "s")


def check_window(width_hz: float) -> None:
    """Refuse a frequency window in another unit.

    Raises:
        ConventionError: an implausible width.
    """
    check_size("width_hz", width_hz, *_WINDOW_HZ, _TO_HZ, "Hz")


def check_ppm(where: str, ppm: float) -> None:
    """Refuse shifts and anisotropies in Hz.

    Raises:
        ConventionError: an implausible value.
    """
    if abs(ppm) > _MOST_PPM:
        raise ConventionError(f"{where} is {ppm:g} ppm, a tenth of the Larmor frequency or more: is it in Hz?")


def check_degrees(where: str, degrees: float) -> None:
    """Refuse an angle that is a simple fraction of pi, and hence in radians.

    Raises:
        ConventionError: such an angle.
    """
    if np.any(np.abs(abs(degrees) - _TWELFTHS_OF_PI) < 5e-4):
        raise ConventionError(
            f"{where} is {degrees:g}°, which are {np.degrees(degrees):.4g}° if it is in radians: give angles in degrees"
        )


def check_rotor_angle(degrees: float) -> None:
    """Refuse a rotor angle above 90 degrees or in radians.

    Raises:
        ConventionError: such an angle.
    """
    if not 0.0 <= degrees <= 90.0:
        raise ConventionError(f"rotor_angle_deg is {degrees:g}; expected between 0 and 90")
    if 0.0 < degrees <= np.pi / 2:
        raise ConventionError(
            f"rotor_angle_deg is {degrees:g}: is it in radians? Then it is {np.degrees(degrees):.4f}°; the magic angle is 54.7356°"
        )
