"""Write ``tests/reference/overlap_numbers.json``: integrals of pyscf that `jaxnmr.electronic` is checked against.

Needs pyscf. Of the matrices of a made-up cluster of all tabulated elements single elements are kept, and products ``u^T M v`` with
vectors of cosines, into which every element enters.
"""

import json
from pathlib import Path

import numpy as np
from pyscf import __version__ as pyscf_version
from pyscf import gto

ATOMS = ("O", "C", "H", "N", "F", "S", "H", "Si")
OUT = Path(__file__).resolve().parents[1] / "tests" / "reference" / "overlap_numbers.json"


def main() -> None:
    xyz = np.round(np.random.default_rng(3).normal(size=(len(ATOMS), 3)) * 1.4, 3)
    molecule = gto.M(atom=list(zip(ATOMS, xyz, strict=True)), basis="def2-svp", verbose=0)
    s, r = molecule.intor("int1e_ovlp"), molecule.intor("int1e_r")
    n = len(s)
    waves = [np.cos(k * np.arange(n) + 0.3 * k * k) for k in range(1, 9)]
    picked = [(int(i), int(j)) for i, j in np.random.default_rng(4).integers(0, n, size=(30, 2))]
    content = {
        "from": f"pyscf {pyscf_version}, tools/overlap_reference.py",
        "atoms": ATOMS,
        "xyz": xyz.tolist(),
        "labels": [" ".join(label.split()) for label in molecule.ao_labels()],
        "picked": picked,
        "overlap": [float(s[i, j]) for i, j in picked],
        "dipole": [[float(r[x][i, j]) for x in range(3)] for i, j in picked],
        "overlap_products": [[float(u @ s @ v) for v in waves] for u in waves],
        "dipole_products": [[[float(u @ m @ v) for v in waves] for u in waves] for m in r],
    }
    OUT.write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
