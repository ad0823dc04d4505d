"""Sizes of batches: as little padding as can be, as many as pay, the same whatever the order."""

from itertools import combinations

import jraph
import numpy as np
import pytest

from jaxnmr import _tuning
from jaxnmr.errors import DataError
from jaxnmr.models.data.batches import Batches, Capacity, chosen_capacities

LARGEST = Capacity(80, 400, 40)


def met(count=40, seed=0):
    """Sizes of batches, most of them small."""
    edges = np.minimum(8 * (1 + np.random.default_rng(seed).exponential(10.0, count).astype(int)), 400)
    return [Capacity(int(e) // 8 + 3, int(e), int(e) // 16 + 1) for e in edges]


def padded(sizes, capacities):
    return sum(min(c for c in capacities if c >= of.edges) for of in sizes)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_no_other_sizes_pad_less(most):
    found = chosen_capacities(met(), LARGEST, 1.0, 0.0, most)
    assert found[-1] == LARGEST and [room.edges for room in found] == sorted({room.edges for room in found})
    # where compiling is for nothing the largest is a spare one
    edges = [room.edges for room in found]
    used = [e for e in edges if e <= max(of.edges for of in met())]
    assert len(used) == most
    everything = sorted({of.edges for of in met()})
    best = min(padded(met(), chosen) for chosen in combinations(everything, most) if chosen[-1] == everything[-1])
    assert padded(met(), edges) == best


def test_sizes_are_as_many_as_pay_for_their_programs():
    numbers = [len(chosen_capacities(met(), LARGEST, passes, 1e5)) for passes in (1, 30, 100, 1000)]
    assert numbers[0] == 1 and numbers == sorted(numbers) and len(set(numbers)) > 2
    assert max(numbers) <= 5


def test_all_that_was_met_fits_in_the_first_size_that_has_its_edges():
    found = chosen_capacities(met(), LARGEST, 1.0, 0.0)
    for of in met():
        first = next(room for room in found if room.edges >= of.edges)
        assert first.holds(of)


def graph(atoms, edges):
    """A graph of so many atoms and edges, half of the atoms images of the others."""
    nodes = {
        "positions": np.zeros((atoms, 3)),
        "species": np.zeros(atoms, np.int32),
        "image": np.arange(atoms) // 2 * 2,
        "representatives": np.arange(0, atoms, 2).astype(np.int32),
        "weight": np.ones(atoms),
        "mask": np.ones(atoms, bool),
    }
    return jraph.GraphsTuple(
        nodes=nodes, edges={"shifts": np.zeros((edges, 3))}, senders=np.zeros(edges, np.int32),
        receivers=np.sort(np.arange(edges) % ((atoms + 1) // 2) * 2).astype(np.int32), globals={"lattice": np.eye(3)[None]},
        n_node=np.array([atoms]), n_edge=np.array([edges]),
    )  # fmt: skip


@pytest.fixture
def graphs():
    rng = np.random.default_rng(1)
    return [graph(int(n), int(12 * n + rng.integers(0, 12))) for n in np.minimum(4 + rng.exponential(8.0, 40), 60)]


def test_batches_hold_the_same_structures_whatever_they_are_padded_to(graphs, monkeypatch):
    order = np.random.default_rng(5).permutation(len(graphs))
    one = Batches(graphs, 3)
    many = Batches(graphs, 3, passes=10**9, shuffled=True)
    assert len(one.capacities) == 1 and len(many.capacities) >= 4
    filled = {}
    for name, batches in {"one": one, "many": many}.items():
        chosen, made = zip(*batches.epoch(order), strict=True)
        assert list(chosen) == list(one.chunks(order)) and sorted(k for part in chosen for k in part) == list(range(40))
        for numbers, batch in zip(chosen, made, strict=True):
            assert batch.nodes["weight"].sum() == sum(graphs[k].nodes["weight"].sum() for k in numbers)
        filled[name] = sum(len(g.senders) for g in graphs) / sum(len(batch.senders) for batch in made)
    assert filled["many"] > 1.4 * filled["one"]
    # on an accelerator a program costs more than padding does
    monkeypatch.setattr(_tuning, "KINDS", {"cpu": _tuning.ACCELERATOR})
    assert len(Batches(graphs, 3, passes=100, shuffled=True).capacities) == 1


def test_a_batch_without_a_graph_fits_everywhere_and_has_no_labels(graphs):
    batches = Batches(graphs, 3, passes=10**9, shuffled=True)
    for room in (*batches.capacities, Capacity(2, 0, 2)):
        empty = batches.padded([], room)
        assert empty.nodes["weight"].sum() == 0.0 and not empty.nodes["mask"].any()
        assert (len(empty.nodes["weight"]), len(empty.senders)) == room[:2]
    # what it was made of keeps its labels
    assert all(g.nodes["weight"].all() for g in graphs)
    with pytest.raises(DataError, match="no structure"):
        Batches([], 3)
