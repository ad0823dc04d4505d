"""Numbers of a refinement as one record of plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._record import envelope
from ..crystal import volume
from .learned import model_records

if TYPE_CHECKING:
    from ..refinement.result import RefinementResult


def result_record(fit: RefinementResult, run: Any = None) -> dict[str, Any]:
    """Return the content of ``result.json``: an envelope of the kind ``"refinement"``, see `jaxnmr._record`."""
    result = {
        "status": fit.status,
        "message": fit.message,
        "converged": fit.converged,
        "steps": len(fit.steps),
        "seconds": fit.seconds,
        "compile_seconds": fit.compile_seconds,
        "n_parameters": fit.parameters.n_free,
        "n_observations": fit.n_observations,
        "n_restraints": fit.n_restraints,
        "chi2": fit.steps[-1].chi2 if fit.steps else None,
        "weighted": fit.weighted,
        "variance_components": None if fit.components is None else [vars(of) for of in fit.components.components],
        "terms": {name: _term(fit, name) for name in fit.evidence},
        "models": model_records(fit.objective),
        "phases": {name: _phase(fit, name) for name in fit.crystals},
        "parameters": parameter_rows(fit),
        "information": _information(fit),
        "correlations": [list(row) for row in fit.correlations],
        "null_directions": list(fit.null_directions),
        "suggestions": [{"parameter": name, "expected_chi2_decrease": gain} for name, gain in fit.suggestions],
        "warnings": list(fit.warnings),
        "history": [vars(step) for step in fit.steps],
    }
    title = getattr(run, "title", ", ".join(fit.crystals or fit.evidence))
    return envelope("refinement", title, result, inputs=getattr(run, "inputs", ()))


def _term(fit: RefinementResult, name: str) -> dict[str, Any]:
    """Return the evidence of a term, its agreement, and quantities derived from its parameters."""
    derived = [
        {"part": of.part, "quantity": of.quantity, "value": of.value, "esd": esd, "unit": of.unit}
        for of, esd in fit.derived(name)
    ]
    return {**fit.evidence[name].record(), "statistics": fit.statistics[name].record(), "derived": derived}


def _information(fit: RefinementResult) -> dict[str, Any]:
    """Return the share of every term in the variance of every parameter and position, and the esds without it."""
    info = fit.information
    return {
        "terms": list(info.terms),
        "parameters": [
            {"name": name, "esd": esd, "shares": shares, "esd_without": without}
            for name, esd, shares, without in zip(info.names, info.esd, info.shares, info.without, strict=True)
        ],
        "atoms": [vars(atom) for atom in info.atoms],
    }


def parameter_rows(fit: RefinementResult) -> list[dict[str, Any]]:
    """Return one row per parameter element: name, value, esd, esd with serial correlation, unit, free, bounds, tie."""
    rows = []
    position: dict[str, int] = {}
    for row in fit.parameters.rows():
        name = row.name.split("[")[0]
        k = position.get(name, 0)
        position[name] = k + 1
        rows.append(
            {
                "name": row.name,
                "value": row.value,
                "esd": _element(fit.esds, name, k),
                "esd_scor": _element(fit.esds_scor, name, k),
                "unit": row.unit,
                "free": row.free,
                "lower": row.lower,
                "upper": row.upper,
                "tied_to": row.tied_to,
            }
        )
    return rows


def _phase(fit: RefinementResult, name: str) -> dict[str, Any]:
    crystal = fit.crystals[name]
    prefix = "" if len(fit.crystals) == 1 else f"{name}/"
    return {
        "spacegroup": crystal.group.name,
        "cell": np.asarray(crystal.cell, dtype=float),
        "cell_esd": np.asarray(fit.esds.get(f"{prefix}cell", np.zeros(6)), dtype=float),
        "volume": float(volume(np.asarray(crystal.cell, dtype=float))),
        "nonpositive_displacements": list(crystal.nonpositive_displacements()),
        "sites": [
            {
                "label": label,
                "species": species,
                "xyz": np.asarray(crystal.xyz)[k],
                "occupancy": float(np.asarray(crystal.occupancy)[k]),
                "u_iso": None if crystal.anisotropic[k] else float(np.asarray(crystal.u_iso)[k]),
                "u_aniso": np.asarray(crystal.u_aniso)[k] if crystal.anisotropic[k] else None,
            }
            for k, (label, species) in enumerate(zip(crystal.labels, crystal.species, strict=True))
        ],
    }


def _element(table: dict[str, np.ndarray], name: str, index: int) -> float | None:
    if name not in table:
        return None
    return float(np.asarray(table[name], dtype=float).reshape(-1)[index])
