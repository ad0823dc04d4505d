"""Are the stated uncertainties true, and what does NMR add? Alpha-quartz refined from many simulated sets of data.

    python benchmarks/replicates.py --out out/replicates --realisations 40

The refinement is that of ``examples/quartz/quartz_joint.toml``. In every realisation the counts of the pattern and the NMR data
are drawn anew around what the true structure gives, and atoms start 0.03 Å away (root mean square along each axis). All of
them share one compiled program per case:

- ``pattern``: powder pattern alone;
- ``nmr``: 29Si shift and principal values, 17O C_Q and eta alone, in the true cell;
- ``joint``: all of it.

NMR data are what the models predict of the true structure, with errors drawn from the uncertainties that the terms work with there:
those of the measurement, and those the model states of what is compared. In the BEST CASE, marked so, the model makes no error
and claims none. What is tested is the arithmetic of refinement and uncertainty, not the model, whose real errors need not be
drawn from what it states. ``replicates.json`` holds every fit.
"""

import dataclasses
import json
import operator
import sys
import time
from functools import reduce
from pathlib import Path

import numpy as np
from timing import benchmark_parser, machine, pin

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "quartz"
NMR = ("shift", "span", "oxygen")
# by case: terms, and what is free beside the coordinates
CASES = {
    "pattern": (("xrd", "prior 1"), ("cell", "u_iso", "xrd/scale", "xrd/background", "xrd/size")),
    "nmr": (NMR, ("span/reference",)),
    "joint": (
        ("xrd", *NMR, "prior 1"),
        ("cell", "u_iso", "xrd/scale", "xrd/background", "xrd/size", "span/reference"),
    ),
}
START = 0.03
# coordinates that are more esds off than this, root mean square, belong to another minimum
ELSEWHERE = 5.0


def _factor(term) -> np.ndarray:
    """A factor of the covariance of the errors of one site, those that all sites share included."""
    own = np.linalg.inv(np.asarray(term.whitening)[0])
    common = np.asarray(term.commons)[:, None] * np.asarray(term.directions)
    return own @ np.linalg.cholesky(np.eye(len(own)) + common.T @ common)


