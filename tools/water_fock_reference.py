"""Write ``tests/reference/water_fock.json``: a Kohn-Sham matrix of water and what pyscf derives from its density.

Needs pyscf. PBE/def2-SVP; charges and the dipole are those of the density that diagonalising this very matrix gives, by pyscf's own
integrals and analyses.
"""

import json
from pathlib import Path

import numpy as np
from pyscf import __version__ as pyscf_version
from pyscf import dft, gto, lo

XYZ = [[0.05, 0.0, 0.1173], [0.0, 0.7572, -0.4692], [0.0, -0.82, -0.43]]
OUT = Path(__file__).resolve().parents[1] / "tests" / "reference" / "water_fock.json"


def main() -> None:
    molecule = gto.M(atom=list(zip("OHH", XYZ, strict=True)), basis="def2-svp", verbose=0)
    field = dft.RKS(molecule)
    field.xc, field.conv_tol = "pbe", 1e-11
    field.kernel()
    fock = np.round(field.get_fock(), 12)
    s = field.get_ovlp()
    energies, orbitals = field.eig(fock, s)
    density = field.make_rdm1(orbitals, field.get_occ(energies, orbitals))
    lowdin = np.linalg.inv(lo.orth.lowdin(s))
    turned = lowdin @ density @ lowdin.T
    atoms = np.array([label[0] for label in molecule.ao_labels(fmt=None)])
    numbers = molecule.atom_charges()
    content = {
        "from": f"pyscf {pyscf_version}, PBE/def2-SVP, tools/water_fock_reference.py",
        "atoms": ["O", "H", "H"],
        "xyz": XYZ,
        "fock": [row[: k + 1].tolist() for k, row in enumerate(fock)],
        "energies": energies.tolist(),
        "dipole": field.dip_moment(molecule, density, unit="AU", verbose=0).tolist(),
        "mulliken": field.mulliken_pop(molecule, density, s, verbose=0)[1].tolist(),
        "lowdin": [float(numbers[k] - np.diagonal(turned)[atoms == k].sum()) for k in range(3)],
        "band_energy": float(np.sum(density * fock)),
    }
    OUT.write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
