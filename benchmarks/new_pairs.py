"""`jaxnmr new` on ten patterns with their structures, and on one pair that does not belong together.

    JAXNMR_DATA=/path/to/data python benchmarks/new_pairs.py --out DIR [--seed 1] [--only PbSO4 s0 ...]

Five patterns are measured; beside their Rwp stands the best that this project or another program is known to reach (examples/, docs/solving.md,
README of the data). Five are simulated from crystals that the seed draws: cells 0.3 % away from those of the structure files, widths, asymmetry and
backgrounds that the command is not told, Poisson counts. A pair is good within 1.5 % of the best Rwp, or with a goodness of fit up to 1.3. Everything is written
under --out, one line for each pair in pairs.jsonl.
"""

import argparse
import contextlib
import json
import os
import time
from pathlib import Path

import numpy as np

import jaxnmr as jn
from jaxnmr.cli.main import main as jaxnmr
from jaxnmr.crystal.sites import cell_basis

# pattern, structures, options, best Rwp known
MEASURED = {
    "PbSO4": ("PbSO4/PBSO4.XRA", ["PbSO4/PbSO4-Wyckoff.cif"], ["--tube", "Cu"], 8.05),
    "FAP": ("FAP/FAP.XRA", ["FAP/FAP.EXP"], ["--instrument", "FAP/INST_XRY.PRM"], 8.79),
    "LaB6": ("LaB6_lab/LaB6_Jan2018.raw", ["LaB6"], [], 7.85),
    "NaNbO2F2": ("NaMO2F2/NaNbO2F2/NaNbO2F2_rt.xrdml", ["NaMO2F2/NaNbO2F2_start.cif"], [], 4.40),
    "NAC": (
        "NAC_11BM/11BM_NAC.fxye", ["NAC_11BM/NAC.cif", "NAC_11BM/CaF2.cif"], ["--instrument", "NAC_11BM/11bm_gsas.prm"], 7.72,
    ),
}  # fmt: skip
WRONG = ("PbSO4/PBSO4.XRA", ["openchemistry_crystals/oxides/SiO2-Quartz-alpha.cif"], ["--tube", "Cu"], None)
SIMULATED = 5
LARGEST_VOLUME, MOST_SITES = 900.0, 12
CELL = 0.003
FARTHEST, GOOD = 1.5, 1.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", help="of the measured pairs, s0 ... of the simulated ones, wrong")
    chosen = parser.parse_args()
    jn.enable_x64()
    data, out = Path(os.environ["JAXNMR_DATA"]), chosen.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    for name in chosen.only or [*MEASURED, *(f"s{k}" for k in range(SIMULATED)), "wrong"]:
        row: dict = {"pair": name}
        if name[0] == "s":
            row["seed"] = chosen.seed
            pattern, structures, options, best = simulated(data, out, chosen.seed, int(name[1:]))
            row["crystal"] = structures[0].stem
        else:
            file, named, options, best = WRONG if name == "wrong" else MEASURED[name]
            pattern, structures = data / file, [lab6(out) if s == "LaB6" else data / s for s in named]
            options = [str(data / o) if "/" in o else o for o in options]
        row |= attempt(out, f"{name}_{chosen.seed}", pattern, structures, options, best)
        with (out / "pairs.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        print(row, flush=True)


def attempt(
    out: Path, name: str, pattern: Path, structures: list[Path], options: list[str], best: float | None
) -> dict:
    """Run the command and read its result."""
    began, folder = time.process_time(), out / name
    with contextlib.chdir(out):
        code = jaxnmr(
            ["new", str(pattern), *map(str, structures), *options, "--name", name, "--force", "--out", str(folder)]
        )
    row = {"exit": code, "cpu": round(time.process_time() - began)}
    if not (folder / "result.json").exists():
        return row
    result = json.loads((folder / "result.json").read_text())["result"]
    (histogram,) = (of for of in result["terms"].values() if of["kind"] == "histogram")
    rwp, gof = histogram["statistics"]["r_weighted"], histogram["statistics"]["gof"]
    row |= {"status": result["status"], "rwp": round(rwp, 2), "gof": round(gof, 2), "best": best}
    row["good"] = bool(rwp - best < FARTHEST) if best is not None else bool(gof <= GOOD)
    return row


def lab6(out: Path) -> Path:
    """A structure file of lanthanum hexaboride, with the cell of NIST SRM 660b."""
    crystal = jn.Crystal.create(
        cell=(4.15689, 4.15689, 4.15689, 90, 90, 90), spacegroup="P m -3 m", labels=("La1", "B1"), species=("La", "B"),
        xyz=((0.0, 0.0, 0.0), (0.1993, 0.5, 0.5)), u_iso=(0.006, 0.004), name="LaB6",
    )  # fmt: skip
    jn.write_crystal(crystal, out / "LaB6.cif")
    return out / "LaB6.cif"


def simulated(data: Path, out: Path, seed: int, number: int) -> tuple[Path, list[Path], list[str], None]:
    """A pattern of a crystal of the collection whose cell differs from that of its file."""
    random = np.random.default_rng([seed, number])
    crystal, file = drawn(data / "openchemistry_crystals", random)
    cell = np.asarray(crystal.cell, dtype=float)
    basis = cell_basis(crystal.group, cell)
    moved = cell * np.where(np.arange(6) < 3, 1.0 + CELL * random.uniform(-1.0, 1.0, 6), 1.0)
    moved = cell + basis @ np.linalg.lstsq(basis, moved - cell, rcond=None)[0]
    true = crystal.replace(cell=moved)
    instrument = jn.Instrument(
        wavelengths=(1.540593, 1.544427), U=random.uniform(0.5, 6.0), V=-random.uniform(0.0, 3.0), W=random.uniform(3.0, 9.0),
        X=random.uniform(0.5, 4.0), Y=random.uniform(0.5, 6.0), shl=random.uniform(0.015, 0.05),
    )  # fmt: skip
    experiment = jn.PowderDiffraction(instrument=instrument)
    values = {
        "size": 100.0, "strain": 0.0, "background": 0.0, "displacement": random.uniform(-80.0, 80.0), "scale": 1.0,
    }  # fmt: skip
    curve = experiment.simulate(true, (10.0, 100.0, 0.02), values=values)
    x, y = np.asarray(curve.x), np.asarray(curve.y)
    counts = 10.0 ** random.uniform(3.3, 4.3)
    level = counts * random.uniform(0.01, 0.04)
    hump = random.uniform(0.0, 1.5) * np.exp(-0.5 * ((x - random.uniform(20.0, 35.0)) / random.uniform(4.0, 9.0)) ** 2)
    background = level * (1.0 + hump + random.uniform(0.0, 20.0) / x + random.uniform(-0.4, 0.4) * (x - 55.0) / 45.0)
    noisy = random.poisson(y * counts / y.max() + background).astype(float)
    path = out / f"{file.stem}_{seed}.xy"
    np.savetxt(path, np.column_stack([x, noisy]), fmt="%.4f %.0f")
    return path, [file], ["--tube", "Cu"], None


def drawn(folder: Path, random: np.random.Generator) -> tuple[jn.Crystal, Path]:
    """A crystal of moderate size that can be read."""
    files = sorted(folder.glob("*/*.cif"))
    while True:
        file = files[int(random.integers(len(files)))]
        try:
            crystal = jn.read_crystal(file)
        except jn.JaxnmrError:
            continue
        if float(crystal.volume()) < LARGEST_VOLUME and len(crystal.labels) <= MOST_SITES:
            return crystal, file


if __name__ == "__main__":
    main()
