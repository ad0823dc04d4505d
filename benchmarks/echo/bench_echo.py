"""How fast are spin-echo curves and their derivatives, and are they those of an independent program?

    python benchmarks/echo/bench_echo.py --out out/bench          everything, on one core
    python benchmarks/echo/bench_echo.py --quick                  a small lattice and few steps; to see that it runs
    JAXNMR_DATA=/path/to/data python benchmarks/echo/bench_echo.py --only reference      the nine curves of Spin_Echo_Sim
    python benchmarks/echo/bench_echo.py --only knowledge         what a curve of the challenge can tell (minutes)

Curves are those of the ML4SCI NMR challenge: 50 × 50 spins, 473 steps. A call makes eight of them; what is given is the time of
one. Operations are counted by hand: two Fourier transforms of 5 n log2 n each, and about 110 for every spin and step; bytes are
those that XLA has for temporary values. Lattices of 16² to 256² show the n log n of a step. Results: ``echo.json``.
"""

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from timing import benchmark_parser, best, machine, pin, time_calls

TOGETHER = 8
PER_SPIN = 110
PLACES = [(0.06, 3.0, 4.4), (0.19, 3.0, 4.4), (0.12, 2.3, 3.4), (0.02, 3.0, 4.4), (0.12, 3.7, 5.4), (0.06, 2.3, 5.4), (0.19, 3.7, 3.4), (0.19, 2.3, 5.4)]  # fmt: skip
NOISES = (1e-8, 1e-6, 1e-4, 1e-3, 3e-3)
PARTS = ("curves", "lattices", "reference", "knowledge")


def operations(spins: int, steps: int) -> float:
    """Of a curve."""
    import numpy as np

    return steps * spins * (2.0 * 5.0 * np.log2(spins) + PER_SPIN)


def programs(experiment, kind):
    """Curves, derivatives by four numbers, one of which changes nothing, and a gradient, of eight draws each."""
    import jax
    import jax.numpy as jnp

    from jaxnmr.nmr.echo import EchoParameters, curve, curve_derivatives, simulate

    ensemble = experiment.ensemble
    parameters = EchoParameters(
        **{n: jnp.asarray(v, kind) for n, v in dict(alpha=0.12, xi=5.0, p=2.8, gamma=2e-4).items()}
    )
    keys = jax.random.split(jax.random.key(0), TOGETHER)
    draw = lambda key: ensemble.line.draw(key, ensemble.sizes, parameters.width)
    offsets = jax.vmap(draw)(keys)
    curves = jax.jit(jax.vmap(lambda p, o: curve(experiment, p, o), (None, 0)))
    many = parameters.replace(alpha=jnp.full(TOGETHER, parameters.alpha))

    def loss(p, o):
        return jnp.sum(jnp.abs(jax.vmap(lambda one: curve(experiment, p, one))(o)) ** 2)

    derivatives = lambda names: lambda: curve_derivatives(experiment, parameters, keys, names)[1]
    return {
        "curve and its frequencies": (lambda: simulate(experiment, many, keys[0]), ()),
        "curve of given frequencies": (curves, (parameters, offsets)),
        "derivatives by alpha, xi, p, gamma": (derivatives(("alpha", "xi", "p", "gamma")), ()),
        "gradient by all six": (jax.jit(jax.grad(loss)), (parameters, offsets)),
    }


def of_curves(quick: bool) -> dict:
    """Times of a curve and its derivatives in both precisions."""
    import jax.numpy as jnp

    from jaxnmr.nmr.echo import PulseSequence, SpinEnsemble, challenge

    experiment = challenge()
    if quick:
        small = SpinEnsemble((8, 8), line=experiment.ensemble.line)
        experiment = experiment.replace(ensemble=small, sequence=PulseSequence.hahn(6, dt=2.0))
    steps, spins = len(experiment.sequence.steps().duration), experiment.ensemble.spins
    found = {}
    for kind in (jnp.float32, jnp.float64):
        rows = {}
        for name, (function, arguments) in programs(experiment, kind).items():
            row = {"ms": best(time_calls(function, *arguments, seconds=0.1 if quick else 2.0, least=2)) / TOGETHER}
            if hasattr(function, "lower"):
                memory = function.lower(*arguments).compile().memory_analysis()
                row["temporary_bytes_per_spin_and_step"] = memory.temp_size_in_bytes / (TOGETHER * spins * steps)
            row["times_a_curve"] = row["ms"] / next(iter(rows.values()))["ms"] if rows else 1.0
            rows[name] = row
            print(f"{kind.__name__:8} {name:36} {row['ms']:8.2f} ms  {row['times_a_curve']:5.2f} curves", flush=True)
        rate = operations(spins, steps) / rows["curve of given frequencies"]["ms"] / 1e6
        print(f"{kind.__name__:8} {operations(spins, steps) / 1e6:.0f} million operations a curve, {rate:.1f} GFLOP/s")
        found[kind.__name__] = rows | {"operations": operations(spins, steps), "gflops": rate}
    return found


