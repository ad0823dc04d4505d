"""How alike the true densities of Perov-5 the learned prior's are, beside what is reached without learning.

    JAXNMR_DATA=... python benchmarks/density/prior.py PRIOR [--crystals 500] [--points 50] [--json FILE]

PRIOR is the file that train_prior.py wrote. SSIM takes most of the time; ``--intervals-only`` leaves it out. Test crystals are drawn by seed from the test part of the data. Their patterns are the sums
of |F|² of the superposed valence density over the lines h² + k² + l² <= 44, with noise of 3 % and 0.2 % of the strongest line, on
an unknown scale; baselines.py has what is reached without lines. All rows see the same patterns. SSIM is the best over shifts and the 12 signed permutations of axes that differ
for these crystals. Retrieval takes the train crystal with the smallest ``atoms that differ + w · sum (Δ√I)²``, w being chosen on
the validation part. Intervals are 95 % of 2,000 bootstrap samples of the test crystals.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import perov5
from baselines import POSES, counts, intervals, patterns
from perov5 import drawn
from retrieval import WEIGHTS, Retrieval
from train_prior import samples_of

from jaxnmr._tables import plain
from jaxnmr.density import compare, superposed
from jaxnmr.density.prior.data import LineNoise
from jaxnmr.density.prior.files import load_prior, save_prior
from jaxnmr.density.prior.pattern import LinePattern
from jaxnmr.density.prior.training import prepare

KNOWN = ("composition", "elements only", "no composition")
EASY = (
    "Perov-5 is easy: every cell is cubic, only x moves, and {shared:.0%} of these test compositions occur in the train part; "
    "densities are superposed atoms, so these numbers are not to be put beside those of calculated densities."
)


def covered(predicted, truth_at, constant, functions) -> np.ndarray:
    """Parts of points within their 68 and 95 % intervals, at the pose that fits best; as `PredictedDensity.interval`, for points of one basis."""
    mean = constant + functions @ predicted.c
    sd = np.sqrt(np.einsum("pk,pk->p", functions @ predicted.covariance, functions))
    apart = np.abs(truth_at - mean)
    best = apart[apart.sum(axis=1).argmin()]
    return np.array([(best < predicted.intervals.width(p) * sd).mean() for p in (0.6827, 0.95)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prior", type=Path)
    parser.add_argument("--crystals", type=int, default=500)
    parser.add_argument("--validation", type=int, default=60)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument(
        "--weight", type=float, help="of retrieval, rather than the one that is best for the validation part"
    )
    parser.add_argument("--intervals-only", action="store_true", help="no SSIM, which takes most of the time")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--ship", type=Path, help="a file to write the prior to, with these scores on its card")
    options = parser.parse_args()
    if options.intervals_only and (options.ship or options.json):
        parser.error("--intervals-only has no scores for --ship and --json")
    prior, parts = load_prior(options.prior), perov5.read()
    train = parts["train"]
    test, val = drawn(parts["test"], options.crystals, 0), drawn(parts["val"], options.validation, 1)
    symbols = sorted({e for entry in train for e in entry.elements})
    n_train, n_test = counts(train, symbols), counts(test, symbols)
    shared = np.mean([(np.abs(n_train - n).sum(axis=1) == 0).any() for n in n_test])
    print(EASY.format(shared=shared))
    rng, noise = np.random.default_rng(2), LineNoise()
    # without SSIM grids are for nothing
    shape = (8 if options.intervals_only else options.points,) * 3
    of_train = patterns(train)
    observed = lambda entries: noise.applied(patterns(entries) ** 2, rng)
    i_val, i_test = observed(val), observed(test)
    density = lambda entry: np.asarray(superposed(entry.crystal(), shape).values)
    alike = lambda truth, guess: (lambda x: (x.ssim, x.psnr))(compare(truth, guess, poses=POSES, shifts=True, most=4))
    score = (lambda *_: (np.nan, np.nan)) if options.intervals_only else alike

    retrieval = Retrieval(n_train, of_train)
    roots_of = lambda areas: np.sqrt(areas / areas.sum(axis=-1, keepdims=True))
    weight = options.weight
    if weight is None:
        found = lambda k, hit: score(density(val[k]), density(train[hit]))[0]
        tuned = retrieval.tuned(counts(val, symbols), roots_of(i_val), found)
        weight = WEIGHTS[int(tuned.mean(axis=0).argmax())]
    names = [f"retrieval (w = {weight:g})", "prior without a pattern"]
    names += [row for known in KNOWN for row in (f"prior, {known}", "  refined")] + ["what its functions can hold"]
    scores = np.zeros((len(names), len(test), 2))
    cover, seconds = np.zeros((1 + 2 * len(KNOWN), len(test), 2)), np.zeros((2, len(KNOWN), len(test)))
    misfits = np.zeros((2, len(test)))
    posed = samples_of(test)
    exact = prepare(posed, prior.basis, prior.lines, prior.elements).coefficients
    points = np.random.default_rng(4).random((400, 3))
    constant, functions = prior.basis.at(points)
    # what is made once, at the first prediction
    first_pattern = LinePattern.create(test[0].a, np.sqrt(prior.lines.squares) / test[0].a, i_test[0])
    prior.refine(prior.predict(test[0].a, first_pattern), first_pattern)
    prior.predict(test[0].a, None, test[0].elements)
    start = time.process_time()
    for k, (entry, sample) in enumerate(zip(test, posed, strict=True)):
        truth, cell = density(entry), np.array(sample.cell)
        pattern = LinePattern.create(entry.a, np.sqrt(prior.lines.squares) / entry.a, i_test[k], noise.sigma(i_test[k]))
        composition = {e: float(entry.elements.count(e)) for e in entry.elements}
        scores[0, k] = score(truth, density(train[retrieval.nearest(n_test[k], roots_of(i_test[k]), weight)]))
        truth_at = constant + (prior.basis.poses * exact[k]) @ functions.T
        guess = prior.predict(entry.a, None, composition)
        scores[1, k], cover[0, k] = (
            score(truth, guess.density(shape).values),
            covered(guess, truth_at, constant, functions),
        )
        for j, known in enumerate((composition, list(composition), None)):
            begin = time.process_time()
            guess = prior.predict(entry.a, pattern, known)
            between = time.process_time()
            refined = prior.refine(guess, pattern)
            seconds[:, j, k] = between - begin, time.process_time() - between
            for row, of in ((2 * j, guess), (2 * j + 1, refined)):
                scores[2 + row, k] = score(truth, of.density(shape).values)
                cover[1 + row, k] = covered(of, truth_at, constant, functions)
            if j == 0:
                misfits[:, k] = refined.refined.misfit_before, refined.refined.misfit
        scores[-1, k] = score(truth, prior.basis.on_grid(exact[k], shape, cell).values)
        if (k + 1) % 20 == 0 or k + 1 == len(test):
            n = k + 1
            print(f"{n} crystals at {options.points}³, {time.process_time() - start:.0f} s of CPU")
            off = 1.0 - scores[:, :n, 0].mean(axis=1)
            inside = ["", *(f"{a:.1%}, {b:.1%}" for a, b in cover[:, :n].mean(axis=1)), ""]
            rows = [
                [name, *intervals(values[:n]), f"{of / off[0]:.2f}", within]
                for name, values, of, within in zip(names, scores, off, inside, strict=True)
            ]
            said = "within 68 and 95 % intervals"
            if options.intervals_only:
                print(plain(["", said], [[row[0], row[-1]] for row in rows if row[-1]]), flush=True)
                continue
            print(plain(["", "SSIM mean", "median", "share > 0.9", "PSNR / dB", "1 - SSIM of retrieval's", said], rows))
            timed = "; ".join(
                f"{known}: {1e3 * a:.0f} and {1e3 * b:.0f} ms"
                for known, (a, b) in zip(KNOWN, np.median(seconds[..., :n], axis=2).T, strict=True)
            )
            print(
                f"rms residual of lines {np.median(misfits[0, :n]):.2f} -> {np.median(misfits[1, :n]):.2f} (medians); "
                f"CPU per crystal (medians), prediction and refinement: {timed}",
                flush=True,
            )
            if options.json:
                record = {
                    "test": [e.name for e in test[:n]],
                    "weight": weight,
                    "names": names,
                    "scores": scores[:, :n].tolist(),
                }
                options.json.write_text(json.dumps(record), encoding="utf-8")
            if options.ship:
                of_rows = {
                    f"{k} {name.strip()}": round(1.0 - float(of), 4)
                    for k, (name, of) in enumerate(zip(names, off, strict=True))
                }
                said = {"test crystals": n, "points": options.points, "mean SSIM by row": of_rows}
                save_prior(replace(prior, card={**prior.card, "scores": said}), options.ship)


if __name__ == "__main__":
    main()
