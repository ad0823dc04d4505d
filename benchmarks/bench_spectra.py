"""How fast are spectra of powders and their Jacobians, beside mrsimulator on the same machine?

    python benchmarks/bench_spectra.py --out out/bench            everything, on one core
    python benchmarks/bench_spectra.py --quick                    few calls of few cases; to see that it runs
    python benchmarks/bench_spectra.py --ours                     without mrsimulator (also on a GPU)

Both programs get the same sites, 2,048 points, 70 divisions of an octahedron's edge, the same part of the sphere and
the same number of sidebands, and run in processes of their own on the same core. Compared are processor times after a
call to warm up. A Jacobian of mrsimulator is what a fit with finite differences costs: one simulation of all sites for
every shift, tensor element and angle, and one more; amplitudes and widths need none in either program and are not counted. A
scheme that simulated only the site whose parameter moves is printed beside it (nobody offers it). Ours is the spectrum and its
exact Jacobian by all parameters. Sharp lines have no width: integrals over bins are what takes time then. Operations and bytes
are those that XLA counts in our programs, loops once. Results: ``spectra.json`` and ``spectra.png``.
"""

import argparse
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

from timing import benchmark_parser, best, device_peak_mb, machine, peak_memory_mb, pin, time_calls

POINTS, DENSITY, B0, SIDEBANDS = 2048, 70, 9.4, 64
FAST = float("inf")
# name: nucleus, number of sites, spinning speed, volume, width of the window in Hz
FORWARD = {
    "static CSA, octant": ("29Si", 1, 0.0, "octant", 16e3),
    "static CSA, hemisphere": ("29Si", 1, 0.0, "hemisphere", 16e3),
    "MAS CSA 1 kHz, octant": ("29Si", 1, 1e3, "octant", 64e3),
    "MAS CSA 1 kHz, hemisphere": ("29Si", 1, 1e3, "hemisphere", 64e3),
    "27Al central transition, static": ("27Al", 1, 0.0, "octant", 100e3),
    "27Al central transition, infinite MAS": ("27Al", 1, FAST, "octant", 40e3),
    "27Al central transition, 20 kHz MAS": ("27Al", 1, 20e3, "octant", 200e3),
    "100 CSA-MAS sites": ("29Si", 100, 1e3, "octant", 64e3),
    "1000 static CSA sites": ("29Si", 1000, 0.0, "octant", 16e3),
}
SITES, PARAMETERS = 20, 6
# name: nucleus, spinning speed, volume, width of the window in Hz, the six parameters of every site
JACOBIANS = {
    "CSA-MAS 1 kHz, hemisphere": ("29Si", 1e3, "hemisphere", 64e3, "usual"),
    "CSA-MAS 1 kHz, octant": ("29Si", 1e3, "octant", 64e3, "usual"),
    "CSA-MAS 1 kHz, octant, six Cartesian": ("29Si", 1e3, "octant", 64e3, "Cartesian"),
    "CSA+Q 27Al MAS 20 kHz": ("27Al", 20e3, "hemisphere", 200e3, "usual"),
    "CSA+Q 27Al MAS 20 kHz, six Cartesian": ("27Al", 20e3, "hemisphere", 200e3, "Cartesian"),
    "CSA+Q 27Al MAS 20 kHz, sharp lines": ("27Al", 20e3, "hemisphere", 200e3, "sharp"),
    "CSA+Q 27Al static": ("27Al", 0.0, "hemisphere", 100e3, "usual"),
    "CSA+Q 27Al static, six Cartesian": ("27Al", 0.0, "hemisphere", 100e3, "Cartesian"),
}
NAMES = {
    ("29Si", "usual"): "shift, zeta, eta, amplitude, Gaussian width, Lorentzian width",
    ("27Al", "usual"): "shift, C_Q, eta_Q, beta of the shielding, amplitude, Gaussian width",
    ("27Al", "sharp"): "shift, C_Q, eta_Q, beta of the shielding, amplitude, none",
    ("29Si", "Cartesian"): "shielding xx, yy, zz, xy, xz, yz",
    ("27Al", "Cartesian"): "quadrupolar xx, yy, xy, xz, yz (traceless), shielding zz",
}
# those of the six that a simulation is needed for: shifts, tensors and angles
COSTLY = {("29Si", "usual"): 3, ("27Al", "usual"): 4, ("27Al", "sharp"): 4}
QUICK = ("static CSA, octant", "MAS CSA 1 kHz, octant", "CSA-MAS 1 kHz, hemisphere", "CSA+Q 27Al static")
FIELDS = ("shift_ppm", "shielding_ppm", "quadrupolar_hz", "couplings_hz", "amplitude", "gaussian_hz", "lorentzian_hz")


