"""Make training data of a molecule, going on where an earlier run stopped.

python benchmarks/electronic/make_data.py ethanol 600 data/ethanol [--sampling modes] [--seed 0]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from jaxnmr.electronic.scf.generate import Plan, collect, generate
from jaxnmr.electronic.scf.molecules import NAMES, known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("molecule", choices=NAMES)
    parser.add_argument("count", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sampling", default="modes", choices=("modes", "quantum", "md"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    numbers, start = known(given.molecule)
    plan = Plan(
        given.molecule,
        numbers,
        tuple((float(x), float(y), float(z)) for x, y, z in start),
        given.sampling,
        seed=given.seed,
    )
    began = time.process_time()

    def say(index: int, found: dict) -> None:
        stable = "  stable" if "stable" in found else ""
        print(
            f"{index:5d}  E {float(found['e_tot']):.8f}  [H,D] {float(found['commutator']):.0e}"
            f"  T {float(found['temperature']):.0f} K  {time.process_time() - began:.0f} s{stable}",
            flush=True,
        )
        if (index + 1) % 50 == 0:
            collect(given.folder)

    print(collect(generate(plan, given.count, given.folder, say)))


if __name__ == "__main__":
    main()
