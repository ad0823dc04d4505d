"""Heat and cool cristobalite through its inversion, and average NMR tensors at every temperature.

    python benchmarks/dynamics/cristobalite.py --energy silica-r2scan --out out/cristobalite [--write benchmarks/measured/cristobalite.json]

Every temperature has a file of its own, from which an interrupted run goes on. The low form is that of D. R. Peacor, Z. Kristallogr.
138, 274 (1973) at room temperature, relaxed at constant pressure by the energy. Measured: the inversion near 540 K; eta of 17O is 0.125 at
room temperature and below 0.040 at the inversion, while the field gradient stays the same (D. R. Spearing, I. Farnan, J. F. Stebbins,
Phys. Chem. Minerals 19, 307, 1992).
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

import jaxnmr as jn
from jaxnmr.dynamics import Bridges, Schedule, supercell, thermal_series

HEATING = (300, 400, 500, 600, 700, 800)


def low_cristobalite() -> jn.Crystal:
    """Return the low form, P41212."""
    return jn.Crystal.create(
        cell=[4.9709, 4.9709, 6.9278, 90, 90, 90], spacegroup="P 41 21 2", species=["Si", "O"], name="cristobalite",
        xyz=[[0.3003, 0.3003, 0.0], [0.2392, 0.1044, 0.1787]],
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--energy", default="silica-r2scan", help="a shipped potential or a file")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, nargs=3, default=(2, 2, 2))
    parser.add_argument("--temperatures", type=float, nargs="+", default=HEATING)
    parser.add_argument("--settle-ps", type=float, default=2.0)
    parser.add_argument("--run-ps", type=float, default=8.0)
    parser.add_argument("--timestep-fs", type=float, default=2.0)
    parser.add_argument("--every-fs", type=float, default=100.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    jn.enable_x64()
    args.out.mkdir(parents=True, exist_ok=True)
    energy = jn.EnergyModel.load(args.energy)
    models = [jn.TensorModel.load(name) for name in ("silica-29si", "silica-efg")]
    if not (args.out / "relaxed.cif").exists():
        relaxed = jn.relax(low_cristobalite(), energy, cell="free")
        print(relaxed, np.round(np.asarray(relaxed.crystal.cell), 4))
        jn.write_crystal(relaxed.crystal, args.out / "relaxed.cif")
    cell = supercell(jn.read_crystal(args.out / "relaxed.cif"), args.repeats)
    schedule = Schedule(
        settle_ps=args.settle_ps,
        run_ps=args.run_ps,
        timestep_fs=args.timestep_fs,
        every_fs=args.every_fs,
        seed=args.seed,
    )

    def told(stop: int, frame, number: int, total: int) -> None:
        if number % 20 == 0 or number == total:
            print(f"{stop:3d} {number:4d}/{total} {frame!r}  {time.process_time():.0f} CPU s", flush=True)

    series = thermal_series(
        models, energy.for_dynamics(), cell, temperatures=args.temperatures, back=True, schedule=schedule, folder=args.out,
        observe=Bridges(cell), callback=told, references={"Si": jn.ShiftReference.published("nmrcryspy/29Si", core_ppm=838.0)},
    )  # fmt: skip
    rows = []
    print(f"{cell!r}, {energy.name}, {schedule.run_ps:g} ps at every temperature, on {os.cpu_count()} cores")
    for average, direction in zip(series.averages, series.directions, strict=True):
        rows.append(
            {
                "temperature": average.temperature_k, "direction": direction, "cell": average.cell.tolist(),
                "cell_error": average.cell_error.tolist(), "volume": float(average.crystal.volume()),
                "observed": {o.name: [o.mean, o.error] for o in average.observed}, "tau_ps": average.tau_ps,
                "novel_share": average.novel_share, "strange_share": average.strange_share, "notes": list(average.notes),
                "readings": [vars(reading) for reading in average.readings],
            }
        )  # fmt: skip
        print(f"\n{average.temperature_k:g} K, {direction}: cell {np.round(average.cell, 3)}\n{average}")
        print(f"unlike the training: {average.novel_share:.1%} (tensors), {average.strange_share:.1%} (energy)")
    jn.plot.dynamics.against_temperature(series).savefig(args.out / "temperature.png", dpi=110)
    if args.write:
        note = {"energy": args.energy, "atoms": cell.crystal.n_sites, "schedule": vars(schedule), "rows": rows}
        args.write.write_text(json.dumps(note, indent=1) + "\n")


if __name__ == "__main__":
    main()
