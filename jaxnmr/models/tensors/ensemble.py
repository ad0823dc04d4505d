"""Ensembles: stacked parameters, mean and spread of the outputs of several networks."""

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
    """Outputs of a model for the nodes of a graph.

    Attributes:
        components: by head, ``(nodes, dim)`` in the unit of the head; the mean over members.
        spread: by head, ``(nodes, irreps)``: standard deviation of the members per component of an irrep, the same in
            every frame; for a single network its novelty, or 0 if unknown.
        scalars: ``(nodes, features)`` invariant inputs of the heads, of all members.
        novelty: ``(nodes,)``, see :mod:`jaxnmr.models.tensors.novelty`; NaN without environments.
    """

    components: dict[str, Array]
    spread: dict[str, Array]
    scalars: Array
    novelty: Array


def stack(trees: Sequence[tuple[Any, int | None]]) -> Any:
    """Stack parameters along a leading member axis, from single networks (``None``) and ensembles (number of members)."""
    wide = [tree if members else jax.tree.map(lambda a: jnp.asarray(a)[None], tree) for tree, members in trees]
    return jax.tree.map(lambda *arrays: jnp.concatenate(arrays), *wide)


def check_members(members: Sequence[Any]) -> None:
    """Refuse members that cannot form an ensemble.

    Raises:
        ConventionError: there are no members, or their architectures differ.
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
    """Return the number of components of every irrep of a head, ``(irreps,)``."""
    return np.array([2 * l + 1 for l in head.ranks])


def mean_and_spread(values: Array, head: HeadConfig) -> tuple[Array, Array]:
    """Return mean ``(nodes, dim)`` and spread ``(nodes, irreps)`` of the components ``(members, nodes, dim)`` of a head.

    The spread is not differentiated: it is singular where members agree.
    """
    mean = values.mean(axis=0)
    members, size = len(values), widths(head)
    squared = jnp.sum(jax.lax.stop_gradient(values - mean) ** 2, axis=0) / max(members - 1, 1)
    starts = np.cumsum([0, *size[:-1]])
    variance = [squared[:, s : s + w].mean(axis=1) for s, w in zip(starts, size, strict=True)]
    return mean, jnp.sqrt(jnp.stack(variance, axis=1))


class Judged(NamedTuple):
    """Outputs of a model and labels, for the labelled atoms of one element; equivalent atoms occur once.

    Attributes:
        predicted, target: components ``(atoms, dim)``.
        spread: ``(atoms, irreps)``.
        scalars: ``(atoms, features)``.
        novelty: ``(atoms,)``.
        structure, weight: ``(atoms,)`` index of the structure in the data, and number of equivalent atoms; ``None`` if
            every atom counts separately.
    """

    predicted: np.ndarray
    target: np.ndarray
    spread: np.ndarray
    scalars: np.ndarray
    novelty: np.ndarray
    structure: np.ndarray | None = None
    weight: np.ndarray | None = None


def judge(model, data: TensorData, *, batch: int = 8) -> dict[str, Judged]:
    """Return outputs and labels of a data set by element, in alphabetical order (host).

    Raises:
        ConventionError: the model lacks the head, or does not support an element.
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
    """Return the outputs of a model for a graph, compiled."""
    return model.outputs(graph)
