"""Common basis functions of densities, ``rho(x) = rho_0(x) + sum of c_k phi_k(x)``, given by their waves (host)."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Complex, Float, Int

from ...errors import DataError, ShapeError
from ..grid import Density
from .waves import WaveSet


@dataclass(frozen=True)
class Basis:
    """Orthonormal functions of fractional coordinates, even or odd in the poses that powder data cannot distinguish.

    Attributes:
        waves: waves of the functions.
        mean: ``(2m,)`` vector of ``rho_0``.
        vectors: ``(2m, K)`` vectors of the functions, by decreasing share of the variance between crystals.
        poses: ``(4, K)`` signs of the functions if a is reversed, b and c are exchanged, or both; the first row is of
            ones.
        scale: ``(K,)`` standard deviations of the coefficients of the training crystals, e/Å³.
        explained: fraction of the variance of these crystals that the functions explain.
    """

    waves: WaveSet
    mean: Float[np.ndarray, " n"]
    vectors: Float[np.ndarray, "n k"]
    poses: Float[np.ndarray, "4 k"]
    scale: Float[np.ndarray, " k"]
    explained: float = field(default=1.0)

    @property
    def size(self) -> int:
        """Number of functions."""
        return self.vectors.shape[1]

    def coefficients(self, vectors: Float[np.ndarray, "*n m"]) -> Float[np.ndarray, "*n k"]:
        """Return least-squares coefficients of densities given as vectors of waves."""
        return (vectors - self.mean) @ self.vectors

    def vector(self, c: Float[np.ndarray, "*n k"]) -> Float[np.ndarray, "*n m"]:
        """Return vectors of densities with these coefficients."""
        return self.mean + c @ self.vectors.T

    def structure_factors(
        self, hkl: Int[np.ndarray, "m 3"]
    ) -> tuple[Complex[np.ndarray, " m"], Complex[np.ndarray, "m k"]]:
        """Return ``F/V = first + second @ c`` of any reflections; the result can be reused for all densities."""
        all_waves = self.waves.waves(np.vstack([self.mean, self.vectors.T]))
        found = self.waves.at(all_waves, hkl)
        return found[0], found[1:].T

    def on_grid(self, c: Float[np.ndarray, " k"], shape: tuple[int, int, int], cell: Float[np.ndarray, "6"]) -> Density:
        """Return the density with these coefficients on any grid."""
        if np.shape(c) != (self.size,):
            raise ShapeError(f"coefficients of shape {np.shape(c)}; this basis has {self.size} functions")
        values = self.waves.on_grid(self.waves.waves(self.vector(np.asarray(c, dtype=float))), shape)
        return Density.create(values, cell)

    def at(self, points: Float[np.ndarray, "p 3"]) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, "p k"]]:
        """Return values of ``rho_0`` and of the functions at fractional coordinates."""
        found = self.waves.at_points(self.waves.waves(np.vstack([self.mean, self.vectors.T])), points)
        return found[0], found[1:].T


@dataclass(frozen=True)
class _Block:
    """Orthonormal directions ``w1 e[first] + w2 e[second]``, of one parity for a reversed and for b and c exchanged."""

    first: np.ndarray
    second: np.ndarray
    weights: np.ndarray
    kind: tuple[int, int]

    def parts(self, vectors: np.ndarray) -> np.ndarray:
        """Project vectors, ``(*n, 2m)`` to ``(*n, d)``."""
        return vectors[..., self.first] * self.weights[:, 0] + vectors[..., self.second] * self.weights[:, 1]

    def whole(self, parts: np.ndarray, size: int) -> np.ndarray:
        """Return the vectors with these components."""
        found = np.zeros((*parts.shape[:-1], size))
        found[..., self.first] += parts * self.weights[:, 0]
        found[..., self.second] += parts * self.weights[:, 1]
        return found


def _blocks(waves: WaveSet) -> list[_Block]:
    m, places = len(waves.hkl), {tuple(h): k for k, h in enumerate(waves.hkl.tolist())}
    exchanged = np.array([places[h, l, k] for h, k, l in waves.hkl.tolist()])
    blocks = []
    for reverse in (1, -1):
        for exchange in (1, -1):
            # imaginary parts are odd, and vanish for h = 0
            kept = (exchanged > np.arange(m)) | ((exchanged == np.arange(m)) & (exchange == 1))
            first = np.flatnonzero(kept & ((reverse == 1) | (waves.hkl[:, 0] > 0)))
            second = exchanged[first]
            weights = np.where(first == second, [[1.0], [0.0]], [[np.sqrt(0.5)], [exchange * np.sqrt(0.5)]]).T
            offset = 0 if reverse == 1 else m
            if len(first):
                blocks.append(_Block(first + offset, second + offset, weights, (reverse, exchange)))
    return blocks


def principal_basis(batches: Iterable[np.ndarray], waves: WaveSet, size: int) -> Basis:
    """Calculate principal components of densities in all their poses.

    Args:
        batches: vectors of crystals, ``(n, 2m)`` each; iterated once.
        waves: waves of the vectors.
        size: number of functions.

    Raises:
        DataError: there are fewer crystals than functions.
    """
    blocks, n = _blocks(waves), 2 * len(waves.hkl)
    grams = [np.zeros((len(block.first),) * 2) for block in blocks]
    total, count = np.zeros(n), 0
    for batch in batches:
        total += batch.sum(axis=0)
        count += len(batch)
        for gram, block in zip(grams, blocks, strict=True):
            part = block.parts(batch).astype(np.float32)
            gram += part.T @ part
    if count < size:
        raise DataError(f"{count} crystals for {size} functions: give more crystals, or ask for fewer functions")
    # the mean over all poses is symmetric
    symmetric = blocks[0].parts(total / count)
    grams[0] -= count * np.outer(symmetric, symmetric)
    pairs = [np.linalg.eigh(gram / count) for gram in grams]
    values = np.concatenate([of for of, _ in pairs])
    owner = np.repeat(np.arange(len(blocks)), [len(of) for of, _ in pairs])
    column = np.concatenate([np.arange(len(of)) for of, _ in pairs])
    order = np.argsort(-values, kind="stable")[:size]
    vectors = [blocks[owner[j]].whole(pairs[owner[j]][1][:, column[j]], n) for j in order]
    reverse, exchange = np.array([blocks[owner[j]].kind for j in order], dtype=float).T
    variance = np.maximum(values[order], 0.0)
    return Basis(
        waves=waves,
        mean=blocks[0].whole(symmetric, n),
        vectors=np.stack(vectors, axis=1),
        poses=np.stack([np.ones(size), reverse, exchange, reverse * exchange]),
        scale=np.sqrt(variance),
        explained=float(variance.sum() / values.sum()),
    )
