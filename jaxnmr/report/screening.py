"""Files of a finished screening: a ranked table as text and as comma-separated columns, and figures."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import write_atomically
from .._record import envelope, write_record
from .._tables import markdown
from ..io import read_crystals
from ..plot import pattern
from ..plot.screening import best_candidates, ranking
from .pictures import file_name

if TYPE_CHECKING:
    from ..crystal import Crystal
    from ..search.screening.ranking import ScreeningResult

_FIGURES = {
    "bic": "BIC − best",
    "aic": "AIC − best",
    "chi2": "χ² − best",
    "rwp": "R / %",
    "energy": "ΔE / meV per atom",
}
# candidates listed in the report and in result.json; the table has all
_LISTED = 100


def write_screening(result: ScreeningResult, directory: str | Path, title: str = "Screening") -> dict[str, Path]:
    """Write ``report.md``, ``result.json``, ``ranking.csv``, ``ranking.png`` and the ten best structures.

    The pattern of the best candidate is added if it is available.

    Args:
        result: result of :func:`jaxnmr.screen`.
        directory: output folder; created if missing.
        title: heading of the report.

    Returns:
        The files written, by description.
    """
    import matplotlib.pyplot as plt

    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    written = {name: folder / file for name, file in (("report", "report.md"), ("table", "ranking.csv"))}
    pictures: dict[str, Any] = {"ranking": ranking(result)}
    best = result.fits.get(result.best.name)
    if best is not None and best.patterns:
        pictures["best"] = pattern(best, next(iter(best.patterns)))
    for name, figure in pictures.items():
        written[name] = folder / f"{name}.png"
        figure.savefig(written[name])
        plt.close(figure)
    write_atomically(written["table"], "".join(csv_lines(result)))
    structures = write_structures(result, folder / "best")
    written |= {f"structure {name}": path for name, path in structures.items()}
    if structures:
        rows = {row.name: f"R {row.rwp:.2f} %" for row in result.rows[: len(structures)]}
        figure = best_candidates({name: _first(path) for name, path in structures.items()}, rows)
        written["cells"] = folder / "cells.png"
        figure.savefig(written["cells"])
        plt.close(figure)
    write_atomically(written["report"], _text(result, title, written))
    written["result"] = write_record(folder / "result.json", envelope("screening", title, screening_record(result)))
    return written


def csv_lines(result: ScreeningResult, most: int | None = None) -> Iterator[str]:
    """Write the ranking in comma-separated columns, line by line: the given number of best candidates, or all."""
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")

    def written(row: Sequence[Any]) -> str:
        line.seek(0)
        line.truncate()
        writer.writerow(row)
        return line.getvalue()

    yield written(
        ("rank", "candidate", "status", result.rank, "chi2", "gof", "r_percent", "energy_ev_atom", "observations", "parameters",
         "moved_A", "cell_change", "seconds", "remarks")
    )  # fmt: skip
    for k, (row, figure) in enumerate(zip(result.rows[:most], result.figures[:most], strict=True), start=1):
        yield written(
            (k, row.name, row.status, figure, row.chi2, row.gof, row.rwp, row.energy_ev_atom, row.n_observations,
             row.n_parameters, row.moved, row.strain, round(row.seconds, 3), " ".join(result.remarks(row)))
        )  # fmt: skip


def _first(path: Path) -> Crystal:
    """Return the structure of a candidate; the first if several phases were refined."""
    return next(iter(read_crystals(path).values()))


def write_structures(result: ScreeningResult, directory: str | Path, most: int = 10) -> dict[str, Path]:
    """Write refined structures of the best candidates as ``01_NAME.cif`` ...; return files by candidate name."""
    folder, written = Path(directory), dict[str, Path]()
    for k, row in enumerate(result.rows[:most]):
        text = result.structure(k)
        if text:
            folder.mkdir(parents=True, exist_ok=True)
            written[row.name] = write_atomically(folder / f"{k + 1:02d}_{_short(file_name(row.name))}.cif", text)
    return written


def _short(name: str) -> str:
    """Truncate a name for file systems, many of which allow 255 bytes; the rank in front keeps files distinct."""
    return name.encode()[:120].decode(errors="ignore")


def screening_record(result: ScreeningResult) -> dict[str, Any]:
    """Return the ranking as plain values: the best candidates with their parameters; the table has all candidates."""
    pairs = zip(result.rows[:_LISTED], result.figures[:_LISTED], strict=True)
    return {
        "message": result.message,
        "warnings": list(result.common),
        "rank": result.rank,
        "count": len(result.rows),
        "statuses": dict(result.statuses),
        "candidates": [
            {"figure": figure, "r_percent": row.rwp, **vars(row), "parameters": result.parameters(k)}
            for k, (row, figure) in enumerate(pairs)
        ],
        "table": None if result.table_file is None else result.table_file.name,
        "refined": result.refined,
        "resumed": result.resumed,
        "seconds": result.seconds,
        "compile_seconds": result.compile_seconds,
    }


def _text(result: ScreeningResult, title: str, written: dict[str, Path]) -> str:
    lines = [f"# {title}: {len(result.rows)} candidates", "", result.message, ""]
    lines += [f"- **Warning**, of all candidates: {flag}" for flag in result.common] + ([""] if result.common else [])
    header = (
        "",
        "candidate",
        "status",
        _FIGURES[result.rank],
        "χ²",
        "GoF",
        "R / %",
        "E / eV per atom",
        "parameters",
        "atoms moved / Å",
    )
    rows = []
    shown_rows = zip(result.rows[:_LISTED], result.figures[:_LISTED], strict=True)
    for k, (row, figure) in enumerate(shown_rows, start=1):
        numbers = (
            f"{figure:.4g}",
            f"{row.chi2:.6g}",
            f"{row.gof:.3f}",
            f"{row.rwp:.2f}",
            "" if row.energy_ev_atom is None else f"{row.energy_ev_atom:.4f}",
            str(row.n_parameters),
            f"{row.moved:.3f}",
        )
        shown = numbers if np.isfinite(row.chi2) else ("",) * len(numbers)
        rows.append((k, row.name, row.status, *shown, " ".join(result.remarks(row))))
    lines += [markdown((*header, "remarks"), rows)]
    if len(result.rows) > _LISTED:
        lines += ["", f"{len(result.rows) - _LISTED} more are in `{written['table'].name}`."]
    lines += ["", f"![ranking]({written['ranking'].name})", ""]
    if "cells" in written:
        lines += ["The best, as refined; their CIF files are in `best/`:", "", f"![cells]({written['cells'].name})", ""]
    if "best" in written:
        lines += [f"The best candidate, {result.best.name}:", "", f"![best]({written['best'].name})", ""]
    lines += [*_explained(result), ""]
    return "\n".join(lines)


def _explained(result: ScreeningResult) -> list[str]:
    words = {
        "bic": "BIC is χ² + k ln n (G. Schwarz, Ann. Stat. 6, 461, 1978)",
        "aic": "AIC is χ² + 2k (H. Akaike, IEEE Trans. Autom. Control 19, 716, 1974)",
    }
    if result.rank not in words:
        return []
    spread = [row.log_variance for row in result.rows if np.isfinite(row.chi2)]
    models = (
        "χ² has the logarithm of the determinant of the models' uncertainties added, which differ by up to "
        f"{np.ptp(spread):.3g} between candidates: one of which a model knows less is no better for it. "
        if np.ptp(spread or [0.0]) > 0
        else ""
    )
    return [
        f"{words[result.rank]}, with χ² divided by that per degree of freedom of the best candidate where this exceeds 1. {models}"
        "Candidates within 10 of the best are not clearly worse. Neighbouring points of a pattern are taken to be independent, "
        "which makes differences look more certain than they are where a profile does not fit."
    ]
