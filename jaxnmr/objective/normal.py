"""Normal equations of an objective: all that a step needs of the Jacobian if its columns are well conditioned.

Terms with many residuals accumulate the products of their columns block by block and never form the Jacobian
(:meth:`jaxnmr.objective.Term.normal`); the Jacobian of the other terms is formed.
"""

from __future__ import annotations

from .._struct import compiled
from ..typing import Array
from .objective import Objective, state_and_tangents
from .parameter_spec import Layout


@compiled(kept=True, static_argnums=0)
def normal_equations(layout: Layout, objective: Objective, offset, transform, theta) -> tuple[Array, Array, Array]:
    """Return residuals ``r``, ``JᵀJ`` and ``Jᵀr`` by scaled ``theta``, including weights and losses of terms.

    ``r`` and ``J`` are those of :func:`jaxnmr.objective.objective.residuals_and_jacobian`, which must be used if the
    condition number of the columns, squared here, is too large for normal equations.

    Args:
        layout: layout of the vector of values.
        objective: objective planned for these values.
        offset, transform: values are ``offset + transform @ theta``.
        theta: ``(n,)`` refined parameters.

    Returns:
        ``(m,)``, ``(n, n)`` and ``(n,)``; all in the floating-point type of ``theta``.
    """
    r, products, gradient = objective._normal(*state_and_tangents(layout, objective, offset, transform, theta))
    return r, 0.5 * (products + products.T), gradient
