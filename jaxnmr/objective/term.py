"""`Term`: the contract between physics, data and solvers.

A `State` is computed once per parameter vector. A `Term` reads it and returns whitened residuals
``(calculated - observed) / sigma``; that one method is all a new kind of data needs.

A term is what people write: data, an experiment, options. An objective binds it to its structures and parameters
(:meth:`Term.bind`) and works with what it is bound to, in which everything that depends on them is known: numbers of sites, a
plan, an assignment. A term that needs nothing of the kind is bound as it is.
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
# residuals of functions have numbers for names
_NUMBERED = ("number", "expected", "calculated")


class Term(Struct, pytree=False):
    """Base class of everything that adds to the sum of squares.

    Subclasses are pytrees (:class:`jaxnmr.Struct`) with a ``name`` and implement :meth:`residuals`. Terms add and scale:
    ``xrd + 2.0 * restraint``; a weight multiplies chi squared.

    Attributes:
        name: prefix of the parameters, and what reports call it.

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
        """Whether a common shift of all atoms of a structure may change the residuals.

        Where none of the terms says so, origins that a space group leaves open are held.
        """
        return True

    @property
    def extracting(self) -> bool:
        """Whether the term changes with every accepted step, as Le Bail extraction does."""
        return False

    @property
    def reads(self) -> tuple[TensorRead, ...] | None:
        """Which learned tensors the residuals depend on; ``None`` when the term does not say.

        A term that does lets an objective differentiate few tensors in reverse mode instead of all along every parameter.
        What it says must be true: derivatives by anything else are not calculated.
        """
        return None

    # -- as people write it --------------------------------------------------------------------------------------
    def quantities(self, crystals: Mapping[str, Crystal]) -> dict[str, Quantity]:
        """Nuisance parameters this term brings along, by local name; they are prefixed with the term's name."""
        return {}

    def bind(self, state: HostState, params: Parameters) -> Term:
        """This term bound to structures and parameters, planned for these very values (host).

        Args:
            state: structures and values; tensors and their uncertainties are calculated when they are asked for.
            params: whose free values a refinement moves. Where none is free, everything may come to move.
        """
        return self

    # -- bound ---------------------------------------------------------------------------------------------------
    def residuals(self, state: State) -> Array:
        """Whitened residuals, one dimension (traceable)."""
        hint = "" if type(self).bind is Term.bind else ": bind it first, jn.Objective(term, ...).terms[0]"
        raise ParameterError(
            f"term {getattr(self, 'name', '')!r}: its class {type(self).__name__} does not define residuals(state){hint}"
        )

    def jacobian(self, state: State, tangents: State) -> Array:
        """Derivative of the residuals along state tangents with a leading parameter axis, ``(residuals, parameters)``."""
        push = lambda tangent: jax.jvp(self.residuals, (state,), (tangent,))[1]
        return jax.vmap(push, out_axes=1)(tangents)

    def weighted_rows(self, state: State, tangents: State, loss: Loss | None, weight: Array) -> tuple[Array, Array]:
        """Residuals and Jacobian with loss and weight, whose squares are what the term adds to chi squared (traceable).

        Args:
            state, tangents: as of :meth:`jacobian`.
            loss: ``None`` for least squares.
            weight: multiplies chi squared.

        Returns:
            ``(residuals,)`` and ``(residuals, parameters)``.
        """
        r, slope = slopes(loss, self.residuals(state), weight)
        return r, slope[:, None] * self.jacobian(state, tangents)

    def normal(self, state: State, tangents: State, loss: Loss | None, weight: Array) -> tuple[Array, Array, Array]:
        """Residuals ``r`` of :meth:`weighted_rows` and products with its Jacobian ``J``: ``JᵀJ`` and ``Jᵀr`` (traceable).

        Terms with many residuals may know them without writing the Jacobian down.

        Returns:
            ``(residuals,)``, ``(parameters, parameters)`` and ``(parameters,)``.
        """
        # without the barrier XLA makes the Jacobian once for each product
        r, jacobian = jax.lax.optimization_barrier(self.weighted_rows(state, tangents, loss, weight))
        return r, jacobian.T @ jacobian, r @ jacobian

    def length(self, state: Callable[[], State]) -> int:
        """Number of residuals; a term that knows it from its data need not be traced for that (host).

        Args:
            state: shapes of all that terms may read.
        """
        return jax.eval_shape(self.residuals, state()).shape[0]

    def replan(self, state: HostState) -> tuple[Term, str]:
        """This bound term with outdated plans made again, and a note saying which; ``""`` when all serve (host)."""
        return self, ""

    def outgrown(self, state: State) -> Array | bool:
        """Whether :meth:`replan` has something to do at this state, or has to look (traceable).

        A refinement runs on the device until a term says so. By default that is after every step for terms that define
        ``replan``, and never for others.
        """
        return type(self).replan is not Term.replan

    def differentiable(self, free: tuple[str, ...]) -> Term:
        """This bound term, planned as it is, but with derivatives by these parameters, by full name (host)."""
        return self

    def in_range(self, values: Mapping[str, np.ndarray], moved: frozenset[str]) -> dict[str, np.ndarray]:
        """Own parameters in their usual range, by local name, where values beyond it mean the same (host).

        Args:
            values: own parameters by local name.
            moved: full names of what a refinement moves.
        """
        return {}

    def warnings(self, state: State) -> tuple[str, ...]:
        """Sentences about physically doubtful values, for the report (host)."""
        return ()

    def log_variance(self, moved: frozenset[str]) -> float:
        """Logarithm of the determinant of the covariance of its data, where that follows the structure (host).

        Residuals that are divided by larger uncertainties are smaller: whoever compares structures of which a model says how
        uncertain it is has to add this to chi². 0, up to a constant, where uncertainties were given.

        Args:
            moved: full names of what a refinement moves.
        """
        return 0.0

    # -- what it shows -------------------------------------------------------------------------------------------
    def evidence(self, state: State) -> Evidence:
        """What this term shows of itself: the base class knows its residuals only (host)."""
        return Rows(
            name=self.name, what="other data", rows=residual_rows(_residuals(self, state), 1.0), header=_NUMBERED
        )

    def agreement(self, chi2: float) -> dict[str, float]:
        """Agreement factors by name, per cent, for progress lines; of curves only (host).

        Args:
            chi2: sum of squared residuals, without weight and loss.
        """
        return {}

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of what is planned, where other structures may share compiled programs if these are equal (host)."""
        return ()

    def in_room(self, sizes: tuple[int, ...], state: State | None) -> Term:
        """This term planned again for a state, with ``sizes`` of at least its own; without one it has to be bound next (host)."""
        return self

    # -- other data ----------------------------------------------------------------------------------------------
    def measuring(self, other: Term) -> Term:
        """This bound term with the data of another one, measured at the same points in the same way; its plan stays (host).

        Args:
            other: a term as people write it, or bound.

        Raises:
            DataError: data at other points, of another wavelength, nucleus or field.
            ParameterError: this kind of term cannot exchange its data.
        """
        raise ParameterError(
            f"the data of {self.name!r} cannot be exchanged; those of powder patterns and NMR spectra can"
        )

    # -- sums ----------------------------------------------------------------------------------------------------
    def by_residuals(self) -> TermSum:
        """This term such that its own residuals say how much it counts: ``xrd.by_residuals() + jn.EnergyTerm()``.

        For patterns and spectra whose residuals are no noise but a profile that does not quite fit: `jaxnmr.refine` multiplies
        their uncertainties by goodness of fit and SCOR, as they are at the end of a first refinement, and refines again. For
        all data at once there is ``jn.refine(..., weights="variance-components")``.

        Raises:
            ParameterError: a term with a weight or a robust loss.
        """
        return TermSum(self).by_residuals()

    def robust(self, loss: LossKind = "soft_l1", *, scale: float | None = None) -> TermSum:
        """This term such that few wrong observations among many do no harm: ``xrd + peaks.robust("cauchy")``.

        Args:
            loss: ``"huber"``, ``"soft_l1"`` (both convex), ``"cauchy"`` or ``"geman_mcclure"``; see
                `jaxnmr.objective.Loss`.
            scale: residuals beyond this many standard uncertainties count less; by default such that 5 % of efficiency are
                lost where nothing is wrong.

        Raises:
            ParameterError: an unknown loss, or a scale that is not positive.
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
    """What a term calculates, ``term.calculated(state)``, compiled: what it shows costs no time step by step."""
    return term.calculated(state)


