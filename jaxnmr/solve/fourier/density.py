"""Density from structure factors: by the fast Fourier transform on a grid, and exactly at points (host)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.fft
from jaxtyping import Complex, Float, Int

from ...crystal import SpaceGroup
from ...crystal.cell import reciprocal_metric, volume


def whole_sphere(
    group: SpaceGroup, hkl: Int[np.ndarray, "n 3"], f: Complex[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, "m 3"], Complex[np.ndarray, " m"]]:
    """All reflections that symmetry and Friedel's law make of some, each once: ``F(h R) = F(h) exp(-2 pi i h·t)``."""
    # the centring shifts all phases by whole turns
    rotations, first = np.unique(group.rotations, axis=0, return_index=True)
    images = np.einsum("ni,kij->nkj", hkl, rotations)
    values = f[:, None] * np.exp(-2j * np.pi * (hkl @ group.translations[first].T))
    every = np.concatenate([images.reshape(-1, 3), -images.reshape(-1, 3)])
    kept, at = np.unique(every, axis=0, return_index=True)
    return kept, np.concatenate([values.ravel(), values.ravel().conj()])[at]


@dataclass(frozen=True)
class Density:
    """``rho(x) = (1/V) sum of F(h) exp(-2 pi i h·x)``.

    Attributes:
        cell: ``(6,)`` Å and degrees; ``group`` whose symmetry the density has.
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
        """e/Å³, root mean square over the cell."""
        return float(np.sqrt(np.mean(self.grid**2)))

    def at(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """e/Å³ at fractional coordinates, by the sum itself."""
        return np.asarray(np.real(self._waves(points) @ self.f)) / self._volume

    def slopes(self, points: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3 3"]]:
        """First and second derivatives by the fractional coordinates."""
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
    group: SpaceGroup,
    cell: Float[np.ndarray, "6"],
    hkl: Int[np.ndarray, "n 3"],
    f: Complex[np.ndarray, " n"],
    step: float | None = None,
) -> Density:
    """Density on a grid.

    Args:
        group, cell: of the crystal.
        hkl: ``(n, 3)`` one reflection of each class, 0 0 0 among them where the mean is to be right.
        f: their structure factors.
        step: Å, of the grid at most; a third of the shortest d when not given.
    """
    every, values = whole_sphere(group, hkl, f)
    g_star = reciprocal_metric(cell)
    if step is None:
        step = 1.0 / (3.0 * float(np.sqrt(np.einsum("ni,ij,nj->n", every, g_star, every).max())))
    least = np.maximum(np.asarray(cell[:3]) / step, 2.0 * np.abs(every).max(axis=0) + 1.0)
    shape = tuple(scipy.fft.next_fast_len(int(np.ceil(n)), real=True) for n in least)
    amplitudes = np.zeros(shape, dtype=complex)
    amplitudes[tuple((every % shape).T)] = values
    return Density(cell, group, every, values, scipy.fft.fftn(amplitudes).real / float(volume(cell)))
