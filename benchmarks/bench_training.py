"""How long does an epoch of a training take, and how much of it is padding?

    python benchmarks/bench_training.py --data $JAXNMR_DATA/si_nmr --out out/bench     the network and the data of silica-29si
    python benchmarks/bench_training.py --quick                      a small network and a few made-up cells; to see that it runs

Every batch is padded to one of a few sizes, for each of which a step is compiled. Compared are the rule that ``jaxnmr train``
follows, four sizes that are chosen from the data, and a fixed one (a quarter, a half and all of the largest size, as jaxnmr did
it before). The batches are the same, in the same order. Programs are compiled first; then epochs of all rules follow each
other, several times. Beside them: how full other numbers of sizes are, and three members of an ensemble side by side in one
program, which pad their batches to the largest of each step. Results: ``training.json``.
"""

import itertools
import json
import statistics
import sys
from pathlib import Path

from timing import benchmark_parser, clock, machine, peak_memory_mb, pin

RULES = ("fixed", 4)
SIZES = (1, 2, 3, 5, 6, 8)


def main(argv=None) -> int:
    arguments = parse(argv)
    cores = pin(arguments.cores)
    arguments.out.mkdir(parents=True, exist_ok=True)
    graphs, config, recipe = made_up() if arguments.quick else silica(arguments.data)
    rules = ("fixed", 2) if arguments.quick else RULES
    counted = [
        {"rule": n, "members": 1} | filled(batches_of(n, graphs, recipe), graphs, arguments.rounds, 1) for n in SIZES
    ]
    print(
        "edges filled: " + ", ".join(f"{row['rule']} sizes {100 * row['filled']:.0f} %" for row in counted), flush=True
    )
    rows = measured(graphs, config, recipe, rules, arguments.rounds)
    print(summary(rows), flush=True)
    if not arguments.quick:
        rows += side_by_side(graphs, config, recipe, arguments.rounds)
        print(summary(rows[-1:]), flush=True)
    record = {
        "structures": len(graphs),
        "batch": recipe.batch,
        "rows": rows,
        "counted": counted,
        "machine": machine(cores),
    }
    record["process_peak_mb"] = peak_memory_mb()
    path = arguments.out / "training.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)
    return 0


def parse(argv):
    parser = benchmark_parser(__doc__, "few structures and a small network")
    parser.add_argument("--data", type=Path, default=Path("si_nmr"), help="folder of the si_nmr data")
    parser.add_argument("--rounds", type=int, default=3, help="epochs of every rule (default: 3)")
    return parser.parse_args(argv)


def silica(folder: Path):
    """Graphs of the training part of silica-29si, its network and its recipe."""
    import os
    from dataclasses import replace

    from jaxnmr.cli.examples import example_files
    from jaxnmr.runfile.training import load_training

    os.environ.setdefault("JAXNMR_DATA", str(folder.parent))
    experiment = load_training(example_files("training")["silica-29si"]).experiment
    experiment = replace(experiment, source=replace(experiment.source, path=folder))
    prepared = experiment.prepare()
    config, graphs = experiment.configured(prepared.data, prepared.part("train"))
    return graphs, config, experiment.recipe


def made_up():
    """A few cells of quartz and larger ones, a small network."""
    import numpy as np

    from jaxnmr.graph import structure_graph
    from jaxnmr.models import HeadConfig, NetworkConfig, Recipe

    head = HeadConfig(name="shielding", irreps="0e", elements=("Si",))
    config = NetworkConfig(species=("Si",), heads=(head,), hidden="4x0e", layers=1, cutoff=3.0)
    rng = np.random.default_rng(0)
    graphs = []
    for atoms in (2, 2, 3, 3, 4, 8):
        side = np.eye(3) * 2.4 * atoms ** (1 / 3)
        positions = rng.uniform(0.0, 1.0, (atoms, 3)) @ side
        graph = structure_graph(side, positions, ["Si"] * atoms, cutoff=3.0, species=("Si",), image=np.arange(atoms), turn=np.tile(np.eye(3), (atoms, 1, 1)))  # fmt: skip
        labels = {"target": rng.normal(size=(atoms, 1)), "mask": np.ones(atoms, bool), "weight": np.ones(atoms)}
        graphs.append(graph._replace(nodes=graph.nodes | labels))
    return graphs, config, Recipe(epochs=10, batch=2)


