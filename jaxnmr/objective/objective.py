"""`Objective`: a weighted sum of terms over shared structures, with residuals, gradient and Jacobian."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._arguments import checked
from .._struct import Struct, compiled, set_fields, static
from ..crystal import Crystal, shared_sites
from ..crystal.cell import cell_from_metric, metric
from ..crystal.sites import has_conventional_metric
from ..errors import ParameterError, require_kind
from ..typing import Array
from .checks import check_residuals, named
from .host_state import HostState
from .losses import Loss
from .parameter_spec import Layout, ParameterSpec
from .parameters import Parameters, renamed
from .source import PhaseSource, Source, plan_sources
from .state import State, TensorRead
from .term import Term, TermSum

_CRYSTAL_FIELDS = ("cell", "xyz", "u_iso", "u_aniso", "occupancy")


class Replanned(NamedTuple):
    """Result of :meth:`Objective.replan`.

    Attributes:
        objective: objective with outdated plans renewed; the same object if none is outdated.
        notes: what was planned again and why; if there are any, chi² is no longer the same function.
        outside: novelty of the sites outside a model's domain of applicability, by model, phase and label.
    """

    objective: Objective
    notes: tuple[str, ...]
    outside: dict[tuple[str, str, str], float]


class Linearisation(NamedTuple):
    """Result of :func:`linearised`.

    Attributes:
        residuals: ``(residuals,)`` with weights and losses.
        jacobian: ``(residuals, n_free)`` derivatives by scaled ``theta``.
        squares: ``(terms,)`` sum of squared residuals of each term, without weight and loss.
        outgrown: whether a plan is outdated, or has to be checked.
    """

    residuals: Array
    jacobian: Array
    squares: Array
    outgrown: Array


class Objective(Struct):
    """Half a weighted sum of squares as a function of `Parameters`. A callable pytree.

    ``objective(params)`` is chi²/2; ``jax.grad(objective)(params)`` is a `Parameters` of derivatives.

    Attributes:
        crystals: starting structures by phase name.
        terms: terms, bound to the structures.
        weights: ``(terms,)`` factors of each term's chi².
        losses: loss of each term, ``None`` for least squares.
        sources: sources of learned tensors and other quantities, with the plans for their phases.
        marked: which terms `jaxnmr.refine` weights by their own residuals; see `jaxnmr.Term.by_residuals`.

    Example:
        >>> objective.residuals(params).shape
        (801,)
        >>> bool(objective(params) > 0.0)
        True
    """

    crystals: dict[str, Crystal]
    terms: tuple[Term, ...]
    weights: Array
    sources: tuple[PhaseSource, ...]
    losses: tuple[Loss | None, ...] = static()
    marked: tuple[bool, ...] = static(note=True)

    @checked
    def __init__(
        self,
        terms: Term | TermSum,
        *,
        crystal: Crystal | Mapping[str, Crystal] | None = None,
        models: Source | Sequence[Source] | Mapping[str, Source | Sequence[Source]] | None = None,
        memory_bytes: int | None = None,
        device: str | None = None,
    ):
        """Combine terms and bind them to the starting structures.

        Args:
            terms: one term, or a sum such as ``xrd + 2.0 * restraint``.
            crystal: the structure, or several by phase name.
            models: source of quantities that terms read from the state: a `TensorModel`, or a function with
                ``@jn.source``; several that provide different quantities, or either by phase name. Of an ensemble the
                mean is used, in residuals and derivatives; ``model.member(0)`` is cheaper, but gives no uncertainty.
            memory_bytes: approximate memory for derivatives of models; by default 8 MiB on CPUs, which are fastest with
                data that fit in their caches, and 1 GiB on accelerators.
            device: ``"cpu"``, ``"gpu"`` or ``"tpu"``, the kind of device for models; by default JAX's default device.

        Raises:
            ParameterError: two terms have the same name, there is no term, or models are invalid or contradictory.
            ConventionError: a model does not apply to a crystal: unknown element, partial occupancy.
        """
        if not isinstance(terms, Term | TermSum):
            raise ParameterError(f"terms is a {type(terms).__name__}; expected a term, or a sum of terms: a + 2.0 * b")
        terms = terms if isinstance(terms, TermSum) else TermSum(terms)
        if isinstance(crystal, Crystal):
            crystal = {crystal.name: crystal}
        if not isinstance(crystal, Mapping | None):
            raise ParameterError(
                f"crystal is a {type(crystal).__name__}; expected a Crystal, as of read_crystal, or several by name: "
                "{'quartz': ..., 'halite': ...}"
            )
        for phase, of in (crystal or {}).items():
            require_kind(of, Crystal, f"crystal[{phase!r}]", "as of read_crystal")
        crystals = dict(crystal or {})
        self._fill(terms, crystals, plan_sources(models, crystals, memory_bytes, device))

    def _fill(self, terms: TermSum, crystals: dict[str, Crystal], sources: tuple[PhaseSource, ...]) -> None:
        names = named(terms.terms)
        if not names:
            raise ParameterError("an objective needs something to compare: give it at least one term")
        repeated = sorted({n for n in names if names.count(n) > 1})
        if repeated:
            raise ParameterError(f"several terms are called {', '.join(repeated)}; give each its own name=")
        set_fields(
            self,
            crystals=crystals,
            terms=tuple(terms.terms),
            weights=np.array(terms.weights, dtype=float),
            losses=tuple(terms.losses),
            marked=tuple(terms.marked),
            sources=sources,
        )
        params = self.parameters()
        set_fields(self, terms=self._bound(params))
        shapes = cache(lambda: self._shapes(params))
        for term in self.terms:
            # terms that override length derive it from their data: no need to trace them
            if type(term).length is Term.length:
                check_residuals(term, shapes)

    def _shapes(self, params: Parameters) -> State:
        """Return a state with the shapes of the quantities that sources provide."""
        return self._providing(self.structures(params.values), [s.shapes(self.crystals[s.phase]) for s in self.sources])

    def __add__(self, other: Term | TermSum) -> Objective:
        terms = (
            TermSum(*self.terms, weights=tuple(np.asarray(self.weights)), losses=self.losses, marked=self.marked)
            + other
        )
        # what the old terms read does not hold for the new ones
        sources = tuple(s.differentiated(None, None) for s in self.sources)
        made = object.__new__(Objective)
        made._fill(terms, self.crystals, sources)
        return made

    def phase_prefix(self, phase: str) -> str:
        """Return the prefix of a phase's parameter names: empty if it is the only phase."""
        return "" if len(self.crystals) == 1 else f"{phase}/"

    def parameters(self) -> Parameters:
        """Return all parameters at their starting values, none free (host).

        Sites that share a position (mixed occupation) have their coordinates and displacement parameters tied to the first
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

    @checked
    def state(self, values: Mapping[str, Array]) -> State:
        """Return the state at physical values by name (traceable)."""
        state = self.structures(values)
        return self._providing(state, [s.evaluate(state.crystals[s.phase]) for s in self.sources])

    def structures(self, values: Mapping[str, Array]) -> State:
        """Return the state at physical values by name, without quantities from sources (traceable)."""
        crystals = {}
        missing = [
            name
            for phase in self.crystals
            for f in _CRYSTAL_FIELDS
            if (name := self.phase_prefix(phase) + f) not in values
        ]
        if missing:
            raise ParameterError(
                f"the values of a state lack {', '.join(missing)}; expected those of params.values, by name"
            )
        for phase, crystal in self.crystals.items():
            prefix = self.phase_prefix(phase)
            fields = {name: values[prefix + name] for name in _CRYSTAL_FIELDS}
            fields["cell"] = _allowed_cell(crystal, fields["cell"])
            crystals[phase] = crystal.replace(**fields)
        return State(crystals=crystals, values=dict(values), provisions=self._provisions())

    def _provisions(self):
        return tuple(provision for s in self.sources for provision in s.provisions)

    def _providing(self, state: State, values: Iterable[Mapping[str, Any]]) -> State:
        """Return the state with the quantities that all sources provide."""
        provided: dict[str, dict[str, Array]] = {}
        for s, of in zip(self.sources, values, strict=True):
            provided.setdefault(s.phase, {}).update(of)
        return state.replace(provided=provided)

    def _weighted(self, arrays: list[Array]) -> Array:
        parts = [jnp.sqrt(self.weights[k]) * a for k, a in enumerate(arrays)]
        return jnp.concatenate(parts)

    def residuals_at(self, state: State) -> Array:
        """Return all whitened residuals, term by term, whose squares add up to the losses (traceable)."""
        plain = [t.residuals(state) for t in self.terms]
        return self._weighted([r if of is None else of.residuals(r) for r, of in zip(plain, self.losses, strict=True)])

    def _normal(self, state: State, tangents: State) -> tuple[Array, Array, Array]:
        """Return residuals as :meth:`residuals_at`, and the products ``JᵀJ`` and ``Jᵀr`` along tangents (traceable)."""
        parts = zip(self.terms, self.losses, jnp.asarray(self.weights), strict=True)
        values, products, along = zip(*(t.normal(state, tangents, loss, w) for t, loss, w in parts), strict=True)
        return jnp.concatenate(values), sum(products), sum(along)

    @checked
    def residuals(self, params: Parameters) -> Array:
        """Return all whitened residuals at parameters."""
        require_kind(params, Parameters, "what an objective is evaluated at", "as of objective.parameters()")
        return self.residuals_at(self.state(params.values))

    def __call__(self, params: Parameters) -> Array:
        """Return half the sum of squared residuals."""
        return 0.5 * jnp.sum(self.residuals(params) ** 2)

    @checked
    def jacobian(self, params: Parameters) -> Array:
        """Return the derivatives of the residuals by the free parameters in physical units, ``(residuals, n_free)``.

        Columns are in the order of ``params.free_names``.
        """
        require_kind(params, Parameters, "what an objective is evaluated at", "as of objective.parameters()")
        objective = self.replace(sources=self._differentiated(params.spec))
        columns = residuals_and_jacobian(
            params.spec.layout, objective, params.offset(), params.spec.transform, jnp.asarray(params.theta)
        )[1]
        return columns / params.spec.scale[params.spec.free_pivots]

    @checked
    def row_slices(self, params: Parameters) -> dict[str, slice]:
        """Return the rows of residuals and Jacobian that belong to each term (host)."""
        state = cache(lambda: jax.eval_shape(lambda p: self.state(p.values), params))
        out, start = {}, 0
        for t in self.terms:
            size = t.length(state)
            out[t.name] = slice(start, start + size)
            start += size
        return out

    @property
    def by_residuals(self) -> tuple[str, ...]:
        """Names of the terms weighted by their own residuals; see `jaxnmr.Term.by_residuals`."""
        return tuple(t.name for t, marked in zip(self.terms, self.marked, strict=True) if marked)

    @property
    def extracting(self) -> bool:
        """Return whether a term changes with every accepted step, as Le Bail extraction does."""
        return any(t.extracting for t in self.terms)

    @checked
    def bind(self, params: Parameters) -> Objective:
        """Return the objective planned for these values and for refining the free parameters of ``params`` (host).

        Binding at a minimum makes the result independent of the path that led there.
        """
        # networks see only neighbours within their cutoff, however many are listed: their plans do not depend on the path
        objective, _ = self._sources_replanned(params)
        objective = objective.replace(terms=objective._bound(params))
        return objective.replace(sources=objective._differentiated(params.spec))

    def _bound(self, params: Parameters) -> tuple[Term, ...]:
        state = self.host_state(params)
        return tuple(t.bind(state, params) for t in self.terms)

    def _differentiated(self, spec: ParameterSpec) -> tuple[PhaseSource, ...]:
        """Return sources that differentiate only along moving parameters and only the quantities that terms read."""
        if not self.sources:
            return ()
        reads = self._reads()
        moves = [spec.transform[self._places(spec, s.phase)].any(axis=0) for s in self.sources]
        return tuple(s.differentiated(np.flatnonzero(m), reads) for s, m in zip(self.sources, moves, strict=True))

    def _places(self, spec: ParameterSpec, phase: str) -> np.ndarray:
        """Return the indices of a phase's cell and coordinates in the vector of values."""
        places = spec.layout.unflatten(np.arange(len(spec.labels)))
        return np.concatenate([places[self.phase_prefix(phase) + name].ravel() for name in ("cell", "xyz")])

    def columns_for(self, spec: ParameterSpec, change: np.ndarray) -> np.ndarray:
        """Return the columns of a bound objective's Jacobian that can be reused for another ``change`` of the vector (host).

        ``change`` is ``(values,)``. Unless it moves atoms, these are all columns; otherwise those along which models
        are differentiated.
        """
        columns = np.arange(int(spec.free.sum()))
        for s in self.sources:
            if change[self._places(spec, s.phase)].any():
                columns = s.columns_for(columns)
        return columns

    def _reads(self) -> tuple[TensorRead, ...] | None:
        """Return the tensor components that terms read; ``None`` if a term that reads some does not declare them."""
        said = tuple(read for t in self.terms for read in t.reads or ())
        silent = [t for t in self.terms if t.reads is None]
        if not silent:
            return said
        params = self.parameters()
        values, shapes = params.values, self._shapes(params)
        return None if any(_uses(t, self.structures, values, shapes.provided) for t in silent) else said

    def outgrown(self, state: State) -> Array:
        """Return whether :meth:`replan` is needed, or has to check, at this state (traceable)."""
        of_terms = [t.outgrown(state) for t in self.terms]
        of_sources = [s.outgrown(state.crystals[s.phase]) for s in self.sources]
        return jnp.any(jnp.stack([jnp.asarray(of) for of in (*of_terms, *of_sources)]))

    def plan_notes(self) -> tuple[str, ...]:
        """Describe how derivatives of each source are calculated and why, one sentence per source."""
        return tuple(s.note() for s in self.sources)

    @checked
    def replan(self, params: Parameters) -> Replanned:
        """Return the objective with outdated plans renewed for these values (host)."""
        objective, notes = self._sources_replanned(params)
        state = objective.host_state(params)
        pairs = [t.replan(state) for t in objective.terms]
        notes += tuple(f"{t.name}: {note}" for (t, note) in pairs if note)
        outside = {
            (s.name, s.phase, label): novelty
            for k, s in enumerate(objective.sources)
            for label, novelty in s.outside(state.crystals[s.phase], state.predicted(k)).items()
        }
        return Replanned(objective.replace(terms=tuple(t for t, _ in pairs)) if notes else self, notes, outside)

    def _sources_replanned(self, params: Parameters) -> tuple[Objective, tuple[str, ...]]:
        """Return the objective with neighbours listed again where the structure has moved far."""
        if not self.sources:
            return self, ()
        crystals = self.structures(_on_host(params)).crystals
        pairs = [s.replan(crystals[s.phase]) for s in self.sources]
        notes = tuple(dict.fromkeys(note for _, note in pairs if note))
        return (self.replace(sources=tuple(s for s, _ in pairs)), notes) if notes else (self, ())

    @checked
    def in_range(self, params: Parameters) -> Parameters:
        """Return equivalent parameters with angles and the like in their usual ranges (host)."""
        values, moved = dict(params.values), frozenset(params.moved_names)
        for term in self.terms:
            prefix = f"{term.name}/"
            own = {name.removeprefix(prefix): np.asarray(v) for name, v in values.items() if name.startswith(prefix)}
            values |= {prefix + name: new for name, new in term.in_range(own, moved).items()}
        spec = params.spec
        flat = np.concatenate([np.ravel(np.asarray(values[name], dtype=float)) for name, _ in spec.layout.parts])
        serves = np.allclose(spec.tied(flat), flat) and ((flat >= spec.lower) & (flat <= spec.upper)).all()
        return params.replace(flat=flat) if serves and (flat != np.asarray(params.flat)).any() else params

    @checked
    def warnings(self, params: Parameters) -> tuple[str, ...]:
        """List warnings about physically doubtful values and atoms outside a model's domain, for the report (host)."""
        state = self.host_state(params)
        of_terms = tuple(sentence for t in self.terms for sentence in t.warnings(state))
        of_sources = (s.warnings(state.crystals[s.phase], state.predicted(k)) for k, s in enumerate(self.sources))
        return (*of_terms, *(sentence for of in of_sources for sentence in of))

    @checked
    def host_state(self, params: Parameters) -> HostState:
        """Return the state at parameters for planning and reports; sources are evaluated on demand (host)."""
        return HostState(self.structures(_on_host(params)), self.sources)


