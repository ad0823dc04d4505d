"""Cubic and trigonal crystals outside of Perov-5: JARVIS superconductors, crystals of the open database, AFLOW prototypes.

    JAXNMR_DATA=... python benchmarks/density/other_crystals.py FOLDER --types types.json

writes ``FOLDER/crystals.json``: ordered cubic and trigonal crystals with valence atoms for all elements, standardised by spglib (conventional cell,
hexagonal axes), at most 160 atoms in the cell. ``types.json`` is what ``aflow_types.py`` wrote. The other scripts read it with :func:`read`.

Test crystals are drawn by seed from JARVIS and the open database, one for each formula. All that have the formula of a test crystal are left
out of the train part, AFLOW prototypes with free coordinates too; prototypes without any stay as structure types with other elements, as they
hold nothing but a topology.
"""

import argparse
import json
import os
import zipfile
from functools import cached_property, reduce
from math import gcd
from pathlib import Path
from typing import NamedTuple

import ase
import numpy as np

import jaxnmr as jn
from jaxnmr.crystal import Crystal, SpaceGroup
from jaxnmr.density import valence_elements
from jaxnmr.errors import JaxnmrError
from jaxnmr.io.structures.ase import from_ase, to_ase

JARVIS = Path("crystals_jarvis") / "dft_3d_Tc_supercon.json.zip"
OPEN = Path("openchemistry_crystals")
MOST_ATOMS, SYMPREC = 160, 0.01
SYSTEMS = ("cubic", "trigonal")
COUNTS = {"cubic": 60, "trigonal": 40}
_OTHERS = ("Al", "N", "Y", "P", "Zr", "C", "Hf", "B")


class Entry:
    """A row of the file: ``name``, ``source`` (``"jarvis"``, ``"open"``, ``"aflow"``), ``system``, ``contents`` (atoms of each element in the
    conventional cell), ``dof`` (free coordinates), and the crystal, made when it is asked for.
    """

    def __init__(self, row: dict) -> None:
        self.row = row
        self.name, self.source, self.system = row["name"], row["source"], row["system"]
        self.contents, self.dof = row["contents"], row["dof"]
        self.formula = formula_of(self.contents)

    @cached_property
    def crystal(self) -> Crystal:
        return self.displaced(0.0)

    def displaced(self, u_iso: float) -> Crystal:
        """With a displacement of all atoms, Å²."""
        group = SpaceGroup.from_operations(self.row["operations"], self.row["group"])
        species, xyz = self.row["species"], self.row["xyz"]
        return Crystal.create(
            cell=self.row["cell"], spacegroup=group, species=species, xyz=xyz, u_iso=u_iso, name=self.name
        )


class Parts(NamedTuple):
    """Of one system."""

    test: list[Entry]
    train: list[Entry]
    types: list[Entry]


def formula_of(contents: dict[str, int]) -> str:
    """Elements in alphabetical order with the smallest whole numbers."""
    common = reduce(gcd, contents.values())
    return " ".join(f"{e}{contents[e] // common}" for e in sorted(contents))


def read(folder: str | Path) -> list[Entry]:
    """What :func:`main` wrote."""
    return [Entry(row) for row in json.loads((Path(folder) / "crystals.json").read_text(encoding="utf-8"))]


def contents_of(crystal: Crystal) -> dict[str, int]:
    """Atoms of each element in the conventional cell."""
    found: dict[str, int] = {}
    for element, site in zip(crystal.elements, crystal.sites(), strict=True):
        found[element] = found.get(element, 0) + site.multiplicity
    return found


def parts(entries: list[Entry], system: str, count: int | None = None) -> Parts:
    """Test crystals drawn by seed, and what has none of their formulas.

    Args:
        entries: of :func:`read`.
        system: one of them.
        count: of test crystals.
    """
    mine = [e for e in entries if e.system == system]
    real = [e for e in mine if e.source != "aflow"]
    formulas = sorted({e.formula for e in real})
    order = np.random.default_rng(2024).permutation(len(formulas))
    chosen = [formulas[k] for k in order[: COUNTS[system] if count is None else count]]
    first: dict[str, Entry] = {}
    for e in real:
        first.setdefault(e.formula, e)
    # a formula of the test part of either system is kept out of both
    taken = {f for s in SYSTEMS for f in _drawn(entries, s)} | set(chosen)
    train = [e for e in real if e.formula not in taken]
    types = [e for e in mine if e.source == "aflow" and e.formula not in taken]
    types += [_anonymous(e, taken) for e in mine if e.source == "aflow" and e.formula in taken and e.dof == 0]
    return Parts([first[f] for f in chosen], train, types)


