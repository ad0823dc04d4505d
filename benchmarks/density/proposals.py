"""Whether atoms of the prior's densities make the search for atoms faster, or solve what it does not.

    JAXNMR_DATA=... python benchmarks/density/proposals.py PRIOR [--crystals 20] [--seconds 20]

Test crystals of Perov-5 are drawn by seed. `jaxnmr.solve.structure` gets the intensities of each in its own space group (Cu Kα1, d down to
0.9 Å, noise of 3 %), once without and once with proposals: the atoms of the predicted and of the refined density, in the three orders of
axes a cubic cell has. A structure counts as found when R is below 0.1 and atoms match within 0.2 (V/atoms)^(1/3). Seconds are processor time,
hops minimisations. Then three crystals that are no perovskites, with the atoms of a structure that is off by 0.3 Å as the proposal.
"""

import argparse
import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
import perov5
from final_atoms import apart
from measured import CASES, isotropic, off
from train_prior import samples_of

import jaxnmr as jn
from jaxnmr._precision import enable_x64
from jaxnmr._tables import plain
from jaxnmr.crystal import Crystal
from jaxnmr.density.linear.expected import moved
from jaxnmr.density.prior.data import LineNoise
from jaxnmr.density.prior.files import load_prior
from jaxnmr.density.prior.pattern import LinePattern
from jaxnmr.density.prior.training import prepare
from jaxnmr.errors import JaxnmrError
from jaxnmr.io import from_ase, to_ase
from jaxnmr.solve import simulated_intensities, structure
from jaxnmr.solve.density import atoms_of_predicted, lines_of


def proposed(prior, entry, k) -> list[Crystal]:
    """Atoms of two densities, in the orders of axes that a powder of a cubic cell does not tell apart."""
    (sample,), noise = samples_of([entry]), LineNoise()
    exact = prepare([sample], prior.basis, prior.lines, prior.elements).areas[0]
    areas = noise.applied(exact, np.random.default_rng((5, k)))
    pattern = LinePattern.create(entry.a, np.sqrt(prior.lines.squares) / entry.a, areas, noise.sigma(areas))
    counts, made = Counter(entry.elements), []
    predicted = prior.predict(entry.a, pattern, counts)
    for one in (predicted, prior.refine(predicted, pattern)):
        atoms = atoms_of_predicted(one, counts, lines_of(pattern, prior))
        for turned in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            xyz = np.asarray(atoms.crystal.expand().fractional)[:, turned] % 1.0
            elements = [atoms.crystal.elements[j] for j in np.asarray(atoms.crystal.expand().site)]
            made.append(
                Crystal.create(
                    cell=[entry.a] * 3 + [90.0] * 3, spacegroup=1, species=elements, xyz=xyz, u_iso=0.0, name=entry.name
                )
            )
    return made


def tried(intensities, composition, contents, proposals, seconds, seed=0):
    begun = time.process_time()
    try:
        found = structure(intensities, composition, contents=contents, seconds=seconds, seed=seed, proposals=proposals)
    except JaxnmrError as error:
        print(f"  {str(error)[:120]}", flush=True)
        return None, time.process_time() - begun
    return found, time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prior")
    parser.add_argument("--crystals", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    enable_x64()
    prior = load_prior(options.prior)
    test = [e for e in perov5.read()["test"] if set(e.elements) <= set(prior.elements)]
    test = [test[k] for k in np.random.default_rng(1).permutation(len(test))]
    rows, done = [], 0
    for k, entry in enumerate(test):
        if done == options.crystals:
            break
        crystal = from_ase(to_ase(entry.crystal(0.006)), symprec=0.02, u_iso=0.006)
        if np.abs(np.asarray(crystal.cell)[:3] / entry.a - 1.0).max() > 1e-3:
            # a larger cell is not that of the prior
            continue
        done += 1
        areas, counts = simulated_intensities(crystal, d_min=0.9, seed=k), dict(Counter(entry.elements))
        begun = time.process_time()
        proposals = proposed(prior, entry, k)
        spent = time.process_time() - begun
        row = []
        for given in ((), proposals):
            found, seconds = tried(areas, counts, counts, given, options.seconds)
            right = False
            if found is not None:
                full = found.best.crystal.expand()
                elements = [found.best.crystal.elements[j] for j in np.asarray(full.site)]
                right = (
                    found.best.r_factor < 0.1
                    and apart(elements, np.asarray(full.fractional), entry.elements, entry.xyz) * 5 ** (1 / 3) < 0.2
                )
            row += [right, seconds, found.hops if found else 0, found.best.r_factor if found else 1.0]
        rows.append([*row, spent])
        a = np.array(rows, dtype=float)
        print(f"{done}: {crystal.group.name}, " + ", ".join(f"{x:.3g}" for x in a[-1]), flush=True)
    table = [
        [name, int(a[:, j].sum()), f"{np.median(a[:, j + 1]):.1f}", f"{a[:, j + 1].mean():.1f}", f"{np.median(a[:, j + 2]):.0f}", f"{np.median(a[:, j + 3]):.3f}"]
        for name, j in (("without proposals", 0), ("with proposals", 4))
    ]  # fmt: skip
    print(plain(["", f"right of {len(a)}", "CPU / s, median", "mean", "hops, median", "R, median"], table))
    print(f"proposals take {np.median(a[:, 8]):.1f} s of CPU each (median)", flush=True)
    folder = Path(os.environ["JAXNMR_DATA"])
    for name in ("PbSO4", "NaNbO2F2", "FAP"):
        truth = isotropic(jn.read_crystal(folder / CASES[name][2]))
        areas = simulated_intensities(truth, d_min=1.1)
        contents = dict(Counter(truth.elements[j] for j in np.asarray(truth.expand().site)))
        start = moved(truth, np.random.default_rng(0), 0.3, 0.0)
        for label, given in (("without", ()), ("with", (start,))):
            found, seconds = tried(areas, contents, contents, given, 3.0 * options.seconds)
            if found is not None:
                far = off(found.best.crystal, truth)[0]
                print(
                    f"{name} {label}: R {found.best.r_factor:.3f}, solved {found.solved}, off {far:.2f} Å, {found.hops} hops, {seconds:.0f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
