"""Files of an indexing and of a structure determination: tables, structures, figures, a report and a record."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import write_atomically
from .._record import envelope, write_record
from .._tables import markdown
from .._words import counted
from ..io import write_crystal
from ..plot import solving
from ..plot.peaks import peaks as peaks_picture
from ..plot.structures import structure as structure_picture
from ..solve.determination.record import cell_record, determination_record, peaks_record
from ..solve.handover import profile_factor
from ..solve.indexing.cell_table import cell_row
from ..solve.peaks.find import write_peaks
from ..units import format_esd
from .geometry import phase_covariance, phase_esds, volume_esd
from .seeds import seeds_record, seeds_text, write_alternatives

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..diffraction import Pattern
    from ..solve import CellCandidate, ExtinctionTable, Peaks, SeedsResult
    from ..solve.determination.outcome import Attempt, Determination

_CELL_HEADER = ("a / Å", "b / Å", "c / Å", "α / °", "β / °", "γ / °", "V / Å³")
# structures written in addition to the best one
_MOST_STRUCTURES = 5


def write_indexing(
    pattern: Pattern,
    peaks: Peaks,
    cells: Sequence[CellCandidate],
    directory: str | Path,
    title: str = "Indexing",
    *,
    inputs: Sequence[Path] = (),
) -> dict[str, Path]:
    """Write ``peaks.csv``, ``cells.csv``, ``result.json``, ``report.md`` and figures.

    Args:
        pattern: measured pattern; ``peaks`` its peaks, ``cells`` candidate cells, the most likely first.
        directory: output folder; created if missing.
        title: heading of the report.
        inputs: input files.

    Returns:
        The files written, by description.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    written = _first_steps(pattern, peaks, cells, folder)
    lines = [f"# {title}", "", *_peaks_text(peaks), *_cells_text(cells, len(peaks) > 0)]
    written["report"] = write_atomically(folder / "report.md", "\n".join(lines) + "\n")
    record = envelope(
        "indexing", title, {"peaks": peaks_record(peaks), "cells": [cell_record(c) for c in cells]}, inputs=inputs
    )
    written["result"] = write_record(folder / "result.json", record)
    return written


def write_determination(
    found: Determination,
    directory: str | Path,
    title: str = "Structure determination",
    *,
    inputs: Sequence[Path] = (),
    seeds: SeedsResult | None = None,
) -> dict[str, Path]:
    """Write the results of every step of a determination.

    ``peaks.csv``, ``cells.csv``, ``solution_01.cif`` ... (the best structure of each space group tried),
    ``refined.cif``, figures, ``report.md``, ``result.json``, and in the folder ``refinement`` the report of the
    Rietveld refinement.

    Args:
        found: result of :func:`jaxnmr.solve.determine`.
        directory: output folder; created if missing.
        title: heading of the report.
        inputs: input files.
        seeds: result of :func:`jaxnmr.solve.determine_from_seeds`, whose best is ``found``; structures that fit equally
            well are written as ``alternative_01.cif`` ...

    Returns:
        The files written, by description.
    """
    from .write import write_report, write_structures

    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    written = _first_steps(found.pattern, found.peaks, found.cells, folder)
    for k, table in enumerate(found.extinctions):
        if _is_given(table):
            continue
        name = f"extinctions_{k + 1}" if k else "extinctions"
        written[name] = _save(solving.extinctions(table), folder / f"{name}.png")
    if found.attempts:
        written["search"] = _save(solving.search(found.attempts), folder / "search.png")
    for k, attempt in enumerate(found.attempts[:_MOST_STRUCTURES], start=1):
        best = attempt.solutions.best
        words = f"{'Solved' if attempt.solutions.solved else 'Not solved'}: {attempt.solutions.reason}."
        written[f"solution {k}"] = folder / f"solution_{k:02d}.cif"
        write_crystal(best.crystal, written[f"solution {k}"], extra={"_refine_special_details": words})
    if found.fits:
        written["refined"] = write_structures(found.fits[0], folder)
        written |= {
            f"refinement {what}": path for what, path in write_report(found.fits[0], folder / "refinement").items()
        }
        written["structure picture"] = _save(structure_picture(found.fits[0].crystal), folder / "structure.png")
    elif found.attempts:
        written["structure picture"] = _save(
            structure_picture(found.attempts[0].solutions.best.crystal), folder / "structure.png"
        )
    if seeds is not None:
        written |= write_alternatives(seeds, folder)
        if any(row.structure for row in seeds.rows):
            written["seeds"] = _save(solving.seeds(seeds.rows), folder / "seeds.png")
    written["report"] = write_atomically(folder / "report.md", _text(found, title, seeds))
    result = determination_record(found) | ({} if seeds is None else {"seeds": seeds_record(seeds)})
    record = envelope("determination", title, result, inputs=inputs)
    written["result"] = write_record(folder / "result.json", record)
    return written


