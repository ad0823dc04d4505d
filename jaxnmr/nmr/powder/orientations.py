"""Orientations of a powder: the octahedral grid of Alderman, Solum & Grant, J. Chem. Phys. 84, 3717 (1986)."""

from typing import Literal, Self

import numpy as np
from jaxtyping import Float, Int

from ..._struct import Struct, static
from ...errors import ConventionError
from ...typing import Array
from . import spherical

Volume = Literal["octant", "hemisphere", "sphere"]

_SIGNS = {
    "octant": [(1, 1, 1)],
    "hemisphere": [(x, y, 1) for x in (1, -1) for y in (1, -1)],
    "sphere": [(x, y, z) for x in (1, -1) for y in (1, -1) for z in (1, -1)],
}


class Orientations(Struct):
    """Directions of the rotor axis (of the field, if static) in the crystal, with the triangles between them.

    Attributes:
        rank2: transforms rank-2 components to the rotor frame; without spinning only the first of five rows.
        rank4: the same for rank 4, nine rows or the first.
        triangles: vertices of every triangle.
        rings: neighbours of every vertex, in the order of the triangles around it; the vertex itself if
            there is none.
        areas: a triangle covers the sum over its vertices; all triangles together cover 1.
        weights: for sums over vertices; they sum to 1.
    """

    rank2: Float[Array, "vertices rows2 5"]
    rank4: Float[Array, "vertices rows4 9"]
    triangles: Int[Array, "triangles 3"]
    rings: Int[Array, "6 vertices"]
    areas: Float[Array, " vertices"]
    weights: Float[Array, " vertices"]
    volume: Volume = static()
    density: int = static()

    @classmethod
    def plan(cls, density: int, volume: Volume, *, spinning: bool) -> Self:
        """Generate the grid (host).

        Args:
            density: divisions of an octahedron's edge; an octant has ``(density+1)(density+2)/2`` vertices.
            volume: the part of the sphere. An octant suffices only if all tensors are diagonal in the frame, a
                hemisphere always.
            spinning: whether to keep the components that spinning modulates.

        Raises:
            ConventionError: a density below 2, or an unknown volume.
        """
        if density < 2:
            raise ConventionError(f"integration_density is {density}; expected at least 2 (70 is usual)")
        if volume not in _SIGNS:
            raise ConventionError(f"volume is {volume!r}; expected 'octant', 'hemisphere' or 'sphere'")
        face, corners, ring = octahedron_face(density)
        vertices = np.concatenate([face * np.array(signs) for signs in _SIGNS[volume]])
        triangles = np.concatenate([corners + len(face) * k for k in range(len(_SIGNS[volume]))])
        rings = np.concatenate([ring + len(face) * k for k in range(len(_SIGNS[volume]))], axis=1)
        # a triangle's solid angle, shared by its vertices: proportional to 1/r^3 of the flat face's points
        areas = np.linalg.norm(vertices, axis=1) ** -3.0
        areas /= areas[triangles].sum()
        weights = areas * np.bincount(triangles.ravel(), minlength=len(vertices))
        x, y, z = (vertices / np.linalg.norm(vertices, axis=1, keepdims=True)).T
        alpha, beta = np.arctan2(y, x), np.arccos(np.clip(z, -1.0, 1.0))
        keep = slice(None) if spinning else slice(0, 1)
        return cls(
            rank2=np.ascontiguousarray(spherical.rotation(2, alpha, beta)[:, keep]),
            rank4=np.ascontiguousarray(spherical.rotation(4, alpha, beta)[:, keep]),
            triangles=triangles.astype(np.int32),
            rings=rings.astype(np.int32),
            areas=areas,
            weights=weights,
            volume=volume,
            density=density,
        )


def octahedron_face(
    n: int,
) -> tuple[Float[np.ndarray, "vertices 3"], Int[np.ndarray, "triangles 3"], Int[np.ndarray, "6 vertices"]]:
    """Return the points of an octahedron's face, the corners of its triangles, and the neighbours of every point."""
    i, j = (a.ravel() for a in np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij"))
    inside = i + j <= n
    number = np.full((n + 1) * (n + 1), -1)
    number[inside] = np.arange(inside.sum())
    at = lambda a, b: number[a * (n + 1) + b]
    i, j = i[inside], j[inside]
    up = i + j < n
    down = i + j < n - 1
    triangles = [
        np.stack([at(i[up], j[up]), at(i[up] + 1, j[up]), at(i[up], j[up] + 1)], axis=1),
        np.stack([at(i[down] + 1, j[down]), at(i[down] + 1, j[down] + 1), at(i[down], j[down] + 1)], axis=1),
    ]

    def neighbour(di: int, dj: int) -> np.ndarray:
        a, b = i + di, j + dj
        return np.where((a >= 0) & (b >= 0) & (a + b <= n), at(np.clip(a, 0, n), np.clip(b, 0, n)), at(i, j))

    rings = np.stack([neighbour(*step) for step in ((1, 0), (0, 1), (-1, 1), (-1, 0), (0, -1), (1, -1))])
    return np.stack([n - i - j, i, j], axis=1).astype(float), np.concatenate(triangles), rings
