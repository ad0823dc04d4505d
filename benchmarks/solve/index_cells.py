"""How often indexing puts the right cell first: ideal lists of peaks of 50 crystals, and lists that are worse in a known way.

    JAXNMR_DATA=/path/to/data python benchmarks/solve/index_cells.py [--every N] [--perturb spurious|shift|missing] [--log rows.jsonl]

The first twenty lines of `mp100_index` for Cu Kα1: intensities of independent atoms, lines nearer than 0.06° one peak at their
centre, those below 0.5 % of the strongest left out (which are the systematic absences, too), 0.01° of noise. The truth is the
conventional cell of spglib. Two measures: vectors within 5 % and angles within 3°, of the primitive lattices; and strictly, volume
within 1 % and axes within 0.6 %. Processor time is that of one core.
"""

import argparse
import json
import os
import re
import time
import warnings
from itertools import product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import gemmi
import numpy as np
import spglib

import jaxnmr as jn
from jaxnmr.crystal.cell import lattice
from jaxnmr.solve.indexing.reduction import niggli

WAVELENGTH = 1.540593
LINES = 20
NOISE = 0.01
SHIFT = 0.03
WEAKEST = 0.005
RESOLVED = 0.06
SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--perturb", choices=("none", "spurious", "shift", "missing"), default="none")
    parser.add_argument("--every", type=int, default=1, help="every N-th crystal")
    parser.add_argument("--first", type=int, default=0, help="begin with this one")
    parser.add_argument("--folder", default="mp100_index", help="of CIF files below JAXNMR_DATA")
    parser.add_argument("--names", nargs="*", help="only these")
    parser.add_argument("--log", type=Path, help="one JSON line per crystal; those that are there are not run again")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    data = Path(os.environ["JAXNMR_DATA"])
    held = json.loads((Path(__file__).parent / "lists.json").read_text(encoding="utf-8"))["second"]
    files = sorted((data / arguments.folder).rglob("*.cif"))
    # entries that are for the test of a whole solution stay unseen
    files = [file for file in files if file.relative_to(data).with_suffix("").as_posix() not in held]
    if arguments.names:
        files = [file for file in files if file.stem in arguments.names]
    known = read_log(arguments.log)
    rows = []
    for number, file in enumerate(files):
        if number % arguments.every != arguments.first % arguments.every:
            continue
        key = f"{file.stem}/{arguments.perturb}/{arguments.seed}"
        row = known.get(key)
        if row is None:
            try:
                row = {"key": key} | one(file, number, arguments.perturb, arguments.seed)
            except jn.errors.JaxnmrError as error:
                print(f"{file.stem:14s} cannot be read: {str(error)[:80]}")
                continue
            if arguments.log:
                with open(arguments.log, "a", encoding="utf-8") as log:
                    log.write(json.dumps(row) + "\n")
        rows.append(row)
        print(
            f"{file.stem:14s} {row['symbol']:10s} {row['lattice']} lines {row['lines']:2d} V {row['volume']:6.0f}  rank {row['rank']:2d}  "
            f"{'right' if row['loose'] else 'wrong'}  first {row['first']}  {row['seconds']:.1f} s",
            flush=True,
        )
    summary(rows, arguments.perturb)


def read_log(path: Path | None) -> dict[str, dict]:
    if path is None or not path.exists():
        return {}
    return {row["key"]: row for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}


def one(file: Path, number: int, perturb: str, seed: int) -> dict:
    crystal = jn.read_crystal(file)
    species = [re.match("[A-Z][a-z]?", kind)[0] for kind in crystal.species]
    kinds = sorted(set(species))
    # P 1 cells hold all their atoms; other files are expanded
    cell, xyz, species = whole(crystal, species)
    found = spglib.get_symmetry_dataset((lattice(cell), xyz, [kinds.index(s) for s in species]), symprec=1e-2)
    truth = primitive(found)
    two_theta, area = lines(found.std_lattice, found.std_positions, [kinds[k] for k in found.std_types])
    peaks = perturbed(two_theta, area, perturb, np.random.default_rng([seed, number]))
    row = {
        "symbol": found.international, "system": system(found.number), "lattice": bravais(found), "lines": len(peaks),
        "volume": float(abs(np.linalg.det(truth))), "rank": 0, "loose": False, "first": "none", "seconds": 0.0,
    }  # fmt: skip
    before = time.process_time()
    try:
        table = jn.solve.index(peaks, seed=seed)
    except jn.errors.DataError as error:
        return row | {"first": str(error)[:60], "seconds": time.process_time() - before}
    row["seconds"] = time.process_time() - before
    strict = [mapped(truth, lattice(c.niggli), 0.006, 1.0, 0.01) for c in table.candidates]
    best = table.best
    first = f"{best.lattice} {np.round(best.cell, 3).tolist()} {best.indexed}/{best.indexed + best.unindexed} of {best.possible} P {best.probability:.2f}"
    row |= {
        "rank": strict.index(True) + 1 if True in strict else 0,
        "loose": mapped(truth, lattice(best.niggli), 0.05, 3.0, 0.2),
    }
    row |= {
        "first": first,
        "evidence": [round(c.log_evidence, 2) for c in table.candidates],
        "probabilities": [float(f"{c.probability:.4g}") for c in table.candidates],
        "m20": round(best.m20, 1),
    }
    return row | {"zero": round(best.zero, 4), "probability": best.probability, "letters": best.lattice}


