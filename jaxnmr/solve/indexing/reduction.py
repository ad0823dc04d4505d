"""Which cells are the same lattice, how symmetric a lattice is, and the lattice that a set of reflections makes (host)."""

from functools import cache
from itertools import combinations, permutations
from math import gcd

import gemmi
import numpy as np
from jaxtyping import Bool, Float, Int

from ...crystal.cell import cell_from_metric, metric
from .lattices import BravaisLattice, lattice_named


def niggli(cell: Float[np.ndarray, "6"], centring: str = "P") -> Float[np.ndarray, "6"]:
    """Niggli's reduced cell of the primitive lattice (I. Krivy & B. Gruber, Acta Cryst. A 32, 297 (1976)), Å and degrees."""
    vector = gemmi.GruberVector(gemmi.UnitCell(*map(float, cell)), centring)
    vector.niggli_reduce(epsilon=1e-7)
    return np.array(vector.get_cell().parameters)


def usual_axes(lattice: BravaisLattice, cell: Float[np.ndarray, "6"]) -> Int[np.ndarray, "3 3"]:
    """Axes of the usual conventional cell of a lattice, as rows of multiples of those of another one.

    Triclinic: Niggli's. Monoclinic: the shortest that keep the centring C, beta obtuse. Orthorhombic: ``a <= b <= c``, C keeps its c.
    """
    if lattice.system == "a":
        vector = gemmi.GruberVector(gemmi.UnitCell(*map(float, cell)), "P", True)
        vector.niggli_reduce(epsilon=1e-7)
        change = vector.change_of_basis
        return np.round(np.array(change.rot) / change.DEN).astype(int).T
    if lattice.system == "o":
        first = 2 if lattice.centring == "C" else 3
        return np.eye(3, dtype=int)[[*np.argsort(cell[:first], kind="stable"), *range(first, 3)]]
    if lattice.system == "m":
        g = metric(np.asarray(cell, dtype=float))
        lengths = lambda axes: float(np.sum(axes @ g * axes))
        axes = min(_in_plane()[lattice.centring], key=lambda axes: (round(lengths(axes), 9), axes[0] @ g @ axes[0]))
        return axes * np.array([1, 1, -1 if axes[0] @ g @ axes[2] > 0 else 1])[:, None]
    return np.eye(3, dtype=int)


@cache
def _in_plane() -> dict[str, list[np.ndarray]]:
    """Pairs of axes a and c that are a basis of the plane across b, with which a cell stays primitive or C."""
    found: dict[str, list[np.ndarray]] = {"P": [], "C": []}
    for i, k, m, n in np.ndindex(7, 7, 7, 7):
        axes = np.array([[i - 3, 0, k - 3], [0, 1, 0], [m - 3, 0, n - 3]])
        if abs(round(float(np.linalg.det(axes)))) == 1:
            found["P"].append(axes)
            if axes[0, 0] % 2 == 1 and axes[0, 2] % 2 == 0:
                found["C"].append(axes)
    return found


def fingerprint(reduced: Float[np.ndarray, "6"]) -> Float[np.ndarray, "13"]:
    """Lengths of the shortest vectors, ordered: unlike reduced cells these do not jump when a cell is changed a little."""
    return np.sort(np.sqrt(np.einsum("ni,ij,nj->n", _SHORT, metric(np.asarray(reduced, dtype=float)), _SHORT)))


def same_lattice(one: Float[np.ndarray, "13"], other: Float[np.ndarray, "13"], tolerance: float = 0.004) -> bool:
    """Whether two lattices agree within a part of their lengths, from their fingerprints."""
    return bool(np.all(np.abs(one - other) <= tolerance * one))


_SHORT = np.array([v for v in np.ndindex(3, 3, 3) if v > (1, 1, 1)]) - 1


