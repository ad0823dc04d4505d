"""Write ``jaxnmr/electronic/basis/def2-svp.json`` from the tables that pyscf ships.

Needs pyscf. Exponents and contraction coefficients are the published ones: F. Weigend, R. Ahlrichs, Phys. Chem. Chem. Phys. 7,
3297 (2005).
"""

import json
from pathlib import Path

from pyscf import __version__ as pyscf_version
from pyscf import gto

ELEMENTS = ("H", "C", "N", "O", "F", "Si", "S")
OUT = Path(__file__).resolve().parents[1] / "jaxnmr" / "electronic" / "basis" / "def2-svp.json"


def main() -> None:
    shells = {}
    for element in ELEMENTS:
        rows = gto.basis.load("def2-svp", element)
        # as pyscf orders functions: all s shells of an atom, then p, then d
        rows = sorted(rows, key=lambda row: row[0])
        shells[element] = [
            {"l": l, "exponents": [p[0] for p in primitives], "coefficients": [p[1] for p in primitives]}
            for l, *primitives in rows
        ]
    content = {
        "name": "def2-SVP",
        "source": "F. Weigend, R. Ahlrichs, Phys. Chem. Chem. Phys. 7, 3297 (2005), doi:10.1039/b508541a",
        "from": f"tables of pyscf {pyscf_version} (tools/make_basis_sets.py)",
        "coefficients": "of normalised primitives; the contracted function is normalised to 1 when it is read",
        "shells": shells,
    }
    OUT.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
