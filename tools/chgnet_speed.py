"""How long energy and forces of 72 atoms take, beside the authors' program: ``python tools/chgnet_speed.py TORCH_PYTHON``.

TORCH_PYTHON is the interpreter of an environment with torch and chgnet 0.4.2. Quartz in 2 × 2 × 2 cells, atoms moved by chance, without
symmetry, single precision, one thread, graphs of bonds made before. Both take turns, so that they see the same machine, and the
least processor time of each counts; once as they are, and once with memory kept between calls (``MALLOC_...``, GNU libc).
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

CELL = (9.8274, 9.8274, 10.8094, 90.0, 90.0, 120.0)
ROUNDS, CALLS = 10, 4
KEPT = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**33)}


def atoms() -> tuple[list[str], np.ndarray]:
    """Symbols and coordinates."""
    si = [[0.4697, 0.0, 2 / 3], [0.0, 0.4697, 1 / 3], [0.5303, 0.5303, 0.0]]
    x, y, z = 0.4135, 0.2669, 0.7858
    o = [
        [x, y, z],
        [-y, x - y, z + 2 / 3],
        [y - x, -x, z + 1 / 3],
        [y, x, -z],
        [x - y, -y, 2 / 3 - z],
        [-x, y - x, 1 / 3 - z],
    ]
    shifts = np.stack(np.meshgrid(*[(0, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    xyz = (np.array(si + o)[:, None] + shifts).reshape(-1, 3) / 2.0
    return ["Si"] * 24 + ["O"] * 48, xyz + np.random.default_rng(0).normal(scale=0.003, size=xyz.shape)


def ours() -> Callable[[], object]:
    import jax
    import jax.numpy as jnp

    from jaxnmr import Crystal
    from jaxnmr.energy.chgnet import CHGNet

    symbols, xyz = atoms()
    crystal, model = Crystal.create(cell=CELL, spacegroup="P 1", species=symbols, xyz=xyz), CHGNet.load()
    plan = jax.device_put(model.plan(crystal))
    points, vectors = (jnp.asarray(a, jnp.float32) for a in plan.placed(crystal))
    both = jax.jit(lambda model, plan, x: jax.value_and_grad(lambda x: model.energy_of(plan, x, vectors))(x))
    return lambda: jax.block_until_ready(both(model, plan, points))


def theirs() -> Callable[[], object]:
    import torch
    from chgnet.model import CHGNet
    from pymatgen.core import Lattice, Structure

    torch.set_num_threads(1)
    model = CHGNet.load(model_name="r2scan", use_device="cpu", verbose=False)
    graph = model.graph_converter(Structure(Lattice.from_parameters(*CELL), *atoms()))
    return lambda: model.forward([graph], task="ef")


def worker(call: Callable[[], object]) -> None:
    """Time some calls whenever a line comes in."""
    for _ in range(3):
        call()
    print("ready", flush=True)
    for _ in sys.stdin:
        seconds = []
        for _ in range(CALLS):
            began = time.process_time()
            call()
            seconds.append(time.process_time() - began)
        print(min(seconds), flush=True)


def main(torch: str) -> None:
    one = os.environ | {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    }
    ways = {f"{who}{how}": ([python, __file__, who], one | more) for who, python in (("torch", torch), ("jax", sys.executable))
            for how, more in (("", {}), (", memory kept", KEPT))}  # fmt: skip
    running = {
        name: subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name, (command, env) in ways.items()
    }

    def answer(process: subprocess.Popen) -> str:
        assert process.stdout is not None
        return next(line for line in process.stdout if line == "ready\n" or line[0].isdigit())

    for process in running.values():
        answer(process)
    least = dict.fromkeys(running, float("inf"))
    for _ in range(ROUNDS):
        for name, process in running.items():
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
            least[name] = min(least[name], float(answer(process)))
    for process in running.values():
        process.communicate()
    print(
        json.dumps(
            {name: {"seconds": round(s, 4), "of torch": round(s / least["torch"], 3)} for name, s in least.items()},
            indent=1,
        )
    )


if __name__ == "__main__":
    if sys.argv[1:] in (["jax"], ["torch"]):
        worker(ours() if sys.argv[1] == "jax" else theirs())
    else:
        main(*sys.argv[1:])
