"""Solve structures from powder patterns that others simulated (ab_pxrd: 10 to 80 degrees, noise), and compare with their solutions.

    JAXNMR_DATA=/path/to/data python benchmarks/solve/from_patterns.py ab_pxrd --log patterns.jsonl
    JAXNMR_DATA=/path/to/data python benchmarks/solve/from_patterns.py end_to_end --log whole.jsonl

`ab_pxrd`: cell and space group are given, the formula is known, everything else is found. `end_to_end`: pattern and formula only. Nobody
published coordinates. Solved means R of the square roots of areas up to 0.15 and the published Wyckoff positions (up to shifts of the
origin and exchanges of axes that keep the group), or fewer free coordinates and R up to 0.10; end to end the reduced cell must agree,
too, within 1 % and 1 degree. Times are those of one processor core. Entries that the log has are not run again.
"""

import argparse
import ast
import csv
import json
import os
import re
import time
import warnings
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import gemmi
import jax
import numpy as np
import spglib
from solve_crystals import interval

import jaxnmr as jn
from jaxnmr.io.structures.ase import to_ase
from jaxnmr.solve.direct.normaliser import normaliser

HERE = Path(__file__).parent
WAVELENGTH = 1.54184


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("list", choices=("ab_pxrd", "end_to_end"))
    parser.add_argument("--entries", nargs="*", help="only these")
    parser.add_argument("--log", type=Path, default=Path("patterns.jsonl"))
    parser.add_argument("--minutes", type=float, default=5.0, help="of processor time for each")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    jn.enable_x64()
    names = chosen.entries or json.loads((HERE / "lists.json").read_text(encoding="utf-8"))[chosen.list]
    done = {(row["list"], row["name"]) for row in rows_of(chosen.log)}
    for name in names:
        if (chosen.list, name) in done:
            continue
        row = {
            "list": chosen.list,
            "name": name,
            **attempt(name, chosen.list == "ab_pxrd", chosen.minutes, chosen.seed),
        }
        with open(chosen.log, "a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        print(row, flush=True)
        # every refinement leaves programs behind, and the system limits how many pieces a process may map
        jax.clear_caches()
    summary([row for row in rows_of(chosen.log) if row["list"] == chosen.list])


def attempt(name: str, given: bool, minutes: float, seed: int) -> dict:
    start = time.process_time()
    published = published_row(name)
    formula, number = name.rsplit("_", 1)
    cell, true = published_cell(published, int(number)), published_positions(published, formula)
    pattern = read(name)
    known = {"cell": cell, "group": standard(int(number))} if given else {}
    try:
        found = jn.solve.determine(pattern, formula, minutes=minutes, seed=seed, **known)
    except jn.errors.JaxnmrError as err:
        return {"solved": False, "claims": False, "error": str(err)[:200], "cpu": round(time.process_time() - start, 1)}
    row = {"claims": found.status == "solved", "reason": found.reason, "cpu": round(time.process_time() - start, 1)}
    row["first_cell"] = same_cell(found.cells[0].cell, found.cells[0].group, cell, standard(int(number)))
    if not found.attempts:
        return row | {"solved": False}
    best = found.attempts[0].solutions.best
    used = found.cells[found.attempts[0].cell]
    right_cell = same_cell(used.cell, used.group, cell, standard(int(number)))
    wanted = free_coordinates(true, int(number))
    mine = positions_of(found.crystal if not given else best.crystal)
    same = any(true == one for one in mine)
    crystal = found.crystal if not given else best.crystal
    dof = sum(site.xyz_basis().shape[1] for site in crystal.sites())
    solved = right_cell and (
        (best.r_factor <= 0.15 and same) or (best.r_factor <= 0.10 and wanted is not None and dof < wanted)
    )
    return row | {
        "solved": bool(solved), "cell": bool(right_cell), "r": round(best.r_factor, 4), "positions": bool(same), "dof": dof, "published_dof": wanted,
        "group": crystal.group.name, "found": best.assignment, "published": published["Wyckoff"],
        "rwp": [round(jn.solve.profile_factor(f), 2) for f in found.fits], "lebail": [round(e.rwp, 2) for e in found.extractions],
    }  # fmt: skip


def read(name: str) -> jn.Pattern:
    data = np.load(Path(os.environ["JAXNMR_DATA"]) / "ab_pxrd" / "patterns.npz")
    k = data["name"].tolist().index(name)
    x, y = data["two_theta"].astype(float), 100.0 * data["intensity"][k].astype(float)
    instrument = jn.Instrument(wavelengths=(WAVELENGTH,), shl=0.0)
    return jn.Pattern.create(x, y, jn.solve.scatter_sigma(x, y), name=name, instrument=instrument)


def published_row(name: str) -> dict:
    for table in ("published_test.csv", "published_mono.csv"):
        with open(Path(os.environ["JAXNMR_DATA"]) / "ab_pxrd" / table, encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["csv_file_name"].rsplit(".", 1)[0] == name and row["SPG"].strip() == name.rsplit("_", 1)[1]:
                    return row
    raise KeyError(name)


def published_cell(row: dict, number: int) -> np.ndarray:
    cell = [float(x) for x in ast.literal_eval(row["Cell"])]
    if number >= 195:
        return np.array([cell[0]] * 3 + [90.0] * 3)
    if number >= 143:
        return np.array([cell[0], cell[0], cell[-1], 90.0, 90.0, 120.0])
    if number >= 75:
        return np.array([cell[0], cell[0], cell[-1], 90.0, 90.0, 90.0])
    if number >= 16:
        return np.array([*cell[:3], 90.0, 90.0, 90.0])
    if number >= 3:
        return np.array([*cell[:3], 90.0, cell[3], 90.0])
    return np.array(cell[:6])


def published_positions(row: dict, formula: str) -> Counter:
    """How often each element but hydrogen, which is left out, stands on each position: ``("Pb", "4c")``."""
    elements = list(dict.fromkeys(re.findall(r"[A-Z][a-z]?", formula)))
    return Counter(
        (e, w)
        for e, sites in zip(elements, ast.literal_eval(row["Wyckoff"]), strict=True)
        if e not in ("H", "D")
        for w in sites
    )


def standard(number: int) -> jn.crystal.SpaceGroup:
    """The setting of International Tables that letters refer to: origin 2, hexagonal axes, unique axis b."""
    setting = next(s for s in gemmi.spacegroup_table() if s.number == number and s.ext in ("\0", "2", "H", ""))
    return jn.crystal.SpaceGroup.from_name(setting.xhm())


def positions_of(crystal: jn.Crystal) -> list[Counter]:
    """Elements on Wyckoff letters, for all descriptions of the crystal that its group allows."""
    atoms = to_ase(crystal)
    cell, numbers, xyz = atoms.cell[:], atoms.numbers, atoms.get_scaled_positions()
    found = []
    for matrix, shifts in normaliser(crystal.group, np.asarray(crystal.cell, dtype=float)):
        for shift in shifts:
            data = spglib.get_symmetry_dataset((cell, xyz @ matrix.T + shift / 24.0, numbers), symprec=1e-2)
            if data is None:
                continue
            counted: Counter = Counter()
            ratio = len(data.std_types) / len(numbers)
            for first in np.unique(data.equivalent_atoms):
                size = round(float(np.sum(data.equivalent_atoms == first)) * ratio)
                counted[(atoms.symbols[first], f"{size}{data.wyckoffs[first]}")] += 1
            if counted not in found:
                found.append(counted)
    return found


def free_coordinates(positions: Counter, number: int) -> int | None:
    """Free coordinates of published positions, by letters that spglib gives to crystals of points on every position."""
    table = letters(number)
    return sum(n * table[w] for (_, w), n in positions.items()) if all(w in table for _, w in positions) else None


def letters(number: int) -> dict[str, int]:
    """Free coordinates of each position such as ``"4c"``."""
    from jaxnmr.solve.direct.wyckoff import wyckoff_positions

    group = standard(number)
    listed = sorted(wyckoff_positions(group), key=lambda w: (w.multiplicity, w.dof))
    # letters run from the most special position to the general one; of equal multiplicity they have equal freedom but rarely
    alphabet = "abcdefghijklmnopqrstuvwxyzA"
    return {f"{w.multiplicity}{letter}": w.dof for letter, w in zip(alphabet, listed, strict=False)}


def same_cell(
    mine: np.ndarray, my_group: jn.crystal.SpaceGroup, other: np.ndarray, other_group: jn.crystal.SpaceGroup
) -> bool:
    """Whether reduced cells agree within 1 % and 1 degree."""
    a, b = (reduced(cell, group) for cell, group in ((mine, my_group), (other, other_group)))
    return bool(np.all(np.abs(a[:3] / b[:3] - 1.0) < 0.01) and np.all(np.abs(a[3:] - b[3:]) < 1.0))


def reduced(cell: np.ndarray, group: jn.crystal.SpaceGroup) -> np.ndarray:
    vector = gemmi.GruberVector(gemmi.UnitCell(*map(float, cell)), group.name[0])
    vector.niggli_reduce()
    return np.array(vector.get_cell().parameters)


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def summary(rows: list[dict]) -> None:
    if not rows:
        return
    solved = sum(row["solved"] for row in rows)
    low, high = interval(solved, len(rows))
    cpu = [row["cpu"] for row in rows]
    false = [row["name"] for row in rows if row["claims"] and not row["solved"]]
    cells = sum(bool(row.get("first_cell")) for row in rows)
    print(
        f"{solved} of {len(rows)} solved ({solved / len(rows):.0%}, 95 % interval {low:.0%} to {high:.0%}); first cell right in {cells}"
    )
    print(f"called solved but not by this criterion: {false}")
    print(f"processor time: median {np.median(cpu):.0f} s, longest {max(cpu):.0f} s")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