def whole(crystal: jn.Crystal, species: list[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """All atoms of the cell, each place once."""
    cell, xyz, kinds = np.asarray(crystal.cell, dtype=float), [], []
    for place, kind in zip(np.asarray(crystal.xyz, dtype=float), species, strict=True):
        images = (crystal.group.rotations @ place + crystal.group.translations) % 1.0
        new: list[np.ndarray] = []
        for image in images:
            if all(np.abs((image - other + 0.5) % 1.0 - 0.5).max() > 1e-3 for other in new):
                new.append(image)
        xyz += new
        kinds += [kind] * len(new)
    return cell, np.array(xyz), kinds


def primitive(found: spglib.SpglibDataset) -> np.ndarray:
    """Reduced vectors of the primitive lattice of spglib's conventional cell."""
    lengths_angles = gemmi_cell(found.std_lattice)
    return lattice(niggli(lengths_angles, found.international[0].replace("A", "C")))


def gemmi_cell(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1)
    g = vectors @ vectors.T
    cosines = [g[1, 2] / lengths[1] / lengths[2], g[0, 2] / lengths[0] / lengths[2], g[0, 1] / lengths[0] / lengths[1]]
    return np.array([*lengths, *np.degrees(np.arccos(cosines))])


def system(number: int) -> str:
    return SYSTEMS[sum(number > last for last in (2, 15, 74, 142, 167, 194))]


def bravais(found: spglib.SpglibDataset) -> str:
    letter = {
        "triclinic": "a",
        "monoclinic": "m",
        "orthorhombic": "o",
        "tetragonal": "t",
        "trigonal": "h",
        "hexagonal": "h",
        "cubic": "c",
    }
    return letter[system(found.number)] + found.international[0].replace("A", "C")


def lines(vectors: np.ndarray, xyz: np.ndarray, species: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Positions and areas of the lines of a crystal that can be seen, up to 160 degrees."""
    reciprocal = np.linalg.inv(vectors).T
    # enough lines and not many more
    d_min = max(WAVELENGTH / 2.0 / np.sin(np.radians(80.0)), 0.11 * abs(np.linalg.det(vectors)) ** (1 / 3))
    limit = (np.linalg.norm(vectors, axis=1) / d_min).astype(int) + 1
    hkl = np.array(list(product(*(range(-n, n + 1) for n in limit))))
    q = np.sum((hkl @ reciprocal) ** 2, axis=1)
    inside = (q > 1e-9) & (q < d_min**-2)
    hkl, q = hkl[inside], q[inside]
    amplitude = np.zeros(len(hkl), dtype=complex)
    for kind in sorted(set(species)):
        coefficients = gemmi.Element(kind).it92
        factor = (
            sum(a * np.exp(-b * q / 4.0) for a, b in zip(coefficients.a, coefficients.b, strict=True)) + coefficients.c
        )
        places = xyz[[s == kind for s in species]]
        amplitude += factor * np.exp(-0.6 * q / 4.0) * np.exp(2j * np.pi * hkl @ places.T).sum(axis=1)
    theta = np.arcsin(WAVELENGTH * np.sqrt(q) / 2.0)
    area = np.abs(amplitude) ** 2 * (1.0 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    order = np.argsort(theta)
    angle, area = np.degrees(2.0 * theta[order]), area[order]
    # what is nearly absent moves no peak
    seen = area > 1e-9 * area.max()
    angle, area = angle[seen], area[seen]
    group = np.zeros(len(angle), dtype=int)
    start = angle[0]
    for k in range(1, len(angle)):
        group[k] = group[k - 1]
        if angle[k] - start > RESOLVED:
            group[k] += 1
            start = angle[k]
    total = np.bincount(group, area)
    centre = np.bincount(group, area * angle) / total
    strong = total > WEAKEST * total.max()
    return centre[strong], total[strong]


def perturbed(two_theta: np.ndarray, area: np.ndarray, perturb: str, rng: np.random.Generator) -> jn.solve.Peaks:
    if perturb == "missing":
        # a quarter of those that would be seen
        some = min(len(two_theta), LINES * 4 // 3)
        keep = np.sort(rng.choice(some, some - some // 4, replace=False))
        two_theta, area = two_theta[keep], area[keep]
    two_theta, area = two_theta[:LINES], area[:LINES]
    two_theta = two_theta + rng.normal(0.0, NOISE, len(two_theta))
    if perturb == "shift":
        two_theta = two_theta + SHIFT
    if perturb == "spurious":
        two_theta = np.append(two_theta, rng.uniform(two_theta[0], two_theta[-1], 2))
        area = np.append(area, rng.choice(area, 2))
    order = np.argsort(two_theta)
    two_theta, area, each = two_theta[order], area[order], np.ones(len(order))
    instrument = jn.Instrument(wavelengths=(WAVELENGTH,))
    return jn.solve.Peaks(two_theta, NOISE * each, area, 0.01 * area, 0.08 * each, np.zeros((0, 2)), instrument)


def mapped(truth: np.ndarray, other: np.ndarray, lengths: float, degrees: float, volume: float) -> bool:
    """Whether some basis of the other lattice agrees with the vectors of the first."""
    ratio = abs(np.linalg.det(other)) / abs(np.linalg.det(truth))
    if abs(ratio - 1.0) > volume:
        return False
    vectors = np.array(list(product(range(-3, 4), repeat=3))) @ other
    size, goal = np.linalg.norm(vectors, axis=1), np.linalg.norm(truth, axis=1)
    choices = [vectors[np.abs(size - length) <= lengths * length] for length in goal]
    angle = lambda u, v: np.degrees(np.arccos(np.clip(u @ v / np.linalg.norm(u) / np.linalg.norm(v), -1, 1)))
    wanted = angle(truth[1], truth[2]), angle(truth[0], truth[2]), angle(truth[0], truth[1])
    for a, b in product(choices[0], choices[1]):
        if abs(angle(a, b) - wanted[2]) <= degrees:
            for c in choices[2]:
                if abs(angle(b, c) - wanted[0]) <= degrees and abs(angle(a, c) - wanted[1]) <= degrees:
                    return True
    return False


def interval(hits: int, n: int) -> tuple[float, float]:
    """Wilson's interval of a rate, 95 %."""
    z, p = 1.96, hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return 100 * (centre - half), 100 * (centre + half)


def summary(rows: list[dict], perturb: str) -> None:
    few = [row for row in rows if row["lines"] < 8]
    rows = [row for row in rows if row["lines"] >= 8]
    if few:
        print(f"\n{len(few)} lists of fewer than 8 lines are not counted")
    print(f"\nlists: {perturb}\n{'':14s}    n  (0.05, 3°)  strict  in first ten  median s  most s")
    for name in (*SYSTEMS, "all"):
        some = [row for row in rows if name in (row["system"], "all")]
        if some:
            loose, strict, ten = (
                [row["loose"] for row in some], [row["rank"] == 1 for row in some], [0 < row["rank"] <= 10 for row in some],
            )  # fmt: skip
            seconds = [row["seconds"] for row in some]
            print(
                f"{name:14s} {len(some):4d}  {sum(loose):10d}  {sum(strict):6d}  {sum(ten):12d}  {np.median(seconds):8.1f}  {max(seconds):6.1f}"
            )
    n = len(rows)
    for name, hits in (
        ("(0.05, 3°)", sum(row["loose"] for row in rows)),
        ("strict", sum(row["rank"] == 1 for row in rows)),
    ):
        low, high = interval(hits, n)
        print(f"{name}: {100 * hits / n:.0f} % ({low:.0f} to {high:.0f} %)")
    reliability(rows)


def reliability(rows: list[dict]) -> None:
    """How often the first cell is right, by how probable it is said to be."""
    said = np.array([row["probability"] for row in rows if "probability" in row])
    right = np.array([row["loose"] for row in rows if "probability" in row])
    print("\nfirst cells said to be so probable      n  said  right")
    for low, high in ((0.0, 0.5), (0.5, 0.8), (0.8, 0.95), (0.95, 0.99), (0.99, 1.0001)):
        some = (said >= low) & (said < high)
        if some.any():
            print(
                f"{low:4.2f} to {min(high, 1.0):4.2f}                        {some.sum():4d}  {said[some].mean():.2f}  {right[some].mean():.2f}"
            )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
