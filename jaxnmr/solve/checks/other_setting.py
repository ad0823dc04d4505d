"""Integrated intensities in the axes and space group of a structure described in another setting (host)."""

from dataclasses import replace

import numpy as np

from ...crystal import Crystal, volume
from ...crystal.cell import reciprocal_metric
from ...diffraction.reflections import plan_reflections
from ...errors import ConventionError
from ..records import Intensities

# relative difference of interplanar distances up to which reflections are the same: a cell may have been refined in
# between
_SAME = 2e-3


def areas_in_setting(areas: Intensities, crystal: Crystal) -> Intensities:
    """Return areas for a structure of the same lattice, in another setting or a group of higher symmetry.

    Reflections are matched by their interplanar distances. Areas without reflections that the group allows are left
    out.

    Args:
        areas: extracted areas.
        crystal: structure of the same powder.

    Raises:
        ConventionError: the structure has another lattice.
    """
    cell, old = np.asarray(crystal.cell, dtype=float), np.asarray(areas.cell, dtype=float)
    if crystal.group == areas.group and np.allclose(cell, old, rtol=_SAME):
        return replace(areas, cell=cell)
    lengths = lambda hkl, cell: np.einsum("ni,ij,nj->n", hkl, reciprocal_metric(cell), hkl) ** 0.5
    known = lengths(areas.hkl, old)
    hkl, multiplicity = plan_reflections(crystal.group, cell, 1.0 / (known.max() * (1.0 + _SAME)))
    order = np.argsort(known, kind="stable")
    here = lengths(hkl, cell)
    place = (
        np.clip(np.searchsorted(known[order], here), 1, len(known) - 1)
        if len(known) > 1
        else np.zeros(len(here), dtype=int)
    )
    left, right = order[np.maximum(place - 1, 0)], order[place]
    nearest = np.where(np.abs(known[left] - here) < np.abs(known[right] - here), left, right)
    found = np.abs(known[nearest] / here - 1.0) < _SAME
    if found.sum() < 0.5 * len(np.unique(areas.members)):
        raise ConventionError(
            f"{crystal.name} in {crystal.group.name} has {int(found.sum())} of its reflections among the {len(known)} of {areas.name}: "
            "expected a structure of the same lattice"
        )
    hkl, multiplicity, nearest = hkl[found], multiplicity[found], nearest[found]
    groups, members = np.unique(areas.members[nearest], return_inverse=True)
    angular = np.asarray(areas.weight) / np.asarray(areas.multiplicity)
    return replace(
        areas, cell=cell, group=crystal.group, hkl=hkl, multiplicity=multiplicity, two_theta=areas.two_theta[nearest],
        weight=angular[nearest] * multiplicity * _larger(old, areas, cell, crystal), members=members, area=areas.area[groups],
        covariance=areas.covariance[np.ix_(groups, groups)],
    )  # fmt: skip


def _larger(old: np.ndarray, areas: Intensities, cell: np.ndarray, crystal: Crystal) -> float:
    """Return the ratio of conventional cells, by which the structure factors of all reflections scale."""
    primitive = lambda cell, group: float(volume(cell)) / len(group.centring)
    return primitive(old, areas.group) / primitive(cell, crystal.group)
