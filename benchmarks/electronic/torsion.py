"""Matrices of ethanol along the turn of its hydroxyl group, for pictures and tests that have no program of quantum chemistry.

    python benchmarks/electronic/torsion.py [--points 17] [--out notebooks/ethanol_torsion.npz]

Needs pyscf. From trans (0) to cis (180 degrees) at fixed bonds and angles; the molecule is planar but for its hydrogen atoms, so the other
half of the circle is the mirror image. Kept are the lower triangles of the Kohn-Sham matrix (``h``), of that of superposed minimal-basis
atoms (``h0``), and orbital energies, dipole and total energy by pyscf.
"""

import argparse
from pathlib import Path

import numpy as np

from jaxnmr.electronic.scf.calculation import Settings, solve
from jaxnmr.electronic.scf.molecules import known

CARBON, OXYGEN, HYDROGEN = 1, 2, 3
OUT = Path(__file__).resolve().parents[2] / "notebooks" / "ethanol_torsion.npz"


def turned(xyz: np.ndarray, angle: float) -> np.ndarray:
    """Positions with the hydroxyl hydrogen turned by an angle (radian) about the bond of carbon and oxygen."""
    axis = xyz[OXYGEN] - xyz[CARBON]
    axis /= np.linalg.norm(axis)
    arm = xyz[HYDROGEN] - xyz[OXYGEN]
    along = axis * (axis @ arm)
    out = xyz.copy()
    out[HYDROGEN] = xyz[OXYGEN] + along + np.cos(angle) * (arm - along) + np.sin(angle) * np.cross(axis, arm)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=17)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    numbers, start = known("ethanol")
    angles = np.linspace(0.0, np.pi, args.points)
    xyz = np.array([turned(start, angle) for angle in angles])
    found = []
    for k, positions in enumerate(xyz):
        found.append(solve(numbers, positions, Settings())[0])
        print(f"{np.degrees(angles[k]):6.1f} degrees  {found[-1].e_tot:.6f} Eh", flush=True)
    low = np.tril_indices(len(found[0].h))
    np.savez_compressed(
        args.out,
        numbers=np.array(numbers),
        angles=angles,
        xyz=xyz,
        h=np.array([of.h[low] for of in found], dtype=np.float32),
        h0=np.array([of.h0[low] for of in found], dtype=np.float32),
        eps=np.array([of.eps for of in found]),
        dipole=np.array([of.dipole for of in found]),
        e_tot=np.array([of.e_tot for of in found]),
    )
    print(f"{args.out}: {args.out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