def lattices_of(
    reduced: Float[np.ndarray, "6"], tolerance: float
) -> list[tuple[BravaisLattice, Float[np.ndarray, "6"]]]:
    """Bravais lattices that a reduced cell has, or nearly has, with conventional cells that are not idealised.

    Args:
        reduced: Niggli's cell, Å and degrees.
        tolerance: by how much two-fold axes may change lengths, and products of lengths, as part of them. Axes as in Y. Le Page,
            J. Appl. Cryst. 15, 255 (1982).
    """
    g = metric(np.asarray(reduced, dtype=float))
    size = np.sqrt(np.diag(g))
    change = np.abs(np.einsum("nji,jk,nkl->nil", _TWOFOLD, g, _TWOFOLD) - g) / np.outer(size, size)
    turns = _TWOFOLD[change.max(axis=(1, 2)) <= tolerance]
    axes = np.array([_axis(turn) for turn in turns]).reshape(-1, 3)
    found = [(lattice_named("aP"), np.asarray(reduced, dtype=float))]
    found += [cell for turn, axis in zip(turns, axes, strict=True) for cell in _monoclinic(g, turn, axis)]
    for three in combinations(axes, 3):
        found += _orthogonal(g, np.array(three), tolerance)
    for two in combinations(axes, 2):
        found += _hexagonal(g, *two, tolerance)
    unique: list[tuple[BravaisLattice, np.ndarray]] = []
    for lattice, cell in found:
        if not any(lattice == other and np.allclose(cell, known, rtol=1e-4) for other, known in unique):
            unique.append((lattice, cell))
    return unique


@cache
def _twofold() -> Int[np.ndarray, "n 3 3"]:
    every = np.array(list(np.ndindex((3,) * 9))).reshape(-1, 3, 3) - 1
    inverse = np.all(every @ every == np.eye(3, dtype=int), axis=(1, 2))
    return every[inverse & (np.trace(every, axis1=1, axis2=2) == -1) & (np.round(np.linalg.det(every)) == 1)]


_TWOFOLD = _twofold()
_VECTORS = np.array([v for v in np.ndindex(7, 7, 7) if v != (3, 3, 3)]) - 3


def _axis(turn: Int[np.ndarray, "3 3"]) -> Int[np.ndarray, "3"]:
    along = turn + np.eye(3, dtype=int)
    column = along[:, np.flatnonzero(along.any(axis=0))[0]]
    return column // gcd(*map(int, column))


def _lengths(g: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("ni,ij,nj->n", vectors, g, vectors))


