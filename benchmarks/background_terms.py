"""How many Chebyshev terms the measured examples ask for, and what ``terms = "auto"`` takes, as a Markdown table.

    JAXNMR_DATA=/path/to/data python benchmarks/background_terms.py --out FOLDER [--example fap ...]

Every example is refined with 24 terms in each histogram. What fewer terms would have left follows from the Jacobian there, all other
parameters following linearly. Then it is refined with ``"auto"``.
"""

import argparse
import json
from pathlib import Path

import numpy as np

EXAMPLES = ("fap", "pbso4", "pbso4_xn", "nac", "nanbo2f2")
FEWEST, MOST = 3, 24
# per cent, absolute: how much worse than the best number of terms is as good
WITHIN = 0.2


def refined(name: str, terms):
    """An example of the folder examples, refined with so many terms of every background."""
    import jaxnmr as jn
    from jaxnmr.runfile import build, load_run

    run = load_run(Path(__file__).parents[1] / "examples" / f"{name}.toml")
    for histogram in run.histograms:
        histogram.background.update(kind="chebyshev", terms=terms)
    setup = build(run)
    return jn.refine(setup.objective, setup.parameters, stages=setup.stages, solver=setup.solver, suggest=False)


def with_fewer(fit, histogram: str) -> dict[int, float]:
    """Rwp in per cent of one histogram by number of terms, from a refinement with the most."""
    from jaxnmr.objective.objective import residuals_and_jacobian

    params, objective = fit.parameters, fit.objective
    r, jacobian = residuals_and_jacobian(
        params.spec.layout, objective, params.offset(), params.spec.transform, params.theta
    )
    r, jacobian, theta = np.asarray(r), np.asarray(jacobian), params.theta
    number = [
        int(name.rpartition("[")[2][:-1]) if name.startswith(f"{histogram}/background[") else -1
        for name in params.free_names
    ]
    rows = objective.row_slices(params)[histogram]
    shown = fit.evidence[histogram]
    total = float(np.sum((shown.observed / shown.sigma) ** 2))
    # columns with those of high terms last: each further step of Gram and Schmidt is one term more
    order = np.argsort(number, kind="stable")
    q = np.linalg.qr(jacobian[:, order])[0]
    found = {}
    for terms in range(FEWEST, MOST + 1):
        kept = int(np.sum(np.array(number)[order] < terms))
        # without the higher terms, and with all others moved to their best
        left = r - jacobian[:, order[kept:]] @ theta[order[kept:]]
        left = left - q[:, :kept] @ (q[:, :kept].T @ left)
        found[terms] = 100.0 * float(np.sqrt(left[rows] @ left[rows] / total))
    return found


def main() -> None:
    import jaxnmr as jn

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--example", nargs="*", default=EXAMPLES, choices=EXAMPLES)
    options = parser.parse_args()
    jn.enable_x64()
    rows, record = [], {}
    for name in options.example:
        rich, auto = refined(name, MOST), refined(name, "auto")
        for histogram in rich.patterns:
            by_hand = with_fewer(rich, histogram)
            best = min(by_hand, key=by_hand.get)
            terms, rwp = auto.patterns[histogram].background_terms, auto.statistics[histogram].rwp
            good = rwp <= by_hand[best] + WITHIN and terms <= best
            few = next(n for n, of in by_hand.items() if of <= by_hand[best] + WITHIN)
            record[f"{name}/{histogram}"] = {"by_hand": by_hand, "auto": terms, "rwp": rwp, "good": bool(good)}
            shown = " | ".join(f"{by_hand[n]:.2f}" for n in (3, 6, 9, 12, 18, 24))
            rows.append(
                f"| {name}, {histogram} | {shown} | {best}: {by_hand[best]:.2f} | {few} | {terms}: {rwp:.2f} | {'yes' if good else 'no'} |"
            )
            print(rows[-1], auto.status, flush=True)
    header = "| Rwp / % with | 3 | 6 | 9 | 12 | 18 | 24 | best | fewest within 0.2 | auto | good |"
    table = "\n".join([header, "|---" * 11 + "|", *rows])
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "background_terms.md").write_text(table + "\n", encoding="utf-8")
    (options.out / "background_terms.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
