"""Starting point of spectrum terms: fitted regions, noise, least-squares amplitudes (host)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import ConventionError, DataError, require_kind
from ..nmr import Spectrum, SpectrumMAS, SpectrumStatic


def non_negative(columns, basis, observed, sigma) -> tuple[np.ndarray, np.ndarray]:
    """Return non-negative least-squares amplitudes and baseline coefficients, by shrinking the active set (host)."""
    active = np.ones(columns.shape[1], dtype=bool)
    while True:
        matrix = np.concatenate([columns[:, active], basis], axis=1) / sigma[:, None]
        norms = np.maximum(np.linalg.norm(matrix, axis=0), 1e-300)
        solution = np.linalg.lstsq(matrix / norms, observed / sigma, rcond=None)[0] / norms
        found = np.zeros(len(active))
        found[active] = solution[: active.sum()]
        if (found >= 0).all():
            return found, solution[active.sum() :]
        active &= found > 0


def observed_part(
    simulation, spectrum: Spectrum, *, name: str, region_ppm, baseline: int, sigma, noise_ppm, pivot_ppm
) -> dict[str, Any]:
    """Return the fields of a `MeasuredSpectrum` that come from the data, with starting values of all but its sites.

    Raises:
        ConventionError: the spectrum is of another nucleus or field, regions are invalid, or the number of baseline
            terms is negative.
        DataError: values are not finite, or there is no noise.
    """
    require_kind(simulation, (SpectrumStatic, SpectrumMAS), f"the simulation of the spectrum {name!r}")
    require_kind(spectrum, Spectrum, f"what was measured of the spectrum {name!r}", "as of read_spectrum")
    if not np.isfinite(np.asarray(spectrum.values)).all():
        bad = int(np.flatnonzero(~np.isfinite(np.asarray(spectrum.values)))[0])
        raise DataError(f"{spectrum.name}: intensity is not finite at point {bad + 1}; remove or repair that point")
    if baseline < 0:
        raise ConventionError(f"{name!r}: a baseline of {baseline} terms; expected 0 or more")
    simulation = at_larmor(simulation, spectrum)
    fitted = regions(spectrum, region_ppm, name)
    part = spectrum.limited(fitted[0][0], fitted[-1][1])
    frequency, ppm = np.asarray(part.frequency_hz), np.asarray(part.ppm)
    rows = np.flatnonzero(np.any([(ppm >= low) & (ppm <= high) for low, high in fitted], axis=0))
    observed = np.real(np.asarray(part.values))[rows].astype(float)
    x = np.linspace(-1.0, 1.0, len(ppm))[rows]
    pivot = float(ppm[rows][np.argmax(np.abs(observed))]) if pivot_ppm is None else float(pivot_ppm)
    width_hz = spectrum.step_hz * len(spectrum.frequency_hz)
    start = {"scale": np.array(1.0), "phase0": np.array(0.0), "phase1": np.array(0.0)}
    if baseline:
        start["baseline"] = np.zeros(baseline)
    if 0 < simulation.mas_hz < np.inf:
        start["mas"] = np.array(float(simulation.mas_hz))
    return dict(
        observed=observed,
        sigma=noise(spectrum, part, rows, sigma, noise_ppm),
        rows=rows,
        basis=np.polynomial.chebyshev.chebvander(x, baseline - 1) if baseline else np.zeros((len(rows), 0)),
        slope=(frequency[rows] - pivot * 1e-6 * spectrum.larmor_hz) / width_hz,
        start=start,
        simulation=simulation,
        axis=(float(frequency[0]), part.step_hz, len(frequency)),
        region_ppm=fitted,
        pivot_ppm=pivot,
        name=name,
        source=spectrum.name,
    )


def at_larmor(simulation, spectrum: Spectrum):
    """Return the simulation at the spectrum's own Larmor frequency."""
    simulation.check_same(spectrum)
    return replace(simulation, b0_tesla=None, larmor_hz=float(spectrum.larmor_hz))


def regions(spectrum: Spectrum, region_ppm, name: str) -> tuple[tuple[float, float], ...]:
    ppm = np.asarray(spectrum.ppm)
    if region_ppm is None:
        return ((float(ppm[0]), float(ppm[-1])),)
    pairs = np.asarray(region_ppm, dtype=float)
    pairs = pairs[None] if pairs.shape == (2,) else pairs
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.isfinite(pairs).all():
        raise ConventionError(f"{name!r}: region_ppm is {region_ppm!r}; expected (low, high) or a list of such pairs")
    pairs = np.sort(pairs, axis=1)
    pairs = pairs[np.argsort(pairs[:, 0])]
    for low, high in pairs:
        if ((ppm >= low) & (ppm <= high)).sum() < 4:
            raise DataError(
                f"{name!r}: fewer than 4 points between {low:g} and {high:g} ppm; {spectrum.name} runs from "
                f"{ppm[0]:g} to {ppm[-1]:g} ppm"
            )
    return tuple((float(low), float(high)) for low, high in pairs)


def noise(spectrum: Spectrum, part: Spectrum, rows: np.ndarray, sigma, noise_ppm) -> np.ndarray:
    if sigma is not None:
        level = np.asarray(sigma, dtype=float)
    elif part.sigma is not None:
        level = np.asarray(part.sigma, dtype=float)
    else:
        if noise_ppm is not None and np.shape(noise_ppm) != (2,):
            raise ConventionError(
                f"noise_ppm is {noise_ppm!r}; expected (low, high), a part of {spectrum.name} without signal"
            )
        level = np.asarray(spectrum.noise(*noise_ppm) if noise_ppm is not None else spectrum.noise())
        if not level > 1e-12 * np.abs(np.asarray(spectrum.values)).max():
            raise DataError(f"{spectrum.name} shows no noise: give sigma, the uncertainty of a point")
    if level.ndim and level.shape == (len(part.frequency_hz),):
        level = level[rows]
    if level.ndim and level.shape != rows.shape:
        raise DataError(f"{spectrum.name}: {level.shape} uncertainties for {len(rows)} fitted points; give one number")
    if not (np.isfinite(level) & (level > 0)).all():
        raise DataError(f"{spectrum.name}: sigma is {float(level.min()):g}; expected a positive uncertainty")
    return np.broadcast_to(level, rows.shape).copy()
