"""Which data fix which parameters: what every term adds to what is known (host)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .._tables import plain
from .linearised import Linearised

if TYPE_CHECKING:
    from ..crystal import Crystal

# directions that keep less than this part of their information without a term are lost without it
_LOST = 1e-9


@dataclass(frozen=True, eq=False)
class AtomInformation:
    """What fixes the position of a site.

    Attributes:
        label: of the site; ``phase`` it belongs to.
        esd: root of the trace of the covariance of its position, Å.
        shares: by term, summing to 1.
        without: by term, the same esd if that term were left out; infinite where the rest does not fix the position.
    """

    label: str
    phase: str
    esd: float
    shares: dict[str, float]
    without: dict[str, float]


@dataclass(frozen=True, eq=False)
class Information:
    """How the terms of an objective share in fixing its parameters, around a minimum.

    The covariance of a fit is ``C = (sum_t F_t)^-1`` with the information ``F_t = J_t^T J_t`` of every term. A share is
    ``(C F_t C)_pp / C_pp``: the part of the variance of a parameter that stems from the uncertainty of the data of one
    term. Shares sum to 1. A parameter that only one term knows has the share 1 there; one with the share 0 is known no
    better for that term. Since a term also helps through the parameters it shares with others, the uncertainty that
    remains without it is given beside.

    Attributes:
        names: refined parameters.
        terms: names of the terms.
        shares: ``(parameters, terms)``.
        esd: ``(parameters,)`` with all terms, for residuals as uncertain as they claim (no goodness of fit); 0 for a parameter
            that nothing determines.
        without: ``(parameters, terms)`` the same with one term left out; infinite where the parameter is then undetermined.
        atoms: the same for every site whose position is refined.
        determined: ``(terms,)`` how many of the refined numbers each term determines; they sum to all that are determined.
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
        """``(parameters, terms)`` how many times larger the esd is without a term; infinite for what nothing determines."""
        known = self.esd > 0
        return np.where(known[:, None], self.without / np.where(known, self.esd, 1.0)[:, None], np.inf)

    def __str__(self) -> str:
        """A table: parameters by terms, shares in per cent and how much larger the esd is without the term."""
        cell = lambda share, growth: f"{100 * share:.0f} % ({times_larger(growth)})"
        rows = [
            (name, f"{self.esd[k]:.3g}", *map(cell, self.shares[k], self.growth[k]))
            for k, name in enumerate(self.names)
        ]
        table = plain(("parameter", "esd", *self.terms), rows)
        return "\n".join([table, "share of the term in the variance (how many times larger the esd is without it)"])


class InformationParts:
    """The information of every term in the frame where that of all is the unit matrix.

    Args:
        problem: all residuals, the columns that are refined.
        jacobian: ``(residuals, columns)`` the same columns.
        rows: by term, which residuals are its.
    """

    def __init__(self, problem: Linearised, jacobian: np.ndarray, rows: Mapping[str, slice]):
        self.frame = problem.whitening()
        self.parts = {}
        for name, of in rows.items():
            block = jacobian[of] @ self.frame
            self.parts[name] = block.T @ block

    def determined_by(self, name: str) -> float:
        """How many of the refined numbers a term determines; all terms together determine all of them."""
        return float(np.trace(self.parts[name]))

    def covariance(self, inflation: Mapping[str, float] | None = None) -> np.ndarray:
        """Covariance ``(columns, columns)`` of the fit when residuals of a term scatter ``inflation`` times more than they claim.

        The estimate stays the one that was made with the weights as they were: ``C (sum_t g_t^2 F_t) C``.
        """
        inflation = inflation or {}
        middle = sum(inflation.get(name, 1.0) ** 2 * part for name, part in self.parts.items())
        return self.frame @ middle @ self.frame.T

    def of(self, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Shares ``(n, terms)``, esds ``(n,)`` and esds without each term ``(n, terms)`` of linear functions ``(n, columns)``."""
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
    """Tables from the parts.

    Args:
        parts: see above.
        names: of the columns.
        scale: ``(columns,)`` physical units per column.
        positions: by phase and label of a site, ``(3, columns)`` how its Cartesian position in Å follows the columns.
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
    """How the Cartesian positions of all sites follow the columns of a transform, for :func:`information`.

    A change of the cell moves atoms too; here the cell is held, so that coordinates are what is asked about.
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
    """Variances of directions when a part of the unit information is taken away; infinite where nothing is left."""
    values, vectors = np.linalg.eigh(np.eye(len(part)) - part)
    left = along @ vectors
    lost = values < _LOST
    variance = np.sum(left[:, ~lost] ** 2 / values[~lost], axis=1)
    size = np.sum(left**2, axis=1)
    return np.where(np.sum(left[:, lost] ** 2, axis=1) > 1e-6 * size, np.inf, variance)


def times_larger(ratio: float) -> str:
    """``×2.5``, or ``∞`` for a ratio that is not finite."""
    return "∞" if not np.isfinite(ratio) else f"×{ratio:.2f}" if ratio < 100 else f"×{ratio:.0f}"
