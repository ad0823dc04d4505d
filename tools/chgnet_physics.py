"""What CHGNet says of crystals that were measured: cells, positions at the measured cell, energies against PBE.

    JAXNMR_DATA=... python tools/chgnet_physics.py

Structures keep their space groups; a minimum is where no free coordinate has a slope.
"""

import os
import sys
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_disable_most_optimizations", True)  # most of the time would be compilation

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from ase.io import read  # noqa: E402
from scipy.optimize import minimize  # noqa: E402

from jaxnmr._struct import compiled  # noqa: E402
from jaxnmr.crystal import Crystal  # noqa: E402
from jaxnmr.energy.chgnet import CHGNet, plan_bond_graph  # noqa: E402
from jaxnmr.io import read_crystal  # noqa: E402

DATA = Path(os.environ["JAXNMR_DATA"])
MINERALS = DATA / "openchemistry_crystals" / "oxides"
VERSIONS = ("r2scan", "0.3.0")

slopes = compiled(
    lambda model, plan, crystal: jax.value_and_grad(
        lambda cell, xyz: model.energy(crystal.replace(cell=cell, xyz=xyz), plan), (0, 1)
    )(jnp.asarray(crystal.cell), jnp.asarray(crystal.xyz))
)
energy_of = compiled(lambda model, plan, positions, vectors: model.energy_of(plan, positions, vectors))


def measured() -> dict[str, Crystal]:
    return {
        "quartz": read_crystal(MINERALS / "SiO2-Quartz-alpha.cif"),
        "cristobalite": Crystal.create(
            cell=(4.9717, 4.9717, 6.9223, 90, 90, 90), spacegroup="P 41 21 2", species=["Si", "O"],
            xyz=[[0.3003, 0.3003, 0], [0.2392, 0.1044, 0.1787]],
        ),
        "coesite": read_crystal(MINERALS / "SiO2-Coesite.cif"),
        "PbSO4": read_crystal(DATA / "PbSO4" / "PbSO4-Wyckoff.cif"),
        "corundum": read_crystal(MINERALS / "Al2O3-Corundum.cif"),
        "NaNbO2F2": read_crystal(DATA / "NaMO2F2" / "NaNbO2F2_start.cif"),
    }  # fmt: skip


def relaxed(model: CHGNet, crystal: Crystal, *, free_cell: bool) -> tuple[Crystal, float]:
    """The crystal at the nearest minimum of the energy, and the energy in eV per cell."""
    quantities = crystal.quantities()
    bases = [quantities["cell"].basis if free_cell else np.zeros((6, 0)), quantities["xyz"].basis]
    plan, split = model.plan(crystal, skin=0.5), bases[0].shape[1]

    def at(x):
        # the first step of the minimiser is about 1 long
        cell = crystal.cell + bases[0] @ x[:split] / 20
        return crystal.replace(cell=cell, xyz=crystal.xyz + (bases[1] @ x[split:]).reshape(-1, 3) / 100)

    def fun(x):
        nonlocal plan
        here = at(x)
        if not float(plan.margin(here)) > 0:
            plan = plan.renewed(here)
        energy, (by_cell, by_xyz) = slopes(model, plan, here)
        slope = [bases[0].T @ np.asarray(by_cell) / 20, bases[1].T @ np.asarray(by_xyz).ravel() / 100]
        return float(energy), np.concatenate(slope)

    found = minimize(fun, np.zeros(sum(b.shape[1] for b in bases)), jac=True, method="BFGS", options={"gtol": 1e-5})
    return at(found.x), float(found.fun)


def shift(crystal: Crystal, other: Crystal) -> float:
    """Root mean square distance of the atoms of two crystals of one cell, Å."""
    moved = (np.asarray(other.expand().fractional) - np.asarray(crystal.expand().fractional)) % 1.0
    moved = (moved - np.round(moved)) @ np.asarray(crystal.lattice())
    moved -= moved.mean(axis=0)
    return float(np.sqrt((moved**2).sum(axis=1).mean()))


def against_pbe() -> None:
    """Energies of strained and rattled cells per SiO2, an offset taken out, of those that stay tetrahedral below 1 eV."""
    frames = read(DATA / "silica_efg" / "silica_efg.extxyz", ":")
    models = [CHGNet.load(version) for version in VERSIONS]
    said, pbe, tetrahedral, jobs = [], [], [], []
    for atoms in frames:
        crystal = Crystal.create(
            cell=atoms.cell.cellpar(),
            spacegroup="P 1",
            species=atoms.get_chemical_symbols(),
            xyz=atoms.get_scaled_positions(),
        )
        jobs.append((crystal, models[0].plan(crystal, skin=0.0, symmetric=False)))
        apart = atoms.get_all_distances(mic=True)
        near = [(apart[k][atoms.numbers == 8] < 2.0).sum() for k in np.flatnonzero(atoms.numbers == 14)]
        tetrahedral.append(set(near) == {4})
        pbe.append(atoms.get_potential_energy() / (len(atoms) / 3))
    least = np.max([plan.sizes for _, plan in jobs], axis=0)
    most = max(len(atoms) for atoms in frames)
    for crystal, _ in jobs:
        plan = plan_bond_graph(
            crystal, cutoff=6.0, bond_cutoff=3.0, skin=0.0, table=models[0].table, symmetric=False, least=tuple(least)
        )
        # one program for all: the same number of atoms
        n = len(plan.expansion.atoms)
        positions, vectors = plan.placed(crystal)
        nodes = {name: np.pad(array, (0, most - n)) for name, array in plan.atoms.nodes.items()}
        bare = plan.replace(reference=None, expansion=None, projector=None, atoms=plan.atoms._replace(nodes=nodes))
        place = np.pad(np.asarray(positions), ((0, most - n), (0, 0))), np.asarray(vectors)
        said.append([float(energy_of(model, bare, *place)) / (n / 3) for model in models])
    pbe, said, tetrahedral = np.array(pbe), np.array(said), np.array(tetrahedral)
    low = tetrahedral & (pbe < pbe.min() + 1.0)
    for name, some in (("tetrahedral, below 1 eV", low), ("below 1 eV", pbe < pbe.min() + 1.0), ("all", pbe < np.inf)):
        off = said[some] - pbe[some, None]
        rmse = np.sqrt(((off - off.mean(axis=0)) ** 2).mean(axis=0))
        r = [np.corrcoef(pbe[some], said[some, k])[0, 1] for k in range(len(models))]
        text = ", ".join(f"{v} {e:.4f} (r {c:.4f})" for v, e, c in zip(VERSIONS, rmse, r, strict=True))
        print(f"{some.sum()} cells ({name}): RMSE {text} eV per SiO2")


def main() -> None:
    for version in VERSIONS:
        model = CHGNet.load(version)
        for name, crystal in measured().items():
            fixed, _ = relaxed(model, crystal, free_cell=False)
            print(f"{version} {name}: at the measured cell atoms move by {shift(crystal, fixed):.4f} Å", flush=True)
            if name in ("quartz", "cristobalite", "coesite"):
                free, energy = relaxed(model, crystal, free_cell=True)
                per = energy / (len(crystal.expand().species) / 3)
                ratio = float(free.volume() / crystal.volume())
                print(
                    f"    free cell {np.round(np.asarray(free.cell), 3)[:3]}, V/V0 {ratio:.4f}, {per:.4f} eV per SiO2",
                    flush=True,
                )
    against_pbe()


if __name__ == "__main__":
    sys.exit(main())
