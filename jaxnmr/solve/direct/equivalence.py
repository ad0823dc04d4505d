"""Equivalence of structures: a test for an isometry of the lattice that maps one to the other (host)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Float, Int

from ...crystal import Crystal, SpaceGroup, element_of, lattice, metric, plan_expansion
from ...crystal.cell import cell_from_metric
from ...crystal.sites import minimum_image
from ...crystal.transform import primitive_basis, transformed
from .normaliser import lattice_isometries

# largest root mean square displacement of equivalent structures, in units of (V/N)^(1/3)
SAME = 0.05
# Å, atoms further apart than this are not counterparts
_FURTHEST = 1.5


@dataclass(frozen=True)
class Atoms:
    """Atoms of a conventional cell.

    Attributes:
        cell: ``(6,)``.
        group: space group.
        kinds: ``(atoms,)`` numbers that are equal for interchangeable atoms.
        fractional: ``(atoms, 3)``.
    """

    cell: Float[np.ndarray, "6"]
    group: SpaceGroup
    kinds: Int[np.ndarray, " atoms"]
    fractional: Float[np.ndarray, "atoms 3"]

    @property
    def spacing(self) -> float:
        """Mean spacing of atoms (V/N)^(1/3) in Å."""
        volume = abs(np.linalg.det(np.asarray(lattice(self.cell))))
        return float((volume / len(self.kinds)) ** (1 / 3))


def atoms_of(crystal: Crystal, same: Mapping[str, str] | None = None, order: Sequence[str] = ()) -> Atoms:
    """Return all atoms of a crystal except hydrogen.

    Args:
        crystal: the structure.
        same: class by element, for elements that are not to be distinguished.
        order: elements in the order of the kinds; alphabetical by default.
    """
    full = plan_expansion(crystal).cell_of(crystal)
    elements = [element_of(s)[0] for s in full.species]
    heavy = [k for k, e in enumerate(elements) if e not in ("H", "D")]
    names = [(same or {}).get(elements[k], elements[k]) for k in heavy]
    listed = list(order) or sorted(set(names))
    kinds = np.array([listed.index(name) for name in names])
    return Atoms(
        np.asarray(crystal.cell, dtype=float), crystal.group, kinds, np.asarray(full.fractional, dtype=float)[heavy]
    )


def displacement(one: Atoms, other: Atoms) -> float | None:
    """Return the root mean square distance in Å of atoms of the same kind under the best isometry.

    All origin shifts, inversions and exchanges of axes of the cell are tried, more than space groups allow: any that
    maps the atoms onto each other shows the crystals to be the same. Both are in the same cell, or in reduced ones, see
    :func:`apart`. ``None`` if some atom has no counterpart.
    """
    if (
        len(one.kinds) != len(other.kinds)
        or (np.bincount(one.kinds, minlength=99) != np.bincount(other.kinds, minlength=99)).any()
    ):
        return None
    vectors = np.asarray(lattice(other.cell))
    rarest = int(np.argmin(np.where(np.bincount(one.kinds) > 0, np.bincount(one.kinds), 10**6)))
    anchors = other.fractional[other.kinds == rarest]
    anchor = int(np.flatnonzero(one.kinds == rarest)[0])
    best: float | None = None
    seen: set[bytes] = set()
    for matrix in lattice_isometries(other.cell, of=one.cell):
        if matrix.tobytes() in seen:
            continue
        seen |= {product.tobytes() for product in np.einsum("ij,njk->nik", matrix, one.group.rotations)}
        turned = one.fractional @ matrix.T
        for target in anchors:
            found = _closest(turned + target - turned[anchor], one.kinds, other, vectors)
            if found is not None and (best is None or found < best):
                best = found
    return best


def _closest(moved: np.ndarray, kinds: np.ndarray, other: Atoms, vectors: np.ndarray) -> float | None:
    offsets = np.zeros((len(kinds), 3))
    for kind in np.unique(kinds):
        mine, theirs = moved[kinds == kind], other.fractional[other.kinds == kind]
        delta = minimum_image(theirs[None] - mine[:, None]) @ vectors
        squared = (delta**2).sum(axis=-1)
        partner = squared.argmin(axis=1)
        if len(set(partner.tolist())) < len(partner) or squared.min(axis=1).max() > _FURTHEST**2:
            return None
        offsets[kinds == kind] = delta[np.arange(len(partner)), partner]
    offsets -= offsets.mean(axis=0)
    return float(np.sqrt((offsets**2).sum(axis=1).mean()))


def same_structure(one: Atoms, other: Atoms, tolerance: float = SAME) -> bool:
    """Return whether atoms of two structures lie within this fraction of (V/N)^(1/3) of each other."""
    found = displacement(one, other)
    return found is not None and found <= tolerance * other.spacing


def apart(one: Crystal, other: Crystal, same: Mapping[str, str] | None = None) -> float | None:
    """Return the root mean square distance in Å of the atoms of two crystals, in any settings, origins and hands.

    Both are transformed to the reduced cells of their lattices; hydrogen is left out. ``None`` if the lattices differ,
    or some atom has no counterpart.

    Args:
        one, other: structures to compare.
        same: class by element, for elements that are not to be distinguished.
    """
    crystals = [in_reduced_cell(crystal) for crystal in (one, other)]
    names = {element_of(s)[0] for crystal in crystals for s in crystal.species} - {"H", "D"}
    order = sorted({(same or {}).get(name, name) for name in names})
    return displacement(*(atoms_of(crystal, same, order) for crystal in crystals))


def in_reduced_cell(crystal: Crystal) -> Crystal:
    """Return the same crystal in the Niggli-reduced cell of its primitive lattice, with its full symmetry."""
    g = metric(np.asarray(crystal.cell, dtype=float))
    basis = primitive_basis(crystal.group, g)
    vector = gemmi.GruberVector(gemmi.UnitCell(*cell_from_metric(basis @ g @ basis.T).tolist()), "P", True)
    vector.niggli_reduce(epsilon=1e-7)
    change = vector.change_of_basis
    axes = np.round(np.array(change.rot) / change.DEN).astype(int).T
    return transformed(crystal, axes * round(float(np.linalg.det(axes))) @ basis)


def worst_overlap(atoms: Atoms, least: Float[np.ndarray, "kinds kinds"]) -> float:
    """Return the largest deficit in Å of the distance of two atoms.

    Args:
        atoms: atoms of the structure.
        least: Å, minimum distances by kinds of atoms.
    """
    images = np.indices((3, 3, 3)).reshape(3, -1).T - 1
    delta = minimum_image(atoms.fractional[:, None] - atoms.fractional[None])
    squared = np.full(delta.shape[:2], np.inf)
    for image in images:
        here = (((delta + image) @ np.asarray(lattice(atoms.cell))) ** 2).sum(axis=-1)
        if not image.any():
            np.fill_diagonal(here, np.inf)
        squared = np.minimum(squared, here)
    return float(max((least[atoms.kinds[:, None], atoms.kinds] - np.sqrt(squared)).max(), 0.0))
