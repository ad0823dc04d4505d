"""How many starts and candidate structures can be refined per minute, and do they end where they should?

    python benchmarks/bench_screening.py --out out/bench              everything, on one core
    python benchmarks/bench_screening.py --devices 2 --cores 2        starts spread over two devices

The data are the simulated pattern of alpha-quartz in ``examples/quartz``, refined in the stages of that run file. Starts:
atoms displaced by up to 0.05 Å at random, 1 to 64 of them in one call by Levenberg-Marquardt, and 20 by Gauss-Newton.
Candidates: alpha-quartz with atoms and cell distorted at random, and other forms of SiO2, typed in. Compilation is counted
apart: the first candidate of a kind compiles for all others. On one processor core
rates are those of its time, which what else the machine does disturbs little.
Results: ``screening.json`` and ``screening.png`` in the output folder.
"""

import json
import os
import time
from pathlib import Path

from timing import benchmark_parser, machine, one_core, peak_memory_mb, pin, saved

RUN = Path(__file__).resolve().parents[1] / "examples" / "quartz" / "quartz.toml"
STARTS = (1, 4, 16, 64)
# R. T. Downs & D. C. Palmer, Am. Mineral. 79, 9 (1994); N. Ross et al., Am. Mineral. 75, 739 (1990)
OTHER_FORMS = {
    "cristobalite": dict(
        cell=[4.9717, 4.9717, 6.9223, 90, 90, 90], spacegroup="P 41 21 2", species=["Si", "O"],
        xyz=[[0.3003, 0.3003, 0.0], [0.2392, 0.1044, 0.1787]],
    ),
    "stishovite": dict(
        cell=[4.1801, 4.1801, 2.6678, 90, 90, 90], spacegroup="P 42/m n m", species=["Si", "O"],
        xyz=[[0.0, 0.0, 0.0], [0.30608, 0.30608, 0.0]],
    ),
}  # fmt: skip


