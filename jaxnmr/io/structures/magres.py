"""`Magres`: a structure with computed NMR tensors, read and written as ``.magres`` files and ASE ``Atoms`` (extxyz)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from ..._arguments import checked
from ...crystal import Crystal
from ...errors import ConventionError, DataError, ParseError, ShapeError
from ...nmr.dipolar import j_hz_from_reduced
from ..files import decode, read_bytes
from ._magres_text import ATOM_TENSORS, HEADER, UNITS, scan_magres
from .ase import from_ase, read_ase_frames

if TYPE_CHECKING:
    import ase


class Couplings(NamedTuple):
    """Reduced couplings K in 10^19 T^2/J: ``pairs`` ``(n, 2)`` of atom indices from 0, ``k_1e19`` ``(n, 3, 3)``."""

    pairs: np.ndarray
    k_1e19: np.ndarray

    def j_hz(self, first: str, second: str) -> np.ndarray:
        """Return J tensors ``(n, 3, 3)`` in Hz for given nuclei of the first and second atom of every pair."""
        return np.asarray(j_hz_from_reduced(first, second, self.k_1e19))


@dataclass(frozen=True, kw_only=True, eq=False)
class Magres:
    """Atoms of a cell with their shielding and field-gradient tensors, in one Cartesian frame.

    Attributes:
        elements: ``(atoms,)`` chemical symbols.
        positions: ``(atoms, 3)`` in Å.
        lattice: ``(3, 3)`` cell vectors in rows, Å; ``None`` for a molecule without a cell.
        labels: ``(atoms,)`` label and index, as ``"Si_3"``, unique.
        species: ``(atoms,)`` species names of the program, usually the elements.
        tensors: ``(atoms, 3, 3)`` by magres name, ``"ms"`` (ppm), ``"efg"``, ``"efg_local"``, ``"efg_nonlocal"`` (atomic
            units); NaN for atoms without one.
        couplings: by magres name, ``"isc"`` and its parts.
        susceptibility: ``(3, 3)`` in 10^-6 cm^3/mol, or ``None``.
        calculation: the file's description of the calculation, one string per line of a key.
        name: of the file.
    """

    elements: tuple[str, ...]
    positions: np.ndarray = field(repr=False)
    lattice: np.ndarray | None
    labels: tuple[str, ...] = field(repr=False)
    species: tuple[str, ...] = field(repr=False)
    tensors: Mapping[str, np.ndarray] = field(repr=False)
    couplings: Mapping[str, Couplings] = field(default_factory=dict, repr=False)
    susceptibility: np.ndarray | None = field(default=None, repr=False)
    calculation: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    name: str = ""

    def __len__(self) -> int:
        return len(self.elements)

    @property
    def shielding_ppm(self) -> np.ndarray | None:
        """``(atoms, 3, 3)`` SHIELDING tensors with their antisymmetric part, or ``None``."""
        return self.tensors.get("ms")

    @property
    def efg_au(self) -> np.ndarray | None:
        """``(atoms, 3, 3)`` electric field gradients in atomic units, or ``None``."""
        return self.tensors.get("efg")

    def select(self, element: str) -> Magres:
        """Select the atoms of one element (or species, or label), with the couplings between them.

        Raises:
            ConventionError: there are none.
        """
        for names in (self.elements, self.species, self.labels):
            chosen = np.array([name == element for name in names])
            if chosen.any():
                return self._take(np.flatnonzero(chosen))
        raise ConventionError(
            f"{self.name or 'the structure'} has no {element!r}; it has {', '.join(sorted(set(self.elements)))}"
        )

    def crystal(self, name: str | None = None) -> Crystal:
        """Return all atoms in P1, where site k is atom k.

        A `Crystal` has a cell but no orientation: combine it with the tensors of `in_crystal_frame`.

        Raises:
            ConventionError: no cell.
        """
        return from_ase(magres_to_ase(self), symprec=None, name=name or self.name or None)

    @property
    def vectors(self) -> np.ndarray:
        """Cell vectors in rows, ``(3, 3)`` Å.

        Raises:
            ConventionError: a molecule without a cell.
        """
        if self.lattice is None:
            raise ConventionError(f"{self.name or 'the structure'} has no cell: expected a periodic structure")
        return self.lattice

    def in_crystal_frame(self) -> Magres:
        """Return the structure, tensors included, rotated to the orientation of ``crystal().lattice()``."""
        target = np.asarray(self.crystal().lattice(), dtype=float)
        # columns: images of the old axes; improper for a left-handed cell, which does not affect these tensors
        turn = np.linalg.solve(self.vectors, target).T
        turned = lambda t: turn @ t @ turn.T
        return replace(
            self,
            positions=self.positions @ turn.T,
            lattice=target,
            tensors={kind: turned(t) for kind, t in self.tensors.items()},
            couplings={kind: c._replace(k_1e19=turned(c.k_1e19)) for kind, c in self.couplings.items()},
            susceptibility=None if self.susceptibility is None else turned(self.susceptibility),
        )

    def _take(self, rows: np.ndarray) -> Magres:
        new = {int(old): k for k, old in enumerate(rows)}
        couplings = {}
        for kind, (pairs, k) in self.couplings.items():
            kept = np.isin(pairs, rows).all(axis=1)
            moved = np.array([[new[int(a)], new[int(b)]] for a, b in pairs[kept]], dtype=int).reshape(-1, 2)
            couplings[kind] = Couplings(moved, k[kept])
        pick = lambda names: tuple(names[k] for k in rows)
        return replace(
            self,
            elements=pick(self.elements),
            positions=self.positions[rows],
            labels=pick(self.labels),
            species=pick(self.species),
            tensors={kind: t[rows] for kind, t in self.tensors.items()},
            couplings=couplings,
        )


@checked
def read_magres(path: str | Path, *, assume_units: bool = False) -> Magres:
    """Read a ``.magres`` file (CASTEP, Quantum ESPRESSO).

    Args:
        path: the file.
        assume_units: also read files without header and units, as written before version 1.0 of the format,
            assuming Å, ppm, atomic units and 10^19 T^2/J.

    Raises:
        ParseError: a file that cannot be read, with the line: not a magres file, an unclosed block, missing or
            unknown units, missing or non-numeric entries, or tensors of unknown atoms.

    Example:
        >>> read_magres("quartz.magres").select("Si").shielding_ppm  # doctest: +SKIP
    """
    path = Path(path)
    scan = scan_magres(path, decode(path, read_bytes(path), "a magres file"), assume_units)
    try:
        import ase.io

        atoms = cast("ase.Atoms", ase.io.read(io.StringIO(scan.standard_text()), format="magres"))
    except Exception as error:  # ASE's readers raise all kinds of exceptions
        raise ParseError(path, None, f"ASE cannot read it: {type(error).__name__}: {error}") from error
    found = magres_from_ase(atoms, name=path.stem)
    couplings = {
        kind: Couplings(np.array([row[:2] for row in rows]), np.array([row[2] for row in rows]))
        for kind, rows in scan.couplings.items()
    }
    return replace(
        found,
        # ASE keeps only one of the two directions of a coupling, so couplings are read from the lines
        couplings=couplings,
        susceptibility=scan.susceptibility,
        calculation={key: tuple(lines) for key, lines in scan.calculation.items()},
    )


def write_magres(structure: Magres, path: str | Path) -> Path:
    """Write a ``.magres`` file, version 1.0, at full precision, with couplings, on which ASE's writer fails.

    Raises:
        DataError: the file cannot be written.
    """
    path = Path(path)
    row = lambda values: " ".join(repr(float(x)) for x in np.ravel(values))
    names = [label.rsplit("_", 1) for label in structure.labels]
    name = [" ".join(pair) for pair in names]
    lines = [HEADER]
    if structure.calculation:
        lines += ["[calculation]"]
        lines += [f"{key} {text}".rstrip() for key, texts in structure.calculation.items() for text in texts]
        lines += ["[/calculation]"]
    lines += ["[atoms]"]
    if structure.lattice is not None:
        lines += ["units lattice Angstrom", f"lattice {row(structure.lattice)}"]
    lines += ["units atom Angstrom"]
    atoms = zip(structure.species, name, structure.positions, strict=True)
    lines += [f"atom {species} {atom} {row(xyz)}" for species, atom, xyz in atoms]
    lines += ["[/atoms]", "[magres]"]
    if structure.susceptibility is not None:
        lines += [f"units sus {UNITS['sus']}", f"sus {row(structure.susceptibility)}"]
    records = {
        kind: [f"{kind} {name[k]} {row(t)}" for k, t in enumerate(tensors) if np.isfinite(t).all()]
        for kind, tensors in structure.tensors.items()
    }
    for kind, (pairs, tensors) in structure.couplings.items():
        records[kind] = [f"{kind} {name[a]} {name[b]} {row(t)}" for (a, b), t in zip(pairs, tensors, strict=True)]
    for kind, rows in records.items():
        if rows:  # ASE fails on a unit without a record
            lines += [f"units {kind} {UNITS[kind]}", *rows]
    lines += ["[/magres]"]
    try:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def read_tensor_frames(path: str | Path) -> list[Magres]:
    """Read many structures with tensors from a file such as extxyz with the arrays ``ms`` (ppm) and ``efg`` (a.u.).

    Raises:
        ParseError: ASE cannot read the file.
        ShapeError: arrays that do not have nine numbers per atom.
    """
    path = Path(path)
    return [magres_from_ase(atoms, name=f"{path.stem}-{k}") for k, atoms in enumerate(read_ase_frames(path), start=1)]


def magres_from_ase(atoms: ase.Atoms, *, name: str = "") -> Magres:
    """Convert from ASE ``Atoms`` with the arrays ``ms`` (SHIELDING, ppm) and ``efg`` (atomic units).

    The arrays are ``(atoms, 3, 3)`` or ``(atoms, 9)``; labels and indices are kept if ASE read a magres file.

    Raises:
        ShapeError: arrays of another shape.
        ConventionError: labels that are not unique.
    """
    n = len(atoms)
    tensors = {}
    for kind in ATOM_TENSORS:
        if kind in atoms.arrays:
            array = np.asarray(atoms.arrays[kind], dtype=float)
            if array.shape not in ((n, 3, 3), (n, 9)):
                raise ShapeError(f"array {kind!r} has the shape {array.shape}; expected ({n}, 3, 3) or ({n}, 9)")
            tensors[kind] = array.reshape(n, 3, 3).copy()
    elements = atoms.get_chemical_symbols()
    names = [str(label) for label in atoms.arrays.get("labels", elements)]
    indices = atoms.arrays.get("indices", [names[: k + 1].count(label) for k, label in enumerate(names)])
    labels = tuple(f"{label}_{index}" for label, index in zip(names, indices, strict=True))
    if len(set(labels)) != n:
        raise ConventionError(f"{name or 'the structure'} has atoms of the same label and index: {sorted(labels)}")
    return Magres(
        elements=tuple(elements),
        positions=np.array(atoms.positions, dtype=float),
        lattice=np.array(atoms.cell, dtype=float) if atoms.cell.rank == 3 else None,
        labels=labels,
        species=tuple(str(s) for s in atoms.arrays.get("castep_custom_species", elements)),
        tensors=tensors,
        name=name,
    )


def magres_to_ase(structure: Magres, *, flat: bool = False) -> ase.Atoms:
    """Convert to ASE ``Atoms`` with the arrays ``ms`` and ``efg``, ``labels`` and ``indices``.

    Args:
        structure: to be converted; couplings and the susceptibility are dropped.
        flat: store tensors as nine numbers per atom, which ASE can write as extxyz.
    """
    import ase

    periodic = structure.lattice is not None
    atoms = ase.Atoms(
        symbols=list(structure.elements),
        positions=structure.positions,
        cell=structure.lattice,
        pbc=periodic,
    )
    label, index = zip(*(text.rsplit("_", 1) for text in structure.labels), strict=True)
    atoms.new_array("labels", np.array(label))
    atoms.new_array("indices", np.array(index, dtype=int))
    if structure.species != structure.elements:
        atoms.new_array("castep_custom_species", np.array(structure.species))
    for kind, tensors in structure.tensors.items():
        atoms.new_array(kind, tensors.reshape(-1, 9) if flat else tensors)
    if structure.tensors:
        atoms.info["magres_units"] = {kind: UNITS[kind] for kind in structure.tensors}
    return atoms
