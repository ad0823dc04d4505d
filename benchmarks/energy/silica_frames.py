"""Frames of silica for a potential to learn from: strained and shaken crystals, crystals in motion, melts and glasses.

    JAXNMR_DATA=... python benchmarks/energy/silica_frames.py FOLDER [--quick]
    JAXNMR_DATA=... python benchmarks/energy/silica_frames.py FOLDER --near
    JAXNMR_DATA=... python benchmarks/energy/silica_frames.py OTHER --rest --by student.safetensors
    JAXNMR_DATA=... python benchmarks/energy/silica_frames.py OTHER --by student.safetensors --glasses FOLDER

Motion is that of the pair potential `chik` (Langevin, fixed cells), which costs a hundredth of what the labels cost: it only has to
visit the places. The second way adds crystals near rest, the third those where a student has
them at rest, and the fourth goes where a student goes that was trained on these, crystals and glasses of FOLDER at 100 to
1500 K, so that it learns what it got wrong. Every trajectory is a file ``FOLDER/frames/NAME.npz`` of its own, made from a seed of its own, so that a second
call goes on where the first stopped, and belongs to the training, the validation or the test as a whole.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from silica_structures import Cell, cell_of, frameworks, mineral, minerals, supercell  # noqa: E402

import jaxnmr as jn  # noqa: E402
from jaxnmr._struct import compiled  # noqa: E402
from jaxnmr.crystal import lattice  # noqa: E402
from jaxnmr.energy import EnergyModel  # noqa: E402

# eV/(u Å) in Å/fs²
ACCELERATION = 9.648533e-3
BOLTZMANN_EV = 8.617333e-5
MASSES = {"Si": 28.085, "O": 15.999}
SKIN, BLOCK = 0.9, 10
# eV per atom, of the sum over charges: places are wanted, not energies
ACCURACY = 1e-3
TEMPERATURES = (300, 500, 800, 1000, 1200)
REST = ("quartz", "cristobalite", "coesite")
OWN_TEMPERATURES = (100, 600, 1200, 300, 900)
DENSITIES = (2.0, 2.1, 2.2, 2.2, 2.3, 2.4, 2.2, 2.6)


@dataclass(frozen=True)
class Job:
    """One trajectory. ``stages``: (temperature at the start, at the end, steps, steps between frames; 0 for none)."""

    name: str
    cell: Cell
    split: str
    kind: str
    stages: tuple[tuple[float, float, int, int], ...] = ()
    frames: int = 0
    strain: float = 0.025
    most: float = 0.15
    timestep: float = 1.5

    @property
    def seed(self) -> int:
        return zlib.crc32(self.name.encode())


def jobs() -> list[Job]:
    """All trajectories, in the order in which they are made."""
    found: list[Job] = []
    for k, cell in enumerate(minerals()):
        for m in range(3):
            split = "train" if m < 2 else ("valid", "test")[k % 2]
            found.append(Job(f"{cell.name}-shaken-{m}", cell, split, "shaken", frames=12))
        for m, kelvin in enumerate(TEMPERATURES):
            split = {k % 5: "valid", (k + 2) % 5: "test"}.get(m, "train")
            stages = ((kelvin, kelvin, 250, 0), (kelvin, kelvin, 750, 50))
            found.append(Job(f"{cell.name}-{kelvin}K", cell, split, "crystal", stages, strain=0.015))
    trained, held_out = frameworks()
    for k, cell in enumerate([*trained, *held_out]):
        split, kelvin = "train" if k < len(trained) else "test", TEMPERATURES[k % 5]
        found.append(Job(f"{cell.name}-shaken", cell, split, "shaken", frames=8))
        stages = ((kelvin, kelvin, 250, 0), (kelvin, kelvin, 500, 50))
        found.append(Job(f"{cell.name}-{kelvin}K", cell, split, "crystal", stages, strain=0.015))
    start = next(cell for cell in minerals() if cell.name == "cristobalite-high")
    for k, density in enumerate(DENSITIES):
        split = {6: "valid", 5: "test"}.get(k, "train")
        cell = _at_density(start, density)
        stages = (
            (6000, 4500, 2000, 0), (4500, 3500, 1500, 150), (3500, 2000, 1500, 150), (2000, 300, 3000, 150), (300, 300, 500, 100),
            (900, 900, 800, 100),
        )  # fmt: skip
        found.append(Job(f"glass-{k}-{density}", cell, split, "glass", stages, strain=0.0, timestep=1.2))
    return found


def near_jobs() -> list[Job]:
    """Crystals near rest: little strained, little shaken. Where forces are small, small errors of forces decide about cells."""
    found = []
    trained, _ = frameworks()
    for k, cell in enumerate([*minerals(), *trained[:9]]):
        for m in range(3 if k < 7 else 1):
            split = "test" if k < 7 and m == 2 else "train"
            found.append(
                Job(f"near-{cell.name}-{m}", cell, split, "near", frames=12 if k < 7 else 8, strain=0.008, most=0.06)
            )
    return found


def rest_of(name: str, by: str) -> tuple[Cell, np.ndarray, np.ndarray]:
    """From the measured structure of a mineral to where a student has its minimum, and on to both sides, hardly shaken.

    A soft framework has its minimum where small forces balance: only labels there tell a student that it is somewhere else.
    """
    measured = mineral(name)
    relaxed = jn.relax(measured, by, cell="free").crystal
    generator = np.random.default_rng(zlib.crc32(f"rest-{name}".encode()))
    lattices, places = [], []
    for share in np.linspace(-0.5, 1.5, 24):
        both = [(np.asarray(getattr(c, part)) for c in (measured, relaxed)) for part in ("cell", "xyz")]
        cell, xyz = ((1 - share) * a + share * b for a, b in both)
        cell = supercell(measured.replace(cell=cell, xyz=xyz))
        vectors = _strained(cell.lattice, generator, 0.003)
        moved = generator.normal(0.0, generator.uniform(0.0, 0.02), cell.fractional.shape)
        lattices.append(vectors)
        places.append(cell.fractional + moved @ np.linalg.inv(vectors))
    return cell, np.array(lattices), np.array(places)


def own_jobs(folder: Path) -> list[Job]:
    """Trajectories of a student: crystals, and the glasses that `chik` has quenched."""
    found: list[Job] = []
    for k, cell in enumerate(minerals()):
        for m, kelvin in enumerate((OWN_TEMPERATURES[k % 5], OWN_TEMPERATURES[(k + 2) % 5])[: 2 if k < 2 else 1]):
            split = "test" if m and k == 0 else "train"
            found.append(Job(f"own-{cell.name}-{kelvin}K", cell, split, "own", _steady(kelvin), strain=0.01))
    glasses = sorted((folder / "frames").glob("glass-*.npz"))
    for k in (0, 5, 1, 2):
        file = glasses[k]
        with np.load(file) as held:
            about, shape = json.loads(str(held["about"])), np.asarray(lattice(held["cell"][-1].astype(float)))
            # the last frame at 300 K
            cell = Cell(about["name"], shape, held["xyz"][-9], tuple(about["elements"]))
        kelvin = (300, 900, 1500)[k % 3]
        found.append(
            Job(f"own-{about['name']}-{kelvin}K", cell, about["split"], "own glass", _steady(kelvin), strain=0.0)
        )
    return found


def _steady(kelvin: float) -> tuple[tuple[float, float, int, int], ...]:
    return ((kelvin, kelvin, 150, 0), (kelvin, kelvin, 480, 40))


def shaken(job: Job) -> tuple[np.ndarray, np.ndarray]:
    """Lattices and fractional positions: strains of some per cent, displacements of 0.02 to 0.15 Å (larger ones push bonds to 50 eV/Å)."""
    generator = np.random.default_rng(job.seed)
    lattices, places = [], []
    for _ in range(job.frames):
        vectors = _strained(job.cell.lattice, generator, job.strain)
        rms = np.exp(generator.uniform(np.log(job.most / 7.5), np.log(job.most)))
        moved = generator.normal(0.0, rms / np.sqrt(3.0), job.cell.fractional.shape)
        lattices.append(vectors)
        places.append(job.cell.fractional + moved @ np.linalg.inv(vectors))
    return np.array(lattices), np.array(places)


def moving(job: Job, potential, settings: dict) -> tuple[np.ndarray, np.ndarray]:
    """Lattices and fractional positions along a trajectory of Langevin dynamics (BAOAB) in a fixed cell."""
    generator = np.random.default_rng(job.seed)
    cell = Cell(job.name, _strained(job.cell.lattice, generator, job.strain), job.cell.fractional, job.cell.elements)
    crystal = cell.crystal()
    vectors = np.asarray(crystal.lattice(), dtype=float)
    masses = np.array([MASSES[element] for element in cell.elements])[:, None]
    first = generator.normal(0.0, 0.05, cell.fractional.shape)
    xyz = cell.fractional + first @ np.linalg.inv(vectors)
    velocity = generator.normal(size=xyz.shape) * np.sqrt(BOLTZMANN_EV * job.stages[0][0] * ACCELERATION / masses)
    plan = _listed(potential, crystal.replace(xyz=xyz), SKIN, settings)
    key = jax.random.key(job.seed)
    places = []
    for begin, end, steps, every in job.stages:
        for k in range(0, steps, BLOCK):
            kelvin = begin + (end - begin) * k / steps
            key, own = jax.random.split(key)
            for skin in (SKIN, 1.5 * SKIN, 2.5 * SKIN):
                if float(plan.margin(crystal.replace(xyz=xyz))) < 0.6 * skin:
                    plan = _listed(potential, crystal.replace(xyz=xyz), skin, settings)
                moved = _block(potential, plan, crystal, xyz, velocity, masses, kelvin, job.timestep, own)
                if float(plan.margin(crystal.replace(xyz=np.asarray(moved[0])))) > 0:
                    break
            else:
                raise RuntimeError(f"{job.name}: atoms moved farther than the skin within a block")
            xyz, velocity = np.asarray(moved[0]), moved[1]
            if every and (k + BLOCK) % every == 0:
                places.append(np.asarray(xyz))
    return np.broadcast_to(vectors, (len(places), 3, 3)), np.array(places)


# by number of atoms and skin: lists made again have the length of those before, and share compiled programs
_PLANS: dict[tuple[int, float], Any] = {}


def _listed(potential, crystal, skin: float, settings: dict):
    key = len(crystal.labels), skin
    before = _PLANS.get(key)
    _PLANS[key] = potential.plan(crystal, skin=skin, **settings) if before is None else before.renewed(crystal)
    return _PLANS[key]


@compiled
def _block(potential, plan, crystal, xyz, velocity, masses, kelvin, timestep, key):
    inverse = jnp.linalg.inv(crystal.lattice())
    slope = jax.grad(lambda x: potential.energy(crystal.replace(xyz=x), plan))
    acceleration = lambda x: -(slope(x) @ inverse.T) * ACCELERATION / masses
    # friction of 1 in 50 fs
    keep = jnp.exp(-timestep / 50.0)
    thermal = jnp.sqrt((1.0 - keep**2) * BOLTZMANN_EV * kelvin * ACCELERATION / masses)

    def step(state, key):
        x, v, a = state
        v = v + 0.5 * timestep * a
        x = x + 0.5 * timestep * v @ inverse
        v = keep * v + thermal * jax.random.normal(key, v.shape, v.dtype)
        x = x + 0.5 * timestep * v @ inverse
        a = acceleration(x)
        return (x, v + 0.5 * timestep * a, a), None

    state = (xyz, velocity, acceleration(xyz))
    (xyz, velocity, _), _ = jax.lax.scan(step, state, jax.random.split(key, BLOCK))
    return xyz, velocity


def _strained(vectors: np.ndarray, generator: np.random.Generator, size: float) -> np.ndarray:
    """With a volume strain and a strain of other kind, each component normal; cut at twice the size."""
    noise = np.clip(generator.normal(0.0, size, (3, 3)), -2 * size, 2 * size)
    strain = 0.5 * (noise + noise.T) + np.clip(generator.normal(0.0, size), -1.5 * size, 1.5 * size) * np.eye(3)
    return vectors @ (np.eye(3) + strain)


def _at_density(cell: Cell, density: float) -> Cell:
    """Scaled to g/cm³."""
    grams = sum(MASSES[element] for element in cell.elements) * 1.66053907
    factor = (grams / density / cell.volume) ** (1 / 3)
    return Cell(cell.name, cell.lattice * factor, cell.fractional, cell.elements)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--by", default="chik", help="the potential that moves atoms: a name or a file")
    parser.add_argument("--glasses", type=Path, help="a folder of frames by chik: trajectories of a student")
    parser.add_argument("--near", action="store_true", help="crystals near rest")
    parser.add_argument(
        "--rest", action="store_true", help="between measured minerals and where a student has them at rest"
    )
    parser.add_argument("--quick", action="store_true", help="three small trajectories")
    args = parser.parse_args()
    folder = args.folder / "frames"
    folder.mkdir(parents=True, exist_ok=True)
    potential = EnergyModel.load(args.by).potential
    settings = {"accuracy": ACCURACY} if args.by == "chik" else {}
    todo = near_jobs() if args.near else jobs() if args.glasses is None else own_jobs(args.glasses)
    if args.quick:
        todo = [job for job in todo if job.name.startswith("quartz-") and job.kind != "glass"][:4]
    if args.rest:
        todo = []
        for name in REST:
            cell, lattices, places = rest_of(name, args.by)
            about = {
                "name": f"rest-{name}", "kind": "near", "split": "train", "elements": cell.elements, "from": name, "stages": [],
            }  # fmt: skip
            save(folder / f"rest-{name}.npz", lattices, places, about)
    for job in todo:
        file = folder / f"{job.name}.npz"
        if file.exists():
            continue
        began = time.process_time()
        lattices, places = shaken(job) if not job.stages else moving(job, potential, settings)
        about = {
            "name": job.name, "kind": job.kind, "split": job.split, "elements": job.cell.elements, "seed": job.seed,
            "from": job.cell.name, "stages": job.stages,
        }  # fmt: skip
        save(file, lattices, places, about)
        print(f"{job.name}: {len(lattices)} frames, {job.split}, {time.process_time() - began:.1f} CPU s", flush=True)


def save(file: Path, lattices: np.ndarray, places: np.ndarray, about: dict) -> None:
    """Write a trajectory, in one go."""
    cells = np.array([cell_of(vectors) for vectors in lattices])
    partial = file.with_suffix(".tmp")
    with partial.open("wb") as opened:
        np.savez(opened, cell=cells, xyz=places % 1.0, about=json.dumps(about))
    partial.rename(file)


if __name__ == "__main__":
    main()
