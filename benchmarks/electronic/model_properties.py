"""What a trained model's matrices are worth: dipoles, charges and gaps of its densities against those of the labels.

    python benchmarks/electronic/model_properties.py model.safetensors ethanol.npz --rows 0 50

Also: how far the matrix of a molecule is from turning with it, in single and double precision, and the CPU time of one prediction in
double precision.
"""

import argparse
import json
import time

import jax
import numpy as np

from jaxnmr.electronic import (
    HamiltonianData,
    HamiltonianModel,
    block_irreps,
    block_layout,
    electronic_structure,
    evaluate,
)
from jaxnmr.models.networks.equivariant import rotations

HARTREE = 27211.386245988  # meV


def turned(orbitals, matrix: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """A matrix of orbitals of the rotated molecule, by the irreps of its blocks."""
    layout, ranks = block_layout(orbitals), [np.asarray(r)[0] for r in rotations(turn[None], 4)]
    out = {}
    for name, found in layout.coefficients(matrix).items():
        one, _, other = name.partition("-")
        start, parts = 0, []
        for ir in block_irreps(orbitals.basis, one, other or one).irreps.each:
            parts.append(found[:, start : start + ir.dim] @ ranks[ir.l].T)
            start += ir.dim
        out[name] = np.concatenate(parts, axis=1)
    return np.asarray(layout.matrices(out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("labels")
    parser.add_argument("--rows", type=int, nargs=2, default=(0, 50), help="geometries, from and to")
    args = parser.parse_args()

    jax.config.update("jax_enable_x64", True)
    model = HamiltonianModel.load(args.model)
    data = HamiltonianData.read(args.labels).subset(slice(*args.rows))
    orbitals = data.orbitals
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    q *= np.linalg.det(q)
    apart = {}
    change = jax.jit(lambda xyz: model.correction(xyz, orbitals.elements))
    for name, kind in (("single", np.float32), ("double", np.float64)):
        plain, rotated = np.asarray(change(np.stack([data.xyz[0], data.xyz[0] @ q.T]).astype(kind)), dtype=float)
        apart[name] = float(np.abs(rotated - turned(orbitals, plain, q)).max())
    one = (data.numbers, data.xyz[0], data.h0[0])
    model.hamiltonian(*one)
    began = time.process_time()
    for _ in range(20):
        model.hamiltonian(*one)
    cpu = (time.process_time() - began) / 20
    predicted = model.hamiltonian(data.numbers, data.xyz, data.h0)
    errors = evaluate(model, data)
    structure = jax.jit(jax.vmap(lambda h, x: electronic_structure(orbitals, h, x)))
    found, labels, start = (structure(np.asarray(h, dtype=float), data.xyz) for h in (predicted, data.h, data.h0))
    mean = lambda of, name: float(np.abs(np.asarray(getattr(of, name)) - np.asarray(getattr(labels, name))).mean())
    content = {
        "geometries": len(data),
        "h_mae_mev": errors.h_mae,
        "largest_deviation_from_turning_eh": apart,
        "cpu_seconds_of_a_prediction": cpu,
        "novelty_below_1": float(np.mean(model.novelty(data.numbers, data.xyz) < 1.0)) if model.environments else None,
        "mean_absolute_errors": {
            name: {
                "dipole_e_bohr": mean(of, "dipole"),
                "mulliken_e": mean(of, "mulliken"),
                "lowdin_e": mean(of, "lowdin"),
                "gap_mev": HARTREE * mean(of, "gap"),
                "band_energy_mev": HARTREE * mean(of, "band_energy"),
            }
            for name, of in (("model", found), ("start", start))
        },
    }
    print(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
