"""Colours, sizes and small helpers shared by all figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import ParameterError

OBSERVED, CALCULATED, BACKGROUND, DIFFERENCE = "#1a1a1a", "#D55E00", "#009E73", "#0072B2"
PHASES = ("#8a3b78", "#b87a00", "#2b7bba", "#4d4d4d", "#00806b", "#c0504d")
GREY = "#8c8c8c"
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)))
STYLE = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.linewidth": 0.8,
    "axes.labelsize": 10.5,
    "axes.titlesize": 10.5,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "figure.dpi": 150,
}
_PLURAL = {"histogram": "histograms", "spectrum": "spectra", "curve": "curves", "energy": "energies", "echo": "echoes"}


@contextmanager
def styled(changes: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Apply matplotlib settings `STYLE` with changes, and restore the previous ones afterwards."""
    import matplotlib
    import matplotlib.pyplot as plt

    settings: dict[Any, Any] = {**STYLE, **(changes or {})}
    with plt.rc_context(settings):
        yield
        interactive = matplotlib.is_interactive()
    # the first figure of a notebook switches on interactive mode; restoring the old value would hide all later figures
    matplotlib.interactive(interactive)


def one_of(fitted: dict, name: str | None, what: str):
    """Return the entry of that name, or the only one."""
    known = sorted(fitted)
    if not known:
        raise ParameterError(f"nothing of this kind was fitted: there is no {what}")
    if name is None:
        if len(known) != 1:
            raise ParameterError(f"{len(known)} {_PLURAL[what]} were fitted: name one of {known}")
        name = known[0]
    if name not in fitted:
        raise ParameterError(f"no {what} {name!r} was fitted; there is {known}")
    return fitted[name]


def gapped(x: np.ndarray, y: np.ndarray, excluded: Sequence[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the curve with a NaN in every excluded region, so that no line is drawn across it."""
    places = [int(np.searchsorted(x, 0.5 * (low + high))) for low, high in excluded if x[0] < high and low < x[-1]]
    return np.insert(x, places, [x[min(p, len(x) - 1)] for p in places]), np.insert(y, places, np.nan)


def isotope_text(isotope: str) -> str:
    """Format ``29Si`` with a superscript mass number."""
    return isotope.translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
