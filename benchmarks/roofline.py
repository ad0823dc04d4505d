"""What a device does at most, measured by a matrix product and a copy, and what compiled programs get of it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from timing import best, time_calls

# order of a matrix, and MB of an array: far beyond caches, and some tens of milliseconds
SIZES = {"quick": (256, 16), "cpu": (1024, 256), "accelerator": (8192, 4096)}


def peaks(quick: bool = False) -> dict[str, Any]:
    """Operations per second of a matrix product, in both precisions, and bytes per second of a copy (read and written)."""
    import jax
    import jax.numpy as jnp

    kind = "quick" if quick else "cpu" if jax.default_backend() == "cpu" else "accelerator"
    order, megabytes = SIZES[kind]
    seconds = 0.0 if quick else 1.0
    # in full: accelerators round the factors of a product in single precision otherwise
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision="highest"))
    made: dict[str, Any] = {"order": order, "copied_mb": megabytes}
    for dtype in ("float32", "float64"):
        a = jnp.ones((order, order), dtype)
        made[f"{dtype}_gflops"] = 2e-6 * order**3 / best(time_calls(product, a, a, seconds=seconds))
    array = jnp.ones(megabytes * 125_000, "float64")
    # a sum with one: a mere copy may be left out
    made["copy_gb_s"] = 2e-3 * megabytes / best(time_calls(jax.jit(lambda a: a + 1.0), array, seconds=seconds)) * 1e3
    return made


def counted(compiled) -> dict[str, float | None]:
    """Operations and bytes of a compiled program as XLA counts them: the body of a loop once, however often it runs."""
    cost = compiled.cost_analysis() or {}
    cost = cost[0] if isinstance(cost, list) else cost
    return {"operations": cost.get("flops"), "bytes": cost.get("bytes accessed")}


def measured(program: Callable, *at: Any, seconds: float, static: tuple = ()) -> dict[str, Any]:
    """A program's time beside what it does: operations, bytes, and both per second; and what it takes to have it.

    Compiling is loading where the program is in the cache.

    Args:
        program: a compiled function, as of ``jax.jit``.
        at: arguments; ``static`` those before them that the program was made for.
        seconds: how long to repeat it.
    """
    began = time.process_time()
    lowered = program.lower(*static, *at)
    traced = time.process_time()
    compiled = lowered.compile()
    row: dict[str, Any] = {"lowering_cpu_s": traced - began, "compiling_cpu_s": time.process_time() - traced}
    times = time_calls(compiled, *at, seconds=seconds, least=3)
    row |= times | {"best_ms": best(times)} | counted(compiled)
    analysis = compiled.memory_analysis()
    row["temporary_mb"] = getattr(analysis, "temp_size_in_bytes", 0) / 1e6
    for name, per_second in (("operations", "gflops"), ("bytes", "gb_s")):
        row[per_second] = None if not row[name] else 1e-6 * row[name] / row["best_ms"]
    return row


def draw(record: dict, path: Path) -> Path:
    """Operations per second against operations per byte, under the roof of the device."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    peak, device = record["peaks"], record["machine"]
    figure, axis = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    intensity = np.logspace(-3, 3, 200)
    for dtype, style in (("float64", "-"), ("float32", "--")):
        roof = np.minimum(peak[f"{dtype}_gflops"], intensity * peak["copy_gb_s"])
        axis.loglog(intensity, roof, style, color="#4d4d4d", linewidth=1.2, label=f"measured roof, {dtype}")
    for k, (name, row) in enumerate(record["programs"].items()):
        if row["gflops"] and row["gb_s"]:
            axis.loglog(row["gflops"] / row["gb_s"], row["gflops"], "osD^vPX*"[k % 8], color=f"C{k % 10}",
                        label=f"{name}: {row['gflops']:.3g} GFlop/s, {row['gb_s']:.3g} GB/s")  # fmt: skip
    axis.set(xlabel="operations per byte (XLA's count)", ylabel="GFlop/s")
    axis.legend(fontsize=7, frameon=False)
    axis.set_title(f"{device['device']}, jaxlib {device['jaxlib']}", fontsize=9)
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return path
