"""The page as one file: numbers, script, style and plotting library, compressed."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._files import write_atomically
from ..._record import plain
from ..asked import Asked
from ..publication import PaperTable
from .cells import page_cell
from .curves import page_curves

if TYPE_CHECKING:
    from ...refinement.result import RefinementResult, StepInfo

MISSING = "report.html was not written: it needs plotly, which pip install 'jaxnmr[html]' installs"
LIVE = "live.js"


def page_possible() -> bool:
    """Return whether the plotting library is installed."""
    return find_spec("plotly") is not None


def write_page(
    fit: RefinementResult, path: Path, record: Mapping[str, Any], asked: Asked, tables: Sequence[PaperTable]
) -> Path:
    """Write the page of a finished refinement.

    Args:
        fit: result of the refinement.
        path: output file.
        record: record of the result.
        asked: report settings of the run file.
        tables: tables below the plots.
    """
    result = record["result"]
    summary = (
        f"{result['steps']} steps, {result['n_parameters']} parameters, {result['n_observations']} observations. {fit.message} "
        f"{record['created']}, jaxnmr {record['versions']['jaxnmr']}."
    )
    content = {
        "status": fit.status,
        "summary": summary,
        "warnings": [*fit.warnings, *fit.null_directions],
        "curves": page_curves(fit.evidence, fit.statistics, asked),
        "cells": [page_cell(name, crystal) for name, crystal in fit.crystals.items()],
        "course": page_course(fit.steps),
    }
    return write_atomically(path, html(record["title"], content, tables))


def page_course(steps: Sequence[StepInfo]) -> list[dict[str, Any]]:
    """Return steps as plain values."""
    return [
        {
            "step": s.step,
            "stage": s.stage_name,
            "chi2": s.chi2,
            "accepted": s.accepted,
            "factors": s.agreement(),
            "shift": s.shift_over_esd,
        }
        for s in steps
    ]


def html(
    title: str,
    content: Mapping[str, Any],
    tables: Sequence[PaperTable] = (),
    *,
    live: bool = False,
    pictures: Sequence[tuple[str, bytes]] = (),
) -> str:
    """Return the HTML of a page; a ``live`` one polls the file `LIVE` beside it. Pictures: captions and PNG files."""
    part = lambda name: (resources.files(__package__) / name).read_text(encoding="utf-8")
    text = json.dumps(plain(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return f"""<!DOCTYPE html>
<html lang="en"{' data-live="yes"' if live else ""}>
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>
<style>
{part("page.css")}</style></head>
<body>
<header><h1>{escape(title)}</h1><p id="summary"></p><ul id="warnings"></ul></header>
<noscript><p>The plots of this page are drawn by the scripts in it, which the browser does not run.</p></noscript>
<main id="plots"></main>
{"".join(_picture(*of) for of in pictures)}{"".join(map(_table, tables))}
<script type="application/octet-stream" id="library">{_library()}</script>
<script type="application/octet-stream" id="content">{_compressed(text)}</script>
<script>
{part("page.js")}</script>
</body></html>
"""


def _picture(caption: str, png: bytes) -> str:
    data = base64.b64encode(png).decode()
    return f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{data}"><figcaption>{escape(caption)}</figcaption></figure>\n'


def _table(table: PaperTable) -> str:
    cells = lambda row, tag: "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row)
    rows = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in table.rows)
    return f"<details><summary>{escape(table.caption)}</summary><table><tr>{cells(table.header, 'th')}</tr>{rows}</table></details>\n"


@lru_cache(maxsize=1)
def _library() -> str:
    from plotly.offline import get_plotlyjs

    return _compressed(get_plotlyjs())


def _compressed(text: str) -> str:
    # without a time stamp, so that equal content gives equal files
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()
