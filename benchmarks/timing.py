"""Timing with the usual precautions: warm-up, finished results, several calls, processor time beside wall time."""

import argparse
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any


def benchmark_parser(description: str, quick: str) -> argparse.ArgumentParser:
    """Options that all benchmarks have; the description is that of the script, ``quick`` says what it leaves out then."""
    summary, details = description.split("\n\n", 1)
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder for results (default: out/bench)")
    parser.add_argument("--cores", type=int, default=1, help="processor cores to use, 0 for all (default: 1)")
    parser.add_argument("--quick", action="store_true", help=f"{quick}; to see that it runs")
    return parser


def pin(cores: int) -> list[int]:
    """Keep this process on that many processor cores (0: leave it alone); call it before importing jax.

    XLA sizes its thread pools by the cores it may use, so one core means one thread. Where the system cannot pin,
    start the script with ``taskset -c 0`` or accept all cores; the record says which.
    """
    if not hasattr(os, "sched_setaffinity"):
        return []
    allowed = sorted(os.sched_getaffinity(0))
    if cores:
        os.sched_setaffinity(0, allowed[:cores])
    return sorted(os.sched_getaffinity(0))


def time_calls(function: Callable, *arguments: Any, seconds: float = 1.5, least: int = 5) -> dict[str, float]:
    """Call a function until ``seconds`` have passed, after one call to warm up.

    Returns:
        ``min_ms`` and ``median_ms`` of wall time, ``cpu_ms`` the median of processor time (of all threads of this
        process: little disturbed by what else the machine does), and how many ``calls``.
    """
    import jax

    jax.block_until_ready(function(*arguments))
    wall, cpu, began = [], [], time.perf_counter()
    while len(wall) < least or time.perf_counter() - began < seconds:
        start, worked = time.perf_counter(), time.process_time()
        jax.block_until_ready(function(*arguments))
        cpu.append(time.process_time() - worked)
        wall.append(time.perf_counter() - start)
    return {
        "min_ms": 1e3 * min(wall),
        "median_ms": 1e3 * statistics.median(wall),
        "cpu_ms": 1e3 * statistics.median(cpu),
        "calls": len(wall),
    }


def one_core() -> bool:
    """Whether all work is done by one processor core, so that its time is a measure that other processes disturb little."""
    import jax

    pinned = hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) == 1
    return pinned and jax.default_backend() == "cpu"


def clock() -> float:
    """Seconds of processor time where one core does the work, else of wall time; compare two readings."""
    return time.process_time() if one_core() else time.perf_counter()


def best(times: dict[str, float]) -> float:
    """The number to compare: processor time where one core does the work, else the shortest wall time."""
    return times["cpu_ms" if one_core() else "min_ms"]


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, MB."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / (1e6 if sys.platform == "darwin" else 1e3)


def device_peak_mb() -> float | None:
    """Largest memory in use on the device so far, MB; ``None`` where the device does not say (CPUs do not)."""
    import jax

    used = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    return None if used is None else used / 1e6


def machine(cores: list[int]) -> dict[str, Any]:
    """What the numbers were measured on and with."""
    import jax

    device = jax.devices()[0]
    return {
        "device": device.device_kind,
        "platform": device.platform,
        "processor": _processor(),
        "cores_used": cores,
        "cores_present": os.cpu_count(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("jaxnmr", "jax", "jaxlib", "numpy")},
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def saved(figure, machine: dict, path: Path) -> Path:
    """Write a figure that says on what it was measured, and close it."""
    import matplotlib.pyplot as plt

    figure.suptitle(f"{machine['device']}, {machine['devices']} device(s), jaxlib {machine['jaxlib']}", fontsize=9)
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return path
