"""The equivariant network: species, distances and directions in, irreps per atom out.

Source: S. Batzner et al., Nat. Commun. 13, 2453 (2022) (NequIP): messages are tensor products of features with spherical
harmonics, weighted by radial functions. Norms are part of the network: every parameter starts as a standard normal number.
"""

import math

import e3nn_jax as e3nn
import flax.linen as nn
import jax
import jax.numpy as jnp
import jraph

from ..graph import edge_vectors
from ..typing import Array
from .config import NetworkConfig
from .irreps import turned

# root mean square of silu and tanh of a standard normal number
_SILU_RMS = 0.59647
_TANH_RMS = 0.62793


class Network(nn.Module):
    """Maps a graph to ``{head: (nodes, dim)}``; nodes that are images of others and receive no edges are meaningless."""

    config: NetworkConfig

    @nn.compact
    def __call__(self, graph: jraph.GraphsTuple) -> dict[str, Array]:
        """Predict (traceable).

        Args:
            graph: see :mod:`jaxnmr.graph.structure`; padded or not, edges sorted by receiver. Edges beyond the cutoff and of
                length 0 (padding) have no effect.

        Returns:
            Components in the order of e3nn, without units; dtype of the positions.
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
        # edges outside are replaced before any root or quotient is taken, so that their derivatives are exact zeros
        vectors = jnp.where(inside[:, None], vectors, jnp.array([0.0, 0.0, config.cutoff], dtype=vectors.dtype))
        length = jnp.where(inside, jnp.sqrt(jnp.where(inside, squared, 1.0)), config.cutoff)
        radial = radial_basis(length / config.cutoff, config.radial)
        harmonics = e3nn.spherical_harmonics(range(config.lmax + 1), e3nn.IrrepsArray("1o", vectors), True)

        embedding = self.param("embedding", nn.initializers.normal(1.0), (kinds, scalars.dim), vectors.dtype)
        features = e3nn.IrrepsArray(scalars, embedding[species])
        for k in range(config.layers):
            # the last round needs no image: heads are read at the atoms that receive edges
            features = _everywhere(features, graph) if k else features
            # nor anything that no head reads
            kept = hidden if k < config.layers - 1 else hidden.filter(keep=wanted)
            features = _Layer(config, str(kept), name=f"layer_{k}")(
                features, harmonics, radial, species, graph.senders, graph.receivers
            )
        # what heads read, for judging how unlike the atoms of the training an atom is; dropped unless asked for
        self.sow("intermediates", "scalars", features.filter(keep=["0e"]).array)
        return {
            head.name: e3nn.flax.Linear(
                head.irreps, num_indexed_weights=kinds, force_irreps_out=True, name=f"head_{head.name}"
            )(species, features).array
            for head in config.heads
        }


class _Layer(nn.Module):
    """One round of messages: tensor product, radial weights, sum over neighbours, self-connection by species, gate."""

    config: NetworkConfig
    target: str

    @nn.compact
    def __call__(self, features, harmonics, radial, species, senders, receivers):
        kinds, atoms = len(self.config.species), len(species)
        sent = e3nn.flax.Linear(features.irreps, name="sent")(features)[senders]
        target = e3nn.Irreps(self.target)
        messages = e3nn.tensor_product(sent, harmonics, filter_ir_out=[ir for _, ir in target])
        widths = (*self.config.radial_hidden, messages.irreps.num_irreps)
        weights = _Radial(widths, name="radial")(radial)
        received = jax.ops.segment_sum(
            (messages * weights).array, receivers, atoms, indices_are_sorted=True
        ) / math.sqrt(self.config.neighbours)
        received = e3nn.IrrepsArray(messages.irreps, received)

        reachable = target.filter(keep=messages.irreps)
        scalars, others = reachable.filter(keep=["0e", "0o"]), reachable.filter(drop=["0e", "0o"])
        # the last scalars are gates; even ones, so that what they multiply keeps its parity
        out = scalars + e3nn.Irreps([(others.num_irreps, "0e")]) + others
        mixed = e3nn.flax.Linear(out, num_indexed_weights=kinds, force_irreps_out=True, name="own")(species, features)
        mixed = mixed + e3nn.flax.Linear(out, force_irreps_out=True, name="received")(received)
        return e3nn.gate(
            mixed,
            even_act=lambda x: nn.silu(x) / _SILU_RMS,
            odd_act=lambda x: jnp.tanh(x) / _TANH_RMS,
            even_gate_act=lambda x: nn.silu(x) / _SILU_RMS,
            odd_gate_act=lambda x: jnp.tanh(x) / _TANH_RMS,
            normalize_act=False,
        )


class _Radial(nn.Module):
    """Weights ``(edges, count)`` of messages. Without biases, so that they vanish with the envelope."""

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x):
        for k, width in enumerate(self.widths):
            matrix = self.param(f"w{k}", nn.initializers.normal(1.0), (x.shape[-1], width), x.dtype)
            x = x @ matrix / math.sqrt(x.shape[-1])
            x = nn.silu(x) / _SILU_RMS if k < len(self.widths) - 1 else x
        return x


def _everywhere(features: e3nn.IrrepsArray, graph: jraph.GraphsTuple) -> e3nn.IrrepsArray:
    """Features of all atoms from those of the representatives, where symmetry is known."""
    if "image" not in graph.nodes:
        return features
    nodes = graph.nodes
    return turned(features[jnp.asarray(nodes["image"])], jnp.asarray(nodes["turn"]), jnp.asarray(nodes["parity"]))


def radial_basis(x: Array, count: int) -> Array:
    """``sin(n pi x)/(4 x)`` times the envelope, ``(edges, count)``, of distances in units of the cutoff, ``0 < x <= 1``.

    Bessel functions of unit size at a quarter of the cutoff, where the closest neighbours are. Larger ones make the first
    outputs so large that training is slower and ends worse.
    """
    n = jnp.arange(1, count + 1, dtype=x.dtype)
    return jnp.sin(math.pi * n * x[:, None]) * (envelope(x) / (4.0 * x))[:, None]


def envelope(x: Array) -> Array:
    """1 at 0 and 0 at 1 with two vanishing derivatives, ``1 - 28 x^6 + 48 x^7 - 21 x^8``.

    Source: J. Gasteiger, J. Groß, S. Günnemann, ICLR 2020, eq. 8 with p = 6.
    """
    return 1.0 + x**6 * (-28.0 + x * (48.0 - 21.0 * x))
