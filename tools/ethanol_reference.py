"""Write ``tests/reference/ethanol_start.json``: ethanol off its minimum, what the shipped model starts from, and where it should arrive.

Needs pyscf. PBE/def2-SVP on its default grids; kept are the Fock matrix of superposed minimal-basis atoms (lower triangle), and occupied
orbital energies and the dipole of the converged calculation.
"""

import json
from pathlib import Path

import numpy as np
from pyscf import __version__ as pyscf_version
from pyscf import dft, gto

ATOMS = "CCOHHHHHH"
# trans ethanol, each atom moved by 0.03 angstrom or so
XYZ = [
    [-0.163, 0.021, -1.018],
    [-0.190, -0.024, 0.529],
    [1.188, 0.015, 0.935],
    [1.142, 0.161, 1.893],
    [-0.743, -0.908, 0.873],
    [-0.688, 0.869, 0.931],
    [-1.209, -0.037, -1.402],
    [0.371, -0.871, -1.404],
    [0.307, 0.918, -1.352],
]
OUT = Path(__file__).resolve().parents[1] / "tests" / "reference" / "ethanol_start.json"


def main() -> None:
    molecule = gto.M(atom=list(zip(ATOMS, XYZ, strict=True)), basis="def2-svp", verbose=0)
    field = dft.RKS(molecule)
    field.xc, field.conv_tol = "pbe", 1e-10
    start = field.get_hcore() + field.get_veff(molecule, field.init_guess_by_minao())
    field.kernel()
    content = {
        "from": f"pyscf {pyscf_version}, PBE/def2-SVP, tools/ethanol_reference.py",
        "atoms": list(ATOMS),
        "xyz": XYZ,
        "start": [np.round(row[: k + 1], 8).tolist() for k, row in enumerate(np.asarray(start))],
        "occupied": np.round(field.mo_energy[field.mo_occ > 0], 7).tolist(),
        "dipole": np.round(field.dip_moment(molecule, unit="AU", verbose=0), 6).tolist(),
    }
    OUT.write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
