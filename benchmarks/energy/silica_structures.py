"""Silica crystals as cells of 48 or 72 atoms: minerals as published, and frameworks of the data set `si_nmr`.

Quartz: Levien et al. (1980); its high form: Kihara (1990), 848 K; cristobalite: Dollase (1965), and the ideal high form with the
measured cell; tridymite: the hexagonal high form, ideal; keatite: Shropshire et al. (1959); coesite: Levien & Prewitt (1981).
"""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxnmr.crystal import Crystal
from jaxnmr.graph import plan_neighbours

SIZES = (72, 48)
# of si_nmr, volumes per atom in Å³ between coesite and the openest frameworks that are of interest
_VOLUMES = (13.0, 21.0)
_TRAINED, _HELD_OUT = 18, 6
_MINERALS = {
    "quartz": ((4.9134, 4.9134, 5.4052, 90, 90, 120), "P 32 2 1", {
        "Si1": (0.4697, 0, 2 / 3), "O1": (0.4135, 0.2669, 0.1191 + 2 / 3)}),
    "quartz-high": ((4.9965, 4.9965, 5.457, 90, 90, 120), "P 62 2 2", {
        "Si1": (0.5, 0, 0), "O1": (0.2072, 0.4144, 0.5)}),
    "cristobalite": ((4.9717, 4.9717, 6.9223, 90, 90, 90), "P 41 21 2", {
        "Si1": (0.3003, 0.3003, 0), "O1": (0.2392, 0.1044, 0.1787)}),
    "cristobalite-high": ((7.16, 7.16, 7.16, 90, 90, 90), "F d -3 m:2", {
        "Si1": (1 / 8, 1 / 8, 1 / 8), "O1": (0, 0, 0)}),
    "tridymite": ((5.052, 5.052, 8.27, 90, 90, 120), "P 63/m m c", {
        "Si1": (1 / 3, 2 / 3, 0.06), "O1": (1 / 3, 2 / 3, 0.25), "O2": (0.5, 0, 0)}),
    "keatite": ((7.464, 7.464, 8.620, 90, 90, 90), "P 43 21 2", {
        "Si1": (0.410, 0.410, 0), "Si2": (0.326, 0.120, 0.248), "O1": (0.445, 0.132, 0.400),
        "O2": (0.117, 0.123, 0.296), "O3": (0.344, 0.297, 0.143)}),
    "coesite": ((7.1356, 12.3692, 7.1736, 90, 120.34, 90), "C 2/c", {
        "Si1": (0.1403, 0.1083, 0.0723), "Si2": (0.5067, 0.1580, 0.5395), "O1": (0, 0, 0), "O2": (0.5, 0.1163, 0.75),
        "O3": (0.2660, 0.1234, 0.9401), "O4": (0.3114, 0.1038, 0.3282), "O5": (0.0172, 0.2117, 0.4784)}),
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """Atoms of a cell without symmetry: ``lattice`` ``(3, 3)`` rows in Å, ``fractional`` ``(atoms, 3)``."""

    name: str
    lattice: np.ndarray
    fractional: np.ndarray
    elements: tuple[str, ...]

    @property
    def volume(self) -> float:
        """Å³."""
        return abs(float(np.linalg.det(self.lattice)))

    def crystal(self) -> Crystal:
        """In P 1; the axes of a crystal follow from its cell."""
        return Crystal.create(
            cell=cell_of(self.lattice), spacegroup="P 1", species=self.elements, xyz=self.fractional, name=self.name
        )


def cell_of(lattice: np.ndarray) -> np.ndarray:
    """Lengths and angles, Å and degrees."""
    lengths = np.linalg.norm(lattice, axis=1)
    unit = lattice / lengths[:, None]
    cosines = [unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]]
    return np.array([*lengths, *np.degrees(np.arccos(cosines))])


def mineral(name: str) -> Crystal:
    """One of the minerals, with its symmetry."""
    cell, group, sites = _MINERALS[name]
    return Crystal.create(
        cell=cell, spacegroup=group, species=[label.rstrip("0123456789") for label in sites], labels=list(sites),
        xyz=np.array(list(sites.values())), name=name,
    )  # fmt: skip


def minerals() -> list[Cell]:
    """All minerals as supercells."""
    return [supercell(mineral(name)) for name in _MINERALS]


def supercell(crystal: Crystal) -> Cell:
    """The atoms of a crystal in a cell of one of the sizes."""
    full = crystal.expand()
    return _supercell(crystal.name, np.asarray(full.lattice), np.asarray(full.fractional), tuple(full.species))


def frameworks() -> tuple[list[Cell], list[Cell]]:
    """Tetrahedral frameworks of the data set: those to learn from, and those that are held out as a whole."""
    folder = Path(os.environ["JAXNMR_DATA"]) / "si_nmr"
    structures = json.loads((folder / "si_nmr_data.json").read_text(encoding="utf-8"))["structure"]
    groups = json.loads((folder / "duplicate_groups.json").read_text(encoding="utf-8"))
    cells = []
    for group in groups:
        entry = group[0]
        found = structures[entry] if isinstance(structures, dict) else structures[int(entry)]
        elements = tuple(site["species"][0]["element"] for site in found["sites"])
        lattice = np.array(found["lattice"]["matrix"])
        fractional = np.array([site["abc"] for site in found["sites"]])
        if _is_framework(elements, lattice, fractional):
            cells.append(_supercell(f"framework-{entry}", lattice, fractional, elements))
    order = np.random.default_rng(20).permutation(len(cells))[: _TRAINED + _HELD_OUT]
    return [cells[k] for k in order[:_TRAINED]], [cells[k] for k in order[_TRAINED:]]


def _is_framework(elements: tuple[str, ...], lattice: np.ndarray, fractional: np.ndarray) -> bool:
    """Whether a cell is SiO2 with four oxygen atoms about every silicon atom, of a size and density that is wanted."""
    n = len(elements)
    if set(elements) != {"O", "Si"} or elements.count("O") != 2 * elements.count("Si"):
        return False
    if not any(size % n == 0 and size // n <= 12 for size in SIZES):
        return False
    if not _VOLUMES[0] < abs(np.linalg.det(lattice)) / n < _VOLUMES[1]:
        return False
    pairs = plan_neighbours(lattice, fractional @ lattice, 1.9)
    silicon = np.array([element == "Si" for element in elements])
    coordination = np.bincount(pairs.receivers, minlength=n)
    return bool((coordination[silicon] == 4).all() and (coordination[~silicon] == 2).all())


def _supercell(name: str, lattice: np.ndarray, fractional: np.ndarray, elements: tuple[str, ...]) -> Cell:
    """The least elongated supercell of one of the sizes."""
    n = len(elements)
    best: tuple[float, tuple[int, ...]] | None = None
    for size in SIZES:
        for times in itertools.product(range(1, 13), repeat=3):
            if n * int(np.prod(times)) == size:
                widths = 1.0 / np.linalg.norm(np.linalg.inv(lattice * np.array(times)[:, None]), axis=0)
                if best is None or widths.min() > best[0] + 0.5:
                    best = float(widths.min()), times
    if best is None:
        raise ValueError(f"{name}: {n} atoms make no cell of {SIZES}")
    times = np.array(best[1])
    shifts = np.array(list(itertools.product(*map(range, times))))
    tiled = ((fractional[None] + shifts[:, None]) / times).reshape(-1, 3)
    return Cell(name, lattice * times[:, None], tiled, elements * len(shifts))
