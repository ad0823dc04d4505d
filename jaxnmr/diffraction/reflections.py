"""Reflection lists: one reflection per set of Laue equivalents, with multiplicity (host)."""

from itertools import combinations_with_replacement

import numpy as np
from jaxtyping import Bool, Float, Int

from ..crystal import SpaceGroup
from ..crystal.cell import reciprocal_metric
from ..crystal.symmetry import rref_basis
from ..errors import DataError
from ..typing import Numbers


def laue_rotations(group: SpaceGroup) -> Int[np.ndarray, "k 3 3"]:
    """Return the distinct rotations of the Laue class (inversion included)."""
    r = np.concatenate([group.rotations, -group.rotations])
    return np.unique(r.reshape(len(r), 9), axis=0).reshape(-1, 3, 3)


def plan_reflections(
    group: SpaceGroup, cell: Numbers, d_min: float
) -> tuple[Int[np.ndarray, "n 3"], Int[np.ndarray, " n"]]:
    """List all symmetry-allowed reflections with ``d >= d_min``, one per Laue-equivalent set.

    Args:
        group: the space group.
        cell: ``(6,)`` Å and degrees.
        d_min: smallest interplanar distance in Å.

    Returns:
        ``hkl`` in order of decreasing d, and ``multiplicity`` counting Friedel mates.

    Raises:
        DataError: there is no such reflection.
    """
    numbers = np.asarray(cell, dtype=float)
    g_star, lengths = reciprocal_metric(numbers), numbers[:3]
    limit = np.floor(lengths / d_min + 1e-9).astype(int)
    axes = [np.arange(-m, m + 1) for m in limit]
    hkl = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    d2 = np.einsum("ni,ij,nj->n", hkl, g_star, hkl)
    inside = (d2 <= 1.0 / d_min**2 * (1 + 1e-12)) & (d2 > 0)
    hkl = hkl[inside]
    # h and every image hR share one representative: the largest in lexicographic order
    span = 2 * int(limit.max()) + 3
    weights = np.array([span * span, span, 1])
    keys = hkl @ weights
    rotations = laue_rotations(group)
    best = np.full(len(hkl), np.iinfo(np.int64).min)
    for rotation in rotations:
        best = np.maximum(best, hkl @ rotation @ weights)
    representative = keys == best
    unique = hkl[representative]
    counts = dict(zip(*np.unique(best, return_counts=True), strict=True))
    multiplicity = np.array([counts[key] for key in keys[representative]])
    allowed = ~_absent(group, unique)
    unique, multiplicity = unique[allowed], multiplicity[allowed]
    if len(unique) == 0:
        raise DataError(
            f"no reflection of {group.name} with cell {np.round(numbers, 4).tolist()} has d >= {d_min:.4f} Å: "
            "check the wavelength, the 2theta limits and the cell"
        )
    order = np.lexsort((*unique.T[::-1], np.einsum("ni,ij,nj->n", unique, g_star, unique).round(12)))
    return unique[order], multiplicity[order]


def _absent(group: SpaceGroup, hkl: Int[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    """Return whether reflections are systematically absent: some operation maps ``h`` onto itself with a phase shift."""
    absent = np.zeros(len(hkl), dtype=bool)
    for rotation, translation in zip(group.rotations, group.translations, strict=True):
        same = (hkl @ rotation == hkl).all(axis=1)
        shift = hkl @ translation
        absent |= same & (np.abs(shift - np.round(shift)) > 1e-6)
    return absent


def stephens_basis(
    group: SpaceGroup,
) -> tuple[Int[np.ndarray, "15 3"], Float[np.ndarray, "15 k"], tuple[str, ...]]:
    """Return the Laue-invariant quartic forms ``h^H k^K l^L`` (H + K + L = 4) of anisotropic microstrain.

    Returns:
        Exponents, coefficients and a name per column such as ``"S220"``. The leading coefficient is the
        multinomial-type factor of the source (3 for S220, 2 for S310, 4 for S211).

    Source: Stephens, J. Appl. Cryst. 32, 281 (1999), eq. 4 and table 1.
    """
    exponents = np.array(
        [[combo.count(axis) for axis in range(3)] for combo in combinations_with_replacement(range(3), 4)]
    )
    # invariance sampled on more integer points than there are monomials determines the projector exactly
    points = np.array([[h, k, l] for h in range(-3, 4) for k in range(-3, 4) for l in range(-3, 4)], dtype=float)
    monomials = lambda p: np.prod(p[:, None, :] ** exponents[None], axis=-1)
    mean = np.mean([monomials(points @ r) for r in laue_rotations(group)], axis=0)
    projector = np.linalg.lstsq(monomials(points), mean, rcond=None)[0]
    basis = rref_basis(np.where(np.abs(projector) < 1e-9, 0.0, projector), tolerance=1e-7)
    names, factors = [], []
    for column in basis.T:
        pivot = exponents[np.flatnonzero(np.abs(column) > 1e-9)[0]]
        names.append("S" + "".join(str(e) for e in pivot))
        factors.append({(4,): 1.0, (2, 2): 3.0, (1, 3): 2.0, (1, 1, 2): 4.0}[tuple(sorted(e for e in pivot if e))])
    return exponents, np.round(basis, 10) * np.array(factors), tuple(names)
