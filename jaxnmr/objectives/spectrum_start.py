"""What a `SpectrumTerm` starts from: the region and noise of a measured spectrum, amplitudes by least squares (host)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import ConventionError, DataError
from ..nmr import Spectrum


def non_negative(columns, basis, observed, sigma) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares amplitudes, none negative, and baseline coefficients: the active set shrinks until none is (host)."""
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


def at_larmor(simulation, spectrum: Spectrum):
    """The simulation at the spectrum's own Larmor frequency."""
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
