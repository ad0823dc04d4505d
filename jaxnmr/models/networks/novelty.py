"""Atoms unlike those of the training, in the space of the invariant features of the network.

The distance to the closest remembered atom of the training, in directions that are whitened, in units of the distance that 99 %
of held-out atoms stay below: an atom is novel above 1.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from ...errors import DataError
from ...typing import Array

MOST_POINTS = 200
MOST_DIRECTIONS = 12
HELD_OUT = 0.99


def novelty(scalars: Array, species, environments: Mapping[str, Mapping[str, Array]], table: tuple[str, ...]) -> Array:
    """Novelty ``(nodes,)`` of atoms (traceable); NaN for elements without environments.

    Args:
        scalars: ``(nodes, features)``.
        species: ``(nodes,)`` numbers in the table.
        environments: by element ``mean``, ``projection`` and ``points``, of :func:`environments_of`.
        table: elements.
    """
    scalars = jnp.asarray(scalars)
    out = jnp.full(len(scalars), jnp.nan, dtype=scalars.dtype)
    for element, of in environments.items():
        mean, projection, points = (jnp.asarray(of[k], dtype=scalars.dtype) for k in ("mean", "projection", "points"))
        apart = ((scalars - mean) @ projection)[:, None] - points
        nearest = jnp.sqrt(jnp.min(jnp.sum(apart**2, axis=-1), axis=-1))
        out = jnp.where(jnp.asarray(species) == table.index(element), nearest, out)
    return out


def environments_of(known: np.ndarray, fresh: np.ndarray, *, seed: int = 0) -> dict[str, Array]:
    """What is remembered of atoms ``known`` of one element, with the threshold set by ``fresh`` ones (host).

    Args:
        known: ``(atoms, features)`` of the training.
        fresh: ``(atoms, features)`` of the same kind that were not trained on.
        seed: of the choice of points.

    Raises:
        DataError: no atoms.
    """
    if not len(known) or not len(fresh):
        raise DataError("the threshold of novelty needs atoms of the training and held-out ones of every element")
    mean = known.mean(axis=0)
    variance, axes = np.linalg.eigh(np.cov((known - mean).T, bias=True).reshape(known.shape[1], -1))
    chosen = np.argsort(variance)[::-1][:MOST_DIRECTIONS]
    chosen = chosen[variance[chosen] > max(1e-4 * variance.max(), 1e-12)]
    if not len(chosen):
        chosen, variance = np.array([len(variance) - 1]), np.ones_like(variance)
    projection = axes[:, chosen] / np.sqrt(variance[chosen])
    points = (known - mean) @ projection
    rows = np.random.default_rng(seed).permutation(len(points))[:MOST_POINTS]
    points = points[rows]
    apart = ((fresh - mean) @ projection)[:, None] - points
    distance = np.sqrt((apart**2).sum(-1).min(axis=1))
    threshold = max(float(np.quantile(distance, HELD_OUT)), 1e-3)
    return {
        "mean": jnp.asarray(mean, dtype=np.float32),
        "projection": jnp.asarray(projection / threshold, dtype=np.float32),
        "points": jnp.asarray(points / threshold, dtype=np.float32),
    }
