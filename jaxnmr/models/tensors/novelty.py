"""Novelty: distance of an atom from those of the training data, in the space of the scalar inputs of the heads.

Scalars do not change with rotations, reflections, the choice of the cell or the numbering of atoms, so neither does the
novelty. It is the distance to the closest of a few stored atoms of the training data, in units of the distance that 99 % of
held-out atoms stay below: an atom is called novel above 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from ...errors import DataError
from ...typing import Array
from ..data.tensor_data import TensorData
from ..networks.config import NetworkConfig
from ..networks.irreps import SCALAR, Irreps
from .ensemble import judge

MOST_ENVIRONMENTS = 200
HELD_OUT = 0.99
_MOST_DIRECTIONS = 16
# relative to the largest variance: directions with less variance among training atoms are noise of the network
_SMALLEST_VARIANCE = 1e-3
_PARTS = ("mean", "projection", "points")


def with_novelty(model, training: TensorData, held_out: TensorData, *, batch: int = 8):
    """Return the model with environments of its training data, so that it can detect atoms unlike them (host).

    An existing calibration is removed: calibrate afterwards.

    Args:
        model: single or ensemble.
        training: data it was trained on.
        held_out: labelled structures of the same kind it was not trained on; they set the threshold.
        batch: number of structures evaluated at once.

    Returns:
        A model with ``environments`` of all labelled elements: by element ``mean`` ``(features,)``, ``projection``
        ``(features, directions)``, which whitens in units of the threshold, and ``points``
        ``(at most 200, directions)`` in half precision. With several quantities (heads) the last call applies to
        elements of both.

    Raises:
        DataError: an element of the training data has no held-out atom.
        ConventionError: the data do not match the network.
    """
    known, fresh = judge(model, training, batch=batch), judge(model, held_out, batch=batch)
    missing = sorted(known.keys() - fresh.keys())
    if missing:
        raise DataError(f"no held-out atom of {', '.join(missing)}: the threshold of novelty needs some; split again")
    found = {element: _environments(known[element].scalars, fresh[element].scalars) for element in known}
    return model.replace(environments=dict(model.environments) | found, card=replace(model.card, calibration={}))


def novelty(
    scalars: Array, species: Array, environments: Mapping[str, Mapping[str, Array]], table: tuple[str, ...]
) -> Array:
    """Return the novelty ``(nodes,)`` of atoms (traceable); NaN for elements without environments.

    Args:
        scalars: ``(nodes, features)``.
        species: ``(nodes,)`` indices in the table.
        environments: see :func:`with_novelty`.
        table: elements.
    """
    scalars = jnp.asarray(scalars)
    out = jnp.full(len(scalars), jnp.nan, dtype=scalars.dtype)
    for element, of in environments.items():
        mean, projection, points = (jnp.asarray(of[name], dtype=scalars.dtype) for name in _PARTS)
        apart = ((scalars - mean) @ projection)[:, None] - points
        nearest = jnp.sqrt(jnp.min(jnp.sum(apart**2, axis=-1), axis=-1))
        out = jnp.where(jnp.asarray(species) == table.index(element), nearest, out)
    return out


def environment_shapes(
    arrays: Mapping[str, np.ndarray], config: NetworkConfig, members: int | None
) -> dict[str, tuple[int, ...]]:
    """Return the shapes required of environments in a checkpoint; numbers of points and directions are free."""
    features = Irreps.read(config.hidden).each.count(SCALAR) * (members or 1)
    shapes: dict[str, tuple[int, ...]] = {}
    for element in {name.split("/")[1] for name in arrays if name.startswith("environments/")} & set(config.species):
        points = np.shape(arrays.get(f"environments/{element}/points", np.zeros((1, 1))))
        count, directions = points if len(points) == 2 else (1, 1)
        expected = ((features,), (features, directions), (count, directions))
        shapes |= {f"environments/{element}/{part}": shape for part, shape in zip(_PARTS, expected, strict=True)}
    return shapes


def _environments(known: np.ndarray, fresh: np.ndarray) -> dict[str, Array]:
    mean = known.mean(axis=0)
    variance, axes = np.linalg.eigh((known - mean).T @ (known - mean) / len(known))
    variance, axes = variance[::-1][:_MOST_DIRECTIONS], axes[:, ::-1][:, :_MOST_DIRECTIONS]
    kept = variance > max(_SMALLEST_VARIANCE * variance[0], np.finfo(float).tiny)
    if not kept.any():  # all atoms of the training data are identical: any difference counts
        variance, kept = np.ones_like(variance), np.ones_like(kept)
    projection = axes[:, kept] / np.sqrt(variance[kept])
    points = _spread_out((known - mean) @ projection, MOST_ENVIRONMENTS)
    apart = ((fresh - mean) @ projection)[:, None] - points
    distance = np.sort(np.sqrt((apart**2).sum(-1).min(axis=1)))
    threshold = distance[min(int(np.ceil((len(fresh) + 1) * HELD_OUT)), len(fresh)) - 1]
    scale = max(threshold, 1e-3)
    return {
        "mean": jnp.asarray(mean, dtype=np.float32),
        "projection": jnp.asarray(projection / scale, dtype=np.float32),
        "points": jnp.asarray(points / scale, dtype=np.float16),
    }


def _spread_out(points: np.ndarray, most: int) -> np.ndarray:
    """Select points such that none is far from all of them: each next one is the farthest from those before."""
    chosen = [int(np.argmin((points**2).sum(-1)))]
    distance = ((points - points[chosen[0]]) ** 2).sum(-1)
    while len(chosen) < min(most, len(points)) and distance.max() > 0:
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(-1))
    return points[chosen]
