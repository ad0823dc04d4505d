"""`Term`: the interface between physics, data and solvers.

A `State` is computed once per parameter vector. A `Term` reads it and returns whitened residuals
``(calculated - observed) / sigma``; a new kind of data needs only that method.

A user writes a term with data, experiment and options. An objective binds it to its structures and parameters
(:meth:`Term.bind`) and works with the bound term, which holds everything that depends on them: numbers of sites, a plan, an
assignment. A term that needs none of this is its own bound term.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from .._arguments import is_number, shown
from .._functions import pickled_function, unpickled_function
from .._struct import Struct, compiled, set_fields, static
from ..crystal import Crystal
from ..errors import ParameterError
from ..typing import Array, Quantity
from .checks import tracing
from .evidence import Evidence, Rows, residual_rows
from .losses import Loss, LossKind, slopes
from .state import State, TensorRead

if TYPE_CHECKING:
    from .host_state import HostState
    from .parameters import Parameters

_NO_TERM = "{} cannot be added to a term; terms and weighted terms can: xrd + 2.0 * restraint"
# residuals of functions are numbered
_NUMBERED = ("number", "expected", "calculated")


class Term(Struct, pytree=False):
    """Base class of everything that contributes to the sum of squares.

    Subclasses are pytrees (:class:`jaxnmr.Struct`) with a ``name`` and implement :meth:`residuals`. Terms can be added
    and scaled: ``xrd + 2.0 * restraint``; a weight multiplies chi².

    Attributes:
        name: prefix of the parameters, and name in reports.

    Example:
        >>> class Volume(jn.Term):
        ...     measured: float
        ...     name: str = jn.static(default="volume")
        ...
        ...     def residuals(self, state):
        ...         return jnp.atleast_1d((state.crystal.volume() - self.measured) / 2.0)
        >>> known = jn.Objective(Volume(measured=113.0), crystal=quartz)
        >>> known.residuals(known.parameters()).round(3)
        Array([0.066], dtype=float64)
    """

    name: str

    @property
    def sees_origin(self) -> bool:
        """Return whether a common shift of all atoms of a structure may change the residuals.

        If no term depends on it, floating origins of the space group are held fixed.
        """
        return True

    @property
    def extracting(self) -> bool:
        """Return whether the term changes with every accepted step, as Le Bail extraction does."""
        return False

    @property
    def reads(self) -> tuple[TensorRead, ...] | None:
        """Learned tensor components the residuals depend on; ``None`` if not declared.

        With this declaration an objective can differentiate few tensors in reverse mode instead of all along every
        parameter. It must be complete: derivatives by anything else are not calculated.
        """
        return None

    # -- unbound -------------------------------------------------------------------------------------------------
    def quantities(self, crystals: Mapping[str, Crystal]) -> dict[str, Quantity]:
        """Return the nuisance parameters of this term by local name; the term's name is prefixed."""
        return {}

    def bind(self, state: HostState, params: Parameters) -> Term:
        """Return this term bound to structures and parameters, planned for these values (host).

        Args:
            state: structures and values; tensors and their uncertainties are calculated on demand.
            params: parameters whose free values a refinement moves. If none is free, any may become free later.
        """
        return self

    # -- bound ---------------------------------------------------------------------------------------------------
    def residuals(self, state: State) -> Array:
        """Return whitened residuals as a one-dimensional array (traceable)."""
        hint = "" if type(self).bind is Term.bind else ": bind it first, jn.Objective(term, ...).terms[0]"
        raise ParameterError(
            f"term {getattr(self, 'name', '')!r}: its class {type(self).__name__} does not define residuals(state){hint}"
        )

    def jacobian(self, state: State, tangents: State) -> Array:
        """Return derivatives of the residuals along state tangents with a leading axis, ``(residuals, parameters)``."""
        push = lambda tangent: jax.jvp(self.residuals, (state,), (tangent,))[1]
        return jax.vmap(push, out_axes=1)(tangents)

    def weighted_rows(self, state: State, tangents: State, loss: Loss | None, weight: Array) -> tuple[Array, Array]:
        """Return residuals and Jacobian with loss and weight; squares add up to the term's part of chi² (traceable).

        Args:
            state, tangents: as for :meth:`jacobian`.
            loss: ``None`` for least squares.
            weight: factor of chi².

        Returns:
            ``(residuals,)`` and ``(residuals, parameters)``.
        """
        r, slope = slopes(loss, self.residuals(state), weight)
        return r, slope[:, None] * self.jacobian(state, tangents)

    def normal(self, state: State, tangents: State, loss: Loss | None, weight: Array) -> tuple[Array, Array, Array]:
        """Return residuals ``r`` of :meth:`weighted_rows`, and ``JᵀJ`` and ``Jᵀr`` with its Jacobian ``J`` (traceable).

        Terms with many residuals may calculate them without forming the Jacobian.

        Returns:
            ``(residuals,)``, ``(parameters, parameters)`` and ``(parameters,)``.
        """
        # without the barrier XLA computes the Jacobian once for each product
        r, jacobian = jax.lax.optimization_barrier(self.weighted_rows(state, tangents, loss, weight))
        return r, jacobian.T @ jacobian, r @ jacobian

    def length(self, state: Callable[[], State]) -> int:
        """Return the number of residuals; terms that derive it from their data need not be traced (host).

        Args:
            state: returns the shapes of all that terms may read.
        """
        return jax.eval_shape(self.residuals, state()).shape[0]

    def replan(self, state: HostState) -> tuple[Term, str]:
        """Return this bound term with outdated plans renewed, and a note on which; ``""`` if none is outdated (host)."""
        return self, ""

    def outgrown(self, state: State) -> Array | bool:
        """Return whether :meth:`replan` is needed, or has to check, at this state (traceable).

        A refinement runs on the device until a term returns true. The default is true after every step for terms that
        define ``replan``, and false for others.
        """
        return type(self).replan is not Term.replan

    def differentiable(self, free: tuple[str, ...]) -> Term:
        """Return this bound term with the same plan, but with derivatives by these parameters, by full name (host)."""
        return self

    def in_range(self, values: Mapping[str, np.ndarray], moved: frozenset[str]) -> dict[str, np.ndarray]:
        """Return own parameters moved to equivalent values in their usual ranges, by local name (host).

        Args:
            values: own parameters by local name.
            moved: full names of the parameters that a refinement moves.
        """
        return {}

    def warnings(self, state: State) -> tuple[str, ...]:
        """Return warnings about physically doubtful values, for the report (host)."""
        return ()

    def log_variance(self, moved: frozenset[str]) -> float:
        """Return the log determinant of the covariance of its data if that depends on the structure (host).

        Larger uncertainties make residuals smaller: to compare structures whose uncertainties come from a model, add
        this to chi². 0, up to a constant, if uncertainties were given.

        Args:
            moved: full names of the parameters that a refinement moves.
        """
        return 0.0

    # -- evidence ------------------------------------------------------------------------------------------------
    def evidence(self, state: State) -> Evidence:
        """Return the evidence of this term; the base class has only the residuals (host)."""
        return Rows(
            name=self.name, what="other data", rows=residual_rows(_residuals(self, state), 1.0), header=_NUMBERED
        )

    def agreement(self, chi2: float) -> dict[str, float]:
        """Return agreement factors by name, per cent, for progress lines; for curves only (host).

        Args:
            chi2: sum of squared residuals, without weight and loss.
        """
        return {}

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of planned arrays; structures for which they are equal may share compiled programs (host)."""
        return ()

    def in_room(self, sizes: tuple[int, ...], state: State | None) -> Term:
        """Plan this term for a state with at least these ``sizes``; without a state it has to be bound next (host)."""
        return self

    # -- other data ----------------------------------------------------------------------------------------------
    def measuring(self, other: Term) -> Term:
        """Replace the data of this bound term by those of another, measured at the same points; its plan is kept (host).

        Args:
            other: a term, bound or not.

        Raises:
            DataError: data are at other points, or of another wavelength, nucleus or field.
            ParameterError: this kind of term cannot exchange its data.
        """
        raise ParameterError(
            f"the data of {self.name!r} cannot be exchanged; those of powder patterns and NMR spectra can"
        )

    # -- sums ----------------------------------------------------------------------------------------------------
    def by_residuals(self) -> TermSum:
        """Weight this term by its own residuals: ``xrd.by_residuals() + jn.EnergyTerm()``.

        For patterns and spectra whose residuals are systematic misfits of the profile rather than noise:
        `jaxnmr.refine` multiplies their uncertainties by goodness of fit and SCOR at the end of a first refinement, and
        refines again. To do this for all data at once, use ``jn.refine(..., weights="variance-components")``.

        Raises:
            ParameterError: the term has a weight or a robust loss.
        """
        return TermSum(self).by_residuals()

    def robust(self, loss: LossKind = "soft_l1", *, scale: float | None = None) -> TermSum:
        """Make this term robust against a few wrong observations: ``xrd + peaks.robust("cauchy")``.

        Args:
            loss: ``"huber"``, ``"soft_l1"`` (both convex), ``"cauchy"`` or ``"geman_mcclure"``; see
                `jaxnmr.objective.Loss`.
            scale: residuals beyond this many standard uncertainties are down-weighted; by default chosen so that 5 % of
                efficiency is lost if no observation is wrong.

        Raises:
            ParameterError: the loss is unknown, or the scale is not positive.
        """
        return TermSum(self).robust(loss, scale=scale)

    def __add__(self, other) -> TermSum:
        return TermSum(self) + other

    def __radd__(self, other) -> TermSum:
        return TermSum(self).__radd__(other)

    def __mul__(self, weight) -> TermSum:
        return TermSum(self) * weight

    __rmul__ = __mul__


@compiled(kept=True)
def calculated_of(term, state: State) -> Array:
    """Return ``term.calculated(state)``, compiled as one program instead of operation by operation."""
    return term.calculated(state)


@compiled(kept=True)
def _residuals(term: Term, state: State) -> Array:
    return term.residuals(state)


class TermSum:
    """Weighted terms for an `Objective`; ``terms``, ``weights``, ``losses`` and ``marked`` in the same order.

    ``marked`` terms are weighted by their own residuals.
    """

    def __init__(
        self,
        *terms: Term,
        weights: tuple[float, ...] | None = None,
        losses: tuple[Loss | None, ...] | None = None,
        marked: tuple[bool, ...] | None = None,
    ):
        self.terms = terms
        self.weights = (1.0,) * len(terms) if weights is None else weights
        self.losses = (None,) * len(terms) if losses is None else losses
        self.marked = (False,) * len(terms) if marked is None else marked

    def by_residuals(self) -> TermSum:
        """Weight all of these terms by their own residuals; see :meth:`Term.by_residuals`."""
        for term, weight, loss in zip(self.terms, self.weights, self.losses, strict=True):
            if weight != 1.0 or loss is not None:
                other = f"the weight {weight:g}" if loss is None else "a robust loss"
                raise ParameterError(
                    f"{term.name!r} cannot count as its residuals say and have {other}: leave one of them out"
                )
        return TermSum(*self.terms, weights=self.weights, losses=self.losses, marked=(True,) * len(self.terms))

    def robust(self, loss: LossKind = "soft_l1", *, scale: float | None = None) -> TermSum:
        """Give all of these terms a robust loss; see :meth:`Term.robust`."""
        made = Loss.create(loss, scale)
        self._require_unmarked("have a robust loss")
        return TermSum(*self.terms, weights=self.weights, losses=(made,) * len(self.terms))

    def __add__(self, other) -> TermSum:
        other = TermSum(other) if isinstance(other, Term) else other
        if not isinstance(other, TermSum):
            raise ParameterError(_NO_TERM.format(shown(other)))
        return TermSum(
            *self.terms, *other.terms, weights=self.weights + other.weights, losses=self.losses + other.losses,
            marked=self.marked + other.marked,
        )  # fmt: skip

    def __radd__(self, other) -> TermSum:
        # sum([a, b]) begins with 0
        if isinstance(other, int | float) and other == 0:
            return self
        raise ParameterError(_NO_TERM.format(shown(other)))

    def __mul__(self, weight) -> TermSum:
        if not is_number(weight) or not 0 <= float(weight) < np.inf:
            raise ParameterError(f"a term cannot have the weight {weight}; expected a number from 0 on")
        weight = float(weight)
        self._require_unmarked(f"have the weight {weight:g}")
        return TermSum(*self.terms, weights=tuple(w * weight for w in self.weights), losses=self.losses)

    def _require_unmarked(self, what: str) -> None:
        for term, marked in zip(self.terms, self.marked, strict=True):
            if marked:
                raise ParameterError(
                    f"{term.name!r} cannot count as its residuals say and {what}: leave one of them out"
                )

    __rmul__ = __mul__


class FunctionTerm(Term):
    """A term made from a function of the state; see :func:`term`."""

    sigma: Array | float
    function: Callable[[State], Any] = static()
    name: str = static()

    def residuals(self, state: State) -> Array:
        try:
            with tracing(self.name):
                found = self.function(state)
        except KeyError as err:
            key = str(err.args[0]) if err.args else "something"
            close = difflib.get_close_matches(key, [*state.values, *state.crystals], n=3, cutoff=0.4)
            hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
            raise ParameterError(
                f"term {self.name!r} asks for {key!r}, which no part of the objective provides: it is no parameter"
                f"{' and no phase' if state.crystals else ''}{hint}"
            ) from err
        if found is None:
            raise ParameterError(f"term {self.name!r} returns nothing; expected calculated - observed")
        return jnp.ravel(jnp.asarray(found)) / self.sigma

    def __call__(self, state: State) -> Array:
        """Return the residuals as the function returns them, not divided by ``sigma``."""
        return self.function(state)

    def evidence(self, state: State) -> Evidence:
        rows = residual_rows(np.asarray(_residuals(self, state)) * np.asarray(self.sigma), self.sigma)
        return Rows(name=self.name, what="other data", rows=rows, header=_NUMBERED)

    def __reduce__(self):
        return _function_term, (self.sigma, pickled_function(self.function, f"term {self.name!r}"), self.name)


def _function_term(sigma, function, name):
    return FunctionTerm(sigma=sigma, function=unpickled_function(function), name=name)


def bound_as(kind: type, term: Term, **fields: Any) -> Any:
    """Return a bound term of a class that extends a term: the term's fields and those that binding adds."""
    made: Any = object.__new__(kind)
    kept = {f.name: getattr(term, f.name) for f in dataclasses.fields(kind) if f.name not in fields}
    set_fields(made, **kept, **fields)
    return made


