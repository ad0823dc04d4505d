"""Records of measured NMR data: `Spectrum` and `Fid`."""

from typing import Self

import numpy as np
from jaxtyping import Complex, Float, Inexact

from .._arguments import checked
from .._struct import Struct, static
from ..errors import ConventionError, DataError, ShapeError
from ..typing import Array, Numbers
from .isotopes import symbol_of


class Spectrum(Struct):
    """A one-dimensional spectrum on a uniform frequency axis. Immutable; use :meth:`create` to build one.

    Attributes:
        frequency_hz: offset from the reference (0 ppm) in Hz, increasing, evenly spaced; positive is
            towards larger shifts, whatever the sign of gamma.
        values: real or complex intensity, any linear scale. The real part is the absorption.
        sigma: standard uncertainty (noise) of the real part, one number or one per point; ``None`` if unknown.
        larmor_hz: frequency of 0 ppm, positive: ``ppm = 1e6 * frequency_hz / larmor_hz``.
        isotope: such as ``"29Si"``; empty if unknown.
        name: its origin, for example a file name.

    Example:
        >>> line = jn.Spectrum.create(frequency_hz=[-200.0, -100.0, 0.0, 100.0], values=[0.0, 1.0, 3.0, 1.0], larmor_hz=100e6, isotope="13C")
        >>> line.ppm
        array([-2., -1.,  0.,  1.])
    """

    frequency_hz: Float[Array, " points"]
    values: Inexact[Array, " points"]
    sigma: Float[Array, "*points_or_one"] | None
    larmor_hz: float = static()
    isotope: str = static()
    name: str = static()

    @classmethod
    @checked
    def create(
        cls,
        frequency_hz: Numbers,
        values: Numbers,
        sigma: Numbers | None = None,
        *,
        larmor_hz: float,
        isotope: str = "",
        name: str = "spectrum",
    ) -> Self:
        """Build and check a spectrum; a decreasing axis is reversed together with its values.

        Raises:
            ShapeError: different lengths, more than one dimension, or fewer than 4 points.
            DataError: non-finite values, an axis that is not evenly spaced, an uncertainty that is not positive.
            ConventionError: a Larmor frequency that is not positive.
        """
        axis, signal = np.asarray(frequency_hz, dtype=float), np.asarray(values)
        if axis.ndim != 1 or axis.shape != signal.shape:
            raise ShapeError(
                f"{name}: axis {axis.shape} and values {signal.shape} must be one-dimensional and equally long"
            )
        if len(signal) < 4:
            raise ShapeError(f"{name}: a spectrum needs at least 4 points, got {len(signal)}")
        if not 0 < larmor_hz < np.inf:
            raise ConventionError(
                f"{name}: the Larmor frequency is {larmor_hz:g} Hz; expected a positive number (Hz, not MHz)"
            )
        for label, array in (("frequency", axis), ("intensity", signal)):
            if not np.isfinite(array).all():
                k = int(np.flatnonzero(~np.isfinite(array))[0])
                raise DataError(f"{name}: {label} is {array[k]} at point {k + 1}; remove or repair that point")
        step = np.diff(axis)
        if (np.abs(step - step.mean()) > 1e-3 * abs(step.mean())).any() or step.mean() == 0:
            k = int(np.argmax(np.abs(step - step.mean())))
            raise DataError(
                f"{name}: the axis is not evenly spaced: {step[k]:g} Hz after point {k + 1}, {step.mean():g} Hz on "
                "average; interpolate onto an even axis"
            )
        noise = None if sigma is None else np.asarray(sigma, dtype=float)
        if noise is not None:
            if noise.shape not in ((), signal.shape):
                raise ShapeError(f"{name}: {noise.shape} uncertainties for {len(signal)} points; give one, or one each")
            if not (np.isfinite(noise) & (noise > 0)).all():
                raise DataError(f"{name}: an uncertainty is not a positive number")
        if step.mean() < 0:
            axis, signal = axis[::-1], signal[::-1]
            noise = noise[::-1] if noise is not None and noise.ndim else noise
        if not np.iscomplexobj(signal):
            signal = signal.astype(float)
        return cls(
            frequency_hz=axis,
            values=signal,
            sigma=noise,
            larmor_hz=float(larmor_hz),
            isotope=symbol_of(isotope),
            name=name,
        )

    @property
    def ppm(self) -> Float[Array, " points"]:
        """The axis as shift in ppm."""
        return self.frequency_hz * (1e6 / self.larmor_hz)

    @property
    def step_hz(self) -> float:
        """Spacing of points in Hz (host)."""
        f = np.asarray(self.frequency_hz)
        return float((f[-1] - f[0]) / (len(f) - 1))

    @checked
    def limited(self, low_ppm: float, high_ppm: float) -> Self:
        """Return the part between two shifts in ppm, in either order (host).

        Raises:
            DataError: fewer than 4 points are left.
        """
        low_ppm, high_ppm = min(low_ppm, high_ppm), max(low_ppm, high_ppm)
        ppm = np.asarray(self.ppm)
        keep = (ppm >= low_ppm) & (ppm <= high_ppm)
        if keep.sum() < 4:
            raise DataError(
                f"{self.name}: {int(keep.sum())} points lie between {low_ppm:g} and {high_ppm:g} ppm; "
                f"the spectrum runs from {ppm[0]:g} to {ppm[-1]:g} ppm"
            )
        sigma = self.sigma if self.sigma is None or np.ndim(self.sigma) == 0 else np.asarray(self.sigma)[keep]
        return self.replace(
            frequency_hz=np.asarray(self.frequency_hz)[keep], values=np.asarray(self.values)[keep], sigma=sigma
        )

    @checked
    def noise(self, low_ppm: float | None = None, high_ppm: float | None = None) -> float:
        """Return the standard deviation of the noise, from a region without signal (host).

        Without a region, the noise is estimated robustly (median) from second differences of neighbouring points, which
        suppresses smooth signals. Zero filling correlates neighbours and makes this estimate too small, so specify an
        empty region for a zero-filled spectrum. In a region, a straight baseline is subtracted first.
        """
        if (low_ppm is None) != (high_ppm is None):
            raise ConventionError("give both ends of the empty region in ppm, or neither")
        if low_ppm is None or high_ppm is None:
            second = np.diff(np.real(np.asarray(self.values)), 2)
            return float(np.median(np.abs(second - np.median(second))) / 0.6744897501960817 / np.sqrt(6.0))
        part = self.limited(low_ppm, high_ppm)
        x = np.linspace(-1.0, 1.0, len(part.frequency_hz))
        y = np.real(np.asarray(part.values))
        return float(np.sqrt(np.sum((y - np.polyval(np.polyfit(x, y, 1), x)) ** 2) / max(len(y) - 2, 1)))


