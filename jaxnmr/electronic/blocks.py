"""Blocks of a matrix between the functions of two atoms, as irreps of rotations and inversion.

The product of a shell of rank l1 on one atom and a shell of rank l2 on another holds every rank from ``|l1 - l2|`` to
``l1 + l2``, with the parity ``(-1)^(l1 + l2)``. The map from a block to these components is orthogonal, so that nothing is lost
and errors keep their size. Components are in the order and signs of e3nn (`jaxnmr.models.networks.irreps`).
"""

from functools import lru_cache
from typing import NamedTuple

import e3nn_jax as e3nn
import jax.numpy as jnp
import numpy as np

from ..errors import ShapeError
from ..models.networks.irreps import Irrep, Irreps, tensor_basis
from ..typing import Array
from .basis import BasisSet, Orbitals


@lru_cache
def spherical_order(l: int) -> np.ndarray:
    """Orthogonal ``(2l+1, 2l+1)``: real spherical functions in the order of orbitals (rows) in that of networks (columns)."""
    if l < 2:  # x, y, z in both
        return np.eye(2 * l + 1)
    xy, yz, xz = (np.zeros((3, 3)) for _ in range(3))
    for tensor, (i, j) in ((xy, (0, 1)), (yz, (1, 2)), (xz, (0, 2))):
        tensor[i, j] = tensor[j, i] = np.sqrt(0.5)
    z2, x2_y2 = np.diag([-1.0, -1.0, 2.0]) / np.sqrt(6.0), np.diag([1.0, -1.0, 0.0]) / np.sqrt(2.0)
    return np.einsum("pij,qij->pq", np.stack([xy, yz, z2, xz, x2_y2]), tensor_basis()[4:])


class BlockIrreps(NamedTuple):
    """What a block between two elements is made of.

    Attributes:
        irreps: multiplicities and irreps, in order.
        matrix: orthogonal ``(functions of the one x functions of the other, components)``.
    """

    irreps: Irreps
    matrix: np.ndarray


@lru_cache
def block_irreps(basis: BasisSet, one: str, other: str) -> BlockIrreps:
    """Irreps of the block between two elements (host).

    Raises:
        ConventionError: an element that the basis set lacks.
    """
    rows, columns = basis.of(one), basis.of(other)
    shape = (basis.size(one), basis.size(other))
    parts: list[tuple[Irrep, np.ndarray]] = []
    i = 0
    for a in rows:
        j = 0
        for b in columns:
            for L in range(abs(a.l - b.l), a.l + b.l + 1):
                coupled = np.asarray(e3nn.clebsch_gordan(a.l, b.l, L)) * np.sqrt(2 * L + 1)
                part = np.zeros((*shape, 2 * L + 1))
                part[i : i + a.size, j : j + b.size] = np.einsum(
                    "pa,qb,abm->pqm", spherical_order(a.l), spherical_order(b.l), coupled
                )
                parts.append((Irrep(L, (-1) ** (a.l + b.l)), part.reshape(-1, 2 * L + 1)))
            j += b.size
        i += a.size
    parts.sort(key=lambda part: (part[0].l, -part[0].p * (-1) ** part[0].l))
    irreps = Irreps((1, ir) for ir, _ in parts).simplify()
    return BlockIrreps(irreps, np.concatenate([matrix for _, matrix in parts], axis=1))


class Kind(NamedTuple):
    """All blocks of a molecule between atoms of one element (rows) and of another (columns).

    Attributes:
        elements: of rows and columns.
        onsite: an atom with itself.
        rows, columns: ``(blocks,)`` atoms.
    """

    elements: tuple[str, str]
    onsite: bool
    rows: np.ndarray
    columns: np.ndarray

    @property
    def name(self) -> str:
        """``"C"`` on site, ``"C-H"`` between atoms."""
        return self.elements[0] if self.onsite else "-".join(self.elements)


class BlockLayout(NamedTuple):
    """Where the blocks of a molecule are.

    Attributes:
        orbitals: the functions.
        kinds: on-site blocks by element, then blocks between different atoms by both elements, each in both directions.
        place: ``(size²,)`` where every element of the matrix is in all blocks written one after the other.
        origin: its inverse.
    """

    orbitals: Orbitals
    kinds: tuple[Kind, ...]
    place: np.ndarray
    origin: np.ndarray

    def coefficients(self, matrices) -> dict[str, Array]:
        """Components ``(..., blocks, dim)`` by kind of matrices ``(..., size, size)``."""
        n = self.orbitals.size
        matrices = matrices if isinstance(matrices, np.ndarray) else jnp.asarray(matrices)
        if matrices.shape[-2:] != (n, n):
            raise ShapeError(
                f"matrices have the shape {matrices.shape}; the molecule has {n} functions: (..., {n}, {n})"
            )
        flat = matrices.reshape(*matrices.shape[:-2], n * n)[..., self.origin]
        out, start = {}, 0
        for kind in self.kinds:
            matrix = block_irreps(self.orbitals.basis, *kind.elements).matrix.astype(matrices.dtype)
            end = start + len(kind.rows) * len(matrix)
            out[kind.name] = flat[..., start:end].reshape(*flat.shape[:-1], len(kind.rows), len(matrix)) @ matrix
            start = end
        return out

    def matrices(self, coefficients: dict[str, Array]) -> Array:
        """Symmetric matrices ``(..., size, size)`` of components by kind, the inverse of :meth:`coefficients`.

        A block and its counterpart across the diagonal are averaged: the matrix is symmetric whatever the components are.
        """
        parts = []
        for kind in self.kinds:
            given = jnp.asarray(coefficients[kind.name])
            matrix = block_irreps(self.orbitals.basis, *kind.elements).matrix
            parts.append((given @ jnp.asarray(matrix.T, dtype=given.dtype)).reshape(*given.shape[:-2], -1))
        n = self.orbitals.size
        flat = jnp.concatenate(parts, axis=-1)[..., self.place]
        full = flat.reshape(*flat.shape[:-1], n, n)
        return 0.5 * (full + jnp.swapaxes(full, -1, -2))


@lru_cache
def block_layout(orbitals: Orbitals) -> BlockLayout:
    """Blocks of a molecule (host)."""
    elements = np.array(orbitals.elements)
    names = sorted(set(orbitals.elements))
    atoms = np.arange(len(elements))
    kinds = [Kind((name, name), True, atoms[elements == name], atoms[elements == name]) for name in names]
    i, j = np.nonzero(~np.eye(len(elements), dtype=bool))
    for one in names:
        for other in names:
            chosen = (elements[i] == one) & (elements[j] == other)
            if chosen.any():
                kinds.append(Kind((one, other), False, i[chosen], j[chosen]))
    index = np.arange(orbitals.size**2).reshape(orbitals.size, orbitals.size)
    slices = orbitals.slices
    origin = np.concatenate(
        [index[slices[a], slices[b]].ravel() for kind in kinds for a, b in zip(kind.rows, kind.columns, strict=True)]
    )
    return BlockLayout(orbitals, tuple(kinds), np.argsort(origin), origin)
