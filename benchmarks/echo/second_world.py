"""Couplings with a length: how well each posterior does, and how well families of couplings are told apart.

    jaxnmr echo train benchmarks/echo/second_world.toml --out out/second-world
    python benchmarks/echo/second_world.py --folder out/second-world --out out/second-world.json [--log out/second-world.log]

Of every family fresh curves are read from the folder of the training, or simulated into it where there are too few. Coverage stands by
thirds of the posterior mean, where right intervals hold the truth as often as they say. By thirds of the truth they need not: of a
parameter that a curve hardly tells, intervals about the middle of the prior miss both of its ends, however right they are.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from jaxnmr.inference import Families, Inferred, Posterior, coverage, echo_problem, score, simulate_bank, told_apart
from jaxnmr.runfile.echo import load_echo

FRESH = 1_000_003
SIGMAS = (0.0, 1e-4, 1e-3)
LEVELS = (0.68, 0.95)


def by_estimate(found: Inferred, truth: np.ndarray) -> np.ndarray:
    """``(levels, 3, k)`` coverage in thirds of the prior in which the posterior mean lies."""
    prior = found.prior.determined
    third = np.clip((3.0 * (found.mean - prior.low) / prior.width).astype(int), 0, 2)
    ranks = found.rank(truth)
    held = np.stack([np.abs(ranks - 0.5) <= 0.5 * level for level in LEVELS])
    return np.stack(
        [(held * (third == k)).sum(axis=1) / np.maximum((third == k).sum(axis=0), 1) for k in range(3)], axis=1
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of the training")
    parser.add_argument("--run", type=Path, default=Path(__file__).with_suffix(".toml"))
    parser.add_argument("--fresh", type=int, default=2048, help="curves of each family")
    parser.add_argument(
        "--more", nargs=2, metavar=("FAMILY", "CURVES"), default=("gaussian", "6144"), help="of one family more"
    )
    parser.add_argument("--out", type=Path, help="numbers, as JSON")
    parser.add_argument("--log", type=Path, help="what is printed")
    given = parser.parse_args()
    lines: list[str] = []

    def say(text: str) -> None:
        print(text, flush=True)
        lines.append(text)

    run = load_echo(given.run)
    rows: dict[str, dict] = {"posteriors": {}, "families": {}}
    fresh = {}
    for k, (name, (experiment, ranges)) in enumerate(run.worlds.items()):
        problem = echo_problem(experiment, ranges, name=name)
        count = int(given.more[1]) if name == given.more[0] else given.fresh
        fresh[name] = bank = simulate_bank(
            problem, count, seed=run.train.seed + k + FRESH, folder=given.folder / name / "fresh"
        )
        posterior, rng = Posterior.load(given.folder / name / "posterior.safetensors"), np.random.default_rng(5)
        say(f"{name}: {posterior.card['simulations']} simulations, {count} fresh ones")
        rows["posteriors"][name] = {}
        for sigma in SIGMAS:
            noise = (sigma * rng.standard_normal(bank.curves.shape)).astype(np.float32)
            found = posterior.infer(bank.curves + noise, sigma=sigma)
            r2, _ = score(found, bank.parameters)
            held, thirds = coverage(found, bank.parameters), by_estimate(found, bank.parameters)
            rows["posteriors"][name][f"{sigma:g}"] = {
                "r2": dict(zip(found.names, r2.tolist(), strict=True)), "coverage": held.to_dict(), "by_estimate": thirds.tolist()
            }  # fmt: skip
            for j, parameter in enumerate(found.names):
                words = "   ".join(
                    f"{100 * level:.0f} %: {100 * held.observed[i, j]:.1f} ({' '.join(f'{100 * v:.1f}' for v in thirds[i, :, j])};"
                    f" by truth {' '.join(f'{100 * v:.1f}' for v in held.by_third[i, :, j])})"
                    for i, level in enumerate(LEVELS)
                )
                say(f"  noise {sigma:<6g} {parameter:5s} R2 {r2[j]:.3f}   {words}")
    families, rng = Families.load(given.folder / "families.safetensors"), np.random.default_rng(6)
    say(f"families: {families.card['simulations']} simulations of each, temperature {families.temperature:.2f}")
    for sigma in SIGMAS:
        found = []
        for bank in (fresh[name].part(0, given.fresh) for name in families.names):
            noise = (sigma * rng.standard_normal(bank.curves.shape)).astype(np.float32)
            found.append(families.probabilities(bank.curves + noise, sigma=sigma))
        told = told_apart(families.names, found)
        best = np.concatenate(found).max(axis=1)
        right = np.concatenate([p.argmax(axis=1) == k for k, p in enumerate(found)])
        sure = {
            f"{level:g}": [int((best > level).sum()), float(right[best > level].mean())] for level in (0.5, 0.7, 0.9)
        }
        weak = [weakest(found, fresh, families.names, given.fresh)]
        rows["families"][f"{sigma:g}"] = told.to_dict() | {"sure": sure, "weakest_fields": weak}
        say(f"noise {sigma:g}: {told}")
        for level, (count, part) in sure.items():
            say(f"  said with more than {level}: {count} of {len(best)} curves, right in {100 * part:.1f} %")
        say(f"  weakest tenth of alpha: mean of the largest probability {weak[0]:.3f}, of all others {best.mean():.3f}")
    if given.out is not None:
        given.out.write_text(json.dumps(rows))
    if given.log is not None:
        given.log.write_text("\n".join(lines) + "\n")


def weakest(found: list[np.ndarray], fresh: dict, names: tuple[str, ...], count: int) -> float:
    """Mean largest probability of the curves of each family with the smallest tenth of |alpha|: there is little to see."""
    kept = []
    for probabilities, name in zip(found, names, strict=True):
        alpha = np.abs(fresh[name].parameters[:count, 0])
        kept.append(probabilities[alpha <= np.quantile(alpha, 0.1)].max(axis=1))
    return float(np.concatenate(kept).mean())


if __name__ == "__main__":
    main()
