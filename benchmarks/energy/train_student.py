"""Train a potential on labelled frames of silica, going on where an earlier run stopped.

    python benchmarks/energy/train_student.py FOLDER OUT [--epochs 200] [--hidden 32x0e+16x1o+16x2e] [--minutes 45] ...

FOLDER is that of `silica_labels.py`; OUT/model.safetensors is written at every validation, OUT/state.safetensors every two minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from jaxnmr.energy.equivariant.frames import Frames
from jaxnmr.energy.equivariant.potential import NetworkPotential, network_config
from jaxnmr.energy.equivariant.recipe import Recipe
from jaxnmr.energy.equivariant.training import train

SPECIES = ("O", "Si")


def frames_of(folders: Sequence[Path], split: str) -> list[Frames]:
    """The trajectories of a split."""
    parts = [Frames.read(file) for folder in folders for file in sorted((folder / "labels").glob("*.npz"))]
    return [part for part in parts if part.about["split"] == split]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="folders with further frames")
    parser.add_argument("--without", nargs="*", default=[], help="kinds of frames to leave out, such as glass")
    parser.add_argument("--start", type=Path, help="a potential of the same network to go on from")
    parser.add_argument("--hidden", default="32x0e+16x1o+16x2e")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--cutoff", type=float, default=5.0)
    parser.add_argument("--lmax", type=int, default=2)
    parser.add_argument("--radial", type=int, default=8)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--neighbours", type=float, default=35.0)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=1e-2)
    for name in ("energy", "force", "stress", "bend"):
        parser.add_argument(f"--{name}", type=float, default=getattr(Recipe(), name), help="see Recipe")
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    folders = [args.folder, *args.more]
    parts = {split: frames_of(folders, split) for split in ("train", "valid")}
    training, validation = ([p for p in of if p.about["kind"] not in args.without] for of in parts.values())
    print(f"{sum(map(len, training))} frames to train on, {sum(map(len, validation))} to validate", flush=True)
    config = network_config(
        SPECIES, hidden=args.hidden, layers=args.layers, cutoff=args.cutoff, lmax=args.lmax, radial=args.radial,
        radial_hidden=(args.width,), neighbours=args.neighbours,
    )  # fmt: skip
    recipe = Recipe(
        epochs=args.epochs, batch=args.batch, learning_rate=args.rate, every=args.every, seed=args.seed,
        energy=args.energy, force=args.force, stress=args.stress, bend=args.bend,
    )  # fmt: skip

    def say(epoch, potential) -> None:
        errors = ""
        if epoch.force is not None:
            errors = f"  {epoch.energy:.2f} meV/atom  {epoch.force:.1f} meV/Å  stress {epoch.stress:.1f} meV/atom"
            potential.save(args.out / "model.safetensors")
        print(f"{epoch.epoch:4d}  loss {epoch.loss:.4f}{errors}  {epoch.cpu:.0f} CPU s", flush=True)

    start = None if args.start is None else NetworkPotential.load(args.start)
    state = args.out / "state.safetensors"
    found = train(config, recipe, training, validation, start=start, state=state, callback=say)
    print(found.save(args.out / "model.safetensors"))


if __name__ == "__main__":
    main()
