"""Does a refinement of every curve by itself beat the posterior that was trained once?

    python benchmarks/echo/local_refinement.py --out out/local [--curves 20] [--simulations 448]

Curves of the ML4SCI challenge with parameters from its priors and white noise of 1e-4 and 1e-3; both are refined with the same
simulations, in the box of the wider posterior (that for 1e-3): 7 minutes on one core for 20. Errors are root mean squares, coverage is how
many of all truths lie in intervals of 68 and 95 %. Results are appended to ``local.jsonl`` curve by curve.
"""

import argparse
import json
from pathlib import Path

import numpy as np

NOISES = (1e-4, 1e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--curves", type=int, default=20)
    parser.add_argument("--simulations", type=int, default=448)
    parser.add_argument("--seed", type=int, default=20201)
    given = parser.parse_args()
    import jaxnmr as jn
    from jaxnmr.inference import Posterior, challenge_problem, coverage, simulate_bank
    from jaxnmr.inference.inferred import joined
    from jaxnmr.inference.local import inferred_in_box, prior_box, simulate_box

    jn.enable_x64()
    problem, posterior, rng = challenge_problem(), Posterior.load("spin-echo-challenge"), np.random.default_rng(1)
    fresh = simulate_bank(problem, given.curves, seed=given.seed)
    noisy = [fresh.curves + s * rng.standard_normal(fresh.curves.shape) for s in NOISES]
    trained = [posterior.infer(x, sigma=s) for x, s in zip(noisy, NOISES, strict=True)]
    refined: list[list] = [[] for _ in NOISES]
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.out / "local.jsonl").open("w") as log:
        for k in range(given.curves):
            low, high = prior_box(problem.prior, trained[-1], k)
            bank = simulate_box(problem, low, high, given.simulations, seed=k)
            row = {"truth": fresh.parameters[k].tolist()}
            for i, s in enumerate(NOISES):
                refined[i].append(inferred_in_box(problem.prior, bank, noisy[i][k], low, high, sigma=s))
                for name, of, at in (("trained", trained[i], k), ("refined", refined[i][-1], 0)):
                    row[f"{name} {s:g}"] = {"mean": of.mean[at].tolist(), "sd": of.sd[at].tolist()}
            log.write(json.dumps(row) + "\n")
            log.flush()
            if k % 5 == 4 or k == given.curves - 1:
                report(fresh.parameters[: k + 1], trained, refined, coverage, joined, problem.prior)


def report(truth, trained, refined, coverage, joined, prior) -> None:
    """Errors and coverage of both for the curves so far."""
    theta = truth[:, list(prior.indices)]
    for i, s in enumerate(NOISES):
        new = joined(refined[i])
        rms = lambda mean: np.sqrt(np.mean((mean - theta) ** 2, axis=0))
        before, after = rms(trained[i].mean[: len(theta)]), rms(new.mean)
        wide = new.sd.mean(axis=0) / trained[i].sd[: len(theta)].mean(axis=0)
        # of the trained one ranks are asked of those curves alone
        ranks = trained[i].rank(
            np.concatenate([theta, np.tile(prior.determined.low, (len(trained[i]) - len(theta), 1))])
        )
        held = [float(np.mean(np.abs(ranks[: len(theta)] - 0.5) <= 0.5 * level)) for level in (0.68, 0.95)]
        of = coverage(new, truth).observed.mean(axis=1)
        print(f"{len(theta)} curves, noise {s:g}: " + "; ".join(
            f"{name} {b:.3g} -> {a:.3g} ({a / b:.2f}), sd x {w:.2f}"
            for name, b, a, w in zip(new.names, before, after, wide, strict=True)
        ) + f"; in 68 and 95 %: {held[0]:.2f} {held[1]:.2f} -> {of[0]:.2f} {of[1]:.2f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
