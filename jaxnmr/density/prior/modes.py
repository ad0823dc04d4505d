"""Modes: normal distributions of coefficients, each from similar isotypes, among which the lines select (host)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .basis import Basis
from .isotypes import Candidates, Isotypes
from .refine import LineModel, Refined, refine_coefficients

# isotypes closer than this fraction of the spread of crystals form one mode; minimum deviation, relative to the scale
# of each function
_ALIKE, _OWN = 0.3, 0.01
# isotypes are not independent draws: log weights within a mode are divided by this
_FLATTEN = 4.0
_MODES = 4


class Mode(NamedTuple):
    """A normal distribution of coefficients.

    Attributes:
        c: ``(K,)`` mean.
        covariance: ``(K, K)``.
        log_weight: log weight relative to the other modes.
    """

    c: Float[np.ndarray, " k"]
    covariance: Float[np.ndarray, "k k"]
    log_weight: float


def modes_of(found: Candidates, isotypes: Isotypes, edge: float, basis: Basis) -> tuple[Mode, ...]:
    """Cluster isotypes into modes, the most probable first; each is seeded by the most probable isotype left."""
    all_c = basis.coefficients(isotypes.vectors(found, edge, basis.waves))
    reach = (_ALIKE**2) * (basis.scale**2).sum()
    left, modes = np.arange(len(all_c)), list[Mode]()
    while left.size and len(modes) < _MODES:
        posed = basis.poses[:, None] * all_c[left]
        distance = ((posed - all_c[left[0]]) ** 2).sum(axis=-1)
        pose, near = distance.argmin(axis=0), distance.min(axis=0) < reach
        members, logs = posed[pose, np.arange(len(left))][near], found.logs[left[near]]
        weights = np.exp((logs - logs[0]) / _FLATTEN)
        weights /= weights.sum()
        c = weights @ members
        off = members - c
        covariance = (weights[:, None] * off).T @ off + np.diag((_OWN * basis.scale) ** 2 + 1e-12)
        modes.append(Mode(c, covariance, float(np.logaddexp.reduce(logs - found.logs[0]))))
        left = left[~near]
    return tuple(modes)


def spread_of(modes: Sequence[Mode]) -> Float[np.ndarray, "k k"]:
    """Return the covariance about the first mode, including the distances to the others."""
    logs = np.array([mode.log_weight for mode in modes]) / _FLATTEN
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    about = [mode.covariance + np.outer(mode.c - modes[0].c, mode.c - modes[0].c) for mode in modes]
    return sum(w * of for w, of in zip(weights, about, strict=True))


def refine_modes(
    model: LineModel,
    areas: Float[np.ndarray, " lines"],
    sigma: Float[np.ndarray, " lines"],
    modes: Sequence[Mode],
    widths: Sequence[float] = (1.0,),
) -> Refined:
    """Refine every mode and return that of highest evidence; the covariance includes the others.

    Args:
        model, areas, sigma: as of `refine_coefficients`.
        modes: modes to start from.
        widths: trial factors on the standard deviations of each, with equal prior weights.
    """
    found = [
        refine_coefficients(model, areas, sigma, mode.c, mode.covariance * width**2)._replace(width=float(width))
        for mode in modes
        for width in widths
    ]
    logs = np.array([of.log_evidence for of in found])
    weights = np.exp(logs - logs.max())
    total = float(logs.max() + np.log(weights.sum() / len(weights)))
    weights /= weights.sum()
    best = found[int(logs.argmax())]
    covariance = sum(
        w * (of.covariance + np.outer(of.c - best.c, of.c - best.c)) for w, of in zip(weights, found, strict=True)
    )
    return best._replace(covariance=covariance, log_evidence=total)
