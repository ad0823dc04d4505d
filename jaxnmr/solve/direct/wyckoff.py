"""Wyckoff positions of a space group, derived from its operations (host).

Points are examined on a grid of 1/24 of the cell: special points of the tabulated settings have coordinates that are
multiples of 1/8 or 1/6, and each of their lines and planes contains grid points that lie on no other element. Two
points belong to one position if an operation maps the free subspace of one to that of the other.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from ...crystal import SpaceGroup
from ...crystal.symmetry import rref_basis
from ...errors import SymmetryError

GRID = 24


@dataclass(frozen=True)
class Wyckoff:
    """One Wyckoff position: an entire orbit is ``matrices @ u + shifts``, modulo the lattice.

    Attributes:
        matrices: ``(multiplicity, 3, dof)`` integers; ``u`` from 0 to 1 along each of its columns covers all points.
        shifts: ``(multiplicity, 3)``.
        reduced: ``(k,)`` indices of the atoms that generate all others by centring, and by inversion in the origin if
            the group has it; ``weight`` ``(k,)`` number of atoms of a primitive cell that each represents, 1 or 2.
        order: order of the site symmetry.
        number: its index in `Positions`.
    """

    matrices: Int[np.ndarray, "multiplicity 3 dof"]
    shifts: Float[np.ndarray, "multiplicity 3"]
    reduced: Int[np.ndarray, " k"]
    weight: Float[np.ndarray, " k"]
    order: int
    number: int

    @property
    def multiplicity(self) -> int:
        """Number of atoms in the conventional cell."""
        return len(self.shifts)

    @property
    def dof(self) -> int:
        """Number of free coordinates."""
        return self.matrices.shape[2]

    @property
    def words(self) -> str:
        """Multiplicity and first point, such as ``4(x, 1/4, z)``; letters are not derived."""
        names = "xyz" if self.dof == 3 else "".join(_leading(column) for column in self.matrices[0].T)
        rows = (_coordinate(row, shift, names) for row, shift in zip(self.matrices[0], self.shifts[0], strict=True))
        return f"{self.multiplicity}({', '.join(rows)})"


def _leading(column: Int[np.ndarray, "3"]) -> str:
    return "xyz"[int(np.flatnonzero(column)[0])]


def _coordinate(row: Int[np.ndarray, " dof"], shift: float, names: str) -> str:
    text = ""
    for factor, name in zip(row.tolist(), names, strict=True):
        if factor:
            sign = "-" if factor < 0 else "+" if text else ""
            text += f"{sign}{abs(factor) if abs(factor) != 1 else ''}{name}"
    parts = round(shift * GRID) % GRID
    if parts or not text:
        divisor = np.gcd(parts, GRID)
        number = "0" if parts == 0 else f"{parts // divisor}/{GRID // divisor}"
        text += ("+" if text else "") + number
    return text


@dataclass(frozen=True)
class Positions:
    """All Wyckoff positions of a group, the general one last.

    Attributes:
        group: the space group.
        every: the positions, by multiplicity, then by number of free coordinates.
        label: ``(24, 24, 24)`` index of the position of each grid point.
    """

    group: SpaceGroup
    every: tuple[Wyckoff, ...]
    label: Int[np.ndarray, "24 24 24"]

    def __len__(self) -> int:
        return len(self.every)

    def __getitem__(self, number: int) -> Wyckoff:
        return self.every[number]

    @cached_property
    def generic(self) -> Int[np.ndarray, "positions 3"]:
        """One grid point of each position."""
        first = [np.argwhere(self.label == k)[0] for k in range(len(self))]
        return np.array(first)


@lru_cache(maxsize=256)
def wyckoff_positions(group: SpaceGroup) -> Positions:
    """Derive the Wyckoff positions of a group; results are cached.

    Raises:
        SymmetryError: with this origin special points are not multiples of 1/24.
    """
    rotations = group.rotations
    translations = np.rint(group.translations * GRID).astype(int)
    _require_grid(rotations, translations)
    axis = np.arange(GRID)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    fixes = _fixing(rotations, translations)
    order = fixes.sum(axis=1)
    label = np.full(GRID**3, -1)
    found: list[tuple[int, int, np.ndarray]] = []
    # special points first, so that the points left on a line belong to it alone
    for start in _by_symmetry(order):
        if label[start] >= 0:
            continue
        stabiliser = rotations[fixes[start]]
        basis = integer_basis(stabiliser)
        if basis.shape[1] == 3:
            here = np.flatnonzero(label < 0)
        else:
            free = basis.shape[1]
            along = np.indices((GRID,) * free).reshape(free, GRID**free)
            subspace = (points[start] + (basis @ along).T) % GRID
            subspace = subspace[order[_index(subspace)] == order[start]]
            images = np.einsum("nij,kj->nki", rotations, subspace) + translations[:, None]
            here = np.unique(_index(images.reshape(-1, 3) % GRID))
        label[here] = len(found)
        found.append((int(start), int(order[start]), basis))
    made = [_position(group, points[start], at, basis) for start, at, basis in found]
    ranking = sorted(range(len(made)), key=lambda k: (len(made[k][1]), made[k][0].shape[2], *made[k][1][0].tolist()))
    place = np.argsort(ranking)
    every = tuple(Wyckoff(*made[k], number) for number, k in enumerate(ranking))
    return Positions(group, every, place[label].reshape(GRID, GRID, GRID))


def _by_symmetry(order: Int[np.ndarray, " points"]) -> Int[np.ndarray, " points"]:
    return np.argsort(-order, kind="stable")


def _index(points: Int[np.ndarray, "*n 3"]) -> Int[np.ndarray, "*n"]:
    return (points[..., 0] * GRID + points[..., 1]) * GRID + points[..., 2]


def _fixing(rotations: Int[np.ndarray, "n 3 3"], translations: Int[np.ndarray, "n 3"]) -> Bool[np.ndarray, "points n"]:
    """Return whether operations leave grid points unchanged, modulo the lattice."""
    axis = np.arange(GRID, dtype=np.int16)
    fixes = np.empty((GRID**3, len(rotations)), dtype=bool)
    for k, (rotation, translation) in enumerate(zip(rotations, translations, strict=True)):
        here = np.ones((GRID,) * 3, dtype=bool)
        for row, shift in zip((rotation - np.eye(3, dtype=int)).astype(np.int16), translation.tolist(), strict=True):
            along = [(factor * axis) for factor in row]
            here &= (along[0][:, None, None] + along[1][:, None] + along[2] + shift) % GRID == 0
        fixes[:, k] = here.ravel()
    return fixes


def integer_basis(rotations: Int[np.ndarray, "k 3 3"]) -> Int[np.ndarray, "3 dof"]:
    """Return shortest lattice vectors whose integer combinations are all lattice points fixed by these rotations."""
    basis = rref_basis(rotations.astype(float).mean(axis=0))
    if basis.shape[1] == 0:
        return np.zeros((3, 0), dtype=int)
    reach = np.arange(-2, 3)
    vectors = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), axis=-1).reshape(-1, 3)
    within = (np.einsum("kij,nj->nki", rotations, vectors) == vectors[:, None]).all(axis=(1, 2)) & vectors.any(axis=1)
    vectors = vectors[within]
    # positive and short vectors first
    vectors = vectors[np.lexsort((*(-vectors.T[::-1]), (vectors**2).sum(axis=1)))]
    chosen: list[np.ndarray] = []
    for vector in vectors:
        if np.linalg.matrix_rank(np.array([*chosen, vector])) > len(chosen):
            chosen.append(vector)
    return np.array(sorted(chosen, key=lambda v: tuple(-abs(v)))).T


def _position(
    group: SpaceGroup, point: Int[np.ndarray, "3"], order: int, basis: Int[np.ndarray, "3 dof"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Return matrices, shifts, reduced atoms, their weights and the order of the site symmetry."""
    base = _plain(point, basis)
    moved = np.einsum("nij,j->ni", group.rotations, base) + np.rint(group.translations * GRID).astype(int)
    # operations that map the whole subspace to the same place differ by one of the site symmetry of its generic point
    generic = (np.einsum("nij,j->ni", group.rotations, point) + np.rint(group.translations * GRID).astype(int)) % GRID
    images = np.sort(np.unique(_index(generic), return_index=True)[1])
    matrices = np.einsum("nij,jk->nik", group.rotations[images], basis)
    shifts = (moved[images] % GRID) / GRID
    reduced, weight = _reduced(group, generic[images])
    return matrices, shifts, reduced, weight, order


