"""Labelled graphs: what a network is trained and judged on (host)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import jraph
import numpy as np

from ...errors import ConventionError, DataError
from ...graph import batch_graphs, bucket, structure_graph
from ..networks.config import HeadConfig, NetworkConfig
from ..networks.irreps import SCALAR, Irreps, components
from .tensor_checks import structure_symmetry
from .tensor_data import TensorData

# Å; coordinates of computed structures repeat their symmetry to rounding, and images must be as good as atoms
_SYMPREC = 1e-3


def labelled_graphs(data: TensorData, config: NetworkConfig, *, symmetry: bool = True) -> list[jraph.GraphsTuple]:
    """A graph per structure with the node arrays ``target`` ``(nodes, dim)`` and ``mask`` ``(nodes,)``.

    Args:
        data: labelled structures; the head of the name of their quantity is the one that is trained.
        config: species and cutoff.
        symmetry: let only one of equivalent atoms receive edges, with the mean of the labels of all of them: the same
            loss at a fraction of the cost.

    Raises:
        ConventionError: the network lacks the head, or an element.
    """
    head = config.head(data.quantity)
    strangers = set(data.labelled_elements) - set(head.elements)
    if strangers:
        raise ConventionError(f"head {head.name!r} is not for {', '.join(sorted(strangers))}, which the data label")
    graphs = []
    for k, structure in enumerate(data.structures):
        atoms = len(structure)
        image, turn = np.arange(atoms), np.broadcast_to(np.eye(3), (atoms, 3, 3))
        if symmetry:
            image, turn = structure_symmetry(structure, _SYMPREC).representatives()
        graph = structure_graph(
            structure.vectors,
            structure.positions,
            structure.elements,
            cutoff=config.cutoff,
            species=config.species,
            image=image,
            turn=turn,
        )
        mask = data.mask(k)
        # back to the representative: R^T T R
        home = np.einsum("nji,njk,nkl->nil", turn, np.where(mask[:, None, None], data.tensors(k), 0.0), turn)
        total, count = np.zeros((atoms, 3, 3)), np.zeros(atoms)
        np.add.at(total, image[mask], home[mask])
        np.add.at(count, image[mask], 1.0)
        target = components(total / np.maximum(count, 1.0)[:, None, None], head.irreps)
        graphs.append(graph._replace(nodes=graph.nodes | {"target": target, "mask": count > 0, "weight": count}))
    return graphs


def mean_neighbours(data: TensorData, config: NetworkConfig) -> float:
    """Mean number of neighbours within the cutoff, of atoms that are not equivalent: for ``NetworkConfig.neighbours``."""
    graphs = labelled_graphs(data, config)
    receivers = sum(len(np.unique(g.receivers)) for g in graphs)
    return float(sum(len(g.senders) for g in graphs) / max(receivers, 1))


def label_statistics(
    graphs: Sequence[jraph.GraphsTuple], head: HeadConfig, species: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift of a head, each ``(species, irreps)``: root mean square of each irrep, mean of the invariant ones.

    Raises:
        DataError: a species whose labels are all the same number.
    """
    kinds = np.concatenate([g.nodes["species"][g.nodes["mask"]] for g in graphs])
    target = np.concatenate([g.nodes["target"][g.nodes["mask"]] for g in graphs])
    weight = np.concatenate([g.nodes["weight"][g.nodes["mask"]] for g in graphs])
    scale, shift = np.ones((species, len(head.ranks))), np.zeros((species, len(head.ranks)))
    start = 0
    for k, ir in enumerate(Irreps.read(head.irreps).each):
        for kind in np.unique(kinds):
            values, w = target[kinds == kind, start : start + ir.dim], weight[kinds == kind]
            if ir == SCALAR:
                shift[kind, k] = np.average(values[:, 0], weights=w)
                values = values - shift[kind, k]
            scale[kind, k] = np.sqrt(np.average(np.mean(values**2, axis=1), weights=w))
        start += ir.dim
    if not (scale > 0).all():
        raise DataError(f"all {head.name} labels of one species are the same: there is nothing to learn")
    return scale, shift


# a batch is padded to one of these parts of the largest size
_SIZES = (0.25, 0.5, 1.0)


class Batches:
    """Graphs in batches of a few sizes, so that few programs serve them all.

    Structures differ much in size: were all batches as large as the largest structure, most of a small one would be padding.

    Args:
        graphs: labelled graphs.
        size: most graphs in a batch.
        dtype: of the numbers.
    """

    def __init__(self, graphs: Sequence[jraph.GraphsTuple], size: int, dtype=np.float32):
        if not graphs:
            raise DataError("there is no structure to train on")
        self.graphs, self.size = list(graphs), int(size)
        self.dtype = dtype
        nodes = np.array([len(g.nodes["species"]) for g in graphs])
        edges = np.array([len(g.senders) for g in graphs])
        # room for the largest structure, or for a batch of common ones
        self.n_node = bucket(int(max(nodes.max(), nodes.mean() * size)) + 1)
        self.n_edge = bucket(int(max(edges.max(), edges.mean() * size)))
        # of representatives no more than so many edges have; without symmetry all nodes are
        self.per_edge = max(len(np.unique(g.nodes["image"])) / max(len(g.senders), 1) for g in graphs)

    def epoch(self, order: Iterable[int]) -> Iterator[tuple[list[int], jraph.GraphsTuple]]:
        """Batches of the graphs in an order, each with the numbers of its graphs."""
        chosen: list[int] = []
        nodes = edges = 0
        for k in order:
            n, e = len(self.graphs[k].nodes["species"]), len(self.graphs[k].senders)
            if chosen and (nodes + n >= self.n_node or edges + e > self.n_edge or len(chosen) == self.size):
                yield chosen, self._batch(chosen)
                chosen, nodes, edges = [], 0, 0
            chosen, nodes, edges = [*chosen, int(k)], nodes + n, edges + e
        yield chosen, self._batch(chosen)

    def _batch(self, chosen: list[int]) -> jraph.GraphsTuple:
        graphs = [self.graphs[k] for k in chosen]
        nodes, edges = sum(len(g.nodes["species"]) for g in graphs), sum(len(g.senders) for g in graphs)
        sizes = [(math.ceil(part * self.n_node), math.ceil(part * self.n_edge)) for part in _SIZES]
        n_node, n_edge = next(size for size in sizes if nodes < size[0] and edges <= size[1])
        representatives = min(n_node, math.ceil(self.per_edge * n_edge) + 1)
        batch = batch_graphs(
            graphs, n_node=n_node, n_edge=n_edge, n_graph=self.size + 1, n_representative=representatives
        )
        cast = lambda tree: {k: v.astype(self.dtype) if v.dtype.kind == "f" else v for k, v in tree.items()}
        return batch._replace(nodes=cast(batch.nodes), globals=cast(batch.globals))
