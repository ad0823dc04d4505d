"""Molecules of shapes unlike those of the training, by the distances between their atoms (host).

An atom's neighbourhood changes little where a group turns about a bond, so `novelty` sees little of it. The distances between all
atoms of two elements, in ascending order, do not depend on how atoms are numbered, and leave the range that they have in the training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from ..errors import DataError
from ..models.networks.novelty import HELD_OUT
from ..typing import Array

# of a range: held-out geometries of a training that holds all there is are hardly beyond it
_LEAST_ROOM = 0.02


def composition(elements: Sequence[str]) -> str:
    """Such as ``"C2H6O"``, with symbols in alphabetic order."""
    return "".join(f"{name}{count if count > 1 else ''}" for name, count in sorted(Counter(elements).items()))


def ordered_distances(elements: Sequence[str], xyz: np.ndarray) -> np.ndarray:
    """Distances ``(molecules, pairs)``, Å, in ascending order within each pair of elements.

    Args:
        elements: of the atoms.
        xyz: ``(molecules, n, 3)`` Å.
    """
    i, j = np.triu_indices(len(elements), 1)
    apart = np.linalg.norm(xyz[:, i] - xyz[:, j], axis=-1)
    names = np.array(elements)
    kinds = np.array(["-".join(sorted(pair)) for pair in zip(names[i], names[j], strict=True)])
    return np.concatenate([np.sort(apart[:, kinds == kind], axis=1) for kind in np.unique(kinds)], axis=1)


def ranges_of(elements: Sequence[str], known: np.ndarray, fresh: np.ndarray) -> dict[str, Array]:
    """What is remembered of the shapes of one molecule.

    Args:
        elements: of the atoms.
        known: positions of the training, ``(molecules, n, 3)`` Å.
        fresh: those of geometries that were not trained on: 99 % of them are below 1.

    Raises:
        DataError: fewer than two geometries of the training, or no others.
    """
    if len(known) < 2 or not len(fresh):
        raise DataError(f"the shapes of {composition(elements)} need two geometries of the training, and held-out ones")
    distances = ordered_distances(elements, known)
    low, high = distances.min(axis=0), distances.max(axis=0)
    room = max(float(np.quantile(_outside(ordered_distances(elements, fresh), low, high), HELD_OUT)), _LEAST_ROOM)
    single = lambda array: jnp.asarray(array, dtype=np.float32)
    return {"low": single(low), "high": single(high), "room": single(room)}


def beyond(elements: Sequence[str], xyz: np.ndarray, ranges: Mapping[str, Mapping[str, Array]]) -> np.ndarray:
    """How far the shapes of molecules ``(molecules, n, 3)`` leave those of the training; NaN for another composition."""
    of = ranges.get(composition(elements))
    if of is None:
        return np.full(len(xyz), np.nan)
    low, high, room = (np.asarray(of[name], dtype=float) for name in ("low", "high", "room"))
    return _outside(ordered_distances(elements, xyz), low, high) / room


def _outside(distances: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """By which part of its range the most extreme distance leaves it, 0 inside."""
    room = np.maximum(high - low, 1e-6)
    return (np.maximum(low - distances, distances - high) / room).max(axis=1).clip(0.0)
