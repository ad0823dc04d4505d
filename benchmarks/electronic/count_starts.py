"""Count what every start of a self-consistent field costs on the same geometries; an interrupted run goes on where it stopped.

    python benchmarks/electronic/count_starts.py out/ethanol.npz --train 500 --skip 600 --geometries 50 --solver DIIS --out out/starts
    python benchmarks/electronic/count_starts.py out/ethanol.npz --train 500 --skip 600 --geometries 15 --solver Newton \
        --start minao --start SAP --start Hückel --start hcore --out out/starts

Needs pyscf. Trials are lines of ``trials.jsonl`` in the folder; whatever is asked for and is not among them is calculated, and the report and
``result.json`` of ``jaxnmr hamiltonian scf`` are made of all of them. Regressions of the difference to minao and of the whole matrix are fitted to
the first ``--train`` geometries; geometries are those after ``--skip``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from jaxnmr.electronic import HamiltonianData, HamiltonianModel
from jaxnmr.electronic.scf.calculation import Settings
from jaxnmr.electronic.scf.restart import SAME_STATE, SOLVERS, Comparison, Trial, restart, stability
from jaxnmr.electronic.scf.ridge import fit_ridge
from jaxnmr.electronic.scf.starts import STARTS, Predicted, Start, model_start, settings_of
from jaxnmr.report.hamiltonians import write_comparison

RIDGES = {"ridge delta": True, "ridge whole": False}
NAMES = (*STARTS, *RIDGES, "network")


def starts_of(names: Iterable[str], training: HamiltonianData | None, model: Path | None, like: HamiltonianData):
    """Starts by the names of their rows."""
    found: dict[str, Start] = {}
    for name in names:
        if name in STARTS:
            found[name] = STARTS[name]
        elif name in RIDGES and training is not None:
            ridge = fit_ridge(training, delta=RIDGES[name], degree=2)
            found[ridge.name] = Predicted(ridge, ridge.delta)
        elif name == "network" and model is not None:
            network = HamiltonianModel.load(model)
            found[name] = model_start(network, settings_of(like))
            # compiled before anything is timed
            network.hamiltonian(like.numbers, like.xyz[0], like.h0[0] if network.config.start else None)
    return found


def counted(
    data: HamiltonianData, starts: Mapping[str, Start], solvers: Iterable[str], file: Path, settings: Settings
) -> Comparison:
    """Trials of all geometries of the data, those in the file not again; all of the file are judged together."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    there = [Trial(**json.loads(line)) for line in lines]
    done = {(trial.geometry, trial.start, trial.solver) for trial in there}
    numbers = [int(z) for z in data.numbers]
    with file.open("a", encoding="utf-8") as log:
        for solver in solvers:
            for k, (xyz, known) in enumerate(zip(data.xyz, data.e_tot, strict=True)):
                for name, start in starts.items():
                    if (k, name, solver) in done:
                        continue
                    trial, field = restart(numbers, xyz, start, solver=solver, settings=settings, name=name, geometry=k)
                    if trial.converged and trial.energy > known + SAME_STATE:
                        trial = replace(trial, stable=stability(field))
                    log.write(json.dumps(asdict(trial)) + "\n")
                    log.flush()
                    there.append(trial)
                    print(
                        f"{k:4d} {solver:6s} {name:24s} {trial.macro:3d} {trial.builds:3d} {trial.cpu:6.2f} s",
                        flush=True,
                    )
    lowest = {k: float(energy) for k, energy in enumerate(data.e_tot)}
    for trial in there:
        if trial.converged:
            lowest[trial.geometry] = min(lowest.get(trial.geometry, np.inf), trial.energy)
    order = {name: k for k, name in enumerate((*STARTS, *dict.fromkeys(trial.start for trial in there)))}
    there.sort(key=lambda trial: (trial.geometry, SOLVERS.index(trial.solver), order[trial.start]))
    return Comparison(tuple(replace(trial, above=trial.energy - lowest[trial.geometry]) for trial in there))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--train", type=int, default=500, help="geometries that regressions are fitted to")
    parser.add_argument("--skip", type=int, default=600, help="geometries before those that are counted")
    parser.add_argument("--geometries", type=int, default=50)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--start", choices=NAMES, action="append", help="default: all, the network with --model")
    parser.add_argument("--solver", choices=SOLVERS, action="append", help="default: both")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    data = HamiltonianData.read(args.file)
    asked, settings = data.subset(slice(args.skip, args.skip + args.geometries)), settings_of(data)
    starts = starts_of(args.start or NAMES, data.subset(slice(args.train)), args.model, asked)
    found = counted(asked, starts, args.solver or SOLVERS, args.out / "trials.jsonl", settings)
    inputs = [args.file, *([args.model] if args.model else [])]
    title = f"Starts of self-consistent fields: {args.file.stem}"
    write_comparison(found, args.out, title, inputs=inputs, more={"settings": settings.as_dict()})
    print(found.table())


if __name__ == "__main__":
    main()
