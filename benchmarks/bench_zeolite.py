"""How fast is a refinement step of a zeolite against learned tensors, and what would it cost without our structure?

    export JAXNMR_DATA=/path/to/data
    python benchmarks/bench_zeolite.py --out out/bench            everything, on one core
    python benchmarks/bench_zeolite.py --cores 2                  on two
    python benchmarks/bench_zeolite.py --quick                    one call of a small network; to see that it runs

A step is residuals, Jacobian and solution for 63 coordinates of ZSM-12 (168 atoms, 21 sites) from principal values of seven
29Si shift tensors and 84 restraints on distances. Networks: a small one, untrained (its numbers mean nothing, but they cost what
those of a trained one cost), and one member of ``silica-29si``. The same step is done in two other ways: as nmrcryspy does
it, in OUR re-enactment (everything made anew for every evaluation from a graph of all atoms, one backward pass per
output, differences for the distances), and by ``jax.jacfwd`` over every coordinate of every atom. Then the cost against the number
of refined coordinates, and of atoms without symmetry (quartz in supercells, 63 coordinates and seven tensors everywhere).
Without JAXNMR_DATA only the supercells are measured. Results: ``zeolite.json`` and ``zeolite.png``.
"""

import json
import os
import sys
import time
from pathlib import Path

from timing import benchmark_parser, best, device_peak_mb, machine, peak_memory_mb, pin, time_calls

SMALL = ("16x0e+16x1o+8x1e+8x2e", 2, 4.0)
QUICK = ("8x0e+4x1o+4x1e+4x2e", 2, 3.0)
COORDINATES, SITES = (9, 21, 63), 7
REPEATS = (2, 3, 4, 5)


def main(argv=None) -> int:
    parser = benchmark_parser(__doc__, "few calls of a small network")
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("JAXNMR_DATA") or None, help="folder of measured data"
    )
    parser.add_argument("--float32", action="store_true", help="single precision, for accelerators")
    parser.add_argument("--no-other-ways", dest="other_ways", action="store_false", help="only the steps of jaxnmr")
    parser.add_argument("--no-atoms", dest="atoms", action="store_false", help="leave out the supercells")
    arguments = parser.parse_args(argv)
    cores = pin(arguments.cores)
    import jax

    jax.config.update("jax_enable_x64", not arguments.float32)
    arguments.out.mkdir(parents=True, exist_ok=True)
    seconds = 0.0 if arguments.quick else 3.0
    record = {"machine": machine(cores), "dtype": "float32" if arguments.float32 else "float64", "steps": []}
    if arguments.data is None:
        print("zeolite: left out, set JAXNMR_DATA to the folder of measured data")
    else:
        zeolite_steps(arguments, seconds, record)
    if arguments.atoms:
        for repeat in (1,) if arguments.quick else REPEATS:
            problem = quartz_problem(repeat, network("quick" if arguments.quick else "small"))
            record["steps"].append(show(measured("supercell of quartz", *problem, seconds)))
    record["machine"]["load_average_at_end"] = list(os.getloadavg()) if hasattr(os, "getloadavg") else None
    record |= {"process_peak_mb": peak_memory_mb(), "device_peak_mb": device_peak_mb()}
    path = arguments.out / "zeolite.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)
    print(draw(record["steps"], arguments.out / "zeolite.png"))
    return 0


def zeolite_steps(arguments, seconds: float, record: dict) -> None:
    """Rows of the zeolite, by network, and the other ways."""
    import numpy as np
    import other_ways

    for name in ("quick",) if arguments.quick else ("small", "shipped"):
        model = network(name)
        for coordinates in COORDINATES:
            problem = zeolite_problem(arguments.data, model, coordinates)
            record["steps"].append(show(measured(f"zeolite, {name}", *problem, seconds)))
        ours = record["steps"][-1]
        if arguments.other_ways:
            objective = problem[0]
            _, sites = objective.terms[0].where(objective.crystals)
            ways = other_ways.steps(objective, sites)
            exact = list(ways.values())[-1][1]
            for way, (timed, found) in ways.items():
                row = {"what": f"zeolite, {name}: {way}", "best_ms": timed, "ratio": timed / ours["best_ms"]}
                row["largest_difference"] = float(np.abs(found - exact).max() / np.abs(exact).max())
                record["steps"].append(show(row))


def network(name: str):
    """An untrained small network, or one member of the shipped ensemble."""
    import numpy as np
    from bench_models import untrained

    from jaxnmr.models import TensorModel

    if name == "shipped":
        return TensorModel.load("silica-29si").member(0)
    model = untrained(*(QUICK if name == "quick" else SMALL))
    shift = {"shielding": np.array([[250.0, 0.0, 0.0], [420.0, 0.0, 0.0]], dtype=np.float32)}
    return model.replace(shift=shift, card=TensorModel.load("silica-29si").member(0).card)


