"""Labels of frames of silica by a teacher: energies, forces, stresses.

    python benchmarks/energy/silica_labels.py FOLDER [--teacher chgnet-r2scan] [--seconds 600]

Reads ``FOLDER/frames/*.npz`` (`silica_frames.py`) and writes ``FOLDER/labels/*.npz`` with the same places and ``energy`` ``(frames,)``
in eV per cell, ``forces`` ``(frames, atoms, 3)`` in eV/Å in the axes of the cell, and ``stress`` ``(frames, 3, 3)`` in eV/Å³ (dE/dε per
volume). Files that are there are left as they are. Single precision: rounding is a hundredth of what a student misses by.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from jaxnmr._struct import compiled
from jaxnmr.crystal import Crystal
from jaxnmr.energy.chgnet import BondGraphPlan, CHGNet, plan_bond_graph
from jaxnmr.energy.chgnet.potential import GPA


@compiled
def labels_of(teacher, crystal, plan):
    return teacher.evaluate(crystal, plan)


class Labeller:
    """Labels of cells; lists are padded to the largest of their kind so far, so that few programs are compiled."""

    def __init__(self, teacher: str) -> None:
        self.teacher = CHGNet.load(teacher)
        self.sizes: dict[tuple[int, bool], tuple[int, ...]] = {}

    def listed(self, elements: list[str], cell: np.ndarray, xyz: np.ndarray) -> tuple[Crystal, BondGraphPlan]:
        """The crystal and its bonds and angles, padded."""
        crystal = Crystal.create(cell=cell, spacegroup="P 1", species=elements, xyz=xyz)
        # two kinds of every size, as dense ones have half as many angles again
        kind = len(elements), float(crystal.volume()) / len(elements) > 15.0
        plan = plan_bond_graph(
            crystal, cutoff=self.teacher.cutoff, bond_cutoff=self.teacher.bond_cutoff, skin=0.0, table=self.teacher.table,
            symmetric=False, model=self.teacher.name, least=self.sizes.get(kind, (0, 0, 0, 0, 0)),
        )  # fmt: skip
        self.sizes[kind] = plan.sizes
        return crystal, plan

    def __call__(self, elements: list[str], cell: np.ndarray, xyz: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        energy, forces, stress = labels_of(self.teacher, *self.listed(elements, cell, xyz))
        return float(energy), np.asarray(forces), np.asarray(stress) / GPA


def frames_of(file: Path) -> tuple[dict, np.ndarray, np.ndarray]:
    """What is said of a trajectory, its cells and its places."""
    with np.load(file) as held:
        return json.loads(str(held["about"])), held["cell"], held["xyz"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--teacher", default="chgnet-r2scan")
    parser.add_argument("--seconds", type=float, default=np.inf, help="of processor time, after which it stops")
    args = parser.parse_args()
    out = args.folder / "labels"
    out.mkdir(parents=True, exist_ok=True)
    label, began = Labeller(args.teacher), time.process_time()
    files = [f for f in sorted((args.folder / "frames").glob("*.npz")) if not (out / f.name).exists()]
    for file in files:
        about, cells, places = frames_of(file)
        for k in (0, len(cells) // 2, -1):
            label.listed(about["elements"], cells[k], places[k])
    print(f"sizes {label.sizes}, {time.process_time() - began:.1f} CPU s", flush=True)
    for file in files:
        target = out / file.name
        if time.process_time() - began > args.seconds:
            continue
        about, cells, places = frames_of(file)
        own = time.process_time()
        found = [label(about["elements"], cell, xyz) for cell, xyz in zip(cells, places, strict=True)]
        energy, forces, stress = (np.array(part) for part in zip(*found, strict=True))
        partial = target.with_suffix(".tmp")
        with partial.open("wb") as opened:
            np.savez(
                opened, cell=cells, xyz=places, energy=energy, forces=forces.astype(np.float32),
                stress=stress.astype(np.float32), about=json.dumps(about | {"teacher": args.teacher}),
            )  # fmt: skip
        partial.rename(target)
        spent = time.process_time() - own
        print(
            f"{about['name']}: {len(cells)} frames, {spent / len(cells):.3f} CPU s each, forces to {np.abs(forces).max():.1f} eV/Å",
            flush=True,
        )


if __name__ == "__main__":
    main()
