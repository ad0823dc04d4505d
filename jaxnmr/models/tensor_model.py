"""`TensorModel`: NMR tensors of every site of a crystal, by a trained network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import e3nn_jax as e3nn
import jax
import jax.numpy as jnp
import jraph
import numpy as np

from .._struct import static, struct
from ..crystal import Crystal
from ..errors import ShapeError
from ..graph import GraphPlan, pad_graph, plan_graph, structure_graph
from ..nmr.tensors import known
from ..typing import Array
from .checkpoint import read_checkpoint, write_checkpoint
from .config import HeadConfig, NetworkConfig
from .irreps import cartesian
from .network import Network
from .prediction import Prediction

SKIN = 0.5


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelCard:
    """What people should know of a model; written to its checkpoint.

    Attributes:
        name: of the model.
        level_of_theory: functional, pseudopotentials, program of the training data.
        training: data, split, seed, script, as plain values.
        scores: of structures it was not trained on, by metric.
        calibration: of its uncertainty, as plain values.
        references: by element, ``(reference_ppm, slope)`` of chemical shifts, see `jaxnmr.nmr.ShiftReference`.
    """

    name: str = "model"
    level_of_theory: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    references: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@struct
class TensorModel:
    """Parameters and description of a network; a pytree, so that it can be trained, stacked and closed over.

    Attributes:
        weights: parameters of the network (flax).
        scale: by head, ``(species, irreps)``: the network's numbers are multiplied by it.
        shift: by head, ``(species, irreps)``: added to the invariant ones (0e).
        config: the architecture.
        card: origin and quality.
    """

    weights: dict[str, Any]
    scale: dict[str, Array]
    shift: dict[str, Array]
    config: NetworkConfig = static()
    card: ModelCard = static()

    @classmethod
    def create(
        cls,
        config: NetworkConfig,
        *,
        key: Array,
        scale: Mapping[str, Any] | None = None,
        shift: Mapping[str, Any] | None = None,
        card: ModelCard | None = None,
        dtype=np.float32,
    ) -> Self:
        """An untrained model with random parameters.

        Args:
            config: the architecture.
            key: of the random numbers.
            scale, shift: by head, ``(species, irreps)``; 1 and 0 by default.
            card: origin; filled in after training.
            dtype: of the parameters.

        Raises:
            ShapeError: scales or shifts of another shape.
        """
        shapes = {head.name: (len(config.species), len(head.ranks)) for head in config.heads}
        statistics = []
        for given, default in ((scale, 1.0), (shift, 0.0)):
            filled = {name: np.full(shape, default) for name, shape in shapes.items()} | dict(given or {})
            for name, values in filled.items():
                if name not in shapes or np.shape(values) != shapes[name]:
                    raise ShapeError(
                        f"scale or shift of {name!r} has the shape {np.shape(values)}; expected {shapes.get(name)}"
                    )
            statistics.append({name: jnp.asarray(values, dtype=dtype) for name, values in filled.items()})
        shapes = _weight_shapes(config)
        leaves, treedef = jax.tree.flatten(shapes)
        ends = np.cumsum([leaf.size for leaf in leaves])
        # the initialisers of the network are all standard normal; one draw compiles in no time
        numbers = jnp.split(jax.random.normal(key, (ends[-1],), dtype=dtype), ends[:-1])
        weights = jax.tree.unflatten(treedef, [n.reshape(s.shape) for n, s in zip(numbers, leaves, strict=True)])
        return cls(weights=weights, scale=statistics[0], shift=statistics[1], config=config, card=card or ModelCard())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that :meth:`save` wrote (host).

        Raises:
            ParseError: no such file, no model, corrupted numbers, another version, parameters that do not fit the
                description.
        """
        config, card, arrays = read_checkpoint(path, _names_and_shapes)
        return cls(
            weights=_nested(arrays, "weights/"),
            scale=_nested(arrays, "scale/"),
            shift=_nested(arrays, "shift/"),
            config=config,
            card=ModelCard(**card),
        )

    def save(self, path: str | Path) -> Path:
        """Write parameters (safetensors) and description (JSON in the same file) (host).

        Raises:
            DataError: parameters that are not finite, or a file that cannot be written.
        """
        return write_checkpoint(path, self.config, self.card, _flat(self))

    @property
    def count(self) -> int:
        """Number of parameters of the network."""
        return sum(w.size for w in jax.tree.leaves(self.weights))

    def plan(self, crystal: Crystal, *, skin: float = SKIN) -> GraphPlan:
        """Neighbours of a crystal, for :meth:`tensors` (host).

        Raises:
            ConventionError: an element the model does not know, partial occupancy, atoms on top of each other.
        """
        return plan_graph(crystal, cutoff=self.config.cutoff, skin=skin, species=self.config.species)

    def components(self, graph: jraph.GraphsTuple) -> dict[str, Array]:
        """Irreps of every head for the nodes of a graph, ``(nodes, dim)`` in the unit of the head (traceable)."""
        dtype = jnp.asarray(graph.nodes["positions"]).dtype
        of = lambda tree: jax.tree.map(lambda a: jnp.asarray(a, dtype=dtype), tree)
        raw = Network(self.config).apply({"params": of(self.weights)}, graph)
        scale, shift = of(self.scale), of(self.shift)
        species = jnp.asarray(graph.nodes["species"])
        out = {}
        for head in self.config.heads:
            widths, invariant = _layout(head)
            spread = lambda values, widths=widths: jnp.repeat(values, widths, axis=1, total_repeat_length=widths.sum())
            factor, offset = spread(scale[head.name]), spread(jnp.where(invariant, shift[head.name], 0.0))
            out[head.name] = raw[head.name] * factor[species] + offset[species]
        return out

    def tensors(self, crystal: Crystal, plan: GraphPlan | None = None) -> dict[str, Array]:
        """Predicted quantities of every site of a crystal (traceable in cell and coordinates).

        Args:
            crystal: the crystal; traced or not.
            plan: made with :meth:`plan` for this crystal or one like it; made here when not given, which needs numbers.

        Returns:
            By head, ``(sites, 3, 3)`` Cartesian tensors in the frame of ``crystal.lattice()``, or ``(sites, dim)``
            components. Not a number for elements the head was not trained on, and for all sites once atoms have moved so
            far that a neighbour may be missing from the plan: a solver rejects such a step; plan anew.
        """
        plan = self.plan(crystal) if plan is None else plan
        graph = plan.graph(crystal)
        return self._of_sites(self.components(graph), graph, plan, plan.margin(crystal))

    def _of_sites(self, components, graph: jraph.GraphsTuple, plan: GraphPlan, margin: Array) -> dict[str, Array]:
        sites, out = jnp.asarray(plan.sites), {}
        for name, values in components.items():
            head = self.config.head(name)
            values = cartesian(values[sites], head.irreps) if head.is_tensor else values[sites]
            meant = jnp.asarray([symbol in head.elements for symbol in self.config.species])
            valid = (margin > 0) & meant[jnp.asarray(graph.nodes["species"])[sites]]
            out[name] = jnp.where(valid.reshape(-1, *[1] * (values.ndim - 1)), values, jnp.nan)
        return out

    def predict(self, crystal: Crystal, plan: GraphPlan | None = None) -> Prediction:
        """Tensors of a crystal with everything that follows from them.

        Arguments and errors as :meth:`tensors` and :meth:`plan`.

        Example:
            >>> model.predict(crystal).shift("29Si")  # doctest: +SKIP
        """
        plan = self.plan(crystal) if plan is None else plan
        graph = plan.graph(crystal)
        if all(known(leaf) for leaf in jax.tree.leaves((self, graph))):
            # one program serves all crystals of about this size
            graph_of_size = pad_graph(jax.device_get(graph), smallest_nodes=32, smallest_edges=512)
            components = _compiled(self.replace(card=_NO_CARD), graph_of_size)
        else:
            components = self.components(graph)
        return Prediction(
            tensors=self._of_sites(components, graph, plan, plan.margin(crystal)),
            lattice=graph.globals["lattice"][0],
            positions=graph.nodes["positions"],
            site=jnp.asarray(plan.expansion.atoms)[:, 0],
            turn=graph.nodes["turn"],
            multiplicity=plan.multiplicity,
            labels=crystal.labels,
            elements=crystal.elements,
            references=tuple((element, *numbers) for element, numbers in self.card.references.items()),
        )