@compiled(kept=True)
def _residuals(term: Term, state: State) -> Array:
    return term.residuals(state)


class TermSum:
    """Weighted terms on their way into an `Objective`; ``terms``, ``weights``, ``losses`` and ``marked`` in order.

    Marked are those whose residuals say how much they count.
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
        """All of these terms such that their residuals say how much they count; see :meth:`Term.by_residuals`."""
        for term, weight, loss in zip(self.terms, self.weights, self.losses, strict=True):
            if weight != 1.0 or loss is not None:
                other = f"the weight {weight:g}" if loss is None else "a robust loss"
                raise ParameterError(
                    f"{term.name!r} cannot count as its residuals say and have {other}: leave one of them out"
                )
        return TermSum(*self.terms, weights=self.weights, losses=self.losses, marked=(True,) * len(self.terms))

    def robust(self, loss: LossKind = "soft_l1", *, scale: float | None = None) -> TermSum:
        """All of these terms with a robust loss; see :meth:`Term.robust`."""
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
        """The undivided residuals, as the function returns them."""
        return self.function(state)

    def evidence(self, state: State) -> Evidence:
        rows = residual_rows(np.asarray(_residuals(self, state)) * np.asarray(self.sigma), self.sigma)
        return Rows(name=self.name, what="other data", rows=rows, header=_NUMBERED)

    def __reduce__(self):
        return _function_term, (self.sigma, pickled_function(self.function, f"term {self.name!r}"), self.name)


def _function_term(sigma, function, name):
    return FunctionTerm(sigma=sigma, function=unpickled_function(function), name=name)


def bound_as(kind: type, term: Term, **fields: Any) -> Any:
    """A bound term of a kind that extends the fields of a term: those of the term, and what binding added."""
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
        ParameterError: no name, no positive number, or no function.

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
