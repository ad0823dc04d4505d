"""Batching of several graphs into one of a fixed size, so that few programs need compiling."""

from collections.abc import Sequence

import jraph
import numpy as np

from ..errors import ShapeError


def bucket(count: int, *, smallest: int = 16, growth: float = 1.25) -> int:
    """Return the next larger size in a geometric series of multiples of 8: sizes within a quarter share a program."""
    size = smallest
    while size < count:
        size = 8 * int(np.ceil(size * growth / 8))
    return size


def batch_graphs(
    graphs: Sequence[jraph.GraphsTuple],
    *,
    n_node: int | None = None,
    n_edge: int | None = None,
    n_graph: int | None = None,
    n_representative: int | None = None,
) -> jraph.GraphsTuple:
    """Place graphs side by side with padding (host).

    Args:
        graphs: of NumPy arrays, with the same keys.
        n_node, n_edge, n_graph: sizes including the padding, which needs at least one node and one graph of its own; by
            default the next :func:`bucket` and one graph more than given.
        n_representative: size of ``representatives``, with one padding node; by default all nodes, or a half, a quarter or
            an eighth of them if that suffices.

    Returns:
        One graph. Padding is at the end, its edges join padding nodes, and receivers stay sorted.

    Raises:
        ShapeError: no graph, or graphs that do not fit in the sizes given.
    """
    if not graphs:
        raise ShapeError("there is no graph to batch")
    offsets = np.cumsum([0, *(int(np.sum(g.n_node)) for g in graphs)])
    # node indices like senders and receivers, which jraph does not shift
    moved = {
        name: np.concatenate([g.nodes[name] + o for g, o in zip(graphs, offsets[:-1], strict=True)]).astype(np.int32)
        for name in ("image", "representatives")
        if all(name in g.nodes for g in graphs)
    }
    representatives = moved.pop("representatives", None)
    plain = [g._replace(nodes={k: v for k, v in g.nodes.items() if k != "representatives"}) for g in graphs]
    joined = jraph.batch_np(plain)
    joined = joined._replace(nodes=joined.nodes | moved)
    edges, count = len(joined.senders), len(joined.n_node)
    n_node = bucket(int(offsets[-1]) + 1) if n_node is None else n_node
    n_edge = bucket(edges) if n_edge is None else n_edge
    n_graph = count + 1 if n_graph is None else n_graph
    if n_node <= offsets[-1] or n_edge < edges or n_graph <= count:
        raise ShapeError(
            f"{offsets[-1]} nodes, {edges} edges and {count} graphs do not fit in {n_node}, {n_edge} and {n_graph} with "
            "one node and one graph of padding"
        )
    padded = jraph.pad_with_graphs(joined, n_node, n_edge, n_graph)
    if representatives is not None:
        count = len(representatives)
        if n_representative is None:
            n_representative = next(n for part in (8, 4, 2, 1) if (n := -(-n_node // part)) > count)
        if n_representative <= count:
            raise ShapeError(f"{count} representatives do not fit in {n_representative} with one of padding")
        # the first node of the padding, which receives the edges of the padding
        fill = np.full(n_representative - count, offsets[-1])
        representatives = np.concatenate([representatives, fill]).astype(np.int32)
        padded = padded._replace(nodes=padded.nodes | {"representatives": representatives})
    integer = lambda array: np.asarray(array, dtype=np.int32)
    return padded._replace(
        senders=integer(padded.senders),
        receivers=integer(padded.receivers),
        n_node=integer(padded.n_node),
        n_edge=integer(padded.n_edge),
    )


def pad_graph(graph: jraph.GraphsTuple, *, smallest_nodes: int = 16, smallest_edges: int = 16) -> jraph.GraphsTuple:
    """Pad one graph to the next larger size, and at least to the smallest (host)."""
    n_node = bucket(int(np.sum(graph.n_node)) + 1, smallest=smallest_nodes)
    return batch_graphs([graph], n_node=n_node, n_edge=bucket(len(graph.senders), smallest=smallest_edges))
