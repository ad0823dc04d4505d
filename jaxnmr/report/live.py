"""Live page of a refinement: progress, agreement and current calculated curves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._files import write_atomically
from .._record import plain
from ..errors import JaxnmrError
from .asked import Asked
from .page import page_possible
from .page.cells import page_cell
from .page.curves import page_curves
from .page.write import LIVE, MISSING, html, page_course

if TYPE_CHECKING:
    from ..objective import Objective, Parameters
    from ..refinement.result import StepInfo

PAGE = "live.html"
# shortest time between updates, in seconds and as a multiple of the time that an update takes
_PAUSE, _PATIENCE = 2.0, 5.0


class LivePage:
    """Refinement callback that keeps ``live.html`` up to date; the page polls the file ``live.js`` beside it.

    Args:
        folder: folder of the results; created if missing.
        title: title of the page.
        objective: objective that is refined.
        present: returns the parameters after the reported step, with the refined ones free.
        asked: report settings of the run file.

    Raises:
        JaxnmrError: the plotting library is not installed.
    """

    def __init__(
        self,
        folder: Path,
        title: str,
        objective: Objective,
        present: Callable[[], Parameters],
        asked: Asked | None = None,
    ):
        if not page_possible():
            raise JaxnmrError(f"no live view: it {MISSING.partition(': it ')[2]}")
        self.folder, self.title = folder, title
        self._objective, self._present, self._asked = objective, present, asked or Asked()
        self._steps: list[StepInfo] = []
        self._next, self._number = 0.0, 0

    @property
    def page(self) -> Path:
        """File to open."""
        return self.folder / PAGE

    def begin(self, params: Parameters) -> None:
        """Write the page with the calculated curves of the start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = self._content(params)
        (self.folder / LIVE).unlink(missing_ok=True)
        write_atomically(self.page, html(self.title, content, live=True))

    def __call__(self, info: StepInfo) -> None:
        self._steps.append(info)
        now = time.monotonic()
        if now < self._next:
            return
        # an error of the view must never end the refinement
        with suppress(JaxnmrError, ArithmeticError, ValueError, OSError):
            self._tell(self._content(self._present()))
        self._next = time.monotonic() + max(_PAUSE, _PATIENCE * (time.monotonic() - now))

    def end(self) -> None:
        """Mark the report as finished, so that an open page switches to it."""
        write_atomically(self.folder / LIVE, "jaxnmrLive(null);\n")
        self.page.unlink(missing_ok=True)

    def _tell(self, content: dict[str, Any]) -> None:
        self._number += 1
        text = json.dumps(plain(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        write_atomically(self.folder / LIVE, f"jaxnmrLive({self._number},{text});\n")

    def _content(self, params: Parameters) -> dict[str, Any]:
        objective = self._objective.bind(params)
        state = objective.host_state(params).plain()
        evidence = {term.name: term.evidence(state) for term in objective.terms}
        curves = page_curves(evidence, {}, self._asked)
        for of in curves:
            of["agreement"] = _agreement(self._steps, of["name"])
        return {
            "status": "running",
            "summary": _where(self._steps),
            "warnings": [],
            "curves": curves,
            "cells": [page_cell(name, crystal) for name, crystal in state.crystals.items()],
            "course": page_course(self._steps),
        }


def _where(steps: Sequence[StepInfo]) -> str:
    if not steps:
        return "The refinement begins: calculated at the start."
    last = steps[-1]
    factors = ", ".join(f"{factor} {term} {value:.3f} %" for term, factor, value in last.agreement())
    return ", ".join(filter(None, (
        f"The refinement is running: stage {last.stage + 1} '{last.stage_name}', step {last.step}", factors, f"χ² {last.chi2:.6g}",
        f"{last.n_free} parameters",
    )))  # fmt: skip


def _agreement(steps: Sequence[StepInfo], name: str) -> str:
    factors = steps[-1].factors.get(name, {}) if steps else {}
    return ", ".join(f"{factor} {value:.3f} %" for factor, value in factors.items())
