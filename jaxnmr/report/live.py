"""A page that follows a refinement: where it is, how well it agrees, and what is calculated now."""

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
# seconds between two states of the page, and how much longer than it takes to write one
_PAUSE, _PATIENCE = 2.0, 5.0


class LivePage:
    """A callback of a refinement that keeps ``live.html`` up to date: the page asks the file ``live.js`` beside it.

    Args:
        folder: of the results, made when missing.
        title: for people.
        objective: what is refined.
        present: gives the parameters after the step that is told of, with what is refined free.
        asked: what the run file says of data files.

    Raises:
        JaxnmrError: the library that draws is not installed.
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
        """The file to open."""
        return self.folder / PAGE

    def begin(self, params: Parameters) -> None:
        """Write the page with what is calculated at the start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = self._content(params)
        (self.folder / LIVE).unlink(missing_ok=True)
        write_atomically(self.page, html(self.title, content, live=True))

    def __call__(self, info: StepInfo) -> None:
        self._steps.append(info)
        now = time.monotonic()
        if now < self._next:
            return
        # a view never ends what it shows
        with suppress(JaxnmrError, ArithmeticError, ValueError, OSError):
            self._tell(self._content(self._present()))
        self._next = time.monotonic() + max(_PAUSE, _PATIENCE * (time.monotonic() - now))

    def end(self) -> None:
        """Say that the report is there, to which an open page goes on."""
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
