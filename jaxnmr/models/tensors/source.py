"""A tensor model as the source of one phase of an objective: neighbours, values, uncertainty, domain.

A network is expensive, so it is evaluated once per parameter vector and differentiated no more than needed; see
`derivatives` for the strategies.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import jax
import jax.numpy as jnp
import numpy as np

from ..._struct import compiled, static
from ..._tuning import tuning
from ...crystal import Crystal
from ...errors import ConventionError
from ...graph import GraphPlan
from ...graph.structure import species_numbers
from ...nmr.tensors import TRACELESS_DYADS
from ...objective.source import PhaseSource, in_time, is_short
from ...objective.state import Provision, TensorRead
from ...typing import Array
from ..networks.irreps import tensor_basis
from .derivatives import Backward, Everywhere, Forward

# edges are padded to multiples of this, so that changes of neighbours seldom cause a compilation
_EDGES = 128
# a row of reverse mode takes 1.0 to 1.2 times as long as a column of forward mode, and about as much memory: it is used if
# clearly cheaper
REVERSE_COST = 1.5
# numbers kept per edge and tangent, in units of the product of features and spherical harmonics (measured: 0.53)
_INTERMEDIATES = 0.7


class Predicting(Protocol):
    """A model that can predict quantities of a phase, such as `jaxnmr.TensorModel`."""

    @property
    def config(self) -> Any:
        """Heads, species and cutoff."""

    @property
    def card(self) -> Any:
        """Facts about the model: name, shift references, calibration."""

    @property
    def environments(self) -> Mapping[str, Any]:
        """Environments of its training data, by element."""

    @property
    def members(self) -> int | None:
        """Number of networks of an ensemble; ``None`` for a single one."""

    @property
    def count(self) -> int:
        """Number of its parameters."""

    def plan(self, crystal: Crystal) -> Any:
        """Return the neighbours of every atom (host)."""

    def tensors(self, crystal: Crystal, plan: Any) -> dict[str, Array]:
        """Return predictions for all sites by head (traceable)."""

    def outputs(self, graph: Any) -> Any:
        """Return predictions with their spread and novelty, by node (traceable)."""

    def predict(self, crystal: Crystal, plan: Any = None) -> Any:
        """Return the prediction with its uncertainty (host)."""

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields replaced."""


