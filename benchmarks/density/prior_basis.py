"""Functions as a network of coordinates beside principal components: what either leaves of densities of Perov-5 it was not made from.

JAXNMR_DATA=... python benchmarks/density/prior_basis.py [--crystals 1000] [--functions 40]
"""

import argparse
import time

import numpy as np
import perov5
from train_prior import samples_of

from jaxnmr.density.prior.basis import principal_basis
from jaxnmr.density.prior.coordinates import CoordinateNetwork, fit_coordinate_basis
from jaxnmr.density.prior.waves import WaveSet, vectors_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crystals", type=int, default=1000)
    parser.add_argument("--functions", type=int, default=40)
    parser.add_argument("--waves", type=int, default=81)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--width", type=int, default=128)
    options = parser.parse_args()
    parts, waves = perov5.read(), WaveSet.within(options.waves)
    # orders of the files are those of their making: neighbours are alike
    drawn = lambda part, n: [parts[part][k] for k in np.random.default_rng(0).permutation(len(parts[part]))[:n]]
    train = np.stack(list(vectors_of(samples_of(drawn("train", options.crystals)), waves)))
    test = np.stack(list(vectors_of(samples_of(drawn("test", 200)), waves)))

    def tell(name: str, make) -> None:
        start = time.process_time()
        basis = make()
        off = [of - basis.vector(basis.coefficients(of)) for of in (train, test)]
        parts = [
            (o**2).sum() / ((of - train.mean(axis=0)) ** 2).sum() for o, of in zip(off, (train, test), strict=True)
        ]
        print(
            f"{name}: {parts[0]:.2e} of the squared differences left in train, {parts[1]:.2e} in test; {time.process_time() - start:.0f} CPU s",
            flush=True,
        )

    print(f"{options.functions} functions, {options.crystals} crystals, waves up to h² + k² + l² = {options.waves}")
    tell("principal components", lambda: principal_basis([train], waves, options.functions))
    network = CoordinateNetwork(options.functions, width=options.width)
    tell(
        "network of coordinates",
        lambda: fit_coordinate_basis(train, waves, options.functions, network=network, steps=options.steps),
    )


if __name__ == "__main__":
    main()
