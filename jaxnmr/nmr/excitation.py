"""Excitation profiles of pulses away from the carrier: wide patterns are never excited uniformly."""

from math import log

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._arguments import checked
from .._struct import Struct, set_fields
from ..errors import ConventionError
from ..typing import Array, Scalar, Values
from .plausible import check_bandwidth, check_ppm, check_pulse


class GaussianBandwidth(Struct):
    """An empirical envelope, ``exp(-4 ln 2 (offset/fwhm)^2)``.

    Attributes:
        fwhm_hz: full width at half maximum of the envelope.
        carrier_ppm: centre of the envelope.
    """

    fwhm_hz: Scalar
    carrier_ppm: Scalar

    @checked
    def __init__(self, fwhm_hz: float, carrier_ppm: float = 0.0) -> None:
        if not fwhm_hz > 0:
            raise ConventionError(f"an excitation bandwidth of {fwhm_hz:g} Hz; expected a positive width")
        check_ppm("carrier_ppm", carrier_ppm)
        check_bandwidth("fwhm_hz", fwhm_hz)
        set_fields(self, fwhm_hz=float(fwhm_hz), carrier_ppm=float(carrier_ppm))

    def weight(self, offset_hz: Values, nutation: Scalar) -> Float[Array, "*n"]:
        """Relative signal at offsets from the carrier in Hz, 1 on resonance."""
        return jnp.exp(-4.0 * log(2.0) * (offset_hz / self.fwhm_hz) ** 2)


class Pulse(Struct):
    """A rectangular pulse on one transition treated as an isolated spin 1/2, relative to its signal on resonance.

    A transition m <-> m-1 nutates ``sqrt(I(I+1) - m(m-1))`` times as fast as a spin 1/2 (exact if the quadrupolar
    splitting is far larger than the radio-frequency field). The first-order phase due to the pulse length is removed,
    as in processing; the remaining signal changes sign beyond the nulls.

    Attributes:
        length_s: duration.
        rf_hz: radio-frequency field gamma B1/2pi, as calibrated on a liquid.
        carrier_ppm: carrier position.
        carrier_ppm: carrier position.

    Source: Bloch equations without relaxation; Wokaun & Ernst, J. Chem. Phys. 67, 1752 (1977) for the transition.
    """

    length_s: Scalar
    rf_hz: Scalar
    carrier_ppm: Scalar

    @checked
    def __init__(self, length_s: float, rf_hz: float, carrier_ppm: float = 0.0) -> None:
        if not (length_s > 0 and rf_hz > 0):
            raise ConventionError(f"a pulse of {length_s:g} s at {rf_hz:g} Hz; expected a positive length and field")
        check_ppm("carrier_ppm", carrier_ppm)
        check_pulse(length_s, rf_hz)
        set_fields(self, length_s=float(length_s), rf_hz=float(rf_hz), carrier_ppm=float(carrier_ppm))

    def weight(self, offset_hz: Values, nutation: Scalar) -> Float[Array, "*n"]:
        """Relative signal at offsets from the carrier in Hz, 1 on resonance.

        Args:
            offset_hz: offsets of the lines.
            nutation: nutation frequency of the transition over that of a spin 1/2.
        """
        rf = self.rf_hz * nutation
        effective = jnp.sqrt(rf**2 + offset_hz**2)
        angle = 2 * np.pi * effective * self.length_s
        # magnetisation after the pulse: absorption y and dispersion x
        y = rf / effective * jnp.sin(angle)
        x = rf * offset_hz / effective**2 * (1.0 - jnp.cos(angle))
        twist = np.pi * offset_hz * self.length_s
        on_resonance = jnp.sin(2 * np.pi * rf * self.length_s)
        return (y * jnp.cos(twist) + x * jnp.sin(twist)) / on_resonance


Excitation = GaussianBandwidth | Pulse
