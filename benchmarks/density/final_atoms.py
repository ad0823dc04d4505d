"""How often the learned prior leads to the right atoms of Perov-5, and how alike the densities of these atoms are to the true ones.

    JAXNMR_DATA=... python benchmarks/density/final_atoms.py PRIOR [--crystals 200] [--points 50] [--json FILE]

PRIOR is the file that train_prior.py wrote, or the name of one that comes with the package. Test crystals are drawn by seed; their patterns
are the sums of |F|² of the superposed valence density over the lines of the prior with noise of 3 % and 0.2 % of the strongest line.
Lines and the whole composition give a density, predicted and refined; atoms are found in both (`find_atoms`), brought to the symmetry
of their places and refined on the lines, with elements exchanged where that fits better; the better of the two is kept. A crystal matches
when, in the best of 48 poses and all shifts, every atom has one of its element within ``stol`` of it (root mean square over (V/atoms)^(1/3)),
as pymatgen's matcher asks for: cells are those of the patterns, so that lengths and angles agree. SSIM is that of 50³ points, the
best over shifts and signed permutations. Intervals are 95 % of 2,000 bootstrap samples.
"""

import argparse
import json
import time
from collections import Counter
from itertools import permutations, product
from pathlib import Path

import numpy as np
import perov5
from baselines import POSES
from train_prior import samples_of

from jaxnmr._tables import plain
from jaxnmr.density import compare, superposed
from jaxnmr.density.prior.data import LineNoise
from jaxnmr.density.prior.files import load_prior
from jaxnmr.density.prior.pattern import LinePattern
from jaxnmr.density.prior.training import prepare
from jaxnmr.solve.density import atoms_of_predicted, lines_of

TURNS = [
    np.eye(3, dtype=int)[list(order)] * np.array(signs)[:, None]
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]


def apart(elements, xyz, true_elements, true_xyz) -> float:
    """Root mean square distance of matched atoms in edges of the cube, the best over poses and shifts; infinite where elements differ."""
    if Counter(elements) != Counter(true_elements):
        return float("inf")
    rarest = min(Counter(elements), key=Counter(elements).get)
    best = np.inf
    kinds = {e: np.flatnonzero(np.array(true_elements) == e) for e in set(true_elements)}
    mine = {e: np.flatnonzero(np.array(elements) == e) for e in set(elements)}
    for turn in TURNS:
        turned = xyz @ turn.T
        for first in mine[rarest]:
            for second in kinds[rarest]:
                moved = turned + true_xyz[second] - turned[first]
                square, shift = 0.0, []
                for e in kinds:
                    delta = moved[mine[e]][:, None] - true_xyz[kinds[e]][None]
                    delta -= np.round(delta)
                    ways = min(
                        ([delta[i, j] for i, j in enumerate(order)] for order in permutations(range(len(kinds[e])))),
                        key=lambda rows: float(np.sum(np.square(rows))),
                    )
                    shift += ways
                rows = np.array(shift)
                square = float(np.mean(np.sum((rows - rows.mean(axis=0)) ** 2, axis=1)))
                best = min(best, square)
    return float(np.sqrt(best))


def interval(values) -> str:
    values = np.asarray(values, dtype=float)
    drawn = np.random.default_rng(0).choice(values, (2000, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prior")
    parser.add_argument("--crystals", type=int, default=200)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    prior, noise = load_prior(options.prior), LineNoise()
    test = [e for e in perov5.read()["test"] if set(e.elements) <= set(prior.elements)]
    test = [test[k] for k in np.random.default_rng(0).permutation(len(test))[: options.crystals]]
    shape = (options.points,) * 3
    rows, seconds, start = [], [], time.process_time()
    for k, entry in enumerate(test):
        (sample,) = samples_of([entry])
        exact = prepare([sample], prior.basis, prior.lines, prior.elements).areas[0]
        areas = noise.applied(exact, np.random.default_rng((5, k)))
        pattern = LinePattern.create(entry.a, np.sqrt(prior.lines.squares) / entry.a, areas, noise.sigma(areas))
        begun = time.process_time()
        predicted = prior.predict(entry.a, pattern, Counter(entry.elements))
        refined = prior.refine(predicted, pattern)
        atoms = atoms_of_predicted((predicted, refined), Counter(entry.elements), lines_of(pattern, prior))
        seconds.append(time.process_time() - begun)
        full = atoms.crystal.expand()
        elements = [atoms.crystal.elements[j] for j in np.asarray(full.site)]
        # in units of the edge of the cell over that of an atom
        far = apart(elements, np.asarray(full.fractional), entry.elements, entry.xyz) * 5.0 ** (1.0 / 3.0)
        found = apart(atoms.found.elements, atoms.found.xyz, entry.elements, entry.xyz) * 5.0 ** (1.0 / 3.0)
        truth = superposed(entry.crystal(), shape)
        ssim = lambda values, poses, truth=truth: compare(truth.values, values, poses=poses, shifts=True, most=4).ssim
        # space groups have axes of their own, so that atoms need all 48 poses, densities of the prior those that differ
        alike = [
            ssim(refined.density(shape).values, POSES),
            ssim(superposed(atoms.crystal, shape, at_rest=True).values, "all"),
        ]
        rows.append([found <= 0.2, far <= 0.2, far <= 0.5, far, *alike, atoms.fitted.r_before, atoms.fitted.r])
        if far > 0.2:
            print(
                f"  {entry.name}: {' '.join(entry.elements)}, {atoms.crystal.group.name}, off by {far:.3f}, R {atoms.fitted.r:.3f}",
                flush=True,
            )
        if (k + 1) % 20 == 0 or k + 1 == len(test):
            a = np.array(rows, dtype=float)
            print(f"{k + 1} crystals, {time.process_time() - start:.0f} s of CPU")
            table = [
                ["atoms found, match 0.2", interval(a[:, 0])], ["after least squares, match 0.2", interval(a[:, 1])],
                ["after least squares, match 0.5", interval(a[:, 2])], ["SSIM of the refined density", interval(a[:, 4])],
                ["SSIM of the final atoms", interval(a[:, 5])], ["R of roots of areas before", interval(a[:, 6])],
                ["R after least squares", interval(a[:, 7])],
            ]  # fmt: skip
            print(plain(["", "mean"], table))
            print(
                f"SSIM of the final atoms: median {np.median(a[:, 5]):.4f}; distance, median {np.median(a[:, 3]):.1e} (V/atoms)^(1/3); "
                f"CPU {np.median(seconds):.2f} s per crystal",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps({"test": [e.name for e in test], "rows": rows}), encoding="utf-8")


if __name__ == "__main__":
    main()
