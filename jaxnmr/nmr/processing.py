"""Processing of a free induction decay: windows, Fourier transform, digital filter, phase, baseline.

Time zero of a decay lies ``group_delay`` points after its first point. All steps count time from there, so that a
digital filter needs no step of its own: the transform of ``s(t)`` with the true times is free of it, and the filter's
build-up before time zero (negative times) remains part of the signal, which keeps the baseline flat.
"""

import numpy as np
from jaxtyping import Complex, Float

from ..errors import ConventionError, DataError, ParameterError, ShapeError
from ..typing import Numbers
from .records import Fid, Spectrum

__all__ = [
    "apodize",
    "autophase",
    "baseline",
    "fourier_transform",
    "phase",
    "process",
    "remove_digital_filter",
    "start_at",
    "zero_fill",
]


def times_s(fid: Fid) -> Float[np.ndarray, " points"]:
    """Return the time of every point in seconds from time zero, negative within the group delay."""
    return (np.arange(len(fid.values)) - fid.group_delay) * fid.dwell_s


def start_at(fid: Fid, point: int) -> Fid:
    """Drop the points before ``point``, which becomes time zero: the top of an echo (a left shift).

    Raises:
        ConventionError: fewer than 4 points would remain, or ``point`` is negative.
    """
    if not 0 <= point <= len(fid.values) - 4:
        raise ConventionError(f"{fid.name}: cannot start at point {point} of {len(fid.values)}")
    return fid.replace(values=np.asarray(fid.values)[point:], group_delay=0.0)


def remove_digital_filter(fid: Fid) -> Fid:
    """Return the decay as if sampled from time zero on, without the delay of the digital filter.

    The delay need not be an integer: it is a linear phase in the frequency domain (band-limited interpolation), applied
    to the record extended by as many zeros, so that its end does not wrap into its start. The filter's build-up before
    time zero is cut off, so that the first points carry the filter's ripple and the transform has a slightly wavy
    baseline. :func:`fourier_transform` of the decay as recorded avoids this and is preferable; use this function to
    inspect the decay or to pass it to other programs.

    Returns:
        The decay with ``group_delay`` 0, shorter by the delay rounded up.
    """
    if fid.group_delay == 0:
        return fid
    n = len(fid.values)
    cycles = np.fft.fftfreq(2 * n)
    shifted = np.fft.ifft(np.fft.fft(fid.values, 2 * n) * np.exp(2j * np.pi * cycles * fid.group_delay))
    return fid.replace(values=shifted[: n - int(np.ceil(fid.group_delay))], group_delay=0.0)


def apodize(fid: Fid, *, lorentzian_hz: float = 0.0, gaussian_hz: float = 0.0, cosine: int = 0) -> Fid:
    """Multiply by a window that is 1 at time zero.

    Args:
        fid: the decay.
        lorentzian_hz: full width at half maximum of the Lorentzian each line is convolved with,
            ``exp(-pi w t)``; a negative number narrows lines.
        gaussian_hz: full width at half maximum of the Gaussian, ``exp(-(pi w t)^2 / (4 ln 2))``.
        cosine: power of ``cos(pi t / 2T)``, with T the end of the record: 1, 2, or 0 for none.

    Raises:
        ConventionError: a negative Gaussian width or power.
    """
    if gaussian_hz < 0 or cosine < 0:
        raise ConventionError(f"gaussian_hz {gaussian_hz:g} and cosine {cosine} must not be negative")
    t = times_s(fid)
    window = np.exp(-np.pi * lorentzian_hz * t - (np.pi * gaussian_hz * t) ** 2 / (4.0 * np.log(2.0)))
    if cosine:
        window = window * np.cos(0.5 * np.pi * np.maximum(t, 0.0) / (t[-1] + fid.dwell_s)) ** cosine
    return fid.replace(values=np.asarray(fid.values) * window)


def zero_fill(fid: Fid, points: int | None = None) -> Fid:
    """Append zeros up to ``points``; ``None`` means the power of two that at least doubles the length.

    Raises:
        ConventionError: fewer points than the decay has.
    """
    n = len(fid.values)
    points = 2 ** int(np.ceil(np.log2(2 * n))) if points is None else points
    if points < n:
        raise ConventionError(f"{fid.name}: {points} points are fewer than the {n} there are; cut the decay instead")
    return fid.replace(values=np.concatenate([fid.values, np.zeros(points - n)]))