def _cell(g: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return cell_from_metric(rows @ g @ rows.T)


def _even(vector: np.ndarray) -> bool:
    return bool(np.all(vector % 2 == 0))


def _monoclinic(g: np.ndarray, turn: np.ndarray, b: np.ndarray) -> list[tuple[BravaisLattice, np.ndarray]]:
    across = _VECTORS[np.all(_VECTORS @ turn.T == -_VECTORS, axis=1)]
    across = across[np.argsort(_lengths(g, across), kind="stable")]
    a = across[0]
    c = next((v for v in across if np.any(np.cross(a, v))), None)
    if c is None:
        return []
    index = abs(round(float(np.linalg.det([a, b, c]))))
    if index not in (1, 2):
        return []
    if index == 2:
        # the centring is made C
        if _even(b + c):
            a, c = c, a
        elif _even(a + b + c):
            a = a + c if a @ g @ c < 0 else a - c
        elif not _even(a + b):
            return []
    if a @ g @ c > 0:
        c = -c
    return [(lattice_named("mC" if index == 2 else "mP"), _cell(g, np.array([a, b, c])))]


def _orthogonal(g: np.ndarray, rows: np.ndarray, tolerance: float) -> list[tuple[BravaisLattice, np.ndarray]]:
    cell = _cell(g, rows)
    if np.any(np.abs(np.cos(np.radians(cell[3:]))) > tolerance):
        return []
    index = abs(round(float(np.linalg.det(rows))))
    faces = [_even(rows[1] + rows[2]), _even(rows[0] + rows[2]), _even(rows[0] + rows[1])]
    if index == 1:
        centring = "P"
    elif index == 2 and any(faces):
        centring, unique = "C", faces.index(True)
        rows = rows[[(unique + 1) % 3, (unique + 2) % 3, unique]]
    elif index == 2 and _even(rows.sum(axis=0)):
        centring = "I"
    elif index == 4 and all(faces):
        centring = "F"
    else:
        return []
    found = [(lattice_named("o" + centring), _cell(g, rows))]
    if centring == "C":
        return found
    near = lambda one, two: abs(one / two - 1.0) <= tolerance
    for order in permutations(range(3)):
        turned = _cell(g, rows[list(order)])
        if order[0] < order[1] and near(turned[0], turned[1]) and centring != "F":
            found.append((lattice_named("t" + centring), turned))
    if near(cell[0], cell[1]) and near(cell[1], cell[2]) and near(cell[0], cell[2]):
        found.append((lattice_named("c" + centring), cell))
    return found


def _hexagonal(
    g: np.ndarray, a: np.ndarray, b: np.ndarray, tolerance: float
) -> list[tuple[BravaisLattice, np.ndarray]]:
    lengths = _lengths(g, np.array([a, b]))
    cosine = a @ g @ b / lengths.prod()
    if abs(lengths[0] / lengths[1] - 1.0) > tolerance or abs(abs(cosine) - 0.5) > tolerance:
        return []
    if cosine > 0:
        b = -b
    along = np.abs(_VECTORS @ g @ np.array([a, b]).T) / np.outer(_lengths(g, _VECTORS), lengths)
    upright = _VECTORS[along.max(axis=1) <= tolerance]
    if len(upright) == 0:
        return []
    c = upright[np.argmin(_lengths(g, upright))]
    index = abs(round(float(np.linalg.det([a, b, c]))))
    if index == 1:
        return [(lattice_named("hP"), _cell(g, np.array([a, b, c])))]
    third = any(np.all((one * a + two * b + c) % 3 == 0) for one, two in ((1, 2), (2, 1)))
    return [(lattice_named("hR"), _cell(g, np.array([a, b, c])))] if index == 3 and third else []


def generated(hkl: Int[np.ndarray, "n 3"]) -> Int[np.ndarray, "3 3"] | None:
    """Basis of the lattice that reflections make, rows in multiples of the reciprocal axes; ``None`` if they lie in a plane."""
    rows = [list(map(int, row)) for row in np.unique(hkl, axis=0)]
    basis = []
    for k in range(3):
        # Euclid's algorithm on one column
        while sum(row[k] != 0 for row in rows) > 1:
            rows.sort(key=lambda row: (row[k] == 0, abs(row[k])))
            first = rows[0]
            rows = [first] + [
                [x - (row[k] // first[k]) * y for x, y in zip(row, first, strict=True)] for row in rows[1:]
            ]
            rows = [row for row in rows if any(row)]
        at = next((row for row in rows if row[k]), None)
        if at is None:
            return None
        basis.append(at)
        rows.remove(at)
    return np.array(basis)


def smaller_cell(
    lattice: BravaisLattice, cell: Float[np.ndarray, "6"], hkl: Int[np.ndarray, "n 3"]
) -> Float[np.ndarray, "6"] | None:
    """Niggli's cell of the lattice whose reflections these are, with those equivalent; ``None`` if it is the lattice itself."""
    every = np.concatenate([hkl @ rotation for rotation in lattice.group.rotations])
    basis = generated(every)
    if basis is None or abs(round(float(np.linalg.det(basis)))) <= lattice.points:
        return None
    direct = np.linalg.inv(basis @ np.linalg.inv(metric(np.asarray(cell, dtype=float))) @ basis.T)
    return niggli(cell_from_metric(direct))


def distinct(fingerprints: Float[np.ndarray, "n 13"], tolerance: float = 0.004) -> Bool[np.ndarray, " n"]:
    """The first of each lattice."""
    keep = np.zeros(len(fingerprints), dtype=bool)
    for k, one in enumerate(fingerprints):
        keep[k] = not any(same_lattice(one, other, tolerance) for other in fingerprints[:k][keep[:k]])
    return keep