def main() -> None:
    parser = benchmark_parser(__doc__, "two realisations of the pattern alone")
    parser.add_argument("--realisations", type=int, default=40)
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    options = parser.parse_args()
    if options.quick:
        options.realisations, options.case = 2, ["pattern"]
    cores = pin(options.cores)

    import jaxnmr as jn

    jn.enable_x64()
    options.out.mkdir(parents=True, exist_ok=True)
    study, rows = Study(), []
    for case in options.case:
        for best in (False, True) if case != "pattern" else (False,):
            began = time.process_time()
            rows += [study.fit(case, best, seed) for seed in range(options.realisations)]
            print(f"{case}{' (BEST CASE)' if best else ''}: {time.process_time() - began:.0f} s of processor time")
            # after every case: a study that is cut short keeps what it has
            record = {"machine": machine(cores), "models": study.weights, "start_angstrom": START}
            record |= {"summary": summary(rows), "fits": rows}
            (options.out / "replicates.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(words(summary(rows)))
    print(f"written to {options.out / 'replicates.json'}")


class Study:
    """The problem at the true structure, made once, and refinements of data drawn around it."""

    def __init__(self):
        import jaxnmr as jn
        from jaxnmr.runfile import build, load_run

        sys.path.insert(0, str(EXAMPLE))
        import make_joint_data as recipe
        import make_pattern

        self.recipe, self.crystal = recipe, jn.Crystal.create(**make_pattern.QUARTZ)
        self.mean_counts = make_pattern.expected_counts(recipe.ANGLES, recipe.TRUTH, recipe.HIGHEST_PEAK)
        run = load_run(EXAMPLE / "quartz_joint.toml")
        exact = {
            kind: tuple(dataclasses.replace(spec, sigma_model=None) for spec in getattr(run, kind))
            for kind in ("peaks", "tensors")
        }
        self.setups = {False: build(run), True: build(dataclasses.replace(run, **exact))}
        self.weights = {str(spec.path): path.name for spec in run.models for path in spec.inputs}
        self.expected = {best: self._expected(setup) for best, setup in self.setups.items()}

    def _expected(self, setup) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """By term of NMR data, what the true structure gives, and a factor of the covariance of its errors."""
        params = setup.parameters.set("cell", self.crystal.cell).set("xyz", self.crystal.xyz)
        objective = setup.objective.bind(params)
        state, terms = objective.host_state(params), {t.name: t for t in objective.terms}
        shift = terms["shift"]
        parts = (shift.sigma, shift.model_sigma, shift.model_common)
        factors = {"shift": np.sqrt(sum(np.asarray(part) ** 2 for part in parts)).reshape(1, 1)}
        factors |= {name: _factor(terms[name]) for name in NMR[1:]}
        return {name: (np.ravel(terms[name].calculated(state)), factor) for name, factor in factors.items()}

    # -- data ----------------------------------------------------------------------------------------------------
    def drawn(self, terms: dict, best: bool, rng) -> dict:
        """The terms with other data."""
        counts = rng.poisson(self.mean_counts).astype(float)
        xrd = terms["xrd"].replace(observed=counts, sigma=np.sqrt(np.maximum(counts, 1.0)))
        shift, span, oxygen = (
            mean + factor @ rng.normal(size=len(mean)) for mean, factor in map(self.expected[best].get, NMR)
        )
        # what a measurement can be
        oxygen = np.clip(np.abs(oxygen), 0.0, [np.inf, 1.0])
        prior = terms["prior 1"]
        return terms | {
            "xrd": xrd,
            "shift": terms["shift"].replace(shifts=shift),
            "span": terms["span"].replace(observed=np.sort(span)[None, ::-1]),
            "oxygen": terms["oxygen"].replace(observed=oxygen[None]),
            "prior 1": prior.replace(target=rng.normal(float(self.crystal.u_iso[0]), float(prior.sigma))),
        }

    # -- refinements ---------------------------------------------------------------------------------------------
    def fit(self, case: str, best: bool, seed: int) -> dict:
        """Refine one realisation; the same seed draws the same counts and the same start in every case."""
        import jaxnmr as jn

        names, free = CASES[case]
        setup, rng = self.setups[best], np.random.default_rng(seed)
        terms = self.drawn({t.name: t for t in setup.objective.terms}, best, rng)
        models = [p.model for p in setup.objective.sources] if set(names) & set(NMR) else None
        together = reduce(operator.add, (1.0 * terms[name] for name in names))
        objective = jn.Objective(together, crystal=self.crystal, models=models)
        params = objective.parameters()
        moved = np.random.default_rng([seed, 1]).normal(0.0, START, (2, 3)) @ np.linalg.inv(self.crystal.lattice())
        # symmetry keeps silicon on its axis
        moved[0, 1:] = 0.0
        params = params.set("xyz", np.asarray(self.crystal.xyz) + moved)
        if "xrd" in names:
            params = params.tie("u_iso[O1]", "u_iso[Si1]", factor=2.0)
            for name, value in self.recipe.TRUTH.items():
                params = params.set(f"xrd/{name}", value)
            params = params.set("xrd/scale", self.recipe.HIGHEST_PEAK / 100.0)
        stages = [jn.Stage(free=("xrd/scale",), name="scale")] if "xrd" in names else []
        stages.append(jn.Stage(free=("xyz", *free), name="all"))
        began = time.process_time()
        fit = jn.refine(objective, params, stages=stages, throw=False, suggest=False)
        return {"case": case, "best": best, "seed": seed, "status": fit.status} | self._judged(fit, began)

    def _judged(self, fit, began: float) -> dict:
        esd = np.asarray(fit.esds["xyz"])
        refined = esd > 0
        off = np.asarray(fit.crystal.xyz) - np.asarray(self.crystal.xyz)
        distance = np.linalg.norm(off @ np.asarray(self.crystal.lattice()), axis=1)
        return {
            "deviations": (off[refined] / esd[refined]).tolist(),
            "error_angstrom": distance.tolist(),
            "esd_angstrom": [atom.esd for atom in fit.information.atoms],
            "steps": len(fit.steps),
            "processor_seconds": time.process_time() - began,
        }


# -- what they come to -----------------------------------------------------------------------------------------------
def summary(rows: list[dict]) -> list[dict]:
    """Per case, how often coordinates are within 1, 2 and 3 esds, and how far atoms are from the truth."""
    out = []
    for case, best in dict.fromkeys((row["case"], row["best"]) for row in rows):
        of = [row for row in rows if (row["case"], row["best"]) == (case, best)]
        ended = [row for row in of if row["status"] == "converged"]
        here = [row for row in ended if np.sqrt(np.mean(np.square(row["deviations"]))) < ELSEWHERE]
        deviations = np.abs([row["deviations"] for row in here]).ravel()
        error, esd = (np.array([row[key] for row in here]) for key in ("error_angstrom", "esd_angstrom"))
        out.append(
            {
                "case": case,
                "best_case": best,
                "realisations": len(of),
                "converged": len(ended),
                "elsewhere": len(ended) - len(here),
                "coordinates": deviations.size,
                "within": {str(k): float(np.mean(deviations <= k)) for k in (1, 2, 3)},
                "beyond_5": int(np.sum(deviations > 5)),
                "largest": float(deviations.max(initial=0.0)),
                "mean_error_angstrom": dict(zip(("Si1", "O1"), error.mean(axis=0).tolist(), strict=True)),
                "mean_esd_angstrom": dict(zip(("Si1", "O1"), esd.mean(axis=0).tolist(), strict=True)),
                "processor_seconds_per_fit": float(np.median([row["processor_seconds"] for row in of])),
            }
        )
    return out


def words(table: list[dict]) -> str:
    """The summary as text."""
    lines = ["case               fits  elsewhere  within 1, 2, 3 esds / %   largest  error Si, O / Å    esd Si, O / Å"]
    for of in table:
        name = of["case"] + (" BEST CASE" if of["best_case"] else "")
        within = "  ".join(f"{100 * part:5.1f}" for part in of["within"].values())
        numbers = [
            f"{of[key][site]:.4f}" for key in ("mean_error_angstrom", "mean_esd_angstrom") for site in ("Si1", "O1")
        ]
        lines.append(
            f"{name:<18} {of['converged']:>2}/{of['realisations']:<4} {of['elsewhere']:>6}      {within}        "
            f"{of['largest']:5.2f}    {numbers[0]}  {numbers[1]}   {numbers[2]}  {numbers[3]}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
