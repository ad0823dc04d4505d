"""Files of a finished series: tables with uncertainties, and figures along the series."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import write_atomically
from .._record import envelope, write_record
from .._tables import markdown
from ..plot.series import evolution, kinds
from .pictures import file_name, saved

if TYPE_CHECKING:
    from ..search.series.rows import SeriesResult, SeriesRow

# columns per table of the report
_ACROSS = 8
_PRIVATE = ("flat", "sizes", "key")


def write_series(
    result: SeriesResult,
    directory: str | Path,
    title: str = "Series",
    *,
    inputs: Sequence[Path] = (),
    pictures: Sequence[str] = ("png",),
) -> dict[str, Path]:
    """Write ``series.csv``, ``result.json``, ``report.md`` and a figure of each kind of quantity along the series.

    Args:
        result: result of :func:`jaxnmr.refine_series`.
        directory: output folder; created if missing.
        title: heading of the report.
        inputs: input files, for the record.
        pictures: formats of figures.

    Returns:
        The files written, by description.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    written = {"table": write_atomically(folder / "series.csv", series_table(result))}
    shown: dict[str, str] = {}
    for kind, names in {"agreement": None, **kinds(result)}.items():
        figure = evolution(result, names, title=f"{title}: {kind}")
        for path in saved(figure, folder, file_name(kind), pictures):
            written[kind if path.suffix == f".{pictures[0]}" else f"{kind} ({path.suffix[1:]})"] = path
            if path.suffix == ".png":
                shown[kind] = path.name
    written["report"] = write_atomically(folder / "report.md", _text(result, title, shown))
    record = series_record(result) | {"files": [path.name for path in written.values()]}
    written["result"] = write_record(folder / "result.json", envelope("series", title, record, inputs=inputs))
    return written


def series_record(result: SeriesResult) -> dict[str, Any]:
    """Return the series as plain values."""
    public = lambda row: {key: value for key, value in vars(row).items() if key not in _PRIVATE}
    return {
        "message": result.message,
        "abscissa": {"name": result.abscissa, "unit": result.unit},
        "columns": [{"name": name, "unit": result.units.get(name, "")} for name in result.columns],
        "rows": [public(row) for row in result.rows],
        "other_directions": [public(row) for row in _others(result)],
        "presence": {part: [span._asdict() for span in spans] for part, spans in result.presence().items()},
        "disagreements": [span._asdict() for span in result.disagreements()],
        "refined": result.refined,
        "resumed": result.resumed,
        "seconds": result.seconds,
        "compile_seconds": result.compile_seconds,
    }


def _others(result: SeriesResult) -> list[SeriesRow]:
    """List the rows of the direction that was not kept."""
    pairs = ((row, of.get(row.name)) for row in result.rows for of in (result.forward, result.backward))
    return [other for row, other in pairs if other is not None and other is not row]


def series_table(result: SeriesResult) -> str:
    """Format as comma-separated values: full precision, one column per value and one per standard uncertainty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    terms = list(dict.fromkeys(term for row in result.rows for term in row.factors))
    columns = result.columns
    head = ["row", result.axis, "status", "direction", "chi2", "gof", *(f"{term} R / %" for term in terms)]
    for name in columns:
        head += [result.heading(name), f"esd {name}"]
    writer.writerow([*head, "apart / esd", "absent", "remarks"])
    for row in result.rows:
        cells: list[Any] = [row.name, f"{row.at:.10g}", row.status, row.direction, _number(row.chi2), _number(row.gof)]
        cells += [_number(row.factors.get(term, np.nan)) for term in terms]
        for name in columns:
            cells += [
                _number(number) for number in (row.values.get(name) or row.derived.get(name) or (np.nan, np.nan))[:2]
            ]
        behind = result.backward.get(row.name)
        apart = behind.apart if behind is not None and behind.apart is not None else np.nan
        said = row.flags if row.status == "converged" else (row.message, *row.flags)
        writer.writerow([*cells, f"{apart:.2f}" if np.isfinite(apart) else "", " ".join(row.absent), " ".join(said)])
    return out.getvalue()


def _number(value: float) -> str:
    return f"{value:.10g}" if np.isfinite(value) else ""


def _text(result: SeriesResult, title: str, shown: dict[str, str]) -> str:
    lines = [f"# {title}: {len(result.rows)} rows", "", *(f"- {sentence}" for sentence in result.sentences), ""]
    said = [set(row.flags) for row in result.rows if row.flat]
    common = [
        flag for flag in next((row.flags for row in result.rows if row.flat), ()) if all(flag in of for of in said)
    ]
    lines += [f"- **Warning**, of all rows: {flag}" for flag in common] + ([""] if common else [])
    groups = {"agreement": (), **kinds(result)}
    for kind, names in groups.items():
        lines += [f"## {kind.capitalize()}", ""]
        if kind in shown:
            lines += [f"![{kind}]({shown[kind]})", ""]
        for first in range(0, max(len(names), 1), _ACROSS):
            head, cells = result.cells(names[first : first + _ACROSS])
            # the agreement columns are listed only once
            kept = range(len(head)) if kind == "agreement" else [0, 1, *range(5, len(head) - 1)]
            lines += [markdown([head[k] for k in kept], [[row[k] for k in kept] for row in cells]), ""]
    lines += [
        "Numbers in parentheses are standard uncertainties of the last digits; those in brackets have none in this "
        "row: the phase or site is not told from absent, so that what it is like was held, or its amount is at its bound of zero.",
        "",
    ]
    own = [(row, flag) for row in result.rows for flag in row.flags if flag not in common]
    if own:
        lines += ["## Remarks", "", *(f"- {row.name}: {flag}" for row, flag in own), ""]
    return "\n".join(lines)
