"""The inversion of cristobalite: a supercell is heated and cooled through it, and NMR tensors are averaged at every temperature.

    python benchmarks/dynamics/cristobalite.py run --energy silica-r2scan --out out/cristobalite
    python benchmarks/dynamics/cristobalite.py table out/cristobalite --write benchmarks/measured/cristobalite.json

Every temperature has a file of its own, from which an interrupted run goes on. The low form is that of D. R. Peacor, Z. Kristallogr.
138, 274 (1973) at room temperature, relaxed at constant pressure by the energy.

The order parameter is that of the motion of oxygen: with d the displacement of an oxygen atom from the middle of its two silicon
neighbours, it is |<d>|, the root mean square over atoms of the mean over time, by the root of <d²>. In the low form atoms stay on one
side, 1 without thermal motion; in the high form they move around the middle, and it falls with the length of the run towards 0.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import jaxnmr as jn
from jaxnmr.dynamics import Schedule, supercell, thermal_average
from jaxnmr.graph import plan_neighbours

HEATING = (300, 400, 500, 600, 700, 800)


def low_cristobalite() -> jn.Crystal:
    """The low form, P41212."""
    return jn.Crystal.create(
        cell=[4.9709, 4.9709, 6.9278, 90, 90, 90], spacegroup="P 41 21 2", species=["Si", "O"], name="cristobalite",
        xyz=[[0.3003, 0.3003, 0.0], [0.2392, 0.1044, 0.1787]],
    )  # fmt: skip


class Order:
    """Gathers displacements of oxygen from the middle between its silicon neighbours."""

    def __init__(self, cell, settling: int):
        crystal, vectors = cell.crystal, cell.vectors
        kinds = np.array(crystal.elements)
        pairs = plan_neighbours(vectors, np.asarray(crystal.xyz) @ vectors, 2.2)
        bonds = (kinds[pairs.receivers] == "O") & (kinds[pairs.senders] == "Si")
        self.oxygen = np.unique(pairs.receivers[bonds])
        if bonds.sum() != 2 * len(self.oxygen):
            raise SystemExit("an oxygen atom has not two silicon neighbours")
        order = np.argsort(pairs.receivers[bonds], kind="stable")
        self.silicon = pairs.senders[bonds][order].reshape(-1, 2)
        self.shifts = pairs.shifts[bonds][order].reshape(-1, 2, 3)
        self.settling, self.count = settling, 0
        self.mean, self.square = np.zeros((len(self.oxygen), 3)), 0.0
        self.angles: list[float] = []

    def __call__(self, frame, number: int, total: int) -> None:
        if number > self.settling:
            positions, vectors = np.asarray(frame.state.positions), np.asarray(frame.state.vectors)
            ends = positions[self.silicon] + self.shifts @ vectors - positions[self.oxygen][:, None]
            away = -ends.mean(axis=1)
            self.count += 1
            self.mean += away
            self.square += float((away**2).sum(axis=1).mean())
            cosine = (ends[:, 0] * ends[:, 1]).sum(-1) / np.linalg.norm(ends, axis=-1).prod(-1)
            self.angles.append(float(np.degrees(np.arccos(cosine)).mean()))
        if number % 20 == 0 or number == total:
            print(f"    {number:4d}/{total} {frame!r}", flush=True)

    def value(self) -> float:
        return float(np.sqrt(((self.mean / self.count) ** 2).sum(axis=1).mean() / (self.square / self.count)))


def run(args: argparse.Namespace) -> None:
    """Heat and cool."""
    jn.enable_x64()
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    energy = jn.EnergyModel.load(args.energy).for_dynamics()
    models = [jn.TensorModel.load(name) for name in ("silica-29si", "silica-efg")]
    if not (folder / "relaxed.cif").exists():
        relaxed = jn.relax(low_cristobalite(), jn.EnergyModel.load(args.energy), cell="free")
        print(relaxed, relaxed.crystal.cell)
        jn.write_crystal(relaxed.crystal, folder / "relaxed.cif")
    cell = supercell(jn.read_crystal(folder / "relaxed.cif"), args.repeats)
    print(cell)
    schedule = Schedule(
        settle_ps=args.settle_ps,
        run_ps=args.run_ps,
        timestep_fs=args.timestep_fs,
        every_fs=args.every_fs,
        seed=args.seed,
    )
    temperatures = [*args.temperatures, *args.temperatures[-2::-1]]
    state = None
    for number, temperature in enumerate(temperatures):
        name = folder / f"{number:02d}-{temperature:g}K"
        done = name.with_suffix(".json")
        order, cpu = Order(cell, schedule.settling), time.process_time()
        file = name.with_suffix(".npz")
        if not done.exists():
            # displacements of oxygen are of this process: a temperature that was interrupted begins again
            file.unlink(missing_ok=True)
        print(f"{temperature} K, {'up' if number < len(args.temperatures) else 'down'}", flush=True)
        average = thermal_average(
            models, energy, cell, temperature=temperature, schedule=schedule, state=state, file=file, callback=order,
            references={"Si": jn.ShiftReference.published("nmrcryspy/29Si", core_ppm=838.0)},
        )  # fmt: skip
        state = average.state
        if done.exists():
            continue
        print(average, flush=True)
        row = {
            "temperature": temperature, "direction": "up" if number < len(args.temperatures) else "down",
            "cell": average.cell.tolist(), "cell_error": average.cell_error.tolist(), "measured_k": average.measured_k,
            "order": order.value(), "angle": float(np.mean(order.angles)), "tau_ps": average.tau_ps,
            "novel_share": average.novel_share, "cpu_s": time.process_time() - cpu, "notes": list(average.notes),
            "readings": [vars(reading) for reading in average.readings], "atoms": cell.crystal.n_sites,
            "schedule": vars(schedule), "energy": args.energy,
        }  # fmt: skip
        done.write_text(json.dumps(row, indent=1))
        print(f"  order {row['order']:.3f}, Si-O-Si {row['angle']:.1f}, cell {np.round(average.cell, 3)}", flush=True)


def table(args: argparse.Namespace) -> None:
    """Print what was found, and write it."""
    rows = [json.loads(path.read_text()) for path in sorted(Path(args.folder).glob("*K.json"))]
    names = [r["quantity"] for r in rows[0]["readings"]]
    print(
        "T/K  way   order  angle    a       b       c      alpha  beta   gamma  " + "  ".join(f"{n:>18}" for n in names)
    )
    for row in rows:
        values = "  ".join(f"{r['mean']:11.3f}({r['error']:.3f})" for r in row["readings"])
        cell = " ".join(f"{x:7.3f}" for x in row["cell"])
        print(f"{row['temperature']:4.0f} {row['direction']:5s} {row['order']:.3f} {row['angle']:6.1f} {cell} {values}")
    if args.write:
        Path(args.write).write_text(json.dumps(rows, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run")
    one.add_argument("--energy", default="silica-r2scan", help="a shipped potential or a file")
    one.add_argument("--out", required=True)
    one.add_argument("--repeats", type=int, nargs=3, default=(2, 2, 2))
    one.add_argument("--temperatures", type=float, nargs="+", default=HEATING)
    one.add_argument("--settle-ps", type=float, default=2.0)
    one.add_argument("--run-ps", type=float, default=8.0)
    one.add_argument("--timestep-fs", type=float, default=2.0)
    one.add_argument("--every-fs", type=float, default=100.0)
    one.add_argument("--seed", type=int, default=0)
    one.set_defaults(call=run)
    two = commands.add_parser("table")
    two.add_argument("folder")
    two.add_argument("--write")
    two.set_defaults(call=table)
    args = parser.parse_args()
    args.call(args)


if __name__ == "__main__":
    main()
