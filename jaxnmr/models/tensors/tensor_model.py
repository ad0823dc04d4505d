"""`TensorModel`: NMR tensors of all sites of a crystal, predicted by a trained network or an ensemble."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self, cast

import jax
import jax.numpy as jnp
import jraph
import numpy as np

from ..._arguments import checked
from ..._arrays import is_concrete
from ..._struct import static
from ...crystal import Crystal
from ...errors import ConventionError, ParseError, ShapeError
from ...graph import GraphPlan, pad_graph, plan_graph, structure_graph
from ...graph.structure import species_numbers
from ...objective.source import Source
from ...typing import Array
from ..networks.config import HeadConfig, NetworkConfig
from ..networks.irreps import SCALAR, Irreps, cartesian
from .calibration import site_commons, site_factors, site_sigmas
from .checkpoint import SHIPPED, find_checkpoint, read_checkpoint, write_checkpoint
from .ensemble import Outputs, check_members, compiled_outputs, mean_and_spread, stack, widths
from .novelty import environment_shapes, novelty
from .prediction import Prediction
from .source import Predicted

SKIN = 0.5


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelCard:
    """Facts about a model for its users; written to its checkpoint.

    Attributes:
        name: name of the model.
        level_of_theory: functional, pseudopotentials, program of the training data.
        training: data, split, seed, script of the training, as plain values.
        scores: scores on structures it was not trained on, by metric.
        calibration: calibration of its uncertainty, as plain values; see
            :func:`jaxnmr.models.tensors.calibration.calibrate`.
        references: ``(reference_ppm, slope)`` of chemical shifts by element, see `jaxnmr.nmr.ShiftReference`.

    Cards with the same content are equal.
    """

    name: str = "model"
    level_of_theory: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    references: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @cached_property
    def _content(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelCard) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)


class TensorModel(Source):
    """Parameters and description of a network or an ensemble; a pytree, so that it can be trained and closed over.

    An ensemble (:meth:`ensemble`) consists of several networks of one architecture: its parameters have a leading
    member axis, one compiled program evaluates them all, the prediction is their mean, and their disagreement is a
    measure of uncertainty.

    Attributes:
        weights: parameters of the network (flax).
        scale: by head, ``(species, irreps)``: factors of the outputs of the network.
        shift: by head, ``(species, irreps)``: offsets of the invariant outputs (0e).
        environments: environments of the training data by element; see :mod:`jaxnmr.models.tensors.novelty`.
        config: the architecture.
        card: origin and quality.
        members: number of members of an ensemble; ``None`` for a single network, whose parameters have no member axis.

    Example:
        >>> model = jn.TensorModel.load("silica-efg")
        >>> model.card.name
        'silica-efg'
        >>> print(model.predict(quartz))  # doctest: +SKIP
    """

    weights: dict[str, Any]
    scale: dict[str, Array]
    shift: dict[str, Array]
    environments: dict[str, dict[str, Array]] = field(default_factory=dict)
    config: NetworkConfig = static()
    card: ModelCard = static(note=True)
    members: int | None = static(default=None)

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
        """Make an untrained model with random parameters.

        Args:
            config: the architecture.
            key: PRNG key.
            scale, shift: by head, ``(species, irreps)``; 1 and 0 by default.
            card: origin; filled in after training.
            dtype: dtype of the parameters.

        Raises:
            ShapeError: scales or shifts have the wrong shape.
        """
        shapes = {head.name: (len(config.species), len(head.ranks)) for head in config.heads}
        statistics: list[dict[str, Array]] = []
        for given, default in ((scale, 1.0), (shift, 0.0)):
            filled = {name: np.full(shape, default) for name, shape in shapes.items()} | dict(given or {})
            for name, values in filled.items():
                if name not in shapes or np.shape(values) != shapes[name]:
                    raise ShapeError(
                        f"scale or shift of {name!r} has the shape {np.shape(values)}; expected {shapes.get(name)}"
                    )
            statistics.append({name: jnp.asarray(values, dtype=dtype) for name, values in filled.items()})
        leaves, treedef = jax.tree.flatten(_weight_shapes(config))
        ends = np.cumsum([leaf.size for leaf in leaves])
        # all initialisers of the network are standard normal; a single draw compiles quickly
        numbers = jnp.split(jax.random.normal(key, (ends[-1],), dtype=dtype), ends[:-1])
        weights = jax.tree.unflatten(treedef, [n.reshape(s.shape) for n, s in zip(numbers, leaves, strict=True)])
        return cls(weights=weights, scale=statistics[0], shift=statistics[1], config=config, card=card or ModelCard())

    @classmethod
    @checked
    def ensemble(cls, members: Sequence[TensorModel], *, card: ModelCard | None = None) -> Self:
        """Join several networks of one architecture to one model (host).

        Args:
            members: models trained from different starts, or on different parts of the data; ensembles are joined with
                all their members.
            card: origin; that of the first member by default, without its scores and calibration.

        Raises:
            ConventionError: there are no members, or their architectures differ.

        Example:
            >>> model = TensorModel.ensemble([TensorModel.load(path) for path in paths])  # doctest: +SKIP
        """
        members = list(members)
        check_members(members)
        together = lambda name: stack([(getattr(m, name), m.members) for m in members])
        return cls(
            weights=together("weights"),
            scale=together("scale"),
            shift=together("shift"),
            config=members[0].config,
            card=card or dataclasses.replace(members[0].card, scores={}, calibration={}),
            members=sum(m.members or 1 for m in members),
        )

    @checked
    def member(self, index: int) -> Self:
        """Return one network of an ensemble, without calibration and environments, which belong to the ensemble.

        Raises:
            ConventionError: there is no such member.
        """
        count = self.members or 1
        if not -count <= index < count:
            raise ConventionError(f"there is no member {index}; the model has {count}, numbered from 0")
        of = lambda tree: tree if self.members is None else jax.tree.map(lambda a: a[index], tree)
        return self.replace(
            weights=of(self.weights),
            scale=of(self.scale),
            shift=of(self.shift),
            environments={},
            card=dataclasses.replace(self.card, scores={}, calibration={}),
            members=None,
        )

    @classmethod
    @checked
    def load(cls, path_or_name: str | Path) -> Self:
        """Read a model written by :meth:`save`, single or ensemble (host).

        Args:
            path_or_name: a file, or the name of a shipped model, such as ``"silica-29si"``.

        Raises:
            ConventionError: there is no shipped model of that name; the message lists those that exist.
            ParseError: there is no such file, it is not a model, it is damaged or of another version, or parameters do
                not match the description.
        """
        path = find_checkpoint(path_or_name)
        # shipped models were checked before
        wanted = None if path.parent == SHIPPED else _names_and_shapes
        config, described, arrays, members = read_checkpoint(path, wanted)
        try:
            card = ModelCard(**described)
        except TypeError as error:
            raise ParseError(path, None, f"the description of the model cannot be read: {error}") from error
        parts = {name: _nested(arrays, f"{name}/") for name in ("weights", "scale", "shift", "environments")}
        return cls(**jax.device_put(parts), config=config, card=card, members=members)

    @checked
    def save(self, path: str | Path) -> Path:
        """Write parameters (safetensors) and description (JSON in the same file) (host).

        Raises:
            DataError: parameters are not finite, or the file cannot be written.
        """
        return write_checkpoint(path, self.config, self.card, _flat(self), members=self.members)

    @property
    def count(self) -> int:
        """Number of parameters of the network, of one member."""
        return sum(w.size for w in jax.tree.leaves(self.weights)) // (self.members or 1)

    def plan(self, crystal: Crystal, *, skin: float = SKIN) -> GraphPlan:
        """List the neighbours of a crystal, for :meth:`tensors` (host).

        Raises:
            ConventionError: an element is not supported, occupancy is partial, or atoms overlap.
        """
        return plan_graph(crystal, cutoff=self.config.cutoff, skin=skin, species=self.config.species)

    def for_phase(
        self, phase: str, crystal: Crystal, *, memory_bytes: int | None = None, device: str | None = None
    ) -> Predicted:
        """Make this model the source of one phase of an objective (host); see `jaxnmr.objective.Source`."""
        return Predicted.create(self, phase, crystal, memory_bytes, device=device)

    def components(self, graph: jraph.GraphsTuple) -> dict[str, Array]:
        """Return components of every head for the nodes of a graph, ``(nodes, dim)`` in the unit of the head (traceable).

        For an ensemble these are means; ``model.member(k).components(graph)`` are those of one network.
        """
        values, _ = self._of_members(graph)
        return {name: value.mean(axis=0) for name, value in values.items()}

    def outputs(self, graph: jraph.GraphsTuple) -> Outputs:
        """Return components, their spread and the novelty of nodes (traceable; only components have derivatives)."""
        values, scalars = self._of_members(graph)
        species = jnp.asarray(graph.nodes["species"])
        scalars = jax.lax.stop_gradient(jnp.moveaxis(scalars, 0, 1).reshape(len(species), -1))
        strange = novelty(scalars, species, self.environments, self.config.species)
        mean, spread = {}, {}
        for name, value in values.items():
            mean[name], spread[name] = mean_and_spread(value, self.config.head(name))
            if len(value) == 1:
                spread[name] = jnp.broadcast_to(jnp.nan_to_num(strange)[:, None], spread[name].shape)
        return Outputs(mean, spread, scalars, strange)

    def _of_members(self, graph: jraph.GraphsTuple) -> tuple[dict[str, Array], Array]:
        """Return components of every head ``(members, nodes, dim)`` and scalars ``(members, nodes, features)``."""
        dtype = jnp.asarray(graph.nodes["positions"]).dtype
        own = jax.tree.map(lambda a: jnp.asarray(a, dtype=dtype), (self.weights, self.scale, self.shift))
        of_one = lambda weights, scale, shift: self._of_one(weights, scale, shift, graph)
        if self.members is None:
            return jax.tree.map(lambda a: a[None], of_one(*own))
        return jax.vmap(of_one)(*own)

    def _of_one(
        self,
        weights: Mapping[str, Any],
        scale: Mapping[str, Array],
        shift: Mapping[str, Array],
        graph: jraph.GraphsTuple,
    ) -> tuple[dict[str, Array], Array]:
        # imported only when traced: its libraries take long to import
        from ..networks.network import Network

        raw, state = Network(self.config).apply({"params": weights}, graph, mutable=["intermediates"])
        species = jnp.asarray(graph.nodes["species"])
        out = {}
        for head in self.config.heads:
            size, invariant = widths(head), _invariant(head)
            wide = lambda values, size=size: jnp.repeat(values, size, axis=1, total_repeat_length=size.sum())
            factor, offset = wide(scale[head.name]), wide(jnp.where(invariant, shift[head.name], 0.0))
            out[head.name] = raw[head.name] * factor[species] + offset[species]
        return out, state["intermediates"]["scalars"][0]

    def tensors(self, crystal: Crystal, plan: GraphPlan | None = None) -> dict[str, Array]:
        """Return the predicted quantities of all sites of a crystal (traceable in cell and coordinates).

        Args:
            crystal: the crystal; traced or not.
            plan: made by :meth:`plan` for this crystal or a similar one; by default made here, which requires an
                untraced crystal.

        Returns:
            By head, ``(sites, 3, 3)`` Cartesian tensors in the frame of ``crystal.lattice()``, or ``(sites, dim)``
            components; for an ensemble the mean. NaN for elements the head was not trained on, and for all sites once
            atoms have moved so far that a neighbour may be missing from the plan: a solver rejects such a step; plan
            again.
        """
        plan = self.plan(crystal) if plan is None else plan
        graph = plan.graph(crystal)
        valid = self._valid(crystal, plan.margin(crystal))
        return self._of_sites(self.components(graph), valid, plan)

    def _valid(self, crystal: Crystal, margin: Array) -> dict[str, Array]:
        """Return, by head, which sites ``(sites,)`` have a meaningful value."""
        numbers, xp = species_numbers(crystal.elements, self.config.species), np if is_concrete(margin) else jnp
        meant = {h.name: np.array([e in h.elements for e in self.config.species])[numbers] for h in self.config.heads}
        return {name: (xp.asarray(margin) > 0) & of for name, of in meant.items()}

    def _of_sites(self, components, valid: dict[str, Array], plan: GraphPlan) -> dict[str, Array]:
        out = {}
        for name, values in components.items():
            head = self.config.head(name)
            # convert all nodes, whose number is padded: the number of sites would need separate programs
            values = cartesian(values, head.irreps) if head.is_tensor else values
            out[name] = _at_sites(values, valid[name], plan)
        return out

    @checked
    def predict(self, crystal: Crystal, plan: GraphPlan | None = None) -> Prediction:
        """Predict the tensors of a crystal with all derived quantities.

        Arguments and errors are those of :meth:`tensors` and :meth:`plan`.

        Example:
            >>> model.predict(crystal).shift("29Si")  # doctest: +SKIP
        """
        plan = self.plan(crystal) if plan is None else plan
        known = is_concrete(*jax.tree.leaves((self, plan, crystal)))
        if known:
            # NumPy: outside compiled functions JAX compiles every operation separately
            plan, crystal = jax.device_get((plan, crystal))
        graph, margin = plan.graph(crystal), plan.margin(crystal)
        if known:
            # one program serves all crystals of similar size
            graph_of_size = pad_graph(graph, smallest_nodes=32, smallest_edges=512)
            out = jax.device_get(compiled_outputs(self, graph_of_size))
        else:
            out = self.outputs(graph)
        valid = self._valid(crystal, margin)
        spread = {name: _at_sites(values, valid[name], plan) for name, values in out.spread.items()}
        elements = [self.config.species[k] for k in species_numbers(crystal.elements, self.config.species)]
        parts = {name: _at_sites(values, valid[name], plan) for name, values in out.components.items()}
        return Prediction(
            tensors=self._of_sites(out.components, valid, plan),
            lattice=graph.globals["lattice"][0],
            positions=graph.nodes["positions"],
            site=(np if known else jnp).asarray(plan.expansion.atoms)[:, 0],
            turn=graph.nodes["turn"],
            multiplicity=plan.multiplicity,
            spread=spread,
            sigmas=site_sigmas(self.card.calibration, elements, spread),
            commons=site_commons(self.card.calibration, elements, spread, parts, self.config.heads, plan.multiplicity),
            factors=site_factors(self.card.calibration, elements),
            novelty=_at_sites(out.novelty, cast(Array, sum(valid.values()) > 0), plan),
            labels=crystal.labels,
            elements=crystal.elements,
            references=tuple((element, *numbers) for element, numbers in self.card.references.items()),
        )


def _at_sites(values: Array, valid: Array, plan: GraphPlan) -> Array:
    """Return values of nodes at the sites of a crystal, NaN if meaningless; on the host if they are known."""
    xp = np if is_concrete(values, valid, plan.sites) else jnp
    chosen = xp.asarray(values)[plan.sites]
    return xp.where(valid.reshape(-1, *[1] * (chosen.ndim - 1)), chosen, xp.asarray(np.nan, dtype=chosen.dtype))


def _invariant(head: HeadConfig) -> np.ndarray:
    """Return which irreps of a head are scalars."""
    return np.array([ir == SCALAR for ir in Irreps.read(head.irreps).each])


def _two_atoms(config: NetworkConfig, dtype) -> jraph.GraphsTuple:
    """Make a graph with one edge, sufficient to determine the shapes of parameters."""
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
            inner[last] = array
    return out


def _weight_shapes(config: NetworkConfig) -> dict[str, Any]:
    """Return the shapes of the parameters of the network, without computing them."""
    from ..networks.network import Network

    init = lambda key: Network(config).init(key, _two_atoms(config, np.float32))["params"]
    return jax.eval_shape(init, jax.random.key(0))


def _names_and_shapes(
    config: NetworkConfig, members: int | None, arrays: Mapping[str, np.ndarray]
) -> dict[str, tuple[int, ...]]:
    """Return the arrays required in a checkpoint of this architecture."""
    statistics = {
        head.name: jax.ShapeDtypeStruct((len(config.species), len(head.ranks)), np.float32) for head in config.heads
    }
    model = TensorModel(
        weights=_weight_shapes(config),
        scale=statistics,  # type: ignore[arg-type]  # shapes stand for arrays
        shift=statistics,  # type: ignore[arg-type]  # as above
        config=config,
        card=ModelCard(),
    )
    leading = () if members is None else (members,)
    shapes = {name: (*leading, *leaf.shape) for name, leaf in _flat(model).items()}
    return shapes | environment_shapes(arrays, config, members)
