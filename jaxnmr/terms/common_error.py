"""Errors common to all values of a term: the error of a model for a whole structure.

A model of tensors may be off by a constant for all sites of a structure, or by a factor, and by far less from site to
site. Such an error is a nuisance parameter b with a prior: data = calculated + b d + own error, ``var b = s²``. It is
integrated out: residuals are whitened by ``D + s² d dᵀ`` instead of D. The posterior is the same, without a parameter
to count or to free. A free reference of shifts has the same direction d and absorbs the common error, which then has no
effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ..typing import Array


def decorrelated(residuals: Array, common: Array) -> Array:
    """Whiten residuals ``(n,)`` for a common error, after whitening without it (traceable).

    With ``u = common`` and ``t = sqrt(1 + u·u)``, ``(1 + u uᵀ)^(-1/2) = 1 - u uᵀ/(t (t + 1))``. Every residual remains
    that of its datum, less the common part.

    Args:
        residuals: ``(n,)``.
        common: ``(k, n)`` residuals caused by one standard deviation of each of k independent common errors; zeros have
            no effect.
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
    """Estimates of common errors, in units of their standard deviations (host).

    Attributes:
        values, sigma: ``(k,)`` estimates and their standard uncertainties; 1 if the data contain no information.
    """

    values: np.ndarray
    sigma: np.ndarray


def common_errors(residuals: Array, common: Array) -> Common:
    """Return estimates of the common errors in residuals ``(n,)`` whitened without them; see :func:`decorrelated`."""
    columns = np.asarray(common, dtype=float)
    covariance = np.linalg.inv(np.eye(len(columns)) + columns @ columns.T)
    return Common(-covariance @ columns @ np.asarray(residuals, dtype=float), np.sqrt(np.diag(covariance)))


def log_variance(directions: Array, sigmas: Sequence[float], free: Sequence[bool]) -> float:
    """Return the contribution of common errors to the log determinant of a covariance (host).

    If a parameter of the same direction is free, the effective number of data is one less instead, whatever the common
    error: this is the restricted likelihood (D. A. Harville, J. Am. Stat. Assoc. 72, 320, 1977).

    Args:
        directions: ``(k, n)`` change of whitened residuals per unit of each error.
        sigmas: ``(k,)`` standard deviations.
        free: ``(k,)`` whether a refinement frees a parameter of this direction.
    """
    total = 0.0
    for direction, sigma, moved in zip(np.asarray(directions, dtype=float), sigmas, free, strict=True):
        square = float(direction @ direction)
        total += float(np.log(max(square, np.finfo(float).tiny)) if moved else np.log1p(sigma**2 * square))
    return total
