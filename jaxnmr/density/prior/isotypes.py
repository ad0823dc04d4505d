"""Learned geometries with elements on their sites: isotypes that explain the lines of a powder (host).

Areas of lines are quadratic in the form factors of the atoms, ``I = sum over pairs of f_i f_j G_ij``, with ``G``
depending on the coordinates only. It is calculated once, so that every geometry is tried with any elements by a few
products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement, permutations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ...errors import DataError, ShapeError
from ..shapes import AtomKind, Gaussians, atom_gaussians
from .data import LineSet, centred
from .geometries import geometries_of
from .waves import Sample, WaveSet

# difference of neighbouring geometries beyond noise, as roots of shares of areas; chosen on validation crystals
_UNLIKE_ROOTS = 0.02
# decorations tried: log frequency below that of the most frequent one, their largest number, and the number tried on
# all geometries
_RARER, _TRIED, _KEPT = 7.0, 40, 8
_PART = 12
_CANDIDATES = 24
# pseudocount, in crystals, of an element on a site where it never occurred
_NEVER = 0.02
_BATCH = 1000


class Candidates(NamedTuple):
    """Isotypes, the most probable first.

    Attributes:
        kinds: ``(m, sites)`` indices of elements.
        xyz: ``(m, sites, 3)``.
        logs: ``(m,)`` log probabilities, up to a constant.
    """

    kinds: Int[np.ndarray, "m sites"]
    xyz: Float[np.ndarray, "m sites 3"]
    logs: Float[np.ndarray, " m"]


@dataclass(frozen=True)
class Isotypes:
    """Geometries of one structure type, all in one pose and site order, and the elements found on their sites.

    Attributes:
        elements: all elements.
        frequency: ``(sites, elements)`` log frequencies of elements on sites.
        xyz: ``(n, sites, 3)`` fractional coordinates of the geometries.
        logs: ``(n,)`` logarithms of the number of crystals each represents.
        lines: lines of the powder.
        atoms: electrons of the densities.
    """

    elements: tuple[str, ...]
    frequency: Float[np.ndarray, "sites elements"]
    xyz: Float[np.ndarray, "n sites 3"]
    logs: Float[np.ndarray, " n"]
    lines: LineSet
    atoms: AtomKind = "valence"

    @classmethod
    def of(
        cls,
        samples: Sequence[Sample],
        elements: Sequence[str],
        lines: LineSet,
        atoms: AtomKind = "valence",
        *,
        most: int = 4000,
        seed: int = 0,
    ) -> Isotypes:
        """Learn geometries and frequencies from crystals.

        Args:
            samples: crystals in one pose and site order.
            elements: elements allowed on the sites.
            lines: lines of the powder.
            atoms: electrons of the densities.
            most: largest number of geometries, see `geometries_of`.
            seed: random seed of their search.

        Raises:
            DataError: there are no crystals.
            ShapeError: crystals have different numbers of atoms.
        """
        if not samples:
            raise DataError("no crystals to learn isotypes from")
        if len({len(sample.elements) for sample in samples}) > 1:
            raise ShapeError("isotypes have the same sites; these crystals have unlike numbers of atoms")
        place = {e: k for k, e in enumerate(elements)}
        kinds = np.array([[place[e] for e in sample.elements] for sample in samples])
        # no element is entirely impossible
        counts = np.array([np.bincount(site, minlength=len(elements)) + _NEVER for site in kinds.T])
        xyz, standing = geometries_of(np.array([sample.xyz for sample in samples]), most, seed)
        frequency = np.log(counts / counts.sum(axis=1, keepdims=True))
        return cls(tuple(elements), frequency, xyz, np.log(standing), lines, atoms)

    @cached_property
    def gaussians(self) -> Gaussians:
        """Gaussians of the elements."""
        return atom_gaussians(self.elements, self.atoms)

    @cached_property
    def electrons(self) -> Float[np.ndarray, " elements"]:
        """Electrons of the elements."""
        return self.gaussians.a.sum(axis=1)

    def form_factors(self, squares: np.ndarray, edge: float) -> Float[np.ndarray, "elements m"]:
        """Return form factors of atoms at rest at reflections with these ``h² + k² + l²``."""
        falls = np.exp(-self.gaussians.b[..., None] * (squares / (4.0 * edge**2)))
        return np.einsum("eg,egm->em", self.gaussians.a, falls)

    @cached_property
    def _pairs(self) -> list[tuple[int, int]]:
        return list(combinations_with_replacement(range(self.xyz.shape[1]), 2))

    @cached_property
    def _interference(self) -> Float[np.ndarray, "lines n pairs"]:
        """``G`` of every geometry."""
        xyz, waves = self.xyz, WaveSet.within(self.lines.largest)
        inside, line = self.lines.rows(waves)
        summing = np.zeros((len(inside), len(self.lines.squares)))
        summing[np.arange(len(inside)), line] = waves.count[inside]
        found = np.empty((len(self.lines.squares), len(xyz), len(self._pairs)), np.float32)
        for start in range(0, len(xyz), _BATCH):
            phases = _phases(xyz[start : start + _BATCH], waves.hkl[inside])
            for p, (i, j) in enumerate(self._pairs):
                both = (phases[:, i] * phases[:, j].conj()).real * (1.0 if i == j else 2.0)
                found[:, start : start + _BATCH, p] = (both @ summing).T
        return found

    def _products(self, kinds: np.ndarray, edge: float) -> Float[np.ndarray, "lines pairs d"]:
        f = self.form_factors(self.lines.squares, edge)[kinds]
        return np.stack([f[:, i] * f[:, j] for i, j in self._pairs], axis=1).transpose(2, 1, 0).astype(np.float32)

    def decorations(self, compositions: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
        """List assignments of elements to sites not much rarer than the most frequent one, with log frequencies.

        Args:
            compositions: indices of elements, as many as sites each.
        """
        ways = np.array(sorted({way for of in compositions for way in permutations(of)}))
        logs = self.frequency[np.arange(ways.shape[1]), ways].sum(axis=1)
        best = np.argsort(-logs, kind="stable")[:_TRIED]
        best = best[logs[best] > logs.max() - _RARER]
        return ways[best], logs[best]

    def candidates(
        self,
        edge: float,
        areas: Float[np.ndarray, " lines"],
        sigma: Float[np.ndarray, " lines"],
        compositions: Sequence[Sequence[int]],
    ) -> Candidates:
        """Return the isotypes that explain these lines best.

        Args:
            edge: edge of the cell, Å.
            areas, sigma: areas of the lines and their deviations, on any scale.
            compositions: indices of elements, as many as sites each.
        """
        share = areas / areas.sum()
        noise = sigma / areas.sum()
        roots = np.sqrt(share)
        weights = 1.0 / (noise**2 / (4.0 * (share + noise.min())) + _UNLIKE_ROOTS**2)
        ways, frequency = self.decorations(compositions)
        if len(ways) > _KEPT:
            # a subset of the geometries selects the decorations tried on all
            fit = self._fit(ways, edge, roots, weights, _PART).min(axis=0) - 2.0 * frequency
            best = np.sort(np.argsort(fit, kind="stable")[:_KEPT])
            ways, frequency = ways[best], frequency[best]
        logs = self.logs[:, None] + frequency - 0.5 * self._fit(ways, edge, roots, weights)
        best = _largest(logs.ravel(), _CANDIDATES)
        row, way = np.unravel_index(best, logs.shape)
        return Candidates(ways[way], centred(self.xyz[row], self.electrons[ways[way]]), logs.ravel()[best])

    def _fit(
        self, ways: np.ndarray, edge: float, roots: np.ndarray, weights: np.ndarray, every: int = 1
    ) -> Float[np.ndarray, "n d"]:
        """Return weighted sums of squared differences of roots of shares, for geometries in decorations."""
        areas = self._interference[:, ::every] @ self._products(ways, edge)
        np.maximum(areas, 0.0, out=areas)
        areas /= areas.sum(axis=0, keepdims=True)
        off = np.sqrt(areas, out=areas)
        off -= roots.astype(np.float32)[:, None, None]
        off *= off
        return np.tensordot(weights.astype(np.float32), off, 1).astype(float)

    def vectors(self, found: Candidates, edge: float, waves: WaveSet) -> Float[np.ndarray, "m 2w"]:
        """Return densities of isotypes as vectors of waves."""
        levels, inverse = np.unique(waves.squares, return_inverse=True)
        f = self.form_factors(levels, edge)[:, inverse]
        phases = _phases(found.xyz, waves.hkl)
        return waves.vector((f[found.kinds] * phases).sum(axis=1) / edge**3)


def _phases(xyz: np.ndarray, hkl: np.ndarray) -> np.ndarray:
    """Return ``exp(2 pi i h·x)`` averaged over the mirrors, ``(n, sites, m)``."""
    angles = 2.0 * np.pi * xyz[..., None] * np.arange(int(hkl.max()) + 1)
    along, across = np.exp(1j * angles[:, :, 0]), np.cos(angles[:, :, 1:])
    h, k, l = hkl.T
    return along[:, :, h] * (across[:, :, 0][:, :, k] * across[:, :, 1][:, :, l])


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    count = min(count, len(values))
    found = np.argpartition(-values, count - 1)[:count]
    return found[np.argsort(-values[found], kind="stable")]
