"""Determine structures from measured raw patterns and formulas alone, and compare them with what is known.

    JAXNMR_DATA=/path/to/data python benchmarks/solve/solve_measured.py [PbSO4 FAP NaNbO2F2 LaB6] --log measured.jsonl

Rwp is that of the Rietveld refinement at the end, beside that of the shipped example with the same pattern (of GSAS-II for it). Times are
those of one processor core, compilation included.
"""

import argparse
import json
import os
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np

import jaxnmr as jn

# pattern, instrument file, limits, excluded, formula, group number, cell, Rwp of the example
SAMPLES = {
    "PbSO4": ("PbSO4/PBSO4.XRA", "PbSO4/INST_XRY.PRM", (16.0, 158.4), (), "PbSO4", 62, (8.482, 5.399, 6.961, 90, 90, 90), 9.77),
    "FAP": ("FAP/FAP.XRA", "FAP/INST_XRY.PRM", (15.0, 130.02), (), "Ca5(PO4)3F", 176, (9.372, 9.372, 6.886, 90, 90, 120), 9.42),
    "NaNbO2F2": (
        "NaMO2F2/NaNbO2F2/NaNbO2F2_rt.xrdml", None, (5.0, 134.9), ((14.0, 18.0),), "NaNbO2F2", 14,
        (8.0026, 5.4072, 7.6243, 90, 101.916, 90), 4.51,
    ),
    "LaB6": ("LaB6_lab/LaB6_Jan2018.raw", None, (None, None), (), "LaB6", 221, (4.1568,) * 3 + (90,) * 3, None),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("samples", nargs="*", default=list(SAMPLES))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--energy", help="such as chgnet-r2scan, which decides what the pattern leaves open")
    parser.add_argument("--log", type=Path, default=Path("measured.jsonl"))
    chosen = parser.parse_args()
    jn.enable_x64()
    for name in chosen.samples:
        row = {"name": name, "seed": chosen.seed, **attempt(name, chosen.minutes, chosen.seed, chosen.energy)}
        with open(chosen.log, "a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        print(row, flush=True)


def attempt(name: str, minutes: float, seed: int, energy: str | None) -> dict:
    file, device, limits, excluded, formula, number, cell, known = SAMPLES[name]
    data = Path(os.environ["JAXNMR_DATA"])
    pattern = jn.read_pattern(data / file, instrument=data / device if device else None).limited(*limits)
    found = jn.solve.determine(pattern.excluding(*excluded), formula, minutes=minutes, energy=energy, seed=seed)
    row = {"status": found.status, "reason": found.reason, "cpu": round(found.seconds, 1), "example_rwp": known}
    if not found.fits:
        return row
    crystal = found.crystal
    lengths = np.sort(np.asarray(crystal.cell)[:3]), np.sort(np.array(cell)[:3])
    return row | {
        "group": crystal.group.name, "group_right": crystal.group.number == number,
        "cell_off": float(f"{np.abs(lengths[0] / lengths[1] - 1.0).max():.1e}"),
        "r": round(found.attempts[0].solutions.best.r_factor, 4), "rwp": round(jn.solve.profile_factor(found.fits[0]), 3),
        "lebail": round(found.extractions[0].rwp, 3), "sites": len(crystal.species),
        "orders": [note for note in found.notes if "is not in the pattern" in note],
    }  # fmt: skip


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
