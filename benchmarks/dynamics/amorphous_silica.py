"""A glass of 1,536 atoms from the melt, its network, and the NMR spectra that models of tensors give it.

    python benchmarks/dynamics/amorphous_silica.py quench OUT      # melt and quench; goes on where it was stopped
    python benchmarks/dynamics/amorphous_silica.py relax OUT       # the nearest minimum, by chgnet-r2scan or a file of weights
    python benchmarks/dynamics/amorphous_silica.py network OUT     # coordination, rings, angles
    python benchmarks/dynamics/amorphous_silica.py nmr OUT         # tensors of all atoms, spectra, distributions
    python benchmarks/dynamics/amorphous_silica.py pictures OUT

One thread and double precision. OUT holds what the steps hand on to each other, and in the end `amorphous_silica.json`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import jaxnmr as jn
from jaxnmr.dynamics.quench import Schedule, at_density, quench
from jaxnmr.dynamics.supercell import supercell

DENSITY = 2.20  # g/cm³, of vitreous silica
# fs, K: melt, down to where diffusion is slow, slowly through what is the glass transition at such rates, the rest
POINTS = (
    (0.0, 7000.0), (3e3, 7000.0), (5e3, 5000.0), (8e3, 5000.0), (14e3, 3600.0), (52e3, 2400.0), (60e3, 300.0), (62e3, 300.0),
)  # fmt: skip


def crystal() -> jn.Crystal:
    """Ideal β-cristobalite of the density of the glass, 4 x 4 x 4 cells."""
    ideal = jn.Crystal.create(
        cell=[7.16, 7.16, 7.16, 90, 90, 90], spacegroup="F d -3 m:2", species=["Si", "O"], xyz=[[1 / 8] * 3, [0, 0, 0]],
        name="silica",
    )  # fmt: skip
    return at_density(supercell(ideal, (4, 4, 4)).crystal, DENSITY)


def run_quench(out: Path) -> None:
    """Melt and quench; a line in `quench.log` for every picosecond."""
    begin = crystal()
    potential = jn.EnergyModel.load("chik").for_dynamics()
    schedule = Schedule.create(POINTS, timestep_fs=2.0)
    silicon = np.array(begin.elements) == "Si"
    home = np.asarray(begin.xyz) @ np.asarray(begin.lattice())
    spent = time.process_time()
    for frame in quench(potential, begin, begin.full_masses(), schedule, path=out / "quench.npz", seed=22, segment=500):
        moved = np.sqrt(np.sum((np.asarray(frame.state.positions) - home) ** 2, axis=1))
        line = (
            f"{frame.time_fs / 1e3:8.2f} ps {frame.temperature_k:7.0f} K {frame.potential_ev / len(home):10.5f} eV/atom "
            f"{frame.pressure_gpa:+7.2f} GPa  rms way of Si {np.sqrt(np.mean(moved[silicon] ** 2)):6.2f} "
            f"O {np.sqrt(np.mean(moved[~silicon] ** 2)):6.2f} Å  lists {frame.renewals:3d}  {time.process_time() - spent:8.0f} s of CPU"
        )
        print(line, flush=True)
        with open(out / "quench.log", "a", encoding="utf-8") as log:
            log.write(line + "\n")


STEPS = {"quench": run_quench}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()
    jn.enable_x64()
    asked.out.mkdir(parents=True, exist_ok=True)
    STEPS[asked.step](asked.out)
