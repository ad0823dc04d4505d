"""Unit cell: lattice vectors, metric tensors and their inverses.

A cell is ``(a, b, c, alpha, beta, gamma)`` in Å and degrees; lattice vectors are rows, so that
``cart = frac @ lattice(cell)``. Reciprocal quantities carry no factor 2 pi. A NumPy cell gives NumPy
results in double precision (planning on the host), a JAX cell gives traceable ones.
"""

import numpy as np
from jaxtyping import Float, Real

from .._arrays import namespace
from ..typing import Array, ArrayT, Numbers


def metric(cell: Real[ArrayT, "6"]) -> Float[ArrayT, "3 3"]:
    """Metric tensor ``G`` (Å²)."""
    xp = namespace(cell)
    a, b, c = cell[0], cell[1], cell[2]
    cos = xp.cos(xp.deg2rad(cell[3:]))
    return xp.array(
        [
            [a * a, a * b * cos[2], a * c * cos[1]],
            [a * b * cos[2], b * b, b * c * cos[0]],
            [a * c * cos[1], b * c * cos[0], c * c],
        ]
    )


def cell_from_metric(g: Float[ArrayT, "3 3"]) -> Float[ArrayT, "6"]:
    """Cell in Å and degrees from a metric tensor in Å²."""
    xp = namespace(g)
    a, b, c = xp.sqrt(g[0, 0]), xp.sqrt(g[1, 1]), xp.sqrt(g[2, 2])
    cos = xp.stack([g[1, 2] / (b * c), g[0, 2] / (a * c), g[0, 1] / (a * b)])
    return xp.concatenate([xp.stack([a, b, c]), xp.rad2deg(xp.arccos(cos))])


def reciprocal_metric(cell: Real[ArrayT, "6"]) -> Float[ArrayT, "3 3"]:
    """Reciprocal metric tensor ``G*`` (Å⁻²): ``1/d² = h G* hᵀ``."""
    return namespace(cell).linalg.inv(metric(cell))


def volume(cell: Real[Array, "6"]) -> Float[Array, ""] | np.floating:
    """Cell volume in Å³."""
    xp = namespace(cell)
    cos = xp.cos(xp.deg2rad(cell[3:]))
    return cell[0] * cell[1] * cell[2] * xp.sqrt(1.0 - xp.sum(cos**2) + 2.0 * xp.prod(cos))


def lattice(cell: Real[ArrayT, "6"]) -> Float[ArrayT, "3 3"]:
    """Lattice vectors as rows, Å: ``a`` along x, ``b`` in the xy plane (ASE's choice)."""
    xp = namespace(cell)
    cos, sin = xp.cos(xp.deg2rad(cell[3:])), xp.sin(xp.deg2rad(cell[3:]))
    a, b, c = cell[0], cell[1], cell[2]
    zero = xp.zeros_like(a)
    cy = (cos[0] - cos[1] * cos[2]) / sin[2]
    cz = volume(cell) / (a * b * c * sin[2])
    rows = ([a, zero, zero], [b * cos[2], b * sin[2], zero], [c * cos[1], c * cy, c * cz])
    return xp.stack([xp.stack(row) for row in rows])


def metric_derivative(cell: Float[np.ndarray, "6"]) -> Float[np.ndarray, "6 6"]:
    """Derivative of ``G11 G22 G33 G12 G13 G23`` with respect to ``a b c alpha beta gamma`` (host)."""
    a, b, c = cell[:3]
    (ca, cb, cg), (sa, sb, sg) = np.cos(np.deg2rad(cell[3:])), np.sin(np.deg2rad(cell[3:])) * np.pi / 180.0
    return np.array(
        [
            [2 * a, 0, 0, 0, 0, 0],
            [0, 2 * b, 0, 0, 0, 0],
            [0, 0, 2 * c, 0, 0, 0],
            [b * cg, a * cg, 0, 0, 0, -a * b * sg],
            [c * cb, 0, a * cb, 0, -a * c * sb, 0],
            [0, c * ca, b * ca, -b * c * sa, 0, 0],
        ]
    )


def d_spacing(cell: Real[Array, "6"], hkl: Numbers) -> Float[Array, " n"]:
    """Interplanar distances in Å for integer ``hkl``, ``(n, 3)``."""
    xp = namespace(cell)
    h = xp.asarray(hkl)
    return 1.0 / xp.sqrt(xp.einsum("ni,ij,nj->n", h, reciprocal_metric(cell), h))
