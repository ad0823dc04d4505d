"""Conversion of crystals from and to ASE ``Atoms``; spglib finds the symmetry.

Importing ASE takes as long as everything else together, so it is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...crystal import Crystal, SpaceGroup, cell_from_metric, plan_expansion, positions
from ...crystal.sites import minimum_image
from ...errors import ConventionError, JaxnmrError, ParseError, SymmetryError
from .symmetry import find_symmetry, hall_symbol

if TYPE_CHECKING:
    import ase

# Å; positions of relaxed structures and files with four or more decimals agree to this.
SYMPREC = 1e-3
# Å; positions symmetrised by spglib agree with those of the group to this
_SYMMETRISED = 0.01
# oganesson, of which only five atoms are known, is used as a placeholder for deuterium
_D_NUMBER, _D_MASS = 118, 2.014


def from_ase(atoms: ase.Atoms, *, symprec: float | None = SYMPREC, name: str | None = None, u_iso=0.01) -> Crystal:
    """Build a crystal from all atoms of a cell.

    Args:
        atoms: periodic in three directions. Occupancies are read from where ASE keeps them
            (``info["occupancy"]`` with the array ``spacegroup_kinds``).
        symprec: largest displacement in Å that spglib may treat as noise when searching for symmetry; the crystal is
            then in the standard setting of its space group, with symmetrised positions. ``None`` keeps the cell and
            all atoms in P1.
        name: name of the phase; the formula by default.
        u_iso: isotropic displacement of every site, Å².

    Raises:
        ConventionError: no three-dimensional cell, or numbers that are not finite.
        SymmetryError: spglib finds no symmetry, or two atoms coincide.
    """
    name = name or atoms.get_chemical_formula(empirical=True) or "crystal"
    if len(atoms) == 0:
        raise ConventionError(f"{name} has no atoms")
    # spglib crashes the process on NaN
    if not (np.isfinite(atoms.cell).all() and np.isfinite(atoms.positions).all()):
        raise ConventionError(f"{name} has non-finite cell vectors or positions")
    if abs(np.linalg.det(atoms.cell)) < 1e-3:
        raise ConventionError(
            f"{name} has no three-dimensional cell: its cell vectors are {atoms.cell.tolist()}; a crystal needs three "
            "that span a volume"
        )
    mixtures = _mixtures(atoms)
    kinds = list(dict.fromkeys(mixtures))
    xyz = atoms.get_scaled_positions(wrap=False)
    if symprec is None:
        lattice, group, members = np.asarray(atoms.cell), SpaceGroup.from_name(1), list(enumerate(mixtures))
    else:
        types = [kinds.index(m) + 1 for m in mixtures]
        data = find_symmetry(np.asarray(atoms.cell), xyz, types, symprec)
        if data is None:
            raise SymmetryError(
                f"spglib finds no symmetry in {name} within symprec={symprec} Å: "
                "atoms on top of each other, or a tolerance that is too large"
            )
        lattice, xyz = data.std_lattice, data.std_positions
        group = SpaceGroup.from_hall(hall_symbol(data.hall_number))
        members = [
            (k, kinds[data.std_types[k] - 1])
            for k in _representatives(group, lattice, xyz, data.std_types, min(symprec, _SYMMETRISED))
        ]
    species, positions_, occupancy = [], [], []
    for index, mixture in members:
        for symbol, share in mixture:
            species.append(symbol)
            positions_.append(xyz[index])
            occupancy.append(share)
    return Crystal.create(
        cell=cell_from_metric(lattice @ lattice.T),
        spacegroup=group,
        species=species,
        xyz=positions_,
        occupancy=occupancy,
        u_iso=u_iso,
        name=name,
    )


def to_ase(crystal: Crystal) -> ase.Atoms:
    """Return all atoms of the conventional cell as ASE ``Atoms``.

    Every position carries one atom, of the species with the largest occupancy. Partial and shared occupancies are
    stored where ASE keeps them (``info["occupancy"]`` with the array ``spacegroup_kinds``). The array ``site`` holds
    the index of the site of which each atom is an image.
    """
    import ase

    plan = plan_expansion(crystal)
    xyz = np.asarray(crystal.xyz, dtype=float)
    occupancy = np.asarray(crystal.occupancy, dtype=float)
    home = _first_at_position(crystal)
    leader = {first: max(np.flatnonzero(home == first), key=lambda k: occupancy[k]) for first in np.unique(home)}
    kept = np.array([home[site] == site for site in plan.atoms[:, 0]])
    rows = plan.atoms[kept]
    sites = np.array([leader[site] for site in rows[:, 0]])
    atoms = ase.Atoms(
        symbols=[_ase_symbol(crystal.elements[k]) for k in sites],
        scaled_positions=positions(xyz, crystal.group, rows),
        cell=np.asarray(crystal.lattice(), dtype=float),
        pbc=True,
    )
    masses = atoms.get_masses()
    heavy = np.array([crystal.elements[k] == "D" for k in sites])
    if heavy.any():
        atoms.set_masses(np.where(heavy, _D_MASS, masses))
    atoms.new_array("site", sites)
    if (occupancy < 1.0).any():
        atoms.new_array("spacegroup_kinds", home[sites])
        atoms.info["occupancy"] = {}
        for first in np.unique(home):
            shares: dict[str, float] = {}
            for k in np.flatnonzero(home == first):
                symbol = _ase_symbol(crystal.elements[k])
                shares[symbol] = shares.get(symbol, 0.0) + float(occupancy[k])
            atoms.info["occupancy"][str(first)] = shares
    return atoms


def read_ase_frames(path: Path, *, index=":", text: str | None = None) -> list[ase.Atoms]:
    """Read any file supported by ASE as a list of frames; failures become :class:`ParseError`.

    Args:
        path: the file.
        index: the frames, as for ``ase.io.read``.
        text: content of an extxyz file; the path is then only used in messages.
    """
    import ase.io
    from ase.io.extxyz import XYZError
    from ase.io.formats import UnknownFileTypeError

    try:
        with _deuterium():
            if text is None:
                frames = ase.io.read(path, index=index)
            else:
                frames = ase.io.read(StringIO(text), index=index, format="extxyz")
    except XYZError as err:
        raise ParseError(path, None, f"ASE cannot read it: {err}") from err
    except OSError as err:
        raise ParseError(path, None, f"cannot open the file: {err.strerror or err}") from err
    except UnknownFileTypeError as err:
        raise ParseError(
            path,
            None,
            f"unknown file type ({err}): expected CIF, GSAS .EXP, extxyz, POSCAR or another format that ASE reads",
        ) from err
    except JaxnmrError:
        raise
    except Exception as err:  # ASE's readers raise all kinds of exceptions
        raise ParseError(path, None, f"ASE cannot read it: {type(err).__name__}: {err}") from err
    frames = frames if isinstance(frames, list) else [frames]
    for frame in frames:
        heavy = frame.numbers == _D_NUMBER
        if heavy.any():
            masses = np.where(heavy, _D_MASS, frame.get_masses())
            frame.numbers[heavy] = 1
            frame.set_masses(masses)
    return frames


@contextmanager
def _deuterium() -> Iterator[None]:
    """Make ASE accept D, which it does not support: a placeholder element while reading, heavy hydrogen afterwards."""
    from ase.data import atomic_numbers

    atomic_numbers["D"] = _D_NUMBER
    try:
        yield
    finally:
        del atomic_numbers["D"]


def _mixtures(atoms: ase.Atoms) -> list[tuple[tuple[str, float], ...]]:
    """Return, per atom, the species of its position with their occupancies; hydrogen of twice the mass is deuterium."""
    heavy = (atoms.numbers == 1) & (np.abs(atoms.get_masses() - _D_MASS) < 0.1)
    symbols = ["D" if d else symbol for d, symbol in zip(heavy, atoms.get_chemical_symbols(), strict=True)]
    occupancy, kinds = atoms.info.get("occupancy"), atoms.arrays.get("spacegroup_kinds")
    if not isinstance(occupancy, dict) or kinds is None:
        return [((symbol, 1.0),) for symbol in symbols]
    table = {str(kind): tuple((s, float(v)) for s, v in shares.items()) for kind, shares in occupancy.items()}
    return [table.get(str(kind), ((symbol, 1.0),)) for kind, symbol in zip(kinds, symbols, strict=True)]


def _representatives(group: SpaceGroup, lattice, xyz, types, symprec: float) -> list[int]:
    """Return one atom of every orbit, in file order."""
    chosen: list[int] = []
    orbits: list[np.ndarray] = []
    for k, point in enumerate(xyz):
        for first, orbit in zip(chosen, orbits, strict=True):
            distance = np.linalg.norm(minimum_image(orbit - point) @ lattice, axis=1)
            if types[k] == types[first] and distance.min() < max(10.0 * symprec, 1e-3):
                break
        else:
            chosen.append(k)
            orbits.append(group.rotations @ point + group.translations)
    return chosen


def _first_at_position(crystal: Crystal) -> np.ndarray:
    """Return, for every site, the first site at the same position."""
    xyz = np.asarray(crystal.xyz, dtype=float)
    same = np.abs(minimum_image(xyz[:, None] - xyz[None])).max(axis=-1) < 1e-6
    return same.argmax(axis=1)


def _ase_symbol(element: str) -> str:
    return "H" if element == "D" else element
