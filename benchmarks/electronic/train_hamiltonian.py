"""Train a model of Hamiltonians from files of labels, and print its errors on geometries that it has not seen.

    python benchmarks/electronic/train_hamiltonian.py ethanol.npz --train 500 --test 100 --out runs/ethanol

Writes ``state.safetensors`` (from which an interrupted run goes on), ``log.jsonl`` (a line for each epoch), ``model.safetensors``
and ``scores.json``. The split is random with the seed; the test geometries are used for nothing but the scores and the log. The
threshold of novelty is set by geometries that are held out of the training files as well (``--held``).
"""

import argparse
import json
import time
from pathlib import Path

from jaxnmr.electronic import (
    HamiltonianConfig,
    HamiltonianData,
    HamiltonianRecipe,
    errors_of,
    evaluate,
    train,
    with_novelty,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--train", type=int, default=500, help="geometries of every file")
    parser.add_argument("--test", type=int, default=100)
    parser.add_argument("--held", type=int, default=0, help="for the threshold of novelty; 0: the model remembers none")
    parser.add_argument("--split-seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--batch", type=int, default=5)
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument("--energies", type=float, default=0.0)
    parser.add_argument("--occupied", type=float, default=0.0)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--elements", nargs="+", default=None, help="the network knows; those of the files by default")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    data = [HamiltonianData.read(path) for path in args.files]
    parts = [part.split(args.train, args.test, args.held, seed=args.split_seed) for part in data]
    training, test, held = ([part[k] for part in parts] for k in range(3))
    elements = args.elements or sorted({e for part in data for e in part.orbitals.elements})
    config = HamiltonianConfig(elements=tuple(elements), functional=data[0].functional or "unknown")
    recipe = HamiltonianRecipe(
        epochs=args.epochs, batch=args.batch, learning_rate=args.learning_rate, energies=args.energies,
        occupied=args.occupied, every=args.every, seed=args.seed,
    )  # fmt: skip
    log = (args.out / "log.jsonl").open("a", encoding="utf-8")

    def note(info) -> None:
        log.write(json.dumps(info._asdict()) + "\n")
        log.flush()

    began = time.process_time()
    model = train(config, recipe, training, test, state=args.out / "state.safetensors", callback=note)
    if args.held:
        model = with_novelty(model, training, held)
    scores = {
        str(path): {"model": evaluate(model, part)._asdict(), "start": errors_of(part.h0, part)._asdict()}
        for path, part in zip(args.files, test, strict=True)
    }
    content = {
        "arguments": vars(args) | {"files": [str(p) for p in args.files], "out": str(args.out)},
        "scores": scores,
    }
    content["cpu_seconds"] = model.card["history"][-1][-1]
    content["cpu_seconds_of_this_process"] = time.process_time() - began
    model = model.replace(card={**model.card, "scores": list(scores.values())})
    content["bytes"] = model.save(args.out / "model.safetensors").stat().st_size
    (args.out / "scores.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
