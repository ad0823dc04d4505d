"""The linear least-squares problem around a point, compressed to a small triangle and solved on the device.

Columns are scaled to unit length. If they are far from linearly dependent, the triangle is the Cholesky factor of the
normal equations, which costs half of a QR decomposition and can be vectorised; otherwise it comes from a QR
decomposition, since the condition number of normal equations is the square of that of this problem.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from ..typing import Array
from .linearised import NULL_TOLERANCE

# steps from normal equations agree with those of QR to 1e-6 if the smallest singular value exceeds this fraction of the largest
LEAST_CONDITION = 1e-4


class Compressed(NamedTuple):
    """The problem ``min |r + J d|²`` in ``n`` parameters.

    Attributes:
        triangle: ``(n, n)`` triangular factor of the Jacobian with columns of unit length.
        rotated: ``(n,)`` projection of the residuals on its columns.
        norms: ``(n,)`` lengths of the columns of the Jacobian, 1 for a column of zeros.
    """

    triangle: Array
    rotated: Array
    norms: Array


class Decomposed(NamedTuple):
    """A compressed problem in some of its parameters, the others held.

    Attributes:
        problem: problem with zero columns for held parameters.
        left, values, right: its singular value decomposition ``left @ diag(values) @ right``.
        determined: ``(n,)`` which singular directions the data determine.
    """

    problem: Compressed
    left: Array
    values: Array
    right: Array
    determined: Array

    def along(self, gain: Array) -> Array:
        """Return the step with these components along the singular directions; zero along undetermined ones."""
        return (self.right.T @ jnp.where(self.determined, gain, 0.0)) / self.problem.norms

    def step(self, damping: Array | float) -> Array:
        """Return the Levenberg-Marquardt step ``(n,)``; Gauss-Newton for ``damping = 0``."""
        values = jnp.where(self.determined, self.values, 1.0)
        return -self.along(values / (values**2 + damping) * (self.left.T @ self.problem.rotated))

    def predicted_decrease(self, step: Array) -> Array:
        """Return the decrease of ``|r|²`` that the linear model predicts for a step."""
        before = self.problem.rotated
        after = before + self.problem.triangle @ (step * self.problem.norms)
        return before @ before - after @ after

    def esd(self) -> Array:
        """Return standard uncertainties ``(n,)`` for residuals as uncertain as stated."""
        inverse = jnp.where(self.determined, 1.0 / jnp.where(self.determined, self.values, 1.0), 0.0)
        return jnp.linalg.norm(self.right.T * inverse, axis=1) / self.problem.norms


def decomposed(problem: Compressed, moving: Array) -> Decomposed:
    """Restrict the problem to the moving parameters ``(n,)`` (traceable)."""
    problem = problem._replace(triangle=jnp.where(moving, problem.triangle, 0.0))
    left, values, right = jnp.linalg.svd(problem.triangle, full_matrices=False)
    return Decomposed(problem, left, values, right, values > NULL_TOLERANCE * jnp.maximum(values[0], 1e-300))


def compressed(residuals: Array, jacobian: Array) -> Compressed:
    """Compress residuals ``(m,)`` and Jacobian ``(m, n)`` (traceable)."""
    normal, slope = jacobian.T @ jacobian, jacobian.T @ residuals
    norms = jnp.sqrt(jnp.diag(normal))
    norms = jnp.where(norms > 0, norms, 1.0)
    triangle, rotated, well = _by_cholesky(normal / norms / norms[:, None], slope / norms)
    triangle, rotated = _or_by_qr(well, triangle, rotated, jacobian, residuals, norms)
    return Compressed(triangle, rotated, norms)


def _by_cholesky(normal: Array, slope: Array) -> tuple[Array, Array, Array]:
    """Return triangle and rotated residuals, and whether they are accurate enough."""
    lower = jnp.linalg.cholesky(normal)
    inverse = jax.scipy.linalg.solve_triangular(lower, jnp.eye(len(slope), dtype=slope.dtype), lower=True)
    # from Frobenius norms, which are upper bounds of the largest singular values
    condition = 1.0 / (jnp.linalg.norm(lower) * jnp.linalg.norm(inverse))
    return lower.T, inverse @ slope, jnp.isfinite(condition) & (condition > LEAST_CONDITION)


def _by_qr(jacobian: Array, residuals: Array, norms: Array) -> tuple[Array, Array]:
    n = jacobian.shape[1]
    joined = jnp.concatenate([jacobian / norms, residuals[:, None]], axis=1)
    r = jnp.linalg.qr(joined, mode="r")
    return r[:n, :n], r[:n, n]


@custom_vmap
def _or_by_qr(well, triangle, rotated, jacobian, residuals, norms):
    given = lambda *_: (triangle, rotated)
    return jax.lax.cond(well, given, _by_qr, jacobian, residuals, norms)


@_or_by_qr.def_vmap
def _all_by_qr(axis_size, batched, well, triangle, rotated, jacobian, residuals, norms):
    """Branch once for all problems: a vectorised branch would cost each a QR, even if none needs it."""
    each = lambda array, is_batched: array if is_batched else jnp.broadcast_to(array, (axis_size, *array.shape))
    well, triangle, rotated, *rest = map(each, (well, triangle, rotated, jacobian, residuals, norms), batched)

    def some(jacobian, residuals, norms):
        found = jax.vmap(_by_qr)(jacobian, residuals, norms)
        return jnp.where(well[:, None, None], triangle, found[0]), jnp.where(well[:, None], rotated, found[1])

    return jax.lax.cond(jnp.all(well), lambda *_: (triangle, rotated), some, *rest), (True, True)
