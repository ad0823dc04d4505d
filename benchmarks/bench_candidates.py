"""What does it cost to go through the candidates of a screening, before any is refined?

    python benchmarks/bench_candidates.py --out out/bench

Alpha-cristobalite doubled along a, 24 atoms, each displaced at random, is written as a folder of CIF files, as one CIF of
many blocks, as frames of extxyz and as rows of an ASE database. Each is counted and gone through once, with names, contents
and kinds, and no structure is read. Times are those of the processor; the growth of the largest resident size shows
whether candidates are held.
Results: ``candidates.json`` in the output folder.
"""

import json
import tempfile
import time
from pathlib import Path

import numpy as np
from timing import benchmark_parser, machine, peak_memory_mb, pin

from jaxnmr.io.structures.candidates import read_candidates

CELL = np.diag([2 * 4.9717, 4.9717, 6.9223])
SI, O = (0.3003, 0.3003, 0.0), (0.2392, 0.1044, 0.1787)
SIGMA = 0.02  # of displacements, Å


def main(argv=None) -> int:
    parser = benchmark_parser(__doc__, "a few candidates")
    parser.add_argument("--frames", type=int, default=100_000, help="frames of extxyz; of the others a twentieth")
    arguments = parser.parse_args(argv)
    cores = pin(arguments.cores)
    frames = 40 if arguments.quick else arguments.frames
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, path in written(Path(folder), frames, max(frames // 20, 2)).items():
            rows[name] = row = gone_through(path)
            print(
                f"{name:>10}: {row['candidates']} candidates, {row['count_us']:.0f} µs each to count, {row['each_us']:.0f} µs "
                f"each to go through, {row['growth_mb']:.0f} MB more than before"
            )
    arguments.out.mkdir(parents=True, exist_ok=True)
    record = {"machine": machine(cores), "sources": rows}
    (arguments.out / "candidates.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


def gone_through(path: Path) -> dict[str, float]:
    candidates = read_candidates(path)
    before, start = peak_memory_mb(), time.process_time()
    count = candidates.count()
    counted = time.process_time()
    passed = sum(1 for _ in candidates)
    done = time.process_time()
    assert passed == count
    return {
        "candidates": passed,
        "count_us": 1e6 * (counted - start) / passed,
        "each_us": 1e6 * (done - counted) / passed,
        "growth_mb": peak_memory_mb() - before,
    }


def written(folder: Path, frames: int, others: int) -> dict[str, Path]:
    """The sources, each on the disk before the first is read."""
    symbols, fractions = doubled_cristobalite()
    random = np.random.default_rng(0)

    def positions() -> np.ndarray:
        return fractions @ CELL + random.normal(0.0, SIGMA, fractions.shape)

    lattice = " ".join(map(repr, CELL.ravel().tolist()))
    with (folder / "frames.extxyz").open("w", encoding="utf-8") as file:
        for _ in range(frames):
            file.write(f'{len(symbols)}\nLattice="{lattice}" Properties=species:S:1:pos:R:3 energy=-1.0 pbc="T T T"\n')
            for symbol, (x, y, z) in zip(symbols, positions(), strict=True):
                file.write(f"{symbol:<2s} {x:16.8f} {y:16.8f} {z:16.8f}\n")
    (folder / "cifs").mkdir()
    with (folder / "blocks.cif").open("w", encoding="utf-8") as file:
        for k in range(others):
            text = cif(f"c{k}", symbols, positions() @ np.linalg.inv(CELL))
            (folder / "cifs" / f"c{k}.cif").write_text(text, encoding="utf-8")
            file.write(text)
    database(folder / "rows.db", symbols, [positions() for _ in range(others)])
    names = {"CIF files": "cifs", "CIF blocks": "blocks.cif", "extxyz": "frames.extxyz", "database": "rows.db"}
    return {name: folder / file for name, file in names.items()}


def doubled_cristobalite() -> tuple[list[str], np.ndarray]:
    import gemmi

    group = gemmi.SpaceGroup("P 41 21 2").operations()
    symbols, fractions = [], []
    for symbol, site in (("Si", SI), ("O", O)):
        images = {tuple(np.round(np.mod(op.apply_to_xyz(list(site)), 1.0), 6) % 1.0) for op in group}
        for shift in (0.0, 0.5):
            for x, y, z in sorted(images):
                symbols.append(symbol)
                fractions.append((0.5 * x + shift, y, z))
    assert len(symbols) == 24
    return symbols, np.array(fractions)


def cif(name: str, symbols: list[str], xyz: np.ndarray) -> str:
    a, b, c = np.diag(CELL)
    lines = [f"data_{name}", f"_cell_length_a {a}", f"_cell_length_b {b}", f"_cell_length_c {c}"]
    lines += [f"_cell_angle_{angle} 90" for angle in ("alpha", "beta", "gamma")]
    lines += ["_space_group_name_H-M_alt 'P 1'", "loop_", "_space_group_symop_operation_xyz", "x,y,z", "loop_"]
    tags = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy", "U_iso_or_equiv")
    lines += [f"_atom_site_{tag}" for tag in tags]
    lines += [
        f"{symbol}{k} {symbol} {x:.8f} {y:.8f} {z:.8f} 1.0 0.01"
        for k, (symbol, (x, y, z)) in enumerate(zip(symbols, xyz, strict=True), start=1)
    ]
    return "\n".join(lines) + "\n"


def database(path: Path, symbols: list[str], positions: list[np.ndarray]) -> None:
    import ase.db

    with ase.db.connect(path) as rows:
        for xyz in positions:
            rows.write(ase.Atoms(symbols, positions=xyz, cell=CELL, pbc=True))


if __name__ == "__main__":
    raise SystemExit(main())
