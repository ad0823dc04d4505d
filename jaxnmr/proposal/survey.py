"""What a powder pattern shows before any refinement: its noise, its background, the widths of its peaks (host)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..diffraction import Instrument, Pattern, widths
from ..solve.peaks.profile import Shape
from ..solve.peaks.search import Search
from ..units import FWHM_PER_SIGMA

# maxima that count as peaks: over the noise, and of the highest one
_SIGNIFICANT, _HIGH = 8.0, 0.02
# terms of a Chebyshev background; how well the level of a stretch is known, in the noise of a point
_FEWEST, _MOST, _LEFT = 6, 18, 1.0
_SAMPLES = 24
# widths of an instrument that differ by more from those of the peaks, whatever size and strain do, are not those of the instrument
_DIFFERENT = 0.05
# Thompson, Cox & Hastings, J. Appl. Cryst. 20, 79 (1987), eqs. 2 and 3 solved for the two widths
_LORENTZ, _GAUSS = (0.72928, 0.19289, 0.07783), (-0.74417, -0.24781, -0.00810)


@dataclass(frozen=True)
class Survey:
    """What a pattern shows.

    Attributes:
        x, y: ``(points,)`` of the pattern, 2theta in degrees.
        noise: ``(points,)`` standard deviations, those of the scatter where the stated ones are smaller.
        background: ``(points,)`` a smooth curve below the peaks.
        shape: the profile of its strong single peaks.
        peaks: 2theta of maxima that stand out, in degrees.
        notes: on uncertainties.
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
        """Look at a pattern."""
        search = Search(pattern, instrument, most=200, significance=_SIGNIFICANT)
        search.learn()
        position, height = search._maxima(_SIGNIFICANT)
        high = position[height > _HIGH * height.max()] if len(height) else position
        return cls(
            search.x, search.y, search.noise, search.background, search.shape, high, tuple(search.notes)
        )  # fmt: skip

    @property
    def fwhm(self) -> float:
        """Of a usual peak, degrees."""
        return float(np.median(self.shape.fwhm(self.peaks if len(self.peaks) else self.x)))

    def background_terms(self, low: float, high: float) -> int:
        """How many Chebyshev polynomials follow the points between the peaks within these angles, by the Bayesian criterion."""
        inside = (self.x >= low) & (self.x <= high)
        x = 2.0 * (self.x[inside] - low) / (high - low) - 1.0
        # of stretches of some peaks' widths the part near the smooth curve: tails of peaks are no background
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
        """Angles, Gaussian variances (centidegree²) and Lorentzian widths (centidegree) of the peaks, ``(samples,)`` each."""
        angle = np.linspace(low, min(high, 150.0), _SAMPLES)
        total, eta = 100.0 * self.shape.fwhm(angle), np.clip(self.shape.eta(angle), 0.0, 1.0)
        q = sum(c * eta ** (k + 1) for k, c in enumerate(_LORENTZ))
        g = 1.0 + sum(c * eta ** (k + 1) for k, c in enumerate(_GAUSS))
        return angle, np.maximum(g, 0.0) * (total / FWHM_PER_SIGMA) ** 2, q * total

    def generic_widths(self, low: float, high: float) -> dict[str, float]:
        """U, V, W, X and Y that give the widths of the peaks."""
        from scipy.optimize import nnls

        angle, variance, lorentz = self.widths(low, high)
        tan, cos = np.tan(np.radians(angle / 2.0)), np.cos(np.radians(angle / 2.0))
        (u, v, w), *_ = np.linalg.lstsq(np.stack([tan**2, tan, np.ones_like(tan)], 1), variance, rcond=1e-8)
        if np.min(u * tan**2 + v * tan + w) < 0.2 * np.median(variance):
            u, v, w = 0.0, 0.0, float(np.median(variance))
        (x, y), _ = nnls(np.stack([1.0 / cos, tan], 1), lorentz)
        return {"U": float(u), "V": float(v), "W": float(w), "X": float(x), "Y": float(y)}

    def broadening(self, instrument: Instrument, low: float, high: float) -> tuple[Mapping[str, float], float]:
        """Size (µm) and strain (10⁻⁶) that make the widths of an instrument those of the peaks, and what they leave, relative."""
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
        # Lorentzian width that is missing, by a few steps of the secant rule at every angle
        missing = np.maximum(100.0 * total - 100.0 * full(own, base), 0.0)
        for _ in range(8):
            missing = np.maximum(missing + 100.0 * (total - full(own, base + missing)), 0.0)
        (inverse, strain), _ = nnls(columns, missing)
        off = full(own, base + columns @ np.array([inverse, strain])) / total - 1.0
        size = float(np.clip(1.0 / max(inverse, 1e-9), 5e-3, 50.0))
        return {"size": size, "strain": float(max(strain, 10.0))}, float(np.sqrt(np.mean(off**2)))

    def calibrated(self, misfit: float) -> bool:
        """Whether peaks are as wide as an instrument with size and strain makes them."""
        return misfit < _DIFFERENT
