"""How often the atoms of Perov-5 crystals are found in their superposed densities, and how far off they are.

    JAXNMR_DATA=... python benchmarks/density/atoms_found.py [--crystals 200]

Crystals are drawn by seed from the test part. The densities are at rest or with U = 0.01 Å², which the search is told.
"""

import argparse
import time
from collections import Counter

import numpy as np
import perov5

from jaxnmr.density import find_atoms, superposed


def right(entry, found) -> tuple[bool, float]:
    """Whether every atom has one of its element nearest to it, and the largest distance in Å."""
    delta = found.xyz[:, None] - entry.xyz[None]
    distance = np.linalg.norm(delta - np.round(delta), axis=-1) * entry.a
    near = distance.argmin(axis=1)
    matched = len(set(near)) == len(near) and all(
        entry.elements[k] == e for k, e in zip(near, found.elements, strict=True)
    )
    return matched, float(distance.min(axis=1).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crystals", type=int, default=200)
    parser.add_argument("--points", type=int, default=32)
    parser.add_argument("--noise", type=float, default=0.0, help="standard deviation, a share of that of the density")
    options = parser.parse_args()
    test = perov5.read()["test"]
    chosen = [test[k] for k in np.random.default_rng(0).permutation(len(test))[: options.crystals]]
    for atoms, u_iso in (("valence", 0.0), ("valence", 0.01), ("all-electron", 0.01)):
        start, rng, hits, distances, groups = time.process_time(), np.random.default_rng(1), 0, [], Counter()
        for entry in chosen:
            density = superposed(entry.crystal(u_iso), (options.points,) * 3, atoms)
            noise = options.noise * np.std(density.values) * rng.normal(size=density.shape)
            found = find_atoms(
                density.replace(values=density.values + noise), Counter(entry.elements), atoms, u_iso=u_iso
            )
            matched, far = right(entry, found)
            hits += matched and far < 0.05
            distances.append(far)
            groups[found.crystal.group.name] += 1
            if not (matched and far < 0.05):
                print(
                    f"  {entry.name}: {' '.join(entry.elements)}, found {' '.join(found.elements)}, {far:.3f} Å, R {found.r:.3f}"
                )
        seconds = (time.process_time() - start) / len(chosen)
        print(
            f"{atoms}, U {u_iso} Å², {options.points}³, noise {options.noise}: {hits} of {len(chosen)} right within 0.05 Å; "
            f"median distance {np.median(distances):.1e} Å, {1e3 * seconds:.0f} ms each; groups {dict(groups.most_common(4))}",
            flush=True,
        )


if __name__ == "__main__":
    main()
