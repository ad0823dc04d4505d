"""Labelled graphs for training and evaluation of a network (host)."""

from __future__ import annotations

from collections.abc import Sequence

import jraph
import numpy as np

from ...errors import ConventionError, DataError
from ...graph import structure_graph
from ..networks.config import HeadConfig, NetworkConfig
from ..networks.irreps import SCALAR, Irreps, components
from .tensor_checks import structure_symmetry
from .tensor_data import TensorData

# Å; computed structures obey their symmetry to rounding, and images must be as accurate as atoms
_SYMPREC = 1e-3


def labelled_graphs(data: TensorData, config: NetworkConfig, *, symmetry: bool = True) -> list[jraph.GraphsTuple]:
    """Make a graph per structure with the node arrays ``target`` ``(nodes, dim)`` and ``mask`` ``(nodes,)``.

    Args:
        data: labelled structures; their quantity is the name of the head to be trained.
        config: species and cutoff.
        symmetry: give edges only to one of a set of equivalent atoms, with the mean of the labels of all of them: the same
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


def mean_neighbours(graphs: Sequence[jraph.GraphsTuple]) -> float:
    """Return the mean number of neighbours of inequivalent atoms within the cutoff, for ``NetworkConfig.neighbours``."""
    receivers = sum(len(np.unique(g.receivers)) for g in graphs)
    return float(sum(len(g.senders) for g in graphs) / max(receivers, 1))


def label_statistics(
    graphs: Sequence[jraph.GraphsTuple], head: HeadConfig, species: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and shift ``(species, irreps)`` of a head: root mean square of irreps, mean of invariant ones.

    Raises:
        DataError: all labels of a species are the same number.
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
