"""How many refinements does a device do at once, and how near do our programs come to what it does at most?

    python benchmarks/bench_device.py --out out/bench                    everything, on one core or on the accelerator
    python benchmarks/bench_device.py --widths 1 8 64 256 --cores 0      these widths, and all cores for the host

The problem is the simulated pattern of alpha-quartz in ``examples/quartz``. A *step* is one turn of the compiled loop:
residuals and derivatives at a trial, the decision about it, and the next one. Starts are refined as many at once as the
width says; widths are 1 on a processor and 1, 8, 64, 256 on an accelerator. Operations and bytes are XLA's count, in which
the body of a loop counts once: on a processor, which takes a pattern in pieces, they are lower bounds. The roof is what a
matrix product and a copy reach on the same device. Results: ``device.json``, ``roofline.png``,
``widths.png`` and ``parts.png``.
"""

import json
import os
import time
from pathlib import Path

from roofline import draw as draw_roofline
from roofline import measured, peaks
from timing import benchmark_parser, device_peak_mb, machine, one_core, peak_memory_mb, pin, saved

RUN = Path(__file__).resolve().parents[1] / "examples" / "quartz" / "quartz.toml"
WIDTHS = {"cpu": (1,), "accelerator": (1, 8, 64, 256)}


def main(argv=None) -> int:
    arguments = parse(argv)
    cores = pin(arguments.cores)
    import jax

    jax.config.update("jax_enable_x64", True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    kind = "cpu" if jax.default_backend() == "cpu" else "accelerator"
    seconds = 0.0 if arguments.quick else 1.5
    record = {"machine": machine(cores) | {"devices": jax.local_device_count()}, "peaks": peaks(arguments.quick)}
    print(", ".join(f"{name} {value:.4g}" for name, value in record["peaks"].items()), flush=True)
    record["programs"], record["widths"] = {}, []
    for row in programs(seconds, arguments.quick):
        tell(record["programs"], row)
    for width in arguments.widths or WIDTHS[kind]:
        record["widths"].append(starts(width, arguments.quick))
        row = record["widths"][-1]
        tell(record["programs"], step(width, seconds))
        print(
            f"width {width}: {row['starts']} starts, {row['per_minute']:.0f} per minute "
            f"({row['per_minute_wall']:.0f} by the clock), {row['compile_s']:.1f} s compiling; {row['message']}",
            flush=True,
        )
    record["process_peak_mb"], record["device_peak_mb"] = peak_memory_mb(), device_peak_mb()
    record["machine"]["load_average_at_end"] = list(os.getloadavg()) if hasattr(os, "getloadavg") else None
    path = arguments.out / "device.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)
    print(draw_roofline(record, arguments.out / "roofline.png"))
    print(draw_widths(record, arguments.out / "widths.png"))
    print(draw_parts(record, arguments.out / "parts.png"))
    return 0


def parse(argv):
    parser = benchmark_parser(__doc__, "few calls and starts, no spectra")
    parser.add_argument("--widths", type=int, nargs="+", help="problems at once (default: by the kind of device)")
    return parser.parse_args(argv)


def tell(rows: dict, named) -> None:
    name, row = named
    rows[name] = row
    count = ", ".join(f"{key} {row[key]:.4g}" for key in ("operations", "bytes", "gflops", "gb_s") if row[key])
    print(f"{name}: {row['best_ms']:.3g} ms, {count}", flush=True)


def problem():
    """The run, and its first start ready for the loop."""
    from jaxnmr.refinement.descent import Descent
    from jaxnmr.runfile import build, load_run

    setup = build(load_run(RUN))
    descent = Descent(setup.objective, setup.parameters, setup.solver, setup.stages)
    descent.begin()
    return setup, descent


def programs(seconds: float, quick: bool):
    """Parts: a pattern, its derivatives, and a spectrum with its derivatives."""
    import jax

    from jaxnmr._struct import bare
    from jaxnmr.objective.objective import residuals, residuals_and_jacobian

    _, descent = problem()
    spec = descent.params.spec
    at = jax.device_put(bare((descent.objective, descent.course.offset, spec.transform, descent.params.theta)))
    if not quick:
        yield "pattern", measured(residuals, *at, seconds=seconds, static=(spec.layout,))
        yield "pattern and derivatives", measured(residuals_and_jacobian, *at, seconds=seconds, static=(spec.layout,))
        yield "MAS spectrum", spectrum(seconds)


def spectrum(seconds: float) -> dict:
    """16 quadrupolar sites at moderate spinning speed, with their gradient."""
    import jax
    import jax.numpy as jnp

    import jaxnmr as jn
    from jaxnmr.nmr.sites import Sites

    sites = Sites.of(
        [
            jn.Site(isotope="27Al", shift_ppm=2.0 * k, cq_hz=2e6 + 1e5 * k, eta_q=0.3, gaussian_hz=200.0)
            for k in range(16)
        ]
    )
    plan = jn.SpectrumMAS("27Al", b0_tesla=9.4, mas_hz=10e3).plan(sites, points=2048, width_hz=200e3, centre_ppm=0.0)
    program = jax.jit(lambda plan, sites: jax.jvp(plan.spectrum, (sites,), (jax.tree.map(jnp.ones_like, sites),)))
    return measured(program, *jax.device_put((plan, jax.tree.map(jnp.asarray, sites))), seconds=seconds)


def step(width: int, seconds: float) -> tuple[str, dict]:
    """One turn of the loop for so many problems at once."""
    import jax
    import numpy as np

    from jaxnmr._struct import bare
    from jaxnmr.refinement.loop import again, descend

    _, descent = problem()
    layout, rule = descent.params.spec.layout, descent.solver.rule
    at = bare((descent.objective, descent.course, again(descent.point), np.int32(0)))
    if width == 1:
        return name_of(1), measured(descend, *jax.device_put(at), seconds=seconds, static=(layout, rule))
    stacked = jax.device_put(jax.tree.map(lambda a: np.stack([np.asarray(a)] * width), at))
    program = jax.jit(jax.vmap(lambda *at: descend(layout, rule, *at)))
    return name_of(width), measured(program, *stacked, seconds=seconds)


def starts(width: int, quick: bool) -> dict:
    """Refinements from displaced atoms per minute, after a call to compile."""
    import jax

    import jaxnmr as jn

    setup, _ = problem()
    count = 2 * width if quick or width > 1 else 16
    for key, n in ((0, min(count, width)), (1, count)):
        moved = jn.displaced(setup.objective, setup.parameters, jax.random.key(key), n=n, distance=0.05)
        began, worked = time.perf_counter(), time.process_time()
        result = jn.refine_starts(setup.objective, moved, stages=setup.stages, width=width)
        wall, cpu = time.perf_counter() - began, time.process_time() - worked
    return {
        "width": width, "starts": count, "found": list(result.found), "message": result.message, "wall_s": wall, "cpu_s": cpu,
        "per_minute": 60.0 * count / (cpu if one_core() else wall), "per_minute_wall": 60.0 * count / wall,
        "compile_s": result.compile_seconds, "evaluations": result.evaluations, "chi2": list(result.levels),
        "device_peak_mb": device_peak_mb(),
    }  # fmt: skip


def parts(record: dict) -> list[dict]:
    """Where the time of a start goes, in ms: turns of the loop on the device, and the rest, which is the host's."""
    out = []
    for row in record["widths"]:
        turn = record["programs"][name_of(row["width"])]["best_ms"] / row["width"]
        whole = 6e4 / row["per_minute"]
        turns = row["evaluations"] / row["starts"]
        out.append(
            {"width": row["width"], "turns": turns, "turn_ms": turn, "start_ms": whole, "host_ms": whole - turns * turn}
        )
    return out


def draw_parts(record: dict, path: Path) -> Path:
    """These parts as bars."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = parts(record)
    names = [f"width {row['width']}" for row in rows]
    device = [row["turns"] * row["turn_ms"] for row in rows]
    figure, axis = plt.subplots(figsize=(6.4, 1.6 + 0.5 * len(rows)), layout="constrained")
    axis.barh(names, device, color="#0072B2", label="turns of the loop")
    axis.barh(names, [row["host_ms"] for row in rows], left=device, color="#E69F00", label="host")
    axis.set(xlabel="of a start / ms")
    axis.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return saved(figure, record["machine"], path)


def name_of(width: int) -> str:
    """Of the step for so many problems at once."""
    return "step" if width == 1 else f"step, width {width}"


def draw_widths(record: dict, path: Path) -> Path:
    """Starts per minute, and the time of a step per problem, against the width."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = record["widths"]
    widths = [row["width"] for row in rows]
    steps = [record["programs"][name_of(w)]["best_ms"] / w for w in widths]
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
    left.loglog(widths, [row["per_minute"] for row in rows], "o-", color="#0072B2")
    left.set(xlabel="refinements at once", ylabel="starts per minute")
    right.loglog(widths, steps, "s-", color="#D55E00")
    right.set(xlabel="refinements at once", ylabel="step per refinement / ms")
    return saved(figure, record["machine"], path)


if __name__ == "__main__":
    raise SystemExit(main())
