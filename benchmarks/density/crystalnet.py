"""CrystalNet's architecture, reduced, trained on Perov-5 and set beside retrieval: a row of the baselines.

    JAXNMR_DATA=... python benchmarks/density/crystalnet.py FOLDER [--epochs 28] [--crystals 60] [--json FILE]

Training writes its state and a line of log.jsonl to FOLDER after every epoch and goes on where it stopped; FOLDER/cycle.msgpack is
kept whenever the rate has fallen to its end (epochs 4, 12, 28, 60), and is what is judged. ``--epochs 0`` only judges. Scores are kept crystal by crystal, too.

Reduced, against the paper: `crystalnet_network.Widths` for the widths, 640 of 1024 bins (no line of these patterns is beyond), 128 of
1000 points of each crystal in a step, drawn from 1000 of a grid of 30³, batches of 64, a rate of 0.002 with cycles of 4, 8, 16 ... epochs,
and `LineNoise` on the lines rather than 0.001 on all bins. As in the paper: random Fourier features, a latent vector of two
halves, patterns moved by up to three bins, the loss, Adam, restarts. Crystals lie in the one pose of `perovskite_pose`,
and so does the truth, which is kinder than the paper, whose crystals lie as they come.

Test crystals and their patterns are those of prior.py. "Five samples" is the paper's measure: the best of 24 rotations and of five
latent vectors, SSIM and PSNR each for itself, without shifts. "Mean" is one density, of the mean latent vector, by the measure of
prior.py: the best over shifts and the 12 poses that differ.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import perov5
from baselines import POSES, counts, intervals, patterns
from crystalnet_network import PUBLISHED, CrystalNet, Widths, loss, sample
from retrieval import Retrieval
from train_prior import samples_of

from jaxnmr._files import write_atomically
from jaxnmr._tables import plain
from jaxnmr.crystal import Crystal
from jaxnmr.density import compare, superposed
from jaxnmr.density.prior.data import LineNoise, LineSet, fractions_of
from jaxnmr.diffraction.corrections import bragg_two_theta, lorentz_factor, polarization_factor

WAVELENGTH, BIN, BINS = 0.71073, 180.0 / 1024.0, 640
TRAIN_POINTS, KEPT, DRAWN, BATCH = 30, 1000, 128, 64
RATE, CYCLE, SAMPLES = 2e-3, 4, 5
# of retrieval, tuned by baselines.py
WEIGHT = 100.0


class Crystals(NamedTuple):
    """What training draws from: areas of lines ``(n, lines)``, bins of these, fractions, densities at `KEPT` points and their places."""

    areas: np.ndarray
    bins: np.ndarray
    factors: np.ndarray
    fractions: np.ndarray
    values: np.ndarray
    places: np.ndarray


def crystal_of(item) -> Crystal:
    return Crystal.create(
        cell=list(item.cell), spacegroup=1, species=item.elements, xyz=item.xyz, u_iso=0.0, name="perovskite"
    )


def lines_of(entries) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Areas without noise, bins, and Lorentz and polarisation factors of the lines of crystals."""
    squares = LineSet.within(44).squares
    angles = np.asarray(bragg_two_theta(np.sqrt(squares) / np.array([e.a for e in entries])[:, None], WAVELENGTH))
    factors = np.asarray(lorentz_factor(angles) * polarization_factor(angles, 0.5))
    bins = np.floor(angles / BIN).astype(np.int32)
    if bins.max() >= BINS:
        raise ValueError(f"a line at {angles.max():.1f} degrees, beyond {BINS * BIN:.1f}")
    return patterns(entries) ** 2, bins, factors


def prepared(entries, elements: tuple[str, ...], file: Path) -> Crystals:
    """Crystals to train with, from a file where they were prepared before."""
    if file.is_file():
        with np.load(file) as kept:
            return Crystals(**kept)
    items, rng, n = samples_of(entries), np.random.default_rng(7), TRAIN_POINTS
    values = np.zeros((len(items), KEPT), dtype=np.float32)
    places = np.zeros((len(items), KEPT), dtype=np.int32)
    for k, item in enumerate(items):
        places[k] = rng.integers(0, n**3, size=KEPT)
        values[k] = np.asarray(superposed(crystal_of(item), (n,) * 3).values).reshape(-1)[places[k]]
    found = Crystals(*lines_of(entries), fractions_of(items, elements), values, places)
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **found._asdict())
    return found


def binned(areas: Any, bins: Any, factors: Any) -> Any:
    """Patterns of sticks: in a bin the strongest of its lines, the strongest of all is 1 (traceable)."""
    heights = areas * factors
    heights = heights / heights.max(-1, keepdims=True)
    empty = jnp.zeros((*bins.shape[:-1], BINS))
    return jax.vmap(lambda row, where, of: row.at[where].max(of))(empty, bins, heights)


