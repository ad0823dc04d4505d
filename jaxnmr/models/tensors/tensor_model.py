"""`TensorModel`: NMR tensors of every site of a crystal, by a trained network or several."""

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
    """Facts about a model that people should know; written to its checkpoint.

    Attributes:
        name: of the model.
        level_of_theory: functional, pseudopotentials, program of the training data.
        training: data, split, seed, script, as plain values.
        scores: of structures it was not trained on, by metric.
        calibration: of its uncertainty, as plain values; see :func:`jaxnmr.models.tensors.calibration.calibrate`.
        references: by element, ``(reference_ppm, slope)`` of chemical shifts, see `jaxnmr.nmr.ShiftReference`.

    Cards are equal when they say the same.
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
    """Parameters and description of a network, or of an ensemble; a pytree, so that it can be trained and closed over.

    An ensemble (:meth:`ensemble`) is several networks of one architecture: its parameters have a leading member axis, one
    compiled program evaluates them all, what it predicts is their mean, and how far they disagree says how uncertain it is.

    Attributes:
        weights: parameters of the network (flax).
        scale: by head, ``(species, irreps)``: the network's numbers are multiplied by it.
        shift: by head, ``(species, irreps)``: added to the invariant ones (0e).
        environments: by element, what atoms of the training looked like; see :mod:`jaxnmr.models.tensors.novelty`.
        config: the architecture.
        card: origin and quality.
        members: of an ensemble; ``None`` for a single network, whose parameters have no member axis.

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
        # the initialisers of the network are all standard normal; one draw compiles in no time
        numbers = jnp.split(jax.random.normal(key, (ends[-1],), dtype=dtype), ends[:-1])
        weights = jax.tree.unflatten(treedef, [n.reshape(s.shape) for n, s in zip(numbers, leaves, strict=True)])
        return cls(weights=weights, scale=statistics[0], shift=statistics[1], config=config, card=card or ModelCard())

    @classmethod
    @checked
    def ensemble(cls, members: Sequence[TensorModel], *, card: ModelCard | None = None) -> Self:
        """Several networks of one architecture as one model (host).

        Args:
            members: trained from different starts, or on different parts of the data; ensembles count as their members.
            card: origin; that of the first member by default, without its scores and calibration.

        Raises:
            ConventionError: no member, or members of different architectures.

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
        """One network of an ensemble, without the calibration and environments, which belong to the whole.

        Raises:
            ConventionError: there are not so many.
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
        """Read a model that :meth:`save` wrote, single or ensemble (host).

        Args:
            path_or_name: a file, or the name of a model that comes with the package, such as ``"silica-29si"``.

        Raises:
            ConventionError: no model of that name comes with the package; the message lists those that do.
            ParseError: no such file, no model, corrupted numbers, another version, parameters that do not fit the
                description.
        """
        path = find_checkpoint(path_or_name)
        # those that come with the package were looked at before
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
            DataError: parameters that are not finite, or a file that cannot be written.
        """
        return write_checkpoint(path, self.config, self.card, _flat(self), members=self.members)

    @property
    def count(self) -> int:
        """Number of parameters of the network, of one member."""
        return sum(w.size for w in jax.tree.leaves(self.weights)) // (self.members or 1)

    def plan(self, crystal: Crystal, *, skin: float = SKIN) -> GraphPlan:
        """Neighbours of a crystal, for :meth:`tensors` (host).

        Raises:
            ConventionError: an element the model does not know, partial occupancy, atoms on top of each other.
        """
        return plan_graph(crystal, cutoff=self.config.cutoff, skin=skin, species=self.config.species)

    def for_phase(
        self, phase: str, crystal: Crystal, *, memory_bytes: int | None = None, device: str | None = None
    ) -> Predicted:
        """This model as the source of one phase of an objective (host); see `jaxnmr.objective.Source`."""
        return Predicted.create(self, phase, crystal, memory_bytes, device=device)

    def components(self, graph: jraph.GraphsTuple) -> dict[str, Array]:
        """Irreps of every head for the nodes of a graph, ``(nodes, dim)`` in the unit of the head (traceable).

        Of an ensemble the mean; ``model.member(k).components(graph)`` are those of one network.
        """
        values, _ = self._of_members(graph)
        return {name: value.mean(axis=0) for name, value in values.items()}

    def outputs(self, graph: jraph.GraphsTuple) -> Outputs:
        """Components with their spread and the novelty of every node (traceable; only components have derivatives)."""
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
        """Components of every head ``(members, nodes, dim)`` and scalars ``(members, nodes, features)``."""
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
        # only where it is traced: its libraries take long to import
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
        """Predicted quantities of every site of a crystal (traceable in cell and coordinates).

        Args:
            crystal: the crystal; traced or not.
            plan: made with :meth:`plan` for this crystal or one like it; made here when not given, which needs numbers.

        Returns:
            By head, ``(sites, 3, 3)`` Cartesian tensors in the frame of ``crystal.lattice()``, or ``(sites, dim)``
            components; of an ensemble the mean. Not a number for elements the head was not trained on, and for all sites once atoms have moved so
            far that a neighbour may be missing from the plan: a solver rejects such a step; plan again.
        """
        plan = self.plan(crystal) if plan is None else plan
        graph = plan.graph(crystal)
        valid = self._valid(crystal, plan.margin(crystal))
        return self._of_sites(self.components(graph), valid, plan)

    def _valid(self, crystal: Crystal, margin: Array) -> dict[str, Array]:
        """By head, which sites ``(sites,)`` have a value that means something."""
        numbers, xp = species_numbers(crystal.elements, self.config.species), np if is_concrete(margin) else jnp
        meant = {h.name: np.array([e in h.elements for e in self.config.species])[numbers] for h in self.config.heads}
        return {name: (xp.asarray(margin) > 0) & of for name, of in meant.items()}

    def _of_sites(self, components, valid: dict[str, Array], plan: GraphPlan) -> dict[str, Array]:
        out = {}
        for name, values in components.items():
            head = self.config.head(name)
            # all nodes first: their number is padded, that of the sites would need programs of its own
            values = cartesian(values, head.irreps) if head.is_tensor else values
            out[name] = _at_sites(values, valid[name], plan)
        return out

    @checked
    def predict(self, crystal: Crystal, plan: GraphPlan | None = None) -> Prediction:
        """Tensors of a crystal with everything that follows from them.

        Arguments and errors as :meth:`tensors` and :meth:`plan`.

        Example:
            >>> model.predict(crystal).shift("29Si")  # doctest: +SKIP
        """
        plan = self.plan(crystal) if plan is None else plan
        known = is_concrete(*jax.tree.leaves((self, plan, crystal)))
        if known:
            # numpy: outside of compiled functions every operation of JAX is a program of its own
            plan, crystal = jax.device_get((plan, crystal))
        graph, margin = plan.graph(crystal), plan.margin(crystal)
        if known:
            # one program serves all crystals of about this size
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
    """Values of nodes at the sites of a crystal, NaN where they mean nothing; on the host where they are known."""
    xp = np if is_concrete(values, valid, plan.sites) else jnp
    chosen = xp.asarray(values)[plan.sites]
    return xp.where(valid.reshape(-1, *[1] * (chosen.ndim - 1)), chosen, xp.asarray(np.nan, dtype=chosen.dtype))


def _invariant(head: HeadConfig) -> np.ndarray:
    """Which irreps of a head are scalars."""
    return np.array([ir == SCALAR for ir in Irreps.read(head.irreps).each])


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
            inner[last] = array
    return out


def _weight_shapes(config: NetworkConfig) -> dict[str, Any]:
    """Shapes of the parameters of the network; nothing is computed."""
    from ..networks.network import Network

    init = lambda key: Network(config).init(key, _two_atoms(config, np.float32))["params"]
    return jax.eval_shape(init, jax.random.key(0))


def _names_and_shapes(
    config: NetworkConfig, members: int | None, arrays: Mapping[str, np.ndarray]
) -> dict[str, tuple[int, ...]]:
    """What a checkpoint of this architecture must contain."""
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
