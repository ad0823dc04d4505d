"""Files of a relaxation: structure, numbers and a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import write_atomically
from .._record import envelope, write_record
from .._tables import markdown
from .._words import counted
from ..io import write_crystal

if TYPE_CHECKING:
    from ..search.relaxation import RelaxResult


def write_relaxation(
    result: RelaxResult,
    directory: str | Path,
    title: str = "Relaxation",
    *,
    card: Mapping[str, Any] | None = None,
    inputs: Sequence[Path] = (),
) -> dict[str, Path]:
    """Write ``relaxed.cif``, ``result.json`` and ``report.md``.

    Args:
        result: result of :func:`jaxnmr.relax`.
        directory: output folder; created if missing.
        title: heading of the report.
        card: information on the energy model, for the record.
        inputs: input files.

    Returns:
        The files written, by description.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    written = {"structure": folder / "relaxed.cif", "report": folder / "report.md"}
    # prevents confusion with a measured structure
    origin = f"Calculated: positions{' and cell' if result.cell_free else ''} at rest in the energy {result.model}. {result.message}"
    write_crystal(result.crystal, written["structure"], extra={"_refine_special_details": origin})
    write_atomically(written["report"], _text(result, title, card or {}))
    record = envelope("relaxation", title, relaxation_record(result) | {"card": dict(card or {})}, inputs=inputs)
    written["result"] = write_record(folder / "result.json", record)
    return written


def relaxation_record(result: RelaxResult) -> dict[str, Any]:
    """Return the result as plain values; energies in eV per conventional cell, forces in eV/Å, stresses in GPa."""
    crystals = {"start": result.start, "crystal": result.crystal}
    return {
        "model": result.model,
        "converged": result.converged,
        "message": result.message,
        "notes": result.notes,
        "atoms": result.atoms,
        "energy_start_ev": result.energy_start,
        "energy_ev": result.energy,
        "cell_free": result.cell_free,
        "pressure_gpa": result.pressure_gpa,
        "max_force": result.max_force,
        "stress_gpa": result.stress,
        "rms_moved": result.rms_moved,
        "sites": [
            {"label": label, "xyz": xyz, "moved": moved, "force": force}
            for label, xyz, moved, force in zip(
                result.crystal.labels, np.asarray(result.crystal.xyz), result.moved, result.forces, strict=True
            )
        ],
        **{f"{name}_cell": crystal.cell for name, crystal in crystals.items()},
        **{f"{name}_volume": crystal.volume() for name, crystal in crystals.items()},
        "steps": result.steps,
        "evaluations": result.evaluations,
        "seconds": result.seconds,
        "history": [vars(step) for step in result.history],
    }


def _text(result: RelaxResult, title: str, card: Mapping[str, Any]) -> str:
    what = "enthalpy" if result.pressure_gpa else "energy"
    change = (result.energy - result.energy_start) / result.atoms
    lines = [
        f"# {title}",
        "",
        result.message,
        "",
        f"The {what} by {result.model} is {result.energy:.6f} eV per cell of {counted(result.atoms, 'atom')}, {1e3 * change:+.2f} meV "
        f"per atom from the start. Atoms moved by {result.rms_moved:.4f} Å (rms) within the cell.",
        "",
        *(f"- {note}" for note in result.notes),
        *([""] if result.notes else []),
    ]
    cells = [np.asarray(crystal.cell, dtype=float) for crystal in (result.start, result.crystal)]
    volumes = [float(crystal.volume()) for crystal in (result.start, result.crystal)]
    axes = ("a / Å", "b / Å", "c / Å", "α / °", "β / °", "γ / °")
    rows = [(axis, f"{before:.4f}", f"{after:.4f}") for axis, before, after in zip(axes, *cells, strict=True)]
    rows.append(("V / Å³", f"{volumes[0]:.3f}", f"{volumes[1]:.3f}"))
    lines += ["## Cell", "", markdown(("", "start", "relaxed"), rows), ""]
    stress = result.stress
    order = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
    numbers = ", ".join(f"{round(stress[i, j], 3) + 0.0:.3f}" for i, j in order)
    lines += [f"Stress (xx, yy, zz, yz, xz, xy; positive where the cell would shrink): {numbers} GPa.", ""]
    sites = [
        (label, *(f"{x:.5f}" for x in xyz), f"{moved:.4f}", f"{np.linalg.norm(force):.4f}")
        for label, xyz, moved, force in zip(
            result.crystal.labels, np.asarray(result.crystal.xyz), result.moved, result.forces, strict=True
        )
    ]
    lines += ["## Sites", "", markdown(("site", "x", "y", "z", "moved / Å", "force / eV Å⁻¹"), sites), ""]
    if citation := card.get("citation"):
        lines += [f"Energy: {citation if isinstance(citation, str) else '; '.join(citation)}.", ""]
    return "\n".join(lines)
