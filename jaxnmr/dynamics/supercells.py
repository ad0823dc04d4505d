"""Supercells without symmetry, and how their atoms follow from the sites of the crystal they repeat (host)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from .._warn import warn
from ..crystal import Crystal, plan_expansion
from ..errors import ConventionError, ParameterError, require_kind
from ..graph.plan import cartesian_operations

# Å between opposite faces: below the first an atom is nearly a neighbour of itself, below the second its images still move with it
_TOO_NARROW, _NARROW = 4.5, 9.0
DEFAULT_WIDTH = 10.0


@dataclass(frozen=True, repr=False)
class Supercell:
    """A crystal repeated, all of its atoms free to move.

    Attributes:
        crystal: the supercell, in P1.
        parent: what was repeated.
        repeats: along a, b, c.
        site: ``(atoms,)`` the site of the parent that every atom is an image of.
        turn: ``(atoms, 3, 3)`` Cartesian matrices that take tensors of the site to those of the atom.
        masses: ``(atoms,)`` u.
    """

    crystal: Crystal
    parent: Crystal
    repeats: tuple[int, int, int]
    site: Int[np.ndarray, " atoms"]
    turn: Float[np.ndarray, "atoms 3 3"]
    masses: Float[np.ndarray, " atoms"]

    @property
    def cells(self) -> int:
        """Number of conventional cells of the parent."""
        return int(np.prod(self.repeats))

    @property
    def vectors(self) -> Float[np.ndarray, "3 3"]:
        """Lattice vectors as rows, Å, before anything has moved."""
        return np.asarray(self.crystal.lattice(), dtype=float)

    @property
    def fingerprint(self) -> str:
        """Of elements, cell and positions before anything has moved: what tells two crystals of one name apart."""
        numbers = np.concatenate([np.asarray(self.crystal.cell).ravel(), np.asarray(self.crystal.xyz).ravel()])
        # below the digits of structure files, above rounding
        digits = np.round(np.asarray(numbers, dtype=float) * 1e5).astype(np.int64).tobytes()
        return hashlib.sha256(" ".join(self.crystal.elements).encode() + digits).hexdigest()[:12]

    def __repr__(self) -> str:
        times = "x".join(map(str, self.repeats))
        return f"Supercell({self.parent.name!r}, {times} cells, {self.crystal.n_sites} atoms)"


def supercell(crystal: Crystal, repeats: Sequence[int] | None = None, *, width: float = DEFAULT_WIDTH) -> Supercell:
    """Repeat a crystal and drop its symmetry (host).

    Args:
        crystal: fully occupied.
        repeats: numbers of cells along a, b, c; by default as few as make all widths reach ``width``.
        width: Å, of the distances between opposite faces.

    Raises:
        ConventionError: partial occupancy, or a cell so narrow that atoms see their own images move.
        ParameterError: repeats that are not three positive integers, or what is a supercell already.
    """
    require_kind(crystal, Crystal, "what is repeated", "such as the parent of a Supercell")
    full = np.asarray(crystal.occupancy, dtype=float) > 1.0 - 1e-6
    if not full.all():
        partial = ", ".join(label for label, of in zip(crystal.labels, full, strict=True) if not of)
        raise ConventionError(
            f"{crystal.name}: {partial} is partly occupied; atoms that move are there or not: order the structure first"
        )
    vectors = np.asarray(crystal.lattice(), dtype=float)
    widths = 1.0 / np.linalg.norm(np.linalg.inv(vectors), axis=0)
    counts = _counts(repeats, widths, width)
    narrowest = float((widths * counts).min())
    if narrowest < _TOO_NARROW:
        raise ConventionError(
            f"the supercell of {crystal.name} is {narrowest:.1f} Å wide at its narrowest; expected at least {_TOO_NARROW:g} Å, "
            f"better {DEFAULT_WIDTH:g} Å: ask for more repeats than {counts.tolist()}"
        )
    if narrowest < _NARROW:
        warn(
            f"the supercell of {crystal.name} is {narrowest:.1f} Å wide at its narrowest: below {_NARROW:g} Å atoms move "
            "together with their own images, which changes averages"
        )
    plan = plan_expansion(crystal)
    cell = plan.cell_of(crystal.replace(cell=np.asarray(crystal.cell), xyz=np.asarray(crystal.xyz)))
    corners = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), axis=-1).reshape(-1, 3)
    xyz = (np.asarray(cell.fractional)[None] + corners[:, None]).reshape(-1, 3) / counts
    species = [crystal.species[k] for k in np.asarray(plan.atoms)[:, 0]] * len(corners)
    lengths = np.asarray(crystal.cell, dtype=float).copy()
    lengths[:3] *= counts
    large = Crystal.create(cell=lengths, spacegroup="P 1", species=species, xyz=xyz, name=crystal.name)
    turns = np.asarray(cartesian_operations(crystal.group, vectors))[np.asarray(plan.atoms)[:, 1]]
    return Supercell(
        crystal=large,
        parent=crystal,
        repeats=(int(counts[0]), int(counts[1]), int(counts[2])),
        site=np.tile(np.asarray(plan.atoms)[:, 0], len(corners)),
        turn=np.tile(turns, (len(corners), 1, 1)),
        masses=np.asarray(large.full_masses(), dtype=float),
    )


def supercell_of(crystal: Crystal | Supercell, repeats: Sequence[int] | None) -> Supercell:
    """What moves: a supercell as it was given, or that of a crystal.

    Raises:
        ParameterError: repeats of what is a supercell already.
    """
    if not isinstance(crystal, Supercell):
        return supercell(crystal, repeats)
    if repeats is not None and tuple(repeats) != crystal.repeats:
        raise ParameterError(
            f"repeats is {tuple(repeats)}, but {crystal!r} is a supercell already: give its crystal (its parent), or leave repeats out"
        )
    return crystal


def _counts(repeats: Sequence[int] | None, widths: np.ndarray, width: float) -> np.ndarray:
    if repeats is None:
        if not (np.isfinite(width) and width > 0):
            raise ParameterError(f"width is {width}; expected a distance in Å, such as {DEFAULT_WIDTH:g}")
        return np.ceil(width / widths - 1e-9).astype(int)
    counts = np.asarray(repeats)
    if counts.shape != (3,) or counts.dtype.kind not in "iu" or (counts < 1).any():
        raise ParameterError(f"repeats is {repeats}; expected three positive integers, such as (2, 2, 2)")
    return counts
