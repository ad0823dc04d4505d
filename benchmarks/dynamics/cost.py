"""What a step of dynamics costs: processor time per atom and step, and memory after few and many steps.

Cristobalite is repeated and moves at 300 K in a fixed cell. The first frame, which compiles, is not counted; the time of
the others is divided by their steps. Memory is the resident set of a process of its own. ::

    python benchmarks/dynamics/cost.py chik:96 chik:216 chgnet-r2scan:96 --out out/cost.json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

REPEATS = {24: (2, 1, 1), 48: (2, 2, 1), 96: (2, 2, 2), 144: (2, 2, 3), 216: (3, 3, 2), 324: (3, 3, 3)}
EVERY = 20


def resident_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(name: str, atoms: int, steps: int, first: int) -> dict:
    """One row."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
    from silica_forms import silica

    import jaxnmr as jn

    jn.enable_x64()
    from jaxnmr.dynamics.ensemble import Ensemble
    from jaxnmr.dynamics.simulation import simulate, start
    from jaxnmr.dynamics.supercells import supercell

    model = jn.EnergyModel.load(name)
    crystal = jn.relax(silica("cristobalite"), model).crystal
    cell = supercell(crystal, REPEATS[atoms])
    begin = start(cell.crystal, cell.masses, 300.0)
    ensemble = Ensemble.langevin(300.0)
    begun, at, early, renewals = 0.0, 0, 0.0, 0
    moving = model.for_dynamics()
    for frame in simulate(moving, cell.crystal, cell.masses, begin, ensemble, steps=steps + EVERY, every=EVERY):
        at += EVERY
        renewals = frame.renewals
        if at == EVERY:
            begun = time.process_time()
        if at == first + EVERY:
            early = resident_mb()
    used = time.process_time() - begun
    return {
        "potential": name, "atoms": cell.crystal.n_sites, "steps": steps, "ms_per_step": 1e3 * used / steps,
        "us_per_atom_and_step": 1e6 * used / steps / cell.crystal.n_sites, "renewals": renewals,
        "resident_mb": {str(first): early, str(steps): resident_mb()}, "mean_k": frame.temperature_k,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("cases", nargs="+", help=f"potential:atoms, with atoms of {', '.join(map(str, REPEATS))}")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--first", type=int, default=100, help="steps after which memory is read for the first time")
    parser.add_argument("--out", type=Path, default=Path("out/cost.json"))
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        name, atoms = chosen.cases[0].rsplit(":", 1)
        print(json.dumps(measure(name, int(atoms), chosen.steps, chosen.first)))
        return
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    record = json.loads(chosen.out.read_text()) if chosen.out.exists() else {}
    for case in chosen.cases:
        command = [sys.executable, __file__, case, "--one", "--steps", str(chosen.steps), "--first", str(chosen.first)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        record[case] = json.loads(done.stdout.strip().splitlines()[-1])
        chosen.out.write_text(json.dumps(record, indent=1))
        row = record[case]
        memory = " -> ".join(f"{mb:.0f} MB after {at}" for at, mb in row["resident_mb"].items())
        print(
            f"{row['potential']:<14} {row['atoms']:>4} atoms: {row['ms_per_step']:8.2f} ms per step, "
            f"{row['us_per_atom_and_step']:7.1f} µs per atom and step; {memory} steps; {row['renewals']} lists of neighbours",
            flush=True,
        )


if __name__ == "__main__":
    main()
