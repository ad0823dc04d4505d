"""How fast are a powder pattern, its Jacobian and a refinement, and what do they cost in operations and memory?

    python benchmarks/bench_powder.py --out out/bench                 everything, on one core
    python benchmarks/bench_powder.py --case quartz --no-scaling      one case, no measured data needed
    python benchmarks/bench_powder.py --cores 0                       leave the choice of cores to the system

The cases are the run files in ``examples``; those on measured patterns are left out when JAXNMR_DATA is not set. The
same script runs on a GPU: it measures jax's default device. Every number is taken at the refined parameters, after a
call to warm up, with finished results; compilation is timed apart in fresh processes, first with an empty and then
with a filled cache of compiled programs. Results: ``benchmarks.json`` and ``scaling.png`` in the output folder.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timing import benchmark_parser, best, device_peak_mb, machine, peak_memory_mb, pin, time_calls

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
CASES = {
    "fap": EXAMPLES / "fap.toml",
    "pbso4": EXAMPLES / "pbso4.toml",
    "nac": EXAMPLES / "nac.toml",
    "quartz": EXAMPLES / "quartz" / "quartz.toml",
}


def main(argv=None) -> int:
    arguments = parse(argv)
    cores = pin(arguments.cores)
    if arguments.first_call:
        return first_call(arguments.case[0])
    import jax

    jax.config.update("jax_enable_x64", True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    record = {"machine": machine(cores), "cases": {}}
    for name in arguments.case:
        if "${JAXNMR_DATA}" in CASES[name].read_text(encoding="utf-8") and not os.environ.get("JAXNMR_DATA"):
            print(f"{name}: left out, set JAXNMR_DATA to the folder of measured data")
            continue
        record["cases"][name] = measure(name, arguments)
        print(summary(name, record["cases"][name]), flush=True)
    if arguments.large:
        import large_patterns

        record["large"] = {name: large_patterns.measure(name, arguments.quick) for name in large_patterns.SIZES}
        for name, of in record["large"].items():
            print(large_patterns.summary(name, of), flush=True)
    if arguments.scaling:
        import scaling

        record["scaling"] = scaling.measure(arguments.quick, arguments.series or tuple(scaling.SERIES))
        print(scaling.summary(record["scaling"]))
        print(scaling.draw(record["scaling"], arguments.out / "scaling.png"))
    record["machine"]["load_average_at_end"] = list(os.getloadavg()) if hasattr(os, "getloadavg") else None
    path = arguments.out / "benchmarks.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)
    return 0


def parse(argv):
    parser = benchmark_parser(__doc__, "few calls, no compile times")
    parser.add_argument("--case", nargs="*", choices=CASES, default=list(CASES), help="which cases (default: all)")
    parser.add_argument("--no-scaling", dest="scaling", action="store_false", help="leave out the growth curves")
    parser.add_argument(
        "--series", nargs="+", help="which growth curves: points, reflections, supercell, columns (default: all)"
    )
    parser.add_argument("--no-large", dest="large", action="store_false", help="leave out 20,000 points and more")
    parser.add_argument("--first-call", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def measure(name: str, arguments) -> dict:
    """Everything about one case."""
    import jax
    import numpy as np

    import jaxnmr as jn
    from jaxnmr.objective.objective import residuals, residuals_and_jacobian
    from jaxnmr.refinement.linearised import Linearised
    from jaxnmr.runfile import build, load_run

    objective, params, stages, solver = build(load_run(CASES[name]))
    fit = jn.refine(objective, params, stages=stages, solver=solver, suggest=False)
    spec = fit.parameters.spec
    arrays = (fit.objective, fit.parameters.offset(), spec.transform, fit.parameters.theta)
    at = (spec.layout, *jax.device_put(arrays))
    seconds = 0.0 if arguments.quick else 1.5
    again = time.perf_counter()
    jn.refine(objective, params, stages=stages, solver=solver, suggest=False)
    again = time.perf_counter() - again
    times = {
        "forward": time_calls(residuals, *at, seconds=seconds),
        "jacobian": time_calls(residuals_and_jacobian, *at, seconds=seconds),
        "jacobian_and_normal_equations": time_calls(normal_equations(), *at, seconds=seconds),
        "jacobian_then_product": time_calls(jacobian_then_product(), *at, seconds=seconds),
    }
    r, jacobian = map(np.asarray, residuals_and_jacobian(*at))
    times["least_squares_step_on_host"] = time_calls(lambda: Linearised.create(r, jacobian).minimum(), seconds=seconds)
    alternatives = {"central_differences": central_differences(at), "jacfwd_of_forward": jacfwd(at)}
    deviation = {}
    for label, function in alternatives.items():
        times[label] = time_calls(function, seconds=seconds, least=1 if arguments.quick else 3)
        other = np.asarray(function())
        deviation[label] = float((np.abs(other - jacobian).max(axis=0) / np.abs(jacobian).max(axis=0)).max())
    return {
        "points": int(r.size),
        "columns": int(jacobian.shape[1]),
        "rwp_percent": {k: fit.statistics[k].rwp for k in fit.patterns},
        "steps": len(fit.steps),
        "refinement_s": {"first": fit.seconds, "compiling": fit.compile_seconds, "again": again},
        "times": times,
        "times_the_structured_jacobian": {k: best(times[k]) / best(times["jacobian"]) for k in alternatives},
        "largest_difference_from_structured_jacobian": deviation,
        "work": work(fit.objective, jacobian.shape[1]),
        "truncation": truncation(fit),
        "memory": {
            **program_memory(residuals_and_jacobian, at),
            "process_peak_mb": peak_memory_mb(),
            "device_peak_mb": device_peak_mb(),
        },
        "from_a_fresh_process_s": {} if arguments.quick else first_calls(name, arguments.cores),
        "device": jax.devices()[0].device_kind,
    }


def normal_equations():
    """Normal equations as refinements take them, without a Jacobian in memory."""
    from jaxnmr.objective.normal import normal_equations

    return normal_equations


def jacobian_then_product():
    """The same from the Jacobian, as one compiled function."""
    import jax

    from jaxnmr.objective.objective import residuals_and_jacobian

    def function(layout, *rest):
        r, jacobian = residuals_and_jacobian(layout, *rest)
        return jacobian.T @ jacobian, jacobian.T @ r

    return jax.jit(function, static_argnums=0)


def central_differences(at):
    """Jacobian by twice as many patterns as there are columns."""
    import numpy as np

    from jaxnmr.objective.objective import residuals

    layout, objective, offset, transform, theta = at

    def function(h=1e-3):  # theta is in units of typical changes
        columns = []
        for shift in h * np.eye(len(theta)):
            ends = [np.asarray(residuals(layout, objective, offset, transform, theta + s * shift)) for s in (1, -1)]
            columns.append((ends[0] - ends[1]) / (2.0 * h))
        return np.stack(columns, axis=1)

    return function


def jacfwd(at):
    """Jacobian by ``jax.jacfwd`` of the pattern as it is."""
    import jax

    from jaxnmr.objective.objective import residuals

    layout, objective, offset, transform, theta = at
    compiled = jax.jit(lambda o, theta: jax.jacfwd(lambda t: residuals(layout, o, offset, transform, t))(theta))
    return lambda: compiled(objective, theta)


def work(objective, columns: int) -> dict:
    """Operations that the algorithm cannot avoid, counted from the tiles."""
    import numpy as np

    from jaxnmr.diffraction.tiles import POINTS

    out = []
    for term in objective.terms:
        plan = getattr(term, "model", None)
        if plan is None:
            continue
        dummy = int(np.shape(plan.planned_fwhm)[0])
        pairs = [int((np.asarray(t.peaks)[: int(t.used)] != dummy).sum()) for t in (plan.core, plan.tail)]
        lines, nodes = len(plan.instrument.wavelengths), int(np.shape(plan.abscissa)[1])
        points = int(np.shape(plan.x)[0])
        out.append(
            {
                "histogram": term.name,
                "reflections": sum(p.n_reflections for p in plan.phases),
                "axial_nodes": nodes,
                "overlapping_peaks_per_point": sum(pairs) * POINTS / points,
                "of_them_near_their_centre": pairs[0] * POINTS / points,
                "places_per_peak_in_tiles": 16 * int(plan.core.used + plan.tail.used) / sum(pairs),
                "profile_evaluations": POINTS * lines * (pairs[0] * nodes + pairs[1]),
                "points_x_overlapping_peaks_x_columns": POINTS * sum(pairs) * columns,
                "multiply_adds_of_the_jacobian": POINTS * sum(pairs) * (3 + lines) * columns,
                "jacobian_mb": points * columns * 8 / 1e6,
            }
        )
    return {"histograms": out}


def truncation(fit) -> dict:
    """How much the pattern changes when tails are followed ten thousand times further down."""
    import numpy as np

    state = fit.objective.state(fit.parameters.values)
    out = {}
    for term in fit.objective.terms:
        if not hasattr(term, "model"):
            continue
        values = state.local(term.name)
        plan = term.model.laid_out(state.crystals, values)
        endless = plan.replace(cutoff=plan.cutoff * 1e-4).laid_out(state.crystals, values)
        y, full = (p.curve(state.crystals, values) for p in (plan, endless))
        out[term.name] = {
            "cutoff_of_peak_height": plan.cutoff,
            "largest_change_of_highest_point": float(np.abs(y - full).max() / full.max()),
            "largest_change_in_sigma": float((np.abs(y - full) / np.asarray(term.sigma)).max()),
        }
    return out


def program_memory(function, at) -> dict:
    analysis = function.lower(*at).compile().memory_analysis()
    names = ("temp_size_in_bytes", "argument_size_in_bytes", "output_size_in_bytes")
    return {f"program_{n.split('_')[0]}_mb": getattr(analysis, n) / 1e6 for n in names if hasattr(analysis, n)}


def first_calls(name: str, cores: int) -> dict:
    """Time to the first Jacobian in fresh processes, with an empty and with a filled cache."""
    out = {}
    with tempfile.TemporaryDirectory() as cache:
        for state in ("empty_cache", "filled_cache"):
            command = [sys.executable, __file__, "--first-call", "--case", name, "--cores", str(cores)]
            environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": cache}
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
            out[state] = json.loads(done.stdout.splitlines()[-1])
    return out


def first_call(name: str) -> int:
    """In a fresh process: seconds until there is a first pattern and a first Jacobian, printed as JSON."""
    clock = [time.perf_counter()]
    cpu = time.process_time()
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    from jaxnmr.objective.objective import residuals, residuals_and_jacobian
    from jaxnmr.runfile import build, load_run

    clock.append(time.perf_counter())
    objective, params, stages, _ = build(load_run(CASES[name]))
    for stage in stages:
        params = params.free(*stage.free)
    clock.append(time.perf_counter())
    spec = params.spec
    at = (spec.layout, objective, params.offset(), spec.transform, params.theta)
    for function in (residuals, residuals_and_jacobian):
        jax.block_until_ready(function(*at))
        clock.append(time.perf_counter())
    parts = [after - before for before, after in itertools.pairwise(clock)]
    names = ("import", "read_and_plan", "first_pattern", "first_jacobian")
    cpu = time.process_time() - cpu
    print(json.dumps(dict(zip(names, parts, strict=True)) | {"total": sum(parts), "total_processor_time": cpu}))
    return 0


def summary(name: str, case: dict) -> str:
    """A few lines for people."""
    lines = [f"{name}: {case['points']} points, {case['columns']} columns, Rwp {case['rwp_percent']}"]
    for label, t in case["times"].items():
        ratio = case["times_the_structured_jacobian"].get(label)
        against = f"   {ratio:.1f} x the structured Jacobian" if ratio else ""
        lines.append(
            f"  {label:32s} {t['min_ms']:9.2f} ms (median {t['median_ms']:.2f}, processor {t['cpu_ms']:.2f}){against}"
        )
    for histogram in case["work"]["histograms"]:
        lines.append(
            "  " + ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in histogram.items())
        )
    for part in (
        "truncation",
        "memory",
        "refinement_s",
        "from_a_fresh_process_s",
        "largest_difference_from_structured_jacobian",
    ):
        lines.append(f"  {part}: {json.dumps(case[part])}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