def fourier_transform(fid: Fid, *, first_point: float | None = None) -> Spectrum:
    """Return the spectrum ``S(f) = 2 dt sum s(t) exp(-2 pi i f t)`` with the true times, on the axis of shifts.

    The real part is the absorption of a signal with phase zero at time zero, and its integral over frequency (Hz) is
    the signal at time zero. The axis is ``carrier_hz + k/(N dt)``, ``k = -N/2 .. N/2 - 1``.

    Args:
        fid: the decay; its group delay is taken into account, integer or not.
        first_point: factor of the first recorded point. A sum over points counts the interval at time zero twice,
            which lifts the baseline; 0.5 is correct if time zero is the first point, 1 if a digital filter lets the
            signal rise before it. ``None`` chooses between the two.
    """
    values = np.array(fid.values)
    values[0] *= (1.0 if fid.group_delay else 0.5) if first_point is None else first_point
    n = len(values)
    cycles = np.fft.fftshift(np.fft.fftfreq(n))
    spectrum = np.fft.fftshift(np.fft.fft(values)) * np.exp(2j * np.pi * cycles * fid.group_delay)
    return Spectrum.create(
        fid.carrier_hz + cycles / fid.dwell_s,
        2.0 * fid.dwell_s * spectrum,
        larmor_hz=fid.larmor_hz,
        isotope=fid.isotope,
        name=fid.name,
    )


def phase(spectrum: Spectrum, zero_deg: float = 0.0, first_deg: float = 0.0, *, pivot_ppm: float = 0.0) -> Spectrum:
    """Multiply by ``exp(i (zero + first (f - pivot) / width))``, where ``width`` is the full spectral width.

    Args:
        spectrum: complex values.
        zero_deg: phase at the pivot, degrees.
        first_deg: change of phase over the spectral width, degrees, increasing with the shift.
        pivot_ppm: shift at which the first-order phase is zero.

    Raises:
        DataError: a real spectrum.
    """
    _need_complex(spectrum)
    width_hz = spectrum.step_hz * len(spectrum.values)
    offset = (np.asarray(spectrum.frequency_hz) - pivot_ppm * 1e-6 * spectrum.larmor_hz) / width_hz
    return spectrum.replace(values=np.asarray(spectrum.values) * np.exp(1j * np.radians(zero_deg + first_deg * offset)))


