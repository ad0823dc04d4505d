"""Callbacks that display or log the steps of a refinement."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from .._arguments import checked
from .result import StepInfo


def describe(info: StepInfo) -> str:
    """Describe a step in one line."""
    agreement = "  ".join(f"{term} {factor} {value:.3f} %" for term, factor, value in info.agreement())
    outcome = "" if info.accepted else "  (refused)"
    note = f"  {info.note}" if info.note else ""
    return (
        f"{info.stage_name:<22} step {info.step:>3}  {agreement}  chi² {info.chi2:.6g}  shift/esd {info.shift_over_esd:.3g}  "
        f"{info.n_free} free  {info.seconds:.2f} s{outcome}{note}"
    )


@checked
def progress(*, log: str | Path | None = None) -> Callable[[StepInfo], None]:
    """Make a callback that prints one line per step to stderr and, if requested, appends JSON lines to a file.

    Example:
        >>> fit = jn.refine(objective, params.set("xrd/scale", 29.0), callback=jn.progress(log="steps.jsonl"))
        >>> Path("steps.jsonl").exists()
        True
    """
    from rich.console import Console

    console = Console(file=sys.stderr, highlight=False, soft_wrap=True)

    def show(info: StepInfo) -> None:
        console.print(describe(info), markup=False)
        if log is not None:
            with open(log, "a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(info)) + "\n")

    return show