def _anonymous(entry: Entry, taken: set[str]) -> Entry:
    """The prototype with other elements, so that nothing of a test crystal but its topology is left."""
    for first in range(len(_OTHERS)):
        new = dict(zip(sorted(entry.contents), _OTHERS[first:] + _OTHERS[:first], strict=False))
        row = entry.row | {
            "contents": {new[e]: n for e, n in entry.contents.items()}, "species": [new[e] for e in entry.row["species"]]
        }  # fmt: skip
        if formula_of(row["contents"]) not in taken:
            return Entry(row)
    raise ValueError(f"{entry.name}: all other elements tried make formulas of test crystals")


def _drawn(entries: list[Entry], system: str) -> list[str]:
    formulas = sorted({e.formula for e in entries if e.system == system and e.source != "aflow"})
    order = np.random.default_rng(2024).permutation(len(formulas))
    return [formulas[k] for k in order[: COUNTS[system]]]


def system_of(group: SpaceGroup) -> str:
    number = group.number or 0
    return "cubic" if number >= 195 else "trigonal" if 143 <= number <= 167 else "other"


def standardised(atoms: ase.Atoms, name: str, source: str) -> dict | None:
    """The row of the file, or nothing where it is not a crystal of these."""
    if not set(atoms.get_chemical_symbols()) <= set(valence_elements()):
        return None
    try:
        crystal = from_ase(atoms, symprec=SYMPREC, name=name)
    except JaxnmrError as error:
        print(f"{name} is left out: {error}")
        return None
    system = system_of(crystal.group)
    if system not in SYSTEMS or sum(site.multiplicity for site in crystal.sites()) > MOST_ATOMS:
        return None
    return {
        "name": name, "source": source, "system": system, "contents": contents_of(crystal),
        "dof": sum(site.xyz_basis().shape[1] for site in crystal.sites()), "cell": np.asarray(crystal.cell).tolist(), "group": crystal.group.name,
        "operations": list(crystal.group.triplets), "species": list(crystal.species), "xyz": np.asarray(crystal.xyz).tolist(),
    }  # fmt: skip


def _jarvis(folder: Path) -> list[dict]:
    with zipfile.ZipFile(folder / JARVIS) as archive:
        texts = json.loads(archive.read(archive.namelist()[0]))
    found = []
    for name, text in sorted((name, text) for part in texts.values() for name, text in part.items()):
        lines = text.replace("\\n", "\n").split("\n")
        elements = [e for e, n in zip(lines[5].split(), lines[6].split(), strict=True) for _ in range(int(n))]
        xyz = [line.split()[:3] for line in lines[8 : 8 + len(elements)]]
        cell = float(lines[1]) * np.array([line.split() for line in lines[2:5]], dtype=float)
        atoms = ase.Atoms(elements, scaled_positions=np.array(xyz, dtype=float), cell=cell, pbc=True)
        found.append(standardised(atoms, name, "jarvis"))
    return [row for row in found if row]


def _open(folder: Path) -> list[dict]:
    found = []
    for path in sorted((folder / OPEN).rglob("*.cif")):
        name = f"{path.parent.name}/{path.stem}"
        try:
            crystal = jn.read_crystal(path)
        except JaxnmrError as error:
            print(f"{name} is left out: {str(error)[:100]}")
            continue
        if "D" not in crystal.elements and float(np.min(crystal.occupancy)) > 0.999:
            found.append(standardised(to_ase(crystal), name, "open"))
    return [row for row in found if row]


def _aflow(path: Path) -> list[dict]:
    found = []
    for one in json.loads(path.read_text(encoding="utf-8")):
        atoms = ase.Atoms(one["species"], scaled_positions=one["xyz"], cell=one["lattice"], pbc=True)
        found.append(standardised(atoms, one["name"], "aflow"))
    return [row for row in found if row]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--types", type=Path, required=True)
    options = parser.parse_args()
    data = Path(os.environ["JAXNMR_DATA"])
    rows = [*_jarvis(data), *_open(data), *_aflow(options.types)]
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "crystals.json").write_text(json.dumps(rows), encoding="utf-8")
    entries = read(options.folder)
    for system in SYSTEMS:
        sources = {s: sum(e.system == system and e.source == s for e in entries) for s in ("jarvis", "open", "aflow")}
        found = parts(entries, system)
        print(
            f"{system}: {sources}; {len(found.test)} test, {len(found.train)} train crystals, {len(found.types)} types"
        )


if __name__ == "__main__":
    main()
