"""`NetworkPotential`: an energy of every atom by an equivariant network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Self

import jax
import jax.numpy as jnp
import jraph
import numpy as np
from jaxtyping import Float

from ..._struct import Struct, static
from ...crystal import Crystal
from ...errors import ConventionError
from ...graph import structure_graph
from ...models.networks.config import HeadConfig, NetworkConfig
from ...models.networks.network import Network
from ...models.networks.novelty import novelty
from ...typing import Array
from ..potential import SKIN
from .files import find_potential, read_potential, write_potential
from .plan import NetworkPlan, plan_network

ENERGY = "energy"


class NetworkPotential(Struct):
    """Energy of a crystal as a sum over its atoms, each by the network of `models/networks` from its surroundings.

    Attributes:
        weights: of the network (flax).
        scale: eV, what its numbers are multiplied by.
        reference: eV, by element: added to the energy of every atom.
        environments: by element, what atoms of the training looked like; see `models/networks/novelty.py`.
        config: the network.
        about: the card, as JSON.
        single: whether the network is evaluated in single precision, and only the sum of its atoms in double.
    """

    weights: Mapping[str, Any]
    scale: Float[Array, ""]
    reference: Float[Array, " elements"]
    environments: Mapping[str, Mapping[str, Array]]
    config: NetworkConfig = static()
    about: str = static(note=True)
    single: bool = static(default=False)

    @classmethod
    def initial(cls, config: NetworkConfig, *, scale: float, reference: Any, seed: int = 0) -> Self:
        """With random weights, in single precision."""
        shapes = weight_shapes(config)
        leaves, structure = jax.tree.flatten(shapes)
        keys = jax.random.split(jax.random.key(seed), len(leaves))
        weights = [
            np.asarray(jax.random.normal(key, leaf.shape, dtype=np.float32))
            for key, leaf in zip(keys, leaves, strict=True)
        ]
        reference = np.broadcast_to(np.asarray(reference, dtype=np.float64), (len(config.species),))
        return cls(
            weights=jax.tree.unflatten(structure, weights), scale=np.asarray(scale, dtype=np.float32), reference=reference, environments={},
            config=config, about="{}",
        )  # fmt: skip

    @classmethod
    def load(cls, source: str | Path) -> Self:
        """One that comes with the package, by name, or that of a file (host).

        Raises:
            ConventionError: no such name.
            ParseError: no file, or one that holds no potential.
        """
        config, card, arrays = read_potential(find_potential(source), weight_shapes)
        return cls(config=config, about=json.dumps(card), **arrays)

    def save(self, path: str | Path) -> Path:
        """Write it to a file (host).

        Raises:
            DataError: numbers that are not finite, or a file that cannot be written.
        """
        return write_potential(path, self)

    @property
    def name(self) -> str:
        """What reports call it."""
        return str(self.card.get("name", "network potential"))

    @property
    def elements(self) -> frozenset[str]:
        """Elements that it was trained on."""
        return frozenset(self.config.species)

    @property
    def card(self) -> Mapping[str, Any]:
        """What is known about it: teacher, data with their temperatures and densities, seed, scores, citation, licence."""
        return json.loads(self.about)

    def with_card(self, card: Mapping[str, Any]) -> Self:
        """A copy that says something else of itself."""
        return self.replace(about=json.dumps(dict(card), sort_keys=True))

    def plan(self, crystal: Crystal, *, skin: float = SKIN) -> NetworkPlan:
        """List neighbours (host).

        Raises:
            ConventionError: see :func:`plan_network`.
        """
        config = self.config
        return plan_network(crystal, cutoff=config.cutoff, skin=skin, species=config.species, name=self.name)

    def energy(self, crystal: Crystal, plan: NetworkPlan) -> Float[Array, ""]:
        """Energy of the conventional cell, eV (traceable in cell and coordinates)."""
        graph = plan.graph(crystal)
        dtype = jnp.asarray(graph.nodes["positions"]).dtype
        if self.single:
            graph = jax.tree.map(_in_single_precision, graph)
        each = self.atom_energies(graph)[jnp.asarray(plan.atoms.sites)].astype(dtype)
        return jnp.sum(each * jnp.asarray(plan.atoms.multiplicity).astype(dtype))

    def for_dynamics(self) -> Self:
        """Return a copy that evaluates the network in single precision: forces change by up to 5e-5 eV/Å, in half the time."""
        return self.replace(single=True)

    def atom_energies(self, graph: jraph.GraphsTuple) -> Float[Array, " nodes"]:
        """Energy of every atom of a graph, eV (traceable); what single atoms have means something in their sum alone."""
        dtype = jnp.asarray(graph.nodes["positions"]).dtype
        cast = lambda tree: jax.tree.map(lambda leaf: jnp.asarray(leaf).astype(dtype), tree)
        predicted: Any = Network(self.config).apply(cast(self.weights), graph)
        found = predicted[ENERGY][:, 0]
        return cast(self.scale) * found + cast(self.reference)[jnp.asarray(graph.nodes["species"])]

    def scalars(self, graph: jraph.GraphsTuple) -> Float[Array, "nodes features"]:
        """The invariant features of every atom of a graph that the last layer reads (traceable)."""
        dtype = jnp.asarray(graph.nodes["positions"]).dtype
        weights = jax.tree.map(lambda leaf: jnp.asarray(leaf).astype(dtype), self.weights)
        said: Any = Network(self.config).apply(weights, graph, mutable=["intermediates"])
        return said[1]["intermediates"]["scalars"][0]

    def novelty(self, crystal: Crystal, plan: NetworkPlan) -> Float[Array, " sites"]:
        """How unlike those of the training the surroundings of every site are (traceable).

        1 is where a hundredth of the atoms lie that were held out of the training; what is far above was never learned.

        Raises:
            ConventionError: of a potential that remembers nothing of its training.
        """
        if not self.environments:
            raise ConventionError(
                "the potential remembers no atoms of its training; take with_novelty of jaxnmr.energy.equivariant.training"
            )
        graph, sites = plan.graph(crystal), jnp.asarray(plan.atoms.sites)
        species = jnp.asarray(graph.nodes["species"])
        found = novelty(self.scalars(graph)[sites], species[sites], self.environments, self.config.species)
        return jnp.asarray(found)


def _in_single_precision(leaf: Any) -> Array:
    leaf = jnp.asarray(leaf)
    return leaf.astype(jnp.float32) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def network_config(species: tuple[str, ...], **settings: Any) -> NetworkConfig:
    """The configuration of a network that predicts an energy of every atom."""
    head = HeadConfig(name=ENERGY, irreps="0e", unit="eV", sign="energy of an atom", elements=species)
    return NetworkConfig(species=species, heads=(head,), **settings)


@cache
def weight_shapes(config: NetworkConfig):
    """Shapes of the weights of a network, without calculating anything.

    Raises:
        ConventionError: a network that predicts no energy.
    """
    if config.head(ENERGY).irreps != "1x0e":
        raise ConventionError(f"the energy is {config.head(ENERGY).irreps}; expected one invariant number, 0e")
    # two atoms suffice
    graph = structure_graph(
        8.0 * np.eye(3), [[0, 0, 0], [2.0, 0, 0]], [config.species[0]] * 2, cutoff=3.0, species=config.species
    )
    single = lambda array: np.asarray(array, dtype=np.float32) if np.asarray(array).dtype.kind == "f" else array
    return jax.eval_shape(Network(config).init, jax.random.key(0), jax.tree.map(single, graph))
