"""How many final structures pymatgen's StructureMatcher takes for the true ones; run it where pymatgen is.

    python benchmarks/density/other_matches.py cubic.json trigonal.json

Reads what ``other_lattices.py`` wrote and adds, for every input, whether the structures match at (ltol, stol, angle) of 0.2, 0.2, 5° and 0.3, 0.5, 10°,
elements as they are.
"""

import json
import sys
from pathlib import Path

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

MATCHERS = {
    "0.2/0.2/5": StructureMatcher(ltol=0.2, stol=0.2, angle_tol=5),
    "0.3/0.5/10": StructureMatcher(ltol=0.3, stol=0.5, angle_tol=10),
}


def structure_of(one: dict) -> Structure:
    return Structure(Lattice(one["lattice"]), one["species"], one["xyz"])


def main() -> None:
    for path in map(Path, sys.argv[1:]):
        done = json.loads(path.read_text(encoding="utf-8"))
        for row in done["crystals"]:
            truth = structure_of(row["truth"])
            for final in row["final"].values():
                crystal = final["crystal"]
                final["matches"] = {
                    name: crystal is not None and bool(matcher.fit(truth, structure_of(crystal)))
                    for name, matcher in MATCHERS.items()
                }
        path.write_text(json.dumps(done), encoding="utf-8")
        rng = np.random.default_rng(0)
        for how in done["crystals"][0]["final"]:
            for name in MATCHERS:
                of = np.array([float(row["final"][how]["matches"][name]) for row in done["crystals"]])
                low, high = np.quantile(of[rng.integers(0, len(of), size=(2000, len(of)))].mean(axis=1), (0.025, 0.975))
                print(f"{path.stem}, {how}, {name}: {of.mean():.3f} [{low:.3f}, {high:.3f}] of {len(of)}")


if __name__ == "__main__":
    main()
