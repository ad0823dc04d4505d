"""Intensities in a space group from areas extracted for its whole lattice (host)."""

import numpy as np
import scipy.linalg
from jaxtyping import Int

from ..._arguments import checked
from ...crystal import SpaceGroup
from ...crystal.cell import reciprocal_metric
from ...diffraction.reflections import laue_rotations, plan_reflections
from ...errors import SymmetryError
from ..records import Intensities
from .pawley import groups_of, not_negative
from .records import Extraction


@checked
def intensities_in(fit: Extraction, group: SpaceGroup) -> Intensities:
    """Return areas for a group that forbids some reflections, and splits others that are equivalent under its lattice.

    Areas assigned to forbidden reflections are redistributed to their neighbours by the covariance of the areas.

    Args:
        fit: areas of all reflections of the lattice, or of a supergroup without more extinctions, in the axes of
            ``group``.
        group: a space group of this lattice.

    Raises:
        SymmetryError: the group has reflections that were not extracted, or none that were.
    """
    numbers = np.asarray(fit.cell, dtype=float)
    g_star = reciprocal_metric(numbers)
    d_star_sq = np.einsum("ni,ij,nj->n", fit.hkl, g_star, fit.hkl)
    hkl, multiplicity = plan_reflections(group, numbers, 1.0 / np.sqrt(d_star_sq.max() * (1.0 + 1e-9)))
    rotations = laue_rotations(fit.group)
    known = {key: k for k, key in enumerate(_keys(fit.hkl, rotations))}
    parent = np.array([known.get(key, -1) for key in _keys(hkl, rotations)])
    measured = np.isin(np.arange(len(fit.hkl)), [known[key] for key in _keys(fit.intensities.hkl, rotations)])
    here = (parent >= 0) & measured[parent]
    if not here.any():
        raise SymmetryError(
            f"none of the reflections of {group.name} were extracted with {fit.group.name}: give both the same axes"
        )
    allowed = np.unique(parent[parent >= 0])
    precision = np.linalg.inv(fit.covariance)
    scale = 1.0 / np.sqrt(np.diag(precision)[allowed])
    normal = precision[np.ix_(allowed, allowed)] * scale * scale[:, None]
    side = (precision[allowed] @ fit.area) * scale
    best = scipy.linalg.solve(normal, side, assume_a="pos")
    area = np.zeros(len(fit.hkl))
    area[allowed] = not_negative(normal, side, best) * scale
    covariance = np.zeros_like(fit.covariance)
    covariance[np.ix_(allowed, allowed)] = np.linalg.inv(normal) * scale * scale[:, None]

    kept = np.unique(parent[here])
    place = np.full(len(fit.hkl), -1)
    place[kept] = groups_of(fit.two_theta[kept], fit.fwhm[kept])
    total = np.zeros((place.max() + 1, len(fit.hkl)))
    total[place[kept], kept] = 1.0
    order = np.flatnonzero(here)[np.argsort(fit.two_theta[parent[here]], kind="stable")]
    copies = _copies(fit.hkl, rotations)
    of = parent[order]
    return Intensities(
        cell=numbers,
        group=group,
        hkl=hkl[order],
        multiplicity=multiplicity[order],
        two_theta=fit.two_theta[of],
        weight=fit.weight[of] * multiplicity[order] / copies[of],
        members=place[of],
        area=total @ area,
        covariance=total @ covariance @ total.T,
        instrument=fit.instrument,
        name=fit.name,
        notes=fit.intensities.notes,
    )


def _keys(hkl: Int[np.ndarray, "n 3"], rotations: Int[np.ndarray, "k 3 3"]) -> list[tuple[int, ...]]:
    """Return the same triple for all reflections equivalent under rotations."""
    images = np.einsum("ni,kij->nkj", hkl, rotations)
    return [max(map(tuple, rows)) for rows in images.tolist()]


def _copies(hkl: Int[np.ndarray, "n 3"], rotations: Int[np.ndarray, "k 3 3"]) -> Int[np.ndarray, " n"]:
    """Return the number of different reflections that rotations make of each."""
    images = np.einsum("ni,kij->nkj", hkl, rotations)
    return np.array([len(set(map(tuple, rows))) for rows in images.tolist()])
