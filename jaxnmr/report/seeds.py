"""Combined results of many seeds: table, structures that fit equally well, record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import write_atomically
from .._tables import markdown

if TYPE_CHECKING:
    from ..solve import SeedsResult
    from ..solve.determination.seeds import SeedRow

_HEADER = (
    "seed", "", "structure", "space group", "a / Å", "b / Å", "c / Å", "α / °", "β / °", "γ / °", "in the cell", "R of √I", "Rwp / %",
    "distance / Å", "time / s",
)  # fmt: skip
_KEPT = (
    "seed", "status", "reason", "structure", "distance", "group", "cell", "contents", "r_factor", "coordinates", "rwp", "bic",
    "energy_ev_atom", "seconds",
)  # fmt: skip


def seeds_text(found: SeedsResult) -> list[str]:
    """Format the section of a report."""
    said = found.agreement
    lines = ["## Seeds", "", said.text, ""]
    if any(row.structure for row in found.rows):
        lines += ["![seeds](seeds.png)", ""]
    lines += [
        markdown(_HEADER, [_cells(row) for row in found.rows]), "",
        "Structures of one number are the same, whatever origin, hand and setting they have; the distance is the root mean square one of atoms "
        "from those of the best, of which everything below tells. The time is that of the processor.", "",
    ]  # fmt: skip
    if said.alternatives:
        lines += [
            *(f"- {_file(k)}: structure {row.structure}, of seed {row.seed}, fits as well." for k, row in enumerate(said.alternatives, start=1)),
            "",
        ]  # fmt: skip
    reasons: dict[str, list[int]] = {}
    for row in found.rows:
        if row.status != "solved":
            reasons.setdefault(row.reason, []).append(row.seed)
    lines += [f"- Seed {', '.join(map(str, sorted(of)))}: {reason}." for reason, of in reasons.items()]
    return [*lines, ""] if reasons else lines


def _cells(row: SeedRow) -> tuple[str, ...]:
    number = lambda value, digits: f"{value:.{digits}f}" if np.isfinite(value) else ""
    cell = [""] * 6 if row.cell is None else [f"{x:.{4 if k < 3 else 2}f}" for k, x in enumerate(row.cell)]
    return (
        str(row.seed),
        row.status,
        str(row.structure or ""),
        row.group,
        *cell,
        row.contents,
        number(row.r_factor, 3),
        number(row.rwp, 2),
        number(row.distance, 3),
        f"{row.seconds:.0f}",
    )  # Return the results of seeds as plain values.


def seeds_record(found: SeedsResult) -> dict[str, Any]:
    """Write the structures that fit as well as the best; remove those of an earlier call."""
    said = found.agreement
    return {
        "message": said.text,
        "agreeing": sorted(row.seed for row in said.alike),
        "alternatives": [
            {"file": _file(k), "structure": row.structure, "seed": row.seed}
            for k, row in enumerate(said.alternatives, start=1)
        ],
        "determined": found.done,
        "known": found.known,
        "seconds": found.seconds,
        "rows": [{name: getattr(row, name) for name in _KEPT} for row in found.rows],
    }


def write_alternatives(found: SeedsResult, folder: Path) -> dict[str, Path]:
    """Write the structures that fit as well as the best; those of an earlier call are removed."""
    for old in folder.glob("alternative_*.cif"):
        old.unlink()
    return {
        f"alternative {k}": write_atomically(folder / _file(k), found.texts[row.seed])
        for k, row in enumerate(found.agreement.alternatives, start=1)
    }


def _file(k: int) -> str:
    return f"alternative_{k:02d}.cif"
