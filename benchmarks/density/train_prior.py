"""Train the prior of densities on Perov-5 and keep it.

    JAXNMR_DATA=... python benchmarks/density/train_prior.py FOLDER [--crystals 10930] [--epochs 60] [--seed 0]

It goes on where it stopped. Every crystal of Perov-5 is cubic and only x moves: what is learned here is that.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import perov5

from jaxnmr.density.prior.data import LineSet, perovskite_pose
from jaxnmr.density.prior.files import load_prior, save_prior
from jaxnmr.density.prior.isotypes import Isotypes
from jaxnmr.density.prior.model import DensityPrior
from jaxnmr.density.prior.training import Recipe, prepare, train
from jaxnmr.density.prior.waves import Sample

CARD = {
    "name": "perovskites",
    "script": "benchmarks/density/train_prior.py",
    "data": "Perov-5, train part: I. E. Castelli et al., Energy Environ. Sci. 5, 5814 and 9034 (2012); split of T. Xie et al., ICLR 2022 (CDVAE)",
    "licence of the data": "MIT License, Copyright (c) 2021 Tian Xie, Xiang Fu (data/perov_5 of the CDVAE repository)",
    "holds": "a basis, a network, frequencies of elements on sites, means of coordinates (of one crystal where none is like it); no crystal of the data",
    "electrons": "valence",
    "for": "cubic cells of five atoms ABX3 that move along one axis; superposed atoms at rest",
}


def samples_of(entries) -> list[Sample]:
    return [perovskite_pose(Sample((e.a,) * 3 + (90.0,) * 3, e.elements, e.xyz)) for e in entries]


def trained_prior(folder: Path | None, recipe: Recipe, crystals: int, held_out: int, stop_after=None) -> DensityPrior:
    parts = perov5.read()
    chosen = np.random.default_rng(0).permutation(len(parts["train"]))[:crystals]
    samples, valid = samples_of([parts["train"][k] for k in chosen]), samples_of(parts["val"][:held_out])
    start = time.process_time()

    def tell(epoch) -> None:
        if epoch.epoch % 5 == 0 or epoch.epoch == epoch.epochs:
            print(
                f"epoch {epoch.epoch}: {epoch.train:.5f}, held out {epoch.valid:.5f}, {time.process_time() - start:.0f} CPU s",
                flush=True,
            )

    print(f"{len(samples)} crystals to train with, {len(valid)} held out", flush=True)
    trained = train(samples, valid, recipe, folder=folder, progress=tell, stop_after=stop_after)
    lines = LineSet.within(recipe.lines)
    held = prepare(valid, trained.basis, lines, trained.elements, recipe.atoms)
    card = {**CARD, "crystals": len(samples), "held_out": len(held.edge)}
    isotypes = Isotypes.of(samples, trained.elements, lines, recipe.atoms)
    return DensityPrior.of(trained, recipe, held, atoms=5, card=card, isotypes=isotypes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--crystals", type=int, default=10930)
    parser.add_argument("--held-out", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--waves", type=int, default=196, help="largest h² + k² + l² of the density")
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument(
        "--calibrate", type=Path, metavar="PRIOR", help="only find temperatures and intervals of this file again"
    )
    options = parser.parse_args()
    recipe = Recipe(epochs=options.epochs, seed=options.seed, width=options.width, waves=options.waves)
    if options.calibrate:
        prior = load_prior(options.calibrate)
        valid = [
            s for s in samples_of(perov5.read()["val"][: options.held_out]) if set(s.elements) <= set(prior.elements)
        ]
        held = prepare(valid, prior.basis, prior.lines, prior.elements, recipe.atoms)
        prior = prior.calibrated(held, recipe.noise, recipe.seed)
    else:
        prior = trained_prior(options.folder, recipe, options.crystals, options.held_out)
    print("factors on standard deviations of the network:", prior.temperature)
    print("intervals, half width of 68 % in standard deviations and degrees of freedom:", prior.intervals)
    file = save_prior(prior, options.calibrate or options.folder / "prior.safetensors")
    print(
        f"{time.process_time():.0f} s of CPU in all; {file}: {file.stat().st_size / 1e6:.2f} MB, {prior.basis.size} functions hold {prior.basis.explained:.5f}"
    )


if __name__ == "__main__":
    main()
