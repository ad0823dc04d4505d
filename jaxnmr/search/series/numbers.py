"""Values of one row of a series: parameters and derived quantities, with standard uncertainties (host)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from ...crystal.cell import metric_derivative, reciprocal_metric, volume
from ...refinement.result import RefinementResult


def numbers(fit: RefinementResult, names: Collection[str]) -> tuple[dict[str, list[float]], dict[str, list[Any]]]:
    """Return values and uncertainties by name: of parameters, and of derived quantities with their units.

    Args:
        fit: result of one row.
        names: names of the parameters.
    """
    esd = np.concatenate([np.ravel(of) for of in fit.esds.values()])
    flat = np.asarray(fit.parameters.flat, dtype=float)
    place = {label: k for k, label in enumerate(fit.parameters.labels)}
    values = {name: [float(flat[place[name]]), float(esd[place[name]])] for name in names}
    derived: dict[str, list[Any]] = {}
    for phase, crystal in fit.crystals.items():
        prefix = fit.objective.phase_prefix(phase)
        rows = [place[f"{prefix}cell[{axis}]"] for axis in ("a", "b", "c", "alpha", "beta", "gamma")]
        if any(name.startswith(f"{prefix}cell[") for name in names):
            covariance = np.asarray(fit.covariance)[np.ix_(rows, rows)]
            derived[f"{prefix}volume"] = [*_volume(np.asarray(crystal.cell, dtype=float), covariance), "Å³"]
    for term in fit.evidence:
        for of, uncertainty in fit.derived(term):
            derived[f"{term}/{of.quantity}[{of.part}]"] = [float(of.value), float(uncertainty), of.unit]
    return values, derived


def _volume(cell: np.ndarray, covariance: np.ndarray) -> tuple[float, float]:
    """Return the volume in Å³ and its uncertainty, from ``d det G = det G tr(G⁻¹ dG)`` and ``V = (det G)^(1/2)``."""
    inverse = reciprocal_metric(cell)
    # order 11 22 33 12 13 23; off-diagonal elements count twice
    weights = np.array(
        [inverse[0, 0], inverse[1, 1], inverse[2, 2], 2 * inverse[0, 1], 2 * inverse[0, 2], 2 * inverse[1, 2]]
    )
    size = float(volume(cell))
    slopes = 0.5 * size * weights @ metric_derivative(cell)
    return size, float(np.sqrt(max(slopes @ covariance @ slopes, 0.0)))
