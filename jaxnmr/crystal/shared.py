"""Sites that share a position: mixed occupancy (O/F, Si/Al), and checks for atoms that overlap."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ..errors import SymmetryError
from .cell import metric
from .sites import OCCUPANCY_ROUNDING, SHORTEST_IMAGE_DISTANCE, minimum_image
from .symmetry import SpaceGroup, unvoigt, voigt
from .unit import AsymmetricUnit

# Sites closer than this (Å) are one position with several species.
SHARED_DISTANCE = 0.01


def shared_sites(crystal: AsymmetricUnit) -> tuple[tuple[int, ...], ...]:
    """Find groups of sites that occupy one position together (host).

    Coordinates and displacements of such sites are usually refined as one. :meth:`Crystal.create` gives shared
    sites the same coordinates, up to lattice translations, even if a file lists symmetry images.

    Args:
        crystal: the crystal.

    Returns:
        Tuples of site indices in ascending order, for positions with two or more sites within 0.01 Å whose
        occupancies add up to at most 1; empty if there are none.
    """
    xyz, occupancy = np.asarray(crystal.xyz, dtype=float), np.asarray(crystal.occupancy, dtype=float)
    g = metric(np.asarray(crystal.cell, dtype=float))
    delta = minimum_image(xyz[:, None] - xyz[None])
    same = np.sqrt(np.einsum("abi,ij,abj->ab", delta, g, delta)) < SHARED_DISTANCE
    groups = dict.fromkeys(tuple(int(k) for k in np.flatnonzero(row)) for row in same)
    return tuple(
        members
        for members in groups
        if len(members) > 1 and occupancy[list(members)].sum() <= 1.0 + OCCUPANCY_ROUNDING * len(members)
    )


def unite_shared_positions(
    group: SpaceGroup,
    g: Float[np.ndarray, "3 3"],
    xyz: Float[np.ndarray, "sites 3"],
    u_aniso: Float[np.ndarray, "sites 6"],
    occupancy: Float[np.ndarray, " sites"],
    labels: Sequence[str],
) -> tuple[Float[np.ndarray, "sites 3"], Float[np.ndarray, "sites 6"]]:
    """Give sites on symmetry images of one position the same coordinates, after checking that they may coincide.

    Args:
        group: the space group.
        g: metric tensor in Å².
        xyz: fractional, on their special positions.
        u_aniso: Å², CIF order; rotated along with the sites that are moved.
        occupancy: of every site.
        labels: for the error message.

    Returns:
        New ``xyz`` and ``u_aniso``.

    Raises:
        SymmetryError: two sites closer than 0.4 Å, or all sites of one position, have occupancies that add up to
            more than 1.
    """
    xyz, u_aniso = xyz.copy(), u_aniso.copy()
    length = np.sqrt(np.diag(np.linalg.inv(g)))
    members: dict[int, list[int]] = {}
    home = np.arange(len(xyz))
    for i in range(len(xyz) - 1):
        moved = np.einsum("nij,bj->bni", group.rotations, xyz[i + 1 :]) + group.translations
        delta = minimum_image(moved - xyz[i])
        distance = np.sqrt(np.maximum(np.einsum("bni,ij,bnj->bn", delta, g, delta), 0.0))
        for offset in np.flatnonzero(distance.min(axis=1) < SHORTEST_IMAGE_DISTANCE):
            j, op = i + 1 + int(offset), int(distance[offset].argmin())
            nearest = distance[offset, op]
            if occupancy[i] + occupancy[j] > 1.0 + 2.0 * OCCUPANCY_ROUNDING:
                raise SymmetryError(_too_close((labels[i], labels[j]), nearest, occupancy[i] + occupancy[j]))
            if nearest < SHARED_DISTANCE and home[j] == j:
                home[j] = home[i]
                members.setdefault(int(home[i]), [int(home[i])]).append(j)
                rotation = group.rotations[op] * (length[None, :] / length[:, None])
                u_aniso[j] = voigt(rotation @ unvoigt(u_aniso[j]) @ rotation.T)
                xyz[j] = xyz[home[i]]
    for shared in members.values():
        total = occupancy[shared].sum()
        if total > 1.0 + OCCUPANCY_ROUNDING * len(shared):
            raise SymmetryError(_too_close([labels[k] for k in shared], 0.0, total))
    return xyz, u_aniso


def _too_close(labels: Sequence[str], distance: float, total: float) -> str:
    return (
        f"{' and '.join(labels)} are {distance:.3f} Å apart with occupancies adding up to {total:.3f} > 1: "
        "remove one, or share the position with occupancies that add up to at most 1"
    )
