"""The normal equations of an objective: what a step needs of a Jacobian, at about half the price of the dense product.

Sums of products of columns are symmetric: only blocks on and above the diagonal are calculated. Terms that know how their
Jacobian comes about say what its products are without writing it down (:meth:`jaxnmr.objective.Term.normal`).
"""

from __future__ import annotations

import jax

from .._struct import compiled
from .objective import Objective, state_and_tangents
from .parameters import Layout


@compiled(kept=True, static_argnums=0)
def normal_equations(
    layout: Layout, objective: Objective, offset, transform, theta
) -> tuple[jax.Array, jax.Array, jax.Array]:
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
