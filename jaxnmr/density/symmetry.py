"""Densities with the symmetry of a space group: the mean over its operations."""

import numpy as np
from jaxtyping import Int

from .._arrays import namespace
from ..crystal import SpaceGroup, metric
from ..errors import SymmetryError
from .grid import Density, Shape, frequencies

# largest relative deviation of the cell metric from one that the group allows
_METRIC = 1e-3


def fits_grid(group: SpaceGroup, shape: Shape) -> bool:
    """Return whether every operation maps grid points to grid points (host)."""
    n = np.array(shape)
    turned = group.rotations * n[:, None] / n
    moved = group.translations * n
    return all(bool(np.all(np.abs(x - np.round(x)) < 1e-6)) for x in (turned, moved))


def fitting_shape(group: SpaceGroup, shape: Shape) -> Shape:
    """Return the smallest grid compatible with a group, with at least the points requested (host).

    Axes exchanged by the group get equal numbers of points, multiples of what its translations require.
    """
    mixed = (group.rotations != 0).any(axis=0)
    linked = np.linalg.matrix_power((mixed | mixed.T | np.eye(3, dtype=bool)).astype(int), 3) > 0
    least = [max(shape[k] for k in range(3) if linked[axis, k]) for axis in range(3)]
    parts = np.round(group.translations * 24).astype(int)
    found = []
    for axis in range(3):
        together = [int(np.gcd.reduce(np.append(parts[:, k], 24))) for k in range(3) if linked[axis, k]]
        factor = int(np.lcm.reduce([24 // divisor for divisor in together]))
        found.append(-(-least[axis] // factor) * factor)
    return found[0], found[1], found[2]


def symmetrised(density: Density, group: SpaceGroup) -> Density:
    """Average ``rho(R x + t)`` over all operations; traceable in the values.

    On a grid compatible with the group (:func:`fits_grid`) this is exactly the mean of the values. Otherwise it is the
    mean of the structure factors, ``F(h) = <F(h R) exp(2 pi i h·t)>``, of reflections all of whose equivalents the grid
    holds; the others become zero.

    Raises:
        SymmetryError: the cell does not have the metric of the group.
    """
    g = metric(np.asarray(density.cell, dtype=float))
    off = float(np.abs(group.metric_projector(g) - g).max() / np.abs(g).max())
    if off > _METRIC:
        raise SymmetryError(
            f"the cell {np.round(np.asarray(density.cell, dtype=float), 4).tolist()} does not have the metric of {group.name} (off by "
            f"{100 * off:.1f} %); give the density in the cell and setting of the group"
        )
    xp, shape = namespace(density.values), np.array(density.shape)
    if fits_grid(group, density.shape):
        flat, total = density.values.reshape(-1), xp.zeros(int(shape.prod()), dtype=density.values.dtype)
        for rotation, translation in zip(group.rotations, group.translations, strict=True):
            total = total + flat[_images(rotation, translation, shape)]
        return density.replace(values=(total / group.order).reshape(density.shape))
    waves = density.waves()
    h = np.stack(np.meshgrid(*map(frequencies, density.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    held = np.ones(len(h), dtype=bool)
    for rotation in np.unique(group.rotations, axis=0):
        held &= (2 * np.abs(h @ rotation) < shape).all(axis=1)
    kept = h[held]
    mean = xp.zeros(len(kept), dtype=waves.dtype)
    for rotation, translation in zip(group.rotations, group.translations, strict=True):
        mean = mean + waves[tuple((kept @ rotation % shape).T)] * np.exp(2j * np.pi * (kept @ translation))
    place = tuple((kept % shape).T)
    full = xp.zeros(density.shape, dtype=waves.dtype)
    if xp is np:
        full[place] = mean / group.order
    else:
        full = full.at[place].set(mean / group.order)
    return density.replace(values=xp.fft.fftn(full).real / density.volume())


def _images(rotation: np.ndarray, translation: np.ndarray, shape: np.ndarray) -> Int[np.ndarray, " points"]:
    """Return the image of each grid point under an operation, as indices among its values."""
    turned = np.round(rotation * shape[:, None] / shape).astype(int)
    moved = np.round(translation * shape).astype(int)
    i, j, k = np.ogrid[: shape[0], : shape[1], : shape[2]]
    to = [(turned[a, 0] * i + turned[a, 1] * j + turned[a, 2] * k + moved[a]) % shape[a] for a in range(3)]
    return ((to[0] * shape[1] + to[1]) * shape[2] + to[2]).ravel()