_NO_CARD = ModelCard()
_compiled = jax.jit(TensorModel.components)


def _layout(head: HeadConfig) -> tuple[np.ndarray, np.ndarray]:
    """Width of every irrep of a head, and whether it is invariant."""
    irreps = [ir for mul, ir in e3nn.Irreps(head.irreps) for _ in range(mul)]
    return np.array([ir.dim for ir in irreps]), np.array([ir == e3nn.Irrep("0e") for ir in irreps])


def _two_atoms(config: NetworkConfig, dtype) -> jraph.GraphsTuple:
    """A graph with one edge: enough to give parameters their shapes."""
    side = 3.0 * config.cutoff
    positions = np.array([[0.0, 0.0, 0.0], [0.5 * config.cutoff, 0.0, 0.0]])
    graph = structure_graph(
        np.eye(3) * side, positions, [config.species[0]] * 2, cutoff=config.cutoff, species=config.species
    )
    return jax.tree.map(lambda a: np.asarray(a, dtype=dtype) if a.dtype.kind == "f" else a, graph)


def _flat(model: TensorModel) -> dict[str, Any]:
    paths, _ = jax.tree_util.tree_flatten_with_path(model)
    return {"/".join(str(getattr(k, "key", getattr(k, "name", k))) for k in path): leaf for path, leaf in paths}


def _nested(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, array in arrays.items():
        if name.startswith(prefix):
            *folders, last = name.removeprefix(prefix).split("/")
            inner = out
            for folder in folders:
                inner = inner.setdefault(folder, {})
            inner[last] = jnp.asarray(array)
    return out


def _weight_shapes(config: NetworkConfig) -> dict[str, Any]:
    """Shapes of the parameters of the network; nothing is computed."""
    init = lambda key: Network(config).init(key, _two_atoms(config, np.float32))["params"]
    return jax.eval_shape(init, jax.random.key(0))


def _names_and_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """What a checkpoint of this architecture must contain."""
    statistics = {
        head.name: jax.ShapeDtypeStruct((len(config.species), len(head.ranks)), np.float32) for head in config.heads
    }
    model = TensorModel(
        weights=_weight_shapes(config), scale=statistics, shift=statistics, config=config, card=ModelCard()
    )
    return {name: tuple(leaf.shape) for name, leaf in _flat(model).items()}
