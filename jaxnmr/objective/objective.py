"""`Objective`: a weighted sum of terms over shared structures, and its residuals, gradient and Jacobian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._struct import compiled, set_fields, static, struct
from ..crystal import Crystal, shared_sites
from ..crystal.cell import cell_from_metric, metric
from ..crystal.sites import has_conventional_metric
from ..errors import ParameterError
from ..typing import Array
from .losses import Loss
from .parameters import Layout, Parameters, ParameterSpec, renamed
from .predicted import Predicted, plan_predicted
from .source import TensorModel
from .state import State, TensorRead
from .term import Term, TermSum

_CRYSTAL_FIELDS = ("cell", "xyz", "u_iso", "u_aniso", "occupancy")


@struct
class Objective:
    """Half a weighted sum of squares as a function of `Parameters`. A callable pytree.

    ``objective(params)`` is chi²/2; ``jax.grad(objective)(params)`` a `Parameters` of derivatives.

    Attributes:
        crystals: starting structures by phase name.
        terms: what is compared with what.
        weights: ``(terms,)``, multiply each term's chi².
        losses: of each term, ``None`` for least squares.
        predicted: models of learned tensors with the neighbours of their phases.
    """

    crystals: dict[str, Crystal]
    terms: tuple[Term, ...]
    weights: Array
    predicted: tuple[Predicted, ...]
    losses: tuple[Loss | None, ...] = static()

    def __init__(
        self,
        terms: Term | TermSum,
        *,
        crystal: Crystal | Mapping[str, Crystal] | None = None,
        tensors: TensorModel | Sequence[TensorModel] | Mapping[str, TensorModel | Sequence[TensorModel]] | None = None,
        memory_bytes: int | None = None,
        device: str | None = None,
    ):
        """Put terms together.

        Args:
            terms: one term, or a sum such as ``xrd + 2.0 * restraint``.
            crystal: the structure, or several by phase name.
            tensors: a model whose tensors terms read in ``state.tensors``, several that predict different quantities, or
                either by phase name. Of an ensemble the mean counts, in residuals and derivatives; ``model.member(0)`` is
                cheaper, but gives no uncertainty.
            memory_bytes: about how much derivatives of models may take at once; by default 8 MiB on processors, which are
                fastest with what fits in their caches, and 1 GiB on accelerators.
            device: ``"cpu"``, ``"gpu"`` or ``"tpu"``, the kind on which models are evaluated; by default the one JAX computes on.

        Raises:
            ParameterError: two terms with the same name, no term, no models, or models that contradict each other.
            ConventionError: a crystal that a model cannot take: an unknown element, partial occupancy.
        """
        if not isinstance(terms, Term | TermSum):
            raise ParameterError(f"terms is a {type(terms).__name__}; expected a term, or a sum of terms: a + 2.0 * b")
        terms = terms if isinstance(terms, TermSum) else TermSum(terms)
        names = [t.name for t in terms.terms]
        if not names:
            raise ParameterError("an objective needs something to compare: give it at least one term")
        repeated = sorted({n for n in names if names.count(n) > 1})
        if repeated:
            raise ParameterError(f"several terms are called {', '.join(repeated)}; give each its own name=")
        if isinstance(crystal, Crystal):
            crystal = {crystal.name: crystal}
        crystals = dict(crystal or {})
        set_fields(
            self,
            crystals=crystals,
            terms=tuple(terms.terms),
            weights=np.array(terms.weights, dtype=float),
            losses=tuple(terms.losses),
            predicted=plan_predicted(tensors, crystals, memory_bytes, device),
        )
        spec = self.parameters().spec
        set_fields(self, terms=tuple(t.resolved(spec) for t in self.terms))

    def __add__(self, other: Term | TermSum) -> Objective:
        terms = TermSum(*self.terms, weights=tuple(np.asarray(self.weights)), losses=self.losses) + other
        # what was known of the terms before says nothing of the new ones
        predicted = tuple(p.prepared(None, None) for p in self.predicted)
        return Objective(terms, crystal=self.crystals).replace(predicted=predicted)

    def phase_prefix(self, phase: str) -> str:
        """What precedes a phase's parameter names: nothing when it is the only one."""
        return "" if len(self.crystals) == 1 else f"{phase}/"

    def parameters(self) -> Parameters:
        """All parameters at their starting values, none free (host).

        Sites that share a position (mixed occupation) have their coordinates and displacements tied to the first
        of them; :meth:`Parameters.untie` undoes that.
        """
        quantities = {}
        for phase, crystal in self.crystals.items():
            for name, quantity in crystal.quantities().items():
                quantities[self.phase_prefix(phase) + name] = quantity
        for term in self.terms:
            quantities.update(renamed(term.name, term.quantities(self.crystals)))
        if not quantities:
            raise ParameterError("this objective has no parameters: give it a crystal, or a term that brings some")
        params = Parameters.create(quantities)
        for phase, crystal in self.crystals.items():
            prefix = self.phase_prefix(phase)
            for first, *others in shared_sites(crystal):
                for other in others:
                    names = ["xyz"]
                    if crystal.anisotropic[first] == crystal.anisotropic[other]:
                        names.append("u_aniso" if crystal.anisotropic[first] else "u_iso")
                    for name in names:
                        target, source = (f"{prefix}{name}[{crystal.labels[k]}]" for k in (other, first))
                        params = params.tie(target, source)
        return params

    def state(self, values: Mapping[str, Array]) -> State:
        """The state at physical values by name (traceable)."""
        state = self.structures(values)
        found = [p.tensors(state.crystals[p.phase]) for p in self.predicted]
        return self._with_tensors(state, found)

    def structures(self, values: Mapping[str, Array]) -> State:
        """The state at physical values by name, without learned tensors: structures and values (traceable)."""
        crystals = {}
        for phase, crystal in self.crystals.items():
            prefix = self.phase_prefix(phase)
            fields = {name: values[prefix + name] for name in _CRYSTAL_FIELDS}
            fields["cell"] = _allowed_cell(crystal, fields["cell"])
            crystals[phase] = crystal.replace(**fields)
        return State(crystals=crystals, values=dict(values), sources=self._sources())

    def _sources(self):
        return tuple(source for p in self.predicted for source in p.sources)

    def _with_tensors(self, state: State, found: Sequence[Mapping[str, Array]]) -> State:
        """A state with what every model predicts."""
        tensors: dict[str, dict[str, Array]] = {}
        for p, heads in zip(self.predicted, found, strict=True):
            tensors.setdefault(p.phase, {}).update(heads)
        return state.replace(tensors=tensors)

    def _weighted(self, arrays: list[Array]) -> Array:
        parts = [jnp.sqrt(self.weights[k]) * a for k, a in enumerate(arrays)]
        return jnp.concatenate(parts)

    def residuals_at(self, state: State) -> Array:
        """All whitened residuals, term after term, whose squares add up to the losses (traceable)."""
        plain = [t.residuals(state) for t in self.terms]
        return self._weighted([r if of is None else of.residuals(r) for r, of in zip(plain, self.losses, strict=True)])

    def _rows(self, state: State, tangents: State) -> tuple[Array, Array]:
        """Residuals as of :meth:`residuals_at` and their derivatives along tangents (traceable)."""
        values, rows = [], []
        for term, loss in zip(self.terms, self.losses, strict=True):
            r, jacobian = term.residuals(state), term.jacobian(state, tangents)
            if loss is not None:
                r, slope = loss.residuals_and_slopes(r)
                jacobian = slope[:, None] * jacobian
            values.append(r)
            rows.append(jacobian)
        return self._weighted(values), self._weighted(rows)

    def residuals(self, params: Parameters) -> Array:
        """All whitened residuals at parameters."""
        return self.residuals_at(self.state(params.values))

    def __call__(self, params: Parameters) -> Array:
        """Half the sum of squared residuals."""
        return 0.5 * jnp.sum(self.residuals(params) ** 2)

    def jacobian(self, params: Parameters) -> Array:
        """Derivative of the residuals by the refined numbers (per physical unit of each), ``(residuals, n_free)``.

        Columns are in the order of ``params.free_names``.
        """
        objective = self.replace(predicted=self._differentiated(params.spec))
        columns = residuals_and_jacobian(
            params.spec.layout, objective, params.offset(), params.spec.transform, jnp.asarray(params.theta)
        )[1]
        return columns / params.spec.scale[params.spec.free_pivots]

    def row_slices(self, params: Parameters) -> dict[str, slice]:
        """Which rows of residuals and Jacobian belong to which term (host)."""
        state = cache(lambda: jax.eval_shape(lambda p: self.state(p.values), params))
        out, start = {}, 0
        for t in self.terms:
            size = t.length(state)
            out[t.name] = slice(start, start + size)
            start += size
        return out

    @property
    def extracting(self) -> bool:
        """Whether some term changes with every accepted step, as Le Bail extraction does."""
        return any(t.extracting for t in self.terms)

    def prepared(self, params: Parameters) -> Objective:
        """The objective before a refinement of the parameters that are free in ``params`` (host)."""
        moved = tuple(params.labels[k] for k in np.flatnonzero(params.spec.transform.any(axis=1)))
        terms = tuple(t.prepared(moved) for t in self.terms)
        return self.replace(terms=terms, predicted=self._differentiated(params.spec))

    def _differentiated(self, spec: ParameterSpec) -> tuple[Predicted, ...]:
        """Models that know what moves and what is read."""
        if not self.predicted:
            return ()
        reads = self._reads()
        moves = [spec.transform[self._places(spec, p.phase)].any(axis=0) for p in self.predicted]
        return tuple(p.prepared(np.flatnonzero(m), reads) for p, m in zip(self.predicted, moves, strict=True))

    def _places(self, spec: ParameterSpec, phase: str) -> np.ndarray:
        """Where the cell and the coordinates of a phase are in the vector."""
        places = spec.layout.unflatten(np.arange(len(spec.labels)))
        return np.concatenate([places[self.phase_prefix(phase) + name].ravel() for name in ("cell", "xyz")])

    def columns_for(self, spec: ParameterSpec, change: np.ndarray) -> np.ndarray:
        """Which columns of a prepared Jacobian may stand for another change ``(values,)`` of the vector (host).

        All of them, unless the change moves atoms: models are differentiated along columns that did so before.
        """
        columns = np.arange(int(spec.free.sum()))
        for p in self.predicted:
            if p.rows is None and p.columns is not None and change[self._places(spec, p.phase)].any():
                columns = np.intersect1d(columns, p.columns).astype(int)
        return columns

    def _reads(self) -> tuple[TensorRead, ...] | None:
        """What terms read of learned tensors; ``None`` when some term does not say."""
        found = [t.tensors_read(self.crystals) for t in self.terms]
        if all(reads is not None for reads in found):
            return tuple(read for reads in found for read in reads)
        # those that do not say are watched
        values = {k: jnp.asarray(v) for k, v in self.parameters().values.items()}
        silent = [t for t, reads in zip(self.terms, found, strict=True) if reads is None]
        if any(_reads_tensors(t, self.structures, values) for t in silent):
            return None
        return tuple(read for reads in found if reads is not None for read in reads)

    def plan_notes(self) -> tuple[str, ...]:
        """How derivatives of learned tensors are calculated and why, one sentence per model."""
        return tuple(p.note() for p in self.predicted)

    def refreshed(self, params: Parameters) -> tuple[Objective, tuple[str, ...]]:
        """The objective with outgrown plans renewed, and what was renewed (host)."""
        objective, notes, _ = self.examined(params)
        return objective, notes

    def examined(self, params: Parameters) -> tuple[Objective, tuple[str, ...], dict[tuple[str, str, str], float]]:
        """As :meth:`refreshed`, and which sites are outside the domain of a model: novelty by model, phase and label (host)."""
        objective, notes = self._replanned(params)
        state = objective.host_state(params)
        pairs = [t.refreshed(state) for t in objective.terms]
        notes += tuple(f"{t.name}: {note}" for (t, note) in pairs if note)
        outside = {
            (p.model.card.name, p.phase, label): novelty
            for p in objective.predicted
            for label, novelty in p.outside(state.crystals[p.phase], _prediction_of(state, p)).items()
        }
        objective = objective.replace(terms=tuple(t for t, _ in pairs)) if notes else self
        return objective, notes, outside

    def settled(self, params: Parameters) -> Objective:
        """The objective with every plan made for these very values, so that a minimum does not depend on its history."""
        # what a network sees ends at its cutoff, however many neighbours are listed: their plans have no history
        objective, _ = self._replanned(params)
        state = objective.host_state(params)
        return objective.replace(terms=tuple(t.settled(state) for t in objective.terms))

    def _replanned(self, params: Parameters) -> tuple[Objective, tuple[str, ...]]:
        """The objective with neighbours listed anew where the structure has moved far."""
        if not self.predicted:
            return self, ()
        crystals = self.structures(_on_device(params)).crystals
        pairs = [p.renewed(crystals[p.phase]) for p in self.predicted]
        notes = tuple(dict.fromkeys(note for _, note in pairs if note))
        return (self.replace(predicted=tuple(p for p, _ in pairs)), notes) if notes else (self, ())

    def warnings(self, params: Parameters) -> tuple[str, ...]:
        """Sentences about physically doubtful values and atoms outside the domain of a model, for the report (host)."""
        state = self.host_state(params)
        of_terms = tuple(sentence for t in self.terms for sentence in t.warnings(state))
        of_models = (p.warnings(state.crystals[p.phase], _prediction_of(state, p)) for p in self.predicted)
        return (*of_terms, *(sentence for of in of_models for sentence in of))

    def host_state(self, params: Parameters) -> State:
        """The state with the predictions that some term wants to see, whose tensors need not be calculated twice (host)."""
        if not any(t.wants_predictions for t in self.terms):
            return self.state(_on_device(params))
        state = self.structures(_on_device(params))
        made = [p.prediction(state.crystals[p.phase]) for p in self.predicted]
        found: dict[str, dict[str, Any]] = {}
        for p, prediction in zip(self.predicted, made, strict=True):
            found.setdefault(p.phase, {}).update(dict.fromkeys(prediction.tensors, prediction))
        return self._with_tensors(state, [prediction.tensors for prediction in made]).replace(predictions=found)