def _plain(point: Int[np.ndarray, "3"], basis: Int[np.ndarray, "3 dof"]) -> Int[np.ndarray, "3"]:
    """Return the point of the subspace with as many zeros as possible."""
    plain = point.astype(float).copy()
    for column in rref_basis(basis @ np.linalg.pinv(basis)).T if basis.shape[1] else ():
        plain -= plain[np.flatnonzero(column)[0]] * column
    return np.rint(plain).astype(int) if np.allclose(plain, np.rint(plain)) else point


def _reduced(group: SpaceGroup, atoms: Int[np.ndarray, "m 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Return atoms on the grid unique under centring and inversion in the origin, and the number each represents."""
    centring = np.rint(group.centring * GRID).astype(int)
    signs = (1, -1) if inversion_in_origin(group) else (1,)
    taken: set[int] = set()
    reduced, weight = [], []
    for k, atom in enumerate(atoms):
        if int(_index(atom)) in taken:
            continue
        copies = {int(_index((sign * atom + c) % GRID)) for sign in signs for c in centring}
        taken |= copies
        reduced.append(k)
        weight.append(len(copies) / len(centring))
    return np.array(reduced), np.array(weight)


def inversion_in_origin(group: SpaceGroup) -> bool:
    """Return whether the group contains the inversion in the origin, so that structure factors are real."""
    return "-x,-y,-z" in group.triplets


def _require_grid(rotations: Int[np.ndarray, "n 3 3"], translations: Int[np.ndarray, "n 3"]) -> None:
    """Refuse an inversion centre, axis or plane without grid points, which would be missed."""
    odd = translations[(rotations == -np.eye(3, dtype=int)).all(axis=(1, 2))] % 2
    if odd.any():
        raise SymmetryError(
            "the origin of the space group lies such that special points are no multiples of 1/24; move it to one of the "
            "tabulated settings"
        )
