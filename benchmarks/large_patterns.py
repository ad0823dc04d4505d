"""Simulated synchrotron patterns of 20,000 points and more with many refined parameters, and what derivatives of them cost.

Made-up structures of the sizes of an organic crystal and of a borosilicate: what counts is how many points, overlapping
reflections and columns there are.
"""

from typing import Any

import numpy as np
from timing import best, time_calls

# points, 2theta range, Å; asymmetric unit as layers (along a, along c)
SIZES: dict[str, dict[str, Any]] = {
    "organic": dict(points=22004, span=(2.0, 37.0), cell=(9.0, 11.0, 15.3, 90, 97.0, 90), group="P 1 21/c 1", layers=(5, 5),
                    width=1.0, species=("C", "N", "O"), also=()),
    "borosilicate": dict(points=27501, span=(2.0, 46.0), cell=(10.3, 12.9, 18.8, 90, 90, 90), group="P 21 21 21", layers=(3, 5),
                         width=0.5, species=("Si", "B", "O"), also=("xrd/Y",)),
}  # fmt: skip
FREE = ("xrd/scale", "xrd/background", "cell", "xrd/size", "xrd/strain", "xrd/U", "xrd/W", "xyz", "u_iso")


def problem(name: str):
    """Objective and parameters of a simulated pattern; free are cell, widths, background, and all atoms."""
    import jaxnmr as jn

    size, rng = SIZES[name], np.random.default_rng(3)
    along_a, along_c = size["layers"]
    i, k = np.divmod(np.arange(along_a * along_c), along_c)
    xyz = np.stack([size["width"] * (i + 0.5) / along_a, 0.12 + 0.0 * i, (k + 0.5) / along_c], axis=1)
    crystal = jn.Crystal.create(
        cell=size["cell"], spacegroup=size["group"], species=[size["species"][n % 3] for n in range(len(xyz))],
        xyz=xyz + rng.uniform(-0.03, 0.03, size=xyz.shape), u_iso=rng.uniform(0.01, 0.03, len(xyz)), name=name,
    )  # fmt: skip
    instrument = jn.Instrument(
        wavelengths=(0.8,), geometry="debye-scherrer", radius_mm=1000.0, polarization=0.99, U=1.2, V=-0.1, W=0.6, X=0.1, shl=0.002
    )  # fmt: skip
    x = np.linspace(*size["span"], size["points"])
    pattern = jn.Pattern.create(x, np.full(x.size, 100.0), instrument=instrument)
    experiment = jn.PowderDiffraction(background=jn.Background.chebyshev(6))
    objective = jn.Objective(jn.PatternTerm(experiment, pattern), crystal=crystal)
    params = (
        objective.parameters()
        .set("xrd/size", 1.0)
        .set("xrd/strain", 300.0)
        .set("xrd/scale", 1e-2)
        .free(*FREE, *size["also"])
    )
    return objective.bind(params), params


def measure(name: str, quick: bool = False) -> dict:
    """Times of residuals, Jacobian and normal equations of a pattern beside the operations and bytes they take."""
    import jax

    from jaxnmr.objective.normal import normal_equations
    from jaxnmr.objective.objective import residuals, residuals_and_jacobian

    objective, params = problem(name)
    spec = params.spec
    at = (spec.layout, *jax.device_put((objective, params.offset(), spec.transform, params.theta)))
    product = jax.jit(lambda rows: rows.T @ rows)
    seconds = 0.0 if quick else 1.5
    _, jacobian = residuals_and_jacobian(*at)
    times = {
        "forward": time_calls(residuals, *at, seconds=seconds),
        "jacobian": time_calls(residuals_and_jacobian, *at, seconds=seconds),
        "product_of_the_jacobian": time_calls(product, jacobian, seconds=seconds),
        "normal_equations": time_calls(normal_equations, *at, seconds=seconds),
    }
    count = cost(objective.terms[0].model, params.n_free)
    return {**count, "times": times, "gflop_per_s": count["operations"] / best(times["normal_equations"]) / 1e6}


def cost(plan, columns: int) -> dict:
    """Multiplications and additions of normal equations, from the tiles in use, and bytes that leave a core's cache (host).

    XLA's own count is of no use here: it takes the body of a loop once.
    """
    points, tiles = len(plan.x), int(plan.core.used) + int(plan.tail.used)
    lines, terms = plan.fixed.lines, np.shape(plan.background)[1]
    # cell and instrument: what positions and widths depend on
    per_phase = 6 + 4 + sum(len(p.stephens) for p in plan.phases)
    numbers = min(len(plan.phases) * per_phase + lines + 9, columns)
    profile = 2 * 32 * 16 * tiles * (columns + 1 + (2 + lines) * numbers)
    mixing = 2 * points * (numbers + 1 + lines + terms) * columns
    return {
        "points": points,
        "columns": columns,
        "reflections": sum(p.n_reflections for p in plan.phases),
        "tiles": tiles,
        "operations": profile + mixing + 2 * points * columns**2,
        "operations_by_part": {"profiles_to_columns": profile, "mixing": mixing, "product": 2 * points * columns**2},
        # tables of derivatives are read once per tile, columns and rows stay in cache
        "bytes_of_normal_equations": 8 * 16 * tiles * (columns + 1 + (2 + lines) * numbers),
        "bytes_of_a_written_jacobian": 8 * points * columns,
    }


def summary(name: str, record: dict) -> str:
    """A few lines for people."""
    lines = [
        f"{name}: {record['points']} points, {record['reflections']} reflections, {record['columns']} columns, "
        f"{record['operations'] / 1e9:.2f} Gflop, {record['gflop_per_s']:.1f} Gflop/s"
    ]
    for label, t in record["times"].items():
        lines.append(f"  {label:32s} {t['min_ms']:9.2f} ms (median {t['median_ms']:.2f}, processor {t['cpu_ms']:.2f})")
    return "\n".join(lines)
