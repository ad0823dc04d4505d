"""Transformation of a crystal to another cell: supercells, subgroups, primitive cells (host)."""

from itertools import count, product
from string import ascii_lowercase

import gemmi
import numpy as np
from jaxtyping import Float

from ..errors import SymmetryError
from ..typing import Numbers
from . import cell as cells
from .crystal import Crystal
from .sites import HELD_DISTANCE
from .symmetry import SpaceGroup, unvoigt, voigt

# Fractions of lattice vectors and of translations are multiples of this.
_DEN = gemmi.Op.DEN
_EXACT = 1e-6


def transformed(
    crystal: Crystal,
    matrix: Numbers,
    *,
    spacegroup: str | int | SpaceGroup | None = None,
    origin: Numbers = (0, 0, 0),
) -> Crystal:
    """Describe the same atoms in another cell, and optionally in a subgroup of the symmetry (host).

    Args:
        crystal: the crystal.
        matrix: ``(3, 3)``, the new cell vectors in terms of the old ones, as rows: ``new = matrix @ old``. (International
            Tables list them as columns of P.) They must be translations of the crystal, centring included:
            ``((1, 0, 0), (0, 1, 0), (0, 0, 2))`` doubles c, ``((0.5, 0.5, 0), ...)`` reduces a centred cell.
        spacegroup: a group in the axes and origin of the new cell, all of whose operations must be operations of the
            crystal. Positions no longer related by it become separate sites. By default, all symmetry that maps the new
            lattice onto itself is kept; former lattice translations become centrings.
        origin: new origin in fractional coordinates of the old cell.

    Returns:
        The crystal with the same structure. If a site splits, its first part keeps the label, ``"Si1"``, and the
        others become ``"Si1a"``, ``"Si1b"`` ...

    Raises:
        SymmetryError: vectors that are not translations, are coplanar or left-handed; a group that is not a subgroup;
            or, without a given group, translations that are not multiples of 1/24 in the new cell.
    """
    basis = _checked_matrix(crystal, matrix)
    to_new = np.linalg.inv(basis).T
    start = np.asarray(origin, dtype=float)
    # operations without centring, and all translations within the new cell, together generate all atoms
    shifts = _shifts(crystal.group.centring, basis)
    rotations, translations = (
        np.repeat(part[: crystal.group.order // len(crystal.group.centring)], len(shifts), axis=0)
        for part in (crystal.group.rotations, crystal.group.translations)
    )
    turned = to_new @ rotations @ basis.T
    moved = (translations + rotations @ start - start) @ to_new.T
    moved += np.tile(shifts, (len(moved) // len(shifts), 1))
    kept = np.abs(turned - np.round(turned)).max(axis=(1, 2)) < _EXACT
    operations = np.round(turned[kept]).astype(int), moved[kept]
    group = (
        _group_of(crystal, basis, *operations) if spacegroup is None else _subgroup(crystal, spacegroup, *operations)
    )

    metric = cells.metric(np.asarray(crystal.cell, dtype=float))
    new_metric = basis @ metric @ basis.T
    length, new_length = (np.sqrt(np.diag(np.linalg.inv(g))) for g in (metric, new_metric))
    u_old = unvoigt(np.asarray(crystal.u_aniso, dtype=float))
    parents, xyz, u_aniso = [], [], []
    labels: list[str] = []
    for k, site in enumerate(crystal.sites()):
        points = turned @ to_new @ (site.xyz - start) + moved
        for atom in _representatives(points, group):
            rotation = to_new @ rotations[atom]
            tensor = rotation @ (length[:, None] * u_old[k] * length) @ rotation.T
            parents.append(k)
            xyz.append(points[atom])
            u_aniso.append(voigt(tensor / (new_length[:, None] * new_length)))
        labels += _labels(crystal.labels[k], len(parents) - len(labels), {*crystal.labels, *labels})
    anisotropic = np.array(crystal.anisotropic)[parents]
    return Crystal.create(
        cell=cells.cell_from_metric(new_metric),
        spacegroup=group,
        species=[crystal.species[k] for k in parents],
        xyz=xyz,
        labels=labels,
        occupancy=np.asarray(crystal.occupancy, dtype=float)[parents],
        u_iso=np.asarray(crystal.u_iso, dtype=float)[parents],
        u_aniso=np.where(anisotropic[:, None], u_aniso, np.nan),
        name=crystal.name,
        snap_distance=HELD_DISTANCE,
    )


def primitive(crystal: Crystal) -> Crystal:
    """Return the crystal in a reduced primitive cell, with the same sites and all of its symmetry (host).

    The operations are then not in a tabulated setting. A crystal without centring is returned unchanged.
    """
    if len(crystal.group.centring) == 1:
        return crystal
    return transformed(crystal, primitive_basis(crystal.group, cells.metric(np.asarray(crystal.cell, dtype=float))))


def primitive_basis(group: SpaceGroup, metric: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """Return the shortest vectors that span all translations, in terms of the cell vectors (host).

    Args:
        group: the space group.
        metric: Å².

    Returns:
        Rows, right-handed; the identity for a lattice without centring.
    """
    if len(group.centring) == 1:
        return np.eye(3)
    basis = _integer_basis(np.concatenate([np.eye(3), group.centring]) * _DEN) / _DEN
    # a basis is reduced when adding or subtracting others shortens no vector (Minkowski, in three dimensions)
    while True:
        for k, (i, j) in product(range(3), product((-1, 0, 1), repeat=2)):
            other = np.delete(basis, k, axis=0)
            shorter = basis[k] + i * other[0] + j * other[1]
            if shorter @ metric @ shorter < basis[k] @ metric @ basis[k] * (1.0 - 1e-9):
                basis[k] = shorter
                break
        else:
            return basis * np.sign(np.linalg.det(basis))


def _integer_basis(rows: np.ndarray) -> np.ndarray:
    """Reduce rows of integers to three that span the same lattice, by Euclid's algorithm in every column."""
    rows, basis = np.round(rows).astype(int), []
    for column in range(3):
        while len(used := np.flatnonzero(rows[:, column])) > 1:
            least = used[np.argmin(np.abs(rows[used, column]))]
            others = used[used != least]
            rows[others] -= rows[others, column, None] // rows[least, column] * rows[least]
        basis.append(rows[used[0]])
        rows = np.delete(rows, used[0], axis=0)
    return np.array(basis)


def _checked_matrix(crystal: Crystal, given: Numbers) -> np.ndarray:
    matrix = np.asarray(given, dtype=float)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise SymmetryError(f"the new cell is {matrix.tolist()}; expected three rows of three finite numbers")
    exact = np.round(matrix * _DEN) / _DEN
    off = exact[:, None] - crystal.group.centring
    if np.abs(exact - matrix).max() > 1e-4 or (np.abs(off - np.round(off)).max(axis=2).min(axis=1) > _EXACT).any():
        raise SymmetryError(
            f"the new cell vectors {matrix.tolist()} are not all translations of {crystal.group.name}: expected integers, "
            f"or integers plus one of the centring translations {crystal.group.centring.tolist()}"
        )
    volume = np.linalg.det(exact)
    if volume < _EXACT:
        raise SymmetryError(
            f"the new cell vectors {matrix.tolist()} span {volume:.3g} times the volume of the old cell: expected three "
            "that are not coplanar, in right-handed order"
        )
    return exact


def _shifts(centring: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """List the translations of the crystal that differ within the new cell, ``(n, 3)`` in its axes, zero first."""
    corners = np.array(list(product((0, 1), repeat=3))) @ matrix
    low, high = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int)
    cells_ = np.array(list(product(*(range(a, b + 1) for a, b in zip(low, high, strict=True)))))
    found = _wrapped((centring[:, None] + cells_).reshape(-1, 3) @ np.linalg.inv(matrix))
    return found[np.unique(np.round(found, 9), axis=0, return_index=True)[1]]


def _wrapped(points: np.ndarray) -> np.ndarray:
    """Wrap coordinates into [0, 1), including those below 1 by a rounding error."""
    points = points - np.floor(points + _EXACT)
    return np.where(np.abs(points) < _EXACT, 0.0, points)


def _group_of(crystal: Crystal, matrix: np.ndarray, rotations: np.ndarray, translations: np.ndarray) -> SpaceGroup:
    """Build the group of operations given as arrays."""
    ticks = translations * _DEN
    if np.abs(ticks - np.round(ticks)).max() > 1e-4:
        raise SymmetryError(
            f"in the new cell translations of {crystal.group.name} are no multiples of 1/{_DEN}, so that not all of its "
            "symmetry can be kept: name a subgroup with spacegroup=, 'P 1' if nothing else fits"
        )
    triplets = []
    for rotation, translation in zip(rotations, ticks, strict=True):
        op = gemmi.Op()
        op.rot = (rotation * _DEN).tolist()
        op.tran = np.round(translation).astype(int).tolist()
        triplets.append(op.wrap().triplet())
    axes = ", ".join("(" + " ".join(f"{v + 0.0:.4g}" for v in row) + ")" for row in matrix)
    return SpaceGroup.from_operations(triplets, f"{crystal.group.name} on {axes}")


def _subgroup(
    crystal: Crystal, spacegroup: str | int | SpaceGroup, rotations: np.ndarray, translations: np.ndarray
) -> SpaceGroup:
    """Return the requested group, after checking that all its operations are among those of the crystal."""
    group = spacegroup if isinstance(spacegroup, SpaceGroup) else SpaceGroup.from_name(spacegroup)
    for triplet, rotation, translation in zip(group.triplets, group.rotations, group.translations, strict=True):
        off = translations[(rotations == rotation).all(axis=(1, 2))] - translation
        if not (np.abs(off - np.round(off)) < 1e-4).all(axis=-1).any():
            raise SymmetryError(
                f"{group.name} is no subgroup of {crystal.group.name} in this cell and origin: {triplet} is no symmetry "
                f"of {crystal.name}. Check the axes and origin; symmetry that a structure has beyond its space group is "
                "found when it is read from all its atoms with symprec"
            )
    return group


def _representatives(points: np.ndarray, group: SpaceGroup) -> list[int]:
    """Return the index of the first of the points ``(n, 3)`` in every orbit."""
    open_, chosen = np.ones(len(points), dtype=bool), []
    for k, point in enumerate(points):
        if open_[k]:
            chosen.append(k)
            orbit = group.rotations @ point + group.translations
            off = points[open_][:, None] - orbit
            open_[open_] = np.abs(off - np.round(off)).max(axis=-1).min(axis=1) > _EXACT
    return chosen


def _labels(label: str, number: int, taken: set[str]) -> list[str]:
    """Return ``number`` unused labels: the old one, then the old one with appended letters."""
    letters = ("".join(word) for size in count(1) for word in product(ascii_lowercase, repeat=size))
    fresh = (name for letter in letters if (name := label + letter) not in taken)
    return [label, *(next(fresh) for _ in range(number - 1))]
