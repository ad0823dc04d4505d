"""What harmonics, sizes along an axis, and occupancies with sums recover from simulated patterns.

    python benchmarks/texture.py [--seed 1] --out texture.json

Three cases. ``march``: rutile with a March-Dollase texture of r = 0.7 along [0 0 1], fitted by harmonics of higher and higher orders.
``needles``: anglesite with a texture in harmonics up to 4 and other sizes along than across [0 1 0]. ``site``: three cations on one site of
rutile, X-rays and neutrons together, whose occupancies add up to 1.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import jaxnmr as jn

TUBE = jn.Instrument(wavelengths=(1.540593,), U=2.0, V=-2.0, W=5.0, shl=0.02)
NEUTRONS = jn.Instrument(
    radiation="neutron", wavelengths=(1.909,), geometry="debye-scherrer", radius_mm=650.0, U=150.0, V=-320.0, W=380.0, shl=0.02
)  # fmt: skip
ANGLESITE = jn.Crystal.create(
    cell=(8.478, 5.397, 6.958, 90.0, 90.0, 90.0), spacegroup="P n m a", species=["Pb", "S", "O", "O", "O"],
    xyz=[[0.1879, 0.25, 0.1671], [0.063, 0.25, 0.686], [0.908, 0.25, 0.595], [0.194, 0.25, 0.543], [0.082, 0.026, 0.809]],
    b_iso=0.6, name="anglesite",
)  # fmt: skip


def rutile(*occupancy: float) -> jn.Crystal:
    return jn.Crystal.create(
        cell=(4.65, 4.65, 3.05, 90, 90, 90), spacegroup="P 42/m n m", species=["Ti", "Sn", "Ge", "O"],
        labels=["Ti", "Sn", "Ge", "O"], xyz=[[0, 0, 0]] * 3 + [[0.305, 0.305, 0]], occupancy=[*occupancy, 1.0],
        u_iso=[0.006, 0.006, 0.006, 0.008], name="rutile",
    )  # fmt: skip


def drawn(experiment, crystal, grid, values, top, generator):
    """A pattern with Poisson noise whose highest point is ``top``, and the scale that belongs to it."""
    shape = {**values, "scale": 1.0, "background": 0.0}
    scale = (top - 60.0) / np.max(experiment.simulate(crystal, grid, values=shape).y)
    smooth = experiment.simulate(crystal, grid, values={**values, "scale": scale, "background": [60.0, 0.0]})
    y = generator.poisson(smooth.y).astype(float)
    return jn.Pattern.create(smooth.x, y, instrument=experiment.instrument), scale


def offsets(fit, true) -> dict:
    """Of every number its value, esd, and how many of them it is off."""
    esd = dict(
        zip(fit.parameters.labels, np.concatenate([np.ravel(e) for e in fit.esds.values()]).tolist(), strict=True)
    )
    return {
        name: {
            "value": float(fit.parameters[name]),
            "esd": esd[name],
            "off": (float(fit.parameters[name]) - value) / esd[name],
        }
        for name, value in true.items()
    }


def march(generator) -> dict:
    crystal, grid, background = rutile(1.0, 0.0, 0.0), (20.0, 140.0, 0.04), jn.Background.chebyshev(2)
    grains = jn.PowderDiffraction(TUBE, background, march_axis={"rutile": (0, 0, 1)})
    pattern, scale = drawn(grains, crystal, grid, {"march": 0.7, "size": 0.2}, 10000.0, generator)
    rows = {}
    for order in (0, 2, 4, 6, 8):
        experiment = jn.PowderDiffraction(TUBE, background, harmonics={"rutile": order} if order else {})
        objective = jn.Objective(jn.PatternTerm(experiment, pattern), crystal=crystal)
        params = objective.parameters().set("xrd/scale", scale).set("xrd/size", 0.2)
        free = ["xrd/scale", "xrd/background", "xrd/size", "u_iso", *(["xrd/texture_rutile"] if order else [])]
        fit = jn.refine(objective, params.free(*free), suggest=False, throw=False)
        s = fit.statistics["xrd"]
        rows[order] = {"status": fit.status, "Rwp": s.factors["Rwp"], "gof": s.gof}
        rows[order] |= {of.quantity: [of.value, esd] for of, esd in fit.derived("xrd")}
        rows[order] |= {n: float(fit.parameters[n]) for n in fit.parameters.labels if "texture" in n}
        rows[order]["warnings"] = list(fit.warnings)
    return rows


def needles(generator) -> dict:
    names = ("C2.0", "C2.2", "C4.0", "C4.2", "C4.4")
    texture = (0.6, -0.4, 0.3, 0.25, -0.2)
    experiment = jn.PowderDiffraction(
        TUBE, jn.Background.chebyshev(2), harmonics={"anglesite": 4}, size_axis={"anglesite": (0, 1, 0)}
    )
    values = {"texture_anglesite": texture, "size": 0.04, "size_along": 0.15}
    pattern, scale = drawn(experiment, ANGLESITE, (15.0, 120.0, 0.04), values, 10000.0, generator)
    objective = jn.Objective(jn.PatternTerm(experiment, pattern), crystal=ANGLESITE)
    params = objective.parameters().set("xrd/scale", scale).set("xrd/size", 0.08).set("xrd/size_along", 0.08)
    free = (
        "xrd/scale",
        "xrd/background",
        "xrd/texture_anglesite",
        "xrd/size",
        "xrd/size_along",
        "cell",
        "xyz",
        "u_iso",
    )
    fit = jn.refine(objective, params.free(*free), suggest=False, throw=False)
    true = {f"xrd/texture_anglesite[{n}]": c for n, c in zip(names, texture, strict=True)}
    true |= {"xrd/size[anglesite]": 0.04, "xrd/size_along[anglesite]": 0.15}
    return {
        "status": fit.status,
        "gof": fit.statistics["xrd"].gof,
        "offsets": offsets(fit, true),
        "warnings": list(fit.warnings),
    }


def site(generator) -> dict:
    true = {"occupancy[Ti]": 0.5, "occupancy[Sn]": 0.2, "occupancy[Ge]": 0.3}
    crystal, start, background = rutile(*true.values()), rutile(0.34, 0.33, 0.33), jn.Background.chebyshev(2)
    terms, scales = [], {}
    for name, instrument, grid in (("xrd", TUBE, (20.0, 140.0, 0.04)), ("neutrons", NEUTRONS, (15.0, 150.0, 0.1))):
        experiment = jn.PowderDiffraction(instrument, background)
        pattern, scales[name] = drawn(experiment, crystal, grid, {"size": 0.2}, 10000.0, generator)
        terms.append(jn.PatternTerm(experiment, pattern, name=name))
    objective = jn.Objective(terms[0] + terms[1], crystal=start)
    params = objective.parameters().set("*/size", 0.2)
    for name, scale in scales.items():
        params = params.set(f"{name}/scale", scale)
    params = params.constrain_sum({name: 1.0 for name in true}, 1.0)
    free = ("*/scale", "*/background", "occupancy[Ti]", "occupancy[Sn]", "u_iso")
    fit = jn.refine(objective, params.free(*free), suggest=False, throw=False)
    found = offsets(fit, true)
    total = sum(of["value"] for of in found.values())
    return {"status": fit.status, "offsets": found, "sum": total, "gof": {n: s.gof for n, s in fit.statistics.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--cases", nargs="+", default=["march", "needles", "site"], choices=["march", "needles", "site"]
    )
    parser.add_argument("--out", type=Path, default=Path("texture.json"))
    chosen = parser.parse_args()
    jn.enable_x64()
    made = {}
    for case in chosen.cases:
        made[case] = globals()[case](np.random.default_rng(chosen.seed))
        print(case, json.dumps(made[case], indent=1, default=float), flush=True)
        chosen.out.write_text(json.dumps(made, indent=1, default=float), encoding="utf-8")


if __name__ == "__main__":
    main()
