"""How time and memory grow with points, reflections and refined parameters: measured, fitted and drawn.

Everything is simulated from alpha-quartz, in space group P1 so that every coordinate is free.
"""

import sys
from pathlib import Path

import numpy as np
from timing import best, time_calls

RANGE = (18.0, 118.0)
QUARTZ = dict(cell=[4.916, 4.916, 5.4054, 90, 90, 120], spacegroup="P 32 2 1", species=["Si", "O"],
              xyz=[[0.4697, 0.0, 2 / 3], [0.4135, 0.2669, 0.1191 + 2 / 3]], u_iso=[0.007, 0.0135])  # fmt: skip
SERIES = {
    "points": ("points (same range, finer steps)", (2001, 4001, 8001, 16001, 32001)),
    "reflections": ("reflections (longer c axis, same atoms)", (1, 2, 4, 8, 16)),
    "supercell": ("reflections (supercell, atoms grow with it)", (1, 2, 4, 8)),
    "columns": ("refined parameters", (16, 64, 256)),
}
QUICK = 2


def measure(quick: bool = False, series=tuple(SERIES)) -> dict:
    """Times of pattern and normal equations along series, and the exponents of their growth.

    Times are processor times on a CPU, wall times elsewhere.
    """
    from bench_powder import normal_equations, program_memory

    from jaxnmr.objective.objective import residuals

    normal = normal_equations()
    record = {}
    for name in series:
        label, sizes = SERIES[name]
        rows = []
        for size in sizes[: QUICK if quick else None]:
            # the supercell has enough coordinates for the longest list of parameters
            at, counts = problem(**{"supercell": 8} if name == "columns" else {}, **{name: size})
            seconds = 0.0 if quick else 1.0
            rows.append(
                counts
                | {
                    "forward_ms": best(time_calls(residuals, *at, seconds=seconds)),
                    "normal_equations_ms": best(time_calls(normal, *at, seconds=seconds)),
                    "temporary_mb": program_memory(normal, at).get("program_temp_mb"),
                }
            )
        against = "reflections" if name == "supercell" else name
        exponents = {key: exponent(rows, against, key) for key in ("forward_ms", "normal_equations_ms")}
        record[name] = {"label": label, "against": against, "rows": rows, "exponents": exponents}
    return record


def problem(points: int = 4001, reflections: int = 1, supercell: int = 1, columns: int = 32):
    """A pattern of a P1 quartz cell, ``c`` times as long or repeated, with some of its parameters free.

    Returns:
        arguments for the compiled functions, and the counts that describe the problem.
    """
    import jax

    import jaxnmr as jn

    crystal = in_p1(repeats=supercell, stretch=reflections)
    x = np.linspace(*RANGE, points)
    instrument = jn.Instrument(wavelengths=(1.540593, 1.544427), shl=0.02)
    pattern = jn.Pattern.create(x, np.full(points, 100.0), instrument=instrument)
    experiment = jn.PowderDiffraction(background=jn.Background.chebyshev(5))
    objective = jn.Objective(jn.PatternTerm(experiment, pattern), crystal=crystal)
    params = objective.parameters().free("xrd/scale", "xrd/background", "cell", "xrd/size", "xrd/strain")
    for label in params.labels:
        # one atom stays where it is: the origin of P1 is free
        if params.n_free < columns and label.startswith(("xyz[", "u_iso[")) and not label.startswith("xyz[Si1."):
            params = params.free(label)
    spec = params.spec
    at = (spec.layout, *jax.device_put((objective, params.offset(), spec.transform, params.theta)))
    plan = objective.terms[0].model
    tiles = int(plan.core.used) + int(plan.tail.used)
    counts = {
        "points": points,
        "reflections": sum(p.n_reflections for p in plan.phases),
        "atoms": crystal.n_sites,
        "columns": params.n_free,
        "tiles": tiles,
    }
    return at, counts


def in_p1(repeats: int, stretch: int):
    """Quartz without symmetry: ``repeats`` cells along c, or one cell with its c axis ``stretch`` times as long."""
    import jaxnmr as jn

    quartz = jn.Crystal.create(**QUARTZ)
    full = jn.crystal.plan_expansion(quartz).cell_of(quartz)
    xyz = np.asarray(full.fractional)
    scale = np.array([1.0, 1.0, repeats * stretch])
    copies = [(xyz + np.array([0.0, 0.0, k])) / scale for k in range(repeats)]
    a, b, c, *angles = QUARTZ["cell"]
    return jn.Crystal.create(
        cell=[a, b, c * repeats * stretch, *angles], spacegroup="P 1", species=list(full.species) * repeats,
        xyz=np.concatenate(copies), u_iso=np.full(len(xyz) * repeats, 0.01), name="quartz",
    )  # fmt: skip


def exponent(rows: list[dict], against: str, key: str) -> float:
    """Slope of a straight line through the logarithms: 1 is linear growth."""
    return float(np.polyfit(np.log([r[against] for r in rows]), np.log([r[key] for r in rows]), 1)[0])


def summary(record: dict) -> str:
    """A few lines for people."""
    lines = ["growth (exponent 1: linear)"]
    for part in record.values():
        lines.append(f"  {part['label']}: " + ", ".join(f"{k} ~ n^{v:.2f}" for k, v in part["exponents"].items()))
        for row in part["rows"]:
            lines.append("    " + "  ".join(f"{k} {v:.4g}" for k, v in row.items() if v is not None))
    return "\n".join(lines)


def draw(record: dict, path: Path) -> Path:
    """Draw times against size on logarithmic axes, with the slope of linear growth."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FixedLocator, NullLocator

    figure, axes = plt.subplots(1, len(record), figsize=(3.4 * len(record), 3.6), sharey=True, layout="constrained")
    for axis, part in zip(np.atleast_1d(axes), record.values(), strict=True):
        n = np.array([row[part["against"]] for row in part["rows"]])
        styles = (("normal_equations_ms", "Jacobian and normal equations", "#D55E00", "s"),
                  ("forward_ms", "pattern", "#0072B2", "o"))  # fmt: skip
        for key, text, colour, marker in styles:
            time = np.array([row[key] for row in part["rows"]])
            axis.loglog(n, time, marker=marker, color=colour, markersize=4.5, linewidth=1.3,
                        label=f"{text}: n$^{{{part['exponents'][key]:.2f}}}$")  # fmt: skip
            axis.loglog(n, time[-1] * n / n[-1], color="#8c8c8c", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        axis.xaxis.set_major_locator(FixedLocator(n))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xticklabels([f"{value}" for value in n], rotation=30)
        axis.set_xlabel(part["label"], fontsize=9)
        axis.legend(fontsize=7.5, frameon=False, loc="upper left")
        axis.margins(y=0.3)
    np.atleast_1d(axes)[0].set_ylabel("time / ms (dashed: linear growth)", fontsize=9)
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return path


if __name__ == "__main__":
    sys.exit("run bench_powder.py")
