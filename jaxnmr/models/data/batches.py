"""Batches of labelled graphs, padded to a few suitable sizes and distributed over devices (host)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import jraph
import numpy as np

from ..._tuning import tuning
from ...errors import DataError
from ...graph import batch_graphs, bucket

# more sizes gain little: edges of silica-29si fill 23 % of one size, 65 % of three, 72 % of four, 77 % of five
_MOST = 4
# sample orders that represent all orders; the same for every seed, so that members of an ensemble share their programs
_ORDERS = 16
_STEPS = 256


class Capacity(NamedTuple):
    """Sizes of a padded batch, at least one node and one representative larger than its contents."""

    nodes: int
    edges: int
    representatives: int

    def holds(self, other: Capacity) -> bool:
        """Return whether a batch of these sizes fits."""
        return self.nodes > other.nodes and self.edges >= other.edges and self.representatives > other.representatives


class Batches:
    """Graphs in batches of a few sizes, so that few programs serve them all and there is little padding.

    The composition of batches depends only on the largest structure and on ``size``. The sizes that batches are padded
    to are chosen from the data to minimise the number of padded edges over some fixed orders, with as many sizes as are
    worth compiling a program for: one for a few passes over few structures, at most four.

    Args:
        graphs: labelled graphs.
        size: largest number of graphs in a batch.
        dtype: dtype of the floating-point numbers.
        passes: number of times all batches are used: more passes justify more sizes.
        shuffled: whether they are used in random orders, or in the given one.
        devices: number of devices over which the graphs of a batch are distributed.

    Attributes:
        capacities: the sizes, ascending; the largest holds every batch in any order.

    Raises:
        DataError: there are no graphs.
    """

    def __init__(
        self,
        graphs: Sequence[jraph.GraphsTuple],
        size: int,
        dtype=np.float32,
        *,
        passes: int = 1,
        shuffled: bool = False,
        devices: int = 1,
    ):
        if not graphs:
            raise DataError("there is no structure to train on")
        self.graphs, self.size, self.dtype, self.devices = list(graphs), int(size), dtype, int(devices)
        self._sizes = np.array([_size(g) for g in graphs])
        nodes, edges, representatives = self._sizes.T
        # large enough for the largest structure, or for a batch of average ones
        self.n_node = bucket(int(max(nodes.max(), nodes.mean() * size)) + 1)
        self.n_edge = bucket(int(max(edges.max(), edges.mean() * size)))
        # upper limit for the fullest device: an equal share of the others in addition to the largest structure
        most = self.n_edge
        if self.devices > 1:
            most = min(most, bucket(math.ceil((self.n_edge + (self.devices - 1) * edges.max()) / self.devices)))
        # representatives scale with edges; without symmetry every node is one
        per_edge = np.max(representatives / np.maximum(edges, 1))
        largest = Capacity(self.n_node, most, min(self.n_node, math.ceil(per_edge * most) + 1))
        orders = [np.arange(len(graphs))]
        if shuffled:
            orders = [np.random.default_rng(k).permutation(len(graphs)) for k in range(_ORDERS)]
        met = [self._needed(chosen) for order in orders for chosen in self.chunks(order)]
        self.capacities = chosen_capacities(met, largest, passes / len(orders), tuning().shape_edges)

    def chunks(self, order: Iterable[int]) -> Iterator[list[int]]:
        """Yield the indices of graphs that form a batch, for an order of all graphs."""
        chosen: list[int] = []
        nodes = edges = 0
        for k in map(int, order):
            n, e, _ = self._sizes[k]
            if chosen and (nodes + n >= self.n_node or edges + e > self.n_edge or len(chosen) == self.size):
                yield chosen
                chosen, nodes, edges = [], 0, 0
            chosen, nodes, edges = [*chosen, k], nodes + n, edges + e
        yield chosen

    def dealt(self, chosen: Sequence[int]) -> list[list[int]]:
        """Distribute the graphs of a batch over devices: the largest first, each to the device with the fewest edges."""
        if self.devices == 1:
            return [list(chosen)]
        parts: list[list[int]] = [[] for _ in range(self.devices)]
        loads = [0] * self.devices
        for k in sorted(chosen, key=lambda k: -self._sizes[k][1]):
            least = loads.index(min(loads))
            parts[least].append(k)
            loads[least] += int(self._sizes[k][1])
        return parts

    def _needed(self, chosen: Sequence[int]) -> Capacity:
        sums = [self._sizes[part].sum(axis=0) for part in self.dealt(chosen) if part]
        return Capacity(*(int(n) for n in np.max(sums, axis=0)))

    def capacity(self, *chunks: Sequence[int]) -> Capacity:
        """Return the smallest capacity that holds each of several batches, on every device."""
        needed = [self._needed(chosen) for chosen in chunks if chosen]
        return next(room for room in self.capacities if all(room.holds(other) for other in needed))

    def padded(self, chosen: Sequence[int], room: Capacity) -> jraph.GraphsTuple:
        """Pad some graphs to one batch; without graphs, a single unlabelled atom."""
        graphs = [self.graphs[k] for k in chosen] or [_unlabelled_atom(self.graphs[0])]
        batch = batch_graphs(
            graphs, n_node=room.nodes, n_edge=room.edges, n_graph=self.size + 1, n_representative=room.representatives
        )
        cast = lambda tree: {k: v.astype(self.dtype) if v.dtype.kind == "f" else v for k, v in tree.items()}
        return batch._replace(nodes=cast(batch.nodes), globals=cast(batch.globals))

    def epoch(self, order: Iterable[int]) -> Iterator[tuple[list[int], jraph.GraphsTuple]]:
        """Yield batches for one device in an order of graphs, each with the indices of its graphs."""
        for chosen in self.chunks(order):
            yield chosen, self.padded(chosen, self.capacity(chosen))


def _unlabelled_atom(graph: jraph.GraphsTuple) -> jraph.GraphsTuple:
    """Return the first atom of a graph by itself, as a filler."""
    nodes = {name: values[:1] for name, values in graph.nodes.items()}
    nothing = ("image", "representatives", "weight", "mask")
    return graph._replace(
        nodes=nodes | {name: np.zeros_like(nodes[name]) for name in nothing if name in nodes},
        edges={name: values[:0] for name, values in graph.edges.items()},
        senders=graph.senders[:0],
        receivers=graph.receivers[:0],
        n_node=np.ones_like(graph.n_node),
        n_edge=np.zeros_like(graph.n_edge),
    )


def _size(graph: jraph.GraphsTuple) -> Capacity:
    representatives = len(np.unique(graph.nodes["image"])) if "image" in graph.nodes else len(graph.nodes["species"])
    return Capacity(len(graph.nodes["species"]), len(graph.senders), representatives)


def chosen_capacities(
    met: Sequence[Capacity], largest: Capacity, passes: float, shape_edges: float, most: int = _MOST
) -> tuple[Capacity, ...]:
    """Choose sizes to pad batches to, ascending, with the least expected time for batches and for compiling.

    The time for a batch is assumed proportional to its number of edges.

    Args:
        met: sizes of sample batches.
        largest: last of the capacities. It is an additional one, for batches not in the sample, if a capacity that just
            holds the largest sample batch is worth it.
        passes: number of times all these batches are calculated.
        shape_edges: number of edges whose time equals that of compiling one more program.
        most: largest number of capacities for the sample batches.
    """
    # steps of 1/256 of the largest
    step = 8 * math.ceil(largest.edges / (8 * _STEPS))
    edges = np.minimum(step * np.ceil(np.array([of.edges for of in met]) / step).astype(int), largest.edges)
    options: list[tuple[float, list[int]]] = []
    for spare, top in enumerate((largest.edges, int(edges.max()))):
        for padded, sizes in _fewest_padded(edges, top, most):
            options.append((passes * padded + (len(sizes) + spare) * shape_edges, sizes))
    chosen = min(options, key=lambda pair: pair[0])[1]
    out = []
    for room in chosen if chosen[-1] < largest.edges else chosen[:-1]:
        inside = [of for of in met if of.edges <= room]
        nodes, _, representatives = (8 * math.ceil((max(column) + 1) / 8) for column in zip(*inside, strict=True))
        out.append(Capacity(min(nodes, largest.nodes), room, min(nodes, representatives, largest.representatives)))
    return (*out, largest)


def _fewest_padded(edges: np.ndarray, top: int, most: int) -> Iterator[tuple[int, list[int]]]:
    """Yield the number of padded edges and the best capacities, for one, two, three ... capacities with ``top`` as the last.

    Solved by dynamic programming over the sizes.
    """
    sizes, counts = np.unique([*edges, top], return_counts=True)
    counts[-1] -= 1
    below = np.concatenate([[0], np.cumsum(counts)])
    ends = np.arange(len(below))
    # least padded edges for batches up to each size in a given number of capacities, the last of which is that size
    least, choices = np.where(ends > 0, np.inf, 0.0), list[np.ndarray]()
    for _ in range(min(most, len(sizes))):
        # rows: end of the last capacity; columns: end of the previous one
        costs = least[None, :] + sizes[:, None] * (below[1:, None] - below[None, :])
        costs = np.where(ends[None, :] < ends[1:, None], costs, np.inf)
        choices.append(np.argmin(costs, axis=1))
        least = np.concatenate([[np.inf], np.min(costs, axis=1)])
        end, found = len(sizes), list[int]()
        for choice in reversed(choices):
            found.append(int(sizes[end - 1]))
            end = int(choice[end - 1])
        yield int(least[-1]), found[::-1]
