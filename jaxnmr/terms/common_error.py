"""Errors that all numbers of a term have in common: what a model gets wrong for a whole structure.

A model of tensors may be off by a constant for all sites of a structure, or by a factor, and far less from site to site. Such an
error is a nuisance parameter with a prior, data = calculated + b d + own with ``var b = s²``. It is integrated out: residuals
are whitened by ``D + s² d dᵀ`` instead of D. That is the same posterior, with no parameter to count or to free; a free
reference of shifts has the same direction d and takes the common error in, so that it costs nothing then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ..typing import Array


def decorrelated(residuals: Array, common: Array) -> Array:
    """Residuals ``(n,)`` that were whitened without a common error, whitened with it (traceable).

    With ``u = common`` and ``t = sqrt(1 + u·u)``, ``(1 + u uᵀ)^(-1/2) = 1 - u uᵀ/(t (t + 1))``. Every residual stays that of
    its datum, less what all of them agree on.

    Args:
        residuals: ``(n,)``.
        common: ``(k, n)`` standard deviations of k independent common errors, by what residuals they make; zeros do nothing.
    """
    columns = list(common)
    for k in range(len(columns)):
        residuals = _root(residuals, columns[k])
        columns[k + 1 :] = [_root(later, columns[k]) for later in columns[k + 1 :]]
    return residuals


def _root(values: Array, u: Array) -> Array:
    root = jnp.sqrt(1.0 + u @ u)
    return values - u * ((u @ values) / (root * (root + 1.0)))


class Common(NamedTuple):
    """What the data say of common errors, in units of their standard deviations (host).

    Attributes:
        values, sigma: ``(k,)`` best estimates and their standard uncertainties: 1 where the data say nothing.
    """

    values: np.ndarray
    sigma: np.ndarray


def common_errors(residuals: Array, common: Array) -> Common:
    """Best estimates of the common errors in residuals ``(n,)`` that were whitened without them; see :func:`decorrelated`."""
    columns = np.asarray(common, dtype=float)
    covariance = np.linalg.inv(np.eye(len(columns)) + columns @ columns.T)
    return Common(-covariance @ columns @ np.asarray(residuals, dtype=float), np.sqrt(np.diag(covariance)))


def log_variance(directions: Array, sigmas: Sequence[float], free: Sequence[bool]) -> float:
    """What common errors add to the logarithm of the determinant of a covariance (host).

    Where a parameter of the same direction is free, the number of data is one less instead, whatever the common error: that is
    the restricted likelihood (D. A. Harville, J. Am. Stat. Assoc. 72, 320, 1977).

    Args:
        directions: ``(k, n)`` by what each makes whitened residuals change per unit.
        sigmas: ``(k,)`` their standard deviations.
        free: ``(k,)`` whether a refinement frees a parameter of this direction.
    """
    total = 0.0
    for direction, sigma, moved in zip(np.asarray(directions, dtype=float), sigmas, free, strict=True):
        square = float(direction @ direction)
        total += float(np.log(max(square, np.finfo(float).tiny)) if moved else np.log1p(sigma**2 * square))
    return total
