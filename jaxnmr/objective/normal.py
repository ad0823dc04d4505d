"""The normal equations of an objective: all that a step needs of a Jacobian, where the columns are well conditioned.

Terms of many residuals add up the products of their columns stretch by stretch and never write the Jacobian down
(:meth:`jaxnmr.objective.Term.normal`); of the others the Jacobian is taken.
"""

from __future__ import annotations

from .._struct import compiled
from ..typing import Array
from .objective import Objective, state_and_tangents
from .parameter_spec import Layout


@compiled(kept=True, static_argnums=0)
def normal_equations(layout: Layout, objective: Objective, offset, transform, theta) -> tuple[Array, Array, Array]:
    """Residuals ``r``, ``JᵀJ`` and ``Jᵀr`` by scaled ``theta``, weights and losses of terms included.

    The same ``r`` and ``J`` as of :func:`jaxnmr.objective.objective.residuals_and_jacobian`, which serves where the condition
    of the columns, squared here, is too large for normal equations.

    Args:
        layout: of the vector of values.
        objective: planned for these values.
        offset, transform: values are ``offset + transform @ theta``.
        theta: ``(n,)`` refined numbers.

    Returns:
        ``(m,)``, ``(n, n)`` and ``(n,)``; all of the float type of theta.
    """
    r, products, gradient = objective._normal(*state_and_tangents(layout, objective, offset, transform, theta))
    return r, 0.5 * (products + products.T), gradient
