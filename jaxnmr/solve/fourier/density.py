"""Density from structure factors: by fast Fourier transform on a grid, and exactly at points (host)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import scipy.fft
from jaxtyping import Bool, Complex, Float, Int

from ...crystal import SpaceGroup
from ...crystal.cell import reciprocal_metric, volume


@dataclass(frozen=True)
class Sphere:
    """All reflections equivalent to given ones by symmetry and Friedel's law: ``F(h R) = F(h) exp(-2 pi i h·t)``.

    Attributes:
        group: space group; ``hkl`` ``(m, 3)``.
        source: ``(m,)`` index of the original reflection, ``factor`` ``(m,)`` phase factor, ``inverted`` ``(m,)``
            whether conjugate.
    """

    group: SpaceGroup
    hkl: Int[np.ndarray, "m 3"]
    source: Int[np.ndarray, " m"]
    factor: Complex[np.ndarray, " m"]
    inverted: Bool[np.ndarray, " m"]

    @classmethod
    def of(cls, group: SpaceGroup, hkl: Int[np.ndarray, "n 3"]) -> Self:
        """Expand one reflection of each class."""
        # centring shifts phases by whole turns
        rotations, first = np.unique(group.rotations, axis=0, return_index=True)
        images = np.einsum("ni,kij->nkj", hkl, rotations).reshape(-1, 3)
        factor = np.exp(-2j * np.pi * (hkl @ group.translations[first].T)).ravel()
        every, at = np.unique(np.concatenate([images, -images]), axis=0, return_index=True)
        inverted, where = at >= len(images), at % len(images)
        return cls(group, every, where // len(rotations), factor[where], inverted)

    def values(self, f: Complex[np.ndarray, " n"]) -> Complex[np.ndarray, " m"]:
        """Return the structure factors of all reflections."""
        found = f[self.source] * self.factor
        return np.where(self.inverted, found.conj(), found)


@dataclass(frozen=True)
class Density:
    """``rho(x) = (1/V) sum of F(h) exp(-2 pi i h·x)``.

    Attributes:
        cell: ``(6,)`` Å and degrees; ``group`` symmetry of the density.
        hkl: ``(m, 3)`` all reflections of the sphere; ``f`` ``(m,)`` their structure factors in electrons per cell (fm for neutrons).
        grid: ``(a, b, c)`` e/Å³ at fractional coordinates ``(i/a, j/b, k/c)``.
    """

    cell: Float[np.ndarray, "6"]
    group: SpaceGroup
    hkl: Int[np.ndarray, "m 3"]
    f: Complex[np.ndarray, " m"]
    grid: Float[np.ndarray, "a b c"]

    @property
    def sigma(self) -> float:
        """Root mean square over the cell, e/Å³."""
        return float(np.sqrt(np.mean(self.grid**2)))

    def at(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Return e/Å³ at fractional coordinates, by direct summation."""
        return np.asarray(np.real(self._waves(points) @ self.f)) / self._volume

    def slopes(self, points: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3 3"]]:
        """Return first and second derivatives by the fractional coordinates."""
        terms = self._waves(points) * self.f
        turns = 2.0 * np.pi * self.hkl
        first = np.real(terms @ (-1j * turns)) / self._volume
        second = np.real(np.einsum("nh,hi,hj->nij", terms, -turns, turns, optimize=True)) / self._volume
        return first, second

    @cached_property
    def _volume(self) -> float:
        return float(volume(self.cell))

    def _waves(self, points: Float[np.ndarray, "n 3"]) -> Complex[np.ndarray, "n m"]:
        return np.exp(-2j * np.pi * (points @ self.hkl.T))


def density(
    sphere: Sphere, cell: Float[np.ndarray, "6"], f: Complex[np.ndarray, " n"], step: float | None = None
) -> Density:
    """Calculate a density on a grid.

    Args:
        sphere: all reflections, including 0 0 0 for a correct mean.
        cell: ``(6,)``.
        f: structure factors of the reflections that the sphere was made of.
        step: largest step of the grid, Å; by default a third of the smallest d.
    """
    if step is None:
        d_star_sq = np.einsum("ni,ij,nj->n", sphere.hkl, reciprocal_metric(cell), sphere.hkl)
        step = 1.0 / (3.0 * float(np.sqrt(d_star_sq.max())))
    least = np.maximum(np.asarray(cell[:3]) / step, 2.0 * np.abs(sphere.hkl).max(axis=0) + 1.0)
    shape = tuple(scipy.fft.next_fast_len(int(np.ceil(n)), real=True) for n in least)
    values, amplitudes = sphere.values(f), np.zeros(shape, dtype=complex)
    amplitudes[tuple((sphere.hkl % shape).T)] = values
    return Density(cell, sphere.group, sphere.hkl, values, scipy.fft.fftn(amplitudes).real / float(volume(cell)))
