"""A glass of 1,536 atoms from the melt, its network, and the NMR spectra that models of tensors give it.

    python benchmarks/dynamics/amorphous_silica.py quench OUT      # melt and quench; goes on where it was stopped
    python benchmarks/dynamics/amorphous_silica.py relax OUT       # the nearest minimum: CHIK, then MODEL; goes on, too
    python benchmarks/dynamics/amorphous_silica.py network OUT     # coordination, rings, angles
    python benchmarks/dynamics/amorphous_silica.py nmr OUT         # tensors of all atoms, distributions
    python benchmarks/dynamics/amorphous_silica.py origin OUT      # couplings by angles and distances, quartz for comparison
    python benchmarks/dynamics/amorphous_silica.py spectra OUT     # spectra and the distributions fitted to them
    python benchmarks/dynamics/amorphous_silica.py pictures OUT

One thread and double precision. OUT holds what the steps hand on to each other, `quench.log`, the pictures and
`amorphous_silica.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import amorphous_nmr
import numpy as np
from ase import Atoms
from ase.optimize import LBFGS

import jaxnmr as jn
from jaxnmr.dynamics.glass.network import Network, pair_distribution
from jaxnmr.dynamics.glass.quench import TemperatureProgram, at_density, quench
from jaxnmr.dynamics.glass.rings import primitive_rings
from jaxnmr.dynamics.state import crystal_at
from jaxnmr.dynamics.supercells import supercell
from jaxnmr.energy import EnergyCalculator

DENSITY = 2.20  # g/cm³, of vitreous silica
# fs, K: melt, down to where diffusion is slow, slowly through what is the glass transition at such rates, the rest
POINTS = (
    (0.0, 7000.0), (3e3, 7000.0), (5e3, 5000.0), (8e3, 5000.0), (14e3, 3600.0), (52e3, 2400.0), (60e3, 300.0), (62e3, 300.0),
)  # fmt: skip
# as quenched, at the minimum of CHIK, and at (or on the way to) that of the model it is relaxed with
STAGES = ("quenched", "chik", "relaxed")


def crystal() -> jn.Crystal:
    """Ideal β-cristobalite of the density of the glass, 4 x 4 x 4 cells."""
    ideal = jn.Crystal.create(
        cell=[7.16, 7.16, 7.16, 90, 90, 90], spacegroup="F d -3 m:2", species=["Si", "O"], xyz=[[1 / 8] * 3, [0, 0, 0]],
        name="silica",
    )  # fmt: skip
    return at_density(supercell(ideal, (4, 4, 4)).crystal, DENSITY)


def stage(out: Path, name: str) -> jn.Crystal:
    """The glass at one of `STAGES`."""
    if name == "quenched":
        with np.load(out / "quench.npz") as state:
            return crystal_at(crystal(), state["positions"], state["vectors"])
    with np.load(out / f"{name}.npz") as kept:
        return crystal().replace(xyz=kept["xyz"])


def note(out: Path, section: str, numbers: Any) -> None:
    """Put numbers into `amorphous_silica.json`."""
    path = out / "amorphous_silica.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known[section] = numbers
    path.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(section, json.dumps(numbers, indent=1, ensure_ascii=False), flush=True)


def run_quench(out: Path, asked: argparse.Namespace) -> None:
    """Melt and quench; a line in `quench.log` for every picosecond."""
    begin = crystal()
    potential = jn.EnergyModel.load("chik").for_dynamics()
    schedule = TemperatureProgram.create(POINTS, timestep_fs=2.0)
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
    lines = (out / "quench.log").read_text(encoding="utf-8").splitlines()
    end = lines[-1].split()
    note(out, "quench", {
        "atoms": len(home), "density_g_cm3": DENSITY, "schedule_fs_k": POINTS, "timestep_fs": 2.0, "steps": schedule.steps,
        "cooling_k_s_3600_to_2400": (3600.0 - 2400.0) / (52e3 - 14e3) * 1e15, "pressure_gpa_300_k": float(end[6]),
        "way_angstrom_si_o": [float(end[12]), float(end[14])],
    })  # fmt: skip


def downhill(model: jn.EnergyModel, begin: jn.Crystal, force: float, steps: int):
    """Yield atoms and their energy per atom, largest and rms force on the way to the nearest minimum in a fixed cell."""
    atoms = Atoms(begin.elements, scaled_positions=begin.xyz, cell=begin.lattice(), pbc=True)
    atoms.calc = EnergyCalculator(model)
    for _ in LBFGS(atoms, logfile=None, maxstep=0.15).irun(fmax=force, steps=steps):
        size = np.linalg.norm(atoms.get_forces(), axis=1)
        yield atoms, np.array([atoms.get_potential_energy() / len(atoms), size.max(), np.sqrt(np.mean(size**2))])


def run_relax(out: Path, asked: argparse.Namespace) -> None:
    """Go downhill with CHIK, then with the model, at most so many steps in all."""
    names = ("energy_ev_atom", "largest_force_ev_angstrom", "rms_force_ev_angstrom")
    if not (out / "chik.npz").exists():
        way = list(downhill(jn.EnergyModel.load("chik").for_dynamics(), stage(out, "quenched"), force=0.01, steps=400))
        atoms, numbers = way[-1]
        np.savez(out / "chik.npz", xyz=atoms.get_scaled_positions(wrap=False))
        note(out, "relaxed with chik", {"steps": len(way) - 1, **dict(zip(names, numbers.tolist(), strict=True))})
    model = jn.EnergyModel.load(asked.model).for_dynamics()
    path, done, first = out / "relaxed.npz", 0, None
    begin = stage(out, "chik")
    if path.exists():
        with np.load(path) as kept:
            done, first, begin = int(kept["step"]), kept["first"], begin.replace(xyz=kept["xyz"])
    spent, before = time.process_time(), done
    for step, (atoms, numbers) in enumerate(downhill(model, begin, force=0.05, steps=max(asked.steps - done, 1))):
        first, done = (numbers if first is None else first), before + step
        xyz = atoms.get_scaled_positions(wrap=False)
        np.savez(out / "relaxed.part.npz", xyz=xyz, step=done, first=first)
        (out / "relaxed.part.npz").replace(path)
        print(done, numbers, f"{time.process_time() - spent:.0f} s of CPU", flush=True)
    shift = xyz - np.asarray(stage(out, "chik").xyz)
    moved = (shift - shift.mean(axis=0)) @ np.asarray(begin.lattice())
    note(out, "relaxed", {
        "model": model.name, "steps": done, **dict(zip(names, numbers.tolist(), strict=True)),
        "at_the_minimum_of_chik": dict(zip(names, first.tolist(), strict=True)),
        "rms_move_angstrom": float(np.sqrt(np.mean(np.sum(moved**2, axis=1)))),
    })  # fmt: skip


def structure(glass: jn.Crystal) -> dict[str, Any]:
    """Network and rings."""
    network = Network.create(glass)
    rings = primitive_rings(network)
    count = lambda values: {str(k): int(n) for k, n in zip(*np.unique(values, return_counts=True), strict=True)}
    spread = lambda values: [float(np.mean(values)), float(np.std(values))]
    lengths = np.linalg.norm(network.vectors, axis=1)
    ends, shifts = network.links
    joined, times = np.unique(np.hstack([np.sort(ends, axis=1), np.abs(shifts)]), axis=0, return_counts=True)
    apart = np.concatenate(
        [pair_distribution(glass, first, second, reach=6.0, width=0.02)[1][None] for first, second in (("Si", "O"), ("O", "O"), ("Si", "Si"))]
    )  # fmt: skip
    r = pair_distribution(glass, "Si", "O", reach=6.0, width=0.02)[0]
    return {
        "cutoff_angstrom": network.cutoff, "q4": network.q4, "q": count(network.q), "coordination_si": count(network.coordination),
        "coordination_o": count(network.linkage), "si_o_angstrom": spread(lengths),
        "si_o_si_deg": spread(network.angles_at_ligands), "o_si_o_deg": spread(network.angles_at_centres),
        "rings_per_si": {str(k): n for k, n in rings.per_centre.items()}, "mean_ring": rings.mean_size,
        "share_of_si_in_rings": {str(k): rings.share(k) for k in (3, 4, 5, 6)},
        "first_maxima_angstrom_si_o_o_o_si_si": [float(r[int(np.argmax(g))]) for g in apart], "silicon": len(network.places),
        "pairs_of_si_that_share_two_o": int(np.sum(times > 1)), "linked_pairs_of_si": len(joined),
    }  # fmt: skip


def run_network(out: Path, asked: argparse.Namespace) -> None:
    """Network of the glass at all stages that there are."""
    for name in STAGES:
        if name == "quenched" or (out / f"{name}.npz").exists():
            note(out, f"network, {name}", structure(stage(out, name)))


def run_nmr(out: Path, asked: argparse.Namespace) -> None:
    """Tensors of all atoms of the glass at rest."""
    for name in STAGES[1:]:
        if (out / f"{name}.npz").exists():
            glass = stage(out, name)
            numbers, arrays = amorphous_nmr.tensors(glass, Network.create(glass))
            np.savez(out / f"nmr-{name}.npz", **arrays)
            note(out, f"nmr, {name}", numbers)


def run_origin(out: Path, asked: argparse.Namespace) -> None:
    """Where couplings of 17O come from: angles and distances in the glass, and quartz for comparison."""
    for name in STAGES[1:]:
        if (out / f"nmr-{name}.npz").exists():
            with np.load(out / f"nmr-{name}.npz") as kept:
                note(out, f"17O, {name}", amorphous_nmr.origin(dict(kept), Network.create(stage(out, name))))
    note(out, "nmr, quartz", amorphous_nmr.quartz_numbers())


def run_spectra(out: Path, asked: argparse.Namespace) -> None:
    """Spectra of the most relaxed glass that there is."""
    name = "relaxed" if (out / "nmr-relaxed.npz").exists() else "chik"
    with np.load(out / f"nmr-{name}.npz") as kept:
        numbers, arrays = amorphous_nmr.spectra(dict(kept))
    np.savez(out / "spectra.npz", **arrays)
    note(out, f"spectra, {name}", numbers)


def run_pictures(out: Path, asked: argparse.Namespace) -> None:
    """Two pictures: the network, and NMR."""
    import amorphous_pictures

    names = [name for name in STAGES if name == "quenched" or (out / f"{name}.npz").exists()]
    amorphous_pictures.network({name: stage(out, name) for name in names}, out / "silica_glass_network.png")
    best = names[-1]
    with np.load(out / f"nmr-{best}.npz") as kept, np.load(out / "spectra.npz") as spectra:
        amorphous_pictures.nmr(dict(kept), dict(spectra), out / "silica_glass_nmr.png")


STEPS = {
    "quench": run_quench, "relax": run_relax, "network": run_network, "nmr": run_nmr, "origin": run_origin, "spectra": run_spectra,
    "pictures": run_pictures,
}  # fmt: skip

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="chgnet-r2scan", help="to relax with: a name, or a file")
    parser.add_argument("--steps", type=int, default=60, help="of relaxing with it, in all")
    given = parser.parse_args()
    jn.enable_x64()
    given.out.mkdir(parents=True, exist_ok=True)
    STEPS[given.step](given.out, given)
