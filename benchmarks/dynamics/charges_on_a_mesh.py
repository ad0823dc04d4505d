"""What charges on a mesh cost, how exact their forces are, and whether dynamics with them conserves energy.

    python benchmarks/dynamics/charges_on_a_mesh.py OUT.json

One thread, double precision, processor time. Structures are ideal cristobalite with every atom moved at random.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import jax
import numpy as np

import jaxnmr as jn
from jaxnmr._struct import compiled
from jaxnmr.dynamics.ensemble import Ensemble
from jaxnmr.dynamics.simulation import simulate, start
from jaxnmr.dynamics.state import forces_at
from jaxnmr.dynamics.supercells import supercell
from jaxnmr.energy.pair import PairPotential

acting = compiled(
    lambda potential, plan, crystal, points, vectors: forces_at(potential, plan, crystal, points, vectors)
)


def shaken(repeats: int, displacement: float) -> jn.Crystal:
    """Cristobalite whose atoms are displaced by so many Å, normal, along every axis."""
    ideal = jn.Crystal.create(
        cell=[7.16, 7.16, 7.16, 90, 90, 90], spacegroup="F d -3 m:2", species=["Si", "O"], xyz=[[1 / 8] * 3, [0, 0, 0]],
    )  # fmt: skip
    large = supercell(ideal, (repeats,) * 3).crystal
    moves = np.random.default_rng(0).normal(scale=displacement, size=(large.n_sites, 3))
    return large.replace(xyz=large.xyz + moves @ np.linalg.inv(np.asarray(large.lattice())))


def timed(potential, plan, crystal: jn.Crystal, repeats: int = 5):
    """Energy and forces, and milliseconds for them."""
    vectors = np.asarray(crystal.lattice())
    run = lambda: jax.block_until_ready(acting(potential, plan, crystal, crystal.xyz @ vectors, vectors))
    found, begun = run(), time.process_time()
    for _ in range(repeats):
        run()
    return found, (time.process_time() - begun) / repeats * 1e3


def main(out: Path) -> None:
    """Measure and write."""
    jn.enable_x64()
    exact, numbers = PairPotential.load("chik"), {}
    fast = exact.for_dynamics()
    for repeats, accuracy in ((2, 1e-10), (4, 1e-6)):
        crystal = shaken(repeats, 0.15)
        begun = time.process_time()
        plan = fast.plan(crystal, skin=0.8)
        planned = time.process_time() - begun
        begun = time.process_time()
        plan = plan.renewed(crystal)
        renewed = time.process_time() - begun
        mine, cost = timed(fast, plan, crystal)
        whole, dear = timed(exact, exact.plan(crystal, skin=0.8, accuracy=accuracy), crystal, 1)
        rms = lambda forces: float(np.sqrt(np.mean(np.sum(np.asarray(forces) ** 2, axis=1))))
        numbers[f"{crystal.n_sites} atoms"] = {
            "mesh": list(plan.reciprocal.sizes), "pairs": len(plan.senders), "ms": cost, "ms, exact": dear,
            "accuracy of exact / eV per atom": accuracy, "s to plan": planned, "s to list neighbours again": renewed,
            "rms force / eV/Å": rms(whole.forces), "rms error of forces / eV/Å": rms(mine.forces - whole.forces),
            "error of energy / eV per atom": float(mine.energy - whole.energy) / crystal.n_sites,
        }  # fmt: skip
    crystal = shaken(2, 0.0)
    state, drift = start(crystal, crystal.full_masses(), 600.0, seed=1), []
    for frame in simulate(fast, crystal, crystal.full_masses(), state, Ensemble.nve(1.0), steps=4000, every=500):
        drift.append(frame.total_ev / crystal.n_sites * 1e3)
    numbers["nve"] = {
        "atoms": crystal.n_sites, "ps": frame.time_fs / 1e3, "K": frame.temperature_k,
        "meV per atom, last against first half ps": drift[-1] - drift[0], "largest": float(np.ptp(drift)),
    }  # fmt: skip
    text = json.dumps(numbers, indent=1, ensure_ascii=False)
    out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
