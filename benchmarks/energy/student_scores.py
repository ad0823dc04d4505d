"""A student potential of silica against its teacher, beside pair potentials: errors, cells, cost, a long run.

    python benchmarks/energy/student_scores.py MODEL FOLDER... --out benchmarks/measured/student.json [--parts errors cells cost run]

FOLDER are those of `silica_labels.py`; only trajectories of the test are looked at. Parts that were measured before stay in the file.
Cost is time of the processor, so that other work on the machine lengthens it by little.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np  # noqa: E402
from silica_frames import Job, moving  # noqa: E402
from silica_structures import Cell, mineral  # noqa: E402
from train_student import frames_of  # noqa: E402

import jaxnmr as jn  # noqa: E402
from jaxnmr._struct import compiled  # noqa: E402
from jaxnmr.energy.equivariant.plan import plan_network  # noqa: E402
from jaxnmr.energy.prediction import GPA, predict, slopes_of_energy  # noqa: E402

# fs
TIMESTEP = 2.0
TEACHER = "chgnet-r2scan"
RELAXED = ("quartz", "cristobalite", "coesite", "tridymite")
KINDS = {
    "shaken": "shaken",
    "near": "crystals near rest",
    "crystal": "crystals",
    "own": "crystals, own motion",
    "own glass": "glasses, own motion",
}


def kind_of(about: dict, frame: int) -> str:
    """What a frame counts as; frames of melts and of glasses are those above and below 2000 K."""
    if about["kind"] != "glass":
        kind = KINDS[about["kind"]]
        new = about["from"].startswith("framework") and about["kind"] in ("shaken", "crystal")
        return f"{kind}, unseen frameworks" if new else kind
    kept = [(begin, end, steps, every) for begin, end, steps, every in about["stages"] if every]
    for begin, end, steps, every in kept:
        if frame < steps // every:
            return "melts" if 0.5 * (begin + end) > 2000 else "glasses"
        frame -= steps // every
    raise ValueError(f"{about['name']} has more frames than its stages")


def errors(models: dict, folders: list[Path]) -> dict:
    """Root mean squares by model and kind: forces (meV/Å), energies (meV per atom), stress (GPa); and of the labels."""
    found: dict[str, dict[str, list]] = {name: {} for name in ("labels", *models)}
    sizes: dict[int, int] = {}
    for part in frames_of(folders, "test"):
        for k in range(len(part)):
            vectors = part.lattices[k]
            xyz = part.positions[k] @ np.linalg.inv(vectors)
            crystal = Cell(part.about["name"], vectors, xyz, part.elements).crystal()
            atoms, kind = len(part.elements), kind_of(part.about, k)
            found["labels"].setdefault(kind, []).append(
                (part.forces[k], part.energies[k] / atoms, part.stresses[k] * GPA)
            )
            for name, model in models.items():
                if hasattr(model.potential, "config"):
                    config = model.potential.config
                    plan = plan_network(
                        crystal,
                        cutoff=config.cutoff,
                        skin=0.0,
                        species=config.species,
                        least=sizes.get(atoms, 40 * atoms),
                    )
                    sizes[atoms] = plan.edges
                else:
                    plan = model.potential.plan(crystal, skin=0.0, accuracy=1e-5)
                said = predict(model.potential, crystal, plan)
                found[name].setdefault(kind, []).append(
                    (
                        said.forces_ev_angstrom - part.forces[k],
                        said.energy_ev_atom - part.energies[k] / atoms,
                        said.stress_gpa - part.stresses[k] * GPA,
                    )
                )
    out: dict[str, dict] = {}
    for name, kinds in found.items():
        everything = [row for rows in kinds.values() for row in rows]
        # energies of pair potentials count from free ions: what all frames have in common is taken away
        offset = (
            0.0
            if hasattr(getattr(models.get(name), "potential", None), "config")
            else np.mean([r[1] for r in everything])
        )
        out[name] = {kind: _row(rows, offset) for kind, rows in sorted(kinds.items())} | {
            "all": _row(everything, offset)
        }
    return out


def _row(rows: list, offset: float) -> dict[str, float]:
    return {
        "frames": len(rows),
        "force": round(1e3 * _rms([row[0] for row in rows]), 1),
        "energy": round(1e3 * _rms([np.array([row[1] - offset]) for row in rows]), 2),
        "stress": round(_rms([row[2] for row in rows]), 3),
    }


def _rms(arrays: list[np.ndarray]) -> float:
    return float(np.sqrt(np.mean(np.concatenate([a.ravel() for a in arrays]) ** 2)))


def cells(models: dict) -> dict:
    """Relaxed cells of minerals in their space groups: lengths, angle, volume and energy per SiO2 against quartz."""
    out: dict[str, dict] = {}
    for name, model in models.items():
        energies, here = {}, {}
        for form in RELAXED:
            crystal = mineral(form)
            result = jn.relax(crystal, model, cell="free")
            units = result.atoms / 3
            energies[form] = result.energy / units
            here[form] = {
                "cell": [round(float(x), 4) for x in np.asarray(result.crystal.cell)],
                "volume": round(float(result.crystal.volume()) / units, 4),
                "energy": round(1e3 * (energies[form] - energies["quartz"]), 1),
                "converged": bool(result.converged),
            }
            print(name, form, here[form], flush=True)
        out[name] = here
    return out


def largest_deviation(cells: dict, name: str) -> dict[str, float]:
    """Of the lengths and the volume of a model's cells from the teacher's, per cent."""
    out = {}
    for form in RELAXED:
        mine, other = (np.array([*c[form]["cell"][:3], c[form]["volume"]]) for c in (cells[name], cells[TEACHER]))
        out[form] = round(100 * float(np.abs(mine / other - 1)[:3].max()), 2)
        out[f"{form}, volume"] = round(100 * float(mine[3] / other[3] - 1), 2)
    return out


def cost(models: dict) -> dict:
    """Milliseconds of processor time per atom for an energy and its forces: 96 atoms of cristobalite, double precision."""
    full = mineral("cristobalite").expand()
    corners = np.array([[i, j, k] for i in range(2) for j in range(2) for k in range(2)])
    xyz = ((np.asarray(full.fractional)[None] + corners[:, None]) / 2).reshape(-1, 3)
    xyz = xyz + np.random.default_rng(0).normal(0, 0.003, xyz.shape)
    crystal = Cell("cristobalite", np.asarray(full.lattice) * 2, xyz, tuple(full.species) * 8).crystal()
    out = {}
    for name, model in models.items():
        plan = model.plan(crystal)
        jax.block_until_ready(slopes_of_energy(model.potential, crystal, plan))
        times = []
        for _ in range(5):
            began = time.process_time()
            for _ in range(4):
                jax.block_until_ready(slopes_of_energy(model.potential, crystal, plan))
            times.append((time.process_time() - began) / 4)
        out[name] = round(1e3 * float(np.median(times)) / len(xyz), 3)
    return out


def run(model, picoseconds: float, kelvin: float = 800.0) -> dict:
    """Langevin dynamics of 24 atoms of cristobalite: whether bonds hold, and what the novelty says along the way."""
    full = mineral("cristobalite-high").expand()
    cell = Cell("cristobalite", np.asarray(full.lattice), np.asarray(full.fractional), tuple(full.species))
    steps = int(1e3 * picoseconds / TIMESTEP) // 100 * 100
    began = time.process_time()
    job = Job("run", cell, "", "", ((kelvin, kelvin, steps, 100),), strain=0.0, timestep=TIMESTEP)
    lattices, places = moving(job, model.potential, {})
    spent = time.process_time() - began
    silicon = np.array([element == "Si" for element in cell.elements])
    longest, novelties, neighbours, plan = [], [], [], None
    novelty = compiled(lambda model, crystal, plan: model.novelty(crystal, plan))
    for k in range(0, len(places), max(1, len(places) // 200)):
        crystal = Cell("now", lattices[k], places[k], cell.elements).crystal()
        away = places[k][silicon][:, None] - places[k][~silicon][None]
        apart = np.linalg.norm((away - np.round(away)) @ lattices[k], axis=-1)
        neighbours.append((apart < 2.0).sum(axis=1))
        longest.append(np.sort(apart, axis=1)[:, :4].max())
        plan = model.plan(crystal) if plan is None else plan.renewed(crystal)
        novelties.append(np.asarray(novelty(model, crystal, plan)).max())
    return {
        "picoseconds": round(1e-3 * TIMESTEP * steps, 1), "kelvin": kelvin, "atoms": 24, "frames": len(novelties),
        "four oxygen atoms about all silicon": float(np.mean([(n == 4).all() for n in neighbours])),
        "longest of the four distances": round(float(max(longest)), 3),
        "novelty, median of frames": round(float(np.median(novelties)), 2),
        "novelty, largest": round(float(max(novelties)), 2),
        "cpu_ms_per_atom_and_step": round(1e3 * spent / steps / 24, 3),
    }  # fmt: skip


def table(known: dict) -> str:
    """What docs/energy.md shows."""
    kinds = [kind for kind in known["errors"]["labels"] if kind != "all"]
    lines = ["| | frames | labels | student | chik | bks |", "|---|--:|--:|--:|--:|--:|"]
    for kind in [*kinds, "all"]:
        rows = {name: of[kind] for name, of in known["errors"].items()}
        cells = [f"{rows['labels']['force']:.0f}"]
        cells += [f"{rows[n]['force']:.0f} / {rows[n]['energy']:.1f}" for n in ("student", "chik", "bks")]
        lines.append(f"| {kind} | {rows['labels']['frames']} | {' | '.join(cells)} |")
    lines += ["", f"| | {TEACHER} | student | chik | bks |", "|---|---|---|---|---|"]
    for form in RELAXED:
        said = []
        for name in (TEACHER, "student", "chik", "bks"):
            a, b, c, _, beta, _ = known["cells"][name][form]["cell"]
            sides = [a, b, c] if abs(a - b) > 1e-3 else [a, c]
            said.append(", ".join(f"{x:.3f}" for x in sides) + (f", {beta:.1f}°" if abs(beta - 90) > 1e-3 else ""))
        lines.append(f"| {form} | {' | '.join(said)} |")
    for name in ("student", "chik", "bks"):
        worst = {form: known["cells"]["largest deviation"][name][form] for form in RELAXED}
        lines.append(f"{name}: largest deviation of a length, %: {worst}")
    return "\n".join([*lines, f"cost, ms per atom: {known.get('cost')}", f"run: {known.get('run')}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", default=["errors", "cells", "cost", "run"])
    parser.add_argument("--picoseconds", type=float, default=100.0)
    args = parser.parse_args()
    student = jn.EnergyModel.load(args.model)
    weights = jax.tree.leaves(student.potential.weights)
    digest = hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in weights)).hexdigest()[:16]
    known = json.loads(args.out.read_text(encoding="utf-8")) if args.out.exists() else {}
    pairs = {name: jn.EnergyModel.load(name) for name in ("chik", "bks")}
    models = {"student": student} | pairs
    for part in args.parts:
        if part == "errors":
            # those of pair potentials stay as they are while the frames do
            before = known.get("errors", {})
            count = sum(len(part) for part in frames_of(args.folders, "test"))
            same = before.get("labels", {}).get("all", {}).get("frames") == count
            found = errors({"student": student} | ({} if same else pairs), args.folders)
            found |= {name: before[name] for name in pairs} if same else {}
        elif part == "cells":
            found = known.get("cells", {})
            rest = {TEACHER: jn.EnergyModel.load(TEACHER)} | pairs
            found = {name: found[name] if name in found else cells({name: m})[name] for name, m in rest.items()}
            found |= cells({"student": student})
            found["largest deviation"] = {name: largest_deviation(found, name) for name in models}
        elif part == "cost":
            found = cost(models | {TEACHER: jn.EnergyModel.load(TEACHER)})
        else:
            found = run(student, args.picoseconds)
        known[part] = found
        known.setdefault("student", {})[part] = digest
        args.out.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(part, "done", flush=True)
    if {"errors", "cells"} <= known.keys():
        print(table(known))


if __name__ == "__main__":
    main()