class Fid(Struct):
    """A free induction decay as the spectrometer recorded it. Immutable; use :meth:`create` to build one.

    Attributes:
        values: ``exp(+2 pi i f t)`` is a line at ``carrier_hz + f``.
        dwell_s: time between points in seconds.
        carrier_hz: offset of the carrier from the reference (0 ppm) in Hz.
        larmor_hz: frequency of 0 ppm, positive.
        group_delay: points by which a digital filter delays the signal; need not be an integer.
        isotope: such as ``"29Si"``; empty if unknown.
        name: its origin, for example a file name.
    """

    values: Complex[Array, " points"]
    dwell_s: float = static()
    carrier_hz: float = static()
    larmor_hz: float = static()
    group_delay: float = static()
    isotope: str = static()
    name: str = static()

    @classmethod
    @checked
    def create(
        cls,
        values: Numbers,
        *,
        dwell_s: float,
        larmor_hz: float,
        carrier_hz: float = 0.0,
        group_delay: float = 0.0,
        isotope: str = "",
        name: str = "fid",
    ) -> Self:
        """Build and check a decay.

        Raises:
            ShapeError: not one-dimensional, or fewer than 4 points.
            DataError: non-finite values.
            ConventionError: a dwell time or Larmor frequency that is not positive, a negative group delay.
        """
        signal = np.asarray(values, dtype=complex)
        if signal.ndim != 1 or len(signal) < 4:
            raise ShapeError(f"{name}: expected one dimension with at least 4 points, got {signal.shape}")
        if not np.isfinite(signal).all():
            k = int(np.flatnonzero(~np.isfinite(signal))[0])
            raise DataError(f"{name}: the signal is {signal[k]} at point {k + 1}")
        for label, value in (("dwell time", dwell_s), ("Larmor frequency", larmor_hz)):
            if not 0 < value < np.inf:
                raise ConventionError(f"{name}: the {label} is {value:g}; expected a positive number (s, Hz)")
        if not 0 <= group_delay < len(signal):
            raise ConventionError(f"{name}: a group delay of {group_delay:g} points for {len(signal)} points")
        return cls(
            values=signal,
            dwell_s=float(dwell_s),
            carrier_hz=float(carrier_hz),
            larmor_hz=float(larmor_hz),
            group_delay=float(group_delay),
            isotope=symbol_of(isotope),
            name=name,
        )
