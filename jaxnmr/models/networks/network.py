"""The equivariant network, from species, distances and directions to irreps per atom.

Source: S. Batzner et al., Nat. Commun. 13, 2453 (2022) (NequIP): messages are tensor products of features with
spherical harmonics, weighted by radial functions. Normalisation is built in: all parameters are initialised as standard
normal numbers.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Self

import e3nn_jax as e3nn
import flax.linen as nn
import jax
import jax.numpy as jnp
import jraph
import numpy as np

from ...graph import edge_vectors
from ...typing import Array
from .config import NetworkConfig
from .equivariant import (
    EVEN,
    Features,
    Linear,
    RadialLayers,
    add,
    couplings,
    gate,
    harmonics,
    irreps_of,
    paths_to,
    product,
    rotations,
    rows_of_irreps,
    take,
    turned,
)


class Network(nn.Module):
    """Map from a graph to ``{head: (nodes, dim)}``; values at images that receive no edges are meaningless."""

    config: NetworkConfig

    @nn.compact
    def __call__(self, graph: jraph.GraphsTuple) -> dict[str, Array]:
        """Predict (traceable).

        Args:
            graph: see :mod:`jaxnmr.graph.structure`; padded or not, with edges sorted by receiver. Edges longer than
                the cutoff or of length 0 (padding) have no effect.

        Returns:
            Components in the order of e3nn, without units, in the dtype of the positions.
        """
        config = self.config
        species = jnp.asarray(graph.nodes["species"])
        vectors = edge_vectors(graph)
        hidden = e3nn.Irreps(config.hidden)
        scalars = hidden.filter(keep=["0e"])
        wanted = [e3nn.Irrep("0e"), *(ir for head in config.heads for _, ir in e3nn.Irreps(head.irreps))]
        kinds = len(config.species)

        squared = jnp.sum(vectors**2, axis=-1)
        inside = (squared > 0.0) & (squared < config.cutoff**2)
        # edges outside are replaced before taking roots or quotients, so that their derivatives are exactly zero
        length = jnp.where(inside, jnp.sqrt(jnp.where(inside, squared, 1.0)), config.cutoff)
        axis = jnp.array([0.0, 0.0, 1.0], dtype=vectors.dtype)
        directions = jnp.where(inside[:, None], vectors, axis) / jnp.where(inside, length, 1.0)[:, None]
        angular = harmonics(directions, config.lmax)
        triples = {p.ranks for paths in paths_to(hidden, hidden, config.lmax).values() for p in paths}
        radial = radial_basis(length / config.cutoff, config.radial)
        atoms = _Atoms.of(graph, max(ir.l for _, ir in hidden))
        edges = _Edges(radial, angular, couplings(angular, triples), atoms.place[graph.receivers], len(atoms.centres))

        embedding = self.param("embedding", nn.initializers.normal(1.0), (kinds, scalars.dim), vectors.dtype)
        # in the first layer atoms of an element are identical: everything that depends on them alone is calculated once per element
        features: Features = {EVEN: embedding[:, None, :]}
        rows = jnp.arange(kinds)
        sent = lambda x: {ir: take(values, species[graph.senders]) for ir, values in x.items()}
        received = lambda x: take(x, species[atoms.centres])
        for k in range(config.layers):
            # irreps that no head uses are left out
            kept = hidden if k < config.layers - 1 else hidden.filter(keep=wanted)
            features = _Layer(config, str(kept), name=f"layer_{k}")(features, rows, edges, sent, received)
            rows = species[atoms.centres]
            sent = lambda x: {ir: take(values, graph.senders) for ir, values in atoms.everywhere(x).items()}
            received = lambda x: x
        # input of the heads, for the novelty of an atom; dropped unless requested
        self.sow("intermediates", "scalars", features[EVEN][atoms.image, 0])
        return {
            head.name: rows_of_irreps(Linear(head.irreps, kinds, name=f"head_{head.name}")(features, rows))[atoms.image]
            for head in config.heads
        }


class _Atoms(NamedTuple):
    """Atoms with features of their own, ``centres``, and the relation of the others to them.

    Attributes:
        centres: ``(rows,)`` indices of nodes.
        place: ``(nodes,)`` row of a centre; for other nodes, that of the last centre before them.
        image: ``(nodes,)`` row of which a node is an image.
        rotations, parity: operations of the images; ``None`` without symmetry.
    """

    centres: Array
    place: Array
    image: Array
    rotations: list[Array] | None = None
    parity: Array | None = None

    @classmethod
    def of(cls, graph: jraph.GraphsTuple, highest: int) -> Self:
        nodes = graph.nodes
        count = len(nodes["species"])
        every = jnp.arange(count)
        centres = jnp.asarray(nodes.get("representatives", every))
        # non-decreasing in the node index, so that receivers stay sorted whatever node has the padding edges
        place = jnp.maximum(jnp.cumsum(jnp.zeros_like(every).at[centres].add(1)) - 1, 0)
        if "image" not in nodes:
            return cls(centres, place, place)
        parity = jnp.asarray(nodes["parity"])
        proper = jnp.asarray(nodes["turn"]) * parity[:, None, None]
        return cls(centres, place, place[jnp.asarray(nodes["image"])], rotations(proper, highest), parity)

    def everywhere(self, features: Features) -> Features:
        """Return features of all nodes from those of the centres."""
        if self.rotations is None or self.parity is None:
            return features
        return turned({ir: take(x, self.image) for ir, x in features.items()}, self.rotations, self.parity)


class _Edges(NamedTuple):
    """Properties of edges for messages; ``receivers`` are indices among ``rows`` rows."""

    radial: Array
    harmonics: list[Array]
    couplings: dict[tuple[int, int, int], Array]
    receivers: Array
    rows: int


class _Layer(nn.Module):
    """One layer: tensor product, radial weights, sum over neighbours, self-connection by species, gate."""

    config: NetworkConfig
    target: str

    @nn.compact
    def __call__(
        self,
        features: Features,
        species: Array,
        edges: _Edges,
        to_edges: Callable[[Features], Features],
        to_centres: Callable[[Array], Array],
    ) -> Features:
        kinds, given = len(self.config.species), irreps_of(features)
        sent = to_edges(dict(Linear(str(given), name="sent")(features)))
        target = e3nn.Irreps(self.target)
        products = paths_to(target, given, self.config.lmax)
        counts = [sum(sent[p.ir].shape[-1] for p in paths) for paths in products.values()]
        weights = RadialLayers((*self.config.radial_hidden, sum(counts)), name="radial")(edges.radial)
        weights = jnp.split(weights, np.cumsum(counts)[:-1], axis=1)
        received: Features = {}
        for (ir, paths), weight in zip(products.items(), weights, strict=True):
            parts = [product(sent[p.ir], p, edges.harmonics, edges.couplings) for p in paths]
            messages = jnp.concatenate(parts, axis=-1) * weight[:, None, :]
            total = jax.ops.segment_sum(
                messages, edges.receivers, edges.rows, indices_are_sorted=True, mode="promise_in_bounds"
            )
            received[ir] = total / math.sqrt(self.config.neighbours)

        reachable = target.filter(keep=list(products))
        gated = reachable.filter(drop=["0e", "0o"]).num_irreps
        # the last scalars are gates; they are even, so that gated features keep their parity
        out = reachable.filter(keep=["0e", "0o"]) + e3nn.Irreps([(gated, "0e")]) + reachable.filter(drop=["0e", "0o"])
        own = [(ir, to_centres(x)) for ir, x in Linear(str(out), kinds, name="own")(features, species)]
        return gate(add(own, Linear(str(out), name="received")(received)), gated)


def radial_basis(x: Array, count: int) -> Array:
    """Return ``sin(n pi x)/(4 x)`` times the envelope, ``(edges, count)``, for distances ``0 < x <= 1`` in cutoffs.

    These Bessel functions are of order 1 at a quarter of the cutoff, the distance of the closest neighbours. Larger
    ones make the initial outputs so large that training is slower and ends with a higher loss.
    """
    n = jnp.arange(1, count + 1, dtype=x.dtype)
    return jnp.sin(math.pi * n * x[:, None]) * (envelope(x) / (4.0 * x))[:, None]


def envelope(x: Array) -> Array:
    """Return the cutoff envelope ``1 - 28 x^6 + 48 x^7 - 21 x^8``: 1 at 0, and 0 at 1 with two vanishing derivatives.

    Source: J. Gasteiger, J. Groß, S. Günnemann, ICLR 2020, eq. 8 with p = 6.
    """
    return 1.0 + x**6 * (-28.0 + x * (48.0 - 21.0 * x))
