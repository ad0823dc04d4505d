"""Solve a simulated pattern of anglesite whose grains lie, from formula, cell and group: how strong a texture may be.

    python benchmarks/solve/textured.py [--ratios 0.7 0.5] [--axis 0 0 1] --log textured.jsonl

Cu Kα1, 10 to 110 degrees, at most 10 000 counts with Poisson noise.
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

CELL = (8.478, 5.397, 6.958, 90.0, 90.0, 90.0)
XYZ = [[0.1879, 0.25, 0.1671], [0.063, 0.25, 0.686], [0.908, 0.25, 0.595], [0.194, 0.25, 0.543], [0.082, 0.026, 0.809]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ratios", nargs="+", type=float, default=[0.7, 0.5])
    parser.add_argument("--axis", nargs=3, type=int, default=[0, 0, 1])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--log", type=Path, default=Path("textured.jsonl"))
    chosen = parser.parse_args()
    jn.enable_x64()
    for ratio in chosen.ratios:
        row = {"ratio": ratio, "axis": chosen.axis, **attempt(ratio, chosen.axis, chosen.minutes)}
        with open(chosen.log, "a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        print(row, flush=True)


def attempt(ratio: float, axis: list[int], minutes: float) -> dict:
    crystal = jn.Crystal.create(
        cell=CELL, spacegroup="P n m a", species=["Pb", "S", "O", "O", "O"], xyz=XYZ, b_iso=0.6, name="anglesite"
    )
    instrument = jn.Instrument(wavelengths=(1.540593,), U=2.0, V=-2.0, W=12.0, shl=0.0)
    experiment = jn.PowderDiffraction(
        instrument=instrument, background=jn.Background.chebyshev(3), march_axis={"anglesite": axis}
    )
    smooth = experiment.simulate(crystal, (10.0, 110.0, 0.02), values={"scale": 1.0, "size": 0.3, "march": ratio})
    y = np.random.default_rng(3).poisson(np.asarray(smooth.y) / np.max(smooth.y) * 10000.0 + 60.0).astype(float)
    pattern = jn.Pattern.create(smooth.x, y, name="textured", instrument=instrument)
    found = jn.solve.determine(pattern, "PbSO4", cell=CELL, group="P n m a", minutes=minutes)
    row = {"status": found.status, "reason": found.reason, "cpu": round(found.seconds, 1)}
    if found.attempts:
        row |= {
            "r": round(found.attempts[0].solutions.best.r_factor, 4),
            "texture": str(found.attempts[0].solutions.texture),
        }
    if found.fits:
        values = found.fits[0].parameters.values
        row |= {
            "march": np.round(values["xrd/march"], 4).tolist() if "xrd/march" in values else None,
            "electrons": found.notes,
        }
    return row


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
