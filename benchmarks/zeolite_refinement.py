"""Zeolite ZSM-12 refined from its idealised framework: shift tensors, powder pattern and restraints, alone and together.

    export JAXNMR_DATA=/path/to/data
    python benchmarks/zeolite_refinement.py --out out/zeolite --realisations 20

In every realisation another structure is hidden, and measured with other noise (see ``zeolite.py`` and ``zeolite_data.py``); all
have one cell, so that one compiled program serves them all. Refinements start from the framework in that cell, shaken a
little: the framework itself has more symmetry, and derivatives along what breaks it vanish. They are judged by the truth.
``zeolite.jsonl`` gets a line per refinement and is read again by ``--table``, which prints what all of them come to.
"""

import argparse
import json
import os
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
from timing import machine, pin

# by case: terms, and where it starts: at the framework, at the truth, or where another case ended
CASES = {
    "nmr": (("nmr", "distances"), "framework"),
    "nmr from the truth": (("nmr", "distances"), "truth"),
    "xrd": (("xrd",), "framework"),
    "restrained": (("xrd", "distances"), "framework"),
    "xrd continued": (("xrd",), "restrained"),
    "joint": (("xrd", "nmr", "distances"), "restrained"),
    "joint at once": (("xrd", "nmr", "distances"), "framework"),
}
USUAL = ("restrained", "xrd continued", "joint")
SHAKE = 0.05
# shaken starts of the case that others continue; the lowest chi² counts
STARTS = 5
# coordinates that are this many esds off, root mean square, belong to another minimum
ELSEWHERE = 3.0


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("JAXNMR_DATA"), help="folder of measured data")
    parser.add_argument("--out", type=Path, default=Path("out/zeolite"))
    parser.add_argument("--realisations", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first realisation")
    parser.add_argument("--case", nargs="+", choices=CASES, default=USUAL, help=f"default: {', '.join(USUAL)}")
    parser.add_argument("--max-steps", type=int, default=100)
    parser.add_argument("--table", action="store_true", help="only print what zeolite.jsonl holds")
    parser.add_argument("--sigma-model", action="store_true", help="errors of the model in the data and in the weights")
    parser.add_argument("--cores", type=int, default=1)
    options = parser.parse_args(argv)
    results = options.out / "zeolite.jsonl"
    if options.table:
        print(table([json.loads(text) for text in results.read_text(encoding="utf-8").splitlines()]))
        return 0
    if options.data is None:
        parser.error("set JAXNMR_DATA, or say --data where openchemistry_crystals is")
    cores = pin(options.cores)

    import jaxnmr as jn

    jn.enable_x64()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for k in range(options.first, options.first + options.realisations):
        for row in realisation(k, options):
            rows.append(row)
            with results.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
            print(line(row), flush=True)
    print(table(rows))
    (options.out / "machine.json").write_text(json.dumps(machine(cores), indent=1) + "\n", encoding="utf-8")
    return 0


@cache
def models(sigma_model: bool):
    """The model that is refined with: a single network, or the ensemble that knows its uncertainty.

    Read once: programs belong to a model, and one read again would be another.
    """
    import jaxnmr as jn

    model = jn.TensorModel.load("silica-29si")
    return model if sigma_model else model.member(0)


def realisation(k: int, options):
    """Rows of one hidden structure and its noise, one per case."""
    import zeolite
    import zeolite_data

    framework = zeolite.framework(options.data)
    cell = zeolite.distorted(framework, 0).cell
    framework = framework.replace(cell=cell, u_iso=np.full(framework.n_sites, zeolite_data.U_START))
    hidden = zeolite.distorted(framework, k, free=("xyz",))
    rng = np.random.default_rng([k, 1])
    model, of_model = models(options.sigma_model), None
    if options.sigma_model:
        silicon = [i for i, element in enumerate(hidden.elements) if element == "Si"]
        of_model = np.asarray(model.predict(hidden).component_sigma("shielding"))[silicon][:, [0, -1]]
    measured = zeolite_data.measure(hidden, model, rng, of_model=of_model)
    shaken = [zeolite.shaken(framework, rng, SHAKE) for _ in range(STARTS)]
    starts = {"framework": shaken[:1], "truth": [hidden]}
    for case in options.case:
        began, worked = time.perf_counter(), time.process_time()
        terms, start = CASES[case]
        begins = shaken if case == "restrained" else starts[start]
        fits = [refined(terms, b, measured, model, options.sigma_model, options.max_steps) for b in begins]
        total = np.array([sum(s.chi2 for s in (fit.statistics | fit.terms).values()) for fit in fits])
        fit = fits[total.argmin()]
        starts[case] = [fit.crystal]
        row = {"realisation": k, "case": case, "sigma_model": options.sigma_model, "chi2_of_starts": total.tolist()}
        row |= judged(fit, hidden, framework) | {"before": errors(framework, hidden, framework)}
        yield row | {"seconds": time.perf_counter() - began, "cpu_s": time.process_time() - worked}


def objective_and_parameters(terms, begin, measured, model, sigma_model: bool = False):
    """What is minimised, and from where: coordinates, and of the pattern scale, background, width and displacements."""
    import zeolite
    import zeolite_data

    import jaxnmr as jn

    possible = {
        "nmr": lambda: jn.TensorTerm(
            "29Si", measured.shifts, sigma=zeolite_data.SIGMA_PPM, sigma_model="model" if sigma_model else None,
            kind="principal", reference=zeolite_data.REFERENCE, name="nmr",
        ),
        "xrd": lambda: jn.PatternTerm(zeolite_data.planned(begin), measured.pattern, name="xrd"),
        "distances": lambda: jn.Restraint.distances(begin, zeolite.SILICA),
    }  # fmt: skip
    first, *others = (possible[name]() for name in terms)
    objective = jn.Objective(sum(others, start=first), crystal=begin, tensors=model if "nmr" in terms else None)
    params = objective.parameters().free("xyz")
    if "xrd" in terms:
        for element in ("O", "T"):
            first = next(label for label in begin.labels if label.startswith(element))
            params = params.tie(f"u_iso[{element}*]", f"u_iso[{first}]").free(f"u_iso[{first}]")
        params = params.set("xrd/scale", measured.scale).free("xrd/scale", "xrd/background", "xrd/size")
    return objective, params


def refined(terms, begin, measured, model, sigma_model: bool = False, max_steps: int = 100):
    """The result, whatever the ending."""
    import jaxnmr as jn

    objective, params = objective_and_parameters(terms, begin, measured, model, sigma_model)
    solver = jn.LevenbergMarquardt(max_steps=max_steps, tolerance=0.05)
    return jn.refine(objective, params, solver=solver, suggest=False, throw=False)


def errors(crystal, hidden, framework) -> dict[str, list[float]]:
    """By element, how far every atom is from the truth, Å; from the closer one of its two descriptions."""
    import zeolite

    away = min((zeolite.displacements(crystal, truth) for truth in truths(hidden, framework)), key=np.sum)
    kinds = np.array(crystal.elements)
    return {element: away[kinds == element].tolist() for element in ("Si", "O")}


def truths(hidden, framework):
    """Both descriptions of the hidden structure."""
    import zeolite

    return hidden, zeolite.equivalent(hidden, framework)


def judged(fit, hidden, framework) -> dict:
    """Errors of atoms in Å, and of coordinates in esds."""
    import zeolite

    truth = min(truths(hidden, framework), key=lambda truth: zeolite.displacements(fit.crystal, truth).sum())
    delta = np.asarray(fit.crystal.xyz) - np.asarray(truth.xyz)
    ratio = np.abs(delta - np.round(delta)) / np.asarray(fit.esds["xyz"])
    agreement = fit.statistics | fit.terms
    return {
        "status": fit.status,
        "steps": len(fit.steps),
        "compile_s": fit.compile_seconds,
        "chi2": {name: float(s.chi2) for name, s in agreement.items()},
        "error": errors(fit.crystal, hidden, framework),
        "expected": expected(fit),
        "over_esd": np.round(ratio, 3).ravel().tolist(),
        "elsewhere": bool(np.sqrt(np.mean(ratio**2)) > ELSEWHERE),
    }


def expected(fit) -> dict[str, float]:
    """By element, root mean square error of an atom that the covariance claims, Å."""
    places = fit.parameters.spec.layout.unflatten(np.arange(len(fit.parameters.labels)))["xyz"]
    lattice, kinds = np.asarray(fit.crystal.lattice()), np.array(fit.crystal.elements)
    square = np.array([np.trace(lattice.T @ fit.covariance[np.ix_(p, p)] @ lattice) for p in np.asarray(places)])
    return {element: float(np.sqrt(square[kinds == element].mean())) for element in ("Si", "O")}


def line(row: dict) -> str:
    """A refinement in a line."""
    rms = {element: float(np.sqrt(np.mean(np.square(row["error"][element])))) for element in ("Si", "O")}
    worse = np.sort(np.array(row["chi2_of_starts"]) - min(row["chi2_of_starts"]))[1:]
    starts = f"  other starts +{np.round(worse, 1)}" if len(worse) else ""
    ratio, chi2 = np.array(row["over_esd"]), ", ".join(f"{name} {value:.1f}" for name, value in row["chi2"].items())
    return (
        f"{row['realisation']:3d} {row['case']:<19}{row['status']:<10}{row['steps']:4d} steps  Si {rms['Si']:.4f} "
        f"({row['expected']['Si']:.4f})  O {rms['O']:.4f} ({row['expected']['O']:.4f}) Å  largest {ratio.max():5.2f} esd  "
        f"{'elsewhere  ' if row['elsewhere'] else ''}chi2 {chi2}  {row['cpu_s']:.1f} s{starts}"
    )


def table(rows: list[dict]) -> str:
    """Every case over its realisations; those that ended in another minimum are counted and left out."""
    head = f"{'case':<30}{'fits':>5}{'elsewhere':>10}{'Si mean':>9}{'rms':>8}{'O mean':>9}{'rms':>8}{'claimed':>9}"
    lines = [f"{head}{'1 esd':>8}{'2':>7}{'3':>7}{'largest':>9}"]
    for sigma_model in (False, True):
        for case in CASES:
            fits = [row for row in rows if row["case"] == case and row["sigma_model"] == sigma_model]
            good = [row for row in fits if not row["elsewhere"]]
            if not fits:
                continue
            text = (
                f"{case + (', with sigma_model' if sigma_model else ''):<30}{len(fits):5d}{len(fits) - len(good):10d}"
            )
            if good:
                for element, width in (("Si", 9), ("O", 9)):
                    away = np.concatenate([row["error"][element] for row in good])
                    text += f"{away.mean():{width}.4f}{np.sqrt(np.mean(away**2)):8.4f}"
                claimed = np.sqrt(np.mean([row["expected"]["O"] ** 2 for row in good]))
                ratio = np.concatenate([row["over_esd"] for row in good])
                within = "".join(f"{100 * np.mean(ratio < n):7.1f}" for n in (1, 2, 3))
                text += f"{claimed:9.4f} {within}{ratio.max():9.2f}"
            lines.append(text)
    before = {element: np.concatenate([row["before"][element] for row in rows]) for element in ("Si", "O")}
    start = ", ".join(
        f"{element} {a.mean():.3f} mean, {np.sqrt(np.mean(a**2)):.3f} rms" for element, a in before.items()
    )
    return "\n".join([*lines, f"before, Å: {start}"])


if __name__ == "__main__":
    sys.exit(main())
