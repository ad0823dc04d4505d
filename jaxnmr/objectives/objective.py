"""`Objective`: a weighted sum of terms over shared structures, and its residuals, gradient and Jacobian."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._struct import set_fields, struct
from ..crystal import Crystal, shared_sites
from ..crystal.cell import cell_from_metric, metric
from ..crystal.sites import has_conventional_metric
from ..errors import ParameterError
from ..typing import Array
from .parameters import Layout, Parameters, renamed
from .term import State, Term, TermSum

_CRYSTAL_FIELDS = ("cell", "xyz", "u_iso", "u_aniso", "occupancy")


@struct
class Objective:
    """Half a weighted sum of squares as a function of `Parameters`. A callable pytree.

    ``objective(params)`` is chi²/2; ``jax.grad(objective)(params)`` a `Parameters` of derivatives.

    Attributes:
        crystals: starting structures by phase name.
        terms: what is compared with what.
        weights: ``(terms,)``, multiply each term's chi².
    """

    crystals: dict[str, Crystal]
    terms: tuple[Term, ...]
    weights: Array

    def __init__(self, terms: Term | TermSum, *, crystal: Crystal | Mapping[str, Crystal] | None = None):
        """Put terms together.

        Args:
            terms: one term, or a sum such as ``xrd + 2.0 * restraint``.
            crystal: the structure, or several by phase name.

        Raises:
            ParameterError: two terms with the same name, or no term.
        """
        terms = terms if isinstance(terms, TermSum) else TermSum(terms)
        names = [t.name for t in terms.terms]
        repeated = sorted({n for n in names if names.count(n) > 1})
        if repeated:
            raise ParameterError(f"several terms are called {', '.join(repeated)}; give each its own name=")
        if isinstance(crystal, Crystal):
            crystal = {crystal.name: crystal}
        set_fields(
            self,
            crystals=dict(crystal or {}),
            terms=tuple(terms.terms),
            weights=np.array(terms.weights, dtype=float),
        )
        spec = self.parameters().spec
        set_fields(self, terms=tuple(t.resolved(spec) for t in self.terms))

    def __add__(self, other: Term | TermSum) -> Objective:
        return Objective(TermSum(*self.terms, weights=tuple(np.asarray(self.weights))) + other, crystal=self.crystals)

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
        crystals = {}
        for phase, crystal in self.crystals.items():
            prefix = self.phase_prefix(phase)
            fields = {name: values[prefix + name] for name in _CRYSTAL_FIELDS}
            fields["cell"] = _allowed_cell(crystal, fields["cell"])
            crystals[phase] = crystal.replace(**fields)
        return State(crystals=crystals, values=dict(values))

    def _weighted(self, arrays: list[Array]) -> Array:
        parts = [jnp.sqrt(self.weights[k]) * a for k, a in enumerate(arrays)]
        return jnp.concatenate(parts)

    def residuals_at(self, state: State) -> Array:
        """All whitened residuals, term after term (traceable)."""
        return self._weighted([t.residuals(state) for t in self.terms])

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
        columns = residuals_and_jacobian(
            params.spec.layout, self, params.offset(), params.spec.transform, jnp.asarray(params.theta)
        )[1]
        return columns / params.spec.scale[params.spec.free_pivots]

    def row_slices(self, params: Parameters) -> dict[str, slice]:
        """Which rows of residuals and Jacobian belong to which term (host)."""
        state = jax.eval_shape(lambda p: self.state(p.values), params)
        out, start = {}, 0
        for t in self.terms:
            size = jax.eval_shape(t.residuals, state).shape[0]
            out[t.name] = slice(start, start + size)
            start += size
        return out

    @property
    def extracting(self) -> bool:
        """Whether some term changes with every accepted step, as Le Bail extraction does."""
        return any(t.extracting for t in self.terms)

    def refreshed(self, params: Parameters) -> tuple[Objective, tuple[str, ...]]:
        """The objective with outgrown plans renewed, and what was renewed (host)."""
        state = self._host_state(params)
        pairs = [t.refreshed(state) for t in self.terms]
        notes = tuple(f"{t.name}: {note}" for (t, note) in pairs if note)
        return (self.replace(terms=tuple(t for t, _ in pairs)), notes) if notes else (self, ())

    def settled(self, params: Parameters) -> Objective:
        """The objective with every plan made for these very values, so that a minimum does not depend on its history."""
        state = self._host_state(params)
        return self.replace(terms=tuple(t.settled(state) for t in self.terms))

    def _host_state(self, params: Parameters) -> State:
        return self.state({k: jnp.asarray(v) for k, v in params.values.items()})


def _allowed_cell(crystal: Crystal, cell: Any) -> Any:
    """Project on the metrics the group allows; a no-op in the conventional settings, where steps stay allowed."""
    if has_conventional_metric(crystal.group):
        return cell
    r = jnp.asarray(crystal.group.rotations, dtype=cell.dtype)
    return cell_from_metric(jnp.einsum("nki,kl,nlj->ij", r, metric(cell), r) / r.shape[0])


def _residuals(layout: Layout, objective: Objective, offset, transform, theta):
    return objective.residuals_at(objective.state(layout.unflatten(offset + transform @ theta)))


residuals = jax.jit(_residuals, static_argnums=0)
"""Residuals at ``theta``: ``(layout, objective, offset, transform, theta)``, compiled once per shape."""


def _residuals_and_jacobian(layout: Layout, objective: Objective, offset, transform, theta):
    make = lambda t: objective.state(layout.unflatten(offset + transform @ t))
    state, push = jax.linearize(make, theta)
    tangents = jax.vmap(push)(jnp.eye(theta.shape[0], dtype=theta.dtype))
    values = objective._weighted([t.residuals(state) for t in objective.terms])
    return values, objective._weighted([t.jacobian(state, tangents) for t in objective.terms])


residuals_and_jacobian = jax.jit(_residuals_and_jacobian, static_argnums=0)
"""Residuals and dense Jacobian by scaled ``theta``; every term contributes through its own ``jacobian``."""
