"""What data folders of ``jaxnmr hamiltonian data`` hold and what they cost, one row of a table for each.

    python benchmarks/electronic/data_table.py out/water out/formaldehyde out/methanol out/ethanol out/1-propanol out/benzene

Of every geometry: CPU seconds, drawings that were refused before it, whether its solution was tested for stability (a solution that is not stable is
refused), the largest element of the commutator of Fock and density matrix, and that its occupied orbitals are the lowest of its matrix. The minimum
with its Hessian is not in the seconds.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from jaxnmr._tables import markdown
from jaxnmr.electronic import HamiltonianData

HEADER = (
    "molecule", "functions", "geometries", "K", "CPU s", "drawn again", "tested for stability", "least gap / eV", "largest [H, D]",
    "orbital order", "H − H0 / meV",
)  # fmt: skip
EV = 27.211386245988


def orders(data: HamiltonianData) -> int:
    """Geometries whose stored energies are those of their matrix, in ascending order, with a gap above the occupied ones."""
    values, vectors = np.linalg.eigh(data.s)
    root = np.einsum("gik,gk,gjk->gij", vectors, values**-0.5, vectors)
    apart = np.abs(np.linalg.eigvalsh(root @ data.h @ root) - data.eps).max(axis=1)
    gap = data.eps[:, data.pairs] - data.eps[:, data.pairs - 1]
    return int(np.sum((apart < 1e-5) & (np.diff(data.eps, axis=1).min(axis=1) >= -1e-12) & (gap > 0.01)))


def row(folder: Path) -> tuple[str, ...]:
    """One folder."""
    files = sorted((folder / "geometries").glob("*.npz"))
    kept = []
    for file in files:
        with np.load(file) as of:
            kept.append((float(of["cpu"]), int(of["attempt"]), "stable" in of.files, float(of["commutator"])))
    cpu, again, tested, commutator = map(np.array, zip(*kept, strict=True))
    data = HamiltonianData.read(folder.with_suffix(".npz"))
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    gap = EV * (data.eps[:, data.pairs] - data.eps[:, data.pairs - 1])
    low, high = plan["temperatures"]
    return (
        plan["name"], str(data.orbitals.size), str(len(data)), f"{low:.0f}–{high:.0f}", f"{np.median(cpu):.2f}", str(int(again.sum())),
        str(int(tested.sum())), f"{gap.min():.2f}", f"{commutator.max():.0e}", f"{orders(data)}/{len(data)}",
        f"{1e3 * EV * np.abs(data.h - data.h0).mean():.0f}",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    args = parser.parse_args()
    print(markdown(HEADER, [row(folder) for folder in args.folders]))


if __name__ == "__main__":
    main()
