"""Site symmetry: stabilisers, snapping to special positions, free directions, orbits."""

from dataclasses import dataclass

import numpy as np

from ..errors import SymmetryError
from .cell import metric_derivative
from .symmetry import SpaceGroup, rref_basis, symmetric_projector

# Coordinates printed as 0.333 are 0.003 Å off in a 10 Å cell, as 0.33 some 0.03 Å.
SNAP_DISTANCE = 0.02
# Symmetry images closer than this are no two atoms: the position or the group is wrong.
SHORTEST_IMAGE_DISTANCE = 0.4


@dataclass(frozen=True)
class Site:
    """Symmetry of one position.

    Attributes:
        xyz: the position snapped to its special position, ``(3,)``.
        stabiliser: rotations of the site-symmetry group, ``(k, 3, 3)``.
        images: indices of the operations that generate the orbit, one per atom of the cell.
        primitive_images: the same without centring translations.
    """

    xyz: np.ndarray
    stabiliser: np.ndarray
    images: np.ndarray
    primitive_images: np.ndarray

    @property
    def multiplicity(self) -> int:
        return len(self.images)

    def xyz_basis(self) -> np.ndarray:
        """Directions in which the position may move, ``(3, k)``."""
        return rref_basis(self.stabiliser.astype(float).mean(axis=0))

    def uij_basis(self, g_star: np.ndarray) -> np.ndarray:
        """Directions in which ``U11 U22 U33 U12 U13 U23`` may change, ``(6, k)``.

        ``a*_i a*_j U_ij`` transforms with the integer rotations; ``g_star`` supplies the ``a*``.
        """
        length = np.sqrt(np.diag(g_star))
        matrices = self.stabiliser * (length[None, None, :] / length[None, :, None])  # N^-1 R N with N = diag(a*)
        # N U N -> R N U N R^T, hence U -> (N^-1 R N) U (N^-1 R N)^T
        return rref_basis(symmetric_projector(matrices))


def _minimum_image(delta: np.ndarray) -> np.ndarray:
    return delta - np.round(delta)


def analyse_site(
    group: SpaceGroup, g: np.ndarray, xyz: np.ndarray, snap_distance: float = SNAP_DISTANCE, label: str = "site"
) -> Site:
    """Find the site symmetry of a position and snap it to the special position it sits on.

    Args:
        group: the space group.
        g: metric tensor ``(3, 3)`` in Å².
        xyz: fractional position ``(3,)``.
        snap_distance: operations that move the position by less than this (Å) belong to its site symmetry.
        label: for the error message.

    Raises:
        SymmetryError: images of the position come closer than 0.4 Å without coinciding.
    """
    xyz = np.asarray(xyz, dtype=float)
    moved = group.rotations @ xyz + group.translations
    delta = _minimum_image(moved - xyz)
    distance = np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", delta, g, delta), 0.0))
    fixed = distance < snap_distance
    snapped = xyz + delta[fixed].mean(axis=0)
    # after snapping, the stabiliser is a group again: every operation that now fixes the point exactly
    moved = group.rotations @ snapped + group.translations
    delta = _minimum_image(moved - snapped)
    distance = np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", delta, g, delta), 0.0))
    exact = distance < 1e-5 * np.sqrt(np.trace(g))
    near = (~exact) & (distance < SHORTEST_IMAGE_DISTANCE)
    if near.any():
        worst = int(np.flatnonzero(near)[np.argmin(distance[near])])
        raise SymmetryError(
            f"{label} at ({xyz[0]:.4f}, {xyz[1]:.4f}, {xyz[2]:.4f}) lies {distance[worst]:.2f} Å from its own image "
            f"under {group.triplets[worst]} of {group.name}: two atoms cannot be that close. "
            "Check the space group and its setting (origin choice), or move the atom onto the special position"
        )
    seen: list[np.ndarray] = []
    seen_primitive: list[np.ndarray] = []
    images, primitive = [], []
    for index, point in enumerate(moved):
        if not any(np.abs(_minimum_image(point - other)).max() < 1e-5 for other in seen):
            seen.append(point)
            images.append(index)
        modulo = [point + shift for shift in group.centring]
        if not any(np.abs(_minimum_image(m - other)).max() < 1e-5 for other in seen_primitive for m in modulo):
            seen_primitive.append(point)
            primitive.append(index)
    return Site(
        xyz=snapped,
        stabiliser=group.rotations[exact],
        images=np.array(images),
        primitive_images=np.array(primitive),
    )


def cell_basis(group: SpaceGroup, cell: np.ndarray) -> np.ndarray:
    """Directions in which ``(a, b, c, alpha, beta, gamma)`` may change, ``(6, k)``.

    The allowed metric tensors form a linear space; this is its tangent space at ``cell`` in lengths and
    angles, which for the conventional settings is exact for steps of any size.
    """
    # G -> Rᵀ G R leaves the allowed metrics unchanged
    g_projector = symmetric_projector(np.swapaxes(group.rotations, 1, 2).astype(float))
    tangent = np.linalg.solve(metric_derivative(np.asarray(cell, dtype=float)), rref_basis(g_projector))
    return rref_basis(tangent @ np.linalg.pinv(tangent), tolerance=1e-6)