def _on_host(params: Parameters) -> dict[str, Array]:
    # NumPy: outside compiled functions JAX compiles every operation separately
    return {name: np.asarray(value) for name, value in params.values.items()}


def _uses(term: Term, structures, values: Mapping[str, Array], provided: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether the residuals of a term depend on quantities from sources; traced, not evaluated."""
    traced = jax.make_jaxpr(lambda provided, values: term.residuals(structures(values).replace(provided=provided)))
    program = traced(provided, values).jaxpr
    asked = set(program.invars[: len(jax.tree.leaves(provided))])
    used = [*program.outvars, *(v for step in program.eqns for v in step.invars)]
    # literals are constants
    return not asked.isdisjoint(v for v in used if isinstance(v, type(program.invars[0])))


def _allowed_cell(crystal: Crystal, cell: Any) -> Any:
    """Project onto metrics allowed by the space group; a no-op in conventional settings, where steps stay allowed."""
    if has_conventional_metric(crystal.group):
        return cell
    r = jnp.asarray(crystal.group.rotations, dtype=cell.dtype)
    return cell_from_metric(jnp.einsum("nki,kl,nlj->ij", r, metric(cell), r) / r.shape[0])


@compiled(kept=True, static_argnums=0)
def residuals(layout: Layout, objective: Objective, offset, transform, theta):
    """Return residuals at ``theta``, compiled once per shape."""
    return objective.residuals_at(objective.state(layout.unflatten(offset + transform @ theta)))


def state_and_tangents(layout: Layout, objective: Objective, offset, transform, theta) -> tuple[State, State]:
    """Return the state at ``theta`` and its tangents, every leaf with a leading parameter axis (traceable)."""
    make = lambda t: objective.structures(layout.unflatten(offset + transform @ t))
    state, push = jax.linearize(make, theta)
    tangents = jax.vmap(push)(jnp.eye(theta.shape[0], dtype=theta.dtype))
    # networks are expensive: not differentiated along every parameter
    pairs = [s.linearised(state.crystals[s.phase], tangents.crystals[s.phase]) for s in objective.sources]
    state = objective._providing(state, [values for values, _ in pairs])
    return state, objective._providing(tangents, [pushed for _, pushed in pairs])


def linearised(layout: Layout, objective: Objective, offset, transform, theta) -> Linearisation:
    """Return residuals, dense Jacobian by scaled ``theta`` and accompanying sums (traceable)."""
    state, tangents = state_and_tangents(layout, objective, offset, transform, theta)
    parts = list(zip(objective.terms, objective.losses, jnp.asarray(objective.weights), strict=True))
    rows = [term.weighted_rows(state, tangents, loss, weight) for term, loss, weight in parts]
    plain = [r / jnp.sqrt(jnp.maximum(weight, 1e-300)) for (r, _), (_, _, weight) in zip(rows, parts, strict=True)]
    plain = [r if loss is None else loss.undone(r) for r, loss in zip(plain, objective.losses, strict=True)]
    return Linearisation(
        residuals=jnp.concatenate([r for r, _ in rows]),
        jacobian=jnp.concatenate([jacobian for _, jacobian in rows]),
        squares=jnp.stack([jnp.sum(r**2) for r in plain]),
        outgrown=objective.outgrown(state),
    )


@compiled(kept=True, static_argnums=0)
def residuals_and_jacobian(layout: Layout, objective: Objective, offset, transform, theta):
    """Return residuals and dense Jacobian by scaled ``theta``, compiled once per shape."""
    return linearised(layout, objective, offset, transform, theta)[:2]