def main(argv=None) -> int:
    arguments = parse(argv)
    cores = pin(arguments.cores)
    seconds = 0.0 if arguments.quick else 1.5
    if arguments.side:
        if arguments.quick:
            only_the_quick_ones()
        print(json.dumps({"ours": ours, "mrsimulator": theirs}[arguments.side](seconds, arguments.quick)))
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    record = {"ours": side("ours", arguments)}
    if not arguments.ours:
        record["mrsimulator"] = side("mrsimulator", arguments)
    record["machine"] = machine(cores)
    record["load_average_at_end"] = list(os.getloadavg()) if hasattr(os, "getloadavg") else None
    record["conditions"] = {"points": POINTS, "integration_density": DENSITY, "sidebands": SIDEBANDS, "b0_tesla": B0}
    record["rows"] = rows(record)
    print(summary(record))
    path = arguments.out / "spectra.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)
    if not arguments.ours:
        print(draw(record["rows"], arguments.out / "spectra.png"))
    return 0


def only_the_quick_ones() -> None:
    for cases in (FORWARD, JACOBIANS):
        for name in [name for name in cases if name not in QUICK]:
            del cases[name]


def parse(argv):
    parser = benchmark_parser(__doc__, "few calls of few cases")
    parser.add_argument("--ours", action="store_true", help="without mrsimulator")
    parser.add_argument("--side", choices=("ours", "mrsimulator"), help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def side(name: str, arguments) -> dict:
    """One program's measurements, in a process of its own."""
    command = [sys.executable, __file__, "--side", name, "--cores", str(arguments.cores)]
    command += ["--quick"] if arguments.quick else []
    environment = os.environ | ({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} if arguments.cores == 1 else {})
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def numbers(nucleus: str, count: int) -> list[dict]:
    """Parameters of sites, the same for both programs."""
    import numpy as np

    rng = np.random.default_rng(7)
    out = []
    for _ in range(count):
        site = {"shift": rng.uniform(-10, 10), "zeta": rng.uniform(30, 60), "eta": rng.uniform(0.2, 0.8)}
        site |= {"cq": rng.uniform(3e6, 5e6), "eta_q": rng.uniform(0.2, 0.8), "euler": rng.uniform(20, 70, 3).tolist()}
        out.append(site if nucleus == "27Al" else site | {"cq": 0.0, "eta_q": 0.0, "euler": [0.0, 0.0, 0.0]})
    return out


# ---------------------------------------------------------------- ours


def ours(seconds: float, quick: bool) -> dict:
    import jax

    jax.config.update("jax_enable_x64", True)
    out = {"forward": {}, "jacobian": {}, "memory": {}}
    for name, (nucleus, count, mas, volume, width) in FORWARD.items():
        plan, sites = laid_out(nucleus, count, mas, volume, width, csa=nucleus != "27Al")
        out["forward"][name] = measured(forward(), plan, sites, seconds=seconds)
    for name, (nucleus, mas, volume, width, kind) in JACOBIANS.items():
        plan = laid_out_with_widths(nucleus, SITES, mas, volume, width, kind)
        theta = starting_point(nucleus, kind, SITES)
        out["jacobian"][name] = measured(jacobian(nucleus, kind, SITES), plan, theta, seconds=seconds)
        if mas > 1e3 and not quick:
            free = laid_out_with_widths(nucleus, SITES, mas, volume, width, kind, sidebands="auto")
            own = measured(jacobian(nucleus, kind, SITES), free, theta, seconds=seconds)
            out["jacobian"][name] |= {"own_choice": own, "own_choice_sidebands": free.groups[0].count}
    for count in () if quick else (1, 20, 1000):
        plan, sites = laid_out("29Si", count, 1e3, "octant", 64e3, csa=True)
        out["memory"][f"{count} CSA-MAS sites"] = memory(forward().lower(plan, sites).compile())
        plan, theta = laid_out_with_widths("29Si", count, 1e3, "octant", 64e3), starting_point("29Si", "usual", count)
        lowered = jacobian("29Si", "usual", count).lower(plan, theta)
        out["memory"][f"{count} CSA-MAS sites, Jacobian"] = memory(lowered.compile())
    return out | {"process_peak_mb": peak_memory_mb(), "device_peak_mb": device_peak_mb()}


def experiment(nucleus: str, mas: float, volume: str, sidebands=SIDEBANDS):
    from jaxnmr.nmr import SpectrumMAS, SpectrumStatic

    common = {"b0_tesla": B0, "integration_density": DENSITY, "volume": volume}
    if mas == 0:
        return SpectrumStatic(nucleus, **common)
    return SpectrumMAS(nucleus, mas_hz=mas, sidebands=sidebands if mas < FAST else "auto", **common)


def laid_out(nucleus, count, mas, volume, width, *, csa: bool):
    import jax
    import jax.numpy as jnp

    from jaxnmr.nmr import Site, Sites

    sites = [
        Site(isotope=nucleus, shift_ppm=s["shift"], zeta_ppm=csa * s["zeta"], eta=csa * s["eta"], cq_hz=s["cq"],
             eta_q=s["eta_q"])
        for s in numbers(nucleus, count)
    ]  # fmt: skip
    plan = experiment(nucleus, mas, volume).plan(sites, points=POINTS, width_hz=width, centre_ppm=0.0)
    return plan, jax.tree.map(jnp.asarray, Sites.of(sites))


def laid_out_with_widths(nucleus, count, mas, volume, width, kind="usual", sidebands=SIDEBANDS):
    import jax
    import numpy as np

    # Cartesian parameters start from the same sites
    kind = "sharp" if kind == "sharp" else "usual"
    sites = jax.tree.map(np.asarray, sites_of(nucleus, kind, count)(starting_point(nucleus, kind, count)))
    return experiment(nucleus, mas, volume, sidebands).plan(sites, points=POINTS, width_hz=width, centre_ppm=0.0)


def starting_point(nucleus: str, kind: str, count: int):
    """``(sites, 6)`` values of the parameters."""
    import numpy as np

    columns = []
    for s in numbers(nucleus, count):
        if kind == "Cartesian":
            columns.append(np.zeros(PARAMETERS))  # changes of the tensors
        elif nucleus == "27Al":
            columns.append(
                [s["shift"], s["cq"] * 1e-6, s["eta_q"], s["euler"][1], 1.0, 0.0 if kind == "sharp" else 300.0]
            )
        else:
            columns.append([s["shift"], s["zeta"], s["eta"], 1.0, 60.0, 20.0])
    return np.array(columns)


def site_of(nucleus: str, kind: str):
    """Traceable: the fields of one site from its parameters and its fixed numbers."""
    import jax.numpy as jnp

    from jaxnmr.nmr import quadrupolar_from, rotation, shielding_from_haeberlen

    turned = lambda tensor, euler: rotation(*euler) @ tensor @ rotation(*euler).T

    def tensor(values):
        xx, yy, zz, xy, xz, yz = values
        return jnp.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])

    def function(p, s):
        shift, zeta, eta, cq, eta_q = s["shift"], s["zeta"], s["eta"], s["cq"], s["eta_q"]
        alpha, beta, gamma = s["euler"][0], s["euler"][1], s["euler"][2]
        amplitude, gaussian, lorentzian, more_s, more_q = 1.0, 300.0 if nucleus == "27Al" else 60.0, 20.0, 0.0, 0.0
        if kind == "Cartesian" and nucleus == "27Al":
            more_q, more_s = 1e6 * tensor((p[0], p[1], -p[0] - p[1], *p[2:5])), tensor((0, 0, p[5], 0, 0, 0))
        elif kind == "Cartesian":
            more_s = tensor(p)
        elif nucleus == "27Al":
            shift, cq, eta_q, beta, amplitude, gaussian = p[0], p[1] * 1e6, p[2], p[3], p[4], p[5]
            lorentzian = 0.0 if kind == "sharp" else lorentzian
        else:
            shift, zeta, eta, amplitude, gaussian, lorentzian = p
        shielding = turned(shielding_from_haeberlen(0.0, zeta, eta), (alpha, beta, gamma)) + more_s
        quadrupolar = quadrupolar_from(cq, eta_q) + more_q if nucleus == "27Al" else jnp.zeros((3, 3))
        out = shift, shielding, quadrupolar, jnp.zeros((0, 3, 3)), amplitude, gaussian, lorentzian
        return tuple(jnp.asarray(leaf, float) for leaf in out)

    return function


