"""Site symmetry: stabilisers, snapping to special positions, free directions, orbits."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from ..errors import SymmetryError
from ..typing import Numbers
from .cell import cell_from_metric, metric_derivative
from .symmetry import SpaceGroup, rref_basis, symmetric_projector

# Coordinates printed as 0.333 are 0.003 Å off in a 10 Å cell, those printed as 0.33 some 0.03 Å.
SNAP_DISTANCE = 0.02
# Tabulated occupancies have two decimals: 0.17 six times is 1.02.
OCCUPANCY_ROUNDING = 0.0051
# Positions on a special position stay there to rounding; this also holds for single precision.
HELD_DISTANCE = 5e-4
# Symmetry images closer than this are not two atoms: the position or the group is wrong.
SHORTEST_IMAGE_DISTANCE = 0.4


@dataclass(frozen=True)
class Site:
    """Symmetry of one position.

    Attributes:
        xyz: the position snapped to its special position.
        stabiliser: rotations of the site-symmetry group.
        images: indices of the operations that generate the orbit, one per atom of the cell.
        primitive_images: the same without centring translations.
    """

    xyz: Float[np.ndarray, "3"]
    stabiliser: Int[np.ndarray, "k 3 3"]
    images: Int[np.ndarray, " atoms"]
    primitive_images: Int[np.ndarray, " primitive_atoms"]

    @property
    def multiplicity(self) -> int:
        return len(self.images)

    def xyz_basis(self) -> Float[np.ndarray, "3 k"]:
        """Directions in which the position may move."""
        return rref_basis(self.stabiliser.astype(float).mean(axis=0))

    def uij_basis(self, g_star: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "6 k"]:
        """Directions in which ``U11 U22 U33 U12 U13 U23`` may change.

        ``a*_i a*_j U_ij`` transforms with the integer rotations; ``g_star`` supplies the ``a*``.
        """
        return rref_basis(self.uij_projector(g_star))

    def uij_projector(self, g_star: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "6 6"]:
        """Average over the site symmetry: projects any ``U_ij`` onto the nearest allowed one."""
        length = np.sqrt(np.diag(g_star))
        # N U N -> R N U N R^T with N = diag(a*), hence U -> (N^-1 R N) U (N^-1 R N)^T
        return symmetric_projector(self.stabiliser * (length[None, None, :] / length[None, :, None]))


def minimum_image(delta: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Reduce a fractional difference to [-1/2, 1/2] by lattice translations."""
    return delta - np.round(delta)


def analyse_site(
    group: SpaceGroup,
    g: Float[np.ndarray, "3 3"],
    xyz: Numbers,
    snap_distance: float = SNAP_DISTANCE,
    label: str = "site",
    occupancy: float | None = 1.0,
) -> Site:
    """Find the site symmetry of a position and snap it to the special position on which it lies.

    Args:
        group: the space group.
        g: metric tensor in Å².
        xyz: fractional position ``(3,)``.
        snap_distance: operations that move the position by less than this (Å) belong to its site symmetry.
        label: for the error message.
        occupancy: images may come closer than 0.4 Å if this allows alternate occupation, as in a split position;
            ``None`` accepts any distance.

    Raises:
        SymmetryError: images of the position come closer than 0.4 Å without coinciding, and the occupancy implies
            that they are present simultaneously.
    """
    point = np.asarray(xyz, dtype=float)
    exact_distance = 1e-5 * np.sqrt(np.trace(g))
    delta, distance = _displacements(group, g, point)
    near = distance < snap_distance
    # Least squares finds the point fixed by all near operations; the operations that fix it form a group.
    shift = np.linalg.lstsq(np.concatenate(group.rotations[near] - np.eye(3)), -delta[near].reshape(-1), rcond=None)[0]
    exact = _displacements(group, g, point + shift)[1] < exact_distance
    # Averaging over a group projects perpendicularly, so that nothing moves along the free directions.
    snapped = point + minimum_image(group.rotations[exact] @ point + group.translations[exact] - point).mean(axis=0)
    delta, distance = _displacements(group, g, snapped)
    exact = distance < exact_distance
    close = ~exact & (distance < SHORTEST_IMAGE_DISTANCE)
    if close.any() and occupancy is not None:
        together = round(close.sum() / exact.sum()) + 1
        if occupancy * together > 1.0 + OCCUPANCY_ROUNDING * together:
            worst = int(np.flatnonzero(close)[np.argmin(distance[close])])
            raise SymmetryError(
                f"{label} at ({point[0]:.4f}, {point[1]:.4f}, {point[2]:.4f}) lies {distance[worst]:.2f} Å from its own "
                f"image under {group.triplets[worst]} of {group.name}: two atoms cannot be that close. "
                "Check the space group and its setting (origin choice), move the atom onto the special position, "
                f"or give a split position an occupancy of at most 1/{together}"
            )
    images, primitive = _orbit(group, snapped)
    return Site(xyz=snapped, stabiliser=group.rotations[exact], images=images, primitive_images=primitive)


def _displacements(
    group: SpaceGroup, g: Float[np.ndarray, "3 3"], xyz: Float[np.ndarray, "3"]
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
    """Return the displacement of a point by every operation, modulo the lattice: fractional and in Å."""
    delta = minimum_image(group.rotations @ xyz + group.translations - xyz)
    return delta, np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", delta, g, delta), 0.0))


def _orbit(group: SpaceGroup, xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the operations that generate the atoms of the cell, and of its primitive part."""
    moved = group.rotations @ xyz + group.translations
    equal = np.abs(minimum_image(moved[:, None] - moved[None])).max(axis=-1) < 1e-5
    images = np.flatnonzero(equal.argmax(axis=1) == np.arange(len(moved)))
    base = moved[: len(moved) // len(group.centring)]  # the operations without centring come first
    shifted = base[:, None, None] - base[None, :, None] - group.centring
    equal = (np.abs(minimum_image(shifted)).max(axis=-1) < 1e-5).any(axis=-1)
    return images, np.flatnonzero(equal.argmax(axis=1) == np.arange(len(base)))


def cell_basis(group: SpaceGroup, cell: Float[np.ndarray, "6"]) -> Float[np.ndarray, "6 k"]:
    """Directions in which ``(a, b, c, alpha, beta, gamma)`` may change.

    The allowed metric tensors form a linear space. This is its tangent space at ``cell`` in lengths and
    angles, which for the conventional settings is exact for steps of any size.
    """
    # G -> Rᵀ G R leaves the allowed metrics unchanged
    g_projector = symmetric_projector(np.swapaxes(group.rotations, 1, 2).astype(float))
    tangent = np.linalg.solve(metric_derivative(np.asarray(cell, dtype=float)), rref_basis(g_projector))
    return rref_basis(tangent @ np.linalg.pinv(tangent), tolerance=1e-6)


@lru_cache(maxsize=256)
def has_conventional_metric(group: SpaceGroup) -> bool:
    """Return whether the allowed cells form a linear space in lengths and angles, as in every tabulated setting.

    Otherwise (a primitive setting of a body-centred tetragonal lattice, say) the tangent directions rotate as the
    cell changes.
    """
    bases = []
    for g in (np.diag([50.0, 60.0, 70.0]), np.array([[80.0, 9.0, 7.0], [9.0, 65.0, 5.0], [7.0, 5.0, 45.0]])):
        bases.append(cell_basis(group, cell_from_metric(group.metric_projector(g))))
    return bases[0].shape == bases[1].shape and bool(np.allclose(bases[0], bases[1], atol=1e-6))
