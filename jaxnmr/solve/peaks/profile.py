"""Common profile of the peaks of a pattern: width and mixing as curves of the angle, Kα2, axial divergence (host)."""

from dataclasses import dataclass, replace
from functools import cache, lru_cache

import jax
import numpy as np
from jaxtyping import Float

from ...diffraction.axial import axial_nodes, axial_spread, nodes_needed, quadrature

_4LN2 = 4.0 * np.log(2.0)
_GAUSS = 2.0 * np.sqrt(np.log(2.0) / np.pi)
_LORENTZ = 2.0 / np.pi
_DEG = np.pi / 180.0
# shares of the nodes of axial divergence vary slowly with the angle; more nodes are not needed for a list of peaks
_ANGLES = 0.5 * np.geomspace(1.0, 358.0, 48)
_NODES = (4, 8, 14, 24)


@dataclass(frozen=True)
class Shape:
    """Common profile of the peaks of a pattern: a pseudo-Voigt, spread by axial divergence, for every wavelength.

    Attributes:
        widths: ``W, V, U`` of ``fwhm² = W + V tan(theta) + U tan(theta)²``, degree²; of the whole pseudo-Voigt, not of a Gaussian.
        mixing: Lorentzian fraction ``mixing[0] + mixing[1] tan(theta)``, limited to 0 to 1.
        wavelengths, ratio: Å, and relative intensity of the second.
        shl: axial divergence ``(S + H)/L``; ``imbalance`` as of `Instrument`.
        narrowest, widest: range in degrees of the peaks that the curve was fitted to; it is not extrapolated far.
        misfit: deviation of the peaks from this profile, as a fraction of their height.
    """

    widths: tuple[float, float, float]
    mixing: tuple[float, float]
    wavelengths: tuple[float, ...]
    ratio: float
    shl: float = 0.0
    imbalance: float = 0.0
    narrowest: float = 1e-4
    widest: float = 10.0
    misfit: float = 0.0

    def fwhm(self, two_theta: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return the width in degrees, for one wavelength and before the axial spread."""
        tan = np.tan(0.5 * _DEG * np.abs(two_theta))
        square = self.widths[0] + self.widths[1] * tan + self.widths[2] * tan**2
        return np.clip(np.sqrt(np.maximum(square, 1e-12)), 0.7 * self.narrowest, 1.5 * self.widest)

    def eta(self, two_theta: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return the Lorentzian fraction."""
        return np.clip(self.mixing[0] + self.mixing[1] * np.tan(0.5 * _DEG * np.abs(two_theta)), 0.0, 1.0)

    def second(self, two_theta: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return the angles of the second wavelength for these angles of the first; NaN where out of reach."""
        sine = np.sin(0.5 * _DEG * two_theta) * self.wavelengths[-1] / self.wavelengths[0]
        return 2.0 / _DEG * np.arcsin(np.where(np.abs(sine) < 1.0, sine, np.nan))

    def extent(self, two_theta: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return the extent of the axial spread to lower angles, degrees (negative: to higher ones, beyond 90)."""
        angles = np.clip(np.abs(two_theta), _ANGLES[0], _ANGLES[-1])
        return np.asarray(axial_spread(angles, self.shl)) * np.sign(two_theta)

    def with_(self, **changes: object) -> "Shape":
        """Return a copy with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]


def components(
    shape: Shape, two_theta: Float[np.ndarray, " peaks"], shares: "Shares"
) -> tuple[Float[np.ndarray, "peaks nodes"], Float[np.ndarray, "peaks nodes"]]:
    """Return positions and shares of the pseudo-Voigts of each peak; shares of the first wavelength add up to 1."""
    extent = shape.extent(two_theta)
    position = two_theta[:, None] - extent[:, None] * shares.fraction
    share = shares.at(two_theta)
    if len(shape.wavelengths) == 1 or not shape.ratio:
        return position, share
    second = shape.second(two_theta)
    there = np.isfinite(second)
    shift = np.where(there, second - two_theta, 0.0)[:, None]
    return np.hstack([position, position + shift]), np.hstack(
        [share, share * np.where(there, shape.ratio, 0.0)[:, None]]
    )


@dataclass(frozen=True)
class Shares:
    """Tabulated axial divergence: positions within the spread, ``(nodes,)``, and shares at the tabulated angles."""

    fraction: Float[np.ndarray, " nodes"]
    table: Float[np.ndarray, "angles nodes"]

    @classmethod
    def of(cls, shape: Shape, lowest: float, narrowest: float) -> "Shares":
        """Tabulate for peaks above the lowest angle, given the narrowest width (degrees)."""
        extent = abs(float(shape.extent(np.array([lowest]))[0]))
        if shape.shl <= 1e-6 or extent < 0.02 * narrowest:
            # the centroid of the spread is at a third of it
            return cls(np.array([1.0 / 3.0]), np.ones((len(_ANGLES), 1)))
        needed = nodes_needed(extent / narrowest)
        nodes = next((n for n in _NODES if n >= needed), _NODES[-1])
        return cls(*_divergence(shape.shl, shape.imbalance, nodes))

    def at(self, two_theta: Float[np.ndarray, " peaks"]) -> Float[np.ndarray, "peaks nodes"]:
        """Return shares at these angles."""
        angles = np.abs(two_theta)
        right = np.clip(np.searchsorted(_ANGLES, angles), 1, len(_ANGLES) - 1)
        part = np.clip((angles - _ANGLES[right - 1]) / (_ANGLES[right] - _ANGLES[right - 1]), 0.0, 1.0)[:, None]
        return (1.0 - part) * self.table[right - 1] + part * self.table[right]


def profiles(
    x: Float[np.ndarray, " points"],
    position: Float[np.ndarray, "peaks nodes"],
    share: Float[np.ndarray, "peaks nodes"],
    fwhm: Float[np.ndarray, " peaks"],
    eta: Float[np.ndarray, " peaks"],
) -> tuple[Float[np.ndarray, "points peaks"], ...]:
    """Return profiles of unit area (of the first wavelength), and derivatives by position, ``log(fwhm)`` and mixing."""
    inverse = (1.0 / fwhm)[:, None]
    t = (x[:, None, None] - position) * inverse
    t2 = t * t
    lorentz = _LORENTZ / (1.0 + 4.0 * t2) * inverse
    gauss = _GAUSS * np.exp(-_4LN2 * np.minimum(t2, 60.0)) * inverse
    eta = eta[:, None]
    value = eta * lorentz + (1.0 - eta) * gauss
    steep = 8.0 / (1.0 + 4.0 * t2) * eta * lorentz + 2.0 * _4LN2 * (1.0 - eta) * gauss
    total = lambda v: np.einsum("xpn,pn->xp", v, share)
    return total(value), total(t * inverse * steep), total(steep * t2 - value), total(lorentz - gauss)


@cache
def _program(imbalance: float, nodes: int):
    u, weight = quadrature(nodes, imbalance)
    return u[0] ** 2, jax.jit(lambda shl: axial_nodes(_ANGLES, shl, u, weight, gsas=False, imbalance=imbalance)[1])


@lru_cache(maxsize=256)
def _divergence(shl: float, imbalance: float, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return positions within the spread, and shares at the tabulated angles."""
    fraction, share = _program(imbalance, nodes)
    return fraction, np.asarray(share(shl), dtype=float)
