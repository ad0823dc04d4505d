"""Zeolite ZSM-12 refined from its idealised framework: powder pattern, NMR and restraints, alone and together.

    export JAXNMR_DATA=/path/to/data
    python benchmarks/zeolite_refinement.py --out out/zeolite --realisations 20

What is hidden, measured and refined is in ``zeolite_problem.py``. ``zeolite.jsonl`` gets a line per refinement and is read again by
``--table``, which prints what all of them come to. ``--linear`` prints what to expect, ``--starts`` refines one realisation from many
places near its minimum.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from timing import machine, pin

USUAL = ("restrained", "xrd continued", "joint", "everything")
# Å, of the starts near a minimum
NEAR = 0.05


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("JAXNMR_DATA"), help="folder of measured data")
    parser.add_argument("--out", type=Path, default=Path("out/zeolite"))
    parser.add_argument("--realisations", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first realisation")
    parser.add_argument("--case", nargs="+", default=USUAL, help=f"of zeolite_problem; default: {', '.join(USUAL)}")
    parser.add_argument("--max-steps", type=int, default=100)
    parser.add_argument(
        "--sigma-model", action="store_true", help="errors of the models in the data and in the weights"
    )
    parser.add_argument("--counts", type=float, help="of the pattern at its highest point; default: 10000")
    parser.add_argument("--table", action="store_true", help="only print what zeolite.jsonl holds")
    parser.add_argument("--linear", action="store_true", help="only print errors that covariances at the truth promise")
    parser.add_argument(
        "--starts", type=int, help="refine from so many places near the minimum of --case, by both solvers"
    )
    parser.add_argument("--cores", type=int, default=1)
    options = parser.parse_args(argv)
    if options.data is None and not options.table:
        parser.error("set JAXNMR_DATA, or say --data where openchemistry_crystals is")
    cores = pin(options.cores)

    import zeolite_problem

    import jaxnmr as jn

    jn.enable_x64()
    if unknown := [case for case in options.case if case not in zeolite_problem.CASES]:
        parser.error(f"no case {unknown[0]!r}; there are {', '.join(zeolite_problem.CASES)}")
    results = options.out / "zeolite.jsonl"
    if options.table:
        print(table([json.loads(text) for text in results.read_text(encoding="utf-8").splitlines()]))
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    numbers = range(options.first, options.first + options.realisations)
    if options.linear:
        import zeolite_linear

        print(zeolite_linear.words([zeolite_linear.promises(made(k, options)) for k in numbers]))
        return 0
    if options.starts:
        for case in options.case:
            for text in same_minimum(options.first, case, options):
                print(text, flush=True)
        return 0
    rows = []
    for k in numbers:
        for row in realisation(k, options):
            rows.append(row)
            with results.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
            print(line(row), flush=True)
    print(table(rows))
    (options.out / "machine.json").write_text(json.dumps(machine(cores), indent=1) + "\n", encoding="utf-8")
    return 0


def made(k: int, options):
    """The hidden structure and its data."""
    from zeolite_problem import Realisation

    counts = {} if options.counts is None else {"counts": options.counts}
    return Realisation.create(k, options.data, sigma_model=options.sigma_model, **counts)


def realisation(k: int, options):
    """Rows of one hidden structure and its noise, one per case."""
    from zeolite_problem import CASES, rms, total_chi2

    of = made(k, options)
    starts = {"framework": of.shaken[:1], "frameworks": of.shaken, "truth": [of.hidden]}
    for case in options.case:
        began, worked = time.perf_counter(), time.process_time()
        terms, start = CASES[case]
        fits = [of.refined(terms, of.assigned(begin, terms), options.max_steps) for begin in starts[start]]
        total = [total_chi2(fit) for fit in fits]
        fit = fits[int(np.argmin(total))]
        starts[case] = [fit.crystal]
        row = {"realisation": k, "case": case, "sigma_model": options.sigma_model, "chi2_of_starts": total}
        row["o_of_starts"] = [rms(of.errors(fit.crystal)["O"]) for fit in fits]
        row |= of.judged(fit)
        yield row | {"seconds": time.perf_counter() - began, "cpu_s": time.process_time() - worked}


def same_minimum(k: int, case: str, options) -> Iterator[str]:
    """Starts near the minimum of a case: what both solvers say, how far their minima are apart, and the way over restraints.

    The last refines the same starts with pattern and restraints first, then with all terms.
    """
    import jax
    from zeolite import displacements
    from zeolite_problem import CASES, rms, total_chi2

    import jaxnmr as jn

    of = made(k, options)
    terms, _ = CASES[case]
    first = min((of.refined(CASES["restrained"][0], begin, options.max_steps) for begin in of.shaken), key=total_chi2)
    objective, params = of.objective(terms, of.assigned(first.crystal, terms))
    reported = jn.refine(
        objective, params, solver=jn.LevenbergMarquardt(max_steps=options.max_steps), suggest=False, throw=False
    )
    near = jn.displaced(objective, reported.parameters, jax.random.key(k), n=options.starts, distance=NEAR)
    yield f"{case}, realisation {k}: reported {reported.status}, chi² {total_chi2(reported):.2f}"
    for solver in (jn.LevenbergMarquardt, jn.GaussNewton):
        found = jn.refine_starts(objective, near, solver=solver(max_steps=options.max_steps), throw=False)
        yield f"{solver.__name__}: {found.message}\n{found.table()}"
        for number, other in enumerate(found.minima, start=1):
            esds = np.abs(other.crystal.xyz - found.best.crystal.xyz) / found.best.esds["xyz"]
            yield (
                f"minimum {number}: {rms(displacements(other.crystal, found.best.crystal)):.4f} Å rms and at most "
                f"{esds.max():.2f} esds of a coordinate from minimum 1, O {rms(of.errors(other.crystal)['O']):.4f} Å from the truth"
            )
    places = near.spec.layout.unflatten(np.arange(len(near.labels)))["xyz"]
    begins = [first.crystal.replace(xyz=flat[places]) for flat in np.asarray(near.flat)]
    known = [of.refined(CASES["restrained"][0], begin, options.max_steps) for begin in begins]
    ends = [of.refined(terms, fit.crystal, options.max_steps) for fit in known]
    levels = [total_chi2(fit) for fit in ends]
    lowest = ends[int(np.argmin(levels))]
    away = [np.abs(fit.crystal.xyz - lowest.crystal.xyz) / lowest.esds["xyz"] for fit in ends]
    yield (
        f"pattern and restraints before the rest: chi² {min(levels):.2f} to {max(levels):.2f}, at most {np.max(away):.3f} esds of a "
        f"coordinate from the lowest; {sum(fit.status == 'converged' for fit in ends)} of {len(ends)} converged"
    )


def line(row: dict) -> str:
    """A refinement in a line."""
    off = {element: float(np.sqrt(np.mean(np.square(row["error"][element])))) for element in ("Si", "O")}
    worse = np.sort(np.array(row["chi2_of_starts"]) - min(row["chi2_of_starts"]))[1:]
    starts = f"  other starts +{np.round(worse, 1)}" if len(worse) else ""
    ratio, chi2 = np.array(row["over_esd"]), ", ".join(f"{name} {value:.1f}" for name, value in row["chi2"].items())
    return (
        f"{row['realisation']:3d} {row['case']:<23}{row['status']:<10}{row['steps']:4d} steps  Si {off['Si']:.4f} "
        f"({row['expected']['Si']:.4f})  O {off['O']:.4f} ({row['expected']['O']:.4f}) Å  largest {ratio.max():5.2f} esd  "
        f"{'elsewhere  ' if row['elsewhere'] else ''}chi2 {chi2}  {row['cpu_s']:.1f} s{starts}"
    )


def table(rows: list[dict]) -> str:
    """Every case over its realisations; those that ended in another minimum are counted and left out."""
    head = f"{'case':<40}{'fits':>5}{'elsewhere':>10}{'Si mean':>9}{'rms':>8}{'O mean':>9}{'rms':>8}{'claimed':>9}"
    lines = [f"{head}{'1 esd':>8}{'2':>7}{'3':>7}{'largest':>9}"]
    for case, sigma_model in sorted(
        dict.fromkeys((row["case"], row["sigma_model"]) for row in rows), key=lambda c: c[1]
    ):
        fits = [row for row in rows if (row["case"], row["sigma_model"]) == (case, sigma_model)]
        good = [row for row in fits if not row["elsewhere"]]
        text = f"{case + (', with sigma_model' if sigma_model else ''):<40}{len(fits):5d}{len(fits) - len(good):10d}"
        if good:
            for element in ("Si", "O"):
                away = np.concatenate([row["error"][element] for row in good])
                text += f"{away.mean():9.4f}{np.sqrt(np.mean(away**2)):8.4f}"
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
