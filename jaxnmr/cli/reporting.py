"""``jaxnmr report``: write figures, tables and files of a finished refinement again."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from .codes import OK


def add_report(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command."""
    sub = command(
        "report", _report, "write the report of a finished refinement again, from the results in its folder",
        "jaxnmr report out/quartz",
    )  # fmt: skip
    sub.add_argument("folder", metavar="DIR", type=Path, help="a folder with result.json and result.npz")


def _report(arguments: argparse.Namespace, console: Console) -> int:
    from ..report import rewrite_report
    from ..report.page import MISSING
    from .commands import _prepare
    from .folders import usable

    _prepare(arguments)
    written = rewrite_report(usable(arguments.folder), arguments.out and usable(arguments.out))
    folder = arguments.out or arguments.folder
    if "page" not in written:
        console.print(escape(MISSING))
    console.print(f"{len(written)} files in {escape(str(folder))}, {escape(written['report'].name)} among them")
    return OK
