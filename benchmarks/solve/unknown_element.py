"""Name an element of a measured sample that the formula leaves open, and count the electrons of the others.

    JAXNMR_DATA=/path/to/data python benchmarks/solve/unknown_element.py [PbSO4 FAP] --log unknown.jsonl

Cell and space group are given; areas are those of a Le Bail fit of the raw pattern.
"""

import argparse
import json
import os
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np
from solve_measured import SAMPLES

import jaxnmr as jn
from jaxnmr.crystal import SpaceGroup
from jaxnmr.solve import CellCandidate

# formula, the same with an element left open, and a wrong one
FORMULAS = {"PbSO4": ("PbXO4", "PbCrO4"), "FAP": ("Ca5(XO4)3F", "Ca5(VO4)3F")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("samples", nargs="*", default=list(FORMULAS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, default=Path("unknown.jsonl"))
    chosen = parser.parse_args()
    jn.enable_x64()
    for name in chosen.samples:
        file, device, limits, excluded, formula, number, cell, _ = SAMPLES[name]
        data = Path(os.environ["JAXNMR_DATA"])
        pattern = (
            jn.read_pattern(data / file, instrument=data / device if device else None)
            .limited(*limits)
            .excluding(*excluded)
        )
        areas = jn.solve.lebail(pattern, start=candidate(np.array(cell, dtype=float), number)).intensities
        for composition in (formula, *FORMULAS[name]):
            start = time.process_time()
            found = jn.solve.structure(areas, composition, seed=chosen.seed)
            counts = jn.solve.electron_counts(found.best.crystal, areas)
            row = {
                "name": name, "composition": composition, "solved": found.solved, "r": round(found.best.r_factor, 4),
                "electrons": [str(one) for one in counts.rows], "contradicted": list(counts.notes), "miss": round(counts.fit.miss, 3),
                "texture": str(jn.solve.texture_of(found.best.crystal, areas)), "unknown": [n for n in found.notes if n.startswith("X:")],
                "cpu": round(time.process_time() - start, 1),
            }  # fmt: skip
            with open(chosen.log, "a", encoding="utf-8") as log:
                log.write(json.dumps(row, ensure_ascii=False) + "\n")
            print(row, flush=True)


def candidate(cell: np.ndarray, number: int) -> CellCandidate:
    return CellCandidate(
        cell=cell, niggli=cell, lattice="", group=SpaceGroup.from_name(number, cell), zero=0.0, displacement=0.0, indexed=0, unindexed=0,
        possible=0, m20=float("nan"), log_evidence=0.0, probability=1.0,
    )  # fmt: skip


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
