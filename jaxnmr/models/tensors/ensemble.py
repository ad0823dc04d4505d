"""Several networks as one: stacked parameters, the mean of their outputs and how far they disagree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._struct import compiled
from ...errors import ConventionError
from ...typing import Array
from ..data.batches import Batches
from ..data.labels import labelled_graphs
from ..data.tensor_data import TensorData
from ..networks.config import HeadConfig


class Outputs(NamedTuple):
    """What a model says of the nodes of a graph.

    Attributes:
        components: by head, ``(nodes, dim)`` in the unit of the head; the mean of the members.
        spread: by head, ``(nodes, irreps)``: standard deviation of the members per component of an irrep, the same in every
            frame; of a single network its novelty, or 0 where that is not known.
        scalars: ``(nodes, features)`` invariants that the heads read, of all members.
        novelty: ``(nodes,)``, see :mod:`jaxnmr.models.tensors.novelty`; NaN where the model has no environments.
    """

    components: dict[str, Array]
    spread: dict[str, Array]
    scalars: Array
    novelty: Array


def stack(trees: Sequence[tuple[Any, int | None]]) -> Any:
    """Parameters with a leading member axis, of single networks (``None``) and of ensembles (number of members)."""
    wide = [tree if members else jax.tree.map(lambda a: jnp.asarray(a)[None], tree) for tree, members in trees]
    return jax.tree.map(lambda *arrays: jnp.concatenate(arrays), *wide)


def check_members(members: Sequence[Any]) -> None:
    """Refuse what cannot be one ensemble.

    Raises:
        ConventionError: no member, or members of different architectures.
    """
    if not members:
        raise ConventionError("an ensemble needs at least one model")
    for k, member in enumerate(members):
        if member.config != members[0].config:
            raise ConventionError(
                f"member {k} has another architecture than member 0; expected the same species, heads and sizes: train all "
                "members with one NetworkConfig"
            )


def widths(head: HeadConfig) -> np.ndarray:
    """Components of every irrep of a head, ``(irreps,)``."""
    return np.array([2 * l + 1 for l in head.ranks])


def mean_and_spread(values: Array, head: HeadConfig) -> tuple[Array, Array]:
    """Mean ``(nodes, dim)`` and spread ``(nodes, irreps)`` of the components ``(members, nodes, dim)`` of a head.

    The spread has no derivative: where members agree it has none.
    """
    mean = values.mean(axis=0)
    members, size = len(values), widths(head)
    squared = jnp.sum(jax.lax.stop_gradient(values - mean) ** 2, axis=0) / max(members - 1, 1)
    starts = np.cumsum([0, *size[:-1]])
    variance = [squared[:, s : s + w].mean(axis=1) for s, w in zip(starts, size, strict=True)]
    return mean, jnp.sqrt(jnp.stack(variance, axis=1))


class Judged(NamedTuple):
    """Outputs of a model for the labelled atoms of one element, equivalent ones once, and their labels.

    Attributes:
        predicted, target: components ``(atoms, dim)``.
        spread: ``(atoms, irreps)``.
        scalars: ``(atoms, features)``.
        novelty: ``(atoms,)``.
        structure, weight: ``(atoms,)`` number of the structure in the data, and equivalent atoms; ``None`` where every atom
            counts for itself.
    """

    predicted: np.ndarray
    target: np.ndarray
    spread: np.ndarray
    scalars: np.ndarray
    novelty: np.ndarray
    structure: np.ndarray | None = None
    weight: np.ndarray | None = None


def judge(model, data: TensorData, *, batch: int = 8) -> dict[str, Judged]:
    """Outputs and labels of a data set by element, in alphabetical order (host).

    Raises:
        ConventionError: a model without the head, or elements it does not know.
    """
    head, table = model.config.head(data.quantity), model.config.species
    batches = Batches(labelled_graphs(data, model.config), batch)
    rows: dict[str, list] = {}
    for chosen_graphs, graph in batches.epoch(range(len(batches.graphs))):
        out = jax.device_get(compiled_outputs(model, graph))
        padding = [-1] * (len(graph.n_node) - len(chosen_graphs))
        owner = np.repeat([*chosen_graphs, *padding], np.asarray(graph.n_node))
        parts = (
            out.components[head.name], graph.nodes["target"], out.spread[head.name], out.scalars, out.novelty, owner,
            graph.nodes["weight"],
        )  # fmt: skip
        for kind in np.unique(graph.nodes["species"][graph.nodes["mask"]]):
            chosen = graph.nodes["mask"] & (graph.nodes["species"] == kind)
            rows.setdefault(table[kind], []).append([np.asarray(part, dtype=float)[chosen] for part in parts])
    joined = {
        element: Judged(*map(np.concatenate, zip(*found, strict=True))) for element, found in sorted(rows.items())
    }
    return {e: found._replace(structure=np.asarray(found.structure, dtype=int)) for e, found in joined.items()}


@compiled(kept=True)
def compiled_outputs(model, graph):
    """What a model says of a graph, compiled."""
    return model.outputs(graph)