class Predicted(PhaseSource):
    """One model as the source of one phase.

    Attributes:
        model: single network or ensemble.
        plan: neighbours of the phase, edges padded.
        name: name of the model.
        phase: name of the crystal.
        provisions: quantities provided, one per head.
        way: differentiation strategy.
        memory_bytes: memory for derivatives calculated at once.
    """

    model: Predicting
    plan: GraphPlan
    name: str = static(note=True)
    phase: str = static()
    provisions: tuple[Provision, ...] = static()
    way: Everywhere | Forward | Backward = static(default=Everywhere())
    memory_bytes: int = static()

    @classmethod
    def create(
        cls,
        model: Predicting,
        phase: str,
        crystal: Crystal,
        memory_bytes: int | None = None,
        *,
        device: str | None = None,
    ) -> Predicted:
        """List neighbours (host).

        Args:
            model: single network or ensemble.
            phase: name of the crystal.
            crystal: structure for which neighbours are listed.
            memory_bytes: memory for derivatives calculated at once; by default suitable for the device.
            device: kind of device to calculate on; by default JAX's default device.

        Raises:
            ConventionError: an element is not supported, occupancy is partial, atoms overlap, or there is no such device.
        """
        config = model.config
        try:
            numbers = species_numbers(crystal.elements, config.species)
        except ConventionError as error:
            unknown = [s for s, e in zip(crystal.labels, crystal.elements, strict=True) if e not in config.species]
            raise ConventionError(
                f"model {model.card.name!r} of {phase!r}: {error} ({', '.join(unknown)}). A model sees all atoms around a site, "
                "so that none can be left out; a phase can: name only those that the model is for, models={phase: model}, "
                "in a run file phase = of [[model]]"
            ) from None
        references = tuple((element, *map(float, ab)) for element, ab in model.card.references.items())
        provisions = tuple(
            Provision(phase, h.name, tuple(config.species[k] in h.elements for k in numbers), references)
            for h in config.heads
        )
        tuned = tuning(device)
        if memory_bytes is None:
            memory_bytes = tuned.derivative_bytes
        plan = _padded(model.plan(crystal), 0)
        return cls(
            model=model, plan=plan, name=model.card.name, phase=phase, provisions=provisions, memory_bytes=int(memory_bytes)
        )  # fmt: skip

    # -- values --------------------------------------------------------------------------------------------------
    def evaluate(self, crystal: Crystal) -> dict[str, Array]:
        """Return predictions for all sites by head (traceable); compiled if not traced."""
        return _tensors(self._bare(), self.plan, crystal)

    def _bare(self) -> Predicting:
        # environments would require separate programs
        return self.model.replace(environments={})

    @property
    def predicts(self) -> bool:
        return True

    def prediction(self, crystal: Crystal) -> Any:
        """Return the `Prediction` with its uncertainty and novelty (host)."""
        return self.model.predict(_on_host(crystal), self.plan)

    def shapes(self, crystal: Crystal) -> dict[str, jax.ShapeDtypeStruct]:
        heads = [self.model.config.head(p.name) for p in self.provisions]
        tails = [(3, 3) if head.is_tensor else (sum(2 * l + 1 for l in head.ranks),) for head in heads]
        sites = len(crystal.labels)
        return {
            h.name: jax.ShapeDtypeStruct((sites, *tail), jnp.result_type(float))
            for h, tail in zip(heads, tails, strict=True)
        }

    def replan(self, crystal: Crystal) -> tuple[Predicted, str]:
        """Return a copy with neighbours listed again if the skin is nearly used up, and a note (host)."""
        plan = in_time(self.plan, _on_host(crystal))
        if plan is self.plan:
            return self, ""
        plan = _padded(plan, len(self.plan.reference.senders))
        return self.replace(plan=plan), f"neighbours of {self.phase} listed again"

    def outgrown(self, crystal: Crystal) -> Array | bool:
        # with environments, the domain has to be checked after every step
        return bool(self.model.environments) or is_short(self.plan, crystal)

    def outside(self, crystal: Crystal, prediction: Any = None) -> dict[str, float]:
        """Return the novelty of sites unlike those of the training data, by label; of a `Prediction` if given (host)."""
        if not self.model.environments:
            return {}
        found = np.asarray((self.prediction(crystal) if prediction is None else prediction).novelty)
        return {crystal.labels[k]: float(found[k]) for k in np.flatnonzero(found > 1.0)}

    def warnings(self, crystal: Crystal, prediction: Any = None) -> tuple[str, ...]:
        """Warn about atoms unlike those of the training data (host)."""
        strange = [f"{label} ({novelty:.1f})" for label, novelty in self.outside(crystal, prediction).items()]
        if not strange:
            return ()
        return (
            f"The model {self.model.card.name!r} has seen nothing like {', '.join(strange)} of {self.phase} (novelty; above 1 "
            "an atom is outside its domain): its tensors there, and what was refined from them, may be far off.",
        )

    # -- what a refinement moves ---------------------------------------------------------------------------------
    def differentiated(
        self, columns: Sequence[int] | np.ndarray | None, reads: Sequence[TensorRead] | None
    ) -> Predicted:
        rows = None if reads is None else self._rows(reads)
        read = None if rows is None else sum(len(self._basis(head, part)) for head, _, part in rows)
        if columns is None:
            return self.replace(way=Everywhere())
        columns = tuple(int(k) for k in columns)
        if rows is not None and read is not None and (read == 0 or read * REVERSE_COST < len(columns)):
            return self.replace(way=Backward(columns, rows, read))
        return self.replace(way=Forward(columns, read))

    def columns_for(self, columns: np.ndarray) -> np.ndarray:
        return self.way.columns_for(columns)

    def record(self) -> dict[str, Any]:
        model = self.model
        return {
            "name": self.name, "phase": self.phase,
            "predicts": {head.name: list(head.elements) for head in model.config.heads},
            "level_of_theory": model.card.level_of_theory, "members": model.members or 1, "parameters": model.count,
            "scores": dict(model.card.scores), "derivatives": self.note(),
        }  # fmt: skip

    def note(self) -> str:
        """Describe how derivatives are calculated and why, in one sentence."""
        return (
            f"Derivatives of {', '.join(p.name for p in self.provisions)} of {self.phase}: {self.way.how(self._batch)}."
        )

    # -- derivatives ---------------------------------------------------------------------------------------------
    def linearised(self, crystal: Crystal, tangents: Crystal) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return predictions and their derivatives along tangents of the crystal (traceable).

        Args:
            crystal: point of linearisation.
            tangents: tangents of its cell ``(columns, 6)`` and coordinates ``(columns, sites, 3)``; others are ignored.

        Returns:
            By head, values as :meth:`evaluate`, and derivatives with a leading axis of columns: NaN in columns that
            move the phase but were not declared to :meth:`differentiated`, and for sites that no term reads.
        """
        bare = self._bare()
        at = lambda cell, xyz: _tensors(bare, self.plan, crystal.replace(cell=cell, xyz=xyz))
        where = (jnp.asarray(crystal.cell), jnp.asarray(crystal.xyz))
        return self.way.derivatives(at, where, (tangents.cell, tangents.xyz), self._basis, self._batch)

    def _rows(self, reads: Sequence[TensorRead]) -> tuple[tuple[str, int, str], ...]:
        """Return what is read from this model, every site once with the largest part."""
        order = ("isotropic", "symmetric", "all")
        largest: dict[tuple[str, int], str] = {}
        heads = {p.name for p in self.provisions}
        for read in reads:
            if read.phase == self.phase and read.head in heads:
                for site in read.sites:
                    before = largest.get((read.head, site), order[0])
                    largest[read.head, site] = max(before, read.part, key=order.index)
        return tuple((head, site, part) for (head, site), part in sorted(largest.items()))

    def _basis(self, head: str, part: str) -> np.ndarray:
        """Return orthonormal tensors ``(k, 3, 3)``, or components ``(dim, dim)``, spanning what is read of one site."""
        config = self.model.config.head(head)
        if not config.is_tensor:
            return np.eye(sum(2 * l + 1 for l in config.ranks))
        isotropic, antisymmetric = tensor_basis()[:1], tensor_basis()[1:4]
        dyads = [
            *(isotropic if 0 in config.ranks else ()),
            *(TRACELESS_DYADS if part != "isotropic" else ()),
            *(antisymmetric if part == "all" and 1 in config.ranks else ()),
        ]
        return np.array(dyads).reshape(-1, 3, 3)

    def _batch(self, count: int) -> int:
        """Return the number of tangents per batch that fit in memory, with batches of equal size."""
        most = max(1, min(count, self.memory_bytes // self.tangent_bytes))
        return math.ceil(count / math.ceil(count / most))

    @property
    def tangent_bytes(self) -> int:
        """Estimated memory of one tangent in double precision: messages of all edges, for all members."""
        config = self.model.config
        width = sum(int(mul) * (2 * int(l) + 1) for mul, l in re.findall(r"(\d+)x(\d+)[eo]", config.hidden))
        width *= (config.lmax + 1) ** 2
        edges = len(self.plan.reference.senders)
        return max(1, int(8 * _INTERMEDIATES * edges * width)) * (self.model.members or 1)


def _tensors_of(model, plan, crystal):
    return model.tensors(crystal, plan)


_tensors = compiled(_tensors_of, kept=True)


def _padded(plan: GraphPlan, before: int) -> GraphPlan:
    """Return the plan padded with edges of zero length, to the previous number of edges if sufficient."""
    graph = plan.reference
    count = len(graph.senders)
    wanted = _EDGES * math.ceil(1.04 * count / _EDGES)
    size = before if count <= before <= 1.25 * wanted else wanted
    last = np.full(size - count, len(graph.nodes["positions"]) - 1, dtype=graph.senders.dtype)
    shifts = np.asarray(graph.edges["shifts"])
    graph = graph._replace(
        senders=np.concatenate([graph.senders, last]),
        receivers=np.concatenate([graph.receivers, last]),
        edges=graph.edges | {"shifts": np.concatenate([shifts, np.zeros((len(last), 3), dtype=shifts.dtype)])},
        n_edge=np.array([size], dtype=graph.n_edge.dtype),
    )
    return plan.replace(reference=graph)


def _on_host(crystal: Crystal) -> Crystal:
    return jax.tree.map(np.asarray, crystal)
