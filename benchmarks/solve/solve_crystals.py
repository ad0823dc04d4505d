"""Solve crystals of a list from simulated intensities; cell, group and contents are known, Wyckoff positions are not.

    JAXNMR_DATA=/path/to/data python benchmarks/solve/solve_crystals.py development --seeds 1 --log solved.jsonl

Intensities have 3 % noise and overlap; hydrogen is left out of model and data. An entry is solved when the first structure is the
true one: atoms of each element within 0.05 (V/N)^(1/3), root mean square, after shifts of the origin, inversion and exchanges of
equal axes; elements whose numbers of electrons differ by one count as the same. Times are those of one processor core, compilation
included (that of later entries comes from a cache). Entries that the log already has are not run again; `--summary` only reads it.
"""

import argparse
import json
import math
import os
import time
import warnings
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np

import jaxnmr as jn
from jaxnmr.crystal import element_of
from jaxnmr.solve.direct.contents import indistinguishable
from jaxnmr.solve.direct.equivalence import SAME, atoms_of, displacement

HERE = Path(__file__).parent
B_ISO = 0.6
# close to J. M. Hughes, M. Cameron & K. D. Crowley, Am. Mineral. 74, 870 (1989); there is no file of it
FLUORAPATITE = {
    "cell": [9.3719, 9.3719, 6.8859, 90, 90, 120], "spacegroup": "P 63/m", "species": ["Ca", "Ca", "P", "O", "O", "O", "F"],
    "xyz": [[1 / 3, 2 / 3, 0.001], [0.2416, 0.0071, 0.25], [0.3981, 0.3688, 0.25], [0.3262, 0.4843, 0.25], [0.588, 0.4668, 0.25],
            [0.3415, 0.2569, 0.0705], [0, 0, 0.25]],
}  # fmt: skip

# the entry of openchemistry_crystals, whose file lists every atom of the cell beside the operations
CUPRIC_SULFATE = {
    "cell": [8.3956, 6.6982, 4.8291, 90, 90, 90], "spacegroup": "P n m a", "species": ["Cu", "S", "O", "O", "O"],
    "xyz": [[0, 0, 0], [0.186, 0.25, 0.444], [0.141, 0.25, 0.755], [0.375, 0.25, 0.439], [0.129, 0.069, 0.307]],
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("list", choices=("development", "second"))
    parser.add_argument("--entries", nargs="*", help="only these")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=100.0, help="of processor time for each")
    parser.add_argument("--log", type=Path, default=Path("solved.jsonl"))
    parser.add_argument("--summary", action="store_true")
    chosen = parser.parse_args()
    if not chosen.summary:
        names = chosen.entries or json.loads((HERE / "lists.json").read_text(encoding="utf-8"))[chosen.list]
        done = {(row["list"], row["name"], row["seed"]) for row in _rows(chosen.log)}
        for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds):
            for name in names:
                if (chosen.list, name, seed) not in done:
                    row = {"list": chosen.list, "name": name, "seed": seed, **attempt(name, seed, chosen.seconds)}
                    with open(chosen.log, "a", encoding="utf-8") as log:
                        log.write(json.dumps(row) + "\n")
                    print({k: v for k, v in row.items() if k not in ("list", "best")}, row.get("best", ""), flush=True)
    summary([row for row in _rows(chosen.log) if row["list"] == chosen.list])


def attempt(name: str, seed: int, seconds: float) -> dict:
    crystal = heavy(load(name))
    if crystal is None:
        return {"skipped": "disordered"}
    contents: dict[str, int] = {}
    for species, site in zip(crystal.species, crystal.sites(), strict=True):
        contents[species] = contents.get(species, 0) + site.multiplicity
    start = time.process_time()
    intensities = jn.solve.simulated_intensities(crystal, seed=seed)
    found = jn.solve.structure(intensities, contents, contents=contents, seed=seed, seconds=seconds)
    same = {b: a for a, b in indistinguishable(tuple(contents))}
    true = atoms_of(crystal, same)
    distance = displacement(atoms_of(found.best.crystal, same), true)
    rms = None if distance is None else distance / true.spacing
    return {
        "atoms": len(true.kinds), "areas": len(intensities), "right": rms is not None and rms <= SAME, "rms": rms and round(rms, 4),
        "claims": found.solved, "r": round(found.best.r_factor, 4), "dof": found.best.dof,
        "next": round(found.solutions[1].r_factor, 4) if len(found) > 1 else None, "tried": found.tried, "total": found.total,
        "hops": found.hops, "cpu": round(time.process_time() - start, 1), "best": found.best.assignment, "reason": found.reason,
    }  # fmt: skip


def load(name: str) -> jn.Crystal:
    """An entry by its name in the lists."""
    data = Path(os.environ["JAXNMR_DATA"])
    if name == "FAP":
        return jn.Crystal.create(**FLUORAPATITE)
    if name == "CuSO4":
        return jn.Crystal.create(**CUPRIC_SULFATE)
    if name == "NaNbO2F2":
        return jn.read_crystal(data / "NaMO2F2/NaNbO2F2/NaNbO2F2.cif")
    if name.startswith("jarvis/"):
        with zipfile.ZipFile(data / "crystals_jarvis/dft_3d_Tc_supercon.json.zip") as archive:
            parts = json.loads(archive.read(archive.namelist()[0]))
        text = next(part[name[7:]] for part in parts.values() if name[7:] in part)
        with TemporaryDirectory() as there:
            path = Path(there) / "POSCAR.vasp"
            path.write_text(text.replace("\\n", "\n"), encoding="utf-8")
            return jn.read_crystal(path)
    if "/" in name:
        return jn.read_crystal(data / f"{name}.cif")
    return jn.read_crystal(next(p for p in (data / "openchemistry_crystals").rglob("*.cif") if p.stem == name))


def heavy(crystal: jn.Crystal) -> jn.Crystal | None:
    """The crystal without hydrogen, of neutral atoms with equal displacements; nothing where it is disordered."""
    elements = [element_of(species)[0] for species in crystal.species]
    kept = [k for k, e in enumerate(elements) if e not in ("H", "D") or set(elements) <= {"H", "D"}]
    if (np.asarray(crystal.occupancy)[kept] != 1.0).any():
        return None
    return jn.Crystal.create(
        cell=crystal.cell, spacegroup=crystal.group, species=[elements[k] for k in kept], xyz=np.asarray(crystal.xyz)[kept],
        b_iso=B_ISO, name=crystal.name,
    )  # fmt: skip


def summary(rows: list[dict]) -> None:
    tried = [row for row in rows if "skipped" not in row]
    if not tried:
        return
    right = sum(row["right"] for row in tried)
    low, high = interval(right, len(tried))
    cpu = [row["cpu"] for row in tried]
    false = [f"{row['name']} ({row['seed']})" for row in tried if row["claims"] and not row["right"]]
    silent = [f"{row['name']} ({row['seed']})" for row in tried if not row["claims"] and row["right"]]
    missed = [f"{row['name']} ({row['seed']})" for row in tried if not row["right"]]
    print(
        f"{right} of {len(tried)} right ({right / len(tried):.0%}, 95 % interval {low:.0%} to {high:.0%}); missed: {missed}"
    )
    print(f"called solved but wrong: {false}; right but not called solved: {silent}")
    print(f"processor time: median {np.median(cpu):.1f} s, mean {np.mean(cpu):.1f} s, longest {max(cpu):.0f} s")


def interval(k: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927)."""
    p = k / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def _rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
