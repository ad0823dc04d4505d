"""Weight fractions of a made-up mixture, with an amorphous part, from many draws of counting noise.

    python benchmarks/quantification.py --out FOLDER [--draws 100]

Rutile, anatase and fluorite with corundum weighed in as the standard, and a glass that shows as one broad peak. Each draw is refined from
the truth: scales, background and its broad peak, cells and crystallite sizes. Counted is how often the true weight fractions lie within
two esds: 90 to 99 of 100 draws where esds are right (95.4 expected).
"""

import argparse
import json
from pathlib import Path

import numpy as np

STANDARD, WEIGHED = "corundum", 0.20
# parts by weight of the specimen
PARTS = {"corundum": 0.20, "rutile": 0.28, "anatase": 0.17, "fluorite": 0.10}
AMORPHOUS = 1.0 - sum(PARTS.values())
COUNTS, LEVEL = 6000.0, 150.0
FREE = (
    "xrd/scale",
    "xrd/background",
    "xrd/background_peak_height",
    "xrd/background_peak_position",
    "*/cell",
    "xrd/size",
)


def crystals() -> dict:
    """The four phases."""
    import jaxnmr as jn

    made = lambda cell, group, species, xyz, name: jn.Crystal.create(
        cell=cell, spacegroup=group, species=species, xyz=xyz, u_iso=[0.006] * len(species), name=name
    )
    return {
        "corundum": made((4.759, 4.759, 12.993, 90, 90, 120), "R -3 c:H", ["Al", "O"], [[0, 0, 0.3522], [0.3063, 0, 0.25]], "corundum"),
        "rutile": made((4.594, 4.594, 2.959, 90, 90, 90), "P 42/m n m", ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]], "rutile"),
        "anatase": made((3.784, 3.784, 9.515, 90, 90, 90), "I 41/a m d:1", ["Ti", "O"], [[0, 0, 0], [0, 0, 0.2081]], "anatase"),
        "fluorite": made((5.463,) * 3 + (90,) * 3, "F m -3 m", ["Ca", "F"], [[0, 0, 0], [0.25, 0.25, 0.25]], "fluorite"),
    }  # fmt: skip


def mixture():
    """Experiment, the pattern without noise, and true values of the histogram by local name."""
    import jaxnmr as jn

    tube = jn.Instrument(wavelengths=(1.54056, 1.54439), radius_mm=240.0, U=2.0, V=-2.0, W=5.0, shl=0.02)
    background = jn.Background.chebyshev(3).with_peak(23.0, 8.0, LEVEL)
    experiment = jn.PowderDiffraction(tube, background)
    phases = crystals()
    scale = np.array([PARTS[phase] / crystal.cell_mass() for phase, crystal in phases.items()])
    values = {"background": np.array([LEVEL, -0.3 * LEVEL, 0.1 * LEVEL]), "size": np.array([0.2, 0.15, 0.05, 0.1])}
    x = np.arange(18.0, 80.0, 0.03)
    first = experiment.simulate(phases, x, values={**values, "scale": scale})
    empty = experiment.simulate(phases, x, values={**values, "scale": 0.0})
    values["scale"] = scale * COUNTS / float((first.y - empty.y).max())
    return experiment, experiment.simulate(phases, x, values=values), values


def drawn(experiment, smooth, values: dict, seed: int):
    """The refinement of one draw."""
    import jaxnmr as jn

    counts = np.random.default_rng(seed).poisson(smooth.y).astype(float)
    pattern = jn.Pattern.create(smooth.x, counts, instrument=smooth.instrument)
    term = jn.PatternTerm(experiment, pattern, quantification=jn.Quantification(STANDARD, WEIGHED))
    objective = jn.Objective(term, crystal=crystals())
    params = objective.parameters()
    for name, value in values.items():
        params = params.set(f"xrd/{name}", value)
    return jn.refine(objective, params.free(*FREE), suggest=False)


def main() -> None:
    import jaxnmr as jn

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=100)
    options = parser.parse_args()
    jn.enable_x64()
    experiment, smooth, values = mixture()
    true = {(phase, "weight in the specimen"): 100.0 * part for phase, part in PARTS.items() if phase != STANDARD}
    true[("amorphous", "weight in the specimen")] = 100.0 * AMORPHOUS
    true |= {
        ("Ti", "weight of the element"): 100.0 * (PARTS["rutile"] + PARTS["anatase"]) / (1.0 - WEIGHED) * _part_of_ti()
    }
    found = {of: [] for of in true}
    for seed in range(options.draws):
        fit = drawn(experiment, smooth, values, seed)
        for of, esd in fit.derived("xrd"):
            if (of.part, of.quantity) in found:
                found[of.part, of.quantity].append((of.value, esd))
        if seed % 10 == 0:
            print(seed, fit.status, f"{fit.statistics['xrd'].gof:.3f}", flush=True)
    rows, record = (
        [
            "| of | quantity | true / % | mean of draws | scatter of draws | mean esd | within 2 esd |",
            "|---|---|---|---|---|---|---|",
        ],
        {},
    )
    for (part, quantity), draws in found.items():
        value, esd = np.array(draws).T
        within = int(np.sum(np.abs(value - true[part, quantity]) < 2.0 * esd))
        record[f"{part}, {quantity}"] = {
            "true": true[part, quantity],
            "values": value.tolist(),
            "esds": esd.tolist(),
            "within": within,
        }
        rows.append(
            f"| {part} | {quantity} | {true[part, quantity]:.3f} | {value.mean():.3f} | {value.std(ddof=1):.3f} | {esd.mean():.3f} | "
            f"{within} of {len(value)} |"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "quantification.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    (options.out / "quantification.md").write_text("\n".join(rows) + "\n", encoding="utf-8")
    print("\n".join(rows))


def _part_of_ti() -> float:
    """Part of titanium in TiO2 by weight."""
    ti, o = 47.867, 15.999
    return ti / (ti + 2.0 * o)


if __name__ == "__main__":
    main()
