"""Neighbours of a crystal for an equivariant network, padded so that lists made again share compiled programs."""

from __future__ import annotations

from collections.abc import Sequence

import jraph
import numpy as np
from jaxtyping import Float

from ..._struct import Struct, static
from ...crystal import Crystal
from ...errors import ConventionError
from ...graph import GraphPlan, bucket, plan_graph
from ...typing import Array

# sizes of lists are those of a geometric series
_GROWTH = 1.1


class NetworkPlan(Struct):
    """The graph of a crystal with its edges padded; see :func:`plan_network`.

    Attributes:
        atoms: the graph; edges of the padding join an atom to itself in the same cell, which networks leave out.
        symmetric: whether some atoms are images of others.
    """

    atoms: GraphPlan
    symmetric: bool = static()

    @property
    def skin(self) -> float:
        """How far beyond the cutoff neighbours are listed, Å."""
        return self.atoms.skin

    @property
    def edges(self) -> int:
        """Length of the padded list."""
        return len(self.atoms.reference.senders)

    def graph(self, crystal: Crystal) -> jraph.GraphsTuple:
        """The graph for what the crystal has become (traceable in cell and coordinates)."""
        graph = self.atoms.graph(crystal)
        if self.symmetric:
            return graph
        # every atom for itself: nothing has to be turned
        return graph._replace(nodes={name: graph.nodes[name] for name in ("positions", "species")})

    def margin(self, crystal: Crystal) -> Float[Array, ""]:
        """How much of the skin is left, Å (traceable)."""
        return self.atoms.margin(crystal)

    def renewed(self, crystal: Crystal) -> NetworkPlan:
        """The plan with neighbours listed again, of the same length where they fit (host)."""
        atoms = self.atoms
        return plan_network(crystal, cutoff=atoms.cutoff, skin=atoms.skin, species=atoms.species, least=self.edges)


def plan_network(
    crystal: Crystal,
    *,
    cutoff: float,
    skin: float,
    species: Sequence[str],
    least: int = 0,
    name: str = "this potential",
) -> NetworkPlan:
    """List the neighbours of every site (host).

    Args:
        crystal: without partial occupancies.
        cutoff, skin: neighbours are listed up to the sum, Å.
        species: elements that the network knows.
        least: length of the padded list, at least.
        name: of the potential, for errors.

    Raises:
        ConventionError: an element that is not in the table, partial occupancy, atoms on top of each other or without any
            neighbour, a skin out of range.
    """
    atoms = plan_graph(crystal, cutoff=cutoff, skin=skin, species=species)
    graph = atoms.reference
    lonely = np.setdiff1d(atoms.sites, graph.receivers)
    if lonely.size:
        labels = [atoms.expansion.labels[k] for k in lonely]
        raise ConventionError(
            f"{crystal.name}: {', '.join(labels)} have no other atom within {cutoff + skin:g} Å, further than {name} looks; check "
            "the cell (Å, not nm), or take atoms away from vacuum"
        )
    count = len(graph.senders)
    size = max(bucket(count, growth=_GROWTH), least)
    # receivers stay sorted: the last atom that receives anything
    last = int(np.max(graph.nodes["representatives"]))
    padded = graph._replace(
        senders=_padded(graph.senders, size, last),
        receivers=_padded(graph.receivers, size, last),
        edges={"shifts": _padded(graph.edges["shifts"], size, 0)},
        n_edge=np.array([size], dtype=np.int32),
    )
    symmetric = len(graph.nodes["representatives"]) < len(graph.nodes["species"])
    return NetworkPlan(atoms=atoms.replace(reference=padded), symmetric=symmetric)


def _padded(values: np.ndarray, size: int, fill: int) -> np.ndarray:
    rest = np.full((size - len(values), *values.shape[1:]), fill, dtype=np.int32)
    return np.concatenate([np.asarray(values, dtype=np.int32), rest])
