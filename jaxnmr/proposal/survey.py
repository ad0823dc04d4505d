"""Survey of a powder pattern before any refinement: noise, background, widths of peaks (host)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..diffraction import Instrument, Pattern, widths
from ..solve.peaks.profile import Shape
from ..solve.peaks.search import Search
from ..units import FWHM_PER_SIGMA

# thresholds for peaks: over the noise, and relative to the highest
_SIGNIFICANT, _HIGH = 8.0, 0.02
# terms of a Chebyshev background; how well the level of a stretch is known, in the noise of a point
_FEWEST, _MOST, _LEFT = 6, 18, 1.0
_SAMPLES = 24
# relative difference of instrument and peak widths, after size and strain, that disqualifies an instrument
_DIFFERENT = 0.05
# Thompson, Cox & Hastings, J. Appl. Cryst. 20, 79 (1987), eqs. 2 and 3 solved for the two widths
_LORENTZ, _GAUSS = (0.72928, 0.19289, 0.07783), (-0.74417, -0.24781, -0.00810)


@dataclass(frozen=True)
class Survey:
    """Properties of a pattern before refinement.

    Attributes:
        x, y: ``(points,)`` of the pattern, 2theta in degrees.
        noise: ``(points,)`` standard deviations; those of the scatter if the stated ones are smaller.
        background: ``(points,)`` smooth curve below the peaks.
        shape: profile of its strong isolated peaks.
        peaks: 2theta of significant maxima, degrees.
        notes: remarks on uncertainties.
    """

    x: Float[np.ndarray, " points"]
    y: Float[np.ndarray, " points"]
    noise: Float[np.ndarray, " points"]
    background: Float[np.ndarray, " points"]
    shape: Shape
    peaks: Float[np.ndarray, " peaks"]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, pattern: Pattern, instrument: Instrument) -> Survey:
        """Survey a pattern."""
        search = Search(pattern, instrument, most=200, significance=_SIGNIFICANT)
        search.learn()
        position, height = search._maxima(_SIGNIFICANT)
        high = position[height > _HIGH * height.max()] if len(height) else position
        return cls(
            search.x, search.y, search.noise, search.background, search.shape, high, tuple(search.notes)
        )  # fmt: skip

    @property
    def fwhm(self) -> float:
        """Typical width of a peak, degrees."""
        return float(np.median(self.shape.fwhm(self.peaks if len(self.peaks) else self.x)))

    def background_terms(self, low: float, high: float) -> int:
        """Choose the number of Chebyshev polynomials for the background in this range by the Bayesian criterion."""
        inside = (self.x >= low) & (self.x <= high)
        x = 2.0 * (self.x[inside] - low) / (high - low) - 1.0
        # per stretch of some peak widths, use the points near the smooth curve: tails of peaks are not background
        parts = np.array_split(np.arange(len(x)), int(np.clip((high - low) / (10.0 * self.fwhm), 30, 120)))
        y, curve, noise = self.y[inside], self.background[inside], self.noise[inside]
        at, level, sigma = [], [], []
        for part in parts:
            near = part[np.abs(y[part] - curve[part]) < 3.0 * noise[part]]
            if len(near) >= 5:
                at.append(x[near].mean())
                level.append(y[near].mean())
                sigma.append(np.hypot(noise[near].mean() / np.sqrt(len(near)), _LEFT * noise[near].mean()))
        if len(at) <= _MOST:
            return _FEWEST
        scores = []
        for terms in range(_FEWEST, _MOST + 1):
            fitted = np.polynomial.chebyshev.chebfit(at, level, terms - 1, w=1.0 / np.array(sigma))
            off = (np.array(level) - np.polynomial.chebyshev.chebval(at, fitted)) / np.array(sigma)
            scores.append(float(off @ off) + terms * np.log(len(at)))
        return _FEWEST + int(np.argmin(scores))

    def widths(self, low: float, high: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return angles, Gaussian variances (centidegree²) and Lorentzian widths (centidegree), ``(samples,)`` each."""
        angle = np.linspace(low, min(high, 150.0), _SAMPLES)
        total, eta = 100.0 * self.shape.fwhm(angle), np.clip(self.shape.eta(angle), 0.0, 1.0)
        q = sum(c * eta ** (k + 1) for k, c in enumerate(_LORENTZ))
        g = 1.0 + sum(c * eta ** (k + 1) for k, c in enumerate(_GAUSS))
        return angle, np.maximum(g, 0.0) * (total / FWHM_PER_SIGMA) ** 2, q * total

    def generic_widths(self, low: float, high: float) -> dict[str, float]:
        """Fit U, V, W, X and Y to the widths of the peaks."""
        from scipy.optimize import nnls

        angle, variance, lorentz = self.widths(low, high)
        tan, cos = np.tan(np.radians(angle / 2.0)), np.cos(np.radians(angle / 2.0))
        (u, v, w), *_ = np.linalg.lstsq(np.stack([tan**2, tan, np.ones_like(tan)], 1), variance, rcond=1e-8)
        if np.min(u * tan**2 + v * tan + w) < 0.2 * np.median(variance):
            u, v, w = 0.0, 0.0, float(np.median(variance))
        (x, y), _ = nnls(np.stack([1.0 / cos, tan], 1), lorentz)
        return {"U": float(u), "V": float(v), "W": float(w), "X": float(x), "Y": float(y)}

    def broadening(self, instrument: Instrument, low: float, high: float) -> tuple[Mapping[str, float], float]:
        """Return size (µm) and strain (10⁻⁶) that best explain the peak widths, and the relative misfit."""
        from scipy.optimize import nnls

        angle, variance, lorentz = self.widths(low, high)
        wavelength = instrument.wavelengths[0]
        full = lambda v, l: np.asarray(widths.thompson_cox_hastings(v, l)[0])
        total = full(variance, lorentz)
        own = widths.caglioti_variance(angle, instrument.U, instrument.V, instrument.W)
        base = np.asarray(widths.lorentzian_width(angle, instrument.X, instrument.Y, instrument.Z))
        columns = np.stack(
            [np.asarray(widths.size_width(angle, 1.0, wavelength)), np.asarray(widths.strain_width(angle, 1.0))], 1
        )
        # missing Lorentzian width, by a few secant steps at every angle
        missing = np.maximum(100.0 * total - 100.0 * full(own, base), 0.0)
        for _ in range(8):
            missing = np.maximum(missing + 100.0 * (total - full(own, base + missing)), 0.0)
        (inverse, strain), _ = nnls(columns, missing)
        off = full(own, base + columns @ np.array([inverse, strain])) / total - 1.0
        size = float(np.clip(1.0 / max(inverse, 1e-9), 5e-3, 50.0))
        return {"size": size, "strain": float(max(strain, 10.0))}, float(np.sqrt(np.mean(off**2)))

    def calibrated(self, misfit: float) -> bool:
        """Return whether the instrument with size and strain explains the peak widths."""
        return misfit < _DIFFERENT
