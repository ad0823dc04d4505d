"""How alike the true densities of Perov-5 the learned prior's are, beside what is reached without learning.

    JAXNMR_DATA=... python benchmarks/density/prior.py PRIOR [--crystals 500] [--points 50] [--json FILE]

PRIOR is the file that train_prior.py wrote. Test crystals are drawn by seed from the test part of the data. Their patterns are the sums
of |F|² of the superposed valence density over the lines h² + k² + l² <= 44, with noise of 3 % and 0.2 % of the strongest line, on
an unknown scale. All rows see the same patterns. SSIM is the best over shifts and the 12 signed permutations of axes that differ
for these crystals. Retrieval takes the train crystal with the smallest ``atoms that differ + w · sum (Δ√I)²``, w being chosen on
the validation part. Intervals are 95 % of 2,000 bootstrap samples of the test crystals.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import perov5
from baselines import POSES, at_origin, counts, intervals, patterns
from perov5 import drawn
from retrieval import WEIGHTS, Retrieval
from train_prior import samples_of

from jaxnmr._tables import plain
from jaxnmr.density import compare, superposed
from jaxnmr.density.prior.data import LineNoise
from jaxnmr.density.prior.files import load_prior
from jaxnmr.density.prior.model import PredictedDensity
from jaxnmr.density.prior.pattern import LinePattern
from jaxnmr.density.prior.training import prepare

# of retrieval, which does not know how good it is for a crystal
WIDTHS = (0.3, 1.0, 3.0)
EASY = (
    "Perov-5 is easy: every cell is cubic, only x moves, and {shared:.0%} of these test compositions occur in the train part; "
    "densities are superposed atoms, so these numbers are not to be put beside those of calculated densities."
)


def covered(predicted, truth_at, points) -> np.ndarray:
    """Parts of points within one and 1.96 standard deviations, at the pose that fits best."""
    mean, sd = predicted.at(points)
    apart = np.abs(truth_at - mean) / np.maximum(sd, 1e-12)
    return np.array([(apart < 1.0).mean(axis=1), (apart < 1.96).mean(axis=1)])[
        :, (np.abs(truth_at - mean)).sum(axis=1).argmin()
    ]


def retrieval_errors(prior, hits, entries) -> np.ndarray:
    """Covariance of what retrieval misses, from crystals of the validation part."""
    found, true = (
        prepare(samples_of(of), prior.basis, prior.lines, prior.elements).coefficients for of in (hits, entries)
    )
    apart = prior.basis.poses[:, None] * true - found
    off = apart[(apart**2).sum(axis=-1).argmin(axis=0), np.arange(len(true))]
    covariance = off.T @ off / len(off)
    # as few crystals as these give no covariance that could be inverted
    return covariance + 0.1 * np.diag(np.diag(covariance)) + 1e-9 * np.eye(len(covariance))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prior", type=Path)
    parser.add_argument("--crystals", type=int, default=500)
    parser.add_argument("--validation", type=int, default=60)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument(
        "--weight", type=float, help="of retrieval, rather than the one that is best for the validation part"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    prior, parts = load_prior(options.prior), perov5.read()
    train = parts["train"]
    test, val = drawn(parts["test"], options.crystals, 0), drawn(parts["val"], options.validation, 1)
    symbols = sorted({e for entry in train for e in entry.elements})
    n_train, n_test = counts(train, symbols), counts(test, symbols)
    shared = np.mean([(np.abs(n_train - n).sum(axis=1) == 0).any() for n in n_test])
    print(EASY.format(shared=shared))
    rng, noise, shape = np.random.default_rng(2), LineNoise(), (options.points,) * 3
    of_train = patterns(train)
    observed = lambda entries: noise.applied(patterns(entries) ** 2, rng)
    i_val, i_test = observed(val), observed(test)
    errors = drawn(parts["val"], 300, 5)
    i_errors = observed(errors)
    density = lambda entry: np.asarray(superposed(entry.crystal(), shape).values)
    score = lambda truth, guess: (lambda x: (x.ssim, x.psnr))(compare(truth, guess, poses=POSES, shifts=True, most=4))

    retrieval = Retrieval(n_train, of_train)
    roots_of = lambda areas: np.sqrt(areas / areas.sum(axis=-1, keepdims=True))
    weight = options.weight
    if weight is None:
        found = lambda k, hit: score(density(val[k]), density(train[hit]))[0]
        tuned = retrieval.tuned(counts(val, symbols), roots_of(i_val), found)
        weight = WEIGHTS[int(tuned.mean(axis=0).argmax())]
    mean = np.mean([density(at_origin(entry)) for entry in drawn(train, 300, 3)], axis=0)
    names = [
        "train mean", "nearest composition", f"retrieval (w = {weight:g})", "prior without a pattern", "prior, composition", "  refined",
        "prior, elements only", "  refined", "prior, no composition", "  refined", "retrieval, refined", "the more probable of these, refined", "what its functions can hold",
    ]  # fmt: skip
    scores = np.zeros((len(names), len(test), 2))
    cover, seconds, misfits = np.zeros((3, len(test), 2)), np.zeros((2, len(test))), np.zeros((2, len(test)))
    posed = samples_of(test)
    exact = prepare(posed, prior.basis, prior.lines, prior.elements).coefficients
    hits = [
        train[retrieval.nearest(n, roots, weight)]
        for n, roots in zip(counts(errors, symbols), roots_of(i_errors), strict=True)
    ]
    spread = retrieval_errors(prior, hits, errors)
    points = np.random.default_rng(4).random((400, 3))
    start, taken = time.process_time(), 0
    for k, (entry, sample) in enumerate(zip(test, posed, strict=True)):
        truth, cell = density(entry), np.array(sample.cell)
        pattern = LinePattern.create(entry.a, np.sqrt(prior.lines.squares) / entry.a, i_test[k], noise.sigma(i_test[k]))
        composition = {e: float(entry.elements.count(e)) for e in entry.elements}
        first, hit = (retrieval.nearest(n_test[k], roots_of(i_test[k]), w) for w in (0.0, weight))
        scores[0, k], scores[1, k] = score(truth, mean), score(truth, density(train[first]))
        scores[2, k] = scores[1, k] if hit == first else score(truth, density(train[hit]))
        guess = prior.predict(entry.a, None, composition)
        scores[3, k] = score(truth, guess.density(shape).values)
        constant, functions = prior.basis.at(points)
        truth_at = constant + (prior.basis.poses * exact[k]) @ functions.T
        cover[0, k] = covered(guess, truth_at, points)
        for row, known in ((4, composition), (6, list(composition)), (8, None)):
            begin = time.process_time()
            guess = prior.predict(entry.a, pattern, known)
            between = time.process_time()
            refined = prior.refine(guess, pattern)
            if row == 4:
                best = refined
                seconds[:, k] = between - begin, time.process_time() - between
                cover[1, k], cover[2, k] = covered(guess, truth_at, points), covered(refined, truth_at, points)
                misfits[:, k] = refined.refined.misfit_before, refined.refined.misfit
            scores[row, k], scores[row + 1, k] = (score(truth, of.density(shape).values) for of in (guess, refined))
        (near,) = prepare(samples_of([train[hit]]), prior.basis, prior.lines, prior.elements).coefficients
        guess = prior.refine(PredictedDensity(prior.basis, entry.a, near, spread), pattern, widths=WIDTHS)
        best = max((best, guess), key=lambda of: of.refined.log_evidence)
        taken += best is guess
        scores[-3, k], scores[-2, k] = (score(truth, of.density(shape).values) for of in (guess, best))
        scores[-1, k] = score(truth, prior.basis.on_grid(exact[k], shape, cell).values)
        if (k + 1) % 20 == 0 or k + 1 == len(test):
            n = k + 1
            print(f"{n} crystals at {options.points}³, {time.process_time() - start:.0f} s of CPU")
            off = 1.0 - scores[:, :n, 0].mean(axis=1)
            rows = [
                [name, *intervals(values[:n]), f"{of / off[2]:.2f}"]
                for name, values, of in zip(names, scores, off, strict=True)
            ]
            print(plain(["", "SSIM mean", "median", "share > 0.9", "PSNR / dB", "1 - SSIM of retrieval's"], rows))
            for name, of in zip(("without a pattern", "predicted", "refined"), cover[:, :n].mean(axis=1), strict=True):
                print(f"{name}: {of[0]:.1%} of points within the 68 % interval, {of[1]:.1%} within the 95 % interval")
            print(
                f"rms residual of lines {np.median(misfits[0, :n]):.2f} -> {np.median(misfits[1, :n]):.2f} (medians); CPU per crystal: "
                f"prediction {1e3 * np.median(seconds[0, :n]):.0f} ms, refinement {1e3 * np.median(seconds[1, :n]):.0f} ms; retrieval was the more probable in {taken} of {n}",
                flush=True,
            )
    if options.json:
        record = {"test": [e.name for e in test], "weight": weight, "names": names, "scores": scores.tolist()}
        options.json.write_text(json.dumps(record), encoding="utf-8")


if __name__ == "__main__":
    main()
