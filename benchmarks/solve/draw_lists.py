"""Draw the entries on which structure solution and indexing are tested, once and by seed; writes ``lists.json`` beside it.

    JAXNMR_DATA=/path/to/data python benchmarks/solve/draw_lists.py

`development` may be looked at while the method is made. `second`, `ab_pxrd` and `end_to_end` are for tests only: a method is
never changed for what it does there. Hydrogen is left out of all structures.
"""

import csv
import json
import os
import re
import warnings
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import jaxnmr as jn

SEED = 20261130
MOST_ATOMS = 60
HERE = Path(__file__).parent
# entries of openchemistry_crystals, and two of measured patterns
DEVELOPMENT = (
    "SiO2-Quartz-alpha", "TiO2-Rutile", "TiO2-Anatase", "TiO2-Brookite", "Al2O3-Corundum", "CaCO3-Calcite", "PbSO4-Anglesite",
    "BaSO4-Barite", "CaSO4-Anhydrite", "MgSO4", "CaSO4-2(H2O)-Gypsum", "CaTiO3-Perovskite", "BaTiO3", "LiNbO3-LithiumNiobate",
    "FeS2-Pyrite", "Sb2S3-Stibnite", "V2O5-Shcherbinaite", "MoO3-Molybdite", "CaMgC2O6-Dolomite", "AlNa3F6-Cryolite",
    "Be3Al2(SiO3)6-Beryl", "SiO2-Coesite", "(MgAl2)O4-Spinel", "HfO2", "Na2SO4", "NaHCO3-Nahcolite", "Li2CO3-Zabuyelite",
    "Mg2TiO4-Qandilite-tetrag", "Zn2SiO5H2-Hemimorphite", "CuSO4", "AlCl3", "In2O3", "SiO2-Cristobalite", "Si3N4-beta",
    "C10H10Fe-Ferrocene", "Na2CO3-Natrite", "S8-Sulfur-alpha", "Ca2C4O10H2.57-Oxalate-Whewellite", "NaNbO2F2", "FAP",
)  # fmt: skip


def main() -> None:
    data = Path(os.environ["JAXNMR_DATA"])
    rng = np.random.default_rng(SEED)
    patterns = named_groups(data / "ab_pxrd")
    tested = sorted(rng.choice(patterns, 100, replace=False).tolist())
    end_to_end = sorted(rng.choice(patterns, 50, replace=False).tolist())
    crystals, jarvis = ordered_crystals(data / "openchemistry_crystals"), small_jarvis(data / "crystals_jarvis")
    second = [f"openchemistry_crystals/{name}" for name in sorted(rng.choice(crystals, 20, replace=False).tolist())]
    second += [f"jarvis/{name}" for name in sorted(rng.choice(jarvis, 20, replace=False).tolist())]
    lists = {
        "seed": SEED,
        "development": list(DEVELOPMENT),
        "second": second,
        "ab_pxrd": tested,
        "end_to_end": end_to_end,
    }
    (HERE / "lists.json").write_text(json.dumps(lists, indent=1) + "\n", encoding="utf-8")
    print(f"{len(patterns)} patterns, {len(crystals)} ordered crystals, {len(jarvis)} of JARVIS to choose from")


def named_groups(folder: Path) -> list[str]:
    """Patterns whose published group is the one in their names."""
    there = set(np.load(folder / "patterns.npz")["name"].tolist())
    found = set()
    for table in ("published_test.csv", "published_mono.csv"):
        with open(folder / table, encoding="utf-8") as file:
            for row in csv.DictReader(file):
                name = row["csv_file_name"].rsplit(".", 1)[0]
                match = re.match(r"(.+)_(\d+)$", name)
                if match and name in there and row["SPG"].strip() == match[2]:
                    found.add(name)
    return sorted(found)


def ordered_crystals(folder: Path) -> list[str]:
    """Entries without disorder that have coordinates to find, none of them for development."""
    found = []
    for path in sorted(folder.rglob("*.cif")):
        if path.stem in DEVELOPMENT:
            continue
        try:
            crystal = jn.read_crystal(path)
        except jn.errors.JaxnmrError:
            continue
        if worth_solving(crystal):
            found.append(path.relative_to(folder).with_suffix("").as_posix())
    return found


def small_jarvis(folder: Path) -> list[str]:
    """Entries that have coordinates to find."""
    with zipfile.ZipFile(folder / "dft_3d_Tc_supercon.json.zip") as archive:
        parts = json.loads(archive.read(archive.namelist()[0]))
    found = []
    with TemporaryDirectory() as there:
        for name, poscar in sorted({k: v for part in parts.values() for k, v in part.items()}.items()):
            path = Path(there) / f"{name}.vasp"
            path.write_text(poscar.replace("\\n", "\n"), encoding="utf-8")
            if worth_solving(jn.read_crystal(path)):
                found.append(name)
    return found


def worth_solving(crystal: jn.Crystal) -> bool:
    """Ordered, with few enough atoms that are no hydrogen, some of which can move."""
    heavy = [k for k, species in enumerate(crystal.species) if not re.match(r"[HD](?![a-z])", species)]
    sites = [crystal.sites()[k] for k in heavy]
    ordered = bool(np.all(np.asarray(crystal.occupancy)[heavy] == 1.0))
    atoms, free = sum(site.multiplicity for site in sites), sum(site.xyz_basis().shape[1] for site in sites)
    return ordered and atoms <= MOST_ATOMS and free > 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
