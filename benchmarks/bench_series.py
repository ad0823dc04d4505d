"""What does a series cost beyond the evaluations of its model, does it compile only once, and does it find the truth?

    python benchmarks/bench_series.py --out out/bench              100 patterns of quartz, on one core
    python benchmarks/bench_series.py --rows 20 --skip-killed      fewer, without the run that is killed and resumed

The patterns of alpha-quartz are calculated by the project from values that change linearly with temperature (cell, coordinates,
displacements), their highest point has 10000 counts, and their noise is that of counts. Refined forward and backward with one
run file. Reported: processor time of the whole call over that of its evaluations of residuals and Jacobian alone (their number times
what one takes, measured on several rows in the same process); compilations after the first row; chi² per degree of freedom of the
deviations of cell, coordinates and displacements from the truth. Then the same series is run as a command, killed in the middle, run
again, and its table compared with that of a run that nobody interrupted. A series of two phases, of which one appears at row
40 and the other vanishes at row 70 (of 100), and one of NMR spectra with a changing C_Q follow.
Results: ``series.json`` in the output folder.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timing import benchmark_parser, machine, pin, time_calls

COLD, HOT = 100.0, 700.0
WAVELENGTHS = (1.540593, 1.544427)
RUN = """title = "Quartz on heating"
[[phase]]
name = "quartz"
cell = [4.906, 4.906, 5.4, 90, 90, 120]
spacegroup = "P 32 2 1"
sites = [
  {{ label = "Si1", type = "Si", xyz = [0.47, 0.0, 0.66667], u_iso = 0.006 }},
  {{ label = "O1", type = "O", xyz = [0.414, 0.266, 0.786], u_iso = 0.01 }},
]
{more}
[[histogram]]
name = "xrd"
file = "replaced.xye"
wavelength = [1.540593, 1.544427]
radius_mm = 217.5
shl = 0.02
background = {{ kind = "chebyshev", terms = 5 }}
[start]
"xrd/size" = 0.5
[[stage]]
name = "scale and background"
free = ["xrd/scale", "xrd/background"]
[[stage]]
name = "cell and size"
free = ["{prefix}cell", "xrd/displacement", "xrd/size"]
[[stage]]
name = "atoms"
free = [{atoms}]
"""
CRISTOBALITE = """[[phase]]
name = "cristobalite"
cell = [4.975, 4.975, 6.925, 90, 90, 90]
spacegroup = "P 41 21 2"
sites = [
  { label = "Si1", type = "Si", xyz = [0.3003, 0.3003, 0.0], u_iso = 0.008 },
  { label = "O1", type = "O", xyz = [0.2392, 0.1044, 0.1787], u_iso = 0.015 },
]
"""
SPECTRA = """title = "Sodium on heating"
[[spectrum]]
name = "na"
file = "replaced.csdf"
isotope = "23Na"
b0_tesla = 9.4
mas_hz = 12500.0
sigma = {sigma}
[[spectrum.site]]
label = "Na1"
shift_ppm = 5.0
cq_mhz = 2.1
eta_q = 0.35
gaussian_hz = 120.0
"""


def main(argv=None) -> int:
    arguments = parse(argv)
    cores = pin(arguments.cores)
    import jax

    jax.config.update("jax_enable_x64", True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    record = {"machine": machine(cores)}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        rows = 4 if arguments.quick else arguments.rows
        record["quartz"] = quartz(folder / "quartz", rows)
        if not (arguments.skip_killed or arguments.quick):
            record["killed"] = killed(folder / "quartz")
        if not arguments.quick:
            record["two_phases"] = two_phases(folder / "phases", rows)
            record["spectra"] = spectra(folder / "spectra", min(rows, 30))
    path = arguments.out / "series.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)
    return 0


def parse(argv):
    parser = benchmark_parser(__doc__, "four patterns")
    parser.add_argument("--rows", type=int, default=100, help="patterns of a series (default: 100)")
    parser.add_argument("--skip-killed", action="store_true", help="without the run that is killed and resumed")
    return parser.parse_args(argv)


def truth(t: float) -> dict:
    """Values of quartz at a part ``t`` of the way from cold to hot."""
    return {
        "cell": (4.906 * (1 + 0.008 * t), 4.906 * (1 + 0.008 * t), 5.4 * (1 + 0.004 * t), 90, 90, 120),
        "xyz": [[0.469 + 0.006 * t, 0.0, 2 / 3], [0.413 - 0.006 * t, 0.266 + 0.01 * t, 0.786 + 0.006 * t]],
        "u_iso": [0.005 + 0.008 * t, 0.009 + 0.014 * t],
    }


def crystal(t: float):
    import jaxnmr as jn

    return jn.Crystal.create(
        spacegroup="P 32 2 1", species=["Si", "O"], labels=["Si1", "O1"], name="quartz", **truth(t)
    )


def cristobalite():
    import jaxnmr as jn

    return jn.Crystal.create(
        cell=(4.9717, 4.9717, 6.9223, 90, 90, 90), spacegroup="P 41 21 2", species=["Si", "O"], labels=["Si1", "O1"],
        xyz=[[0.3003, 0.3003, 0.0], [0.2392, 0.1044, 0.1787]], u_iso=[0.008, 0.015], name="cristobalite",
    )  # fmt: skip


def simulated(folder: Path, rows: int, amounts) -> None:
    """Write patterns and ``conditions.csv``; ``amounts`` gives the parts of the phases at a row."""
    import numpy as np

    import jaxnmr as jn
    from jaxnmr.io import write_pattern

    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    instrument = jn.Instrument(wavelengths=WAVELENGTHS, radius_mm=217.5, shl=0.02)
    experiment = jn.PowderDiffraction(instrument, jn.Background.chebyshev(5))
    x = np.arange(15.0, 75.0001, 0.02)
    lines, factor = ["file,T / K"], None
    for k in range(rows):
        t = k / max(rows - 1, 1)
        parts = amounts(k)
        phases = {"quartz": crystal(t), "cristobalite": cristobalite()}
        phases = {name: phases[name] for name in parts}
        plan = experiment.plan(phases, x)
        values = {name: np.array(q.value, dtype=float) for name, q in plan.quantities().items()}
        values |= {"background": np.array([80.0, -10.0, 5.0, 0.0, 0.0]), "size": np.full(len(phases), 0.3)}
        plan = plan.laid_out(phases, values)
        if factor is None:
            factor = 1e4 / (plan.curve(phases, values).max() - 80.0)
        values["scale"] = factor * np.array(list(parts.values()))
        name = f"sample_{k:03d}.xye"
        write_pattern(jn.Pattern.create(x, random.poisson(plan.curve(phases, values)).astype(float)), folder / name)
        lines.append(f"{name},{COLD + t * (HOT - COLD):.3f}")
    (folder / "conditions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def run_file(folder: Path, *, two: bool = False) -> Path:
    path = folder / "run.toml"
    prefix = "quartz/" if two else ""
    atoms = '"quartz/xyz", "quartz/u_iso", "cristobalite/cell"' if two else '"xyz", "u_iso"'
    path.write_text(RUN.format(more=CRISTOBALITE if two else "", prefix=prefix, atoms=atoms), encoding="utf-8")
    return path


def series(data: Path, pattern: str, **settings):
    """The files of a folder as a series, and the setup of a row."""
    from jaxnmr.io.conditions import conditions_from_table
    from jaxnmr.runfile import load_run
    from jaxnmr.runfile.series import named_files, series_of
    from jaxnmr.search import refine_series

    files = named_files(sorted(data.glob(pattern)))
    make = series_of(load_run(data / "run.toml"), files)
    found = conditions_from_table(data / "conditions.csv", files)
    first = {name: name for name in list(files)[:2]}
    refine_series(first, make)  # compiles
    result = lambda: refine_series(
        {name: name for name in files}, make, at=found.values, abscissa="T", unit="K", **settings
    )
    return result, make


def quartz(folder: Path, rows: int) -> dict:
    """Cost, compilations and truth of the series of one phase."""
    import numpy as np

    simulated(folder, rows, lambda k: {"quartz": 1.0})
    run_file(folder)
    refine, make = series(folder, "*.xye", folder=folder / "rows")
    began, worked = time.perf_counter(), time.process_time()
    result = refine()
    seconds, cpu = time.perf_counter() - began, time.process_time() - worked
    both = [*result.forward.values(), *result.backward.values()]
    evaluations = sum(row.evaluations + 1 for row in both)  # one more for the uncertainties
    one = evaluation_ms(result, make, list(result.forward)[:: max(rows // 5, 1)])
    deviations, counted = {}, 0
    total = 0.0
    for quantity, column in columns().items():
        values, esds = result.column(quantity)
        true = np.array([column(k / max(rows - 1, 1)) for k in range(rows)])
        z = (values - true) / esds
        deviations[quantity] = float(np.mean(z**2))
        total, counted = total + float(np.sum(z**2)), counted + len(z)
    out = {
        "rows": rows, "refinements": len(both), "converged": sum(row.status == "converged" for row in both),
        "seconds": seconds, "cpu_s": cpu, "evaluations": evaluations, "evaluation_ms": one,
        "cpu_over_evaluations": cpu / (1e-3 * one * evaluations),
        "compiled": [row.compiled for row in both], "disagreements": len(result.disagreements()),
        "chi2_of_deviations": deviations, "chi2_of_all_deviations": total / counted,
    }  # fmt: skip
    print(
        f"{out['refinements']} refinements of {rows} patterns: {cpu:.1f} s of processor time, {evaluations} evaluations of {one:.2f} ms: "
        f"{out['cpu_over_evaluations']:.2f} times the evaluations alone; {sum(out['compiled'])} programs compiled; chi² of deviations "
        f"from the truth {out['chi2_of_all_deviations']:.3f}",
        flush=True,
    )
    return out


def columns() -> dict:
    return {
        "cell[a]": lambda t: truth(t)["cell"][0], "cell[c]": lambda t: truth(t)["cell"][2],
        "xyz[Si1.x]": lambda t: truth(t)["xyz"][0][0], "xyz[O1.x]": lambda t: truth(t)["xyz"][1][0],
        "xyz[O1.y]": lambda t: truth(t)["xyz"][1][1], "xyz[O1.z]": lambda t: truth(t)["xyz"][1][2],
        "u_iso[Si1]": lambda t: truth(t)["u_iso"][0], "u_iso[O1]": lambda t: truth(t)["u_iso"][1],
    }  # fmt: skip


def evaluation_ms(result, make, names) -> float:
    """Processor time of residuals and Jacobian together at the end of some rows, mean in ms."""
    import numpy as np

    from jaxnmr.objective.objective import residuals_and_jacobian

    def one(fit) -> float:
        spec, params = fit.parameters.spec, fit.parameters
        once = lambda: residuals_and_jacobian(spec.layout, fit.objective, params.offset(), spec.transform, params.theta)
        return time_calls(once, seconds=0.5)["cpu_ms"]

    return float(np.mean([one(result.fit(name)) for name in names]))


def killed(folder: Path) -> dict:
    """A command that is killed in the middle, run again, and compared with one that was not."""
    files = sorted(map(str, folder.glob("*.xye")))
    command = [
        sys.executable,
        "-m",
        "jaxnmr",
        "series",
        str(folder / "run.toml"),
        *files,
        "--table",
        str(folder / "conditions.csv"),
    ]
    whole, half = folder / "whole", folder / "half"
    subprocess.run([*command, "--out", str(whole)], check=True, stderr=subprocess.DEVNULL)
    process = subprocess.Popen([*command, "--out", str(half)], stderr=subprocess.DEVNULL)
    rows = half / "rows"
    while process.poll() is None and len(list(rows.glob("*-forward.json"))) < len(files) // 2:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = {path.name: path.stat().st_mtime_ns for path in rows.glob("*ward.json")}
    subprocess.run([*command, "--out", str(half)], check=True, stderr=subprocess.DEVNULL)
    after = {path.name: path.stat().st_mtime_ns for path in rows.glob("*ward.json")}
    record = json.loads((half / "result.json").read_text(encoding="utf-8"))["result"]
    out = {
        "rows_before": len(before), "rows": len(after), "written_again": sum(after[name] != before[name] for name in before),
        "resumed": record["resumed"], "refined": record["refined"],
        "same_table": (half / "series.csv").read_bytes() == (whole / "series.csv").read_bytes(),
    }  # fmt: skip
    print(
        f"killed after {out['rows_before']} refinements and started again: {out['resumed']} taken over, {out['refined']} refined, "
        f"{out['written_again']} done twice, table {'identical' if out['same_table'] else 'DIFFERENT'}",
        flush=True,
    )
    return out


def two_phases(folder: Path, rows: int) -> dict:
    """Cristobalite appears at 40 % of the rows and grows; quartz shrinks and vanishes at 70 %."""
    appears, vanishes = round(0.4 * rows), round(0.7 * rows)
    ramp = max(round(0.1 * rows), 1)

    def amounts(k: int) -> dict:
        quartz = min(max((vanishes - k) / ramp, 0.0), 1.0)
        grown = min(max((k - appears + 1) / ramp, 0.0), 1.0)
        return {"quartz": quartz, "cristobalite": 0.5 * grown}

    simulated(folder, rows, amounts)
    run_file(folder, two=True)
    refine, _ = series(folder, "*.xye")
    result = refine()
    number = {row.name: k for k, row in enumerate(result.rows)}
    spans = {part: [(number[s.first], number[s.last]) for s in found] for part, found in result.presence().items()}
    out = {
        "rows": rows, "true": {"cristobalite": [appears, rows - 1], "quartz": [0, vanishes - 1]}, "found": spans,
        "compiled": sum(row.compiled for row in (*result.forward.values(), *result.backward.values())),
        "message": result.message,
    }  # fmt: skip
    print(f"two phases, truth {out['true']}, found {spans}; {result.message}", flush=True)
    return out


def spectra(folder: Path, rows: int) -> dict:
    """C_Q of sodium that falls from 2.2 to 1.8 MHz."""
    import numpy as np

    import jaxnmr as jn
    from jaxnmr.io import write_spectrum

    folder.mkdir(parents=True)
    random = np.random.default_rng(2)
    experiment = jn.SpectrumMAS("23Na", b0_tesla=9.4, mas_hz=12.5e3)
    cq = 2.2e6 - 0.4e6 * np.linspace(0.0, 1.0, rows)
    lines = ["file,T / K"]
    for k in range(rows):
        site = jn.Site(
            isotope="23Na", shift_ppm=5.0 + 0.02 * k, cq_hz=float(cq[k]), eta_q=0.3, gaussian_hz=100.0, label="Na1"
        )
        clean = experiment.simulate(site, points=2048, width_hz=60e3, centre_ppm=-10.0)
        top = float(np.abs(clean.values).max())
        values = np.real(clean.values) / top * 100.0 + random.normal(0.0, 1.0, 2048)
        write_spectrum(clean.replace(values=values + 0j), folder / f"na_{k:03d}.csdf")
        lines.append(f"na_{k:03d}.csdf,{300 + 5 * k}")
    (folder / "conditions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "run.toml").write_text(SPECTRA.format(sigma=1.0), encoding="utf-8")
    refine, _ = series(folder, "*.csdf")
    result = refine()
    values, esds = result.column("na/cq[Na1]")
    both = [*result.forward.values(), *result.backward.values()]
    out = {
        "rows": rows, "chi2_of_cq": float(np.mean(((values - cq) / esds) ** 2)), "esd_of_cq_khz": float(1e-3 * np.median(esds)),
        "compiled": [row.compiled for row in both], "message": result.message,
    }  # fmt: skip
    print(
        f"spectra: chi² of C_Q against the truth {out['chi2_of_cq']:.2f} ({rows} rows), {sum(out['compiled'])} programs; {result.message}",
        flush=True,
    )
    return out


if __name__ == "__main__":
    sys.exit(main())
