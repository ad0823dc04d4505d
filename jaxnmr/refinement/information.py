"""Information of each term on each parameter (host)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .._tables import plain
from .linearised import Linearised

if TYPE_CHECKING:
    from ..crystal import Crystal

# directions that retain less than this fraction of their information without a term are undetermined without it
_LOST = 1e-9


@dataclass(frozen=True, eq=False)
class AtomInformation:
    """Information on the position of a site.

    Attributes:
        label: label of the site; ``phase`` its phase.
        esd: square root of the trace of the covariance of its position, Å.
        shares: by term, summing to 1.
        without: by term, the esd without that term; infinite if the other terms do not determine the position.
    """

    label: str
    phase: str
    esd: float
    shares: dict[str, float]
    without: dict[str, float]


@dataclass(frozen=True, eq=False)
class Information:
    """Contributions of the terms of an objective to the determination of its parameters, around a minimum.

    The covariance of a fit is ``C = (sum_t F_t)^-1`` with the information ``F_t = J_t^T J_t`` of every term. A share is
    ``(C F_t C)_pp / C_pp``: the part of the variance of a parameter that stems from the uncertainty of the data of one
    term. Shares sum to 1. A parameter that only one term determines has the share 1 there; with a share of 0 the term
    does not contribute. Since a term also helps through the parameters it shares with others, the uncertainty without
    it is given as well.

    Attributes:
        names: names of the refined parameters.
        terms: names of the terms.
        shares: ``(parameters, terms)``.
        esd: ``(parameters,)`` standard uncertainties with all terms and residuals as uncertain as stated (no goodness
            of fit); 0 for undetermined parameters.
        without: ``(parameters, terms)`` standard uncertainties without one term; infinite if the parameter is then
            undetermined.
        atoms: the same for every site with refined position.
        determined: ``(terms,)`` number of refined parameters each term determines; the sum is the number of all
            determined ones.
    """

    names: tuple[str, ...]
    terms: tuple[str, ...]
    shares: np.ndarray
    esd: np.ndarray
    without: np.ndarray
    atoms: tuple[AtomInformation, ...] = field(default=())
    determined: tuple[float, ...] = field(default=())

    @property
    def growth(self) -> np.ndarray:
        """Ratio of the esd without a term to that with all, ``(parameters, terms)``; infinite if undetermined."""
        known = self.esd > 0
        return np.where(known[:, None], self.without / np.where(known, self.esd, 1.0)[:, None], np.inf)

    def __str__(self) -> str:
        """Return a table of parameters by terms: shares in per cent, and growth of the esd without the term."""
        cell = lambda share, growth: f"{100 * share:.0f} % ({times_larger(growth)})"
        rows = [
            (name, f"{self.esd[k]:.3g}", *map(cell, self.shares[k], self.growth[k]))
            for k, name in enumerate(self.names)
        ]
        table = plain(("parameter", "esd", *self.terms), rows)
        return "\n".join([table, "share of the term in the variance (how many times larger the esd is without it)"])


class InformationParts:
    """Information of every term in the frame in which the total is the unit matrix.

    Args:
        problem: least-squares problem of all residuals, in the refined columns.
        jacobian: ``(residuals, columns)`` for the same columns.
        rows: rows of each term.
    """

    def __init__(self, problem: Linearised, jacobian: np.ndarray, rows: Mapping[str, slice]):
        self.frame = problem.whitening()
        self.parts = {}
        for name, of in rows.items():
            block = jacobian[of] @ self.frame
            self.parts[name] = block.T @ block

    def determined_by(self, name: str) -> float:
        """Return the number of refined parameters a term determines; the sum over terms is the number of parameters."""
        return float(np.trace(self.parts[name]))

    def covariance(self, inflation: Mapping[str, float] | None = None) -> np.ndarray:
        """Return the covariance ``(columns, columns)`` of the fit for residuals that scatter ``inflation`` times more.

        The estimate remains the one made with the given weights: ``C (sum_t g_t^2 F_t) C``.
        """
        inflation = inflation or {}
        middle = sum(inflation.get(name, 1.0) ** 2 * part for name, part in self.parts.items())
        return self.frame @ middle @ self.frame.T

    def of(self, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return shares ``(n, terms)``, esds ``(n,)`` and esds without each term, of linear functions ``(n, columns)``."""
        along = directions @ self.frame
        variance = np.sum(along**2, axis=1)
        shares = [np.einsum("pi,ij,pj->p", along, part, along) for part in self.parts.values()]
        without = [_variance_without(along, part) for part in self.parts.values()]
        safe = np.where(variance > 0, variance, 1.0)
        return np.stack(shares, axis=1) / safe[:, None], np.sqrt(variance), np.sqrt(np.stack(without, axis=1))


def information(
    parts: InformationParts,
    names: tuple[str, ...],
    scale: np.ndarray,
    positions: Mapping[tuple[str, str], np.ndarray],
) -> Information:
    """Make the tables of `Information`.

    Args:
        parts: information of every term.
        names: names of the columns.
        scale: ``(columns,)`` physical units per column.
        positions: derivatives ``(3, columns)`` of the Cartesian position in Å, by phase and label of a site.
    """
    terms = tuple(parts.parts)
    shares, esd, without = parts.of(np.diag(scale))
    atoms = []
    for (phase, label), slopes in positions.items():
        if not slopes.any():
            continue
        part, each, left = parts.of(slopes)
        total = float(np.sum(each**2))
        if total == 0.0:
            continue
        atoms.append(
            AtomInformation(
                label=label,
                phase=phase,
                esd=float(np.sqrt(total)),
                shares=dict(zip(terms, (each**2 @ part / total).tolist(), strict=True)),
                without=dict(zip(terms, np.sqrt(np.sum(left**2, axis=0)).tolist(), strict=True)),
            )
        )
    determined = tuple(parts.determined_by(name) for name in terms)
    return Information(names, terms, shares, esd, without, tuple(atoms), determined)


def position_slopes(crystals: Mapping[str, Crystal], spec, transform: np.ndarray, prefix) -> dict:
    """Return derivatives of the Cartesian positions of all sites by the columns of a transform, for :func:`information`.

    A change of the cell moves atoms too; here the cell is held, so that the result refers to coordinates.
    """
    place = {label: k for k, label in enumerate(spec.labels)}
    out = {}
    for phase, crystal in crystals.items():
        lattice = np.asarray(crystal.lattice(), dtype=float)
        for label in crystal.labels:
            rows = [place[f"{prefix(phase)}xyz[{label}.{axis}]"] for axis in "xyz"]
            out[phase, label] = lattice.T @ transform[rows]
    return out


def _variance_without(along: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return variances of directions if a part of the unit information is removed; infinite if nothing is left."""
    values, vectors = np.linalg.eigh(np.eye(len(part)) - part)
    left = along @ vectors
    lost = values < _LOST
    variance = np.sum(left[:, ~lost] ** 2 / values[~lost], axis=1)
    size = np.sum(left**2, axis=1)
    return np.where(np.sum(left[:, lost] ** 2, axis=1) > 1e-6 * size, np.inf, variance)


def times_larger(ratio: float) -> str:
    """Write a ratio as ``×2.5``, or ``∞`` if it is not finite."""
    return "∞" if not np.isfinite(ratio) else f"×{ratio:.2f}" if ratio < 100 else f"×{ratio:.0f}"