def _first_steps(pattern: Pattern, peaks: Peaks, cells: Sequence[CellCandidate], folder: Path) -> dict[str, Path]:
    """Write lines and cells, with their figures."""
    written = {"peaks": write_peaks(peaks, folder / "peaks.csv"), "cells": _write_cells(cells, folder / "cells.csv")}
    if len(peaks):
        written["peaks picture"] = _save(peaks_picture(pattern, peaks), folder / "peaks.png")
        written["cells picture"] = _save(solving.indexed(pattern, peaks, cells), folder / "indexed.png")
    return written


def _write_cells(cells: Sequence[CellCandidate], path: Path) -> Path:
    text = StringIO()
    rows = [cell_row(k, c) for k, c in enumerate(cells, start=1)]
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["lattice"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return write_atomically(path, text.getvalue())


def _text(found: Determination, title: str, seeds: SeedsResult | None = None) -> str:
    lines = [
        f"# {title}",
        "",
        f"**{found.status}**: {found.reason}",
        "",
        f"{found.composition}, {found.seconds if seeds is None else seeds.seconds:.0f} s of processor time.",
        "",
    ]
    if found.fits or found.attempts:
        lines += ["![structure](structure.png)", ""]
    if seeds is not None:
        lines += seeds_text(seeds)
    lines += _peaks_text(found.peaks) + _cells_text(found.cells, len(found.peaks) > 0)
    for k, (fit, table) in enumerate(zip(found.extractions, found.extinctions, strict=True)):
        lines += _extinction_text(k, fit, table)
    if found.attempts:
        lines += _attempts_text(found.attempts)
    if found.fits:
        lines += _refinement_text(found)
    notes = list(dict.fromkeys(found.notes))
    if notes:
        lines += ["## Notes", "", *(f"- {note}" for note in notes), ""]
    return "\n".join(lines)


def _peaks_text(peaks: Peaks) -> list[str]:
    humps = f"; {counted(len(peaks.humps), 'hump')} not taken for lines" if len(peaks.humps) else ""
    return [
        "## Lines",
        "",
        f"{counted(len(peaks), 'line')} (peaks.csv){humps}.",
        "",
        *(["![lines](peaks.png)", ""] if len(peaks) else []),
    ]


def _cells_text(cells: Sequence[CellCandidate], drawn: bool) -> list[str]:
    if len(cells) == 1 and not cells[0].lattice:
        given = "Given: " + " ".join(f"{x:.6g}" for x in cells[0].cell) + " (Å, degrees)."
        return ["## Cell", "", given, "", *(["![cell](indexed.png)", ""] if drawn else [])]
    if not cells:
        return ["## Cells", "", "None was found.", ""]
    header = ("", "lattice", *_CELL_HEADER[:6], "indexed", "M20", "Rwp / %", "P")
    rows = [
        (
            str(k), c.lattice, *(f"{x:.4f}" for x in c.cell[:3]), *(f"{x:.2f}" for x in c.cell[3:]), f"{c.indexed}/{c.indexed + c.unindexed}",
            f"{c.m20:.1f}", "" if c.rwp is None else f"{c.rwp:.2f}", f"{c.probability:.3f}",
        )
        for k, c in enumerate(cells[:10], start=1)
    ]  # fmt: skip
    return [
        "## Cells",
        "",
        markdown(header, rows),
        "",
        "Rwp is that of a short fit of the whole pattern without a structure.",
        "",
        "![cells](indexed.png)",
        "",
    ]


def _is_given(table: ExtinctionTable) -> bool:
    """Return whether the space group was given, so that absences were not evaluated."""
    return table.best.symbol == "given"


def _extinction_text(k: int, fit: Any, table: ExtinctionTable) -> list[str]:
    if _is_given(table):
        return ["## Intensities", "", f"{fit}. The space group was given.", ""]
    rows = [
        (r.symbol, ", ".join(g.name for g in r.groups[:6]) + (", …" if len(r.groups) > 6 else ""), str(r.absent), f"{r.worst:.1f}", f"{r.probability:.3f}")
        for r in table.rows[:8]
    ]  # fmt: skip
    name = f"extinctions_{k + 1}.png" if k else "extinctions.png"
    return [
        f"## Absences{f' in cell {k + 1}' if k else ''}", "", f"{fit}.", "",
        markdown(("symbol", "space groups", "absent", "strongest of them over σ", "P"), rows), "", f"![absences]({name})", "",
    ]  # fmt: skip


def _attempts_text(attempts: Sequence[Attempt]) -> list[str]:
    rows = [
        (
            str(k), a.rung.group.name, f"{a.rung.probability:.3f}", f"{a.solutions.best.r_factor:.3f}", str(a.solutions.best.dof),
            f"{a.solutions.tried}{f' of {a.solutions.total}' if a.solutions.total else ''}", "solved" if a.solutions.solved else "not solved",
        )
        for k, a in enumerate(attempts, start=1)
    ]  # fmt: skip
    best = attempts[0].solutions
    alternatives = [
        (str(k), f"{s.r_factor:.3f}", str(s.dof), s.assignment, s.verdict)
        for k, s in enumerate(best.solutions[:6], start=1)
    ]
    return [
        "## Atoms", "", markdown(("", "space group", "P before", "R of √I", "coordinates", "assignments", ""), rows), "", "![search](search.png)", "",
        f"{attempts[0].rung.group.name}: {best.reason}.", "", markdown(("", "R", "coordinates", "positions", ""), alternatives), "",
        *(f"- {note}" for note in best.notes), "",
    ]  # fmt: skip


def _refinement_text(found: Determination) -> list[str]:
    known = [e for e in found.energies if np.isfinite(e)]
    lowest = min(known, default=0.0)
    rows = [
        (
            f.crystal.group.name,
            f"{profile_factor(f):.2f}",
            str(f.parameters.n_free),
            *([f"{1e3 * (e - lowest):.0f}" if np.isfinite(e) else "unknown"] if known else []),
            "converged" if f.converged else f.message,
        )
        for f, e in zip(found.fits, found.energies, strict=True)
    ]
    fit = found.fits[0]
    (name, crystal), *_ = fit.crystals.items()
    esds = phase_esds(fit, name)
    told = lambda values, errors: [format_esd(v, e, digits=5) for v, e in zip(np.asarray(values), errors, strict=True)]
    volume = format_esd(float(crystal.volume()), volume_esd(crystal, phase_covariance(fit, name)), digits=3)
    sites = [
        (label, *told(xyz, errors), u)
        for label, xyz, errors, u in zip(
            crystal.labels, np.asarray(crystal.xyz), esds["xyz"], told(crystal.u_iso, esds["u_iso"]), strict=True
        )
    ]
    return [
        "## Refinement", "", markdown(("space group", "Rwp / %", "parameters", *(["energy above the lowest / meV per atom"] if known else []), ""), rows), "",
        markdown(_CELL_HEADER, [[*told(crystal.cell, esds["cell"]), volume]]), "",
        markdown(("site", "x", "y", "z", "U / Å²"), sites), "", "![pattern](refinement/pattern.png)", "",
        "refined.cif is this structure; refinement/report.md is the whole report of its refinement.", "",
    ]  # fmt: skip


def _save(figure: Figure, path: Path) -> Path:
    import matplotlib.pyplot as plt

    figure.savefig(path)
    plt.close(figure)
    return path
