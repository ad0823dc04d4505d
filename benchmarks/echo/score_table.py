"""The score table of the ML4SCI NMR challenge: baselines, the winners' recipe, and a posterior of this package.

    python benchmarks/echo/score_table.py --labels mat_info.txt --banks banks --posterior spin-echo-challenge [--winners]

Error: squared errors in units of the widths of the priors, summed over 500 curves, as R² by prior variances:
500/12 Σ (1 - R²). The length ξ cannot be known and costs 41.67 whoever answers with the middle of its prior. Training curves are
simulated from the labels (10,000 lines of alpha, xi, p, d), fresh ones from the prior; both are kept in the folder of banks.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnmr.inference import Bank, Posterior, challenge_problem, coverage, score, simulate_bank

NAMES = ("alpha", "xi", "p", "d")
PROBLEM = challenge_problem()
LOW, WIDTH = PROBLEM.prior.low, PROBLEM.prior.width


def error(predicted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, float]:
    """R² by prior variances, and the error per 500 curves."""
    square = (((predicted - truth) / WIDTH) ** 2).mean(axis=0)
    return 1.0 - 12.0 * square, float(500.0 * square.sum())


def row(name: str, predicted: np.ndarray, truth: np.ndarray, seconds: float = 0.0) -> None:
    r2, total = error(predicted, truth)
    spread = " ".join(f"{s:.4f}" for s in predicted.std(axis=0))
    print(f"{name:34s} R2 {r2.round(4)}  error {total:6.2f}  spreads {spread}  {seconds:6.0f} s", flush=True)


def notebook_network(train: Bank, fresh: Bank, epochs: int = 15, batch: int = 32) -> np.ndarray:
    """The example of the challenge: 400-400-200-24-4 on both parts of points 210 to 409; smooth L1, SGD with momentum.

    Its targets are taken in units of the priors, and its batch is 32; neither is stated.
    """

    class Network(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            for width in (400, 200, 24):
                x = nn.relu(nn.Dense(width)(x))
            return nn.Dense(4)(x)

    def inputs(bank: Bank) -> np.ndarray:
        return np.concatenate([bank.curves[:, 210:410], bank.curves[:, 471 + 210 : 471 + 410]], axis=1)

    x, y = jnp.asarray(inputs(train)), jnp.asarray((train.parameters - LOW) / WIDTH, jnp.float32)
    network, optimiser = Network(), optax.sgd(1e-3, momentum=0.9)
    variables = network.init(jax.random.key(0), x[:2])

    @jax.jit
    def epoch(carry, order):
        def step(carry, chosen):
            variables, memory = carry
            slope = jax.grad(lambda v: optax.huber_loss(network.apply(v, x[chosen]), y[chosen]).mean())(variables)
            change, memory = optimiser.update(slope, memory)
            return (optax.apply_updates(variables, change), memory), None

        return jax.lax.scan(step, carry, order)[0]

    carry, rng = (variables, optimiser.init(variables)), np.random.default_rng(0)
    for _ in range(epochs):
        carry = epoch(carry, jnp.asarray(rng.permutation(len(x))[: len(x) // batch * batch].reshape(-1, batch)))
    return LOW + WIDTH * np.asarray(network.apply(carry[0], inputs(fresh)))


def winners(train: Bank, fresh: Bank, most: int = 4000) -> np.ndarray:
    """The recipe of the first place: least squares (α), Bayesian ridge (ξ, d), a support vector machine (p; on so many curves)."""
    from sklearn.feature_selection import SelectKBest, f_regression
    from sklearn.linear_model import BayesianRidge, LinearRegression
    from sklearn.svm import SVR

    x, new = train.curves.astype(float), fresh.curves.astype(float)
    found = np.empty((len(new), 4))
    for k, (features, model) in enumerate(
        [(300, LinearRegression()), (100, BayesianRidge()), (None, SVR(C=10.0, epsilon=1e-4, kernel="poly")), (100, BayesianRidge())]
    ):  # fmt: skip
        y = train.parameters[:, k].astype(float)
        if features is None:
            found[:, k] = model.fit(x[:most], y[:most]).predict(new)
        else:
            best = SelectKBest(f_regression, k=features).fit(x, y)
            found[:, k] = model.fit(best.transform(x), y).predict(best.transform(new))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--banks", type=Path, required=True)
    parser.add_argument("--posterior", default="spin-echo-challenge")
    parser.add_argument("--fresh", type=int, default=2000)
    parser.add_argument("--skip", type=int, default=0, help="of the fresh ones, on which choices were made")
    parser.add_argument("--winners", action="store_true", help="needs scikit-learn")
    parser.add_argument("--only-posterior", action="store_true")
    given = parser.parse_args()
    fresh = simulate_bank(PROBLEM, given.skip + given.fresh, seed=2, folder=given.banks / "fresh").part(given.skip)
    truth = fresh.parameters.astype(float)
    if not given.only_posterior:
        labels = np.loadtxt(given.labels)
        train = simulate_bank(PROBLEM, len(labels), seed=3, folder=given.banks / "labels", parameters=labels)
        row("mean predictor", np.tile(train.parameters.mean(axis=0), (len(fresh), 1)), truth)
        began = time.process_time()
        row("notebook network", notebook_network(train, fresh), truth, time.process_time() - began)
        if given.winners:
            began = time.process_time()
            row("winners' recipe", winners(train, fresh), truth, time.process_time() - began)
    posterior, rng, rows = Posterior.load(given.posterior), np.random.default_rng(7), {}
    for sigma in (0.0, 1e-6, 1e-5, 1e-4, 1e-3):
        noise = (sigma * rng.standard_normal(fresh.curves.shape)).astype(np.float32)
        found = posterior.infer(fresh.curves + noise, sigma=sigma)
        r2, total = score(found, fresh.parameters)
        held = coverage(found, fresh.parameters)
        rows[f"{sigma:g}"] = {"r2": r2.tolist(), "error": total, "coverage": held.to_dict()}
        print(
            f"posterior, noise {sigma:<16g} R2 {dict(zip(found.names, r2.round(4).tolist(), strict=True))}  error {total:6.2f}"
        )
        print(f"  {held}".replace("\n", "\n  "), flush=True)
    print("the row without noise lives on digits that no experiment has")
    (given.banks / "scores.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
