"""Internal coordinates of a molecule: a bond length, an angle and a dihedral per atom, and the way back to positions.

Each atom is placed by up to three atoms before it: distance to the first, angle at the first, dihedral about the bond of the first
and second. Siblings are placed by dihedrals against the first child of the same atom, so that one coordinate turns a whole
group. There are 3 n - 6 of them for n > 2 atoms. Positions are in angstrom, angles in radian.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import ConventionError

# single-bond covalent radii in angstrom: Cordero et al., Dalton Trans. 2008, 2832
RADII = {1: 0.31, 6: 0.76, 7: 0.71, 8: 0.66}
_REACH = 1.3
# sine of the least angle between bonds about which a dihedral is defined
_BENT = 0.05


@dataclass(frozen=True)
class Tree:
    """How the atoms of a molecule are placed one after the other.

    Attributes:
        order: the atoms in the order of placing.
        references: for each atom of ``order`` the none to three atoms that place it.
    """

    order: tuple[int, ...]
    references: tuple[tuple[int, ...], ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """``"bond"``, ``"angle"`` or ``"dihedral"`` for each coordinate."""
        return tuple(("bond", "angle", "dihedral")[k] for refs in self.references for k in range(len(refs)))

    @property
    def torsions(self) -> tuple[bool, ...]:
        """For each coordinate, whether it is a dihedral along a chain of bonds, which turns a whole group."""
        placed = dict(zip(self.order, self.references, strict=True))
        turns = []
        for refs in self.references:
            turns += [False] * min(len(refs), 2)
            if len(refs) == 3:
                # against a sibling it is the shape of the group
                turns.append(placed[refs[2]][:2] != refs[:2])
        return tuple(turns)

    def measure(self, xyz: np.ndarray) -> np.ndarray:
        """The coordinates, shape ``(3 n - 6,)``, of positions of shape ``(n, 3)``."""
        found: list[float] = []
        for atom, refs in zip(self.order, self.references, strict=True):
            points = [xyz[atom], *(xyz[k] for k in refs)]
            if refs:
                found.append(float(np.linalg.norm(points[0] - points[1])))
            if len(refs) > 1:
                found.append(_angle(*points[:3]))
            if len(refs) > 2:
                found.append(_dihedral(*points))
        return np.array(found)

    def change(self, q: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """``q - reference`` with dihedrals in (-pi, pi]; any leading axes."""
        turning = np.array([kind == "dihedral" for kind in self.kinds])
        change = np.asarray(q) - reference
        wrapped = np.pi - np.mod(np.pi - change, 2 * np.pi)
        return np.where(turning, wrapped, change)

    def place(self, q: np.ndarray) -> np.ndarray:
        """Positions with their mean at the origin, shape ``(n, 3)``, for coordinates of shape ``(3 n - 6,)``."""
        xyz = np.zeros((len(self.order), 3))
        rest = iter(np.asarray(q, float))
        for atom, refs in zip(self.order, self.references, strict=True):
            if not refs:
                continue
            r = next(rest)
            if len(refs) == 1:
                xyz[atom] = xyz[refs[0]] + [0.0, 0.0, r]
                continue
            theta = next(rest)
            near = _unit(xyz[refs[1]] - xyz[refs[0]])
            if len(refs) == 2:
                phi, far = 0.0, np.array([1.0, 0.0, 0.0])
            else:
                phi, far = next(rest), xyz[refs[2]] - xyz[refs[1]]
            across = _unit(far - (far @ near) * near)
            third = np.cross(near, across)
            direction = np.cos(theta) * near + np.sin(theta) * (np.cos(phi) * across + np.sin(phi) * third)
            xyz[atom] = xyz[refs[0]] + r * direction
        return xyz - xyz.mean(0)

    def derivatives(self, xyz: np.ndarray, step: float = 1e-4) -> np.ndarray:
        """Derivatives of the coordinates by the positions, shape ``(3 n - 6, n, 3)``, from central differences."""
        found = np.empty((len(self.kinds), *xyz.shape))
        for index in np.ndindex(xyz.shape):
            moved = np.zeros_like(xyz)
            moved[index] = step
            found[(slice(None), *index)] = self.change(self.measure(xyz + moved), self.measure(xyz - moved)) / (
                2 * step
            )
        return found


def neighbours(numbers: Sequence[int], xyz: np.ndarray) -> list[list[int]]:
    """The bonded atoms of each atom, by covalent radii; heavy ones first."""
    numbers = [int(z) for z in numbers]
    strange = sorted(set(numbers) - RADII.keys())
    if strange:
        raise ConventionError(f"no covalent radius of atomic numbers {strange}; known are those of {sorted(RADII)}")
    radii = np.array([RADII[z] for z in numbers])
    apart = np.linalg.norm(xyz[:, None] - xyz[None], axis=-1)
    bonded = (apart < _REACH * (radii[:, None] + radii[None])) & ~np.eye(len(numbers), dtype=bool)
    return [sorted(np.flatnonzero(row), key=lambda j: (numbers[j] == 1, j)) for row in bonded]


def tree_of(numbers: Sequence[int], xyz: np.ndarray) -> Tree:
    """Internal coordinates of a molecule that is in one piece, chosen from its bonds.

    Raises:
        ConventionError: an element without a radius, atoms that no chain of bonds joins, or three atoms on a line that a
            dihedral would need.
    """
    xyz = np.asarray(xyz, float)
    near = neighbours(numbers, xyz)
    heavy = [k for k, z in enumerate(numbers) if z != 1] or [0]
    order, parent = [heavy[0]], {heavy[0]: -1}
    for hydrogens in (False, True):
        for atom in order:
            for other in near[atom]:
                if other not in parent and (hydrogens or numbers[other] != 1):
                    parent[other] = atom
                    order.append(other)
    lost = [k for k in range(len(numbers)) if k not in parent]
    if lost:
        raise ConventionError(
            f"atoms {lost} are joined to atom {order[0]} by no bonds: the molecule is not in one piece"
        )
    references: list[tuple[int, ...]] = []
    for position, atom in enumerate(order):
        references.append(_references(atom, order[:position], parent, near, references, order, xyz))
    return Tree(tuple(int(k) for k in order), tuple(tuple(int(k) for k in refs) for refs in references))


def _references(
    atom: int, before: list[int], parent: dict[int, int], near: list[list[int]],
    references: list[tuple[int, ...]], order: list[int], xyz: np.ndarray,
) -> tuple[int, ...]:  # fmt: skip
    """The atoms that place one: its parent, the parent's parent or first child, a sibling or the next along the chain."""
    if not before:
        return ()
    first = parent[atom]
    if len(before) == 1:
        return (first,)
    placed = set(before)
    grand = parent[first]
    second = grand if grand >= 0 else next(k for k in before if parent[k] == first)
    if len(before) == 2:
        return (first, second)
    siblings = [
        k
        for k, refs in zip(order, references, strict=False)
        if k in placed and len(refs) > 1 and refs[:2] == (first, second)
    ]
    chain = [k for k in near[second] if k in placed and k != first]
    for third in (*siblings[:1], *chain, *(k for k in near[first] if k in placed and k != second)):
        if np.sin(_angle(xyz[first], xyz[second], xyz[third])) > _BENT:
            return (first, second, third)
    raise ConventionError(f"no dihedral places atom {atom}: the atoms before it lie on a line")


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _angle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    u, v = a - b, c - b
    return float(np.arctan2(np.linalg.norm(np.cross(u, v)), u @ v))


def _dihedral(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> float:
    axis = _unit(c - b)
    u, v = a - b, d - c
    u, v = u - (u @ axis) * axis, v - (v @ axis) * axis
    return float(np.arctan2(np.cross(axis, v) @ u, u @ v))