def trainer(network: CrystalNet, data: Crystals):
    """One epoch as a compiled function, and the state it begins with."""
    per_epoch = len(data.areas) // BATCH
    areas, bins, factors, fractions, values, places = (jnp.asarray(a) for a in data)
    areas, factors, fractions = (a.astype(jnp.float32) for a in (areas, factors, fractions))
    optimiser, noise, n = optax.adam(1.0), LineNoise(), TRAIN_POINTS

    def drawn(rows: Any, key: Any) -> tuple[Any, ...]:
        keys = jax.random.split(key, 4)
        clean = areas[rows]
        sigma = jnp.sqrt((noise.relative * clean) ** 2 + (noise.floor * clean.max(-1, keepdims=True)) ** 2)
        noisy = jnp.maximum(clean + sigma * jax.random.normal(keys[0], clean.shape), 0.0)
        moved = jnp.clip(bins[rows] + jax.random.randint(keys[1], (BATCH, 1), -3, 4), 0, BINS - 1)
        parts = jnp.maximum(fractions[rows] + 1e-3 * jax.random.normal(keys[2], (BATCH, fractions.shape[1])), 0.0)
        which = jax.random.randint(keys[3], (BATCH, DRAWN), 0, KEPT)
        place = jnp.take_along_axis(places[rows], which, axis=1)
        points = jnp.stack([place // n**2, place // n % n, place % n], axis=-1) / n
        return binned(noisy, moved, factors[rows]), parts, points, jnp.take_along_axis(values[rows], which, axis=1)

    def objective(params: Any, stats: Any, batch: tuple[Any, ...], key: Any) -> tuple[Any, Any]:
        pattern, parts, points, density = batch
        (found, latent), new = network.apply(
            {"params": params, "batch_stats": stats}, pattern, parts, points, key, True, mutable=["batch_stats"]
        )
        total, error = loss(found, density, latent)
        return total, (error, new["batch_stats"])

    @jax.jit
    def step(state: Any, rows: Any, key: Any, rate: Any) -> tuple[Any, Any]:
        params, stats, memory = state["params"], state["batch_stats"], state["memory"]
        batch_key, latent_key = jax.random.split(key)
        (_, (error, stats)), slope = jax.value_and_grad(objective, has_aux=True)(
            params, stats, drawn(rows, batch_key), latent_key
        )
        change, memory = optimiser.update(slope, memory, params)
        params = optax.apply_updates(params, jax.tree.map(lambda x: rate * x, change))
        return {"params": params, "batch_stats": stats, "memory": memory}, error

    key = jax.random.key(0)
    first = jax.jit(lambda rows: network.init(key, *drawn(rows, key)[:3], key, True))(jnp.arange(BATCH))
    state = {"params": first["params"], "batch_stats": first["batch_stats"], "memory": optimiser.init(first["params"])}

    def epoch(state: Any, number: int) -> tuple[Any, float]:
        order = np.random.default_rng((1, number)).permutation(len(data.areas))[: per_epoch * BATCH]
        start, length = cycle_of(number)
        errors = []
        for k, rows in enumerate(order.reshape(per_epoch, BATCH)):
            done = (number - start + k / per_epoch) / length
            rate = 1e-6 + 0.5 * (RATE - 1e-6) * (1.0 + np.cos(np.pi * done))
            now = jax.random.fold_in(jax.random.key(1), number * per_epoch + k)
            state, error = step(state, rows, now, rate)
            errors.append(error)
        return state, float(jnp.stack(errors).mean())

    return state, epoch


def cycle_of(number: int) -> tuple[int, int]:
    """First epoch and length of the cycle of the rate that an epoch, counted from 0, is in."""
    start, length = 0, CYCLE
    while number >= start + length:
        start, length = start + length, 2 * length
    return start, length


def train(folder: Path, network: CrystalNet, data: Crystals, epochs: int) -> None:
    """Train up to so many epochs, from the state in the folder where there is one."""
    state, epoch = trainer(network, data)
    file, log = folder / "state.msgpack", folder / "log.jsonl"
    done, seconds = 0, 0.0
    if file.is_file():
        kept = flax.serialization.from_bytes({"state": state, "done": 0, "seconds": 0.0}, file.read_bytes())
        state, done, seconds = kept["state"], kept["done"], kept["seconds"]
    for number in range(done, epochs):
        start = time.process_time()
        state, error = epoch(state, number)
        seconds += time.process_time() - start
        written = flax.serialization.to_bytes({"state": state, "done": number + 1, "seconds": seconds})
        write_atomically(file, written)
        if number + 1 == sum(cycle_of(number)):
            write_atomically(folder / "cycle.msgpack", written)
        told = {"epoch": number + 1, "error": error, "cpu_seconds": round(seconds, 1)}
        with log.open("a", encoding="utf-8") as out:
            out.write(json.dumps(told) + "\n")
        print(told, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=28)
    parser.add_argument("--crystals", type=int, default=60)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    parts = perov5.read()
    elements = tuple(sorted({e for entry in parts["train"] for e in entry.elements}))
    data = prepared(parts["train"], elements, options.folder / "crystals.npz")
    widths = Widths()
    network = CrystalNet(widths)
    if options.epochs:
        train(options.folder, network, data, options.epochs)
    like, _ = trainer(network, data)
    kept = flax.serialization.from_bytes(
        {"state": like, "done": 0, "seconds": 0.0}, (options.folder / "cycle.msgpack").read_bytes()
    )
    variables = {"params": kept["state"]["params"], "batch_stats": kept["state"]["batch_stats"]}
    size = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    print(f"{widths} of {PUBLISHED}: {size} weights, {kept['done']} epochs, {kept['seconds']:.0f} s of CPU")
    names, scores, test = judged(network, variables, kept["done"], parts, elements, options)
    rows = [[name, *intervals(of)] for name, of in zip(names, scores, strict=True)]
    print(plain(["", "SSIM mean", "median", "share > 0.9", "PSNR / dB"], rows))
    if options.json:
        record = {
            "weights": size, "epochs": kept["done"], "cpu_seconds": kept["seconds"], "points": options.points,
            "test": [e.name for e in test], "names": names, "scores": np.round(scores, 5).tolist(),
        }  # fmt: skip
        options.json.write_text(json.dumps(record) + "\n", encoding="utf-8")


def judged(network: CrystalNet, variables: Any, epochs: int, parts, elements: tuple[str, ...], options):
    """Names of rows, ``(rows, crystals, 2)`` SSIM and PSNR, and the test crystals."""
    train_part, shape = parts["train"], (options.points,) * 3
    val, test = perov5.drawn(parts["val"], 60, 1), perov5.drawn(parts["test"], options.crystals, 0)
    # as prior.py draws them
    rng, noise = np.random.default_rng(2), LineNoise()
    noise.applied(patterns(val) ** 2, rng)
    areas, bins, factors = lines_of(test)
    observed = noise.applied(areas, rng)
    roots = np.sqrt(observed / observed.sum(axis=1, keepdims=True))
    retrieval = Retrieval(counts(train_part, list(elements)), patterns(train_part))
    density = lambda item: np.asarray(superposed(crystal_of(item), shape).values)
    theirs = lambda truth, guess: (lambda x: (x.ssim, x.psnr))(compare(truth, guess, poses="rotations"))
    ours = lambda truth, guess: (lambda x: (x.ssim, x.psnr))(compare(truth, guess, poses=POSES, shifts=True, most=4))
    axes = [np.arange(n) / n for n in shape]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(1, -1, 3).astype(np.float32)
    pieces = np.array_split(points, 8, axis=1)
    encode = jax.jit(lambda x, c: network.apply(variables, x, c, method="encode"))
    decode = jax.jit(lambda z, x: network.apply(variables, z, x, method="decode"))
    full = lambda z: np.concatenate([np.asarray(decode(z, piece))[0] for piece in pieces]).reshape(shape)
    items, n_test = samples_of(test), counts(test, list(elements))
    names = [
        "CrystalNet's architecture, reduced; five samples, 24 rotations",
        "CrystalNet's architecture, reduced; mean, shifts and poses",
        "retrieval, 24 rotations",
        "retrieval, shifts and poses",
    ]
    kept, scores = options.folder / f"scores_{epochs}_{options.points}.json", np.zeros((len(names), len(test), 2))
    known = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    for k, (entry, item) in enumerate(zip(test, items, strict=True)):
        if entry.name in known:
            scores[:, k] = known[entry.name]
            continue
        truth = density(item)
        seen = binned(*(jnp.asarray(a[k : k + 1]) for a in (observed, bins, factors)))
        latent = encode(seen.astype(jnp.float32), fractions_of([item], elements).astype(np.float32))
        guesses = [full(sample(latent, jax.random.fold_in(jax.random.key(k), j))) for j in range(SAMPLES)]
        scores[0, k] = np.max([theirs(truth, guess) for guess in guesses], axis=0)
        scores[1, k] = ours(truth, full(jnp.concatenate(latent.mean, axis=-1)))
        (hit,) = samples_of([train_part[retrieval.nearest(n_test[k], roots[k], WEIGHT)]])
        scores[2, k], scores[3, k] = theirs(truth, density(hit)), ours(truth, density(hit))
        known[entry.name] = scores[:, k].tolist()
        write_atomically(kept, json.dumps(known))
        if (k + 1) % 10 == 0:
            print(f"{k + 1} crystals: " + ", ".join(f"{s:.3f}" for s in scores[:, : k + 1, 0].mean(axis=1)), flush=True)
    return names, scores, test


if __name__ == "__main__":
    main()