def batches_of(rule, graphs, recipe):
    """Batches padded by a rule: a number of sizes, or ``"fixed"``."""
    from jaxnmr.models.data.batches import Batches, Capacity, chosen_capacities

    batches = Batches(graphs, recipe.batch, shuffled=True)
    largest = batches.capacities[-1]
    if rule == "fixed":
        part = lambda whole, share: -(-whole * share // 4)
        capacities = [Capacity(part(batches.n_node, k), part(batches.n_edge, k), 0) for k in (1, 2, 4)]
        per_edge = (largest.representatives - 1) / largest.edges
        of = lambda room: min(room.nodes, int(-(-per_edge * room.edges // 1)) + 1)
        batches.capacities = tuple(room._replace(representatives=of(room)) for room in capacities)
    else:
        import numpy as np

        orders = [np.random.default_rng(k).permutation(len(graphs)) for k in range(16)]
        met = [batches._needed(chosen) for order in orders for chosen in batches.chunks(order)]
        # as many passes as it takes to want all of them
        batches.capacities = chosen_capacities(met, largest, 1.0, 0.0, most=rule)
    return batches


def lanes_of(count: int, graphs, config, recipe, batches):
    """Trainings of so many members at once on the first device."""
    from dataclasses import replace

    import jax

    from jaxnmr.models import TensorModel
    from jaxnmr.models.data.labels import label_statistics
    from jaxnmr.models.tensors.lanes import Lanes
    from jaxnmr.models.tensors.step import TrainingState, optimiser

    (head,) = config.heads
    scale, shift = label_statistics(graphs, head, len(config.species))
    steps = recipe.epochs * (len(graphs) // recipe.batch + 1)
    states, models = [], []
    for seed in range(count):
        key = jax.random.key(seed)
        model = TensorModel.create(config, key=key, scale={head.name: scale}, shift={head.name: shift})
        states.append(TrainingState(model.weights, model.weights, optimiser(recipe, steps).init(model.weights)))
        models.append(model)
    return Lanes(states, models, jax.devices()[:1], batches, head=head, recipe=replace(recipe, seed=0), steps=steps)


def orders(count: int, epoch: int, members: int):
    import numpy as np

    return [np.random.default_rng([seed, epoch]).permutation(count) for seed in range(members)]


def compiled(lanes, count: int, epochs: int, members: int = 1) -> dict[int, float]:
    """Seconds of the first step of every size that some epochs have, by edges."""
    first: dict[int, float] = {}
    begin = lanes._state
    for epoch in range(epochs):
        chunks = [lanes.batches.chunks(order) for order in orders(count, epoch, members)]
        for chosen in itertools.zip_longest(*chunks, fillvalue=()):
            room = lanes.batches.capacity(*chosen)
            if room.edges not in first:
                began = clock()
                lanes.numbers(lanes.epoch(chosen))
                first[room.edges] = clock() - began
                # what follows begins where it would without this
                lanes._state = begin
    return first


def measured(graphs, config, recipe, rules, rounds: int) -> list[dict]:
    """A row per rule: how full, what compiling took, and epochs of all rules one after the other."""
    lanes = {rule: lanes_of(1, graphs, config, recipe, batches_of(rule, graphs, recipe)) for rule in rules}
    rows = {rule: {"rule": rule, "members": 1, "epochs_s": []} for rule in rules}
    for rule, of in lanes.items():
        rows[rule] |= filled(of.batches, graphs, rounds, 1)
        rows[rule]["first_steps_s"] = compiled(of, len(graphs), rounds)
    losses = {}
    for epoch in range(rounds):
        for rule, of in lanes.items():
            began = clock()
            losses[rule] = of.numbers(of.epoch(orders(len(graphs), epoch, 1)))
            rows[rule]["epochs_s"].append(clock() - began)
    for rule, row in rows.items():
        row["epoch_s"] = statistics.median(row["epochs_s"])
        row["loss"] = float(losses[rule][0, 0] / losses[rule][0, 1])
    return list(rows.values())


def side_by_side(graphs, config, recipe, rounds: int, members: int = 3) -> list[dict]:
    """Three members at once."""
    of = lanes_of(members, graphs, config, recipe, batches_of(4, graphs, recipe))
    row = {"rule": 4, "members": members} | filled(of.batches, graphs, rounds, members)
    row["first_steps_s"] = compiled(of, len(graphs), rounds, members)
    row["epochs_s"] = []
    for epoch in range(rounds):
        began = clock()
        of.numbers(of.epoch(orders(len(graphs), epoch, members)))
        row["epochs_s"].append(clock() - began)
    return [row | {"epoch_s": statistics.median(row["epochs_s"]), "loss": None}]


def filled(batches, graphs, epochs: int, members: int) -> dict:
    """Share of the edges of batches that are no padding, and how many sizes there are."""
    used = padded = 0
    for epoch in range(epochs):
        chunks = [batches.chunks(order) for order in orders(len(graphs), epoch, members)]
        for chosen in itertools.zip_longest(*chunks, fillvalue=()):
            padded += members * batches.capacity(*chosen).edges
            used += sum(len(graphs[k].senders) for chunk in chosen for k in chunk)
    return {"filled": used / padded, "sizes": [list(room) for room in batches.capacities]}


def summary(rows: list[dict]) -> str:
    """A table for people."""
    lines = [f"{'sizes':>8s}{'members':>10s}{'edges filled':>15s}{'epoch s':>10s}{'first steps s':>16s}{'loss':>12s}"]
    for row in rows:
        first = sum(row["first_steps_s"].values())
        loss = "" if row["loss"] is None else f"{row['loss']:12.6f}"
        lines.append(
            f"{row['rule']!s:>8s}{row['members']:10d}{100 * row['filled']:13.0f} %{row['epoch_s']:10.2f}{first:16.1f}{loss}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
