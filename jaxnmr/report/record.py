"""The numbers of a refinement as one record of plain values, ready for strict JSON."""

from __future__ import annotations

import hashlib
import math
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..crystal import volume
from .joint import model_records, term_records
from .spectra import derived_sites, predicted_sites

if TYPE_CHECKING:
    from ..refinement.result import RefinementResult

SCHEMA = 1
_PACKAGES = ("jaxnmr", "jax", "jaxlib", "numpy", "scipy", "gemmi")


def result_record(fit: RefinementResult, run: Any = None) -> dict[str, Any]:
    """Everything in ``result.json``: plain dictionaries, lists, texts and finite numbers, ``None`` for the rest."""
    record = {
        "schema": SCHEMA,
        "title": getattr(run, "title", ", ".join(fit.crystals or fit.spectra)),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
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
        "histograms": {name: vars(fit.statistics[name]) for name in fit.patterns},
        "spectra": {name: _spectrum(fit, name) for name in fit.spectra},
        "terms": term_records(fit),
        "models": model_records(fit),
        "phases": {name: _phase(fit, name) for name in fit.crystals},
        "parameters": parameter_rows(fit),
        "information": _information(fit),
        "correlations": [list(row) for row in fit.correlations],
        "null_directions": list(fit.null_directions),
        "suggestions": [{"parameter": name, "expected_chi2_decrease": gain} for name, gain in fit.suggestions],
        "warnings": list(fit.warnings),
        "history": [vars(step) for step in fit.steps],
        "versions": versions(),
        "device": device(),
        "inputs": [_fingerprint(path) for path in getattr(run, "inputs", ())],
    }
    return _plain(record)


def _information(fit: RefinementResult) -> dict[str, Any]:
    """Share of every term in the variance of every parameter and position, and the esds without it."""
    info = fit.information
    return {
        "terms": list(info.terms),
        "parameters": [
            {"name": name, "esd": esd, "shares": shares, "esd_without": without}
            for name, esd, shares, without in zip(info.names, info.esd, info.shares, info.without, strict=True)
        ],
        "atoms": [vars(atom) for atom in info.atoms],
    }


def _spectrum(fit: RefinementResult, name: str) -> dict[str, Any]:
    data = fit.spectra[name]
    return {
        **vars(fit.statistics[name]),
        "isotope": data.isotope,
        "larmor_hz": data.larmor_hz,
        "region_ppm": data.region_ppm,
        "sites": data.labels,
        "predicted": predicted_sites(fit, name),
        "derived": [row._asdict() for row in derived_sites(fit, name)],
    }


def parameter_rows(fit: RefinementResult) -> list[dict[str, Any]]:
    """One row per parameter element: name, value, esd, esd inflated for serial correlation, unit, free, bounds, tie."""
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


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers."""
    found = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def device() -> str:
    """What JAX computes on, for example ``"cpu: cpu"`` or ``"gpu: NVIDIA H200"``."""
    import jax

    first = jax.devices()[0]
    return f"{first.platform}: {first.device_kind}"


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


def _fingerprint(path: Path) -> dict[str, Any]:
    """Name, size and SHA-256 of an input file (the folder is left out: it says nothing on another machine)."""
    try:
        data = path.read_bytes()
    except OSError:
        return {"file": path.name, "bytes": None, "sha256": None}
    return {"file": path.name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _plain(value: Any) -> Any:
    """Plain Python values; numbers that JSON does not know become ``None``."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray) or hasattr(value, "__jax_array__") or hasattr(value, "addressable_shards"):
        return _plain(np.asarray(value).tolist())
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value if value is None else str(value)
