"""How often space groups occur, as a prior for the order in which a structure solution tries them.

    python tools/count_space_groups.py --data /path/to/data

Counted are the ordered minerals and common materials of openchemistry_crystals (zeolites, which are framework types and no measured
structures, left out), the JARVIS superconductors and the patterns of ab_pxrd, without the entries of benchmarks/solve/lists.json.
Writes jaxnmr/solve/determination/space_groups.json: 230 counts, number 1 first.
"""

from __future__ import annotations

import argparse
import json
import warnings
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import jaxnmr as jn

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    lists = json.loads((ROOT / "benchmarks" / "solve" / "lists.json").read_text(encoding="utf-8"))
    tested = {
        name.rsplit("/", 1)[-1] for key in ("development", "second", "ab_pxrd", "end_to_end") for name in lists[key]
    }
    numbers = [
        int(name.rsplit("_", 1)[1])
        for name in np.load(data / "ab_pxrd" / "patterns.npz")["name"].tolist()
        if name not in tested
    ]
    sources = {"ab_pxrd": len(numbers)}
    for path in sorted((data / "openchemistry_crystals").rglob("*.cif")):
        if path.stem not in tested and path.parent.name != "zeolites":
            numbers += group_number(path)
    sources["openchemistry_crystals"] = len(numbers) - sum(sources.values())
    with (
        zipfile.ZipFile(data / "crystals_jarvis" / "dft_3d_Tc_supercon.json.zip") as archive,
        TemporaryDirectory() as there,
    ):
        for part in json.loads(archive.read(archive.namelist()[0])).values():
            for name, poscar in part.items():
                if name not in tested:
                    path = Path(there) / f"{name}.vasp"
                    path.write_text(poscar.replace("\\n", "\n"), encoding="utf-8")
                    numbers += group_number(path)
    sources["JARVIS superconductors"] = len(numbers) - sum(sources.values())
    counts = np.bincount(numbers, minlength=231)[1:].tolist()
    record = {"counted": sources, "counts": counts}
    (ROOT / "jaxnmr" / "solve" / "determination" / "space_groups.json").write_text(
        json.dumps(record) + "\n", encoding="utf-8"
    )
    print(sources, sum(c > 0 for c in counts), "groups occur")


def group_number(path: Path) -> list[int]:
    """The number of the group of a structure file; nothing where it cannot be read."""
    try:
        return [n] if (n := jn.read_crystal(path).group.number) else []
    except jn.errors.JaxnmrError:
        return []


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
