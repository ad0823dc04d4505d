"""CPU time and memory of the diagonalisation rules for 100 to 1,000 functions, each in a process of its own.

    python benchmarks/electronic/diagonal_cost.py [--sizes 100 200 500 1000]

Prints CPU seconds (best of three) of the density matrix of a generalised problem, of it with its reverse derivative by both
matrices, and the largest memory of the process above that before, with numpy's plain solution beside it. One thread.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
FLAGS = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
SIZES = (100, 200, 500, 1000)


def best(function, repeats: int) -> float:
    """Least CPU seconds of several calls."""
    found = []
    for _ in range(repeats):
        began = time.process_time()
        function()
        found.append(time.process_time() - began)
    return min(found)


def megabytes() -> float:
    """Largest resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(size: int) -> dict:
    """One size, in this process."""
    import jax
    import numpy as np

    from jaxnmr.electronic import Orthogonal

    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2, size, size))
    h = noise[0] + noise[0].T + 3.0 * np.diag(np.arange(size))
    s = np.eye(size) + 0.02 * (noise[1] + noise[1].T) / np.sqrt(size)
    weight = rng.normal(size=(size, size))
    pairs = size // 5
    density = jax.jit(lambda h, s: Orthogonal.of(h, s).density(pairs))
    slope = jax.jit(jax.grad(lambda h, s: (weight * Orthogonal.of(h, s).density(pairs)).sum(), argnums=(0, 1)))
    before = megabytes()

    def plain():
        values, vectors = np.linalg.eigh(s)
        root = (vectors / np.sqrt(values)) @ vectors.T
        lowest = root @ np.linalg.eigh(root @ h @ root)[1][:, :pairs]
        return 2 * lowest @ lowest.T

    out = {"functions": size, "numpy": best(plain, 3)}
    difference = np.abs(density(h, s) - plain()).max()
    out["density"] = best(lambda: jax.block_until_ready(density(h, s)), 3)
    jax.block_until_ready(slope(h, s))
    out["with_slope"] = best(lambda: jax.block_until_ready(slope(h, s)), 3)
    out["megabytes"] = megabytes() - before
    out["largest_difference_from_numpy"] = float(difference)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measured(args.one)))
        return
    environment = os.environ | ONE_THREAD | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {FLAGS}".strip()}
    for size in args.sizes:
        command = [sys.executable, __file__, "--one", str(size)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        print(done.stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
