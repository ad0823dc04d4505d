"""Coarse-to-fine alignment of cells and of a 2theta shift, so that calculated lines match those of a pattern (host).

Cells of structures from databases are wrong by some parts in a thousand. This is more than the widths of peaks, so a
refinement of the whole pattern would start by matching wrong neighbours. Pattern and calculated intensities are
compared over ``ln sin(theta)``, where an error of the cell shifts all lines equally. They are first blurred so much
that lines overlap with their counterparts, then less and less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares, nnls

from ..crystal import Crystal
from ..crystal.cell import metric, reciprocal_metric
from ..crystal.sites import cell_basis
from ..diffraction import Instrument
from ..diffraction.corrections import (
    lorentz_factor,
    monochromator_polarization,
    polarization_factor,
)
from ..diffraction.reflections import plan_reflections
from ..diffraction.structure_factors import StructureFactors
from ..typing import Array
from ..units import FWHM_PER_SIGMA
from .survey import Survey

# standard deviations of the blur in ln sin(theta), and bins per standard deviation
_BLURS, _BINS = (4e-3, 2e-3, 1e-3, 5e-4, 2.5e-4, 1.25e-4), 2.0
# usual errors of cells (relative) and of the shift (degrees)
_CELL, _SHIFT = 3e-3, 0.05
# relative error of calculated intensities, and a floor as a fraction of the highest
_OFF, _FLOOR = 0.2, 0.002
# trial shifts (degrees), and trial relative changes of all cells
_SHIFTS, _SCALES = (-0.1, 0.0, 0.1), (-0.004, 0.0, 0.004)
# number of trials that are fitted, and number of fits followed to the finest blur
_FITTED, _FOLLOWED = 3, 2


@dataclass(frozen=True)
class Lines:
    """Reflections of one phase: areas for a scale of 1, which move with the cell; ``cell`` is the initial cell."""

    hkl: np.ndarray
    area: np.ndarray
    cell: np.ndarray
    basis: np.ndarray
    mass: float


@dataclass(frozen=True)
class Alignment:
    """Positions of the lines of structures in a pattern.

    Attributes:
        cells: ``(6,)`` by phase.
        shift: shift of the angles, degrees: times cos(theta) for a flat specimen.
        shares: approximate weight fractions by phase, as rough as the intensities.
        match: final correlation of observed and calculated peaks.
        first: 2theta of the first line, degrees.
    """

    cells: Mapping[str, np.ndarray]
    shift: float
    shares: Mapping[str, float]
    match: float
    first: float


def align(
    survey: Survey, crystals: Mapping[str, Crystal], instrument: Instrument, low: float, high: float
) -> Alignment:
    """Determine cells and shift.

    Args:
        survey: survey of the pattern.
        crystals: structures by phase.
        instrument: wavelengths and geometry.
        low, high: range of 2theta to compare, degrees.
    """
    phases = {name: _lines(crystal, instrument, low, high) for name, crystal in crystals.items()}
    problem = _Problem(survey, list(phases.values()), instrument, low, high)
    fine = _fineness(survey, low, high)
    blurs = [b for b in _BLURS if b > 0.7 * fine] or [_BLURS[0]]
    starts = [problem.start(scale, shift) for scale in _SCALES for shift in _SHIFTS]
    likely = sorted(starts, key=lambda p: problem.misfit(p, blurs[0]))[:_FITTED]
    best: list[tuple[np.ndarray, float]] = []
    for one in sorted((problem.fitted(p, blurs[0]) for p in likely), key=lambda found: found[1]):
        if all(np.abs(one[0] - other[0]).max() > 0.1 for other in best):
            best.append(one)
    ends = []
    for p, _ in best[:_FOLLOWED]:
        value = np.inf
        for blur in blurs[1:]:
            p, value = problem.fitted(p, blur)
        ends.append((p, value))
    p, _ = min(ends, key=lambda end: end[1])
    cells, shift = problem.read(p)
    scales, match = problem.judged(p, max(fine, blurs[-1]))
    weights = np.array([s * phase.mass for s, phase in zip(scales, phases.values(), strict=True)])
    shares = weights / max(weights.sum(), 1e-300)
    first = min(
        float(np.min(problem.angles(phase, cell, shift)[0])) if len(phase.hkl) else high
        for phase, cell in zip(phases.values(), cells, strict=True)
    )
    named = dict(zip(phases, cells, strict=True))
    return Alignment(named, shift, dict(zip(phases, map(float, shares), strict=True)), match, first)


def _lines(crystal: Crystal, instrument: Instrument, low: float, high: float) -> Lines:
    """Calculate areas of the reflections of the first wavelength with Lorentz and polarisation factors."""
    wavelength = instrument.wavelengths[0]
    cell = np.asarray(crystal.cell, dtype=float)
    d_min = wavelength / (2.0 * np.sin(np.radians(min(high + 2.0, 178.0) / 2.0)))
    hkl, multiplicity = plan_reflections(crystal.group, cell, d_min)
    d_star_sq = np.einsum("ni,ij,nj->n", hkl, reciprocal_metric(cell), hkl)
    two_theta = 2.0 * np.degrees(np.arcsin(np.minimum(0.5 * wavelength * np.sqrt(d_star_sq), 1.0 - 1e-9)))
    plan = StructureFactors.plan(crystal, hkl, instrument.radiation, wavelength)
    polarised = (instrument.polarization, instrument.monochromator_deg) if instrument.radiation == "xray" else None
    area = multiplicity * np.asarray(_areas(plan, crystal, d_star_sq, two_theta, polarised), dtype=float)
    kept = (area > 1e-4 * area.max()) & (two_theta > low - 2.0)
    volume = float(np.sqrt(np.linalg.det(metric(cell))))
    return Lines(
        hkl[kept], area[kept] / volume, cell, cell_basis(crystal.group, cell), float(crystal.cell_mass())
    )  # fmt: skip


@jax.jit
def _areas(plan, crystal, d_star_sq, two_theta, polarised) -> Array:
    """Calculate squared structure factors with Lorentz and polarisation factors, in one compiled program."""
    factor = lorentz_factor(two_theta)
    if polarised is not None:
        fraction, angle = polarised
        factor *= (
            polarization_factor(two_theta, fraction) if angle is None else monochromator_polarization(two_theta, angle)
        )
    return factor * plan.squared(crystal, d_star_sq)


def _fineness(survey: Survey, low: float, high: float) -> float:
    """Return the standard deviation of a typical peak in ln sin(theta)."""
    x = np.linspace(low, high, 50)
    sigma = np.radians(survey.shape.fwhm(x)) / FWHM_PER_SIGMA
    return float(np.median(sigma / (2.0 * np.tan(np.radians(x / 2.0)))))


class _Problem:
    """Lines and pattern over ln sin(theta)."""

    def __init__(self, survey: Survey, phases: list[Lines], instrument: Instrument, low: float, high: float) -> None:
        inside = (survey.x >= low) & (survey.x <= high)
        self.x, self.phases, self.instrument = survey.x[inside], phases, instrument
        self.net = (survey.y - survey.background)[inside]
        self.variance = survey.noise[inside] ** 2
        self.shape = survey.shape
        self.flat = instrument.geometry == "bragg-brentano"
        self.sizes = [np.abs(phase.basis.T) @ np.where(np.arange(6) < 3, phase.cell, 57.3 * 0.5) for phase in phases]
        self.ends = np.log(np.sin(np.radians(self.x[[0, -1]] / 2.0)))

    def start(self, scale: float, shift: float) -> np.ndarray:
        """Return parameters in units of their usual errors: all cells scaled equally, and a shift."""
        parts = []
        for phase, size in zip(self.phases, self.sizes, strict=True):
            change = np.where(np.arange(6) < 3, scale * phase.cell, 0.0)
            parts.append(np.linalg.lstsq(phase.basis, change, rcond=None)[0] / (_CELL * size))
        return np.concatenate([*parts, [shift / _SHIFT]])

    def read(self, p: np.ndarray) -> tuple[list[np.ndarray], float]:
        """Return cells and shift from parameters."""
        cells, k = [], 0
        for phase, size in zip(self.phases, self.sizes, strict=True):
            n = phase.basis.shape[1]
            cells.append(phase.cell + phase.basis @ (p[k : k + n] * _CELL * size))
            k += n
        return cells, float(p[-1] * _SHIFT)

    def angles(self, phase: Lines, cell: np.ndarray, shift: float) -> list[np.ndarray]:
        """Return 2theta of every line for every wavelength, degrees."""
        d_star = np.sqrt(np.einsum("ni,ij,nj->n", phase.hkl, reciprocal_metric(cell), phase.hkl))
        found = []
        for wavelength in self.instrument.wavelengths:
            angle = 2.0 * np.degrees(np.arcsin(np.minimum(0.5 * wavelength * d_star, 1.0 - 1e-9)))
            found.append(angle + shift * (np.cos(np.radians(angle / 2.0)) if self.flat else 1.0))
        return found

    def _binned(self, blur: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return bin edges in ln sin(theta), blurred counts times degrees per bin, and their standard deviation."""
        from scipy.ndimage import gaussian_filter1d

        edges = np.arange(self.ends[0], self.ends[1], blur / _BINS)
        at = 2.0 * np.degrees(np.arcsin(np.minimum(np.exp(edges), 1.0)))
        step = np.gradient(self.x)
        running = lambda values: np.concatenate([[0.0], np.cumsum(0.5 * (values[1:] + values[:-1]) * np.diff(self.x))])
        inside = np.diff(np.interp(at, self.x, running(self.net)))
        spread = np.diff(np.interp(at, self.x, running(self.variance * step)))
        smooth = gaussian_filter1d(inside, _BINS, mode="constant")
        sigma = np.sqrt(
            np.maximum(gaussian_filter1d(spread, _BINS, mode="constant"), 0.0) / (2.0 * _BINS * np.sqrt(np.pi))
        )
        return edges, smooth, sigma

    def _columns(self, p: np.ndarray, edges: np.ndarray, blur: float) -> np.ndarray:
        """Return the blurred lines of every phase in bins, ``(bins, phases)``."""
        cells, shift = self.read(p)
        step, count = edges[1] - edges[0], len(edges) - 1
        centre = edges[0] + 0.5 * step
        out = np.zeros((count, len(cells)))
        ratios = (1.0, self.instrument.ratio)
        for j, (phase, cell) in enumerate(zip(self.phases, cells, strict=True)):
            for angle, ratio in zip(self.angles(phase, cell, shift), ratios, strict=False):
                keep = (angle > 0.5) & (angle < 179.0)
                half = np.radians(angle[keep] / 2.0)
                u = np.log(np.sin(half))
                width = np.radians(self.shape.fwhm(angle[keep])) / FWHM_PER_SIGMA / (2.0 * np.tan(half))
                sigma = np.hypot(blur, width)
                reach = int(np.ceil(4.0 * np.quantile(sigma, 0.98) / step)) if len(sigma) else 0
                nearest = np.rint((u - centre) / step).astype(int)
                offsets = np.arange(-reach, reach + 1)
                place = nearest[:, None] + offsets
                t = (centre + place * step - u[:, None]) / sigma[:, None]
                value = (ratio * phase.area[keep] * step / sigma / np.sqrt(2.0 * np.pi))[:, None] * np.exp(-0.5 * t**2)
                valid = (place >= 0) & (place < count)
                np.add.at(out[:, j], place[valid], value[valid])
        return out

    def fitted(self, p: np.ndarray, blur: float) -> tuple[np.ndarray, float]:
        """Return the parameters of best agreement at one blur, and the misfit there."""
        rows = self._residuals(blur)
        found = least_squares(rows, p, loss="soft_l1", max_nfev=12, diff_step=1e-3)
        return found.x, float(found.cost)

    def misfit(self, p: np.ndarray, blur: float) -> float:
        """Return the misfit of these parameters at one blur, as minimised by :meth:`fitted`."""
        return float(np.sum(np.sqrt(1.0 + self._residuals(blur)(p) ** 2) - 1.0))

    def _residuals(self, blur: float) -> Callable[[np.ndarray], np.ndarray]:
        edges, data, noise = self._binned(blur)
        sigma = np.sqrt(noise**2 + (_OFF * np.maximum(data, 0.0)) ** 2 + (_FLOOR * data.max()) ** 2)
        # errors of the usual size cost a few thousandths of the misfit
        weak = 3e-3 * np.sqrt(len(data))
        return partial(self._rows, edges=edges, blur=blur, data=data, sigma=sigma, weak=weak)

    def _rows(self, p, edges, blur, data, sigma, weak) -> np.ndarray:
        columns = self._columns(p, edges, blur)
        return np.concatenate([(data - columns @ _scales(columns, data, sigma)) / sigma, weak * p])

    def judged(self, p: np.ndarray, blur: float) -> tuple[np.ndarray, float]:
        """Return scales, and the correlation of observed and calculated peaks."""
        edges, data, noise = self._binned(blur)
        sigma = np.sqrt(noise**2 + (_OFF * np.maximum(data, 0.0)) ** 2 + (_FLOOR * data.max()) ** 2)
        columns = self._columns(p, edges, blur)
        scales = _scales(columns, data, sigma)
        calculated = columns @ scales
        top = float(np.linalg.norm(calculated) * np.linalg.norm(data))
        return scales, float(calculated @ data / top) if top > 0.0 else 0.0


def _scales(
    columns: Float[np.ndarray, "bins phases"], data: Float[np.ndarray, " bins"], sigma: Float[np.ndarray, " bins"]
):
    return nnls(columns / sigma[:, None], data / sigma)[0]
