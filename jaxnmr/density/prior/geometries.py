"""Typical geometries of crystals of one structure type, as cluster means (host)."""

import numpy as np
from jaxtyping import Float

# k-means ends after this many rounds, or when no mean moves by more than this fraction of an edge
_ROUNDS, _STILL = 25, 1e-5
_BATCH = 500


def geometries_of(
    xyz: Float[np.ndarray, "n sites 3"], most: int, seed: int = 0
) -> tuple[Float[np.ndarray, "m sites 3"], Float[np.ndarray, " m"]]:
    """Cluster similar crystals, regardless of their shift along a, by k-means; return the means.

    Args:
        xyz: fractional coordinates of crystals in one pose that differ in x.
        most: largest number of geometries; limited by the number of crystals.
        seed: random seed of the initial means.

    Returns:
        Coordinates of the geometries, and the number of crystals in each.
    """
    centre = np.angle(np.exp(2j * np.pi * xyz).mean(axis=0)) / (2.0 * np.pi)
    moved = (xyz - centre + 0.5) % 1.0 - 0.5
    x = moved[..., 0] - moved[..., 0].mean(axis=1, keepdims=True)
    rng = np.random.default_rng(seed)
    if len(x) <= most:
        nearest = np.arange(len(x))
    else:
        means = x[rng.permutation(len(x))[:most]]
        for _ in range(_ROUNDS):
            nearest = _nearest(x, means)
            before = means
            means = np.where(np.bincount(nearest, minlength=most)[:, None] > 0, _means(x, nearest, most), before)
            if np.abs(means - before).max() < _STILL:
                break
        nearest = _nearest(x, means)
    present, nearest = np.unique(nearest, return_inverse=True)
    counts = np.bincount(nearest).astype(float)
    found = np.broadcast_to(centre, (len(present), *centre.shape)).copy()
    found[..., 0] += _means(x, nearest, len(present))
    return found, counts


def _means(x: np.ndarray, nearest: np.ndarray, count: int) -> np.ndarray:
    total = np.zeros((count, x.shape[1]))
    np.add.at(total, nearest, x)
    return total / np.maximum(np.bincount(nearest, minlength=count), 1)[:, None]


def _nearest(x: np.ndarray, means: np.ndarray) -> np.ndarray:
    square = (means**2).sum(axis=1)
    batches = [x[start : start + _BATCH] for start in range(0, len(x), _BATCH)]
    return np.concatenate([(square - 2.0 * batch @ means.T).argmin(axis=1) for batch in batches])
