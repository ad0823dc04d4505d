"""Averages of argon at constant temperature and pressure, by this package and by the integrators of ASE.

Thirty-two atoms of a Lennard-Jones crystal at 40 K and 0.1 GPa: Langevin dynamics against `ase.md.langevin`, fluctuating
cells against the Martyna-Tobias-Klein dynamics of `ase.md.nose_hoover_chain`, with the same energies and forces. Every mean
has a standard error from its autocorrelation time; z is the difference over both errors. ::

    python benchmarks/dynamics/against_ase.py --out out/against_ase.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

TEMPERATURE, PRESSURE, TIMESTEP = 40.0, 0.1, 10.0
RELAXATION, CELL_RELAXATION = 300.0, 600.0
EVERY, SETTLING = 10, 0.3


def readings(potential: float, vectors: np.ndarray) -> list[float]:
    """Potential energy, volume, a length and an angle's cosine."""
    a, b = vectors[0], vectors[1]
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    return [potential, float(np.linalg.det(vectors)), float(lengths[0]), float(a @ b / np.prod(lengths))]


def of_jaxnmr(kind: str, steps: int) -> np.ndarray:
    from analytic_potentials import LennardJones, argon

    from jaxnmr.dynamics.ensemble import Ensemble
    from jaxnmr.dynamics.simulation import simulate, start

    crystal = argon(2)
    masses = np.full(crystal.n_sites, 39.948)
    settings = {"timestep_fs": TIMESTEP, "relaxation_fs": RELAXATION}
    if kind == "fixed":
        ensemble = Ensemble.langevin(TEMPERATURE, **settings)
    else:
        ensemble = Ensemble.npt(
            TEMPERATURE,
            pressure_gpa=PRESSURE,
            cell=kind,
            cell_relaxation_fs=CELL_RELAXATION,
            compressibility=0.4,
            **settings,
        )
    begin = start(crystal, masses, 2 * TEMPERATURE)
    frames = simulate(LennardJones(), crystal, masses, begin, ensemble, steps=steps, every=EVERY, skin=1.0)
    return np.array([readings(float(f.state.acting.energy), np.asarray(f.state.vectors)) for f in frames])


def of_ase(kind: str, steps: int) -> np.ndarray:
    from analytic_potentials import LennardJones, argon, ase_atoms
    from ase import units
    from ase.md.langevin import Langevin
    from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT

    from jaxnmr.dynamics.simulation import start

    crystal = argon(2)
    masses = np.full(crystal.n_sites, 39.948)
    atoms = ase_atoms(LennardJones(), crystal, masses, skin=1.0)
    rng = np.random.default_rng(1)
    atoms.set_velocities(np.asarray(start(crystal, masses, 2 * TEMPERATURE, seed=1).velocities) / units.fs)
    step = TIMESTEP * units.fs
    if kind == "fixed":
        way = Langevin(
            atoms, step, temperature_K=TEMPERATURE, friction=1.0 / (RELAXATION * units.fs), fixcm=False, rng=rng
        )
    else:
        dynamics = IsotropicMTKNPT if kind == "isotropic" else MTKNPT
        way = dynamics(
            atoms, step, temperature_K=TEMPERATURE, pressure_au=PRESSURE * units.GPa, tdamp=50 * step, pdamp=150 * step
        )
    found: list[list[float]] = []
    way.attach(lambda: found.append(readings(atoms.get_potential_energy(), np.asarray(atoms.cell))), interval=EVERY)
    way.run(steps)
    return np.array(found)


def compare(kind: str, steps: int) -> dict:
    from jaxnmr.dynamics.statistics import mean_error

    rows, seconds = {}, {}
    for name, run in (("jaxnmr", of_jaxnmr), ("ase", of_ase)):
        begun = time.process_time()
        series = run(kind, steps)
        seconds[name] = time.process_time() - begun
        kept = series[int(SETTLING * len(series)) :]
        spread = (kept[:, 1:] - kept[:, 1:].mean(axis=0)) ** 2
        rows[name] = mean_error(np.concatenate([kept, spread], axis=1))
    names = [
        "potential / eV",
        "volume / Å³",
        "a / Å",
        "cos gamma",
        "variance of volume",
        "variance of a",
        "variance of cos gamma",
    ]
    table = {}
    for k, name in enumerate(names):
        ours, theirs = rows["jaxnmr"], rows["ase"]
        error = float(np.hypot(ours.error[k], theirs.error[k]))
        # what is held fixed only rounds
        if error < 1e-9 * abs(ours.mean[k]) or error < 1e-15:
            continue
        table[name] = {
            "jaxnmr": float(ours.mean[k]), "error": float(ours.error[k]), "ase": float(theirs.mean[k]),
            "error_ase": float(theirs.error[k]), "z": float(ours.mean[k] - theirs.mean[k]) / error,
            "tau_frames": [float(ours.tau[k]), float(theirs.tau[k])],
        }  # fmt: skip
    return {"steps": steps, "cpu_s": seconds, "table": table}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, default=Path("out/against_ase.json"))
    parser.add_argument("--steps", type=int, default=30_000, help="of 10 fs (default: 30000)")
    parser.add_argument("--cells", nargs="*", default=["fixed", "isotropic", "full"])
    chosen = parser.parse_args()

    import jaxnmr as jn

    jn.enable_x64()
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    record = json.loads(chosen.out.read_text()) if chosen.out.exists() else {}
    for kind in chosen.cells:
        if record.get(kind, {}).get("steps") != chosen.steps:
            record[kind] = compare(kind, chosen.steps)
            chosen.out.write_text(json.dumps(record, indent=1))
        print(f"{kind} cell, {chosen.steps} steps; processor time {record[kind]['cpu_s']}")
        for name, row in record[kind]["table"].items():
            print(
                f"  {name:<22} {row['jaxnmr']:>12.5g} ± {row['error']:<9.2g} ASE {row['ase']:>12.5g} ± {row['error_ase']:<9.2g} "
                f"z = {row['z']:+.1f}"
            )


if __name__ == "__main__":
    main()
