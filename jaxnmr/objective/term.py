"""`Term`: the contract between physics, data and solvers.

A `State` is computed once per parameter vector. A `Term` reads it and returns whitened residuals
``(calculated - observed) / sigma``; that one method is all a new kind of data needs.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from .._struct import compiled, static, struct
from ..crystal import Crystal
from ..errors import ParameterError
from ..typing import Array, Quantity
from .evidence import Evidence, Rows, residual_rows
from .losses import Loss, LossKind
from .state import State, TensorRead

if TYPE_CHECKING:
    from .parameters import ParameterSpec

# residuals of functions have numbers for names
_NUMBERED = ("number", "expected", "calculated")


class Term:
    """Base class of everything that adds to the sum of squares.

    Subclasses are ``@struct`` pytrees with a ``name`` and implement :meth:`residuals`. Terms add and scale:
    ``xrd + 2.0 * restraint``; a weight multiplies chi squared.
    """

    name: str
    extracting: bool = False

    def residuals(self, state: State) -> Array:
        """Whitened residuals, one dimension (traceable)."""
        raise TypeError(f"{type(self).__name__} does not define residuals(state)")

    def length(self, state: Callable[[], State]) -> int:
        """Number of residuals; a term that knows it from its data need not be traced for that (host).

        Args:
            state: shapes of all that terms may read.
        """
        return jax.eval_shape(self.residuals, state()).shape[0]

    def quantities(self, crystals: Mapping[str, Crystal]) -> dict[str, Quantity]:
        """Nuisance parameters this term brings along, by local name; they are prefixed with the term's name."""
        return {}

    def tensors_read(self, crystals: Mapping[str, Crystal]) -> tuple[TensorRead, ...] | None:
        """Which learned tensors the residuals depend on; ``None`` when that is not known (host).

        A term that says so lets an objective differentiate few tensors in reverse mode instead of all along every
        parameter. What it says must be true: derivatives of anything else are not calculated.
        """
        return None

    @property
    def wants_predictions(self) -> bool:
        """Whether :meth:`refreshed` and :meth:`settled` read ``state.predictions``."""
        return False

    def jacobian(self, state: State, tangents: State) -> Array:
        """Derivative of the residuals along state tangents with a leading parameter axis, ``(residuals, parameters)``."""
        push = lambda tangent: jax.jvp(self.residuals, (state,), (tangent,))[1]
        return jax.vmap(push, out_axes=1)(tangents)

    def resolved(self, spec: ParameterSpec) -> Term:
        """This term once the objective's parameters are known (host)."""
        return self

    def prepared(self, free: tuple[str, ...]) -> Term:
        """This term before a refinement of parameters with these full names (host)."""
        return self

    def differentiable(self, free: tuple[str, ...]) -> Term:
        """This term, planned as it is, but with derivatives by these parameters, by full name (host)."""
        return self

    def refreshed(self, state: State) -> tuple[Term, str]:
        """This term with whatever discrete planning the state has outgrown renewed, and what that was (host)."""
        return self, ""

    def settled(self, state: State) -> Term:
        """This term with its discrete planning made anew for a minimum, however it was reached (host)."""
        return self

    def warnings(self, state: State) -> tuple[str, ...]:
        """Sentences about physically doubtful values, for the report (host)."""
        return ()

    def evidence(self, state: State) -> Evidence:
        """What this term shows of itself: the base class knows its residuals only (host)."""
        return Rows(
            name=self.name, what="other data", rows=residual_rows(_residuals(self, state), 1.0), header=_NUMBERED
        )

    def agreement(self, residuals: np.ndarray) -> dict[str, float]:
        """Agreement factors by name, per cent, for progress lines; of curves only (host).

        Args:
            residuals: ``(n,)`` without weight and loss.
        """
        return {}

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of what is planned, where other structures may share compiled programs if these are equal (host)."""
        return ()

    def in_room(self, sizes: tuple[int, ...], state: State) -> Term:
        """This term planned anew for a state, with ``sizes`` of at least its own (host)."""
        return self

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

    def __mul__(self, weight) -> TermSum:
        return TermSum(self) * weight

    __rmul__ = __mul__


@compiled
def calculated_of(term, state: State) -> Array:
    """What a term calculates, ``term.calculated(state)``, compiled: what it shows costs no time step by step."""
    return term.calculated(state)


@compiled
def _residuals(term: Term, state: State) -> Array:
    return term.residuals(state)


class TermSum:
    """Weighted terms on their way into an `Objective`; ``terms``, ``weights`` and ``losses`` in order."""

    def __init__(
        self,
        *terms: Term,
        weights: tuple[float, ...] | None = None,
        losses: tuple[Loss | None, ...] | None = None,
    ):
        self.terms = terms
        self.weights = (1.0,) * len(terms) if weights is None else weights
        self.losses = (None,) * len(terms) if losses is None else losses

    def robust(self, loss: LossKind = "soft_l1", *, scale: float | None = None) -> TermSum:
        """All of these terms with a robust loss; see :meth:`Term.robust`."""
        made = Loss.create(loss, scale)
        return TermSum(*self.terms, weights=self.weights, losses=(made,) * len(self.terms))

    def __add__(self, other) -> TermSum:
        other = TermSum(other) if isinstance(other, Term) else other
        if not isinstance(other, TermSum):
            return NotImplemented
        return TermSum(
            *self.terms, *other.terms, weights=self.weights + other.weights, losses=self.losses + other.losses
        )

    def __mul__(self, weight) -> TermSum:
        weight = float(weight)
        if not weight >= 0:
            raise ParameterError(f"a term cannot have the weight {weight}")
        return TermSum(*self.terms, weights=tuple(w * weight for w in self.weights), losses=self.losses)

    __rmul__ = __mul__


@struct
class FunctionTerm(Term):
    """A term made from a function of the state; see :func:`term`."""

    sigma: Array
    function: Callable[[State], Any] = static()
    name: str = static()

    def residuals(self, state: State) -> Array:
        try:
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


def term(name: str, *, sigma: float = 1.0) -> Callable[[Callable[[State], Any]], FunctionTerm]:
    """Turn a function of the state into a term::

        @jn.term("p_o_bond", sigma=0.01)
        def p_o_bond(state):
            return jn.crystal.distances(state.crystal, PAIRS) - 1.53

    Args:
        name: name of the term, for reports.
        sigma: standard uncertainty of every residual, in the units the function returns.
    """
    if not 0 < sigma < float("inf"):
        raise ParameterError(f"sigma of term {name!r} is {sigma}; expected a positive number")
    return lambda function: FunctionTerm(sigma=float(sigma), function=function, name=name)