def autophase(spectrum: Spectrum, *, first_limit_deg: float = 360.0) -> tuple[float, float]:
    """Find the phase ``(zero_deg, first_deg)`` about 0 ppm that makes the real part pure absorption, for :func:`phase`.

    It minimises ``sum |real part| / sqrt(sum real part^2)``, with negative points counted twice: absorption is positive
    and decays as ``1/f^2`` away from a line, dispersion as ``1/f``. This holds for powder patterns as well as for
    lines, as long as all of the signal is positive. The spectrum is first smoothed to 1/512 of its width to reduce
    noise. A grid over both phases is followed by a pattern search; there are no random numbers. The phase at the
    strongest line is accurate to about 1 degree at a signal-to-noise ratio of 150, 0.2 at 1000; the first order of a
    single line is poorly determined.

    Args:
        spectrum: complex.
        first_limit_deg: the first-order phase is searched between minus and plus this; 0 fits the zero order alone.
            Large values, needed if points are missing between the signal's time zero and the first point, can
            lead to a spectrum without the rolling baseline caused by those points; set such phases by hand.

    Raises:
        DataError: a real spectrum, or one that is zero everywhere.
        ConventionError: a negative limit.

    Source: the search for the sparsest positive spectrum after Chen et al. (2002), J. Magn. Reson. 158, 164, with
    this measure in place of the entropy of the derivative, which noise disturbs more.
    """
    _need_complex(spectrum)
    if first_limit_deg < 0:
        raise ConventionError(f"first_limit_deg is {first_limit_deg:g}; expected 0 or more")
    smooth, x = _smoothed(np.asarray(spectrum.values))
    power = np.abs(smooth) ** 2
    if not power.sum() > 0:
        raise DataError(f"{spectrum.name}: zero everywhere; there is no phase to find")
    centre = float(np.sum(power * x) / power.sum())
    turn = 2j * np.pi * (x - centre)

    def cost(zero: float, first: float) -> float:
        real = (smooth * np.exp(1j * np.radians(zero) + turn * (first / 360.0))).real
        size = np.abs(real).sum() + np.maximum(-real, 0.0).sum()
        # strong points determine the sign, because the plain sum is the signal at time zero, which may not have been
        # recorded
        return size / np.sqrt((real * real).sum() * len(real)) + float((real * np.abs(real)).sum() < 0)

    firsts = np.linspace(-1.0, 1.0, 2 * int(np.ceil(first_limit_deg / 30.0)) + 1) * first_limit_deg
    best, zero, first = min((cost(z, f), z, f) for f in firsts for z in np.arange(-180.0, 180.0, 15.0))
    step_zero, step_first = 8.0, 16.0 * (first_limit_deg > 0)
    moves = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1)]
    while step_zero > 0.01:
        for up, along in moves:
            trial = zero + up * step_zero, first + along * step_first
            if abs(trial[1]) <= first_limit_deg and (value := cost(*trial)) < best:
                best, (zero, first) = value, trial
                break
        else:
            step_zero, step_first = 0.5 * step_zero, 0.5 * step_first
    # from the centre of the signal to 0 ppm; x counts from point N/2 in units of the width
    n = len(spectrum.values)
    origin = -(np.asarray(spectrum.frequency_hz)[n // 2]) / (spectrum.step_hz * n)
    zero += first * (origin - centre)
    return float((zero + 180.0) % 360.0 - 180.0), float(first)


def _smoothed(
    values: Complex[np.ndarray, " points"],
) -> tuple[Complex[np.ndarray, " fewer"], Float[np.ndarray, " fewer"]]:
    """Convolve with a Gaussian of 1/512 of the width, on at most 4096 points; return this and its axis in widths."""
    n = len(values)
    m = min(n, 4096)
    signal = np.fft.ifft(np.fft.ifftshift(values))
    signal = signal * np.exp(-((np.pi * n * np.fft.fftfreq(n) / 512.0) ** 2) / (4.0 * np.log(2.0)))
    signal = np.concatenate([signal[: m - m // 2], signal[n - m // 2 :]])
    return np.fft.fftshift(np.fft.fft(signal)), np.fft.fftshift(np.fft.fftfreq(m))


def baseline(spectrum: Spectrum, regions_ppm: Numbers, order: int = 1) -> Spectrum:
    """Subtract a polynomial fitted to regions without signal, separately for the real and the imaginary part.

    Args:
        spectrum: real or complex.
        regions_ppm: ``[(low, high), ...]`` in ppm, either order, where there is no signal.
        order: degree of the polynomial.

    Raises:
        DataError: the regions hold no more points than the polynomial has coefficients.
        ConventionError: a negative degree.
        ShapeError: regions that are not pairs.
    """
    regions = np.asarray(regions_ppm, dtype=float)
    if regions.ndim != 2 or regions.shape[1] != 2:
        raise ShapeError(f"regions_ppm has shape {regions.shape}; expected [(low, high), ...] in ppm")
    if order < 0:
        raise ConventionError(f"a polynomial of degree {order}; expected 0 or more")
    ppm, values = np.asarray(spectrum.ppm), np.asarray(spectrum.values)
    low, high = regions.min(axis=1), regions.max(axis=1)
    keep = ((ppm[:, None] >= low) & (ppm[:, None] <= high)).any(axis=1)
    if keep.sum() <= order + 1:
        raise DataError(
            f"{spectrum.name}: {int(keep.sum())} points lie in the regions; a polynomial of degree {order} needs more. "
            f"The spectrum runs from {ppm[0]:g} to {ppm[-1]:g} ppm"
        )
    matrix = np.polynomial.legendre.legvander(np.linspace(-1.0, 1.0, len(ppm)), order)
    fit = np.linalg.lstsq(matrix[keep], values[keep], rcond=None)[0]
    return spectrum.replace(values=values - matrix @ fit)


def process(
    fid: Fid,
    *,
    start: int | None = None,
    points: int | None = None,
    lorentzian_hz: float = 0.0,
    gaussian_hz: float = 0.0,
    cosine: int = 0,
    size: int | None = None,
    first_point: float | None = None,
    zero_deg: float = 0.0,
    first_deg: float = 0.0,
    pivot_ppm: float = 0.0,
    auto: bool = False,
    baseline_ppm: Numbers | None = None,
    baseline_order: int = 1,
) -> Spectrum:
    """Process a decay to a spectrum in one call; each step is a function of this module.

    Args:
        fid: the decay.
        start: point to start at (:func:`start_at`), for echoes.
        points: number of points to keep from there; ``None`` keeps all.
        lorentzian_hz: see :func:`apodize`.
        gaussian_hz: see :func:`apodize`.
        cosine: see :func:`apodize`.
        size: points of the spectrum (:func:`zero_fill`).
        first_point: see :func:`fourier_transform`.
        zero_deg: see :func:`phase`; applied before ``auto``.
        first_deg: see :func:`phase`.
        pivot_ppm: see :func:`phase`.
        auto: find the remaining phase (:func:`autophase`).
        baseline_ppm: regions without signal (:func:`baseline`).
        baseline_order: degree of the baseline.

    Returns:
        A complex spectrum.

    Raises:
        JaxnmrError: from the individual steps.
    """
    if start is not None:
        fid = start_at(fid, start)
    if points is not None:
        if not 4 <= points <= len(fid.values):
            raise ParameterError(f"{fid.name}: cannot keep {points} of {len(fid.values)} points")
        fid = fid.replace(values=np.asarray(fid.values)[:points])
    fid = apodize(fid, lorentzian_hz=lorentzian_hz, gaussian_hz=gaussian_hz, cosine=cosine)
    spectrum = fourier_transform(zero_fill(fid, size), first_point=first_point)
    spectrum = phase(spectrum, zero_deg, first_deg, pivot_ppm=pivot_ppm)
    if auto:
        spectrum = phase(spectrum, *autophase(spectrum))
    return spectrum if baseline_ppm is None else baseline(spectrum, baseline_ppm, baseline_order)


def _need_complex(spectrum: Spectrum) -> None:
    if not np.iscomplexobj(spectrum.values):
        raise DataError(f"{spectrum.name}: a real spectrum has no phase to change; read the imaginary part as well")
