"""How fast does a network predict the tensors of silica, and their derivatives?

    python benchmarks/bench_models.py --out out/bench             everything, on one core
    python benchmarks/bench_models.py --quick                     one call of the smallest cell; to see that it runs

Alpha quartz in supercells of 72 to 1944 atoms without symmetry, and with its symmetry, where only one Si and one O
receive messages. The network is untrained: its numbers mean nothing, but they cost what those of a trained one cost.
Measured are a prediction, its gradient by all parameters of the network, its derivative along one displacement of all
atoms, and, with symmetry, its Jacobian by cell and coordinates. Compilation is apart. Operations and bytes are those
that XLA counts. Results: ``models.json`` and ``models.png``.
"""

import json
import sys
import time
from pathlib import Path

from timing import benchmark_parser, best, device_peak_mb, machine, peak_memory_mb, pin, time_calls

REPEATS = (2, 3, 4, 6)
HIDDEN, LAYERS, CUTOFF = "32x0e+16x1o+8x1e+16x2e", 3, 5.0
NAMES = {
    "forward": "prediction",
    "gradient": "gradient by the parameters of the network",
    "tangent": "derivative along one displacement",
}


def main(argv=None) -> int:
    arguments = parse(argv)
    cores = pin(arguments.cores)
    arguments.out.mkdir(parents=True, exist_ok=True)
    seconds = 0.0 if arguments.quick else 3.0
    repeats = (1,) if arguments.quick else REPEATS
    network = ("8x0e+4x1o+4x1e+4x2e", 2, 3.5) if arguments.quick else (HIDDEN, LAYERS, CUTOFF)
    chosen = ("forward", "Jacobian") if arguments.quick else (*NAMES, "Jacobian")
    rows = [row for n in (None, *repeats) for row in measured(n, network, chosen, seconds)]
    record = {"network": dict(zip(("hidden", "layers", "cutoff"), network, strict=True)), "rows": rows}
    record |= {"machine": machine(cores), "process_peak_mb": peak_memory_mb(), "device_peak_mb": device_peak_mb()}
    print(summary(rows))
    path = arguments.out / "models.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)
    print(draw(rows, arguments.out / "models.png"))
    return 0


def parse(argv):
    parser = benchmark_parser(__doc__, "few calls of a small network")
    return parser.parse_args(argv)


def measured(repeat: int | None, network: tuple[str, int, float], chosen, seconds: float) -> list[dict]:
    """A row per function of one crystal; ``None`` is quartz with its symmetry."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    crystal = quartz(repeat)
    model = untrained(*network)
    at = model, *(jnp.asarray(a, dtype=np.float32) for a in (crystal.cell, crystal.xyz))
    plan = model.plan(crystal)
    counts = {
        "atoms": len(plan.reference.nodes["species"]),
        "sites": crystal.n_sites,
        "edges": len(plan.reference.senders),
        "symmetry": repeat is None,
    }
    out = []
    for name, function in functions(crystal, plan).items():
        if name not in chosen or (name == "Jacobian" and repeat is not None):
            continue
        began = time.process_time()
        compiled = jax.jit(function).lower(*at).compile()
        compilation = time.process_time() - began
        cost = compiled.cost_analysis() or {}
        cost = cost[0] if isinstance(cost, list) else cost
        times = time_calls(compiled, *at, seconds=seconds, least=1 if not seconds else 5)
        out.append(
            counts
            | {"function": name, "best_ms": best(times), "compilation_s": compilation, "times": times}
            | {"operations": cost.get("flops"), "bytes": cost.get("bytes accessed")}
            | {"temporary_mb": compiled.memory_analysis().temp_size_in_bytes / 1e6}
        )
    return out


def functions(crystal, plan) -> dict:
    """Functions of the model, the cell and the coordinates; the neighbours are constants."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    at = lambda model, cell, xyz: model.tensors(crystal.replace(cell=cell, xyz=xyz), plan)["shielding"]
    direction = np.random.default_rng(0).normal(size=crystal.xyz.shape).astype(np.float32)

    def jacobian(model, cell, xyz):
        _, push = jax.linearize(lambda c, x: at(model, c, x), cell, xyz)
        columns = np.eye(6 + xyz.size, dtype=np.float32)
        return jax.vmap(push)(columns[:, :6], columns[:, 6:].reshape(-1, *xyz.shape))

    return {
        "forward": at,
        "gradient": jax.grad(lambda *arguments: jnp.sum(at(*arguments) ** 2)),
        "tangent": lambda model, cell, xyz: jax.jvp(lambda x: at(model, cell, x), (xyz,), (direction,)),
        "Jacobian": jacobian,
    }


def untrained(hidden: str, layers: int, cutoff: float):
    import jax

    from jaxnmr.models import HeadConfig, NetworkConfig, TensorModel

    head = HeadConfig(name="shielding", elements=("O", "Si"))
    config = NetworkConfig(species=("O", "Si"), heads=(head,), hidden=hidden, layers=layers, cutoff=cutoff)
    return TensorModel.create(config, key=jax.random.key(0))


def quartz(repeat: int | None):
    """Alpha quartz: with its symmetry, or ``repeat`` cells along each axis in P1."""
    import numpy as np

    from jaxnmr import Crystal

    cell = np.array([4.913, 4.913, 5.405, 90.0, 90.0, 120.0])
    one = Crystal.create(
        cell=cell, spacegroup="P 32 2 1", species=["Si", "O"], xyz=[[0.4697, 0.0, 2 / 3], [0.4135, 0.2669, 0.7858]]
    )
    if repeat is None:
        return one
    full = one.expand()
    cells = np.stack(np.meshgrid(*[np.arange(repeat)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    xyz = (np.asarray(full.fractional)[None] + cells).reshape(-1, 3) / repeat
    cell = cell * np.array([repeat] * 3 + [1] * 3)
    return Crystal.create(cell=cell, spacegroup="P 1", species=list(full.species) * repeat**3, xyz=xyz)


def summary(rows: list[dict]) -> str:
    """A table for people."""
    head = ("atoms", "sites", "edges", "ms", "compilation s", "million operations", "MB moved", "MB of memory")
    lines = [f"{'':22s}" + "".join(f"{h:>20s}" for h in head)]
    for row in rows:
        numbers = [row["best_ms"], row["compilation_s"], 1e-6 * (row["operations"] or 0), 1e-6 * (row["bytes"] or 0)]
        text = "".join(f"{row[k]:20d}" for k in ("atoms", "sites", "edges"))
        text += "".join(f"{x:20.1f}" for x in (*numbers, row["temporary_mb"]))
        lines.append(f"{row['function'] + (', symmetry' if row['symmetry'] else ''):22s}{text}")
    return "\n".join(lines)


def draw(rows: list[dict], path: Path) -> Path:
    """Times against the number of atoms."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
    for (name, label), colour in zip(NAMES.items(), ("#2563a8", "#c2571a", "#3a8a4d"), strict=True):
        for symmetry, marker in ((False, "o-"), (True, "s")):
            chosen = [row for row in rows if row["function"] == name and row["symmetry"] == symmetry]
            axes.loglog(
                [row["atoms"] for row in chosen],
                [row["best_ms"] for row in chosen],
                marker,
                color=colour,
                label=None if symmetry else label,
            )
    axes.set_xlabel("atoms (squares: with the symmetry of quartz)")
    axes.set_ylabel("time, ms")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


if __name__ == "__main__":
    sys.exit(main())
