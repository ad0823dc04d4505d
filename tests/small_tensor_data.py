"""Small labelled structures for tests of trainings: labels are what the random network of `small_tensor_models` says."""

from pathlib import Path

import ase
import ase.io
import numpy as np
from small_tensor_models import ELEMENTS, LATTICE, POSITIONS, quartz, tensors

# of a network that learns a little of them in seconds
NETWORK = {"hidden": "4x0e+4x2e", "layers": 1, "cutoff": 3.0, "radial": 4, "radial_hidden": (8,), "neighbours": 12.0}


def frame(lattice=LATTICE, positions=POSITIONS, elements=ELEMENTS, **info) -> ase.Atoms:
    """A structure with both quantities; oxygen alone has field gradients."""
    shielding, efg = tensors(lattice, positions, elements)
    atoms = ase.Atoms(elements, positions=positions, cell=lattice, pbc=True)
    efg = np.where((np.array(elements) == "O")[:, None, None], efg, np.nan)
    atoms.set_array("ms", shielding.reshape(-1, 9))
    atoms.set_array("efg", efg.reshape(-1, 9))
    atoms.info.update(info)
    return atoms


def rattled(count: int, seed: int = 0) -> list[ase.Atoms]:
    """Structures in pairs of one prototype."""
    rng = np.random.default_rng(seed)
    return [
        frame(positions=POSITIONS + rng.normal(0.0, 0.06, (5, 3)), tag=f"s{k}", prototype=f"p{k // 2}")
        for k in range(count)
    ]


def quartz_frame(turn=None, **info) -> ase.Atoms:
    """Alpha quartz, with its tensors turned into another frame where a rotation is given."""
    cell = quartz().expand()
    atoms = frame(np.asarray(cell.lattice), np.asarray(cell.cartesian), ("Si",) * 3 + ("O",) * 6, **info)
    if turn is not None:
        for name in ("ms", "efg"):
            there = atoms.arrays[name].reshape(-1, 3, 3)
            atoms.arrays[name] = (turn @ there @ np.transpose(turn)).reshape(-1, 9)
    return atoms


def write(path: Path, frames) -> Path:
    """An extxyz file."""
    ase.io.write(path, frames, format="extxyz")
    return path
