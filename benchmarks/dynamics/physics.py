"""Long checks of dynamics that tests repeat in short form.

`nve-2fs`, `nve-1fs`: 96 atoms of cristobalite by CHIK, charges on a mesh, for 10 ps without a thermostat: drift and
scatter of the energy.
`compressibility`: argon in an isotropic cell at several pressures: the mean pressure beside the one asked for, and the isothermal
compressibility from fluctuations of the volume beside the change of the mean volume with pressure. `quartz`: displacement
parameters of quartz at 300 K from the modes of a supercell; measured are largest root mean squares of 0.080 Å for silicon, along
c, and 0.132 Å for oxygen (G. S. Smith and L. E. Alexander, *Acta Cryst.* **16**, 462, 1963). ::

    python benchmarks/dynamics/physics.py nve-2fs compressibility quartz --out out/physics.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

PRESSURES = (0.0, 0.05, 0.1, 0.15, 0.2)


def nve(timestep: float, scale: float) -> dict:
    from silica_forms import silica

    import jaxnmr as jn
    from jaxnmr.dynamics.ensemble import Ensemble
    from jaxnmr.dynamics.simulation import simulate, start
    from jaxnmr.dynamics.supercells import supercell

    model = jn.EnergyModel.load("chik").for_dynamics()
    relaxed = jn.relax(silica("cristobalite"), "chik", cell="free").crystal
    cell = supercell(relaxed, (2, 2, 2))
    settling = Ensemble.langevin(300.0, timestep_fs=1.0, relaxation_fs=100.0)
    begin = start(cell.crystal, cell.masses, 300.0)
    frames = simulate(model, cell.crystal, cell.masses, begin, settling, steps=1000, every=100)
    state = list(frames)[-1].state
    steps = int(10_000 * scale / timestep)
    frames = simulate(model, cell.crystal, cell.masses, state, Ensemble.nve(timestep), steps=steps, every=100)
    rows = np.array([(f.total_ev, f.temperature_k) for f in frames])
    energies = rows[:, 0] * 1000.0 / cell.crystal.n_sites
    ps = np.arange(1, len(rows) + 1) * timestep / 10.0
    return {
        "timestep_fs": timestep, "ps": float(ps[-1]), "drift_mev_atom_10ps": float(10.0 * np.polyfit(ps, energies, 1)[0]),
        "scatter_mev_atom": float(energies.std()), "mean_k": float(rows[:, 1].mean()),
    }  # fmt: skip


def compressibility(scale: float) -> dict:
    from analytic_potentials import LennardJones, argon

    from jaxnmr.dynamics.ensemble import Ensemble
    from jaxnmr.dynamics.simulation import simulate, start
    from jaxnmr.dynamics.state import BOLTZMANN, GPA
    from jaxnmr.dynamics.statistics import mean_error

    crystal, kt = argon(2), BOLTZMANN * 40.0
    masses = np.full(crystal.n_sites, 39.948)
    rows = []
    for number, pressure in enumerate(PRESSURES):
        ensemble = Ensemble.npt(
            40.0, pressure_gpa=pressure, cell="isotropic", timestep_fs=10.0, relaxation_fs=300.0, cell_relaxation_fs=300.0,
            compressibility=0.4,
        )  # fmt: skip
        begin = start(crystal, masses, 80.0, seed=number)
        frames = simulate(
            LennardJones(), crystal, masses, begin, ensemble, steps=int(40_000 * scale), every=10, skin=1.2
        )
        series = np.array([(np.linalg.det(f.state.vectors), f.pressure_gpa) for f in frames])
        series = series[len(series) // 10 :]
        volume, spread = series[:, 0], (series[:, 0] - series[:, 0].mean()) ** 2
        mean = mean_error(np.stack([volume, spread, series[:, 1]], axis=1))
        unit = GPA * kt * mean.mean[0]
        rows.append({
            "pressure": pressure, "volume": float(mean.mean[0]), "volume_error": float(mean.error[0]),
            "by_fluctuation": float(mean.mean[1] / unit), "by_fluctuation_error": float(mean.error[1] / unit),
            "measured_pressure": float(mean.mean[2]), "measured_pressure_error": float(mean.error[2]),
        })  # fmt: skip
    # ln V as a parabola of the pressure
    volumes, errors = (np.array([row[key] for row in rows]) for key in ("volume", "volume_error"))
    design = np.vander(PRESSURES, 3)
    weight = volumes / errors
    fit, *_ = np.linalg.lstsq(design * weight[:, None], np.log(volumes) * weight, rcond=None)
    cover = np.linalg.inv((design * weight[:, None]).T @ (design * weight[:, None]))
    slope = np.stack([2.0 * np.array(PRESSURES), np.ones(len(PRESSURES)), np.zeros(len(PRESSURES))], axis=1)
    for row, value, error in zip(
        rows, -slope @ fit, np.sqrt(np.einsum("ni,ij,nj->n", slope, cover, slope)), strict=True
    ):
        row |= {"by_volumes": float(value), "by_volumes_error": float(error)}
    return {"rows": rows}


def quartz(scale: float) -> dict:
    from silica_forms import silica

    import jaxnmr as jn
    from jaxnmr.dynamics.harmonic_solid import harmonic
    from jaxnmr.dynamics.supercells import supercell

    repeats = (2, 2, 2) if scale < 1.0 else (3, 3, 3)
    found = {}
    for name, step in (("chik", None), ("chgnet-r2scan", 0.02)):
        model = jn.EnergyModel.load(name)
        relaxed = jn.relax(silica("quartz"), model, cell="free", force=1e-4).crystal
        for cell in ((2, 2, 2), repeats)[: 1 + (repeats != (2, 2, 2))]:
            solid = harmonic(model, supercell(relaxed, cell), step=step)
            tensors = solid.displacements(300.0)
            values, axes = np.linalg.eigh(tensors)
            u = values.mean(axis=1)
            found[f"{name} {'x'.join(map(str, cell))}"] = {
                "labels": list(relaxed.labels), "u_iso": u.tolist(), "largest_rms": np.sqrt(values[:, 2]).tolist(),
                "its_angle_with_c": np.degrees(np.arccos(np.abs(axes[:, 2, 2]))).tolist(),
                "u_aniso": np.asarray(solid.crystal(300.0).u_aniso).tolist(),
                "lowest_thz": float(solid.frequencies_thz[0]), "highest_thz": float(solid.frequencies_thz[-1]),
                "asymmetry": solid.asymmetry,
            }  # fmt: skip
    return found


CHECKS: dict[str, Callable[[float], dict]] = {
    "nve-2fs": partial(nve, 2.0), "nve-1fs": partial(nve, 1.0), "compressibility": compressibility, "quartz": quartz,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("checks", nargs="+", choices=list(CHECKS))
    parser.add_argument("--scale", type=float, default=1.0, help="share of the steps, to see that it runs")
    parser.add_argument("--out", type=Path, default=Path("out/physics.json"))
    chosen = parser.parse_args()

    import jaxnmr as jn

    jn.enable_x64()
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    record = json.loads(chosen.out.read_text()) if chosen.out.exists() else {}
    for name in chosen.checks:
        record[name] = {"scale": chosen.scale, **CHECKS[name](chosen.scale)}
        chosen.out.write_text(json.dumps(record, indent=1))
        print(name, json.dumps(record[name], indent=1), flush=True)


if __name__ == "__main__":
    main()
