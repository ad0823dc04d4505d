"""Geometries that were learned from crystals, with elements on their sites: which of these isotypes make the lines of a powder (host).

Areas of lines are quadratic in the form factors of the atoms, ``I = sum over pairs of f_i f_j G_ij``, with a ``G`` that only the coordinates
make. It is calculated once, so that every geometry is tried with the elements of a crystal in a few products.
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

# what areas of neighbours differ by beyond noise, as roots of their shares; chosen on validation crystals
_UNLIKE_ROOTS = 0.02
# decorations that are tried: so much less frequent than the most frequent one, so many, and of these so many on all geometries
_RARER, _TRIED, _KEPT = 7.0, 40, 8
_PART = 12
_CANDIDATES = 24
# of a crystal, how often an element is on a site on which it never was
_NEVER = 0.02
_BATCH = 1000


class Candidates(NamedTuple):
    """Isotypes, the most probable first.

    Attributes:
        kinds: ``(m, sites)`` places among the elements.
        xyz: ``(m, sites, 3)``.
        logs: ``(m,)`` logarithms of how probable they are, up to a constant.
    """

    kinds: Int[np.ndarray, "m sites"]
    xyz: Float[np.ndarray, "m sites 3"]
    logs: Float[np.ndarray, " m"]


@dataclass(frozen=True)
class Isotypes:
    """Geometries of one structure type, all in one pose, with sites in one order, and which elements their sites have.

    Attributes:
        elements: those that there are.
        frequency: ``(sites, elements)`` logarithms of how often an element is on a site.
        xyz: ``(n, sites, 3)`` fractional coordinates of the geometries.
        logs: ``(n,)`` logarithms of how many crystals each stands for.
        lines: of the powder.
        atoms: of the densities.
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
        """Learn from crystals.

        Args:
            samples: in one pose, sites in one order.
            elements: those that may be on the sites.
            lines: of the powder.
            atoms: of the densities.
            most: geometries, see `geometries_of`.
            seed: where their search begins.

        Raises:
            DataError: no crystals.
            ShapeError: crystals of unlike numbers of atoms.
        """
        if not samples:
            raise DataError("no crystals to learn isotypes from")
        if len({len(sample.elements) for sample in samples}) > 1:
            raise ShapeError("isotypes have the same sites; these crystals have unlike numbers of atoms")
        place = {e: k for k, e in enumerate(elements)}
        kinds = np.array([[place[e] for e in sample.elements] for sample in samples])
        # no element is quite impossible
        counts = np.array([np.bincount(site, minlength=len(elements)) + _NEVER for site in kinds.T])
        xyz, standing = geometries_of(np.array([sample.xyz for sample in samples]), most, seed)
        frequency = np.log(counts / counts.sum(axis=1, keepdims=True))
        return cls(tuple(elements), frequency, xyz, np.log(standing), lines, atoms)

    @cached_property
    def gaussians(self) -> Gaussians:
        """Of the elements."""
        return atom_gaussians(self.elements, self.atoms)

    @cached_property
    def electrons(self) -> Float[np.ndarray, " elements"]:
        """Of the elements."""
        return self.gaussians.a.sum(axis=1)

    def form_factors(self, squares: np.ndarray, edge: float) -> Float[np.ndarray, "elements m"]:
        """Of atoms at rest at reflections of these ``h² + k² + l²``."""
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
        """Ways to put elements on the sites that are not far less frequent than the most frequent one, and their logarithms.

        Args:
            compositions: places of elements, as many as sites each.
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
        """The isotypes that make these lines.

        Args:
            edge: of the cell, Å.
            areas, sigma: of the lines, on any scale.
            compositions: places of elements, as many as sites each.
        """
        share = areas / areas.sum()
        noise = sigma / areas.sum()
        roots = np.sqrt(share)
        weights = 1.0 / (noise**2 / (4.0 * (share + noise.min())) + _UNLIKE_ROOTS**2)
        ways, frequency = self.decorations(compositions)
        if len(ways) > _KEPT:
            # a part of the geometries says which decorations are worth a trial on all
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
        """Sums of squared differences of roots of shares, of geometries in decorations."""
        areas = self._interference[:, ::every] @ self._products(ways, edge)
        np.maximum(areas, 0.0, out=areas)
        areas /= areas.sum(axis=0, keepdims=True)
        off = np.sqrt(areas, out=areas)
        off -= roots.astype(np.float32)[:, None, None]
        off *= off
        return np.tensordot(weights.astype(np.float32), off, 1).astype(float)

    def vectors(self, found: Candidates, edge: float, waves: WaveSet) -> Float[np.ndarray, "m 2w"]:
        """Densities of isotypes as vectors of waves."""
        levels, inverse = np.unique(waves.squares, return_inverse=True)
        f = self.form_factors(levels, edge)[:, inverse]
        phases = _phases(found.xyz, waves.hkl)
        return waves.vector((f[found.kinds] * phases).sum(axis=1) / edge**3)


def _phases(xyz: np.ndarray, hkl: np.ndarray) -> np.ndarray:
    """``exp(2 pi i h·x)`` as means over the mirrors, ``(n, sites, m)``."""
    angles = 2.0 * np.pi * xyz[..., None] * np.arange(int(hkl.max()) + 1)
    along, across = np.exp(1j * angles[:, :, 0]), np.cos(angles[:, :, 1:])
    h, k, l = hkl.T
    return along[:, :, h] * (across[:, :, 0][:, :, k] * across[:, :, 1][:, :, l])


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    count = min(count, len(values))
    found = np.argpartition(-values, count - 1)[:count]
    return found[np.argsort(-values[found], kind="stable")]
