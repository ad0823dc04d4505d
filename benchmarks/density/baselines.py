"""What a density of Perov-5 is guessed as without learning: the table that a learned prior has to beat.

    JAXNMR_DATA=... python benchmarks/density/baselines.py [--crystals 500] [--points 50] [--json FILE]

Densities are superposed valence atoms at rest, on 50³ points. The split is that of the data. Test and validation crystals are drawn
by seed. Their patterns are the sums of |F|² of the density over the lines h² + k² + l² <= 44, with 3 % noise. Retrieval takes the
crystal of the train part with the smallest ``atoms that differ + w · sum (Δ√I)²``; w is chosen on the validation part. The ideal
sites are those of the perovskite with the true cell and the true element on each site, which nobody is told: they show how much of the
density the displacements are. The train mean is that of 300 train crystals, brought to one origin and sense of x.

SSIM and PSNR are the best over shifts and the 12 of 48 signed permutations of axes that differ for these crystals, as all y and z are
0 or 1/2 and their signs change nothing; SSIM is taken of the four that correlate best. Intervals are 95 % of 2,000 bootstrap samples of the test crystals. Perov-5 is easier than it
looks: all cells are cubic, only x moves, and more than half of the compositions of the test part occur in the train part.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import perov5
from perov5 import Entry, drawn
from retrieval import WEIGHTS, Retrieval

from jaxnmr._tables import plain
from jaxnmr.density import Pose, atom_gaussians, compare, poses_of, superposed

NOISE, N_MAX = 0.03, 44
POSES: tuple[Pose, ...] = tuple(
    p for p in poses_of("all") if all(s > 0 or a == 0 for a, s in zip(p.axes, p.signs, strict=True))
)


def patterns(entries: Sequence[Entry]) -> np.ndarray:
    """Square roots of the shares of the lines, ``(crystals, lines)``."""
    r = np.arange(-6, 7)
    h = np.stack(np.meshgrid(r, r, r, indexing="ij"), axis=-1).reshape(-1, 3)
    # one of every Friedel pair
    h = h[(h @ [169, 13, 1] > 0) & ((h**2).sum(axis=1) <= N_MAX)]
    numbers, line = np.unique((h**2).sum(axis=1), return_inverse=True)
    symbols = sorted({e for entry in entries for e in entry.elements})
    shapes, row = atom_gaussians(symbols), {e: k for k, e in enumerate(symbols)}
    found = []
    for entry in entries:
        kind = [row[e] for e in entry.elements]
        f = np.einsum("ak,akn->an", shapes.a[kind], np.exp(-shapes.b[kind][..., None] * numbers / (4.0 * entry.a**2)))
        waves = np.exp(2j * np.pi * h @ entry.xyz.T)
        found.append(np.bincount(line, weights=np.abs(np.einsum("na,an->n", waves, f[:, line])) ** 2))
    return np.sqrt(_shares(np.array(found)))


def _shares(intensities: np.ndarray) -> np.ndarray:
    return intensities / intensities.sum(axis=1, keepdims=True)


def noisy(roots: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.sqrt(_shares(np.maximum(roots**2 * (1.0 + NOISE * rng.normal(size=roots.shape)), 0.0)))


def counts(entries: Sequence[Entry], symbols: list[str]) -> np.ndarray:
    return np.array([[entry.elements.count(e) for e in symbols] for entry in entries], dtype=np.int8)


def at_origin(entry: Entry) -> Entry:
    """The atom at y = z = 0 at x = 0, and the heavier side of x positive."""
    xyz = entry.xyz.copy()
    first = int(np.argmin(np.abs(xyz[:, 1:] - np.round(xyz[:, 1:])).sum(axis=1)))
    xyz[:, 0] -= xyz[first, 0]
    off = xyz[:, 0] - np.round(2.0 * xyz[:, 0]) / 2.0
    electrons = atom_gaussians(entry.elements).a.sum(axis=1)
    if electrons @ off < 0.0:
        xyz[:, 0] *= -1.0
    return entry._replace(xyz=xyz % 1.0)


def ideal(entry: Entry) -> Entry:
    """The perovskite: y and z stay, x is 0 or 1/2; of the two atoms on one line the one nearer to the plane of the others is in it."""
    middle = (np.round(2.0 * entry.xyz[:, 1:]) % 2).sum(axis=1)
    plane = np.angle(np.exp(2j * np.pi * entry.xyz[middle == 1, 0]).sum()) / (2.0 * np.pi)
    line = np.flatnonzero(middle == 2)
    off = entry.xyz[line, 0] - plane
    inside = line[np.abs(off - np.round(off)).argmin()]
    xyz = entry.xyz.copy()
    xyz[:, 0] = np.where((middle == 1) | (np.arange(len(xyz)) == inside), 0.5, 0.0)
    return entry._replace(xyz=xyz)


def intervals(values: np.ndarray) -> list[str]:
    """Mean, median and share above 0.9 of SSIM, and the mean of PSNR, with their 95 % intervals."""
    rng = np.random.default_rng(0)
    drawn = values[rng.integers(0, len(values), size=(2000, len(values)))]
    ssims, cells = drawn[..., 0], []
    for what, sample in (
        (values[:, 0].mean(), ssims.mean(axis=1)),
        (np.median(values[:, 0]), np.median(ssims, axis=1)),
        ((values[:, 0] > 0.9).mean(), (ssims > 0.9).mean(axis=1)),
    ):
        low, high = np.quantile(sample, (0.025, 0.975))
        cells.append(f"{what:.3f} [{low:.3f}, {high:.3f}]")
    return [*cells, f"{np.minimum(values[:, 1], 100.0).mean():.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crystals", type=int, default=500)
    parser.add_argument("--validation", type=int, default=60)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    start = time.process_time()
    parts = perov5.read()
    train = parts["train"]
    test, val = drawn(parts["test"], options.crystals, 0), drawn(parts["val"], options.validation, 1)
    symbols = sorted({e for part in parts.values() for entry in part for e in entry.elements})
    of_train, n_train = patterns(train), counts(train, symbols)
    n_test, n_val = counts(test, symbols), counts(val, symbols)
    rng = np.random.default_rng(2)
    of_val, of_test = noisy(patterns(val), rng), noisy(patterns(test), rng)
    shared = np.mean([(np.abs(n_train - n).sum(axis=1) == 0).any() for n in n_test])
    print(
        f"{len(train)} train, {len(val)} of {len(parts['val'])} validation, {len(test)} of {len(parts['test'])} test crystals; {shared:.0%} of the test compositions occur in train"
    )

    shape = (options.points,) * 3
    density = lambda entry: np.asarray(superposed(entry.crystal(), shape).values)
    score = lambda truth, guess: (lambda x: (x.ssim, x.psnr))(compare(truth, guess, poses=POSES, shifts=True, most=4))

    retrieval = Retrieval(n_train, of_train)
    tuned = retrieval.tuned(n_val, of_val, lambda k, hit: score(density(val[k]), density(train[hit]))[0])
    weight = WEIGHTS[int(tuned.mean(axis=0).argmax())]
    print(
        "SSIM on the validation part by weight: "
        + ", ".join(f"{w:g}: {s:.3f}" for w, s in zip(WEIGHTS, tuned.mean(axis=0), strict=True)),
        flush=True,
    )
    mean = np.mean([density(at_origin(entry)) for entry in drawn(train, 300, 3)], axis=0)
    print(f"{time.process_time() - start:.0f} s of CPU for tuning and the mean", flush=True)

    names = (
        "train mean",
        "nearest composition",
        f"retrieval by composition and pattern (w = {weight:g})",
        "ideal sites, elements told",
    )
    scores = np.zeros((len(names), len(test), 2))
    for k, entry in enumerate(test):
        truth = density(entry)
        first, hit = (retrieval.nearest(n_test[k], of_test[k], w) for w in (0.0, weight))
        scores[0, k] = score(truth, mean)
        scores[1, k] = score(truth, density(train[first]))
        scores[2, k] = scores[1, k] if hit == first else score(truth, density(train[hit]))
        scores[3, k] = score(truth, density(ideal(entry)))
        if (k + 1) % 50 == 0 or k + 1 == len(test):
            rows = [[name, *intervals(values[: k + 1])] for name, values in zip(names, scores, strict=True)]
            print(f"{k + 1} crystals, {time.process_time() - start:.0f} s of CPU")
            print(plain(["", "SSIM mean", "median", "share > 0.9", "PSNR / dB"], rows), flush=True)
    if options.json:
        record = {
            "test": [e.name for e in test],
            "weight": weight,
            "rows": dict(zip(names, scores.tolist(), strict=True)),
        }
        options.json.write_text(json.dumps(record), encoding="utf-8")


if __name__ == "__main__":
    main()
