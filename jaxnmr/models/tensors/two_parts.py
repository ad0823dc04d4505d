"""Errors of learned tensors in two parts: common to all sites of a structure, and independent at each site.

The common part of a structure is one number per irrep, in a direction that rotates with the tensors: for l = 0 a
constant, for higher ranks a factor of the predicted components (a slope). With u the direction at each site, errors are

    e_i = c u_i + own_i,    var c = A^2 + (B S)^2,    var own_i = a^2 + (b spread_i)^2,

S being the spread of a structure in the unit of c. Then c is a random effect (G. K. Robinson, Statist. Sci. 6, 15,
1991): its best estimate in a structure is a mean weighted by the inverse own variances, and the remaining error at a
site has ``(1 - h)`` times its own variance, with the leverage h. A and B have a flat prior on their scale (A. Gelman,
Bayesian Anal. 1, 515, 2006): with few structures their posterior is wide, and they are never zero by chance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..._arrays import is_concrete
from ...typing import Array

# with fewer structures the scatter between them is unknown, and errors have one part
FEWEST_STRUCTURES = 5
# leverage beyond which nothing remains of the error of a site
_ALONE = 1.0 - 1e-6
# candidates for the fraction of the spread in the variance of a structure of median spread
_SHARES = (0.0, 0.03, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97)
_ROUNDS = 6


class Errors(NamedTuple):
    """Errors of one irrep of one element.

    Attributes:
        error, along: ``(atoms, dim)`` error, and direction of the common part.
        spread, weight: ``(atoms,)`` spread of an ensemble, and number of equivalent atoms.
        structure: ``(atoms,)`` index of the structure, from 0 without gaps.
    """

    error: np.ndarray
    along: np.ndarray
    spread: np.ndarray
    weight: np.ndarray
    structure: np.ndarray

    @property
    def structures(self) -> int:
        """Number of structures."""
        return int(self.structure.max()) + 1

    def total(self, values: np.ndarray) -> np.ndarray:
        """Return sums over the atoms of every structure, ``(structures,)``."""
        return np.bincount(self.structure, values, minlength=self.structures)

    def structure_spread(self) -> np.ndarray:
        """Return S ``(structures,)``, the spread in the unit of the common part."""
        size = self.total(self.weight * np.sum(self.along**2, axis=1)) / self.error.shape[1]
        return np.sqrt(self.total(self.weight * self.spread**2) / np.maximum(size, np.finfo(float).tiny))


class Parts(NamedTuple):
    """Errors separated into two parts.

    Attributes:
        common: ``(structures,)`` best estimate of c, and ``precision`` the inverse of its variance from own errors.
        own: ``(atoms, dim)`` remaining error, rescaled by its leverage to the size of an own error.
        several: ``(atoms,)`` whether anything remains, that is, whether the structure has other sites for comparison.
    """

    common: np.ndarray
    precision: np.ndarray
    own: np.ndarray
    several: np.ndarray


def direction(predicted: np.ndarray, rank: int) -> np.ndarray:
    """Return the direction of the common part ``(atoms, dim)``: 1 for scalars, otherwise the prediction."""
    return np.ones_like(predicted) if rank == 0 else predicted


def take_apart(errors: Errors, variance: np.ndarray) -> Parts:
    """Estimate both parts, given own variances ``(atoms,)`` of a component."""
    sizes = np.sum(errors.along**2, axis=1)
    precision = np.maximum(errors.total(sizes / variance), np.finfo(float).tiny)
    common = errors.total(np.sum(errors.error * errors.along, axis=1) / variance) / precision
    left = errors.error - common[errors.structure, None] * errors.along
    leverage = sizes / variance / precision[errors.structure]
    several = leverage < _ALONE
    # only the component along u is reduced
    unit = errors.along / np.sqrt(np.maximum(sizes, np.finfo(float).tiny))[:, None]
    missing = 1.0 / np.sqrt(1.0 - np.where(several, leverage, 0.0)) - 1.0
    own = left + (missing * np.sum(left * unit, axis=1))[:, None] * unit
    return Parts(common, precision, own, several)


def own_part(
    errors: Errors, fit: Callable[[np.ndarray, np.ndarray], tuple[float, float, float]]
) -> tuple[Parts, tuple[float, float, float]]:
    """Separate errors with self-consistent own variances.

    Args:
        errors: errors of an irrep.
        fit: function from errors ``(atoms, dim)`` and spreads ``(atoms,)`` to a, b and degrees of freedom.
    """
    found = (1.0, 0.0, 1000.0)
    for _ in range(_ROUNDS):
        before, parts = found, take_apart(errors, found[0] ** 2 + (found[1] * errors.spread) ** 2)
        found = fit(parts.own[parts.several], errors.spread[parts.several])
        if abs(found[0] - before[0]) < 1e-3 * before[0] and abs(found[1] - before[1]) <= 1e-3 * before[1]:
            break
    return take_apart(errors, found[0] ** 2 + (found[1] * errors.spread) ** 2), found


def common_part(common: np.ndarray, variance: np.ndarray, spread: np.ndarray) -> tuple[float, float]:
    """Return A and B of the common part.

    Args:
        common: ``(structures,)`` estimates of c; ``variance`` their variances from own errors.
        spread: ``(structures,)`` S.
    """
    typical = float(np.median(spread))
    most = 8.0 * float(np.sqrt(np.mean(common**2) + np.mean(variance)))
    scales = np.linspace(0.0, most, 801)[1:, None]
    best = (-np.inf, 0.0, 0.0)
    for share in _SHARES if typical > 0 else (0.0,):
        unit = (1.0 - share) + (share * (spread / typical) ** 2 if typical > 0 else 0.0)
        total = scales**2 * unit + variance
        log = -0.5 * np.sum(np.log(total) + common**2 / total, axis=1)
        evidence = float(np.logaddexp.reduce(log))
        if evidence > best[0]:
            chance = np.exp(log - log.max())
            best = (evidence, float(chance @ scales[:, 0] ** 2 / chance.sum()), share)
    _, square, share = best
    return float(np.sqrt(square * (1.0 - share))), float(np.sqrt(square * share)) / typical if share else 0.0


def common_sigma(entry: Any, k: int, spread: Array, along: Array | None, weight: Array) -> Array:
    """Return the standard deviation of a structure's common part: for scalars that of a component, else a ratio.

    Args:
        entry: calibration of an element.
        k: index of the irrep.
        spread, weight: ``(sites,)`` of the sites of the element.
        along: ``(sites, dim)`` predicted components; ``None`` for scalars.
    """
    # imported here because arguments may be tracers
    import jax.numpy as jnp

    xp = np if is_concrete(spread, along, weight) else jnp
    if "common" not in entry:
        return xp.zeros(())
    weight = xp.asarray(weight)
    size = xp.sum(weight) if along is None else xp.sum(weight * xp.mean(xp.asarray(along) ** 2, axis=1))
    mean = xp.sum(weight * xp.asarray(spread) ** 2) / xp.maximum(size, np.finfo(np.float32).tiny)
    a, b = (entry["common"][name][k] for name in "ab")
    return xp.sqrt(a**2 + b**2 * mean)
