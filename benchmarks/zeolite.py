"""Zeolite ZSM-12, to refine and to time: the idealised framework in C 2/c and a distorted structure to find again.

    export JAXNMR_DATA=/path/to/data;  python benchmarks/zeolite.py --out out/zeolite

The framework of type MTW (International Zeolite Association) is given in C 2/m; silica ZSM-12 has twice its c axis and C 2/c:
7 Si and 14 O in general positions, 168 atoms, 63 coordinates. A structure to find again is made: atoms are shaken, then they and
the cell are refined to distances drawn from the distributions in known zeolites. The result is a plausible silica that is
neither the framework nor the minimum of the restraints. The same seed gives the same structure. A refinement starts from
``start.replace(cell=hidden.cell)``: powder patterns give the cell.
"""

import argparse
import os
from pathlib import Path

import numpy as np

import jaxnmr as jn
from jaxnmr.crystal import Crystal, measure_angles, measure_distances, transformed

# Mean and standard deviation in Å, as nmrcryspy (examples/zsm12.py) restrains them
SILICA = {("Si", "O"): (1.60, 0.01), ("O", "O"): (2.61, 0.02), ("Si", "Si"): (3.10, 0.05)}
DOUBLED_C = ((1, 0, 0), (0, 1, 0), (0, 0, 2))


def framework(data: Path) -> Crystal:
    """The idealised framework in C 2/c with c doubled."""
    given = jn.read_crystal(Path(data) / "openchemistry_crystals" / "zeolites" / "MTW.cif", name="ZSM-12")
    return transformed(given, DOUBLED_C, spacegroup="C 2/c")


def distorted(crystal: Crystal, seed: int, *, shake: float = 0.15, free=("cell", "xyz")) -> Crystal:
    """A structure of the same topology with distances as in known zeolites, in a cell of its own.

    Args:
        crystal: the framework.
        seed: of displacements and distances.
        shake: standard deviation of the displacements of every atom before distances are refined, Å along each axis.
        free: what is refined to the distances; without ``"cell"`` it stays in the cell of the framework given.

    Raises:
        ConvergenceError: shaken so much that distances find no minimum.
    """
    rng = np.random.default_rng(seed)
    restraint = jn.Restraint.distances(crystal, SILICA)
    restraint = restraint.replace(target=rng.normal(restraint.target, restraint.sigma))
    objective = jn.Objective(restraint, crystal=shaken(crystal, rng, shake))
    fit = jn.refine(objective, objective.parameters().free(*free), suggest=False)
    return fit.crystal


def shaken(crystal: Crystal, rng: np.random.Generator, sigma: float) -> Crystal:
    """Every atom displaced at random, ``sigma`` Å along each axis."""
    moves = rng.normal(0.0, sigma, crystal.xyz.shape) @ np.linalg.inv(crystal.lattice())
    return crystal.replace(xyz=crystal.xyz + moves)


def equivalent(crystal: Crystal, framework: Crystal) -> Crystal:
    """The same structure moved by half of c, its sites named after those of the framework they fall on.

    The framework repeats after half of c, C 2/c does not: every structure in it has two descriptions, alike in all they
    predict. Which of the two a refinement finds is chance.
    """
    group, half = framework.group, np.array([0.0, 0.0, 0.5])
    moved = lambda xyz: np.einsum("nij,sj->sni", group.rotations, xyz + half) + np.asarray(group.translations)
    targets = np.asarray(framework.xyz)
    delta = moved(targets) - targets[:, None, None]
    away = np.linalg.norm((delta - np.round(delta)) @ np.asarray(framework.lattice()), axis=-1)
    images, places = moved(np.asarray(crystal.xyz)), range(len(targets))
    found = [np.unravel_index(away[k].argmin(), away[k].shape) for k in places]
    xyz = [images[at] - np.round(delta[(k, *at)]) for k, at in zip(places, found, strict=True)]
    return crystal.replace(xyz=np.array(xyz))


def displacements(one: Crystal, other: Crystal) -> np.ndarray:
    """How far the sites of two structures are apart, Å, in the cell of the first."""
    delta = np.asarray(one.xyz) - np.asarray(other.xyz)
    return np.linalg.norm((delta - np.round(delta)) @ np.asarray(one.lattice()), axis=1)


def describe(crystal: Crystal) -> str:
    """Mean, standard deviation and number of distances and angles."""
    lengths = measure_distances([crystal], SILICA)
    angles = measure_angles([crystal], [("O", "Si", "O"), ("Si", "O", "Si")])
    rows = [f"{'-'.join(kind):<9}{s.mean:9.4f} +- {s.sigma:.4f} Å   ({s.number})" for kind, s in lengths.items()]
    rows += [f"{'-'.join(kind):<9}{s.mean:9.2f} +- {s.sigma:.2f} °   ({s.number})" for kind, s in angles.items()]
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("JAXNMR_DATA"), help="folder of measured data")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/zeolite"))
    options = parser.parse_args()
    if options.data is None:
        parser.error("set JAXNMR_DATA, or say --data where openchemistry_crystals is")
    jn.enable_x64()
    start = framework(options.data)
    hidden = distorted(start, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, crystal in (("framework", start), ("hidden", hidden)):
        jn.write_crystal(crystal, options.out / f"{name}.cif")
        print(f"{name}: {crystal.n_sites} sites\n{describe(crystal)}")
    moved = displacements(hidden, start)
    print(f"cell of hidden: {np.round(hidden.cell, 3).tolist()}")
    print(
        f"displacements: rms {np.sqrt(np.mean(moved**2)):.3f} Å, largest {moved.max():.3f} Å; written to {options.out}"
    )


if __name__ == "__main__":
    main()
