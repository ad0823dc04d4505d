"""Files of a finished screening: a ranked table as text and as comma-separated columns, and pictures."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import write_atomically
from .._record import envelope, write_record
from .._tables import markdown
from ..plot import pattern
from ..plot.screening import ranking

if TYPE_CHECKING:
    from ..search.ranking import ScreeningResult

_FIGURES = {
    "bic": "BIC − best",
    "aic": "AIC − best",
    "chi2": "χ² − best",
    "rwp": "R / %",
    "energy": "ΔE / meV per atom",
}


def write_screening(result: ScreeningResult, directory: str | Path, title: str = "Screening") -> dict[str, Path]:
    """Write ``report.md``, ``result.json``, ``ranking.csv`` and ``ranking.png``, and the pattern of the best candidate where it is at hand.

    Args:
        result: of :func:`jaxnmr.screen`.
        directory: where to; made when missing.
        title: heading of the report.

    Returns:
        The files written, by what they are.
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
    with open(written["table"], "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ("rank", "candidate", "status", result.rank, "chi2", "gof", "r_percent", "energy_ev_atom", "observations", "parameters",
             "moved_A", "cell_change", "seconds", "file", "remarks")
        )  # fmt: skip
        for k, (row, figure) in enumerate(zip(result.rows, result.figures, strict=True), start=1):
            writer.writerow(
                (k, row.name, row.status, figure, row.chi2, row.gof, row.rwp, row.energy_ev_atom, row.n_observations,
                 row.n_parameters, row.moved, row.strain, round(row.seconds, 3), row.file, " ".join(result.remarks(row)))
            )  # fmt: skip
    write_atomically(written["report"], _text(result, title, written))
    written["result"] = write_record(folder / "result.json", envelope("screening", title, screening_record(result)))
    return written


def screening_record(result: ScreeningResult) -> dict[str, Any]:
    """The ranking as plain values; the numbers of a candidate are in the record of its own, see ``file``."""
    pairs = zip(result.rows, result.figures, strict=True)
    return {
        "message": result.message,
        "warnings": list(result.common),
        "rank": result.rank,
        "candidates": [{"figure": figure, "r_percent": row.rwp, **vars(row)} for row, figure in pairs],
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
    for k, (row, figure) in enumerate(zip(result.rows, result.figures, strict=True), start=1):
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
    lines += ["", f"![ranking]({written['ranking'].name})", ""]
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
