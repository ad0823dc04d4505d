"""List the structure types of the AFLOW library of prototypes that pymatgen ships, for the benchmarks of other lattices.

    python benchmarks/density/aflow_types.py types.json

Needs pymatgen, which the package does not: run it in an environment of its own. What is written is one crystal for every prototype
(M. J. Mehl et al., Comput. Mater. Sci. 136, S1, 2017), all atoms of the cell of the file, with its AFLOW label, which begins with the formula of the type.
"""

import argparse
import json
from pathlib import Path

from monty.serialization import loadfn
from pymatgen.analysis import prototypes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    entries = loadfn(Path(prototypes.__file__).with_name("aflow_prototypes.json.gz"))
    found = []
    for entry in entries:
        crystal = entry["snl"].structure
        if crystal.is_ordered:
            found.append(
                {
                    "name": entry["tags"]["aflow"],
                    "mineral": entry["tags"]["mineral"],
                    "lattice": crystal.lattice.matrix.tolist(),
                    "species": [site.specie.symbol for site in crystal],
                    "xyz": crystal.frac_coords.tolist(),
                }
            )
    options.out.write_text(json.dumps(found), encoding="utf-8")
    print(f"{len(found)} of {len(entries)} prototypes are ordered: {options.out}")


if __name__ == "__main__":
    main()
