"""A determination as plain values, and the part that a later one resumes from (host)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._record import envelope, plain, read_record, write_record
from ...crystal import Crystal, SpaceGroup
from ...errors import ConventionError
from ..checks.preferred_orientation import Texture
from ..direct.contents import Contents
from ..direct.solutions import Solution, Solutions
from ..handover import profile_factor
from ..records import CellCandidate, Peaks

if TYPE_CHECKING:
    from ...diffraction import Pattern
    from .outcome import Attempt, Determination

_CELL = (
    "cell",
    "niggli",
    "lattice",
    "zero",
    "displacement",
    "indexed",
    "unindexed",
    "possible",
    "m20",
    "log_evidence",
    "probability",
    "rwp",
)
_PEAKS = ("two_theta", "sigma", "area", "sigma_area", "fwhm", "humps")


def determination_record(found: Determination) -> dict[str, Any]:
    """Return the results of every step."""
    return {
        "status": found.status,
        "reason": found.reason,
        "composition": found.composition,
        "seconds": found.seconds,
        "notes": found.notes,
        "peaks": peaks_record(found.peaks),
        "cells": [cell_record(c) for c in found.cells],
        "extractions": [
            {
                "cell": e.cell, "cell_esd": e.cell_esd, "group": e.group.name, "rwp": e.rwp, "gof": e.gof,
                "reflections": len(e.hkl), "groups": len(e.intensities),
            }
            for e in found.extractions
        ],
        "extinctions": [
            [
                {
                    "symbol": row.symbol, "groups": [g.name for g in row.groups], "log_evidence": row.log_evidence,
                    "probability": row.probability, "absent": row.absent, "worst": row.worst,
                }
                for row in table.rows
            ]
            for table in found.extinctions
        ],
        "attempts": [attempt_record(a) for a in found.attempts],
        "refinements": [
            {"group": f.crystal.group.name, "rwp": profile_factor(f), "converged": f.converged, "parameters": f.parameters.n_free,
             "energy_ev_per_atom": e if np.isfinite(e) else None}
            for f, e in zip(found.fits, found.energies, strict=True)
        ],
    }  # fmt: skip


def peaks_record(peaks: Peaks) -> dict[str, Any]:
    """Return lines and humps as plain values."""
    return {"wavelength": peaks.wavelength, "notes": peaks.notes, **{name: getattr(peaks, name) for name in _PEAKS}}


def cell_record(one: CellCandidate) -> dict[str, Any]:
    """Return a candidate cell as plain values."""
    return {name: getattr(one, name) for name in _CELL} | {"group": _group_record(one.group)}


def attempt_record(attempt: Attempt) -> dict[str, Any]:
    """Return a search for atoms with all of its structures as plain values."""
    found = attempt.solutions
    return {
        "cell": attempt.cell,
        "group": _group_record(attempt.rung.group),
        "symbol": attempt.rung.symbol,
        "probability": attempt.rung.probability,
        "bic": attempt.bic,
        **_fields(found, "solutions", "texture"),
        "texture": None if found.texture is None else vars(found.texture),
        "possible": [vars(one) for one in found.possible],
        "solutions": [
            _fields(s, "crystal") | _atoms_record(s.crystal)
            for s in found.solutions
        ],
    }  # fmt: skip


def crystal_record(crystal: Crystal) -> dict[str, Any]:
    """Return a structure with isotropic displacements and full sites as plain values."""
    return {"group": _group_record(crystal.group)} | _atoms_record(crystal)


def crystal_of_record(record: Mapping[str, Any]) -> Crystal:
    """Restore a structure."""
    return _crystal(record, _group_of(record["group"]))


def cell_of_record(record: Mapping[str, Any]) -> CellCandidate:
    """Restore a candidate cell."""
    plain = {name: record[name] for name in _CELL}
    for name in ("cell", "niggli"):
        plain[name] = np.array(plain[name], dtype=float)
    for name in ("m20", "log_evidence"):
        plain[name] = float("nan") if plain[name] is None else plain[name]
    return CellCandidate(group=_group_of(record["group"]), **plain)


def solutions_of_record(record: Mapping[str, Any]) -> Solutions:
    """Restore the structures of a search."""
    group = _group_of(record["group"])
    found = []
    for one in record["solutions"]:
        found.append(Solution(crystal=_crystal(one, group), **_arguments(Solution, one, "crystal")))
    plain = _arguments(Solutions, record, "solutions", "possible", "indistinguishable", "history", "texture")
    texture = record.get("texture")
    return Solutions(
        solutions=tuple(found),
        possible=tuple(Contents(**_arguments(Contents, one)) for one in record["possible"]),
        indistinguishable=tuple((a, b) for a, b in record["indistinguishable"]),
        history=np.array(record["history"], dtype=float),
        texture=None if texture is None else Texture(**_arguments(Texture, texture)),
        **plain,
    )


_ATOMS = ("cell", "species", "xyz", "u_iso", "name")


def _atoms_record(crystal: Crystal) -> dict[str, Any]:
    return {name: getattr(crystal, name) for name in _ATOMS}


def _crystal(record: Mapping[str, Any], group: SpaceGroup) -> Crystal:
    return Crystal.create(spacegroup=group, snap_distance=1e-3, **{name: record[name] for name in _ATOMS})


def group_of_attempt(record: Mapping[str, Any]) -> SpaceGroup:
    """Return the space group of a recorded search."""
    return _group_of(record["group"])


def _fields(of: Any, *but: str) -> dict[str, Any]:
    """Return all fields of a record except some."""
    return {f.name: getattr(of, f.name) for f in fields(of) if f.name not in but}


def _arguments(kind: Any, record: Mapping[str, Any], *but: str) -> dict[str, Any]:
    """Return the values of a record for the fields of a class; fields added later may be missing, NaN is restored."""
    found = {f.name: record[f.name] for f in fields(kind) if f.name not in but and f.name in record}
    found = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    return {name: float("nan") if value is None and name != "total" else value for name, value in found.items()}


def _group_record(group: SpaceGroup) -> dict[str, Any]:
    return {"name": group.name, "number": group.number, "hall": group.hall} | (
        {} if group.hall else {"operations": group.triplets}
    )


def _group_of(record: Mapping[str, Any]) -> SpaceGroup:
    if record["hall"]:
        return SpaceGroup.from_hall(record["hall"])
    return SpaceGroup.from_operations(record["operations"], record["name"])


def pattern_record(pattern: Pattern) -> dict[str, Any]:
    """Return values that identify a pattern."""
    numbers = np.concatenate([np.asarray(a, dtype=float) for a in (pattern.x, pattern.y, pattern.sigma)])
    return {"pattern": hashlib.sha256(numbers.tobytes()).hexdigest(), "excluded": pattern.excluded}


class Trail:
    """Checkpoint file of a determination, with the results of an earlier one.

    Args:
        path: checkpoint file; without it nothing is stored.
        pattern: measured pattern.
        asked: arguments as plain values.

    Attributes:
        cells: cells of an earlier determination with the same pattern and arguments; otherwise none.

    Raises:
        ParseError: the file has other content.
        ConventionError: the file is of another pattern or other arguments.
    """

    def __init__(self, path: str | Path | None, pattern: Pattern, asked: Mapping[str, Any]):
        self._path = None if path is None else Path(path)
        self._of = plain({**pattern_record(pattern), "asked": dict(asked)})
        self.cells: tuple[CellCandidate, ...] = ()
        self._searches: list[dict[str, Any]] = []
        if self._path is not None and self._path.exists():
            earlier = read_record(self._path, "determination")["result"]
            if earlier.get("of") != self._of:
                raise ConventionError(
                    f"{self._path} is the checkpoint of another pattern, or of other arguments: remove it, or name another folder"
                )
            self.cells = tuple(cell_of_record(c) for c in earlier["cells"])
            self._searches = earlier["attempts"]

    def taken(self, cell: int, group: SpaceGroup) -> Solutions | None:
        """Return the structures of an earlier search in this cell and group, only once; ``None`` without one."""
        for k, one in enumerate(self._searches):
            if one["cell"] == cell and _group_of(one["group"]) == group:
                return solutions_of_record(self._searches.pop(k))
        return None

    def write(self, cells: Sequence[CellCandidate], attempts: Sequence[Attempt]) -> None:
        """Write the results so far, atomically."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        found = {
            "of": self._of,
            "cells": [cell_record(c) for c in cells],
            "attempts": [*(attempt_record(a) for a in attempts), *self._searches],
        }
        write_record(self._path, envelope("determination", "checkpoint", found))
