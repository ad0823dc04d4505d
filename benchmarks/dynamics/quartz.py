"""What thermal motion does to the 17O coupling and the 29Si shift of alpha-quartz at 300 K.

    python benchmarks/dynamics/quartz.py [--energy silica-r2scan] [--run-ps 10] [--write benchmarks/measured/quartz_motion.json]

Against the measured structure (G. A. Lager et al., J. Appl. Phys. 53, 6751, 1982, at 296 K), whose positions are averages over the motion
already, and against the structure at rest of the energy: molecular dynamics at constant pressure, and independent configurations of the
harmonic solid with classical and with quantum amplitudes.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import jaxnmr as jn
from jaxnmr.dynamics import Schedule, supercell, thermal_average
from jaxnmr.dynamics.harmonic_averages import harmonic_average
from jaxnmr.dynamics.harmonic_solid import harmonic

MEASURED = {"17O CQ": 5.19, "17O eta": 0.19, "29Si shift": -107.4}


def quartz() -> jn.Crystal:
    """The measured structure at 296 K."""
    return jn.Crystal.create(
        cell=[4.9134, 4.9134, 5.4052, 90, 90, 120], spacegroup="P 32 2 1", species=["Si", "O"], name="quartz",
        xyz=[[0.4697, 0.0, 2 / 3], [0.4133, 0.2672, 0.7855]],
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--energy", default="silica-r2scan")
    parser.add_argument("--repeats", type=int, nargs=3, default=(2, 2, 2))
    parser.add_argument("--temperature", type=float, default=300.0)
    parser.add_argument("--run-ps", type=float, default=10.0)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--step", type=float, help="Å, of differences of forces for force constants")
    parser.add_argument("--file", help="where the course of the dynamics is kept")
    parser.add_argument("--write")
    args = parser.parse_args()
    jn.enable_x64()
    energy = jn.EnergyModel.load(args.energy)
    models = [jn.TensorModel.load(name) for name in ("silica-29si", "silica-efg")]
    references = {"Si": jn.ShiftReference.published("nmrcryspy/29Si", core_ppm=838.0)}
    relaxed = jn.relax(quartz(), energy, cell="free", force=1e-4)
    print(relaxed, np.round(np.asarray(relaxed.crystal.cell), 4), np.round(np.asarray(relaxed.crystal.xyz), 4))
    cell = supercell(relaxed.crystal, args.repeats)
    found, cpu = {}, time.process_time()
    solid = harmonic(energy, cell, step=args.step, slow="leave out")
    print(solid, f"{time.process_time() - cpu:.0f} CPU s")
    for name, quantum in (("harmonic, classical", False), ("harmonic, quantum", True)):
        found[name] = harmonic_average(
            models, solid, temperature=args.temperature, frames=args.frames, quantum=quantum, references=references
        )
        print(f"U at {args.temperature:g} K, {name}:", np.round(np.asarray(found[name].crystal.u_iso), 5), "Å²")
    schedule = Schedule(settle_ps=2.0, run_ps=args.run_ps, timestep_fs=2.0, every_fs=50.0)
    found["dynamics"] = thermal_average(
        models, energy.for_dynamics(), cell, temperature=args.temperature, schedule=schedule, file=args.file,
        references=references,
    )  # fmt: skip
    print("cell", found["dynamics"].cell, "±", found["dynamics"].cell_error)
    print(
        "mean positions", np.round(np.asarray(found["dynamics"].crystal.xyz), 4), "U", found["dynamics"].crystal.u_iso
    )
    # the measured structure, and the mean structure of the motion, without motion
    rows = []
    for name, average in found.items():
        print(f"\n{name}\n{average}")
        rows.append({"what": name, "readings": [vars(r) for r in average.readings], "cell": average.cell.tolist()})
    for name, crystal in (
        ("measured structure", quartz()),
        ("mean structure of the dynamics", found["dynamics"].crystal),
    ):
        of_o = jn.TensorModel.load("silica-efg").predict(crystal).quadrupolar("17O")
        of_si = jn.TensorModel.load("silica-29si").predict(crystal).shift("29Si", references["Si"])
        row = {
            "what": name,
            "17O CQ": float(of_o.cq_hz[0]) / 1e6,
            "17O eta": float(of_o.eta[0]),
            "29Si shift": float(of_si[0]),
        }
        rows.append(row)
        print(row)
    print("measured:", MEASURED)
    if args.write:
        note = {"energy": args.energy, "temperature": args.temperature, "measured": MEASURED, "rows": rows}
        Path(args.write).write_text(json.dumps(note, indent=1) + "\n")


if __name__ == "__main__":
    main()