def term(name: str = "", *, sigma: float = 1.0) -> Callable[[Callable[[State], Any]], FunctionTerm]:
    """Turn a function of the state into a term::

        @jn.term("p_o_bond", sigma=0.01)
        def p_o_bond(state):
            return jn.crystal.distances(state.crystal, PAIRS) - 1.53

    Args:
        name: name of the term, for reports.
        sigma: standard uncertainty of every residual, in the units the function returns.

    Raises:
        ParameterError: no name, no positive number, or no function is given.

    Example:
        >>> @jn.term("volume", sigma=2.0)
        ... def volume(state):
        ...     return state.crystal.volume() - 113.0
        >>> known = jn.Objective(volume, crystal=quartz)
        >>> known.residuals(known.parameters()).round(3)
        Array([0.066], dtype=float64)
    """
    if not isinstance(name, str) or not name:
        given = f"the function {name.__name__!r} itself" if inspect.isfunction(name) else repr(name)
        raise ParameterError(f'the name of a term is {given}; expected a text, as in @jn.term("volume", sigma=2.0)')
    if not is_number(sigma) or not 0 < sigma < float("inf"):
        raise ParameterError(f"sigma of term {name!r} is {sigma}; expected a positive number")

    def made(function: Callable[[State], Any]) -> FunctionTerm:
        if not callable(function):
            raise ParameterError(f"term {name!r} is made from {shown(function)}; expected a function of the state")
        return FunctionTerm(sigma=float(sigma), function=function, name=name)

    return made
