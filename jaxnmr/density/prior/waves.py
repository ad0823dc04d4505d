"""Densities of crystals as real vectors of their waves, the coordinates in which the prior is learned (host).

All crystals of a type share the reflections, whatever the size of their cells. A vector holds ``sqrt(n) F(h)/V``, real
parts first, of one ``h`` of every set of ``n`` that are equivalent by mirrors and Friedel's law: its squared length is
the mean of ``rho²`` over the cell, so distances between vectors are those on any grid.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float, Int

from ...crystal import reciprocal_metric, volume
from ...errors import ParameterError, ShapeError
from ..shapes import AtomKind, atom_gaussians


class Sample(NamedTuple):
    """A crystal with all its atoms: cell parameters (Å, degrees), elements, fractional coordinates ``(atoms, 3)``."""

    cell: tuple[float, ...]
    elements: tuple[str, ...]
    xyz: np.ndarray


class WaveSet(NamedTuple):
    """Reflections, unique under mirrors perpendicular to b and c and Friedel's law.

    Attributes:
        hkl: ``(m, 3)`` one of every set, no index negative.
        count: number of equivalents.
    """

    hkl: Int[np.ndarray, "m 3"]
    count: Int[np.ndarray, " m"]  # type: ignore[assignment]  # overrides tuple.count, which is not used here

    @classmethod
    def within(cls, largest: int) -> "WaveSet":
        """List all reflections with ``h² + k² + l² <= largest``.

        Raises:
            ParameterError: there is none but the mean.
        """
        if largest < 1:
            raise ParameterError(f"the largest h² + k² + l² is {largest}; expected 1 or more")
        hkl = np.array(list(product(range(int(np.sqrt(largest)) + 1), repeat=3)))
        hkl = hkl[(hkl**2).sum(axis=1) <= largest]
        hkl = hkl[np.lexsort((*hkl.T[::-1], (hkl**2).sum(axis=1)))]
        return cls(hkl, np.prod(np.where(hkl > 0, 2, 1), axis=1))

    @property
    def squares(self) -> Int[np.ndarray, " m"]:
        """``h² + k² + l²``."""
        return (self.hkl**2).sum(axis=1)

    def vector(self, rho: Complex[np.ndarray, "*n m"]) -> Float[np.ndarray, "*n 2m"]:
        """Convert waves ``F/V`` to real vectors."""
        scaled = rho * np.sqrt(self.count)
        return np.concatenate([scaled.real, scaled.imag], axis=-1)

    def waves(self, vector: Float[np.ndarray, "*n 2m"]) -> Complex[np.ndarray, "*n m"]:
        """Return the inverse of :meth:`vector`."""
        re, im = np.split(np.asarray(vector), 2, axis=-1)
        return (re + 1j * im) / np.sqrt(self.count)

    def at(self, rho: Complex[np.ndarray, "*n m"], hkl: Int[np.ndarray, "k 3"]) -> Complex[np.ndarray, "*n k"]:
        """Return waves at any reflections; zero for those not in the set."""
        wanted = np.asarray(hkl, dtype=int).reshape(-1, 3)
        size = int(self.hkl.max()) + 1
        place = np.full((size,) * 3, -1)
        place[tuple(self.hkl.T)] = np.arange(len(self.hkl))
        inside = (np.abs(wanted) < size).all(axis=1)
        where = np.full(len(wanted), -1)
        where[inside] = place[tuple(np.abs(wanted[inside]).T)]
        found = np.where(where >= 0, rho[..., where], 0.0)
        return np.where(wanted[:, 0] < 0, np.conj(found), found)

    def on_grid(self, rho: Complex[np.ndarray, "*n m"], shape: tuple[int, int, int]) -> Float[np.ndarray, "*n a b c"]:
        """Sum the waves on a grid; those that it cannot hold are left out."""
        n1, n2, n3 = shape
        held = (2 * self.hkl < np.array(shape)).all(axis=1)
        h, k, l = self.hkl[held].T
        full = np.zeros((*rho.shape[:-1], n1, n2, n3 // 2 + 1), dtype=complex)
        part = rho[..., held]
        for k_sign in (1, -1):
            # rho = sum F exp(-2 pi i h·x), the conjugate of the transform's sign
            full[..., h, k_sign * k % n2, l] = np.conj(part)
            full[..., -h % n1, k_sign * k % n2, l] = part
        return np.fft.irfftn(full, s=shape, axes=(-3, -2, -1)) * (n1 * n2 * n3)

    def at_points(
        self, rho: Complex[np.ndarray, "*n m"], points: Float[np.ndarray, "p 3"]
    ) -> Float[np.ndarray, "*n p"]:
        """Sum the waves at fractional coordinates."""
        x = np.asarray(points, dtype=float).reshape(-1, 3)
        angles = 2.0 * np.pi * x[:, :1] * self.hkl[:, 0]
        even = np.cos(2.0 * np.pi * x[:, 1:2] * self.hkl[:, 1]) * np.cos(2.0 * np.pi * x[:, 2:] * self.hkl[:, 2])
        even = even * self.count
        return rho.real @ (even * np.cos(angles)).T + rho.imag @ (even * np.sin(angles)).T


def superposed_waves(sample: Sample, waves: WaveSet, atoms: AtomKind = "valence") -> Complex[np.ndarray, " m"]:
    """Return ``F/V`` of free atoms at rest, e/Å³, averaged over the mirrors.

    Raises:
        ConventionError: an element has no such atom.
        ShapeError: numbers of elements and coordinates differ.
    """
    xyz, cell = np.asarray(sample.xyz, dtype=float), np.asarray(sample.cell, dtype=float)
    if xyz.shape != (len(sample.elements), 3):
        raise ShapeError(
            f"{len(sample.elements)} elements and coordinates of shape {xyz.shape}; expected three for each atom"
        )
    kinds = tuple(dict.fromkeys(sample.elements))
    gaussians = atom_gaussians(kinds, atoms)
    h = waves.hkl
    s_sq = np.einsum("mi,ij,mj->m", h, np.asarray(reciprocal_metric(cell)), h) / 4.0
    levels, inverse = np.unique(np.round(s_sq, 12), return_inverse=True)
    size = np.arange(int(h.max()) + 1)
    # [atom, axis, index]
    angles = 2.0 * np.pi * xyz[:, :, None] * size
    along = np.exp(1j * angles[:, 0])
    across = np.cos(angles[:, 1:])
    total = np.zeros(len(h), dtype=complex)
    for kind, a, b in zip(kinds, gaussians.a, gaussians.b, strict=True):
        f = (np.exp(-levels[:, None] * b) @ a)[inverse]
        for atom in (k for k, e in enumerate(sample.elements) if e == kind):
            total += f * along[atom, h[:, 0]] * across[atom, 0, h[:, 1]] * across[atom, 1, h[:, 2]]
    return total / float(volume(cell))


def vectors_of(samples: Iterable[Sample], waves: WaveSet, atoms: AtomKind = "valence") -> Iterator[np.ndarray]:
    """Iterate over vectors of crystals."""
    return (waves.vector(superposed_waves(sample, waves, atoms)) for sample in samples)


def in_batches(
    samples: Sequence[Sample], waves: WaveSet, size: int = 500, atoms: AtomKind = "valence"
) -> Iterator[np.ndarray]:
    """Iterate over batches of vectors, ``(size or less, 2m)``: all of them at once would not fit into memory."""
    for start in range(0, len(samples), size):
        yield np.stack(list(vectors_of(samples[start : start + size], waves, atoms)))