def sites_of(nucleus: str, kind: str, count: int):
    """Traceable: sites from all parameters."""
    import jax
    import jax.numpy as jnp

    function, fixed = site_of(nucleus, kind), columns_of(nucleus, count)
    return lambda theta: gathered(nucleus, count, *jax.vmap(function)(jnp.asarray(theta), fixed))


def columns_of(nucleus: str, count: int):
    import numpy as np

    sites = numbers(nucleus, count)
    return {key: np.array([s[key] for s in sites]) for key in sites[0]}


def gathered(nucleus, count, shift, shielding, quadrupolar, couplings, amplitude, gaussian, lorentzian):

    from jaxnmr.nmr import Sites

    values = (shift, shielding, quadrupolar, couplings, amplitude, gaussian, lorentzian)
    return Sites.create(nucleus, [0.0] * count).replace(**dict(zip(FIELDS, values, strict=True)))


def forward():
    import jax

    return jax.jit(lambda plan, sites: plan.spectrum(sites))


def jacobian(nucleus: str, kind: str, count: int):
    """Compiled: spectrum and its derivatives by all parameters, the tensors' derivatives included."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxnmr.nmr.powder.simulation import MOVES, RESHAPES, SCALES

    known = {
        "29Si": [MOVES, RESHAPES, RESHAPES, SCALES, SCALES, SCALES],
        "27Al": [MOVES, *[RESHAPES] * 3, SCALES, SCALES],
    }
    build, one, fixed = sites_of(nucleus, kind, count), site_of(nucleus, kind), columns_of(nucleus, count)
    columns = np.arange(PARAMETERS * count).reshape(count, PARAMETERS)
    reach = np.tile([RESHAPES] * PARAMETERS if kind == "Cartesian" else known[nucleus], count)

    def function(plan, theta):
        sites = build(theta)
        own = jax.vmap(jax.jacfwd(one))(jnp.asarray(theta), fixed)  # (sites, ..., parameters)

        def spread(leaf):  # to (parameters of all sites, sites, ...), zero for other sites
            leaf = jnp.moveaxis(leaf, -1, 1)[:, :, None]
            mine = jnp.eye(count).reshape(count, 1, count, *[1] * (leaf.ndim - 3))
            return (mine * leaf).reshape(PARAMETERS * count, count, *leaf.shape[3:])

        tangents = jax.tree.map(lambda leaf: jnp.zeros((PARAMETERS * count, *leaf.shape)), sites)
        tangents = tangents.replace(**dict(zip(FIELDS, map(spread, own), strict=True)))
        value, slopes = plan.value_and_jacobian(sites, tangents, columns, reach)
        return value.real, slopes.real

    return jax.jit(function)


def measured(function, *at, seconds: float) -> dict:
    compiled = function.lower(*at).compile()
    cost = compiled.cost_analysis() or {}
    cost = cost[0] if isinstance(cost, list) else cost
    counted = {"operations": cost.get("flops"), "bytes": cost.get("bytes accessed")}
    times = time_calls(function, *at, seconds=seconds, least=3)
    return times | {"best_ms": best(times)} | counted | memory(compiled)


def memory(compiled) -> dict:
    analysis = compiled.memory_analysis()
    names = ("temp_size_in_bytes", "argument_size_in_bytes", "output_size_in_bytes")
    return {f"program_{n.split('_')[0]}_mb": getattr(analysis, n) / 1e6 for n in names if hasattr(analysis, n)}


# ---------------------------------------------------------------- mrsimulator


def theirs(seconds: float, quick: bool) -> dict:
    from importlib import metadata

    out = {"version": metadata.version("mrsimulator"), "forward": {}, "jacobian": {}}
    for name, (nucleus, count, mas, volume, width) in FORWARD.items():
        run = simulator(nucleus, count, mas, volume, width, csa=nucleus != "27Al")
        times = time_calls(run, seconds=seconds, least=3)
        out["forward"][name] = times | {"best_ms": times["cpu_ms"]}
    for name, (nucleus, mas, volume, width, kind) in () if quick else JACOBIANS.items():
        run = simulator(nucleus, SITES, mas, volume, width, csa=True)
        times = time_calls(run, seconds=seconds, least=3)
        costly = COSTLY.get((nucleus, kind), PARAMETERS)
        simulations = SITES * costly + 1
        out["jacobian"][name] = times | {
            "best_ms": simulations * times["cpu_ms"],
            "per_site_scheme_ms": (1 + costly) * times["cpu_ms"],
            "simulations": simulations,
        }
    return out | {"process_peak_mb": peak_memory_mb()}


def simulator(nucleus, count, mas, volume, width, *, csa: bool):
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mrsimulator import Simulator, Site, SpinSystem
        from mrsimulator.method.lib import BlochDecayCTSpectrum

    systems = []
    for s in numbers(nucleus, count):
        parts = {"isotope": nucleus, "isotropic_chemical_shift": s["shift"]}
        angles = dict(zip(("alpha", "beta", "gamma"), np.radians(s["euler"]), strict=True)) if any(s["euler"]) else {}
        if csa:
            parts["shielding_symmetric"] = {"zeta": s["zeta"], "eta": s["eta"], **angles}
        if s["cq"]:
            parts["quadrupolar"] = {"Cq": s["cq"], "eta": s["eta_q"]}
        systems.append(SpinSystem(sites=[Site(**parts)]))
    method = BlochDecayCTSpectrum(
        channels=[nucleus],
        magnetic_flux_density=B0,
        rotor_frequency=1e12 if mas == FAST else mas,
        spectral_dimensions=[{"count": POINTS, "spectral_width": width}],
    )
    simulation = Simulator(spin_systems=systems, methods=[method])
    simulation.config.integration_density = DENSITY
    simulation.config.integration_volume = volume
    simulation.config.number_of_sidebands = SIDEBANDS
    return lambda: simulation.run()


# ---------------------------------------------------------------- the comparison


def rows(record: dict) -> list[dict]:
    """One line per case: times in ms of both, and how many times less ours takes."""
    out = []
    other = record.get("mrsimulator", {"forward": {}, "jacobian": {}})
    for group in ("forward", "jacobian"):
        for name, mine in record["ours"][group].items():
            row = {"case": name, "kind": group, "ours_ms": mine["best_ms"]}
            row |= {key: mine[key] for key in ("operations", "bytes")}
            if "own_choice" in mine:
                row |= {"own_choice_ms": mine["own_choice"]["best_ms"], "sidebands": mine["own_choice_sidebands"]}
            if group == "jacobian":
                row["parameters"] = NAMES[JACOBIANS[name][0], JACOBIANS[name][4]]
            if name in other[group]:
                yours = other[group][name]
                row |= {"mrsimulator_ms": yours["best_ms"], "times_less": yours["best_ms"] / mine["best_ms"]}
                if group == "jacobian":
                    row["per_site_scheme_times_less"] = yours["per_site_scheme_ms"] / mine["best_ms"]
                    if "own_choice" in mine:
                        row["own_choice_times_less"] = yours["best_ms"] / mine["own_choice"]["best_ms"]
            out.append(row)
    return out


def summary(record: dict) -> str:
    """A table for people."""
    lines = [f"{'processor time, ms':44s} {'ours':>10s} {'mrsimulator':>12s} {'times less':>11s}"]
    for row in record["rows"]:
        text = f"{row['case']:44s} {row['ours_ms']:10.2f} {row.get('mrsimulator_ms', float('nan')):12.2f} "
        text += f"{row.get('times_less', float('nan')):11.2f}"
        if "per_site_scheme_times_less" in row:
            text += f"   ({row['per_site_scheme_times_less']:.2f} against a per-site scheme)"
        if row["operations"]:
            text += f"   {row['operations'] / 1e6:.0f} Mflop, {row['bytes'] / 1e6:.0f} MB"
        lines.append(text)
        if "own_choice_ms" in row:
            times = row.get("own_choice_times_less", float("nan"))
            lines.append(f"{'  with ' + str(row['sidebands']) + ' sidebands':44s} {row['own_choice_ms']:10.2f} "
                         f"{'':12s} {times:11.2f}")  # fmt: skip
    for name, size in record["ours"]["memory"].items():
        lines.append(f"memory, {name}: " + ", ".join(f"{k} {v:.1f}" for k, v in size.items()))
    return "\n".join(lines)


def draw(table: list[dict], path: Path) -> Path:
    """Times of both, on a logarithmic scale."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    table = [row for row in table[::-1] if "mrsimulator_ms" in row]
    figure, axes = plt.subplots(figsize=(9, 0.42 * len(table) + 1.2), layout="constrained")
    place = range(len(table))
    axes.barh(
        [p + 0.2 for p in place], [r["mrsimulator_ms"] for r in table], 0.38, label="mrsimulator", color="#9aa5b1"
    )
    axes.barh([p - 0.2 for p in place], [r["ours_ms"] for r in table], 0.38, label="jaxnmr", color="#2563a8")
    for p, row in zip(place, table, strict=True):
        axes.text(1.1 * max(row["ours_ms"], row["mrsimulator_ms"]), p, f"{row['times_less']:.3g}x", va="center", size=8)
    titles = [r["case"] if r["kind"] == "forward" else f"Jacobian of {SITES} sites: {r['case']}" for r in table]
    axes.set_yticks(list(place), titles, size=8)
    axes.set_xscale("log")
    axes.set_xlabel("processor time, ms (labels: how many times less jaxnmr takes)")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    return path


if __name__ == "__main__":
    sys.exit(main())