def zeolite_problem(data: Path, model, coordinates: int):
    """Objective and parameters at a distorted structure; the first sites move."""
    import numpy as np
    import zeolite

    framework = zeolite.framework(data)
    crystal = zeolite.shaken(framework, np.random.default_rng(0), 0.05)
    return problem(crystal, model, zeolite.SILICA, coordinates)


def quartz_problem(repeat: int, model):
    """The same for alpha quartz without symmetry."""
    import zeolite
    from bench_models import quartz

    return problem(quartz(repeat), model, zeolite.SILICA, 63)


def problem(crystal, model, expected, coordinates: int):
    import numpy as np

    import jaxnmr as jn

    sites = [label for label, e in zip(crystal.labels, crystal.elements, strict=True) if e == "Si"][:SITES]
    shifts = np.linspace(-130.0, -90.0, 3 * len(sites)).reshape(-1, 3)
    tensors = jn.TensorTerm(
        "29Si", shifts, sigma=0.5, kind="principal", reference=jn.ShiftReference(330.0), sites=sites, name="nmr"
    )
    objective = jn.Objective(tensors + jn.Restraint.distances(crystal, expected), crystal=crystal, models=model)
    moved = crystal.labels[: coordinates // 3]
    params = objective.parameters().free(*(f"xyz[{label}.*]" for label in moved))
    return objective.bind(params), params


def measured(what: str, objective, params, seconds: float) -> dict:
    """Time, compilation and memory of residuals with Jacobian, and of a whole step."""
    import jax
    import numpy as np

    from jaxnmr._struct import bare
    from jaxnmr.objective.objective import residuals_and_jacobian
    from jaxnmr.refinement.linearised import Linearised

    spec = params.spec
    # a program that is compiled ahead is called with what it was compiled for
    at = (spec.layout, *jax.device_put((bare(objective), params.offset(), spec.transform, params.theta)))
    began, wall = time.process_time(), time.perf_counter()
    compiled = residuals_and_jacobian.lower(*at).compile()
    compilation = time.process_time() - began, time.perf_counter() - wall

    def step():
        r, jacobian = map(np.asarray, compiled(*at[1:]))
        return Linearised.create(r, jacobian).minimum()

    times = time_calls(step, seconds=seconds, least=1 if not seconds else 5)
    plan, model = objective.sources[0].plan, objective.sources[0].model
    return {
        "what": what,
        "parameters_of_network": model.count,
        "coordinates": params.n_free,
        "atoms": sum(crystal.expand().site.size for crystal in objective.crystals.values()),
        "nodes": len(plan.reference.nodes["species"]),
        "centres": len(plan.reference.nodes["representatives"]),
        "edges": len(plan.reference.senders),
        "best_ms": best(times),
        "times": times,
        "compilation_cpu_s": compilation[0],
        "compilation_wall_s": compilation[1],
        "temporary_mb": compiled.memory_analysis().temp_size_in_bytes / 1e6,
        "derivatives": objective.plan_notes()[0],
    }


def show(row: dict) -> dict:
    """Print a row as it comes."""
    text = f"{row['what']:<62}{row['best_ms']:12.0f} ms"
    if "ratio" in row:
        text += f"   {row['ratio']:.1f} times as long"
    else:
        text += f"   {row['coordinates']} coordinates, {row['atoms']} atoms, {row['edges']} edges, "
        text += f"compilation {row['compilation_cpu_s']:.1f} s, {row['temporary_mb']:.0f} MB"
    print(text, flush=True)
    return row


def draw(rows: list[dict], path: Path) -> Path:
    """Times of steps against coordinates and against atoms."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9.0, 3.9), layout="constrained", sharey=True)
    own = [row for row in rows if "ratio" not in row]
    for what, colour in (("zeolite, quick", "#3a8a4d"), ("zeolite, small", "#2563a8"), ("zeolite, shipped", "#c2571a")):
        chosen = [row for row in own if row["what"] == what]
        if chosen:
            label = f"{what}, {chosen[0]['parameters_of_network']} parameters"
            axes[0].loglog(
                [r["coordinates"] for r in chosen], [r["best_ms"] for r in chosen], "o-", color=colour, label=label
            )
            axes[1].loglog([chosen[-1]["atoms"]], [chosen[-1]["best_ms"]], "s", color=colour)
    cells = [row for row in own if row["what"].startswith("supercell")]
    axes[1].loglog(
        [r["atoms"] for r in cells],
        [r["best_ms"] for r in cells],
        "o-",
        color="#5a5a5a",
        label="quartz without symmetry",
    )
    axes[0].set_xlabel("refined coordinates")
    axes[1].set_xlabel("atoms (squares: the zeolite with its symmetry)")
    axes[0].set_ylabel("time of a step, ms")
    for axis in axes:
        if axis.get_legend_handles_labels()[0]:
            axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


if __name__ == "__main__":
    sys.exit(main())