def main(argv=None) -> int:
    arguments = parse(argv)
    cores = pin(arguments.cores)
    if arguments.devices > 1:
        os.environ["JAX_NUM_CPU_DEVICES"] = str(arguments.devices)
    import jax

    jax.config.update("jax_enable_x64", True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    record = {"machine": machine(cores) | {"devices": jax.local_device_count()}}
    record["starts"] = starts((2,) if arguments.quick else arguments.starts, both=not arguments.quick)
    record["screening"] = screening(
        2 if arguments.quick else arguments.candidates, {} if arguments.quick else OTHER_FORMS
    )
    row = record["screening"]
    print(
        f"{row['candidates']} candidates: {row['per_minute']:.0f} per minute once compiled; best {row['best']}; "
        f"{row['seconds']:.0f} s by the clock, {row['compile_s']:.0f} s of them compiling"
    )
    record["process_peak_mb"] = peak_memory_mb()
    record["machine"]["load_average_at_end"] = list(os.getloadavg()) if hasattr(os, "getloadavg") else None
    path = arguments.out / "screening.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)
    print(draw(record, arguments.out / "screening.png"))
    return 0


def parse(argv):
    parser = benchmark_parser(__doc__, "few starts and candidates")
    parser.add_argument("--devices", type=int, default=1, help="split the processor into so many devices (default: 1)")
    parser.add_argument("--starts", type=int, nargs="+", default=STARTS, help=f"numbers of starts (default: {STARTS})")
    parser.add_argument("--candidates", type=int, default=16, help="distorted structures to screen (default: 16)")
    return parser.parse_args(argv)


def starts(counts, both: bool) -> list[dict]:
    """Refinements from displaced atoms, after one to compile; by Gauss-Newton too, if asked for both solvers."""
    import jax
    import numpy as np

    import jaxnmr as jn
    from jaxnmr.runfile import build, load_run

    setup = build(load_run(RUN))
    rows, best = [], None
    solvers = [(jn.LevenbergMarquardt(), n) for n in (1, *counts)]
    if both:
        solvers += [(jn.GaussNewton(), n) for n in (1, min(counts[-1], 20))]
    for k, (solver, n) in enumerate(solvers):
        moved = jn.displaced(setup.objective, setup.parameters, jax.random.key(k), n=n, distance=0.05)
        began, worked = time.perf_counter(), time.process_time()
        result = jn.refine_starts(setup.objective, moved, stages=setup.stages, solver=solver)
        seconds, cpu = time.perf_counter() - began, time.process_time() - worked
        best = best or result.best
        esd = np.concatenate([np.ravel(e) for e in best.esds.values()])
        away = np.abs(np.asarray(result.best.parameters.flat) - np.asarray(best.parameters.flat))
        row = {
            "solver": solver.name, "starts": n, "found": list(result.found), "message": result.message,
            "seconds": seconds, "cpu_s": cpu, "compile_s": result.compile_seconds, "evaluations": result.evaluations,
            "per_minute": 60.0 * n / (cpu if one_core() else seconds),
            "per_minute_wall": 60.0 * n / seconds,
            "chi2": list(result.levels), "largest_shift_from_first_over_esd": float(np.max(away[esd > 0] / esd[esd > 0])),
        }  # fmt: skip
        rows.append(row)
        print(
            f"{row['solver']}: {n} starts, {row['per_minute']:.0f} per minute ({row['per_minute_wall']:.0f} by the clock), "
            f"{row['compile_s']:.1f} s compiling; {row['message']}",
            flush=True,
        )
    # the first call of each solver compiled
    first = {row["solver"]: k for k, row in reversed(list(enumerate(rows)))}.values()
    return [row for k, row in enumerate(rows) if k not in first]


def distorted(n: int) -> dict:
    """Alpha-quartz with the cell off by 0.2 % and atoms by some hundredths of an Å."""
    import numpy as np

    import jaxnmr as jn

    random, out = np.random.default_rng(0), {}
    for k in range(n):
        a, c = np.array([4.916, 5.4054]) * (1.0 + 0.002 * random.normal(size=2))
        xyz = np.array([[0.4697, 0.0, 2 / 3], [0.4135, 0.2669, 0.7858]])
        xyz += 0.01 * random.normal(size=(2, 3)) * [[1, 0, 0], [1, 1, 1]]
        out[f"quartz {k}"] = jn.Crystal.create(
            cell=[a, a, c, 90, 90, 120], spacegroup="P 32 2 1", species=["Si", "O"], xyz=xyz, name=f"quartz {k}"
        )
    return out


def screening(n: int, others: dict) -> dict:
    """All candidates in one call; the rate is that of the last half of the distorted ones."""

    import jaxnmr as jn
    from jaxnmr.runfile import build, load_run

    run = load_run(RUN)
    candidates = distorted(n) | {name: jn.Crystal.create(**given, name=name) for name, given in others.items()}
    marks = []
    mark = lambda row: marks.append((row.name, time.process_time(), time.perf_counter()))
    result = jn.screen(candidates, lambda crystal: build(run, structures={"quartz": crystal}), callback=mark)
    (_, cpu0, wall0), (_, cpu1, wall1) = marks[n // 2 - 1], marks[n - 1]
    elapsed = cpu1 - cpu0 if one_core() else wall1 - wall0
    return {
        "candidates": len(candidates), "best": result.best.name, "message": result.message,
        "per_minute": 60.0 * (n - n // 2) / elapsed, "per_minute_wall": 60.0 * (n - n // 2) / (wall1 - wall0),
        "seconds": result.seconds, "compile_s": result.compile_seconds,
        "rows": [
            {"name": r.name, "status": r.status, "figure": f, "chi2": r.chi2, "rwp": r.rwp, "moved_A": r.moved, "seconds": r.seconds}
            for r, f in zip(result.rows, result.figures, strict=True)
        ],
    }  # fmt: skip


def draw(record: dict, path: Path) -> Path:
    """Starts per minute against their number, and the candidates by figure of merit."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained", width_ratios=(3, 2))
    for name in dict.fromkeys(row["solver"] for row in record["starts"]):
        rows = [row for row in record["starts"] if row["solver"] == name]
        left.plot([r["starts"] for r in rows], [r["per_minute"] for r in rows], "o-", label=name)
    left.set(xscale="log", xlabel="starts in one call", ylabel="starts per minute", ylim=(0, None))
    left.legend()
    rows = [row for row in record["screening"]["rows"] if row["figure"] is not None]
    right.plot([max(r["figure"], 1e-3) for r in rows], range(len(rows)), "o")
    right.set(xscale="log", xlabel="BIC above the best (0.001 where equal)")
    right.set_yticks(range(len(rows)), [r["name"] for r in rows], fontsize=7)
    right.invert_yaxis()
    return saved(figure, record["machine"], path)


if __name__ == "__main__":
    raise SystemExit(main())
