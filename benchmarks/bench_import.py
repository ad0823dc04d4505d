"""What does it cost to import jaxnmr, beside jax itself?

    python benchmarks/bench_import.py --out out/bench

Fresh interpreters take turns: nothing, ``import jax``, ``import jaxnmr``, the names that a refinement of a powder pattern
uses, every public name, and the command line's help. Processor time of each (of all its threads) is the median over the
rounds, after one round that fills the disk's cache. Public names are imported when they are first asked for, so that
``import jaxnmr`` alone is cheap, and a script pays for what it uses.
Results: ``import.json`` in the output folder.
"""

import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path

from timing import benchmark_parser, machine, pin

REFINEMENT = (
    "read_crystal", "read_pattern", "PowderDiffraction", "PatternTerm", "Restraint", "Objective", "GaussNewton", "refine",
    "progress", "plot", "write_crystal",
)  # fmt: skip
CASES = {
    "python": ["-c", ""],
    "import jax": ["-c", "import jax"],
    "import jaxnmr": ["-c", "import jaxnmr"],
    "names of a refinement": ["-c", f"from jaxnmr import enable_x64, {', '.join(REFINEMENT)}"],
    "every public name": ["-c", "from jaxnmr import *"],
    "jaxnmr --help": ["-m", "jaxnmr", "--help"],
}
OF_JAX = ("import jaxnmr", "names of a refinement", "every public name")


def main(argv=None) -> int:
    parser = benchmark_parser(__doc__, "two rounds")
    parser.add_argument("--rounds", type=int, default=9, help="how often everything is started (default: 9)")
    arguments = parser.parse_args(argv)
    cores = pin(arguments.cores)
    times = measure(2 if arguments.quick else arguments.rounds)
    ratios = {name: times[name]["cpu_s"] / times["import jax"]["cpu_s"] for name in OF_JAX}
    arguments.out.mkdir(parents=True, exist_ok=True)
    record = {"machine": machine(cores), "times": times, "ratio_to_import_jax": ratios}
    (arguments.out / "import.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
    for name, time in times.items():
        ratio = f"  {ratios[name]:5.2f} times import jax" if name in ratios else ""
        print(f"{name:24s} {time['cpu_s']:6.3f} s  (from {time['min_s']:.3f} to {time['max_s']:.3f}){ratio}")
    return 0


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Processor seconds by case: the median, the smallest and the largest of the rounds."""
    found: dict[str, list[float]] = {name: [] for name in CASES}
    for turn in range(rounds + 1):
        for name, arguments in CASES.items():
            seconds = processor_seconds([sys.executable, *arguments])
            if turn:
                found[name].append(seconds)
    return {name: {"cpu_s": statistics.median(s), "min_s": min(s), "max_s": max(s)} for name, s in found.items()}


def processor_seconds(command: list[str]) -> float:
    """Of a command and all its threads, in the repository's root, so that a checkout measures itself."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=Path(__file__).resolve().parents[1], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    raise SystemExit(main())
