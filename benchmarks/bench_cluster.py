"""What does a campaign cost whoever hands it out, and does a cluster give the table of one process?

    python benchmarks/bench_cluster.py --out out/bench

Labelled stubs: 10,000 items that wait 10 ms each, in chunks of 20 to 50, on two processes of this machine. Client and scheduler run in this
process here, so its processor time is that of both. Memory is the resident size at a tenth and at the end. Then real candidates (distorted alpha-quartz of
`bench_screening.py`, refined against ``examples/quartz``) on the same processes and in this one, compared row by row. The estimate for a
million candidates puts these numbers into the formula of `docs/cost.md`. Results: ``cluster.json``.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

from bench_screening import RUN, distorted
from timing import benchmark_parser, machine

from jaxnmr.campaign.cluster import Cluster
from jaxnmr.campaign.connect import connected
from jaxnmr.campaign.drive import drive
from jaxnmr.campaign.rows import Row
from jaxnmr.campaign.table import Table
from jaxnmr.campaign.work import Item

KINDS = 20


class Waiting:
    """A stub: waits."""

    def __init__(self, seconds: float):
        self.seconds = seconds

    def begin(self):
        return None

    def rows(self, state, items):
        for item in items:
            time.sleep(self.seconds)
            # as long as a refined structure with its parameters
            yield Row(
                item.key, item.name, "converged", "", self.seconds, {"chi2": 1.0}, {"numbers": [0.1] * 80}, "x" * 3000
            )


class OfRun:
    """Of a crystal what the example refines; the run file is read by whoever works."""

    def __init__(self, path: str):
        self.path = path

    def __call__(self, crystal):
        from jaxnmr.runfile import build, load_run

        return build(load_run(self.path), structures={"quartz": crystal})


def main(argv=None) -> int:
    parser = benchmark_parser(__doc__, "few items and candidates")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--items", type=int, default=10_000, help="stubs (default: 10000)")
    parser.add_argument("--candidates", type=int, default=300, help="real ones (default: 300)")
    arguments = parser.parse_args(argv)
    import jax

    jax.config.update("jax_enable_x64", True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    count, real = (200, 2) if arguments.quick else (arguments.items, arguments.candidates)
    record = {"machine": machine(sorted(os.sched_getaffinity(0))), "workers": arguments.workers}
    with connected(workers=arguments.workers) as client:
        record["stubs"] = stubs(client, arguments.out, count)
        record["real"] = candidates(client, real)
    print(json.dumps(record["stubs"], indent=1), json.dumps(record["real"], indent=1), sep="\n")
    path = arguments.out / "cluster.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)
    return 0


def stubs(client, folder: Path, count: int) -> dict:
    """Processor time of client and scheduler together per item, and memory."""
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[Waiting.__module__])
    file = folder / "stubs" / "table.sqlite"
    file.unlink(missing_ok=True)
    items = (Item(f"key {k}", f"item {k}", f"kind {k % KINDS}", b"." * 2000, 2256) for k in range(count))
    memory = {}

    def look(row, tally):
        if tally.done in (count // 10, count):
            memory[tally.done] = resident_mb()

    with Table(file.parent, "stub", {"chi2": float}) as table:
        cpu, wall = time.process_time(), time.perf_counter()
        drive(items, Waiting(0.01), table, Cluster(client), total=count, callback=look)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "items": count, "seconds_each": 0.01, "client_and_scheduler_cpu_ms_per_item": 1e3 * cpu / count, "wall_s": wall,
        "wall_s_without_overhead": 0.01 * count / len(client.nthreads()), "resident_mb": memory, "table_mb": file.stat().st_size / 2**20,
    }  # fmt: skip


def candidates(client, count: int) -> dict:
    """Real candidates on the cluster, and the first of them in this process."""
    import numpy as np

    import jaxnmr as jn

    given, make = distorted(count), OfRun(str(RUN))
    ends = []
    cpu, wall = time.process_time(), time.perf_counter()
    there = jn.screen(given, make, client=client, keep=0, callback=lambda row: ends.append(time.perf_counter()))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    few = dict(list(given.items())[: min(count, 30)])
    here = jn.screen(few, make, keep=0)
    by_name = {row.name: row for row in there.rows}
    apart = [abs(by_name[row.name].chi2 / row.chi2 - 1.0) for row in here.rows]
    half = len(ends) // 2
    return {
        "candidates": count, "statuses": dict(there.statuses), "client_and_scheduler_cpu_ms_per_candidate": 1e3 * cpu / count,
        "wall_s": wall, "per_minute_second_half": 60.0 * (len(ends) - 1 - half) / max(ends[-1] - ends[half], 1e-9),
        "seconds_each_median": float(np.median([row.seconds for row in there.rows])),
        "compile_s": there.compile_seconds, "compared_with_one_process": len(few), "largest_relative_difference_of_chi2": max(apart),
    }  # fmt: skip


def resident_mb() -> float:
    """Memory of this process now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


if __name__ == "__main__":
    raise SystemExit(main())