def _prediction_of(state: State, model: Predicted) -> Any:
    """The prediction of a model, where a state has it."""
    return state.predictions.get(model.phase, {}).get(model.sources[0].head)


def _on_device(params: Parameters) -> dict[str, Array]:
    return {k: jnp.asarray(v) for k, v in params.values.items()}


class _Watched(Mapping):
    """Learned tensors that nobody may look at."""

    class Seen(Exception):
        """Somebody did."""

    def _seen(self, *_):
        raise self.Seen

    __getitem__ = __iter__ = __len__ = __contains__ = _seen


def _reads_tensors(term: Term, structures, values: Mapping[str, Array]) -> bool:
    """Whether the residuals of a term look at learned tensors; nothing is computed."""
    try:
        jax.eval_shape(lambda v: term.residuals(structures(v).replace(tensors=_Watched())), values)
    except (_Watched.Seen, TypeError):  # looked at, or handed to a transformation that needs arrays
        return True
    return False


def _allowed_cell(crystal: Crystal, cell: Any) -> Any:
    """Project on the metrics the group allows; a no-op in the conventional settings, where steps stay allowed."""
    if has_conventional_metric(crystal.group):
        return cell
    r = jnp.asarray(crystal.group.rotations, dtype=cell.dtype)
    return cell_from_metric(jnp.einsum("nki,kl,nlj->ij", r, metric(cell), r) / r.shape[0])


@compiled(static_argnums=0)
def residuals(layout: Layout, objective: Objective, offset, transform, theta):
    """Residuals at ``theta``, compiled once per shape."""
    return objective.residuals_at(objective.state(layout.unflatten(offset + transform @ theta)))


@compiled(static_argnums=0)
def residuals_and_jacobian(layout: Layout, objective: Objective, offset, transform, theta):
    """Residuals and dense Jacobian by scaled ``theta``; every term contributes through its own ``jacobian``."""
    make = lambda t: objective.structures(layout.unflatten(offset + transform @ t))
    state, push = jax.linearize(make, theta)
    tangents = jax.vmap(push)(jnp.eye(theta.shape[0], dtype=theta.dtype))
    # networks are expensive: not along every parameter
    moved = [(state.crystals[p.phase], tangents.crystals[p.phase]) for p in objective.predicted]
    pairs = [p.linearised(c, t.cell, t.xyz) for p, (c, t) in zip(objective.predicted, moved, strict=True)]
    state = objective._with_tensors(state, [values for values, _ in pairs])
    tangents = objective._with_tensors(tangents, [pushed for _, pushed in pairs])
    return objective._rows(state, tangents)
