"""Train one network on small alcohols, and see what it is worth on a larger one: errors against size, and counted self-consistent fields.

    python benchmarks/electronic/transfer.py out/methanol.npz out/ethanol.npz --train 200 400 --test 50 100 --epochs 35 \
        --on out/1-propanol.npz --geometries 40 --newton 15 --out out/transfer

The first geometries of each file are trained on, the next ones are tests; of the larger molecule none is trained on. With ``--model NAME --epochs 0``
nothing is trained, and a model is judged as it is: ``--train`` are the geometries before the tests. The larger molecule's
fields start from minao, from the density of one Fock matrix on it, and from the network, by DIIS and (fewer geometries) by Newton; that part needs
pyscf. Training and counting go on where an interrupted run stopped. ``transfer.json`` holds the errors, ``trials.jsonl`` and ``result.json`` what
was counted.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from count_starts import counted, starts_of

from jaxnmr.electronic import (
    HamiltonianConfig,
    HamiltonianData,
    HamiltonianModel,
    HamiltonianRecipe,
    errors_of,
    train,
    with_novelty,
)
from jaxnmr.electronic.scf.starts import settings_of
from jaxnmr.report.hamiltonians import write_comparison

# Å; pairs farther from each other are rare in small molecules, or not there
FAR = 4.0
STARTS = {"DIIS": ("minao", "minao Fock", "network"), "Newton": ("minao", "network")}


def by_distance(predicted: np.ndarray, data: HamiltonianData) -> dict[str, float]:
    """Mean absolute errors in meV of blocks on site, between atoms nearer than 4 Å, and between the others."""
    slices = data.orbitals.slices
    error = 27211.386245988 * np.abs(predicted - data.h)
    apart = np.linalg.norm(data.xyz[:, :, None] - data.xyz[:, None], axis=-1)
    sums: dict[str, list[float]] = {"on site": [0.0, 0.0], "near": [0.0, 0.0], "far": [0.0, 0.0]}
    for a, rows in enumerate(slices):
        for b, columns in enumerate(slices):
            block = error[:, rows, columns].mean(axis=(1, 2))
            size = error[0, rows, columns].size
            far = apart[:, a, b] > FAR
            for name, of in (("on site", (a == b) & ~far), ("near", (a != b) & ~far), ("far", far)):
                sums[name][0] += size * float(block[of].sum())
                sums[name][1] += size * float(np.sum(of))
    return {name: total / count for name, (total, count) in sums.items() if count}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--train", type=int, nargs="+", required=True, help="of every file")
    parser.add_argument("--test", type=int, nargs="+", required=True)
    parser.add_argument(
        "--test-from", type=int, nargs="+", default=None, help="first test of every file; by default after the training"
    )
    parser.add_argument("--on", type=Path, required=True, help="data of the molecule that is not trained on")
    parser.add_argument("--epochs", type=int, default=35, help="0: judge --model as it is")
    parser.add_argument(
        "--model", default=None, help="file or name of a model to go on from, instead of random weights"
    )
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--geometries", type=int, default=40)
    parser.add_argument("--newton", type=int, default=15, help="of these geometries by the second-order solver as well")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    data = [HamiltonianData.read(path) for path in args.files]
    training = [of.subset(slice(count)) for of, count in zip(data, args.train, strict=True)]
    firsts = args.test_from or args.train
    tests = [of.subset(slice(k, k + count)) for of, k, count in zip(data, firsts, args.test, strict=True)]
    begun = None if args.model is None else HamiltonianModel.load(args.model)
    if args.epochs == 0 and begun is not None:
        model = begun
    else:
        elements = tuple(sorted({element for of in data for element in of.orbitals.elements}))
        config = begun.config if begun else HamiltonianConfig(elements=elements, functional=data[0].functional)
        recipe = HamiltonianRecipe(
            epochs=args.epochs, seed=args.seed, learning_rate=args.learning_rate, every=max(args.epochs, 1)
        )
        model = train(
            config, recipe, training, tests, start=begun, state=args.out / "state.safetensors",
            callback=lambda info: print(*info, flush=True),
        )  # fmt: skip
        model = with_novelty(model, training, tests)
    file = model.save(args.out / "model.safetensors")

    larger = HamiltonianData.read(args.on)
    found = {
        "training": args.train,
        "recipe": model.card["recipe"],
        "cpu": model.card["history"][-1][-1],
        "molecules": {},
    }
    for path, of in zip([*args.files, args.on], [*tests, larger], strict=True):
        predicted = model.hamiltonian(of.numbers, of.xyz, of.h0)
        found["molecules"][path.stem] = {
            "geometries": len(of),
            "functions": of.orbitals.size,
            "network": errors_of(predicted, of)._asdict(),
            "start": errors_of(of.h0, of)._asdict(),
            "by_distance_mev": by_distance(predicted, of),
        }
    (args.out / "transfer.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name, of in found["molecules"].items():
        network = of["network"]
        print(
            f"{name:12s} {of['functions']:4d} functions  H {network['h_mae']:6.2f} meV (start {of['start']['h_mae']:.0f})  "
            f"occupied {network['eps_mae']:6.1f}  gap {network['gap_mae']:6.1f}  1 - cos {1 - network['similarity']:.1e}  "
            f"{ {k: round(v, 2) for k, v in of['by_distance_mev'].items()} }",
            flush=True,
        )

    settings, trials = settings_of(larger), args.out / "trials.jsonl"
    for solver, count in (("DIIS", args.geometries), ("Newton", args.newton)):
        asked = larger.subset(slice(count))
        compared = counted(asked, starts_of(STARTS[solver], None, file, asked), (solver,), trials, settings)
    title = f"Starts of self-consistent fields: {args.on.stem}, of which nothing was trained on"
    write_comparison(compared, args.out, title, inputs=[args.on, file], more={"settings": settings.as_dict()})
    print(compared.table())


if __name__ == "__main__":
    main()