def of_lattices(quick: bool) -> list[dict]:
    """A step of lattices of growing size, in single precision."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxnmr.nmr.echo import EchoExperiment, EchoParameters, PulseSequence, SpinEnsemble, curve

    rows = []
    for side in (8, 16) if quick else (16, 32, 64, 128, 256):
        experiment = EchoExperiment(ensemble=SpinEnsemble((side, side)), sequence=PulseSequence.hahn(8, 16, dt=2.0))
        steps, n = 26, side * side
        parameters = EchoParameters(alpha=jnp.float32(0.1), gamma=jnp.float32(1e-4))
        offsets = experiment.ensemble.line.draw(jax.random.key(0), (side, side), parameters.width)
        program = jax.jit(lambda p, o, experiment=experiment: curve(experiment, p, o))
        us = 1e3 * best(time_calls(program, parameters, offsets, seconds=0.1 if quick else 1.0)) / steps
        rows.append({"side": side, "us_per_step": us, "ns_per_n_log2_n": 1e3 * us / (n * np.log2(n))})
        print(f"{side:4d}²  {us:9.1f} µs a step  {rows[-1]['ns_per_n_log2_n']:.2f} ns per n log2 n", flush=True)
    return rows


def of_reference(quick: bool) -> list[dict]:
    """The nine curves of C. Snider's Spin_Echo_Sim (one draw each) beside the mean of eight of ours."""
    import jax
    import numpy as np

    from jaxnmr.nmr.echo import EchoExperiment, EchoParameters, Kernel, Line, PulseSequence, SpinEnsemble, simulate

    folder = Path(os.environ["JAXNMR_DATA"]) / "spin_echo" / "reference_cuda"
    table = np.loadtxt(folder / "echo_params1.txt")
    theirs = np.loadtxt(folder / "real_output1.txt") + 1j * np.loadtxt(folder / "imag_output1.txt")
    theirs = np.delete(theirs, [0, 167], axis=1)
    ensemble = SpinEnsemble(
        (100, 100),
        kernel=Kernel("gaussian", normalised=False),
        line=Line("lorentzian", cutoff=0.25),
        axes=(1.0, 1.0, 0.0),
    )
    sequence = PulseSequence.hahn(166, 332, dt=1.88495559, refocus_phase_deg=0.0)
    draws = 2 if quick else 8
    which = np.repeat(np.arange(9), draws)
    parameters = EchoParameters(alpha=table[which, 0].astype(np.float32), xi=table[which, 3].astype(np.float32))
    experiment = EchoExperiment(ensemble=ensemble, sequence=sequence)
    ours = -np.asarray(simulate(experiment, parameters, jax.random.key(0))).reshape(9, draws, -1)
    as_one = lambda curve: np.concatenate([curve.real, curve.imag])
    rows = []
    for k in range(9):
        mean, other = ours[k].mean(axis=0), theirs[k]
        each = [float(np.corrcoef(as_one(one), as_one(other))[0, 1]) for one in ours[k]]
        rows.append(
            {
                "alpha": table[k, 0],
                "xi": table[k, 3],
                "correlation_of_mean": float(np.corrcoef(as_one(mean), as_one(other))[0, 1]),
                "correlation_of_draws": [min(each), max(each)],
                "rms": float(np.sqrt(np.mean(np.abs(mean - other) ** 2))),
                "scatter_of_draws": float(np.sqrt(np.mean(np.abs(ours[k] - mean) ** 2))),
                "echo": [int(np.abs(mean[200:]).argmax()) + 200, int(np.abs(other[200:]).argmax()) + 200],
            }
        )
        print(k, json.dumps(rows[-1]), flush=True)
    return rows


def of_knowledge(quick: bool) -> dict:
    """Bounds and best linear estimators at eight places of the challenge, for several assumed noise floors."""
    import jax.numpy as jnp

    from jaxnmr.nmr.echo import EchoParameters, challenge
    from jaxnmr.refinement import challenge_reference, echo_knowledge

    found = []
    for alpha, p, d in PLACES[: 1 if quick else None]:
        numbers = dict(alpha=alpha, xi=10.0, p=p, gamma=10.0**-d)
        parameters = EchoParameters(**{name: jnp.float32(value) for name, value in numbers.items()})
        size = {"draws": 48, "slopes": 8} if quick else {"draws": 1200, "slopes": 96}
        found.append(echo_knowledge(challenge(), parameters, noise=NOISES, **size))
        print(found[-1][2], flush=True)
    rows = {noise: challenge_reference([of[k] for of in found]) for k, noise in enumerate(NOISES)}
    for noise, row in rows.items():
        print(
            f"assumed noise {noise:.0e}: R² alpha {row['alpha']:.4f}  p {row['p']:.3f}  d {row['d']:.3f}  Err {row['err']:.1f}"
        )
    return {f"{noise:g}": row for noise, row in rows.items()}


def main() -> None:
    parser: argparse.ArgumentParser = benchmark_parser(__doc__, "a small lattice, few calls")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, help="parts (default: curves and lattices, and reference with data)"
    )
    options = parser.parse_args()
    cores = pin(options.cores)
    import jaxnmr as jn

    jn.enable_x64()
    wanted = options.only or ["curves", "lattices", *(["reference"] if os.environ.get("JAXNMR_DATA") else [])]
    made = {"curves": of_curves, "lattices": of_lattices, "reference": of_reference, "knowledge": of_knowledge}
    record = {"machine": machine(cores), **{part: made[part](options.quick) for part in wanted}}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "echo.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
