"""Spectra of averaged tensors, on one axis with that of the crystal without motion (host)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._arguments import checked
from ..errors import ParameterError
from ..nmr import Spectrum, SpectrumMAS, SpectrumStatic
from .average import ThermalAverage

# points of the trial from which the range of a spectrum is taken
_TRIAL = 64


@dataclass(frozen=True)
class AveragedSpectra:
    """Spectra of one nucleus.

    Attributes:
        name: of the experiment.
        static: without motion.
        averaged: of averaged tensors, one for every average.
        labels: of these, such as ``"300 K"``.
    """

    name: str
    static: Spectrum
    averaged: tuple[Spectrum, ...]
    labels: tuple[str, ...]


@checked
def averaged_spectra(
    averages: ThermalAverage | Sequence[ThermalAverage],
    experiment: SpectrumStatic | SpectrumMAS,
    *,
    name: str = "",
    range_ppm: tuple[float, float] | None = None,
    points: int = 2048,
    labels: Sequence[str] | None = None,
    gaussian_hz: float = 0.0,
    lorentzian_hz: float = 0.0,
) -> AveragedSpectra:
    """Spectra of what averages predict, and of the crystal without motion (host).

    Args:
        averages: one, or several of the same crystal.
        experiment: the nucleus, the field, spinning.
        name: for files and pictures; the nucleus by default.
        range_ppm: of the axis; by default as wide as the widest of the spectra.
        points: of the axis.
        labels: of the averages; temperatures by default.
        gaussian_hz, lorentzian_hz: full widths of lines at half maximum; four points when neither is given.

    Raises:
        ConventionError: the models predict nothing of this nucleus, or a chemical shift without reference.
        ParameterError: no averages, or a range that is none.
    """
    listed = [averages] if isinstance(averages, ThermalAverage) else list(averages)
    if not listed:
        raise ParameterError("there are no averages to make spectra of")
    shown = [listed[0].static, *(average.prediction for average in listed)]
    sites = [
        prediction.sites(experiment.isotope, gaussian_hz=gaussian_hz, lorentzian_hz=lorentzian_hz)
        for prediction in shown
    ]
    if range_ppm is None:
        axes = [np.asarray(experiment.plan(of, points=_TRIAL).frequency_hz) for of in sites]
        low, high = min(axis[0] for axis in axes), max(axis[-1] for axis in axes)
        low, high = (float(x) / experiment.larmor_hz * 1e6 for x in (low, high))
    else:
        low, high = sorted(range_ppm)
    if not low < high:
        raise ParameterError(f"range_ppm is {range_ppm}; expected two different shifts")
    if gaussian_hz == lorentzian_hz == 0.0:
        four = 4.0 * (high - low) * 1e-6 * abs(experiment.larmor_hz) / points
        sites = [prediction.sites(experiment.isotope, gaussian_hz=four) for prediction in shown]
    axis = {
        "points": points, "width_hz": (high - low) * 1e-6 * abs(experiment.larmor_hz), "centre_ppm": 0.5 * (low + high),
    }  # fmt: skip
    spectra = [experiment.simulate(of, **axis) for of in sites]
    called = tuple(labels) if labels is not None else tuple(f"{average.temperature_k:g} K" for average in listed)
    if len(called) != len(listed):
        raise ParameterError(f"there are {len(called)} labels of {len(listed)} averages")
    name = name or experiment.isotope
    return AveragedSpectra(
        name=name,
        static=spectra[0].replace(name=f"{name}, without motion"),
        averaged=tuple(
            spectrum.replace(name=f"{name}, {label}") for spectrum, label in zip(spectra[1:], called, strict=True)
        ),
        labels=called,
    )
